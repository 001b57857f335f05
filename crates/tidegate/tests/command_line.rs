//! The program tells what it can do, what is wrong with its configuration and
//! where, and says by its exit code how a command ended.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;
#[path = "command_line/scan.rs"]
mod scan;
#[path = "../../tidegate-store/tests/servers/mod.rs"]
mod servers;
#[path = "command_line/stores.rs"]
mod stores;

use std::process::Output;

use gateway::{Folder, Program, run, start_mock};
use serde_json::Value;
use tidegate_engine::mock::Script;
use tokio::task::JoinSet;

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}{}",
        out(output),
        err(output)
    );
}

/// What a command that takes no input prints.
async fn help(args: &[&str]) -> String {
    let output = run(&Folder::new(), args).await;
    check(&output, 0);
    out(&output)
}

#[tokio::test]
async fn the_help_lists_the_commands() {
    insta::assert_snapshot!(help(&["--help"]).await, @"
    The gate that LLM traffic flows through

    Usage: tidegate <COMMAND>

    Commands:
      serve        Start the gateway
      worker       Work at background tasks that a gateway leaves to others
      mock         Start a scripted upstream for tests and benchmarks
      scan         Scan texts, files and folders for attacks and leaks
      rules        List, show, try and compare the rules of the guard
      prompts      List, show, render and try prompts
      cache        Show, forget or warm what a gateway keeps
      config       Check, show or write configuration
      models       List the configured models
      sessions     List, show, make, delete and export sessions
      tasks        List, show, submit, cancel, retry and watch background tasks
      toon         Write JSON in fewer tokens, read it back, and say what that saves
      doctor       Say what works, what does not, and why
      completions  Write completions for a shell to standard output
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Exit codes: 0 clean, 1 findings, 2 usage or configuration, 3 upstream or store unreachable, 4
    partial result, 130 interrupted.
    ");
}

/// What the help of a command has to say.
const MENTIONS: &[(&[&str], &[&str])] = &[
    (&["serve", "--help"], &["--bind", "--config", "--set"]),
    (
        &["mock", "--help"],
        &["--faults", "--latency-ms", "--journal", "throttle-N"],
    ),
    (
        &["config", "--help"],
        &["check", "show", "schema", "reference", "init"],
    ),
    (&["config", "show", "--help"], &["--origin", "--json"]),
    (&["models", "ls", "--help"], &["--json"]),
    (
        &["scan", "--help"],
        &[
            "--fail-on",
            "--suppress",
            "sarif",
            "Examples:",
            "Exit codes:",
        ],
    ),
    (
        &["rules", "--help"],
        &["ls", "show", "test", "lint", "compare"],
    ),
    (
        &["sessions", "--help"],
        &["list", "show", "create", "delete", "export"],
    ),
    (
        &["sessions", "list", "--help"],
        &["--user", "--tenant", "--json"],
    ),
    (
        &["prompts", "--help"],
        &["ls", "show", "render", "test", "lint"],
    ),
    (
        &["prompts", "render", "--help"],
        &[
            "--parameters",
            "--set",
            "--text",
            "--budget",
            "--variant-key",
            "--frameworks",
            "Examples:",
            "Exit codes:",
        ],
    ),
    (
        &["prompts", "test", "--help"],
        &["builtin", "--frameworks", "Exit codes:"],
    ),
    (
        &["tasks", "--help"],
        &["ls", "show", "submit", "cancel", "retry", "watch", "stats"],
    ),
    (
        &["tasks", "ls", "--help"],
        &[
            "--state",
            "--kind",
            "--tag",
            "--limit",
            "--all",
            "--tenant",
            "--json",
            "Examples:",
        ],
    ),
    (
        &["tasks", "submit", "--help"],
        &[
            "--input",
            "@FILE",
            "--priority",
            "--max-retries",
            "--backoff-ms",
            "--timeout-ms",
            "--depends-on",
            "--run-at",
            "--idempotency-key",
            "--tag",
            "--result-ttl-s",
            "--webhook",
            "--id",
            "--wait",
            "--batch",
            "Examples:",
            "Exit codes:",
        ],
    ),
    (&["tasks", "watch", "--help"], &["--json", "Exit codes:"]),
    (
        &["worker", "--help"],
        &[
            "--concurrency",
            "--prefetch",
            "--kinds",
            "--json",
            "SIGTERM",
            "Examples:",
        ],
    ),
    (&["toon", "--help"], &["encode", "decode", "stats"]),
    (
        &["toon", "encode", "--help"],
        &[
            "--dialect",
            "--delimiter",
            "--indent",
            "--abbreviate",
            "--json",
            "Examples:",
            "Exit codes:",
        ],
    ),
    (
        &["toon", "decode", "--help"],
        &[
            "--strict",
            "--no-strict",
            "--abbreviate",
            "Examples:",
            "Exit codes:",
        ],
    ),
    (
        &["toon", "stats", "--help"],
        &["o200k_base", "four characters", "--json", "Exit codes:"],
    ),
    (&["doctor", "--help"], &["--live"]),
    (
        &["cache", "invalidate", "--help"],
        &[
            "--key",
            "--tag",
            "--domain",
            "--namespace",
            "--prefix",
            "--tenant",
            "--server",
        ],
    ),
    (
        &["cache", "warm", "--help"],
        &["--json", "--auth", "answer?", "Exit codes:"],
    ),
    (&["completions", "--help"], &["bash", "zsh", "fish"]),
];

#[tokio::test]
async fn every_command_explains_itself() {
    for (args, mentions) in MENTIONS {
        let text = help(args).await;
        for word in *mentions {
            assert!(
                text.contains(word),
                "{args:?} does not mention {word}:\n{text}"
            );
        }
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_usage_error() {
    for args in [
        &["brew"][..],
        &[],
        &["serve", "--bind", "nowhere"],
        &["config", "check", "--set", "x"],
    ] {
        check(&run(&Folder::new(), args).await, 2);
    }
}

#[tokio::test]
async fn init_writes_a_file_that_check_accepts_and_never_overwrites_one() {
    let folder = Folder::new();
    check(&run(&folder, &["config", "init"]).await, 0);
    let written = std::fs::read_to_string(folder.path().join("tidegate.toml")).unwrap();
    check(&run(&folder, &["config", "check"]).await, 0);
    check(&run(&folder, &["config", "init"]).await, 2);
    let printed = out(&run(&folder, &["config", "init", "--stdout"]).await);
    assert_eq!(printed.trim_end(), written.trim_end());
}

#[tokio::test]
async fn a_configuration_with_three_mistakes_lists_three_with_line_and_column() {
    let folder = Folder::with_config(
        "[server]\nbind = \"nowhere\"\ndedline_ms = 5\n\n[resilience]\nretry_budget = 2.0\n",
    );
    for command in [
        &["config", "check"][..],
        &["serve"],
        &["models", "ls"],
        &["doctor"],
    ] {
        let output = run(&folder, command).await;
        check(&output, 2);
        let said = err(&output);
        for place in [
            "tidegate.toml:2:8: server.bind",
            "tidegate.toml:3:1: server.dedline_ms",
            "tidegate.toml:6:16: resilience.retry_budget",
        ] {
            assert!(
                said.contains(place),
                "{command:?} does not say {place}:\n{said}"
            );
        }
        assert!(
            said.contains("did you mean") && said.contains("deadline_ms"),
            "{said}"
        );
        assert!(said.contains("3 problems"), "{said}");
    }
}

#[tokio::test]
async fn show_says_where_each_value_comes_from_and_hides_secrets() {
    let folder = Folder::with_config(
        "[server]\ndeadline_ms = 5000\n[[providers]]\nname = \"up\"\nkind = \"openai\"\n\
         base_url = \"http://127.0.0.1:1/v1\"\napi_key = \"file:key\"\nheaders = { x-team = \"very-private\" }\n",
    );
    std::fs::write(folder.path().join("key"), "sk-very-secret").unwrap();
    let flag = ["config", "show", "--set", "server.drain_ms=1"];
    let shown = out(&run(&folder, &[&flag[..], &["--origin"]].concat()).await);
    for line in [
        "server.deadline_ms = 5000  # tidegate.toml:2",
        "server.drain_ms = 1  # flag",
        "server.max_body_bytes = 10485760  # default",
    ] {
        assert!(shown.contains(line), "no {line}:\n{shown}");
    }
    let json: Value =
        serde_json::from_str(&out(&run(&folder, &["config", "show", "--json"]).await)).unwrap();
    let row = &json
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["path"] == "server.deadline_ms");
    assert_eq!(row.unwrap()["origin"], "tidegate.toml:2");
    assert!(!(shown + &json.to_string()).contains("very-"), "{json:#}");
}

#[tokio::test]
async fn the_schema_knows_every_setting() {
    let schema: Value = serde_json::from_str(&help(&["config", "schema"]).await).unwrap();
    let text = schema.to_string();
    let reference = help(&["config", "reference"]).await;
    let keys = [
        tidegate::config::KEYS,
        tidegate::config::MODEL_KEYS,
        tidegate::config::PROVIDER_KEYS,
        tidegate::config::CLIENT_KEYS,
    ];
    for key in keys.into_iter().flatten() {
        assert!(
            text.contains(&format!("\"{}\"", key.name())),
            "{}",
            key.path
        );
        assert!(reference.contains(key.name()), "{}", key.path);
    }
}

const TWO_MODELS: &str = "[[providers]]\nname = \"up\"\nkind = \"mock\"\n\
     [[models]]\nname = \"a\"\nchain = [\"up/x\", \"up/y\"]\nmax_concurrent = \"unlimited\"\n\
     [[models]]\nname = \"b\"\nchain = [\"up/z\"]\n";

#[tokio::test]
async fn models_are_listed_with_their_chains_and_limits() {
    let folder = Folder::with_config(TWO_MODELS);
    let listed = run(&folder, &["models", "ls"]).await;
    check(&listed, 0);
    insta::assert_snapshot!(out(&listed), @"
    a
      1. up/x  requests/min 30, tokens/min 120000, at once unlimited
      2. up/y  requests/min 30, tokens/min 120000, at once unlimited
    b
      1. up/z  requests/min 30, tokens/min 120000, at once 5
    ");
    let lines = out(&run(&folder, &["models", "ls", "--json"]).await);
    let rows: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (rows.len(), &rows[0]["chain"][1]["entry"]),
        (2, &Value::from("up/y"))
    );
}

#[tokio::test]
async fn doctor_knows_whether_a_gateway_is_alive() {
    let program = Program::serve("server.bind = \"127.0.0.1:0\"", &[])
        .await
        .unwrap();
    let bind = format!("server.bind={}", program.addr);
    let folder = Folder::new();
    let live = ["doctor", "--live", "--set", &bind];
    check(&run(&folder, &live).await, 0);
    let diagnosis = run(&folder, &["doctor", "--set", &bind]).await;
    check(&diagnosis, 0);
    assert!(
        out(&diagnosis).contains("a gateway answers at http://127.0.0.1"),
        "{}",
        out(&diagnosis)
    );
    let guard = out(&diagnosis);
    let guard = guard.lines().find(|line| line.contains("guard: "));
    let guard = guard.expect("doctor tells about the guard");
    for word in [
        "ok   guard: on, policy default, ",
        " rules, classifier tidegate-words 1, version ",
    ] {
        assert!(guard.contains(word), "{guard}");
    }
    let prompts = "ok   prompts: 7, frameworks: 1, version ";
    assert!(out(&diagnosis).contains(prompts), "{}", out(&diagnosis));
    let off = ["doctor", "--set", &bind, "--set", "guard.enabled=false"];
    let off = out(&run(&folder, &off).await);
    assert!(off.contains("warn guard: off, "), "{off}");
    program.terminate().await;
    program.ended().await;
    let output = run(&folder, &live).await;
    check(&output, 3);
    assert!(
        err(&output).contains("no gateway answers"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn doctor_says_which_provider_cannot_be_reached() {
    let mut tasks = JoinSet::new();
    let upstream = start_mock(Script::default(), &mut tasks).await;
    let folder = Folder::with_config(&format!(
        "[[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\
         [[providers]]\nname = \"gone\"\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1/v1\"\n\
         [[models]]\nname = \"m\"\nchain = [\"up/x\", \"gone/x\"]\n"
    ));
    let output = run(&folder, &["doctor"]).await;
    check(&output, 3);
    assert!(
        out(&output).contains("ok   provider up can be reached"),
        "{}",
        out(&output)
    );
    assert!(
        out(&output).contains("fail provider gone cannot be reached"),
        "{}",
        out(&output)
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_configuration_error() {
    let program = Program::serve("server.bind = \"127.0.0.1:0\"", &[])
        .await
        .unwrap();
    let bind = program.addr.to_string();
    let output = run(&Folder::new(), &["serve", "--bind", &bind]).await;
    check(&output, 2);
    assert!(
        err(&output).contains("cannot be listened on"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn completions_are_written_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(
            help(&["completions", shell]).await.contains("tidegate"),
            "{shell}"
        );
    }
}
