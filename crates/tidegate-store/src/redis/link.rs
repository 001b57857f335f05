//! The way to Redis: bounded in time, behind a breaker, and found again after
//! it was lost.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind};
use redis::{Script, ScriptInvocation};
use tidegate_resilience::{BreakerConfig, Health, Outcome, SharedBreaker};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::keeper;
use super::line::{Address, Line};
use super::presence::{Nodes, Presence};
use crate::error::{OpenError, StoreError};
use crate::state::Reach;
use crate::url::{RedisUrl, Topology};

/// What a link is made from.
#[derive(Debug, Clone)]
pub(crate) struct LinkConfig {
    pub(crate) url: RedisUrl,
    /// The number of the database, where it is not the address's.
    pub(crate) db: u16,
    /// How long one question may take.
    pub(crate) timeout: Duration,
}

/// A way to Redis that many use at once. Cheap to clone.
///
/// Every question is answered or refused within the time limit, give or take a
/// turn of the scheduler. When several in a row were not answered, the next
/// ones are refused at once, until the heartbeat is answered again.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) address: Address,
    /// Tells this node from others, and from itself before a restart.
    pub(super) node: String,
    timeout: Duration,
    line: RwLock<Option<Line>>,
    breaker: SharedBreaker,
    presence: RwLock<Presence>,
    standing: Mutex<Standing>,
    /// Rung when the connection is of no use any more.
    pub(super) lost: Notify,
    pub(super) stop: CancellationToken,
    tasks: TaskTracker,
}

/// What the log says of the link.
#[derive(Debug, Clone)]
enum Standing {
    Live,
    Unreachable { since: Instant, reason: String },
}

/// The heartbeat closes it; its cooldown only bounds how long it stays open if
/// there is none.
fn breaker() -> SharedBreaker {
    let cooldown = Duration::from_secs(5);
    SharedBreaker::new(BreakerConfig {
        failure_threshold: 5,
        success_threshold: 1,
        cooldown,
        max_cooldown: cooldown,
        probes: 1,
        rate: None,
    })
}

