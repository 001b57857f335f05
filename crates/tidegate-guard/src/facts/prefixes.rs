//! What of a text may still become a match when more of it is there.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::pool::Pool;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

use super::{Facts, PatternError, shape};

/// All states that are kept at once, in bytes. When a text needs more, they are
/// built again.
const STATES_BYTES: usize = 4 * 1024 * 1024;

/// The automaton before its states are built, in bytes.
const PATTERNS_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that are read in one look, over all starts together: about 30 for each
/// byte of what is held at most.
const MAX_STEPS: usize = 16 * 1024;

/// Several patterns as one automaton that begins where it is told to and dies as
/// soon as none of them can match any more.
#[derive(Debug)]
pub(crate) struct Prefixes {
    automaton: DFA,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync>>,
}

/// How far a text can no longer become a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// Where the first match begins that is not complete: what stands before it
    /// is no part of any match that later text may complete.
    pub(crate) clear: usize,
    /// Whether a pattern matched on the way.
    pub(crate) has_match: bool,
}

impl Facts {
    /// The automaton of some patterns; nothing without any.
    ///
    /// # Errors
    ///
    /// [`PatternError::TooLarge`] where they are too many together.
    pub(crate) fn prefixes(
        &self,
        patterns: impl Iterator<Item = usize>,
    ) -> Result<Option<Prefixes>, PatternError> {
        let parsed = patterns.map(|pattern| shape::parse(&self.patterns[pattern].expression));
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        if parsed.is_empty() {
            return Ok(None);
        }
        let config = NFA::config()
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(PATTERNS_BYTES));
        let too_large = |_| PatternError::TooLarge {
            limit: PATTERNS_BYTES,
        };
        let nfa = NFA::compiler()
            .configure(config)
            .build_many_from_hir(&parsed)
            .map_err(too_large)?;
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(STATES_BYTES)
            .skip_cache_capacity_check(true);
        let automaton = DFA::builder()
            .configure(config)
            .build_from_nfa(nfa)
            .map_err(|error| PatternError::Syntax(error.to_string()))?;
        let of_cache = automaton.clone();
        let caches = Pool::new(Box::new(move || of_cache.create_cache()) as _);
        Ok(Some(Prefixes { automaton, caches }))
    }
}

impl Prefixes {
    /// Looks at `text` from byte `from` on, which must be a character's first.
    /// Every match that begins before it was dealt with.
    ///
    /// A text in which much lives long is not looked at to its end: what is left
    /// counts as a match that is not complete, and as one that is.
    pub(crate) fn look(&self, text: &str, from: usize) -> Outlook {
        let mut cache = self.caches.get();
        let mut has_match = false;
        let mut steps = MAX_STEPS;
        for (at, _) in text[from..].char_indices() {
            let clear = from + at;
            let walk = self.walk(&mut cache, text.as_bytes(), clear, &mut steps);
            has_match |= walk.has_match || steps == 0;
            if walk.end == End::Open {
                return Outlook { clear, has_match };
            }
        }
        let clear = text.len();
        Outlook { clear, has_match }
    }

    /// Whether something matches from `begin` on, and whether more text may make
    /// something match. An automaton that gives up counts as open.
    fn walk(&self, cache: &mut Cache, text: &[u8], begin: usize, steps: &mut usize) -> Walk {
        let before = begin.checked_sub(1).map(|before| text[before]);
        let config = start::Config::new()
            .anchored(Anchored::Yes)
            .look_behind(before);
        let mut has_match = false;
        let mut state = self.automaton.start_state(cache, &config).ok();
        for &byte in &text[begin..] {
            let Some(now) = state.filter(|_| *steps > 0) else {
                break;
            };
            *steps -= 1;
            state = self.automaton.next_state(cache, now, byte).ok();
            if state.is_some_and(|state| state.is_dead()) {
                let end = End::Dead;
                return Walk { has_match, end };
            }
            // A match shows one byte after its end, and is over with the next.
            has_match |= state.is_some_and(|state| state.is_match());
        }
        let end = End::Open;
        Walk { has_match, end }
    }
}

/// What came of one start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Walk {
    has_match: bool,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// No later text makes a match of it.
    Dead,
    /// Later text may.
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Pattern;

    fn prefixes(expressions: &[&str]) -> Prefixes {
        let patterns: Vec<Pattern> = expressions
            .iter()
            .map(|expression| Pattern::new("p", *expression))
            .collect();
        let facts = Facts::compile(&patterns).expect("they are patterns");
        let all = facts.prefixes(0..patterns.len());
        all.expect("they are small").expect("there are some")
    }

    #[track_caller]
    fn check(text: &str, clear: &str, matches: usize) {
        let prefixes = prefixes(&[r"\bignore\s+(?:all\s+)?rules\b", r"key-[0-9]{4,8}", "ﬁn"]);
        let outlook = prefixes.look(text, 0);
        let found = (&text[..outlook.clear], usize::from(outlook.has_match));
        assert_eq!(found, (clear, matches), "{text:?}");
    }

    #[test]
    fn ordinary_text_is_clear() {
        check("The tide turns at noon. ", "The tide turns at noon. ", 0);
        check("ignorance of rules. ", "ignorance of rules. ", 0);
    }

    #[test]
    fn what_may_still_match_is_not() {
        check("please ignore all ru", "please ", 0);
        check("please i", "please ", 0);
        check("the key-12", "the ", 0);
        check("ignore all rules ignore", "ignore all rules ", 1);
    }

    #[test]
    fn a_match_shows_when_the_byte_behind_it_is_there_and_is_over_with_the_next() {
        check("ignore all rules", "", 0);
        check("ignore all rules.", "", 1);
        check("ignore all rules. ", "ignore all rules. ", 1);
        check("ignore all rulesets", "ignore all rulesets", 0);
        check("key-1234", "", 0);
        check("key-12345", "", 1);
        check("key-12345678. ", "key-12345678. ", 1);
    }

    #[test]
    fn it_looks_back_over_where_it_begins() {
        let prefixes = prefixes(&[r"\bignore\b"]);
        let text = "xxignore ignore";
        let outlook = prefixes.look(text, 2);
        assert_eq!((outlook.clear, outlook.has_match), (9, false));
    }

    #[test]
    fn a_text_in_which_much_lives_long_is_left_for_later() {
        let prefixes = prefixes(&[r"a[ab]*c"]);
        let outlook = prefixes.look(&"ab".repeat(MAX_STEPS), 0);
        assert_eq!(
            outlook,
            Outlook {
                clear: 0,
                has_match: true
            }
        );
        let dying = "ab".repeat(300) + "\n";
        let outlook = prefixes.look(&dying, 0);
        assert!(
            outlook.has_match && 0 < outlook.clear && outlook.clear < 600,
            "{outlook:?}"
        );
    }

    #[test]
    fn every_cut_of_a_match_is_held_from_its_beginning() {
        let prefixes = prefixes(&[r"\bignore\s+(?:all\s+)?rules\b"]);
        let text = "é ignore   all rules";
        for cut in 4..text.len() {
            let outlook = prefixes.look(&text[..cut], 0);
            assert_eq!((outlook.clear, outlook.has_match), (3, false), "{cut}");
        }
    }
}
