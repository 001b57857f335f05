//! A model in the format of ONNX, from a folder.

use std::path::Path;
use std::sync::Arc;

use tidegate_guard::{Direction, Thresholds};
use tidegate_model::Score;
use tidegate_model::onnx::{OnnxError, TextModel};

use super::SecondStage;

/// What changes a score beside the model itself, whose digest is its version.
const BESIDE: [&str; 3] = ["tokenizer.json", "config.json", "tidegate.toml"];
/// So much of a digest tells versions apart.
const VERSION_SIGNS: usize = 8;

#[derive(Debug)]
struct FolderStage {
    model: TextModel,
    version: String,
}

/// Loads the model of a folder.
pub(super) fn load(folder: &Path) -> Result<Arc<dyn SecondStage>, OnnxError> {
    let model = TextModel::load(folder)?;
    let mut hasher = blake3::Hasher::new();
    for file in BESIDE {
        // What cannot be read was not needed: the model is loaded.
        let bytes = std::fs::read(folder.join(file)).unwrap_or_default();
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
    let digest = hasher.finalize().to_hex();
    let version = format!("{}-{}", model.version(), &digest[..VERSION_SIGNS]);
    Ok(Arc::new(FolderStage { model, version }))
}

/// Says what is wrong with the model of a folder, without keeping it.
///
/// # Errors
/// What an engine would say that is assembled with it.
pub fn check_model(folder: &Path) -> Result<(), OnnxError> {
    TextModel::load(folder).map(drop)
}

impl SecondStage for FolderStage {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn thresholds(&self, direction: Direction) -> Thresholds {
        let all = tidegate_model::Direction::ALL;
        self.model.thresholds(all[direction as usize])
    }

    fn score(&self, text: &str, stop: &dyn Fn() -> bool) -> Result<Option<Score>, OnnxError> {
        self.model.score(text, &|| stop())
    }
}
