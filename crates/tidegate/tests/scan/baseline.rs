//! Known findings: only others decide.

use std::process::Output;

use serde_json::{Value, json};

use crate::command::{err, folder, out};
use crate::gateway::{CANARY, Folder, run};
use crate::{ADDRESS, ATTACK, ATTACK_RULE, CARD};

const OTHER_CARD: &str = "5555 5555 5555 4444";

async fn scan(folder: &Folder, args: &[&str]) -> Output {
    run(folder, &[&["scan"], args].concat()).await
}

#[track_caller]
fn check(output: &Output, code: i32) {
    let said = format!("{}{}", out(output), err(output));
    assert_eq!(output.status.code(), Some(code), "{said}");
}

fn write(folder: &Folder, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

fn read(folder: &Folder, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).unwrap()
}

/// A folder in which `d/a.txt` has two findings, and both are known.
async fn known() -> Folder {
    let text = format!("one\n{ATTACK}\ncard {CARD}\n");
    let folder = folder(&[("d/a.txt", text.as_bytes())]);
    let written = scan(&folder, &["d", "--write-baseline", "known"]).await;
    check(&written, 0);
    assert_eq!(out(&written).lines().count(), 2, "{}", out(&written));
    let told = "known: 2 known findings were written\n";
    assert!(err(&written).ends_with(told), "{}", err(&written));
    folder
}

const AGAIN: [&str; 3] = ["d", "--baseline", "known"];

#[tokio::test]
async fn known_findings_are_neither_told_nor_counted() {
    let folder = known().await;
    let again = scan(&folder, &AGAIN).await;
    check(&again, 0);
    let summary = "scanned 1: 1 allowed, 0 flagged, 0 blocked; findings: 0; known: 2\n";
    assert_eq!(
        (out(&again), err(&again)),
        (String::new(), summary.to_owned())
    );
    let without = scan(&folder, &["d"]).await;
    check(&without, 1);
}

#[tokio::test]
async fn a_new_finding_beside_known_ones_is_told_at_its_place_and_fails() {
    let folder = known().await;
    let text = read(&folder, "d/a.txt");
    for (new, place) in [
        (
            format!("{text}card {OTHER_CARD}\n"),
            "d/a.txt:4:6: medium pii.payment_card: ",
        ),
        (
            format!("card {OTHER_CARD}\n{text}"),
            "d/a.txt:1:6: medium pii.payment_card: ",
        ),
        // A line that stands there once more than it is known.
        (
            format!("{text}{ATTACK}"),
            "d/a.txt:4:1: critical instruction_override.previous: ",
        ),
    ] {
        write(&folder, "d/a.txt", &new);
        let output = scan(&folder, &AGAIN).await;
        check(&output, 1);
        let told = out(&output);
        assert!(
            told.starts_with(place) && told.lines().count() == 1,
            "{told}"
        );
        assert!(!told.contains("matches"), "{told}");
    }
    write(&folder, "d/a.txt", &text);
    write(&folder, "d/b.txt", &text);
    let elsewhere = scan(&folder, &AGAIN).await;
    check(&elsewhere, 1);
    assert_eq!(out(&elsewhere).matches("d/b.txt").count(), 2);
}

#[tokio::test]
async fn lines_may_move_and_be_indented_and_may_not_change() {
    let folder = known().await;
    let moved = format!("new\n\n  card   {CARD}\t\r\nmore é\n\t{ATTACK}\n");
    write(&folder, "d/a.txt", &moved);
    check(&scan(&folder, &AGAIN).await, 0);
    check(&scan(&folder, &["./d/", "--baseline", "./known"]).await, 0);
    write(&folder, "d/a.txt", &moved.replace("poem", "song"));
    let changed = scan(&folder, &AGAIN).await;
    check(&changed, 1);
    assert!(
        out(&changed).starts_with("d/a.txt:5:2: critical "),
        "{}",
        out(&changed)
    );
}

#[tokio::test]
async fn what_is_fixed_is_told_as_stale_and_gone_when_it_is_written_again() {
    let folder = known().await;
    write(&folder, "d/a.txt", &format!("card {CARD}\n"));
    let stale = scan(&folder, &AGAIN).await;
    check(&stale, 0);
    let said = err(&stale);
    assert!(
        said.contains("warning: known: 1 known findings are no longer there"),
        "{said}"
    );
    assert!(
        said.contains(&format!("\n  {ATTACK_RULE} in d/a.txt\n")),
        "{said}"
    );
    // Who scans other files learns nothing about this one, and keeps it.
    write(&folder, "else.txt", &format!("card {OTHER_CARD}"));
    let args = [
        "else.txt",
        "--baseline",
        "known",
        "--write-baseline",
        "known",
    ];
    let other = scan(&folder, &args).await;
    check(&other, 0);
    assert!(!err(&other).contains("no longer"), "{}", err(&other));
    assert_eq!(read(&folder, "known").lines().count(), 4);
    check(
        &scan(&folder, &["d", "else.txt", "--write-baseline", "known"]).await,
        0,
    );
    assert_eq!(read(&folder, "known").lines().count(), 3);
    check(&scan(&folder, &AGAIN).await, 0);
    std::fs::remove_file(folder.path().join("d/a.txt")).unwrap();
    let gone = scan(&folder, &AGAIN).await;
    assert!(
        err(&gone).contains("pii.payment_card in d/a.txt"),
        "{}",
        err(&gone)
    );
}

