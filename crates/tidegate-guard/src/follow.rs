//! Scanning a text while it arrives.

use std::sync::Arc;

use crate::facts::{Ending, Found, Piece, Seeker};
use crate::hold::Hold;
use crate::pack::MAX_WITHIN;
use crate::rules::{MAX_MATCH_BYTES, Places, Rules};
use crate::span::{Span, spans_of};
use crate::tally::Tally;
use crate::verdict::{ScanRequest, Verdict};

/// New text is scanned when there is this much of it: less than is held at most.
const STEP_BYTES: usize = 256;

/// What is kept of scanned text: the longest match, and some for boundaries.
const TAIL_BYTES: usize = MAX_MATCH_BYTES + 64;

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
    seeker: Seeker,
    /// The tail and what is new.
    buffer: String,
    /// Bytes and code points before the buffer.
    before: (usize, usize),
    scanned_bytes: usize,
    /// Settled matches that may still matter to others, and how many of each
    /// pattern's are counted for good.
    places: Places,
    counted: Vec<usize>,
    tallies: Vec<Tally>,
    reported: Option<Verdict>,
    hold: Hold,
}

impl Follow {
    pub(crate) fn new(rules: Arc<Rules>, request: ScanRequest) -> Self {
        let patterns = rules.facts().len();
        Self {
            seeker: rules.seeker(request.direction),
            buffer: String::new(),
            before: (0, 0),
            scanned_bytes: 0,
            places: vec![Vec::new(); patterns],
            counted: vec![0; patterns],
            tallies: vec![Tally::default(); rules.len()],
            reported: None,
            hold: Hold::new(rules.watch(&request)),
            request,
            rules,
        }
    }

    /// Takes the next piece. Answers when the verdict is worse than any before.
    ///
    /// Text is scanned in steps of 256 bytes, and at once where something is
    /// complete that may be blocked.
    pub fn push(&mut self, piece: &str) -> Option<Verdict> {
        self.buffer.push_str(piece);
        let is_due = self.hold.look(&self.buffer, self.before.0);
        if !is_due && self.received_bytes() - self.scanned_bytes < STEP_BYTES {
            self.hold.release(&self.buffer, self.before.0);
            return None;
        }
        let verdict = self.advance(Ending::Open);
        self.hold.release(&self.buffer, self.before.0);
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
        self.before.0 + self.buffer.len()
    }

    fn advance(&mut self, ending: Ending) -> Verdict {
        let piece = Piece {
            text: &self.buffer,
            base: self.before.0,
            fresh: self.scanned_bytes,
            ending,
        };
        let findings = self.seeker.advance(self.rules.facts(), &piece);
        self.scanned_bytes = self.received_bytes();
        for (pattern, span) in self.spans(&findings.settled) {
            self.places[pattern].push(span);
        }
        let open = self.spans(&findings.open);
        let tallies = self.tallies_with(&open);
        self.settle();
        self.forget();
        self.rules.verdict(&tallies, &self.request)
    }

    fn spans(&self, found: &[Found]) -> Vec<(usize, Span)> {
        let (bytes, chars) = self.before;
        let ranges = found
            .iter()
            .map(|found| found.bytes.start - bytes..found.bytes.end - bytes);
        let spans = spans_of(&self.buffer, chars, ranges);
        found.iter().map(|found| found.pattern).zip(spans).collect()
    }

    /// Where a code point of the text begins, or the buffer.
    fn byte_of(&self, at: usize) -> usize {
        let (bytes, chars) = self.before;
        let mut begins = self.buffer.char_indices();
        let begin = begins.nth(at.saturating_sub(chars));
        bytes + begin.map_or(self.buffer.len(), |(byte, _)| byte)
    }

    /// All that was found so far, with matches that later text may change.
    fn tallies_with(&mut self, open: &[(usize, Span)]) -> Vec<Tally> {
        let mut tallies = self.tallies.clone();
        self.hold.wait_for(None);
        if open.is_empty() && self.places.iter().all(Vec::is_empty) {
            return tallies;
        }
        let settled: Vec<usize> = self.places.iter().map(Vec::len).collect();
        for (pattern, span) in open {
            self.places[*pattern].push(*span);
        }
        let places = &self.places;
        let part = |pattern: usize| self.counted[pattern]..places[pattern].len();
        self.rules.count(places, part, &mut tallies);
        let chars = self.before.1 + self.buffer.chars().count();
        let waits = self.hold.rules().iter();
        let waits = waits.filter_map(|rule| self.rules.first_alone(*rule, places, chars));
        let waits = waits.min().map(|at| self.byte_of(at));
        self.hold.wait_for(waits);
        for (places, settled) in self.places.iter_mut().zip(settled) {
            places.truncate(settled);
        }
        tallies
    }

    /// Counts for good what no later match can stand near to, and drops what
    /// cannot stand near anything that is still to be counted.
    fn settle(&mut self) {
        if self.places.iter().all(Vec::is_empty) {
            return;
        }
        let chars = self.before.1 + self.buffer.chars().count();
        let certain = chars.saturating_sub(TAIL_BYTES + MAX_WITHIN);
        let (places, counted) = (&self.places, &self.counted);
        let until = |pattern: usize| places[pattern].partition_point(|p| p.end <= certain);
        let part = |pattern: usize| counted[pattern]..until(pattern).max(counted[pattern]);
        self.rules.count(places, part, &mut self.tallies);
        self.counted = (0..places.len()).map(|p| part(p).end).collect();
        let near = certain.saturating_sub(TAIL_BYTES + MAX_WITHIN);
        for (places, counted) in self.places.iter_mut().zip(&mut self.counted) {
            let far = places
                .partition_point(|place| place.end < near)
                .min(*counted);
            places.drain(..far);
            *counted -= far;
        }
    }

    fn forget(&mut self) {
        let far = self.buffer.len().saturating_sub(TAIL_BYTES);
        let far = self.buffer.floor_char_boundary(far);
        self.before.0 += far;
        self.before.1 += self.buffer[..far].chars().count();
        self.buffer.drain(..far);
    }
}

#[cfg(test)]
mod tests;
