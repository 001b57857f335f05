//! Which lines of the grammars share a run of words with the rows: no row may
//! come into this project, not in parts either.
//!
//! Knows how to count, and shows no row.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use crate::generate::GRAMMARS;
use crate::grammar::{literals, sections};
use crate::material::DEV;
use crate::rows::{Row, RowsError, read};

/// So many words in a row are no accident, unless everybody says them.
const RUN: usize = 5;
/// What everybody says.
const IDIOMS: &str = include_str!("../data/idioms.txt");

/// A line of a grammar that shares words with rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The file, the part and the name.
    pub place: String,
    /// One alternative.
    pub line: String,
    /// How many rows to train on share a run of words with it.
    pub train: usize,
    /// How many rows to measure with do.
    pub dev: usize,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            line,
            train,
            dev,
        } = self;
        write!(f, "{place}: {line:?}: {train} train, {dev} dev")
    }
}

/// The lines of the grammars that share words with the rows of a folder.
pub fn overlaps(folder: &Path) -> Result<Vec<Overlap>, RowsError> {
    let mut lines = Lines::of(&GRAMMARS, IDIOMS);
    lines.count(&read(folder, "train.jsonl")?, |line| &mut line.train);
    for set in DEV {
        lines.count(&read(folder, &format!("{set}.jsonl"))?, |line| {
            &mut line.dev
        });
    }
    Ok(lines.shared())
}

/// The lines, and which of them have a run of words.
struct Lines {
    lines: Vec<Overlap>,
    runs: HashMap<Vec<String>, BTreeSet<usize>>,
}

impl Lines {
    fn of(grammars: &[(&str, &str)], idioms: &str) -> Self {
        let mut found = Self {
            lines: Vec::new(),
            runs: HashMap::new(),
        };
        for (file, text) in grammars {
            for section in sections(text) {
                for (name, line) in section.alternatives() {
                    let place = format!("{file} [{}] {name}", section.name);
                    found.add(place, line);
                }
            }
        }
        for idiom in idiom_words(idioms) {
            for run in idiom.windows(RUN) {
                let known = found.runs.remove(run);
                assert!(known.is_some(), "no line has the idiom {run:?}");
            }
        }
        found
    }

    /// What stands in a slot comes from another line, so a run ends there.
    fn add(&mut self, place: String, line: &str) {
        let at = self.lines.len();
        for literal in literals(line) {
            for run in words(literal).windows(RUN) {
                self.runs.entry(run.to_vec()).or_default().insert(at);
            }
        }
        let line = line.to_owned();
        self.lines.push(Overlap {
            place,
            line,
            train: 0,
            dev: 0,
        });
    }

    fn count(&mut self, rows: &[Row], counter: impl Fn(&mut Overlap) -> &mut usize) {
        for row in rows {
            let words = words(&row.text);
            let lines = words.windows(RUN).filter_map(|run| self.runs.get(run));
            let lines: BTreeSet<usize> = lines.flatten().copied().collect();
            for at in lines {
                *counter(&mut self.lines[at]) += 1;
            }
        }
    }

    fn shared(self) -> Vec<Overlap> {
        let is_shared = |line: &Overlap| line.train + line.dev > 0;
        self.lines.into_iter().filter(is_shared).collect()
    }
}

/// The words of each idiom.
fn idiom_words(idioms: &str) -> impl Iterator<Item = Vec<String>> {
    let lines = idioms.lines().filter(|line| !line.starts_with("# "));
    lines.map(|line| {
        let (idiom, why) = line.split_once(": ").expect("words, a colon, why");
        assert!(!why.trim().is_empty(), "{idiom}: why?");
        let words = words(idiom);
        assert!(words.len() >= RUN, "{idiom}: fewer than {RUN} words");
        words
    })
}

/// The words of a text in lower case; where a script puts no spaces between
/// words, its characters.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word = String::new();
    for char in text.chars().flat_map(char::to_lowercase) {
        let is_alone = is_unspaced(char);
        if (is_alone || !char.is_alphanumeric()) && !word.is_empty() {
            found.push(std::mem::take(&mut word));
        }
        if is_alone {
            found.push(char.to_string());
        } else if char.is_alphanumeric() {
            word.push(char);
        }
    }
    if !word.is_empty() {
        found.push(word);
    }
    found
}

/// Thai, Japanese and Chinese.
fn is_unspaced(char: char) -> bool {
    matches!(char, '\u{e00}'..='\u{e7f}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAMMAR: [(&str, &str); 1] = [(
        "a.txt",
        "[part]\nA: one two three four five|one two {B} three four five\nB: 人人生而自由|six\n",
    )];

    fn shared(text: &str, idioms: &str) -> Vec<String> {
        let mut lines = Lines::of(&GRAMMAR, idioms);
        let row = Row::new(text.to_owned(), 0, "s");
        lines.count(&[row.clone(), row], |line| &mut line.dev);
        lines.shared().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_that_shares_five_words_with_a_row_is_named_with_the_count() {
        let found = shared("Zero. One, two:\nTHREE four-five! Six.", "");
        let named = "a.txt [part] A: \"one two three four five\": 0 train, 2 dev";
        assert_eq!(found, [named]);
        assert!(shared("one two three four, and five", "").is_empty());
    }

    #[test]
    fn characters_are_words_where_no_spaces_stand_between_words() {
        assert_eq!(shared("所以人人生而自由。", "").len(), 1);
        assert!(shared("人人生而", "").is_empty());
    }

    #[test]
    fn an_idiom_is_no_copy() {
        let idiom = "# note\none two three four five: everybody counts\n";
        assert!(shared("one two three four five", idiom).is_empty());
    }

    #[test]
    #[should_panic(expected = "no line has the idiom")]
    fn an_idiom_that_no_line_has_is_refused() {
        shared("", "five four three two one: nobody counts so\n");
    }
}
