//! The form that prompts and frameworks are written in.

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use super::context::Keep;
use super::form::Form;
use super::parameter::KindWord;
use super::prompt::PromptRole;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPack {
    pub(super) prompt: RawHead,
    #[serde(default)]
    pub(super) parameters: Vec<RawParameter>,
    #[serde(default)]
    pub(super) context: Vec<RawBlock>,
    #[serde(default)]
    pub(super) partials: Vec<RawPartial>,
    #[serde(default)]
    pub(super) messages: Vec<RawMessage>,
    #[serde(default)]
    pub(super) variants: Vec<RawVariant>,
    #[serde(default)]
    pub(super) tests: Vec<RawTrial>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHead {
    pub(super) name: Spanned<String>,
    pub(super) version: Spanned<String>,
    pub(super) description: Spanned<String>,
    /// Whether it takes the place of the one of this build that has its name.
    #[serde(default)]
    pub(super) replaces: bool,
    pub(super) role: Spanned<String>,
    pub(super) instructions: Spanned<String>,
    /// JSON.
    pub(super) output_schema: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParameter {
    pub(super) name: Spanned<String>,
    #[serde(rename = "type")]
    pub(super) kind: KindWord,
    pub(super) description: String,
    #[serde(default)]
    pub(super) required: bool,
    pub(super) default: Option<Value>,
    /// Whether the application vouches for it.
    #[serde(default)]
    pub(super) trusted: bool,
    pub(super) values: Option<Vec<String>>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) min_length: Option<usize>,
    pub(super) max_length: Option<usize>,
    /// For a framework: the parameter that names the section.
    pub(super) section: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBlock {
    pub(super) name: Spanned<String>,
    /// The parameter that it is made of; one of its own name unless said.
    pub(super) parameter: Option<String>,
    /// What is worth least is cut first.
    #[serde(default)]
    pub(super) value: u32,
    #[serde(default)]
    pub(super) form: Form,
    #[serde(default)]
    pub(super) keep: Keep,
    /// A field of the items: those with the largest number are kept longest.
    pub(super) by: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPartial {
    pub(super) name: Spanned<String>,
    pub(super) text: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMessage {
    pub(super) role: PromptRole,
    pub(super) text: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVariant {
    pub(super) name: Spanned<String>,
    pub(super) share: Spanned<String>,
    pub(super) description: String,
    pub(super) role: Option<Spanned<String>>,
    pub(super) instructions: Option<Spanned<String>>,
    pub(super) output_schema: Option<Spanned<String>>,
    pub(super) messages: Option<Vec<RawMessage>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrial {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    pub(super) variant: Option<String>,
    pub(super) budget_tokens: Option<u64>,
    #[serde(default)]
    pub(super) contains: Vec<String>,
    #[serde(default)]
    pub(super) lacks: Vec<String>,
    /// Exactly these, where given.
    pub(super) messages: Option<Vec<RawGolden>>,
    /// The blocks that are cut, in order, where given.
    pub(super) cut: Option<Vec<String>>,
    /// Words of the error that must come.
    pub(super) fails: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGolden {
    pub(super) role: PromptRole,
    pub(super) text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFramework {
    pub(super) framework: RawFrameworkHead,
    #[serde(default)]
    pub(super) risk: RawRisk,
    pub(super) checkpoints: Vec<RawCheckpoint>,
    #[serde(default)]
    pub(super) sections: Vec<RawSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFrameworkHead {
    pub(super) id: Spanned<String>,
    pub(super) version: Spanned<String>,
    pub(super) name: Spanned<String>,
    pub(super) description: Spanned<String>,
    #[serde(default)]
    pub(super) replaces: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRisk {
    #[serde(default)]
    pub(super) high: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) medium: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCheckpoint {
    pub(super) id: Spanned<String>,
    pub(super) name: String,
    pub(super) look_for: Spanned<String>,
    #[serde(default)]
    pub(super) keywords: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSection {
    pub(super) id: Spanned<String>,
    #[serde(default)]
    pub(super) names: Vec<Spanned<String>>,
    pub(super) guidance: Spanned<String>,
}
