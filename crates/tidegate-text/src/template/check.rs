//! What a pack must hold to be one.

use std::collections::HashSet;

use toml::Spanned;

use super::error::{PromptProblem, closest};
use super::framework;
use super::load::Reading;
use super::parameter::{Parameter, ParameterKind};
use super::piece::Piece;
use super::prompt::{Prompt, PromptRole};
use super::raw::{RawFramework, RawPack};
use super::variant::{BASE_VARIANT, Variant};

/// What every message knows beside the parameters.
const ROLE: &str = "role";
const INSTRUCTIONS: &str = "instructions";
const OUTPUT_SCHEMA: &str = "output_schema";
const DATA_RULE: &str = "data_rule";
const CONTEXT: &str = "context";
const WORDS: [&str; 5] = [ROLE, INSTRUCTIONS, OUTPUT_SCHEMA, DATA_RULE, CONTEXT];

/// How many of each thing a pack may have.
pub(super) fn counts(raw: &RawPack, reading: &mut Reading<'_>) {
    let variants = raw
        .variants
        .iter()
        .filter_map(|variant| variant.messages.as_ref());
    let messages = variants.map(Vec::len).chain([raw.messages.len()]);
    let counted = [
        ("parameters", raw.parameters.len(), 0, 64),
        ("blocks of context", raw.context.len(), 0, 32),
        ("partials", raw.partials.len(), 0, 32),
        ("variants", raw.variants.len(), 0, 16),
        ("tests", raw.tests.len(), 1, 256),
    ];
    let counted = counted
        .into_iter()
        .chain(messages.map(|count| ("messages", count, 1, 64)));
    for (what, count, least, most) in counted {
        if !(least..=most).contains(&count) {
            let problem = PromptProblem::Count {
                what,
                count,
                least,
                most,
            };
            reading.wrong_at(&raw.prompt.name, raw.prompt.name.get_ref(), problem);
        }
    }
}

/// Names are names, and unique.
pub(super) fn names(raw: &RawPack, reading: &mut Reading<'_>) {
    let head = &raw.prompt;
    if !is_name(head.name.get_ref()) {
        reading.wrong_at(&head.name, "name", PromptProblem::Name);
    }
    if !is_version(head.version.get_ref()) {
        reading.wrong_at(&head.version, "version", PromptProblem::Version);
    }
    for (key, text) in [
        ("description", &head.description),
        ("role", &head.role),
        ("instructions", &head.instructions),
    ] {
        if text.get_ref().trim().is_empty() {
            reading.wrong_at(text, head.name.get_ref(), PromptProblem::Empty(key));
        }
    }
    let parameters = raw.parameters.iter().map(|one| &one.name);
    unique("parameter", parameters.clone(), reading);
    for name in parameters {
        let reserved = WORDS.iter().find(|word| *word == name.get_ref());
        let problem = match reserved {
            Some(word) => PromptProblem::Reserved(word),
            None if is_variable(name.get_ref()) => continue,
            None => PromptProblem::Word,
        };
        reading.wrong_at(name, &format!("parameter {}", name.get_ref()), problem);
    }
    let blocks = raw.context.iter().map(|one| &one.name);
    unique("context", blocks.clone(), reading);
    for name in blocks.filter(|name| !is_variable(name.get_ref())) {
        let place = format!("context {}", name.get_ref());
        reading.wrong_at(name, &place, PromptProblem::Word);
    }
    unique("partial", raw.partials.iter().map(|one| &one.name), reading);
    unique("test", raw.tests.iter().map(|one| &one.name), reading);
    unique("variant", raw.variants.iter().map(|one| &one.name), reading);
    for one in &raw.variants {
        let (name, place) = (
            one.name.get_ref(),
            format!("variant {}", one.name.get_ref()),
        );
        if name == BASE_VARIANT {
            reading.wrong_at(&one.name, &place, PromptProblem::Reserved(BASE_VARIANT));
        } else if !is_name(name) {
            reading.wrong_at(&one.name, &place, PromptProblem::Name);
        }
    }
}

fn unique<'a>(
    what: &str,
    names: impl Iterator<Item = &'a Spanned<String>>,
    reading: &mut Reading<'_>,
) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.get_ref().as_str()) {
            let place = format!("{what} {}", name.get_ref());
            reading.wrong_at(name, &place, PromptProblem::Twice);
        }
    }
}

