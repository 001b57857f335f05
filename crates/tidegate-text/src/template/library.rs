//! All prompts and frameworks that there are.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::builtin;
use super::error::{PromptPackError, PromptProblem, RenderError, closest};
use super::framework::Framework;
use super::load;
use super::prompt::Prompt;

/// Where a pack comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PromptLayer {
    /// Part of the program.
    Core,
    /// Of this installation; may take the place of one of the program.
    Custom,
}

impl PromptLayer {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Custom => "custom",
        }
    }
}

/// A pack to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptSource<'a> {
    /// Where it comes from.
    pub layer: PromptLayer,
    /// What errors call it: a file, as a rule.
    pub name: &'a str,
    /// TOML.
    pub text: &'a str,
}

/// Prompts and frameworks by their names. Loaded whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Library {
    prompts: BTreeMap<String, Prompt>,
    frameworks: BTreeMap<String, Framework>,
    version: String,
}

/// All packs together may be this many.
const MOST_PACKS: usize = 1_000;

impl Default for Library {
    fn default() -> Self {
        Self::layered(&[], &[]).expect("a test loads the packs of this build")
    }
}

/// The packs of this build, and then `more`.
fn with_core<'a>(
    packs: &[(&'static str, &'static str)],
    more: &[PromptSource<'a>],
) -> Vec<PromptSource<'a>> {
    let core = packs.iter().map(|(name, text)| PromptSource {
        layer: PromptLayer::Core,
        name,
        text,
    });
    core.chain(more.iter().copied()).collect()
}

impl Library {
    /// Reads the packs of this build, then these, and tries the tests of all
    /// but the first: those are tried when the program is built.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, with its place; nothing is loaded then.
    pub fn layered(
        prompts: &[PromptSource<'_>],
        frameworks: &[PromptSource<'_>],
    ) -> Result<Self, PromptPackError> {
        Self::of(
            &with_core(builtin::PROMPTS, prompts),
            &with_core(builtin::FRAMEWORKS, frameworks),
        )
    }

    /// Reads these packs and no others.
    ///
    /// # Errors
    ///
    /// As for [`Self::layered`].
    pub fn of(
        prompts: &[PromptSource<'_>],
        frameworks: &[PromptSource<'_>],
    ) -> Result<Self, PromptPackError> {
        for sources in [prompts, frameworks] {
            check_count(sources)?;
        }
        let mut errors = Vec::new();
        let frameworks_read = gather(frameworks, &mut errors, |source| {
            let loaded = load::framework(source)?;
            Ok(Entry {
                name: loaded.framework.id.clone(),
                head: loaded.head,
                value: loaded.framework,
            })
        });
        let prompts_read = gather(prompts, &mut errors, |source| {
            let loaded = load::prompt(source)?;
            Ok(Entry {
                name: loaded.prompt.name.clone(),
                head: loaded.head,
                value: loaded.prompt,
            })
        });
        PromptPackError::all(errors)?;
        let library = Self {
            version: digest(prompts.iter().chain(frameworks).map(|source| source.text)),
            prompts: prompts_read,
            frameworks: frameworks_read,
        };
        library.try_packs()?;
        Ok(library)
    }

    /// Tries what the packs of later layers promise.
    fn try_packs(&self) -> Result<(), PromptPackError> {
        let custom = self
            .prompts()
            .filter(|prompt| prompt.layer > PromptLayer::Core);
        let failures = custom.flat_map(|prompt| self.failed_trials(prompt));
        PromptPackError::all(failures.collect())
    }

    /// The prompts in the order of their names.
    pub fn prompts(&self) -> impl Iterator<Item = &Prompt> {
        self.prompts.values()
    }

    /// The frameworks in the order of their ids.
    pub fn frameworks(&self) -> impl Iterator<Item = &Framework> {
        self.frameworks.values()
    }

    /// The framework with this id.
    pub fn framework(&self, id: &str) -> Option<&Framework> {
        self.frameworks.get(id)
    }

    /// The first digits of a hash of all packs.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The prompt with this name.
    ///
    /// # Errors
    ///
    /// [`RenderError::UnknownPrompt`], with the name that was probably meant.
    pub fn prompt(&self, name: &str) -> Result<&Prompt, RenderError> {
        self.prompts
            .get(name)
            .ok_or_else(|| RenderError::UnknownPrompt {
                name: name.chars().take(64).collect(),
                meant: closest(name, self.prompts.keys().map(String::as_str)),
                known: self.prompts.keys().cloned().collect(),
            })
    }
}

fn check_count(sources: &[PromptSource<'_>]) -> Result<(), PromptPackError> {
    let count = sources.len();
    if count <= MOST_PACKS {
        return Ok(());
    }
    Err(PromptPackError::Pack {
        pack: sources.last().map_or("", |source| source.name).to_owned(),
        reason: format!("with it there are {count} packs; {MOST_PACKS} are possible"),
    })
}

/// What one pack holds.
struct Entry<T> {
    name: String,
    head: load::Head,
    value: T,
}

/// Everything of one kind by its name; a later layer takes the place of an
/// earlier one where it says so.
fn gather<'a, T>(
    sources: &[PromptSource<'a>],
    errors: &mut Vec<PromptPackError>,
    read: impl Fn(&PromptSource<'a>) -> Result<Entry<T>, PromptPackError>,
) -> BTreeMap<String, T> {
    let mut all: BTreeMap<String, (PromptSource<'a>, T)> = BTreeMap::new();
    for source in sources {
        let entry = match read(source) {
            Ok(entry) => entry,
            Err(error) => {
                errors.extend(error.each().iter().cloned());
                continue;
            }
        };
        let holder = all.get(&entry.name).map(|(holder, _)| *holder);
        match takes(source, holder, &entry.head) {
            Ok(()) => {
                all.insert(entry.name, (*source, entry.value));
            }
            Err(problem) => errors.push(PromptPackError::Wrong {
                pack: source.name.to_owned(),
                line: entry.head.line,
                place: entry.name,
                problem,
            }),
        }
    }
    all.into_iter()
        .map(|(name, (_, value))| (name, value))
        .collect()
}

/// Whether a pack may have its name beside or in the place of `holder`.
fn takes(
    source: &PromptSource<'_>,
    holder: Option<PromptSource<'_>>,
    head: &load::Head,
) -> Result<(), PromptProblem> {
    match holder {
        None if head.replaces => Err(PromptProblem::ReplacesNothing),
        None => Ok(()),
        Some(holder) if holder.layer == source.layer => Err(PromptProblem::TakenBeside {
            other: holder.name.to_owned(),
        }),
        Some(_) if head.replaces => Ok(()),
        Some(holder) => Err(PromptProblem::Taken {
            other: holder.name.to_owned(),
        }),
    }
}

/// The first 16 digits are enough to tell versions apart.
pub(super) fn digest<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let hash = hasher.finalize();
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
