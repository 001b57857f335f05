use bytes::Bytes;
use futures_util::StreamExt;

use super::over_http::Server;
use super::{chat, chat_json};
use crate::embed_request::EmbedRequest;
use crate::error::ProviderError;
use crate::mock::{Behavior, Mock, Script};
use crate::openai::{OpenAi, OpenAiConfig};
use crate::provider::Provider;
use crate::request::ChatRequest;

type Outcome = Result<usize, (usize, &'static str)>;

async fn completed(provider: &dyn Provider, model: &str) -> Outcome {
    match provider.complete(model, &chat("alias")).await {
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
async fn streamed(provider: &dyn Provider, model: &str) -> Outcome {
    let code = |chunks, error: ProviderError| (chunks, error.code());
    let body = Bytes::from(chat_json("alias", r#","stream":true"#));
    let request = ChatRequest::parse(body).unwrap();
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

#[tokio::test]
async fn the_mock_says_in_process_what_the_adapter_reads_from_the_server() {
    let script = Script {
        events: 4,
        ..Script::default()
    };
    let server = Server::start(script.clone()).await;
    let config = OpenAiConfig {
        base_url: format!("http://{}/v1", server.address).parse().unwrap(),
        api_key: None,
        headers: vec![],
        stream_usage: true,
    };
    let (mock, remote) = (Mock::new(script), OpenAi::new(&config).unwrap());
    for behavior in Behavior::examples() {
        if matches!(behavior, Behavior::Hang | Behavior::Drip) {
            continue;
        }
        let model = behavior.to_string();
        let (here, there) = (
            completed(&mock, &model).await,
            completed(&remote, &model).await,
        );
        assert_eq!(here, there, "{model} as a whole");
        let (here, there) = (
            streamed(&mock, &model).await,
            streamed(&remote, &model).await,
        );
        assert_eq!(here, there, "{model} as a stream");
        let (here, there) = (
            embedded(&mock, &model).await,
            embedded(&remote, &model).await,
        );
        assert_eq!(here, there, "{model} for embeddings");
    }
}
