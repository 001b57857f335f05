//! All rules of all packs, compiled together, and what a scan does with them.

use std::ops::Range;
use std::sync::Arc;

use crate::facts::{Facts, Piece, Seeker};
use crate::follow::Follow;
use crate::pack::{Examples, Pack, PackError};
use crate::rule::Rule;
use crate::span::{Span, spans_of};
use crate::tally::Tally;
use crate::verdict::{Detection, Direction, ScanRequest, Verdict};

/// The longest match of a rule's pattern, in bytes. A stream is followed with
/// a tail of this length, so no pattern may need more.
pub(crate) const MAX_MATCH_BYTES: usize = 4_096;

macro_rules! builtin {
    ($($name:literal),+) => {
        [$(($name, include_str!(concat!("../../../packs/guard/", $name, ".toml")))),+]
    };
}

/// The packs that are part of the program, as names and TOML texts.
pub const BUILTIN: &[(&str, &str)] = &builtin![
    "instruction_override",
    "instruction_override_languages",
    "jailbreak_persona",
    "prompt_extraction",
    "prompt_extraction_languages",
    "delimiter_spoofing",
    "encoded_payload",
    "tool_abuse",
    "command_injection",
    "tool_misuse",
    "goal_hijack",
    "context_poisoning",
    "memory_poisoning",
    "multi_agent",
    "exfiltration",
    "harmful_content",
    "secrets",
    "pii"
];

/// Rules, ready to scan.
#[derive(Debug)]
pub struct Rules {
    parts: Parts,
    facts: Facts,
    /// For each pattern one bit for each direction that needs it.
    wanted: Vec<u8>,
    version: String,
}

/// What packs bring, besides patterns.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) packs: Vec<Pack>,
    pub(crate) rules: Vec<Rule>,
    /// One for each rule.
    pub(crate) bounds: Vec<Bound>,
}

/// Where the patterns of a rule are among all patterns.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The first of its own; the others follow.
    pub(crate) first: usize,
    /// Those that must stand near.
    pub(crate) required: Vec<usize>,
}

/// Where each pattern was found, in order.
pub(crate) type Places = Vec<Vec<Span>>;

impl Rules {
    /// The rules that are part of the program.
    ///
    /// # Errors
    ///
    /// None that a release can have: the tests load them.
    pub fn builtin() -> Result<Self, PackError> {
        Self::with_folders(&[])
    }

    pub(crate) fn assemble(parts: Parts, facts: Facts, version: String) -> Self {
        let mut wanted = vec![0; facts.len()];
        for (rule, bound) in parts.rules.iter().zip(&parts.bounds) {
            let mask = rule.directions.iter().fold(0, |mask, d| mask | bit(*d));
            let own = bound.first..bound.first + rule.patterns.len();
            for pattern in own.chain(bound.required.iter().copied()) {
                wanted[pattern] |= mask;
            }
        }
        Self {
            parts,
            facts,
            wanted,
            version,
        }
    }

    /// The examples of one rule.
    pub(crate) fn examples_of(&self, rule: usize) -> &Examples {
        &self.parts.rules[rule].origin.examples
    }

    /// Gives up what the examples needed and most texts will not.
    pub(crate) fn forget_automata(&mut self) {
        self.facts.forget_automata();
    }

    /// A short digest of all packs: the same packs, the same version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The number of rules.
    pub fn len(&self) -> usize {
        self.parts.rules.len()
    }

    /// True without any rule.
    pub fn is_empty(&self) -> bool {
        self.parts.rules.is_empty()
    }

