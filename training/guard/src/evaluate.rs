//! Measures, as tables in Markdown.

use std::fmt::Write;

use tidegate_guard::{Rules, ScanRequest};
use tidegate_model::{Classifier, Direction};

use crate::learn::Learned;
use crate::material::{DEV, Held, LeftOut, Material};
use crate::ship::{is_met, learned};
use crate::task::Task;

/// A source with fewer attacks is not left out.
const LEAST_ATTACKS: usize = 100;
/// The share of ordinary texts for which the first table chooses thresholds.
const ONE_PERCENT: usize = 100;

/// One of the models, and what it is measured with.
#[derive(Debug)]
pub struct Measure<'a> {
    material: &'a Material,
    classifier: &'a Classifier,
    /// Whether the rules find something in each row.
    found: Vec<bool>,
}

/// Both models: each source is read by the one for its place in the traffic.
#[derive(Debug)]
pub struct Measures<'a> {
    /// That of [`Task::Words`].
    pub words: Measure<'a>,
    /// That of [`Task::Passages`].
    pub passages: Measure<'a>,
}

/// What is left out with a source, because it holds the same attacks.
pub(crate) fn kin(source: &str) -> &'static [&'static str] {
    match source {
        "bipia-train-bare" => &["bipia-train-ctx+attack"],
        "bipia-train-ctx+attack" => &["bipia-train-bare"],
        "promptshield" | "deepset-train" => &["doc+attack(train)"],
        "doc+attack(train)" => &["promptshield", "deepset-train"],
        _ if source.starts_with("docs/") => &["doc+attack(train)"],
        _ if source.starts_with("bipia-train-ctx/") => &["bipia-train-ctx+attack"],
        _ => &[],
    }
}

pub(crate) fn without(source: &str, kin: &[&str], held_out: Held) -> LeftOut {
    let mut sources = vec![source.to_owned()];
    sources.extend(kin.iter().map(|name| (*name).to_owned()));
    LeftOut { sources, held_out }
}

pub(crate) fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

impl<'a> Measure<'a> {
    /// Runs the rules over all rows.
    pub fn new(material: &'a Material, classifier: &'a Classifier, rules: &Rules) -> Self {
        let request = ScanRequest::default();
        let found = |row: &crate::rows::Row| rules.scan(&row.text, &request).has_threats();
        Self {
            found: material.rows.iter().map(found).collect(),
            material,
            classifier,
        }
    }

    fn attacks(&self, source: &str) -> Vec<usize> {
        let rows = self.material.of_source(source);
        rows.filter(|&at| self.material.rows[at].label == 1)
            .collect()
    }

    /// Those that nobody calls an attack.
    fn plain(&self, source: &str) -> Vec<usize> {
        let rows = self.material.of_source(source);
        rows.filter(|&at| self.material.rows[at].label == 0)
            .collect()
    }

    fn learned(&self, out: &LeftOut) -> Learned {
        learned(self.material, out)
    }

    /// The share of attacks found where 1 % of the ordinary rows that were held
    /// out are.
    fn recall(&self, learned: &Learned, rows: &[usize], beside: Beside) -> f64 {
        let by_rules = |at: usize| beside == Beside::Rules && self.found[at];
        let corpus = &self.material.corpus;
        let held = self.material.held_out();
        let task = self.material.task;
        let is_met = |source: &str| task == Task::Words || is_met(Direction::Retrieved, source);
        let held: Vec<usize> = held
            .filter(|&at| {
                let row = &self.material.rows[at];
                !row.is_attack() && is_met(&row.source)
            })
            .collect();
        let false_ones = held.iter().filter(|&&at| by_rules(at)).count();
        let rest = held.iter().filter(|&&at| !by_rules(at));
        let mut logits: Vec<f64> = rest.map(|&at| learned.row(corpus, at)).collect();
        logits.sort_by(|a, b| b.total_cmp(a));
        let allowed = (held.len() / ONE_PERCENT).saturating_sub(false_ones);
        let threshold = logits[allowed];
        let is_found = |at: usize| by_rules(at) || learned.row(corpus, at) > threshold;
        percent(rows.iter().filter(|&&at| is_found(at)).count(), rows.len())
    }

