//! Many texts in one request leave others their turn, and end at the deadline.
//! One thread beside those of the CPU pool.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use serde_json::{Value, json};
use tidegate::{Gate, GateSettings, app};
use tidegate_engine::{Engine, EngineConfig};
use tower::ServiceExt;

use crate::openmetrics::Exposition;

const TEXTS: usize = 1_024;
const DEADLINE: Duration = Duration::from_secs(5);

fn router(deadline: Duration) -> axum::Router {
    let engine = Engine::assemble(EngineConfig::default()).unwrap();
    let settings = GateSettings {
        deadline,
        ..GateSettings::default()
    };
    app(Arc::new(Gate::new(engine, settings)))
}

async fn ask(router: &axum::Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

async fn read(response: Response<Body>) -> String {
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn get(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "localhost");
    request.body(Body::empty()).unwrap()
}

/// As many texts as a request may have, none of which is looked for in the cache.
fn many_texts() -> Request<Body> {
    let text = "The tide turns. ".repeat(32);
    let body = json!({"texts": vec![text; TEXTS]});
    let request = Request::post("/v1/scan")
        .header("host", "localhost")
        .header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

/// Texts that were scanned so far.
async fn scanned(router: &axum::Router) -> usize {
    let metrics = read(ask(router, get("/metrics")).await).await;
    let labels = ["direction=\"prompt\"", "verdict=\"allow\""];
    let metrics = Exposition::parse(&metrics);
    let count = metrics.value("tidegate_guard_verdicts_total", &labels);
    count.unwrap_or(0.0) as usize
}

/// The texts are scanned by threads that virtual time would not wait for.
#[tokio::test]
async fn probes_are_answered_while_many_texts_are_scanned() {
    let (router, ended) = (router(120 * DEADLINE), Mutex::new(Vec::new()));
    let scan = async {
        let response = ask(&router, many_texts()).await;
        ended.lock().unwrap().push("scan");
        response.status()
    };
    let probe = async {
        while scanned(&router).await == 0 {
            tokio::task::yield_now().await;
        }
        let response = ask(&router, get("/health/live")).await;
        ended.lock().unwrap().push("probe");
        (response.status(), scanned(&router).await)
    };
    let (status, (live, scanned)) = tokio::join!(scan, probe);
    assert_eq!((status.as_u16(), live.as_u16()), (200, 200));
    assert!(scanned < TEXTS, "all were scanned before the probe");
    assert_eq!(*ended.lock().unwrap(), ["probe", "scan"]);
}

#[tokio::test(start_paused = true)]
async fn a_scan_of_many_texts_ends_at_the_deadline() {
    let router = router(DEADLINE);
    let clock = async {
        while scanned(&router).await == 0 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(DEADLINE).await;
    };
    let (response, ()) = tokio::join!(ask(&router, many_texts()), clock);
    assert_eq!(response.status(), 504);
    let told: Value = serde_json::from_str(&read(response).await).unwrap();
    assert_eq!(told["error"]["code"], "deadline_exceeded");
    assert!(scanned(&router).await < TEXTS);
}
