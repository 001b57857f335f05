//! Values as written, with the place they were written at.
//!
//! The file, the environment, flags and the automatic set-up all become nodes;
//! what comes after does not know which syntax a value had.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nowhere: the default holds.
    Default,
    /// In the configuration file; line and column count from 1.
    File {
        name: String,
        line: usize,
        column: usize,
    },
    /// In the environment variable of this name.
    Env(String),
    /// In the flag for this path.
    Flag(String),
}

impl Origin {
    /// Position among the layers, weakest first.
    pub(super) fn layer(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File { .. } => 1,
            Self::Env(_) => 2,
            Self::Flag(_) => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, .. } => write!(f, "{name}:{line}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(path) => write!(f, "flag --{path}"),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) raw: Raw,
    pub(super) origin: Origin,
}

/// A value as written, before its key says what it should be.
#[derive(Debug, Clone)]
pub(super) enum Raw {
    Flag(bool),
    /// Saturated at the ends of `i128`; every range is far smaller.
    Integer(i128),
    Float(f64),
    Text(String),
    /// As TOML writes it, which may lack the date, the time or the offset.
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Where the key itself stands; `value.origin` is where its value does.
    pub(super) origin: Origin,
    pub(super) value: Node,
}

impl Raw {
    /// Names the value in a message, shortened to one line.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Integer(integer) => integer.to_string(),
            Self::Float(float) => float.to_string(),
            Self::Text(text) => quoted(&shortened(text)),
            Self::Date(_) | Self::List(_) | Self::Table(_) => self.type_name().to_owned(),
        }
    }

    /// Names the type only, for values that may hold a secret.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Flag(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "text",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// `text` as a TOML string; JSON's escapes are a subset of TOML's.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007F")
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
