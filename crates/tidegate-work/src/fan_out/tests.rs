use super::*;
use crate::Deadline;
use proptest::prelude::*;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, sleep};

type Outcome = Result<u64, &'static str>;

const ALL: FanOut = FanOut {
    limit: usize::MAX,
    deadline: None,
    order: Order::AsGiven,
};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn ready_after(wait_ms: u64) -> Outcome {
    sleep(ms(wait_ms)).await;
    Ok(wait_ms)
}

fn waits(waits_ms: &[u64]) -> impl Iterator<Item = (u64, impl Future<Output = Outcome>)> {
    waits_ms.iter().map(|&wait| (wait, ready_after(wait)))
}

/// Counts what runs, from the first poll to the drop.
#[derive(Default)]
struct Gauge {
    running: Cell<usize>,
    most: Cell<usize>,
}

struct InFlight<'a>(&'a Gauge);

impl Gauge {
    fn enter(&self) -> InFlight<'_> {
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        InFlight(self)
    }

    async fn ready_after(&self, wait_ms: u64) -> Outcome {
        let _in_flight = self.enter();
        ready_after(wait_ms).await
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn all_at_once_costs_the_slowest_not_the_sum() {
    let start = Instant::now();
    let gathered = gather(waits(&[30, 50, 40]), ALL).await;
    assert_eq!(gathered.ok.len(), 3);
    assert_eq!(start.elapsed(), ms(50));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_or_none_runs_one_after_the_other() {
    for limit in [0, 1] {
        let start = Instant::now();
        gather(waits(&[30, 50, 40]), FanOut { limit, ..ALL }).await;
        assert_eq!(start.elapsed(), ms(120));
    }
}

async fn names(order: Order) -> Vec<u64> {
    let how = FanOut { order, ..ALL };
    fan_out(waits(&[30, 50, 40, 10]), how)
        .map(|part| part.name)
        .collect()
        .await
}

#[tokio::test(start_paused = true)]
async fn as_they_come_yields_the_fastest_first() {
    assert_eq!(names(Order::AsTheyCome).await, [10, 30, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn as_given_keeps_the_given_order() {
    assert_eq!(names(Order::AsGiven).await, [30, 50, 40, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_part_is_yielded_when_it_is_due_not_when_all_are_done() {
    let start = Instant::now();
    let mut parts = fan_out(waits(&[10, 90]), ALL);
    assert_eq!(parts.size_hint(), (2, Some(2)));
    assert_eq!(parts.next().await.unwrap().result, Ok(10));
    assert_eq!(start.elapsed(), ms(10));
    assert_eq!(parts.size_hint(), (1, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_part_is_named_and_the_others_still_count() {
    let jobs = ["index", "web", "grep"].map(|name| {
        let works = name != "web";
        (name, async move { works.then_some(1).ok_or("refused") })
    });
    let gathered = gather(jobs, ALL).await;
    assert_eq!(gathered.ok, [("index", 1), ("grep", 1)]);
    assert_eq!(gathered.failed, [("web", PartError::Failed("refused"))]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_its_part_alone() {
    let jobs = ["index", "web"].map(|name| {
        (name, async move {
            assert_ne!(name, "web", "the panic that this test is about");
            Outcome::Ok(1)
        })
    });
    let gathered = gather(jobs, ALL).await;
    assert_eq!(gathered.ok, [("index", 1)]);
    assert_eq!(gathered.failed, [("web", PartError::Panicked)]);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_finished_parts_remain_and_the_rest_timed_out() {
    for order in [Order::AsGiven, Order::AsTheyCome] {
        let start = Instant::now();
        let how = FanOut {
            deadline: Some(Deadline::after(ms(50))),
            order,
            ..ALL
        };
        let mut gathered = gather(waits(&[90, 10, 50, 60]), how).await;
        gathered.ok.sort_unstable();
        gathered.failed.sort_unstable_by_key(|(name, _)| *name);
        assert_eq!(gathered.ok, [(10, 10), (50, 50)]);
        assert_eq!(
            gathered.failed,
            [(60, PartError::TimedOut), (90, PartError::TimedOut)]
        );
        assert_eq!(start.elapsed(), ms(50));
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_could_not_start_before_the_deadline_never_starts() {
    let gauge = Gauge::default();
    let started = Cell::new(0);
    let job = || async {
        started.set(started.get() + 1);
        gauge.ready_after(60).await
    };
    let how = FanOut {
        limit: 2,
        deadline: Some(Deadline::after(ms(50))),
        ..ALL
    };
    let gathered = gather((0..5).map(|name| (name, job())), how).await;
    assert_eq!(gathered.failed.len(), 5);
    assert_eq!(started.get(), 2);
    assert_eq!(gauge.running.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_leaves_nothing_running() {
    let gauge = Gauge::default();
    let jobs = [10, 20, 30, 40].map(|wait| (wait, gauge.ready_after(wait)));
    let mut parts = fan_out(jobs, FanOut { limit: 3, ..ALL });
    parts.next().await.unwrap();
    assert_eq!(gauge.running.get(), 2);
    drop(parts);
    assert_eq!(gauge.running.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_gather_leaves_nothing_running() {
    let gauge = Gauge::default();
    let jobs = [10, 20].map(|wait| (wait, gauge.ready_after(wait)));
    let cut_off = Deadline::after(ms(5)).run(gather(jobs, ALL)).await;
    assert!(cut_off.is_err());
    assert_eq!((gauge.most.get(), gauge.running.get()), (2, 0));
}

#[tokio::test]
async fn no_parts_end_at_once() {
    let none: [(&str, std::future::Ready<Outcome>); 0] = [];
    assert!(fan_out(none, ALL).next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_fan_out_over_borrowing_parts_can_be_sent() {
    struct Source(String);
    impl Source {
        async fn search(&self, query: &str) -> Result<usize, String> {
            tokio::task::yield_now().await;
            Ok(self.0.len() + query.len())
        }
    }
    type Boxed<'a> = Pin<Box<dyn Future<Output = usize> + Send + 'a>>;
    fn boxed<'a>(sources: &'a [Source], query: &'a str) -> Boxed<'a> {
        Box::pin(async move {
            let jobs = sources.iter().map(|s| (s.0.as_str(), s.search(query)));
            let gathered = gather(jobs, ALL).await;
            let jobs = sources.iter().map(|s| (&s.0, s.search(query)));
            let mut parts = fan_out(jobs, ALL);
            let mut count = gathered.ok.len();
            while parts.next().await.is_some() {
                count += 1;
            }
            count
        })
    }
    let sources = [Source("index".to_owned()), Source("web".to_owned())];
    assert_eq!(boxed(&sources, "tide").await, 4);
}

#[tokio::test(start_paused = true)]
async fn parts_that_never_end_are_cut_off() {
    let how = FanOut {
        deadline: Some(Deadline::after(ms(5))),
        ..ALL
    };
    let gathered = gather([("stuck", pending::<Outcome>())], how).await;
    assert_eq!(gathered.failed, [("stuck", PartError::TimedOut)]);
}

/// When the last of `waits_ms` ends if each takes the first place that is free.
fn makespan(waits_ms: &[u64], places: usize) -> u64 {
    let mut free_at: BinaryHeap<_> = (0..places).map(|_| Reverse(0)).collect();
    for wait in waits_ms {
        let Reverse(start) = free_at.pop().unwrap();
        free_at.push(Reverse(start + wait));
    }
    free_at.into_iter().map(|Reverse(end)| end).max().unwrap()
}

fn block_on_virtual_time<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    /// Never more than `limit` at once, and never fewer than could run: the
    /// whole takes exactly as long as that many places need, in either order.
    #[test]
    fn the_limit_is_respected_and_used(
        waits_ms in prop::collection::vec(1u64..500, 1..40),
        limit in 1usize..12,
        order in prop::sample::select(vec![Order::AsGiven, Order::AsTheyCome]),
    ) {
        let gauge = Gauge::default();
        let (ok, took) = block_on_virtual_time(async {
            let start = Instant::now();
            let jobs = waits_ms.iter().map(|&wait| (wait, gauge.ready_after(wait)));
            let gathered = gather(jobs, FanOut { limit, order, ..ALL }).await;
            (gathered.ok, start.elapsed())
        });
        prop_assert_eq!(gauge.most.get(), limit.min(waits_ms.len()));
        prop_assert_eq!(took, ms(makespan(&waits_ms, limit)));
        let mut names: Vec<_> = ok.into_iter().map(|(name, _)| name).collect();
        let mut given = waits_ms;
        if order == Order::AsTheyCome {
            names.sort_unstable();
            given.sort_unstable();
        }
        prop_assert_eq!(names, given);
    }
}
