//! Chats that come back with all their turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tidegate_engine::mock::{Mock, Script};
use tidegate_engine::{
    Caller, ChainConfig, ChatRequest, Context, Deadline, Direction, Engine, EngineConfig,
    EntryConfig, GuardConfig, L2Outcome, ProviderConfig, ProviderKind, Quota, SecondConfig,
    StageSource,
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
    let counts = engine.health().await.guard.l2;
    let texts: usize = (1..=TURNS).sum::<usize>() * CHATS;
    let read = slow.windows();
    println!(
        "\n{CHATS} conversations of {TURNS} turns, {texts} questions in prompts, {took:.1} s: the \
         model read {read} texts, answers of the upstream included."
    );
    // The guard counts the worst of a request's texts; the windows are counted by the model.
    let of = |wanted| {
        let prompts = counts.iter().filter(|(direction, outcome, _)| {
            (*direction, *outcome) == (Direction::Prompt, wanted)
        });
        prompts.map(|(_, _, count)| count).sum::<u64>()
    };
    let (completed, cached) = (of(L2Outcome::Completed), of(L2Outcome::Cached));
    let share = 100.0 * (1.0 - (read.saturating_sub(1)) as f64 / texts as f64);
    println!(
        "Prompts by outcome: completed {completed}, cached {cached}. Hit rate of the questions: {share:.1} %."
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
