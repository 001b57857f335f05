//! Who else is there, and what the time is: one heartbeat tells both.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;
use tokio::time::Instant;

/// How often a node says that it is there.
pub(super) const BEAT: Duration = Duration::from_millis(500);

/// Counts a node as there for a few beats after its last one.
static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], 60000)
local rank, nodes = 0, redis.call('ZRANGE', KEYS[1], 0, -1)
for _, node in ipairs(nodes) do
  if node < ARGV[1] then rank = rank + 1 end
end
return {now, #nodes, rank}
",
    )
});

pub(super) fn heartbeat() -> &'static Script {
    &HEARTBEAT
}

pub(super) const NODES_KEY: &str = "tidegate:nodes";
/// A node that has not been heard of for this long is gone.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(3);

/// The copies of the gateway that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nodes {
    /// How many, this one included; at least 1.
    pub(crate) count: u32,
    /// How many of them come before this one, in an order that all agree on.
    pub(crate) rank: u32,
}

/// What the last heartbeat told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence {
    pub(super) nodes: Nodes,
    /// The server's clock and when it was read.
    pub(super) server: Option<(Duration, Instant)>,
}

impl Presence {
    /// Before the first heartbeat.
    pub(super) fn alone() -> Self {
        Self {
            nodes: Nodes { count: 1, rank: 0 },
            server: None,
        }
    }

    /// From a heartbeat's answer, which was asked and heard at these times.
    pub(super) fn told((now_ms, count, rank): (u64, u32, u32), asked: Instant) -> Self {
        let trip = asked.elapsed();
        Self {
            nodes: Nodes {
                count: count.max(1),
                rank: rank.min(count.saturating_sub(1)),
            },
            server: Some((Duration::from_millis(now_ms), asked + trip / 2)),
        }
    }
}
