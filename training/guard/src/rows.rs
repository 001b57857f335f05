//! The rows that are trained on and measured with.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One text with what is known about it.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// The text itself.
    pub text: String,
    /// 1 where it tries to override, redirect or jailbreak a model.
    pub label: u8,
    /// Where it comes from.
    pub source: String,
    /// What kind of text it is.
    pub kind: String,
    /// The source of the row that it was planted in.
    #[serde(skip)]
    pub carrier: Option<String>,
    /// Whether it asks a model for something where that is an attack.
    #[serde(skip)]
    pub is_request: bool,
}

impl Row {
    /// A row of our own.
    pub fn new(text: String, label: u8, source: &str) -> Self {
        Self {
            text,
            label,
            source: source.to_owned(),
            kind: if label == 1 { "attack" } else { "benign" }.to_owned(),
            carrier: None,
            is_request: false,
        }
    }

    /// True for an attack.
    pub fn is_attack(&self) -> bool {
        self.label == 1 || self.is_request
    }
}

/// Why the rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The folder or one of its files is not there.
    #[error(
        "{path} cannot be read ({reason}); training needs the rows, which are not part of this \
         repository: name the folder that holds them with --data"
    )]
    Absent {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// A line is not a row.
    #[error("{path}:{line} is no row: {reason}")]
    NoRow {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
}

/// Reads one file of rows.
pub fn read(folder: &Path, file: &str) -> Result<Vec<Row>, RowsError> {
    lines(folder.join(file))
}

/// Reads a file with one JSON object a line.
pub(crate) fn lines<T: DeserializeOwned>(path: PathBuf) -> Result<Vec<T>, RowsError> {
    let text = fs::read_to_string(&path).map_err(|reason| RowsError::Absent {
        path: path.clone(),
        reason,
    })?;
    let parse = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|reason| RowsError::NoRow {
            path: path.clone(),
            line: at + 1,
            reason,
        })
    };
    text.lines().enumerate().map(parse).collect()
}
