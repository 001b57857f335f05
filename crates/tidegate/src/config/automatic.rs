//! Providers and models for those who configured none.

use super::Sources;
use super::layers::Layers;
use super::models::{LIMITS, MODEL_KEYS};
use super::node::Origin;
use super::problems::{Fault, Report};
use super::providers::PROVIDER_KEYS;
use super::rows::Row;
use super::value::{Item, Value};

const OPENAI_KEY: &str = "OPENAI_API_KEY";
const OPENAI_URL: &str = "OPENAI_BASE_URL";
const OPENAI_HOME: &str = "https://api.openai.com/v1";
const ANTHROPIC_KEY: &str = "ANTHROPIC_API_KEY";
const BEDROCK_MODEL: &str = "BEDROCK_MODEL_ID";
const BEDROCK_FALLBACKS: &str = "BEDROCK_FALLBACK_MODELS";

/// Adds what is missing, so that tidegate starts without any configuration.
pub(super) fn complete(layers: &mut Layers, sources: &Sources<'_>, report: &mut Report) {
    let wants_models = layers.models.is_empty() && !report.concerns("models");
    if !layers.providers.is_empty() || report.concerns("providers") {
        if wants_models {
            pass_through(layers, report);
        }
        return;
    }
    let found = Found::read(sources);
    layers.providers = found.providers(report);
    if wants_models {
        layers.models = found.models();
    }
}

/// With one provider, every name is passed on to it; with several, guessing
/// would send prompts to a place that nobody chose.
fn pass_through(layers: &mut Layers, report: &mut Report) {
    let [provider] = layers.providers.as_slice() else {
        if let Some(first) = layers.providers.first() {
            let fault = Fault::new("missing; there are several providers");
            let help = "add [[models]] that say which provider serves which model";
            report.add(&first.origin, "models", fault.help(help));
        }
        return;
    };
    if let Some(name) = provider.text("name") {
        layers.models = numbered([("*", vec![format!("{name}/*")])]);
    }
}

/// What the environment offers.
struct Found {
    openai_key: Option<String>,
    openai_url: Option<String>,
    anthropic_key: Option<String>,
    bedrock_models: Vec<String>,
}

impl Found {
    fn read(sources: &Sources<'_>) -> Self {
        let set = |name: &str| (sources.env)(name).filter(|text| !text.trim().is_empty());
        let listed = |text: String| {
            let ids = text.split(',').map(|id| id.trim().to_owned());
            ids.filter(|id| !id.is_empty()).collect::<Vec<_>>()
        };
        let mut bedrock_models: Vec<String> = set(BEDROCK_MODEL)
            .map(|id| id.trim().to_owned())
            .into_iter()
            .collect();
        // Fallbacks of nothing are none.
        if !bedrock_models.is_empty() {
            let fallbacks = set(BEDROCK_FALLBACKS).map(listed).unwrap_or_default();
            for id in fallbacks {
                if !bedrock_models.contains(&id) {
                    bedrock_models.push(id);
                }
            }
        }
        Self {
            openai_key: set(OPENAI_KEY),
            openai_url: set(OPENAI_URL),
            anthropic_key: set(ANTHROPIC_KEY),
            bedrock_models,
        }
    }

    fn has_openai(&self) -> bool {
        self.openai_key.is_some() || self.openai_url.is_some()
    }

    fn providers(&self, report: &mut Report) -> Vec<Row> {
        let mut rows = Vec::new();
        if self.has_openai() {
            rows.push(self.openai(report));
        }
        if self.anthropic_key.is_some() {
            let mut row = provider(rows.len(), "anthropic", ANTHROPIC_KEY);
            set_key(&mut row, ANTHROPIC_KEY);
            rows.push(row);
        }
        if !self.bedrock_models.is_empty() {
            rows.push(provider(rows.len(), "bedrock", BEDROCK_MODEL));
        }
        if rows.is_empty() {
            rows.push(built_in_provider());
        }
        rows
    }

