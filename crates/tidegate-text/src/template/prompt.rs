//! A prompt: parameters, context, and the ways in which it is written.

use serde::Deserialize;

use super::context::Block;
use super::library::PromptLayer;
use super::parameter::Parameter;
use super::piece::Piece;
use super::trial::PromptTrial;
use super::variant::Variant;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptRole {
    /// Instructions of the application.
    System,
    /// What the model is asked.
    User,
    /// What the model is to have said: an example.
    Assistant,
}

impl PromptRole {
    /// All there are.
    #[cfg(test)]
    pub(super) const ALL: [Self; 3] = [Self::System, Self::User, Self::Assistant];

    /// The word of all dialects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    /// Whether the guard looks at what stands in such a message.
    pub(super) fn is_guarded(self) -> bool {
        match self {
            Self::User => true,
            Self::System | Self::Assistant => false,
        }
    }
}

/// A prompt of a pack.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// What callers name it by.
    pub name: String,
    /// Of its texts.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// Where it comes from.
    pub layer: PromptLayer,
    /// The first digits of a hash of its pack: what differs has another one.
    pub digest: String,
    /// What it is asked with.
    pub parameters: Vec<Parameter>,
    /// What it shows and could do without.
    pub context: Vec<Block>,
    /// The ways in which it is written, the base first.
    pub variants: Vec<Variant>,
    /// What its pack promises of it.
    pub trials: Vec<PromptTrial>,
    /// The file, as errors name it.
    pub pack: String,
    pub(super) partials: Vec<(String, Piece)>,
}
