//! Facts: where which pattern matches a text.
//!
//! The engine knows nothing of rules. All patterns are compiled together: the
//! literals that a pattern needs go into one automaton, which reads the text
//! once; only patterns whose literal is there run at all, and only near it.
//! Every automaton is linear in the text.

mod crowd;
mod lane;
mod literals;
mod prefixes;
mod seek;
mod shape;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex_automata::meta::{self, Regex};
use regex_automata::nfa::thompson::WhichCaptures;

use regex_syntax::hir::Hir;

use crate::checksum::Check;
use crate::span::{Span, spans_of};
use crate::views::Vocabulary;

use crowd::Crowd;
use literals::Required;

pub(crate) use prefixes::Prefixes;
pub(crate) use seek::{BORDER_BYTES, Ending, Found, Piece, Seeker, Wanted};

/// A compiled pattern may take this many bytes; a larger one is refused.
const PATTERN_BYTES: usize = 1024 * 1024;

/// For a pattern whose matches are shorter than this it is as quick to look for a
/// match as for a second literal.
const LONG_BYTES: usize = 64;

/// The states of a lazy automaton that are kept at once, in bytes. When a text
/// needs more, they are built again, and in the end a slower linear automaton
/// takes over.
const STATES_BYTES: usize = 1024 * 1024;

/// A linear-time regular expression with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What errors and facts call it.
    pub name: String,
    /// The expression. Case does not matter, `^` and `$` are the ends of a line,
    /// `\b` is a boundary of ASCII words.
    pub expression: String,
    /// What a match must pass besides.
    pub check: Check,
}

impl Pattern {
    /// A pattern without a check.
    pub fn new(name: impl Into<String>, expression: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            expression: expression.into(),
            check: Check::None,
        }
    }
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no regular expression of the supported kind.
    #[error("is not a valid expression: {0}")]
    Syntax(String),
    /// It anchors to the start or the end of the whole text.
    #[error(
        "is anchored to the text; `^` and `$` are the ends of a line, `\\A` and `\\z` are not supported"
    )]
    Anchored,
    /// It matches the empty text, that is everywhere.
    #[error("matches the empty text")]
    Empty,
    /// Its automaton is too large.
    #[error("compiles to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// It has no longest match where one is needed.
    #[error("matches more than {limit} bytes; give its loops an upper bound")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// A place where a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Where.
    pub span: Span,
    /// The pattern's place in the list that was compiled.
    pub pattern: usize,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    expression: String,
    /// Built when it is first needed: most patterns never are, and all of them
    /// together would take tens of megabytes.
    automaton: OnceLock<Regex>,
    check: Check,
    /// Every match begins with one of its literals.
    begins: bool,
    /// Every match has another literal besides.
    needs_other: bool,
    /// Every match begins where a word does or ends.
    at_border: bool,
    /// So many times as long it takes to look for a match that may begin anywhere as
    /// for one that begins here.
    anywhere: usize,
    /// Bytes of the longest match, the largest number where there is none. Loops
    /// without a limit count with a bound here; longer matches are no facts.
    reach: usize,
}

impl Compiled {
    /// A pattern that begins as this one does, without an expression.
    fn alike(&self) -> Self {
        Self {
            expression: String::new(),
            automaton: OnceLock::new(),
            check: Check::None,
            begins: self.begins,
            needs_other: false,
            at_border: self.at_border,
            anywhere: self.anywhere,
            reach: self.reach,
        }
    }

    fn try_build(&self) -> Result<(), PatternError> {
        let automaton = build(&shape::parse(&self.expression)?)?;
        // The one that is there already is as good.
        let _ = self.automaton.set(automaton);
        Ok(())
    }

    fn regex(&self) -> &Regex {
        self.automaton.get_or_init(|| {
            shape::parse(&self.expression)
                .and_then(|hir| build(&hir))
                .expect("it was built once when it was taken in")
        })
    }
}

/// The patterns that need one literal.
#[derive(Debug, Default)]
struct Needs {
    /// To know where to look, with how much of a match may stand before it.
    first: Vec<(u32, usize)>,
    besides: Vec<u32>,
}

