//! What a run comes to.

use std::fmt;

use tidegate_guard::{Outcome, Severity};

use super::input::Unread;
use super::row::Row;
use crate::cli::Exit;

/// Counts over all texts.
#[derive(Debug)]
pub(super) struct Tally {
    fail_on: Severity,
    allowed: usize,
    flagged: usize,
    blocked: usize,
    findings: usize,
    known: usize,
    failing: usize,
    skipped: usize,
    unreadable: usize,
    /// Read by the rules, and not by the classifier that was asked.
    unanswered: usize,
}

impl Tally {
    pub(super) fn new(fail_on: Severity) -> Self {
        Self {
            fail_on,
            allowed: 0,
            flagged: 0,
            blocked: 0,
            findings: 0,
            known: 0,
            failing: 0,
            skipped: 0,
            unreadable: 0,
            unanswered: 0,
        }
    }

    pub(super) fn count(&mut self, row: &Row) {
        let judged = match &row.result {
            Ok(judged) => judged,
            Err(Unread::Skipped(_)) => return self.skipped += 1,
            Err(Unread::Failed(_)) => return self.unreadable += 1,
        };
        match judged.verdict.outcome {
            Outcome::Allow => self.allowed += 1,
            // Redacting is for texts that go on; here it says that there is something.
            Outcome::Flag | Outcome::Redact => self.flagged += 1,
            Outcome::Block => self.blocked += 1,
        }
        self.unanswered += usize::from(judged.unanswered().is_some());
        self.findings += judged.counted().count();
        self.known += judged.known.as_ref().map_or(0, Vec::len);
        if fails(judged.verdict.severity, self.fail_on) {
            self.failing += 1;
        }
    }

    fn scanned(&self) -> usize {
        self.allowed + self.flagged + self.blocked
    }

    /// True when there were texts and none could be read.
    pub(super) fn is_without_texts(&self) -> bool {
        self.unreadable > 0 && self.scanned() == 0
    }

    /// The same when all that was found is known from now on.
    pub(super) fn accepted(self) -> Self {
        Self { failing: 0, ..self }
    }

    /// Findings come before what could not be read: they are certain.
    pub(super) fn exit(&self) -> Exit {
        let missing = self.unreadable + self.unanswered;
        match (self.failing, missing, self.scanned()) {
            (1.., _, _) => Exit::Findings,
            (0, 0, _) => Exit::Clean,
            (0, 1.., 0) => Exit::Usage,
            (0, 1.., 1..) => Exit::Partial,
        }
    }
}

/// True when this severity is as bad as `fail_on`; nothing is as bad as none.
pub(super) fn fails(severity: Severity, fail_on: Severity) -> bool {
    fail_on > Severity::None && severity >= fail_on
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            allowed,
            flagged,
            blocked,
            findings,
            ..
        } = self;
        write!(
            f,
            "scanned {}: {allowed} allowed, {flagged} flagged, {blocked} blocked; findings: {findings}",
            self.scanned()
        )?;
        if self.known > 0 {
            write!(f, "; known: {}", self.known)?;
        }
        if self.skipped > 0 {
            write!(f, "; skipped: {}", self.skipped)?;
        }
        if self.unreadable > 0 {
            write!(f, "; not readable: {}", self.unreadable)?;
        }
        if self.unanswered > 0 {
            write!(f, "; not read by the model: {}", self.unanswered)?;
        }
        Ok(())
    }
}
