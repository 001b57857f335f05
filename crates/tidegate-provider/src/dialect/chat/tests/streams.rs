//! Streams, read and written.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{EventReader, EventWriter};
use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::chat::event_writer::MOST_REPEATED_BYTES;
use crate::dialect::{Event, Opening, Piece, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};

fn chunk(value: &Value) -> Chunk {
    Chunk {
        event: None,
        json: Bytes::from(value.to_string()),
        facts: ChunkFacts::default(),
    }
}

fn delta(delta: &Value, finish: Option<&str>) -> Chunk {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    chunk(&json!({"id": "1", "model": "m", "choices": [choice]}))
}

/// The steps of a whole stream, the first and the last of which are its frame.
fn steps(chunks: &[Chunk]) -> Vec<Event> {
    let mut reader = EventReader::default();
    let read = chunks.iter().map(|chunk| reader.read(chunk).unwrap());
    let mut steps: Vec<Event> = read.collect::<Vec<_>>().concat();
    steps.extend(reader.end());
    let start = Event::Start {
        id: "1".to_owned(),
        model: "m".to_owned(),
    };
    assert_eq!(steps.remove(0), start);
    assert_eq!(steps.pop(), Some(Event::End));
    steps
}

fn open(index: usize, opening: Opening) -> Event {
    Event::Open { index, opening }
}

fn said(index: usize, text: &str) -> Event {
    let piece = Piece::Text(text.to_owned());
    Event::Piece { index, piece }
}

fn call(index: usize, id: &str, name: &str) -> Event {
    let (id, name) = (id.to_owned(), name.to_owned());
    open(index, Opening::ToolUse { id, name })
}

fn input(index: usize, json: &str) -> Event {
    let piece = Piece::Input(json.to_owned());
    Event::Piece { index, piece }
}

