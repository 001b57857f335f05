//! The loops that keep what is in hand, and tell how far it has come.

use std::time::Duration;

use tidegate_store::Holding;
use tidegate_work::CancelToken;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Bench;
use super::hand::Why;

/// How often the store is told that a worker lives: as often as somebody who
/// cancels a task wants to be heard.
const BEAT: Duration = Duration::from_millis(500);
/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);
/// Tasks in one question.
const TOGETHER: usize = 500;

/// Keeps what is in hand until it is over.
pub(super) async fn keep(bench: &Bench, over: &CancelToken) {
    let mut beat = interval(
        BEAT.min(bench.config.lease / 3)
            .max(Duration::from_millis(1)),
    );
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = Instant::now();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = over.cancelled() => return,
        }
        let holdings = bench.hand.holdings();
        let asked = Instant::now();
        if keep_all(bench, &holdings).await {
            kept = asked;
        } else if kept.elapsed() >= bench.config.lease {
            // Others may have begun all of it by now.
            for holding in &holdings {
                bench.hand.stop(holding, Why::Lost);
            }
        }
    }
}

async fn keep_all(bench: &Bench, holdings: &[Holding]) -> bool {
    let mut is_kept = true;
    for some in holdings.chunks(TOGETHER) {
        match bench.queue.store().hold(some, bench.config.lease).await {
            Ok(held) => {
                for (holding, held) in some.iter().zip(held) {
                    bench.heard(holding, held);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "tasks in hand are not kept");
                is_kept = false;
            }
        }
    }
    is_kept
}

/// Tells how far tasks have come, until it is over.
pub(super) async fn tell(bench: &Bench, over: &CancelToken) {
    let mut tick = interval(TELL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = over.cancelled() => return,
        }
        for (holding, note) in bench.hand.news() {
            // What is told next says more.
            if let Err(error) = bench.queue.store().note(&holding, note).await {
                tracing::debug!(%error, "progress of a task is not told");
            }
        }
    }
}
