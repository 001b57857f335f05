//! The JSON schemas of packs, for editors; published in `docs`.

use serde_json::{Value, json};

use super::context::Keep;
use super::form::Form;
use super::library::{PromptLayer, PromptSource};
use super::load;
use super::prompt::PromptRole;

fn table(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required,
           "properties": properties})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn full(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "description": description})
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "description": description})
}

fn list(items: Value, most: usize, description: &str) -> Value {
    json!({"type": "array", "items": items, "maxItems": most, "description": description})
}

fn name(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$", "description": description})
}

fn word(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$", "description": description})
}

fn size(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

fn schema_of(title: &str, mut schema: Value) -> Value {
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = title.into();
    schema
}

fn parameter() -> Value {
    let kinds = [
        "string",
        "integer",
        "number",
        "boolean",
        "enum",
        "list",
        "object",
        "json",
        "framework",
    ];
    table(
        &["name", "type", "description"],
        json!({
            "name": word("What templates and callers call it."),
            "type": {"enum": kinds, "description": "What it may be."},
            "description": full("What it is, for people."),
            "required": {"type": "boolean", "default": false,
                         "description": "Whether callers must give it."},
            "default": {"description": "What stands for it where it is not given."},
            "trusted": {"type": "boolean", "default": false,
                        "description": "Whether the application vouches for it, so that it may stand where the guard does not look."},
            "values": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 256,
                       "description": "The words of an enum."},
            "min": {"type": "number", "description": "The smallest number."},
            "max": {"type": "number", "description": "The largest number."},
            "min_length": size("Characters of a string, items of a list or keys of an object, at least."),
            "max_length": size("The same, at most."),
            "section": text("Of a framework: the parameter that names the section whose guidance is wanted."),
        }),
    )
}

fn block() -> Value {
    let forms: Vec<&str> = Form::ALL.iter().map(|form| form.as_str()).collect();
    let keeps: Vec<&str> = Keep::ALL.iter().map(|keep| keep.as_str()).collect();
    table(
        &["name"],
        json!({
            "name": word("What templates call it, behind `context.`."),
            "parameter": text("The parameter that it is made of; the one of its own name unless said."),
            "value": {"type": "integer", "minimum": 0, "maximum": u32::MAX, "default": 0,
                      "description": "What is worth least is cut first."},
            "form": {"enum": forms, "default": "auto",
                     "description": "In which form a list or an object is shown."},
            "keep": {"enum": keeps, "default": "first", "description": "Which part is kept longest."},
            "by": text("A field of the items: those with the largest number are kept longest."),
        }),
    )
}

fn message() -> Value {
    let roles: Vec<&str> = PromptRole::ALL.iter().map(|role| role.as_str()).collect();
    table(
        &["role", "text"],
        json!({
            "role": {"enum": roles, "description": "Who says it."},
            "text": text("A template."),
        }),
    )
}

fn variant() -> Value {
    table(
        &["name", "share", "description"],
        json!({
            "name": name("What metrics call it; not `base`."),
            "share": {"type": "string", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,2})? ?%$",
                      "description": "How much of the traffic it gets, such as `10 %`."},
            "description": text("What is different in it."),
            "role": text("In the place of the prompt's."),
            "instructions": text("In the place of the prompt's."),
            "output_schema": text("In the place of the prompt's."),
            "messages": list(message(), 64, "In the place of the prompt's."),
        }),
    )
}

fn trial() -> Value {
    table(
        &["name"],
        json!({
            "name": text("What it shows."),
            "parameters": {"type": "object", "description": "What the prompt is asked with."},
            "variant": text("The variant; `base` unless said."),
            "budget_tokens": size("Tokens that the messages may have."),
            "contains": texts("Texts of which each must be in some message."),
            "lacks": texts("Texts of which none may be in a message."),
            "messages": list(message(), 64, "Exactly these, white space at the ends aside."),
            "cut": texts("The blocks that are cut, exactly these, in the order of the pack."),
            "fails": text("Words of the error that must come."),
        }),
    )
}

