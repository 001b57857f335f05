//! `tidegate rules ls | show | test | lint | compare`: the rules of the guard.

mod compare;
mod lint;
mod list;
mod packs;
mod texts;
mod trial;

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_guard::{Direction, Rule};

use super::Exit;

/// Arguments of `rules`.
#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the rules of the guard
    #[command(after_help = list::EXAMPLES)]
    Ls(list::LsArgs),
    /// Show one rule with its patterns and examples
    Show(list::ShowArgs),
    /// Try the examples of packs, and count what each rule finds in labelled texts
    #[command(after_help = trial::EXAMPLES)]
    Test(trial::TestArgs),
    /// Warn of rules that are slow, undocumented or written twice
    #[command(after_help = lint::EXAMPLES)]
    Lint(lint::LintArgs),
    /// Tell which rules two packs differ in, and which texts they judge differently
    #[command(after_help = compare::EXAMPLES)]
    Compare(compare::CompareArgs),
}

pub(super) fn run(args: &RulesArgs) -> Exit {
    let exit = match &args.verb {
        Verb::Ls(args) => list::ls(args),
        Verb::Show(args) => list::show(args),
        Verb::Test(args) => trial::run(args),
        Verb::Lint(args) => lint::run(args),
        Verb::Compare(args) => compare::run(args),
    };
    exit.unwrap_or_else(|exit| exit)
}

/// Says what went wrong with the input.
fn refuse(error: &dyn std::fmt::Display) -> Exit {
    eprintln!("error: {error}");
    Exit::Usage
}

/// A closed pipe ends the listing.
fn print(lines: impl IntoIterator<Item = String>) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
}

fn directions(rule: &Rule) -> Vec<&'static str> {
    rule.directions
        .iter()
        .map(|one| Direction::as_str(*one))
        .collect()
}

fn head(rule: &Rule) -> Value {
    json!({
        "id": &*rule.id,
        "family": &*rule.family,
        "severity": rule.severity.as_str(),
        "confidence": rule.confidence,
        "directions": directions(rule),
        "message": &*rule.message,
        "layer": rule.origin.layer.as_str(),
        "pack": &*rule.origin.pack,
    })
}

fn whole(rule: &Rule) -> Value {
    let mut json = head(rule);
    json["remediation"] = Value::from(&*rule.remediation);
    json["references"] = Value::from_iter(rule.references.iter().map(String::as_str));
    json["patterns"] = Value::from_iter(rule.patterns.iter().map(String::as_str));
    json["validate"] = Value::from(rule.validate.as_str());
    json["near"] = rule.near.as_ref().map_or(
        Value::Null,
        |near| json!({"requires": near.requires, "within": near.within}),
    );
    let examples = &rule.origin.examples;
    json["examples"] = json!({"must": examples.must, "must_not": examples.must_not});
    json
}
