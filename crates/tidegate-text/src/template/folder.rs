//! Packs in folders.

use std::path::{Path, PathBuf};

use super::error::PromptPackError;
use super::library::{Library, PromptLayer, PromptSource};
use super::load::MOST_PACK_BYTES;
use crate::pack_folder::{PackText, read_file, read_folder};

/// Where packs are read beside those of this build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromptFolders {
    /// Every `*.toml` in it is a prompt.
    pub prompts: Option<PathBuf>,
    /// Every `*.toml` in it is a framework.
    pub frameworks: Option<PathBuf>,
}

/// A pack that was read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptFile(PackText);

impl PromptFile {
    /// Reads one file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no UTF-8, or has more than 256 KiB.
    pub fn read(path: &Path) -> Result<Self, PromptPackError> {
        Ok(Self(read_file(path, MOST_PACK_BYTES)?))
    }

    /// Reads the packs of a folder, in the order of their names; folders in it
    /// are left out.
    ///
    /// # Errors
    ///
    /// The folder or one of its files cannot be read, or there is no pack in it.
    pub fn read_folder(folder: &Path) -> Result<Vec<Self>, PromptPackError> {
        let packs = read_folder(folder, MOST_PACK_BYTES)?;
        Ok(packs.into_iter().map(Self).collect())
    }

    /// For [`Library::layered`].
    pub fn source(&self) -> PromptSource<'_> {
        PromptSource {
            layer: PromptLayer::Custom,
            name: &self.0.name,
            text: &self.0.text,
        }
    }
}

impl Library {
    /// The packs of this build, and those of `folders`.
    ///
    /// # Errors
    ///
    /// As for [`Self::layered`], and when a folder or a file cannot be read.
    pub fn with_folders(folders: &PromptFolders) -> Result<Self, PromptPackError> {
        let read = |folder: &Option<PathBuf>| match folder {
            Some(folder) => PromptFile::read_folder(folder),
            None => Ok(Vec::new()),
        };
        let (prompts, frameworks) = (read(&folders.prompts)?, read(&folders.frameworks)?);
        let prompts: Vec<_> = prompts.iter().map(PromptFile::source).collect();
        let frameworks: Vec<_> = frameworks.iter().map(PromptFile::source).collect();
        Self::layered(&prompts, &frameworks)
    }
}
