//! Steps 1 and 7 of a request: what goes in and what comes out is scanned.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tidegate_guard::{
    Direction, Follow, Outcome, PackError, PackFolder, Policy, Rules, ScanRequest, Verdict,
    text_sha256,
};
use tidegate_provider::{ChatRequest, Chunk, Dialect, Speaker, Spoken, spoken_answer};
use tidegate_work::Pool;
use tracing::info;

use crate::answer::Cached;
use crate::assemble::{Engine, Rooms};
use crate::error::EngineError;
use crate::verdicts::{GuardCounts, Seen, Verdicts};

/// Whether and how strictly requests and answers are scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardConfig {
    /// Whether requests and answers are scanned on their way through.
    pub scanning: Scanning,
    /// What is blocked, unless a scan asks for another policy.
    pub policy: Policy,
    /// Rules beside those of this build. They are read when the engine is
    /// assembled; no request can name a folder.
    pub packs: Vec<PackFolder>,
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
            packs: Vec::new(),
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
    /// Whether it was said before.
    pub cached: Cached,
}

/// The rules of this build, compiled once for the process.
static BUILTIN: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules::builtin().expect("the tests load the embedded packs")));

/// Texts up to this length are scanned where they are; a hop to another thread
/// would cost more than it saves. Longer ones go to the CPU pool.
const MOST_INLINE_BYTES: usize = 8 << 10;

/// What is scanned, and by which rules.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) rules: Arc<Rules>,
    config: GuardConfig,
    pub(crate) verdicts: Arc<Verdicts>,
}

impl Guard {
    /// A guard that goes on counting where the one `before` it was.
    ///
    /// # Errors
    /// What is wrong with a pack, with its file, line and rule.
    pub(crate) fn new(config: GuardConfig, before: Option<&Self>) -> Result<Self, PackError> {
        let rules = match config.packs.as_slice() {
            [] => BUILTIN.clone(),
            folders => Arc::new(Rules::with_folders(folders)?),
        };
        Ok(Self {
            rules,
            config,
            verdicts: before.map_or_else(Arc::default, |guard| guard.verdicts.clone()),
        })
    }

    /// Names the rules and the policy: answers that passed under one may not
    /// stand for answers under another.
    pub(crate) fn version(&self) -> String {
        match self.config.scanning {
            Scanning::On => format!("{}:{}", self.rules.version(), self.config.policy),
            Scanning::Off => "off".to_owned(),
        }
    }

    /// What it said so far.
    pub(crate) fn counts(&self) -> GuardCounts {
        self.verdicts.counts()
    }

    fn request(&self, direction: Direction) -> ScanRequest {
        ScanRequest {
            direction,
            policy: self.config.policy,
            ..ScanRequest::default()
        }
    }

    /// Scans everything that was said.
    fn judge(&self, said: &[Spoken]) -> Judged {
        let mut judged = Judged::default();
        for spoken in said {
            let direction = direction(spoken.by);
            let verdict = self.rules.scan(&spoken.text, &self.request(direction));
            judged.take(direction, &verdict);
        }
        judged
    }

