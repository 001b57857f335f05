//! What a prompt is asked with: typed, bounded, checked before anything is
//! rendered.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{PromptProblem, WrongParameter, closest, hint};
use super::raw::RawParameter;

/// A string or a list may be no longer than this, whatever its pack says.
pub(super) const MOST_LENGTH: usize = 1 << 20;
/// An enum has at most this many words.
const MOST_VALUES: usize = 256;

/// The words for the types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindWord {
    String,
    Integer,
    Number,
    Boolean,
    Enum,
    List,
    Object,
    Json,
    Framework,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterKind {
    /// Text; lengths are in code points.
    String {
        /// At least so long.
        min_length: usize,
        /// At most so long.
        max_length: usize,
    },
    /// A whole number.
    Integer {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// A number.
    Number {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// `true` or `false`.
    Boolean,
    /// One of a few words.
    Enum {
        /// The words.
        values: Vec<String>,
    },
    /// A list of anything; lengths are in items.
    List {
        /// At least so long.
        min_length: usize,
        /// At most so long.
        max_length: usize,
    },
    /// A JSON object; lengths are in keys.
    Object {
        /// At least so long.
        min_length: usize,
        /// At most so long.
        max_length: usize,
    },
    /// Any JSON.
    Json,
    /// The id of a framework.
    Framework {
        /// The parameter that names the section whose guidance is wanted.
        section: Option<String>,
    },
}

/// One parameter of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// What templates and callers call it.
    pub name: String,
    /// What it may be.
    pub kind: ParameterKind,
    /// What it is, for people.
    pub description: String,
    /// Whether callers must give it.
    pub required: bool,
    /// What stands for it where it is not given.
    pub default: Option<Value>,
    /// Whether it may stand where the guard does not look: it is bounded by its
    /// type, or the application vouches for it.
    pub is_trusted: bool,
}

/// What is wrong with one parameter. Never holds a value that was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterProblem {
    /// It is required and not there.
    #[error("is missing; it must be {expected}")]
    Missing {
        /// What it must be.
        expected: String,
    },
    /// It is of another type.
    #[error("must be {expected}, and is {found}")]
    Type {
        /// What it must be.
        expected: String,
        /// The type that it has.
        found: &'static str,
    },
    /// It is out of its bounds.
    #[error("must be {expected}")]
    Bounds {
        /// What it must be.
        expected: String,
    },
    /// It is too short or too long.
    #[error("has {length} {unit}; {least} to {most} are possible")]
    Length {
        /// How long it is.
        length: usize,
        /// Characters, items or keys.
        unit: &'static str,
        /// How long it must be.
        least: usize,
        /// How long it may be.
        most: usize,
    },
    /// The prompt has no such parameter.
    #[error("is not known to this prompt{}", hint(meant, known))]
    Unknown {
        /// What was probably meant.
        meant: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// No framework has the id.
    #[error("names no framework{}", hint(meant, known))]
    NoFramework {
        /// What was probably meant.
        meant: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
}

impl ParameterKind {
    /// The word for the type.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::String { .. } => "string",
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Boolean => "boolean",
            Self::Enum { .. } => "enum",
            Self::List { .. } => "list",
            Self::Object { .. } => "object",
            Self::Json => "json",
            Self::Framework { .. } => "framework",
        }
    }

    /// Whether its values come from a set that the pack or the operator made.
    fn is_bounded(&self) -> bool {
        match self {
            Self::Integer { .. }
            | Self::Number { .. }
            | Self::Boolean
            | Self::Enum { .. }
            | Self::Framework { .. } => true,
            Self::String { .. } | Self::List { .. } | Self::Object { .. } | Self::Json => false,
        }
    }

    /// The end of the sentence "it must be …".
    fn described(&self) -> String {
        match self {
            Self::String { .. } => "a string".to_owned(),
            Self::Integer { min, max } if (*min, *max) == (i64::MIN, i64::MAX) => {
                "a whole number".to_owned()
            }
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Number { min, max } if min.is_infinite() && max.is_infinite() => {
                "a number".to_owned()
            }
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Boolean => "true or false".to_owned(),
            Self::Enum { values } => format!("one of {}", values.join(", ")),
            Self::List { .. } => "a list".to_owned(),
            Self::Object { .. } => "an object".to_owned(),
            Self::Json => "JSON other than null".to_owned(),
            Self::Framework { .. } => "the id of a framework".to_owned(),
        }
    }

    fn check(&self, value: &Value) -> Result<(), ParameterProblem> {
        let mistyped = || ParameterProblem::Type {
            expected: self.described(),
            found: type_of(value),
        };
        let out_of_bounds = || ParameterProblem::Bounds {
            expected: self.described(),
        };
        match self {
            Self::String {
                min_length,
                max_length,
            } => {
                let text = value.as_str().ok_or_else(mistyped)?;
                length(text.chars().count(), "characters", *min_length, *max_length)
            }
            Self::Integer { min, max } => {
                let number = value.as_number().ok_or_else(mistyped)?;
                let whole = number.as_i64().or_else(|| whole(number.as_f64()?));
                let whole = whole.ok_or_else(out_of_bounds)?;
                let is_within = (*min..=*max).contains(&whole);
                is_within.then_some(()).ok_or_else(out_of_bounds)
            }
            Self::Number { min, max } => {
                let number = value.as_f64().ok_or_else(mistyped)?;
                let is_within = (*min..=*max).contains(&number);
                is_within.then_some(()).ok_or_else(out_of_bounds)
            }
            Self::Boolean => value.as_bool().map(drop).ok_or_else(mistyped),
            Self::Enum { values } => {
                let word = value.as_str().ok_or_else(mistyped)?;
                let is_known = values.iter().any(|known| known == word);
                is_known.then_some(()).ok_or_else(out_of_bounds)
            }
            Self::List {
                min_length,
                max_length,
            } => {
                let items = value.as_array().ok_or_else(mistyped)?;
                length(items.len(), "items", *min_length, *max_length)
            }
            Self::Object {
                min_length,
                max_length,
            } => {
                let object = value.as_object().ok_or_else(mistyped)?;
                length(object.len(), "keys", *min_length, *max_length)
            }
            Self::Json => Ok(()),
            Self::Framework { .. } => value.as_str().map(drop).ok_or_else(mistyped),
        }
    }
}

