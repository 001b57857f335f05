//! `tidegate rules ls` and `show`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tidegate_guard::{Check, PackFolder, PackLayer, Rule, Rules, Severity};

use super::{directions, head, print, refuse, whole};
use crate::cli::Exit;

pub(super) const EXAMPLES: &str = "\
Examples:
  tidegate rules ls --family secrets --severity high
  tidegate rules ls --custom-packs packs/ --layer custom --json

Exit codes: 0 listed, 2 usage, or a pack that does not load.";

/// Packs beside those of this build.
#[derive(Debug, Args)]
struct Folders {
    /// A folder of packs of the layer team, as guard.team_packs
    #[arg(long, value_name = "DIR")]
    team_packs: Option<PathBuf>,
    /// A folder of packs of the layer custom, as guard.custom_packs
    #[arg(long, value_name = "DIR")]
    custom_packs: Option<PathBuf>,
}

/// Arguments of `rules ls`.
#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// Only rules of this family
    #[arg(long)]
    family: Option<String>,
    /// Only rules that are as severe as this, or more
    #[arg(long, value_parser = words::<Severity>(&["low", "medium", "high", "critical"]))]
    severity: Option<Severity>,
    /// Only rules of this layer
    #[arg(long, value_parser = words::<PackLayer>(&["core", "team", "custom"]))]
    layer: Option<PackLayer>,
    #[command(flatten)]
    folders: Folders,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Arguments of `rules show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its id, for example secrets.jwt
    id: String,
    #[command(flatten)]
    folders: Folders,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn words<T>(all: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = tidegate_guard::UnknownWord> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(all).try_map(|word| word.parse::<T>())
}

impl Folders {
    fn load(&self) -> Result<Rules, Exit> {
        let folders = [
            (PackLayer::Team, &self.team_packs),
            (PackLayer::Custom, &self.custom_packs),
        ];
        let folders: Vec<PackFolder> = folders
            .into_iter()
            .filter_map(|(layer, path)| path.clone().map(|path| PackFolder { layer, path }))
            .collect();
        Rules::with_folders(&folders).map_err(|error| refuse(&error))
    }
}

pub(super) fn ls(args: &LsArgs) -> Result<Exit, Exit> {
    let rules = args.folders.load()?;
    if let Some(family) = &args.family
        && !rules.iter().any(|rule| *rule.family == **family)
    {
        let mut known: Vec<&str> = rules.iter().map(|rule| &*rule.family).collect();
        known.sort_unstable();
        known.dedup();
        let known = known.join(", ");
        return Err(refuse(&format!(
            "no rule is of the family {family:?}; there are {known}"
        )));
    }
    let is_wanted = |rule: &&Rule| {
        args.family
            .as_ref()
            .is_none_or(|family| *rule.family == **family)
            && args.severity.is_none_or(|least| rule.severity >= least)
            && args.layer.is_none_or(|layer| rule.origin.layer == layer)
    };
    let shown: Vec<&Rule> = rules.iter().filter(is_wanted).collect();
    print(shown.iter().map(|rule| match args.json {
        true => head(rule).to_string(),
        false => text_line(rule),
    }));
    if !args.json {
        let (of, version) = (rules.len(), rules.version());
        eprintln!("{} of {of} rules, version {version}", shown.len());
    }
    Ok(Exit::Clean)
}

pub(super) fn show(args: &ShowArgs) -> Result<Exit, Exit> {
    let rules = args.folders.load()?;
    let Some(rule) = rules.iter().find(|rule| *rule.id == *args.id) else {
        let id = &args.id;
        return Err(refuse(&format!(
            "no rule has the id {id:?}; tidegate rules ls lists them"
        )));
    };
    print([match args.json {
        true => format!("{:#}", whole(rule)),
        false => text(rule),
    }]);
    Ok(Exit::Clean)
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
    let origin = &rule.origin;
    let mut lines = vec![
        format!("{}  {} {:.2}", rule.id, rule.severity, rule.confidence),
        format!("  {}", rule.message),
        format!("  to do: {}", rule.remediation),
        format!("  directions: {}", directions(rule).join(", ")),
        format!("  see: {}", rule.references.join(", ")),
        format!("  layer: {}, pack {}", origin.layer, origin.pack),
    ];
    for pattern in &rule.patterns {
        lines.push(format!("  pattern: {}", pattern.trim()));
    }
    if rule.validate != Check::None {
        lines.push(format!("  validate: {}", rule.validate));
    }
    if let Some(near) = &rule.near {
        let requires = near.requires.join(", ");
        lines.push(format!(
            "  near: {requires}, within {} letters",
            near.within
        ));
    }
    for (word, examples) in [
        ("finds", &origin.examples.must),
        ("leaves alone", &origin.examples.must_not),
    ] {
        lines.extend(
            examples
                .iter()
                .map(|example| format!("  {word}: {example:?}")),
        );
    }
    lines.join("\n")
}
