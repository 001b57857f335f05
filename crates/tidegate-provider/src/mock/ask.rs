//! What the mock has to know of a request; the rest of the body is not read.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::Dialect;

/// More answers than this (`n`) are not given.
const MOST_CHOICES: u64 = 16;

/// One request for an answer or for embeddings.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) model: String,
    /// Asked in, and to be answered in.
    pub(crate) dialect: Dialect,
    /// Estimated: a quarter of the body's bytes.
    pub(crate) prompt_tokens: u64,
    pub(crate) task: Task,
}

#[derive(Debug)]
pub(crate) enum Task {
    Chat(Chat),
    Embed(Embed),
}

#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) choices: usize,
    /// Name of the first tool, which is then called.
    pub(crate) tool: Option<String>,
    /// The last user message after `echo:`.
    pub(crate) echo: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Embed {
    pub(crate) inputs: Vec<Vec<u8>>,
    pub(crate) base64: bool,
}

#[derive(Deserialize)]
struct ChatBody<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: &'a RawValue,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u64>,
    tools: Option<Vec<Tool>>,
}

#[derive(Deserialize)]
struct CompletionBody<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    prompt: &'a RawValue,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Tool {
    function: Option<Function>,
    /// Where Anthropic's dialect has it.
    name: Option<String>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default, borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct EmbedBody<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    encoding_format: Option<Cow<'a, str>>,
}

impl Ask {
    /// Reads the body of a chat request.
    pub(crate) fn chat(body: &[u8]) -> serde_json::Result<Self> {
        let read: ChatBody<'_> = serde_json::from_slice(body)?;
        let chat = Chat {
            stream: read.stream.unwrap_or(false),
            include_usage: include_usage(read.stream_options),
            choices: choices(read.n.unwrap_or(1)),
            tool: read.tools.and_then(first_name),
            echo: echo(read.messages.get()),
        };
        Ok(Self::new(read.model, body, Task::Chat(chat)))
    }

    /// Reads the body of a legacy completion; every prompt is answered.
    pub(crate) fn completion(body: &[u8]) -> serde_json::Result<Self> {
        let read: CompletionBody<'_> = serde_json::from_slice(body)?;
        let prompts = inputs(read.prompt.get())?;
        let each = read.n.unwrap_or(1).max(1);
        let only = prompts.first().filter(|_| prompts.len() == 1);
        let only = only.and_then(|prompt| std::str::from_utf8(prompt).ok());
        let chat = Chat {
            stream: read.stream.unwrap_or(false),
            include_usage: include_usage(read.stream_options),
            choices: choices(each.saturating_mul(prompts.len() as u64)),
            tool: None,
            echo: only.and_then(|prompt| prompt.strip_prefix("echo:").map(str::to_owned)),
        };
        Ok(Self {
            dialect: Dialect::Completion,
            ..Self::new(read.model, body, Task::Chat(chat))
        })
    }

    /// Reads the body of a request in Anthropic's dialect, which names
    /// everything that the mock looks at as OpenAI's does.
    pub(crate) fn messages(body: &[u8]) -> serde_json::Result<Self> {
        let ask = Self::chat(body)?;
        Ok(Self {
            dialect: Dialect::Messages,
            task: match ask.task {
                Task::Chat(chat) => Task::Chat(Chat { choices: 1, ..chat }),
                Task::Embed(embed) => Task::Embed(embed),
            },
            ..ask
        })
    }

    /// Reads the body of a request for embeddings.
    pub(crate) fn embed(body: &[u8]) -> serde_json::Result<Self> {
        let read: EmbedBody<'_> = serde_json::from_slice(body)?;
        let embed = Embed {
            inputs: inputs(read.input.get())?,
            base64: read.encoding_format.as_deref() == Some("base64"),
        };
        Ok(Self::new(read.model, body, Task::Embed(embed)))
    }

    /// True when events are asked for.
    pub(crate) fn stream(&self) -> bool {
        matches!(&self.task, Task::Chat(chat) if chat.stream)
    }

    fn new(model: Cow<'_, str>, body: &[u8], task: Task) -> Self {
        Self {
            model: model.into_owned(),
            dialect: Dialect::Chat,
            prompt_tokens: body.len() as u64 / 4,
            task,
        }
    }
}

fn include_usage(options: Option<StreamOptions>) -> bool {
    let asked = options.and_then(|options| options.include_usage);
    asked.unwrap_or(false)
}

fn choices(asked: u64) -> usize {
    usize::try_from(asked.clamp(1, MOST_CHOICES)).unwrap_or(1)
}

fn first_name(tools: Vec<Tool>) -> Option<String> {
    tools
        .into_iter()
        .find_map(|tool| tool.function.map(|function| function.name).or(tool.name))
}

/// The rest of the last user message, if that begins with `echo:`.
fn echo(messages: &str) -> Option<String> {
    // Searching is far cheaper than reading, and few requests ask for an echo.
    if !messages.contains("echo:") {
        return None;
    }
    let messages: Vec<Message<'_>> = serde_json::from_str(messages).ok()?;
    let last = messages.iter().rfind(|message| message.role == "user")?;
    let content: String = serde_json::from_str(last.content?.get()).ok()?;
    content.strip_prefix("echo:").map(str::to_owned)
}

