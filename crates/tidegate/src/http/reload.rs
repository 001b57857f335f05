//! One revision after the other: everything is read again and checked whole,
//! and then all of it holds, or nothing has changed.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tidegate_engine::{AssembleError, EngineConfig, TasksConfig};
use tokio::sync::Mutex as TurnMutex;
use tokio::task::JoinSet;

use super::error::ApiError;
use super::keyring::KeyRing;
use super::live::Live;
use super::{Gate, GateSettings};

/// Where the configuration is written.
pub trait Source: fmt::Debug + Send + Sync {
    /// Reads and checks all of it. May block: it is called where that holds
    /// nobody up.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn read(&self) -> Result<Draft, Vec<Mistake>>;
}

/// What a revision is made of.
#[derive(Clone)]
pub struct Draft {
    /// What the engine is assembled from.
    pub engine: EngineConfig,
    /// Settings of the HTTP edge.
    pub settings: GateSettings,
    /// Who may come in.
    pub keys: KeyRing,
    /// Every setting in force, to tell which of them changed.
    pub facts: Vec<Fact>,
    /// How background tasks are run, from the first revision on.
    pub tasks: TasksConfig,
}

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Such as `models[0].chain`.
    pub path: String,
    /// Two that are equal have the same value. It says nothing about the value.
    pub fingerprint: u64,
    /// When a change of it can hold.
    pub holds: Holds,
}

/// When a change of a setting can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// From the next request on.
    AtOnce,
    /// In the next process.
    AfterRestart,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where, for everybody to see: `tidegate.toml:12:5`.
    pub place: String,
    /// Where and what, for operators, without a secret's value.
    pub text: String,
}

/// A reload that holds now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) revision: u64,
    /// Paths of the settings that differ from before.
    pub(crate) changed: Vec<String>,
}

/// Why everything is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The configuration is wrong.
    #[error("{}", texts(.0))]
    Invalid(Vec<Mistake>),
    /// It asks for what only another process can have.
    #[error("these settings change with a restart only: {}", .0.join(", "))]
    RestartRequired(Vec<String>),
    /// The gate has been told to stop.
    #[error("the gate is draining and takes no other configuration")]
    Draining,
    /// A mistake of ours.
    #[error("the reload broke off")]
    BrokeOff,
}

fn texts(mistakes: &[Mistake]) -> String {
    let texts: Vec<_> = mistakes.iter().map(|mistake| &*mistake.text).collect();
    texts.join("\n")
}

impl Refused {
    /// What may be known to whoever can ask whether the gate is ready.
    fn in_public(&self) -> String {
        match self {
            Self::Invalid(mistakes) => {
                let places: Vec<_> = mistakes.iter().map(|mistake| &*mistake.place).collect();
                places.join(", ")
            }
            Self::RestartRequired(_) => "restart_required".to_owned(),
            Self::Draining | Self::BrokeOff => self.to_string(),
        }
    }
}

impl From<AssembleError> for Refused {
    fn from(error: AssembleError) -> Self {
        Self::Invalid(vec![Mistake {
            place: "configuration".to_owned(),
            text: error.to_string(),
        }])
    }
}

/// What reloads came to since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) applied: u64,
    pub(crate) refused: u64,
    /// Of the last one; none if it was applied.
    pub(crate) last_error: Option<String>,
}

/// Reloads of one gate, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    source: Option<Box<dyn Source>>,
    turn: Arc<TurnMutex<()>>,
    tally: Mutex<Tally>,
}

impl Reloads {
    pub(crate) fn from_source(source: Box<dyn Source>) -> Self {
        Self {
            source: Some(source),
            ..Self::default()
        }
    }

    /// What they came to so far.
    pub(crate) fn tally(&self) -> Tally {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, outcome: &Result<Applied, Refused>) {
        let mut tally = self.lock();
        match outcome {
            Ok(_) => tally.applied += 1,
            Err(_) => tally.refused += 1,
        }
        tally.last_error = outcome.as_ref().err().map(Refused::in_public);
    }
}

impl Gate {
    /// Reads the configuration again and lets it hold for every request that
    /// comes from then on. Without a source there is nothing that could have
    /// changed, and the next revision is like this one.
    ///
    /// Dropping the future leaves a reload that has begun to its end.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Applied, Refused> {
        let turn = self.reloads.turn.clone().lock_owned().await;
        let gate = self.clone();
        let mut task = JoinSet::new();
        task.spawn_blocking(move || {
            let _turn = turn;
            let outcome = gate.reload_now();
            gate.reloads.count(&outcome);
            log(&outcome);
            outcome
        });
        let ended = task.join_next().await;
        ended.and_then(Result::ok).unwrap_or_else(|| {
            let outcome = Err(Refused::BrokeOff);
            self.reloads.count(&outcome);
            log(&outcome);
            outcome
        })
    }

    fn reload_now(&self) -> Result<Applied, Refused> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Refused::Draining);
        }
        let before = self.current.load();
        let (next, changed) = match &self.reloads.source {
            Some(source) => before.follow(source.read().map_err(Refused::Invalid)?)?,
            None => (before.again(), Vec::new()),
        };
        let revision = next.revision;
        self.current.swap(next);
        Ok(Applied { revision, changed })
    }
}

impl Live {
    /// The next revision, and what is different in it.
    fn follow(&self, draft: Draft) -> Result<(Self, Vec<String>), Refused> {
        let changed = changed(&self.facts, &draft.facts);
        let (held, fixed): (Vec<_>, Vec<_>) = changed
            .into_iter()
            .partition(|fact| fact.holds == Holds::AtOnce);
        let paths = |facts: Vec<&Fact>| facts.iter().map(|fact| fact.path.clone()).collect();
        if !fixed.is_empty() {
            return Err(Refused::RestartRequired(paths(fixed)));
        }
        let changed = paths(held);
        let next = Self {
            engine: self.engine.reassemble(draft.engine)?,
            settings: draft.settings,
            keys: draft.keys,
            facts: draft.facts,
            revision: self.revision + 1,
        };
        Ok((next, changed))
    }

    fn again(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            settings: self.settings.clone(),
            keys: self.keys.clone(),
            facts: self.facts.clone(),
            revision: self.revision + 1,
        }
    }
}

/// The settings that differ or stand on one side only, in the order of the new
/// configuration; those that it has no more come last.
fn changed<'a>(before: &'a [Fact], after: &'a [Fact]) -> Vec<&'a Fact> {
    let of = |facts: &'a [Fact], path: &str| facts.iter().find(|fact| fact.path == path);
    let new = after
        .iter()
        .filter(|fact| of(before, &fact.path) != Some(fact));
    let gone = before.iter().filter(|fact| of(after, &fact.path).is_none());
    new.chain(gone).collect()
}

fn log(outcome: &Result<Applied, Refused>) {
    match outcome {
        Ok(Applied { revision, changed }) => {
            let (revision, changed) = (*revision, changed.join(", "));
            tracing::info!(
                revision,
                changed,
                "the configuration was reloaded: revision {revision}"
            );
        }
        Err(refused) => {
            // One line, however many problems there are.
            let problems = refused.to_string().replace('\n', "; ");
            tracing::warn!(
                problems,
                "the configuration was not reloaded, nothing has changed: {problems}"
            );
        }
    }
}

/// Reloads, and says what changed.
pub(super) async fn reload(State(gate): State<Arc<Gate>>) -> Result<Json<Value>, ApiError> {
    let Applied { revision, changed } = gate.reload().await?;
    Ok(Json(json!({"revision": revision, "changed": changed})))
}

#[cfg(test)]
mod tests;
