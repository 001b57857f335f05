//! Which texts of the development sets a balanced scan shows to the model, and what
//! is missed for it. The model here knows the labels: whatever it is not asked about
//! is lost, which is the most that any model could lose.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_engine::{CacheUse, Direction, Mode, Outcome, SecondStage, Thresholds};
use tidegate_model::Score;
use tidegate_model::onnx::OnnxError;

use crate::stage::{engine, scan};

const FILES: [&str; 3] = [
    "dev-promptshield.jsonl",
    "dev-xstest-safe.jsonl",
    "dev-cyberfrr.jsonl",
];
/// Parts of a hundred that are attacks.
const MIXES: [usize; 4] = [1, 10, 50, 80];
const FROM: [f64; 7] = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5];
/// The place of an attack among the parts that are counted apart.
const ATTACK: usize = 1;

pub(crate) struct Row {
    text: String,
    is_attack: bool,
}

pub(crate) fn rows(folder: &Path) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for file in FILES {
        for line in std::fs::read_to_string(folder.join(file))?.lines() {
            let row: serde_json::Value = serde_json::from_str(line)?;
            rows.push(Row {
                text: row["text"].as_str().unwrap_or_default().to_owned(),
                is_attack: row["label"] == 1,
            });
        }
    }
    Ok(rows)
}

/// Knows the labels.
#[derive(Debug)]
struct Knowing {
    attacks: HashSet<String>,
    asked: AtomicUsize,
}

impl SecondStage for Knowing {
    fn name(&self) -> &str {
        "knowing"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn thresholds(&self, _: Direction) -> Thresholds {
        Thresholds {
            flag: 0.5,
            block: f64::INFINITY,
        }
    }

    fn score(&self, text: &str, _: &dyn Fn() -> bool) -> Result<Option<Score>, OnnxError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Score {
            probability: f64::from(u8::from(self.attacks.contains(text))),
            logit: 0.0,
            window: 0..text.len(),
            windows: 1,
        }))
    }
}

/// Of calm rows and attacks: how many there are, how many the model was asked about,
/// and how many were flagged.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    rows: usize,
    asked: usize,
    flagged: usize,
}

impl Counts {
    fn asked(self) -> f64 {
        self.asked as f64 / self.rows as f64
    }

    fn flagged(self) -> f64 {
        self.flagged as f64 / self.rows as f64
    }
}

async fn count(rows: &[Row], from_score: f64, mode: Mode) -> [Counts; 2] {
    let attacks = rows.iter().filter(|row| row.is_attack);
    let stage = Arc::new(Knowing {
        attacks: attacks.map(|row| row.text.clone()).collect(),
        asked: AtomicUsize::new(0),
    });
    let engine = engine(stage.clone(), from_score);
    let mut counts = [Counts::default(); 2];
    for row in rows {
        let scanned = scan(&engine, &row.text, mode, CacheUse::Skip).await;
        let of = &mut counts[usize::from(row.is_attack)];
        of.rows += 1;
        of.asked += stage.asked.swap(0, Ordering::SeqCst);
        of.flagged += usize::from(scanned.verdict.outcome > Outcome::Allow);
    }
    counts
}

pub(crate) async fn table(rows: &[Row]) {
    let whole = count(rows, 0.0, Mode::Thorough).await;
    println!(
        "\n{} calm rows and {} attacks of the development sets; `l2_below_confidence` 0.6, \
         `l2_sample` 0.1. Thorough: {:.1} % of attacks and {:.1} % of calm rows flagged.\n",
        whole[0].rows,
        whole[ATTACK].rows,
        100.0 * whole[ATTACK].flagged(),
        100.0 * whole[0].flagged(),
    );
    println!(
        "| `l2_from_score` | runs avoided at 1 % attacks | 10 % | 50 % | 80 % | attacks lost, of \
         all | accuracy lost at 1 % | 10 % | 50 % | 80 % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for from in FROM {
        let counts = count(rows, from, Mode::Balanced).await;
        let mixed = |calm: f64, attack: f64, percent: usize| {
            let share = percent as f64 / 100.0;
            100.0 * (calm * (1.0 - share) + attack * share)
        };
        let lost = whole[ATTACK].flagged() - counts[ATTACK].flagged();
        let avoided = MIXES.map(|mix| {
            let asked = mixed(counts[0].asked(), counts[ATTACK].asked(), mix);
            format!("{:.0} %", 100.0 - asked)
        });
        let accuracy = MIXES.map(|mix| format!("{:.2}", mixed(0.0, lost, mix)));
        println!(
            "| {from} | {} | {:.1} % | {} |",
            avoided.join(" | "),
            100.0 * lost,
            accuracy.join(" | ")
        );
    }
}
