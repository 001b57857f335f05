//! Providers and models for those who configured none.

use super::Sources;
use super::layers::Layers;
use super::models::MODEL_KEYS;
use super::node::Origin;
use super::problems::{Fault, Report};
use super::providers::PROVIDER_KEYS;
use super::rows::Row;
use super::value::{Item, Value};

const KEY_VARIABLE: &str = "OPENAI_API_KEY";
const URL_VARIABLE: &str = "OPENAI_BASE_URL";
const OPENAI_URL: &str = "https://api.openai.com/v1";

/// Adds what is missing, so that tidegate starts without any configuration.
pub(super) fn complete(layers: &mut Layers, sources: &Sources<'_>, report: &mut Report) {
    let set = |name: &str| (sources.env)(name).filter(|text| !text.trim().is_empty());
    let (key, url) = (set(KEY_VARIABLE), set(URL_VARIABLE));
    let wants_models = layers.models.is_empty() && !report.concerns("models");
    if layers.providers.is_empty() && !report.concerns("providers") {
        if key.is_none() && url.is_none() {
            layers.providers = vec![built_in_provider()];
            if wants_models {
                layers.models = vec![built_in_model(0, "extractive"), built_in_model(1, "*")];
            }
            return;
        }
        let key_origin = key.map(|_| Origin::Env(KEY_VARIABLE.to_owned()));
        layers.providers = vec![openai(key_origin, url, report)];
    }
    if wants_models {
        pass_through(layers, report);
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
        layers.models = vec![model(0, "*", &format!("{name}/*"))];
    }
}

fn openai(key: Option<Origin>, url: Option<String>, report: &mut Report) -> Row {
    let cause = key
        .clone()
        .unwrap_or_else(|| Origin::Env(URL_VARIABLE.to_owned()));
    let mut row = Row::new("providers", 0, cause.clone(), PROVIDER_KEYS);
    row.set("name", Value::Text("openai".to_owned()), cause.clone());
    row.set("kind", Value::Text("openai".to_owned()), cause);
    if let Some(origin) = key {
        row.set(
            "api_key",
            Value::Secret(format!("env:{KEY_VARIABLE}")),
            origin,
        );
    }
    let origin = match url {
        Some(_) => Origin::Env(URL_VARIABLE.to_owned()),
        None => Origin::Default,
    };
    let key = super::keys::find("providers.base_url").expect("the table has this key");
    match key.check_text(url.as_deref().unwrap_or(OPENAI_URL)) {
        Ok(value) => row.set("base_url", value, origin),
        Err(fault) => report.add(&origin, row.path_of("base_url"), fault),
    }
    row
}

fn built_in_provider() -> Row {
    let mut row = Row::new("providers", 0, Origin::Default, PROVIDER_KEYS);
    row.set("name", Value::Text("builtin".to_owned()), Origin::Default);
    row.set(
        "kind",
        Value::Text("extractive".to_owned()),
        Origin::Default,
    );
    row
}

/// The built-in model costs nothing, so nothing needs to be held back.
fn built_in_model(index: usize, name: &str) -> Row {
    let mut row = model(index, name, "builtin/extractive");
    for limit in super::models::LIMITS {
        row.set(limit, Value::Limit(None), Origin::Default);
    }
    row
}

fn model(index: usize, name: &str, entry: &str) -> Row {
    let mut row = Row::new("models", index, Origin::Default, MODEL_KEYS);
    row.set("name", Value::Text(name.to_owned()), Origin::Default);
    let entry = Item {
        text: entry.to_owned(),
        origin: Origin::Default,
    };
    row.set("chain", Value::Chain(vec![entry]), Origin::Default);
    row
}
