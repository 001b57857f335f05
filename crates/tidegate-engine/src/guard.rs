//! Steps 1 and 7 of a request: what goes in and what comes out is scanned.

mod config;
mod in_force;
mod judged;
mod layers;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidegate_guard::{Direction, Follow, L2Outcome, Outcome, Rules, ScanRequest, Verdict};
use tidegate_provider::{ChatRequest, Chunk, Dialect, Speaker, Spoken, spoken_answer};
use tidegate_work::Pool;
use tracing::{info, warn};

use crate::answer::{CacheUse, Cached};
use crate::assemble::{AssembleError, Rooms};
use crate::context::Context;
use crate::error::EngineError;
use crate::feedback::Words;
use crate::policies::{Agreements, PolicySource, Side, Terms, Trial};
use crate::verdicts::{GuardCounts, Seen, Verdicts};
pub use config::{GuardConfig, Scanning};
use judged::Judged;
use layers::Layers;

/// What the guard made of a request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The worst outcome so far.
    pub outcome: Outcome,
    /// The rules that matched, each once.
    pub rules: Vec<Arc<str>>,
    /// What of the guard was missing, in stable words, each once.
    pub degraded: Vec<&'static str>,
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
    /// How long the classifier took, beside them where the text is long.
    pub classifier_took: Duration,
    /// Whether it was said before.
    pub cached: Cached,
    /// Who chose the policy that decided.
    pub source: PolicySource,
}

/// The rules of this build, compiled once for the process.
static BUILTIN: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules::builtin().expect("the tests load the embedded packs")));

/// Texts up to this length are scanned where they are; a hop to another thread
/// would cost more than it saves. Longer ones go to the CPU pool.
pub(crate) const MOST_INLINE_BYTES: usize = 8 << 10;

/// What is scanned, and by which rules.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) own: Layers,
    /// Those with the model that is rolled out, where one is.
    candidate: Option<Layers>,
    config: GuardConfig,
    pub(crate) verdicts: Arc<Verdicts>,
    agreements: Arc<Agreements>,
    pub(crate) words: Arc<Words>,
}

impl Guard {
    /// A guard that goes on counting where the one `before` it was.
    ///
    /// # Errors
    /// What is wrong with a pack, with its file, line and rule, or with a model.
    pub(crate) fn new(config: GuardConfig, before: Option<&Self>) -> Result<Self, AssembleError> {
        let rules = match config.packs.as_slice() {
            [] => BUILTIN.clone(),
            folders => Arc::new(Rules::with_folders(folders)?),
        };
        if config.scanning == Scanning::On {
            prepare_for_streams(&rules, &config);
        }
        let own = Layers::new(
            rules.clone(),
            (config.classifier.as_ref(), config.second.as_ref()),
            before.map(|guard| &guard.own),
        )?;
        let rollout = config.rollout.as_ref();
        let candidate = rollout.and_then(|rollout| rollout.model.as_ref());
        let candidate = candidate.map(|model| {
            let model = (model.classifier.as_ref(), model.second.as_ref());
            let before = before.and_then(|guard| guard.candidate.as_ref());
            Layers::new(rules, model, before)
        });
        let same = before.filter(|guard| guard.config.compares_as(&config));
        Ok(Self {
            own,
            candidate: candidate.transpose()?,
            config,
            agreements: same.map_or_else(Arc::default, |guard| guard.agreements.clone()),
            words: before.map_or_else(Arc::default, |guard| guard.words.clone()),
            verdicts: before.map_or_else(Arc::default, |guard| guard.verdicts.clone()),
        })
    }

    /// Names the rules, the classifier, the mode and the policy: answers that passed
    /// under one may not stand for answers under another.
    pub(crate) fn version(&self, terms: &Terms) -> String {
        match self.config.scanning {
            Scanning::On => {
                let layers = self.layers(terms.side());
                format!("{}:{}", layers.scanner.version(), terms.edition())
            }
            Scanning::Off => "off".to_owned(),
        }
    }

    /// What scans for a side of a rollout; without another model both are the same.
    pub(crate) fn layers(&self, side: Side) -> &Layers {
        match side {
            Side::Own => &self.own,
            Side::Candidate => self.candidate.as_ref().unwrap_or(&self.own),
        }
    }