fn prompt() -> Value {
    let head = table(
        &["name", "version", "description", "role", "instructions"],
        json!({
            "name": name("What callers name it by."),
            "version": json!({"type": "string", "pattern": "^[A-Za-z0-9.+-]{1,32}$",
                              "description": "Of its texts."}),
            "description": full("What it is for."),
            "replaces": {"type": "boolean", "default": false,
                         "description": "Whether it takes the place of the prompt of this build that has its name."},
            "role": full("Who the model is; a template."),
            "instructions": full("What it is to do; a template."),
            "output_schema": text("What the answer must be: a JSON Schema, as JSON."),
        }),
    );
    let partial = table(
        &["name", "text"],
        json!({"name": text("What `include` calls it."), "text": text("A template.")}),
    );
    let whole = table(
        &["prompt"],
        json!({
            "prompt": head,
            "parameters": list(parameter(), 64, "What it is asked with."),
            "context": list(block(), 32, "What it shows and could do without."),
            "partials": list(partial, 32, "Parts that messages include."),
            "messages": list(message(), 64, "What is sent, in order."),
            "variants": list(variant(), 16, "Other ways to write it, for a share of the traffic."),
            "tests": list(trial(), 256, "What the pack promises; at least one."),
        }),
    );
    schema_of("A prompt of tidegate", whole)
}

fn framework() -> Value {
    let head = table(
        &["id", "version", "name", "description"],
        json!({
            "id": name("What prompts name it by."),
            "version": full("Of its texts."),
            "name": full("For people."),
            "description": full("What it is for."),
            "replaces": {"type": "boolean", "default": false,
                         "description": "Whether it takes the place of the framework of this build that has its id."},
        }),
    );
    let risk = table(
        &[],
        json!({
            "high": texts("Words and phrases of a high risk."),
            "medium": texts("Words and phrases of a medium risk."),
        }),
    );
    let checkpoint = table(
        &["id", "name", "look_for"],
        json!({
            "id": name("Unique in its framework."),
            "name": text("For people."),
            "look_for": full("What to look for."),
            "keywords": texts("Words and phrases of texts that it concerns."),
        }),
    );
    let section = table(
        &["id", "guidance"],
        json!({
            "id": name("Unique in its framework; `general` holds for what no other fits."),
            "names": texts("What such sections are called."),
            "guidance": full("What to look for in them."),
        }),
    );
    let whole = table(
        &["framework", "checkpoints"],
        json!({
            "framework": head,
            "risk": risk,
            "checkpoints": list(checkpoint, 200, "What is looked at, in order."),
            "sections": list(section, 100, "What is asked of sections of a kind."),
        }),
    );
    schema_of("A framework of tidegate", whole)
}

/// `TIDEGATE_WRITE_SCHEMA=1` writes the files anew.
#[test]
fn the_published_schemas_are_those_of_the_code() {
    for (file, schema) in [
        ("prompt-pack.schema.json", prompt()),
        ("framework.schema.json", framework()),
    ] {
        let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = format!("{schema:#}\n");
        if std::env::var_os("TIDEGATE_WRITE_SCHEMA").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(published == text, "docs/{file} is out of date");
    }
}

fn known_keys(error: &str) -> Vec<&str> {
    let (_, expected) = error.split_once("expected ").expect(error);
    let mut known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    known.sort_unstable();
    known
}

#[track_caller]
fn check(error: &str, place: &str, schema: &Value) {
    let mut said: Vec<&str> = schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    said.sort_unstable();
    assert_eq!(said, known_keys(error), "{place}");
}

/// The keys that the parser names when one is unknown are those of the schema.
#[test]
fn the_schemas_have_the_keys_that_the_parser_knows() {
    let source = |text| PromptSource {
        layer: PromptLayer::Custom,
        name: "probe",
        text,
    };
    let (schema, frameworks) = (prompt(), framework());
    for (text, pointer) in [
        ("colour = 1", ""),
        ("[prompt]\ncolour = 1", "/properties/prompt"),
        ("[[parameters]]\ncolour = 1", "/properties/parameters/items"),
        ("[[context]]\ncolour = 1", "/properties/context/items"),
        ("[[partials]]\ncolour = 1", "/properties/partials/items"),
        ("[[messages]]\ncolour = 1", "/properties/messages/items"),
        ("[[variants]]\ncolour = 1", "/properties/variants/items"),
        ("[[tests]]\ncolour = 1", "/properties/tests/items"),
    ] {
        let error = load::prompt(&source(text)).err().unwrap().to_string();
        check(&error, text, schema.pointer(pointer).unwrap());
    }
    for (text, pointer) in [
        ("colour = 1", ""),
        ("[framework]\ncolour = 1", "/properties/framework"),
        ("[risk]\ncolour = 1", "/properties/risk"),
        (
            "[[checkpoints]]\ncolour = 1",
            "/properties/checkpoints/items",
        ),
        ("[[sections]]\ncolour = 1", "/properties/sections/items"),
    ] {
        let error = load::framework(&source(text)).err().unwrap().to_string();
        check(&error, text, frameworks.pointer(pointer).unwrap());
    }
}
