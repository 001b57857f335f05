use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use super::chat;
use crate::dialect::Dialect;
use crate::embed_request::EmbedRequest;
use crate::error::{ProviderError, Unavailability};
use crate::mock::{Behavior, Limit, Mock, Outage, Script, parse_faults};
use crate::provider::{Completion, Provider};
use crate::request::ChatRequest;
use crate::spoken::spoken_answer;

const SECOND: Duration = Duration::from_secs(1);

fn mock() -> Mock {
    Mock::new(Script {
        events: 4,
        ..Script::default()
    })
}

async fn complete(mock: &Mock, model: &str) -> Result<Completion, ProviderError> {
    mock.complete(model, &chat("alias")).await
}

/// How many chunks came, and how the stream ended.
async fn stream(mock: &Mock, model: &str) -> (usize, Result<(), ProviderError>) {
    let mut stream = match mock.stream(model, &chat("alias")).await {
        Ok(stream) => stream,
        Err(error) => return (0, Err(error)),
    };
    let mut chunks = 0;
    while let Some(next) = stream.next().await {
        match next {
            Ok(_) => chunks += 1,
            Err(error) => return (chunks, Err(error)),
        }
    }
    (chunks, Ok(()))
}

fn throttled(seconds: Option<u64>) -> ProviderError {
    ProviderError::Throttled {
        retry_after: seconds.map(Duration::from_secs),
    }
}

#[tokio::test]
async fn any_other_model_name_gets_an_ordinary_answer() {
    let completion = complete(&mock(), "gpt-x").await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&completion.body).unwrap();
    assert_eq!(body["model"], "gpt-x");
    assert_eq!(completion.usage.unwrap().completion_tokens, 4);
    // Role, content, end, usage.
    assert_eq!(stream(&mock(), "gpt-x").await, (1 + 4 + 1 + 1, Ok(())));
}

