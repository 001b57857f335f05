//! Logistic regression over n-grams, by AdaGrad, one example at a time.
//!
//! One thread, plain arithmetic and square roots in a fixed order: the same rows
//! give the same weights, bit for bit.

use std::ops::Range;

use tidegate_model::{lateness, logistic, share};

use crate::corpus::Corpus;
use crate::order::Order;

/// What is fixed before training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How often each row is seen.
    pub(crate) epochs: usize,
    /// The weights are the mean of those after each of the last so many epochs.
    pub(crate) averaged: usize,
    /// The step of AdaGrad.
    pub(crate) rate: f32,
    /// L2.
    pub(crate) shrink: f32,
    /// An n-gram in fewer rows has no slot.
    pub(crate) least_rows: u32,
}

/// The plan of the shipped model.
pub(crate) const PLAN: Plan = Plan {
    epochs: 20,
    averaged: 5,
    rate: 0.3,
    shrink: 1e-5,
    least_rows: 2,
};

/// A row to learn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Example {
    /// Which row.
    pub(crate) row: usize,
    /// What it is.
    pub(crate) is_attack: bool,
    /// How much it counts.
    pub(crate) weight: f32,
}

/// What was learned, in whole numbers as it is shipped.
#[derive(Clone, Debug)]
pub(crate) struct Learned {
    /// The weight of each slot, in units of the scale.
    pub(crate) weights: Vec<i8>,
    /// Which n-gram each slot belongs to.
    pub(crate) marks: Vec<u8>,
    /// What one unit of weight is worth.
    pub(crate) scale: f32,
    /// The logit of a text without n-grams.
    pub(crate) bias: f32,
    state: State,
}

impl Learned {
    /// Rounds each weight to one of 255 steps, the largest of which is the
    /// largest weight.
    fn of(mut state: State) -> Self {
        let largest = state
            .weights
            .iter()
            .fold(0.0, |most: f32, weight| most.max(weight.abs()));
        let scale = largest.max(f32::MIN_POSITIVE) / 127.0;
        // A float becomes a whole number without overflow: `as` saturates.
        let round = |weight: &f32| (weight / scale).round() as i8;
        let weights: Vec<i8> = state.weights.iter().map(round).collect();
        state.weights = weights
            .iter()
            .map(|&steps| f32::from(steps) * scale)
            .collect();
        Self {
            weights,
            marks: state.marks.clone(),
            scale,
            bias: state.bias,
            state,
        }
    }

    /// The logit of a row as the shipped model has it.
    pub(crate) fn row(&self, corpus: &Corpus, row: usize) -> f64 {
        let windows = corpus.rows[row].clone().enumerate();
        let logits = windows.map(|(number, window)| {
            f64::from(self.state.window(corpus, window)) - lateness(number)
        });
        logits.fold(f64::MIN, f64::max)
    }
}

/// The weights while they are learned.
#[derive(Clone, Debug)]
struct State {
    weights: Vec<f32>,
    marks: Vec<u8>,
    bias: f32,
    /// The slot of each n-gram of the corpus.
    slots: Vec<Option<u32>>,
}

impl State {
    fn new(corpus: &Corpus, marks: Vec<u8>) -> Self {
        let slot = |&hash: &u64| {
            let (at, mark) = corpus.settings.slot(hash);
            (marks[at] == mark).then_some(at as u32)
        };
        Self {
            weights: vec![0.0; marks.len()],
            slots: corpus.hashes.iter().map(slot).collect(),
            marks,
            bias: 0.0,
        }
    }

    /// The slots of a window.
    fn slots<'a>(&'a self, corpus: &'a Corpus, window: usize) -> impl Iterator<Item = usize> + 'a {
        let grams = &corpus.grams[corpus.windows[window].clone()];
        grams
            .iter()
            .filter_map(|&gram| self.slots[gram as usize].map(|slot| slot as usize))
    }

    fn window(&self, corpus: &Corpus, window: usize) -> f32 {
        let sum: f32 = self
            .slots(corpus, window)
            .map(|slot| self.weights[slot])
            .sum();
        self.bias + sum * part(corpus.windows[window].len())
    }

    fn worst(&self, corpus: &Corpus, row: usize) -> (usize, f32) {
        let mut worst = (corpus.rows[row].start, f32::MIN);
        for window in corpus.rows[row].clone() {
            let logit = self.window(corpus, window);
            if logit > worst.1 {
                worst = (window, logit);
            }
        }
        worst
    }
}

/// What the weights of a window with so many n-grams count.
fn part(grams: usize) -> f32 {
    share(u32::try_from(grams).unwrap_or(u32::MAX)) as f32
}

