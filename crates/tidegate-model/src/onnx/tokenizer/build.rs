//! From the form of tokenizer.json to its steps.

use std::collections::HashMap;
use std::path::Path;

use aho_corasick::{AhoCorasick, MatchKind};
use regex_automata::meta::Regex;

use super::charsmap::Charsmap;
use super::class::Classes;
use super::form::{
    AddedToken, Form, FrameForm, MergeForm, NormalizerForm, PatternForm, PiecesForm, PrefixForm,
    SplitterForm, TemplatePart, TemplateToken,
};
use super::normalize::{Choice, Form as Normal, Normalizer};
use super::pieces::{Affixes, Merges, Pairs, Pieces, Unigram, Vocab, WordPiece};
use super::split::{Behavior, Cut, GPT_WORDS, Prefix, Splitter};
use super::{AddedTokens, Frame, Tokenizer};
use crate::onnx::error::OnnxError;

/// Tokens have smaller numbers: they become 32-bit numbers with a sign.
const MAX_ID: u32 = 1 << 24;
/// What an unknown letter costs more than the least likely piece.
const UNKNOWN_PENALTY: f64 = 10.0;
/// Longer pieces of a vocabulary would make the search for the best cut slow.
const LONGEST_PIECE_BYTES: usize = 1024;
/// The most memory that the automaton of a pattern may take.
const PATTERN_BYTES: usize = 4 << 20;
const OTHER_TOKENIZER: &str = "use a model whose tokenizer.json is of the kinds in docs/onnx.md";

/// Where an error was found.
struct At<'a>(&'a Path);

impl At<'_> {
    fn malformed(&self, problem: &str, place: impl ToString) -> OnnxError {
        OnnxError::malformed(self.0, problem, place)
    }

    fn unsupported(&self, what: impl ToString) -> OnnxError {
        OnnxError::unsupported(self.0, what, OTHER_TOKENIZER)
    }
}

impl Tokenizer {
    /// Reads the text of a tokenizer.json; `path` is for errors.
    pub(crate) fn from_json(text: &str, path: &Path) -> Result<Self, OnnxError> {
        let at = At(path);
        let form: Form = serde_json::from_str(text)
            .map_err(|error| at.malformed("is not a tokenizer that this program reads", error))?;
        let mut normalizers = Vec::new();
        at.normalizers(form.normalizer, &mut normalizers)?;
        let mut splitters = Vec::new();
        at.splitters(form.pre_tokenizer, &mut splitters)?;
        let mut frame = Frame::default();
        at.frame(form.post_processor, &mut frame)?;
        let pad = form.padding.map_or(0, |padding| padding.pad_id);
        at.id(pad, "padding")?;
        let classes = Classes::new();
        let added = at.added(form.added_tokens, &normalizers, &classes)?;
        Ok(Self {
            added,
            normalizers,
            splitters,
            pieces: at.pieces(form.model)?,
            frame,
            pad,
            classes,
        })
    }
}

