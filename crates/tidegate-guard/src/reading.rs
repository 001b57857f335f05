//! The search of one view, and what it found so far.

use std::iter;

use crate::facts::{Ending, Found, Piece, Seeker};
use crate::pack::MAX_WITHIN;
use crate::rules::{MAX_MATCH_BYTES, Place, Places, Rules};
use crate::span::spans_of;
use crate::sparse::Sparse;
use crate::tally::{Tallies, Tally};
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
    counted: Sparse<usize>,
    /// What is counted for good.
    certain: Tallies,
    /// The same with all matches that later text may change.
    tallies: Tallies,
    /// Rules whose matches are told while they wait for something near them, and
    /// the code point at which the first of those begins.
    near: Vec<usize>,
    alone: Option<usize>,
}

impl Reading {
    pub(crate) fn new(rules: &Rules, direction: Direction, blank: &Tally) -> Self {
        Self {
            seeker: rules.seeker(direction),
            read: 0,
            places: Places::default(),
            counted: Sparse::default(),
            certain: Tallies::new(blank),
            tallies: Tallies::new(blank),
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
            self.places.get_or(pattern, Vec::new).push(place);
        }
        let is_empty = |(_, places): (_, &Vec<_>)| places.is_empty();
        if findings.open.is_empty() && self.places.iter().all(is_empty) {
            self.tallies.clone_from(&self.certain);
            self.alone = None;
            return;
        }
        self.count(rules, tape, &places_of(tape, &findings.open));
        self.settle(rules, tape);
    }

    /// What was found, for each rule.
    pub(crate) fn tallies(&self) -> &Tallies {
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
        let settled: Vec<usize> = self.places.iter().map(|(_, all)| all.len()).collect();
        for (pattern, place) in open {
            self.places.get_or(*pattern, Vec::new).push(*place);
        }
        let places = &self.places;
        let counted = |pattern| self.counted.get(pattern).copied().unwrap_or_default();
        let part = |pattern, places: &[Place]| counted(pattern)..places.len();
        rules.count(places, part, &mut self.tallies);
        if !self.near.is_empty() {
            let chars = tape.chars_before() + tape.text().chars().count();
            let alone = self.near.iter();
            let alone = alone.filter_map(|rule| rules.first_alone(*rule, places, chars));
            self.alone = alone.min();
        }
        let settled = settled.into_iter().chain(iter::repeat(0));
        for ((_, places), settled) in self.places.iter_mut().zip(settled) {
            places.truncate(settled);
        }
    }

    /// Counts for good what no later match can stand near to, and drops what
    /// cannot stand near anything that is still to be counted.
    fn settle(&mut self, rules: &Rules, tape: &Tape) {
        let chars = tape.chars_before() + tape.text().chars().count();
        let certain = chars.saturating_sub(TAIL_BYTES + MAX_WITHIN);
        let counted = |pattern| self.counted.get(pattern).copied().unwrap_or_default();
        let part = |pattern, places: &[Place]| {
            let until = places.partition_point(|place| place.here.end <= certain);
            counted(pattern)..until.max(counted(pattern))
        };
        rules.count(&self.places, part, &mut self.certain);
        let near = certain.saturating_sub(TAIL_BYTES + MAX_WITHIN);
        for (pattern, places) in self.places.iter_mut() {
            let counted = self.counted.get_or(pattern, || 0);
            let until = places.partition_point(|place| place.here.end <= certain);
            *counted = until.max(*counted);
            let far = places.partition_point(|place| place.here.end < near);
            let far = far.min(*counted);
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
