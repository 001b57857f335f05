//! What the engine makes of limits that all nodes share: what other nodes have
//! seen fail, and a home that cannot be asked. In virtual time.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_engine::mock::{Behavior, Mock, Script};
use tidegate_engine::{
    Answer, Caller, ChainConfig, ChatRequest, Context, Deadline, Engine, EngineConfig, EngineError,
    EntryConfig, Health, Level, ProviderConfig, ProviderKind, Quota, Store, UnknownReservation,
};
use tidegate_store::{Cooling, Limits, MemoryLimits, Refused, Reservation, TooManyHeld, Used};
use tokio::time::Instant;

/// A home that answers as it is told to, and remembers what it was told.
#[derive(Debug, Default)]
struct Scripted {
    real: MemoryLimits,
    refusal: Mutex<Option<Refused>>,
    granted_here: bool,
    told: Mutex<Vec<String>>,
}

#[async_trait]
impl Limits for Scripted {
    async fn reserve(&self, key: &str, quota: &Quota, tokens: u64) -> Result<Reservation, Refused> {
        if let Some(refused) = self.refusal.lock().unwrap().clone() {
            return Err(refused);
        }
        let granted = self.real.reserve(key, quota, tokens).await?;
        Ok(if self.granted_here {
            granted.granted_here()
        } else {
            granted
        })
    }

    async fn hold(
        &self,
        owner: &str,
        key: &str,
        reservation: Reservation,
        lease: Duration,
    ) -> Result<String, TooManyHeld> {
        self.real.hold(owner, key, reservation, lease).await
    }

    async fn settle(
        &self,
        owner: &str,
        id: &str,
        used: Used,
    ) -> Result<String, UnknownReservation> {
        self.real.settle(owner, id, used).await
    }

    fn cool(&self, key: &str, _cooldown: Duration, cooling: Cooling) {
        self.told
            .lock()
            .unwrap()
            .push(format!("cool {key} {cooling:?}"));
    }

    fn warm(&self, key: &str) {
        self.told.lock().unwrap().push(format!("warm {key}"));
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn level(&self, key: &str) -> Level {
        self.real.level(key).await
    }
}

fn engine(limits: Arc<Scripted>, script: Script) -> Engine {
    let mut store = Store::memory(1 << 20);
    store.limits = limits;
    let config = EngineConfig {
        providers: vec![ProviderConfig {
            name: "up".to_owned(),
            kind: ProviderKind::Custom(Arc::new(Mock::new(script))),
        }],
        chains: vec![ChainConfig {
            name: "m".to_owned(),
            entries: vec![EntryConfig::new("up", "m")],
        }],
        store: Some(store),
        ..EngineConfig::default()
    };
    Engine::assemble(config).unwrap()
}

async fn ask(engine: &Engine) -> Result<Answer, EngineError> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    let request = ChatRequest::parse(Bytes::from_static(body.as_bytes())).unwrap();
    let deadline = Deadline::after(Duration::from_secs(60));
    engine
        .chat(request, &Context::new(Caller::default(), deadline))
        .await
}

fn refusing(refused: Refused) -> Arc<Scripted> {
    Arc::new(Scripted {
        refusal: Mutex::new(Some(refused)),
        ..Scripted::default()
    })
}

#[tokio::test(start_paused = true)]
async fn who_wants_nothing_granted_without_the_store_hears_it_at_once() {
    let retry_after = Duration::from_secs(1);
    let engine = engine(
        refusing(Refused::Unreachable { retry_after }),
        Script::default(),
    );
    let began = Instant::now();
    let error = ask(&engine).await.unwrap_err();
    assert!(
        matches!(error, EngineError::LimitsUnreachable { .. }),
        "{error:?}"
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_lost_question_is_asked_again() {
    let retry_after = Duration::from_millis(20);
    let limits = refusing(Refused::Unreachable { retry_after });
    let engine = engine(limits.clone(), Script::default());
    let heals = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        *limits.refusal.lock().unwrap() = None;
    };
    let (answer, ()) = tokio::join!(ask(&engine), heals);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_this_node_grants_alone_is_said() {
    let limits = Arc::new(Scripted {
        granted_here: true,
        ..Scripted::default()
    });
    let answer = ask(&engine(limits, Script::default())).await.unwrap();
    assert_eq!(answer.head.degraded, ["store:local"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_node_has_seen_fail_is_left_alone_here() {
    let limits = refusing(Refused::Cooling {
        retry_after: Duration::from_secs(120),
        cooling: Cooling::Failures,
    });
    let engine = engine(limits, Script::default());
    let began = Instant::now();
    assert!(ask(&engine).await.is_err());
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let health = engine.health().await;
    assert_eq!(health.entries[0].breaker.state, Health::CircuitOpen);
    assert_eq!(health.entries[0].counts.total, 0, "nothing was sent");
}

#[tokio::test(start_paused = true)]
async fn other_nodes_are_told_what_fails_and_what_serves_again() {
    let limits = Arc::new(Scripted::default());
    let pause = Some(Duration::from_secs(30));
    let script = Script {
        faults: vec![(Behavior::Throttle { retry_after: pause }, 1.0)],
        ..Script::default()
    };
    let engine = engine(limits.clone(), script);
    assert!(ask(&engine).await.is_err());
    assert_eq!(
        limits.told.lock().unwrap()[0],
        "cool */limit/up/m Throttled"
    );
    engine.reset("up/m");
    assert_eq!(
        limits.told.lock().unwrap().last().unwrap(),
        "warm */limit/up/m"
    );
}
