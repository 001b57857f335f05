//! The search itself, for a text that is whole or arrives in pieces.
//!
//! A match is settled when no later text can change it. What is not settled is
//! reported as well, and looked for again when more text is there.

use std::ops::Range;

use regex_automata::Input;

use super::{Compiled, Facts};

/// A boundary of a word or a line looks this many bytes beyond a match.
const LOOK_AHEAD: usize = 4;

/// Whether more text may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Open,
    Last,
}

/// A part of a text: what is still kept of it, and what is new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a str,
    /// The byte of the whole text that `text` begins at.
    pub(crate) base: usize,
    /// The first byte of the whole text that no earlier piece held.
    pub(crate) fresh: usize,
    pub(crate) ending: Ending,
}

impl<'a> Piece<'a> {
    pub(crate) fn whole(text: &'a str) -> Self {
        Self {
            text,
            base: 0,
            fresh: 0,
            ending: Ending::Last,
        }
    }

    fn end(&self) -> usize {
        self.base + self.text.len()
    }
}

/// A match, in bytes of the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) pattern: usize,
    pub(crate) bytes: Range<usize>,
}

/// What one piece brought.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) settled: Vec<Found>,
    pub(crate) open: Vec<Found>,
}

/// How far one pattern has come.
#[derive(Clone, Debug)]
struct Lane {
    is_wanted: bool,
    /// No match that starts before this byte is looked for any more.
    resume: usize,
    /// Where a match may be: apart from each other, in order.
    windows: Vec<Range<usize>>,
}

impl Lane {
    fn add(&mut self, window: Range<usize>) {
        match self.windows.last_mut() {
            Some(last) if window.start <= last.end => last.end = last.end.max(window.end),
            Some(_) | None => self.windows.push(window),
        }
    }
}

/// The state of a search over one text.
#[derive(Clone, Debug)]
pub(crate) struct Seeker {
    lanes: Vec<Lane>,
}

impl Seeker {
    pub(crate) fn new(facts: &Facts, is_wanted: impl Fn(usize) -> bool) -> Self {
        let lane = |pattern| Lane {
            is_wanted: is_wanted(pattern),
            resume: 0,
            windows: Vec::new(),
        };
        Self {
            lanes: (0..facts.len()).map(lane).collect(),
        }
    }

    pub(crate) fn advance(&mut self, facts: &Facts, piece: &Piece<'_>) -> Findings {
        self.prefilter(facts, piece);
        let mut findings = Findings::default();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if !lane.windows.is_empty() {
                confirm(lane, (index, &facts.patterns[index]), piece, &mut findings);
            }
        }
        findings
    }

    /// Reads the new bytes once and marks where patterns may match.
    fn prefilter(&mut self, facts: &Facts, piece: &Piece<'_>) {
        for &pattern in &facts.unfiltered {
            let reach = facts.reach(pattern as usize);
            let window = piece.fresh.saturating_sub(reach)..piece.end();
            self.mark(pattern, window);
        }
        let overlap = facts.longest_literal.saturating_sub(1);
        let from = piece.fresh.saturating_sub(overlap).max(piece.base);
        let bytes = &piece.text.as_bytes()[from - piece.base..];
        for hit in facts.prefilter.find_overlapping_iter(bytes) {
            let (start, end) = (from + hit.start(), from + hit.end());
            if end <= piece.fresh {
                continue;
            }
            for &pattern in &facts.needed_by[hit.pattern().as_usize()] {
                let reach = facts.reach(pattern as usize);
                self.mark(
                    pattern,
                    end.saturating_sub(reach)..start.saturating_add(reach),
                );
            }
        }
    }

    fn mark(&mut self, pattern: u32, window: Range<usize>) {
        let lane = &mut self.lanes[pattern as usize];
        if lane.is_wanted {
            lane.add(window);
        }
    }
}

/// Runs one pattern over its windows.
fn confirm(
    lane: &mut Lane,
    (index, pattern): (usize, &Compiled),
    piece: &Piece<'_>,
    findings: &mut Findings,
) {
    let is_last = piece.ending == Ending::Last;
    let settles = |start: usize| {
        is_last
            || start
                .saturating_add(pattern.reach)
                .saturating_add(LOOK_AHEAD)
                <= piece.end()
    };
    for window in &lane.windows {
        let mut at = window.start.max(lane.resume).max(piece.base);
        let until = window.end.min(piece.end());
        while at < until {
            let input = Input::new(piece.text).span(at - piece.base..until - piece.base);
            let Some(found) = pattern.regex().search(&input) else {
                break;
            };
            let bytes = found.start() + piece.base..found.end() + piece.base;
            if bytes.len() > pattern.reach {
                // A loop ran on: a window would not always hold it all. What ends
                // here and is short enough begins near the end.
                at = (bytes.end - pattern.reach).max(bytes.start + 1);
                continue;
            }
            at = bytes.end;
            let is_settled = settles(bytes.start);
            if is_settled {
                lane.resume = bytes.end;
            }
            if !pattern.check.passes(&piece.text[found.range()]) {
                continue;
            }
            let found = Found {
                pattern: index,
                bytes,
            };
            if is_settled {
                findings.settled.push(found);
            } else if found.bytes.end < piece.end() {
                // At the very end a boundary may still turn out to be none.
                findings.open.push(found);
            }
        }
    }
    let unsettled = piece
        .end()
        .saturating_sub(pattern.reach.saturating_add(LOOK_AHEAD - 1));
    lane.resume = lane.resume.max(unsettled);
    let resume = lane.resume;
    lane.windows
        .retain(|window| !is_last && window.end > resume);
}
