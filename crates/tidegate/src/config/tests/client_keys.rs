//! `[[keys]]`.

use std::time::SystemTime;

use super::*;

const SECRET: &str = "canary-0123456789";
const OTHER: &str = "canary-9876543210";

fn world(text: &str) -> World {
    World::file(text)
        .env("A", SECRET)
        .env("B", OTHER)
        .env("SAME", SECRET)
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(world(text).problems(), expected);
}

/// The table of one key.
fn row(tenant: &str, variable: &str, more: &str) -> String {
    format!("[[keys]]\ntenant = \"{tenant}\"\nkey = \"env:{variable}\"\n{more}")
}

#[test]
fn every_key_of_a_row_reaches_the_typed_key() {
    let more = "role = \"admin\"\nexpires_at = \"1970-01-02T00:00:01Z\"\nrequests_per_minute = 1\n\
                tokens_per_minute = 2\nmax_concurrent = 3\n";
    let config = world(&row("team-a", "A", more)).config();
    let expected = ClientKey {
        policy: None,
        tenant: "team-a".to_owned(),
        key: Secret::new(SECRET),
        role: Role::Admin,
        expires_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(86_401)),
        limits: Limits {
            requests_per_minute: Some(1),
            tokens_per_minute: Some(2),
            max_concurrent: Some(3),
        },
    };
    assert_eq!(config.keys, [expected]);
}

#[test]
fn a_key_is_a_users_never_expires_and_is_unlimited_unless_it_says_otherwise() {
    let key = world(&row("a", "A", "")).config().keys.remove(0);
    assert_eq!((key.role, key.expires_at), (Role::User, None));
    let limits = key.limits;
    assert_eq!(limits.requests_per_minute, None);
    assert_eq!(limits.tokens_per_minute, None);
    assert_eq!(limits.max_concurrent, None);
}

#[test]
fn an_expiry_may_be_a_date_of_toml_and_is_always_in_utc() {
    let with = |time: &str| world(&row("a", "A", &format!("expires_at = {time}\n")));
    let quoted = with("\"2027-01-31T00:00:00Z\"").config();
    let bare = with("2027-01-31T00:00:00Z").config();
    assert_eq!(quoted.keys, bare.keys);
    check(
        &row("a", "A", "expires_at = \"2027-01-31\"\n"),
        "tidegate.toml:4:14: keys[0].expires_at: expected a time in UTC such as \
         \"2027-01-31T00:00:00Z\", found \"2027-01-31\"",
    );
    for time in ["2027-01-31", "2027-01-31T00:00:00+02:00", "1", "\"soon\""] {
        let problems = with(time).problems();
        assert!(problems.contains("expected a time in UTC"), "{problems}");
    }
}

#[test]
fn a_row_needs_a_tenant_and_a_key() {
    check(
        "[[keys]]\n",
        "tidegate.toml:1:1: keys[0].tenant: missing; every [[keys]] needs it\n  \
         help: add a line such as tenant = \"team-a\"\n\
         tidegate.toml:1:1: keys[0].key: missing; every [[keys]] needs it\n  \
         help: add a line such as key = \"env:TEAM_A_KEY\"",
    );
    check(
        &row("Team A", "A", "roles = \"admin\"\nrole = \"root\"\n"),
        "tidegate.toml:2:10: keys[0].tenant: expected a name of a-z, 0-9, _ and -, found \"Team A\"\n\
         tidegate.toml:4:1: keys[0].roles: unknown key\n  help: did you mean `role`?\n\
         tidegate.toml:5:8: keys[0].role: expected one of user, admin, found \"root\"\n  \
         help: give one of user, admin, or leave the key out for user",
    );
}

#[test]
fn no_tenant_has_the_name_of_what_all_share() {
    for name in ["*", "a/b", "../x", "", "A"] {
        let text = row(name, "A", "");
        assert!(world(&text).load().is_err(), "{name}");
    }
}

#[test]
fn a_key_has_from_16_to_512_characters_after_trimming() {
    let with = |secret: &str| World::file(&row("a", "KEY", "")).env("KEY", secret);
    for count in [16, 512] {
        let config = with(&format!(" {} \n", "k".repeat(count))).config();
        assert_eq!(config.keys[0].key.expose().len(), count);
    }
    assert_eq!(
        with(&format!(" {} \n", "k".repeat(15))).problems(),
        "tidegate.toml:3:7: keys[0].key: the key has 15 characters; at least 16 are needed\n  \
         help: make one with: openssl rand -hex 32"
    );
    let long = with(&"k".repeat(513)).problems();
    assert!(long.contains("at most 512 are allowed"), "{long}");
}

