//! From parameters to messages, within a budget.

use std::collections::BTreeMap;

use minijinja::value::Value as Filled;
use serde_json::{Map, Value, json};

use super::budget::{Cut, Slot, trim};
use super::context::{Filling, Shown};
use super::error::{Fault, RenderError, WrongParameter, closest};
use super::fence::Fences;
use super::form::{MESSAGE_TOKENS, tokens};
use super::library::Library;
use super::parameter::{ParameterKind, ParameterProblem, checked};
use super::piece::Piece;
use super::prompt::{Prompt, PromptRole};
use super::sandbox::{self, Failure};
use super::variant::{Variant, assign};

/// What a prompt is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RenderWish {
    /// By name.
    pub parameters: Map<String, Value>,
    /// Tokens that all messages together may have.
    pub budget_tokens: Option<u64>,
    /// The variant, where it is not left to the share.
    pub variant: Option<String>,
    /// What stands for whoever asks: the same key always gets the same variant.
    /// Without one, the same parameters do.
    pub key: Option<String>,
}

/// A prompt that can be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The prompt's name.
    pub prompt: String,
    /// Of the prompt.
    pub version: String,
    /// The first digits of a hash of its pack.
    pub digest: String,
    /// How it is written.
    pub variant: String,
    /// What to send, in order.
    pub messages: Vec<RenderedMessage>,
    /// What the messages cost, with four tokens around each.
    pub tokens: u64,
    /// What was left out, in the order of the pack.
    pub cut: Vec<Cut>,
    /// What the answer must be, a JSON Schema.
    pub output_schema: Option<Value>,
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedMessage {
    /// Who says it.
    pub role: PromptRole,
    /// What it says.
    pub text: String,
}

/// All parameters together may have this many bytes as JSON.
const MOST_PARAMETER_BYTES: usize = 4 << 20;

/// Data with more bytes for each token of the budget is not tried: the densest
/// form of the longest words has less.
const MOST_BYTES_PER_TOKEN: u64 = 64;

impl Library {
    /// Renders a prompt.
    ///
    /// # Errors
    ///
    /// [`RenderError`] says what the caller can do; it never holds a value that
    /// was given.
    pub fn render(&self, name: &str, wish: &RenderWish) -> Result<Rendered, RenderError> {
        let prompt = self.prompt(name)?;
        let values = self.values(prompt, &wish.parameters)?;
        let variant = chosen(prompt, wish)?;
        let sheet = Sheet::new(self, prompt, variant, &values)?;
        let drawn = match wish.budget_tokens {
            Some(budget) => sheet.within(budget)?,
            None => sheet.whole()?,
        };
        Ok(Rendered {
            prompt: prompt.name.clone(),
            version: prompt.version.clone(),
            digest: prompt.digest.clone(),
            variant: variant.name.clone(),
            cut: sheet.cuts(&drawn),
            messages: drawn.messages,
            tokens: drawn.tokens,
            output_schema: variant.output_schema.clone(),
        })
    }

    /// The checked values of all parameters.
    fn values(
        &self,
        prompt: &Prompt,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, RenderError> {
        let name = || prompt.name.clone();
        let bytes = serde_json::to_string(given).map_or(usize::MAX, |json| json.len());
        if bytes > MOST_PARAMETER_BYTES {
            return Err(RenderError::TooMuch {
                prompt: name(),
                bytes,
                limit: MOST_PARAMETER_BYTES,
            });
        }
        let refuse = |wrong| RenderError::Parameters {
            prompt: name(),
            wrong,
        };
        let values = checked(&prompt.parameters, given).map_err(refuse)?;
        let frameworks = prompt.parameters.iter();
        let frameworks =
            frameworks.filter(|one| matches!(one.kind, ParameterKind::Framework { .. }));
        let absent = frameworks.filter_map(|parameter| {
            let id = values[&parameter.name].as_str()?;
            let known = || self.frameworks().map(|known| known.id.as_str());
            self.framework(id).is_none().then(|| WrongParameter {
                name: parameter.name.clone(),
                problem: ParameterProblem::NoFramework {
                    meant: closest(id, known()),
                    known: known().map(str::to_owned).collect(),
                },
            })
        });
        let wrong: Vec<WrongParameter> = absent.collect();
        if wrong.is_empty() {
            Ok(values)
        } else {
            Err(refuse(wrong))
        }
    }
}

fn chosen<'a>(prompt: &'a Prompt, wish: &RenderWish) -> Result<&'a Variant, RenderError> {
    let variants = &prompt.variants;
    let Some(name) = &wish.variant else {
        let key = match &wish.key {
            Some(key) => key.clone(),
            None => sorted(&Value::Object(wish.parameters.clone())).to_string(),
        };
        return Ok(&variants[assign(&prompt.name, variants, key.as_bytes())]);
    };
    let named = variants.iter().find(|variant| variant.name == *name);
    named.ok_or_else(|| RenderError::UnknownVariant {
        prompt: prompt.name.clone(),
        variant: name.chars().take(64).collect(),
        known: variants
            .iter()
            .map(|variant| variant.name.clone())
            .collect(),
    })
}

