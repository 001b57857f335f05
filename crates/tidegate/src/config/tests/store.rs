//! `[store]`, `[sessions]`, and the variables that they know by other names.

use tidegate_engine::{OnUnreachable, StoreUrl};

use super::super::keys::ON_UNREACHABLE;
use super::*;

const CANARY: &str = "canary-7f3a%40@:/é";
const ENCODED: &str = "canary-7f3a%2540%40%3A%2F%C3%A9";

fn url(world: &World) -> String {
    world.config().store.url.to_string()
}

/// Loads with these variables and compares what is printed about its problems.
#[track_caller]
fn check_env(variables: &[(&str, &str)], expected: &str) {
    assert_eq!(with(variables).problems(), expected);
}

fn with(variables: &[(&str, &str)]) -> World {
    let given = variables.iter();
    given.fold(World::default(), |world, (name, value)| {
        world.env(name, value)
    })
}

fn password(world: &World) -> Option<String> {
    match world.config().store.url {
        StoreUrl::Redis(url) => url.password,
        StoreUrl::Memory | StoreUrl::Sqlite(_) => None,
    }
}

#[test]
fn without_a_word_a_folder_is_used() {
    let loaded = World::default().loaded();
    assert_eq!(
        loaded.config.store.url,
        StoreUrl::Sqlite("tidegate-data".into())
    );
    let shown = ("\"sqlite:tidegate-data\"".to_owned(), "default".to_owned());
    assert_eq!(origin_of(&loaded, "store.url"), shown);
    assert_eq!(loaded.config.store.timeout, Duration::from_millis(50));
    assert_eq!(
        loaded.config.store.on_unreachable,
        OnUnreachable::LocalShare
    );
    assert_eq!(loaded.config.cache.refresh_ahead, 0.1);
    assert_eq!(loaded.config.sessions.ttl, Duration::from_secs(3_600));
    assert_eq!(loaded.config.sessions.max_bytes, 1_048_576);
}

#[test]
fn the_words_for_an_absent_store_are_the_stores_own() {
    let own: Vec<&str> = OnUnreachable::ALL.map(OnUnreachable::as_str).to_vec();
    assert_eq!(ON_UNREACHABLE, own);
    for policy in OnUnreachable::ALL {
        let world = World::default().flag("store.on_unreachable", policy.as_str());
        assert_eq!(world.config().store.on_unreachable, policy);
    }
}

#[test]
fn an_address_that_is_none_is_refused_without_repeating_it() {
    check(
        "[store]\nurl = \"redis://:hunter2@\"\n",
        "tidegate.toml:2:7: store.url: a host is missing\n  help: give the address of a store, \
         env:NAME or file:PATH, or leave the key out for sqlite:tidegate-data",
    );
    check(
        "[store]\nurl = 5\n",
        "tidegate.toml:2:7: store.url: expected an address, found an integer\n  help: give the \
         address of a store, env:NAME or file:PATH, or leave the key out for sqlite:tidegate-data",
    );
}

#[test]
fn a_password_in_the_address_is_never_shown_and_the_host_is() {
    let address = format!("redis://app:{ENCODED}@redis.example:6380/2");
    let file = |text: &str| World::file(&format!("[store]\nurl = \"{text}\"\n"));
    for world in [
        file(&address),
        file("env:STORE").env("STORE", &address),
        file("file:/run/store").secret_file("/run/store", &format!("{address}\n")),
        with(&[("REDIS_URL", &address)]),
        with(&[("TIDEGATE__STORE__URL", &address)]),
        with(&[("TIDEGATE__STORE__URL", "env:STORE"), ("STORE", &address)]),
        World::default().flag("store.url", &address),
    ] {
        let loaded = world.loaded();
        let (shown, _) = origin_of(&loaded, "store.url");
        assert_eq!(shown, "\"redis://app:***@redis.example:6380/2\"");
        let all = format!("{loaded:?}");
        assert!(!all.contains("canary"), "{all}");
        assert_eq!(password(&world).as_deref(), Some(CANARY));
    }
}

