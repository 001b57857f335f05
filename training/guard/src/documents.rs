//! Ordinary documents that nothing was ever trained on or chosen by.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;
use tidegate_guard::{
    ClassifierTerms, Classifiers, Direction, Outcome, Rules, ScanRequest, Scanner,
};

use crate::rows::{RowsError, lines};

/// The sets that are read, in the form of BEIR.
const SETS: [&str; 3] = ["chunking_eval", "code_chunks", "scifact"];

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

/// How many there are, how many the rules alone pass, how many both layers, and how
/// many are not blocked.
#[derive(Default)]
struct Passed {
    all: usize,
    rules: usize,
    both: usize,
    not_blocked: usize,
}

/// A table of how many documents of each set pass as passages.
///
/// # Errors
///
/// When a set cannot be read.
pub fn documents(folder: &Path, rules: Rules) -> Result<String, RowsError> {
    let classifiers = Classifiers::builtin();
    let terms = ClassifierTerms::of(&classifiers);
    let scanner = Scanner::new(rules.into(), classifiers, terms);
    let request = ScanRequest {
        direction: Direction::Retrieved,
        ..ScanRequest::default()
    };
    let mut sets: BTreeMap<String, Passed> = BTreeMap::new();
    for set in SETS {
        for document in lines::<Document>(folder.join(set).join("corpus.jsonl"))? {
            let part = document.id.split_once(':').map(|(part, _)| part);
            // Code is named by digests, of which nobody learns anything.
            let part = part.filter(|part| part.len() < 32);
            let name = part.map_or(set.to_owned(), |part| format!("{set}, {part}"));
            let text = format!("{}\n{}", document.title, document.text);
            let by_rules = scanner.rules().scan(&text, &request);
            let verdict = scanner.scan(&text, &request);
            let passed = sets.entry(name).or_default();
            passed.all += 1;
            passed.rules += usize::from(by_rules.outcome == Outcome::Allow);
            passed.both += usize::from(verdict.outcome == Outcome::Allow);
            passed.not_blocked += usize::from(verdict.outcome < Outcome::Block);
        }
    }
    Ok(table(&sets))
}

fn table(sets: &BTreeMap<String, Passed>) -> String {
    let mut text = "### Documents that nothing was trained on, as passages\n\n\
        | set | documents | passed by the rules | with the classifier | not blocked |\n\
        |---|---:|---:|---:|---:|\n"
        .to_owned();
    for (name, passed) in sets {
        let percent = |part: usize| 100.0 * part as f64 / passed.all.max(1) as f64;
        let [rules, both, kept] = [passed.rules, passed.both, passed.not_blocked].map(percent);
        let all = passed.all;
        writeln!(
            text,
            "| {name} | {all} | {rules:.1} | {both:.1} | {kept:.1} |"
        )
        .expect("writing to a string cannot fail");
    }
    text
}
