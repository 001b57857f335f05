//! `tidegate prompts render`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};
use tidegate_text::template::{ParameterKind, Prompt, RenderWish, Rendered};

use super::packs::Folders;
use super::{print, refuse};
use crate::cli::{Exit, source};

pub(super) const EXAMPLES: &str = "\
Parameters come from a file, a JSON object, and then from --set and --text, which take the
place of what the file says. The messages go to standard output, what was cut to standard error.

Examples:
  tidegate prompts render chat --set question='What is new?'
  tidegate prompts render analysis --set framework=seller-investigation --set section=Summary \\
    --text content=summary.txt --budget 4000
  tidegate prompts render procedure --parameters case.json --json

Exit codes: 0 rendered, 2 usage, a pack that does not load, or a prompt that cannot be rendered.";

/// Arguments of `prompts render`.
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// Its name, for example analysis
    name: String,
    /// A file that holds the parameters as a JSON object; - is standard input
    #[arg(long, value_name = "FILE")]
    parameters: Option<PathBuf>,
    /// One parameter; text for a text, JSON for everything else; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = source::key_value)]
    set: Vec<(String, String)>,
    /// One parameter that is the text of a file; may be repeated
    #[arg(long = "text", value_name = "NAME=FILE", value_parser = source::key_value)]
    texts: Vec<(String, String)>,
    /// Tokens that the messages may have
    #[arg(long, value_name = "TOKENS")]
    budget: Option<u64>,
    /// The variant, where it is not left to the share
    #[arg(long)]
    variant: Option<String>,
    /// What stands for whoever asks, where the variant is left to the share
    #[arg(long, value_name = "KEY")]
    variant_key: Option<String>,
    #[command(flatten)]
    folders: Folders,
    /// Print one JSON object, as POST /v1/prompts/NAME/render does
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RenderArgs) -> Result<Exit, Exit> {
    let library = args.folders.load().map_err(|error| refuse(&error))?;
    let prompt = library.prompt(&args.name).map_err(|error| refuse(&error))?;
    let wish = RenderWish {
        parameters: parameters(args, prompt)?,
        budget_tokens: args.budget,
        variant: args.variant.clone(),
        key: args.variant_key.clone(),
    };
    let rendered = library
        .render(&args.name, &wish)
        .map_err(|error| refuse(&error))?;
    match args.json {
        true => print([format!("{:#}", rendered.to_json())]),
        false => show(&rendered),
    }
    Ok(Exit::Clean)
}

fn parameters(args: &RenderArgs, prompt: &Prompt) -> Result<Map<String, Value>, Exit> {
    let mut parameters = match &args.parameters {
        None => Map::new(),
        Some(file) => {
            let text = read(file)?;
            serde_json::from_str(&text).map_err(|error| {
                refuse(&format!("{} holds no JSON object: {error}", file.display()))
            })?
        }
    };
    for (name, text) in &args.set {
        let value = value(prompt, name, text)?;
        parameters.insert(name.clone(), value);
    }
    for (name, file) in &args.texts {
        parameters.insert(name.clone(), Value::String(read(Path::new(file))?));
    }
    Ok(parameters)
}

/// What is text is taken as it stands, everything else is JSON.
fn value(prompt: &Prompt, name: &str, text: &str) -> Result<Value, Exit> {
    let known = prompt
        .parameters
        .iter()
        .find(|parameter| parameter.name == name);
    let is_text = known.is_none_or(|parameter| match parameter.kind {
        ParameterKind::String { .. }
        | ParameterKind::Enum { .. }
        | ParameterKind::Framework { .. } => true,
        ParameterKind::Integer { .. }
        | ParameterKind::Number { .. }
        | ParameterKind::Boolean
        | ParameterKind::List { .. }
        | ParameterKind::Object { .. }
        | ParameterKind::Json => false,
    });
    if is_text {
        return Ok(Value::String(text.to_owned()));
    }
    serde_json::from_str(text)
        .map_err(|error| refuse(&format!("--set {name}: the value is no JSON: {error}")))
}

fn read(file: &Path) -> Result<String, Exit> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| refuse(&format!("{} cannot be read: {error}", file.display())))
}

fn show(rendered: &Rendered) {
    let message = |message: &tidegate_text::template::RenderedMessage| {
        format!("--- {}\n{}", message.role.as_str(), message.text)
    };
    print(rendered.messages.iter().map(message));
    let (prompt, version) = (&rendered.prompt, &rendered.version);
    let (variant, tokens) = (&rendered.variant, rendered.tokens);
    eprintln!("{prompt} {version}, variant {variant}, {tokens} tokens");
    for cut in &rendered.cut {
        let what = match (cut.items, cut.characters) {
            (0, characters) => format!("{characters} characters"),
            (items, 0) => format!("{items} items"),
            (items, characters) => format!("{items} items and {characters} characters"),
        };
        eprintln!("cut of {}: {what}, {} tokens", cut.block, cut.tokens);
    }
}
