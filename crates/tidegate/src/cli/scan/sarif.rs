//! Findings as SARIF 2.1.0.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use tidegate_guard::{Detection, L2, Layer, Rule, Scanner};

use super::input::Unread;
use super::place::Place;
use super::row::{Level, Row};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn write(rows: &[Row], scanner: &Scanner, out: &mut impl Write) -> io::Result<()> {
    let results = rows.iter().flat_map(|row| results(row, scanner));
    let unread: Vec<Value> = rows.iter().filter_map(notification).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "tidegate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": scanner.rules().iter().map(rule).chain([classifier()]).collect::<Vec<_>>(),
                "properties": {"rulesetVersion": scanner.version()},
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": unread.is_empty(),
                "toolExecutionNotifications": unread,
            }],
            "results": results.collect::<Vec<_>>(),
        }],
    });
    writeln!(out, "{log:#}")
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": &*rule.id,
        "shortDescription": {"text": &*rule.message},
        "help": {"text": &*rule.remediation},
        "defaultConfiguration": {"level": word(rule.severity.into())},
        "properties": {"tags": [&*rule.family], "severity": rule.severity.as_str()},
    })
}

/// What the classifier finds, after all rules.
fn classifier() -> Value {
    json!({
        "id": L2::RULE,
        "shortDescription": {"text": "reads like an attack"},
        "help": {"text": "Look at the part that is named: whoever wrote it may have wanted a model \
                          to follow it. The classifier knows words and no meaning."},
        "defaultConfiguration": {"level": word(Level::Warning)},
        "properties": {"tags": [L2::FAMILY]},
    })
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn results(row: &Row, scanner: &Scanner) -> Vec<Value> {
    let Ok(judged) = &row.result else {
        return Vec::new();
    };
    let result = |(found, place): (&Detection, &Place)| {
        let mut result = json!({
            "ruleId": &*found.rule,
            "level": word(found.severity.into()),
            "message": {"text": &*found.message},
            "locations": [location(row.path(), place)],
            "properties": {
                "severity": found.severity.as_str(),
                "confidence": (found.confidence * 1e3).round() / 1e3,
                "matches": found.matches,
            },
        });
        let index = match found.layer {
            Layer::L1 => scanner
                .rules()
                .iter()
                .position(|rule| rule.id == found.rule),
            Layer::L2 => Some(scanner.rules().len()),
        };
        if let Some(index) = index {
            result["ruleIndex"] = Value::from(index);
        }
        if found.suppressed {
            result["suppressions"] = json!([{"kind": "external"}]);
        }
        result
    };
    let Some(known) = &judged.known else {
        return judged.found().map(result).collect();
    };
    // What does not count is not compared.
    let stated = |found: (&Detection, &Place), state: &str| {
        let mut result = result(found);
        if found.0.counts() {
            result["baselineState"] = Value::from(state);
        }
        result
    };
    let known = known.iter().map(|(place, found)| (found, place));
    let known = known.map(|found| stated(found, "unchanged"));
    let fresh = judged.found().map(|found| stated(found, "new"));
    fresh.chain(known).collect()
}

fn location(path: Option<&Path>, place: &Place) -> Value {
    let uri = path.map_or_else(|| "stdin".to_owned(), uri);
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri},
        "region": {
            "startLine": place.start.line,
            "startColumn": place.start.column,
            "endLine": place.end.line,
            "endColumn": place.end.column,
        },
    }})
}

fn notification(row: &Row) -> Option<Value> {
    match &row.result {
        Ok(_) | Err(Unread::Skipped(_)) => None,
        Err(Unread::Failed(reason)) => {
            let uri = row.path().map_or_else(|| "stdin".to_owned(), uri);
            Some(json!({
                "level": "error",
                "message": {"text": reason},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}}}],
            }))
        }
    }
}

/// A path as a URI reference: relative ones stay relative.
fn uri(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut uri = String::from(if bytes.starts_with(b"/") {
        "file://"
    } else {
        ""
    });
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_uri_whatever_its_letters() {
        assert_eq!(uri(Path::new("a b/c:d?é#\n")), "a%20b/c%3Ad%3F%C3%A9%23%0A");
        assert_eq!(uri(Path::new("/srv/x")), "file:///srv/x");
    }
}
