//! `tidegate prompts ls` and `show`.

use clap::Args;
use serde_json::{Value, json};
use tidegate_text::template::{Framework, Parameter, ParameterKind, Prompt};

use super::packs::Folders;
use super::{print, refuse};
use crate::cli::Exit;
use crate::prompt_report::{framework_json, prompt_json};

pub(super) const EXAMPLES: &str = "\
Examples:
  tidegate prompts ls
  tidegate prompts ls --packs prompts/ --frameworks frameworks/ --json

Exit codes: 0 listed, 2 usage, or a pack that does not load.";

/// Arguments of `prompts ls`.
#[derive(Debug, Args)]
pub(super) struct LsArgs {
    #[command(flatten)]
    folders: Folders,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `prompts show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name, for example analysis
    name: String,
    #[command(flatten)]
    folders: Folders,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn ls(args: &LsArgs) -> Result<Exit, Exit> {
    let library = args.folders.load().map_err(|error| refuse(&error))?;
    if args.json {
        let of = |kind: &str, value: Value| json!({ kind: value }).to_string();
        print(
            library
                .prompts()
                .map(|prompt| of("prompt", prompt_json(prompt))),
        );
        print(
            library
                .frameworks()
                .map(|framework| of("framework", framework_json(framework))),
        );
        return Ok(Exit::Clean);
    }
    print(library.prompts().map(prompt_line));
    print(library.frameworks().map(framework_line));
    let (prompts, frameworks) = (library.prompts().count(), library.frameworks().count());
    let version = library.version();
    eprintln!("{prompts} prompts, {frameworks} frameworks, version {version}");
    Ok(Exit::Clean)
}

fn prompt_line(prompt: &Prompt) -> String {
    let required = prompt
        .parameters
        .iter()
        .filter(|parameter| parameter.required);
    let required: Vec<&str> = required.map(|parameter| parameter.name.as_str()).collect();
    format!(
        "prompt     {:<24} {:<8} {:<7} {}  [{}]",
        prompt.name,
        prompt.version,
        prompt.layer.as_str(),
        prompt.description,
        required.join(" ")
    )
}

fn framework_line(framework: &Framework) -> String {
    format!(
        "framework  {:<24} {:<8} {}, {} checkpoints",
        framework.id,
        framework.version,
        framework.name,
        framework.checkpoints.len()
    )
}

pub(super) fn show(args: &ShowArgs) -> Result<Exit, Exit> {
    let library = args.folders.load().map_err(|error| refuse(&error))?;
    let prompt = library.prompt(&args.name).map_err(|error| refuse(&error))?;
    print([match args.json {
        true => format!("{:#}", prompt_json(prompt)),
        false => text(prompt),
    }]);
    Ok(Exit::Clean)
}

fn text(prompt: &Prompt) -> String {
    let mut lines = vec![
        format!("{} {}  {}", prompt.name, prompt.version, prompt.description),
        format!(
            "  {} pack {}, digest {}",
            prompt.layer.as_str(),
            prompt.pack,
            prompt.digest
        ),
    ];
    lines.extend(prompt.parameters.iter().map(parameter_line));
    for block in &prompt.context {
        let (name, form, keep) = (&block.name, block.form.as_str(), block.keep.as_str());
        lines.push(match block.is_fixed {
            true => format!("  context {name}: never cut, form {form}"),
            false => format!(
                "  context {name}: value {}, form {form}, keeps the {keep}",
                block.value
            ),
        });
    }
    for variant in &prompt.variants {
        let (name, share, what) = (&variant.name, variant.share, &variant.description);
        lines.push(format!("  variant {name}: {share}, {what}"));
    }
    lines.extend(
        prompt
            .trials
            .iter()
            .map(|trial| format!("  test: {}", trial.name())),
    );
    lines.join("\n")
}

fn parameter_line(parameter: &Parameter) -> String {
    let need = match (&parameter.default, parameter.required) {
        (Some(default), _) => format!("default {default}"),
        (None, true) => "required".to_owned(),
        (None, false) => "optional".to_owned(),
    };
    let kind = match &parameter.kind {
        ParameterKind::Enum { values } => format!("one of {}", values.join(", ")),
        other => other.as_str().to_owned(),
    };
    format!(
        "  {}: {kind}, {need}; {}",
        parameter.name, parameter.description
    )
}
