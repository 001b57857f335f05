//! The search itself, for a text that is whole or arrives in pieces.
//!
//! A match is settled when no later text can change it. What is not settled is
//! reported as well, and looked for again when more text is there.

use std::ops::Range;
use std::sync::Arc;

use regex_automata::{Anchored, Input};

use crate::checksum::Check;
use crate::sparse::Sparse;

use super::lane::{Lane, Look};
use super::{Compiled, Facts};

/// A boundary of a word or a line looks this many bytes beyond a match.
pub(super) const LOOK_AHEAD: usize = 4;

/// The matches of one pattern do not overlap each other, except at these places
/// of a text: every search begins anew there, so that parts of a text can be
/// searched by themselves.
#[cfg(not(test))]
pub(crate) const BORDER_BYTES: usize = 128 * 1024;

/// Short, so that tests meet many of them.
#[cfg(test)]
pub(crate) const BORDER_BYTES: usize = 2 * 1024;

/// A search looks at two reaches and this many bytes at first, and at twice as
/// much each time that nothing is there.
const STRIDE_BYTES: usize = 256;
const MAX_STRIDE_BYTES: usize = 64 * 1024;

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

    pub(super) fn end(&self) -> usize {
        self.base + self.text.len()
    }
}

/// A match, in bytes of the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) pattern: usize,
    pub(crate) bytes: Range<usize>,
}

/// Whether later text may change a match.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Settled,
    Open,
}

/// What one piece brought.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) settled: Vec<Found>,
    pub(crate) open: Vec<Found>,
}

impl Findings {
    /// Notes a match if it passes the pattern's check. One that later text may
    /// change is open; at the very end a boundary may still turn out to be none.
    fn note(&mut self, found: Found, state: State, piece: &Piece<'_>, check: Check) {
        let bytes = found.bytes.start - piece.base..found.bytes.end - piece.base;
        if !check.passes(&piece.text[bytes]) {
            return;
        }
        match state {
            State::Settled => self.settled.push(found),
            State::Open if found.bytes.end < piece.end() => self.open.push(found),
            State::Open => {}
        }
    }
}

/// Which patterns are looked for, and whether the crowd is.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(Arc<[bool]>);

impl Facts {
    /// Those patterns that `is_wanted` says.
    pub(crate) fn wanted(&self, is_wanted: impl Fn(usize) -> bool) -> Wanted {
        let crowd = self.crowd.iter().map(|crowd| {
            let mut members = crowd.members.iter();
            members.any(|member| is_wanted(*member as usize))
        });
        let patterns = (0..self.len()).map(&is_wanted);
        Wanted(patterns.chain(crowd).collect())
    }
}

/// The state of a search over one text.
#[derive(Clone, Debug)]
pub(crate) struct Seeker {
    wanted: Wanted,
    /// Nothing is looked for that begins before this byte.
    from: usize,
    /// Of the patterns of which something was met.
    lanes: Sparse<Lane>,
}

impl Seeker {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            from: 0,
            lanes: Sparse::default(),
        }
    }

    /// A search of what begins at byte `from` or behind it.
    pub(crate) fn starting_at(self, from: usize) -> Self {
        Self { from, ..self }
    }

    pub(crate) fn advance(&mut self, facts: &Facts, piece: &Piece<'_>) -> Findings {
        self.prefilter(facts, piece);
        self.ask_crowd(facts, piece);
        let mut findings = Findings::default();
        for number in self.lanes.numbers() {
            let (Some(lane), Some(pattern)) =
                (self.lanes.get_mut(number), facts.patterns.get(number))
            else {
                continue;
            };
            if lane.windows.is_empty() {
                lane.forget_others(piece, pattern.reach);
            } else {
                confirm(lane, (number, pattern), piece, &mut findings);
            }
        }
        findings
    }

    /// Marks where a pattern of the crowd matches for all of them.
    fn ask_crowd(&mut self, facts: &Facts, piece: &Piece<'_>) {
        let Some(crowd) = &facts.crowd else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(facts.len()) else {
            return;
        };
        let free = lane.resume.max(piece.base);
        let (windows, look) = lane.arrange(&crowd.any, piece);
        let windows = windows.into_owned();
        lane.leave(piece, crowd.any.reach);
        let mut set = crowd.set();
        for window in windows {
            let mut at = window.start.max(free);
            let until = window.end.min(piece.end());
            while at < until && (look == Look::Throughout || at == window.start) {
                let found = match look {
                    Look::AtStarts => crowd.any.at(piece, at..until),
                    Look::Throughout => crowd.any.next_in(piece, at..until),
                };
                let Some(found) = found else {
                    break;
                };
                for member in crowd.which(piece.text, found.start - piece.base, &mut set) {
                    let reach = facts.reach(member as usize);
                    self.mark(facts, member, found.start..found.start + reach);
                }
                at = found.start + 1;
            }
        }
    }

    /// Reads the new bytes once and marks where patterns may match.
    fn prefilter(&mut self, facts: &Facts, piece: &Piece<'_>) {
        for &pattern in &facts.unfiltered {
            let reach = facts.reach(pattern as usize);
            let window = piece.fresh.saturating_sub(reach)..piece.end();
            self.mark(facts, pattern, window);
        }
        let overlap = facts.longest_literal.saturating_sub(1);
        let from = piece.fresh.saturating_sub(overlap).max(piece.base);
        let bytes = &piece.text.as_bytes()[from - piece.base..];
        for hit in facts.prefilter.find_overlapping_iter(bytes) {
            let (start, end) = (from + hit.start(), from + hit.end());
            if end <= piece.fresh {
                continue;
            }
            let literal = hit.pattern().as_usize();
            let is_inside = is_inside_word(piece, start);
            if is_inside && facts.only_at_border[literal] {
                continue;
            }
            for &pattern in &facts.needed_besides[literal] {
                let lane = self.lane(facts, pattern);
                if let Some(others) = lane.and_then(|lane| lane.others.as_mut()) {
                    others.add(start);
                }
            }
            for &(pattern, before) in &facts.needed_by[literal] {
                if is_inside && facts.is_at_border(pattern, before) {
                    continue;
                }
                let reach = facts.compiled(pattern as usize).reach;
                let first = start.saturating_sub(before).max(end.saturating_sub(reach));
                self.mark(facts, pattern, first..start.saturating_add(reach));
            }
        }
    }

    fn mark(&mut self, facts: &Facts, pattern: u32, window: Range<usize>) {
        if let Some(lane) = self.lane(facts, pattern) {
            lane.add(window);
        }
    }

    /// The lane of a pattern that is wanted.
    fn lane(&mut self, facts: &Facts, pattern: u32) -> Option<&mut Lane> {
        let (number, from) = (pattern as usize, self.from);
        let new = || Lane::new(facts.compiled(number), from);
        self.wanted.0[number].then(|| self.lanes.get_or(number, new))
    }
}

