//! Tables of short keys.

use std::borrow::Cow;
use std::sync::LazyLock;

use foldhash::HashMap;

use super::words::is_bare_key;

/// The keys that are shortened where no other table is given.
const STANDARD: [(&str, &str); 22] = [
    ("feedback", "fb"),
    ("description", "desc"),
    ("suggestion", "sugg"),
    ("category", "cat"),
    ("risk_level", "risk"),
    ("confidence", "conf"),
    ("hawkeye_refs", "hawk"),
    ("questions", "q"),
    ("example", "ex"),
    ("section_name", "sec"),
    ("content", "cnt"),
    ("timestamp", "ts"),
    ("user_id", "uid"),
    ("session_id", "sid"),
    ("document", "doc"),
    ("analysis", "anlz"),
    ("response", "resp"),
    ("message", "msg"),
    ("status", "sts"),
    ("success", "ok"),
    ("error", "err"),
    ("result", "res"),
];

static STANDARD_TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    for (long, short) in STANDARD {
        table.short.insert(long.into(), short.into());
        table.long.insert(short.into(), long.into());
    }
    table
});

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// One short key stands for two keys, so none of them could be read back.
    #[error("two keys are shortened to {short:?}")]
    Ambiguous {
        /// The short key.
        short: String,
    },
    /// A short key that would need quotes, which mark keys that are not short.
    #[error(
        "{short:?} cannot be a short key: it may not be empty, begin or end with a space, or hold any of {{}}[]|:\"\\"
    )]
    NotBare {
        /// The short key.
        short: String,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    short: HashMap<Cow<'static, str>, Cow<'static, str>>,
    long: HashMap<Cow<'static, str>, Cow<'static, str>>,
}

/// Which keys are shortened. Text must be read with the table that it was
/// written with; what was written with none is read back with the standard one
/// or with none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Abbreviations(Choice);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Choice {
    #[default]
    Standard,
    None,
    Own(Table),
}

impl Abbreviations {
    /// The 22 of the dialect.
    pub fn standard() -> Self {
        Self(Choice::Standard)
    }

    /// Every key as it is.
    pub fn none() -> Self {
        Self(Choice::None)
    }

    /// Pairs of a key and what it is shortened to.
    ///
    /// # Errors
    /// [`TableError`] for a table that does not lead back.
    pub fn own(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, TableError> {
        let mut table = Table::default();
        for (long, short) in pairs {
            if !is_bare_key(&short) {
                return Err(TableError::NotBare { short });
            }
            if table.long.contains_key(short.as_str()) {
                return Err(TableError::Ambiguous { short });
            }
            table.long.insert(short.clone().into(), long.clone().into());
            table.short.insert(long.into(), short.into());
        }
        Ok(Self(Choice::Own(table)))
    }

    /// The keys of the standard table, and what they are shortened to.
    pub fn standard_pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
        STANDARD.into_iter()
    }

    /// What a key is shortened to.
    pub(super) fn short(&self, long: &str) -> Option<&str> {
        match &self.0 {
            Choice::Standard => STANDARD_TABLE.short.get(long).map(AsRef::as_ref),
            Choice::None => None,
            Choice::Own(table) => table.short.get(long).map(AsRef::as_ref),
        }
    }

    /// What a short key stands for.
    pub(super) fn long(&self, short: &str) -> Option<&str> {
        match &self.0 {
            Choice::Standard => STANDARD_TABLE.long.get(short).map(AsRef::as_ref),
            Choice::None => None,
            Choice::Own(table) => table.long.get(short).map(AsRef::as_ref),
        }
    }

    /// True for a key that a reader would take for a short one. Without a table
    /// that is so for the standard ones, since it may be read with it.
    pub(super) fn is_taken(&self, key: &str) -> bool {
        match &self.0 {
            Choice::Standard | Choice::None => STANDARD_TABLE.long.contains_key(key),
            Choice::Own(table) => table.long.contains_key(key),
        }
    }
}
