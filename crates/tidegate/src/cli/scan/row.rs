//! What is known about one text.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tidegate_guard::{Detection, Severity, Verdict};

use super::input::Unread;
use super::place::Place;

/// One text and what became of it.
#[derive(Debug)]
pub(super) struct Row {
    /// Nothing for a text of the command line.
    pub(super) file: Option<PathBuf>,
    pub(super) result: Result<Judged, Unread>,
}

/// A scanned text. The text itself is gone.
#[derive(Debug)]
pub(super) struct Judged {
    /// In the shape of the endpoint.
    pub(super) json: Value,
    pub(super) verdict: Verdict,
    /// One for each detection.
    pub(super) places: Vec<Place>,
    /// Findings of a baseline; nothing where there is none.
    pub(super) known: Option<Vec<(Place, Detection)>>,
}

impl Row {
    /// What the text is called where it has to be called something.
    pub(super) fn name(&self) -> String {
        match &self.file {
            Some(file) => file.to_string_lossy().into_owned(),
            None => "<text>".to_owned(),
        }
    }

    /// The file, where it is one.
    pub(super) fn path(&self) -> Option<&Path> {
        let file = self.file.as_deref();
        file.filter(|file| file.as_os_str() != "-")
    }

    pub(super) fn to_json(&self) -> Option<Value> {
        let mut json = match &self.result {
            Ok(judged) => judged.json.clone(),
            Err(Unread::Skipped(_)) => return None,
            Err(Unread::Failed(reason)) => {
                json!({"error": {"code": "unreadable", "message": reason}})
            }
        };
        if let Some(file) = &self.file {
            json["file"] = Value::from(file.to_string_lossy());
        }
        Some(json)
    }
}

impl Judged {
    /// Detections with their places.
    pub(super) fn found(&self) -> impl Iterator<Item = (&Detection, &Place)> {
        self.verdict.detections.iter().zip(&self.places)
    }

    /// Why a classifier that was asked has said nothing, where that is so.
    pub(super) fn unanswered(&self) -> Option<&'static str> {
        self.verdict.l2.outcome.degraded()
    }

    /// The same without those that are suppressed.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&Detection, &Place)> {
        self.found().filter(|(found, _)| found.counts())
    }
}

/// The three levels that other tools know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Note,
    Warning,
    Error,
}

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::None | Severity::Low => Self::Note,
            Severity::Medium => Self::Warning,
            Severity::High | Severity::Critical => Self::Error,
        }
    }
}
