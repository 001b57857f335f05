//! Steps 1 and 7 of a request: what goes in and what comes out is scanned.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tidegate_guard::{Direction, Outcome, Policy, Rules, ScanRequest, Verdict, text_sha256};
use tidegate_provider::{ChatRequest, Chunk, Dialect, Speaker, Spoken, spoken_answer};
use tidegate_work::Pool;

use crate::assemble::{Engine, Rooms};
use crate::error::EngineError;

/// Whether and how strictly requests and answers are scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardConfig {
    /// Whether requests and answers are scanned on their way through.
    pub scanning: Scanning,
    /// What is blocked, unless a scan asks for another policy.
    pub policy: Policy,
}

/// Whether requests and answers are scanned on their way through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scanning {
    /// They are.
    On,
    /// They are not; texts can still be scanned on demand.
    Off,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            scanning: Scanning::On,
            policy: Policy::Default,
        }
    }
}

/// What the guard made of a request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The worst outcome so far.
    pub outcome: Outcome,
    /// The rules that matched, each once.
    pub rules: Vec<Arc<str>>,
}

/// A scan that was asked for by itself.
#[derive(Debug, Clone)]
pub struct Scanned {
    /// What was found.
    pub verdict: Verdict,
    /// Hex digest of the text.
    pub text_sha256: String,
    /// How long the rules took.
    pub rules_took: Duration,
}

/// The rules of this build, compiled once for the process.
static BUILTIN: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules::builtin().expect("the tests load the embedded packs")));

/// Texts up to this length are scanned where they are; a hop to another thread
/// would cost more than it saves. Longer ones go to the CPU pool.
const MOST_INLINE_BYTES: usize = 64 << 10;

/// What is scanned, and by which rules.
#[derive(Debug)]
pub(crate) struct Guard {
    rules: Arc<Rules>,
    config: GuardConfig,
}

impl Guard {
    pub(crate) fn new(config: GuardConfig) -> Self {
        Self {
            rules: BUILTIN.clone(),
            config,
        }
    }

    /// Names the rules and the policy: answers that passed under one may not
    /// stand for answers under another.
    pub(crate) fn version(&self) -> String {
        match self.config.scanning {
            Scanning::On => format!("{}:{}", self.rules.version(), self.config.policy),
            Scanning::Off => "off".to_owned(),
        }
    }

    fn request(&self, direction: Direction) -> ScanRequest {
        ScanRequest {
            direction,
            policy: self.config.policy,
            ..ScanRequest::default()
        }
    }

    /// Scans everything that was said; the worst verdict counts.
    fn judge(&self, said: &[Spoken]) -> Judged {
        let mut judged = Judged::default();
        for spoken in said {
            let direction = direction(spoken.by);
            let verdict = self.rules.scan(&spoken.text, &self.request(direction));
            judged.take(direction, &verdict);
        }
        judged
    }
}

fn direction(by: Speaker) -> Direction {
    match by {
        Speaker::User => Direction::Prompt,
        Speaker::Tool => Direction::ToolResult,
        Speaker::Model => Direction::Answer,
        Speaker::ModelToTool => Direction::ToolCall,
    }
}

/// Several verdicts as one.
#[derive(Debug, Default)]
struct Judged {
    outcome: Option<Outcome>,
    /// Where the worst was found.
    direction: Option<Direction>,
    rules: Vec<Arc<str>>,
}

impl Judged {
    fn take(&mut self, direction: Direction, verdict: &Verdict) {
        if self.outcome.is_none_or(|worst| verdict.outcome > worst) {
            self.outcome = Some(verdict.outcome);
            self.direction = Some(direction);
        }
        let counted = verdict.detections.iter().filter(|found| !found.suppressed);
        for found in counted {
            if !self.rules.contains(&found.rule) {
                self.rules.push(found.rule.clone());
            }
        }
    }

    fn passed(self) -> Result<Guarded, EngineError> {
        let outcome = self.outcome.unwrap_or(Outcome::Allow);
        match (outcome, self.direction) {
            (Outcome::Block, Some(direction)) => Err(EngineError::Blocked {
                direction,
                rules: self.rules,
            }),
            (Outcome::Block | Outcome::Flag | Outcome::Allow, _) => Ok(Guarded {
                outcome,
                rules: self.rules,
            }),
        }
    }
}

impl Guarded {
    /// This and what was found later, together.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.outcome = self.outcome.max(later.outcome);
        for rule in later.rules {
            if !self.rules.contains(&rule) {
                self.rules.push(rule);
            }
        }
        self
    }
}

