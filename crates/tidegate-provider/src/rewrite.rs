//! Requests and answers with other words in the place of some, and nothing else
//! of them changed.

use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::dialect::Dialect;
use crate::raw::json_string;
use crate::request::ChatRequest;
use crate::spoken::{self, Heard, Speaker, Spoken};

/// The words cannot be replaced without breaking the JSON that they are, or
/// stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the words cannot be replaced without breaking the JSON around them")]
pub struct Unfit;

impl ChatRequest {
    /// The request with other words where `change` gives some; nothing where it
    /// gives none. Every other byte of a value is as it was.
    ///
    /// # Errors
    /// [`Unfit`] where what comes out is no request any more.
    pub fn rewritten(
        &self,
        mut change: impl FnMut(&Spoken) -> Option<String>,
    ) -> Result<Option<Self>, Unfit> {
        let mut changes: Vec<(&str, Bytes)> = Vec::new();
        for key in spoken::OF_REQUEST {
            let Some(json) = self.raw().get(key) else {
                continue;
            };
            let heard = spoken::of_field(self.dialect(), key, json);
            changes.extend(spliced(json, heard, &mut change)?.map(|json| (key, json)));
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let changes: Vec<(&str, &[u8])> =
            changes.iter().map(|(key, json)| (*key, &**json)).collect();
        let body = self.raw().to_json_with(&changes);
        let request = Self::parse_as(self.dialect(), body);
        request.map(Some).map_err(|_| Unfit)
    }
}

/// A whole answer with other words where `change` gives some; nothing where it
/// gives none.
///
/// # Errors
/// [`Unfit`] where what comes out is no JSON any more.
pub fn rewritten_answer(
    dialect: Dialect,
    body: &Bytes,
    change: impl FnMut(&Spoken) -> Option<String>,
) -> Result<Option<Bytes>, Unfit> {
    spliced(body, spoken::of_answer(dialect, body), change)
}

/// `heard` are slices of `json`.
fn spliced(
    json: &[u8],
    heard: Vec<Heard<'_>>,
    mut change: impl FnMut(&Spoken) -> Option<String>,
) -> Result<Option<Bytes>, Unfit> {
    let start = json.as_ptr() as usize;
    let mut changes = Vec::new();
    for heard in heard {
        if let Some(words) = change(&heard.spoken) {
            let at = heard.json.get().as_ptr() as usize - start;
            changes.push((at..at + heard.json.get().len(), written(&heard, words)?));
        }
    }
    if changes.is_empty() {
        return Ok(None);
    }
    changes.sort_by_key(|(range, _)| range.start);
    let (mut out, mut at) = (Vec::with_capacity(json.len()), 0);
    for (range, words) in changes {
        out.extend_from_slice(json.get(at..range.start).ok_or(Unfit)?);
        out.extend_from_slice(&words);
        at = range.end;
    }
    out.extend_from_slice(&json[at..]);
    Ok(Some(out.into()))
}

/// The words as the JSON that stands for them: a string, or JSON itself where
/// the input of a tool is none.
fn written(heard: &Heard<'_>, words: String) -> Result<Bytes, Unfit> {
    let is_json = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    let is_string = heard.json.get().starts_with('"');
    let was_json = heard.spoken.by == Speaker::ModelToTool && is_json(&heard.spoken.text);
    if (!is_string || was_json) && !is_json(&words) {
        return Err(Unfit);
    }
    Ok(if is_string {
        json_string(&words)
    } else {
        words.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(spoken: &Spoken) -> Option<String> {
        let hidden = spoken.text.replace("secret", "[x]");
        (hidden != spoken.text).then_some(hidden)
    }

    #[track_caller]
    fn check(dialect: Dialect, body: &str, expected: Option<&str>) {
        let request = ChatRequest::parse_as(dialect, body.to_owned().into()).unwrap();
        let rewritten = request.rewritten(hide).unwrap();
        let model = |request: ChatRequest| request.to_upstream("m");
        let expected = expected.map(|body| {
            let request = ChatRequest::parse_as(dialect, body.to_owned().into());
            model(request.unwrap())
        });
        assert_eq!(rewritten.map(model), expected);
    }

    #[test]
    fn only_the_words_of_users_and_tools_change_and_nothing_beside_them() {
        let body = |a: &str| {
            format!(
                r#"{{"model":"m","seed":12345678901234567890,"messages":[ {{"role":"system","content":"secret"}},
                {{"role":"user","content":[{{"type":"text","text":"\u00fc {a} \"q\"","n":1.0}},{{"type":"image_url"}}]}},
                {{"role":"assistant","content":"secret"}},{{"role":"tool","content":"{a}{a}"}}]}}"#
            )
        };
        let expected = body("[x]").replace("\\u00fc", "ü");
        check(Dialect::Chat, &body("secret"), Some(&expected));
        check(Dialect::Chat, &body("calm"), None);
    }

