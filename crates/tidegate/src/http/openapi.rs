//! `/openapi.json`: the table of routes as an OpenAPI 3.1 document.

use axum::Json;
use serde_json::{Map, Value, json};
use tidegate_engine::TaskState;

use super::routes::{Reply, Route, routes};
use super::visit::Access;

/// The shapes of requests and answers, by name.
const SCHEMAS: &str = include_str!("schemas.json");

/// The description of the HTTP surface.
pub fn openapi_json() -> Value {
    let mut paths = Map::new();
    for route in routes() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(&route);
    }
    let schemas: Value =
        serde_json::from_str(SCHEMAS).expect("the embedded schemas are valid JSON");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    })
}

/// Serves the description.
pub(super) async fn serve() -> Json<Value> {
    Json(openapi_json())
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "security": security(route.access),
        "x-tidegate-access": route.access.as_str(),
        "responses": {
            "200": {"description": "The answer", "content": content(route.response)},
            "default": {"description": "An error", "content": json_content("Error")},
        },
    });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(accepted) = accepted(route) {
        operation["responses"]["202"] =
            json!({"description": "It is still to be done", "content": json_content(accepted)});
    }
    if let Some(schema) = route.request {
        operation["requestBody"] = json!({"required": true, "content": json_content(schema)});
    }
    operation
}

/// What is answered while something is still to be done.
fn accepted(route: &Route) -> Option<&'static str> {
    match (route.method, route.response) {
        ("post" | "delete", Reply::Json(schema @ ("Task" | "TaskSubmitted"))) => Some(schema),
        _ => None,
    }
}

/// What a path, and in lists a query, is made of.
fn parameters(route: &Route) -> Vec<Value> {
    let place = |name: &&'static str| route.path.contains(&format!("{{{name}}}"));
    let of_path = ["name", "id"].into_iter().filter(place);
    let mut parameters: Vec<Value> = of_path
        .map(|name| {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
        })
        .collect();
    if route.response == Reply::Json("SessionList") {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20});
        let of_query = [
            ("user_id", true, json!({"type": "string"})),
            ("after", false, json!({"type": "string"})),
            ("limit", false, limit),
        ];
        parameters.extend(of_query.map(|(name, required, schema)| {
            json!({"name": name, "in": "query", "required": required, "schema": schema})
        }));
    }
    if route.response == Reply::Json("TaskList") {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 50});
        let text = || json!({"type": "string"});
        let of_query = [
            (
                "state",
                json!({"enum": TaskState::ALL.map(TaskState::as_str)}),
            ),
            ("kind", text()),
            ("tag", text()),
            ("next", text()),
            ("limit", limit),
        ];
        parameters.extend(of_query.map(|(name, schema)| {
            json!({"name": name, "in": "query", "required": false, "schema": schema})
        }));
    }
    parameters
}

/// Holds where `[[keys]]` are configured; without any, nothing is asked for.
fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Tenant | Access::Admin => json!([{"bearer": []}, {"apiKey": []}]),
    }
}

fn operation_id(route: &Route) -> String {
    let words = route
        .path
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", route.method, words.join("_"))
}

fn content(reply: Reply) -> Value {
    match reply {
        Reply::Json(schema) => json_content(schema),
        Reply::JsonOrEvents(schema) => {
            let mut both = json_content(schema);
            both["text/event-stream"] = json!({"schema": {"type": "string"}});
            both
        }
        Reply::Text(media) => json!({ media: {"schema": {}} }),
    }
}

fn json_content(schema: &str) -> Value {
    json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_that_a_route_names_is_there_and_none_is_left_over() {
        let document = openapi_json();
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in schemas.keys() {
            assert!(
                text.contains(&format!("\"#/components/schemas/{name}\"")),
                "{name} is unused"
            );
        }
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is missing");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let mut ids: Vec<String> = routes().iter().map(operation_id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
