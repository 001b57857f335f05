//! What is done for each kind of task.

mod context;
mod limits;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::task::Failure;
use crate::transition::{Outcome, Repeat};
pub use context::Context;
pub(crate) use context::Desk;
pub use limits::{KindLimits, Rate};

/// A task that a handler is to work at.
#[derive(Debug)]
pub struct Job<I> {
    /// What was submitted.
    pub input: I,
    /// Who asks, and how to answer before the end.
    pub context: Context,
}

/// Why a handler has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    failure: Failure,
    repeat: Repeat,
}

impl TaskError {
    /// It may work later: the task's own backoff decides when.
    pub fn passing(code: &str, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(code, message),
            repeat: Repeat::Backoff,
        }
    }

    /// It may work later, but not before so long.
    pub fn busy(code: &str, message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            failure: Failure::new(code, message),
            repeat: Repeat::After(retry_after),
        }
    }

    /// It would fail again.
    pub fn lasting(code: &str, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::new(code, message),
            repeat: Repeat::Never,
        }
    }

    pub(crate) fn outcome(self) -> Outcome {
        Outcome::Failed(self.failure, self.repeat)
    }
}

/// Why an input cannot be given to a handler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInput {
    /// Nobody works at such tasks.
    #[error("kind: there is no {kind:?}; there are {}", .known.join(", "))]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It does not have the form that this kind wants.
    #[error("{path}: {reason}")]
    Field {
        /// Where it is wrong, such as `input.messages[2].role`.
        path: String,
        /// What is wrong there.
        reason: String,
    },
}

type Check = Arc<dyn Fn(&[u8]) -> Result<(), BadInput> + Send + Sync>;
type Run = Arc<dyn Fn(Job<Bytes>) -> BoxFuture<'static, Result<Bytes, TaskError>> + Send + Sync>;

#[derive(Clone)]
struct Kind {
    check: Check,
    run: Run,
    limits: KindLimits,
}

/// The handlers of all kinds, and their types.
#[derive(Clone, Default)]
pub struct Handlers {
    kinds: BTreeMap<String, Kind>,
    aliases: BTreeMap<String, String>,
}

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the handler of a kind. Its input is read from JSON and its result
    /// written as JSON; what it does must be safe to do twice, because a worker
    /// may die between the deed and the word of it.
    #[must_use]
    pub fn on<I, O, F, W>(mut self, kind: &str, handler: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        F: Fn(Job<I>) -> W + Send + Sync + 'static,
        W: Future<Output = Result<O, TaskError>> + Send + 'static,
    {
        let run = move |job: Job<Bytes>| -> BoxFuture<'static, Result<Bytes, TaskError>> {
            match read::<I>(&job.input) {
                Ok(input) => {
                    let context = job.context;
                    let work = handler(Job { input, context });
                    Box::pin(async move { written(&work.await?) })
                }
                // Another version has taken it.
                Err(bad) => {
                    let error = TaskError::lasting("invalid_input", bad.to_string());
                    Box::pin(std::future::ready(Err(error)))
                }
            }
        };
        let kind_of = Kind {
            check: Arc::new(|input| read::<I>(input).map(drop)),
            run: Arc::new(run),
            limits: KindLimits::default(),
        };
        self.kinds.insert(kind.to_owned(), kind_of);
        self
    }

    /// Lets tasks of one kind be submitted by another name as well.
    #[must_use]
    pub fn alias(mut self, other: &str, kind: &str) -> Self {
        self.aliases.insert(other.to_owned(), kind.to_owned());
        self
    }

    /// Bounds how many tasks of a kind run. A kind that is not there is left
    /// alone.
    #[must_use]
    pub fn limit(mut self, kind: &str, limits: KindLimits) -> Self {
        if let Some(kind) = self.kinds.get_mut(kind) {
            kind.limits = limits;
        }
        self
    }

    /// The kinds that there are, by their own names.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().map(String::as_str)
    }

    /// The own name of a kind.
    pub(crate) fn resolve<'a>(&'a self, kind: &'a str) -> &'a str {
        self.aliases.get(kind).map_or(kind, String::as_str)
    }

    pub(crate) fn limits(&self, kind: &str) -> KindLimits {
        self.kinds
            .get(kind)
            .map_or_else(KindLimits::default, |kind| kind.limits)
    }

    pub(crate) fn check(&self, kind: &str, input: &[u8]) -> Result<(), BadInput> {
        match self.kinds.get(self.resolve(kind)) {
            Some(kind) => (kind.check)(input),
            None => Err(BadInput::UnknownKind {
                kind: kind.to_owned(),
                known: self.kinds().map(str::to_owned).collect(),
            }),
        }
    }

    /// What is to be done, or `None` where nobody knows.
    pub(crate) fn start(
        &self,
        kind: &str,
        job: Job<Bytes>,
    ) -> Option<BoxFuture<'static, Result<Bytes, TaskError>>> {
        Some((self.kinds.get(kind)?.run)(job))
    }
}

fn read<I: DeserializeOwned>(input: &[u8]) -> Result<I, BadInput> {
    let mut json = serde_json::Deserializer::from_slice(input);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." {
            "input".to_owned()
        } else {
            format!("input.{path}")
        };
        let reason = error.into_inner().to_string();
        BadInput::Field { path, reason }
    })?;
    json.end().map_err(|error| BadInput::Field {
        path: "input".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(value)
}

fn written<O: Serialize>(result: &O) -> Result<Bytes, TaskError> {
    match serde_json::to_vec(result) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => {
            let message = format!("its result is no JSON: {error}");
            Err(TaskError::lasting("invalid_result", message))
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("kinds", &self.kinds.keys())
            .field("aliases", &self.aliases)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[expect(dead_code, reason = "only read")]
        texts: Vec<String>,
    }

    fn handlers() -> Handlers {
        Handlers::new()
            .on("count", |_: Job<Input>| async { Ok(1) })
            .alias("process_count", "count")
    }

    fn reason(kind: &str, input: &str) -> String {
        handlers()
            .check(kind, input.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_input_that_does_not_fit_is_told_where() {
        assert!(
            handlers()
                .check("process_count", br#"{"texts":["a"]}"#)
                .is_ok()
        );
        assert!(
            reason("count", r#"{"texts":["a",1]}"#).starts_with("input.texts[1]: invalid type")
        );
        assert!(reason("count", r#"{"text":[]}"#).contains("unknown field `text`"));
        assert!(reason("count", r#"{"texts":[]} x"#).starts_with("input: trailing characters"));
        assert!(reason("count", "").starts_with("input: EOF"));
    }

    #[test]
    fn an_unknown_kind_is_told_with_those_that_are_known() {
        assert_eq!(
            reason("sum", "{}"),
            "kind: there is no \"sum\"; there are count"
        );
    }
}
