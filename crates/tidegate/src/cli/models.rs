//! `tidegate models ls`.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{ConfigSource, Exit};
use crate::config::{ChainEntry, Model};

/// Arguments of `models`.
#[derive(Debug, Args)]
pub(super) struct ModelsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List model names with their chains and limits
    Ls {
        #[command(flatten)]
        source: ConfigSource,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &ModelsArgs) -> Exit {
    let Verb::Ls { source, json } = &args.verb;
    let models = match source.load() {
        Ok(loaded) => loaded.config.models,
        Err(exit) => return exit,
    };
    let mut out = std::io::stdout().lock();
    for model in &models {
        let lines = if *json {
            json_line(model)
        } else {
            text_lines(model)
        };
        // A closed pipe ends the listing.
        if writeln!(out, "{lines}").is_err() {
            break;
        }
    }
    Exit::Clean
}

fn entry_name(entry: &ChainEntry) -> String {
    format!(
        "{}/{}",
        entry.provider,
        entry.model.as_deref().unwrap_or("*")
    )
}

fn json_line(model: &Model) -> String {
    let chain = model.chain.iter().map(|entry| {
        json!({
            "entry": entry_name(entry),
            "requests_per_minute": entry.limits.requests_per_minute,
            "tokens_per_minute": entry.limits.tokens_per_minute,
            "max_concurrent": entry.limits.max_concurrent,
        })
    });
    json!({"name": model.name, "chain": serde_json::Value::from_iter(chain)}).to_string()
}

fn text_lines(model: &Model) -> String {
    let limit =
        |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let mut text = model.name.clone();
    for (position, entry) in model.chain.iter().enumerate() {
        text.push_str(&format!(
            "\n  {}. {}  requests/min {}, tokens/min {}, at once {}",
            position + 1,
            entry_name(entry),
            limit(entry.limits.requests_per_minute),
            limit(entry.limits.tokens_per_minute),
            limit(entry.limits.max_concurrent),
        ));
    }
    text
}
