//! Frameworks: what a document is judged by, as data.

use serde_json::{Value, json};

use super::form::Form;
use crate::word::words;

/// Checkpoints, words that tell a risk, and what each kind of section needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framework {
    /// What prompts name it by.
    pub id: String,
    /// Of its texts.
    pub version: String,
    /// For people.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What is looked at, in order.
    pub checkpoints: Vec<Checkpoint>,
    /// Words of a high risk, then of a medium one.
    pub risk_words: [Vec<String>; 2],
    /// What is asked of sections of a kind.
    pub sections: Vec<SectionGuidance>,
    pub(super) pack: String,
}

/// One thing that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Unique in its framework.
    pub id: String,
    /// For people.
    pub name: String,
    /// What to look for.
    pub look_for: String,
    /// Words and phrases of texts that it concerns.
    pub keywords: Vec<String>,
}

/// What is asked of sections of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionGuidance {
    /// Unique in its framework; `general` holds for what no other fits.
    pub id: String,
    /// What such sections are called.
    pub names: Vec<String>,
    /// What to look for in them.
    pub guidance: String,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// No word of the others.
    Low,
    /// A word of a medium risk.
    Medium,
    /// A word of a high risk.
    High,
}

impl Risk {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// The guidance for what has none of its own.
const GENERAL: &str = "general";

/// The words of a text, so that phrases can be found in it.
struct Spread(String);

impl Spread {
    fn of(text: &str) -> Self {
        let mut spread = String::from(" ");
        for word in words(text) {
            spread.push_str(&word);
            spread.push(' ');
        }
        Self(spread)
    }

    /// Whether the words of `phrase` stand in it side by side.
    fn holds(&self, phrase: &str) -> bool {
        let phrase = Self::of(phrase).0;
        phrase.len() > 1 && self.0.contains(&phrase)
    }
}

impl Framework {
    /// What to look for in a section of this title: its own guidance, else the
    /// one whose name stands in the title, the longest of them, else the general
    /// one.
    pub fn guidance_for(&self, title: &str) -> Option<&str> {
        let title = Spread::of(title);
        let names = |section: &SectionGuidance| {
            let own = section.id.replace(['_', '-'], " ");
            let names = section.names.iter().cloned().chain([own]);
            names
                .filter(|name| title.holds(name))
                .map(|name| name.len())
                .max()
        };
        let named = self
            .sections
            .iter()
            .filter_map(|section| Some((names(section)?, section)));
        // Of equally long names the first counts.
        let best = named.rev().max_by_key(|(length, _)| *length);
        let general = || self.sections.iter().find(|section| section.id == GENERAL);
        let section = best.map(|(_, section)| section).or_else(general);
        section.map(|section| section.guidance.as_str())
    }

    /// The ids of the checkpoints that `text` concerns by its words, those with
    /// the most keywords first, `most` of them at most.
    pub fn references(&self, text: &str, most: usize) -> Vec<&str> {
        let text = Spread::of(text);
        let hits = |checkpoint: &Checkpoint| {
            let keywords = checkpoint.keywords.iter();
            keywords.filter(|keyword| text.holds(keyword)).count()
        };
        let mut found: Vec<(usize, &str)> = self
            .checkpoints
            .iter()
            .map(|checkpoint| (hits(checkpoint), checkpoint.id.as_str()))
            .filter(|(hits, _)| *hits > 0)
            .collect();
        found.sort_by_key(|(hits, _)| std::cmp::Reverse(*hits));
        found.into_iter().take(most).map(|(_, id)| id).collect()
    }

    /// How bad what `text` says is, by its words.
    pub fn risk(&self, text: &str) -> Risk {
        let text = Spread::of(text);
        let [high, medium] = &self.risk_words;
        if high.iter().any(|word| text.holds(word)) {
            Risk::High
        } else if medium.iter().any(|word| text.holds(word)) {
            Risk::Medium
        } else {
            Risk::Low
        }
    }

    /// What templates see of it.
    pub(super) fn shown(&self, section: Option<&str>) -> Value {
        let checkpoints: Vec<Value> = self
            .checkpoints
            .iter()
            .map(|one| json!({"id": one.id, "name": one.name, "look_for": one.look_for}))
            .collect();
        let [high, medium] = &self.risk_words;
        let guidance = self.guidance_for(section.unwrap_or_default());
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "table": Form::Auto.write(&Value::from(checkpoints.clone())).0,
            "checkpoints": checkpoints,
            "guidance": guidance.unwrap_or_default(),
            "risk": {"high": high.join(", "), "medium": medium.join(", ")},
        })
    }
}

/// The fields that templates may read of a framework.
pub(super) const FIELDS: [&str; 7] = [
    "id",
    "name",
    "description",
    "table",
    "checkpoints",
    "guidance",
    "risk",
];
