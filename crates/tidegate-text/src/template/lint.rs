//! What is allowed in a pack and probably not meant.

use std::collections::HashSet;

use super::library::Library;
use super::parameter::ParameterKind;
use super::prompt::Prompt;

/// A hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptRemark {
    /// A stable word.
    pub kind: &'static str,
    /// The prompt.
    pub about: String,
    /// What was seen.
    pub text: String,
}

impl Library {
    /// Hints about a prompt.
    pub fn lint(&self, prompt: &Prompt) -> Vec<PromptRemark> {
        let mut remarks = Vec::new();
        let mut say = |kind, text: String| {
            remarks.push(PromptRemark {
                kind,
                about: prompt.name.clone(),
                text,
            });
        };
        let used = used(prompt);
        for parameter in &prompt.parameters {
            let name = &parameter.name;
            if !used.contains(name) {
                say("unused", format!("no message shows the parameter {name}"));
            }
            let most = super::parameter::MOST_LENGTH;
            let unbounded = match parameter.kind {
                ParameterKind::String { max_length, .. } => max_length == most,
                ParameterKind::Integer { .. }
                | ParameterKind::Number { .. }
                | ParameterKind::Boolean
                | ParameterKind::Enum { .. }
                | ParameterKind::List { .. }
                | ParameterKind::Object { .. }
                | ParameterKind::Json
                | ParameterKind::Framework { .. } => false,
            };
            let in_block = prompt.context.iter().any(|block| block.parameter == *name);
            if unbounded && !in_block {
                let text = format!("the parameter {name} has no max_length and is no context");
                say("unbounded", text);
            }
        }
        for block in prompt
            .context
            .iter()
            .filter(|block| !used.contains(&format!("context.{}", block.name)))
        {
            say(
                "unused",
                format!("no message shows the context {}", block.name),
            );
        }
        for variant in &prompt.variants {
            if !prompt
                .trials
                .iter()
                .any(|trial| trial.variant() == variant.name)
            {
                say(
                    "untested",
                    format!("no test renders the variant {}", variant.name),
                );
            }
        }
        remarks
    }
}

/// Everything that a text of the prompt names.
fn used(prompt: &Prompt) -> HashSet<String> {
    let mut used = HashSet::new();
    let variants = prompt.variants.iter().flat_map(|variant| {
        let messages = variant.messages.iter().map(|(_, piece)| piece);
        messages.chain([&variant.role, &variant.instructions])
    });
    for piece in variants.chain(prompt.partials.iter().map(|(_, piece)| piece)) {
        for variable in piece.variables() {
            let mut parts = variable.split('.');
            let name = parts.next().unwrap_or_default().to_owned();
            if let Some(field) = parts.next() {
                used.insert(format!("{name}.{field}"));
            }
            used.insert(name);
        }
    }
    let shown: Vec<String> = prompt
        .context
        .iter()
        .filter(|block| used.contains(&format!("context.{}", block.name)))
        .map(|block| block.parameter.clone())
        .collect();
    used.extend(shown);
    let sections = prompt
        .parameters
        .iter()
        .filter_map(|parameter| match &parameter.kind {
            ParameterKind::Framework { section } => section.clone(),
            ParameterKind::String { .. }
            | ParameterKind::Integer { .. }
            | ParameterKind::Number { .. }
            | ParameterKind::Boolean
            | ParameterKind::Enum { .. }
            | ParameterKind::List { .. }
            | ParameterKind::Object { .. }
            | ParameterKind::Json => None,
        });
    used.extend(sections.collect::<Vec<_>>());
    used
}