    /// The shares that the shipped file flags and stops, and that it or the rules flag.
    fn shares(&self, rows: &[usize]) -> [f64; 3] {
        let limits = self.classifier.thresholds(Direction::Prompt);
        let mut counts = [0; 3];
        for &at in rows {
            let text = &self.material.rows[at].text;
            let score = self.classifier.score(text, &|| false);
            let probability = score.map_or(0.0, |score| score.probability);
            counts[0] += usize::from(probability >= limits.flag);
            counts[1] += usize::from(probability >= limits.block);
            counts[2] += usize::from(probability >= limits.flag || self.found[at]);
        }
        counts.map(|count| percent(count, rows.len()))
    }

    /// The share of rows that a training which did not see them flags, alone and
    /// with the rules, at the thresholds of the shipped file.
    fn flagged(&self, learned: &Learned, rows: &[usize], direction: Direction) -> [f64; 2] {
        let limit = self.classifier.thresholds(direction).flag;
        let calibration = self.classifier.calibration();
        let mut counts = [0; 2];
        for &at in rows {
            let logit = learned.row(&self.material.corpus, at);
            let is_flagged = calibration.probability(logit) >= limit;
            counts[0] += usize::from(is_flagged);
            counts[1] += usize::from(is_flagged || self.found[at]);
        }
        counts.map(|count| percent(count, rows.len()))
    }
}

