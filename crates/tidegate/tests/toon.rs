//! Values go out in fewer tokens and come back whole, by the endpoints and by
//! the command.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::process::Output;

use gateway::{
    CANARY, Folder, House, Plan, Reply, check_refusal, post, request, run, run_with_input,
};
use serde_json::{Value, json};

async fn house() -> House {
    House::open(Plan::serving(&[("m", &["up/answer"])])).await
}

async fn encode(house: &House, body: &Value) -> Reply {
    house.ask(&post("/v1/toon/encode", body)).await
}

async fn decode(house: &House, body: &Value) -> Reply {
    house.ask(&post("/v1/toon/decode", body)).await
}

/// Twenty findings with the fields of the feedback contract.
fn findings() -> Value {
    let item = |at: usize| {
        json!({
            "id": format!("FB{at:03}"),
            "category": "Timeline",
            "description": "Timeline missing timestamps",
            "risk_level": "Medium",
            "confidence": 0.85,
        })
    };
    json!({"feedback": (1..=20).map(item).collect::<Vec<_>>()})
}

#[tokio::test]
async fn the_endpoints_give_back_in_every_dialect_what_they_were_given() {
    let house = house().await;
    for value in [
        findings(),
        json!(null),
        json!("T"),
        json!({"fb": 1, "feedback": {"a|b": ["~", "1", ""]}}),
        json!([[{"x": 1}, {"x": 2}], {"m": {"p": {"v": 1}, "q": {"v": 2}}}]),
    ] {
        for dialect in ["toon", "compact", "json", "auto"] {
            for delimiter in ["comma", "tab", "|"] {
                let options = json!({"delimiter": delimiter, "indent_size": 3});
                let body = json!({"value": value, "dialect": dialect, "options": options});
                let reply = encode(&house, &body).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                let written = reply.json();
                let (text, dialect) = (&written["text"], &written["dialect"]);
                let body = json!({"text": text, "dialect": dialect, "options": options});
                let reply = decode(&house, &body).await;
                assert_eq!(reply.json(), json!({"value": value}), "{written}");
            }
        }
    }
}

#[tokio::test]
async fn auto_takes_the_dialect_with_the_fewest_tokens_and_says_what_it_saves() {
    let house = house().await;
    let least = encode(&house, &json!({"value": findings(), "dialect": "auto"}))
        .await
        .json();
    assert_eq!(least["dialect"], "toon");
    let savings = &least["savings"];
    assert_eq!(savings["encoding"], "o200k_base");
    let number = |name: &str| savings[name].as_f64().unwrap();
    let saved = number("json_tokens") - number("toon_tokens");
    assert_eq!(number("savings_tokens"), saved);
    let percent = (1000.0 * saved / number("json_tokens")).round() / 10.0;
    assert_eq!(number("savings_percent"), percent);
    assert!(percent > 20.0, "{savings}");
    assert!(number("savings_percent_pretty") > percent, "{savings}");
    for dialect in ["toon", "compact", "json"] {
        let body = json!({"value": findings(), "dialect": dialect});
        let other = encode(&house, &body).await.json();
        let tokens = other["savings"]["toon_tokens"].as_f64().unwrap();
        assert!(number("toon_tokens") <= tokens, "{dialect}");
    }
    let body = json!({"value": "abcde", "encoding": "estimate"});
    assert_eq!(
        encode(&house, &body).await.json()["savings"]["toon_tokens"],
        2
    );
}

#[tokio::test]
async fn keys_are_shortened_by_the_standard_table_by_none_or_by_ones_own() {
    let house = house().await;
    let value = json!({"feedback": {"harbour": 1}});
    for (abbreviate, expected) in [
        (Value::Null, "{fb:{harbour:1}}"),
        (json!(true), "{fb:{harbour:1}}"),
        (json!(false), "{feedback:{harbour:1}}"),
        (json!({"harbour": "h"}), "{feedback:{h:1}}"),
    ] {
        let mut body = json!({"value": value, "dialect": "compact"});
        if !abbreviate.is_null() {
            body["abbreviate"] = abbreviate.clone();
        }
        assert_eq!(encode(&house, &body).await.json()["text"], expected);
        let mut body = json!({"text": expected, "dialect": "compact"});
        if !abbreviate.is_null() {
            body["abbreviate"] = abbreviate;
        }
        assert_eq!(decode(&house, &body).await.json()["value"], value);
    }
}

