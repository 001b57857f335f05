//! Chats that come back with all their turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_engine::mock::{Mock, Script};
use tidegate_engine::{
    Caller, ChainConfig, ChatRequest, Context, Deadline, Engine, EngineConfig, EntryConfig,
    GuardConfig, ProviderConfig, ProviderKind, Quota, SecondConfig, StageSource,
};

use crate::stage::Slow;

const CHATS: usize = 20;
const TURNS: usize = 20;

/// 20 conversations of 20 turns, each request with all questions before it.
pub(crate) async fn table() {
    let slow = Slow::new();
    let engine = with_upstream(&slow);
    let started = Instant::now();
    for chat in 0..CHATS {
        let mut messages = Vec::new();
        for turn in 0..TURNS {
            let question = format!("Question {turn} of guest {chat}: which ferry is next?");
            messages.push(format!(r#"{{"role":"user","content":"{question}"}}"#));
            let body = format!(r#"{{"model":"m","messages":[{}]}}"#, messages.join(","));
            let request = ChatRequest::parse(Bytes::from(body)).expect("a valid request");
            let deadline = Deadline::after(Duration::from_secs(60));
            let context = Context::new(Caller::default(), deadline);
            engine.chat(request, &context).await.expect("an answer");
        }
    }
    let took = started.elapsed().as_secs_f64();
    let asked: usize = (1..=TURNS).sum::<usize>() * CHATS;
    // The answer of the upstream is always the same: it is read once.
    let read = slow.runs() - 1;
    assert!(read >= CHATS * TURNS, "every question is new once");
    let share = 100.0 * (1.0 - read as f64 / asked as f64);
    println!(
        "\n{CHATS} conversations of {TURNS} turns: {asked} questions in prompts, of which the \
         model read {read}: {share:.1} % were remembered. {took:.1} s."
    );
}

fn with_upstream(slow: &Arc<Slow>) -> Engine {
    let entry = EntryConfig {
        quota: Quota::unlimited(),
        ..EntryConfig::new("up", "answer")
    };
    let config = EngineConfig {
        providers: vec![ProviderConfig {
            name: "up".to_owned(),
            kind: ProviderKind::Custom(Arc::new(Mock::new(Script::default()))),
        }],
        chains: vec![ChainConfig {
            name: "m".to_owned(),
            entries: vec![entry],
        }],
        guard: GuardConfig {
            second: Some(SecondConfig {
                timeout: Duration::from_secs(60),
                from_score: 0.0,
                ..SecondConfig::new(StageSource::Loaded(slow.clone()))
            }),
            ..GuardConfig::default()
        },
        ..EngineConfig::default()
    };
    Engine::assemble(config).expect("a valid configuration")
}