/// Patterns, compiled together.
#[derive(Debug)]
pub struct Facts {
    patterns: Vec<Compiled>,
    crowd: Option<Crowd>,
    names: Vec<String>,
    prefilter: AhoCorasick,
    /// For each literal of the prefilter the patterns that need it, and how much of
    /// a match may stand before it.
    needed_by: Vec<Vec<(u32, usize)>>,
    /// For each literal whether it is of no use inside of a word.
    only_at_border: Vec<bool>,
    /// For each literal the patterns that need it, or others, anywhere in a match.
    needed_besides: Vec<Vec<u32>>,
    unfiltered: Vec<u32>,
    longest_literal: usize,
    vocabulary: Vocabulary,
}

impl Facts {
    /// Compiles `patterns`.
    ///
    /// # Errors
    ///
    /// The place of the first pattern that is refused, and why.
    pub fn compile(patterns: &[Pattern]) -> Result<Self, (usize, PatternError)> {
        let mut facts = Self::draft(patterns)?;
        for pattern in 0..facts.len() {
            facts.build(pattern).map_err(|error| (pattern, error))?;
            facts.forget_automata();
        }
        Ok(facts)
    }

    /// The same, without a try of each pattern: whoever drafts builds them.
    pub(crate) fn draft(patterns: &[Pattern]) -> Result<Self, (usize, PatternError)> {
        let mut facts = Self {
            patterns: Vec::with_capacity(patterns.len()),
            crowd: None,
            names: patterns
                .iter()
                .map(|pattern| pattern.name.clone())
                .collect(),
            prefilter: automaton(&[]),
            needed_by: Vec::new(),
            only_at_border: Vec::new(),
            needed_besides: Vec::new(),
            unfiltered: Vec::new(),
            longest_literal: 0,
            vocabulary: Vocabulary::default(),
        };
        let mut literals: BTreeMap<Vec<u8>, Needs> = BTreeMap::new();
        let mut crowd = Vec::new();
        for (index, pattern) in (0_u32..).zip(patterns) {
            let (compiled, needed) = read(pattern).map_err(|error| (index as usize, error))?;
            facts.vocabulary.learn(&pattern.expression);
            match needed {
                Some(required) if Crowd::takes(&compiled, &required) => {
                    crowd.push((index, required));
                }
                Some(required) => note(&mut literals, index, required),
                None => facts.unfiltered.push(index),
            }
            facts.patterns.push(compiled);
        }
        let members = crowd.iter().map(|(index, _)| *index).collect();
        facts.crowd = Crowd::gather(&facts.patterns, members);
        let whole = facts.patterns.len() as u32;
        match facts.crowd {
            Some(_) => note(
                &mut literals,
                whole,
                Required::any_of(crowd.into_iter().map(|(_, required)| required)),
            ),
            None => crowd.into_iter().for_each(|(index, required)| {
                note(&mut literals, index, required);
            }),
        }
        facts.longest_literal = literals.keys().map(Vec::len).max().unwrap_or(0);
        let (keys, needs): (Vec<_>, Vec<_>) = literals.into_iter().unzip();
        facts.prefilter = automaton(&keys);
        let needs = needs.into_iter().map(|needs| (needs.first, needs.besides));
        (facts.needed_by, facts.needed_besides) = needs.unzip();
        let needs = facts.needed_by.iter().zip(&facts.needed_besides);
        facts.only_at_border = needs
            .map(|(first, besides)| {
                let mut first = first.iter();
                besides.is_empty() && first.all(|(lane, before)| facts.is_at_border(*lane, *before))
            })
            .collect();
        Ok(facts)
    }

    /// The number of patterns.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// True without any pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns that have no literal and so run over every text. A pack
    /// should have few of them.
    pub fn unfiltered(&self) -> impl Iterator<Item = &str> {
        let name = |index: &u32| self.names[*index as usize].as_str();
        self.unfiltered.iter().map(name)
    }