    #[test]
    fn every_dialect_is_rewritten_where_its_words_are() {
        let result = |a: &str| {
            format!(
                r#"{{"model":"m","max_tokens":1,"messages":[{{"role":"user","content":[
                {{"type":"tool_result","content":[{{"type":"text","text":"{a}"}}]}},
                {{"type":"document","title":"{a}","source":{{"type":"text","data":"{a}"}}}}]}}]}}"#
            )
        };
        check(Dialect::Messages, &result("secret"), Some(&result("[x]")));
        let prompt = |a: &str| format!(r#"{{"model":"m","prompt":["a", "{a}"],"suffix":"{a}"}}"#);
        check(Dialect::Completion, &prompt("secret"), Some(&prompt("[x]")));
        check(Dialect::Completion, r#"{"model":"m","prompt":[1,2]}"#, None);
    }

    #[track_caller]
    fn check_answer(dialect: Dialect, body: &str, expected: Result<Option<&str>, Unfit>) {
        let rewritten = rewritten_answer(dialect, &body.to_owned().into(), hide);
        let rewritten =
            rewritten.map(|body| body.map(|body| String::from_utf8(body.to_vec()).unwrap()));
        assert_eq!(rewritten, expected.map(|body| body.map(str::to_owned)));
    }

    #[test]
    fn whole_answers_are_rewritten_words_and_input_of_tools() {
        check_answer(
            Dialect::Chat,
            r#"{"id":1.0,"choices":[{"message":{"content":"a secret","tool_calls":[{"function":{"name":"secret","arguments":"{\"k\":\"secret\"}"}}]}}]}"#,
            Ok(Some(
                r#"{"id":1.0,"choices":[{"message":{"content":"a [x]","tool_calls":[{"function":{"name":"secret","arguments":"{\"k\":\"[x]\"}"}}]}}]}"#,
            )),
        );
        check_answer(
            Dialect::Messages,
            r#"{"content":[{"type":"text","text":"secret"},{"type":"tool_use","input":{"k":"secret"}}]}"#,
            Ok(Some(
                r#"{"content":[{"type":"text","text":"[x]"},{"type":"tool_use","input":{"k":"[x]"}}]}"#,
            )),
        );
        check_answer(Dialect::Chat, r#"{"choices":[{"text":"a"}]}"#, Ok(None));
        check_answer(Dialect::Chat, "no JSON, secret", Ok(None));
    }

    #[test]
    fn input_of_a_tool_that_would_be_no_json_any_more_is_unfit() {
        let hide_all = |_: &Spoken| Some("[x]".to_owned());
        for body in [
            r#"{"content":[{"type":"tool_use","input":{"k":"v"}}]}"#,
            r#"{"content":[{"type":"tool_use","input":"{}"}]}"#,
        ] {
            let rewritten = rewritten_answer(Dialect::Messages, &body.to_owned().into(), hide_all);
            assert_eq!(rewritten, Err(Unfit), "{body}");
        }
    }
}
