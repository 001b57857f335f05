//! Which packs a command is about.

use std::path::{Path, PathBuf};

use clap::Args;
use tidegate_text::template::{Library, PromptFile, PromptFolders, PromptPackError};

/// The word for the prompts of this build.
const OWN: &str = "builtin";

/// Packs beside those of this build.
#[derive(Debug, Args)]
pub(super) struct Folders {
    /// A folder of prompts, as prompts.packs
    #[arg(long, value_name = "DIR")]
    packs: Option<PathBuf>,
    /// A folder of frameworks, as prompts.frameworks
    #[arg(long, value_name = "DIR")]
    frameworks: Option<PathBuf>,
}

impl Folders {
    pub(super) fn load(&self) -> Result<Library, PromptPackError> {
        Library::with_folders(&PromptFolders {
            prompts: self.packs.clone(),
            frameworks: self.frameworks.clone(),
        })
    }
}

/// Loads prompts that were named on the command line over those of this build,
/// and says the files that they are in; none for those of this build.
pub(super) fn load(
    named: &str,
    frameworks: Option<&Path>,
) -> Result<(Library, Vec<String>), PromptPackError> {
    let path = Path::new(named);
    let prompts = match named {
        OWN => Vec::new(),
        _ if path.is_dir() => PromptFile::read_folder(path)?,
        _ => vec![PromptFile::read(path)?],
    };
    let frameworks = frameworks.map_or_else(|| Ok(Vec::new()), PromptFile::read_folder)?;
    let sources: Vec<_> = prompts.iter().map(PromptFile::source).collect();
    let frameworks: Vec<_> = frameworks.iter().map(PromptFile::source).collect();
    let library = Library::layered(&sources, &frameworks)?;
    let names = sources.iter().map(|source| source.name.to_owned());
    Ok((library, names.collect()))
}
