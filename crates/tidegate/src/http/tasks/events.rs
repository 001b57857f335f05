//! `GET /v1/tasks/{id}/events`: a task as it goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::unfold;
use serde_json::Value;
use tidegate_engine::Caller;
use tokio::time::{Instant, sleep};

use super::super::Gate;
use super::super::error::ApiError;
use super::super::visit::Visit;
use crate::task_report::Watched;

/// How often the task is looked at: progress is shown within twice that.
const LOOK: Duration = Duration::from_millis(80);
/// How often something is said though nothing has changed, so that nobody in
/// between hangs up.
const BREATH: Duration = Duration::from_secs(15);

/// One who watches a task.
struct Watch {
    gate: Arc<Gate>,
    caller: Caller,
    id: String,
    watched: Watched,
    spoke: Instant,
    over: bool,
}

/// Tells of a task whenever it changes, until it has ended: events `state` and
/// `progress` without, and `end` with its input and result.
pub(in crate::http) async fn events(
    State(gate): State<Arc<Gate>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    // One that is not there is an error and not a stream without events.
    super::task(&gate, &visit, &id).await?;
    let watch = Watch {
        gate,
        caller: visit.caller,
        id,
        watched: Watched::default(),
        spoke: Instant::now(),
        over: false,
    };
    let events = unfold(watch, async |mut watch| {
        let event = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), watch))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Watch {
    /// The next event, or nothing more.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            if !self.watched.is_new() {
                sleep(LOOK).await;
            }
            if let Some(event) = self.look().await {
                self.spoke = Instant::now();
                return Some(event);
            }
            if self.spoke.elapsed() >= BREATH {
                self.spoke = Instant::now();
                return Some(Bytes::from_static(b": still there\n\n"));
            }
            // Whoever watches comes back, to a gate that stays.
            self.over |= self.gate.draining.load(Ordering::Relaxed);
        }
        None
    }

    /// What has changed.
    async fn look(&mut self) -> Option<Bytes> {
        let task = match self.gate.tasks.get(&self.caller, &self.id).await {
            Ok(Some(task)) => task,
            Ok(None) => {
                self.over = true;
                return Some(event("gone", &serde_json::json!({ "id": self.id })));
            }
            // The store is asked again.
            Err(_) => return None,
        };
        let news = self.watched.news(&task)?;
        self.over = task.state.is_final();
        Some(event(news.event, &news.task))
    }
}

fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}
