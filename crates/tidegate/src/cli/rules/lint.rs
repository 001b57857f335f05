//! `tidegate rules lint`.

use clap::Args;
use serde_json::json;
use tidegate_guard::Remark;

use super::{packs, print};
use crate::cli::Exit;

pub(super) const EXAMPLES: &str = "\
Warns of
  unfiltered   a pattern without a literal, which runs over every text
  slow         a counted loop over a long group, or a match that may be very long
  reference    a rule that names no catalogue of threats
  twice        a pattern that two rules have, or an id that two packs have

PACKS as for tidegate rules test.

Examples:
  tidegate rules lint packs/
  tidegate rules lint builtin --json

Exit codes: 0 nothing to say, 1 warnings, or a pack that does not load, 2 usage.";

/// Arguments of `rules lint`.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// The packs to look at
    #[arg(value_name = "PACKS")]
    packs: String,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LintArgs) -> Result<Exit, Exit> {
    let rules = match packs::load(&args.packs) {
        Ok(rules) => rules,
        Err(error) => {
            for error in error.each() {
                eprintln!("error: {error}");
            }
            return Ok(Exit::Findings);
        }
    };
    let remarks = rules.lint();
    print(remarks.iter().map(|remark| line(remark, args)));
    if !args.json {
        eprintln!("{} rules, {} warnings", rules.len(), remarks.len());
    }
    Ok(match remarks.is_empty() {
        true => Exit::Clean,
        false => Exit::Findings,
    })
}

fn line(remark: &Remark, args: &LintArgs) -> String {
    let (kind, about, text) = (remark.kind.as_str(), &remark.about, &remark.text);
    match args.json {
        true => json!({"kind": kind, "about": about, "message": text}).to_string(),
        false => format!("{kind}: {about}: {text}"),
    }
}
