use bytes::Bytes;

use super::super::event_writer::MOST_WAITING_BYTES;
use super::super::{EventFacts, EventReader, EventWriter};
use crate::chunk::{Chunk, ChunkFacts};
use crate::dialect::{Event, Opening, Piece, Stop, Tokens};
use crate::error::{ProviderError, Unavailability};
use crate::usage::Usage;

fn chunk(json: &str) -> Chunk {
    Chunk {
        event: None,
        json: Bytes::copy_from_slice(json.as_bytes()),
        facts: ChunkFacts::default(),
    }
}

fn read(events: &[&str]) -> Result<Vec<Event>, ProviderError> {
    let mut reader = EventReader::default();
    let mut steps = Vec::new();
    for event in events {
        steps.extend(reader.read(&chunk(event))?);
    }
    steps.extend(reader.end());
    Ok(steps)
}

fn write(steps: impl IntoIterator<Item = Event>) -> Vec<Chunk> {
    let mut writer = EventWriter::new();
    steps
        .into_iter()
        .flat_map(|step| writer.write(step).unwrap())
        .collect()
}

fn written(steps: impl IntoIterator<Item = Event>) -> Vec<String> {
    let text = |chunk: Chunk| String::from_utf8(chunk.json.to_vec()).unwrap();
    write(steps).into_iter().map(text).collect()
}

fn start() -> Event {
    Event::Start {
        id: "msg_1".to_owned(),
        model: "up".to_owned(),
    }
}

fn open(index: usize, opening: Opening) -> Event {
    Event::Open { index, opening }
}

fn tool(index: usize, id: &str) -> Event {
    let (id, name) = (id.to_owned(), "look".to_owned());
    open(index, Opening::ToolUse { id, name })
}

fn text(index: usize, text: &str) -> Event {
    let piece = Piece::Text(text.to_owned());
    Event::Piece { index, piece }
}

fn input(index: usize, json: &str) -> Event {
    let piece = Piece::Input(json.to_owned());
    Event::Piece { index, piece }
}

fn close(index: usize) -> Event {
    Event::Close { index }
}

fn seal(index: usize, seal: &str) -> Event {
    let piece = Piece::Signature(seal.to_owned());
    Event::Piece { index, piece }
}

const TOKENS: Tokens = Tokens {
    input: 3,
    cache_read: 5,
    cache_write: 7,
    output: 11,
    reasoning: 0,
};

/// A stream with every kind of block, as this dialect says it.
const FULL: [&str; 21] = [
    r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"eA=="}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"a"}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"b"}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t1","name":"look","input":{}}}"#,
    r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
    r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":":1}"}}"#,
    r#"{"type":"content_block_stop","index":3}"#,
    r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"t2","name":"look","input":{}}}"#,
    r#"{"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
    r#"{"type":"content_block_stop","index":4}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":3,"cache_creation_input_tokens":7,"cache_read_input_tokens":5,"output_tokens":11}}"#,
    r#"{"type":"message_stop"}"#,
    r#"{"type":"ping"}"#,
];

