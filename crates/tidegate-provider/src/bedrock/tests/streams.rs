//! Streamed answers.

use aws_sdk_bedrockruntime::types::{
    ContentBlockDelta, ContentBlockDeltaEvent, ContentBlockStopEvent, ConverseStreamOutput,
};

use super::{event, exception, frame, streamed};
use crate::bedrock::events::Steps;
use crate::dialect::{Dialect, Event, Opening, Piece};
use crate::error::{ProviderError, Unavailability};

fn told() -> Vec<Vec<u8>> {
    vec![
        event("messageStart", r#"{"role":"assistant","p":"abc"}"#),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}"#,
        ),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2VhbA=="}}}"#,
        ),
        event("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"AAAA"}}}"#,
        ),
        event("contentBlockStop", r#"{"contentBlockIndex":1}"#),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"text":"I "}}"#,
        ),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":2,"delta":{"text":"look."}}"#,
        ),
        event("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        event(
            "contentBlockStart",
            r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"tooluse_1","name":"look"}}}"#,
        ),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":""}}}"#,
        ),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\"at\":"}}}"#,
        ),
        event(
            "contentBlockDelta",
            r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"\"sea\"}"}}}"#,
        ),
        event("contentBlockStop", r#"{"contentBlockIndex":3}"#),
        event("messageStop", r#"{"stopReason":"tool_use"}"#),
        event(
            "metadata",
            r#"{"usage":{"inputTokens":11,"outputTokens":7,"totalTokens":18},"metrics":{"latencyMs":1}}"#,
        ),
    ]
}

async fn json_lines(dialect: Dialect) -> Vec<String> {
    let (chunks, error) = streamed(dialect, told().concat()).await;
    assert_eq!(error, None);
    let text = |json: &[u8]| String::from_utf8(json.to_vec()).unwrap();
    chunks.iter().map(|chunk| text(&chunk.json)).collect()
}

#[tokio::test]
async fn a_stream_comes_back_as_chunks_of_a_chat() {
    let (chunks, error) = streamed(Dialect::Chat, told().concat()).await;
    assert_eq!(error, None);
    let last = chunks.last().unwrap();
    let usage = last.facts.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (11, 7));
    let finished: u64 = chunks.iter().map(|chunk| chunk.facts.finished).sum();
    assert_eq!(finished, 1);
    let lines = json_lines(Dialect::Chat).await.concat();
    for word in [
        r#""reasoning_content":"hm""#,
        r#""content":"look.""#,
        r#""arguments":"\"sea\"}""#,
        r#""finish_reason":"tool_calls""#,
    ] {
        assert!(lines.contains(word), "{word} in {lines}");
    }
}

#[tokio::test]
async fn a_stream_comes_back_as_anthropics_events() {
    let lines = json_lines(Dialect::Messages).await.concat();
    for word in [
        r#""thinking":"hm""#,
        r#""signature":"c2VhbA==""#,
        r#""data":"AAAA""#,
        r#""text":"look.""#,
        r#""partial_json":"\"sea\"}""#,
        r#""stop_reason":"tool_use""#,
        "message_stop",
    ] {
        assert!(lines.contains(word), "{word} in {lines}");
    }
}

#[tokio::test]
async fn a_stream_that_stops_before_it_says_why_is_cut_short() {
    let told = told();
    for kept in 0..told.len() - 2 {
        let (_, error) = streamed(Dialect::Chat, told[..kept].concat()).await;
        assert_eq!(
            error,
            Some(Unavailability::Truncated.into()),
            "after {kept} frames"
        );
    }
    // The answer is complete once its end has been said, counted or not.
    let (_, error) = streamed(Dialect::Chat, told[..told.len() - 1].concat()).await;
    assert_eq!(error, None);
}

#[tokio::test]
async fn a_stream_that_is_cut_within_a_frame_is_cut_short() {
    let told = told();
    let mut bytes = told[..3].concat();
    bytes.extend_from_slice(&told[3][..9]);
    let (_, error) = streamed(Dialect::Chat, bytes).await;
    assert_eq!(error, Some(Unavailability::Truncated.into()));
}

