//! Rule packs: the form that rules are written in.

mod folder;
pub(crate) mod layers;
mod lint;
#[cfg(test)]
mod schema;

use serde::Deserialize;
use tidegate_text::pack_folder::{self, Unreadable, lines};
use toml::Spanned;

use crate::checksum::Check;
use crate::facts::PatternError;
use crate::l2::L2;
use crate::verdict::{Direction, Severity};
use crate::word::words;

pub use folder::{PackFile, PackFolder};
pub use lint::{Remark, RemarkKind};

/// A rule may ask for things at most this many code points from its match.
pub(crate) const MAX_WITHIN: usize = 1_000;

/// A rule has at most this many patterns.
pub(crate) const MAX_PATTERNS: usize = 16;

/// An expression may have this many bytes. The longest of ours has 3,000.
pub(crate) const MAX_EXPRESSION_BYTES: usize = 8 * 1024;

/// A pack may have this many bytes; ours have 60,000 at most.
pub(crate) const MAX_PACK_BYTES: usize = 1024 * 1024;

/// All packs together may have this many rules: each scan looks at each of them.
pub(crate) const MAX_RULES: usize = 2_000;

words! {
    /// Where a pack comes from. A later layer may replace and disable rules of
    /// the ones before it.
    #[derive(Default)]
    pub enum Layer {
        /// Part of the program.
        Core = "core",
        /// Shared by the gateways of a team.
        Team = "team",
        /// Of one installation.
        #[default]
        Custom = "custom",
    }
}

/// A pack to load: its layer, what errors call it, and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// Where it comes from.
    pub layer: Layer,
    /// What errors call it: a file, as a rule.
    pub name: &'a str,
    /// TOML.
    pub text: &'a str,
}

/// Why a pack is refused. Names places in the pack, never what they hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// It is not TOML, or a key is unknown, missing or of the wrong kind.
    #[error("pack {pack}, line {line}, column {column}: {reason}")]
    Syntax {
        /// The name that the pack was given under.
        pack: String,
        /// From 1.
        line: usize,
        /// From 1, in code points.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A rule says something that it may not.
    #[error("pack {pack}, line {line}, column {column}: rule {rule}: {problem}")]
    Rule {
        /// The name that the pack was given under.
        pack: String,
        /// Where the rule's id stands, from 1.
        line: usize,
        /// From 1, in code points.
        column: usize,
        /// The rule's id, or the name of a shared pattern.
        rule: String,
        /// What is wrong with it.
        problem: RuleProblem,
    },
    /// The pack as a whole is too much.
    #[error("pack {pack}: {reason}")]
    Pack {
        /// The name that the pack was given under.
        pack: String,
        /// What is wrong, with the limit.
        reason: String,
    },
    /// A folder or a file in it cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Several things, in the order of the packs.
    #[error("{}", lines(.0))]
    Several(Vec<PackError>),
}

impl PackError {
    /// All of `errors` as one, unless there are none.
    pub(crate) fn all(errors: Vec<Self>) -> Result<(), Self> {
        pack_folder::all(errors, Self::Several)
    }

    /// Each thing that is wrong by itself.
    pub fn each(&self) -> &[Self] {
        match self {
            Self::Several(errors) => errors,
            Self::Syntax { .. } | Self::Rule { .. } | Self::Pack { .. } | Self::Unreadable(_) => {
                std::slice::from_ref(self)
            }
        }
    }
}

