//! Checked values, between what was written and the typed configuration.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::Sources;
use super::fingerprint::Fingerprint;
use super::guard::is_path;
use super::keys::{DATABASE_OF_URL, MEASURED, NEVER};
use super::node::{Origin, quoted};
use super::secret::HIDDEN;
use super::store::Place;

/// A value that has passed the check of its key's kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Flag(bool),
    Integer(u64),
    Share(f64),
    Threshold(Threshold),
    Address(SocketAddr),
    /// Words, names and URLs.
    Text(String),
    /// `env:NAME` or `file:PATH`, not yet read.
    Secret(String),
    Headers(Vec<(String, Item)>),
    Chain(Vec<Item>),
    /// `None` is unlimited.
    Limit(Option<u64>),
    /// Host names in lower case.
    Names(Vec<String>),
    /// The name of a policy or its file, which is read later.
    Policy(String),
    /// Paths of files.
    Files(Vec<Item>),
    Time {
        text: String,
        at: SystemTime,
    },
    Store(Place),
    /// `None` is the one of the address.
    Database(Option<u16>),
}

/// From which score on the classifier's word counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Threshold {
    /// The one that it was measured with.
    Measured,
    Never,
    At(f64),
}

/// One text of a list or table, with its own place.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// Two items are equal when they say the same, wherever they stand.
impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A checked value and where it came from.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Value {
    /// Differs where the value does, a secret's included.
    pub(super) fn fingerprint(&self, sources: &Sources<'_>) -> Fingerprint {
        match self {
            Self::Secret(text) => Fingerprint::of_secret(text, sources),
            Self::Policy(text) if is_path(text) => {
                Fingerprint::of_files(&self.shown(), [text.as_str()], sources)
            }
            Self::Files(files) => {
                let paths = files.iter().map(|file| file.text.as_str());
                Fingerprint::of_files(&self.shown(), paths, sources)
            }
            Self::Store(place) => Fingerprint::of_secret(place.written.expose(), sources),
            Self::Flag(_)
            | Self::Integer(_)
            | Self::Share(_)
            | Self::Threshold(_)
            | Self::Address(_)
            | Self::Text(_)
            | Self::Headers(_)
            | Self::Chain(_)
            | Self::Limit(_)
            | Self::Names(_)
            | Self::Policy(_)
            | Self::Database(_)
            | Self::Time { .. } => Fingerprint::of(&self.shown()),
        }
    }

    /// The value as TOML; `<hidden>` where it may be or name a secret.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Integer(integer) => integer.to_string(),
            Self::Share(share) | Self::Threshold(Threshold::At(share)) => format!("{share:?}"),
            Self::Threshold(Threshold::Measured) => quoted(MEASURED),
            Self::Threshold(Threshold::Never) => quoted(NEVER),
            Self::Address(address) => quoted(&address.to_string()),
            Self::Text(text) | Self::Policy(text) | Self::Time { text, .. } => quoted(text),
            Self::Secret(_) | Self::Headers(_) => HIDDEN.to_owned(),
            Self::Chain(chain) | Self::Files(chain) => {
                let entries: Vec<_> = chain.iter().map(|entry| quoted(&entry.text)).collect();
                format!("[{}]", entries.join(", "))
            }
            Self::Store(place) => match &place.url {
                Some(url) => quoted(&url.to_string()),
                None => HIDDEN.to_owned(),
            },
            Self::Database(Some(number)) => number.to_string(),
            Self::Database(None) => quoted(DATABASE_OF_URL),
            Self::Limit(Some(limit)) => limit.to_string(),
            Self::Limit(None) => quoted("unlimited"),
            Self::Names(names) => {
                let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
                format!("[{}]", names.join(", "))
            }
        }
    }
}
