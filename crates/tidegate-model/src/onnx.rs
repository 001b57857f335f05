//! Classifiers of texts that somebody else trained, in the format of ONNX.
//!
//! A folder holds a model, its tokenizer and its labels; `TextModel` reads all of
//! it once, believes nothing of it, and scores texts. What a folder must hold is
//! told in docs/onnx.md.

mod error;
mod folder;
mod session;
mod tokenizer;
mod windows;
mod wire;

use std::ops::Range;
use std::path::Path;

pub use error::OnnxError;

use crate::calibration::{exp, logistic};
use crate::classifier::Score;
use crate::model::{Direction, Thresholds};
use folder::{Folder, LabelKind, Labels};
use session::{Output, Session};
use tokenizer::Tokenizer;
use windows::{Layout, Windows};

/// What a model is held to whose folder says nothing. Nobody measured them for it.
const DEFAULT_THRESHOLDS: Thresholds = Thresholds {
    flag: 0.5,
    block: 0.9,
};
/// The tokens of a window where nothing else is said, and how many of them two
/// windows share.
const DEFAULT_TOKENS: usize = 512;
const DEFAULT_OVERLAP: usize = 64;
/// More would take the memory of a machine in one window.
const MAX_TOKENS: usize = 8192;
/// How much of the digest is the version.
const VERSION_SIGNS: usize = 12;
const MAX_NAME_SIGNS: usize = 64;

/// A classifier of texts from a folder.
#[derive(Debug)]
pub struct TextModel {
    name: String,
    version: String,
    thresholds: [Thresholds; Direction::ALL.len()],
    labels: Labels,
    layout: Layout,
    tokenizer: Tokenizer,
    session: Session,
}

impl TextModel {
    /// Loads the model of a folder. The files may be anything: what is wrong with
    /// them is an error, never a panic. How much memory and time the runtime takes
    /// for a file that was made to waste them is bounded by nothing; who writes
    /// the digest of a file that he trusts into tidegate.toml is asked for no more.
    ///
    /// # Errors
    ///
    /// When a file is missing, too large, damaged or of a kind that is not
    /// supported, or when the model is not a classifier of texts.
    pub fn load(folder: &Path) -> Result<Self, OnnxError> {
        let mut files = Folder::read(folder)?;
        let labels = files.labels()?;
        let mut tokenizer = Tokenizer::from_json(&files.tokenizer, &files.tokenizer_path)?;
        if let Some(pad) = files.config.pad_token_id {
            tokenizer.set_pad(pad);
        }
        let model = std::mem::take(&mut files.model);
        let session = Session::load(model, &files.model_path, "logits")?;
        let layout = layout(&files, &tokenizer, session.length())?;
        let model = Self {
            name: name(folder),
            version: files.digest.chars().take(VERSION_SIGNS).collect(),
            thresholds: files.settings.thresholds(),
            labels,
            layout,
            tokenizer,
            session,
        };
        // A model that cannot read a short text is found out now.
        model.score("a", &|| false)?;
        Ok(model)
    }

    /// Its name: that of the folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version: how the digest of model.onnx begins.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The thresholds that its folder says.
    pub fn thresholds(&self, direction: Direction) -> Thresholds {
        let [prompt, answer, retrieved, tool_call, tool_result] = self.thresholds;
        match direction {
            Direction::Prompt => prompt,
            Direction::Answer => answer,
            Direction::Retrieved => retrieved,
            Direction::ToolCall => tool_call,
            Direction::ToolResult => tool_result,
        }
    }

    /// Scores a text: the worst of its windows. `stop` is asked before each
    /// window; where it says yes, there is no score. This takes milliseconds for
    /// each window, on all cores: it belongs into a pool.
    ///
    /// # Errors
    ///
    /// When the runtime fails, or answers with something else than numbers.
    pub fn score(&self, text: &str, stop: &impl Fn() -> bool) -> Result<Option<Score>, OnnxError> {
        let mut windows = Windows::new(&self.tokenizer, self.layout, text);
        let mut worst: Option<(f64, Range<usize>)> = None;
        let mut count = 0;
        loop {
            if stop() {
                return Ok(None);
            }
            let Some(window) = windows.next() else { break };
            count += 1;
            let output = self.session.run(&window.sequence)?;
            let logit = self.logit(&output, &window.place)?;
            if worst.as_ref().is_none_or(|(known, _)| logit > *known) {
                worst = Some((logit, window.place));
            }
        }
        Ok(worst.map(|(logit, window)| Score {
            probability: logistic(logit),
            logit,
            window,
            windows: count,
        }))
    }