#[tokio::test]
async fn a_text_that_breaks_a_rule_is_refused_with_line_column_and_rule() {
    let house = house().await;
    let text = format!("boats[2]{{id,name}}:\n  1,{CANARY}\n  2");
    let reply = decode(&house, &json!({"text": text})).await;
    let message = check_refusal(&reply, 400, "invalid_toon", Some("text"));
    assert_eq!(
        message,
        "line 3, column 3: a row of 2 cells is expected, and this has 1 (row_width)"
    );
    let reply = decode(&house, &json!({"text": "a[5]: 1,2"})).await;
    let message = check_refusal(&reply, 400, "invalid_toon", Some("text"));
    assert!(message.ends_with("(fewer_than_declared)"), "{message}");
    let body = json!({"text": "a[5]: 1,2", "options": {"strict": false}});
    assert_eq!(
        decode(&house, &body).await.json()["value"],
        json!({"a": [1, 2]})
    );
    let body = json!({"text": format!("{{a:{CANARY}"), "dialect": "compact"});
    let reply = decode(&house, &body).await;
    let message = check_refusal(&reply, 400, "invalid_toon", Some("text"));
    assert!(message.starts_with("line 1, column "), "{message}");
    let body = json!({"text": "{\"a\":", "dialect": "json"});
    let reply = decode(&house, &body).await;
    let message = check_refusal(&reply, 400, "invalid_toon", Some("text"));
    assert_eq!(message, "line 1, column 5: this is no JSON");
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_by_its_name() {
    let house = house().await;
    for (body, param) in [
        (json!({"value": 1, "dialect": "yaml"}), Some("dialect")),
        (
            json!({"value": 1, "encoding": "p50k_base"}),
            Some("encoding"),
        ),
        (
            json!({"value": 1, "options": {"delimiter": ";"}}),
            Some("options.delimiter"),
        ),
        (
            json!({"value": 1, "options": {"indent_size": 0}}),
            Some("options.indent_size"),
        ),
        (
            json!({"value": 1, "abbreviate": {"a": "x", "b": "x"}}),
            Some("abbreviate"),
        ),
        (
            json!({"value": 1, "abbreviate": {"a": "{"}}),
            Some("abbreviate"),
        ),
        (json!({"dialect": "toon"}), None),
        (json!({"value": 1, "colour": "red"}), None),
    ] {
        let reply = encode(&house, &body).await;
        check_refusal(&reply, 400, "invalid_parameter", param);
    }
    let reply = decode(&house, &json!({"text": "a: 1", "dialect": "auto"})).await;
    check_refusal(&reply, 400, "invalid_parameter", Some("dialect"));
}

#[tokio::test]
async fn a_deep_or_repeating_text_is_refused_before_it_fills_the_memory() {
    let house = house().await;
    let stairs: String = (0..2_000)
        .map(|level| format!("{}a:\n", "  ".repeat(level)))
        .collect();
    let reply = decode(&house, &json!({"text": stairs})).await;
    let message = check_refusal(&reply, 400, "invalid_toon", Some("text"));
    assert!(message.starts_with("line 127, column 253: "), "{message}");
    let name = "n".repeat(100_000);
    let rows = "  1\n".repeat(100_000);
    let text = format!("[100000]{{{name}}}:\n{rows}");
    let reply = decode(&house, &json!({"text": text})).await;
    let message = check_refusal(&reply, 400, "invalid_toon", Some("text"));
    assert!(message.ends_with("(expansion)"), "{message}");
}

#[tokio::test]
async fn ten_thousand_levels_are_refused_in_every_form_over_http_and_in_the_command() {
    let (house, folder, levels) = (house().await, Folder::new(), 10_000);
    let stairs = |level: usize| format!("{}a:\n", " ".repeat(level));
    let nested = |open: &str, close: &str| open.repeat(levels) + "1" + &close.repeat(levels);
    let toon: String = (0..levels).map(stairs).collect();
    assert!(toon.len() > 50_000_000);
    let short = json!({"indent_size": 1});
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file("a.toon", &toon);
    let command = async |args: &[&str]| {
        let (_, said) = check(&run(&folder, &[&["toon"], args].concat()).await, 1);
        said
    };
    let body = json!({"text": toon, "options": short});
    check_refusal(&decode(&house, &body).await, 413, "request_too_large", None);
    // What a gateway of these settings takes.
    let toon: String = (0..levels / 3).map(stairs).collect();
    let reply = decode(&house, &json!({"text": toon, "options": short})).await;
    let message = check_refusal(&reply, 400, "invalid_toon", Some("text"));
    assert!(message.ends_with("(too_deep)"), "{message}");
    let said = command(&["decode", "a.toon", "--indent", "1"]).await;
    assert_eq!(said, format!("error: a.toon:{}\n", placed(&message)));
    let compact = nested("{a:", "}");
    file("a.compact", &compact);
    let body = json!({"text": compact, "dialect": "compact"});
    let message = check_refusal(
        &decode(&house, &body).await,
        400,
        "invalid_toon",
        Some("text"),
    );
    assert!(message.ends_with("(too_deep)"), "{message}");
    let said = command(&["decode", "a.compact", "--dialect", "compact"]).await;
    assert_eq!(said, format!("error: a.compact:{}\n", placed(&message)));
    let json = nested("[", "]");
    file("a.json", &json);
    let body = format!("{{\"value\":{json}}}");
    let call = request("POST /v1/toon/encode", "", body.as_bytes());
    let reply = house.ask(&call).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let said = command(&["encode", "a.json"]).await;
    assert!(said.starts_with("error: a.json:1:128: "), "{said}");
}

/// The words of the endpoint as the command has them.
fn placed(message: &str) -> String {
    let message = message.strip_prefix("line ").unwrap();
    message.replacen(", column ", ":", 1)
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32) -> (String, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{}{said}", out(output));
    (out(output), said)
}

#[tokio::test]
async fn the_command_writes_and_reads_files_and_standard_input() {
    let folder = Folder::new();
    let value = findings();
    std::fs::write(folder.path().join("a.json"), value.to_string()).unwrap();
    for dialect in ["toon", "compact"] {
        let args = ["toon", "encode", "a.json", "--dialect", dialect];
        let (text, _) = check(&run(&folder, &args).await, 0);
        let args = ["toon", "decode", "--dialect", dialect, "--json"];
        let (json, _) = check(&run_with_input(&folder, &args, text.as_bytes()).await, 0);
        assert_eq!(json, format!("{value}\n"));
    }
    let args = ["toon", "encode", "-", "--dialect", "auto", "--json"];
    let output = run_with_input(&folder, &args, value.to_string().as_bytes()).await;
    let line: Value = serde_json::from_str(&check(&output, 0).0).unwrap();
    assert_eq!(line["dialect"], "toon");
    let house = house().await;
    let body = json!({"value": value, "dialect": "auto"});
    assert_eq!(line, encode(&house, &body).await.json());
}

#[tokio::test]
async fn the_command_takes_delimiters_indents_tables_and_forgiveness() {
    let folder = Folder::new();
    let given = |args: &'static [&'static str], input: &'static str| {
        let folder = &folder;
        async move { run_with_input(folder, &[&["toon"], args].concat(), input.as_bytes()).await }
    };
    let input = r#"{"m":{"a":[{"x":1,"y":2}]}}"#;
    let args = &["encode", "--delimiter", "pipe", "--indent", "4"];
    let (text, _) = check(&given(args, input).await, 0);
    assert_eq!(text, "m:\n    a[1|]{x|y}:\n        1|2\n");
    let (json, _) = check(&given(&["decode", "--no-strict"], "a[5]: 1,2").await, 0);
    assert_eq!(json, "{\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
    check(
        &given(&["decode", "--no-strict", "--strict"], "a[5]: 1,2").await,
        1,
    );
    std::fs::write(folder.path().join("keys.json"), r#"{"boats":"b"}"#).unwrap();
    let args = &[
        "encode",
        "--dialect",
        "compact",
        "--abbreviate",
        "keys.json",
    ];
    let (text, _) = check(&given(args, r#"{"boats":1,"b":2}"#).await, 0);
    assert_eq!(text, "{b:1|\"b\":2}\n");
    let args = &["decode", "--dialect", "compact", "--abbreviate", "none"];
    let (json, _) = check(&given(args, "{fb:1}").await, 0);
    assert_eq!(json, "{\n  \"fb\": 1\n}\n");
}

#[tokio::test]
async fn the_exit_code_tells_wrong_input_from_wrong_usage() {
    let folder = Folder::new();
    let broken = format!("boats[2]{{id,name}}:\n  1,{CANARY}\n  2");
    std::fs::write(folder.path().join("a.toon"), &broken).unwrap();
    let output = run(&folder, &["toon", "decode", "a.toon"]).await;
    let (_, said) = check(&output, 1);
    assert_eq!(
        said,
        "error: a.toon:3:3: a row of 2 cells is expected, and this has 1 (row_width)\n"
    );
    std::fs::write(folder.path().join("a.json"), "{\"a\":\n x}").unwrap();
    let (_, said) = check(&run(&folder, &["toon", "encode", "a.json"]).await, 1);
    assert_eq!(said, "error: a.json:2:2: expected value\n");
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let output = run_with_input(&folder, &["toon", "encode"], deep.as_bytes()).await;
    check(&output, 1);
    for args in [
        &["toon", "encode", "absent.json"][..],
        &["toon", "encode", "--indent", "0"],
        &["toon", "encode", "--delimiter", "semicolon"],
        &["toon", "encode", "--abbreviate", "absent.json"],
        &["toon", "stats"],
    ] {
        check(&run(&folder, args).await, 2);
    }
}

#[tokio::test]
async fn stats_count_every_form_of_every_file() {
    let folder = Folder::new();
    std::fs::write(folder.path().join("a.json"), findings().to_string()).unwrap();
    std::fs::write(
        folder.path().join("b.json"),
        "{\"feedback\":{\"id\":\"FB001\"}}",
    )
    .unwrap();
    std::fs::write(folder.path().join("c.json"), "no JSON").unwrap();
    let args = ["toon", "stats", "a.json", "b.json", "--json"];
    let (lines, _) = check(&run(&folder, &args).await, 0);
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    let [toon, json] = ["toon", "json"].map(|form| lines[0]["forms"][form].clone());
    assert_eq!(lines[0]["fewest_tokens"], "toon");
    assert_eq!(json["percent_of_json"], 100.0);
    assert!(
        toon["o200k_base"].as_u64() < json["o200k_base"].as_u64(),
        "{}",
        lines[0]
    );
    assert_eq!(
        json["estimate"].as_u64().unwrap(),
        json["chars"].as_u64().unwrap().div_ceil(4)
    );
    let (table, _) = check(&run(&folder, &["toon", "stats", "a.json"]).await, 0);
    for word in [
        "a.json",
        "o200k_base",
        "cl100k_base",
        "estimate",
        "json_pretty",
        "fewest tokens: toon",
    ] {
        assert!(table.contains(word), "{table}");
    }
    let (_, said) = check(
        &run(&folder, &["toon", "stats", "a.json", "c.json"]).await,
        4,
    );
    assert!(said.starts_with("error: c.json:1:2: "), "{said}");
    check(&run(&folder, &["toon", "stats", "c.json"]).await, 1);
}
