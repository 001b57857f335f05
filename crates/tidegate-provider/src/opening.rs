//! Messages that stand before those of a request: what a template wrote.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::content::Fields;
use crate::dialect::Dialect;
use crate::raw::RawObject;
use crate::request::{ChatRequest, RequestError};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// `system`, `user` or `assistant`.
    pub role: &'static str,
    /// What it says.
    pub content: String,
}

const SYSTEM: &str = "system";
const MESSAGES: RequestError = RequestError::Invalid {
    param: "messages",
    expected: "a list of objects with a string `role`",
};

impl ChatRequest {
    /// Reads and checks a request that `opening` stands before: its instructions
    /// before those of the request, everything else before the rest. The request
    /// needs no messages of its own then.
    ///
    /// # Errors
    /// As [`Self::parse_as`], and for legacy completions, which are no
    /// conversation.
    pub fn after(
        opening: &[Opening],
        dialect: Dialect,
        raw: &RawObject,
    ) -> Result<Self, RequestError> {
        let body = match dialect {
            Dialect::Chat => {
                let messages = all_messages(opening, own(raw)?);
                raw.to_json_with(&[("messages", &messages)])
            }
            Dialect::Messages => {
                let is_said = |one: &&Opening| one.role != SYSTEM;
                let said: Vec<Opening> = opening.iter().filter(is_said).cloned().collect();
                let messages = all_messages(&said, own(raw)?);
                let system = system(opening, raw.get("system"))?;
                let mut changes: Vec<(&str, &[u8])> = vec![("messages", &messages)];
                changes.extend(system.as_ref().map(|system| ("system", &**system)));
                raw.to_json_with(&changes)
            }
            Dialect::Completion => {
                return Err(RequestError::Invalid {
                    param: "tidegate.prompt",
                    expected: "absent: a legacy completion is no conversation",
                });
            }
        };
        Self::parse_as(dialect, body)
    }
}

/// The messages of the request itself; none where it has none.
fn own(raw: &RawObject) -> Result<Vec<&RawValue>, RequestError> {
    let Some(json) = raw.get("messages") else {
        return Ok(Vec::new());
    };
    let list: Option<Vec<&RawValue>> = serde_json::from_slice(json).map_err(|_| MESSAGES)?;
    Ok(list.unwrap_or_default())
}

