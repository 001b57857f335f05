//! The schema of packs that docs/ publishes, held equal to the code.

use serde_json::{Value, json};

use super::{MAX_EXPRESSION_BYTES, MAX_PATTERNS, MAX_WITHIN};
use crate::checksum::Check;
use crate::verdict::{Direction, Severity};

fn texts(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": description})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn table(required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn expression(description: &str) -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_EXPRESSION_BYTES,
        "description": description,
    })
}

fn rule() -> Value {
    let examples = table(
        &["must", "must_not"],
        json!({
            "must": {"type": "array", "items": {"type": "string"}, "minItems": 1,
                     "description": "Texts that the rule finds."},
            "must_not": {"type": "array", "items": {"type": "string"}, "minItems": 1,
                         "description": "Texts that it leaves alone."},
        }),
    );
    let near = table(
        &["requires", "within"],
        json!({
            "requires": texts("Names of the pack's shared patterns, each of which must stand near a match."),
            "within": {"type": "integer", "minimum": 1, "maximum": MAX_WITHIN,
                       "description": "At most this many code points away."},
        }),
    );
    let severities = Severity::ALL.iter().filter(|one| **one != Severity::None);
    let severities: Vec<&str> = severities.map(|one| one.as_str()).collect();
    let directions: Vec<&str> = Direction::ALL.iter().map(|one| one.as_str()).collect();
    let checks: Vec<&str> = Check::ALL.iter().map(|one| one.as_str()).collect();
    table(
        &[
            "id",
            "family",
            "severity",
            "confidence",
            "message",
            "remediation",
            "patterns",
            "examples",
        ],
        json!({
            "id": {"type": "string", "pattern": "^[a-z0-9_]+\\.[a-z0-9_]+$",
                   "description": "The family, a dot and a name; unique among all packs."},
            "family": {"type": "string", "pattern": "^[a-z0-9_]+$",
                       "description": "The kind of threat."},
            "severity": {"enum": severities, "description": "How bad a match is."},
            "confidence": {"type": "number", "exclusiveMinimum": 0, "maximum": 1,
                           "description": "How sure a match of the best quality is."},
            "message": text("What was found, in words."),
            "remediation": text("What to do about it."),
            "directions": {"type": "array", "items": {"enum": directions}, "minItems": 1,
                           "default": ["prompt", "retrieved", "tool_result"],
                           "description": "Where in the traffic the rule applies."},
            "patterns": {"type": "array",
                         "items": expression("A regular expression of linear time."),
                         "minItems": 1, "maxItems": MAX_PATTERNS,
                         "description": "One of them is enough."},
            "validate": {"enum": checks, "default": "none",
                         "description": "What a match must pass besides."},
            "near": near,
            "references": texts("Catalogues of threats that describe this one."),
            "examples": examples,
        }),
    )
}

fn schema() -> Value {
    let head = table(
        &["id", "version", "name"],
        json!({
            "id": text("What the pack is called in files."),
            "version": text("The version of its rules."),
            "name": text("What it is called for people."),
            "replaces": texts("Rules of earlier layers whose place those of the same id here take."),
            "disable": texts("Rules of earlier layers that are turned off."),
        }),
    );
    let pattern = table(
        &["name", "expression"],
        json!({
            "name": text("What `near.requires` calls it."),
            "expression": expression("A regular expression of linear time."),
        }),
    );
    let mut schema = table(
        &["pack"],
        json!({
            "pack": head,
            "patterns": {"type": "array", "items": pattern,
                         "description": "Shared patterns, for `near`."},
            "rules": {"type": "array", "items": rule()},
        }),
    );
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "A rule pack of tidegate's guard".into();
    schema
}

const PUBLISHED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/rule-pack.schema.json"
);

/// `TIDEGATE_WRITE_SCHEMA=1` writes the file anew.
#[test]
fn the_published_schema_is_that_of_the_code() {
    let text = format!("{:#}\n", schema());
    if std::env::var_os("TIDEGATE_WRITE_SCHEMA").is_some() {
        std::fs::write(PUBLISHED, &text).unwrap();
    }
    let published = std::fs::read_to_string(PUBLISHED).unwrap();
    assert_eq!(published, text, "docs/rule-pack.schema.json is out of date");
}

/// The keys that the parser names when one is unknown are those of the schema.
#[test]
fn the_schema_has_the_keys_that_the_parser_knows() {
    let schema = schema();
    let rules = &schema["properties"]["rules"]["items"]["properties"];
    let places = [
        ("colour = 1", &schema["properties"]),
        (
            "[pack]\ncolour = 1",
            &schema["properties"]["pack"]["properties"],
        ),
        (
            "[[patterns]]\ncolour = 1",
            &schema["properties"]["patterns"]["items"]["properties"],
        ),
        ("[[rules]]\ncolour = 1", rules),
        ("[[rules]]\nnear.colour = 1", &rules["near"]["properties"]),
        (
            "[[rules]]\nexamples.colour = 1",
            &rules["examples"]["properties"],
        ),
    ];
    for (toml, properties) in places {
        let error = super::parse("probe", toml).unwrap_err().to_string();
        let (_, expected) = error.split_once("expected ").expect(&error);
        let mut known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let mut said: Vec<&str> = properties
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        known.sort_unstable();
        said.sort_unstable();
        assert_eq!(said, known, "{toml}");
    }
}