    /// Whether something that takes part on these terms takes longer than rules.
    pub(crate) fn is_slow(&self, side: Side, trial: Option<&Trial>) -> bool {
        let other = trial.map(|trial| trial.decided.other());
        let mut sides = [Some(side), other].into_iter().flatten();
        sides.any(|side| self.layers(side).is_slow())
    }

    /// Whether the other side of a rollout reads texts itself.
    pub(crate) fn candidate_reads(&self, trial: Option<&Trial>) -> bool {
        trial.is_some() && self.candidate.is_some()
    }

    /// What the other side says of a text, whose layers are quick.
    pub(crate) fn says_here(
        &self,
        trial: &Trial,
        text: &str,
        request: &ScanRequest,
        verdict: &Verdict,
    ) -> Outcome {
        if self.candidate.is_none() {
            return trial.says(request, verdict);
        }
        let scanner = &self.layers(trial.decided.other()).scanner;
        scanner.scan(text, &trial.request(request)).outcome
    }

    pub(crate) fn config(&self) -> &GuardConfig {
        &self.config
    }

    /// What it said so far.
    pub(crate) fn counts(&self) -> GuardCounts {
        GuardCounts {
            feedback: self.words.counts(),
            ..self.verdicts.counts()
        }
    }

    /// The verdict on a stream. What a model of one's own would say of it is not asked:
    /// the text has been shown, and is not kept.
    fn unasked(&self, verdict: Verdict, request: &ScanRequest, terms: &Terms) -> Verdict {
        match self.layers(terms.side()).second(request) {
            Some(second) => second.aside().without(verdict, L2Outcome::Skipped),
            None => verdict,
        }
    }

    /// Scans everything that was said.
    fn judge(&self, said: &[Spoken], terms: &Terms) -> Judged {
        let mut judged = Judged::default();
        let scanner = &self.layers(terms.side()).scanner;
        for spoken in said {
            let request = terms.request(direction(spoken.by));
            let verdict = scanner.scan(&spoken.text, &request);
            let trial = terms.trial.as_ref();
            let other = trial.map(|trial| self.says_here(trial, &spoken.text, &request, &verdict));
            judged.take(&request, &verdict, other);
        }
        judged
    }

    /// Counts what was found, logs what is not harmless, and decides.
    fn decide(&self, judged: Judged, terms: &Terms) -> Result<Guarded, EngineError> {
        for seen in &judged.0 {
            self.note(seen);
            if let (Some(trial), Some(other)) = (&terms.trial, seen.other) {
                self.compare(trial, seen.outcome, other);
            }
            if seen.outcome > Outcome::Allow {
                let (direction, verdict) = (seen.direction.as_str(), seen.outcome.as_str());
                let rules = seen.rules.join(",");
                info!(direction, verdict, rules, "guard: {verdict} ({direction})");
            }
        }
        judged.passed()
    }

    /// Counts what two policies said of the same text, or of one direction of
    /// the same request.
    pub(crate) fn compare(&self, trial: &Trial, said: Outcome, other: Outcome) {
        self.agreements.note(trial.decided, said, other);
    }

    /// Counts a verdict, and writes down which suppressions were applied.
    pub(crate) fn note(&self, seen: &Seen) {
        self.verdicts.count(seen);
        for applied in &seen.suppressed {
            let (rule, pattern) = (&*applied.rule, applied.suppression.pattern());
            let reason = &applied.suppression.reason;
            let by = applied.suppression.by.as_deref().unwrap_or_default();
            let (policy, direction) = (&*applied.policy, seen.direction.as_str());
            info!(
                rule,
                pattern, reason, by, policy, direction, "guard: {rule} is suppressed by {policy}"
            );
        }
    }
}

/// Builds what streams under the configured policies need, so that the first of
/// them does not wait for it on the async runtime.
fn prepare_for_streams(rules: &Rules, config: &GuardConfig) {
    let policies = config.policies.iter().chain([&config.chosen.policy]);
    for policy in policies {
        for direction in [Direction::Answer, Direction::ToolCall] {
            let prepared = rules.prepare_to_follow(&ScanRequest {
                direction,
                policy: policy.clone(),
                ..ScanRequest::default()
            });
            if let Err(error) = prepared {
                let (policy, direction) = (policy.id(), direction.as_str());
                warn!(
                    policy,
                    direction,
                    "guard: what {policy} may block {error}; streams ({direction}) are held by 512 characters"
                );
            }
        }
    }
}

