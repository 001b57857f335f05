//! Packs in folders.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::PromptPackError;
use super::library::{Library, PromptLayer, PromptSource};
use super::load::MOST_PACK_BYTES;

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
pub struct PromptFile {
    name: String,
    text: String,
}

impl PromptFile {
    /// Reads one file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no UTF-8, or has more than 256 KiB.
    pub fn read(path: &Path) -> Result<Self, PromptPackError> {
        let name = path.display().to_string();
        let unreadable = |reason: String| PromptPackError::Unreadable {
            path: name.clone(),
            reason,
        };
        let bytes = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
        if bytes.len() > MOST_PACK_BYTES as u64 {
            let reason = format!("has {} bytes; {MOST_PACK_BYTES} are possible", bytes.len());
            return Err(unreadable(reason));
        }
        let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { name, text })
    }

    /// Reads the packs of a folder, in the order of their names; folders in it
    /// are left out.
    ///
    /// # Errors
    ///
    /// The folder or one of its files cannot be read, or there is no pack in it:
    /// whoever names a folder expects packs from it.
    pub fn read_folder(folder: &Path) -> Result<Vec<Self>, PromptPackError> {
        let unreadable = |reason: String| PromptPackError::Unreadable {
            path: folder.display().to_string(),
            reason,
        };
        let entries = fs::read_dir(folder).map_err(|error| unreadable(error.to_string()))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| unreadable(error.to_string()))?.path();
            if path.extension().is_some_and(|end| end == "toml") && path.is_file() {
                paths.push(path);
            }
        }
        if paths.is_empty() {
            return Err(unreadable("holds no pack; packs end in .toml".to_owned()));
        }
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// For [`Library::layered`].
    pub fn source(&self) -> PromptSource<'_> {
        PromptSource {
            layer: PromptLayer::Custom,
            name: &self.name,
            text: &self.text,
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
