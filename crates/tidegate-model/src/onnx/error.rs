//! Why a model of somebody else cannot be used.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// The longest part of a foreign message that is repeated, in code points.
const MAX_QUOTE: usize = 240;

/// Why a folder with a model cannot be loaded, or a text not be scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// A file that every folder needs is not there.
    #[error(
        "{} is missing; a model folder holds model.onnx, tokenizer.json and config.json",
        file.display()
    )]
    Missing {
        /// Which.
        file: PathBuf,
    },
    /// The system does not hand the file out, or it is no file.
    #[error("{} cannot be read: {reason}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// More bytes than such a file may have.
    #[error("{} has {bytes} bytes; the limit is {limit}", file.display())]
    TooLarge {
        /// Which.
        file: PathBuf,
        /// How many there are.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// It is not the file whose digest was written down.
    #[error(
        "{} has the SHA-256 {found}, but tidegate.toml says {wanted}; fetch the file again, \
         or write down the new digest if the file was changed on purpose",
        file.display()
    )]
    Digest {
        /// Which.
        file: PathBuf,
        /// What tidegate.toml says.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The file is damaged, or says what makes no sense.
    #[error("{} {problem} ({place}); {advice}", file.display())]
    Malformed {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        problem: String,
        /// Where in it.
        place: String,
        /// What to do.
        advice: &'static str,
    },
    /// The file is whole, but asks for what this program does not do.
    #[error("{} asks for {what}, which is not supported; {advice}", file.display())]
    Unsupported {
        /// Which.
        file: PathBuf,
        /// What it asks for.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// No label of the model says that a text is an attack.
    #[error(
        "{}: none of the labels {labels:?} says what is an attack, or all of them do; \
         name one as attack_label in tidegate.toml",
        file.display()
    )]
    Label {
        /// The file with the labels.
        file: PathBuf,
        /// Its labels.
        labels: Vec<String>,
    },
    /// The answer of the model is not one number for each label.
    #[error(
        "output {output:?} of the model has the shape {found:?}, wanted is {wanted:?}; \
         export a model for the classification of whole texts"
    )]
    Shape {
        /// Its name.
        output: String,
        /// What came.
        found: Vec<usize>,
        /// What should come.
        wanted: Vec<usize>,
    },
    /// NaN or infinite: a broken model, or one that was cut down to few bits.
    #[error(
        "the model answered with a number that is not finite (NaN or infinite) for the code \
         points {} to {} of the text; its weights are damaged or were converted badly",
        window.start,
        window.end
    )]
    NotFinite {
        /// The window of the text.
        window: Range<usize>,
    },
    /// The runtime refused to go on.
    #[error("the model cannot be run: {reason}; export it again with static operators")]
    Run {
        /// What the runtime says.
        reason: String,
    },
    /// The runtime broke off; nothing else was harmed.
    #[error("the runtime of the model broke off: {reason}; the file is likely damaged")]
    Panicked {
        /// What it said last.
        reason: String,
    },
}

impl OnnxError {
    /// A damaged file, with what a parser said about it.
    pub(crate) fn malformed(file: &Path, problem: &str, place: impl ToString) -> Self {
        Self::Malformed {
            file: file.to_owned(),
            problem: problem.to_owned(),
            place: quote(&place.to_string()),
            advice: "fetch or export it again",
        }
    }

    /// A whole file that asks for too much.
    pub(crate) fn unsupported(file: &Path, what: impl ToString, advice: &'static str) -> Self {
        Self::Unsupported {
            file: file.to_owned(),
            what: quote(&what.to_string()),
            advice,
        }
    }
}

/// A foreign message without control characters, and not longer than a line or two.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MAX_QUOTE).map(plain).collect()
}
