//! The files of a model: which there are, how large they may be, what they say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::OnnxError;
use crate::model::{Direction, Thresholds};

const MODEL: &str = "model.onnx";
const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
const SETTINGS: &str = "tidegate.toml";

/// No file in the format of ONNX is larger without a second file beside it.
const MAX_MODEL_BYTES: u64 = (2 << 30) - 1;
const MAX_TOKENIZER_BYTES: u64 = 64 << 20;
const MAX_CONFIG_BYTES: u64 = 1 << 20;
const MAX_SETTINGS_BYTES: u64 = 64 << 10;
/// More labels than any classifier of texts has.
const MAX_LABELS: usize = 10_000;
const ADVICE_SETTINGS: &str = "docs/onnx.md tells what may stand there";

/// What a folder holds.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) model: Vec<u8>,
    pub(crate) model_path: PathBuf,
    /// The SHA-256 of the model, in hexadecimal.
    pub(crate) digest: String,
    pub(crate) tokenizer: String,
    pub(crate) tokenizer_path: PathBuf,
    pub(crate) config: Config,
    pub(crate) settings: Settings,
}

/// What tidegate takes from config.json.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    id2label: BTreeMap<String, String>,
    #[serde(default)]
    label2id: BTreeMap<String, usize>,
    model_type: Option<String>,
    max_position_embeddings: Option<usize>,
    pub(crate) pad_token_id: Option<u32>,
    problem_type: Option<String>,
}

/// tidegate.toml: what the owner of the folder says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    attack_label: Option<OneOrMore>,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) stride: Option<usize>,
    flag: Option<f64>,
    block: Option<f64>,
    sha256: Option<String>,
    prompt: Option<Pair>,
    answer: Option<Pair>,
    retrieved: Option<Pair>,
    tool_call: Option<Pair>,
    tool_result: Option<Pair>,
}

/// Thresholds of one direction; what is not said is said for all.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    flag: Option<f64>,
    block: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// How the numbers of a model become a probability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    /// How many there are.
    pub(crate) count: usize,
    /// Which of them say that a text is an attack, in order.
    pub(crate) attacks: Vec<usize>,
    /// Whether each stands for itself.
    pub(crate) kind: LabelKind,
}

/// Whether exactly one label is true of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelKind {
    OneOfAll,
    EachAlone,
}

impl Folder {
    /// Reads the files, and holds the model to its digest.
    pub(crate) fn read(folder: &Path) -> Result<Self, OnnxError> {
        let path = |name| folder.join(name);
        let settings = match read(&path(SETTINGS), MAX_SETTINGS_BYTES) {
            Err(OnnxError::Missing { .. }) => Settings::default(),
            Err(error) => return Err(error),
            Ok(bytes) => settings(&path(SETTINGS), bytes)?,
        };
        let config = text(&path(CONFIG), read(&path(CONFIG), MAX_CONFIG_BYTES)?)?;
        let config = serde_json::from_str(&config)
            .map_err(|error| OnnxError::malformed(&path(CONFIG), "cannot be read", error))?;
        let tokenizer = read(&path(TOKENIZER), MAX_TOKENIZER_BYTES)?;
        let tokenizer = text(&path(TOKENIZER), tokenizer)?;
        let model = read(&path(MODEL), MAX_MODEL_BYTES)?;
        let digest = hexadecimal(&Sha256::digest(&model));
        if let Some(wanted) = &settings.sha256
            && !wanted.eq_ignore_ascii_case(&digest)
        {
            return Err(OnnxError::Digest {
                file: path(MODEL),
                wanted: wanted.clone(),
                found: digest,
            });
        }
        Ok(Self {
            model,
            model_path: path(MODEL),
            digest,
            tokenizer,
            tokenizer_path: path(TOKENIZER),
            config,
            settings,
        })
    }

    /// The labels, and which of them mean an attack.
    pub(crate) fn labels(&self) -> Result<Labels, OnnxError> {
        let path = self.model_path.with_file_name(CONFIG);
        let names = self.config.names();
        let unclear = || OnnxError::Label {
            file: path.clone(),
            labels: names.clone(),
        };
        if names.is_empty() || names.len() > MAX_LABELS {
            return Err(OnnxError::malformed(
                &path,
                "has no labels",
                "id2label or label2id must number them from 0",
            ));
        }
        let chosen: Vec<&String> = match &self.settings.attack_label {
            None => Vec::new(),
            Some(OneOrMore::One(label)) => vec![label],
            Some(OneOrMore::More(labels)) => labels.iter().collect(),
        };
        if chosen.iter().any(|label| !names.contains(label)) {
            return Err(unclear());
        }
        let is_attack = |(_, name): &(usize, &String)| match chosen.is_empty() {
            true => says_attack(name) || (names.len() == 2 && *name == "LABEL_1"),
            false => chosen.contains(name),
        };
        let attacks = names.iter().enumerate().filter(is_attack);
        let attacks: Vec<usize> = attacks.map(|(at, _)| at).collect();
        if attacks.is_empty() || (attacks.len() == names.len() && names.len() > 1) {
            return Err(unclear());
        }
        let is_alone = names.len() == 1
            || self.config.problem_type.as_deref() == Some("multi_label_classification");
        Ok(Labels {
            count: names.len(),
            attacks,
            kind: match is_alone {
                true => LabelKind::EachAlone,
                false => LabelKind::OneOfAll,
            },
        })
    }
}

