use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tidegate_engine::{
    ChainConfig, Engine, EntryConfig, ProviderConfig, ProviderKind, Quota, mock,
};
use tower::ServiceExt as _;

use super::*;
use crate::http::app;

fn fact(path: &str, fingerprint: u64, holds: Holds) -> Fact {
    Fact {
        path: path.to_owned(),
        fingerprint,
        holds,
    }
}

/// A chain `m` without limits, as revision `number` of the configuration. The
/// first one is never answered.
fn draft(number: u64) -> Draft {
    let model = if number == 0 { "hang" } else { "answer" };
    let entry = EntryConfig {
        quota: Quota::unlimited(),
        ..EntryConfig::new("up", model)
    };
    Draft {
        tasks: tidegate_engine::TasksConfig::default(),
        engine: EngineConfig {
            providers: vec![ProviderConfig {
                name: "up".to_owned(),
                kind: ProviderKind::Mock(mock::Script::default()),
            }],
            chains: vec![ChainConfig {
                name: "m".to_owned(),
                entries: vec![entry],
            }],
            ..EngineConfig::default()
        },
        settings: GateSettings::default(),
        keys: KeyRing::default(),
        facts: vec![fact("models[0].chain", number, Holds::AtOnce)],
    }
}

/// Another configuration at every look.
#[derive(Debug, Default)]
struct Numbered {
    reads: Arc<AtomicUsize>,
    readers: AtomicUsize,
}

impl Source for Numbered {
    fn read(&self) -> Result<Draft, Vec<Mistake>> {
        assert_eq!(self.readers.fetch_add(1, Ordering::SeqCst), 0);
        let number = self.reads.fetch_add(1, Ordering::SeqCst) + 1;
        std::thread::yield_now();
        self.readers.fetch_sub(1, Ordering::SeqCst);
        Ok(draft(number as u64))
    }
}

fn gate() -> Arc<Gate> {
    Arc::new(Gate::assemble(draft(0), Box::new(Numbered::default())).unwrap())
}

/// Reads nothing but one thing that is wrong.
#[derive(Debug)]
struct Wrong;

impl Source for Wrong {
    fn read(&self) -> Result<Draft, Vec<Mistake>> {
        Err(vec![Mistake {
            place: "file:1:2".to_owned(),
            text: "folder/file:1:2: what is wrong".to_owned(),
        }])
    }
}

/// Fails in our own hands.
#[derive(Debug)]
struct Panics;

impl Source for Panics {
    fn read(&self) -> Result<Draft, Vec<Mistake>> {
        panic!("a mistake of ours")
    }
}

fn chat() -> Request<Body> {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
    let request = Request::post("/v1/chat/completions")
        .header("host", "localhost")
        .header("content-type", "application/json");
    request.body(Body::from(body)).unwrap()
}

#[tokio::test]
async fn a_revision_is_kept_by_its_requests_and_gone_with_the_last_of_them() {
    let gate = gate();
    let router = app(gate.clone());
    let first = Arc::downgrade(&gate.current.load());
    let mut waiting = Box::pin(router.clone().oneshot(chat()));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let mut later = Vec::new();
    for _ in 0..1_000 {
        gate.reload().await.unwrap();
        let answer = router.clone().oneshot(chat()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(status, StatusCode::OK, "{body:?}");
        later.push(Arc::downgrade(&gate.current.load()));
    }
    let alive = |known: &&std::sync::Weak<Live>| known.strong_count() > 0;
    assert_eq!(
        (alive(&&first), later.iter().filter(alive).count()),
        (true, 1)
    );
    drop(waiting);
    assert!(!alive(&&first));
}

#[tokio::test]
async fn reloads_take_turns_even_where_a_caller_leaves() {
    let gate = gate();
    let reloads = (0..50).map(|number| {
        let gate = gate.clone();
        async move {
            let mut reload = std::pin::pin!(gate.reload());
            if number % 3 == 0 {
                let _ = futures_util::poll!(&mut reload);
                return 0;
            }
            reload.await.unwrap().revision
        }
    });
    let mut revisions = futures_util::future::join_all(reloads).await;
    revisions.retain(|revision| *revision > 0);
    let count = revisions.len();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), count);
    gate.reload().await.unwrap();
    let tally = gate.reloads.tally();
    assert_eq!(tally.applied + 1, gate.current.load().revision);
    assert_eq!(tally.refused, 0);
}

#[tokio::test]
async fn a_gate_without_a_source_has_nothing_new() {
    let gate = Arc::new(Gate::new(
        Engine::assemble(draft(0).engine).unwrap(),
        GateSettings::default(),
    ));
    let applied = gate.reload().await.unwrap();
    let nothing_new = Applied {
        revision: 2,
        changed: Vec::new(),
    };
    assert_eq!(applied, nothing_new);
}

#[tokio::test]
async fn what_is_wrong_is_counted_and_its_place_is_kept_until_a_reload_is_applied() {
    let gate = Arc::new(Gate::assemble(draft(0), Box::new(Wrong)).unwrap());
    let before = gate.current.load();
    let refused = gate.reload().await.unwrap_err();
    assert_eq!(refused.to_string(), "folder/file:1:2: what is wrong");
    let tally = gate.reloads.tally();
    assert_eq!((tally.applied, tally.refused), (0, 1));
    assert_eq!(tally.last_error.as_deref(), Some("file:1:2"));
    assert!(Arc::ptr_eq(&before, &gate.current.load()));
}

#[tokio::test]
async fn a_mistake_of_ours_leaves_everything_as_it_was() {
    let gate = Arc::new(Gate::assemble(draft(0), Box::new(Panics)).unwrap());
    assert_eq!(gate.reload().await, Err(Refused::BrokeOff));
    assert_eq!(gate.reload().await, Err(Refused::BrokeOff));
    assert_eq!(gate.reloads.tally().refused, 2);
    assert_eq!(gate.current.load().revision, 1);
}

#[test]
fn what_differs_is_named_and_what_is_gone_as_well() {
    let at_once = |path, fingerprint| fact(path, fingerprint, Holds::AtOnce);
    let before = [at_once("a", 1), at_once("b", 1), at_once("c", 1)];
    let after = [at_once("a", 2), at_once("c", 1), at_once("d", 1)];
    let paths = |facts: Vec<&Fact>| {
        facts
            .iter()
            .map(|fact| fact.path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(changed(&before, &after)), ["a", "d", "b"]);
    assert_eq!(paths(changed(&before, &before)), [] as [&str; 0]);
}

#[tokio::test]
async fn a_setting_that_needs_a_restart_keeps_out_all_the_others() {
    let gate = gate();
    let live = gate.current.load();
    let mut asked = draft(7);
    asked
        .facts
        .push(fact("server.bind", 1, Holds::AfterRestart));
    let refused = live.follow(asked).unwrap_err();
    assert_eq!(
        refused,
        Refused::RestartRequired(vec!["server.bind".to_owned()])
    );
}
