//! `tidegate scan --config`: the command asks what the gateway of a configuration
//! asks, and says what it says.

use serde_json::{Value, json};
use tidegate_model::onnx::testing::SmallModel;

use super::command::{err, out};
use crate::gateway::{Folder, Program, ask, post, run};
use crate::{ADDRESS, ATTACK, CARD, RIDDLE};

/// What only the model of these tests knows as an attack.
const WOMBAT: &str = "The wombat sleeps under the harbor wall.";

const TEXTS: [&str; 6] = ["The harbor is calm.", WOMBAT, ATTACK, RIDDLE, ADDRESS, CARD];

/// A rule of a team.
const PACK: &str = r#"
[pack]
id = "harbor"
version = "1.0.0"
name = "Rules of the harbor"

[[rules]]
id = "harbor.calm"
family = "harbor"
severity = "high"
confidence = 0.9
message = "says that the harbor is calm"
remediation = "look again"
patterns = ['\bharbor\s+is\s+calm\b']
examples.must = ["The harbor is calm."]
examples.must_not = ["The harbor is not."]
"#;

/// A policy that lets calm harbors pass and blocks what a model finds.
const POLICY: &str = r#"
[policy]
id = "harbor"
base = "monitor"

[[rules]]
layers = ["L2"]
priority = 10
action = "block"
"#;

/// A folder with a model of one's own, a pack and a policy, and the configuration
/// that names them.
fn configured(model: &SmallModel, guard: &str) -> (Folder, String) {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("model")).unwrap();
    model.write(&at("model")).unwrap();
    std::fs::create_dir(at("packs")).unwrap();
    std::fs::write(at("packs/harbor.toml"), PACK).unwrap();
    std::fs::write(at("harbor.toml"), POLICY).unwrap();
    let shown = |name: &str| format!("{:?}", at(name).display().to_string());
    let config = format!(
        "[server]\nbind = \"127.0.0.1:0\"\n[guard]\nmodel = {}\ncustom_packs = {}\n\
         policies = [{}]\n{guard}\n[[providers]]\nname = \"m\"\nkind = \"mock\"\n\
         [[models]]\nname = \"m\"\nchain = [\"m/m\"]\n",
        shown("model"),
        shown("packs"),
        shown("harbor.toml"),
    );
    std::fs::write(at("own.toml"), &config).unwrap();
    (folder, config)
}

fn wombats() -> SmallModel {
    SmallModel::new().word("wombat", [0.0, 6.0])
}

/// A verdict without what no two scans share.
fn comparable(mut verdict: Value) -> Value {
    let fields = verdict.as_object_mut().unwrap();
    for field in ["id", "duration_ms", "timings_ms"] {
        assert!(fields.remove(field).is_some(), "{field}");
    }
    verdict
}

/// What the command says of each text, with this after `tidegate scan`.
async fn said(folder: &Folder, args: &[&str]) -> Vec<Value> {
    std::fs::create_dir_all(folder.path().join("texts")).unwrap();
    for (number, text) in TEXTS.iter().enumerate() {
        std::fs::write(folder.path().join(format!("texts/{number}")), text).unwrap();
    }
    let own = ["scan", "texts", "--config", "own.toml", "--json"];
    let said = run(folder, &[&own[..], args].concat()).await;
    let lines = out(&said);
    assert_eq!(lines.lines().count(), TEXTS.len(), "{}", err(&said));
    let verdict = |line: &str| {
        let mut verdict: Value = serde_json::from_str(line).unwrap();
        verdict.as_object_mut().unwrap().remove("file");
        comparable(verdict)
    };
    lines.lines().map(verdict).collect()
}

/// What `/v1/scan` says of them, with this in the body.
async fn told(gateway: &Program, args: &[&str]) -> Vec<Value> {
    // What the model said before is not asked again, and said to be from the cache.
    let mut body = json!({"texts": TEXTS, "cache": "skip"});
    for pair in args.chunks(2) {
        body[pair[0].trim_start_matches("--")] = pair[1].into();
    }
    let mut told = ask(gateway.addr, &post("/v1/scan", &body)).await.json();
    let results = told["results"].as_array_mut().unwrap();
    results.drain(..).map(comparable).collect()
}