#[tokio::test]
async fn a_legacy_completion_is_answered_whole_and_streamed() {
    let body = Bytes::from_static(br#"{"model":"m","prompt":["a","b"]}"#);
    let request = ChatRequest::parse_as(Dialect::Completion, body).unwrap();
    let completion = mock().complete("m", &request).await.unwrap();
    let said = spoken_answer(Dialect::Completion, &completion.body);
    let texts: Vec<&str> = said.iter().map(|spoken| &*spoken.text).collect();
    assert_eq!(texts, ["token token token token "; 2]);
    let stream = mock().stream("m", &request).await.unwrap();
    let chunks: Vec<_> = stream.map(Result::unwrap).collect().await;
    let finished: u64 = chunks.iter().map(|chunk| chunk.facts.finished).sum();
    assert_eq!(finished, 2);
    let said = chunks
        .iter()
        .flat_map(|chunk| chunk.spoken(Dialect::Completion));
    assert_eq!(said.count(), 2 * 4);
}

#[tokio::test]
async fn refusals_are_classified_as_the_adapter_does() {
    let error = async |model| complete(&mock(), model).await.unwrap_err();
    assert_eq!(error("throttle").await, throttled(None));
    assert_eq!(error("throttle-7").await, throttled(Some(7)));
    assert_eq!(error("overloaded").await, throttled(None));
    assert_eq!(error("unavailable").await, throttled(None));
    assert_eq!(
        error("status-500").await,
        Unavailability::Status(500).into()
    );
    assert_eq!(error("html").await, Unavailability::Status(502).into());
    assert_eq!(error("reset").await, Unavailability::Reset.into());
    assert_eq!(
        error("error-in-answer").await,
        Unavailability::ErrorInAnswer.into()
    );
    let ProviderError::Rejected(body) = error("status-422").await else {
        panic!("not rejected")
    };
    assert_eq!(
        (body.status, &*body.message),
        (422, "the mock answers with status 422")
    );
}

#[tokio::test]
async fn streams_break_where_their_behavior_says() {
    let end = async |model| stream(&mock(), model).await;
    assert_eq!(
        end("truncate").await,
        (4, Err(Unavailability::Truncated.into()))
    );
    assert_eq!(
        end("reset-mid").await,
        (4, Err(Unavailability::Truncated.into()))
    );
    assert_eq!(end("error-in-stream").await, (1, Err(throttled(None))));
    assert_eq!(end("error-after-content").await, (4, Err(throttled(None))));
    assert_eq!(
        end("garbage").await,
        (0, Err(Unavailability::Garbage.into()))
    );
    assert_eq!(
        end("empty").await,
        (0, Err(Unavailability::Truncated.into()))
    );
    assert_eq!(end("no-done").await, (7, Ok(())));
    assert_eq!(end("huge-line").await.1.unwrap_err().code(), "too_large");
}

#[tokio::test(start_paused = true)]
async fn a_hang_lasts_until_the_caller_gives_up_and_counts_as_cancelled() {
    let mock = mock();
    assert!(
        timeout(3_600 * SECOND, complete(&mock, "hang"))
            .await
            .is_err()
    );
    assert_eq!(
        (mock.calls(), mock.in_flight(), mock.cancelled()),
        (1, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_drip_begins_and_never_goes_on() {
    let mock = mock();
    let mut stream = mock.stream("drip", &chat("alias")).await.unwrap();
    assert!(!stream.next().await.unwrap().unwrap().facts.has_content);
    assert!(timeout(3_600 * SECOND, stream.next()).await.is_err());
    assert_eq!(mock.in_flight(), 1);
    drop(stream);
    assert_eq!((mock.in_flight(), mock.cancelled()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn latency_and_gaps_pass_in_virtual_time() {
    let script = Script {
        latency: SECOND,
        event_gap: SECOND,
        events: 4,
        ..Script::default()
    };
    let mock = Mock::new(script);
    let start = Instant::now();
    complete(&mock, "m").await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    stream(&mock, "m").await.1.unwrap();
    assert_eq!(start.elapsed(), 2 * SECOND + 6 * SECOND);
    complete(&mock, "slow-5000").await.unwrap();
    assert_eq!(start.elapsed(), 13 * SECOND);
    let log = mock.log();
    let arrivals: Vec<_> = log
        .iter()
        .map(|(at, model)| (*at - start, &**model))
        .collect();
    assert_eq!(
        arrivals,
        [
            (Duration::ZERO, "m"),
            (SECOND, "m"),
            (8 * SECOND, "slow-5000")
        ]
    );
}

#[tokio::test]
async fn a_stream_that_was_read_to_its_end_is_not_cancelled() {
    let mock = mock();
    let read = mock.stream("m", &chat("alias")).await.unwrap();
    let left = mock.stream("m", &chat("alias")).await.unwrap();
    assert_eq!((mock.in_flight(), mock.max_in_flight()), (2, 2));
    assert_eq!(read.count().await, 7);
    assert_eq!((mock.in_flight(), mock.cancelled()), (1, 0));
    drop(left);
    assert_eq!(
        (mock.in_flight(), mock.cancelled(), mock.max_in_flight()),
        (0, 1, 2)
    );
}

#[tokio::test]
async fn the_script_can_change_while_the_mock_runs() {
    let mock = mock();
    complete(&mock, "m").await.unwrap();
    let faults = parse_faults("reset:1").unwrap();
    mock.set_script(Script {
        faults,
        ..Script::default()
    });
    assert_eq!(
        complete(&mock, "m").await,
        Err(Unavailability::Reset.into())
    );
}

#[tokio::test]
async fn the_same_seed_hits_the_same_requests() {
    let faults = async |seed| {
        let faults = parse_faults("reset:0.3,status-500:0.2").unwrap();
        let mock = Mock::new(Script {
            faults,
            seed,
            ..Script::default()
        });
        let mut outcomes = Vec::new();
        for _ in 0..50 {
            let outcome = complete(&mock, "m").await;
            outcomes.push(outcome.err().map(|error| error.code()));
        }
        outcomes
    };
    assert_eq!(faults(1).await, faults(1).await);
    assert_ne!(faults(1).await, faults(2).await);
}

#[tokio::test(start_paused = true)]
async fn an_outage_lasts_as_long_as_the_script_says() {
    let outage = Outage {
        from: SECOND,
        until: 3 * SECOND,
        behavior: Behavior::Status(500),
    };
    let mock = Mock::new(Script {
        outages: vec![outage],
        ..Script::default()
    });
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(complete(&mock, "m").await.is_ok());
        tokio::time::advance(SECOND).await;
    }
    assert_eq!(outcomes, [true, false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn an_honest_limit_says_when_to_come_back() {
    let limit = Limit {
        requests: 2,
        tokens: None,
        window: 10 * SECOND,
        retry_after: true,
    };
    let mock = Mock::new(Script {
        limit: Some(limit),
        ..Script::default()
    });
    complete(&mock, "m").await.unwrap();
    tokio::time::advance(SECOND).await;
    complete(&mock, "m").await.unwrap();
    assert_eq!(complete(&mock, "m").await, Err(throttled(Some(9))));
    tokio::time::advance(9 * SECOND).await;
    complete(&mock, "m").await.unwrap();
}

#[tokio::test]
async fn embeddings_have_a_vector_per_input() {
    let request = Bytes::from_static(br#"{"model":"e","input":["a","b","a"]}"#);
    let request = EmbedRequest::parse(request).unwrap();
    let completion = mock().embed("e", &request).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&completion.body).unwrap();
    let vector = |at: usize| &body["data"][at]["embedding"];
    assert_eq!(vector(0).as_array().unwrap().len(), 8);
    assert_eq!(vector(0), vector(2));
    assert_ne!(vector(0), vector(1));
}
