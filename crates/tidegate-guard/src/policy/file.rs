//! The form that policies are written in: TOML.

use serde::Deserialize;
use toml::Spanned;

use super::suppression::Suppression;
use super::wildcard::Wildcard;
use super::{Builtin, Conditions, Content, Layer, PolicyRule, moment, version};
use crate::pack::place;
use crate::verdict::{Direction, Outcome, Severity};

/// A policy has at most this many rules, and as many suppressions.
const MOST_ROWS: usize = 1_000;
/// A condition lists at most this many patterns.
const MOST_PATTERNS: usize = 256;
/// A pattern has at most this many characters.
const MOST_PATTERN_CHARS: usize = 256;
/// An id, a reason or a name has at most this many.
const MOST_TEXT_CHARS: usize = 500;
const MOST_BYTES: usize = 1 << 20;
const MOST_PRIORITY: u16 = 1_000;

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("policy {file}, line {line}, column {column}: {problem}")]
pub struct PolicyError {
    /// The name that the file was given under.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in code points.
    pub column: usize,
    /// What is wrong.
    pub problem: PolicyProblem,
}

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyProblem {
    /// It is not TOML, or a key is unknown, missing or of the wrong kind.
    #[error("{0}")]
    Syntax(String),
    /// The file is too large.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The most.
        limit: usize,
    },
    /// The id is no name.
    #[error("the id must be a name of a-z, 0-9, _ and -, at most {MOST_TEXT_CHARS} characters")]
    Id,
    /// The id is that of a policy that is part of the program.
    #[error("{0} is the name of a built-in policy; choose another id")]
    Taken(Builtin),
    /// Too much of something.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most.
        limit: usize,
    },
    /// A list in which nothing stands: it would hold for nothing.
    #[error("the list is empty; leave it out if everything is meant")]
    Empty,
    /// A pattern that no name can fit.
    #[error("a pattern has 1 to {MOST_PATTERN_CHARS} characters of a-z, 0-9, _, -, @, . and *")]
    Pattern,
    /// A suppression of everything.
    #[error(
        "a suppression of every rule switches the guard off; name a family, or use monitor as base"
    )]
    Everything,
    /// The priority is too large.
    #[error("priority {0} is outside 0 to {MOST_PRIORITY}")]
    Priority(i64),
    /// No confidence lies between the two.
    #[error("confidence needs 0 <= min <= max <= 1")]
    Confidence,
    /// There is no reason, or a very long text.
    #[error("needs 1 to {MOST_TEXT_CHARS} characters")]
    Text,
    /// Redacting is for what was found.
    #[error("on_error is allow, flag or block: nothing was found that could be redacted")]
    OnError,
    /// It does not say when.
    #[error("expires must be a time as in RFC 3339, such as 2027-01-31T00:00:00Z")]
    Expires,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    policy: RawHead,
    #[serde(default)]
    rules: Vec<RawRule>,
    #[serde(default)]
    suppressions: Vec<RawSuppression>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHead {
    id: Spanned<String>,
    base: Builtin,
    on_error: Option<Spanned<Outcome>>,
}

type Patterns = Option<Spanned<Vec<Spanned<String>>>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    action: Spanned<Outcome>,
    priority: Option<Spanned<i64>>,
    rules: Patterns,
    families: Patterns,
    severity: Option<Severity>,
    confidence: Option<Spanned<RawRange>>,
    layers: Option<Spanned<Vec<Layer>>>,
    tenants: Patterns,
    directions: Option<Spanned<Vec<Direction>>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    #[serde(default)]
    min: f64,
    #[serde(default = "certain")]
    max: f64,
}