/// What prompts, variants and frameworks are called.
fn is_name(name: &str) -> bool {
    let is_of = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    begins && name.len() <= 64 && name.chars().all(is_of)
}

/// It stands in headers.
fn is_version(version: &str) -> bool {
    let is_of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-');
    (1..=32).contains(&version.len()) && version.chars().all(is_of)
}

/// What templates can say.
fn is_variable(name: &str) -> bool {
    let is_of = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    begins && name.len() <= 64 && name.chars().all(is_of)
}

/// Whether a block of context can be made of it.
pub(super) fn fills(parameter: &Parameter) -> bool {
    match parameter.kind {
        ParameterKind::String { .. }
        | ParameterKind::List { .. }
        | ParameterKind::Object { .. }
        | ParameterKind::Json => true,
        ParameterKind::Integer { .. }
        | ParameterKind::Number { .. }
        | ParameterKind::Boolean
        | ParameterKind::Enum { .. }
        | ParameterKind::Framework { .. } => false,
    }
}

/// What a piece of a template may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The role and the instructions.
    Head,
    /// A message that the guard does not look at.
    Unguarded,
    /// A message of a user, or a part of one.
    Guarded,
}

/// Every text of the prompt is a template that names what there is.
pub(super) fn templates(prompt: &Prompt, reading: &mut Reading<'_>) {
    let mut seen = HashSet::new();
    for (name, piece) in &prompt.partials {
        // Where it is included decides what it may say; a test finds that out.
        one(
            prompt,
            (&format!("partial {name}"), Scope::Guarded),
            piece,
            reading,
        );
    }
    for variant in &prompt.variants {
        let of = |what: &str| match variant.name.as_str() {
            BASE_VARIANT => what.to_owned(),
            name => format!("variant {name}, {what}"),
        };
        let mut pieces = vec![
            (of("role"), Scope::Head, &variant.role),
            (of("instructions"), Scope::Head, &variant.instructions),
        ];
        for (number, (role, piece)) in variant.messages.iter().enumerate() {
            let scope = match role {
                PromptRole::User => Scope::Guarded,
                PromptRole::System | PromptRole::Assistant => Scope::Unguarded,
            };
            pieces.push((of(&format!("message {}", number + 1)), scope, piece));
        }
        for (place, scope, piece) in pieces {
            // A variant repeats what it does not change.
            if seen.insert((piece.line, &piece.text)) {
                one(prompt, (&place, scope), piece, reading);
            }
        }
        whole(prompt, variant, &of("messages"), reading);
    }
}

fn one(prompt: &Prompt, (place, scope): (&str, Scope), piece: &Piece, reading: &mut Reading<'_>) {
    if let Err((line, problem)) = piece.check() {
        return reading.wrong(line, place, problem);
    }
    let mut variables: Vec<String> = piece.variables().into_iter().collect();
    variables.sort();
    for variable in variables {
        if let Some(problem) = misnamed(prompt, scope, &variable) {
            let line = piece.line_of_word(&variable);
            reading.wrong(line, place, problem);
        }
    }
}

fn misnamed(prompt: &Prompt, scope: Scope, variable: &str) -> Option<PromptProblem> {
    let (name, field) = variable.split_once('.').unwrap_or((variable, ""));
    let field = field.split('.').next().unwrap_or_default();
    if name == CONTEXT && scope != Scope::Head {
        let known = || prompt.context.iter().map(|block| block.name.as_str());
        return match scope {
            Scope::Guarded if known().any(|block| block == field) => None,
            Scope::Unguarded => Some(PromptProblem::Untrusted(variable.to_owned())),
            Scope::Guarded | Scope::Head => Some(unknown(variable, field, known().collect())),
        };
    }
    if WORDS.contains(&name) && scope != Scope::Head {
        return None;
    }
    let Some(parameter) = prompt.parameters.iter().find(|known| known.name == name) else {
        let mut known: Vec<&str> = prompt
            .parameters
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        if scope != Scope::Head {
            known.extend(WORDS);
        }
        return Some(unknown(variable, name, known));
    };
    if !parameter.is_trusted && scope != Scope::Guarded {
        return Some(PromptProblem::Untrusted(name.to_owned()));
    }
    let is_framework = matches!(parameter.kind, ParameterKind::Framework { .. });
    (is_framework && !field.is_empty() && !framework::FIELDS.contains(&field))
        .then(|| unknown(variable, field, framework::FIELDS.to_vec()))
}

