//! What is done about what was found: a policy is a value, built in or read
//! from a file, and decides over one detection at a time.
//!
//! It reads no clock: whether a suppression has expired is asked with a time.

mod file;
mod moment;
mod suppression;
mod wildcard;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::l2::L2;
use crate::rule::Rule;
use crate::rules::Rules;
use crate::verdict::{Detection, Direction, Outcome, ScanRequest, Severity};
use crate::word::words;
pub use file::{PolicyError, PolicyProblem};
pub use moment::parse_rfc3339;
pub use suppression::Suppression;
use wildcard::Wildcard;

words! {
    /// The policies that are part of the program, the mildest first.
    pub enum Builtin {
        /// Never blocks.
        Monitor = "monitor",
        /// Blocks what is critical, from a confidence of 0.85.
        Default = "default",
        /// Blocks what is medium or worse, from a confidence of 0.5.
        Strict = "strict",
    }
}

words! {
    /// What found something.
    pub enum Layer {
        /// A rule.
        L1 = "L1",
        /// The classifier.
        L2 = "L2",
    }
}

impl Layer {
    /// What finds something under this id.
    pub fn of(rule: &str) -> Self {
        if rule == L2::RULE { Self::L2 } else { Self::L1 }
    }
}

impl Builtin {
    /// From which severity and confidence on it blocks.
    fn blocks_from(self) -> Option<(Severity, f64)> {
        match self {
            Self::Monitor => None,
            Self::Default => Some((Severity::Critical, 0.85)),
            Self::Strict => Some((Severity::Medium, 0.5)),
        }
    }

    /// Overload must not be a way around a strict guard, nor a way to stop all
    /// traffic of a milder one, for which the rules have spoken anyway.
    fn on_error(self) -> Outcome {
        match self {
            Self::Monitor | Self::Default => Outcome::Flag,
            Self::Strict => Outcome::Block,
        }
    }

    fn action(self, severity: Severity, confidence: f64) -> Outcome {
        match self.blocks_from() {
            // An address is information, not a threat: it is listed only.
            Some(_) if self == Self::Default && severity == Severity::Low => Outcome::Allow,
            Some((least, sure)) if severity >= least && confidence >= sure => Outcome::Block,
            Some(_) | None => Outcome::Flag,
        }
    }
}

/// What is done about detections. Cheap to clone.
///
/// Two policies are equal when they have the same id and the same content.
#[derive(Clone)]
pub struct Policy(Arc<Content>);

struct Content {
    id: String,
    base: Builtin,
    /// At least this is done where the second layer could not answer.
    on_error: Outcome,
    /// The one that is asked first stands first.
    rules: Vec<PolicyRule>,
    suppressions: Vec<Suppression>,
    version: String,
}

/// What is done about detections that meet all of some conditions.
#[derive(Debug)]
struct PolicyRule {
    conditions: Conditions,
    priority: u16,
    action: Outcome,
}

/// All that are there must hold; one that is not there always does.
#[derive(Debug, Default)]
struct Conditions {
    rules: Option<Vec<Wildcard>>,
    families: Option<Vec<Wildcard>>,
    severity: Option<Severity>,
    confidence: Option<(f64, f64)>,
    layers: Option<Vec<Layer>>,
    tenants: Option<Vec<Wildcard>>,
    directions: Option<Vec<Direction>>,
}

static BUILTIN: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let content = |builtin: &Builtin| Content {
        id: builtin.as_str().to_owned(),
        base: *builtin,
        on_error: builtin.on_error(),
        rules: Vec::new(),
        suppressions: Vec::new(),
        // What a program of another version does differently, it names differently.
        version: version(&format!(
            "{builtin} {:?} {}",
            builtin.blocks_from(),
            builtin.on_error()
        )),
    };
    let all = Builtin::ALL.iter().map(content);
    all.map(|content| Policy(Arc::new(content))).collect()
});

impl From<Builtin> for Policy {
    fn from(builtin: Builtin) -> Self {
        BUILTIN[builtin as usize].clone()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Builtin::Default.into()
    }
}

impl Policy {
    /// Reads a policy from the text of a file; `name` is what errors call it.
    ///
    /// # Errors
    /// [`PolicyError`] says where and what; nothing of it is used then.
    pub fn load(name: &str, text: &str) -> Result<Self, PolicyError> {
        file::load(name, text).map(|content| Self(Arc::new(content)))
    }

    /// Never blocks.
    pub fn monitor() -> Self {
        Builtin::Monitor.into()
    }

    /// Blocks what is medium or worse.
    pub fn strict() -> Self {
        Builtin::Strict.into()
    }

    /// What it is called.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// A short digest of its content: the same content, the same version.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The version together with which of its suppressions have expired: what
    /// was decided under one edition may be repeated under the same one only.
    pub fn edition(&self, at: Option<SystemTime>) -> String {
        // They expire one after the other, so their number says which.
        match self.expired(at).count() {
            0 => self.0.version.clone(),
            expired => format!("{}-{expired}", self.0.version),
        }
    }