/// The same JSON with its keys in one order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> = fields
                .iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            fields
                .into_iter()
                .map(|(key, value)| (key.clone(), value))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A prompt with everything in it but the context that may go.
struct Sheet<'a> {
    prompt: &'a Prompt,
    variant: &'a Variant,
    /// Messages that no context stands in, rendered.
    fixed: Vec<Option<String>>,
    /// What messages of users know beside the context.
    known: BTreeMap<&'a str, Filled>,
    fillings: Vec<Filling<'a>>,
    fences: Fences,
}

/// Messages at some levels of the context.
struct Drawn {
    levels: Vec<usize>,
    messages: Vec<RenderedMessage>,
    tokens: u64,
}

impl<'a> Sheet<'a> {
    fn new(
        library: &Library,
        prompt: &'a Prompt,
        variant: &'a Variant,
        values: &'a Map<String, Value>,
    ) -> Result<Self, RenderError> {
        let fillings: Vec<Filling<'_>> = prompt
            .context
            .iter()
            .map(|block| Filling::new(block, &values[&block.parameter]))
            .collect();
        let names = prompt.context.iter().map(|block| block.name.as_str());
        let mut texts: Vec<String> = fillings.iter().map(Filling::raw).collect();
        let beside = prompt.parameters.iter().filter(|one| !one.is_trusted);
        texts.extend(beside.map(|one| values[&one.name].to_string()));
        let mut sheet = Self {
            prompt,
            variant,
            fixed: Vec::new(),
            known: BTreeMap::new(),
            fences: Fences::around(names, &texts),
            fillings,
        };
        sheet.know(library, values)?;
        Ok(sheet)
    }

    /// Fills what does not depend on the context.
    fn know(
        &mut self,
        library: &Library,
        values: &'a Map<String, Value>,
    ) -> Result<(), RenderError> {
        let shown = |parameter: &super::parameter::Parameter| {
            let value = &values[&parameter.name];
            let ParameterKind::Framework { section } = &parameter.kind else {
                return sandbox::value(value);
            };
            let framework = value.as_str().and_then(|id| library.framework(id));
            let section = section.as_ref().and_then(|name| values[name].as_str());
            let shown = framework.map(|framework| framework.shown(section));
            sandbox::value(&shown.unwrap_or_default())
        };
        let parameters = self.prompt.parameters.iter();
        let (trusted, others): (Vec<_>, Vec<_>) = parameters.partition(|one| one.is_trusted);
        let named = |one: &'a super::parameter::Parameter| (one.name.as_str(), shown(one));
        let mut known: BTreeMap<&str, Filled> = trusted.into_iter().map(named).collect();
        let head = Filled::from_pairs(known.clone());
        let role = self.fill(&self.variant.role, &head)?;
        let instructions = self.fill(&self.variant.instructions, &head)?;
        known.insert("role", role.trim().into());
        known.insert("instructions", instructions.trim().into());
        let schema = self.variant.output_schema.as_ref();
        let schema = schema.map_or(Filled::from(()), |schema| schema.to_string().into());
        known.insert("output_schema", schema);
        let full = (0..self.fillings.len()).filter(|at| !self.fillings[*at].is_empty());
        known.insert(
            "data_rule",
            self.fences.rule(&full.collect::<Vec<_>>()).into(),
        );
        let unguarded = Filled::from_pairs(known.clone());
        self.fixed = self
            .variant
            .messages
            .iter()
            .map(|(role, piece)| match role.is_guarded() {
                true => Ok(None),
                false => self.fill(piece, &unguarded).map(Some),
            })
            .collect::<Result<_, _>>()?;
        known.extend(others.into_iter().map(named));
        self.known = known;
        Ok(())
    }

    fn fill(&self, piece: &Piece, values: &Filled) -> Result<String, RenderError> {
        let partials = &self.prompt.partials;
        sandbox::fill(partials, piece, values).map_err(|failure| {
            let Failure {
                partial,
                line,
                fault,
            } = failure;
            let inside = |name: &String| partials.iter().find(|(known, _)| known == name);
            let piece = partial
                .as_ref()
                .and_then(inside)
                .map_or(piece, |(_, piece)| piece);
            RenderError::Template {
                prompt: self.prompt.name.clone(),
                pack: self.prompt.pack.clone(),
                line: piece.line_in_pack(line),
                fault,
            }
        })
    }

