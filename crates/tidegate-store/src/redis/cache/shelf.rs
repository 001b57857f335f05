//! The second tier: values in Redis, and the lists by which they are found
//! when something is to be forgotten.
//!
//! Lists have no time of their own, so that a server short of memory which
//! drops what has one never drops a list before its values. Their members
//! carry the time of their values and leave after it. No member leaves before:
//! a value that is just being written under an old membership must be found by
//! the next demand.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Script, cmd};

use super::keys::{self, By};
use super::news::{Count, write_demand};
use crate::cache::{Name, Selector};
use crate::error::StoreError;
use crate::memory_cache::{Demand, Labels};
use crate::redis::Link;

/// Adds members to a list for some time, on the server's clock; `GT` since a
/// member must outlive every value that it ever stood for.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 3, #ARGV do
  redis.call('ZADD', KEYS[1], 'GT', now + ARGV[1], ARGV[i])
end
if ARGV[2] == 'trim' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
end
",
    )
});

/// Members whose time is over, and the time.
static OVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {now, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])}
",
    )
});

/// Removes members that are still over.
static REMOVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for i = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) <= tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
",
    )
});

/// Counts a demand and tells everybody, in one step: so what is heard comes in
/// the order of the count.
static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local beginning = redis.call('HGET', KEYS[1], 'beginning')
if not beginning then
  beginning = ARGV[4]
  redis.call('HSET', KEYS[1], 'beginning', beginning)
end
local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
local count = ARGV[2] .. ':' .. beginning .. ':' .. number .. ':'
redis.call('PUBLISH', ARGV[1], count .. ARGV[3])
",
    )
});

/// A member stays a little longer than its value.
const MARGIN: Duration = Duration::from_secs(2);
/// Members that are asked for, and values that are removed, at once.
const BATCH: usize = 250;

/// Values in Redis.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    pub(super) link: Link,
}