/// True where a word of ASCII neither begins nor ends.
fn is_inside_word(piece: &Piece<'_>, at: usize) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = piece.text.as_bytes();
    let index = at - piece.base;
    index > 0 && is_word(bytes[index - 1]) && is_word(bytes[index])
}

/// Runs one pattern over its windows.
fn confirm(
    lane: &mut Lane,
    (index, pattern): (usize, &Compiled),
    piece: &Piece<'_>,
    findings: &mut Findings,
) {
    let mut resume = lane.resume;
    let (windows, look) = lane.arrange(pattern, piece);
    let at_starts = look == Look::AtStarts;
    let mut free = resume.max(piece.base);
    for window in &*windows {
        if at_starts && window.start < free {
            continue;
        }
        let mut at = window.start.max(free);
        let until = window.end.min(piece.end());
        while at < until {
            let border = next_border(at);
            let found = match at_starts {
                true => pattern.at(piece, at..until),
                false => pattern.next_in(piece, at..until),
            };
            let bytes = match found {
                None if at_starts => break,
                Some(bytes) if bytes.start < border => bytes,
                Some(_) | None if border < until => {
                    at = border;
                    continue;
                }
                Some(_) | None => break,
            };
            at = bytes.end.min(border);
            free = at;
            let state = pattern.state(bytes.start, piece);
            if state == State::Settled {
                resume = at;
            }
            let found = Found {
                pattern: index,
                bytes,
            };
            findings.note(found, state, piece, pattern.check);
            if at_starts {
                break;
            }
        }
    }
    lane.resume = resume;
    lane.leave(piece, pattern.reach);
}

fn next_border(at: usize) -> usize {
    (at / BORDER_BYTES + 1) * BORDER_BYTES
}

impl Compiled {
    /// What later text can do to a match that begins at `start`.
    fn state(&self, start: usize, piece: &Piece<'_>) -> State {
        let needs = start.saturating_add(self.reach).saturating_add(LOOK_AHEAD);
        if piece.ending == Ending::Last || needs <= piece.end() {
            State::Settled
        } else {
            State::Open
        }
    }

    /// The match that begins where `within` does.
    fn at(&self, piece: &Piece<'_>, within: Range<usize>) -> Option<Range<usize>> {
        let end = within.end.min(within.start + self.reach);
        let input = Input::new(piece.text).span(within.start - piece.base..end - piece.base);
        let found = self.regex().search(&input.anchored(Anchored::Yes))?;
        Some(within.start..found.end() + piece.base)
    }

    /// The first match that begins in `within`.
    ///
    /// A match is what the pattern matches within its reach from where it begins:
    /// nothing farther away has a say, neither in whether it matches nor in how
    /// long the match is. So the same places come out however the text is cut,
    /// and a loop that runs on costs no more than a few reaches each time.
    fn next_in(&self, piece: &Piece<'_>, within: Range<usize>) -> Option<Range<usize>> {
        let input = |range: Range<usize>| {
            Input::new(piece.text).span(range.start - piece.base..range.end - piece.base)
        };
        let least = self.reach.saturating_mul(2).saturating_add(STRIDE_BYTES);
        let mut stride = least;
        let (mut at, until) = (within.start, within.end);
        while at < until {
            let end = until.min(at.saturating_add(stride));
            let found = self.regex().search(&input(at..end));
            let found = found.map(|m| m.start() + piece.base..m.end() + piece.base);
            let is_sure = |m: &Range<usize>| end == until || m.start + self.reach <= end;
            let Some(found) = found.filter(is_sure) else {
                if end == until {
                    return None;
                }
                at = end - self.reach;
                stride = least.max(MAX_STRIDE_BYTES.min(stride.saturating_mul(2)));
                continue;
            };
            if found.len() <= self.reach {
                return Some(found);
            }
            stride = least;
            let near = input(found.start..end.min(found.start + self.reach));
            if let Some(short) = self.regex().search(&near.anchored(Anchored::Yes)) {
                return Some(short.start() + piece.base..short.end() + piece.base);
            }
            // No match that is short enough ends before the first end of all, so
            // none begins more than a reach before it.
            let first = self
                .regex()
                .search_half(&input(found.start..end).earliest(true));
            let first = first.map_or(found.end, |half| half.offset() + piece.base);
            at = first.saturating_sub(self.reach).max(found.start + 1);
        }
        None
    }
}