/// The bytes of every input: a text's own, or the JSON of a list of token ids.
fn inputs(json: &str) -> serde_json::Result<Vec<Vec<u8>>> {
    if !json.starts_with('[') {
        return Ok(vec![serde_json::from_str::<String>(json)?.into_bytes()]);
    }
    let items: Vec<&RawValue> = serde_json::from_str(json)?;
    if items
        .iter()
        .all(|item| item.get().starts_with(|first: char| first.is_ascii_digit()))
    {
        return Ok(vec![json.as_bytes().to_vec()]);
    }
    let bytes = items
        .into_iter()
        .map(|item| match serde_json::from_str::<String>(item.get()) {
            Ok(text) => text.into_bytes(),
            Err(_) => item.get().as_bytes().to_vec(),
        });
    Ok(bytes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(fields: &str) -> Chat {
        let ask = Ask::chat(format!(r#"{{"model":"m",{fields}}}"#).as_bytes()).unwrap();
        let Task::Chat(chat) = ask.task else {
            panic!("no chat")
        };
        chat
    }

    fn embed(input: &str) -> Vec<Vec<u8>> {
        let body = format!(r#"{{"model":"m","input":{input}}}"#);
        let Task::Embed(embed) = Ask::embed(body.as_bytes()).unwrap().task else {
            panic!()
        };
        embed.inputs
    }

    #[test]
    fn only_the_last_user_message_is_echoed() {
        let echo = |messages: &str| chat(&format!(r#""messages":{messages}"#)).echo;
        let user = r#"{"role":"user","content":"echo: a\nb"}"#;
        let assistant = r#"{"role":"assistant","content":"x"}"#;
        assert_eq!(
            echo(&format!("[{user},{assistant}]")).as_deref(),
            Some(" a\nb")
        );
        assert_eq!(
            echo(&format!(
                r#"[{user},{{"role":"user","content":"say echo:"}}]"#
            )),
            None
        );
        assert_eq!(
            echo(r#"[{"role":"user","content":[{"text":"echo:"}]}]"#),
            None
        );
    }

    #[test]
    fn the_first_tool_is_the_one_to_call() {
        let tool = |name: &str| format!(r#"{{"type":"function","function":{{"name":"{name}"}}}}"#);
        let tools = |list: &str| chat(&format!(r#""messages":[],"tools":{list}"#)).tool;
        assert_eq!(
            tools(&format!("[{},{}]", tool("a"), tool("b"))).as_deref(),
            Some("a")
        );
        assert_eq!([tools("[]"), tools("null")], [None, None]);
    }

    #[test]
    fn a_request_in_anthropics_dialect_names_its_tool_and_has_one_answer() {
        let body = br#"{"model":"m","max_tokens":9,"n":3,"stream":true,"tools":[{"name":"look"}],
            "messages":[{"role":"user","content":"echo:a"}]}"#;
        let ask = Ask::messages(body).unwrap();
        assert_eq!((ask.dialect, ask.stream()), (Dialect::Messages, true));
        let Task::Chat(chat) = ask.task else {
            panic!("no chat")
        };
        assert_eq!((chat.tool.as_deref(), chat.choices), (Some("look"), 1));
        assert_eq!(chat.echo.as_deref(), Some("a"));
    }

    #[test]
    fn choices_are_at_least_one_and_at_most_sixteen() {
        let choices = |n: &str| chat(&format!(r#""messages":[],"n":{n}"#)).choices;
        assert_eq!(["null", "0", "3", "1000"].map(choices), [1, 1, 3, 16]);
    }

    #[test]
    fn every_prompt_of_a_completion_is_answered_and_only_one_alone_is_echoed() {
        let completion = |fields: &str| {
            let body = format!(r#"{{"model":"m",{fields}}}"#);
            let Task::Chat(chat) = Ask::completion(body.as_bytes()).unwrap().task else {
                panic!("no completion")
            };
            (chat.choices, chat.echo)
        };
        let echo = Some(" a".to_owned());
        assert_eq!(completion(r#""prompt":"echo: a""#), (1, echo));
        assert_eq!(completion(r#""prompt":["echo: a","b"],"n":2"#), (4, None));
        assert_eq!(completion(r#""prompt":[1,2]"#), (1, None));
    }

    #[test]
    fn embedding_inputs_are_texts_or_token_lists() {
        assert_eq!(embed(r#""a""#), [b"a"]);
        assert_eq!(embed(r#"["a","\u0062"]"#), [b"a", b"b"]);
        assert_eq!(embed("[1,2]"), [b"[1,2]"]);
        assert_eq!(embed("[[1],[2]]"), [b"[1]", b"[2]"]);
        assert!(Ask::embed(br#"{"model":"m","input":7}"#).is_err());
    }
}