impl Link {
    /// Connects, and goes on without where nobody answers: it is looked for
    /// again and again.
    ///
    /// # Errors
    /// [`OpenError`] when the server answers and turns us away.
    pub(crate) async fn open(config: LinkConfig) -> Result<Self, OpenError> {
        let link = Self {
            shared: Arc::new(Shared {
                address: Address {
                    url: config.url,
                    db: config.db,
                },
                node: node_name(),
                timeout: config.timeout,
                line: RwLock::default(),
                breaker: breaker(),
                presence: RwLock::new(Presence::alone()),
                standing: Mutex::new(Standing::Live),
                lost: Notify::new(),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        };
        match keeper::connect(&link).await {
            Ok(()) => super::rights::check(&link).await?,
            Err(error) => {
                super::rights::check_access(&link, &error)?;
                link.unreachable(reason_of(&error));
            }
        }
        let kept = link.clone();
        link.spawn(async move { keeper::keep(kept).await });
        Ok(link)
    }

    /// Asks one question.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] means that it may have been heard.
    pub(crate) async fn run<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, StoreError> {
        self.ask(async |line| cmd.query_async(line).await).await
    }

    /// Asks several at once. In a cluster their keys lie in one slot.
    ///
    /// # Errors
    /// Those of [`Self::run`].
    pub(crate) async fn pipe<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, StoreError> {
        self.ask(async |line| pipe.query_async(line).await).await
    }

    /// Runs a script, which is sent where the server does not know it yet.
    ///
    /// # Errors
    /// Those of [`Self::run`].
    pub(crate) async fn invoke<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        self.ask(async |line| script.invoke_async(line).await).await
    }

    /// The same for a script with so much to do that it may take this much
    /// longer than a question.
    ///
    /// # Errors
    /// Those of [`Self::run`].
    pub(crate) async fn invoke_long<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
        longer: Duration,
    ) -> Result<T, StoreError> {
        let within = self.shared.timeout + longer;
        self.ask_within(within, async |line| script.invoke_async(line).await)
            .await
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut Line) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        self.ask_within(self.shared.timeout, question).await
    }

    async fn ask_within<T>(
        &self,
        within: Duration,
        question: impl AsyncFnOnce(&mut Line) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let asked = Instant::now();
        let permit = self.shared.breaker.permit(asked.into_std());
        let permit = permit.map_err(|_| self.left_alone())?;
        let Some(mut line) = self.line() else {
            return Err(self.left_alone());
        };
        let answer = timeout(within, question(&mut line)).await;
        let answer = answer
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
        let latency = asked.elapsed();
        let outcome = match &answer {
            Ok(_) => Outcome::Success { latency },
            Err(error) if is_outage(error) => Outcome::Failure { latency },
            Err(_) => Outcome::Ignored,
        };
        permit.record(outcome, Instant::now().into_std());
        answer.map_err(|error| self.failed(&error))
    }

    /// One question outside of the breaker, which is what closes it.
    pub(super) async fn probe<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        args: &[&str],
    ) -> RedisResult<T> {
        let Some(mut line) = self.line() else {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        };
        let mut script = script.prepare_invoke();
        for key in keys {
            script.key(*key);
        }
        for arg in args {
            script.arg(*arg);
        }
        timeout(
            PROBE_TIME.max(self.shared.timeout),
            script.invoke_async(&mut line),
        )
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    fn left_alone(&self) -> StoreError {
        let reason = match &*self.standing() {
            Standing::Live => "no connection".to_owned(),
            Standing::Unreachable { reason, .. } => reason.clone(),
        };
        StoreError::Unreachable { reason }
    }

    /// Sorts an error, and has a connection replaced that is of no use.
    fn failed(&self, error: &RedisError) -> StoreError {
        let reason = reason_of(error);
        if !is_outage(error) {
            return match error.kind() {
                ErrorKind::UnexpectedReturnType | ErrorKind::Parse => StoreError::Corrupt {
                    what: "an answer of the expected type",
                },
                _ if error.code() == Some("WRONGTYPE") => StoreError::Corrupt {
                    what: "a key of the expected type",
                },
                _ => StoreError::Refused { reason },
            };
        }
        if is_lost(error) {
            self.shared.lost.notify_one();
        }
        if self.shared.breaker.health(Instant::now().into_std()) != Health::Healthy {
            self.unreachable(reason.clone());
        }
        StoreError::Unreachable { reason }
    }

    fn line(&self) -> Option<Line> {
        let line = self.shared.line.read();
        line.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_line(&self, line: Option<Line>) {
        *self
            .shared
            .line
            .write()
            .unwrap_or_else(PoisonError::into_inner) = line;
    }

    /// A heartbeat was answered.
    pub(super) fn beat(&self, presence: Presence) {
        *self
            .shared
            .presence
            .write()
            .unwrap_or_else(PoisonError::into_inner) = presence;
        let now = Instant::now();
        if self.shared.breaker.health(now.into_std()) != Health::Healthy {
            self.shared.breaker.reset(now.into_std());
        }
        let before = std::mem::replace(&mut *self.standing(), Standing::Live);
        if let Standing::Unreachable { since, .. } = before {
            let away_ms = since.elapsed().as_millis() as u64;
            let db = self.shared.address.db;
            info!(db, away_ms, "the store can be reached again");
        }
    }

    /// Nobody answers.
    pub(super) fn unreachable(&self, reason: String) {
        let mut standing = self.standing();
        if matches!(*standing, Standing::Unreachable { .. }) {
            return;
        }
        let db = self.shared.address.db;
        warn!(db, reason, "the store cannot be reached: {reason}");
        let since = Instant::now();
        *standing = Standing::Unreachable { since, reason };
    }

    fn standing(&self) -> std::sync::MutexGuard<'_, Standing> {
        self.shared
            .standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the last heartbeat or question was answered.
    pub(crate) fn is_live(&self) -> bool {
        matches!(*self.standing(), Standing::Live)
            && self.shared.breaker.health(Instant::now().into_std()) == Health::Healthy
    }

    /// Whether it can be used, for whoever asks.
    pub(crate) fn reach(&self) -> Reach {
        match &*self.standing() {
            Standing::Live => Reach::Live,
            Standing::Unreachable { since, reason } => Reach::Unreachable {
                since: since.elapsed(),
                reason: reason.clone(),
            },
        }
    }

    fn presence(&self) -> Presence {
        let presence = self.shared.presence.read();
        *presence.unwrap_or_else(PoisonError::into_inner)
    }

    /// The copies of the gateway that were last seen.
    pub(crate) fn nodes(&self) -> Nodes {
        self.presence().nodes
    }

    /// The server's clock, since the epoch; `None` before it was ever reached.
    /// This machine's own may be minutes apart from it and from other nodes'.
    pub(crate) fn server_now(&self) -> Option<Duration> {
        let (told, at) = self.presence().server?;
        Some(told + at.elapsed())
    }

    /// What tells this node from others.
    pub(crate) fn node(&self) -> &str {
        &self.shared.node
    }

    /// How long one question may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// The number of the database.
    pub(crate) fn db(&self) -> u16 {
        self.shared.address.db
    }

    /// Whether keys lie on several servers.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.url().topology, Topology::Cluster(_))
    }

    /// What stands at the address.
    pub(crate) fn url(&self) -> &RedisUrl {
        &self.shared.address.url
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Work beside requests, which [`Self::close`] waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.shared.tasks.spawn(work);
    }

    /// Ends when the link is closed.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.stop.clone().cancelled_owned()
    }

    /// Ends what runs in the background; other nodes are told that this one is
    /// gone.
    pub(crate) async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let mut gone = redis::cmd("ZREM");
        gone.arg(super::presence::NODES_KEY).arg(&self.shared.node);
        let _: Result<u32, _> = self.run(&gone).await;
    }
}

/// A heartbeat may take longer than a question: it is alone, and a server that
/// is slow is not lost.
const PROBE_TIME: Duration = Duration::from_millis(250);

fn node_name() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Whether nobody can be served by whoever is at the other end.
fn is_outage(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io
        | ErrorKind::AuthenticationFailed
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::ClusterConnectionNotFound => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Moved
        ),
        _ => error.is_timeout() || error.is_connection_dropped(),
    }
}

/// Whether another connection is needed, maybe to another server.
fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.is_connection_refusal()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

/// What happened, without the address and without what was sent.
pub(super) fn reason_of(error: &RedisError) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    if error.is_connection_refusal() {
        return "the connection is refused".to_owned();
    }
    if error.is_connection_dropped() {
        return "the connection broke off".to_owned();
    }
    match error.code() {
        Some(code) => format!("it answers {code}"),
        None => error.category().to_owned(),
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("url", &self.shared.address.url)
            .field("reach", &self.reach())
            .finish_non_exhaustive()
    }
}
