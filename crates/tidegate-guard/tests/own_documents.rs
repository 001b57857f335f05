//! This repository's own documents: the guard's rules find nothing in them,
//! outside of fenced blocks, which may show attacks. The classifier does, and how
//! often is a figure of docs/guard.md.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_guard::{
    ClassifierTerms, Classifiers, Direction, Mode, Outcome, Rules, ScanRequest, Scanner,
};

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
fn the_rules_flag_nothing_in_our_own_documents() {
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

/// What the classifier makes of the documents, read as `direction`.
#[derive(Debug)]
struct Made {
    windows: usize,
    suspicious: usize,
    documents: usize,
    flagged: usize,
    blocked: usize,
}

fn made(direction: Direction) -> Made {
    let rules = Arc::new(Rules::builtin().unwrap());
    let classifiers = Classifiers::builtin();
    let classifier = classifiers.of(direction).clone();
    let terms = ClassifierTerms::of(&classifiers);
    let flag = terms.limits(direction).flag;
    let scanner = Scanner::new(rules, classifiers, terms);
    let request = ScanRequest {
        direction,
        mode: Mode::Thorough,
        ..ScanRequest::default()
    };
    let mut made = Made {
        windows: 0,
        suspicious: 0,
        documents: 0,
        flagged: 0,
        blocked: 0,
    };
    for path in documents() {
        let text = prose(&fs::read_to_string(path).unwrap());
        let verdict = scanner.scan(&text, &request);
        made.windows += classifier.windows_from(&text, 0.0).len();
        made.suspicious += classifier.windows_from(&text, flag).len();
        made.documents += 1;
        made.flagged += usize::from(verdict.outcome > Outcome::Allow);
        made.blocked += usize::from(verdict.outcome == Outcome::Block);
    }
    made
}

/// Ordinary text that they never saw, and much of it about attacks: one window of 25
/// is over the threshold of prompts, and a document has many. The bounds say that it
/// does not get worse unseen.
#[test]
fn the_classifier_flags_more_of_our_own_documents_than_it_should() {
    for (direction, windows, blocked) in [
        (Direction::Prompt, 0.05, 0.0),
        (Direction::Retrieved, 0.015, 0.05),
        (Direction::Answer, 0.09, 0.0),
    ] {
        let made = made(direction);
        println!("{direction}: {made:?}");
        let share = |part: usize, whole: usize| part as f64 / whole as f64;
        assert!(share(made.suspicious, made.windows) <= windows, "{made:?}");
        assert!(share(made.blocked, made.documents) <= blocked, "{made:?}");
    }
}

#[test]
fn a_fenced_block_is_left_out_and_the_text_around_it_is_not() {
    assert_eq!(prose("a\n```text\nb\n```\nc\n"), "a\nc\n");
}