fn unknown(variable: &str, name: &str, known: Vec<&str>) -> PromptProblem {
    PromptProblem::Unknown {
        name: variable.to_owned(),
        help: match closest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("there are {}", known.join(", ")),
        },
    }
}

/// What holds for the messages of a variant together.
fn whole(prompt: &Prompt, variant: &Variant, place: &str, reading: &mut Reading<'_>) {
    let first = variant
        .messages
        .iter()
        .position(|(role, _)| *role != PromptRole::System);
    let behind = variant.messages.iter().skip(first.unwrap_or(usize::MAX));
    if let Some((_, late)) = behind.clone().find(|(role, _)| *role == PromptRole::System) {
        reading.wrong(late.line, place, PromptProblem::SystemLate);
    }
    let says = |word: &str| {
        let names = |piece: &Piece| {
            piece
                .variables()
                .iter()
                .any(|name| name.split('.').next() == Some(word))
        };
        let partials = prompt.partials.iter().map(|(_, piece)| piece);
        let messages = variant.messages.iter().map(|(_, piece)| piece);
        partials.chain(messages).any(names)
    };
    if says(CONTEXT) && !says(DATA_RULE) {
        let line = variant.messages.first().map_or(1, |(_, piece)| piece.line);
        reading.wrong(line, place, PromptProblem::NoDataRule);
    }
}

/// What a framework must hold.
pub(super) fn framework(raw: &RawFramework, reading: &mut Reading<'_>) {
    let head = &raw.framework;
    if !is_name(head.id.get_ref()) {
        reading.wrong_at(&head.id, "id", PromptProblem::Name);
    }
    for (key, text) in [
        ("version", &head.version),
        ("name", &head.name),
        ("description", &head.description),
    ] {
        if text.get_ref().trim().is_empty() {
            reading.wrong_at(text, "framework", PromptProblem::Empty(key));
        }
    }
    let words = raw.risk.high.len() + raw.risk.medium.len();
    for (what, count, least, most) in [
        ("checkpoints", raw.checkpoints.len(), 1, 200),
        ("sections", raw.sections.len(), 0, 100),
        ("words of risk", words, 0, 1_000),
    ] {
        if !(least..=most).contains(&count) {
            let problem = PromptProblem::Count {
                what,
                count,
                least,
                most,
            };
            reading.wrong_at(&head.id, head.id.get_ref(), problem);
        }
    }
    framework_ids(raw, reading);
    framework_texts(raw, reading);
}

fn framework_ids(raw: &RawFramework, reading: &mut Reading<'_>) {
    let checkpoints = raw.checkpoints.iter().map(|one| &one.id);
    let sections = raw.sections.iter().map(|one| &one.id);
    unique("checkpoint", checkpoints.clone(), reading);
    unique("section", sections.clone(), reading);
    let ids = checkpoints.map(|id| ("checkpoint", id));
    for (what, id) in ids.chain(sections.map(|id| ("section", id))) {
        if !is_name(id.get_ref()) {
            let place = format!("{what} {}", id.get_ref());
            reading.wrong_at(id, &place, PromptProblem::Name);
        }
    }
}

/// A phrase without a letter is found nowhere.
fn framework_texts(raw: &RawFramework, reading: &mut Reading<'_>) {
    let looks = raw
        .checkpoints
        .iter()
        .map(|one| ("look_for", &one.look_for));
    let guidance = raw.sections.iter().map(|one| ("guidance", &one.guidance));
    let keywords = raw.checkpoints.iter().flat_map(|one| &one.keywords);
    let names = raw.sections.iter().flat_map(|one| &one.names);
    let risks = raw.risk.high.iter().chain(&raw.risk.medium);
    let words = risks.chain(keywords).chain(names);
    let words = words.map(|word| ("keyword", word));
    for (key, text) in looks.chain(guidance).chain(words) {
        if crate::word::words(text.get_ref()).next().is_none() {
            reading.wrong_at(text, "framework", PromptProblem::Empty(key));
        }
    }
}