    fn openai(&self, report: &mut Report) -> Row {
        let cause = match self.openai_key {
            Some(_) => OPENAI_KEY,
            None => OPENAI_URL,
        };
        let mut row = provider(0, "openai", cause);
        if self.openai_key.is_some() {
            set_key(&mut row, OPENAI_KEY);
        }
        let origin = match self.openai_url {
            Some(_) => Origin::Env(OPENAI_URL.to_owned()),
            None => Origin::Default,
        };
        let key = super::sections::find("providers.base_url").expect("the table has this key");
        match key.check_text(self.openai_url.as_deref().unwrap_or(OPENAI_HOME)) {
            Ok(value) => row.set("base_url", value, origin),
            Err(fault) => report.add(&origin, row.path_of("base_url"), fault),
        }
        row
    }

    /// Each provider gets the names that are its own; every other name goes to
    /// the first of them.
    fn models(&self) -> Vec<Row> {
        let bedrock = || {
            let ids = self.bedrock_models.iter();
            ids.map(|id| format!("bedrock/{id}")).collect::<Vec<_>>()
        };
        let mut chains: Vec<(&str, Vec<String>)> = Vec::new();
        if let Some(id) = self.bedrock_models.first() {
            chains.push((id, bedrock()));
        }
        let anthropic = || vec!["anthropic/*".to_owned()];
        if self.anthropic_key.is_some() {
            chains.push(("claude-*", anthropic()));
        }
        if self.has_openai() {
            chains.push(("*", vec!["openai/*".to_owned()]));
        } else if self.anthropic_key.is_some() {
            chains.push(("*", anthropic()));
        } else if !self.bedrock_models.is_empty() {
            chains.push(("*", bedrock()));
        } else {
            return built_in_models();
        }
        numbered(chains)
    }
}

/// A provider of this kind, under the kind's name, because of `variable`.
fn provider(index: usize, kind: &str, variable: &str) -> Row {
    let cause = Origin::Env(variable.to_owned());
    let mut row = Row::new("providers", index, cause.clone(), PROVIDER_KEYS);
    row.set("name", Value::Text(kind.to_owned()), cause.clone());
    row.set("kind", Value::Text(kind.to_owned()), cause);
    row
}

fn set_key(row: &mut Row, variable: &str) {
    let secret = Value::Secret(format!("env:{variable}"));
    row.set("api_key", secret, Origin::Env(variable.to_owned()));
}

fn built_in_provider() -> Row {
    let mut row = Row::new("providers", 0, Origin::Default, PROVIDER_KEYS);
    row.set("name", Value::Text("builtin".to_owned()), Origin::Default);
    let kind = Value::Text("extractive".to_owned());
    row.set("kind", kind, Origin::Default);
    row
}

/// The built-in model costs nothing, so nothing needs to be held back.
fn built_in_models() -> Vec<Row> {
    let entry = || vec!["builtin/extractive".to_owned()];
    let mut rows = numbered([("extractive", entry()), ("*", entry())]);
    for row in &mut rows {
        for limit in LIMITS {
            row.set(limit, Value::Limit(None), Origin::Default);
        }
    }
    rows
}

fn numbered<'n>(chains: impl IntoIterator<Item = (&'n str, Vec<String>)>) -> Vec<Row> {
    let chains = chains.into_iter().enumerate();
    chains
        .map(|(index, (name, entries))| model(index, name, entries))
        .collect()
}

fn model(index: usize, name: &str, entries: Vec<String>) -> Row {
    let mut row = Row::new("models", index, Origin::Default, MODEL_KEYS);
    row.set("name", Value::Text(name.to_owned()), Origin::Default);
    let items = entries.into_iter().map(|text| Item {
        text,
        origin: Origin::Default,
    });
    row.set("chain", Value::Chain(items.collect()), Origin::Default);
    row
}
