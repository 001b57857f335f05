//! Scores of texts.

use std::ops::Range;

use crate::calibration::Calibration;
use crate::file::ModelError;
use crate::following::Following;
use crate::model::{Direction, Model, Settings, Thresholds, share};
use crate::words::{Gram, Reader};

/// The models that the program brings along.
const BUILTIN: &[u8] = include_bytes!("../../../models/guard/words.tgm");
const PASSAGES: &[u8] = include_bytes!("../../../models/guard/passages.tgm");

/// A linear model over n-grams of words.
#[derive(Clone, Debug)]
pub struct Classifier {
    model: Model,
    digest: [u8; 32],
}

/// What a classifier says about a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// How likely the text is an attack, by what the model was calibrated with.
    pub probability: f64,
    /// The same before calibration, less what the window loses for those before it
    /// (`lateness`).
    pub logit: f64,
    /// The window that has this score, the first where there are several, in
    /// code points of the text.
    pub window: Range<usize>,
    /// How many windows were read.
    pub windows: usize,
}

/// An n-gram that made a window suspicious. The text itself is not repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Its place, in code points of the text.
    pub words: Range<usize>,
    /// What it added to the logit.
    pub weight: f64,
}

impl Classifier {
    /// The model that the program brings along for what users, models and tools are
    /// told: it knows what tries to override, redirect or jailbreak.
    ///
    /// # Errors
    ///
    /// When the program itself is damaged.
    pub fn builtin() -> Result<Self, ModelError> {
        Self::from_bytes(BUILTIN)
    }

    /// The model that the program brings along for what is read, passages and results
    /// of tools: there, whatever asks a model for something is suspicious.
    ///
    /// # Errors
    ///
    /// When the program itself is damaged.
    pub fn passages() -> Result<Self, ModelError> {
        Self::from_bytes(PASSAGES)
    }

    /// A model from the bytes of a file.
    ///
    /// # Errors
    ///
    /// When they are not the bytes of a whole model that makes sense.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        Model::from_bytes(bytes).map(|model| Self {
            digest: crate::file::digest(bytes),
            model,
        })
    }

    /// A model from its parts.
    ///
    /// # Errors
    ///
    /// When they make no sense together.
    pub fn new(model: Model) -> Result<Self, ModelError> {
        model.check()?;
        let digest = crate::file::digest(&model.to_bytes());
        Ok(Self { model, digest })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.model.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.model.version
    }

    /// How its logits become probabilities.
    pub fn calibration(&self) -> Calibration {
        self.model.calibration
    }

    /// A digest of its file: the same digest, the same scores.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.to_bytes()
    }

    /// The thresholds that it was measured with.
    pub fn thresholds(&self, direction: Direction) -> Thresholds {
        let [prompt, answer, retrieved, tool_call, tool_result] = self.model.thresholds;
        match direction {
            Direction::Prompt => prompt,
            Direction::Answer => answer,
            Direction::Retrieved => retrieved,
            Direction::ToolCall => tool_call,
            Direction::ToolResult => tool_result,
        }
    }

    /// Scores a text: the worst of its windows. `stop` is asked before each
    /// window; where it says yes, there is no score.
    pub fn score(&self, text: &str, stop: &impl Fn() -> bool) -> Option<Score> {
        let mut following = self.follow();
        following.push_until(text, stop).then(|| following.score())
    }

    /// A score of a text that arrives in pieces.
    pub fn follow(&self) -> Following<&Self> {
        Following::new(self)
    }

    /// The n-grams that added most to the score of a window, at most `most`, the
    /// heaviest first. None of them lies over another.
    pub fn explain(&self, text: &str, window: Range<usize>, most: usize) -> Vec<Reason> {
        let length = window.end.saturating_sub(window.start);
        let piece: String = text.chars().skip(window.start).take(length).collect();
        let mut grams: Vec<(Gram, i8)> = Vec::new();
        let mut reader = self.reader();
        let mut each = |gram: Gram| grams.push((gram, self.weight(gram.hash)));
        reader.read(&piece, &mut each);
        reader.end(&mut each);
        let unit = self.model.scale * share(reader.count());
        grams.retain(|(_, weight)| *weight > 0);
        // Among equals the longer one says more, then the earlier one.
        grams.sort_by_key(|(gram, weight)| (-i32::from(*weight), gram.start, u32::MAX - gram.end));
        let mut reasons: Vec<Reason> = Vec::new();
        for (gram, weight) in grams {
            let words = window.start + gram.start as usize..window.start + gram.end as usize;
            let is_free = |r: &Reason| r.words.end <= words.start || words.end <= r.words.start;
            if reasons.len() < most && reasons.iter().all(is_free) {
                let weight = f64::from(weight) * unit;
                reasons.push(Reason { words, weight });
            }
        }
        reasons
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.model.settings
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::new(self.model.settings.seed, self.model.settings.grams)
    }

    /// The weight of an n-gram, 0 for one that the model does not know.
    #[inline(always)]
    pub(crate) fn weight(&self, hash: u64) -> i8 {
        let (at, mark) = self.model.settings.slot(hash);
        let slot = self.model.slots[at];
        if slot.mark == mark { slot.weight } else { 0 }
    }

    pub(crate) fn logit(&self, sum: i64, grams: u32) -> f64 {
        // One order of operations: the same bits on every machine.
        self.model.bias + sum as f64 * self.model.scale * share(grams)
    }

    pub(crate) fn probability(&self, logit: f64) -> f64 {
        self.model.calibration.probability(logit)
    }
}

#[cfg(test)]
mod tests;