    /// Counts what was found, logs what is not harmless, and decides.
    fn decide(&self, judged: Judged) -> Result<Guarded, EngineError> {
        for seen in &judged.0 {
            self.verdicts.count(seen);
            if seen.outcome > Outcome::Allow {
                let (direction, verdict) = (seen.direction.as_str(), seen.outcome.as_str());
                let rules = seen.rules.join(",");
                info!(direction, verdict, rules, "guard: {verdict} ({direction})");
            }
        }
        judged.passed()
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

/// Several verdicts, as one for each direction.
#[derive(Debug, Default)]
struct Judged(Vec<Seen>);

impl Judged {
    fn take(&mut self, direction: Direction, verdict: &Verdict) {
        match self.0.iter_mut().find(|seen| seen.direction == direction) {
            Some(seen) => seen.take(verdict),
            None => self.0.push(Seen::new(direction, verdict)),
        }
    }

    /// The worst of them counts.
    fn passed(self) -> Result<Guarded, EngineError> {
        let blocked = self.0.iter().find(|seen| seen.outcome == Outcome::Block);
        if let Some(Seen {
            direction, rules, ..
        }) = blocked
        {
            return Err(EngineError::Blocked {
                direction: *direction,
                rules: rules.clone(),
            });
        }
        let all = self.0.into_iter().map(|seen| Guarded {
            outcome: seen.outcome,
            rules: seen.rules,
        });
        let harmless = Guarded {
            outcome: Outcome::Allow,
            rules: Vec::new(),
        };
        Ok(all.fold(harmless, Guarded::and))
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
        self.guard.decide(judged).map(Some)
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
        self.guard.decide(judged).map(Some)
    }

    /// Step 7 for a streamed answer.
    pub(crate) fn stream_guard(&self, dialect: Dialect) -> Option<StreamGuard> {
        if self.guard.config.scanning == Scanning::Off {
            return None;
        }
        Some(StreamGuard {
            dialect,
            guard: self.guard.clone(),
            follows: BTreeMap::new(),
        })
    }
}

/// Runs CPU work beside the async runtime. A pool that is full refuses: what
/// is not scanned is not passed on.
pub(crate) async fn on_pool<T: Send + 'static>(
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
    guard: Arc<Guard>,
    /// Answers that are streamed side by side are texts of their own.
    follows: BTreeMap<(usize, Direction), Follow>,
}

/// Answers that are told apart; no request may ask for more.
const MOST_CHOICES: usize = 16;

impl StreamGuard {
    /// Looks at a chunk before it is sent.
    pub(crate) fn check(&mut self, chunk: &Chunk) -> Result<(), EngineError> {
        for spoken in chunk.spoken(self.dialect) {
            let direction = direction(spoken.by);
            let key = (spoken.choice.min(MOST_CHOICES - 1), direction);
            let guard = &self.guard;
            let new = || guard.rules.follow(guard.request(direction));
            let follow = self.follows.entry(key).or_insert_with(new);
            match follow.push(&spoken.text) {
                Some(verdict) if verdict.outcome == Outcome::Block => {
                    let seen = Seen::new(direction, &verdict);
                    return self.guard.decide(Judged(vec![seen])).map(drop);
                }
                // Counted once, at the end.
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Looks at what is left when the answer has ended.
    pub(crate) fn end(&mut self) -> Result<Guarded, EngineError> {
        let mut judged = Judged::default();
        for ((_, direction), follow) in &mut self.follows {
            judged.take(*direction, &follow.end());
        }
        self.guard.decide(judged)
    }
}

impl Engine {
    /// Scans a text by itself.
    ///
    /// # Errors
    /// [`EngineError::Busy`] when the CPU pool is full.
    pub async fn scan(&self, text: String, request: ScanRequest) -> Result<Scanned, EngineError> {
        let rules = self.rooms.guard.rules.clone();
        let (length, direction) = (text.len(), request.direction);
        let scan = move || {
            let started = Instant::now();
            let verdict = rules.scan(&text, &request);
            Scanned {
                verdict,
                rules_took: started.elapsed(),
                text_sha256: text_sha256(&text),
                cached: Cached::Bypass,
            }
        };
        let scanned = if length <= MOST_INLINE_BYTES {
            scan()
        } else {
            on_pool(&self.rooms.pool, scan).await?
        };
        let seen = Seen::new(direction, &scanned.verdict);
        self.rooms.guard.verdicts.count(&seen);
        Ok(scanned)
    }

    /// What is blocked unless a scan asks for another policy.
    pub fn policy(&self) -> Policy {
        self.rooms.guard.config.policy
    }

    /// The number of rules in force.
    pub fn rules(&self) -> usize {
        self.rooms.guard.rules.len()
    }

    /// A short digest of the rules in force.
    pub fn ruleset_version(&self) -> &str {
        self.rooms.guard.rules.version()
    }
}