#[test]
fn a_stream_of_thoughts_words_and_two_calls_is_read_part_by_part() {
    let calls = |calls: Value| delta(&json!({"tool_calls": calls}), None);
    let steps = steps(&[
        chunk(&json!({"id": "", "model": "", "choices": [], "prompt_filter_results": []})),
        delta(&json!({"role": "assistant", "content": ""}), None),
        delta(&json!({"reasoning_content": "h"}), None),
        delta(&json!({"reasoning_content": "m"}), None),
        delta(&json!({"content": "x"}), None),
        calls(
            json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        ),
        calls(json!([{"index": 0, "function": {"arguments": "{\"a\""}}])),
        calls(json!([{"index": 0, "function": {"arguments": ":1}"}}])),
        calls(
            json!([{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]),
        ),
        delta(&json!({}), Some("tool_calls")),
        chunk(
            &json!({"id": "1", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
        ),
    ]);
    let tokens = Tokens {
        input: 3,
        output: 4,
        ..Tokens::default()
    };
    let expected = [
        open(0, Opening::Thinking),
        said(0, "h"),
        said(0, "m"),
        Event::Close { index: 0 },
        open(1, Opening::Text),
        said(1, "x"),
        Event::Close { index: 1 },
        call(2, "c1", "f"),
        input(2, "{\"a\""),
        input(2, ":1}"),
        Event::Close { index: 2 },
        call(3, "c2", "g"),
        input(3, "{}"),
        Event::Close { index: 3 },
        Event::Stop(Stop::ToolUse),
        Event::Tokens(tokens),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn calls_of_servers_that_count_none_are_told_apart_by_their_ids() {
    let calls = |index: Option<u64>| {
        let one = |id: &str| {
            let function = json!({"name": "f", "arguments": "{}"});
            let call = json!({"index": index, "id": id, "function": function});
            delta(&json!({"tool_calls": [call]}), None)
        };
        steps(&[one("c1"), one("c2"), delta(&json!({}), Some("stop"))])
    };
    let expected = [
        call(0, "c1", "f"),
        input(0, "{}"),
        Event::Close { index: 0 },
        call(1, "c2", "f"),
        input(1, "{}"),
        Event::Close { index: 1 },
        Event::Stop(Stop::ToolUse),
    ];
    assert_eq!(calls(None), expected);
    assert_eq!(calls(Some(0)), expected);
}

#[test]
fn a_refusal_is_read_as_one_and_a_missing_end_is_made_up_for() {
    let steps = steps(&[delta(&json!({"refusal": "no"}), None)]);
    let expected = [
        open(0, Opening::Refusal),
        said(0, "no"),
        Event::Close { index: 0 },
        Event::Stop(Stop::End),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn blocks_that_repeat_the_plain_thought_are_heard_once() {
    let block = |text: &str, signature: Option<&str>| json!({"type": "thinking", "thinking": text, "signature": signature});
    let repeated = json!({"reasoning_content": "hm", "thinking_blocks": [block("hm", None)]});
    let sealed = json!({"reasoning_content": "", "thinking_blocks": [block("", Some("seal"))]});
    let steps = steps(&[
        delta(&repeated, None),
        delta(&sealed, None),
        delta(&json!({}), Some("stop")),
    ]);
    let expected = [
        open(0, Opening::Thinking),
        said(0, "hm"),
        Event::Piece {
            index: 0,
            piece: Piece::Signature("seal".to_owned()),
        },
        Event::Close { index: 0 },
        Event::Stop(Stop::End),
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_stream_that_contradicts_itself_is_garbage() {
    let second =
        json!({"id": "1", "model": "m", "choices": [{"index": 1, "delta": {"content": "x"}}]});
    let late = json!({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]});
    let streams = [
        vec![chunk(&second)],
        vec![delta(&late, None)],
        vec![
            delta(&json!({}), Some("stop")),
            delta(&json!({"content": "x"}), None),
        ],
        vec![delta(&json!({}), Some("because"))],
        vec![chunk(&json!({"usage": null}))],
    ];
    for chunks in streams {
        let mut reader = EventReader::default();
        let last = chunks
            .iter()
            .map(|chunk| reader.read(chunk))
            .last()
            .unwrap();
        assert_eq!(
            last.unwrap_err(),
            Unavailability::Garbage.into(),
            "{chunks:?}"
        );
    }
}

/// Thoughts, words, a call, a call without any input.
fn written() -> Vec<Value> {
    let start = Event::Start {
        id: "1".to_owned(),
        model: "m".to_owned(),
    };
    let tokens = Tokens {
        input: 3,
        cache_read: 1,
        output: 4,
        ..Tokens::default()
    };
    let seal = Piece::Signature("seal".to_owned());
    let events = [
        start,
        open(0, Opening::Thinking),
        said(0, "hm"),
        Event::Piece {
            index: 0,
            piece: seal,
        },
        Event::Close { index: 0 },
        open(1, Opening::Text),
        said(1, "x"),
        Event::Close { index: 1 },
        call(2, "c1", "f"),
        input(2, "{}"),
        Event::Close { index: 2 },
        call(3, "c2", "g"),
        Event::Close { index: 3 },
        Event::Stop(Stop::ToolUse),
        Event::Tokens(tokens),
        Event::End,
    ];
    let mut writer = EventWriter::new(7);
    let chunks = events
        .into_iter()
        .flat_map(|event| writer.write(event).unwrap());
    let value = |chunk: Chunk| {
        assert_eq!(Chunk::parse(chunk.json.clone()).unwrap().facts, chunk.facts);
        serde_json::from_slice(&chunk.json).unwrap()
    };
    chunks.map(value).collect()
}

#[test]
fn a_piece_that_would_be_lost_is_an_error() {
    let broken = |events: Vec<Event>| {
        let mut writer = EventWriter::new(7);
        let mut errors = events
            .into_iter()
            .filter_map(|event| writer.write(event).err());
        errors.next().unwrap()
    };
    let open = |opening| Event::Open { index: 0, opening };
    let piece = |piece| Event::Piece { index: 0, piece };
    let text = || piece(Piece::Text("a".to_owned()));
    let garbage = ProviderError::from(Unavailability::Garbage);
    assert_eq!(broken(vec![text()]), garbage);
    let closed = vec![open(Opening::Text), Event::Close { index: 0 }, text()];
    assert_eq!(broken(closed), garbage);
    let input = piece(Piece::Input("{}".to_owned()));
    assert_eq!(broken(vec![open(Opening::Text), input]), garbage);
}

#[test]
fn a_thought_that_has_to_be_repeated_has_a_bound() {
    let mut writer = EventWriter::new(7);
    let opening = Opening::Thinking;
    writer.write(Event::Open { index: 0, opening }).unwrap();
    let text = "x".repeat(MOST_REPEATED_BYTES / 2);
    let piece = || Event::Piece {
        index: 0,
        piece: Piece::Text(text.clone()),
    };
    writer.write(piece()).unwrap();
    writer.write(piece()).unwrap();
    let limit_bytes = MOST_REPEATED_BYTES;
    let too_large = ProviderError::from(Unavailability::TooLarge { limit_bytes });
    assert_eq!(writer.write(piece()).unwrap_err(), too_large);
}

#[test]
fn a_stream_is_written_as_clients_read_it() {
    let mut values = written();
    for value in &values {
        assert_eq!(value["object"], "chat.completion.chunk");
        assert_eq!((&value["id"], &value["created"]), (&json!("1"), &json!(7)));
    }
    let last = values.pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 4);
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
    let deltas: Vec<&Value> = values
        .iter()
        .map(|value| &value["choices"][0]["delta"])
        .collect();
    let begun = |index: u64, id: &str, name: &str| {
        let function = json!({"name": name, "arguments": ""});
        json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
    };
    let arguments =
        |index: u64| json!({"tool_calls": [{"index": index, "function": {"arguments": "{}"}}]});
    let seal = json!({"type": "thinking", "thinking": "hm", "signature": "seal"});
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "hm"}),
        json!({"thinking_blocks": [seal]}),
        json!({"content": "x"}),
        begun(0, "c1", "f"),
        arguments(0),
        begun(1, "c2", "g"),
        // Clients parse what they get, and nothing is no JSON.
        arguments(1),
        json!({}),
    ];
    assert_eq!(deltas, expected.iter().collect::<Vec<_>>());
    assert_eq!(values[8]["choices"][0]["finish_reason"], "tool_calls");
}
