//! What a server must allow, and what it is told when it does not.

use redis::{ErrorKind, RedisError, Script, ServerErrorKind};

use super::link::Link;
use crate::error::OpenError;

/// Everything that is asked of a server, as an ACL grants it.
pub(crate) const GRANT: &str = "ACL SETUSER NAME on >PASSWORD ~tidegate:* &tidegate:* \
     +@read +@write +@connection +@scripting +publish +subscribe +unsubscribe +time +info \
     -@dangerous +info +cluster|slots +cluster|shards +cluster|nodes";

/// Tries what every home needs, on a key of its own.
const PROBE: &str = r"
redis.call('SET', KEYS[1], redis.call('TIME')[1], 'PX', 1000)
redis.call('GET', KEYS[1])
return redis.call('DEL', KEYS[1])
";

/// Fails where scripts, or what they do, are not allowed.
pub(super) async fn check(link: &Link) -> Result<(), OpenError> {
    let probe = Script::new(PROBE);
    let asked: Result<i64, RedisError> = link.probe(&probe, &["tidegate:probe"], &[]).await;
    match asked {
        Err(error) if is_forbidden(&error) => Err(forbidden(link, "scripts (EVAL, EVALSHA)")),
        // Whatever else it is may pass; the heartbeat looks again.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Fails where the first heartbeat was turned away for good.
pub(super) fn check_access(link: &Link, error: &RedisError) -> Result<(), OpenError> {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            Err(forbidden(link, "us to log in: user or password is wrong"))
        }
        _ if error.code() == Some("NOAUTH") => Err(forbidden(link, "anything without a password")),
        _ if is_forbidden(error) => Err(forbidden(link, "scripts (EVAL, EVALSHA)")),
        _ => Ok(()),
    }
}

fn is_forbidden(error: &RedisError) -> bool {
    let text = error.detail().unwrap_or_default();
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || text.contains("ACL failure in script")
        || text.contains("executing the script can't run")
        || text.contains("unknown command")
}

fn forbidden(link: &Link, what: &str) -> OpenError {
    let hosts: Vec<_> = link.url().hosts().iter().map(ToString::to_string).collect();
    OpenError::Forbidden {
        address: hosts.join(","),
        what: what.to_owned(),
        grant: format!("grant it with {GRANT}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_for_operators_names_the_same_rights() {
        let page = include_str!("../../../../docs/operations.md");
        assert!(page.contains(super::GRANT), "{}", super::GRANT);
    }
}