#[test]
fn another_password_is_another_setting() {
    let fingerprint = |password: &str| {
        let address = format!("redis://:{password}@h");
        let world = World::file("store.url = \"env:STORE\"\n").env("STORE", &address);
        let mut settings = world.loaded().origins.into_iter();
        let url = settings.find(|setting| setting.path == "store.url");
        url.expect("it is listed").fingerprint
    };
    assert_eq!(fingerprint("one"), fingerprint("one"));
    assert_ne!(fingerprint("one"), fingerprint("two"));
}

#[test]
fn an_address_that_is_kept_elsewhere_is_checked_there() {
    let world = World::file("[store]\nurl = \"env:STORE\"\n");
    assert_eq!(
        world.problems(),
        "tidegate.toml:2:7: store.url: environment variable STORE is not set\n  \
         help: set STORE, or remove the line that names it"
    );
    let problems = world.env("STORE", "redis://canary:x@").problems();
    assert_eq!(problems, "tidegate.toml:2:7: store.url: a host is missing");
}

#[test]
fn a_cluster_has_no_numbered_databases() {
    for path in ["store.cache_db", "store.sessions_db"] {
        let world = World::file("[store]\nurl = \"redis+cluster://a,b\"\n");
        let problems = world.clone().flag(path, "2").problems();
        assert_eq!(
            problems,
            format!(
                "flag --{path}: {path}: database 2 is not possible while store.url is a cluster, \
                 which has no database but 0\n  \
                 help: leave it out, or use another Redis than the cluster of tidegate.toml:2"
            )
        );
        assert!(world.clone().flag(path, "0").load().is_ok());
        assert!(world.flag(path, "url").load().is_ok());
        let single = World::file("[store]\nurl = \"redis://a\"\n").flag(path, "2");
        assert!(single.load().is_ok());
    }
    check_env(
        &[
            ("REDIS_URL", "redis+cluster://a"),
            ("REDIS_SESSION_DB", "1"),
        ],
        "env REDIS_SESSION_DB: store.sessions_db: database 1 is not possible while store.url is a \
         cluster, which has no database but 0\n  \
         help: leave it out, or use another Redis than the cluster of env REDIS_URL",
    );
}

#[test]
fn the_known_variables_set_what_they_set_elsewhere() {
    let seen = |name: &str, value: &str| {
        let config = with(&[(name, value)]).config();
        let (store, cache) = (&config.store, &config.cache);
        match name {
            "REDIS_URL" => store.url.to_string(),
            "REDIS_CACHE_DB" => format!("{:?}", store.cache_db),
            "REDIS_SESSION_DB" => format!("{:?}", store.sessions_db),
            "REDIS_CACHE_TTL_SECONDS" => format!("{:?}", cache.ttl),
            "REDIS_CACHE_MAX_SIZE_MB" => cache.max_bytes.to_string(),
            "SESSION_TTL_SECONDS" => format!("{:?}", config.sessions.ttl),
            "USE_CELERY" => config.tasks.inline.to_string(),
            other => panic!("{other} is no variable of ours"),
        }
    };
    for (name, value, expected) in [
        ("REDIS_URL", "rediss://h:1/3", "rediss://h:1/3"),
        ("REDIS_CACHE_DB", "4", "Some(4)"),
        ("REDIS_SESSION_DB", "5", "Some(5)"),
        ("REDIS_CACHE_TTL_SECONDS", "60", "60s"),
        ("REDIS_CACHE_MAX_SIZE_MB", "2", "2097152"),
        ("SESSION_TTL_SECONDS", "61", "61s"),
        ("USE_CELERY", "false", "true"),
    ] {
        assert_eq!(seen(name, value), expected, "{name}");
        assert!(with(&[(name, value)]).loaded().unused_env.is_empty());
    }
}

