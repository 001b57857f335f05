//! What a second stage would not be shown: rows of sources that a training had not
//! seen, by the score from which on it is asked.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tidegate_guard::{Rules, ScanRequest, Verdict};
use tidegate_model::{Classifier, Direction};

use crate::evaluate::{direction_of, kin, percent, without};
use crate::learn::Learned;
use crate::material::{Held, Material};
use crate::rows::Row;
use crate::ship::learned;
use crate::task::Task;

/// The scores of the tables.
const FROM: [f64; 8] = [0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3];
/// A finding of these says nothing about an attack, as for `guard.l2_below_confidence`.
const NO_ATTACK: [&str; 2] = ["pii", "secrets"];
/// The default of `guard.l2_below_confidence`.
const BELOW_CONFIDENCE: f64 = 0.6;
/// Longer texts are not glanced at, and count as grey.
const MOST_GLANCED_BYTES: usize = 8 << 10;

/// A row, as the gate would see it.
struct Seen {
    /// Nothing for a text that is too long for a score.
    score: Option<f64>,
    /// A rule flags it as an attack.
    is_found: bool,
    /// One is so sure of it that a second stage is not asked.
    is_sure: bool,
}

impl Seen {
    fn is_spared(&self, from: f64) -> bool {
        self.is_sure || self.score.is_some_and(|score| score < from)
    }

    fn is_lost(&self, from: f64) -> bool {
        !self.is_found && self.is_spared(from)
    }
}

/// The shipped models, and what was trained for them.
#[derive(Debug)]
pub struct Grey<'a> {
    /// That of [`Task::Words`].
    pub words: (&'a Material, &'a Classifier),
    /// That of [`Task::Passages`].
    pub passages: (&'a Material, &'a Classifier),
    /// What finds attacks before any score.
    pub rules: &'a Rules,
}

impl Grey<'_> {
    /// All tables.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        self.table(
            &mut text,
            1,
            "Attacks that nobody would have been asked about",
            |row, from| row.is_lost(from),
        )
        .expect("writing to a string cannot fail");
        self.table(&mut text, 0, "Runs avoided on ordinary rows", {
            |row, from| row.is_spared(from)
        })
        .expect("writing to a string cannot fail");
        self.languages(&mut text)
            .expect("writing to a string cannot fail");
        text
    }

    /// Sentences of our own in a language of which a training saw none.
    fn languages(&self, text: &mut String) -> std::fmt::Result {
        let from = FROM.map(|from| format!(" {from} |")).concat();
        writeln!(
            text,
            "### The same of each language left out, text of our own: attacks lost, and runs avoided\n"
        )?;
        writeln!(text, "| language | rows | missed by rules |{from}")?;
        writeln!(text, "|---|---:|---:|{}", "---:|".repeat(FROM.len()))?;
        let languages = self.words.0.languages();
        let read = |language: &str| {
            let rows = self.words.0.of_our_own();
            let rows = rows.filter(|&at| self.words.0.rows[at].source == language);
            let (attacks, plain) = rows.partition(|&at| self.words.0.rows[at].is_attack());
            let learned = learned(self.words.0, &without(language, &[], Held::In));
            [attacks, plain].map(|rows: Vec<usize>| {
                let seen = |at| self.row(self.words, &learned, at, Direction::Prompt);
                rows.into_iter().map(seen).collect::<Vec<_>>()
            })
        };
        let (mut attacks, mut plain) = (Vec::new(), Vec::new());
        for [lost, spared] in each(&languages, read) {
            attacks.push(lost);
            plain.push(spared);
        }
        for (kind, seen, counts) in [
            ("attacks", attacks, Seen::is_lost as fn(&Seen, f64) -> bool),
            ("ordinary", plain, Seen::is_spared),
        ] {
            for (language, seen) in languages.iter().zip(&seen) {
                let shares = FROM.map(|from| share(seen, |row| counts(row, from)));
                let language = language.trim_start_matches("generated/");
                line(text, &format!("{language}, {kind}"), None, seen, shares)?;
            }
            let all: Vec<Seen> = seen.into_iter().flatten().collect();
            let shares = FROM.map(|from| share(&all, |row| counts(row, from)));
            line(text, &format!("**all, {kind}**"), None, &all, shares)?;
        }
        writeln!(text)
    }

    fn table(
        &self,
        text: &mut String,
        label: u8,
        title: &str,
        counts: fn(&Seen, f64) -> bool,
    ) -> std::fmt::Result {
        let from = FROM.map(|from| format!(" {from} |")).concat();
        writeln!(text, "### {title}, of each source left out, in %\n")?;
        writeln!(text, "| source | rows | read as | missed by rules |{from}")?;
        writeln!(text, "|---|---:|---|---:|{}", "---:|".repeat(FROM.len()))?;
        let (mut all, mut sums) = (Vec::new(), [0.0; FROM.len()]);
        let sources = self.sources(label);
        let seen = each(&sources, |source| self.of_source(source, label));
        for (source, seen) in sources.iter().zip(seen) {
            let shares = FROM.map(|from| share(&seen, |row| counts(row, from)));
            for (sum, share) in sums.iter_mut().zip(shares) {
                *sum += share / sources.len() as f64;
            }
            let name = Some(direction_of(source).as_str());
            line(text, source, name, &seen, shares)?;
            all.extend(seen);
        }
        let shares = FROM.map(|from| share(&all, |row| counts(row, from)));
        line(text, "**all rows**", Some(""), &all, shares)?;
        line(text, "**mean of sources**", Some(""), &all, sums)?;
        writeln!(text)
    }

    fn sources(&self, label: u8) -> Vec<&str> {
        let counts = self.words.0.counts();
        let sources = counts.into_keys().filter(|(_, other)| *other == label);
        sources.map(|(source, _)| source).collect()
    }

    fn of_source(&self, source: &str, label: u8) -> Vec<Seen> {
        let direction = direction_of(source);
        let (material, classifier) = match Task::of(direction) {
            Task::Words => self.words,
            Task::Passages => self.passages,
        };
        let learned = learned(material, &without(source, kin(source), Held::In));
        let rows = material.of_source(source);
        let rows = rows.filter(|&at| material.rows[at].label == label);
        let seen = |at: usize| self.row((material, classifier), &learned, at, direction);
        rows.map(seen).collect()
    }

    fn row(
        &self,
        (material, classifier): (&Material, &Classifier),
        learned: &Learned,
        at: usize,
        direction: Direction,
    ) -> Seen {
        let row = &material.rows[at];
        let logit = || learned.row(&material.corpus, at);
        let score = || classifier.calibration().probability(logit());
        let verdict = self.verdict(row, direction);
        let sure = |confidence: f64| confidence >= BELOW_CONFIDENCE;
        Seen {
            score: (row.text.len() <= MOST_GLANCED_BYTES).then(score),
            is_found: found(&verdict).next().is_some(),
            is_sure: found(&verdict).any(sure),
        }
    }

    fn verdict(&self, row: &Row, direction: Direction) -> Verdict {
        let request = ScanRequest {
            direction: tidegate_guard::Direction::ALL[direction as usize],
            ..ScanRequest::default()
        };
        self.rules.scan(&row.text, &request)
    }
}