#[tokio::test]
async fn the_file_of_known_findings_holds_no_text_and_is_not_scanned() {
    let text = format!("{CANARY} {ATTACK}\n{CANARY}@example.org {CARD}\n");
    let folder = folder(&[("a.txt", text.as_bytes())]);
    check(&scan(&folder, &[".", "--write-baseline", "known"]).await, 0);
    let first = read(&folder, "known");
    assert!(first.contains(ATTACK_RULE), "{first}");
    for secret in [CANARY, "Ignore", "4111", "example.org"] {
        assert!(!first.contains(secret), "{first}");
    }
    let again = scan(&folder, &[".", "--write-baseline", "known"]).await;
    check(&again, 0);
    assert!(
        err(&again).contains("skipped: known is the baseline\n"),
        "{}",
        err(&again)
    );
    assert_eq!(read(&folder, "known"), first);
}

#[tokio::test]
async fn a_broken_file_is_refused_with_its_line_and_what_to_do() {
    let folder = known().await;
    let good = read(&folder, "known");
    let absent = scan(&folder, &["d", "--baseline", "absent"]).await;
    check(&absent, 2);
    let told = "error: --baseline absent cannot be read: ";
    assert!(err(&absent).starts_with(told), "{}", err(&absent));
    assert!(
        err(&absent).contains("--write-baseline absent writes"),
        "{}",
        err(&absent)
    );
    write(&folder, "known", &format!("{good}KEY={CANARY}\n"));
    let broken = scan(&folder, &AGAIN).await;
    check(&broken, 2);
    let said = err(&broken);
    assert!(said.starts_with("error: known:4: no finding"), "{said}");
    assert!(
        said.contains("--write-baseline known") && !said.contains(CANARY),
        "{said}"
    );
    assert_eq!(out(&broken), "");
}

#[tokio::test]
async fn nothing_is_written_where_nothing_could_be_read() {
    let folder = known().await;
    let good = read(&folder, "known");
    check(
        &scan(&folder, &["absent", "--write-baseline", "known"]).await,
        2,
    );
    assert_eq!(read(&folder, "known"), good);
    let some = scan(&folder, &["d", "absent", "--write-baseline", "known"]).await;
    check(&some, 4);
    let nowhere = scan(&folder, &["d", "--write-baseline", "no/folder"]).await;
    check(&nowhere, 2);
    let told = "error: --write-baseline no/folder cannot be written: ";
    assert!(err(&nowhere).contains(told), "{}", err(&nowhere));
}

#[tokio::test]
async fn reports_say_what_is_new_and_count_nothing_else() {
    let folder = known().await;
    let text = read(&folder, "d/a.txt");
    write(&folder, "d/a.txt", &format!("{text}{ADDRESS}\n"));
    let report = async |format: &str| {
        let fail = [
            "--fail-on",
            "low",
            "--policy",
            "monitor",
            "--format",
            format,
        ];
        let output = scan(&folder, &[&AGAIN[..], &fail].concat()).await;
        check(&output, 1);
        out(&output)
    };
    let sarif: Value = serde_json::from_str(&report("sarif").await).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let states = results
        .iter()
        .map(|one| (&one["baselineState"], &one["ruleId"]));
    let states: Vec<_> = states.collect();
    assert_eq!(
        states,
        [
            (&json!("new"), &json!("pii.email")),
            (&json!("unchanged"), &json!(ATTACK_RULE)),
            (&json!("unchanged"), &json!("pii.payment_card")),
        ]
    );
    let place = &results[1]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(place["startLine"], 2);
    let json: Value = serde_json::from_str(&report("json").await).unwrap();
    assert_eq!(
        (&json["verdict"], &json["known"]),
        (&json!("flag"), &json!(2))
    );
    assert_eq!(json["severity"], "low");
    assert_eq!(json["detections"].as_array().unwrap().len(), 1);
    for format in ["text", "github", "junit"] {
        let told = report(format).await;
        assert!(
            told.contains("pii.email") || told.contains("failures=\"1\""),
            "{told}"
        );
        assert!(
            !told.contains(ATTACK_RULE) && !told.contains("payment_card"),
            "{told}"
        );
    }
}
