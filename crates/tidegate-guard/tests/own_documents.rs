//! This repository's own documents: the guard's rules find nothing in them,
//! outside of fenced blocks, which may show attacks.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_guard::{Direction, Outcome, Rules, ScanRequest};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn documents() -> Vec<PathBuf> {
    let mut folders = vec![root(), root().join("docs"), root().join("packs/documents")];
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        folders.push(entry.unwrap().path());
    }
    let mut files = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "md") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The document without what stands between fences.
fn prose(markdown: &str) -> String {
    let mut prose = String::new();
    let mut is_fenced = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

#[test]
fn nothing_in_our_own_documents_is_flagged() {
    let rules = Rules::builtin().unwrap();
    let documents = documents();
    assert!(documents.len() > 20, "{}", documents.len());
    let mut found = Vec::new();
    for path in &documents {
        let text = prose(&fs::read_to_string(path).unwrap());
        for direction in Direction::ALL {
            let request = ScanRequest {
                direction: *direction,
                ..ScanRequest::default()
            };
            let verdict = rules.scan(&text, &request);
            if verdict.outcome > Outcome::Allow {
                let rules: Vec<&str> = verdict.detections.iter().map(|one| &*one.rule).collect();
                found.push(format!("{}: {}", path.display(), rules.join(", ")));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_fenced_block_is_left_out_and_the_text_around_it_is_not() {
    assert_eq!(prose("a\n```text\nb\n```\nc\n"), "a\nc\n");
}
