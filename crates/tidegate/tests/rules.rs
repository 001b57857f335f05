//! Rules are data: packs from folders are tried, compared, laid over those of the
//! build, and refused as a whole when something in them is wrong.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::path::Path;
use std::process::Output;

use gateway::{Folder, Program, ask, post, request, run};
use serde_json::{Value, json};

const PACK: &str = r#"[pack]
id = "harbour"
version = "1.0.0"
name = "Rules of the harbour"
disable = ["secrets.jwt"]

[[rules]]
id = "harbour.papers"
family = "harbour"
severity = "critical"
confidence = 1.0
message = "asks to burn the papers"
remediation = "keep the papers"
patterns = ['\bburn\s+(?:all\s+)?the\s+papers\s+of\s+the\s+harbour\b']
references = ["OWASP LLM01:2025"]
examples.must = ["Burn all the papers of the harbour"]
examples.must_not = ["Burn the candles."]
"#;

const ATTACK: &str = "Now burn all the papers of the harbour.";

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a folder `packs` in it.
fn folder(pack: &str) -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("packs")).unwrap();
    write(folder.path(), pack);
    folder
}

fn write(folder: &Path, pack: &str) {
    std::fs::write(folder.join("packs/harbour.toml"), pack).unwrap();
}

fn texts(folder: &Folder, rows: &[(&str, u8)]) {
    let line =
        |(text, label): &(&str, u8)| json!({"text": text, "label": label}).to_string() + "\n";
    let lines: String = rows.iter().map(line).collect();
    std::fs::write(folder.path().join("texts.jsonl"), lines).unwrap();
}

#[track_caller]
fn check(output: &Output, code: i32) {
    let said = format!("{}{}", out(output), err(output));
    assert_eq!(output.status.code(), Some(code), "{said}");
}

#[tokio::test]
async fn a_listing_knows_layers_families_and_severities() {
    let folder = folder(PACK);
    let args = ["rules", "ls", "--custom-packs", "packs", "--json"];
    let listed = |more: &'static [&'static str]| {
        let args = [&args[..], more].concat();
        let folder = &folder;
        async move {
            let output = run(folder, &args).await;
            check(&output, 0);
            out(&output)
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<Value>>()
        }
    };
    let all = listed(&[]).await;
    assert!(all.len() > 300);
    assert!(!all.iter().any(|rule| rule["id"] == "secrets.jwt"));
    let custom = listed(&["--layer", "custom"]).await;
    assert_eq!(custom.len(), 1);
    assert_eq!(
        (&custom[0]["id"], &custom[0]["pack"]),
        (&json!("harbour.papers"), &json!("harbour"))
    );
    let keys = listed(&["--family", "pii", "--severity", "medium"]).await;
    assert!(keys.len() > 20 && keys.iter().all(|rule| rule["family"] == "pii"));
    assert!(keys.iter().all(|rule| rule["severity"] != "low"));
    let output = run(&folder, &["rules", "ls", "--family", "harbor"]).await;
    check(&output, 2);
    assert!(err(&output).contains("there are "), "{}", err(&output));
}

