//! What a client says of a session, read and checked.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tidegate_engine::{Change, Dialect, Message, NewMessage, RawObject, SessionPatch};

use crate::http::error::ApiError;
use crate::http::query::pairs;

const FIELDS: &str = "user_id, messages, preferences and data";

/// The body of a change; every field may be absent.
pub(super) fn patch(body: &Bytes) -> Result<SessionPatch, ApiError> {
    let raw = RawObject::parse(body);
    let raw = raw.map_err(|error| {
        let message = format!("the body is not usable: {error}");
        ApiError::invalid("invalid_json", message)
    })?;
    let mut patch = SessionPatch::default();
    for (key, value) in raw.iter() {
        match key {
            "user_id" => patch.user_id = changed(key, value, "a string or null")?,
            "preferences" => patch.preferences = changed(key, value, "an object or null")?,
            "data" => patch.data = changed(key, value, "an object or null")?,
            "messages" => patch.messages = messages(value)?,
            unknown => {
                let message = format!("{unknown} cannot be set; {FIELDS} can");
                return Err(ApiError::invalid("unknown_parameter", message).about(unknown));
            }
        }
    }
    Ok(patch)
}

fn changed<T: serde::de::DeserializeOwned>(
    param: &str,
    value: &Bytes,
    expected: &str,
) -> Result<Change<T>, ApiError> {
    let value: Option<T> = serde_json::from_slice(value).map_err(|_| wrong(param, expected))?;
    Ok(value.map_or(Change::Clear, Change::To))
}

fn messages(list: &Bytes) -> Result<Vec<NewMessage>, ApiError> {
    let list: Result<Vec<&RawValue>, _> = serde_json::from_slice(list);
    let list = list.map_err(|_| wrong("messages", "a list of objects"))?;
    let all = list.into_iter().enumerate();
    all.map(|(at, raw)| message(at, raw)).collect()
}

fn message(at: usize, raw: &RawValue) -> Result<NewMessage, ApiError> {
    let param = |field: &str| format!("messages[{at}]{field}");
    let body = Bytes::copy_from_slice(raw.get().as_bytes());
    let said = RawObject::parse(&body);
    let mut said = said.map_err(|_| wrong(&param(""), "an object in which no key stands twice"))?;
    let metadata = match said.remove("metadata") {
        Some(metadata) => {
            object(&metadata).ok_or_else(|| wrong(&param(".metadata"), "an object or null"))?
        }
        None => Map::new(),
    };
    let dialect = match said.remove("dialect") {
        None => Dialect::Chat,
        Some(word) if word == "\"chat\"" => Dialect::Chat,
        Some(word) if word == "\"messages\"" => Dialect::Messages,
        Some(_) => return Err(wrong(&param(".dialect"), "\"chat\" or \"messages\"")),
    };
    if said.get("at").is_some() {
        return Err(wrong(&param(".at"), "absent: it is when the message came"));
    }
    Ok(NewMessage {
        said: Message {
            dialect,
            json: said.to_json_with(&[]),
        },
        metadata,
    })
}

fn object(raw: &[u8]) -> Option<Map<String, Value>> {
    let object: Option<Map<String, Value>> = serde_json::from_slice(raw).ok()?;
    Some(object.unwrap_or_default())
}

fn wrong(param: &str, expected: &str) -> ApiError {
    let message = format!("{param} must be {expected}");
    ApiError::invalid("invalid_parameter", message).about(param)
}

/// What is asked of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListQuery {
    pub(super) user_id: String,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

const USUAL: usize = 20;
const MOST: usize = 100;

impl ListQuery {
    pub(super) fn of(query: &str) -> Result<Self, ApiError> {
        let (mut user_id, mut after, mut limit) = (None, None, USUAL);
        for (key, value) in pairs(query)? {
            match key {
                "user_id" => user_id = Some(value),
                "after" => after = Some(value),
                "limit" => {
                    let number = value.parse().ok();
                    let number = number.filter(|number| (1..=MOST).contains(number));
                    limit = number.ok_or_else(|| wrong(key, "an integer from 1 to 100"))?;
                }
                unknown => {
                    let message =
                        format!("{unknown} is no parameter; user_id, after and limit are");
                    return Err(ApiError::invalid("unknown_parameter", message).about(unknown));
                }
            }
        }
        let user_id = user_id.ok_or_else(|| {
            let message = "user_id is missing: sessions are listed by user";
            ApiError::invalid("missing_parameter", message).about("user_id")
        })?;
        Ok(Self {
            user_id,
            after,
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_without_its_encoding() {
        let asked = ListQuery::of("user_id=a%2Fb+%C3%BC&limit=7&after=x").unwrap();
        assert_eq!(asked.user_id, "a/b ü");
        assert_eq!((asked.limit, asked.after.as_deref()), (7, Some("x")));
        for bad in [
            "",
            "limit=7",
            "user_id=a&limit=0",
            "user_id=a&limit=101",
            "user_id=a&limit=x",
            "user_id=%",
            "user_id=%zz",
            "user_id=%ff",
            "user_id=a&page=1",
        ] {
            assert!(ListQuery::of(bad).is_err(), "{bad}");
        }
    }
}