fn full_steps() -> Vec<Event> {
    vec![
        start(),
        open(0, Opening::Thinking),
        text(0, "hm"),
        seal(0, "c2ln"),
        close(0),
        open(1, Opening::RedactedThinking("eA==".to_owned())),
        close(1),
        open(2, Opening::Text),
        text(2, "a"),
        text(2, "b"),
        close(2),
        tool(3, "t1"),
        input(3, r#"{"a""#),
        input(3, ":1}"),
        close(3),
        tool(4, "t2"),
        input(4, "{}"),
        close(4),
        Event::Stop(Stop::ToolUse),
        Event::Tokens(TOKENS),
        Event::End,
    ]
}

#[test]
fn a_stream_with_everything_is_read_event_by_event() {
    assert_eq!(read(&FULL).unwrap(), full_steps());
}

#[test]
fn a_stream_with_everything_is_written_event_by_event() {
    assert_eq!(written(full_steps()), FULL[..20]);
}

#[test]
fn what_is_written_means_to_a_reader_what_it_says() {
    let mut facts = EventFacts::default();
    for chunk in write(full_steps()) {
        let read = facts.read(None, chunk.json.clone()).unwrap();
        assert_eq!(read.facts, chunk.facts, "{chunk:?}");
        assert_eq!(read.event, chunk.event);
    }
}

#[test]
fn the_usage_at_the_end_counts_every_kind_of_input() {
    let chunks = write(full_steps());
    let reported: Vec<Usage> = chunks
        .iter()
        .filter_map(|chunk| chunk.facts.usage)
        .collect();
    let usage = Usage {
        prompt_tokens: 15,
        completion_tokens: 11,
    };
    assert_eq!(reported, [usage]);
    let finished: Vec<u64> = chunks.iter().map(|chunk| chunk.facts.finished).collect();
    assert_eq!(finished.iter().sum::<u64>(), 1);
    assert_eq!(finished.last(), Some(&1));
}

#[test]
fn the_start_tells_the_input_and_the_end_the_rest() {
    let steps = read(&[
        r#"{"type":"message_start","message":{"id":"i","model":"m","usage":{"input_tokens":3,"cache_read_input_tokens":5,"cache_creation_input_tokens":7,"output_tokens":1}}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"},"usage":{"output_tokens":11}}"#,
        r#"{"type":"message_stop"}"#,
    ]);
    let stop = Stop::Sequence(Some("END".to_owned()));
    let expected = [Event::Stop(stop), Event::Tokens(TOKENS), Event::End];
    assert_eq!(steps.unwrap()[1..], expected);
}

/// The steps of one block between a start and an end.
fn block(events: &[&str]) -> Result<Vec<Event>, ProviderError> {
    let mut all = vec![FULL[0]];
    all.extend(events);
    all.extend(&FULL[18..20]);
    let steps = read(&all)?;
    Ok(steps[1..steps.len() - 3].to_vec())
}

#[test]
fn a_tool_without_pieces_has_the_input_that_it_began_with() {
    let begin = |input: &str| {
        format!(
            r#"{{"type":"content_block_start","index":0,"content_block":{{"type":"tool_use","id":"t1","name":"look","input":{input}}}}}"#
        )
    };
    let empty = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}"#;
    let end = r#"{"type":"content_block_stop","index":0}"#;
    let steps = block(&[&begin("{}"), empty, end]).unwrap();
    assert_eq!(steps, [tool(0, "t1"), input(0, "{}"), close(0)]);
    let steps = block(&[&begin(r#"{"a":1}"#), end]).unwrap();
    assert_eq!(steps, [tool(0, "t1"), input(0, r#"{"a":1}"#), close(0)]);
}

#[test]
fn text_that_stands_in_the_start_is_heard() {
    let begin =
        r#"{"type":"content_block_start","index":9,"content_block":{"type":"text","text":"a"}}"#;
    let end = r#"{"type":"content_block_stop","index":9}"#;
    let steps = block(&[begin, end]).unwrap();
    assert_eq!(steps, [open(0, Opening::Text), text(0, "a"), close(0)]);
}

#[test]
fn pings_citations_and_events_of_the_future_are_no_steps() {
    let steps = block(&[
        r#"{"type":"ping"}"#,
        r#"{"type":"weather","index":0,"delta":{"type":"wind"}}"#,
        r#"{"type":"weather","index":"north","delta":7,"message":[],"usage":0}"#,
        FULL[7].replace("\"index\":2", "\"index\":0").as_str(),
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{}}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
    ]);
    assert_eq!(steps.unwrap(), [open(0, Opening::Text), close(0)]);
}

#[test]
fn what_is_out_of_order_or_of_no_other_dialect_is_not_understood() {
    let garbage: ProviderError = Unavailability::Garbage.into();
    for events in [
        &["<html>"][..],
        &["{}"],
        &[r#"{"type":"message_start"}"#],
        &[FULL[2]],
        &[FULL[4]],
        &[
            FULL[1],
            FULL[2],
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
        ],
        &[
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
        ],
        &[r#"{"type":"message_delta","delta":{"stop_reason":"tired"}}"#],
    ] {
        assert_eq!(block(events), Err(garbage.clone()), "{events:?}");
    }
}

#[test]
fn an_event_of_the_future_passes_whatever_it_holds() {
    let mut facts = EventFacts::default();
    let json = r#"{"type":"weather","delta":7,"message":[],"content_block":"x","usage":0}"#;
    let read = facts.read(Some("weather"), chunk(json).json).unwrap();
    assert_eq!(read.facts, ChunkFacts::default());
    assert_eq!(read.event.as_deref(), Some("weather"));
    assert_eq!(read.json, json);
}

#[test]
fn an_error_event_is_that_error() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let throttled = ProviderError::Throttled { retry_after: None };
    assert_eq!(block(&[error]), Err(throttled));
}

#[test]
fn what_a_stream_leaves_open_is_closed_at_its_end() {
    let steps = read(&[FULL[0], FULL[1]]).unwrap();
    let expected = [
        start(),
        open(0, Opening::Thinking),
        close(0),
        Event::Stop(Stop::End),
        Event::Tokens(Tokens::default()),
        Event::End,
    ];
    assert_eq!(steps, expected);
    assert_eq!(read(&[]).unwrap(), []);
}

/// The kind, block and text of every event between the start and the end.
fn shape(steps: Vec<Event>) -> Vec<String> {
    let mut all = vec![start()];
    all.extend(steps);
    all.push(Event::Stop(Stop::End));
    all.push(Event::End);
    let events = written(all);
    let events = &events[1..events.len() - 2];
    let shape = |event: &String| {
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        let kind = event["type"].as_str().unwrap();
        let kind = kind.trim_start_matches("content_block_");
        let said = &event["delta"];
        let said = said["text"].as_str().or(said["partial_json"].as_str());
        let said = said.unwrap_or_default();
        format!("{kind} {} {said}", event["index"])
    };
    events.iter().map(shape).collect()
}

#[test]
fn parts_that_overlap_are_written_one_after_the_other() {
    let steps = vec![
        open(0, Opening::Text),
        text(0, "a"),
        tool(1, "t1"),
        input(1, "{"),
        tool(2, "t2"),
        input(2, "[]"),
        text(0, "b"),
        input(1, "}"),
        close(2),
        close(0),
        close(1),
    ];
    let expected = [
        "start 0 ",
        "delta 0 a",
        "delta 0 b",
        "stop 0 ",
        "start 1 ",
        "delta 1 {",
        "delta 1 }",
        "stop 1 ",
        "start 2 ",
        "delta 2 []",
        "stop 2 ",
    ];
    assert_eq!(shape(steps), expected);
}

#[test]
fn a_part_that_waits_goes_on_as_it_comes_once_it_is_first() {
    let mut writer = EventWriter::new();
    let mut said = |event| writer.write(event).unwrap().len();
    said(start());
    assert_eq!(said(tool(0, "t1")), 1);
    assert_eq!(said(tool(1, "t2")), 0);
    assert_eq!(said(input(1, "{")), 0);
    assert_eq!(said(input(0, "{}")), 1);
    assert_eq!(said(close(0)), 3);
    assert_eq!(said(input(1, "}")), 1);
    assert_eq!(said(close(1)), 1);
}

#[test]
fn a_piece_of_a_part_that_is_not_open_is_an_error_and_not_lost() {
    let broken = |steps: Vec<Event>| {
        let mut writer = EventWriter::new();
        let written: Result<Vec<_>, _> = steps.into_iter().map(|step| writer.write(step)).collect();
        written.unwrap_err()
    };
    let garbage = ProviderError::from(Unavailability::Garbage);
    let never_opened = vec![start(), text(0, "a")];
    assert_eq!(broken(never_opened), garbage);
    let closed = vec![start(), open(0, Opening::Text), close(0), text(0, "a")];
    assert_eq!(broken(closed), garbage);
    let waiting_and_closed = vec![
        start(),
        tool(0, "t1"),
        tool(1, "t2"),
        close(1),
        input(1, "{"),
    ];
    assert_eq!(broken(waiting_and_closed), garbage);
}

#[test]
fn what_waits_has_a_bound_and_what_is_being_said_has_none() {
    let piece = "x".repeat(64 << 10);
    let fits = MOST_WAITING_BYTES / (piece.len() + 64);
    let mut writer = EventWriter::new();
    // Whatever waited and was said then makes room for more.
    for number in [0, 2] {
        writer.write(tool(number, "first")).unwrap();
        writer.write(tool(number + 1, "second")).unwrap();
        for _ in 0..fits {
            writer.write(input(number, &piece)).unwrap();
            writer.write(input(number + 1, &piece)).unwrap();
        }
        writer.write(close(number)).unwrap();
        for _ in 0..fits {
            writer.write(input(number + 1, &piece)).unwrap();
        }
        writer.write(close(number + 1)).unwrap();
    }
    writer.write(tool(4, "first")).unwrap();
    writer.write(tool(5, "second")).unwrap();
    writer.write(tool(6, "third")).unwrap();
    let most = 2 * fits;
    let error = (0..most).find_map(|at| writer.write(input(5 + at % 2, &piece)).err());
    let limit_bytes = MOST_WAITING_BYTES;
    assert_eq!(error, Some(Unavailability::TooLarge { limit_bytes }.into()));
}

#[test]
fn parts_without_a_piece_wait_within_the_bound_too() {
    let mut writer = EventWriter::new();
    let error = (0..100_000).find_map(|index| writer.write(tool(index, "t")).err());
    let limit_bytes = MOST_WAITING_BYTES;
    assert_eq!(error, Some(Unavailability::TooLarge { limit_bytes }.into()));
}

#[test]
fn a_text_without_a_word_is_no_block() {
    let steps = vec![
        open(0, Opening::Text),
        text(0, ""),
        close(0),
        tool(1, "t1"),
        close(1),
    ];
    assert_eq!(shape(steps), ["start 0 ", "stop 0 "]);
}

#[test]
fn what_is_still_open_at_the_stop_is_closed() {
    let steps = vec![open(0, Opening::Text), text(0, "a"), tool(1, "t1")];
    let expected = ["start 0 ", "delta 0 a", "stop 0 ", "start 1 ", "stop 1 "];
    assert_eq!(shape(steps), expected);
}

#[test]
fn a_stream_that_declines_stops_with_a_refusal() {
    let events = written([
        start(),
        open(0, Opening::Refusal),
        text(0, "no"),
        close(0),
        Event::Stop(Stop::End),
        Event::Tokens(TOKENS),
        Event::End,
    ]);
    assert!(events[1].contains(r#""content_block":{"type":"text","text":""}"#));
    assert!(
        events[4].contains(r#""stop_reason":"refusal""#),
        "{events:?}"
    );
}
