//! Bedrock's wire format, held against canned answers.

mod embedding;
mod failures;
mod fidelity;
mod requests;
mod streams;
mod whole;
mod wire;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_bedrockruntime::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Bedrock, BedrockConfig, Reached, config};
use crate::chunk::Chunk;
use crate::dialect::Dialect;
use crate::error::ProviderError;
use crate::provider::Provider;
use crate::request::ChatRequest;

const CLAUDE: &str = "anthropic.claude-sonnet-4-20250514-v1:0";

/// A provider whose calls are answered by `responses`, one after the other.
fn provider(responses: Vec<::http::Response<SdkBody>>) -> (Bedrock, StaticReplayClient) {
    let expected = || ::http::Request::new(SdkBody::empty());
    let events = responses.into_iter();
    let events = events.map(|response| ReplayEvent::new(expected(), response));
    let replay = StaticReplayClient::new(events.collect());
    let key = Credentials::new("AKIDTIDAL", "secret", None, None, "test");
    let found = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(key))
        .http_client(replay.clone())
        .build();
    let config = BedrockConfig::default();
    let client = config::client(&config, &found);
    let reached = OnceCell::new_with(Some(Reached { client, found }));
    (Bedrock { config, reached }, replay)
}

fn response(status: u16, body: impl Into<SdkBody>) -> ::http::Response<SdkBody> {
    let response = ::http::Response::builder().status(status);
    let response = response.header("x-amzn-requestid", "4711");
    response.body(body.into()).unwrap()
}

/// The whole answer to a `hello`, or the error.
async fn answered(
    dialect: Dialect,
    response: ::http::Response<SdkBody>,
) -> Result<Value, ProviderError> {
    let (bedrock, _) = provider(vec![response]);
    let answer = bedrock.complete(CLAUDE, &hello(dialect)).await?;
    Ok(serde_json::from_slice(&answer.body).unwrap())
}

/// The chunks of a `hello`, and the error that ended them.
async fn streamed(
    dialect: Dialect,
    frames: impl Into<SdkBody>,
) -> (Vec<Chunk>, Option<ProviderError>) {
    let (bedrock, _) = provider(vec![response(200, frames)]);
    let mut stream = bedrock.stream(CLAUDE, &hello(dialect)).await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => chunks.push(chunk),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is the end");
                return (chunks, Some(error));
            }
        }
    }
    (chunks, None)
}

fn hello(dialect: Dialect) -> ChatRequest {
    let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
    parsed(dialect, body)
}

fn parsed(dialect: Dialect, body: &str) -> ChatRequest {
    ChatRequest::parse_as(dialect, Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

/// One frame of an event.
fn event(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":message-type", "event"),
        (":event-type", kind),
        (":content-type", "application/json"),
    ];
    frame(&headers, payload)
}

fn exception(kind: &str, message: &str) -> Vec<u8> {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", kind),
        (":content-type", "application/json"),
    ];
    frame(&headers, &format!(r#"{{"message":"{message}"}}"#))
}

fn frame(headers: &[(&'static str, &str)], payload: &str) -> Vec<u8> {
    let mut message = Message::new(Bytes::copy_from_slice(payload.as_bytes()));
    for (name, value) in headers {
        let value = HeaderValue::String((*value).to_owned().into());
        message = message.add_header(Header::new(*name, value));
    }
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).unwrap();
    bytes
}