#[tokio::test]
async fn a_frame_whose_checksum_does_not_fit_ends_the_stream_with_an_error() {
    let told = told();
    for at in 0..told.len() - 1 {
        for (place, what) in [(8, "prelude"), (told[at].len() - 1, "message")] {
            let mut broken = told.clone();
            broken[at][place] ^= 1;
            let (_, error) = streamed(Dialect::Chat, broken.concat()).await;
            assert_eq!(
                error,
                Some(Unavailability::Garbage.into()),
                "{what} of frame {at}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_after_the_counts_can_take_the_answer_back() {
    let mut bytes = told().concat();
    bytes.extend(exception("internalServerException", "late"));
    let (chunks, error) = streamed(Dialect::Chat, bytes).await;
    assert_eq!(error, None);
    assert!(chunks.last().unwrap().facts.usage.is_some());
}

#[tokio::test]
async fn exceptions_inside_a_stream_are_told_apart() {
    let told = told();
    let throttled = ProviderError::Throttled { retry_after: None };
    let broken: ProviderError = Unavailability::ErrorInAnswer.into();
    let cases = [
        ("throttlingException", throttled.clone()),
        ("serviceUnavailableException", throttled),
        ("internalServerException", broken.clone()),
        ("modelStreamErrorException", broken.clone()),
        ("modelTimeoutException", Unavailability::Status(408).into()),
        ("somethingNewException", broken),
    ];
    for (kind, expected) in cases {
        for kept in [0, 3] {
            let mut bytes = told[..kept].concat();
            bytes.extend(exception(kind, "x"));
            let (_, error) = streamed(Dialect::Chat, bytes).await;
            assert_eq!(error, Some(expected.clone()), "{kind}");
        }
    }
    let (_, error) = streamed(Dialect::Chat, exception("validationException", "too long")).await;
    let Some(ProviderError::Rejected(body)) = error else {
        panic!("{error:?}")
    };
    assert_eq!((body.status, body.message.as_str()), (400, "too long"));
}

#[tokio::test]
async fn a_frame_of_the_type_error_is_an_error_inside_the_answer() {
    let headers = [
        (":message-type", "error"),
        (":error-code", "InternalFailure"),
        (":error-message", "the service failed"),
    ];
    let mut bytes = told()[..3].concat();
    bytes.extend(frame(&headers, ""));
    let (_, error) = streamed(Dialect::Chat, bytes).await;
    assert_eq!(error, Some(Unavailability::ErrorInAnswer.into()));
}

#[tokio::test]
async fn events_of_tomorrow_are_passed_over_and_blocks_of_tomorrow_are_not() {
    let mut told = told();
    told.insert(1, event("tideTurned", r#"{"at":1}"#));
    let (_, error) = streamed(Dialect::Chat, told.concat()).await;
    assert_eq!(error, None);
    for (kind, payload) in [
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":9,"delta":{"tide":{"height":6.5}}}"#,
        ),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":9,"start":{"image":{"format":"png"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":9,"delta":{"toolUse":{"input":"{}"}}}"#,
        ),
    ] {
        let mut strange = told.clone();
        strange.insert(1, event(kind, payload));
        let (_, error) = streamed(Dialect::Chat, strange.concat()).await;
        assert_eq!(error, Some(Unavailability::Garbage.into()), "{payload}");
    }
}

#[test]
fn blocks_that_overlap_keep_apart_and_are_numbered_as_they_open() {
    let said = |number: i32, text: &str| {
        let delta = ContentBlockDelta::Text(text.to_owned());
        let event = ContentBlockDeltaEvent::builder().delta(delta);
        let event = event.content_block_index(number).build().unwrap();
        ConverseStreamOutput::ContentBlockDelta(event)
    };
    let ended = |number: i32| {
        let event = ContentBlockStopEvent::builder().content_block_index(number);
        ConverseStreamOutput::ContentBlockStop(event.build().unwrap())
    };
    let mut steps = Steps::new("id".to_owned(), "m");
    let told = [
        said(4, "a"),
        said(7, "b"),
        said(4, "c"),
        ended(4),
        said(7, "d"),
        ended(7),
    ];
    let heard: Vec<Event> = told
        .into_iter()
        .flat_map(|it| steps.step(it).unwrap())
        .collect();
    let start = Event::Start {
        id: "id".to_owned(),
        model: "m".to_owned(),
    };
    let open = |index| Event::Open {
        index,
        opening: Opening::Text,
    };
    let piece = |index, text: &str| Event::Piece {
        index,
        piece: Piece::Text(text.to_owned()),
    };
    let expected = [
        start,
        open(0),
        piece(0, "a"),
        open(1),
        piece(1, "b"),
        piece(0, "c"),
        Event::Close { index: 0 },
        piece(1, "d"),
        Event::Close { index: 1 },
    ];
    assert_eq!(heard, expected);
}
