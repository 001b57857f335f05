//! Keys and whose they are.

use std::time::{Duration, SystemTime};

use tidegate::{KeyRing, Pass, Role};
use tidegate_engine::{Caller, Quota};

pub(crate) const USER: &str = "key-of-a-user-0123456789";
/// The same tenant's next key.
pub(crate) const USER_NEXT: &str = "key-of-a-user-9876543210";
pub(crate) const OTHER: &str = "key-of-another-0123456789";
pub(crate) const ADMIN: &str = "key-of-the-operator-0123456789";
/// An operator's, until a moment ago.
pub(crate) const EXPIRED: &str = "key-of-the-past-0123456789";

/// The ring of all of them; tenants may use `quota` each.
pub(crate) fn hired(quota: Quota) -> KeyRing {
    let now = SystemTime::now();
    let mut ring = KeyRing::default();
    for (key, tenant, role, expires_at) in [
        (USER, "a", Role::User, None),
        (
            USER_NEXT,
            "a",
            Role::User,
            Some(now + Duration::from_secs(3_600)),
        ),
        (OTHER, "b", Role::User, None),
        (ADMIN, "ops", Role::Admin, None),
        (
            EXPIRED,
            "ops",
            Role::Admin,
            Some(now - Duration::from_millis(1)),
        ),
    ] {
        let caller = Caller::new(tenant, quota);
        let pass = Pass {
            caller,
            role,
            expires_at,
        };
        ring.add(key, pass);
    }
    ring
}

/// The header line that presents a key.
pub(crate) fn with_key(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| {
        format!("authorization: Bearer {key}\r\n")
    })
}