impl Shelf {
    /// One plain question.
    pub(super) async fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.link.run(cmd("GET").arg(key)).await
    }

    /// Lists a value before it is written.
    pub(super) async fn list(
        &self,
        name: &Name,
        labels: &Labels,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let owner = &name.owner;
        let namespaces = keys::index(owner, By::Namespaces);
        let namespace = keys::index(owner, By::Namespace(name.namespace));
        let tags = labels.tags.iter().map(|tag| By::Tag(tag));
        let domain = labels.domain.iter().map(|domain| By::Domain(domain));
        let labels: Vec<_> = tags
            .chain(domain)
            .map(|by| keys::index(owner, by))
            .collect();
        let all = [&namespaces, &namespace];
        let all: Vec<_> = all.into_iter().chain(&labels).map(String::as_str).collect();
        let member = keys::member(name);
        let one = [member.as_str()];
        let label = labels.iter().map(|index| self.add(index, ttl, TRIM, &one));
        let (owners, kinds, keys) = ([owner.as_str()], [name.namespace], [name.key.as_str()]);
        // A list that nobody knows of would never be trimmed.
        self.add(keys::INDEXES, ttl, KEEP, &all).await?;
        tokio::try_join!(
            self.add(keys::OWNERS, ttl, TRIM, &owners),
            self.add(&namespaces, ttl, TRIM, &kinds),
            self.add(&namespace, ttl, TRIM, &keys),
            futures_util::future::try_join_all(label),
        )?;
        Ok(())
    }

    async fn add(
        &self,
        list: &str,
        ttl: Duration,
        trim: &str,
        members: &[&str],
    ) -> Result<(), StoreError> {
        let mut script = ADD.key(list);
        script.arg(millis(ttl + MARGIN)).arg(trim);
        for member in members {
            script.arg(*member);
        }
        self.link.invoke(&script).await
    }

    pub(super) async fn write(
        &self,
        key: &str,
        bytes: &[u8],
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let mut set = cmd("SET");
        set.arg(key).arg(bytes).arg("PX").arg(millis(ttl).max(1));
        self.link.run(&set).await
    }

    pub(super) async fn remove(&self, keys: &[String]) -> Result<u64, StoreError> {
        let mut removed = 0;
        for keys in keys.chunks(BATCH) {
            removed += self.link.run::<u64>(cmd("UNLINK").arg(keys)).await?;
        }
        Ok(removed)
    }

    /// How many demands were announced so far.
    pub(super) async fn count(&self) -> Result<Count, StoreError> {
        let mut ask = cmd("HMGET");
        ask.arg(keys::COUNT).arg("beginning").arg("number");
        let (beginning, number): (Option<String>, Option<u64>) = self.link.run(&ask).await?;
        Ok(Count {
            beginning: beginning.unwrap_or_default(),
            number: number.unwrap_or_default(),
        })
    }

    /// Carries out a demand, announced before and after: before, so that no
    /// load that is under way keeps what it makes; after, so that what another
    /// node read in between leaves its memory.
    pub(super) async fn forget(&self, demand: &Demand) -> Result<u64, StoreError> {
        self.announce(demand).await?;
        let removed = match &demand.owner {
            Some(owner) => self.forget_of(owner, &demand.what).await?,
            None => {
                let mut removed = 0;
                let mut walk = Walk::new(keys::OWNERS, None);
                while let Some(owners) = walk.next(&self.link).await? {
                    for owner in owners {
                        removed += self.forget_of(&owner, &demand.what).await?;
                    }
                }
                removed
            }
        };
        self.announce(demand).await?;
        Ok(removed)
    }

    async fn announce(&self, demand: &Demand) -> Result<(), StoreError> {
        let beginning = format!("{:016x}", fastrand::u64(..));
        let mut script = ANNOUNCE.key(keys::COUNT);
        script.arg(keys::TOPIC).arg(self.link.shared().address.db);
        script.arg(write_demand(demand)).arg(beginning);
        self.link.invoke(&script).await
    }

    async fn forget_of(&self, owner: &str, what: &Selector) -> Result<u64, StoreError> {
        match what {
            Selector::Tag(tag) => self.forget_labeled(owner, By::Tag(tag)).await,
            Selector::Domain(domain) => self.forget_labeled(owner, By::Domain(domain)).await,
            Selector::Namespace(namespace) => self.forget_within(owner, namespace, "").await,
            Selector::Key(key) => {
                let mut removed = 0;
                for namespace in self.namespaces(owner).await? {
                    let key = keys::value(owner, &namespace, key);
                    removed += self.remove(&[key]).await?;
                }
                Ok(removed)
            }
            Selector::Prefix(prefix) => {
                let mut removed = 0;
                for namespace in self.namespaces(owner).await? {
                    removed += self.forget_within(owner, &namespace, prefix).await?;
                }
                Ok(removed)
            }
        }
    }

    async fn namespaces(&self, owner: &str) -> Result<Vec<String>, StoreError> {
        let mut range = cmd("ZRANGE");
        range.arg(keys::index(owner, By::Namespaces)).arg(0).arg(-1);
        self.link.run(&range).await
    }

    async fn forget_labeled(&self, owner: &str, by: By<'_>) -> Result<u64, StoreError> {
        let list = keys::index(owner, by);
        let mut removed = 0;
        let mut walk = Walk::new(&list, None);
        while let Some(members) = walk.next(&self.link).await? {
            let named = members.iter().filter_map(|member| keys::parts(member));
            let found: Vec<_> = named
                .map(|(namespace, key)| keys::value(owner, namespace, key))
                .collect();
            removed += self.remove(&found).await?;
        }
        Ok(removed)
    }

    async fn forget_within(
        &self,
        owner: &str,
        namespace: &str,
        prefix: &str,
    ) -> Result<u64, StoreError> {
        let list = keys::index(owner, By::Namespace(namespace));
        let mut removed = 0;
        let mut walk = Walk::new(&list, Some(prefix));
        while let Some(members) = walk.next(&self.link).await? {
            let within = members.iter().filter(|key| key.starts_with(prefix));
            let found: Vec<_> = within
                .map(|key| keys::value(owner, namespace, key))
                .collect();
            removed += self.remove(&found).await?;
        }
        Ok(removed)
    }

    /// Empties lists whose values have all expired: nobody adds to them, so
    /// nobody trims them.
    pub(super) async fn tidy(&self) -> Result<(), StoreError> {
        loop {
            let (now, over): (u64, Vec<String>) =
                self.link.invoke(OVER.key(keys::INDEXES).arg(BATCH)).await?;
            let mut empty = Vec::new();
            for list in over {
                let mut trim = cmd("ZREMRANGEBYSCORE");
                trim.arg(&list).arg("-inf").arg(now);
                self.link.run::<u64>(&trim).await?;
                // A member may have come a moment after the list was announced.
                if !self.link.run::<bool>(cmd("EXISTS").arg(&list)).await? {
                    empty.push(list);
                }
            }
            let full = empty.len() == BATCH;
            let mut script = REMOVE.key(keys::INDEXES);
            script.arg(now).arg(empty);
            self.link.invoke::<()>(&script).await?;
            if !full {
                return Ok(());
            }
        }
    }
}

const TRIM: &str = "trim";
const KEEP: &str = "keep";

/// Goes through the members of a list; what is there all the time is seen at
/// least once.
struct Walk<'a> {
    list: &'a str,
    matching: Option<String>,
    cursor: Option<u64>,
}

impl<'a> Walk<'a> {
    fn new(list: &'a str, prefix: Option<&str>) -> Self {
        Self {
            list,
            matching: prefix.filter(|prefix| !prefix.is_empty()).map(pattern),
            cursor: Some(0),
        }
    }

    async fn next(&mut self, link: &Link) -> Result<Option<Vec<String>>, StoreError> {
        let Some(cursor) = self.cursor else {
            return Ok(None);
        };
        let mut scan = cmd("ZSCAN");
        scan.arg(self.list).arg(cursor);
        if let Some(pattern) = &self.matching {
            scan.arg("MATCH").arg(pattern);
        }
        scan.arg("COUNT").arg(BATCH);
        let (next, found): (u64, Vec<(Vec<u8>, f64)>) = link.run(&scan).await?;
        self.cursor = (next != 0).then_some(next);
        // What is no text is not ours.
        let texts = found
            .into_iter()
            .filter_map(|(member, _)| String::from_utf8(member).ok());
        Ok(Some(texts.collect()))
    }
}

/// A pattern of Redis for what begins like this.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .min(LONGEST_MS)
}

/// Thirty years, which the server's arithmetic can hold.
const LONGEST_MS: u64 = 30 * 365 * 86_400_000;