    /// All rules, in the order of the packs.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.parts.rules.iter()
    }

    /// The heads of the packs, in order.
    pub fn packs(&self) -> &[Pack] {
        &self.parts.packs
    }

    /// The patterns that run over every text because they have no literal, as
    /// the rule's id and the pattern's number.
    pub fn unfiltered(&self) -> impl Iterator<Item = &str> {
        self.facts.unfiltered()
    }

    /// The number of a rule's first pattern among all patterns.
    pub(crate) fn first_pattern(&self, rule: usize) -> usize {
        self.parts.bounds[rule].first
    }

    /// Scans a whole text.
    pub fn scan(&self, text: &str, request: &ScanRequest) -> Verdict {
        let mut seeker = self.seeker(request.direction);
        let mut tallies = vec![Tally::default(); self.parts.rules.len()];
        let settled = seeker.advance(&self.facts, &Piece::whole(text)).settled;
        if !settled.is_empty() {
            let mut places = vec![Vec::new(); self.facts.len()];
            let spans = spans_of(text, 0, settled.iter().map(|found| found.bytes.clone()));
            for (found, span) in settled.iter().zip(spans) {
                places[found.pattern].push(span);
            }
            self.count(&places, |pattern| 0..places[pattern].len(), &mut tallies);
        }
        self.verdict(&tallies, request)
    }

    /// Begins to scan a text that arrives in pieces.
    pub fn follow(self: &Arc<Self>, request: ScanRequest) -> Follow {
        Follow::new(Arc::clone(self), request)
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn seeker(&self, direction: Direction) -> Seeker {
        Seeker::new(&self.facts, |pattern| {
            self.wanted[pattern] & bit(direction) != 0
        })
    }

    /// True when rule number `rule` matches `text`, in whatever direction.
    pub(crate) fn rule_matches(&self, rule: usize, text: &str) -> bool {
        let bound = &self.parts.bounds[rule];
        let own = bound.first..bound.first + self.parts.rules[rule].patterns.len();
        let is_wanted = |p: usize| own.contains(&p) || bound.required.contains(&p);
        let mut seeker = Seeker::new(&self.facts, is_wanted);
        let mut places = vec![Vec::new(); self.facts.len()];
        let settled = seeker.advance(&self.facts, &Piece::whole(text)).settled;
        let spans = spans_of(text, 0, settled.iter().map(|found| found.bytes.clone()));
        for (found, span) in settled.iter().zip(spans) {
            places[found.pattern].push(span);
        }
        let mut own = own.flat_map(|pattern| &places[pattern]);
        own.any(|span| self.stands(rule, *span, &places))
    }

    /// Adds matches to the tallies of their rules, where what must stand near
    /// is there. `part` says which of a pattern's places are to be counted.
    pub(crate) fn count(
        &self,
        places: &Places,
        part: impl Fn(usize) -> Range<usize>,
        tallies: &mut [Tally],
    ) {
        for (index, (rule, bound)) in self.parts.rules.iter().zip(&self.parts.bounds).enumerate() {
            for number in 0..rule.patterns.len() {
                let pattern = bound.first + number;
                for span in &places[pattern][part(pattern)] {
                    if self.stands(index, *span, places) {
                        tallies[index].add(number, *span);
                    }
                }
            }
        }
    }

    /// True when all that a rule requires stands near `span`.
    fn stands(&self, rule: usize, span: Span, places: &Places) -> bool {
        let Some(near) = &self.parts.rules[rule].near else {
            return true;
        };
        let required = &self.parts.bounds[rule].required;
        required.iter().all(|pattern| {
            let places = &places[*pattern];
            // They are in order and apart, so only two of them can be nearest.
            let after = places.partition_point(|place| place.start <= span.start);
            let nearest = &places[after.saturating_sub(1)..places.len().min(after + 1)];
            nearest.iter().any(|place| place.gap(&span) <= near.within)
        })
    }

    pub(crate) fn verdict(&self, tallies: &[Tally], request: &ScanRequest) -> Verdict {
        let detection = |(rule, tally): (&Rule, &Tally)| {
            tally.first.map(|span| Detection {
                rule: Arc::clone(&rule.id),
                family: Arc::clone(&rule.family),
                severity: rule.severity,
                confidence: tally.confidence(rule),
                span,
                matches: tally.matches,
                message: Arc::clone(&rule.message),
                suppressed: request.suppresses(&rule.id),
            })
        };
        let found = self.parts.rules.iter().zip(tallies).filter_map(detection);
        Verdict::decide(request.policy, found.collect())
    }
}

fn bit(direction: Direction) -> u8 {
    1 << direction as u8
}

#[cfg(test)]
mod tests;
