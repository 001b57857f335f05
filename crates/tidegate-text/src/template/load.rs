//! From a pack's text to what it holds: everything is checked, or nothing is
//! loaded.

use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;

use super::check;
use super::context::Block;
use super::error::{PromptPackError, PromptProblem};
use super::framework::{Checkpoint, Framework, SectionGuidance};
use super::library::{PromptSource, digest};
use super::parameter::Parameter;
use super::piece::Piece;
use super::prompt::{Prompt, PromptRole};
use super::raw::{RawFramework, RawMessage, RawPack, RawVariant};
use super::trial::PromptTrial;
use super::variant::{BASE_VARIANT, Share, Variant};

/// A pack may have this many bytes; ours have 12,000 at most.
pub(super) const MOST_PACK_BYTES: usize = 256 * 1024;

/// What a pack says of its place among others.
pub(super) struct Head {
    pub(super) replaces: bool,
    /// Where its name stands.
    pub(super) line: usize,
}

/// A pack of a prompt.
pub(super) struct LoadedPrompt {
    pub(super) head: Head,
    pub(super) prompt: Prompt,
}

/// A pack of a framework.
pub(super) struct LoadedFramework {
    pub(super) head: Head,
    pub(super) framework: Framework,
}

/// Collects what is wrong with one pack.
pub(super) struct Reading<'a> {
    pub(super) source: &'a PromptSource<'a>,
    errors: Vec<PromptPackError>,
}

impl<'a> Reading<'a> {
    fn new(source: &'a PromptSource<'a>) -> Self {
        Self {
            source,
            errors: Vec::new(),
        }
    }

    /// Notes what is wrong at a line.
    pub(super) fn wrong(&mut self, line: usize, place: &str, problem: PromptProblem) {
        self.errors.push(PromptPackError::Wrong {
            pack: self.source.name.to_owned(),
            line,
            place: place.to_owned(),
            problem,
        });
    }

    /// The line of something in the pack.
    pub(super) fn line<T>(&self, at: &Spanned<T>) -> usize {
        line_of(self.source.text, at.span().start)
    }

    /// Notes what is wrong with what stands at `at`.
    pub(super) fn wrong_at<T>(&mut self, at: &Spanned<T>, place: &str, problem: PromptProblem) {
        self.wrong(self.line(at), place, problem);
    }

