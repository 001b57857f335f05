//! `tidegate prompts test` and `lint`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tidegate_text::template::{Library, Prompt, PromptRemark};

use super::packs;
use super::print;
use crate::cli::Exit;

pub(super) const EXAMPLES: &str = "\
PACKS is a file, a folder, or builtin for the prompts of this build.

Examples:
  tidegate prompts test builtin
  tidegate prompts test prompts/ --frameworks frameworks/

Exit codes: 0 every test holds, 1 a pack does not load or a test fails, 2 usage.";

pub(super) const LINT_EXAMPLES: &str = "\
Warns of
  unused       a parameter or a block of context that no message shows
  unbounded    a text without a max_length that no budget can cut
  untested     a variant that no test renders

PACKS is a file, a folder, or builtin for the prompts of this build.

Examples:
  tidegate prompts lint prompts/

Exit codes: 0 nothing to say, 1 warnings, or a pack that does not load, 2 usage.";

/// Arguments of `prompts test` and `prompts lint`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The prompts to try
    #[arg(value_name = "PACKS")]
    packs: String,
    /// A folder of frameworks, as prompts.frameworks
    #[arg(long, value_name = "DIR")]
    frameworks: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

impl TestArgs {
    /// The prompts that the command is about; what does not load is said.
    fn load(&self) -> Result<(Library, Vec<String>), Exit> {
        packs::load(&self.packs, self.frameworks.as_deref()).map_err(|error| {
            for error in error.each() {
                eprintln!("error: {error}");
            }
            Exit::Findings
        })
    }
}

fn named<'a>(library: &'a Library, files: &[String]) -> Vec<&'a Prompt> {
    let is_named = |prompt: &&Prompt| files.is_empty() || files.contains(&prompt.pack);
    library.prompts().filter(is_named).collect()
}

pub(super) fn test(args: &TestArgs) -> Result<Exit, Exit> {
    let (library, files) = args.load()?;
    let prompts = named(&library, &files);
    let failed: Vec<_> = prompts
        .iter()
        .flat_map(|prompt| library.failed_trials(prompt))
        .collect();
    for error in &failed {
        eprintln!("error: {error}");
    }
    let tests: usize = prompts.iter().map(|prompt| prompt.trials.len()).sum();
    if args.json {
        let prompts = prompts.iter().map(|prompt| {
            json!({"prompt": prompt.name, "version": prompt.version, "tests": prompt.trials.len()})
        });
        print(prompts.map(|prompt| prompt.to_string()));
    }
    let held = tests - failed.len();
    eprintln!("{} prompts, {held} of {tests} tests hold", prompts.len());
    Ok(match failed.is_empty() {
        true => Exit::Clean,
        false => Exit::Findings,
    })
}

pub(super) fn lint(args: &TestArgs) -> Result<Exit, Exit> {
    let (library, files) = args.load()?;
    let prompts = named(&library, &files);
    let remarks: Vec<PromptRemark> = prompts
        .iter()
        .flat_map(|prompt| library.lint(prompt))
        .collect();
    print(remarks.iter().map(|remark| line(remark, args)));
    if !args.json {
        eprintln!("{} prompts, {} warnings", prompts.len(), remarks.len());
    }
    Ok(match remarks.is_empty() {
        true => Exit::Clean,
        false => Exit::Findings,
    })
}

fn line(remark: &PromptRemark, args: &TestArgs) -> String {
    let (kind, about, text) = (remark.kind, &remark.about, &remark.text);
    match args.json {
        true => json!({"kind": kind, "about": about, "message": text}).to_string(),
        false => format!("{kind}: {about}: {text}"),
    }
}
