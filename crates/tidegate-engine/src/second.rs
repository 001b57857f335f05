//! A classifier of one's own, which is slower than the rules: run on threads of its
//! own, beside them where that pays, and stopped as soon as nobody wants its word.
//!
//! When its word is wanted and how it counts is said by [`Aside`]; here is when it
//! runs, for how long, and what happens when it fails.

mod config;
mod folder;
mod scores;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use tidegate_guard::{
    Aside, AsideTerms, ClassifierTerms, Direction, L2, L2Outcome, Mode, ScanRequest, Span,
    Thresholds,
};
use tidegate_model::Score;
use tidegate_model::onnx::OnnxError;
use tidegate_work::{CancelToken, Deadline, Pool};
use tracing::warn;

use crate::error::EngineError;
use crate::guard::{MOST_INLINE_BYTES, Scanned};
pub use config::{OwnThresholds, SecondConfig, StageSource};
pub use folder::check_model;
pub(crate) use scores::Scores;
use scores::{Known, Said};

/// A model that says how likely a text is an attack, in more time than rules take.
pub trait SecondStage: Send + Sync + fmt::Debug {
    /// What it is called.
    fn name(&self) -> &str;

    /// Differs where anything does that changes a score.
    fn version(&self) -> &str;

    /// What it is held to where the configuration says nothing else.
    fn thresholds(&self, direction: Direction) -> Thresholds;

    /// Scores a text. `stop` is asked before each window; where it says yes there is
    /// no score.
    ///
    /// # Errors
    /// What kept it from answering.
    fn score(&self, text: &str, stop: &dyn Fn() -> bool) -> Result<Option<Score>, OnnxError>;
}

/// So many texts may wait for the model. Each takes milliseconds: who comes later
/// would not be answered in time.
const QUEUE: usize = 64;

/// A model and how long it may take.
#[derive(Debug)]
pub(crate) struct Second {
    stage: Arc<dyn SecondStage>,
    aside: Aside,
    timeout: Duration,
    /// Not the pool of the rules: they never wait for a model.
    pool: Arc<Pool>,
}

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The rules take a hundredth of the time, and may spare the model.
    RulesFirst,
    /// Both at once: the time is that of the slower one.
    Together,
}

fn order(mode: Mode, bytes: usize) -> Order {
    match mode {
        Mode::Balanced if bytes <= MOST_INLINE_BYTES => Order::RulesFirst,
        Mode::Fast | Mode::Balanced | Mode::Thorough => Order::Together,
    }
}

impl Second {
    /// Loads the model. The threads of the one `before` it go on working.
    ///
    /// # Errors
    /// What is wrong with the folder.
    pub(crate) fn new(config: &SecondConfig, before: Option<&Self>) -> Result<Self, OnnxError> {
        let stage = match &config.stage {
            StageSource::Folder(folder) => folder::load(folder)?,
            StageSource::Loaded(stage) => stage.clone(),
        };
        let pool = before.map(|second| second.pool.clone());
        let pool = pool.unwrap_or_else(|| Arc::new(Pool::per_core(QUEUE)));
        Ok(Self {
            aside: aside(&*stage, config),
            stage,
            timeout: config.timeout,
            pool,
        })
    }

    pub(crate) fn aside(&self) -> &Aside {
        &self.aside
    }

    /// What `rules` say of a text, and what the model says of it.
    pub(crate) async fn beside(
        &self,
        text: &Arc<str>,
        request: &ScanRequest,
        scores: Scores<'_>,
        rules: impl Future<Output = Result<Scanned, EngineError>>,
    ) -> Result<Scanned, EngineError> {
        match order(request.mode, text.len()) {
            Order::RulesFirst => {
                let scanned = rules.await?;
                match self.aside.spared(text, &scanned.verdict, request) {
                    // It has not begun, so there is nothing to stop.
                    Some(_) => Ok(self.without(scanned, L2Outcome::Skipped)),
                    None => Ok(self.join(scanned, self.ask(text, scores).await, request)),
                }
            }
            Order::Together => self.together(text, request, scores, rules).await,
        }
    }

