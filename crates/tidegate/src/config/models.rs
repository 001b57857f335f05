//! Turns `[[models]]` rows into typed models with one budget per chain entry.

use std::collections::BTreeMap;

use super::keys::{Key, Kind, integer, key, required};
use super::layers::Layers;
use super::problems::{Fault, Report};
use super::providers::check_unique;
use super::rows::Row;
use super::typed::{ChainEntry, Limits, Model};
use super::value::{Found, Item, Value};

/// The settings of one `[[models]]` table.
pub const MODEL_KEYS: &[Key] = &[
    required(
        "models.name",
        Kind::Text,
        "\"default\"",
        "What clients ask for; \"*\" at the end stands for any rest of a name not otherwise listed: \"claude-*\", or \"*\" for all.",
    ),
    required(
        "models.chain",
        Kind::Chain,
        "[\"local/llama3.2\", \"local/qwen2.5\"]",
        "Entries, best first; \"provider/*\", under a name with \"*\" only, passes on the name asked for.",
    ),
    key(
        "models.requests_per_minute",
        Kind::Limit,
        "30",
        "For each entry of the chain; entries shared by several models share one budget.",
    ),
    key(
        "models.tokens_per_minute",
        Kind::Limit,
        "120000",
        "Likewise for input and output tokens.",
    ),
    key(
        "models.max_concurrent",
        Kind::Limit,
        "5",
        "Likewise for requests at the same time.",
    ),
    key(
        "models.default_output_tokens",
        integer(1, 10_000_000),
        "1024",
        "Output tokens that are set aside when a request does not limit them.",
    ),
];

/// The keys that make up an entry's budget.
pub(super) const LIMITS: [&str; 3] = ["requests_per_minute", "tokens_per_minute", "max_concurrent"];

/// The model that is the name asked for, and the end of names that stand for many.
const ANY: &str = "*";

/// Builds all models; those with a problem are left out and reported.
pub(super) fn build(layers: &Layers, report: &mut Report) -> Vec<Model> {
    check_unique(&layers.models, report);
    let budgets = Budgets::read(&layers.models, report);
    let providers: Vec<_> = layers
        .providers
        .iter()
        .filter_map(|row| row.text("name"))
        .collect();
    let mut models = Vec::new();
    for row in &layers.models {
        check_chain(row, &providers, report);
        models.extend(model(row, &budgets));
    }
    models
}

fn model(row: &Row, budgets: &Budgets<'_>) -> Option<Model> {
    let entry = |item: &Item| {
        let (provider, model) = split(&item.text)?;
        Some(ChainEntry {
            provider: provider.to_owned(),
            model: (model != ANY).then(|| model.to_owned()),
            limits: budgets.limits(&item.text, row),
        })
    };
    let Some(Value::Integer(default_output_tokens)) = row.value("default_output_tokens") else {
        return None;
    };
    Some(Model {
        name: row.text("name")?.to_owned(),
        chain: entries(row).iter().filter_map(entry).collect(),
        default_output_tokens,
    })
}

fn entries(row: &Row) -> &[Item] {
    match row.written("chain").map(|found| &found.value) {
        Some(Value::Chain(entries)) => entries,
        _ => &[],
    }
}

/// Provider and model of an entry; the model may itself hold a slash.
fn split(entry: &str) -> Option<(&str, &str)> {
    let (provider, model) = entry.split_once('/')?;
    (!provider.is_empty() && !model.trim().is_empty()).then_some((provider, model))
}

fn check_chain(row: &Row, providers: &[&str], report: &mut Report) {
    for (index, item) in entries(row).iter().enumerate() {
        let earlier = &entries(row)[..index];
        let fault = if earlier.contains(item) {
            let twice = Fault::new(format!("\"{}\" is listed twice", item.text));
            Err(twice.help("remove one; retries of one entry are set in [resilience.backoff_ms]"))
        } else {
            check_entry(row, &item.text, providers)
        };
        if let Err(fault) = fault {
            // A provider that has a problem of its own only seems to be unknown.
            let provider = item
                .text
                .split_once('/')
                .map_or("", |(provider, _)| provider);
            if providers.contains(&provider) || !report.concerns("providers") {
                report.add(&item.origin, row.path_of(&format!("chain[{index}]")), fault);
            }
        }
    }
}

fn check_entry(row: &Row, entry: &str, providers: &[&str]) -> Result<(), Fault> {
    let Some((provider, model)) = split(entry) else {
        let fault = Fault::new(format!("expected \"provider/model\", found \"{entry}\""));
        return Err(match providers {
            [only] => fault.help(format!("write \"{only}/{entry}\"")),
            _ => fault.help(format!("start with one of {}", providers.join("/, ") + "/")),
        });
    };
    if !providers.contains(&provider) {
        let fault = Fault::new(format!("there is no provider \"{provider}\""));
        let known = providers.join(", ");
        let guess = super::problems::closest(provider, providers.iter().copied());
        return Err(match guess {
            Some(guess) => fault.did_you_mean(Some(&format!("{guess}/{model}"))),
            None => fault.help(format!("add it as [[providers]], or use one of {known}")),
        });
    }
    if model == ANY && row.text("name").is_some_and(|name| !name.ends_with(ANY)) {
        let fault = Fault::new(format!(
            "\"{entry}\" is only possible under a name that ends in *"
        ));
        return Err(fault.help("name the provider's model"));
    }
    Ok(())
}

/// Limits by entry and key, as written by the first model that names both.
struct Budgets<'a>(BTreeMap<(&'a str, &'static str), &'a Found>);

impl<'a> Budgets<'a> {
    /// Entries shared by several models share one budget, so two models must
    /// not write different limits for the same entry.
    fn read(rows: &'a [Row], report: &mut Report) -> Self {
        let mut budgets = Self(BTreeMap::new());
        for row in rows {
            for key in LIMITS {
                if let Some(found) = row.written(key) {
                    budgets.add(row, key, found, report);
                }
            }
        }
        budgets
    }

    fn add(&mut self, row: &'a Row, key: &'static str, found: &'a Found, report: &mut Report) {
        for entry in entries(row) {
            let first = *self.0.entry((&entry.text, key)).or_insert(found);
            if first.value != found.value {
                let (given, known) = (found.value.shown(), first.value.shown());
                let message = format!(
                    "{given} for \"{}\" contradicts {known} at {}",
                    entry.text, first.origin
                );
                let fault = Fault::new(message).help(
                    "entries shared by several models share one budget: write the same limit, \
                     or write it once",
                );
                row.blame(key, fault, report);
            }
        }
    }

    fn limits(&self, entry: &str, row: &Row) -> Limits {
        let limit = |key: &'static str| {
            let shared = self.0.get(&(entry, key)).map(|found| found.value.clone());
            match shared.or_else(|| row.value(key)) {
                Some(Value::Limit(limit)) => limit,
                _ => unreachable!("{key} is a limit and has a default"),
            }
        };
        let [requests, tokens, concurrent] = LIMITS;
        Limits {
            requests_per_minute: limit(requests),
            tokens_per_minute: limit(tokens),
            max_concurrent: limit(concurrent),
        }
    }
}
