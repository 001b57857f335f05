//! Addresses of stores.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::config::StoreUrl;
use crate::error::OpenError;

/// Where a Redis is, and who asks it.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// What stands there.
    pub topology: Topology,
    /// Whether connections are encrypted.
    pub transport: Transport,
    /// Who asks; without a name it is the server's default user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The number of the database; a cluster has none but 0.
    pub db: u16,
}

/// What stands at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single(Host),
    /// Sentinels that know the primary of this name.
    Sentinel {
        /// Where the sentinels are.
        sentinels: Vec<Host>,
        /// The primary's name.
        primary: String,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<Host>),
}

impl Topology {
    /// The word for it in logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Single(_) => "redis",
            Self::Sentinel { .. } => "redis+sentinel",
            Self::Cluster(_) => "redis+cluster",
        }
    }
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// They are not.
    Plain,
    /// They are, and the server's certificate is checked.
    Tls,
}

/// A server's name and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name or address, without brackets.
    pub name: String,
    /// Its port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl RedisUrl {
    /// The servers that are asked first.
    pub fn hosts(&self) -> &[Host] {
        match &self.topology {
            Topology::Single(host) => std::slice::from_ref(host),
            Topology::Sentinel { sentinels, .. } => sentinels,
            Topology::Cluster(nodes) => nodes,
        }
    }

    /// The scheme that stands for the topology and the transport.
    fn scheme(&self) -> &'static str {
        match (&self.topology, self.transport) {
            (Topology::Single(_), Transport::Plain) => "redis",
            (Topology::Single(_), Transport::Tls) => "rediss",
            (Topology::Sentinel { .. }, Transport::Plain) => "redis+sentinel",
            (Topology::Sentinel { .. }, Transport::Tls) => "rediss+sentinel",
            (Topology::Cluster(_), Transport::Plain) => "redis+cluster",
            (Topology::Cluster(_), Transport::Tls) => "rediss+cluster",
        }
    }
}

/// Without the password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme())?;
        if self.user.is_some() || self.password.is_some() {
            write!(f, "{}:***@", self.user.as_deref().unwrap_or_default())?;
        }
        let hosts: Vec<_> = self.hosts().iter().map(Host::to_string).collect();
        f.write_str(&hosts.join(","))?;
        if let Topology::Sentinel { primary, .. } = &self.topology {
            write!(f, "/{primary}")?;
        }
        if self.db > 0 {
            write!(f, "/{}", self.db)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const REDIS_PORT: u16 = 6_379;
const SENTINEL_PORT: u16 = 26_379;

/// `memory:`, `sqlite:DIR`, or one of Redis:
///
/// - `redis://[user:password@]host[:port][/db]`, `rediss://…` with TLS
/// - `redis+sentinel://[user:password@]host[:port],…/primary[/db]`
/// - `redis+cluster://[user:password@]host[:port],…`
///
/// User and password are percent-decoded. A sentinel's user and password are
/// those of the servers behind it.
impl FromStr for StoreUrl {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(folder) = text.strip_prefix("sqlite:") {
            return if folder.is_empty() {
                fault("sqlite: needs a folder, as in sqlite:tidegate-data")
            } else {
                Ok(Self::Sqlite(PathBuf::from(folder)))
            };
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return fault(
                "expected memory:, sqlite:DIR, redis://HOST, rediss://HOST, \
                 redis+sentinel://HOST,HOST/PRIMARY or redis+cluster://HOST,HOST",
            );
        };
        parse_redis(scheme, rest).map(Self::Redis)
    }
}

