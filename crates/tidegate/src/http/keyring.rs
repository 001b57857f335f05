//! Which key belongs to whom.

use std::collections::HashMap;
use std::fmt;
use std::time::SystemTime;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName};
use blake3::Hash;
use tidegate_engine::{Caller, Policy};

use super::visit::Access;

/// The configured keys, and none of their text: each is known by its digest.
///
/// A digest is BLAKE3 over the whole key, under a key of this ring's own from
/// the operating system's randomness. How long a look-up takes can depend on
/// the digest (which bucket, how many neighbours in it), and that tells a
/// caller nothing: without the ring's key nobody can choose a digest, nor find
/// a presented key whose digest begins like that of a real one. Within the
/// bucket digests are compared in constant time, and a key of another length
/// or with another end is as different as any. What is left to see is the
/// length of the presented key, which its sender knows.
#[derive(Clone)]
pub struct KeyRing {
    /// Whoever comes in where no key is asked for.
    local: Caller,
    digest_key: [u8; blake3::KEY_LEN],
    passes: HashMap<Hash, Pass>,
}

/// Whom a key lets in, where, and until when.
#[derive(Debug, Clone)]
pub struct Pass {
    /// On whose behalf its holder calls.
    pub caller: Caller,
    /// What it opens.
    pub role: Role,
    /// From then on it opens nothing; `None` is never.
    pub expires_at: Option<SystemTime>,
}

/// What a key opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What concerns its own tenant.
    User,
    /// And what concerns all tenants.
    Admin,
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// No key at all.
    Missing,
    /// None of ours, or one of ours that has expired: which of the two is
    /// nobody's business.
    Unknown,
    /// A key that does not open this door.
    Forbidden,
}

impl Denied {
    /// A stable word for logs and metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Forbidden => "forbidden",
        }
    }
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Longer keys are refused unread; the configuration takes none that is longer.
const MOST_KEY_BYTES: usize = 512;

impl Default for KeyRing {
    fn default() -> Self {
        let mut digest_key = [0; blake3::KEY_LEN];
        getrandom::fill(&mut digest_key)
            .expect("an operating system without randomness runs no gate");
        Self {
            local: Caller::default(),
            digest_key,
            passes: HashMap::new(),
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("keys", &self.passes.len())
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Adds a key. From the first one on, nobody comes in without.
    pub fn add(&mut self, secret: &str, mut pass: Pass) {
        if pass.role == Role::Admin {
            pass.caller = pass.caller.trusted();
        }
        let digest = self.digest(secret.as_bytes());
        self.passes.insert(digest, pass);
    }

    /// Who comes in through a door. Without keys everybody who can reach the
    /// gate does.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        access: Access,
        now: SystemTime,
    ) -> Result<Caller, Denied> {
        if self.passes.is_empty() || access == Access::Public {
            return Ok(self.local.clone());
        }
        let key = presented(headers)?;
        let pass = self.pass_of(key, now).ok_or(Denied::Unknown)?;
        match (access, pass.role) {
            (Access::Public | Access::Tenant, Role::User | Role::Admin)
            | (Access::Admin, Role::Admin) => Ok(pass.caller.clone()),
            (Access::Admin, Role::User) => Err(Denied::Forbidden),
        }
    }

    /// A tenant as its background tasks call, under the policy that the key
    /// demanded which submitted them. Nobody, where no key of it does so any
    /// more.
    pub(crate) fn on_behalf(&self, tenant: &str, policy: Option<&str>) -> Option<Caller> {
        let is_meant = |caller: &&Caller| {
            caller.tenant() == tenant && caller.policy().map(Policy::id) == policy
        };
        let passes = self.passes.values().map(|pass| &pass.caller);
        passes.chain([&self.local]).find(is_meant).cloned()
    }

    /// A tenant as one of its keys lets it in.
    pub(crate) fn tenant(&self, tenant: &str) -> Option<Caller> {
        let passes = self.passes.values().map(|pass| &pass.caller);
        let mut callers = passes.chain([&self.local]);
        // One that demands nothing goes before those that do.
        let free = self.on_behalf(tenant, None);
        free.or_else(|| callers.find(|caller| caller.tenant() == tenant).cloned())
    }

    fn pass_of(&self, key: &[u8], now: SystemTime) -> Option<&Pass> {
        if key.len() > MOST_KEY_BYTES {
            return None;
        }
        let pass = self.passes.get(&self.digest(key))?;
        let expired = pass.expires_at.is_some_and(|end| end <= now);
        (!expired).then_some(pass)
    }

    fn digest(&self, key: &[u8]) -> Hash {
        blake3::keyed_hash(&self.digest_key, key)
    }
}

/// The one key of a request. Two that differ are refused: whoever reads the
/// other one, in front of the gate or behind it, would see another caller.
fn presented(headers: &HeaderMap) -> Result<&[u8], Denied> {
    let bearer = match only(headers, &AUTHORIZATION)? {
        Some(value) => Some(bearer(value).ok_or(Denied::Unknown)?),
        None => None,
    };
    match (bearer, only(headers, &API_KEY)?) {
        (None, None) => Err(Denied::Missing),
        (Some(key), None) | (None, Some(key)) => Ok(key),
        (Some(one), Some(other)) if one == other => Ok(one),
        (Some(_), Some(_)) => Err(Denied::Unknown),
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h [u8]>, Denied> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.as_bytes().trim_ascii());
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Denied::Unknown),
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at(value.iter().position(|byte| *byte == b' ')?);
    scheme
        .eq_ignore_ascii_case(b"bearer")
        .then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests;
