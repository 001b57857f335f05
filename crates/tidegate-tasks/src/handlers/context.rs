//! What a handler knows of its task besides the input.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tidegate_store::Head;
use tidegate_work::{CancelToken, Deadline};
use tokio::time::Instant;

use crate::doc::Doc;
use crate::progress::Progress;

/// What a handler knows of its task besides the input. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    /// Whose task it is.
    pub owner: String,
    /// Which one.
    pub id: String,
    /// How often it was begun, this time included.
    pub attempt: u32,
    /// Cancelled when the handler is to stop: because somebody cancelled the
    /// task, its time is over, or the worker shuts down. A handler that goes on
    /// is dropped a little later.
    pub cancel: CancelToken,
    /// When this attempt is over.
    pub deadline: Deadline,
    /// Under what name its owner came in.
    pub on_behalf: Option<String>,
    desk: Arc<Desk>,
    since: Instant,
}

/// Where a handler leaves its progress, and the worker finds it.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<Option<Progress>>);

impl Desk {
    /// What was left since it was asked last.
    pub(crate) fn news(&self) -> Option<Bytes> {
        let news = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        // Numbers and strings always are JSON.
        Some(serde_json::to_vec(&news).unwrap_or_default().into())
    }
}

impl Context {
    pub(crate) fn new(head: &Head, doc: &Doc, cancel: CancelToken, desk: Arc<Desk>) -> Self {
        Self {
            owner: head.name.owner.clone(),
            id: head.name.id.clone(),
            attempt: head.tries.begun.saturating_sub(doc.held_back),
            cancel,
            deadline: Deadline::after(doc.timeout()),
            on_behalf: doc.on_behalf.clone(),
            desk,
            since: Instant::now(),
        }
    }

    /// Tells how far the work has come: `total` is 0 where nobody knows. Cheap:
    /// it is shown within a tenth of a second, and what was told meanwhile is
    /// not.
    pub fn progress(&self, current: u64, total: u64, message: &str) {
        let progress = Progress::after(self.since, current, total, message);
        let mut desk = self.desk.0.lock().unwrap_or_else(PoisonError::into_inner);
        *desk = Some(progress);
    }
}
