//! All rules of all packs, compiled together, and what a scan does with them.

use std::ops::Range;
use std::sync::Arc;

use crate::facts::{Ending, Facts, PatternError, Piece, Seeker, Wanted};
use crate::follow::Follow;
use crate::pack::{Examples, Pack, PackError};
use crate::policy::Layer;
use crate::reading::{Reading, places_of};
use crate::rule::Rule;
use crate::span::Span;
use crate::sparse::Sparse;
use crate::tally::{Tallies, Tally};
use crate::verdict::{Detection, Direction, Outcome, ScanRequest, Verdict};
use crate::views::{Layer as View, Tape};
use crate::watches::{Watched, Watches};

/// The longest match of a rule's pattern, in bytes. A stream is followed with
/// a tail of this length, so no pattern may need more.
pub(crate) const MAX_MATCH_BYTES: usize = 4_096;

/// Rules of this family are about disguises themselves. What they find is in the
/// text as it is; no view that undoes disguises has a say.
const DISGUISES: &str = "encoded_payload";

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
    /// For each pattern the rule whose own it is.
    owners: Vec<Option<usize>>,
    /// For each direction the patterns that it needs.
    wanted: Vec<Wanted>,
    version: String,
    watches: Watches,
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

/// Where a pattern was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// In the view that it was found in.
    pub(crate) here: Span,
    /// In the original text.
    pub(crate) origin: Span,
}

