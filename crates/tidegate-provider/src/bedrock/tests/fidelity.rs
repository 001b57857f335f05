//! What is said through Bedrock means the same on its other side.
//!
//! Every case takes the whole way: through the caller's dialect, the SDK, and
//! bytes that a reader and a writer of the tests' own understand.

use bytes::Bytes;
use futures_util::StreamExt;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::wire::{body_of, conversation_of, frames_of};
use super::{CLAUDE, parsed, provider, response};
use crate::bedrock::request::{Ask, write};
use crate::dialect::tests::arbitrary::{CASES, conversation, events, reply};
use crate::dialect::{
    Conversation, Dialect, Event, Image, ImageData, Json, MaxTokensField, Part, Reply, Stop, Tool,
    ToolChoice, Turn, chat,
};
use crate::provider::Provider;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The same conversation without what Bedrock refuses; `requests.rs` has a
/// test for each of these.
fn sayable(mut said: Conversation) -> Conversation {
    for part in said.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Part::Image(Image { data, .. }) = part
            && matches!(data, ImageData::Url(_))
        {
            *data = ImageData::Base64 {
                media_type: "image/gif".to_owned(),
                data: "R0lGODlh".to_owned(),
            };
        }
    }
    let taken = |c: &char| c.is_ascii_alphanumeric() || *c == ' ';
    said.user = said.user.map(|user| user.chars().filter(taken).collect());
    said.parallel_tools = None;
    if uses_tools(&said) {
        if said.tools.is_empty() {
            said.tools.push(Tool {
                name: "t".to_owned(),
                description: None,
                schema: Json::parse(r#"{"type":"object"}"#),
                strict: None,
            });
        }
        said.tool_choice = said
            .tool_choice
            .filter(|choice| *choice != ToolChoice::None);
    }
    said
}

fn uses_tools(said: &Conversation) -> bool {
    let mut parts = said.turns.iter().flat_map(|turn| &turn.parts);
    parts.any(|part| matches!(part, Part::ToolUse { .. } | Part::ToolResult(_)))
}

/// What of it arrives: `docs/bedrock.md` lists what is said otherwise.
fn arriving(said: &Conversation) -> Conversation {
    let mut said = said.clone();
    if said.tool_choice == Some(ToolChoice::None) {
        said.tool_choice = None;
        said.tools.clear();
    }
    if let Some(schema) = &mut said.output_schema {
        schema.strict = None;
    }
    // Whether the answer is streamed stands in the path.
    said.stream = false;
    said
}

fn through_bedrock(runtime: &Runtime, said: &Conversation) -> Conversation {
    const ANSWER: &str =
        r#"{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn"}"#;
    let body = chat::write_request(said, "m", MaxTokensField::default()).unwrap();
    let request = parsed(Dialect::Chat, std::str::from_utf8(&body).unwrap());
    let (bedrock, replay) = provider(vec![response(200, ANSWER)]);
    let answer = runtime.block_on(bedrock.complete(CLAUDE, &request));
    answer.unwrap();
    let sent = replay.actual_requests().next().unwrap();
    let mut heard = conversation_of(sent.body().bytes().unwrap());
    if let Some(schema) = &mut heard.output_schema {
        // OpenAI's dialect wants a label.
        schema.name = None;
    }
    heard
}

fn reply_through_bedrock(runtime: &Runtime, said: &Reply) -> Reply {
    let mut response = response(200, body_of(said));
    let id = said.id.parse().unwrap();
    response.headers_mut().insert("x-amzn-requestid", id);
    let (bedrock, _) = provider(vec![response]);
    let request = super::hello(Dialect::Chat);
    let answer = runtime.block_on(bedrock.complete(&said.model, &request));
    let answer = answer.unwrap();
    let total = said.tokens.input + said.tokens.cache_read + said.tokens.cache_write;
    assert_eq!(answer.usage.unwrap().prompt_tokens, total);
    chat::read_reply(&answer.body).unwrap()
}

fn events_through_bedrock(runtime: &Runtime, said: &[Event]) -> Vec<Event> {
    let Some(Event::Start { id, model }) = said.first() else {
        panic!("no start")
    };
    let mut response = response(200, frames_of(said));
    let id = id.parse().unwrap();
    response.headers_mut().insert("x-amzn-requestid", id);
    let (bedrock, _) = provider(vec![response]);
    let mut reader = chat::EventReader::default();
    let request = super::hello(Dialect::Chat);
    let mut heard = runtime.block_on(async {
        let mut chunks = bedrock.stream(model, &request).await.unwrap();
        let mut heard = Vec::new();
        while let Some(chunk) = chunks.next().await {
            heard.extend(reader.read(&chunk.unwrap()).unwrap());
        }
        heard
    });
    heard.extend(reader.end());
    heard
}

/// Every turn of more than one part told in two.
fn in_halves(said: &Conversation) -> Conversation {
    let mut halved = said.clone();
    halved.turns = said.turns.iter().flat_map(halves).collect();
    halved
}

fn halves(turn: &Turn) -> Vec<Turn> {
    let parts = turn.parts.chunks(turn.parts.len().div_ceil(2));
    let role = turn.role;
    let turn = |parts: &[Part]| Turn {
        role,
        parts: parts.to_vec(),
    };
    parts.map(turn).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_request_survives_converse(said in conversation()) {
        let said = sayable(said);
        prop_assert_eq!(through_bedrock(&runtime(), &said), arriving(&said));
    }

    #[test]
    fn turns_in_pieces_are_said_as_one(said in conversation()) {
        let said = sayable(said);
        let ask = Ask { dialect: Dialect::Chat, model: CLAUDE, default_max_tokens: None };
        let body = write(&in_halves(&said), &ask).unwrap();
        prop_assert_eq!(conversation_of(&body), arriving(&said));
    }

    #[test]
    fn an_answer_survives_converse(said in reply()) {
        prop_assert_eq!(reply_through_bedrock(&runtime(), &said), said);
    }

    #[test]
    fn a_stream_survives_converse(said in events()) {
        prop_assert_eq!(events_through_bedrock(&runtime(), &said), said);
    }

    #[test]
    fn no_bytes_make_a_stream_panic_or_end_well(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (_, error) = runtime().block_on(super::streamed(Dialect::Chat, bytes));
        prop_assert!(error.is_some());
    }
}

/// Kinds of stops that not every dialect has a word for.
#[test]
fn stops_of_anthropics_dialect_survive_converse() {
    for stop in [
        Stop::Sequence(Some("END".to_owned())),
        Stop::ContextFull,
        Stop::Filtered,
    ] {
        let said = Reply {
            id: "x".to_owned(),
            model: "m".to_owned(),
            parts: vec![Part::Text("hi".to_owned())],
            stop: stop.clone(),
            tokens: Default::default(),
        };
        let heard = crate::bedrock::answer::read(&body_of(&said), "x".to_owned(), "m").unwrap();
        assert_eq!(heard, said);
    }
}

#[test]
fn the_order_of_keys_and_the_digits_of_numbers_reach_the_model() {
    let schema = r#"{"type":"object","properties":{"thought":{"maximum":123456789012345678901234567890},"answer":{"minimum":1.0}}}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":"t","parameters":{schema}}}}}]}}"#
    );
    let request = chat::read_request(parsed(Dialect::Chat, &body).raw(), "nobody").unwrap();
    let ask = Ask {
        dialect: Dialect::Chat,
        model: CLAUDE,
        default_max_tokens: None,
    };
    let sent: Bytes = write(&request, &ask).unwrap();
    assert!(std::str::from_utf8(&sent).unwrap().contains(schema));
}
