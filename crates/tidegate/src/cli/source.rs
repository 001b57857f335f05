//! Reading configuration from where the command line says.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::{ConfigSource, Exit};
use crate::config::{self, Loaded, Problem, Problems, Sources};
use crate::http::{Draft, Mistake, Source};
use crate::wiring;

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

    /// The same source, which insists on the file that there is now: without
    /// it a reload would quietly go on with the environment alone.
    pub(super) fn pinned(&self) -> Self {
        Self {
            config: self.file().map(Path::to_owned),
            overrides: self.overrides.clone(),
        }
    }

    /// Loads the configuration; problems go to standard error.
    pub(super) fn load(&self) -> Result<Loaded, Exit> {
        self.try_load().map_err(|error| {
            match error {
                Unusable::Unreadable { .. } => eprintln!("error: {error}"),
                Unusable::Wrong(problems) => {
                    eprintln!("{problems}");
                    let count = problems.0.len();
                    eprintln!(
                        "error: {count} problem{} in the configuration",
                        if count == 1 { "" } else { "s" }
                    );
                }
            }
            Exit::Usage
        })
    }

    fn try_load(&self) -> Result<Loaded, Unusable> {
        let file = match self.file() {
            None => None,
            Some(path) => {
                let shown = path.display().to_string();
                match std::fs::read_to_string(path) {
                    Ok(text) => Some((shown, text)),
                    Err(reason) => {
                        return Err(Unusable::Unreadable {
                            path: shown,
                            reason,
                        });
                    }
                }
            }
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
        Ok(config::load(&sources)?)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: String, reason: io::Error },
    #[error(transparent)]
    Wrong(#[from] Problems),
}

impl Unusable {
    fn mistakes(&self) -> Vec<Mistake> {
        match self {
            Self::Unreadable { path, .. } => vec![Mistake {
                place: file_name(path),
                text: self.to_string(),
            }],
            Self::Wrong(problems) => problems.0.iter().map(mistake).collect(),
        }
    }
}

fn mistake(problem: &Problem) -> Mistake {
    let mut place = file_name(&problem.origin);
    for number in [problem.line, problem.column].into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = write!(place, ":{number}");
    }
    Mistake {
        place,
        text: problem.to_string(),
    }
}

/// The place of a mistake is for everybody to see; the folder is not.
fn file_name(origin: &str) -> String {
    let name = Path::new(origin).file_name();
    name.map_or_else(
        || origin.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

impl Source for ConfigSource {
    fn read(&self) -> Result<Draft, Vec<Mistake>> {
        match self.try_load() {
            Ok(loaded) => Ok(wiring::draft(&loaded)),
            Err(unusable) => Err(unusable.mistakes()),
        }
    }
}
