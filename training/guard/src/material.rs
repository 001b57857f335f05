//! All that is trained on and measured with, and what is left out when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::carriers::{is_carried, long_lines, ordinary_pieces, residue};
use crate::corpus::Corpus;
use crate::generate;
use crate::learn::Example;
use crate::order::Order;
use crate::rows::{Row, RowsError, read};
use crate::task::Task;

/// The sets that are only measured with.
pub const DEV: [&str; 3] = ["dev-promptshield", "dev-xstest-safe", "dev-cyberfrr"];
/// An attack counts as this many ordinary rows.
const ATTACK_WEIGHT: f32 = 2.0;
/// Sources with more rows than this count for less each.
const FULL_ROWS: f32 = 300.0;
/// One row of this many is held out.
const HELD_OUT: usize = 5;
/// What is left of a row without its carrier is an attack up to this length.
const RESIDUE_BYTES: usize = 450;
/// Rows of fewer bytes carry no attack of our own.
const CARRIER_BYTES: usize = 300;

/// The rows in order: given, of our own, planted, dev sets.
#[derive(Debug)]
pub struct Material {
    /// What is trained with them.
    pub(crate) task: Task,
    /// All rows.
    pub(crate) rows: Vec<Row>,
    /// Their windows.
    pub(crate) corpus: Corpus,
    given: usize,
    trainable: usize,
    held_out: Vec<bool>,
    /// Rows that others stand for, or that share lines with what is held out.
    replaced: Vec<bool>,
    copied: Vec<bool>,
}

/// What a training run may not see.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut {
    /// Sources that are left out, as attack and as carrier.
    pub(crate) sources: Vec<String>,
    /// Whether rows that are held out are left out too.
    pub(crate) held_out: Held,
}

/// What happens to the rows that are held out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Held {
    /// They are trained on as well.
    #[default]
    In,
    /// Ordinary ones are left out.
    OrdinaryOut,
}

impl Material {
    /// Reads the rows of a folder and makes those of our own.
    pub fn read(folder: &Path, task: Task) -> Result<Self, RowsError> {
        let given = read(folder, "train.jsonl")?;
        let mut dev = Vec::new();
        for set in DEV {
            let mut rows = read(folder, &format!("{set}.jsonl"))?;
            for row in &mut rows {
                set.clone_into(&mut row.source);
            }
            dev.extend(rows);
        }
        let mut own = generate::rows(5);
        if task == Task::Passages {
            own.extend(generate::passages(9));
        }
        Ok(Self::with(task, given, own, dev))
    }

    /// Puts rows together with those of our own.
    pub fn with(task: Task, given: Vec<Row>, own: Vec<Row>, dev: Vec<Row>) -> Self {
        let (mut rows, mut own) = (given, own);
        for row in rows.iter_mut().chain(&mut own) {
            row.is_request = row.label == 0 && task.turns(&row.source);
        }
        let given = rows.len();
        let mut held_out: Vec<bool> = (0..given)
            .map(|at| Order::new(0x5eed ^ at as u64).below(HELD_OUT) == 0)
            .collect();
        let replaced = replace_carried(&mut rows);
        rows.extend(own);
        rows.extend(planted(&rows, &held_out));
        let trainable = rows.len();
        rows.extend(dev);
        held_out.resize(rows.len(), false);
        let copied = copied(&rows, &held_out);
        let corpus = Corpus::of(&rows, task.settings());
        Self {
            task,
            rows,
            corpus,
            given,
            trainable,
            held_out,
            replaced,
            copied,
        }
    }

    /// The rows that are trained on when something is left out.
    pub(crate) fn examples(&self, out: &LeftOut) -> Vec<Example> {
        let weights = self.weights();
        let is_in = |&at: &usize| {
            let row = &self.rows[at];
            let is_named =
                |source: &String| *source == row.source || row.carrier.as_ref() == Some(source);
            let is_held = match out.held_out {
                Held::In => false,
                Held::OrdinaryOut => (self.held_out[at] && !row.is_attack()) || self.copied[at],
            };
            let is_replaced = self.replaced.get(at).copied().unwrap_or(false);
            !(is_held || is_replaced || out.sources.iter().any(is_named))
        };
        let example = |at: usize| Example {
            row: at,
            is_attack: self.rows[at].is_attack(),
            weight: weights[at],
        };
        (0..self.trainable).filter(is_in).map(example).collect()
    }

