//! Embeddings.

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{provider, response};
use crate::embed_request::EmbedRequest;
use crate::error::ProviderError;
use crate::provider::Provider;

const TITAN: &str = "amazon.titan-embed-text-v2:0";
const COHERE: &str = "cohere.embed-english-v3";

/// The bodies that went out, and the answer.
async fn embedded(
    model: &str,
    fields: &str,
    responses: Vec<::http::Response<SdkBody>>,
) -> Result<(Vec<Value>, Value), ProviderError> {
    let (bedrock, replay) = provider(responses);
    let body = format!(r#"{{"model":"m",{fields}}}"#);
    let request = EmbedRequest::parse(Bytes::from(body)).unwrap();
    let answer = bedrock.embed(model, &request).await?;
    let total = answer.usage.unwrap().total();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer["usage"]["total_tokens"], total);
    let sent = replay.actual_requests().map(|request| {
        assert!(request.uri().ends_with("/invoke"));
        serde_json::from_slice(request.body().bytes().unwrap()).unwrap()
    });
    Ok((sent.collect(), answer))
}

fn titan(vector: &str, tokens: u64) -> ::http::Response<SdkBody> {
    response(
        200,
        format!(r#"{{"embedding":{vector},"inputTextTokenCount":{tokens}}}"#),
    )
}

async fn refused(model: &str, fields: &str) -> (u16, String) {
    match embedded(model, fields, vec![]).await {
        Err(ProviderError::NotServed(body) | ProviderError::Rejected(body)) => {
            (body.status, body.param.unwrap())
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn titan_gets_one_text_per_call_and_the_answers_keep_their_order() {
    let responses = (1..=6)
        .map(|n| titan(&format!("[{n}.50,-0.25]"), n))
        .collect();
    let fields = r#""input":["a","b","c","d","e","f"],"dimensions":256"#;
    let (sent, answer) = embedded(TITAN, fields, responses).await.unwrap();
    assert_eq!(sent[0], json!({"inputText": "a", "dimensions": 256}));
    assert_eq!(sent.len(), 6);
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["model"], TITAN);
    assert_eq!(answer["usage"]["prompt_tokens"], 21);
    for n in 0..6 {
        let item = &answer["data"][n];
        assert_eq!(item["index"], n);
        assert_eq!(item["embedding"], json!([n as f64 + 1.5, -0.25]));
    }
}

#[tokio::test]
async fn cohere_gets_96_texts_per_call() {
    let texts: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let vectors = |count| {
        let body = json!({"embeddings": {"float": vec![[0.5, 1.0]; count]}});
        let mut response = response(200, body.to_string());
        let headers = response.headers_mut();
        headers.insert("x-amzn-bedrock-input-token-count", "10".parse().unwrap());
        response
    };
    let fields = format!(r#""input":{}"#, json!(texts));
    let (sent, answer) = embedded(COHERE, &fields, vec![vectors(96), vectors(4)])
        .await
        .unwrap();
    assert_eq!(
        sent[1],
        json!({
            "texts": ["96", "97", "98", "99"], "input_type": "search_document",
            "truncate": "NONE", "embedding_types": ["float"],
        })
    );
    assert_eq!(answer["data"].as_array().unwrap().len(), 100);
    assert_eq!(answer["usage"]["prompt_tokens"], 20);
}

#[tokio::test]
async fn coheres_older_answers_are_read_too() {
    let plain = response(
        200,
        r#"{"embeddings":[[0.5],[1.5]],"response_type":"embeddings_floats"}"#,
    );
    let (_, answer) = embedded(COHERE, r#""input":["a","b"]"#, vec![plain])
        .await
        .unwrap();
    assert_eq!(answer["data"][1]["embedding"], json!([1.5]));
}

#[tokio::test]
async fn base64_is_little_endian_f32() {
    let fields = r#""input":"a","encoding_format":"base64""#;
    let (_, answer) = embedded(TITAN, fields, vec![titan("[1.0,-2.5]", 1)])
        .await
        .unwrap();
    assert_eq!(answer["data"][0]["embedding"], "AACAPwAAIMA=");
}

#[tokio::test]
async fn what_a_model_cannot_embed_is_refused() {
    let input = r#""input":"a""#;
    assert_eq!(
        refused("amazon.nova-lite-v1:0", input).await,
        (404, "model".to_owned())
    );
    assert_eq!(
        refused(TITAN, r#""input":[1,2]"#).await,
        (400, "input".to_owned())
    );
    let dimensions = r#""input":"a","dimensions":300"#;
    assert_eq!(
        refused(TITAN, dimensions).await,
        (400, "dimensions".to_owned())
    );
    let dimensions = r#""input":"a","dimensions":256"#;
    for model in ["amazon.titan-embed-text-v1", COHERE] {
        assert_eq!(
            refused(model, dimensions).await,
            (400, "dimensions".to_owned())
        );
    }
    let user = r#""input":"a","user":"eve""#;
    assert_eq!(refused(TITAN, user).await, (400, "user".to_owned()));
}
