//! Reading configuration from where the command line says.

use std::path::Path;

use super::{ConfigSource, Exit};
use crate::config::{self, Loaded, Sources};

const DEFAULT_FILE: &str = "tidegate.toml";

/// Parses `KEY=VALUE`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, for example server.bind=127.0.0.1:9000".to_owned()),
    }
}

impl ConfigSource {
    /// The file that is read, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.config {
            Some(path) => Some(path),
            None => Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()),
        }
    }

    /// Loads the configuration; problems go to standard error.
    pub(super) fn load(&self) -> Result<Loaded, Exit> {
        let file = match self.file() {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some((path.display().to_string(), text)),
                Err(error) => {
                    eprintln!("error: {} cannot be read: {error}", path.display());
                    return Err(Exit::Usage);
                }
            },
        };
        let sources = Sources {
            file,
            env: &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
            env_names: std::env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .collect(),
            flags: self.overrides.clone(),
            read_file: &|path| std::fs::read_to_string(path),
        };
        config::load(&sources).map_err(|problems| {
            eprintln!("{problems}");
            let count = problems.0.len();
            eprintln!(
                "error: {count} problem{} in the configuration",
                if count == 1 { "" } else { "s" }
            );
            Exit::Usage
        })
    }
}
