//! What other tools read.

use serde_json::{Value, json};

use crate::command::{folder, out};
use crate::gateway::{Folder, run};
use crate::{ADDRESS, ATTACK, ATTACK_RULE, CARD};

/// A name with everything that some format gives a meaning to.
const HOSTILE: &str = "a&<\"'>]]>%,:#? é\n::error x";

fn files() -> Folder {
    let both = format!("{ATTACK}\nand {ADDRESS}");
    folder(&[
        ("d/bad.txt", both.as_bytes()),
        ("d/bin", b"\0"),
        ("d/card.txt", CARD.as_bytes()),
        ("d/good.txt", b"hello"),
        (&format!("e/{HOSTILE}"), ATTACK.as_bytes()),
    ])
}

async fn scan(format: &str) -> String {
    scan_under("default", format).await
}

async fn scan_under(policy: &str, format: &str) -> String {
    let what = ["scan", "d", "e", "absent", "--fail-on", "high"];
    let how = ["--policy", policy, "--format", format];
    let output = run(&files(), &[&what[..], &how].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{format}");
    out(&output)
}

#[tokio::test]
async fn many_files_are_one_document_or_a_line_each() {
    let document: Value = serde_json::from_str(&scan("json").await).unwrap();
    let lines = scan("ndjson").await;
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen = |rows: &[Value]| -> Vec<(Value, Value)> {
        let seen = rows
            .iter()
            .map(|row| (row["file"].clone(), row["verdict"].clone()));
        seen.collect()
    };
    let hostile = format!("e/{HOSTILE}");
    let expected = [
        (json!("d/bad.txt"), json!("block")),
        (json!("d/card.txt"), json!("flag")),
        (json!("d/good.txt"), json!("allow")),
        (json!(hostile), json!("block")),
        (json!("absent"), Value::Null),
    ];
    assert_eq!(seen(document["results"].as_array().unwrap()), expected);
    assert_eq!(seen(&lines), expected);
    assert_eq!(lines[4]["error"]["code"], "unreadable");
}

#[tokio::test]
async fn sarif_has_what_the_standard_requires() {
    let log: Value = serde_json::from_str(&scan("sarif").await).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(
        (&run["tool"]["driver"]["name"], &run["columnKind"]),
        (&json!("tidegate"), &json!("unicodeCodePoints"))
    );
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        let level = result["level"].as_str().unwrap();
        assert!(["note", "warning", "error"].contains(&level), "{level}");
        assert!(result["message"]["text"].is_string());
        let region = &result["locations"][0]["physicalLocation"]["region"];
        assert!(region["startLine"].as_u64() >= Some(1), "{region}");
        assert!(region["endColumn"].as_u64() > Some(1), "{region}");
    }
    let uris: Vec<_> = results
        .iter()
        .map(|result| &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"])
        .collect();
    let hostile = "e/a%26%3C%22%27%3E%5D%5D%3E%25%2C%3A%23%3F%20%C3%A9%0A%3A%3Aerror%20x";
    assert_eq!(uris, ["d/bad.txt", "d/bad.txt", "d/card.txt", hostile]);
    let second = &results[1]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(second["startLine"], 2);
    assert_eq!(
        (
            &results[0]["level"],
            &results[1]["level"],
            &results[2]["level"]
        ),
        (&json!("error"), &json!("note"), &json!("warning"))
    );
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(
        invocation["toolExecutionNotifications"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn sarif_lists_what_is_suppressed_as_suppressed() {
    let folder = Folder::new();
    let args = [
        "scan",
        "--text",
        ATTACK,
        "--suppress",
        ATTACK_RULE,
        "--format",
        "sarif",
    ];
    let log: Value = serde_json::from_str(&out(&run(&folder, &args).await)).unwrap();
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], ATTACK_RULE);
    assert_eq!(result["suppressions"], json!([{"kind": "external"}]));
}

#[tokio::test]
async fn workflow_commands_are_one_line_each_whatever_a_file_is_called() {
    // Under this policy what is low counts.
    let text = scan_under("monitor", "github").await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(
        lines[0].starts_with("::error file=d/bad.txt,line=1,endLine=1,col=1,"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("::notice file=d/bad.txt,line=2,"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("::warning file=d/card.txt,line=1,"),
        "{text}"
    );
    let hostile = "::error file=e/a&<\"'>]]>%25%2C%3A#? é%0A%3A%3Aerror x,line=1,";
    assert!(lines[3].starts_with(hostile), "{text}");
    let unread = "::error file=absent,title=unreadable::cannot be read: ";
    assert!(lines[4].starts_with(unread), "{text}");
}

#[tokio::test]
async fn junit_has_a_case_for_each_file_and_fails_what_is_bad_enough() {
    let xml = scan_under("monitor", "junit").await;
    let counts = r#"tests="6" failures="2" errors="1""#;
    assert_eq!(xml.matches(counts).count(), 2, "{xml}");
    assert_eq!(xml.matches("<testcase ").count(), 6);
    assert_eq!(xml.matches("</testcase>").count(), 6);
    assert_eq!(xml.matches("<failure type=\"critical\"").count(), 2);
    assert_eq!(xml.matches("<error type=\"unreadable\"").count(), 1);
    assert_eq!(xml.matches("<skipped message=").count(), 1);
    // The address and the card are told, and fail nothing.
    assert_eq!(xml.matches("<system-out>").count(), 2);
    let hostile = "name=\"e/a&amp;&lt;&quot;&apos;&gt;]]&gt;%,:#? é&#10;::error x\"";
    assert!(xml.contains(hostile), "{xml}");
}
