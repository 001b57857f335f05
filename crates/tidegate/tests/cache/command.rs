//! `tidegate cache`, and the file that a gateway is warmed from.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::answer;
use crate::gateway::{
    Folder, PATIENCE, Program, Scene, Stage, ask, cached, chat, complete, get, run, run_with,
};

const CONFIG: &str = "[server]\nbind = \"127.0.0.1:0\"\n[cache]\nanswers = true\n\
    [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://UPSTREAM/v1\"\n\
    [[models]]\nname = \"m\"\nchain = [\"up/a\"]\n";

async fn gateway(stage: &Stage, more: &str) -> Program {
    let config = CONFIG.replace("UPSTREAM", &stage.addr.to_string()) + more;
    Program::serve(&config, &[]).await.unwrap()
}

fn line(request: &Value, answer: Option<Value>) -> String {
    match answer {
        Some(answer) => json!({"request": request, "answer": answer}).to_string(),
        None => json!({"request": request}).to_string(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn server(program: &Program) -> String {
    format!("--server=http://{}", program.addr)
}

#[tokio::test]
async fn a_file_is_warmed_line_by_line_and_each_failure_has_its_line() {
    let stage = Stage::open(vec![Scene::answer()]).await;
    let program = gateway(&stage, "").await;
    let folder = Folder::new();
    let other = crate::with(chat("m"), "seed", 1);
    let lines = [
        line(&chat("m"), Some(answer())),
        "not json".to_owned(),
        String::new(),
        line(&chat("nobody"), None),
        line(&other, None),
        r#"{"request":{"model":"m"},"surprise":1}"#.to_owned(),
    ];
    std::fs::write(folder.path().join("warm.jsonl"), lines.join("\n")).unwrap();
    let at = server(&program);
    let done = run(&folder, &["cache", "warm", "warm.jsonl", "--json", &at]).await;
    let seen: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(4), "{seen}");
    assert_eq!((&seen["warmed"], &seen["failed"]), (&json!(2), &json!(3)));
    let failures = seen["failures"].as_array().unwrap().iter();
    let numbers: Vec<u64> = failures.map(|one| one["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 4, 6]);
    assert_eq!(stage.seen().len(), 1);
    let reply = complete(program.addr, &cached(chat("m"), "use")).await;
    assert_eq!(reply.header("x-tidegate-cache"), Some("hit"));
    let again = run(&folder, &["cache", "warm", "warm.jsonl", &at]).await;
    let (out, err) = (text(&again.stdout), text(&again.stderr));
    assert_eq!(out, "0 warmed, 2 skipped, 3 failed\n");
    assert!(err.contains("line 2: the line is no JSON object"), "{err}");
    assert!(!err.contains('\r'), "{err:?}");
}

#[tokio::test]
async fn stats_and_invalidate_ask_the_gateway() {
    let stage = Stage::open(vec![Scene::answer(), Scene::answer()]).await;
    let program = gateway(&stage, "").await;
    let (folder, at) = (Folder::new(), server(&program));
    for _ in 0..2 {
        complete(program.addr, &chat("m")).await;
    }
    let stats = run(&folder, &["cache", "stats", "--json", &at]).await;
    let stats: Value = serde_json::from_slice(&stats.stdout).unwrap();
    assert_eq!((&stats["hits"], &stats["sets"]), (&json!(1), &json!(1)));
    let human = text(&run(&folder, &["cache", "stats", &at]).await.stdout);
    assert!(
        human.contains("hits  1\n") && human.contains("health.home  memory\n"),
        "{human}"
    );
    let tag = "--tag=model:m";
    let removed = run(&folder, &["cache", "invalidate", tag, "--json", &at]).await;
    assert_eq!(text(&removed.stdout), "{\"removed\":1}\n");
    let reply = complete(program.addr, &chat("m")).await;
    assert_eq!(reply.header("x-tidegate-cache"), Some("miss"));
}

#[tokio::test]
async fn a_gateway_that_is_not_there_and_one_that_refuses_are_told_apart() {
    let folder = Folder::with_config("[server]\nbind = \"127.0.0.1:1\"\n");
    let nobody = run(&folder, &["cache", "stats"]).await;
    let err = text(&nobody.stderr);
    assert_eq!(nobody.status.code(), Some(3), "{err}");
    assert!(
        err.contains("no gateway answers at http://127.0.0.1:1"),
        "{err}"
    );
    let stage = Stage::open(vec![]).await;
    let keys = "[[keys]]\ntenant = \"ops\"\nrole = \"admin\"\nkey = \"file:KEY\"\n";
    let secret = Folder::new();
    let file = secret.path().join("key");
    std::fs::write(&file, "key-of-ops-0123456789").unwrap();
    let program = gateway(&stage, &keys.replace("KEY", &file.display().to_string())).await;
    let at = server(&program);
    let refused = run(&folder, &["cache", "stats", &at]).await;
    let err = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{err}");
    assert!(err.contains("401"), "{err}");
    let let_in = ["cache", "stats", "--auth=env:OPS", &at];
    let seen = run_with(&folder, &let_in, &[("OPS", "key-of-ops-0123456789")]).await;
    assert_eq!(seen.status.code(), Some(0), "{}", text(&seen.stderr));
    let wrong = run_with(&folder, &let_in, &[("OPS", "kingfisher-0123456789")]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(!text(&wrong.stderr).contains("kingfisher"));
}

#[tokio::test]
async fn a_gateway_knows_the_answers_of_a_file_soon_after_its_start() {
    let folder = Folder::new();
    let file = folder.path().join("warm.jsonl");
    let lines = [line(&chat("m"), Some(answer())), "{}".to_owned()];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let stage = Stage::open(vec![]).await;
    let config = CONFIG.replace(
        "answers = true\n",
        &format!("answers = true\nwarm = \"{}\"\n", file.display()),
    );
    let config = config.replace("UPSTREAM", &stage.addr.to_string());
    let program = Program::serve(&config, &[]).await.unwrap();
    let said = async {
        while !program
            .said()
            .contains("1 answers warmed, 0 were there, 1 failed; line 2")
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let told = timeout(PATIENCE, said).await;
    assert!(told.is_ok(), "{}", program.said());
    let reply = complete(program.addr, &chat("m")).await;
    assert_eq!(reply.header("x-tidegate-cache"), Some("hit"));
    assert_eq!(
        ask(program.addr, &get("/v1/cache/stats")).await.json()["sets"],
        1
    );
}