fn parse_redis(scheme: &str, rest: &str) -> Result<RedisUrl, OpenError> {
    let (kind, transport) = match scheme.strip_prefix("rediss") {
        Some(kind) => (kind, Transport::Tls),
        None => match scheme.strip_prefix("redis") {
            Some(kind) => (kind, Transport::Plain),
            None => return fault("the scheme is none of memory, sqlite, redis, rediss"),
        },
    };
    if rest.contains('?') || rest.contains('#') {
        return fault("options behind ? or # are not supported");
    }
    let (access, rest) = match rest.rsplit_once('@') {
        Some((access, rest)) => (Some(access), rest),
        None => (None, rest),
    };
    let (user, password) = access.map_or(Ok((None, None)), parse_access)?;
    let mut parts = rest.trim_end_matches('/').split('/');
    let hosts = parts.next().unwrap_or_default();
    let (topology, db) = match kind {
        "" => {
            let hosts = parse_hosts(hosts, REDIS_PORT)?;
            let [host] = <[Host; 1]>::try_from(hosts)
                .or_else(|_| fault("several hosts need redis+sentinel:// or redis+cluster://"))?;
            (Topology::Single(host), parts.next())
        }
        "+sentinel" => {
            let sentinels = parse_hosts(hosts, SENTINEL_PORT)?;
            let Some(primary) = parts.next().filter(|name| !name.is_empty()) else {
                return fault("redis+sentinel:// needs the primary's name behind the hosts");
            };
            let primary = primary.to_owned();
            (Topology::Sentinel { sentinels, primary }, parts.next())
        }
        "+cluster" => (
            Topology::Cluster(parse_hosts(hosts, REDIS_PORT)?),
            parts.next(),
        ),
        _ => return fault("the scheme ends in neither +sentinel nor +cluster"),
    };
    if parts.next().is_some() {
        return fault("there is something behind the number of the database");
    }
    let db = match db {
        None => 0,
        Some(number) => match number.parse() {
            Ok(number) => number,
            Err(_) => return fault("the number of the database is not a number"),
        },
    };
    if db > 0 && matches!(topology, Topology::Cluster(_)) {
        return fault("a cluster has no database but 0");
    }
    Ok(RedisUrl {
        topology,
        transport,
        user,
        password,
        db,
    })
}

type Access = (Option<String>, Option<String>);

fn parse_access(text: &str) -> Result<Access, OpenError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(percent_decoded(password)?)),
        None => (text, None),
    };
    let user = (!user.is_empty()).then(|| percent_decoded(user));
    Ok((user.transpose()?, password))
}

fn parse_hosts(text: &str, port: u16) -> Result<Vec<Host>, OpenError> {
    text.split(',').map(|text| parse_host(text, port)).collect()
}

fn parse_host(text: &str, default: u16) -> Result<Host, OpenError> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port = match port.map(str::parse) {
        None => default,
        Some(Ok(port)) if port > 0 => port,
        Some(Ok(_) | Err(_)) => return fault("a port is not a number from 1 to 65535"),
    };
    if name.is_empty() {
        return fault("a host is missing");
    }
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

fn percent_decoded(text: &str) -> Result<String, OpenError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return fault("user and password are percent-encoded, and a % stands alone");
        };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).or_else(|_| fault("user or password is not UTF-8"))
}

/// The text itself may hold a password and is not repeated.
fn fault<T>(what: &str) -> Result<T, OpenError> {
    Err(OpenError::Url(what.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<StoreUrl, String> {
        text.parse::<StoreUrl>().map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(parsed(text).expect("an address").to_string(), shown);
    }

    #[test]
    fn every_home_has_an_address() {
        check("memory:", "memory:");
        check("sqlite:data/here", "sqlite:data/here");
        check("redis://localhost", "redis://localhost:6379");
        check("redis://h:1/", "redis://h:1");
        check("rediss://h:1/3", "rediss://h:1/3");
        check("redis://[::1]:7", "redis://[::1]:7");
        check(
            "redis+sentinel://a,b:2/main",
            "redis+sentinel://a:26379,b:2/main",
        );
        check(
            "redis+sentinel://a/main/4",
            "redis+sentinel://a:26379/main/4",
        );
        check("rediss+cluster://a:1,b:2", "rediss+cluster://a:1,b:2");
    }

    #[test]
    fn users_and_passwords_are_read_and_never_shown() {
        for (text, user, password) in [
            ("redis://:secret@h", None, "secret"),
            ("redis://app:p%40ss%3A@h", Some("app"), "p@ss:"),
        ] {
            let Ok(StoreUrl::Redis(url)) = parsed(text) else {
                panic!("{text} is an address");
            };
            assert_eq!(url.user.as_deref(), user);
            assert_eq!(url.password.as_deref(), Some(password));
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains(password), "{shown}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for (text, what) in [
            ("", "expected memory:"),
            ("sqlite:", "needs a folder"),
            ("http://secret", "the scheme is none of"),
            ("redis+x://secret", "neither +sentinel nor +cluster"),
            ("redis://a,b", "several hosts"),
            ("redis://:secret@", "a host is missing"),
            ("redis://a:0", "a port"),
            ("redis://a:secret", "a port"),
            ("redis://a/secret", "not a number"),
            ("redis://a/1/2", "something behind"),
            ("redis://a?secret=1", "options"),
            ("redis+sentinel://a", "needs the primary's name"),
            ("redis+cluster://a/1", "no database but 0"),
            ("redis://:%zz@a", "percent-encoded"),
        ] {
            let refused = parsed(text).expect_err(text);
            assert!(refused.contains(what), "{text}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
