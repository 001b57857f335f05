//! Keeps the link: beats, and connects again when it was lost.

use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::time::{Instant, sleep, timeout};

use super::line::CONNECT_TIME;
use super::link::{Link, reason_of};
use super::presence::{BEAT, GONE_AFTER, NODES_KEY, Presence, heartbeat};

/// How often a server that was lost is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Unanswered beats after which the connection is replaced, though it seems to
/// stand: the other end may have gone without a word.
const MOST_MISSED: u32 = 2;

/// Connects once and beats once.
pub(super) async fn connect(link: &Link) -> RedisResult<()> {
    let connecting = link.shared().address.connect();
    // A cluster and a sentinel ask several servers one after the other.
    let line = timeout(CONNECT_TIME * 2, connecting).await;
    let line = line.unwrap_or_else(|_| Err(timed_out()))?;
    link.set_line(Some(line));
    beat(link).await
}

/// Runs until the link is closed.
pub(super) async fn keep(link: Link) {
    let shared = link.shared().clone();
    tokio::select! {
        () = shared.stop.cancelled() => {}
        () = watch(&link) => {}
    }
}

async fn watch(link: &Link) {
    let mut missed = 0;
    loop {
        let pause = if link.is_live() { BEAT } else { LOOK_AGAIN };
        let lost = tokio::select! {
            () = sleep(pause) => false,
            () = link.shared().lost.notified() => true,
        };
        let error = match beat(link).await {
            Ok(()) => {
                missed = 0;
                if lost && link.is_cluster() {
                    renew(link).await;
                }
                continue;
            }
            Err(error) => error,
        };
        missed += 1;
        if missed >= MOST_MISSED {
            link.unreachable(reason_of(&error));
        }
        if lost || missed >= MOST_MISSED || !error.is_timeout() {
            match connect(link).await {
                Ok(()) => missed = 0,
                Err(error) => link.unreachable(reason_of(&error)),
            }
        }
    }
}

/// The node that the beat went to is there and another one is not: whoever has
/// taken its place is found by looking anew.
async fn renew(link: &Link) {
    sleep(LOOK_AGAIN).await;
    if let Err(error) = connect(link).await {
        link.unreachable(reason_of(&error));
    }
}

async fn beat(link: &Link) -> RedisResult<()> {
    let asked = Instant::now();
    let gone_after = GONE_AFTER.as_millis().to_string();
    let args = [&*link.shared().node, &gone_after];
    let told = link.probe(heartbeat(), &[NODES_KEY], &args).await?;
    link.beat(Presence::told(told, asked));
    Ok(())
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