    /// The built-in policy that this is.
    pub fn builtin(&self) -> Option<Builtin> {
        let mut all = Builtin::ALL.iter().copied();
        all.find(|builtin| Self::from(*builtin) == *self)
    }

    /// Whether it is known to let through nothing that `other` holds up: it is
    /// the same one, or both are built in and it is the stricter.
    pub fn is_at_least(&self, other: &Self) -> bool {
        match (self.builtin(), other.builtin()) {
            (Some(own), Some(other)) => own >= other,
            (Some(_) | None, Some(_) | None) => self == other,
        }
    }

    /// What is done at least where the second layer was asked and could not answer.
    pub fn on_error(&self) -> Outcome {
        self.0.on_error
    }

    /// Whether it can ever ask for a text to be redacted.
    pub fn redacts(&self) -> bool {
        let mut rules = self.0.rules.iter();
        rules.any(|rule| rule.action == Outcome::Redact)
    }

    /// What is done about `found` in the text of `request`.
    pub(crate) fn action(&self, found: &Detection, request: &ScanRequest) -> Outcome {
        let mut rules = self.0.rules.iter();
        match rules.find(|rule| rule.conditions.hold(found, request)) {
            Some(rule) => rule.action,
            None => self.0.base.action(found.severity, found.confidence),
        }
    }

    /// Whether a detection of `rule` can hold the text of `request` up. It may say
    /// so of one that never does, and is right where it says no.
    pub(crate) fn may_hold_up(&self, rule: &Rule, request: &ScanRequest) -> bool {
        let holds_up = |action: Outcome| action >= Outcome::Redact;
        let mut rules = self.0.rules.iter();
        let by_rule =
            rules.any(|policy| holds_up(policy.action) && policy.conditions.concern(rule, request));
        by_rule || holds_up(self.0.base.action(rule.severity, rule.confidence))
    }

    /// The suppression that keeps `rule` from deciding at this time.
    pub fn suppression_of(&self, rule: &str, at: Option<SystemTime>) -> Option<&Suppression> {
        let mut all = self.0.suppressions.iter();
        all.find(|one| one.names(rule) && !one.has_expired(at))
    }

    /// Suppressions that no longer do anything.
    pub fn expired(&self, at: Option<SystemTime>) -> impl Iterator<Item = &Suppression> {
        let all = self.0.suppressions.iter();
        all.filter(move |one| one.has_expired(at))
    }

    /// Patterns for rules that none of `rules` fits: most likely misspelled.
    pub fn without_rule(&self, rules: &Rules) -> Vec<&str> {
        let conditions = self.0.rules.iter().map(|rule| &rule.conditions);
        let named = conditions.flat_map(|conditions| conditions.rules.iter().flatten());
        let suppressed = self.0.suppressions.iter().map(Suppression::wildcard);
        let patterns = named.chain(suppressed);
        let fits = |pattern: &&Wildcard| {
            pattern.fits(L2::RULE) || rules.iter().any(|rule| pattern.fits(&rule.id))
        };
        let lost = patterns.filter(|pattern| !fits(pattern));
        lost.map(Wildcard::as_str).collect()
    }
}

impl Conditions {
    fn hold(&self, found: &Detection, request: &ScanRequest) -> bool {
        let confidence = |(least, most): (f64, f64)| (least..=most).contains(&found.confidence);
        self.fit(&found.rule, &found.family, found.severity)
            && self.confidence.is_none_or(confidence)
            && is_among(&self.layers, &found.layer)
            && self.is_here(request)
    }

    /// Whether they can hold for what a rule finds, however sure it is.
    fn concern(&self, rule: &Rule, request: &ScanRequest) -> bool {
        self.fit(&rule.id, &rule.family, rule.severity)
            && is_among(&self.layers, &Layer::L1)
            && self.is_here(request)
    }

    fn fit(&self, rule: &str, family: &str, severity: Severity) -> bool {
        fits(&self.rules, rule)
            && fits(&self.families, family)
            && self.severity.is_none_or(|least| severity >= least)
    }

    fn is_here(&self, request: &ScanRequest) -> bool {
        is_among(&self.directions, &request.direction)
            // Whoever is nobody's has no tenant's name.
            && (self.tenants.is_none()
                || request.tenant.as_ref().is_some_and(|name| fits(&self.tenants, name)))
    }
}

fn fits(patterns: &Option<Vec<Wildcard>>, name: &str) -> bool {
    let any = |patterns: &Vec<Wildcard>| patterns.iter().any(|one| one.fits(name));
    patterns.as_ref().is_none_or(any)
}

fn is_among<T: PartialEq>(all: &Option<Vec<T>>, one: &T) -> bool {
    all.as_ref().is_none_or(|all| all.contains(one))
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.id(), self.version()) == (other.id(), other.version())
    }
}

impl Eq for Policy {}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({} {})", self.id(), self.version())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The first 16 digits are enough to tell contents apart.
fn version(content: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"tidegate policy 1\n");
    hasher.update(content.as_bytes());
    let mut hex = crate::digest::hex(&hasher.finalize());
    hex.truncate(16);
    hex
}

#[cfg(test)]
mod tests;
