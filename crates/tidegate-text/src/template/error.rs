//! What is wrong with a pack, and why a prompt cannot be rendered.

use super::parameter::ParameterProblem;
use crate::pack_folder::{self, Unreadable, lines};

/// Why packs of prompts or frameworks are refused. Names places, never what
/// stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptPackError {
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
    /// Something in it may not be as it is.
    #[error("pack {pack}, line {line}: {place}: {problem}")]
    Wrong {
        /// The name that the pack was given under.
        pack: String,
        /// From 1.
        line: usize,
        /// What it is about, such as `parameter section` or `message 2`.
        place: String,
        /// What is wrong.
        problem: PromptProblem,
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
    Several(Vec<PromptPackError>),
}

impl PromptPackError {
    /// All of `errors` as one, unless there are none.
    pub(super) fn all(errors: Vec<Self>) -> Result<(), Self> {
        pack_folder::all(errors, Self::Several)
    }

    /// Each thing that is wrong by itself.
    pub fn each(&self) -> &[Self] {
        match self {
            Self::Several(errors) => errors,
            Self::Syntax { .. } | Self::Wrong { .. } | Self::Pack { .. } | Self::Unreadable(_) => {
                std::slice::from_ref(self)
            }
        }
    }
}

/// What is wrong with one thing in a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptProblem {
    /// A name is no name.
    #[error("the name must be 1 to 64 of a-z, 0-9, _ and -, and begin with a letter or a digit")]
    Name,
    /// A version is no version.
    #[error("the version must be 1 to 32 of letters, digits, `.`, `+` and `-`")]
    Version,
    /// A name that templates use must be a word of theirs.
    #[error("the name must be 1 to 64 of a-z, 0-9 and _, and begin with a letter")]
    Word,
    /// The name means something else in templates.
    #[error("the name is taken by what every template knows: {0}")]
    Reserved(&'static str),
    /// Another one of the pack is called the same.
    #[error("stands twice in this pack")]
    Twice,
    /// Another pack has the same name.
    #[error("the name is taken by {other}; to take its place, say `replaces = true`")]
    Taken {
        /// The other pack.
        other: String,
    },
    /// Two packs of one folder have the same name.
    #[error("the name is taken by {other}, which is of the same folder")]
    TakenBeside {
        /// The other pack.
        other: String,
    },
    /// It replaces nothing.
    #[error("says `replaces = true`, and no pack of this build has the name")]
    ReplacesNothing,
    /// A key that only makes sense for another type.
    #[error("`{key}` says nothing about the type {kind}")]
    Idle {
        /// The key.
        key: &'static str,
        /// The type.
        kind: &'static str,
    },
    /// A key that the type needs.
    #[error("the type {kind} needs `{key}`")]
    Needs {
        /// The key.
        key: &'static str,
        /// The type.
        kind: &'static str,
    },
    /// A parameter that is required and has a default.
    #[error("is required and has a default; leave one of the two out")]
    RequiredDefault,
    /// The bounds contradict each other.
    #[error("the smallest is above the largest")]
    Bounds,
    /// The default breaks the parameter's own rules.
    #[error("the default {0}")]
    Default(ParameterProblem),
    /// A template is not one.
    #[error("is no template: {0}")]
    Source(String),
    /// A statement that templates of prompts do not have.
    #[error("`{{% {0} %}}` is no statement of a prompt; there are if, for and include")]
    Statement(String),
    /// An operation that makes much of little.
    #[error("`*` is no operation of a prompt")]
    Product,
    /// A variable that is none.
    #[error("names `{name}`, which is no parameter and no word of a template; {help}")]
    Unknown {
        /// What it names.
        name: String,
        /// What would be right.
        help: String,
    },
    /// What callers write stands where the guard does not look.
    #[error(
        "names `{0}`, which callers write; it may stand in messages of the role user only, where \
         the guard looks, unless the parameter says `trusted = true`"
    )]
    Untrusted(String),
    /// Untrusted text is shown and the model is not told that it is data.
    #[error(
        "shows context to the model without telling it what that is; write {{{{ data_rule }}}}"
    )]
    NoDataRule,
    /// Instructions come before everything else.
    #[error("a message of the role system stands behind one of another role")]
    SystemLate,
    /// Too few or too many.
    #[error("has {count} {what}; {least} to {most} are possible")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many it has.
        count: usize,
        /// How many it must have.
        least: usize,
        /// How many it may have.
        most: usize,
    },
    /// The output schema is no JSON object.
    #[error("the output schema is no JSON object: {0}")]
    OutputSchema(String),
    /// A share is no share.
    #[error("the share must be above 0 % and at most 100 %, with two decimals at most")]
    Share,
    /// All shares together are more than everything.
    #[error("the shares add up to more than 100 %")]
    Shares,
    /// A block that is made of nothing.
    #[error("is made of `{0}`, which is no parameter of this prompt that holds text or a list")]
    NoParameter(String),
    /// A test of the pack fails.
    #[error("{0}")]
    Trial(String),
    /// The body names something that is not there.
    #[error("names {what} {name:?}, which is not there")]
    Absent {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A text that must say something says nothing.
    #[error("`{0}` is empty")]
    Empty(&'static str),
}

/// Why a prompt cannot be rendered, told apart by what the caller can do. No
/// message holds a value that was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No prompt has the name.
    #[error("no prompt has the name {name:?}{}", hint(meant, known))]
    UnknownPrompt {
        /// What was asked for.
        name: String,
        /// What was probably meant.
        meant: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// The prompt has no such variant.
    #[error("prompt {prompt} has no variant {variant:?}; there are {}", known.join(", "))]
    UnknownVariant {
        /// The prompt.
        prompt: String,
        /// What was asked for.
        variant: String,
        /// All there are.
        known: Vec<String>,
    },
    /// Parameters are wrong, all of them.
    #[error("prompt {prompt}: {}", listed(wrong))]
    Parameters {
        /// The prompt.
        prompt: String,
        /// What is wrong, in the order of the pack, unknown ones last.
        wrong: Vec<WrongParameter>,
    },
    /// All parameters together are too much.
    #[error("prompt {prompt}: the parameters have {bytes} bytes as JSON; {limit} are possible")]
    TooMuch {
        /// The prompt.
        prompt: String,
        /// How many they have.
        bytes: usize,
        /// How many they may have.
        limit: usize,
    },
    /// The template cannot be filled with these parameters.
    #[error("prompt {prompt} (pack {pack}, line {line}): {fault}")]
    Template {
        /// The prompt.
        prompt: String,
        /// The file of the template.
        pack: String,
        /// The line there, from 1.
        line: usize,
        /// What went wrong.
        fault: Fault,
    },
    /// Even without everything that may be left out it is too long.
    #[error(
        "prompt {prompt} needs at least {needed} tokens with these parameters, and the budget is \
         {budget}; raise budget_tokens, or shorten what is required"
    )]
    Budget {
        /// The prompt.
        prompt: String,
        /// Tokens with all context left out.
        needed: u64,
        /// What was allowed.
        budget: u64,
    },
}

