//! What a model is: settings, weights, calibration, thresholds.

use crate::calibration::Calibration;

/// Where a text stands in the traffic: what is ordinary differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the caller sends to a model.
    Prompt,
    /// What the model answers.
    Answer,
    /// A passage from an index or the web.
    Retrieved,
    /// A call of a tool, as the model wrote it.
    ToolCall,
    /// What a tool gave back.
    ToolResult,
}

impl Direction {
    /// All of them, in the order of the model file.
    pub const ALL: [Self; 5] = [
        Self::Prompt,
        Self::Answer,
        Self::Retrieved,
        Self::ToolCall,
        Self::ToolResult,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Answer => "answer",
            Self::Retrieved => "retrieved",
            Self::ToolCall => "tool_call",
            Self::ToolResult => "tool_result",
        }
    }
}

/// From which probability on something is said about a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Worth a look.
    pub flag: f64,
    /// Worth a stop; not below `flag`.
    pub block: f64,
}

/// How texts become n-grams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The seed of the hashes.
    pub seed: u64,
    /// The logarithm of the number of slots, to base 2.
    pub bits: u8,
    /// The longest n-gram, in words.
    pub grams: u8,
    /// The length of a window, in code points.
    pub window: u32,
    /// How far the next window begins behind the last one.
    pub stride: u32,
}

/// A slot: the n-gram that it belongs to, in 8 bits, and its weight. An n-gram
/// with another mark has no weight, so that a word that was never seen rarely
/// takes the weight of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Eight bits of the hash of the n-gram.
    pub mark: u8,
    /// The weight, in units of the scale.
    pub weight: i8,
}

/// A model as data; `Classifier::new` checks it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name, for verdicts: 1 to 64 of `a-z 0-9 . _ -`.
    pub name: String,
    /// Its version, in the same characters.
    pub version: String,
    /// How texts become n-grams.
    pub settings: Settings,
    /// What one unit of weight is worth.
    pub scale: f64,
    /// The logit of a text without n-grams.
    pub bias: f64,
    /// From logits to probabilities.
    pub calibration: Calibration,
    /// The thresholds, in the order of `Direction::ALL`.
    pub thresholds: [Thresholds; 5],
    /// `2^bits` slots.
    pub slots: Vec<Slot>,
}

impl Settings {
    /// The slot of an n-gram, and what must be written there.
    pub fn slot(&self, hash: u64) -> (usize, u8) {
        ((hash >> (64 - self.bits)) as usize, (hash >> 8) as u8)
    }
}

/// What the sum of the weights of a window with this many n-grams counts: a long
/// window may weigh more than a short one, but not as many times as it is longer.
/// The power of -3/8 was measured best between -1/8 and -1/2; square roots are
/// exact on every machine.
pub fn share(grams: u32) -> f64 {
    let quarter = f64::from(grams.max(1)).sqrt().sqrt();
    1.0 / (quarter * quarter.sqrt())
}
