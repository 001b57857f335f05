//! `tidegate rules compare`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tidegate_guard::{Rule, Rules, ScanRequest, Verdict};

use super::texts::{self, Set};
use super::{packs, print, refuse, whole};
use crate::cli::Exit;
use crate::cli::progress::progress;

pub(super) const EXAMPLES: &str = "\
PACKS and files of texts as for tidegate rules test. Of a text that is judged differently
the file and the line are named, never the text.

Examples:
  tidegate rules compare builtin builtin+packs/
  tidegate rules compare old/ new/ --texts train.jsonl --json

Exit codes: 0 no difference, 1 differences, 2 usage, or a pack that does not load.";

/// Arguments of `rules compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The packs as they were
    #[arg(value_name = "PACKS")]
    before: String,
    /// The packs as they are to be
    #[arg(value_name = "OTHER PACKS")]
    after: String,
    /// A file of labelled texts to judge with both; may be repeated
    #[arg(long, value_name = "FILE")]
    texts: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A text that is judged differently.
struct Changed {
    set: String,
    line: usize,
    is_attack: bool,
    before: Verdict,
    after: Verdict,
}

pub(super) fn run(args: &CompareArgs) -> Result<Exit, Exit> {
    let load = |named: &str| packs::load(named).map_err(|error| refuse(&error));
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    let sets = texts::read(&args.texts).map_err(|error| refuse(&error))?;
    let rules = rules_that_differ(&before, &after);
    let texts = texts_that_differ(&before, &after, &sets);
    if args.json {
        let rules = rules
            .iter()
            .map(|(id, what)| json!({"rule": id, "change": what}));
        let texts = texts.iter().map(Changed::json);
        print([format!(
            "{:#}",
            json!({"rules": Value::from_iter(rules.clone()), "texts": Value::from_iter(texts)})
        )]);
    } else {
        print(rules.iter().map(|(id, what)| format!("rule {id}: {what}")));
        print(texts.iter().map(Changed::line));
        eprintln!("{} rules and {} texts differ", rules.len(), texts.len());
    }
    Ok(match rules.is_empty() && texts.is_empty() {
        true => Exit::Clean,
        false => Exit::Findings,
    })
}

fn rules_that_differ(before: &Rules, after: &Rules) -> BTreeMap<String, String> {
    let by_id = |rules: &Rules| -> BTreeMap<String, Value> {
        let said = |rule: &Rule| {
            let mut said = whole(rule);
            // Where a rule lies changes nothing that it finds.
            said["layer"] = Value::Null;
            said["pack"] = Value::Null;
            (rule.id.to_string(), said)
        };
        rules.iter().map(said).collect()
    };
    let (before, after) = (by_id(before), by_id(after));
    let mut changes = BTreeMap::new();
    for (id, old) in &before {
        match after.get(id) {
            None => drop(changes.insert(id.clone(), "gone".to_owned())),
            Some(new) if new != old => {
                let keys = old.as_object().into_iter().flat_map(serde_json::Map::keys);
                let differ: Vec<&str> = keys
                    .filter(|key| old[*key] != new[*key])
                    .map(String::as_str)
                    .collect();
                changes.insert(id.clone(), format!("other {}", differ.join(", ")));
            }
            Some(_) => {}
        }
    }
    let new = after.keys().filter(|id| !before.contains_key(*id));
    changes.extend(new.map(|id| (id.clone(), "new".to_owned())));
    changes
}

fn texts_that_differ(before: &Rules, after: &Rules, sets: &[Set]) -> Vec<Changed> {
    let all: usize = sets.iter().map(|set| set.texts.len()).sum();
    let (mut done, mut changed) = (0, Vec::new());
    for set in sets {
        for (line, labelled) in (1..).zip(&set.texts) {
            let request = ScanRequest {
                direction: labelled.direction,
                ..ScanRequest::default()
            };
            let scan = |rules: &Rules| rules.scan(&labelled.text, &request);
            let (before, after) = (scan(before), scan(after));
            if (before.outcome, before.severity) != (after.outcome, after.severity) {
                changed.push(Changed {
                    set: set.name.clone(),
                    line,
                    is_attack: labelled.is_attack,
                    before,
                    after,
                });
            }
            done += 1;
            if done % 500 == 0 || done == all {
                progress(done, all);
            }
        }
    }
    changed
}

impl Changed {
    fn label(&self) -> &'static str {
        match self.is_attack {
            true => "attack",
            false => "benign",
        }
    }

    fn line(&self) -> String {
        let (set, line, label) = (&self.set, self.line, self.label());
        format!(
            "{set}:{line} ({label}): {} -> {}",
            said(&self.before),
            said(&self.after)
        )
    }

    fn json(&self) -> Value {
        let verdict = |verdict: &Verdict| {
            let rules = verdict.detections.iter().map(|found| &*found.rule);
            json!({
                "verdict": verdict.outcome.as_str(),
                "severity": verdict.severity.as_str(),
                "rules": Value::from_iter(rules),
            })
        };
        json!({
            "set": self.set,
            "line": self.line,
            "label": self.label(),
            "before": verdict(&self.before),
            "after": verdict(&self.after),
        })
    }
}

fn said(verdict: &Verdict) -> String {
    let rules: Vec<&str> = verdict
        .detections
        .iter()
        .map(|found| &*found.rule)
        .collect();
    match rules.is_empty() {
        true => verdict.outcome.to_string(),
        false => format!("{} ({})", verdict.outcome, rules.join(", ")),
    }
}
