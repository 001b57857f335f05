//! Whether JSON has the shape that the description of the surface promises:
//! the part of JSON Schema that the description uses.

use serde_json::Value;

/// Every way in which `value` differs from `schema`; `document` holds what the
/// schema refers to.
pub(crate) fn differences(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let look = Look { document };
    look.at(schema, value, "$", &mut found);
    found
}

struct Look<'a> {
    document: &'a Value,
}

impl Look<'_> {
    fn at(&self, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(reference.trim_start_matches('#'));
            let target = target.unwrap_or_else(|| panic!("{reference} leads nowhere"));
            return self.at(target, value, place, found);
        }
        if !is_of_type(&schema["type"], value) {
            found.push(format!("{place} is {value}, not {}", schema["type"]));
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            found.push(format!("{place} is {value}, none of {allowed:?}"));
        }
        if schema.get("const").is_some_and(|only| only != value) {
            found.push(format!("{place} is {value}, not {}", schema["const"]));
        }
        self.fields(schema, value, place, found);
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if schema.get("items").is_some() {
                self.at(&schema["items"], item, &format!("{place}[{index}]"), found);
            }
        }
    }

    fn fields(&self, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            return;
        };
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                found.push(format!("{place} has no {name}"));
            }
        }
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        for (name, value) in object {
            let inner = format!("{place}.{name}");
            match properties.get(name) {
                Some(schema) => self.at(schema, value, &inner, found),
                None if schema["additionalProperties"] == true => {}
                None => found.push(format!("{inner} is not described")),
            }
        }
    }
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::String(word) => match word.as_str() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "null" => value.is_null(),
            _ => panic!("the type {word} is not known"),
        },
        Value::Array(words) => words.iter().any(|word| is_of_type(word, value)),
        _ => true,
    }
}