    /// All facts of `text`, by their place. The matches of one pattern do not
    /// overlap each other.
    pub fn find(&self, text: &str) -> Vec<Fact> {
        let mut seeker = Seeker::new(self.wanted(|_| true));
        let found = seeker.advance(self, &Piece::whole(text));
        let spans = spans_of(
            text,
            0,
            found.settled.iter().map(|found| found.bytes.clone()),
        );
        let mut facts: Vec<Fact> = found
            .settled
            .iter()
            .zip(spans)
            .map(|(found, span)| Fact {
                span,
                pattern: found.pattern,
            })
            .collect();
        facts.sort_unstable();
        facts
    }

    /// Builds the automaton of one pattern.
    pub(crate) fn build(&self, pattern: usize) -> Result<(), PatternError> {
        self.patterns[pattern].try_build()
    }

    /// Gives the automata up that were built so far; those that are needed again
    /// are built again.
    pub(crate) fn forget_automata(&mut self) {
        for pattern in &mut self.patterns {
            pattern.automaton = OnceLock::new();
        }
    }

    /// The words of all patterns.
    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The pattern, or the crowd behind them, that a lane of a search is for.
    fn compiled(&self, lane: usize) -> &Compiled {
        match &self.crowd {
            Some(crowd) if lane == self.patterns.len() => &crowd.any,
            Some(_) | None => &self.patterns[lane],
        }
    }

    /// True when a literal that stands so far into a match cannot be in a word.
    fn is_at_border(&self, lane: u32, before: usize) -> bool {
        before == 0 && self.compiled(lane as usize).at_border
    }

    /// Bytes of the longest match of a pattern.
    pub(crate) fn reach(&self, pattern: usize) -> usize {
        self.patterns[pattern].reach
    }
}

/// Notes what the pattern or crowd number `index` needs.
fn note(literals: &mut BTreeMap<Vec<u8>, Needs>, index: u32, required: Required) {
    for literal in required.one_of {
        let needs = literals.entry(literal.bytes).or_default();
        needs.first.push((index, literal.before));
    }
    for literal in required.and.into_iter().flatten() {
        literals.entry(literal).or_default().besides.push(index);
    }
}

fn read(pattern: &Pattern) -> Result<(Compiled, Option<Required>), PatternError> {
    let hir = shape::parse(&pattern.expression)?;
    let reach = shape::reach(&hir).unwrap_or(usize::MAX);
    let mut literals = literals::literals(&hir);
    if let Some(required) = &mut literals
        && reach < LONG_BYTES
    {
        required.and = None;
    }
    let needed = literals.as_ref();
    let compiled = Compiled {
        begins: needed.is_some_and(|all| all.one_of.iter().all(|one| one.before == 0)),
        needs_other: needed.is_some_and(|all| all.and.is_some()),
        at_border: shape::is_at_border(&hir),
        anywhere: if shape::counts(&hir) { 40 } else { 4 },
        expression: pattern.expression.clone(),
        automaton: OnceLock::new(),
        check: pattern.check,
        reach,
    };
    Ok((compiled, literals))
}

/// Its own prefilter would repeat ours, the small dense automaton would make loading
/// slow, captures are not asked for. The fall-back is linear too.
fn config() -> meta::Config {
    meta::Config::new()
        .auto_prefilter(false)
        .which_captures(WhichCaptures::Implicit)
        .nfa_size_limit(Some(PATTERN_BYTES))
        .hybrid_cache_capacity(STATES_BYTES)
        .onepass(false)
        .backtrack(false)
        .dfa(false)
}

fn build(hir: &Hir) -> Result<Regex, PatternError> {
    Regex::builder()
        .configure(config())
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(limit) => PatternError::TooLarge { limit },
            None => PatternError::Syntax(error.to_string()),
        })
}

fn automaton(literals: &[Vec<u8>]) -> AhoCorasick {
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .ascii_case_insensitive(true)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(literals)
        .expect("a few thousand short literals are far below the automaton's limits")
}

#[cfg(test)]
mod tests;