/// 3.0 is a whole number, as JSON Schema has it.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn length(
    length: usize,
    unit: &'static str,
    least: usize,
    most: usize,
) -> Result<(), ParameterProblem> {
    let problem = ParameterProblem::Length {
        length,
        unit,
        least,
        most,
    };
    let is_within = (least..=most).contains(&length);
    is_within.then_some(()).ok_or(problem)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

impl Parameter {
    /// Reads one of a pack.
    pub(super) fn of(raw: &RawParameter) -> Result<Self, PromptProblem> {
        let kind = kind(raw)?;
        if raw.required && raw.default.is_some() {
            return Err(PromptProblem::RequiredDefault);
        }
        if let Some(default) = &raw.default {
            kind.check(default).map_err(PromptProblem::Default)?;
        }
        if raw.description.trim().is_empty() {
            return Err(PromptProblem::Empty("description"));
        }
        Ok(Self {
            name: raw.name.get_ref().clone(),
            is_trusted: raw.trusted || kind.is_bounded(),
            kind,
            description: raw.description.clone(),
            required: raw.required,
            default: raw.default.clone(),
        })
    }
}

/// Refuses keys that say nothing about the type, and reads those that do.
fn kind(raw: &RawParameter) -> Result<ParameterKind, PromptProblem> {
    use KindWord as Word;
    let word = raw.kind;
    let has_range = matches!(word, Word::Integer | Word::Number);
    let has_length = matches!(word, Word::String | Word::List | Word::Object);
    let idle = [
        ("values", raw.values.is_some() && word != Word::Enum),
        ("min", raw.min.is_some() && !has_range),
        ("max", raw.max.is_some() && !has_range),
        ("min_length", raw.min_length.is_some() && !has_length),
        ("max_length", raw.max_length.is_some() && !has_length),
        ("section", raw.section.is_some() && word != Word::Framework),
    ];
    let kind = kind_of(raw)?;
    if let Some((key, _)) = idle.into_iter().find(|(_, is_idle)| *is_idle) {
        let kind = kind.as_str();
        return Err(PromptProblem::Idle { key, kind });
    }
    let is_empty = match &kind {
        ParameterKind::String {
            min_length,
            max_length,
        }
        | ParameterKind::List {
            min_length,
            max_length,
        }
        | ParameterKind::Object {
            min_length,
            max_length,
        } => min_length > max_length,
        ParameterKind::Integer { min, max } => min > max,
        ParameterKind::Number { min, max } => min > max,
        ParameterKind::Enum { values } => {
            let (what, count) = ("values", values.len());
            let (least, most) = (1, MOST_VALUES);
            if !(least..=most).contains(&count) {
                return Err(PromptProblem::Count {
                    what,
                    count,
                    least,
                    most,
                });
            }
            false
        }
        ParameterKind::Boolean | ParameterKind::Json | ParameterKind::Framework { .. } => false,
    };
    if is_empty {
        return Err(PromptProblem::Bounds);
    }
    Ok(kind)
}

fn kind_of(raw: &RawParameter) -> Result<ParameterKind, PromptProblem> {
    let min_length = raw.min_length.unwrap_or(0);
    let max_length = raw.max_length.unwrap_or(MOST_LENGTH).min(MOST_LENGTH);
    let kind = match raw.kind {
        KindWord::String => ParameterKind::String {
            min_length,
            max_length,
        },
        // A cast of a float to an integer stops at the ends of the integer.
        KindWord::Integer => ParameterKind::Integer {
            min: raw.min.map_or(i64::MIN, |min| min.ceil() as i64),
            max: raw.max.map_or(i64::MAX, |max| max.floor() as i64),
        },
        KindWord::Number => ParameterKind::Number {
            min: raw.min.unwrap_or(f64::NEG_INFINITY),
            max: raw.max.unwrap_or(f64::INFINITY),
        },
        KindWord::Boolean => ParameterKind::Boolean,
        KindWord::Enum => {
            let (key, kind) = ("values", "enum");
            let values = raw.values.clone();
            ParameterKind::Enum {
                values: values.ok_or(PromptProblem::Needs { key, kind })?,
            }
        }
        KindWord::List => ParameterKind::List {
            min_length,
            max_length,
        },
        KindWord::Object => ParameterKind::Object {
            min_length,
            max_length,
        },
        KindWord::Json => ParameterKind::Json,
        KindWord::Framework => ParameterKind::Framework {
            section: raw.section.clone(),
        },
    };
    Ok(kind)
}

/// The values of all parameters: what was given, else the default, else null.
pub(super) fn checked(
    parameters: &[Parameter],
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, Vec<WrongParameter>> {
    let (mut values, mut wrong) = (Map::new(), Vec::new());
    for parameter in parameters {
        match value_of(parameter, given.get(&parameter.name)) {
            Ok(value) => {
                values.insert(parameter.name.clone(), value);
            }
            Err(problem) => wrong.push(WrongParameter {
                name: parameter.name.clone(),
                problem,
            }),
        }
    }
    let known = || parameters.iter().map(|parameter| parameter.name.as_str());
    for name in given
        .keys()
        .filter(|name| !known().any(|known| known == *name))
    {
        wrong.push(WrongParameter {
            name: name.chars().take(64).collect(),
            problem: ParameterProblem::Unknown {
                meant: closest(name, known()),
                known: known().map(str::to_owned).collect(),
            },
        });
    }
    if wrong.is_empty() {
        Ok(values)
    } else {
        Err(wrong)
    }
}

/// Null is the same as absent.
fn value_of(parameter: &Parameter, given: Option<&Value>) -> Result<Value, ParameterProblem> {
    match given.filter(|value| !value.is_null()) {
        Some(value) => parameter.kind.check(value).map(|()| value.clone()),
        None if parameter.required => Err(ParameterProblem::Missing {
            expected: parameter.kind.described(),
        }),
        None => Ok(parameter.default.clone().unwrap_or(Value::Null)),
    }
}