impl Config {
    /// The labels in their order; none where the numbers have gaps.
    fn names(&self) -> Vec<String> {
        let numbered = self.id2label.iter();
        let mut labels: Vec<(usize, &String)> = numbered
            .filter_map(|(id, label)| Some((id.parse().ok()?, label)))
            .collect();
        if self.id2label.is_empty() {
            labels = self
                .label2id
                .iter()
                .map(|(label, id)| (*id, label))
                .collect();
        }
        labels.sort_unstable();
        let in_order = labels.iter().enumerate().all(|(at, (id, _))| at == *id);
        let labels = labels.into_iter().filter(|_| in_order);
        labels.map(|(_, label)| label.clone()).collect()
    }

    /// The most tokens of a window that the model was made for.
    pub(crate) fn longest(&self) -> Option<usize> {
        // RoBERTa and its kin begin to count behind the number of their padding.
        let begins_at_two = self.model_type.as_deref().is_some_and(|kind| {
            [
                "roberta",
                "xlm-roberta",
                "camembert",
                "xlm-roberta-xl",
                "mpnet",
            ]
            .contains(&kind)
        });
        let lost = if begins_at_two { 2 } else { 0 };
        self.max_position_embeddings
            .map(|most| most.saturating_sub(lost))
    }
}

impl Settings {
    /// The thresholds of each direction, in their order.
    fn pairs(&self) -> [Pair; Direction::ALL.len()] {
        [
            self.prompt,
            self.answer,
            self.retrieved,
            self.tool_call,
            self.tool_result,
        ]
        .map(Option::unwrap_or_default)
    }

    /// The thresholds of a direction: what is said for it, for all, or by default.
    pub(crate) fn thresholds(&self) -> [Thresholds; Direction::ALL.len()] {
        self.pairs().map(|pair| Thresholds {
            flag: pair
                .flag
                .or(self.flag)
                .unwrap_or(super::DEFAULT_THRESHOLDS.flag),
            block: pair
                .block
                .or(self.block)
                .unwrap_or(super::DEFAULT_THRESHOLDS.block),
        })
    }
}

/// Whether a label says of itself that it means an attack.
fn says_attack(label: &str) -> bool {
    let label = label.to_lowercase();
    let mut words = label.split(|c: char| !c.is_alphanumeric());
    let denies = words
        .clone()
        .any(|word| ["no", "not", "non", "without"].contains(&word));
    let means = ["inject", "jailbreak", "attack", "unsafe", "malicious"];
    !denies && words.any(|word| means.iter().any(|mean| word.starts_with(mean)))
}

fn settings(path: &Path, bytes: Vec<u8>) -> Result<Settings, OnnxError> {
    let text = text(path, bytes)?;
    let wrong = |place: &dyn ToString| OnnxError::Malformed {
        file: path.to_owned(),
        problem: "cannot be used".to_owned(),
        place: super::error::quote(&place.to_string()),
        advice: ADVICE_SETTINGS,
    };
    let settings: Settings = toml::from_str(&text).map_err(|error| {
        let before = error.span().map_or("", |span| &text[..span.start]);
        let line = before.matches('\n').count() + 1;
        wrong(&format!("line {line}: {}", error.message()))
    })?;
    let in_order = |t: &Thresholds| 0.0 <= t.flag && t.flag <= t.block && t.block <= 1.0;
    if !settings.thresholds().iter().all(in_order) {
        return Err(wrong(&"thresholds must keep to 0 <= flag <= block <= 1"));
    }
    Ok(settings)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, OnnxError> {
    String::from_utf8(bytes)
        .map_err(|error| OnnxError::malformed(path, "is no text in UTF-8", error.utf8_error()))
}

/// The bytes of a file, which must be a file and not too large.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, OnnxError> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => OnnxError::Missing {
            file: path.to_owned(),
        },
        _ => OnnxError::Unreadable {
            file: path.to_owned(),
            reason: error.to_string(),
        },
    };
    let too_large = |bytes| OnnxError::TooLarge {
        file: path.to_owned(),
        bytes,
        limit,
    };
    // Before it is opened: to open a pipe waits for somebody at its other end.
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(OnnxError::Unreadable {
            file: path.to_owned(),
            reason: "it is not a file".to_owned(),
        });
    }
    if meta.len() > limit {
        return Err(too_large(meta.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let length = bytes.len() as u64;
    if length > limit {
        return Err(too_large(length));
    }
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