#[test]
fn host_port_and_password_make_an_address() {
    for (variables, expected) in [
        (&[("REDIS_HOST", "h")][..], "redis://h:6379"),
        (
            &[("REDIS_HOST", "::1"), ("REDIS_PORT", "7")],
            "redis://[::1]:7",
        ),
        (
            &[("REDIS_HOST", "h"), ("REDIS_PASSWORD", CANARY)],
            "redis://:***@h:6379",
        ),
    ] {
        let world = with(variables);
        assert_eq!(url(&world), expected);
        let (_, origin) = origin_of(&world.loaded(), "store.url");
        assert_eq!(origin, "env REDIS_HOST");
        assert!(world.loaded().unused_env.is_empty());
    }
    let world = with(&[("REDIS_HOST", "h"), ("REDIS_PASSWORD", CANARY)]);
    assert_eq!(password(&world).as_deref(), Some(CANARY));
}

#[test]
fn a_port_that_is_none_is_blamed_on_its_variable() {
    check_env(
        &[("REDIS_HOST", "h"), ("REDIS_PORT", "0")],
        "env REDIS_PORT: store.url: expected a port from 1 to 65535",
    );
    check_env(
        &[("REDIS_HOST", "h"), ("REDIS_PORT", "tcp://10.0.0.1:6379")],
        "env REDIS_PORT: store.url: expected a port from 1 to 65535\n  help: Kubernetes sets this \
         variable for a service of the name redis: set enableServiceLinks to false, or use \
         REDIS_URL",
    );
    check_env(
        &[("REDIS_HOST", "redis://canary@h")],
        "env REDIS_HOST: store.url: expected a host name or address without a port\n  \
         help: put a whole address into REDIS_URL",
    );
    check_env(
        &[("REDIS_CACHE_MAX_SIZE_MB", "1.5")],
        "env REDIS_CACHE_MAX_SIZE_MB: cache.max_bytes: expected a whole number of MiB",
    );
}

#[test]
fn parts_of_an_address_that_do_not_count_are_named() {
    let unused = |variables: &[(&str, &str)]| {
        let unused = with(variables).loaded().unused_env;
        unused.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let both = [("REDIS_URL", "redis://a"), ("REDIS_HOST", "b")];
    assert_eq!(
        unused(&both),
        ["REDIS_HOST is set, and REDIS_URL counts instead"]
    );
    assert_eq!(url(&with(&both)), "redis://a:6379");
    // As Kubernetes has it, whoever uses the service.
    assert_eq!(
        unused(&[("REDIS_PORT", "tcp://10.0.0.1:6379")]),
        ["REDIS_PORT is set, and says nothing without REDIS_HOST"]
    );
}

#[test]
fn our_own_words_are_stronger_than_the_known_variables() {
    let theirs = [
        (
            "REDIS_URL",
            "redis://theirs",
            "store.url",
            "redis://ours:6379",
        ),
        ("REDIS_HOST", "theirs", "store.url", "redis://ours:6379"),
        ("REDIS_CACHE_DB", "1", "store.cache_db", "9"),
        ("REDIS_SESSION_DB", "1", "store.sessions_db", "9"),
        ("REDIS_CACHE_TTL_SECONDS", "1", "cache.ttl_s", "9"),
        ("REDIS_CACHE_MAX_SIZE_MB", "1", "cache.max_bytes", "9"),
        ("SESSION_TTL_SECONDS", "1", "sessions.ttl_s", "9"),
    ];
    for (name, value, path, own) in theirs {
        let key = KEYS.iter().find(|key| key.path == path).unwrap();
        let shown = toml_literal(key, own);
        let file = World::file(&format!("{path} = {shown}\n"));
        for world in [
            file,
            World::default().env(&env_name(path), own),
            World::default().flag(path, own),
        ] {
            let loaded = world.env(name, value).loaded();
            assert_eq!(origin_of(&loaded, path).0, shown, "{name}");
        }
    }
}
