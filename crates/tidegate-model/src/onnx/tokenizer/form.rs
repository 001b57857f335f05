//! The form of tokenizer.json. What is not written here is refused by its name.

use std::collections::HashMap;

use serde::Deserialize;

use super::split::Behavior;

#[derive(Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    pub(crate) added_tokens: Vec<AddedToken>,
    pub(crate) normalizer: Option<NormalizerForm>,
    pub(crate) pre_tokenizer: Option<SplitterForm>,
    pub(crate) post_processor: Option<FrameForm>,
    pub(crate) model: PiecesForm,
    pub(crate) padding: Option<PaddingForm>,
}

#[derive(Deserialize)]
pub(crate) struct PaddingForm {
    #[serde(default)]
    pub(crate) pad_id: u32,
}

#[derive(Deserialize)]
pub(crate) struct AddedToken {
    pub(crate) id: u32,
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) single_word: bool,
    #[serde(default)]
    pub(crate) lstrip: bool,
    #[serde(default)]
    pub(crate) rstrip: bool,
    #[serde(default)]
    pub(crate) special: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(crate) enum NormalizerForm {
    Sequence {
        normalizers: Vec<NormalizerForm>,
    },
    BertNormalizer {
        clean_text: Option<bool>,
        handle_chinese_chars: Option<bool>,
        strip_accents: Option<bool>,
        lowercase: Option<bool>,
    },
    Lowercase,
    #[serde(rename = "NFC")]
    Nfc,
    #[serde(rename = "NFD")]
    Nfd,
    #[serde(rename = "NFKC")]
    Nfkc,
    #[serde(rename = "NFKD")]
    Nfkd,
    StripAccents,
    Strip {
        strip_left: Option<bool>,
        strip_right: Option<bool>,
    },
    Prepend {
        prepend: String,
    },
    Replace {
        pattern: PatternForm,
        content: String,
    },
    Precompiled {
        precompiled_charsmap: Option<String>,
    },
}

#[derive(Deserialize)]
pub(crate) enum PatternForm {
    String(String),
    Regex(String),
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(crate) enum SplitterForm {
    Sequence {
        pretokenizers: Vec<SplitterForm>,
    },
    BertPreTokenizer,
    Whitespace,
    WhitespaceSplit,
    Punctuation {
        behavior: Option<Behavior>,
    },
    Digits {
        individual_digits: Option<bool>,
    },
    Split {
        pattern: PatternForm,
        behavior: Behavior,
        #[serde(default)]
        invert: bool,
    },
    ByteLevel {
        add_prefix_space: Option<bool>,
        use_regex: Option<bool>,
    },
    Metaspace {
        replacement: char,
        add_prefix_space: Option<bool>,
        prepend_scheme: Option<PrefixForm>,
        split: Option<bool>,
    },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrefixForm {
    Always,
    First,
    Never,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(crate) enum FrameForm {
    Sequence {
        processors: Vec<FrameForm>,
    },
    ByteLevel,
    BertProcessing {
        sep: (String, u32),
        cls: (String, u32),
    },
    RobertaProcessing {
        sep: (String, u32),
        cls: (String, u32),
    },
    TemplateProcessing {
        single: Vec<TemplatePart>,
        special_tokens: HashMap<String, TemplateToken>,
    },
}

#[derive(Deserialize)]
pub(crate) enum TemplatePart {
    Sequence { type_id: u32 },
    SpecialToken { id: String, type_id: u32 },
}

#[derive(Deserialize)]
pub(crate) struct TemplateToken {
    pub(crate) ids: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
pub(crate) enum PiecesForm {
    WordLevel {
        vocab: HashMap<String, u32>,
        unk_token: Option<String>,
    },
    WordPiece {
        vocab: HashMap<String, u32>,
        unk_token: String,
        continuing_subword_prefix: Option<String>,
        max_input_chars_per_word: Option<usize>,
    },
    #[serde(rename = "BPE")]
    Pairs {
        vocab: HashMap<String, u32>,
        merges: Vec<MergeForm>,
        unk_token: Option<String>,
        continuing_subword_prefix: Option<String>,
        end_of_word_suffix: Option<String>,
        fuse_unk: Option<bool>,
        byte_fallback: Option<bool>,
        ignore_merges: Option<bool>,
    },
    Unigram {
        vocab: Vec<(String, f64)>,
        unk_id: Option<u32>,
        byte_fallback: Option<bool>,
    },
}

/// Older files write a pair with a space between.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum MergeForm {
    Spaced(String),
    Pair(String, String),
}
