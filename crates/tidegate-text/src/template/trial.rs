//! What a pack promises of its prompt: parameters, and what must come of them.

use super::error::{PromptPackError, PromptProblem};
use super::library::Library;
use super::prompt::Prompt;
use super::raw::{RawGolden, RawTrial};
use super::render::{RenderWish, Rendered, RenderedMessage};

/// One test of a pack.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptTrial {
    /// Where its name stands.
    pub(super) line: usize,
    pub(super) raw: RawTrial,
}

impl PromptTrial {
    /// What it shows.
    pub fn name(&self) -> &str {
        self.raw.name.get_ref()
    }

    /// What is asked for in it.
    pub fn wish(&self) -> RenderWish {
        RenderWish {
            parameters: self.raw.parameters.clone(),
            budget_tokens: self.raw.budget_tokens,
            variant: Some(self.variant().to_owned()),
            key: None,
        }
    }

    /// The variant that it is about.
    pub fn variant(&self) -> &str {
        self.raw.variant.as_deref().unwrap_or(super::BASE_VARIANT)
    }

    fn run(&self, library: &Library, prompt: &Prompt) -> Result<(), String> {
        let rendered = library.render(&prompt.name, &self.wish());
        match (rendered, &self.raw.fails) {
            (Ok(rendered), None) => self.holds(&rendered),
            (Ok(_), Some(_)) => Err("is rendered, and must fail".to_owned()),
            (Err(error), Some(words)) if error.to_string().contains(words.as_str()) => Ok(()),
            (Err(error), Some(_)) => Err(format!("fails with other words: {error}")),
            (Err(error), None) => Err(error.to_string()),
        }
    }

    fn holds(&self, rendered: &Rendered) -> Result<(), String> {
        let said = |words: &String| {
            rendered
                .messages
                .iter()
                .any(|message| message.text.contains(words.as_str()))
        };
        let raw = &self.raw;
        if let Some(at) = raw.contains.iter().position(|words| !said(words)) {
            return Err(format!("contains[{at}] is in no message"));
        }
        if let Some(at) = raw.lacks.iter().position(said) {
            return Err(format!("lacks[{at}] is in a message"));
        }
        if let Some(golden) = &raw.messages {
            compare(golden, &rendered.messages)?;
        }
        let cut: Vec<&str> = rendered.cut.iter().map(|cut| cut.block.as_str()).collect();
        match &raw.cut {
            Some(expected) if *expected != cut => Err(format!("cuts {cut:?}, not {expected:?}")),
            Some(_) | None => Ok(()),
        }
    }
}

fn compare(golden: &[RawGolden], messages: &[RenderedMessage]) -> Result<(), String> {
    if golden.len() != messages.len() {
        let (is, must) = (messages.len(), golden.len());
        return Err(format!("has {is} messages, not {must}"));
    }
    for (number, (expected, message)) in golden.iter().zip(messages).enumerate() {
        let expected_text = expected.text.trim();
        if expected.role != message.role {
            let (is, must) = (message.role.as_str(), expected.role.as_str());
            return Err(format!(
                "messages[{number}] is of the role {is}, not {must}"
            ));
        }
        if expected_text != message.text {
            let lines = expected_text.lines().zip(message.text.lines());
            let same = lines.take_while(|(one, other)| one == other).count();
            return Err(format!(
                "messages[{number}] differs from line {} on",
                same + 1
            ));
        }
    }
    Ok(())
}

impl Library {
    /// The tests of a prompt's pack that do not hold.
    pub fn failed_trials(&self, prompt: &Prompt) -> Vec<PromptPackError> {
        let tried = prompt
            .trials
            .iter()
            .map(|trial| (trial, trial.run(self, prompt)));
        let failed = tried.filter_map(|(trial, outcome)| {
            outcome.err().map(|reason| PromptPackError::Wrong {
                pack: prompt.pack.clone(),
                line: trial.line,
                place: format!("test {:?}", trial.name()),
                problem: PromptProblem::Trial(reason),
            })
        });
        failed.collect()
    }
}
