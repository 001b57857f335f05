//! A task as it is submitted.

use std::time::Duration;

use bytes::Bytes;

use crate::error::SubmitError;
use crate::handlers::Handlers;
use crate::id;
use crate::priority::Priority;
use crate::queue::Settings;

/// The longest id, idempotency key or tag, in bytes.
pub const MOST_ID_BYTES: usize = 64;
/// Tags of one task.
pub const MOST_TAGS: usize = 16;
/// Tasks that one depends on.
pub(crate) const MOST_AFTER: usize = 64;
/// The longest idempotency key, in bytes.
const MOST_KEY_BYTES: usize = 256;

/// A task as it is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id; one is made where it is `None`. At most 64 letters, digits, `-`,
    /// `_` and `.`.
    pub id: Option<String>,
    /// What is to be done: the name of a handler.
    pub kind: String,
    /// What the handler is given: JSON.
    pub input: Bytes,
    /// How urgent it is.
    pub priority: Priority,
    /// How often, and after how long, it is repeated.
    pub retries: Retries,
    /// Ids of tasks of the same owner that must succeed first.
    pub depends_on: Vec<String>,
    /// What becomes of it when one of these fails.
    pub on_failed: OnFailed,
    /// Not before this time, in milliseconds since 1970.
    pub run_at_ms: Option<u64>,
    /// Another task with the same key is this one.
    pub idempotency_key: Option<String>,
    /// Words by which it is listed.
    pub tags: Vec<String>,
    /// What becomes of it after its end.
    pub at_end: AtEnd,
    /// A word that its handler is given: under what name its owner came in.
    pub on_behalf: Option<String>,
}

impl NewTask {
    /// A task of a kind, with everything else as the settings say.
    pub fn new(kind: &str, input: impl Into<Bytes>) -> Self {
        Self {
            id: None,
            kind: kind.to_owned(),
            input: input.into(),
            priority: Priority::default(),
            retries: Retries::default(),
            depends_on: Vec::new(),
            on_failed: OnFailed::default(),
            run_at_ms: None,
            idempotency_key: None,
            tags: Vec::new(),
            at_end: AtEnd::default(),
            on_behalf: None,
        }
    }
}

/// How often, and after how long, a task is repeated. What is `None` is as the
/// settings say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retries {
    /// Repeats after the first attempt.
    pub max: Option<u32>,
    /// Bound of the wait before the first repeat; it doubles with each.
    pub backoff: Option<Duration>,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
}

/// What becomes of a task after its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtEnd {
    /// How long it is kept; `None` is as the settings say.
    pub result_ttl: Option<Duration>,
    /// Where its end is told; whoever has a handler for it checks the address.
    pub webhook: Option<String>,
}

/// What becomes of a task when one that it depends on fails or is cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailed {
    /// It fails as well, and says why.
    #[default]
    Fail,
    /// It runs all the same.
    Run,
}

/// Repeats that anybody may ask for.
const MOST_RETRIES: u32 = 1_000;
/// A hundred years.
const MOST_TIME: Duration = Duration::from_secs(100 * 365 * 86_400);

impl NewTask {
    /// Checks what can be known without the queue.
    pub(crate) fn check(
        &self,
        handlers: &Handlers,
        settings: &Settings,
    ) -> Result<(), SubmitError> {
        let bytes = self.input.len();
        if bytes > settings.max_input_bytes {
            let limit = settings.max_input_bytes;
            return Err(SubmitError::TooLarge { bytes, limit });
        }
        handlers.check(&self.kind, &self.input)?;
        self.check_names()?;
        self.check_numbers()
    }

    fn check_names(&self) -> Result<(), SubmitError> {
        let name = "1 to 64 letters, digits, \"-\", \"_\" or \".\"";
        if self.id.as_ref().is_some_and(|id| !id::is_good(id)) {
            return Err(bad("id", name));
        }
        if self.tags.len() > MOST_TAGS {
            return Err(bad("tags", "at most 16 tags"));
        }
        let is_tag = |tag: &String| (1..=MOST_ID_BYTES).contains(&tag.len());
        if !self.tags.iter().all(is_tag) {
            return Err(bad("tags", "tags of 1 to 64 bytes"));
        }
        if self.depends_on.len() > MOST_AFTER {
            return Err(bad("depends_on", "at most 64 ids"));
        }
        if !self.depends_on.iter().all(|id| id::is_good(id)) {
            return Err(bad("depends_on", name));
        }
        let is_key = |key: &String| (1..=MOST_KEY_BYTES).contains(&key.len());
        if !self.idempotency_key.iter().all(is_key) {
            return Err(bad("idempotency_key", "1 to 256 bytes"));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), SubmitError> {
        if self.retries.max.is_some_and(|max| max > MOST_RETRIES) {
            return Err(bad("max_retries", "0 to 1000"));
        }
        let is_time = |time: Option<Duration>| time.is_none_or(|time| time <= MOST_TIME);
        if !is_time(self.retries.backoff) {
            return Err(bad("backoff_ms", "less than a hundred years"));
        }
        let timeout = self.retries.timeout;
        if !is_time(timeout) || timeout.is_some_and(|time| time.is_zero()) {
            return Err(bad(
                "timeout_ms",
                "more than 0 and less than a hundred years",
            ));
        }
        if !is_time(self.at_end.result_ttl) {
            return Err(bad("result_ttl_s", "less than a hundred years"));
        }
        // Numbers above 2^53 are not exact everywhere.
        if self.run_at_ms.is_some_and(|ms| ms > 1 << 53) {
            return Err(bad("run_at", "a time before the year 287396"));
        }
        Ok(())
    }
}

fn bad(field: &'static str, wants: &'static str) -> SubmitError {
    SubmitError::Field { field, wants }
}