    fn piece(&self, text: &Spanned<String>) -> Piece {
        Piece::of(self.source.text, text)
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text[..text.floor_char_boundary(byte)].matches('\n').count() + 1
}

fn parse<T: DeserializeOwned>(source: &PromptSource<'_>) -> Result<T, PromptPackError> {
    let (name, text) = (source.name, source.text);
    if text.len() > MOST_PACK_BYTES {
        return Err(PromptPackError::Pack {
            pack: name.to_owned(),
            reason: format!("has {} bytes; {MOST_PACK_BYTES} are possible", text.len()),
        });
    }
    toml::from_str(text).map_err(|error| {
        let byte = error.span().map_or(0, |span| span.start);
        let before = &text[..text.floor_char_boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        PromptPackError::Syntax {
            pack: name.to_owned(),
            line: line_of(text, byte),
            column: before[line_start..].chars().count() + 1,
            reason: error.message().to_owned(),
        }
    })
}

/// Reads a prompt.
pub(super) fn prompt(source: &PromptSource<'_>) -> Result<LoadedPrompt, PromptPackError> {
    let raw: RawPack = parse(source)?;
    let mut reading = Reading::new(source);
    check::counts(&raw, &mut reading);
    check::names(&raw, &mut reading);
    let parameters = parameters(&raw, &mut reading);
    let context = blocks(&raw, &parameters, &mut reading);
    let partials = raw.partials.iter();
    let partials = partials.map(|one| (one.name.get_ref().clone(), reading.piece(&one.text)));
    let partials: Vec<(String, Piece)> = partials.collect();
    let variants = variants(&raw, &mut reading);
    let head = Head {
        replaces: raw.prompt.replaces,
        line: reading.line(&raw.prompt.name),
    };
    let trials = raw.tests.into_iter().map(|trial| PromptTrial {
        line: line_of(source.text, trial.name.span().start),
        raw: trial,
    });
    let prompt = Prompt {
        name: raw.prompt.name.into_inner(),
        version: raw.prompt.version.into_inner(),
        description: raw.prompt.description.into_inner(),
        layer: source.layer,
        digest: digest([source.text].into_iter()),
        parameters,
        context,
        variants,
        trials: trials.collect(),
        pack: source.name.to_owned(),
        partials,
    };
    check::templates(&prompt, &mut reading);
    PromptPackError::all(reading.errors)?;
    Ok(LoadedPrompt { head, prompt })
}

fn parameters(raw: &RawPack, reading: &mut Reading<'_>) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for one in &raw.parameters {
        let place = format!("parameter {}", one.name.get_ref());
        match Parameter::of(one) {
            Ok(parameter) => parameters.push(parameter),
            Err(problem) => reading.wrong_at(&one.name, &place, problem),
        }
        let named = one.section.as_ref();
        let is_there =
            |name: &&String| raw.parameters.iter().any(|one| one.name.get_ref() == *name);
        if let Some(name) = named.filter(|name| !is_there(name)) {
            let (what, name) = ("the parameter", name.clone());
            reading.wrong_at(&one.name, &place, PromptProblem::Absent { what, name });
        }
    }
    parameters
}

fn blocks(raw: &RawPack, parameters: &[Parameter], reading: &mut Reading<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    for one in &raw.context {
        let name = one.name.get_ref();
        let of = one.parameter.as_ref().unwrap_or(name);
        let Some(parameter) = parameters
            .iter()
            .find(|known| known.name == *of && check::fills(known))
        else {
            // A parameter with a mistake of its own is there all the same.
            let problem = PromptProblem::NoParameter(of.clone());
            reading.wrong_at(&one.name, &format!("context {name}"), problem);
            continue;
        };
        blocks.push(Block {
            name: name.clone(),
            parameter: of.clone(),
            value: one.value,
            form: one.form,
            keep: one.keep,
            by: one.by.clone(),
            is_fixed: parameter.required,
        });
    }
    blocks
}

fn variants(raw: &RawPack, reading: &mut Reading<'_>) -> Vec<Variant> {
    let shares: Vec<Option<Share>> = raw
        .variants
        .iter()
        .map(|one| Share::parse(one.share.get_ref()))
        .collect();
    for (one, share) in raw.variants.iter().zip(&shares) {
        if share.is_none() {
            let place = format!("variant {}", one.name.get_ref());
            reading.wrong_at(&one.share, &place, PromptProblem::Share);
        }
    }
    let rest = Share::rest(shares.iter().flatten().copied());
    if rest.is_none() {
        reading.wrong_at(&raw.prompt.name, "variants", PromptProblem::Shares);
    }
    let (Some(rest), false) = (rest, shares.contains(&None)) else {
        return Vec::new();
    };
    let head = &raw.prompt;
    let base = Variant {
        name: BASE_VARIANT.to_owned(),
        share: rest,
        description: "the prompt as it is".to_owned(),
        output_schema: output_schema(head.output_schema.as_ref(), reading),
        role: reading.piece(&head.role),
        instructions: reading.piece(&head.instructions),
        messages: messages(&raw.messages, reading),
    };
    let mut all = vec![base];
    for (one, share) in raw.variants.iter().zip(shares.into_iter().flatten()) {
        let variant = variant(&all[0], one, share, reading);
        all.push(variant);
    }
    all
}

/// The base with what the variant says otherwise.
fn variant(base: &Variant, raw: &RawVariant, share: Share, reading: &mut Reading<'_>) -> Variant {
    let piece = |own: &Option<Spanned<String>>, of_base: &Piece, reading: &Reading<'_>| {
        own.as_ref()
            .map_or_else(|| of_base.clone(), |text| reading.piece(text))
    };
    Variant {
        name: raw.name.get_ref().clone(),
        share,
        description: raw.description.clone(),
        role: piece(&raw.role, &base.role, reading),
        instructions: piece(&raw.instructions, &base.instructions, reading),
        messages: match &raw.messages {
            Some(own) => messages(own, reading),
            None => base.messages.clone(),
        },
        output_schema: match &raw.output_schema {
            Some(_) => output_schema(raw.output_schema.as_ref(), reading),
            None => base.output_schema.clone(),
        },
    }
}

fn messages(raw: &[RawMessage], reading: &Reading<'_>) -> Vec<(PromptRole, Piece)> {
    raw.iter()
        .map(|message| (message.role, reading.piece(&message.text)))
        .collect()
}

fn output_schema(text: Option<&Spanned<String>>, reading: &mut Reading<'_>) -> Option<Value> {
    let text = text?;
    let problem = match serde_json::from_str::<Value>(text.get_ref()) {
        Ok(schema) if schema.is_object() => return Some(schema),
        Ok(_) => "it is another JSON value".to_owned(),
        Err(error) => error.to_string(),
    };
    reading.wrong_at(text, "output_schema", PromptProblem::OutputSchema(problem));
    None
}

/// Reads a framework.
pub(super) fn framework(source: &PromptSource<'_>) -> Result<LoadedFramework, PromptPackError> {
    let raw: RawFramework = parse(source)?;
    let mut reading = Reading::new(source);
    check::framework(&raw, &mut reading);
    PromptPackError::all(reading.errors)?;
    let own = |texts: Vec<Spanned<String>>| texts.into_iter().map(Spanned::into_inner).collect();
    let head = Head {
        replaces: raw.framework.replaces,
        line: line_of(source.text, raw.framework.id.span().start),
    };
    let checkpoint = |one: super::raw::RawCheckpoint| Checkpoint {
        id: one.id.into_inner(),
        name: one.name,
        look_for: one.look_for.into_inner().trim().to_owned(),
        keywords: own(one.keywords),
    };
    let section = |one: super::raw::RawSection| SectionGuidance {
        id: one.id.into_inner(),
        names: own(one.names),
        guidance: one.guidance.into_inner().trim().to_owned(),
    };
    let framework = Framework {
        id: raw.framework.id.into_inner(),
        version: raw.framework.version.into_inner(),
        name: raw.framework.name.into_inner(),
        description: raw.framework.description.into_inner(),
        checkpoints: raw.checkpoints.into_iter().map(checkpoint).collect(),
        risk_words: [own(raw.risk.high), own(raw.risk.medium)],
        sections: raw.sections.into_iter().map(section).collect(),
        pack: source.name.to_owned(),
    };
    Ok(LoadedFramework { head, framework })
}
