//! The JSON Schema of the configuration file.

use serde_json::{Map, Value, json};

use super::keys::{DATABASE_OF_URL, Fallback, Key, Kind, MAX_LIMIT, MEASURED, NEVER};
use super::kinds::{CANDIDATES, MODELS, UNLIMITED};
use super::sections::{ARRAY_TABLES, KEYS, SECTIONS};

/// The schema of `tidegate.toml`, JSON Schema draft 2020-12.
pub fn schema_json() -> Value {
    let mut properties = Map::new();
    for (section, doc) in SECTIONS
        .iter()
        .filter(|(section, _)| !section.contains('.'))
    {
        properties.insert((*section).to_owned(), section_schema(section, doc));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tidegate.toml",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn section_schema(section: &str, doc: &str) -> Value {
    let rows = ARRAY_TABLES.iter().find(|(name, _)| *name == section);
    let mut schema = match rows {
        Some((_, keys)) => json!({ "type": "array", "items": table(section, keys) }),
        None => table(section, KEYS),
    };
    schema["description"] = Value::from(doc.replace('\n', " "));
    schema
}

fn table(section: &str, keys: &[Key]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys.iter().filter(|key| key.section() == section) {
        properties.insert(key.name().to_owned(), key_schema(key));
        if matches!(key.default, Fallback::Required(_)) {
            required.push(key.name());
        }
    }
    for (path, doc) in SECTIONS {
        if let Some((parent, name)) = path.rsplit_once('.')
            && parent == section
        {
            properties.insert(name.to_owned(), section_schema(path, doc));
        }
    }
    let mut schema =
        json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn key_schema(key: &Key) -> Value {
    let mut schema = kind_schema(&key.kind);
    schema["description"] = key.doc.into();
    if let Fallback::Value(text) = key.default {
        // Numbers and booleans read the same in JSON; everything else is text.
        let is_text = matches!(key.kind, Kind::Address | Kind::Word { .. });
        let parsed = if is_text {
            None
        } else {
            serde_json::from_str(text).ok()
        };
        schema["default"] = parsed.unwrap_or_else(|| text.into());
    }
    schema
}

/// A word, or what is a path.
fn folder_or(words: &[&str]) -> Value {
    json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": r"[/\\.]" }] })
}

fn kind_schema(kind: &Kind) -> Value {
    match kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Threshold => json!({
            "anyOf": [
                { "type": "number", "minimum": 0, "maximum": 1 },
                { "enum": [MEASURED, NEVER] },
            ],
        }),
        Kind::Model => folder_or(MODELS),
        Kind::Candidate => folder_or(CANDIDATES),
        Kind::Share { min } => json!({ "type": "number", "minimum": min, "maximum": 1 }),
        Kind::Address => json!({ "type": "string", "pattern": ":[0-9]+$" }),
        Kind::Word { allowed, .. } => json!({ "enum": allowed }),
        Kind::Name => json!({ "type": "string", "pattern": "^[a-z0-9_-]+$" }),
        Kind::Text | Kind::Policy => json!({ "type": "string", "minLength": 1 }),
        Kind::Url => json!({ "type": "string", "pattern": "^https?://" }),
        Kind::Secret => json!({ "type": "string", "pattern": "^(env:[A-Za-z_]|file:.)" }),
        Kind::Headers => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Kind::Chain => json!({
            "type": "array",
            "minItems": 1,
            "uniqueItems": true,
            "items": { "type": "string", "pattern": "^[^/]+/." },
        }),
        Kind::Names => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])$" },
        }),
        Kind::Files => json!({
            "type": "array",
            "items": { "type": "string", "minLength": 1 },
        }),
        Kind::Store => json!({
            "type": "string",
            "pattern": "^(memory:$|sqlite:.|rediss?(\\+(sentinel|cluster))?://.|env:[A-Za-z_]|file:.)",
        }),
        Kind::Database => json!({
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": u16::MAX },
                { "const": DATABASE_OF_URL },
            ],
        }),
        Kind::Time => json!({
            "type": "string",
            "format": "date-time",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        }),
        Kind::Limit => json!({
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": MAX_LIMIT },
                { "const": UNLIMITED },
            ],
        }),
    }
}
