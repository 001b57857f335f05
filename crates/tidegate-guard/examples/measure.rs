//! Measures the built-in rules on labelled texts.
//!
//! Arguments are files of lines `{"text", "label", "source", "kind"}`, label 1 for
//! an attack. Prints how many benign texts each policy flags and blocks, how many
//! attacks it finds, and which rules found what.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

use serde_json::Value;
use tidegate_guard::{Direction, Outcome, Policy, Rules, ScanRequest};

#[derive(Default)]
struct Count {
    texts: usize,
    flagged: usize,
    blocked: usize,
    strictly_blocked: usize,
}

impl Count {
    fn row(&self) -> String {
        let share = |part: usize| 100.0 * part as f64 / self.texts.max(1) as f64;
        format!(
            "{:>6} | {:>6.2} % | {:>6.2} % | {:>6.2} %",
            self.texts,
            share(self.flagged),
            share(self.blocked),
            share(self.strictly_blocked)
        )
    }
}

#[derive(Default)]
struct Table {
    groups: BTreeMap<(u64, String), Count>,
    /// Benign and attacking texts that a rule was found in.
    rules: BTreeMap<String, [usize; 2]>,
}

impl Table {
    fn add(&mut self, rules: &Rules, row: &Value, file: &str) {
        let text = row["text"].as_str().unwrap_or_default();
        let label = row["label"].as_u64().unwrap_or_default();
        let kind = row["kind"].as_str().unwrap_or_default();
        let direction = match kind {
            "indirect" => Direction::Retrieved,
            _ => Direction::Prompt,
        };
        let outcome = |policy| {
            let request = ScanRequest {
                direction,
                policy,
                ..ScanRequest::default()
            };
            rules.scan(text, &request)
        };
        let verdict = outcome(Policy::default());
        for found in &verdict.detections {
            self.rules.entry(found.rule.to_string()).or_default()[label as usize] += 1;
            if label == 0 && std::env::var_os("SHOW_BENIGN").is_some() {
                let span: String = text
                    .chars()
                    .skip(found.span.start)
                    .take(found.span.len())
                    .collect();
                println!("{} {} | {span:?}", found.severity, found.rule);
            }
        }
        if label == 1 && verdict.detections.is_empty() && std::env::var_os("SHOW_MISSED").is_some()
        {
            println!("MISS {kind} {} | {text:?}", row["source"]);
        }
        let strict = outcome(Policy::strict()).outcome;
        for name in [file.to_owned(), format!("{file} {kind}")] {
            let count = self.groups.entry((label, name)).or_default();
            count.texts += 1;
            count.flagged += usize::from(verdict.outcome >= Outcome::Flag);
            count.blocked += usize::from(verdict.outcome == Outcome::Block);
            count.strictly_blocked += usize::from(strict == Outcome::Block);
        }
    }

    fn print(&self) {
        println!("label | texts | flagged | blocked by default | by strict | where");
        for ((label, name), count) in &self.groups {
            println!("{label} | {} | {name}", count.row());
        }
        println!("\nrule | benign | attacks");
        for (rule, [benign, attacks]) in &self.rules {
            println!("{rule} | {benign} | {attacks}");
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let rules = match std::env::var("PACKS") {
        Ok(path) => {
            let files = tidegate_guard::PackFolder {
                layer: tidegate_guard::Layer::Custom,
                path: path.into(),
            }
            .read()?;
            Rules::layered(&files.iter().map(|f| f.source()).collect::<Vec<_>>())?
        }
        Err(_) => Rules::builtin()?,
    };
    let mut table = Table::default();
    for path in std::env::args().skip(1) {
        let file = path.rsplit('/').next().unwrap_or(&path);
        for line in fs::read_to_string(&path)?.lines() {
            table.add(&rules, &serde_json::from_str(line)?, file);
        }
    }
    table.print();
    Ok(())
}