/// Learns from examples.
pub(crate) fn learn(corpus: &Corpus, examples: &[Example], plan: &Plan) -> Learned {
    let mut state = State::new(corpus, dictionary(corpus, examples, plan));
    let mut squares = Squares::new(&state);
    let mut mean = Mean::new(&state);
    let mut order = Order::new(7);
    let mut list = examples.to_vec();
    for epoch in 0..plan.epochs {
        order.shuffle(&mut list);
        for example in &list {
            for window in picked(&state, corpus, example, epoch) {
                step(&mut state, &mut squares, (corpus, window, example), plan);
            }
        }
        if epoch + plan.averaged >= plan.epochs {
            mean.add(&state);
        }
    }
    mean.put_into(&mut state);
    Learned::of(state)
}

/// Which windows of a row are learned from. Of a long attack nobody says which
/// window it is in: it is the worst one, as far as is known by then; nothing is
/// known before the first epoch is over.
fn picked(state: &State, corpus: &Corpus, example: &Example, epoch: usize) -> Range<usize> {
    let all = corpus.rows[example.row].clone();
    if all.len() == 1 || (epoch == 0 && !example.is_attack) {
        return all;
    }
    if epoch == 0 {
        return all.start..all.start;
    }
    let (window, _) = state.worst(corpus, example.row);
    window..window + 1
}

fn step(
    state: &mut State,
    squares: &mut Squares,
    (corpus, window, example): (&Corpus, usize, &Example),
    plan: &Plan,
) {
    let target = if example.is_attack { 1.0 } else { 0.0 };
    let logit = f64::from(state.window(corpus, window));
    let error = (logistic(logit) as f32 - target) * example.weight;
    let range = corpus.windows[window].clone();
    let part = part(range.len());
    for &gram in &corpus.grams[range] {
        let Some(slot) = state.slots[gram as usize] else {
            continue;
        };
        let slot = slot as usize;
        let gradient = error * part + plan.shrink * state.weights[slot];
        squares.weights[slot] += gradient * gradient;
        state.weights[slot] -= plan.rate * gradient / (squares.weights[slot].sqrt() + SMALL);
    }
    squares.bias += error * error;
    state.bias -= plan.rate * error / (squares.bias.sqrt() + SMALL);
}

/// Added to what is divided by.
const SMALL: f32 = 1e-3;

/// The sums of the squares of all gradients.
struct Squares {
    weights: Vec<f32>,
    bias: f32,
}

impl Squares {
    fn new(state: &State) -> Self {
        let weights = vec![0.0; state.weights.len()];
        Self { weights, bias: 0.0 }
    }
}

/// The mean of the weights after some epochs.
struct Mean {
    weights: Vec<f32>,
    bias: f32,
    count: f32,
}

impl Mean {
    fn new(state: &State) -> Self {
        Self {
            weights: vec![0.0; state.weights.len()],
            bias: 0.0,
            count: 0.0,
        }
    }

    fn add(&mut self, state: &State) {
        for (sum, weight) in self.weights.iter_mut().zip(&state.weights) {
            *sum += weight;
        }
        self.bias += state.bias;
        self.count += 1.0;
    }

    fn put_into(&self, state: &mut State) {
        for (weight, sum) in state.weights.iter_mut().zip(&self.weights) {
            *weight = sum / self.count;
        }
        state.bias = self.bias / self.count;
    }
}

/// Which n-gram each slot belongs to: the one that tells most of those that fall
/// on it.
fn dictionary(corpus: &Corpus, examples: &[Example], plan: &Plan) -> Vec<u8> {
    let mut seen = vec![usize::MAX; corpus.hashes.len()];
    let mut rows = vec![0_u32; corpus.hashes.len()];
    let mut counts = vec![[0_f32; 2]; corpus.hashes.len()];
    let mut total = [0_f32; 2];
    for (at, example) in examples.iter().enumerate() {
        let class = usize::from(example.is_attack);
        total[class] += example.weight;
        for window in corpus.rows[example.row].clone() {
            for &gram in &corpus.grams[corpus.windows[window].clone()] {
                let gram = gram as usize;
                if seen[gram] != at {
                    seen[gram] = at;
                    rows[gram] += 1;
                    counts[gram][class] += example.weight;
                }
            }
        }
    }
    let mut best = vec![0_f32; 1 << corpus.settings.bits];
    let mut marks = vec![0_u8; 1 << corpus.settings.bits];
    for (gram, &hash) in corpus.hashes.iter().enumerate() {
        let [ordinary, attack] = [counts[gram][0] / total[0], counts[gram][1] / total[1]];
        let worth = (attack - ordinary) * (attack - ordinary) / (attack + ordinary);
        let (slot, mark) = corpus.settings.slot(hash);
        if rows[gram] >= plan.least_rows && worth > best[slot] {
            (best[slot], marks[slot]) = (worth, mark);
        }
    }
    marks
}
