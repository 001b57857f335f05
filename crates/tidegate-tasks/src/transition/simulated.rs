//! Ten thousand random lives of a queue: workers die, fall silent and come
//! back, answers arrive twice, people cancel and retry, and time passes.
//!
//! `TIDEGATE_SEED=N cargo test -p tidegate-tasks simulated` repeats one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_store::{Begun, Changed, Entry, Held, Holding, Lane, MemoryQueue, Queue, Take};
use tokio::time::{Instant, advance};

use super::*;
use crate::handlers::{Handlers, Job};
use crate::new_task::{NewTask, Retries};
use crate::queue::{CancelOutcome, Settings, TaskQueue};

const LIVES: u64 = 10_000;
const LEASE: Duration = Duration::from_secs(15);
const OWNER: &str = "tenant";

/// What is known of a task from outside of the queue.
#[derive(Debug, Default)]
struct Known {
    depends_on: Vec<String>,
    runs_anyway: Option<()>,
    /// Since it was submitted, or retried by hand.
    starts: u32,
    ends: u32,
    retries: u32,
    /// The worker that has it, and until when nobody else may.
    held_until: Option<Instant>,
    result: Option<Bytes>,
    /// What the last change has made of its version.
    changed: Option<u64>,
    /// Somebody cancelled it while a worker had it.
    told_to_stop: Option<()>,
}

struct Life {
    random: fastrand::Rng,
    store: Arc<MemoryQueue>,
    queue: TaskQueue,
    known: BTreeMap<String, Known>,
    /// What each worker believes to have in hand.
    workers: Vec<Vec<(Entry, Doc)>>,
    /// Changes whose answers were lost: they are sent again.
    resent: Vec<Change>,
    runs: u32,
}

impl Life {
    fn new(seed: u64) -> Self {
        let handlers = Handlers::new().on("work", |_: Job<u32>| async { Ok(0) });
        let store = Arc::new(MemoryQueue::default());
        let queue = TaskQueue::new(store.clone(), Arc::new(handlers), Settings::default());
        Self {
            random: fastrand::Rng::with_seed(seed),
            store,
            queue,
            known: BTreeMap::new(),
            workers: vec![Vec::new(); 3],
            resent: Vec::new(),
            runs: 0,
        }
    }

    async fn step(&mut self) {
        let worker = self.random.usize(0..self.workers.len());
        match self.random.u32(0..100) {
            0..20 => self.submit().await,
            20..45 => self.take(worker).await,
            45..65 => self.finish(worker).await,
            65..75 => self.beat(worker).await,
            75..79 => self.workers[worker].clear(),
            79..83 => self.cancel().await,
            83..86 => self.retry().await,
            86..90 => self.resend().await,
            _ => {
                let seconds = self.random.u64(0..12);
                advance(Duration::from_secs(seconds)).await;
            }
        }
    }

    async fn submit(&mut self) {
        let there: Vec<String> = self.known.keys().cloned().collect();
        let mut task = NewTask::new("work", "1");
        task.id = Some(format!("t{}", self.known.len()));
        task.retries = Retries {
            max: Some(self.random.u32(0..3)),
            ..Retries::default()
        };
        for _ in 0..self.random.usize(0..3) {
            if let Some(id) = self.random.choice(&there) {
                task.depends_on.push(id.clone());
            }
        }
        if self.random.u32(0..4) == 0 {
            task.on_failed = OnFailed::Run;
        }
        let known = Known {
            depends_on: task.depends_on.clone(),
            runs_anyway: (task.on_failed == OnFailed::Run).then_some(()),
            ..Known::default()
        };
        let id = task.id.clone().unwrap();
        self.queue.submit(OWNER, vec![task]).await.unwrap();
        self.known.insert(id, known);
    }

    async fn take(&mut self, worker: usize) {
        let lanes = [Lane {
            name: "work",
            most_held: None,
        }];
        let most = self.random.usize(1..4);
        let take = Take {
            lanes: &lanes,
            most,
            begin: most,
            hold: LEASE,
        };
        for entry in self.store.take(take).await.unwrap().entries {
            match taken(&entry.head, entry.input.as_ref(), &self.queue.rules()) {
                Next::Leave(change) => self.send(change).await,
                Next::Run(doc) => {
                    self.started(&entry).await;
                    self.workers[worker].push((entry, doc));
                }
            }
        }
    }

    /// Nobody else has it, and what it depends on has ended as it should.
    async fn started(&mut self, entry: &Entry) {
        let id = &entry.head.name.id;
        let now = Instant::now();
        let known = self.known.get_mut(id).unwrap();
        let alone = known.held_until.is_none_or(|until| until <= now);
        assert!(alone, "{id} began while another worker had it");
        known.held_until = Some(now + LEASE);
        known.starts += 1;
        assert_eq!(
            known.told_to_stop, None,
            "{id} began after it was cancelled"
        );
        let (after, anyway) = (known.depends_on.clone(), known.runs_anyway);
        let mut failed = false;
        for before in after {
            let state = self.state(&before).await;
            failed |= state.is_final() && state != TaskState::Succeeded;
            let retried = self.known[&before].retries > 0;
            let in_order = state == TaskState::Succeeded || retried || (anyway.is_some() && failed);
            assert!(
                in_order || failed && anyway.is_some(),
                "{id} began before {before}, which is {state}"
            );
        }
    }

    async fn state(&self, id: &str) -> TaskState {
        self.queue.get(OWNER, id).await.unwrap().unwrap().state
    }

