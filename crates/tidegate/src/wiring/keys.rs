//! From `[[keys]]` to the ring that the gate looks keys up in.

use std::collections::BTreeMap;

use tidegate_engine::{Caller, Quota};

use super::per_window;
use crate::config::{self, Config};
use crate::http::{KeyRing, Pass, Role};

/// The ring of all keys; all keys of a tenant let in the same caller.
pub(crate) fn key_ring(config: &Config) -> KeyRing {
    let mut callers: BTreeMap<&str, Caller> = BTreeMap::new();
    let mut ring = KeyRing::default();
    for key in &config.keys {
        let caller = callers
            .entry(&key.tenant)
            .or_insert_with(|| Caller::new(&key.tenant, quota(key, config)));
        let caller = match &key.policy {
            Some(policy) => caller.clone().under(policy.clone()),
            None => caller.clone(),
        };
        let pass = Pass {
            caller,
            role: match key.role {
                config::Role::User => Role::User,
                config::Role::Admin => Role::Admin,
            },
            expires_at: key.expires_at,
        };
        ring.add(key.key.expose(), pass);
    }
    ring
}

fn quota(key: &config::ClientKey, config: &Config) -> Quota {
    Quota {
        requests: per_window(key.limits.requests_per_minute, config),
        tokens: per_window(key.limits.tokens_per_minute, config),
        concurrent: key.limits.max_concurrent,
        window: config.resilience.window,
    }
}
