//! Scanning a text while it arrives.

use std::sync::Arc;

use crate::facts::Ending;
use crate::hold::Hold;
use crate::listening::Listening;
use crate::rules::Rules;
use crate::tally::Tally;
use crate::verdict::{ScanRequest, Verdict};
use crate::views::Layer;

/// New text is scanned when there is this much of it: less than is held at most.
const STEP_BYTES: usize = 256;

/// A scan of a text that arrives in pieces.
///
/// Wherever the pieces are cut, the last verdict is the one that a scan of the
/// whole text gives. Of the text only a tail of 4,160 bytes is kept. The
/// prefilter reads each byte about once (7 bytes are read again for every 256);
/// only a pattern whose literal is there reads its neighbourhood again, until no
/// later text can change the match.
#[derive(Debug)]
pub struct Follow {
    rules: Arc<Rules>,
    request: ScanRequest,
    /// All views of the text.
    layer: Layer,
    /// What has not been scanned.
    fresh: String,
    scanned_bytes: usize,
    chars: usize,
    reported: Option<Verdict>,
    hold: Hold,
    /// The classifier, where there is one.
    listening: Option<Listening>,
}

impl Follow {
    pub(crate) fn new(rules: Arc<Rules>, request: ScanRequest) -> Self {
        let watched = rules.watch(&request);
        Self {
            layer: Layer::first(request.direction, &Tally::default()).watching(&watched.near),
            hold: Hold::new(watched),
            request,
            fresh: String::new(),
            scanned_bytes: 0,
            chars: 0,
            reported: None,
            rules,
            listening: None,
        }
    }

    /// The same, with the classifier beside the rules.
    pub(crate) fn beside(self, listening: Option<Listening>) -> Self {
        Self { listening, ..self }
    }

    /// Takes the next piece. Answers when the verdict is worse than any before.
    ///
    /// Text is scanned in steps of 256 bytes, and at once where something is
    /// complete that may be blocked.
    pub fn push(&mut self, piece: &str) -> Option<Verdict> {
        self.fresh.push_str(piece);
        let is_due = self.hold.push(piece);
        if !is_due && self.fresh.len() < STEP_BYTES {
            self.hold.release();
            return None;
        }
        let verdict = self.advance(Ending::Open);
        self.hold.wait_for(self.layer.alone());
        self.hold.release();
        let is_worse = match &self.reported {
            Some(reported) => verdict.is_worse_than(reported),
            None => verdict.has_threats(),
        };
        is_worse.then(|| self.reported.insert(verdict).clone())
    }

    /// Scans what is left and gives the verdict over the whole text. No piece
    /// may follow.
    pub fn end(&mut self) -> Verdict {
        self.advance(Ending::Last)
    }

    /// The bytes from the start of the text that have been scanned. A match that
    /// has only begun before this place is found when the rest of it is there.
    pub fn scanned_bytes(&self) -> usize {
        self.scanned_bytes
    }

    /// The bytes from the start of the text that are no part of anything that may
    /// still be blocked. At most 512 code points stand behind them.
    pub fn clear_bytes(&self) -> usize {
        self.hold.clear_bytes()
    }

    /// The bytes that have arrived.
    pub fn received_bytes(&self) -> usize {
        self.hold.received_bytes()
    }

    fn advance(&mut self, ending: Ending) -> Verdict {
        self.scanned_bytes += self.fresh.len();
        if let Some(listening) = &mut self.listening {
            listening.push(&self.fresh, self.request.direction);
        }
        self.chars = self.layer.text().push_plain(&self.fresh, self.chars);
        self.fresh.clear();
        self.layer.advance(&self.rules, ending);
        let mut views = Vec::new();
        self.layer.tallies(&mut views);
        let verdict = self.rules.verdict_of(&views, &self.request);
        let verdict = verdict.noting(&self.layer);
        match &mut self.listening {
            Some(listening) => listening.join(verdict, ending, &self.request),
            None => verdict,
        }
    }
}

#[cfg(test)]
mod tests;