impl<'a> Measures<'a> {
    fn of(&self, direction: Direction) -> &Measure<'a> {
        match Task::of(direction) {
            Task::Words => &self.words,
            Task::Passages => &self.passages,
        }
    }

    /// All tables.
    pub fn tables(&self) -> String {
        type Table<'m> = fn(&Measures<'m>, &mut String) -> std::fmt::Result;
        let tables: [Table<'a>; 5] = [
            Self::left_out,
            Self::development,
            Self::ordinary,
            Self::planted,
            Self::languages,
        ];
        // Each training is one thread; the tables do not wait for each other.
        std::thread::scope(|scope| {
            let threads = tables.map(|table| {
                scope.spawn(move || {
                    let mut text = String::new();
                    table(self, &mut text).expect("writing to a string cannot fail");
                    text
                })
            });
            let text = |thread: std::thread::ScopedJoinHandle<'_, String>| {
                thread.join().expect("a table that fails says why")
            };
            threads.map(text).concat()
        })
    }

    fn left_out(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "### Leave one source out\n")?;
        writeln!(
            text,
            "| source | attacks | read by | left out with it | classifier | only itself left out | rules | both |"
        )?;
        writeln!(text, "|---|---:|---|---|---:|---:|---:|---:|")?;
        let mut sums = [0.0; 4];
        let mut count = 0.0;
        for ((source, label), attacks) in self.words.material.counts() {
            if label == 0 || attacks < LEAST_ATTACKS {
                continue;
            }
            let measure = self.of(direction_of(source));
            let strict = measure.learned(&without(source, kin(source), Held::OrdinaryOut));
            let loose = measure.learned(&without(source, &[], Held::OrdinaryOut));
            let rows = measure.attacks(source);
            let by_rules = rows.iter().filter(|&&at| measure.found[at]).count();
            let shares = [
                measure.recall(&strict, &rows, Beside::Nothing),
                measure.recall(&loose, &rows, Beside::Nothing),
                percent(by_rules, rows.len()),
                measure.recall(&strict, &rows, Beside::Rules),
            ];
            let [alone, loose, rules, both] = shares;
            let model = measure.classifier.name();
            let kin = if kin(source).is_empty() {
                "–".to_owned()
            } else {
                kin(source).join(", ")
            };
            writeln!(
                text,
                "| {source} | {attacks} | {model} | {kin} | {alone:.1} | {loose:.1} | {rules:.1} | {both:.1} |"
            )?;
            for (sum, share) in sums.iter_mut().zip(shares) {
                *sum += share;
            }
            count += 1.0;
        }
        let [alone, loose, rules, both] = sums.map(|sum| sum / count);
        writeln!(
            text,
            "| **mean** | | | | **{alone:.1}** | {loose:.1} | {rules:.1} | **{both:.1}** |\n"
        )
    }

    fn development(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "### The shipped file on the development sets, as prompts\n"
        )?;
        writeln!(
            text,
            "| set | rows | flagged | stopped | flagged, with rules |"
        )?;
        writeln!(text, "|---|---:|---:|---:|---:|")?;
        for set in DEV {
            for (name, rows) in [
                ("attacks", self.words.attacks(set)),
                ("ordinary", self.words.plain(set)),
            ] {
                if rows.is_empty() {
                    continue;
                }
                let [flag, block, both] = self.words.shares(&rows);
                let count = rows.len();
                writeln!(
                    text,
                    "| {set}, {name} | {count} | {flag:.1} | {block:.1} | {both:.1} |"
                )?;
            }
        }
        writeln!(text)
    }

    fn ordinary(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "### Ordinary rows of sources that were left out, at the flag threshold\n"
        )?;
        writeln!(
            text,
            "| source | rows | read as | passed | passed, with rules |"
        )?;
        writeln!(text, "|---|---:|---|---:|---:|")?;
        let mut sums = [0.0; 2];
        let mut all = 0;
        for ((source, label), count) in self.words.material.counts() {
            if label == 1 {
                continue;
            }
            let direction = direction_of(source);
            let measure = self.of(direction);
            let learned = measure.learned(&without(source, kin(source), Held::In));
            let plain: Vec<usize> = measure.plain(source);
            let [alone, both] = measure.flagged(&learned, &plain, direction);
            let name = direction.as_str();
            let (passed, with_rules) = (100.0 - alone, 100.0 - both);
            writeln!(
                text,
                "| {source} | {count} | {name} | {passed:.1} | {with_rules:.1} |"
            )?;
            sums[0] += passed * count as f64;
            sums[1] += with_rules * count as f64;
            all += count;
        }
        let [alone, both] = sums.map(|sum| sum / all as f64);
        writeln!(
            text,
            "| **all rows** | {all} | | **{alone:.1}** | **{both:.1}** |\n"
        )
    }

    fn planted(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "### Indirect attacks of sources that were left out, at the flag threshold\n"
        )?;
        writeln!(
            text,
            "| source | rows | left out with it | found | found, with rules |"
        )?;
        writeln!(text, "|---|---:|---|---:|---:|")?;
        for (source, kin) in [
            ("bipia-train-bare", kin("bipia-train-bare")),
            ("bipia-train-ctx+attack", kin("bipia-train-ctx+attack")),
            ("doc+attack(train)", kin("doc+attack(train)")),
            ("doc+attack(train)", &[]),
        ] {
            let learned = self.passages.learned(&without(source, kin, Held::In));
            let rows = self.passages.attacks(source);
            let [alone, both] = self.passages.flagged(&learned, &rows, Direction::Retrieved);
            let (count, kin) = (rows.len(), kin.join(", "));
            writeln!(
                text,
                "| {source} | {count} | {kin} | {alone:.1} | {both:.1} |"
            )?;
        }
        writeln!(text)
    }

    fn languages(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "### Languages, each left out, text of our own, at the flag threshold\n"
        )?;
        writeln!(
            text,
            "| language | attacks | found, not trained on | found, with rules | ordinary | passed, not trained on |"
        )?;
        writeln!(text, "|---|---:|---:|---:|---:|---:|")?;
        let rows: Vec<usize> = self.words.material.of_our_own().collect();
        let source = |at: &usize| self.words.material.rows[*at].source.as_str();
        let languages = self.words.material.languages();
        for name in languages {
            let learned = self.words.learned(&without(name, &[], Held::In));
            let own = || rows.iter().copied().filter(|at| source(at) == name);
            let is_attack = |at: &usize| self.words.material.rows[*at].is_attack();
            let attacks: Vec<usize> = own().filter(is_attack).collect();
            let plain: Vec<usize> = own().filter(|at| !is_attack(at)).collect();
            let [found, both] = self.words.flagged(&learned, &attacks, Direction::Prompt);
            let [wrong, _] = self.words.flagged(&learned, &plain, Direction::Prompt);
            let language = name.trim_start_matches("generated/");
            let (attacks, plain, passed) = (attacks.len(), plain.len(), 100.0 - wrong);
            writeln!(
                text,
                "| {language} | {attacks} | {found:.1} | {both:.1} | {plain} | {passed:.1} |"
            )?;
        }
        writeln!(text)
    }
}

/// Whether the rules count too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Rules,
}

/// How rows of a source are read.
pub(crate) fn direction_of(source: &str) -> Direction {
    if source.ends_with("-resp") {
        Direction::Answer
    } else if source.starts_with("docs/")
        || source.starts_with("bipia-")
        || source.starts_with("doc+attack")
    {
        Direction::Retrieved
    } else {
        Direction::Prompt
    }
}