    /// The messages with as much context as `levels` leave.
    fn draw(&self, levels: &[usize]) -> Result<Drawn, RenderError> {
        let blocks = self.fillings.iter().zip(levels).enumerate();
        let context = blocks.map(|(number, (filling, level))| {
            let shown = filling.at(*level).map(|shown| self.enclose(number, &shown));
            let shown = shown.map_or(Filled::from(()), Filled::from);
            (filling.block.name.as_str(), shown)
        });
        let mut known = self.known.clone();
        known.insert("context", Filled::from_pairs(context));
        let known = Filled::from_pairs(known);
        let mut messages = Vec::new();
        for ((role, piece), fixed) in self.variant.messages.iter().zip(&self.fixed) {
            let text = match fixed {
                Some(text) => text.trim().to_owned(),
                None => self.fill(piece, &known)?.trim().to_owned(),
            };
            // What says nothing is no message.
            if !text.is_empty() {
                messages.push(RenderedMessage { role: *role, text });
            }
        }
        let cost = |message: &RenderedMessage| tokens(&message.text) + MESSAGE_TOKENS;
        Ok(Drawn {
            levels: levels.to_vec(),
            tokens: messages.iter().map(cost).sum(),
            messages,
        })
    }

    fn enclose(&self, number: usize, shown: &Shown) -> String {
        let left_out = shown.gone.said();
        self.fences
            .enclose(number, &shown.text, shown.form, &left_out)
    }

    /// The messages with everything in them.
    fn whole(&self) -> Result<Drawn, RenderError> {
        self.draw(&vec![0; self.fillings.len()])
    }

    /// The messages within `budget` tokens.
    fn within(&self, budget: u64) -> Result<Drawn, RenderError> {
        let slots: Vec<Slot> = self
            .fillings
            .iter()
            .map(|filling| Slot {
                value: filling.block.value,
                levels: filling.levels(),
            })
            .collect();
        let last: Vec<usize> = slots.iter().map(|slot| slot.levels).collect();
        let bytes: Vec<Vec<usize>> = self.fillings.iter().map(Filling::bytes).collect();
        let most_bytes = budget.saturating_mul(MOST_BYTES_PER_TOKEN);
        let mut best = None;
        let fits = |levels: &[usize]| {
            let data: usize = bytes
                .iter()
                .zip(levels)
                .map(|(bytes, level)| bytes[*level])
                .sum();
            if data as u64 > most_bytes && *levels != *last {
                return Ok(false);
            }
            match self.draw(levels) {
                Ok(drawn) if drawn.tokens <= budget => {
                    best = Some(drawn);
                    Ok(true)
                }
                Ok(_) => Ok(false),
                // What is too long may fit with less of it.
                Err(error) if is_length(&error) && *levels != *last => Ok(false),
                Err(error) => Err(error),
            }
        };
        let trimmed = trim(&slots, fits)?;
        match (trimmed, best) {
            (Some(levels), Some(drawn)) if drawn.levels == levels => Ok(drawn),
            (Some(levels), _) => self.draw(&levels),
            (None, _) => Err(RenderError::Budget {
                prompt: self.prompt.name.clone(),
                needed: self.draw(&last)?.tokens,
                budget,
            }),
        }
    }

    /// What was left out.
    fn cuts(&self, drawn: &Drawn) -> Vec<Cut> {
        let cut = self
            .fillings
            .iter()
            .zip(&drawn.levels)
            .filter(|(_, level)| **level > 0);
        let cost = |shown: Option<Shown>| shown.map_or(0, |shown| tokens(&shown.text));
        cut.map(|(filling, level)| {
            let left = filling.at(*level);
            let gone = left
                .as_ref()
                .map_or_else(|| filling.everything(), |shown| shown.gone);
            Cut {
                block: filling.block.name.clone(),
                items: gone.items,
                characters: gone.characters,
                tokens: cost(filling.at(0)).saturating_sub(cost(left)),
            }
        })
        .collect()
    }
}

fn is_length(error: &RenderError) -> bool {
    matches!(
        error,
        RenderError::Template {
            fault: Fault::Length { .. },
            ..
        }
    )
}

/// What clients are answered.
impl Rendered {
    /// As JSON, in the words of the contract.
    pub fn to_json(&self) -> Value {
        let message = |message: &RenderedMessage| json!({"role": message.role.as_str(), "content": message.text});
        let cut = |cut: &Cut| {
            let mut json = json!({"block": cut.block});
            if cut.items > 0 {
                json["items"] = cut.items.into();
            }
            if cut.characters > 0 {
                json["characters"] = cut.characters.into();
            }
            json["tokens"] = cut.tokens.into();
            json
        };
        json!({
            "prompt": self.prompt,
            "version": self.version,
            "digest": self.digest,
            "variant": self.variant,
            "messages": self.messages.iter().map(message).collect::<Vec<_>>(),
            "tokens": self.tokens,
            "cut": self.cut.iter().map(cut).collect::<Vec<_>>(),
            "output_schema": self.output_schema,
        })
    }
}
