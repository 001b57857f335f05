//! The search of one view, and what it found so far.

use crate::facts::{Ending, Found, Piece, Seeker};
use crate::pack::MAX_WITHIN;
use crate::rules::{MAX_MATCH_BYTES, Place, Places, Rules};
use crate::span::spans_of;
use crate::tally::Tally;
use crate::verdict::Direction;
use crate::views::Tape;

/// What is kept of scanned text: the longest match, and some for boundaries.
pub(crate) const TAIL_BYTES: usize = MAX_MATCH_BYTES + 64;

/// The search of a tape that grows.
#[derive(Debug)]
pub(crate) struct Reading {
    seeker: Seeker,
    /// What has been searched of the tape.
    read: usize,
    /// Settled matches that may still matter to others, and how many of each
    /// pattern's are counted for good.
    pub(crate) places: Places,
    counted: Vec<usize>,
    /// What is counted for good.
    certain: Vec<Tally>,
    /// The same with all matches that later text may change.
    tallies: Vec<Tally>,
    /// Rules whose matches are told while they wait for something near them, and
    /// the code point at which the first of those begins.
    near: Vec<usize>,
    alone: Option<usize>,
}

impl Reading {
    pub(crate) fn new(rules: &Rules, direction: Direction, blank: &Tally) -> Self {
        let patterns = rules.facts().len();
        Self {
            seeker: rules.seeker(direction),
            read: 0,
            places: vec![Vec::new(); patterns],
            counted: vec![0; patterns],
            certain: vec![blank.clone(); rules.len()],
            tallies: vec![blank.clone(); rules.len()],
            near: Vec::new(),
            alone: None,
        }
    }

    /// Searches what is new on the tape.
    pub(crate) fn advance(&mut self, rules: &Rules, tape: &Tape, ending: Ending) {
        if self.read == tape.end() && ending == Ending::Open {
            return;
        }
        let piece = Piece {
            text: tape.text(),
            base: tape.base(),
            fresh: self.read,
            ending,
        };
        let findings = self.seeker.advance(rules.facts(), &piece);
        self.read = tape.end();
        for (pattern, place) in places_of(tape, &findings.settled) {
            self.places[pattern].push(place);
        }
        if findings.open.is_empty() && self.places.iter().all(Vec::is_empty) {
            self.tallies.clone_from(&self.certain);
            self.alone = None;
            return;
        }
        self.count(rules, tape, &places_of(tape, &findings.open));
        self.settle(rules, tape);
    }

    /// What was found, for each rule.
    pub(crate) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The same, telling of matches of these rules that wait for something near.
    pub(crate) fn watching(mut self, near: &[usize]) -> Self {
        self.near = near.to_vec();
        self
    }

    /// The code point at which the first such match begins.
    pub(crate) fn alone(&self) -> Option<usize> {
        self.alone
    }

    fn count(&mut self, rules: &Rules, tape: &Tape, open: &[(usize, Place)]) {
        self.tallies.clone_from(&self.certain);
        let settled: Vec<usize> = self.places.iter().map(Vec::len).collect();
        for (pattern, place) in open {
            self.places[*pattern].push(*place);
        }
        let places = &self.places;
        let part = |pattern: usize| self.counted[pattern]..places[pattern].len();
        rules.count(places, part, &mut self.tallies);
        if !self.near.is_empty() {
            let chars = tape.chars_before() + tape.text().chars().count();
            let alone = self.near.iter();
            let alone = alone.filter_map(|rule| rules.first_alone(*rule, places, chars));
            self.alone = alone.min();
        }
        for (places, settled) in self.places.iter_mut().zip(settled) {
            places.truncate(settled);
        }
    }

    /// Counts for good what no later match can stand near to, and drops what
    /// cannot stand near anything that is still to be counted.
    fn settle(&mut self, rules: &Rules, tape: &Tape) {
        let chars = tape.chars_before() + tape.text().chars().count();
        let certain = chars.saturating_sub(TAIL_BYTES + MAX_WITHIN);
        let (places, counted) = (&self.places, &self.counted);
        let until = |pattern: usize| places[pattern].partition_point(|p| p.here.end <= certain);
        let part = |pattern: usize| counted[pattern]..until(pattern).max(counted[pattern]);
        rules.count(places, part, &mut self.certain);
        self.counted = (0..places.len()).map(|p| part(p).end).collect();
        let near = certain.saturating_sub(TAIL_BYTES + MAX_WITHIN);
        for (places, counted) in self.places.iter_mut().zip(&mut self.counted) {
            let far = places
                .partition_point(|place| place.here.end < near)
                .min(*counted);
            places.drain(..far);
            *counted -= far;
        }
    }
}

/// The places of matches on a tape.
pub(crate) fn places_of(tape: &Tape, found: &[Found]) -> Vec<(usize, Place)> {
    let ranges = found
        .iter()
        .map(|found| found.bytes.start - tape.base()..found.bytes.end - tape.base());
    let spans = spans_of(tape.text(), tape.chars_before(), ranges);
    let place = |(found, here): (&Found, _)| {
        let place = Place {
            here,
            origin: tape.span(&found.bytes),
        };
        (found.pattern, place)
    };
    found.iter().zip(spans).map(place).collect()
}
