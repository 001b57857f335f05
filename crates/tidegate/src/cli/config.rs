//! `tidegate config check | show | schema | init`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidegate_engine::{SecondConfig, StageSource, check_model};

use super::{ConfigSource, Exit};
use crate::config;

/// Arguments of `config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List every problem with line, column and a suggestion
    Check(ConfigSource),
    /// Print the settings in force, secrets hidden
    Show {
        #[command(flatten)]
        source: ConfigSource,
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the configuration file
    Schema,
    /// Print a reference of all settings as Markdown
    Reference,
    /// Write a complete, commented configuration file
    Init {
        /// Where to
        #[arg(default_value = "tidegate.toml")]
        path: PathBuf,
        /// Print it instead
        #[arg(long)]
        stdout: bool,
    },
}

pub(super) fn run(args: &ConfigArgs) -> Exit {
    match &args.verb {
        Verb::Check(source) => check(source),
        Verb::Show {
            source,
            origin,
            json,
        } => match source.load() {
            Ok(loaded) if *json => show_json(&loaded.origins),
            Ok(loaded) if *origin => show_with_origin(&loaded.origins),
            Ok(loaded) => show(&loaded.origins),
            Err(exit) => exit,
        },
        Verb::Schema => print(&format!("{:#}", config::schema_json())),
        Verb::Reference => print(&config::reference_markdown()),
        Verb::Init { stdout: true, .. } => print(&config::default_toml()),
        Verb::Init {
            path,
            stdout: false,
        } => init(path),
    }
}

/// The models of one's own, and the keys that name them.
fn models(guard: &config::Guard) -> impl Iterator<Item = (&'static str, &SecondConfig)> {
    let candidate = guard.rollout.model.as_ref();
    let candidate = candidate.and_then(|model| model.second.as_ref());
    let named = [
        ("guard.model", guard.second.as_ref()),
        ("guard.rollout.model", candidate),
    ];
    let there = named.into_iter();
    there.filter_map(|(key, second)| second.map(|second| (key, second)))
}

fn check(source: &ConfigSource) -> Exit {
    match source.load() {
        Ok(loaded) => {
            for (key, second) in models(&loaded.config.guard) {
                if let StageSource::Folder(folder) = &second.stage
                    && let Err(error) = check_model(folder)
                {
                    eprintln!("error: {key}: {error}");
                    return Exit::Usage;
                }
            }
            let file = source
                .file()
                .map_or("no file".to_owned(), |path| path.display().to_string());
            eprintln!("the configuration is valid ({file})");
            Exit::Clean
        }
        Err(exit) => exit,
    }
}

fn show(settings: &[config::Setting]) -> Exit {
    let lines = settings
        .iter()
        .map(|setting| format!("{} = {}", setting.path, setting.value));
    print(&lines.collect::<Vec<_>>().join("\n"))
}

fn show_with_origin(settings: &[config::Setting]) -> Exit {
    let lines = settings
        .iter()
        .map(|setting| format!("{} = {}  # {}", setting.path, setting.value, setting.origin));
    print(&lines.collect::<Vec<_>>().join("\n"))
}

fn show_json(settings: &[config::Setting]) -> Exit {
    let rows = settings.iter().map(|setting| {
        serde_json::json!({"path": setting.path, "value": setting.value, "origin": setting.origin})
    });
    print(&format!("{:#}", serde_json::Value::from_iter(rows)))
}

fn init(path: &PathBuf) -> Exit {
    // Never over a file that somebody wrote.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path);
    match file.and_then(|mut file| file.write_all(config::default_toml().as_bytes())) {
        Ok(()) => {
            eprintln!("wrote {}", path.display());
            Exit::Clean
        }
        Err(error) => {
            eprintln!("error: {} cannot be written: {error}", path.display());
            Exit::Usage
        }
    }
}

/// Results go to standard output; a closed pipe ends the program quietly.
fn print(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    Exit::Clean
}
