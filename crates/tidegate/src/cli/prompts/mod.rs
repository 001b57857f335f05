//! `tidegate prompts ls | show | render | test | lint`: prompts and frameworks.

mod list;
mod packs;
mod render;
mod trial;

use std::io::Write as _;

use clap::{Args, Subcommand};

use super::Exit;

/// Arguments of `prompts`.
#[derive(Debug, Args)]
pub(super) struct PromptsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List prompts and frameworks
    #[command(after_help = list::EXAMPLES)]
    Ls(list::LsArgs),
    /// Show one prompt with its parameters, context and variants
    Show(list::ShowArgs),
    /// Fill a prompt with parameters and print its messages
    #[command(after_help = render::EXAMPLES)]
    Render(render::RenderArgs),
    /// Try the tests of prompts
    #[command(after_help = trial::EXAMPLES)]
    Test(trial::TestArgs),
    /// Warn of what is unused, untested or without a bound
    #[command(after_help = trial::LINT_EXAMPLES)]
    Lint(trial::TestArgs),
}

pub(super) fn run(args: &PromptsArgs) -> Exit {
    let exit = match &args.verb {
        Verb::Ls(args) => list::ls(args),
        Verb::Show(args) => list::show(args),
        Verb::Render(args) => render::run(args),
        Verb::Test(args) => trial::test(args),
        Verb::Lint(args) => trial::lint(args),
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
