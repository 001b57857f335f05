use std::time::Duration;

use axum::http::HeaderValue;
use tidegate_engine::Quota;

use super::*;

const A: &str = "key-of-tenant-a-0123456789abcdef";
const B: &str = "key-of-tenant-b-0123456789abcdef";
const ROOT: &str = "key-of-the-root-0123456789abcdef";
const OLD: &str = "key-that-is-old-0123456789abcdef";

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn pass(tenant: &str, role: Role) -> Pass {
    Pass {
        caller: Caller::new(tenant, Quota::unlimited()),
        role,
        expires_at: None,
    }
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.add(A, pass("a", Role::User));
    ring.add(B, pass("b", Role::User));
    ring.add(ROOT, pass("root", Role::Admin));
    let old = Pass {
        expires_at: Some(NOW + Duration::from_secs(10)),
        ..pass("a", Role::User)
    };
    ring.add(OLD, old);
    ring
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&'static str, &str)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_str(value).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().map(line) {
        headers.append(name, value);
    }
    headers
}

#[track_caller]
fn check(lines: &[(&'static str, &str)], access: Access, expected: Result<&str, Denied>) {
    let found = ring().identify(&headers(lines), access, NOW);
    let found = found.as_ref().map(Caller::tenant).map_err(|denied| *denied);
    assert_eq!(found, expected, "{lines:?}");
}

fn bearer_of(key: &str) -> String {
    format!("Bearer {key}")
}

#[test]
fn without_keys_everybody_is_the_local_caller() {
    let ring = KeyRing::default();
    for access in [Access::Public, Access::Tenant, Access::Admin] {
        for lines in [
            vec![],
            vec![("x-api-key", "anything")],
            vec![("authorization", "?")],
        ] {
            let caller = ring.identify(&headers(&lines), access, NOW).unwrap();
            assert_eq!(caller.tenant(), "@local");
        }
    }
}

#[test]
fn a_key_says_whose_it_is_in_either_header() {
    check(&[("x-api-key", A)], Access::Tenant, Ok("a"));
    check(&[("x-api-key", B)], Access::Tenant, Ok("b"));
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "] {
        let value = format!("{scheme} {B} ");
        check(&[("authorization", &value)], Access::Tenant, Ok("b"));
    }
    let both = [("authorization", &*bearer_of(A)), ("x-api-key", A)];
    check(&both, Access::Tenant, Ok("a"));
}

#[test]
fn only_an_operators_key_opens_an_operators_door() {
    check(&[("x-api-key", ROOT)], Access::Admin, Ok("root"));
    check(&[("x-api-key", ROOT)], Access::Tenant, Ok("root"));
    check(&[("x-api-key", A)], Access::Admin, Err(Denied::Forbidden));
}

#[test]
fn a_public_door_asks_for_nothing_and_believes_nothing() {
    check(&[], Access::Public, Ok("@local"));
    check(&[("x-api-key", A)], Access::Public, Ok("@local"));
    check(&[("x-api-key", "wrong")], Access::Public, Ok("@local"));
}

#[test]
fn no_key_is_missing_and_any_other_is_unknown() {
    check(&[], Access::Tenant, Err(Denied::Missing));
    check(&[("cookie", A)], Access::Tenant, Err(Denied::Missing));
    let longest = "k".repeat(MOST_KEY_BYTES);
    let basic = format!("Basic {A}");
    let glued = format!("Bearer{A}");
    for value in [
        "", "Bearer", "Bearer ", "Bearer x", A, &basic, &glued, &longest,
    ] {
        let line = [("authorization", value)];
        check(&line, Access::Tenant, Err(Denied::Unknown));
    }
    for value in ["", "x", &longest, &bearer_of(A)] {
        check(
            &[("x-api-key", value)],
            Access::Tenant,
            Err(Denied::Unknown),
        );
        check(&[("x-api-key", value)], Access::Admin, Err(Denied::Unknown));
    }
}

#[test]
fn a_request_with_two_keys_is_nobodys() {
    let bearer = [("authorization", &*bearer_of(A)), ("x-api-key", B)];
    let twice = [("x-api-key", A), ("x-api-key", A)];
    let two_bearers = [
        ("authorization", &*bearer_of(A)),
        ("authorization", &*bearer_of(A)),
    ];
    let another_scheme = [("authorization", "Basic eDp5"), ("x-api-key", A)];
    for lines in [bearer, twice, two_bearers, another_scheme] {
        check(&lines, Access::Tenant, Err(Denied::Unknown));
    }
}

#[test]
fn a_key_opens_until_it_expires_and_not_at_that_moment() {
    let ring = ring();
    let at = |seconds| {
        let now = NOW + Duration::from_secs(seconds);
        let found = ring.identify(&headers(&[("x-api-key", OLD)]), Access::Tenant, now);
        found.map(|caller| caller.tenant().to_owned())
    };
    assert_eq!(at(9), Ok("a".to_owned()));
    assert_eq!(at(10), Err(Denied::Unknown));
    assert_eq!(at(1_000_000), Err(Denied::Unknown));
}

#[test]
fn a_key_of_any_length_up_to_the_most_is_found_and_none_beyond() {
    let mut ring = KeyRing::default();
    let (most, beyond) = ("k".repeat(MOST_KEY_BYTES), "k".repeat(MOST_KEY_BYTES + 1));
    ring.add(&most, pass("a", Role::User));
    ring.add(&beyond, pass("b", Role::User));
    assert!(ring.pass_of(most.as_bytes(), NOW).is_some());
    assert!(ring.pass_of(beyond.as_bytes(), NOW).is_none());
}

#[test]
fn a_ring_shows_none_of_its_keys() {
    assert_eq!(format!("{:?}", ring()), "KeyRing { keys: 4, .. }");
}

#[test]
fn every_ring_has_digests_of_its_own() {
    assert_ne!(ring().digest(A.as_bytes()), ring().digest(A.as_bytes()));
}

/// A thousand tenants, and who is found for a key.
struct Crowd {
    ring: KeyRing,
    keys: Vec<String>,
    random: fastrand::Rng,
}

impl Crowd {
    fn new(key: impl Fn(&mut fastrand::Rng, usize) -> String) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let keys: Vec<String> = (0..1_000).map(|n| key(&mut random, n)).collect();
        let mut ring = KeyRing::default();
        for (number, key) in keys.iter().enumerate() {
            ring.add(key, pass(&number.to_string(), Role::User));
        }
        Self { ring, keys, random }
    }

    fn tenant_of(&self, key: &[u8]) -> Option<&str> {
        let pass = self.ring.pass_of(key, NOW)?;
        Some(pass.caller.tenant())
    }

    /// A tenant is found for its own key and for no other.
    #[track_caller]
    fn check(&self, key: &str) {
        let whose = self.keys.iter().position(|known| known == key);
        let expected = whose.map(|number| number.to_string());
        assert_eq!(self.tenant_of(key.as_bytes()), expected.as_deref());
    }
}

