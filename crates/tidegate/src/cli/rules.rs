//! `tidegate rules ls | show`: the rules of the guard.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_guard::{Direction, Rule, Rules};

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
    Ls {
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one rule with its patterns
    Show {
        /// Its id, for example secrets.jwt
        id: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &RulesArgs) -> Exit {
    let rules = match Rules::builtin() {
        Ok(rules) => rules,
        Err(error) => {
            eprintln!("error: the rules do not load: {error}");
            return Exit::Usage;
        }
    };
    match &args.verb {
        Verb::Ls { json } => {
            let line = |rule: &Rule| match json {
                true => head(rule).to_string(),
                false => text_line(rule),
            };
            print(rules.iter().map(line));
            if !json {
                eprintln!("{} rules, version {}", rules.len(), rules.version());
            }
            Exit::Clean
        }
        Verb::Show { id, json } => match rules.iter().find(|rule| *rule.id == **id) {
            Some(rule) => {
                print([match json {
                    true => format!("{:#}", whole(rule)),
                    false => text(rule),
                }]);
                Exit::Clean
            }
            None => {
                eprintln!("error: no rule has the id {id:?}; tidegate rules ls lists them");
                Exit::Usage
            }
        },
    }
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
    })
}

fn whole(rule: &Rule) -> Value {
    let mut json = head(rule);
    json["remediation"] = Value::from(&*rule.remediation);
    json["references"] = Value::from_iter(rule.references.iter().map(String::as_str));
    json["patterns"] = Value::from_iter(rule.patterns.iter().map(String::as_str));
    json["near"] = rule.near.as_ref().map_or(
        Value::Null,
        |near| json!({"requires": near.requires, "within": near.within}),
    );
    json
}

fn text_line(rule: &Rule) -> String {
    format!(
        "{:<40} {:<8} {:.2}  {}  [{}]",
        rule.id,
        rule.severity.as_str(),
        rule.confidence,
        rule.message,
        directions(rule).join(" ")
    )
}

fn text(rule: &Rule) -> String {
    let mut lines = vec![
        format!("{}  {} {:.2}", rule.id, rule.severity, rule.confidence),
        format!("  {}", rule.message),
        format!("  to do: {}", rule.remediation),
        format!("  directions: {}", directions(rule).join(", ")),
        format!("  see: {}", rule.references.join(", ")),
    ];
    for pattern in &rule.patterns {
        lines.push(format!("  pattern: {}", pattern.trim()));
    }
    if let Some(near) = &rule.near {
        let requires = near.requires.join(", ");
        lines.push(format!(
            "  near: {requires}, within {} letters",
            near.within
        ));
    }
    lines.join("\n")
}