#[test]
fn a_key_in_the_file_or_nowhere_is_refused_and_not_repeated() {
    let literal = format!("[[keys]]\ntenant = \"a\"\nkey = \"{SECRET}\"\n");
    check(
        &literal,
        "tidegate.toml:3:7: keys[0].key: secrets are env:NAME or file:PATH\n  \
         help: put the secret into an environment variable or a file and name that here",
    );
    check(
        &row("a", "NOWHERE", ""),
        "tidegate.toml:3:7: keys[0].key: environment variable NOWHERE is not set\n  \
         help: set NOWHERE, or remove the line that names it",
    );
}

#[test]
fn two_rows_with_one_secret_are_named_without_it() {
    let text = row("a", "A", "") + &row("b", "B", "") + &row("c", "SAME", "");
    check(
        &text,
        "tidegate.toml:9:7: keys[2].key: the same secret as keys[0].key, in the table at \
         tidegate.toml:1\n  help: a key has one tenant, one role and one expiry: give each row \
         its own secret",
    );
}

#[test]
fn the_keys_of_a_tenant_may_not_have_different_limits() {
    let text = row("a", "A", "tokens_per_minute = 5\n")
        + &row("a", "B", "tokens_per_minute = \"unlimited\"\n");
    check(
        &text,
        "tidegate.toml:8:21: keys[1].tokens_per_minute: \"unlimited\" for tenant \"a\" contradicts \
         5 at tidegate.toml:4\n  help: all keys of a tenant share one budget: write the same limit, \
         or write it once",
    );
}

#[test]
fn a_limit_that_is_written_once_holds_for_all_keys_of_the_tenant_and_no_other() {
    let text = row("a", "A", "")
        + &row("a", "B", "max_concurrent = 7\n")
        + &row("b", "C", "requests_per_minute = 9\n");
    let config = world(&text).env("C", "canary-5555555555").config();
    let concurrent = config.keys.iter().map(|key| key.limits.max_concurrent);
    assert_eq!(concurrent.collect::<Vec<_>>(), [Some(7), Some(7), None]);
    let requests = config.keys.iter().map(|key| key.limits.requests_per_minute);
    assert_eq!(requests.collect::<Vec<_>>(), [None, None, Some(9)]);
}

#[test]
fn keys_make_an_open_address_safe_enough_to_start() {
    let open = "[server]\nbind = \"0.0.0.0:80\"\n";
    assert_eq!(
        world(open).problems(),
        "tidegate.toml:2:8: server.bind: 0.0.0.0:80 can be reached from other machines without a \
         key\n  help: use a loopback address, add [[keys]], or set server.allow_public = true if \
         something in front of tidegate checks who calls"
    );
    let config = world(&format!("{open}{}", row("a", "A", ""))).config();
    assert!(!config.server.allow_public);
    // A key with a problem is one problem, not two.
    let broken = world(&format!("{open}{}", row("a", "NOWHERE", "")));
    assert_eq!(broken.load().unwrap_err().0.len(), 1);
    let none = world(&format!("keys = []\n{open}"));
    assert!(none.load().is_err());
}

#[test]
fn keys_are_hidden_wherever_settings_are_shown() {
    let loaded = world(&row("a", "A", "expires_at = 2027-01-31T00:00:00Z\n")).loaded();
    assert!(!format!("{loaded:?}").contains("canary"));
    assert_eq!(origin_of(&loaded, "keys[0].key").0, "<hidden>");
    assert_eq!(
        origin_of(&loaded, "keys[0].expires_at").0,
        "\"2027-01-31T00:00:00Z\""
    );
    assert_eq!(
        origin_of(&loaded, "keys[0].role"),
        ("\"user\"".to_owned(), "default".to_owned())
    );
}

#[test]
fn keys_can_only_be_set_in_the_file() {
    let problems = World::default()
        .env("TIDEGATE__KEYS__TENANT", "a")
        .problems();
    assert!(
        problems.ends_with("[[keys]] can only be set in the file"),
        "{problems}"
    );
}