/// What went wrong while a template was filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It takes too many steps.
    #[error("the template took more than {limit} steps; give it shorter lists, or loop over less")]
    Steps {
        /// How many it may take.
        limit: u64,
    },
    /// It nests too deeply.
    #[error("the template nests deeper than {limit} levels")]
    Depth {
        /// How deep it may nest.
        limit: usize,
    },
    /// It writes too much.
    #[error("the message is longer than {limit} bytes; give a budget_tokens, or less context")]
    Length {
        /// How many bytes a message may have.
        limit: usize,
    },
    /// It names something that is not there.
    #[error("the template names something that is not there")]
    Undefined,
    /// It prints a parameter that was not given.
    #[error("the template prints a parameter that was not given; put it into {{% if … %}}")]
    Absent,
    /// It prints something that has no text of its own.
    #[error("the template prints a list or an object; write `| json` behind it")]
    NoText,
    /// It does what cannot be done.
    #[error("the template cannot do that: {0}")]
    Operation(String),
}

/// One parameter that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name:?} {problem}")]
pub struct WrongParameter {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub problem: ParameterProblem,
}

impl RenderError {
    /// A stable word for clients and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownPrompt { .. } => "prompt_not_found",
            Self::UnknownVariant { .. } => "invalid_parameter",
            Self::Parameters { wrong, .. } => match wrong.first().map(|first| &first.problem) {
                Some(ParameterProblem::Missing { .. }) => "missing_parameter",
                Some(_) | None => "invalid_parameter",
            },
            Self::TooMuch { .. } => "limit_exceeded",
            Self::Template { .. } => "prompt_not_rendered",
            Self::Budget { .. } => "budget_too_small",
        }
    }

    /// The field of the request that it is about, below the request for a
    /// prompt.
    pub fn param(&self) -> Option<String> {
        match self {
            Self::UnknownPrompt { .. } => Some("name".to_owned()),
            Self::UnknownVariant { .. } => Some("variant".to_owned()),
            Self::Parameters { wrong, .. } => wrong
                .first()
                .map(|first| format!("parameters.{}", first.name)),
            Self::TooMuch { .. } => Some("parameters".to_owned()),
            Self::Template { .. } => None,
            Self::Budget { .. } => Some("budget_tokens".to_owned()),
        }
    }
}

fn listed(wrong: &[WrongParameter]) -> String {
    let all: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    all.join("; ")
}

/// What was probably meant, or what there is.
pub(super) fn hint(meant: &Option<String>, known: &[String]) -> String {
    match meant {
        Some(meant) => format!("; did you mean {meant:?}?"),
        None if known.is_empty() => String::new(),
        None => format!("; there are {}", known.join(", ")),
    }
}

/// The known name that is written most alike, if one is.
pub(super) fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// Below it two names have little in common.
    const ALIKE: f64 = 0.75;
    // Comparing takes the product of both lengths.
    let name: String = name.chars().take(64).collect();
    let known = known
        .into_iter()
        .map(|known| (strsim::jaro_winkler(&name, known), known));
    let best = known.max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(alike, _)| *alike >= ALIKE)
        .map(|(_, known)| known.to_owned())
}