/// Instructions first, of either side, and then what is said.
fn all_messages(opening: &[Opening], own: Vec<&RawValue>) -> Bytes {
    let instructs = |message: &&RawValue| {
        let role = Fields::of(message);
        let role = role.as_ref().and_then(|fields| fields.word("role"));
        matches!(role.as_deref(), Some("system" | "developer"))
    };
    let leading = own.iter().take_while(|message| instructs(message)).count();
    let (own_instructions, own_rest) = own.split_at(leading);
    let instructions = opening.iter().take_while(|one| one.role == SYSTEM).count();
    let (instructions, said) = opening.split_at(instructions);
    let mut list: Vec<Part<'_>> = instructions.iter().map(Part::Opening).collect();
    list.extend(own_instructions.iter().copied().map(Part::Own));
    list.extend(said.iter().map(Part::Opening));
    list.extend(own_rest.iter().copied().map(Part::Own));
    json(&list)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Opening(&'a Opening),
    Own(&'a RawValue),
}

/// The instructions, before those of the request in the form that those have.
fn system(opening: &[Opening], own: Option<&Bytes>) -> Result<Option<Bytes>, RequestError> {
    let system = opening.iter().filter(|one| one.role == SYSTEM);
    let texts: Vec<&str> = system.map(|one| one.content.as_str()).collect();
    if texts.is_empty() {
        return Ok(None);
    }
    let text = texts.join("\n\n");
    let wrong = |_| RequestError::Invalid {
        param: "system",
        expected: "a string or a list of text blocks",
    };
    let own = own.filter(|own| **own != b"null"[..]);
    let both = match own {
        None => json(&text),
        Some(own) if own.starts_with(b"[") => {
            let blocks: Vec<&RawValue> = serde_json::from_slice(own).map_err(wrong)?;
            let block = Block {
                kind: "text",
                text: &text,
            };
            let first = std::iter::once(SystemPart::Opening(block));
            json(
                &first
                    .chain(blocks.into_iter().map(SystemPart::Own))
                    .collect::<Vec<_>>(),
            )
        }
        Some(own) => {
            let own: String = serde_json::from_slice(own).map_err(wrong)?;
            json(&format!("{text}\n\n{own}"))
        }
    };
    Ok(Some(both))
}

#[derive(Serialize)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SystemPart<'a> {
    Opening(Block<'a>),
    Own(&'a RawValue),
}

fn json(value: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(value);
    Bytes::from(json.expect("texts and raw JSON are always valid JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Vec<Opening> {
        let one = |role, content: &str| Opening {
            role,
            content: content.to_owned(),
        };
        vec![one("system", "Be brief."), one("user", "Look: \"x\"")]
    }

    #[track_caller]
    fn check(dialect: Dialect, body: &'static str, expected: Result<&str, &str>) {
        let raw = RawObject::parse(&Bytes::from_static(body.as_bytes())).unwrap();
        let request = ChatRequest::after(&opening(), dialect, &raw);
        let request = request.map(|request| request.to_upstream("m"));
        let expected = expected.map(|body| Bytes::copy_from_slice(body.as_bytes()));
        assert_eq!(
            request.map_err(|error| error.to_string()),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn instructions_come_first_and_what_is_said_comes_before_the_request() {
        check(
            Dialect::Chat,
            r#"{"model":"m","messages":[{"role":"system","content":"Own."},{"role":"user","content":"Hi", "n":1.0}]}"#,
            Ok(
                r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"system","content":"Own."},{"role":"user","content":"Look: \"x\""},{"role":"user","content":"Hi", "n":1.0}]}"#,
            ),
        );
    }

    #[test]
    fn a_request_needs_no_messages_of_its_own() {
        let whole =
            r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"Look: \"x\""}]"#;
        let expected = format!(r#"{{"model":"m","messages":{whole}}}"#);
        check(Dialect::Chat, r#"{"model":"m"}"#, Ok(&expected));
        check(
            Dialect::Chat,
            r#"{"model":"m","messages":[]}"#,
            Ok(&expected),
        );
        check(
            Dialect::Chat,
            r#"{"model":"m","messages":null}"#,
            Ok(&expected),
        );
    }

    #[test]
    fn anthropics_instructions_stand_beside_the_messages() {
        let said = r#"[{"role":"user","content":"Look: \"x\""}]"#;
        for (own, both) in [
            ("", r#""Be brief.""#),
            (r#""system":null,"#, r#""Be brief.""#),
            (r#""system":"Own.","#, r#""Be brief.\n\nOwn.""#),
            (
                r#""system":[{"type":"text","text":"Own."}],"#,
                r#"[{"type":"text","text":"Be brief."},{"type":"text","text":"Own."}]"#,
            ),
        ] {
            let body = format!(r#"{{"model":"m",{own}"max_tokens":1}}"#);
            let raw = RawObject::parse(&Bytes::from(body)).unwrap();
            let request = ChatRequest::after(&opening(), Dialect::Messages, &raw).unwrap();
            assert_eq!(request.raw().get("system").unwrap(), both);
            assert_eq!(request.raw().get("messages").unwrap(), said);
        }
    }

    #[test]
    fn what_is_no_conversation_has_no_opening() {
        check(
            Dialect::Completion,
            r#"{"model":"m","prompt":"x"}"#,
            Err("tidegate.prompt must be absent: a legacy completion is no conversation"),
        );
        check(
            Dialect::Chat,
            r#"{"model":"m","messages":{}}"#,
            Err("messages must be a list of objects with a string `role`"),
        );
        check(
            Dialect::Chat,
            r#"{"model":"m","messages":[7]}"#,
            Err("messages must be a list of objects with a string `role`, not empty"),
        );
    }
}