    /// The model begins first: rules may run on this thread.
    async fn together(
        &self,
        text: &Arc<str>,
        request: &ScanRequest,
        scores: Scores<'_>,
        rules: impl Future<Output = Result<Scanned, EngineError>>,
    ) -> Result<Scanned, EngineError> {
        let (asked, rules) = (pin!(self.ask(text, scores)), pin!(rules));
        let (scanned, asked) = match select(asked, rules).await {
            Either::Left((answer, rules)) => (rules.await?, Either::Left(answer)),
            Either::Right((scanned, asked)) => (scanned?, Either::Right(asked)),
        };
        // From here on an answer that is not wanted is dropped, and with it the work.
        if let Some(outcome) = self.aside.spared(text, &scanned.verdict, request) {
            return Ok(self.without(scanned, outcome));
        }
        let answer = match asked {
            Either::Left(answer) => answer,
            Either::Right(asked) => asked.await,
        };
        Ok(self.join(scanned, answer, request))
    }

    /// What the model says, or has said before. Dropping the future stops the work
    /// before its next window.
    async fn ask(&self, text: &Arc<str>, scores: Scores<'_>) -> Answer {
        let started = Instant::now();
        let said = match scores.known(self.aside.model(), text).await {
            Known::Said(said) => Ok(said),
            Known::NotKept => self.run(text).await,
            Known::Nothing(load) => {
                let said = self.run(text).await;
                if let Ok(said) = &said {
                    scores.keep(load, said).await;
                }
                said
            }
        };
        Answer {
            said,
            took: started.elapsed(),
        }
    }

    /// Runs the model.
    async fn run(&self, text: &Arc<str>) -> Result<Said, L2Outcome> {
        let token = CancelToken::new();
        let (stage, text, stop) = (self.stage.clone(), text.clone(), token.clone());
        // Heard when the time is over as well, and when nobody waits any more.
        let _stops = token.drop_guard();
        let job = move || stage.score(&text, &|| stop.is_cancelled());
        let answer = Deadline::after(self.timeout).run(self.pool.run(job)).await;
        match answer {
            Err(_) => Err(L2Outcome::TimedOut),
            Ok(Err(error)) => Err(self.failed(&error)),
            Ok(Ok(Err(error))) => Err(self.failed(&error)),
            Ok(Ok(Ok(None))) => Err(self.failed(&"it stopped by itself")),
            // NaN is outside as well.
            Ok(Ok(Ok(Some(score)))) if !(0.0..=1.0).contains(&score.probability) => {
                Err(self.failed(&"its score is not a number from 0 to 1"))
            }
            Ok(Ok(Ok(Some(score)))) => Ok(Said {
                score: score.probability,
                window: Span {
                    start: score.window.start,
                    end: score.window.end,
                },
                outcome: L2Outcome::Completed,
            }),
        }
    }

    fn failed(&self, error: &dyn fmt::Display) -> L2Outcome {
        let model = &**self.aside.model();
        warn!(model, %error, "guard: the model {model} has not answered: {error}");
        L2Outcome::Failed
    }

    pub(crate) fn without(&self, scanned: Scanned, outcome: L2Outcome) -> Scanned {
        Scanned {
            verdict: self.aside.without(scanned.verdict, outcome),
            ..scanned
        }
    }

    fn join(&self, scanned: Scanned, answer: Answer, request: &ScanRequest) -> Scanned {
        let model = self.aside.model().clone();
        let l2 = match answer.said {
            Err(outcome) => L2::unanswered(outcome, Some(model)),
            Ok(said) => said.l2(model),
        };
        Scanned {
            verdict: self.aside.join(scanned.verdict, l2, request),
            classifier_took: answer.took,
            ..scanned
        }
    }
}

/// What the model has said, or why it has not.
struct Answer {
    said: Result<Said, L2Outcome>,
    took: Duration,
}

fn aside(stage: &dyn SecondStage, config: &SecondConfig) -> Aside {
    let mut classifier = ClassifierTerms::builtin();
    classifier.cancel_confidence = config.cancel_confidence;
    for direction in Direction::ALL {
        let own = config.thresholds[*direction as usize];
        let limits = stage.thresholds(*direction);
        let flag = own.flag.unwrap_or(limits.flag);
        *classifier.limits_mut(*direction) = Thresholds {
            flag,
            // What is critical is also flagged.
            block: own.block.unwrap_or(limits.block).max(flag),
        };
    }
    let terms = AsideTerms {
        classifier,
        below_confidence: config.below_confidence,
        from_score: config.from_score,
        sample: config.sample,
    };
    Aside::new(stage.name(), stage.version(), terms)
}

#[cfg(test)]
mod tests;