    /// Given rows that are held out.
    pub(crate) fn held_out(&self) -> impl Iterator<Item = usize> {
        (0..self.given).filter(|&at| self.held_out[at])
    }

    /// Given rows of a source, or the rows of a dev set.
    pub(crate) fn of_source<'a>(&'a self, source: &'a str) -> impl Iterator<Item = usize> + 'a {
        let all = (0..self.given).chain(self.trainable..self.rows.len());
        all.filter(move |&at| self.rows[at].source == source)
    }

    /// The rows of our own of one part.
    pub(crate) fn of_our_own(&self) -> impl Iterator<Item = usize> {
        (self.given..self.trainable).filter(|&at| self.rows[at].carrier.is_none())
    }

    /// The parts of our own that are languages, in order.
    pub(crate) fn languages(&self) -> Vec<&str> {
        let source = |at: usize| self.rows[at].source.as_str();
        let code = |name: &&str| {
            name.strip_prefix("generated/")
                .is_some_and(|code| code.len() == 2)
        };
        let languages: BTreeSet<&str> = self.of_our_own().map(source).filter(code).collect();
        languages.into_iter().collect()
    }

    /// How many rows there are of each source and label among those given.
    pub(crate) fn counts(&self) -> BTreeMap<(&str, u8), usize> {
        let mut counts = BTreeMap::new();
        for row in &self.rows[..self.given] {
            *counts.entry((row.source.as_str(), row.label)).or_default() += 1;
        }
        counts
    }

    /// What each row counts: sources with many rows count less for each.
    fn weights(&self) -> Vec<f32> {
        let key = |row: &Row| (row.source.clone(), row.is_attack());
        let mut counts: BTreeMap<(String, bool), f32> = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(key(row)).or_default() += 1.0;
        }
        let weight = |row: &Row| {
            let times = (counts[&key(row)] / FULL_ROWS).max(0.3);
            // The fourth root: square roots are exact on every machine.
            let share = 1.0 / times.sqrt().sqrt();
            share * if row.is_attack() { ATTACK_WEIGHT } else { 1.0 }
        };
        self.rows.iter().map(weight).collect()
    }
}

/// Appends the attacks of rows that carry one, and says which rows these were.
fn replace_carried(rows: &mut Vec<Row>) -> Vec<bool> {
    let mut replaced = vec![false; rows.len()];
    let mut residues = Vec::new();
    let ordinary = ordinary_pieces(rows.iter());
    for (at, row) in rows.iter().enumerate() {
        if !is_carried(&row.source) {
            continue;
        }
        // Where much is left, most of it is what carries the attack: such a row
        // would teach to flag its carrier.
        replaced[at] = true;
        let own = residue(row, &ordinary).filter(|text| text.len() <= RESIDUE_BYTES);
        residues.extend(own.map(|text| Row::new(text, 1, &row.source)));
    }
    drop(ordinary);
    rows.extend(residues);
    replaced
}

/// Attacks in ordinary rows that are not held out.
fn planted(rows: &[Row], held_out: &[bool]) -> Vec<Row> {
    let is_held = |at: usize| held_out.get(at).copied().unwrap_or(false);
    let kept = || {
        rows.iter()
            .enumerate()
            .filter(|(at, _)| !is_held(*at))
            .map(|(_, row)| row)
    };
    let carriers: Vec<&Row> = kept()
        .filter(|row| !row.is_attack() && row.text.len() > CARRIER_BYTES)
        .collect();
    let attacks: Vec<&Row> = kept()
        .filter(|row| row.is_attack() && row.text.len() < CARRIER_BYTES)
        .filter(|row| !row.source.starts_with("generated/"))
        .collect();
    generate::plant(&carriers, &attacks, 6)
}

/// Attacks that share a long line with an ordinary row that is held out.
fn copied(rows: &[Row], held_out: &[bool]) -> Vec<bool> {
    let held = rows
        .iter()
        .zip(held_out)
        .filter(|(row, held)| **held && !row.is_attack());
    let lines: BTreeSet<&str> = held.flat_map(|(row, _)| long_lines(&row.text)).collect();
    let shares = |row: &Row| long_lines(&row.text).any(|line| lines.contains(line));
    rows.iter()
        .map(|row| row.is_attack() && shares(row))
        .collect()
}