    async fn finish(&mut self, worker: usize) {
        if self.workers[worker].is_empty() {
            return;
        }
        let place = self.random.usize(0..self.workers[worker].len());
        let (entry, doc) = self.workers[worker].swap_remove(place);
        self.runs += 1;
        let outcome = match self.random.u32(0..10) {
            0..6 => Outcome::Done(self.runs.to_string().into()),
            6 => Outcome::Failed(Failure::new("x", "for good"), Repeat::Never),
            7 => Outcome::Interrupted,
            _ => Outcome::Failed(Failure::new("x", "for now"), Repeat::Backoff),
        };
        let change = attempted(&entry.head, doc, outcome, &self.queue.rules());
        if self.random.u32(0..5) == 0 {
            self.resent.push(change.clone());
        }
        self.send(change).await;
    }

    async fn send(&mut self, change: Change) {
        let (id, is_end) = (
            change.name.id.clone(),
            matches!(change.to, To::Ended { .. }),
        );
        let (result, lost) = (change.result.clone(), code_of(&change));
        let changed = self.store.change(vec![change]).await.unwrap();
        let Changed::To(version) = changed[0] else {
            return;
        };
        let known = self.known.get_mut(&id).unwrap();
        // One that is sent again is answered again, and made once.
        if known.changed.replace(version) == Some(version) {
            return;
        }
        known.held_until = None;
        if is_end {
            known.ends += 1;
            known.result = result;
            known.told_to_stop = None;
        }
        if lost.as_deref() == Some("worker_lost") {
            assert!(
                known.starts >= MOST_LOST,
                "{id} was put away after {} starts",
                known.starts
            );
        }
    }

    async fn resend(&mut self) {
        if let Some(change) = self.resent.pop() {
            self.send(change).await;
        }
    }

    async fn beat(&mut self, worker: usize) {
        let held: Vec<Holding> = self.workers[worker]
            .iter()
            .map(|(entry, _)| holding(entry))
            .collect();
        let answers = self.store.hold(&held, LEASE).await.unwrap();
        for (holding, answer) in held.iter().zip(answers) {
            let known = self.known.get_mut(&holding.name.id).unwrap();
            match answer {
                Held::Yes | Held::Stopping => known.held_until = Some(Instant::now() + LEASE),
                // One that fell silent does not give up at once.
                Held::Lost => {}
            }
        }
    }

    async fn cancel(&mut self) {
        let there: Vec<String> = self.known.keys().cloned().collect();
        let Some(id) = self.random.choice(there) else {
            return;
        };
        let outcome = self.queue.cancel(OWNER, &id).await.unwrap();
        let known = self.known.get_mut(&id).unwrap();
        match outcome {
            CancelOutcome::Cancelled => {
                known.ends += 1;
                known.result = None;
                known.told_to_stop = None;
            }
            CancelOutcome::Stopping => known.told_to_stop = Some(()),
            CancelOutcome::Ended(_) | CancelOutcome::Missing => {}
        }
    }

    async fn retry(&mut self) {
        let there: Vec<String> = self.known.keys().cloned().collect();
        let Some(id) = self.random.choice(there) else {
            return;
        };
        if self.queue.retry(OWNER, &id).await.is_ok() {
            let known = self.known.get_mut(&id).unwrap();
            known.retries += 1;
            known.starts = 0;
        }
    }

    /// All workers are well again: what is left comes to its end.
    async fn heal(&mut self) {
        self.workers.iter_mut().for_each(Vec::clear);
        for _ in 0..500 {
            let mut left = 0;
            for id in self.known.keys() {
                left += u32::from(!self.state(id).await.is_final());
            }
            if left == 0 {
                return;
            }
            self.take(0).await;
            while let Some((entry, doc)) = self.workers[0].pop() {
                self.runs += 1;
                let outcome = Outcome::Done(self.runs.to_string().into());
                let change = attempted(&entry.head, doc, outcome, &self.queue.rules());
                self.send(change).await;
            }
            advance(Duration::from_secs(5)).await;
        }
        panic!("something never ends");
    }

    async fn check(&self) {
        for (id, known) in &self.known {
            let task = self.queue.get(OWNER, id).await.unwrap();
            let task = task.unwrap_or_else(|| panic!("{id} is gone"));
            assert_eq!(known.ends, 1 + known.retries, "{id} ended so often");
            assert_eq!(task.result, known.result, "the result of {id}");
            assert_eq!(task.result.is_some(), task.state == TaskState::Succeeded);
        }
    }
}

fn holding(entry: &Entry) -> Holding {
    Holding {
        name: entry.head.name.clone(),
        version: entry.head.version,
        begun: Begun::Yes,
    }
}

fn code_of(change: &Change) -> Option<String> {
    Some(Doc::read(&change.state)?.error?.code)
}

async fn live(seed: u64) {
    let mut life = Life::new(seed);
    for _ in 0..life.random.u32(20..80) {
        life.step().await;
    }
    life.heal().await;
    life.check().await;
}

fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(live(seed));
}

#[test]
fn every_task_ends_once_through_ten_thousand_random_lives() {
    if let Ok(seed) = std::env::var("TIDEGATE_SEED") {
        return run(seed.parse().unwrap());
    }
    for seed in 0..LIVES {
        let lived = std::panic::catch_unwind(|| run(seed));
        assert!(
            lived.is_ok(),
            "life {seed} went wrong: TIDEGATE_SEED={seed} repeats it"
        );
    }
}
