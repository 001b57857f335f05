//! The one shape of every refusal.

use serde_json::Value;

use super::Reply;

/// Part of every prompt, so of no answer.
pub(crate) const CANARY: &str = "kingfisher";

/// What every refusal has, whoever it is for; gives its message.
#[track_caller]
pub(crate) fn check_refusal(reply: &Reply, status: u16, code: &str, param: Option<&str>) -> String {
    let request_id = reply.header("x-request-id");
    assert!(request_id.is_some_and(|id| !id.is_empty()), "{reply:?}");
    check_bare_refusal(reply, status, code, param)
}

/// The same for what is refused before it is a request.
#[track_caller]
pub(crate) fn check_bare_refusal(
    reply: &Reply,
    status: u16,
    code: &str,
    param: Option<&str>,
) -> String {
    let text = reply.text();
    assert_eq!(reply.status, status, "{text}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(!text.contains(CANARY), "{text}");
    let json = reply.json();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&json), ["error"]);
    let mut fields = keys(&json["error"]);
    fields.sort();
    assert_eq!(fields, ["code", "message", "param", "type"]);
    assert_eq!(json["error"]["code"], code, "{text}");
    assert_eq!(
        json["error"]["param"],
        param.map_or(Value::Null, Value::from),
        "{text}"
    );
    assert!(json["error"]["type"].is_string(), "{text}");
    json["error"]["message"].as_str().unwrap().to_owned()
}