/// What comes of each name, in their order. A training is one thread, and as many run
/// as there are cores.
fn each<T: Send>(names: &[&str], work: impl Fn(&str) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(at) else {
                        break;
                    };
                    let result = work(name);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// How sure the rules are of an attack.
fn found(verdict: &Verdict) -> impl Iterator<Item = f64> {
    let counted = verdict.detections.iter().filter(|found| found.counts());
    let attacks = counted.filter(|found| !NO_ATTACK.contains(&&*found.family));
    attacks.map(|found| found.confidence)
}

fn share(rows: &[Seen], is_counted: impl Fn(&Seen) -> bool) -> f64 {
    let counted = rows.iter().filter(|row| is_counted(row));
    percent(counted.count(), rows.len())
}

fn line(
    text: &mut String,
    name: &str,
    read_as: Option<&str>,
    seen: &[Seen],
    shares: [f64; FROM.len()],
) -> std::fmt::Result {
    let (rows, missed) = (seen.len(), share(seen, |row| !row.is_found));
    let shares = shares.map(|share| format!(" {share:.1} |")).concat();
    let read_as = read_as.map_or(String::new(), |read_as| format!(" {read_as} |"));
    writeln!(text, "| {name} | {rows} |{read_as} {missed:.1} |{shares}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(score: Option<f64>, confidence: Option<f64>) -> Seen {
        Seen {
            score,
            is_found: confidence.is_some(),
            is_sure: confidence.is_some_and(|confidence| confidence >= BELOW_CONFIDENCE),
        }
    }

    #[test]
    fn an_attack_is_lost_where_no_rule_finds_it_and_its_score_is_too_low() {
        assert!(seen(Some(0.09), None).is_lost(0.1));
        assert!(!seen(Some(0.1), None).is_lost(0.1));
        assert!(!seen(Some(0.09), Some(0.5)).is_lost(0.1), "flagged");
        assert!(!seen(None, None).is_lost(0.1), "too long for a score");
    }

    #[test]
    fn a_run_is_avoided_where_rules_are_sure_or_the_score_is_low() {
        assert!(seen(Some(0.5), Some(0.6)).is_spared(0.1));
        assert!(seen(Some(0.09), Some(0.5)).is_spared(0.1));
        assert!(!seen(Some(0.1), Some(0.5)).is_spared(0.1));
        assert!(!seen(None, None).is_spared(0.1));
    }
}