/// Where each pattern was found, in order.
pub(crate) type Places = Sparse<Vec<Place>>;

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
        let mut owners = vec![None; facts.len()];
        for (rule, bound) in parts.bounds.iter().enumerate() {
            let own = bound.first..bound.first + parts.rules[rule].patterns.len();
            owners[own].fill(Some(rule));
        }
        let wanted = Direction::ALL.iter().map(|direction| {
            let mut wanted = vec![false; facts.len()];
            let rules = parts.rules.iter().zip(&parts.bounds);
            for (rule, bound) in rules.filter(|(rule, _)| rule.directions.contains(direction)) {
                let own = bound.first..bound.first + rule.patterns.len();
                for pattern in own.chain(bound.required.iter().copied()) {
                    wanted[pattern] = true;
                }
            }
            facts.wanted(|pattern| wanted[pattern])
        });
        let wanted = wanted.collect();
        Self {
            parts,
            facts,
            owners,
            wanted,
            version,
            watches: Watches::default(),
        }
    }

    /// Rule number `number`.
    pub(crate) fn rule(&self, number: usize) -> &Rule {
        &self.parts.rules[number]
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

    /// The patterns of one rule.
    fn patterns_of(&self, rule: usize) -> Range<usize> {
        let first = self.first_pattern(rule);
        first..first + self.parts.rules[rule].patterns.len()
    }

    /// Scans a whole text.
    pub fn scan(&self, text: &str, request: &ScanRequest) -> Verdict {
        let view = self.read(text, request.direction, &Tally::default());
        let mut views = Vec::new();
        view.tallies(&mut views);
        self.verdict_of(&views, request).noting(&view)
    }

    fn read(&self, text: &str, direction: Direction, blank: &Tally) -> View {
        let mut view = View::first(direction, blank);
        view.read_all(text, |view, ending| view.advance(self, ending));
        view
    }

    /// What each rule found in a whole text, counted from `blank` on.
    pub(crate) fn tallies(&self, text: &str, direction: Direction, blank: &Tally) -> Tallies {
        let view = self.read(text, direction, blank);
        let mut views = Vec::new();
        view.tallies(&mut views);
        merged(&views, &self.parts.rules)
    }

    /// Scans a text as it is, with its disguises: what measurements compare a scan
    /// with.
    #[doc(hidden)]
    pub fn scan_as_is(&self, text: &str, request: &ScanRequest) -> Verdict {
        let mut tape = Tape::default();
        tape.push_plain(text, 0);
        let mut reading = Reading::new(self, request.direction, &Tally::default());
        reading.advance(self, &tape, Ending::Last);
        self.verdict(reading.tallies(), request)
    }

    /// What all views of a text come to.
    pub(crate) fn verdict_of(&self, views: &[&Tallies], request: &ScanRequest) -> Verdict {
        match views {
            [only] => self.verdict(only, request),
            views => self.verdict(&merged(views, &self.parts.rules), request),
        }
    }

    /// Begins to scan a text that arrives in pieces.
    pub fn follow(self: &Arc<Self>, request: ScanRequest) -> Follow {
        Follow::new(Arc::clone(self), request)
    }

    /// Builds what [`Self::follow`] needs for such a request, which takes tens of
    /// milliseconds: whoever answers streams has it built before.
    ///
    /// # Errors
    ///
    /// [`PatternError::TooLarge`] where the rules that may block are too much for one
    /// automaton. Such a stream is held by 512 code points from its beginning to its
    /// end.
    pub fn prepare_to_follow(&self, request: &ScanRequest) -> Result<(), PatternError> {
        self.watch(request).refused.clone().map_or(Ok(()), Err)
    }

    /// What to look for before a text is shown: all that may be blocked.
    pub(crate) fn watch(&self, request: &ScanRequest) -> Arc<Watched> {
        let may_block = |rule: &Rule| {
            let is_here = rule.directions.contains(&request.direction);
            is_here && request.policy.may_hold_up(rule, request) && !request.suppresses(&rule.id)
        };
        let rules = self.parts.rules.iter().enumerate();
        let watched = rules.filter(|(_, rule)| may_block(rule));
        let watched: Vec<usize> = watched.map(|(index, _)| index).collect();
        self.watches.get(watched, |rules| {
            let patterns = rules.iter().flat_map(|rule| self.patterns_of(*rule));
            let near = rules
                .iter()
                .filter(|rule| self.parts.rules[**rule].near.is_some());
            let (prefixes, refused) = match self.facts.prefixes(patterns) {
                Ok(prefixes) => (prefixes, None),
                Err(refused) => (None, Some(refused)),
            };
            Watched {
                prefixes,
                near: near.copied().collect(),
                refused,
            }
        })
    }

    /// Where the first match of a rule begins that counts if what it needs near
    /// it is still to come. `chars` is the length of the text so far.
    pub(crate) fn first_alone(&self, rule: usize, places: &Places, chars: usize) -> Option<usize> {
        let within = self.parts.rules[rule].near.as_ref()?.within;
        let found = self.patterns_of(rule).filter_map(|own| places.get(own));
        let found = found.flatten();
        let alone = found.filter(|place| {
            chars.saturating_sub(place.here.end) <= within && !self.stands(rule, place.here, places)
        });
        alone.map(|place| place.origin.start).min()
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn seeker(&self, direction: Direction) -> Seeker {
        Seeker::new(self.wanted[direction as usize].clone())
    }

    /// True when rule number `rule` matches `text`, in whatever direction.
    pub(crate) fn rule_matches(&self, rule: usize, text: &str) -> bool {
        let bound = &self.parts.bounds[rule];
        let own = bound.first..bound.first + self.parts.rules[rule].patterns.len();
        let is_wanted = |p: usize| own.contains(&p) || bound.required.contains(&p);
        let mut seeker = Seeker::new(self.facts.wanted(is_wanted));
        let mut tape = Tape::default();
        tape.push_plain(text, 0);
        let mut places = Places::default();
        let settled = seeker.advance(&self.facts, &Piece::whole(text)).settled;
        for (pattern, place) in places_of(&tape, &settled) {
            places.get_or(pattern, Vec::new).push(place);
        }
        let mut own = own.filter_map(|pattern| places.get(pattern)).flatten();
        own.any(|place| self.stands(rule, place.here, &places))
    }

    /// Adds matches to the tallies of their rules, where what must stand near
    /// is there. `part` says which of a pattern's places are to be counted.
    pub(crate) fn count(
        &self,
        places: &Places,
        part: impl Fn(usize, &[Place]) -> Range<usize>,
        tallies: &mut Tallies,
    ) {
        for pattern in places.numbers() {
            let (Some(rule), Some(found)) = (self.owners[pattern], places.get(pattern)) else {
                continue;
            };
            let number = pattern - self.first_pattern(rule);
            for place in &found[part(pattern, found)] {
                if self.stands(rule, place.here, places) {
                    tallies.add(rule, number, *place);
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
            let Some(places) = places.get(*pattern) else {
                return false;
            };
            // They are in order and apart, so only two of them can be nearest.
            let after = places.partition_point(|place| place.here.start <= span.start);
            let nearest = &places[after.saturating_sub(1)..places.len().min(after + 1)];
            nearest
                .iter()
                .any(|place| place.here.gap(&span) <= near.within)
        })
    }

    pub(crate) fn verdict(&self, tallies: &Tallies, request: &ScanRequest) -> Verdict {
        let detection = |(number, tally): (usize, &Tally)| {
            let rule = self.rule(number);
            tally.first.map(|span| Detection {
                rule: Arc::clone(&rule.id),
                family: Arc::clone(&rule.family),
                severity: rule.severity,
                confidence: tally.confidence(rule),
                span,
                matches: tally.matches,
                message: Arc::clone(&rule.message),
                layer: Layer::L1,
                // What the verdict decides over.
                suppressed: false,
                action: Outcome::Allow,
            })
        };
        let found = tallies.iter().filter_map(detection);
        Verdict::decide(request, found.collect())
    }
}

/// What views found together.
fn merged(views: &[&Tallies], rules: &[Rule]) -> Tallies {
    let mut tallies = Tallies::new(&Tally::default());
    for (view, found) in views.iter().enumerate() {
        for (rule, found) in found.iter() {
            if view == 0 || &*rules[rule].family != DISGUISES {
                tallies.merge(rule, found);
            }
        }
    }
    tallies
}

#[cfg(test)]
mod tests;