#[tokio::test]
async fn the_command_says_what_the_gateway_of_its_configuration_says() {
    let guard = "l2_from_score = 0.0\nl2_timeout_ms = 60000\n";
    let wishes: [(&str, &[&[&str]]); 3] = [
        (
            "policy = \"harbor\"",
            &[&[], &["--mode", "thorough"], &["--policy", "strict"]],
        ),
        ("mode = \"thorough\"", &[&["--policy", "harbor"]]),
        ("mode = \"fast\"", &[&[]]),
    ];
    for (setting, wishes) in wishes {
        let (folder, config) = configured(&wombats(), &format!("{guard}{setting}"));
        let gateway = Program::serve(&config, &[]).await.unwrap();
        for args in wishes {
            let (said, told) = (said(&folder, args).await, told(&gateway, args).await);
            assert_eq!(said, told, "{setting} {args:?}");
        }
    }
}

#[tokio::test]
async fn a_model_of_ones_own_decides_the_exit_code() {
    let guard = "policy = \"harbor\"\nl2_from_score = 0.0\nl2_timeout_ms = 60000\n";
    let (folder, _) = configured(&wombats(), guard);
    let found = run(&folder, &["scan", "--config", "own.toml", "--text", WOMBAT]).await;
    assert_eq!(found.status.code(), Some(1), "{}", err(&found));
    assert!(out(&found).contains("classifier.attack"), "{}", out(&found));
    assert!(err(&found).contains("1 blocked"), "{}", err(&found));
    let without = run(&folder, &["scan", "--text", WOMBAT]).await;
    assert_eq!(without.status.code(), Some(0), "{}", out(&without));
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_refused_and_nothing_is_scanned() {
    let (folder, _) = configured(&wombats().settings("sha256 = \"00\""), "");
    let refused = run(&folder, &["scan", "--config", "own.toml", "--text", ATTACK]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", out(&refused));
    assert!(err(&refused).contains("guard.model"), "{}", err(&refused));
    assert_eq!(out(&refused), "");
}

#[tokio::test]
async fn a_text_that_the_model_has_not_read_is_told_and_never_clean() {
    let guard = "l2_from_score = 0.0\nl2_timeout_ms = 1\n";
    let slow = wombats().layers(64);
    let (folder, _) = configured(&slow, guard);
    let own = ["scan", "--config", "own.toml", "--json", "--text"];
    let late = run(&folder, &[&own[..], &["hello"]].concat()).await;
    assert_eq!(late.status.code(), Some(4), "{}", err(&late));
    let said: Value = serde_json::from_str(&out(&late)).unwrap();
    assert_eq!(said["degraded"], json!(["classifier_timeout"]));
    assert_eq!(said["verdict"], "flag", "as on_error of the policy says");
    for words in [
        "<text> was not read by the model of --config (classifier_timeout)",
        "not read by the model: 1",
    ] {
        assert!(err(&late).contains(words), "{}", err(&late));
    }
    // A finding is certain, and comes first.
    let found = run(&folder, &[&own[..], &[CARD]].concat()).await;
    assert_eq!(found.status.code(), Some(1), "{}", err(&found));
}

#[tokio::test]
async fn only_a_configuration_that_is_named_is_read() {
    let folder = Folder::with_config("[guard]\nmodel = \"./absent\"\n");
    let scanned = run(&folder, &["scan", "--text", "hello"]).await;
    assert_eq!(scanned.status.code(), Some(0), "{}", err(&scanned));
    let args = ["scan", "--config", "tidegate.toml", "--text", "hello"];
    let refused = run(&folder, &args).await;
    assert_eq!(refused.status.code(), Some(2), "{}", out(&refused));
}