/// What is wrong with one rule. Numbers of patterns and examples count from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleProblem {
    /// Another rule, or another shared pattern, is called the same.
    #[error("the id is taken")]
    Duplicate,
    /// A rule of an earlier layer is called the same.
    #[error(
        "the id is taken in layer {0}; to take its place, name it in `replaces` of the pack's head"
    )]
    Taken(Layer),
    /// `replaces` or `disable` names what no earlier layer has.
    #[error("is named in `{0}`, and no pack of an earlier layer has it")]
    Absent(&'static str),
    /// `replaces` names what the pack itself does not have.
    #[error("is named in `replaces`, and the pack has no such rule; `disable` turns one off")]
    NotReplaced,
    /// The id is not `family.name`.
    #[error("the id must be the family, a dot and a name of a-z, 0-9 and _")]
    Id,
    /// The id belongs to the classifier.
    #[error("the family {0} is the classifier's; choose another")]
    Reserved(&'static str),
    /// The confidence is no share.
    #[error("confidence {0} is not above 0 and at most 1")]
    Confidence(String),
    /// A rule without severity would find what does not matter.
    #[error("severity none is no severity of a rule")]
    Severity,
    /// Too few or too many patterns.
    #[error("has {count} patterns; 1 to {limit} are possible")]
    Patterns {
        /// How many it has.
        count: usize,
        /// How many it may have.
        limit: usize,
    },
    /// An expression is too long to be read at all.
    #[error("pattern {index} has {bytes} bytes; {limit} are possible")]
    Long {
        /// Its number.
        index: usize,
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A pattern is refused.
    #[error("pattern {index} {error}")]
    Pattern {
        /// Its number.
        index: usize,
        /// Why.
        error: PatternError,
    },
    /// A name in `requires` is no shared pattern of the pack.
    #[error("requires {0}, which is no shared pattern of this pack")]
    Unknown(String),
    /// `within` is too far, or nowhere.
    #[error("near.within must be from 1 to {limit}")]
    Within {
        /// The largest distance in code points.
        limit: usize,
    },
    /// It applies nowhere.
    #[error("has no direction")]
    Directions,
    /// There is no example of one of the two kinds.
    #[error("needs examples of both kinds, `must` and `must_not`")]
    Examples,
    /// An example that must match does not.
    #[error("example must[{0}] does not match")]
    Missed(usize),
    /// An example that must not match does.
    #[error("example must_not[{0}] matches")]
    Matched(usize),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPack {
    pub(crate) pack: RawHead,
    #[serde(default)]
    pub(crate) patterns: Vec<RawPattern>,
    #[serde(default)]
    pub(crate) rules: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHead {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) name: String,
    /// Rules of earlier layers whose place those of the same id here take.
    #[serde(default)]
    pub(crate) replaces: Vec<Spanned<String>>,
    /// Rules of earlier layers that are turned off.
    #[serde(default)]
    pub(crate) disable: Vec<Spanned<String>>,
}

/// The head of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Where it comes from.
    pub layer: Layer,
    /// What the pack is called in files.
    pub id: String,
    /// The version of its rules.
    pub version: String,
    /// What it is called for people.
    pub name: String,
}

/// A pattern that rules of the pack may require near their matches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPattern {
    pub(crate) name: Spanned<String>,
    pub(crate) expression: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRule {
    pub(crate) id: Spanned<String>,
    pub(crate) family: String,
    pub(crate) severity: Severity,
    pub(crate) confidence: f64,
    pub(crate) message: String,
    pub(crate) remediation: String,
    #[serde(default = "inward")]
    pub(crate) directions: Vec<Direction>,
    pub(crate) patterns: Vec<String>,
    #[serde(default)]
    pub(crate) validate: Check,
    pub(crate) near: Option<RawNear>,
    #[serde(default)]
    pub(crate) references: Vec<String>,
    pub(crate) examples: Examples,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNear {
    pub(crate) requires: Vec<String>,
    pub(crate) within: usize,
}

/// Texts that a rule must find, and texts that it must leave alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// Each of them matches.
    pub must: Vec<String>,
    /// None of them does.
    pub must_not: Vec<String>,
}

/// Where text comes in that a model will read.
fn inward() -> Vec<Direction> {
    vec![
        Direction::Prompt,
        Direction::Retrieved,
        Direction::ToolResult,
    ]
}

/// Reads the text of a pack; `name` is what errors call it.
pub(crate) fn parse(name: &str, text: &str) -> Result<RawPack, PackError> {
    if text.len() > MAX_PACK_BYTES {
        return Err(PackError::Pack {
            pack: name.to_owned(),
            reason: format!("has {} bytes; {MAX_PACK_BYTES} are possible", text.len()),
        });
    }
    toml::from_str(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        PackError::Syntax {
            pack: name.to_owned(),
            line,
            column,
            reason: error.message().to_owned(),
        }
    })
}

/// Line and column of a byte, both from 1.
pub(crate) fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(byte)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

impl RawRule {
    /// What is wrong with the rule by itself, before its patterns are compiled.
    pub(crate) fn problem(&self) -> Option<RuleProblem> {
        let word = |word: &str| {
            let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            !word.is_empty() && word.chars().all(is_word)
        };
        let id = self.id.get_ref().split_once('.');
        let has_id = id.is_some_and(|(family, name)| family == self.family && word(name));
        let within = |near: &RawNear| (1..=MAX_WITHIN).contains(&near.within);
        let examples = &self.examples;
        let problems = [
            (!(has_id && word(&self.family)), RuleProblem::Id),
            (self.family == L2::FAMILY, RuleProblem::Reserved(L2::FAMILY)),
            (
                !(self.confidence > 0.0 && self.confidence <= 1.0),
                RuleProblem::Confidence(self.confidence.to_string()),
            ),
            (self.severity == Severity::None, RuleProblem::Severity),
            (
                !(1..=MAX_PATTERNS).contains(&self.patterns.len()),
                RuleProblem::Patterns {
                    count: self.patterns.len(),
                    limit: MAX_PATTERNS,
                },
            ),
            (
                !self.near.as_ref().is_none_or(within),
                RuleProblem::Within { limit: MAX_WITHIN },
            ),
            (self.directions.is_empty(), RuleProblem::Directions),
            (
                examples.must.is_empty() || examples.must_not.is_empty(),
                RuleProblem::Examples,
            ),
        ];
        if let Some(index) = self
            .patterns
            .iter()
            .position(|e| e.len() > MAX_EXPRESSION_BYTES)
        {
            return Some(RuleProblem::Long {
                index,
                bytes: self.patterns[index].len(),
                limit: MAX_EXPRESSION_BYTES,
            });
        }
        let mut broken = problems.into_iter().filter(|(is_broken, _)| *is_broken);
        broken.next().map(|(_, problem)| problem)
    }
}

#[cfg(test)]
mod tests;
