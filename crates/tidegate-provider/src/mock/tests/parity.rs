use bytes::Bytes;
use futures_util::StreamExt;

use super::chat_json;
use super::over_http::Server;
use crate::anthropic::{Anthropic, AnthropicConfig};
use crate::dialect::{Dialect, MaxTokensField};
use crate::embed_request::EmbedRequest;
use crate::error::ProviderError;
use crate::mock::{Behavior, Mock, Script};
use crate::openai::{OpenAi, OpenAiConfig};
use crate::provider::Provider;
use crate::request::ChatRequest;

type Outcome = Result<usize, (usize, &'static str)>;

fn request(dialect: Dialect, fields: &str) -> ChatRequest {
    let body = chat_json("alias", &format!(r#","max_tokens":9{fields}"#));
    ChatRequest::parse_as(dialect, Bytes::from(body)).unwrap()
}

async fn completed(provider: &dyn Provider, dialect: Dialect, model: &str) -> Outcome {
    match provider.complete(model, &request(dialect, "")).await {
        Ok(completion) => Ok(completion.body.len()),
        Err(error) => Err((0, error.code())),
    }
}

async fn embedded(provider: &dyn Provider, model: &str) -> Outcome {
    let body = Bytes::from_static(br#"{"model":"alias","input":["tide","gate"]}"#);
    match provider
        .embed(model, &EmbedRequest::parse(body).unwrap())
        .await
    {
        Ok(completion) => Ok(completion.body.len()),
        Err(error) => Err((0, error.code())),
    }
}

/// Chunks until the end, and the error that it ended with.
async fn streamed(provider: &dyn Provider, dialect: Dialect, model: &str) -> Outcome {
    let code = |chunks, error: ProviderError| (chunks, error.code());
    let request = request(dialect, r#","stream":true"#);
    let mut stream = provider
        .stream(model, &request)
        .await
        .map_err(|error| code(0, error))?;
    let mut chunks = 0;
    while let Some(next) = stream.next().await {
        next.map_err(|error| code(chunks, error))?;
        chunks += 1;
    }
    Ok(chunks)
}

/// Holds the mock in process against an adapter that asks the same mock over
/// a socket, for every behavior that ends.
async fn check_parity(dialect: Dialect, mock: &Mock, remote: &dyn Provider) {
    for behavior in Behavior::examples() {
        if matches!(behavior, Behavior::Hang | Behavior::Drip) {
            continue;
        }
        let model = behavior.to_string();
        let (here, there) = (
            completed(mock, dialect, &model).await,
            completed(remote, dialect, &model).await,
        );
        assert_eq!(here, there, "{model} as a whole");
        let (here, there) = (
            streamed(mock, dialect, &model).await,
            streamed(remote, dialect, &model).await,
        );
        assert_eq!(here, there, "{model} as a stream");
    }
}

fn script() -> Script {
    Script {
        events: 4,
        ..Script::default()
    }
}

#[tokio::test]
async fn the_mock_says_in_process_what_the_adapter_reads_from_the_server() {
    let server = Server::start(script()).await;
    let config = OpenAiConfig {
        base_url: format!("http://{}/v1", server.address).parse().unwrap(),
        api_key: None,
        headers: vec![],
        stream_usage: true,
        max_tokens_field: MaxTokensField::default(),
    };
    let (mock, remote) = (Mock::new(script()), OpenAi::new(&config).unwrap());
    check_parity(Dialect::Chat, &mock, &remote).await;
    for behavior in Behavior::examples() {
        if matches!(behavior, Behavior::Hang | Behavior::Drip) {
            continue;
        }
        let model = behavior.to_string();
        let (here, there) = (
            embedded(&mock, &model).await,
            embedded(&remote, &model).await,
        );
        assert_eq!(here, there, "{model} for embeddings");
    }
}

#[tokio::test]
async fn the_mock_says_the_same_in_anthropics_dialect() {
    let server = Server::start(script()).await;
    let config = AnthropicConfig {
        base_url: format!("http://{}", server.address).parse().unwrap(),
        ..AnthropicConfig::default()
    };
    let (mock, remote) = (Mock::new(script()), Anthropic::new(&config).unwrap());
    check_parity(Dialect::Messages, &mock, &remote).await;
    let whole = completed(&remote, Dialect::Messages, "any").await;
    assert!(whole.is_ok_and(|bytes| bytes > 0));
    // The start, a block of four pieces between its ends, the delta, the stop.
    let streamed = streamed(&remote, Dialect::Messages, "any").await;
    assert_eq!(streamed, Ok(1 + 1 + 4 + 1 + 2));
}
