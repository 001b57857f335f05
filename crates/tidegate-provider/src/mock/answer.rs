//! Ordinary answers to chat requests, as OpenAI words them.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;

use super::ask::{Ask, Chat};
use super::script::Script;
use crate::dialect::Dialect;
use crate::raw::json_string;

/// `created` of every answer; a mock that reads no wall clock repeats itself exactly.
const CREATED: u64 = 1_750_000_000;
const TOKEN: &str = "token ";

/// What a legacy completion is, whole and in its parts.
const TEXT: &str = "text_completion";

/// What closes a stream.
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// What an answer is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) chat: &'a Chat,
    pub(crate) script: &'a Script,
    /// Number of the request; makes the answer's id.
    pub(crate) number: u64,
}

impl Reply<'_> {
    /// A `chat.completion`, or a `text_completion`.
    pub(crate) fn whole(self) -> Bytes {
        let (object, said) = match self.ask.dialect {
            Dialect::Chat | Dialect::Messages => (
                "chat.completion",
                format!(r#""message":{}"#, self.message()),
            ),
            Dialect::Completion => (TEXT, said(&self.text())),
        };
        let finish = self.finish_reason();
        let mut json = self.head(object);
        for index in 0..self.chat.choices {
            let comma = if index == 0 { "" } else { "," };
            put(
                &mut json,
                format_args!(
                    r#"{comma}{{"index":{index},{said},"logprobs":null,"finish_reason":"{finish}"}}"#
                ),
            );
        }
        put(&mut json, format_args!(r#"],"usage":{}}}"#, self.usage()));
        json.into()
    }

    /// All events of a stream, framed, up to and with `[DONE]`: the roles, the
    /// content, the ends and, where it was asked for, the usage.
    pub(crate) fn events(self) -> Vec<Bytes> {
        let mut events = Vec::with_capacity(self.script.events * self.chat.choices + 4);
        if self.ask.dialect != Dialect::Completion {
            let role = r#""delta":{"role":"assistant","content":""}"#;
            self.for_each_choice(&mut events, role, None);
        }
        match &self.chat.tool {
            Some(name) => self.tool_call(&mut events, name),
            None => self.content(&mut events),
        }
        let nothing = match self.ask.dialect {
            Dialect::Chat | Dialect::Messages => r#""delta":{}"#.to_owned(),
            Dialect::Completion => said(""),
        };
        self.for_each_choice(&mut events, &nothing, Some(self.finish_reason()));
        if self.chat.include_usage {
            let head = self.head(self.chunk_object());
            events.push(frame(&format!(r#"{head}],"usage":{}}}"#, self.usage())));
        }
        events.push(Bytes::from_static(DONE));
        events
    }

    fn chunk_object(self) -> &'static str {
        match self.ask.dialect {
            Dialect::Chat | Dialect::Messages => "chat.completion.chunk",
            Dialect::Completion => TEXT,
        }
    }

    fn head(self, object: &str) -> String {
        let (number, model) = (self.number, &self.ask.model);
        let model = json_string(model);
        let model = std::str::from_utf8(&model).expect("a JSON string is UTF-8");
        let mut head = String::with_capacity(512);
        put(
            &mut head,
            format_args!(
                r#"{{"id":"chatcmpl-mock-{number}","object":"{object}","created":{CREATED},"model":{model},"choices":["#
            ),
        );
        head
    }

    fn message(self) -> String {
        match &self.chat.tool {
            Some(name) => {
                let call = tool_call(name, "{}");
                format!(r#"{{"role":"assistant","content":null,"tool_calls":[{call}]}}"#)
            }
            None => format!(
                r#"{{"role":"assistant","content":{}}}"#,
                quoted(&self.text())
            ),
        }
    }

    fn finish_reason(self) -> &'static str {
        if self.chat.tool.is_some() {
            "tool_calls"
        } else {
            "stop"
        }
    }

    fn usage(self) -> String {
        let (prompt, completion) = (self.ask.prompt_tokens, self.script.events as u64);
        let total = prompt + completion;
        format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{total}}}"#
        )
    }

    /// What is to be said, if it is not the usual tokens.
    fn own_words(&self) -> Option<&str> {
        self.chat.echo.as_deref().or(self.script.answer.as_deref())
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        match self.own_words() {
            Some(text) => text.into(),
            None => TOKEN.repeat(self.script.events).into(),
        }
    }

    /// What is said in each event of a stream.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self.own_words() {
            Some(text) => pieces(text, self.script.events),
            None => vec![TOKEN; self.script.events],
        }
    }

    fn content(self, events: &mut Vec<Bytes>) {
        let delta = |text: &str| match self.ask.dialect {
            Dialect::Chat | Dialect::Messages => {
                format!(r#""delta":{{"content":{}}}"#, quoted(text))
            }
            Dialect::Completion => said(text),
        };
        if let Some(text) = self.own_words() {
            for piece in pieces(text, self.script.events) {
                self.for_each_choice(events, &delta(piece), None);
            }
        } else if self.script.events > 0 {
            self.for_each_choice(events, &delta(TOKEN), None);
            let first = events[events.len() - self.chat.choices..].to_vec();
            let repeated = first
                .iter()
                .cycle()
                .take(first.len() * (self.script.events - 1));
            events.extend(repeated.cloned());
        }
    }

    fn tool_call(self, events: &mut Vec<Bytes>, name: &str) {
        let call = tool_call(name, "").replacen('{', r#"{"index":0,"#, 1);
        self.for_each_choice(
            events,
            &format!(r#""delta":{{"tool_calls":[{call}]}}"#),
            None,
        );
        let arguments = r#""delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#;
        self.for_each_choice(events, arguments, None);
    }

    /// One event for every choice, each of which says `said`.
    fn for_each_choice(self, events: &mut Vec<Bytes>, said: &str, finish: Option<&str>) {
        let head = self.head(self.chunk_object());
        let finish = finish.map_or_else(|| "null".to_owned(), quoted);
        // OpenAI says `null` in every chunk but the last when usage is asked for.
        let usage = if self.chat.include_usage {
            r#","usage":null"#
        } else {
            ""
        };
        events.extend((0..self.chat.choices).map(|index| {
            frame(&format!(
                r#"{head}{{"index":{index},{said},"logprobs":null,"finish_reason":{finish}}}]{usage}}}"#
            ))
        }));
    }
}

/// One event of a stream.
pub(crate) fn frame(json: &str) -> Bytes {
    format!("data: {json}\n\n").into()
}

/// An error object as OpenAI words it.
pub(crate) fn error(message: &str, kind: &str, code: Option<&str>) -> String {
    let code = code.map_or_else(|| "null".to_owned(), quoted);
    let (message, kind) = (quoted(message), quoted(kind));
    format!(r#"{{"error":{{"message":{message},"type":{kind},"param":null,"code":{code}}}}}"#)
}

fn tool_call(name: &str, arguments: &str) -> String {
    let (name, arguments) = (quoted(name), quoted(arguments));
    format!(
        r#"{{"id":"call_mock","type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
    )
}

/// The text in at most `count` parts of about the same length, none empty.
fn pieces(text: &str, count: usize) -> Vec<&str> {
    let size = text.chars().count().div_ceil(count.max(1)).max(1);
    let starts = text.char_indices().map(|(at, _)| at).step_by(size);
    let mut starts = starts.peekable();
    let mut pieces = Vec::with_capacity(count);
    while let Some(start) = starts.next() {
        pieces.push(&text[start..*starts.peek().unwrap_or(&text.len())]);
    }
    pieces
}

/// What a choice of a legacy completion says.
fn said(text: &str) -> String {
    format!(r#""text":{}"#, quoted(text))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always valid JSON")
}

fn put(json: &mut String, text: std::fmt::Arguments<'_>) {
    json.write_fmt(text).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::ask::Task;
    use super::*;

    fn reply<T>(fields: &str, read: impl FnOnce(Reply<'_>) -> T) -> T {
        let ask = Ask::chat(format!(r#"{{"model":"a\"b",{fields}}}"#).as_bytes()).unwrap();
        let Task::Chat(chat) = &ask.task else {
            panic!("no chat")
        };
        let script = Script {
            events: 3,
            ..Script::default()
        };
        read(Reply {
            ask: &ask,
            chat,
            script: &script,
            number: 7,
        })
    }

    fn whole(fields: &str) -> Value {
        reply(fields, |reply| {
            serde_json::from_slice(&reply.whole()).unwrap()
        })
    }

    /// The JSON of every event but `[DONE]`.
    fn events(fields: &str) -> Vec<Value> {
        let mut events = reply(fields, |reply| reply.events());
        assert_eq!(events.pop().unwrap(), DONE);
        let text = |event: &Bytes| String::from_utf8(event.to_vec()).unwrap();
        let json = |event: &String| event.strip_prefix("data: ").unwrap().to_owned();
        events
            .iter()
            .map(|event| serde_json::from_str(&json(&text(event))).unwrap())
            .collect()
    }

    fn deltas(fields: &str) -> String {
        let text = |event: &Value| {
            event["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        events(fields).iter().map(text).collect()
    }

    const ECHO: &str = r#""messages":[{"role":"user","content":"echo:größe \"x\""}]"#;

    #[test]
    fn a_whole_answer_has_what_the_interface_asks_for() {
        let answer = whole(r#""messages":[]"#);
        assert_eq!(answer["id"], "chatcmpl-mock-7");
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["model"], "a\"b");
        assert_eq!(
            answer["choices"][0]["message"]["content"],
            "token token token "
        );
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let usage = serde_json::json!({"prompt_tokens":7,"completion_tokens":3,"total_tokens":10});
        assert_eq!(answer["usage"], usage);
    }

    #[test]
    fn a_stream_has_roles_content_ends_and_only_then_usage() {
        let seen = events(r#""messages":[],"stream":true,"stream_options":{"include_usage":true}"#);
        assert_eq!(seen.len(), 1 + 3 + 1 + 1);
        assert_eq!(seen[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(seen[4]["choices"][0]["finish_reason"], "stop");
        assert_eq!(seen[5]["choices"], Value::Array(vec![]));
        assert_eq!(seen[5]["usage"]["completion_tokens"], 3);
        assert_eq!(events(r#""messages":[],"stream":true"#).len(), 1 + 3 + 1);
    }

    #[test]
    fn an_echo_says_the_same_whole_and_streamed() {
        assert_eq!(
            whole(ECHO)["choices"][0]["message"]["content"],
            "größe \"x\""
        );
        assert_eq!(deltas(ECHO), "größe \"x\"");
    }

    #[test]
    fn every_choice_is_answered() {
        let fields = r#""messages":[],"n":2"#;
        assert_eq!(whole(fields)["choices"][1]["index"], 1);
        let seen = events(fields);
        assert_eq!(seen.len(), 2 * (1 + 3 + 1));
        let of_second = seen
            .iter()
            .filter(|event| event["choices"][0]["index"] == 1);
        assert_eq!(of_second.count(), 1 + 3 + 1);
    }

    #[test]
    fn a_tool_is_called_whole_and_streamed() {
        let fields = r#""messages":[],"tools":[{"type":"function","function":{"name":"look"}}]"#;
        let choice = &whole(fields)["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        let function = &choice["message"]["tool_calls"][0]["function"];
        assert_eq!(
            *function,
            serde_json::json!({"name":"look","arguments":"{}"})
        );
        let seen = events(fields);
        let call = |at: usize| &seen[at]["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!(
            (call(1)["index"].as_u64(), &call(1)["id"]),
            (Some(0), &"call_mock".into())
        );
        assert_eq!(call(1)["function"]["name"], "look");
        assert_eq!(call(2)["function"]["arguments"], "{}");
        assert_eq!(seen[3]["choices"][0]["finish_reason"], "tool_calls");
    }

    #[test]
    fn a_legacy_completion_says_its_text_whole_and_streamed() {
        let body = br#"{"model":"m","prompt":"x"}"#;
        let ask = Ask::completion(body).unwrap();
        let Task::Chat(chat) = &ask.task else {
            panic!("no completion")
        };
        let script = Script {
            events: 2,
            ..Script::default()
        };
        let reply = Reply {
            ask: &ask,
            chat,
            script: &script,
            number: 7,
        };
        let whole: Value = serde_json::from_slice(&reply.whole()).unwrap();
        assert_eq!(whole["object"], "text_completion");
        assert_eq!(whole["choices"][0]["text"], "token token ");
        let events = reply.events();
        let texts = events[..events.len() - 1].iter().map(|event| {
            let json = event.strip_prefix(b"data: ").unwrap();
            let event: Value = serde_json::from_slice(json).unwrap();
            assert_eq!(event["object"], "text_completion");
            event["choices"][0]["text"].as_str().unwrap().to_owned()
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["token ", "token ", ""]);
    }

    #[test]
    fn pieces_cover_the_text_and_none_is_empty() {
        assert_eq!(pieces("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(pieces("ab", 5), ["a", "b"]);
        assert_eq!(pieces("äöü", 1), ["äöü"]);
        assert_eq!(pieces("", 3), Vec::<&str>::new());
        assert_eq!(pieces("ab", 0), ["ab"]);
    }
}