#[tokio::test]
async fn a_test_tells_hits_and_precision_of_each_rule_in_each_set() {
    let folder = folder(PACK);
    texts(
        &folder,
        &[
            (ATTACK, 1),
            (ATTACK, 1),
            (ATTACK, 0),
            ("The tide is out.", 0),
        ],
    );
    let args = [
        "rules",
        "test",
        "builtin+packs",
        "--texts",
        "texts.jsonl",
        "--json",
    ];
    let output = run(&folder, &args).await;
    check(&output, 0);
    let said: Value = serde_json::from_str(&out(&output)).unwrap();
    let set = &said["sets"][0];
    assert_eq!(set["set"], "texts.jsonl");
    assert_eq!(
        set["benign"],
        json!({"texts": 2, "flagged": 1, "blocked": 1, "strictly_blocked": 1})
    );
    assert_eq!(set["attacks"]["blocked"], 2);
    let rules = set["rules"].as_array().unwrap();
    let row = rules
        .iter()
        .find(|row| row["rule"] == "harbour.papers")
        .unwrap();
    assert_eq!((&row["benign"], &row["attacks"]), (&json!(1), &json!(2)));
    assert!((row["precision"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9);
    let table = out(&run(&folder, &args[..5]).await);
    assert!(
        table.contains("harbour.papers | texts.jsonl | 1 | 2 | 66.7 %"),
        "{table}"
    );
    assert!(!table.contains("burn"), "a text is repeated: {table}");
}

#[tokio::test]
async fn a_test_of_the_rules_of_this_build_tries_their_examples() {
    let output = run(&Folder::new(), &["rules", "test", "builtin"]).await;
    check(&output, 0);
    assert!(err(&output).contains(" examples hold"), "{}", err(&output));
}

#[tokio::test]
async fn an_example_that_fails_is_a_finding_and_a_text_without_a_label_a_usage_error() {
    let folder = folder(&PACK.replace("Burn the candles.", "burn the papers of the harbour"));
    let output = run(&folder, &["rules", "test", "builtin+packs"]).await;
    check(&output, 1);
    let said = err(&output);
    assert!(
        said.contains(
            "harbour.toml, line 8, column 6: rule harbour.papers: example must_not[0] matches"
        ),
        "{said}"
    );
    write(folder.path(), PACK);
    std::fs::write(folder.path().join("texts.jsonl"), "{\"text\": \"a\"}\n").unwrap();
    let args = ["rules", "test", "builtin+packs", "--texts", "texts.jsonl"];
    let output = run(&folder, &args).await;
    check(&output, 2);
    assert!(
        err(&output).contains("texts.jsonl:1: missing field `label`"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn a_lint_warns_of_what_is_slow_and_says_nothing_of_what_is_well() {
    let folder = folder(&PACK.replace("references = [\"OWASP LLM01:2025\"]\n", ""));
    let output = run(&folder, &["rules", "lint", "builtin+packs"]).await;
    check(&output, 1);
    assert_eq!(
        out(&output),
        "reference: harbour.papers: names no reference, such as OWASP LLM01:2025\n"
    );
    write(folder.path(), PACK);
    check(&run(&folder, &["rules", "lint", "builtin+packs"]).await, 0);
}

#[tokio::test]
async fn a_comparison_names_rules_and_places_of_texts_and_no_text() {
    let folder = folder(PACK);
    texts(&folder, &[("The tide is out.", 0), (ATTACK, 1)]);
    let args = [
        "rules",
        "compare",
        "builtin",
        "builtin+packs",
        "--texts",
        "texts.jsonl",
    ];
    let output = run(&folder, &args).await;
    check(&output, 1);
    assert_eq!(
        out(&output),
        "rule harbour.papers: new\nrule secrets.jwt: gone\n\
         texts.jsonl:2 (attack): allow -> block (harbour.papers)\n"
    );
    check(
        &run(&folder, &["rules", "compare", "packs", "builtin+packs"]).await,
        2,
    );
    check(
        &run(&folder, &["rules", "compare", "builtin", "builtin"]).await,
        0,
    );
}

fn config(folder: &Path) -> String {
    format!(
        "[server]\nbind = \"127.0.0.1:0\"\n[guard]\ncustom_packs = {}\n\
         [[providers]]\nname = \"up\"\nkind = \"mock\"\n",
        Value::from(folder.join("packs").to_str().unwrap())
    )
}

#[tokio::test]
async fn packs_hold_from_the_start_and_a_reload_takes_new_ones_whole_or_not_at_all() {
    let folder = folder(PACK);
    let program = Program::serve(&config(folder.path()), &[])
        .await
        .expect("it starts");
    let verdict = || async {
        let reply = ask(program.addr, &post("/v1/scan", &json!({"text": ATTACK}))).await;
        reply.json()["verdict"].as_str().unwrap().to_owned()
    };
    let reload = || async { ask(program.addr, &request("POST /admin/reload", "", b"")).await };
    assert_eq!(verdict().await, "block");
    write(folder.path(), &PACK.replace("'\\bburn", "'(burn"));
    let refused = reload().await;
    assert_ne!(refused.status, 200);
    assert!(
        refused
            .text()
            .contains("harbour.toml, line 8, column 6: rule harbour.papers: pattern 0"),
        "{}",
        refused.text()
    );
    assert_eq!(verdict().await, "block");
    write(folder.path(), &PACK.replace("critical", "medium"));
    assert_eq!(reload().await.status, 200);
    assert_eq!(verdict().await, "flag");
}

#[tokio::test]
async fn a_broken_pack_refuses_the_start_with_file_line_and_rule() {
    let folder = folder(&PACK.replace("confidence = 1.0", "confidence = 2.0"));
    let Err((_, said)) = Program::serve(&config(folder.path()), &[]).await else {
        panic!("it starts");
    };
    assert!(
        said.contains("harbour.toml, line 8, column 6: rule harbour.papers: confidence 2 is not"),
        "{said}"
    );
}

#[tokio::test]
async fn a_request_cannot_name_a_folder_of_packs() {
    let folder = folder(PACK);
    let config =
        "[server]\nbind = \"127.0.0.1:0\"\n[[providers]]\nname = \"up\"\nkind = \"mock\"\n";
    let program = Program::serve(config, &[]).await.expect("it starts");
    for key in ["packs", "custom_packs", "team_packs", "rules"] {
        let body = json!({"text": ATTACK, key: folder.path().join("packs")});
        let reply = ask(program.addr, &post("/v1/scan", &body)).await;
        let allowed = reply.status == 400 || reply.json()["verdict"] == "allow";
        assert!(allowed, "{key}: {}", reply.text());
    }
}
