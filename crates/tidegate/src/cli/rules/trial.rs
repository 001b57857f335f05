//! `tidegate rules test`: what each rule finds in texts whose label is known.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tidegate_guard::{Direction, Outcome, Policy, Rules, ScanRequest};

use super::texts::{self, Labelled, Set};
use super::{packs, print, refuse};
use crate::cli::Exit;
use crate::cli::progress::progress;

pub(super) const EXAMPLES: &str = "\
PACKS is a file, a folder, or builtin for the rules of this build. Several of them,
joined by +, are layers: builtin+team/ are the rules of this build under those of team/.
A line of a file of texts is {\"text\": …, \"label\": 0 or 1}, 1 for an attack. It may name
a \"direction\"; without it a \"kind\" of \"indirect\" is a retrieved text, and all else a prompt.

Examples:
  tidegate rules test builtin
  tidegate rules test packs/mine.toml
  tidegate rules test builtin+packs/ --texts train.jsonl --texts dev.jsonl

Exit codes: 0 every example holds, 1 a pack does not load or an example fails, 2 usage.";

/// Arguments of `rules test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The packs to try
    #[arg(value_name = "PACKS")]
    packs: String,
    /// A file of labelled texts; each is a set of its own; may be repeated
    #[arg(long, value_name = "FILE")]
    texts: Vec<PathBuf>,
    /// Scan every text as if it stood here
    #[arg(long, value_parser = super::list::words::<Direction>(&["prompt", "answer", "retrieved", "tool_call", "tool_result"]))]
    direction: Option<Direction>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How many texts of a label there are, and what became of them.
#[derive(Debug, Default)]
struct Count {
    texts: usize,
    flagged: usize,
    blocked: usize,
    strictly_blocked: usize,
}

/// A benign and an attacking half.
type Halves<T> = [T; 2];

/// What was found in one set.
#[derive(Debug, Default)]
struct Tally {
    counts: Halves<Count>,
    /// Texts that a rule was found in.
    rules: BTreeMap<String, Halves<usize>>,
}

pub(super) fn run(args: &TestArgs) -> Result<Exit, Exit> {
    let rules = match packs::load_tried(&args.packs) {
        Ok(rules) => rules,
        Err(error) => {
            for error in error.each() {
                eprintln!("error: {error}");
            }
            return Ok(Exit::Findings);
        }
    };
    let sets = texts::read(&args.texts).map_err(|error| refuse(&error))?;
    let all: usize = sets.iter().map(|set| set.texts.len()).sum();
    let mut done = 0;
    let mut tallies = Vec::new();
    for set in &sets {
        let mut tally = Tally::default();
        for labelled in &set.texts {
            let direction = args.direction.unwrap_or(labelled.direction);
            tally.add(&rules, labelled, direction);
            done += 1;
            if done % 500 == 0 || done == all {
                progress(done, all);
            }
        }
        tallies.push(tally);
    }
    let examples = examples(&rules);
    if args.json {
        print([format!("{:#}", document(&rules, examples, &sets, &tallies))]);
        return Ok(Exit::Clean);
    }
    eprintln!("{} rules, {examples} examples hold", rules.len());
    if !sets.is_empty() {
        print(table(&rules, &sets, &tallies));
    }
    Ok(Exit::Clean)
}

fn examples(rules: &Rules) -> usize {
    let examples = rules.iter().map(|rule| &rule.origin.examples);
    examples
        .map(|all| all.must.len() + all.must_not.len())
        .sum()
}

impl Tally {
    fn add(&mut self, rules: &Rules, labelled: &Labelled, direction: Direction) {
        let scan = |policy| {
            let request = ScanRequest {
                direction,
                policy,
                ..ScanRequest::default()
            };
            rules.scan(&labelled.text, &request)
        };
        let verdict = scan(Policy::default());
        let half = usize::from(labelled.is_attack);
        for found in &verdict.detections {
            self.rules.entry(found.rule.to_string()).or_default()[half] += 1;
        }
        let strict = match verdict.detections.is_empty() {
            true => Outcome::Allow,
            false => scan(Policy::strict()).outcome,
        };
        let count = &mut self.counts[half];
        count.texts += 1;
        count.flagged += usize::from(verdict.outcome >= Outcome::Flag);
        count.blocked += usize::from(verdict.outcome == Outcome::Block);
        count.strictly_blocked += usize::from(strict == Outcome::Block);
    }
}

fn precision([benign, attacks]: Halves<usize>) -> Option<f64> {
    (benign + attacks > 0).then(|| attacks as f64 / (benign + attacks) as f64)
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn table(rules: &Rules, sets: &[Set], tallies: &[Tally]) -> Vec<String> {
    let mut lines =
        vec!["label   |  texts | flagged | default blocks | strict blocks | set".to_owned()];
    for (set, tally) in sets.iter().zip(tallies) {
        for (label, count) in ["benign", "attacks"].into_iter().zip(&tally.counts) {
            let share = |part| percent(part, count.texts);
            lines.push(format!(
                "{label:<7} | {:>6} | {:>5.2} % | {:>12.2} % | {:>11.2} % | {}",
                count.texts,
                share(count.flagged),
                share(count.blocked),
                share(count.strictly_blocked),
                set.name
            ));
        }
        let flagged = [tally.counts[0].flagged, tally.counts[1].flagged];
        if let Some(precision) = precision(flagged) {
            let (percent, name) = (100.0 * precision, &set.name);
            lines.push(format!(
                "of what flags, {percent:.2} % are attacks | {name}"
            ));
        }
    }
    lines.push(String::new());
    lines.push("rule | set | benign | attacks | precision".to_owned());
    for rule in rules.iter() {
        for (set, tally) in sets.iter().zip(tallies) {
            let hits = tally.rules.get(&*rule.id).copied().unwrap_or_default();
            let precision =
                precision(hits).map_or("-".to_owned(), |p| format!("{:.1} %", 100.0 * p));
            let ([benign, attacks], name) = (hits, &set.name);
            lines.push(format!(
                "{} | {name} | {benign} | {attacks} | {precision}",
                rule.id
            ));
        }
    }
    lines
}

fn document(rules: &Rules, examples: usize, sets: &[Set], tallies: &[Tally]) -> Value {
    let half = |count: &Count| {
        json!({
            "texts": count.texts,
            "flagged": count.flagged,
            "blocked": count.blocked,
            "strictly_blocked": count.strictly_blocked,
        })
    };
    let sets = sets.iter().zip(tallies).map(|(set, tally)| {
        let row = |rule: &tidegate_guard::Rule| {
            let hits = tally.rules.get(&*rule.id).copied().unwrap_or_default();
            json!({
                "rule": &*rule.id,
                "benign": hits[0],
                "attacks": hits[1],
                "precision": precision(hits),
            })
        };
        json!({
            "set": set.name,
            "benign": half(&tally.counts[0]),
            "attacks": half(&tally.counts[1]),
            "precision": precision([tally.counts[0].flagged, tally.counts[1].flagged]),
            "rules": Value::from_iter(rules.iter().map(row)),
        })
    });
    json!({
        "version": rules.version(),
        "rules": rules.len(),
        "examples": examples,
        "sets": Value::from_iter(sets),
    })
}
