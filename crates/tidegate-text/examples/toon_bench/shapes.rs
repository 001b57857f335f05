//! Values of the five shapes that go to models most, made of their numbers.

use serde_json::{Value, json};

const WORDS: [&str; 24] = [
    "harbour", "gate", "tide", "pilot", "boat", "pier", "light", "chart", "anchor", "cargo",
    "signal", "channel", "report", "missing", "late", "approved", "timeline", "owner", "evidence",
    "review", "section", "root", "cause", "step",
];

/// Words in an order that only `seed` decides.
fn words(seed: usize, count: usize) -> String {
    let word = |at: usize| WORDS[(seed * 7 + at * at * 5 + at * 3) % WORDS.len()];
    let words: Vec<&str> = (0..count).map(word).collect();
    words.join(" ")
}

/// Findings about a document, in the fields of the feedback contract.
pub(crate) fn feedback(count: usize) -> Value {
    let item = |at: usize| {
        json!({
            "id": format!("FB{:03}", at + 1),
            "type": (["critical", "important", "suggestion"][at % 3]),
            "category": (["Timeline", "Root Cause", "Resolving Action", "Background"][at % 4]),
            "description": words(at, 9),
            "suggestion": words(at + 5, 7),
            "risk_level": (["High", "Medium", "Low"][at % 3]),
            "confidence": 0.8 + (at % 20) as f64 / 100.0,
        })
    };
    json!({ "feedback": (0..count).map(item).collect::<Vec<_>>() })
}

/// Rows of a table.
pub(crate) fn records(count: usize) -> Value {
    let row = |at: usize| {
        json!({
            "id": 10_000 + at,
            "name": words(at, 2),
            "department": (["Pilots", "Cargo", "Lights"][at % 3]),
            "salary": 40_000 + (at * 137) % 20_000,
            "rating": f64::from((at * 31 % 50) as u32) / 10.0,
            "active": at % 4 != 0,
        })
    };
    json!({ "employees": (0..count).map(row).collect::<Vec<_>>() })
}

/// Settings of many services: objects in objects, and no two alike.
pub(crate) fn configuration(services: usize) -> Value {
    let service = |at: usize| {
        let mut service = json!({
            "bind": format!("127.0.0.1:{}", 8000 + at),
            "limits": {"requests_per_minute": 60 * (at + 1), "burst": at + 5},
            "store": {"url": "sqlite:tidegate-data", "pool": {"size": 4, "timeout_ms": 50}},
            "tags": [words(at, 1), words(at + 3, 1)],
        });
        if at.is_multiple_of(2) {
            service["tls"] = json!({"certificate": "env:CERT", "versions": ["1.2", "1.3"]});
        }
        if at.is_multiple_of(3) {
            service["retries"] = json!([{"after_ms": 100}, {"after_ms": 400, "jitter": true}]);
        }
        (format!("service_{at}"), service)
    };
    json!({ "services": (0..services).map(service).collect::<serde_json::Map<_, _>>() })
}

/// A conversation with what is known about it.
pub(crate) fn chat(turns: usize) -> Value {
    let turn = |at: usize| {
        json!({
            "role": (["user", "assistant"][at % 2]),
            "content": format!("{}, {}?", words(at, 14), words(at + 2, 9)),
            "timestamp": format!("2026-11-20T10:{:02}:00Z", at % 60),
        })
    };
    json!({
        "session_id": "s-4711",
        "document": "incident report",
        "active_section": "Timeline",
        "messages": (0..turns).map(turn).collect::<Vec<_>>(),
        "open_questions": [words(3, 6), words(9, 5)],
    })
}

/// What a search found, each with its scores and its place.
pub(crate) fn hits(count: usize) -> Value {
    let hit = |at: usize| {
        json!({
            "id": format!("doc-{at}"),
            "chunk": at % 7,
            "score": 1.0 / (60.0 + at as f64),
            "scores": {"bm25": 12.5 - at as f64 / 4.0, "vector": 0.9 - at as f64 / 100.0},
            "title": words(at, 4),
            "source": format!("manual/{}.md", words(at, 1)),
            "page": at + 1,
            "text": format!("{}: {}.", words(at, 3), words(at + 4, 30)),
        })
    };
    json!({ "hits": (0..count).map(hit).collect::<Vec<_>>() })
}
