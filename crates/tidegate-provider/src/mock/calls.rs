//! Who is being served: what each request gets, and what was counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::ask::{Ask, Task};
use super::behavior::Behavior;
use super::journal::{Ended, Entry, Journal};
use super::limit::{Granted, Limit};
use super::script::Script;

/// The word for a refusal by the upstream's own limit.
const OVER_LIMIT: &str = "over-limit";

/// The book of all calls.
#[derive(Debug)]
pub(crate) struct Calls {
    started: Instant,
    journal: Option<Journal>,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    script: Arc<Script>,
    draws: fastrand::Rng,
    granted: Granted,
    /// Requests ever; unlike the tally it is never set back.
    last: u64,
    tally: Tally,
    stopping: bool,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) in_flight: u64,
    pub(crate) max_in_flight: u64,
    pub(crate) disconnects: u64,
    over_limit: u64,
    by_behavior: BTreeMap<Behavior, u64>,
}

/// The tally as `GET /__mock/stats` tells it.
#[derive(Debug, Serialize)]
pub(crate) struct Stats {
    requests: u64,
    in_flight: u64,
    max_in_flight: u64,
    by_behavior: BTreeMap<String, u64>,
    disconnects: u64,
}

/// One request in flight. Dropping it unfinished means that the client left.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) behavior: Behavior,
    pub(crate) script: Arc<Script>,
    calls: Arc<Calls>,
    entry: Option<Box<Entry>>,
    ended: Ended,
}

impl Calls {
    pub(crate) fn new(script: Script, journal: Option<Journal>, now: Instant) -> Self {
        let book = Book {
            draws: fastrand::Rng::with_seed(script.seed),
            script: Arc::new(script),
            granted: Granted::default(),
            last: 0,
            tally: Tally::default(),
            stopping: false,
        };
        Self {
            started: now,
            journal,
            book: Mutex::new(book),
        }
    }

    /// Takes a request in and decides what it gets.
    pub(crate) fn begin(
        self: &Arc<Self>,
        ask: &Ask,
        request_id: Option<String>,
        now: Instant,
    ) -> Call {
        let elapsed = now.saturating_duration_since(self.started);
        let mut book = self.book();
        let script = Arc::clone(&book.script);
        let tokens = ask.tokens(&script);
        let (behavior, over_limit) = match book.decide(ask, elapsed, now) {
            Ok(behavior) => (behavior, false),
            Err(retry_after) => (Behavior::Throttle { retry_after }, true),
        };
        book.last += 1;
        let number = book.last;
        let in_flight = book.tally.enter((!over_limit).then_some(behavior));
        drop(book);
        let entry = self.journal.as_ref().map(|_| Entry {
            n: number,
            at_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            model: ask.model.clone(),
            behavior: if over_limit {
                OVER_LIMIT.to_owned()
            } else {
                behavior.to_string()
            },
            stream: ask.stream(),
            tokens,
            in_flight,
            ended: Ended::ClientLeft,
            x_request_id: request_id,
        });
        let calls = Arc::clone(self);
        let entry = entry.map(Box::new);
        Call {
            number,
            behavior,
            script,
            calls,
            entry,
            ended: Ended::ClientLeft,
        }
    }

    /// From now on requests get what `script` says; its draws begin anew.
    pub(crate) fn set_script(&self, script: Script) {
        let mut book = self.book();
        book.draws = fastrand::Rng::with_seed(script.seed);
        book.script = Arc::new(script);
    }

    /// What was counted so far.
    pub(crate) fn tally(&self) -> Tally {
        self.book().tally.clone()
    }

    /// Counts from zero again; what is in flight stays in flight.
    pub(crate) fn reset(&self) {
        let tally = &mut self.book().tally;
        let in_flight = tally.in_flight;
        *tally = Tally {
            in_flight,
            max_in_flight: in_flight,
            ..Tally::default()
        };
    }

    /// Calls that are cut short from now on were not left by their clients.
    pub(crate) fn stop(&self) {
        self.book().stopping = true;
    }

    /// Whether the journal is whole.
    pub(crate) fn journal_outcome(&self) -> std::io::Result<()> {
        self.journal.as_ref().map_or(Ok(()), Journal::outcome)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .expect("nothing panics while the book is open")
    }

    fn end(&self, ended: Ended) -> Ended {
        let mut book = self.book();
        let ended = match ended {
            Ended::ClientLeft if book.stopping => Ended::Faulted,
            ended => ended,
        };
        book.tally.in_flight -= 1;
        book.tally.disconnects += u64::from(ended == Ended::ClientLeft);
        ended
    }
}

impl Book {
    /// What a request gets; an error is a refusal by the limit, with the time
    /// to wait where the limit tells it.
    fn decide(
        &mut self,
        ask: &Ask,
        elapsed: Duration,
        now: Instant,
    ) -> Result<Behavior, Option<Duration>> {
        let script = Arc::clone(&self.script);
        if let Some(behavior) = Behavior::named(&ask.model).or_else(|| script.outage(elapsed)) {
            return Ok(behavior);
        }
        if let Some(limit) = &script.limit {
            let Limit { retry_after, .. } = *limit;
            let admitted = self.granted.admit(limit, ask.tokens(&script), now);
            admitted.map_err(|wait| retry_after.then_some(wait))?;
        }
        Ok(script.draw(&mut self.draws))
    }
}

impl Tally {
    /// Counts a request in; `None` is one beyond the limit.
    fn enter(&mut self, behavior: Option<Behavior>) -> u64 {
        self.requests += 1;
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
        match behavior {
            Some(behavior) => *self.by_behavior.entry(behavior).or_default() += 1,
            None => self.over_limit += 1,
        }
        self.in_flight
    }

    pub(crate) fn stats(self) -> Stats {
        let words = self
            .by_behavior
            .into_iter()
            .map(|(behavior, n)| (behavior.to_string(), n));
        let over_limit = Some((OVER_LIMIT.to_owned(), self.over_limit)).filter(|(_, n)| *n > 0);
        Stats {
            requests: self.requests,
            in_flight: self.in_flight,
            max_in_flight: self.max_in_flight,
            by_behavior: words.chain(over_limit).collect(),
            disconnects: self.disconnects,
        }
    }
}

impl Ask {
    /// Tokens of the prompt and of an ordinary answer.
    fn tokens(&self, script: &Script) -> u64 {
        match &self.task {
            Task::Chat(_) => self.prompt_tokens + script.events as u64,
            Task::Embed(_) => self.prompt_tokens,
        }
    }
}

impl Call {
    /// How long the upstream is silent before it answers.
    pub(crate) fn latency(&self) -> Duration {
        if let Behavior::Slow(latency) = self.behavior {
            latency
        } else {
            self.script.latency
        }
    }

    /// Says that everything that was to be said has been said.
    pub(crate) fn finish(mut self) {
        self.ended = if self.behavior.is_fault() {
            Ended::Faulted
        } else {
            Ended::Complete
        };
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let ended = self.calls.end(self.ended);
        if let (Some(journal), Some(entry)) = (&self.calls.journal, &mut self.entry) {
            entry.ended = ended;
            journal.write(entry);
        }
    }
}
