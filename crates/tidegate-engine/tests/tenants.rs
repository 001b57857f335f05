//! What a tenant holds of its own limits, and for how long.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tidegate_engine::mock::{Mock, Script};
use tidegate_engine::{
    Answer, AnswerBody, AnswerStream, Caller, ChainConfig, ChatRequest, Context, Deadline, Engine,
    EngineConfig, EngineError, EntryConfig, ProviderConfig, ProviderKind, Quota,
};

/// An engine with one tenant that may use `quota`; the models have no limits.
struct Gate {
    engine: Engine,
    tenant: Caller,
}

impl Gate {
    fn new(quota: Quota) -> Self {
        let provider = ProviderConfig {
            name: "up".to_owned(),
            kind: ProviderKind::Custom(Arc::new(Mock::new(Script::default()))),
        };
        let entry = EntryConfig {
            quota: Quota::unlimited(),
            ..EntryConfig::new("up", "answer")
        };
        let config = EngineConfig {
            providers: vec![provider],
            chains: vec![ChainConfig {
                name: "m".to_owned(),
                entries: vec![entry],
            }],
            ..EngineConfig::default()
        };
        Self {
            engine: Engine::assemble(config).expect("a valid configuration"),
            tenant: Caller::new("t", quota),
        }
    }

    async fn ask(&self, fields: &str) -> Result<Answer, EngineError> {
        let message = r#"{"role":"user","content":"hello"}"#;
        let body = format!(r#"{{"model":"m","max_tokens":500,{fields}"messages":[{message}]}}"#);
        let request = ChatRequest::parse(Bytes::from(body)).expect("a valid request");
        let deadline = Deadline::after(Duration::from_secs(60));
        let context = Context::new(self.tenant.clone(), deadline);
        self.engine.chat(request, &context).await
    }

    async fn stream(&self) -> Box<AnswerStream> {
        let answer = self.ask(r#""stream":true,"#).await;
        match answer.expect("the stream begins").body {
            AnswerBody::Stream(stream) => stream,
            AnswerBody::Whole(body) => panic!("no stream: {body:?}"),
        }
    }

    #[track_caller]
    fn check_limited(answer: &Result<Answer, EngineError>, by: &str) {
        assert!(
            matches!(answer, Err(EngineError::TenantLimited { limit, .. }) if *limit == by),
            "{answer:?}"
        );
    }
}

/// About 600 tokens are reserved for each request, and far fewer are used.
#[tokio::test]
async fn an_answer_gives_back_the_tokens_that_it_did_not_use() {
    let gate = Gate::new(Quota {
        tokens: Some(1_000),
        ..Quota::unlimited()
    });
    for _ in 0..3 {
        let answer = gate.ask("").await;
        assert!(answer.is_ok(), "{answer:?}");
    }
    for _ in 0..3 {
        let mut stream = gate.stream().await;
        while let Some(chunk) = stream.next().await {
            chunk.expect("the stream is sound");
        }
    }
}

#[tokio::test]
async fn a_stream_holds_its_tenants_place_until_it_ends_or_is_left() {
    let gate = Gate::new(Quota {
        concurrent: Some(1),
        ..Quota::unlimited()
    });
    let mut stream = gate.stream().await;
    Gate::check_limited(&gate.ask("").await, "concurrency");
    while stream.next().await.is_some() {}
    assert!(gate.ask("").await.is_ok());
    let left = gate.stream().await;
    Gate::check_limited(&gate.ask("").await, "concurrency");
    drop(left);
    assert!(gate.ask("").await.is_ok());
}

#[tokio::test]
async fn a_stream_under_way_holds_its_tokens() {
    let gate = Gate::new(Quota {
        tokens: Some(1_000),
        ..Quota::unlimited()
    });
    let stream = gate.stream().await;
    Gate::check_limited(&gate.ask("").await, "tokens");
    drop(stream);
    assert!(gate.ask("").await.is_ok());
}
