//! One rule, as it is after loading.

use std::sync::Arc;

use crate::checksum::Check;
use crate::pack::{Examples, Layer};
use crate::verdict::{Direction, Severity};

/// What is looked for, and what it means when it is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// `family.name`, unique among all packs.
    pub id: Arc<str>,
    /// The kind of threat.
    pub family: Arc<str>,
    /// How bad a match is.
    pub severity: Severity,
    /// How sure a match of the best quality is, 0 to 1.
    pub confidence: f64,
    /// What was found, in words.
    pub message: Arc<str>,
    /// What to do about it.
    pub remediation: Arc<str>,
    /// Where in the traffic the rule applies.
    pub directions: Vec<Direction>,
    /// The expressions; one is enough.
    pub patterns: Vec<String>,
    /// What a match must pass besides.
    pub validate: Check,
    /// What must stand near a match.
    pub near: Option<Near>,
    /// Catalogues of threats that describe this one.
    pub references: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
}

/// Where a rule was written, and what it was tried on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The layer of its pack.
    pub layer: Layer,
    /// The id of its pack.
    pub pack: Arc<str>,
    /// Texts that it finds, and texts that it leaves alone.
    pub examples: Examples,
}

/// What must stand near a match of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// Names of the pack's shared patterns, each of which must be there.
    pub requires: Vec<String>,
    /// At most this many code points away.
    pub within: usize,
}
