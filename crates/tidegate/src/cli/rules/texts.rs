//! Labelled texts, one JSON object a line.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tidegate_guard::Direction;

#[derive(Deserialize)]
struct Line {
    text: String,
    label: u8,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    direction: Option<Direction>,
}

/// One text, and what it is.
pub(super) struct Labelled {
    pub(super) text: String,
    pub(super) is_attack: bool,
    pub(super) direction: Direction,
}

/// The texts of one file.
pub(super) struct Set {
    pub(super) name: String,
    pub(super) texts: Vec<Labelled>,
}

/// Reads all files; the first line that is wrong is named.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Set>, String> {
    paths.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> Result<Set, String> {
    let shown = path.display();
    let file = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut texts = Vec::new();
    for (number, line) in (1..).zip(file.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(line)
            .map_err(|error| format!("{shown}:{number}: {}", without_place(&error)))?;
        if line.label > 1 {
            return Err(format!("{shown}:{number}: the label is neither 0 nor 1"));
        }
        texts.push(line.into());
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(Set {
        name: name.to_string_lossy().into_owned(),
        texts,
    })
}

/// The parser counts lines from the start of what it was given.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(reason, _)| reason.to_owned())
}

impl From<Line> for Labelled {
    fn from(line: Line) -> Self {
        let kind = match line.kind.as_deref() {
            Some("indirect") => Direction::Retrieved,
            Some(_) | None => Direction::Prompt,
        };
        Self {
            text: line.text,
            is_attack: line.label == 1,
            direction: line.direction.unwrap_or(kind),
        }
    }
}