    /// How much more likely an attack is than none: the logarithm of the ratio.
    fn logit(&self, output: &Output, window: &Range<usize>) -> Result<f64, OnnxError> {
        let wanted = [1, self.labels.count];
        let fits = output.shape == wanted || (output.shape == [1] && wanted == [1, 1]);
        if !fits {
            return Err(OnnxError::Shape {
                output: self.session.output().to_owned(),
                found: output.shape.clone(),
                wanted: wanted.to_vec(),
            });
        }
        if !output.data.iter().all(|number| number.is_finite()) {
            return Err(OnnxError::NotFinite {
                window: window.clone(),
            });
        }
        let numbers = output.data.iter().map(|number| f64::from(*number));
        let (attacks, others): (Vec<_>, Vec<_>) = numbers
            .enumerate()
            .partition(|(at, _)| self.labels.attacks.contains(at));
        let strongest = attacks
            .iter()
            .map(|(_, number)| *number)
            .fold(f64::MIN, f64::max);
        Ok(match self.labels.kind {
            LabelKind::EachAlone => strongest,
            LabelKind::OneOfAll => log_sum(&attacks) - log_sum(&others),
        })
    }
}

/// The logarithm of the sum of the powers of e, without overflow.
fn log_sum(numbers: &[(usize, f64)]) -> f64 {
    let most = numbers
        .iter()
        .map(|(_, number)| *number)
        .fold(f64::MIN, f64::max);
    let sum: f64 = numbers.iter().map(|(_, number)| exp(number - most)).sum();
    most + sum.ln()
}

/// How texts are cut, by the folder, the model and the frame of its tokenizer.
fn layout(
    files: &Folder,
    tokenizer: &Tokenizer,
    length: Option<usize>,
) -> Result<Layout, OnnxError> {
    let wrong = |place: String| OnnxError::Malformed {
        file: files.model_path.with_file_name("tidegate.toml"),
        problem: "does not fit the model".to_owned(),
        place,
        advice: "change max_tokens or stride",
    };
    let most = files.config.longest().unwrap_or(MAX_TOKENS);
    let most = most.min(length.unwrap_or(MAX_TOKENS)).min(MAX_TOKENS);
    let asked = files.settings.max_tokens;
    if let Some(asked) = asked.filter(|asked| *asked > most) {
        return Err(wrong(format!(
            "max_tokens is {asked}, the model takes {most} at most"
        )));
    }
    let tokens = asked.unwrap_or(DEFAULT_TOKENS.min(most));
    let frame = tokenizer.frame();
    let content = tokens.saturating_sub(frame.before.len() + frame.after.len());
    if content == 0 {
        return Err(wrong(format!(
            "max_tokens of {tokens} leaves no room for a text"
        )));
    }
    let overlap = DEFAULT_OVERLAP.min(content / 8);
    let stride = files.settings.stride.unwrap_or(content - overlap);
    if !(1..=content).contains(&stride) {
        return Err(wrong(format!(
            "stride is {stride}, it must be 1 to {content}"
        )));
    }
    Ok(Layout {
        content,
        stride,
        length,
    })
}

/// The name of a folder in the characters that names of models have.
fn name(folder: &Path) -> String {
    // A path such as `.` names no folder before it is resolved.
    let resolved = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = resolved.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
        _ => '-',
    };
    let name: String = name.chars().take(MAX_NAME_SIGNS).map(plain).collect();
    if name.is_empty() {
        "onnx".to_owned()
    } else {
        name
    }
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;

#[cfg(test)]
mod tests;