pub(crate) fn direction(by: Speaker) -> Direction {
    match by {
        Speaker::User => Direction::Prompt,
        Speaker::Tool => Direction::ToolResult,
        Speaker::Model => Direction::Answer,
        Speaker::ModelToTool => Direction::ToolCall,
    }
}

impl Rooms {
    /// On what terms the texts of this request are judged.
    pub(crate) fn terms(
        &self,
        request: &ChatRequest,
        context: &Context,
    ) -> Result<Arc<Terms>, EngineError> {
        if let Some(terms) = &context.terms {
            return Ok(terms.clone());
        }
        let (caller, asked) = (&context.caller, context.policy.as_deref());
        let terms = self
            .guard
            .terms(caller, asked, || subject(request, context));
        terms.map(Arc::new)
    }

    /// Step 1: what users and tools say in a request.
    pub(crate) async fn guard_prompt(
        &self,
        request: &ChatRequest,
        terms: &Arc<Terms>,
    ) -> Result<Option<Guarded>, EngineError> {
        if self.guard.config.scanning == Scanning::Off {
            return Ok(None);
        }
        let is_short = request.content().prompt_bytes <= MOST_INLINE_BYTES;
        let judged = if self.guard.is_slow(terms.side(), terms.trial.as_ref()) {
            let request = request.clone();
            let spoken = || on_pool(&self.pool, move || request.spoken());
            self.judge_beside(spoken().await?, terms).await?
        } else if is_short {
            self.guard.judge(&request.spoken(), terms)
        } else {
            let (guard, request, terms) = (self.guard.clone(), request.clone(), terms.clone());
            on_pool(&self.pool, move || guard.judge(&request.spoken(), &terms)).await?
        };
        self.guard.decide(judged, terms).map(Some)
    }

    /// Step 7 for a whole answer.
    pub(crate) async fn guard_whole_answer(
        &self,
        dialect: Dialect,
        body: &bytes::Bytes,
        terms: &Arc<Terms>,
    ) -> Result<Option<Guarded>, EngineError> {
        if self.guard.config.scanning == Scanning::Off {
            return Ok(None);
        }
        let judged = if self.guard.is_slow(terms.side(), terms.trial.as_ref()) {
            let body = body.clone();
            let spoken = on_pool(&self.pool, move || spoken_answer(dialect, &body));
            self.judge_beside(spoken.await?, terms).await?
        } else if body.len() <= MOST_INLINE_BYTES {
            self.guard.judge(&spoken_answer(dialect, body), terms)
        } else {
            let (guard, body, terms) = (self.guard.clone(), body.clone(), terms.clone());
            on_pool(&self.pool, move || {
                guard.judge(&spoken_answer(dialect, &body), &terms)
            })
            .await?
        };
        self.guard.decide(judged, terms).map(Some)
    }

    /// Scans everything that was said, as many texts at once as there are cores.
    async fn judge_beside(&self, said: Vec<Spoken>, terms: &Terms) -> Result<Judged, EngineError> {
        let scan = |spoken: Spoken| async move {
            let (text, request) = (spoken.text.into(), terms.request(direction(spoken.by)));
            let scanned = self.scan_both(text, &request, terms).await?;
            Ok::<_, EngineError>((request, scanned))
        };
        let scans = stream::iter(said).map(scan).buffered(self.pool.threads());
        let verdicts: Vec<_> = scans.try_collect().await?;
        let mut judged = Judged::default();
        for (request, (scanned, other)) in &verdicts {
            judged.take(request, &scanned.verdict, *other);
        }
        Ok(judged)
    }

    /// What decides, and what the other side of a rollout says.
    async fn scan_both(
        &self,
        text: Arc<str>,
        request: &ScanRequest,
        terms: &Terms,
    ) -> Result<(Scanned, Option<Outcome>), EngineError> {
        let (trial, cache) = (terms.trial.as_ref(), CacheUse::Default);
        let own = self.scan_text(text.clone(), request, cache, terms.side());
        let (own, other) = future::join(own, self.other(trial, text, request)).await;
        let own = own?;
        let other = other.or_else(|| terms.other(request, &own.verdict));
        Ok((own, other))
    }

