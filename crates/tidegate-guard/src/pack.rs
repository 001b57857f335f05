//! Rule packs: the form that rules are written in.

use serde::Deserialize;
use toml::Spanned;

use crate::checksum::Check;
use crate::facts::PatternError;
use crate::verdict::{Direction, Severity};

/// A rule may ask for things at most this many code points from its match.
pub(crate) const MAX_WITHIN: usize = 1_000;

/// A rule has at most this many patterns.
pub(crate) const MAX_PATTERNS: usize = 16;

/// Why a pack is refused. Names places in the pack, never what they hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
}

/// What is wrong with one rule. Numbers of patterns and examples count from 0.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleProblem {
    /// Another rule, or another shared pattern, is called the same.
    #[error("the id is taken")]
    Duplicate,
    /// The id is not `family.name`.
    #[error("the id must be the family, a dot and a name of a-z, 0-9 and _")]
    Id,
    /// The confidence is no share.
    #[error("confidence {0} is not above 0 and at most 1")]
    Confidence(f64),
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
    pub(crate) pack: Pack,
    #[serde(default)]
    pub(crate) patterns: Vec<RawPattern>,
    pub(crate) rules: Vec<RawRule>,
}

/// The head of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
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
    pub(crate) examples: RawExamples,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNear {
    pub(crate) requires: Vec<String>,
    pub(crate) within: usize,
}

/// Texts that a rule must find, and texts that it must leave alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExamples {
    pub(crate) must: Vec<String>,
    pub(crate) must_not: Vec<String>,
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
            (
                !(self.confidence > 0.0 && self.confidence <= 1.0),
                RuleProblem::Confidence(self.confidence),
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
        let mut broken = problems.into_iter().filter(|(is_broken, _)| *is_broken);
        broken.next().map(|(_, problem)| problem)
    }
}

#[cfg(test)]
mod tests;