impl Rooms {
    /// Step 1: what users and tools say in a request.
    pub(crate) async fn guard_prompt(
        &self,
        request: &ChatRequest,
    ) -> Result<Option<Guarded>, EngineError> {
        if self.guard.config.scanning == Scanning::Off {
            return Ok(None);
        }
        let judged = if request.content().prompt_bytes <= MOST_INLINE_BYTES {
            self.guard.judge(&request.spoken())
        } else {
            let (guard, request) = (self.guard.clone(), request.clone());
            on_pool(&self.pool, move || guard.judge(&request.spoken())).await?
        };
        judged.passed().map(Some)
    }

    /// Step 7 for a whole answer.
    pub(crate) async fn guard_whole_answer(
        &self,
        dialect: Dialect,
        body: &bytes::Bytes,
    ) -> Result<Option<Guarded>, EngineError> {
        if self.guard.config.scanning == Scanning::Off {
            return Ok(None);
        }
        let judged = if body.len() <= MOST_INLINE_BYTES {
            self.guard.judge(&spoken_answer(dialect, body))
        } else {
            let (guard, body) = (self.guard.clone(), body.clone());
            on_pool(&self.pool, move || {
                guard.judge(&spoken_answer(dialect, &body))
            })
            .await?
        };
        judged.passed().map(Some)
    }

    /// Step 7 for a streamed answer.
    pub(crate) fn stream_guard(&self, dialect: Dialect) -> Option<StreamGuard> {
        if self.guard.config.scanning == Scanning::Off {
            return None;
        }
        let follow = |direction| self.guard.rules.follow(self.guard.request(direction));
        Some(StreamGuard {
            dialect,
            answer: follow(Direction::Answer),
            tool_call: follow(Direction::ToolCall),
        })
    }
}

/// Runs CPU work beside the async runtime. A pool that is full refuses: what
/// is not scanned is not passed on.
async fn on_pool<T: Send + 'static>(
    pool: &Pool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    const HINT: Duration = Duration::from_secs(1);
    pool.run(work).await.map_err(|error| {
        if error.may_retry() {
            EngineError::Busy { retry_after: HINT }
        } else {
            EngineError::Internal
        }
    })
}

/// Scans a streamed answer while it passes.
pub(crate) struct StreamGuard {
    dialect: Dialect,
    answer: tidegate_guard::Follow,
    tool_call: tidegate_guard::Follow,
}

impl StreamGuard {
    /// Looks at a chunk before it is sent.
    pub(crate) fn check(&mut self, chunk: &Chunk) -> Result<(), EngineError> {
        for spoken in chunk.spoken(self.dialect) {
            let (direction, follow) = match direction(spoken.by) {
                Direction::ToolCall => (Direction::ToolCall, &mut self.tool_call),
                other => (other, &mut self.answer),
            };
            if let Some(verdict) = follow.push(&spoken.text) {
                refuse_blocked(direction, &verdict)?;
            }
        }
        Ok(())
    }

    /// Looks at what is left when the answer has ended.
    pub(crate) fn end(&mut self) -> Result<(), EngineError> {
        refuse_blocked(Direction::Answer, &self.answer.end())?;
        refuse_blocked(Direction::ToolCall, &self.tool_call.end())
    }
}

fn refuse_blocked(direction: Direction, verdict: &Verdict) -> Result<(), EngineError> {
    let mut judged = Judged::default();
    judged.take(direction, verdict);
    judged.passed().map(drop)
}

impl Engine {
    /// Scans a text by itself.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when the CPU pool is full.
    pub async fn scan(&self, text: String, request: ScanRequest) -> Result<Scanned, EngineError> {
        let rules = self.rooms.guard.rules.clone();
        let length = text.len();
        let scan = move || {
            let started = Instant::now();
            let verdict = rules.scan(&text, &request);
            Scanned {
                verdict,
                rules_took: started.elapsed(),
                text_sha256: text_sha256(&text),
            }
        };
        if length <= MOST_INLINE_BYTES {
            Ok(scan())
        } else {
            on_pool(&self.rooms.pool, scan).await
        }
    }

    /// What is blocked unless a scan asks for another policy.
    pub fn policy(&self) -> Policy {
        self.rooms.guard.config.policy
    }

    /// A short digest of the rules in force.
    pub fn ruleset_version(&self) -> &str {
        self.rooms.guard.rules.version()
    }
}
