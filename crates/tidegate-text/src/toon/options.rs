//! What the caller chooses.

/// What stands between the cells of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delimiter {
    /// `,`, which headers do not name.
    #[default]
    Comma,
    /// A tab.
    Tab,
    /// `|`.
    Pipe,
}

impl Delimiter {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Comma, Self::Tab, Self::Pipe];

    /// The delimiter that this character is.
    pub fn of(character: char) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|delimiter| delimiter.character() == character)
    }

    /// The delimiter of this name, or that this text is.
    pub fn named(text: &str) -> Option<Self> {
        let is =
            |delimiter: &Self| delimiter.word() == text || text.chars().eq([delimiter.character()]);
        Self::ALL.into_iter().find(is)
    }

    /// The character itself.
    pub fn character(self) -> char {
        char::from(self.byte())
    }

    /// The delimiter in a word, for messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Comma => "comma",
            Self::Tab => "tab",
            Self::Pipe => "pipe",
        }
    }

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }
}

impl std::fmt::Display for Delimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

/// How many spaces one level of indentation is: 1 to 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndentSize(pub(super) u8);

impl IndentSize {
    /// The most spaces of one level.
    pub const MOST: usize = 16;

    /// So many spaces; nothing for none at all and for more than
    /// [`IndentSize::MOST`].
    pub fn new(spaces: usize) -> Option<Self> {
        let spaces = u8::try_from(spaces).ok()?;
        (1..=Self::MOST)
            .contains(&usize::from(spaces))
            .then_some(Self(spaces))
    }

    /// The number of spaces.
    pub fn spaces(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for IndentSize {
    fn default() -> Self {
        Self(2)
    }
}

/// What a decoder does about a text that keeps some rules and breaks others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Every broken rule is an error.
    #[default]
    Strict,
    /// Counts, duplicate keys, uneven indentation and blank lines are forgiven,
    /// and a line that is no header is read as a key and its value.
    Lenient,
}

/// How TOON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// What stands between the cells of a row.
    pub delimiter: Delimiter,
    /// The width of one level.
    pub indent_size: IndentSize,
}

/// How TOON is read. The delimiter is not here: each header names its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecodeOptions {
    /// What happens to a text that breaks a rule.
    pub strictness: Strictness,
    /// The width of one level.
    pub indent_size: IndentSize,
}
