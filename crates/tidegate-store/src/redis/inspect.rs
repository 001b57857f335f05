//! What a server would lose, and when.

use std::collections::HashMap;
use std::time::Duration;

use redis::{FromRedisValue, RedisResult, cmd};
use tokio::time::{Instant, timeout};

use super::line::CONNECT_TIME;
use super::link::Link;
use crate::state::{Remark, Weight};
use crate::url::Topology;

/// The oldest version that is tested against, as far as its replies go.
const OLDEST: (u32, u32) = (6, 2);
/// A clock that is further off than this is worth a word, though nothing
/// depends on it.
const CLOCK_OFF: Duration = Duration::from_secs(1);

/// Looks at one server behind the link.
pub(crate) async fn inspect(link: &Link) -> Vec<Remark> {
    let asked = timeout(CONNECT_TIME * 2, read(link)).await;
    match asked {
        Ok(Ok(seen)) => remarks(&seen, link),
        Ok(Err(error)) => vec![fault(super::link::reason_of(&error))],
        Err(_) => vec![fault("no answer in time".to_owned())],
    }
}

/// What a server says of itself.
struct Seen {
    info: HashMap<String, String>,
    /// The save points; `None` where asking is not allowed.
    save: Option<String>,
    trip: Duration,
    /// How far its clock is off this machine's.
    clock: Duration,
}

async fn read(link: &Link) -> RedisResult<Seen> {
    let mut line = link.shared().address.connect_to_one().await?;
    let asked = Instant::now();
    let (seconds, micros): (u64, u32) = cmd("TIME").query_async(&mut line).await?;
    let trip = asked.elapsed();
    let theirs = Duration::new(seconds, micros * 1_000);
    let ours = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let info: String = cmd("INFO").query_async(&mut line).await?;
    let save = cmd("CONFIG")
        .arg("GET")
        .arg("save")
        .query_async(&mut line)
        .await;
    Ok(Seen {
        info: fields(&info),
        save: save.ok().and_then(second),
        trip,
        clock: theirs.abs_diff(ours),
    })
}

fn second(pair: redis::Value) -> Option<String> {
    let pair: Vec<String> = FromRedisValue::from_redis_value(pair).ok()?;
    pair.into_iter().nth(1)
}

fn fields(info: &str) -> HashMap<String, String> {
    let pairs = info.lines().filter_map(|line| line.trim().split_once(':'));
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    pairs.map(owned).collect()
}

fn remarks(seen: &Seen, link: &Link) -> Vec<Remark> {
    let version = seen.field("redis_version");
    let mut all = vec![note(format!(
        "Redis {version}, {} µs for a round trip, {} node(s) of the gate seen",
        seen.trip.as_micros(),
        link.nodes().count
    ))];
    if number_of(version) < OLDEST {
        let (major, minor) = OLDEST;
        all.push(warning(format!(
            "Redis {version} is older than {major}.{minor}, the oldest version that is supported"
        )));
    }
    all.extend(seen.persistence());
    all.extend(seen.replicas(link));
    all.extend(seen.eviction());
    if seen.clock > CLOCK_OFF {
        let off = seen.clock.as_secs_f64();
        all.push(note(format!(
            "its clock and this machine's are {off:.1} s apart; limits and leases follow its own"
        )));
    }
    all
}

impl Seen {
    fn field(&self, name: &str) -> &str {
        self.info.get(name).map_or("", String::as_str)
    }

    fn persistence(&self) -> Option<Remark> {
        let aof = self.field("aof_enabled") == "1";
        match (aof, self.save.as_deref()) {
            (true, _) => None,
            (false, Some("")) => Some(warning(
                "it writes nothing to disk: sessions and tasks are lost when it restarts; set \
                 appendonly yes"
                    .to_owned(),
            )),
            (false, Some(save)) => Some(warning(format!(
                "it writes snapshots only (save {save}): what came after the last one is lost \
                 when it restarts; set appendonly yes"
            ))),
            (false, None) => Some(warning(
                "it keeps no append-only file, and CONFIG GET save is not allowed: it cannot be \
                 told whether it writes snapshots; set appendonly yes"
                    .to_owned(),
            )),
        }
    }

    fn replicas(&self, link: &Link) -> Option<Remark> {
        if self.field("role") != "master" || self.field("connected_slaves") != "0" {
            return None;
        }
        let follow = match link.url().topology {
            Topology::Single(_) => "nobody takes its place when it fails",
            Topology::Sentinel { .. } => "the sentinels have nobody to promote when it fails",
            Topology::Cluster(_) => "nobody takes over this node's slots when it fails",
        };
        Some(warning(format!("it has no replica: {follow}")))
    }

    fn eviction(&self) -> Option<Remark> {
        let policy = self.field("maxmemory_policy");
        let bounded = self.field("maxmemory") != "0";
        if policy == "noeviction" {
            return None;
        }
        let when = if bounded {
            "when its memory is full"
        } else {
            "once it has a maxmemory"
        };
        Some(warning(format!(
            "its maxmemory-policy {policy} drops sessions and tasks {when}; set noeviction"
        )))
    }
}

fn number_of(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn note(text: String) -> Remark {
    let weight = Weight::Note;
    Remark { weight, text }
}

fn warning(text: String) -> Remark {
    let weight = Weight::Warning;
    Remark { weight, text }
}

fn fault(reason: String) -> Remark {
    let weight = Weight::Fault;
    let text = format!("it cannot be reached: {reason}");
    Remark { weight, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::tests::link;
    use crate::servers::RedisServer;

    async fn said(server: &RedisServer) -> String {
        let link = link(&server.url()).await;
        let remarks = inspect(&link).await;
        link.close().await;
        remarks
            .into_iter()
            .map(|remark| remark.text + "\n")
            .collect()
    }

    #[tokio::test]
    async fn what_a_server_would_lose_is_said() {
        let server = RedisServer::start();
        let all = said(&server).await;
        assert!(all.contains("writes nothing to disk"), "{all}");
        assert!(all.contains("no replica"), "{all}");
        assert!(!all.contains("maxmemory-policy"), "{all}");
        server.cli(&["CONFIG", "SET", "save", "60 1"]);
        server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let all = said(&server).await;
        assert!(all.contains("snapshots only (save 60 1)"), "{all}");
        assert!(all.contains("allkeys-lru drops sessions"), "{all}");
        server.cli(&["CONFIG", "SET", "appendonly", "yes"]);
        server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        let all = said(&server).await;
        assert!(
            !all.contains("appendonly") && !all.contains("drops"),
            "{all}"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_a_fault() {
        let mut server = RedisServer::start();
        server.kill();
        let link = link(&server.url()).await;
        let remarks = inspect(&link).await;
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert_eq!(remarks[0].weight, Weight::Fault);
        link.close().await;
    }
}