impl At<'_> {
    fn id(&self, id: u32, place: &str) -> Result<u32, OnnxError> {
        if id < MAX_ID {
            return Ok(id);
        }
        Err(self.malformed("has a token with a number that is too large", place))
    }

    fn pattern(&self, pattern: &PatternForm) -> Result<Regex, OnnxError> {
        let text = match pattern {
            PatternForm::String(text) => regex_syntax::escape(text),
            PatternForm::Regex(text) => text.clone(),
        };
        self.regex(&text)
    }

    fn regex(&self, text: &str) -> Result<Regex, OnnxError> {
        let config = Regex::config().nfa_size_limit(Some(PATTERN_BYTES));
        let built = Regex::builder().configure(config).build(text);
        built.map_err(|_| {
            self.unsupported(format!(
                "a pattern that does not run in linear time, {text:?}"
            ))
        })
    }

    /// Texts that are tokens. Special ones are left out: they are no tokens in a
    /// text of somebody else.
    fn added(
        &self,
        tokens: Vec<AddedToken>,
        normalizers: &[Normalizer],
        classes: &Classes,
    ) -> Result<Option<AddedTokens>, OnnxError> {
        let (mut texts, mut ids) = (Vec::new(), Vec::new());
        for token in tokens.into_iter().filter(|token| !token.special) {
            let content = &token.content;
            if token.single_word || token.lstrip || token.rstrip || content.is_empty() {
                return Err(self.unsupported(format!("conditions of the added token {content:?}")));
            }
            let letters = content.chars().zip(0..).collect();
            let steps = normalizers.iter();
            let normal = steps.fold(letters, |letters, step| step.apply(letters, classes));
            if !content.chars().eq(normal.iter().map(|letter| letter.0)) {
                let what = format!("the added token {content:?}, which its normalizer changes");
                return Err(self.unsupported(what));
            }
            ids.push(self.id(token.id, "added_tokens")?);
            texts.push(token.content);
        }
        if texts.is_empty() {
            return Ok(None);
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&texts)
            .map_err(|error| self.malformed("has too many added tokens", error))?;
        Ok(Some(AddedTokens { finder, ids }))
    }

    fn normalizers(
        &self,
        form: Option<NormalizerForm>,
        steps: &mut Vec<Normalizer>,
    ) -> Result<(), OnnxError> {
        let Some(form) = form else { return Ok(()) };
        steps.push(match form {
            NormalizerForm::Sequence { normalizers } => {
                let mut forms = normalizers.into_iter();
                return forms.try_for_each(|form| self.normalizers(Some(form), steps));
            }
            NormalizerForm::BertNormalizer {
                clean_text,
                handle_chinese_chars,
                strip_accents,
                lowercase,
            } => Normalizer::Bert {
                clean: clean_text.or(Some(true)).into(),
                space_ideographs: handle_chinese_chars.or(Some(true)).into(),
                // Where nothing is said, accents go where capitals go.
                strip_accents: strip_accents.or(lowercase).or(Some(true)).into(),
                lowercase: lowercase.or(Some(true)).into(),
            },
            NormalizerForm::Lowercase => Normalizer::Lowercase,
            NormalizerForm::Nfc => Normalizer::Compose(Normal::Canonical),
            NormalizerForm::Nfd => Normalizer::Decompose(Normal::Canonical),
            NormalizerForm::Nfkc => Normalizer::Compose(Normal::Compatible),
            NormalizerForm::Nfkd => Normalizer::Decompose(Normal::Compatible),
            NormalizerForm::StripAccents => Normalizer::StripAccents,
            NormalizerForm::Strip {
                strip_left,
                strip_right,
            } => Normalizer::Strip {
                left: Choice::from(strip_left),
                right: Choice::from(strip_right),
            },
            NormalizerForm::Prepend { prepend } => Normalizer::Prepend(prepend),
            NormalizerForm::Replace { pattern, content } => Normalizer::Replace {
                pattern: self.pattern(&pattern)?,
                content,
            },
            NormalizerForm::Precompiled {
                precompiled_charsmap,
            } => match precompiled_charsmap.filter(|text| !text.is_empty()) {
                Some(text) => Normalizer::Charsmap(
                    Charsmap::from_base64(&text)
                        .ok_or_else(|| self.malformed("has a damaged table", "normalizer"))?,
                ),
                None => return Ok(()),
            },
        });
        Ok(())
    }

    fn splitters(
        &self,
        form: Option<SplitterForm>,
        steps: &mut Vec<Splitter>,
    ) -> Result<(), OnnxError> {
        let Some(form) = form else { return Ok(()) };
        steps.push(match form {
            SplitterForm::Sequence { pretokenizers } => {
                let mut forms = pretokenizers.into_iter();
                return forms.try_for_each(|form| self.splitters(Some(form), steps));
            }
            SplitterForm::BertPreTokenizer => Splitter::Bert,
            SplitterForm::Whitespace => Splitter::Words(self.regex(r"\w+|[^\w\s]+")?),
            SplitterForm::WhitespaceSplit => Splitter::Whitespace,
            SplitterForm::Punctuation { behavior } => {
                Splitter::Punctuation(behavior.unwrap_or(Behavior::Isolated))
            }
            SplitterForm::Digits { individual_digits } => Splitter::Pattern {
                pattern: self.regex(r"\p{N}")?,
                behavior: match individual_digits {
                    Some(true) => Behavior::Isolated,
                    Some(false) | None => Behavior::Contiguous,
                },
            },
            SplitterForm::Split { invert: true, .. } => {
                return Err(self.unsupported("an inverted Split"));
            }
            SplitterForm::Split {
                pattern, behavior, ..
            } => Splitter::Pattern {
                pattern: self.pattern(&pattern)?,
                behavior,
            },
            SplitterForm::ByteLevel {
                add_prefix_space,
                use_regex,
            } => Splitter::Bytes {
                pattern: match use_regex {
                    Some(false) => None,
                    Some(true) | None => Some(self.regex(GPT_WORDS)?),
                },
                prefix: prefix(add_prefix_space, None),
            },
            SplitterForm::Metaspace {
                replacement,
                add_prefix_space,
                prepend_scheme,
                split,
            } => Splitter::Metaspace {
                mark: replacement,
                prefix: prefix(add_prefix_space, prepend_scheme),
                cut: match split {
                    Some(false) => Cut::Nowhere,
                    Some(true) | None => Cut::AtMarks,
                },
            },
        });
        Ok(())
    }

    fn frame(&self, form: Option<FrameForm>, frame: &mut Frame) -> Result<(), OnnxError> {
        match form {
            None | Some(FrameForm::ByteLevel) => Ok(()),
            Some(FrameForm::Sequence { processors }) => {
                let mut forms = processors.into_iter();
                forms.try_for_each(|form| self.frame(Some(form), frame))
            }
            Some(
                FrameForm::BertProcessing { sep, cls } | FrameForm::RobertaProcessing { sep, cls },
            ) => {
                frame.before.push((self.id(cls.1, "post_processor")?, 0));
                frame.after.push((self.id(sep.1, "post_processor")?, 0));
                Ok(())
            }
            Some(FrameForm::TemplateProcessing {
                single,
                special_tokens,
            }) => self.template(&single, &special_tokens, frame),
        }
    }

    fn template(
        &self,
        parts: &[TemplatePart],
        tokens: &HashMap<String, TemplateToken>,
        frame: &mut Frame,
    ) -> Result<(), OnnxError> {
        let mut is_behind = false;
        for part in parts {
            match part {
                TemplatePart::Sequence { .. } if is_behind => {
                    return Err(self.unsupported("a template that repeats the text"));
                }
                TemplatePart::Sequence { type_id } => {
                    is_behind = true;
                    frame.kind = self.id(*type_id, "post_processor")?;
                }
                TemplatePart::SpecialToken { id, type_id } => {
                    let token = tokens.get(id).ok_or_else(|| {
                        self.malformed("names a special token that it does not define", id)
                    })?;
                    for id in &token.ids {
                        let id = self.id(*id, "post_processor")?;
                        let side = if is_behind {
                            &mut frame.after
                        } else {
                            &mut frame.before
                        };
                        side.push((id, self.id(*type_id, "post_processor")?));
                    }
                }
            }
        }
        if is_behind {
            return Ok(());
        }
        Err(self.malformed("has a template without the text", "post_processor"))
    }

    fn pieces(&self, form: PiecesForm) -> Result<Pieces, OnnxError> {
        Ok(match form {
            PiecesForm::WordLevel { vocab, unk_token } => Pieces::Words {
                unknown: unk_token.and_then(|token| vocab.get(&token).copied()),
                vocab: self.vocab(vocab)?,
            },
            PiecesForm::WordPiece {
                vocab,
                unk_token,
                continuing_subword_prefix,
                max_input_chars_per_word,
            } => Pieces::WordPiece(WordPiece {
                unknown: self.known(&vocab, &unk_token)?,
                vocab: self.vocab(vocab)?,
                continues: continuing_subword_prefix.unwrap_or_else(|| "##".to_owned()),
                longest_word: max_input_chars_per_word.unwrap_or(100).min(1000),
            }),
            PiecesForm::Pairs {
                vocab,
                merges,
                unk_token,
                continuing_subword_prefix,
                end_of_word_suffix,
                fuse_unk,
                byte_fallback,
                ignore_merges,
            } => {
                let affixes = Affixes {
                    continues: continuing_subword_prefix.unwrap_or_default(),
                    ends: end_of_word_suffix.unwrap_or_default(),
                };
                let unknown = unk_token
                    .map(|token| self.known(&vocab, &token))
                    .transpose()?;
                Pieces::Pairs(Pairs {
                    merges: self.merges(&merges, &vocab, &affixes)?,
                    vocab: self.vocab(vocab)?,
                    unknown,
                    affixes,
                    fuses_unknown: fuse_unk.unwrap_or_default(),
                    falls_back: byte_fallback.unwrap_or_default(),
                    takes_words: ignore_merges.unwrap_or_default(),
                })
            }
            PiecesForm::Unigram {
                vocab,
                unk_id,
                byte_fallback,
            } => {
                let mut unigram = self.unigram(vocab, unk_id)?;
                unigram.falls_back = byte_fallback.unwrap_or_default();
                Pieces::Unigram(unigram)
            }
        })
    }

    fn unigram(
        &self,
        pieces: Vec<(String, f64)>,
        unknown: Option<u32>,
    ) -> Result<Unigram, OnnxError> {
        let mut vocab = Vocab::with_capacity(pieces.len());
        let mut scores = Vec::with_capacity(pieces.len());
        let mut longest = 0;
        for (id, (piece, score)) in (0..).zip(pieces) {
            if !score.is_finite() || piece.len() > LONGEST_PIECE_BYTES {
                return Err(self.malformed("has a piece without a sound length and score", piece));
            }
            longest = longest.max(piece.len());
            scores.push(score);
            vocab.insert(piece, self.id(id, "vocab")?);
        }
        if unknown.is_some_and(|id| id as usize >= scores.len()) {
            return Err(self.malformed("has no piece with the number of unk_id", "model"));
        }
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Unigram {
            vocab,
            unknown,
            falls_back: false,
            unknown_score: least - UNKNOWN_PENALTY,
            longest,
            scores,
        })
    }

    fn vocab(&self, vocab: Vocab) -> Result<Vocab, OnnxError> {
        for (piece, id) in &vocab {
            self.id(*id, piece)?;
        }
        Ok(vocab)
    }

    fn known(&self, vocab: &Vocab, token: &str) -> Result<u32, OnnxError> {
        let id = vocab.get(token).copied();
        id.ok_or_else(|| self.malformed("names a token that its vocabulary does not have", token))
    }

    fn merges(
        &self,
        merges: &[MergeForm],
        vocab: &Vocab,
        affixes: &Affixes,
    ) -> Result<Merges, OnnxError> {
        let mut ranks = Merges::with_capacity(merges.len());
        for (rank, merge) in (0..).zip(merges) {
            let pair = match merge {
                MergeForm::Spaced(text) => text.split_once(' '),
                MergeForm::Pair(left, right) => Some((left.as_str(), right.as_str())),
            };
            let (left, right) =
                pair.ok_or_else(|| self.malformed("has a merge of one piece", rank))?;
            let rest = right.strip_prefix(&affixes.continues).unwrap_or(right);
            let merged = self.known(vocab, &format!("{left}{rest}"))?;
            let pair = (self.known(vocab, left)?, self.known(vocab, right)?);
            // The last of equals counts, as in the library that writes these files.
            ranks.insert(pair, (rank, merged));
        }
        Ok(ranks)
    }
}

/// Which words get a mark in front; older files say it with one choice.
fn prefix(adds: Option<bool>, scheme: Option<PrefixForm>) -> Prefix {
    match (adds, scheme) {
        (Some(false), _) | (_, Some(PrefixForm::Never)) => Prefix::Never,
        (_, Some(PrefixForm::First)) => Prefix::First,
        (_, Some(PrefixForm::Always) | None) => Prefix::Always,
    }
}