    /// What the other side of a rollout says of a text, where it has layers of its own
    /// and they have answered: what is only tried out refuses nothing.
    pub(crate) async fn other(
        &self,
        trial: Option<&Trial>,
        text: Arc<str>,
        request: &ScanRequest,
    ) -> Option<Outcome> {
        let trial = trial.filter(|trial| self.guard.candidate_reads(Some(trial)))?;
        let (request, side) = (trial.request(request), trial.decided.other());
        let scanned = self.scan_text(text, &request, CacheUse::Default, side);
        scanned.await.ok().map(|scanned| scanned.verdict.outcome)
    }

    /// Step 7 for a streamed answer.
    pub(crate) fn stream_guard(&self, dialect: Dialect, terms: Arc<Terms>) -> Option<StreamGuard> {
        if self.guard.config.scanning == Scanning::Off {
            return None;
        }
        Some(StreamGuard {
            dialect,
            guard: self.guard.clone(),
            terms,
            follows: BTreeMap::new(),
        })
    }
}

/// What a rollout tells traffic apart by: the session, else the user, else the
/// beginning of the texts.
fn subject(request: &ChatRequest, context: &Context) -> Vec<u8> {
    const MOST_BYTES: usize = 64 << 10;
    if let Some(session) = &context.session {
        return format!("session {session}").into_bytes();
    }
    if let Some(user) = request.user() {
        return format!("user {user}").into_bytes();
    }
    let texts = ["messages", "prompt"].map(|key| request.raw().get(key));
    let mut bytes = texts.into_iter().flatten().flatten().copied();
    bytes.by_ref().take(MOST_BYTES).collect()
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
    terms: Arc<Terms>,
    /// Answers that are streamed side by side are texts of their own.
    follows: BTreeMap<Text, Follow>,
}

/// Which of the texts that are streamed at once: whose answer, and of which kind.
type Text = (usize, Direction);

/// Where in which texts a chunk ends, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Mark(Vec<(Text, usize)>);

/// What a stream is called in errors.
const STREAM: &str = "streamed answer";

/// Answers that are told apart; no request may ask for more.
const MOST_CHOICES: usize = 16;

impl StreamGuard {
    /// Looks at a chunk before it is sent, and says where its text ends.
    pub(crate) fn check(&mut self, chunk: &Chunk) -> Result<Mark, EngineError> {
        let mut mark = Mark::default();
        for spoken in chunk.spoken(self.dialect) {
            let direction = direction(spoken.by);
            let key = (spoken.choice.min(MOST_CHOICES - 1), direction);
            let request = self.terms.request(direction);
            let scanner = &self.guard.layers(self.terms.side()).scanner;
            let new = || scanner.follow(request.clone());
            let follow = self.follows.entry(key).or_insert_with(new);
            let said = follow.push(&spoken.text);
            let unasked = |verdict| self.guard.unasked(verdict, &request, &self.terms);
            match said.map(unasked) {
                // A stream is not taken back: what is to be redacted ends it.
                Some(verdict) if verdict.outcome >= Outcome::Redact => {
                    let mut judged = Judged::default();
                    let other = self.terms.other(&request, &verdict);
                    judged.take(&request, &verdict, other);
                    let guarded = self.guard.decide(judged, &self.terms)?;
                    return guarded.must_not_redact(STREAM).map(|_| mark);
                }
                // Counted once, at the end.
                Some(_) | None => mark.0.push((key, follow.received_bytes())),
            }
        }
        Ok(mark)
    }

    /// Whether nothing of a chunk's text can become what is blocked.
    pub(crate) fn is_clear(&self, mark: &Mark) -> bool {
        let is_clear = |(key, end): &(Text, usize)| {
            let follow = self.follows.get(key);
            follow.is_none_or(|follow| *end <= follow.clear_bytes())
        };
        mark.0.iter().all(is_clear)
    }

    /// Looks at what is left when the answer has ended.
    pub(crate) fn end(&mut self) -> Result<Guarded, EngineError> {
        let mut judged = Judged::default();
        for ((_, direction), follow) in &mut self.follows {
            let request = self.terms.request(*direction);
            let verdict = self.guard.unasked(follow.end(), &request, &self.terms);
            let other = self.terms.other(&request, &verdict);
            judged.take(&request, &verdict, other);
        }
        let guarded = self.guard.decide(judged, &self.terms)?;
        guarded.must_not_redact(STREAM)
    }
}