fn certain() -> f64 {
    1.0
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuppression {
    rule: Spanned<String>,
    reason: Spanned<String>,
    expires: Option<Spanned<toml::Value>>,
    by: Option<Spanned<String>>,
}

/// What is wrong, and the byte where it stands.
type Fault = (usize, PolicyProblem);

pub(super) fn load(file: &str, text: &str) -> Result<Content, PolicyError> {
    read(text).map_err(|(byte, problem)| {
        let (line, column) = place(text, byte);
        let file = file.to_owned();
        PolicyError {
            file,
            line,
            column,
            problem,
        }
    })
}

fn read(text: &str) -> Result<Content, Fault> {
    if text.len() > MOST_BYTES {
        return Err((0, PolicyProblem::TooLarge { limit: MOST_BYTES }));
    }
    let raw: RawPolicy = toml::from_str(text).map_err(|error| {
        let byte = error.span().map_or(0, |span| span.start);
        (byte, PolicyProblem::Syntax(error.message().to_owned()))
    })?;
    let id = id(raw.policy.id)?;
    let on_error = on_error(raw.policy.base, raw.policy.on_error)?;
    if let Some(first) = raw.rules.get(MOST_ROWS) {
        return Err((first.action.span().start, too_many("rules")));
    }
    if let Some(first) = raw.suppressions.get(MOST_ROWS) {
        return Err((first.rule.span().start, too_many("suppressions")));
    }
    let rules = raw.rules.into_iter().map(rule);
    let mut rules = rules.collect::<Result<Vec<_>, _>>()?;
    // Stable: of two with the same priority the first in the file is asked first.
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    let suppressions = raw.suppressions.into_iter().map(suppression);
    Ok(Content {
        id,
        base: raw.policy.base,
        on_error,
        rules,
        suppressions: suppressions.collect::<Result<_, _>>()?,
        version: version(text),
    })
}

fn too_many(what: &'static str) -> PolicyProblem {
    let limit = MOST_ROWS;
    PolicyProblem::TooMany { what, limit }
}

fn id(id: Spanned<String>) -> Result<String, Fault> {
    let at = id.span().start;
    let id = id.into_inner();
    if let Ok(builtin) = id.parse() {
        return Err((at, PolicyProblem::Taken(builtin)));
    }
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    if !(1..=MOST_TEXT_CHARS).contains(&id.len()) || !id.chars().all(is_fine) {
        return Err((at, PolicyProblem::Id));
    }
    Ok(id)
}

/// What nobody has read cannot be redacted.
fn on_error(base: Builtin, given: Option<Spanned<Outcome>>) -> Result<Outcome, Fault> {
    match given {
        None => Ok(base.on_error()),
        Some(given) if *given.get_ref() == Outcome::Redact => {
            Err((given.span().start, PolicyProblem::OnError))
        }
        Some(given) => Ok(given.into_inner()),
    }
}

fn rule(raw: RawRule) -> Result<PolicyRule, Fault> {
    let conditions = Conditions {
        rules: patterns(raw.rules)?,
        families: patterns(raw.families)?,
        severity: raw.severity,
        confidence: raw.confidence.map(range).transpose()?,
        layers: raw.layers.map(list).transpose()?,
        tenants: patterns(raw.tenants)?,
        directions: raw.directions.map(list).transpose()?,
    };
    Ok(PolicyRule {
        conditions,
        priority: raw.priority.map_or(Ok(0), priority)?,
        action: raw.action.into_inner(),
    })
}

fn priority(given: Spanned<i64>) -> Result<u16, Fault> {
    let number = *given.get_ref();
    match u16::try_from(number) {
        Ok(fine) if fine <= MOST_PRIORITY => Ok(fine),
        _ => Err((given.span().start, PolicyProblem::Priority(number))),
    }
}

fn range(given: Spanned<RawRange>) -> Result<(f64, f64), Fault> {
    let RawRange { min, max } = *given.get_ref();
    if 0.0 <= min && min <= max && max <= 1.0 {
        Ok((min, max))
    } else {
        Err((given.span().start, PolicyProblem::Confidence))
    }
}

fn list<T>(given: Spanned<Vec<T>>) -> Result<Vec<T>, Fault> {
    let at = given.span().start;
    let list = given.into_inner();
    if list.is_empty() {
        return Err((at, PolicyProblem::Empty));
    }
    if list.len() > MOST_PATTERNS {
        let (what, limit) = ("entries in a list", MOST_PATTERNS);
        return Err((at, PolicyProblem::TooMany { what, limit }));
    }
    Ok(list)
}

fn patterns(given: Patterns) -> Result<Option<Vec<Wildcard>>, Fault> {
    let Some(given) = given else { return Ok(None) };
    list(given)?
        .iter()
        .map(pattern)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn pattern(given: &Spanned<String>) -> Result<Wildcard, Fault> {
    let text = given.get_ref();
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-@.*".contains(c);
    if (1..=MOST_PATTERN_CHARS).contains(&text.len()) && text.chars().all(is_fine) {
        Ok(Wildcard::new(text))
    } else {
        Err((given.span().start, PolicyProblem::Pattern))
    }
}

fn suppression(raw: RawSuppression) -> Result<Suppression, Fault> {
    let rule = pattern(&raw.rule)?;
    if rule.as_str().chars().all(|c| c == '*' || c == '.') {
        return Err((raw.rule.span().start, PolicyProblem::Everything));
    }
    let expires = raw.expires.map(|given| {
        let text = match given.get_ref() {
            toml::Value::String(text) => text.clone(),
            toml::Value::Datetime(time) => time.to_string(),
            // Another kind of value is no time.
            other => other.type_str().to_owned(),
        };
        moment::parse_rfc3339(&text).ok_or((given.span().start, PolicyProblem::Expires))
    });
    Ok(Suppression {
        pattern: rule,
        reason: text(raw.reason)?,
        expires: expires.transpose()?,
        by: raw.by.map(text).transpose()?,
    })
}

fn text(given: Spanned<String>) -> Result<String, Fault> {
    let at = given.span().start;
    let text = given.into_inner();
    let count = text.chars().count();
    if text.trim().is_empty() || count > MOST_TEXT_CHARS {
        return Err((at, PolicyProblem::Text));
    }
    Ok(text)
}
