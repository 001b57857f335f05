//! The OpenMetrics text format, as far as a scraper depends on it.

#![allow(
    dead_code,
    reason = "each story is a crate of its own and uses a part of this"
)]

use std::collections::{BTreeMap, BTreeSet};

/// Samples by name, with their labels as written.
pub(crate) struct Exposition {
    pub(crate) samples: Vec<(String, String, f64)>,
    pub(crate) types: BTreeMap<String, String>,
}

impl Exposition {
    /// Reads the text; panics with the line that breaks the format.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        let (mut samples, mut types) = (Vec::new(), BTreeMap::new());
        let mut closed = BTreeSet::new();
        let mut family = String::new();
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (kind, name) = (words.next().unwrap(), words.next().unwrap().to_owned());
                if name != family {
                    assert!(!closed.contains(&name), "{name} comes in two parts: {line}");
                    closed.insert(std::mem::replace(&mut family, name));
                }
                if kind == "TYPE" {
                    let kind = words.next().unwrap().to_owned();
                    let again = types.insert(family.clone(), kind);
                    assert!(again.is_none(), "a second type: {line}");
                }
            } else {
                let (name, labels, value) = sample(line);
                assert!(name.starts_with(&family), "{name} stands under {family}");
                samples.push((name, labels, value));
            }
        }
        Self { samples, types }
    }

    /// The value of a sample whose labels hold all of these.
    pub(crate) fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let found = self.samples.iter().find(|(known, written, _)| {
            known == name && labels.iter().all(|label| written.contains(label))
        });
        found.map(|(_, _, value)| *value)
    }
}

/// `name{labels} value`, where a label's value may hold anything but a bare
/// quote or line end.
#[track_caller]
fn sample(line: &str) -> (String, String, f64) {
    let (rest, value) = line
        .rsplit_once(' ')
        .unwrap_or_else(|| panic!("no value: {line}"));
    let value = value
        .parse()
        .unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, labels) = match rest.split_once('{') {
        None => (rest, ""),
        Some((name, labels)) => {
            let labels = labels
                .strip_suffix('}')
                .unwrap_or_else(|| panic!("no }}: {line}"));
            (name, labels)
        }
    };
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    assert!(
        !name.is_empty() && name.chars().all(good),
        "a bad name: {line}"
    );
    check_labels(labels, line);
    (name.to_owned(), labels.to_owned(), value)
}

#[track_caller]
fn check_labels(labels: &str, line: &str) {
    let mut rest = labels;
    while !rest.is_empty() {
        let (_, value) = rest
            .split_once("=\"")
            .unwrap_or_else(|| panic!("a bad label: {line}"));
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.unwrap_or_else(|| panic!("an open label: {line}"));
        rest = value[end + 1..].trim_start_matches(',');
    }
}