fn hexadecimal(random: &mut fastrand::Rng) -> String {
    format!("{:032x}", random.u128(..))
}

#[test]
fn a_million_random_keys_let_nobody_in() {
    let mut crowd = Crowd::new(|random, _| hexadecimal(random));
    for _ in 0..1_000_000 {
        let key = crowd.random.u128(..).to_le_bytes();
        assert_eq!(crowd.tenant_of(&key), None);
    }
    for key in &crowd.keys {
        crowd.check(key);
    }
}

#[test]
fn keys_that_begin_or_end_alike_are_never_taken_for_each_other() {
    let alike = "x".repeat(400);
    let prefixed = Crowd::new(|_, n| format!("{alike}{n:04}"));
    let suffixed = Crowd::new(|_, n| format!("{n:04}{alike}"));
    for n in 0..5_000 {
        prefixed.check(&format!("{alike}{n:04}"));
        suffixed.check(&format!("{n:04}{alike}"));
    }
}

#[test]
fn a_key_with_one_bit_changed_or_one_byte_more_or_less_is_nobodys() {
    let crowd = Crowd::new(|random, _| hexadecimal(random));
    for key in crowd.keys.iter().take(40) {
        for bit in 0..key.len() * 8 {
            let mut changed = key.clone().into_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(crowd.tenant_of(&changed), None);
        }
        let bytes = key.as_bytes();
        assert_eq!(crowd.tenant_of(&bytes[1..]), None);
        assert_eq!(crowd.tenant_of(&bytes[..bytes.len() - 1]), None);
        assert_eq!(crowd.tenant_of(&[bytes, b"\0"].concat()), None);
        assert_eq!(crowd.tenant_of(&[b" ", bytes].concat()), None);
    }
}
