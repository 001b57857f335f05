//! Measures what disguises cost the built-in rules.
//!
//! Arguments are files of lines `{"text", "label", "kind"}`, label 1 for an attack.
//! Prints, for each disguise, how many of the attacks that are found in plain text
//! are found in disguise, and which benign texts are flagged only because of what
//! the views say. `SHOW=name` prints the attacks that one disguise hides.

#[path = "../tests/disguise/mod.rs"]
mod disguise;

use std::error::Error;
use std::fs;

use serde_json::Value;
use tidegate_guard::{Direction, Outcome, Rules, ScanRequest};

struct Row {
    text: String,
    is_attack: bool,
    request: ScanRequest,
}

fn row(value: &Value) -> Row {
    let direction = match value["kind"].as_str() {
        Some("indirect") => Direction::Retrieved,
        Some(_) | None => Direction::Prompt,
    };
    Row {
        text: value["text"].as_str().unwrap_or_default().to_owned(),
        is_attack: value["label"] == 1,
        request: ScanRequest {
            direction,
            ..ScanRequest::default()
        },
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let rules = Rules::builtin()?;
    let mut rows = Vec::new();
    for path in std::env::args().skip(1) {
        for line in fs::read_to_string(&path)?.lines() {
            rows.push(row(&serde_json::from_str(line)?));
        }
    }
    let show = std::env::var("SHOW").unwrap_or_default();
    let is_found = |text: &str, row: &Row| rules.scan(text, &row.request).outcome > Outcome::Allow;
    // What is only found because it is disguised already is another matter.
    let is_plain = |row: &&Row, least: Outcome| {
        let found = rules.scan_as_is(&row.text, &row.request).detections;
        found
            .iter()
            .any(|found| found.action >= least && &*found.family != "encoded_payload")
    };
    let attacks = || rows.iter().filter(|row| row.is_attack);
    let found: Vec<&Row> = attacks()
        .filter(|row| is_plain(row, Outcome::Flag))
        .collect();
    // The same with those that match a rule, and are allowed in plain text too.
    let matched: Vec<&Row> = attacks()
        .filter(|row| is_plain(row, Outcome::Allow))
        .collect();
    println!(
        "disguise | of {} attacks | lost, points | lost of {} with a match",
        found.len(),
        matched.len()
    );
    for (name, disguise) in disguise::ALL {
        let lost_of = |attacks: &[&'_ Row]| -> Vec<usize> {
            let hidden = |row: &&Row| !is_found(&disguise(&row.text), row);
            let places = attacks.iter().enumerate();
            places
                .filter(|(_, row)| hidden(row))
                .map(|(at, _)| at)
                .collect()
        };
        let points = |lost: usize, all: usize| 100.0 * lost as f64 / all.max(1) as f64;
        let lost = lost_of(&found);
        println!(
            "{name} | {} | {:.1} | {:.1}",
            found.len() - lost.len(),
            points(lost.len(), found.len()),
            points(lost_of(&matched).len(), matched.len())
        );
        let lost = lost.into_iter().map(|at| found[at]);
        if show == *name {
            for row in lost {
                let text: String = row.text.chars().take(300).collect();
                let rules = rules.scan(&row.text, &row.request).detections;
                let ids: Vec<&str> = rules.iter().map(|found| &*found.rule).collect();
                println!("  {ids:?} {text:?}");
            }
        }
    }
    benign(&rules, &rows);
    Ok(())
}

/// How many benign texts flag, without views and with all of them.
fn benign(rules: &Rules, rows: &[Row]) {
    let mut flagged = [0, 0];
    let benign: Vec<&Row> = rows.iter().filter(|row| !row.is_attack).collect();
    for row in &benign {
        let as_is = rules.scan_as_is(&row.text, &row.request);
        let verdict = rules.scan(&row.text, &row.request);
        flagged[0] += usize::from(as_is.outcome > Outcome::Allow);
        flagged[1] += usize::from(verdict.outcome > Outcome::Allow);
        if verdict.outcome > as_is.outcome {
            for found in &verdict.detections {
                let place = row
                    .text
                    .chars()
                    .skip(found.span.start)
                    .take(found.span.len().min(160));
                println!("new: {} {:?}", found.rule, place.collect::<String>());
            }
        }
    }
    let [as_is, views] = flagged;
    println!(
        "of {} benign texts {as_is} are flagged as they are, {views} with all views",
        benign.len()
    );
}
