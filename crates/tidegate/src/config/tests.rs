//! What the configuration promises, line by line.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::keys::{Fallback, Key, Kind};
use super::*;

const FILE: &str = "tidegate.toml";

/// Sources held in memory.
#[derive(Default, Clone)]
struct World {
    file: Option<String>,
    env: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
    flags: Vec<(String, String)>,
}

impl World {
    fn file(text: &str) -> Self {
        Self {
            file: Some(text.to_owned()),
            ..Self::default()
        }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    fn flag(mut self, path: &str, value: &str) -> Self {
        self.flags.push((path.to_owned(), value.to_owned()));
        self
    }

    fn secret_file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such file");
        load(&Sources {
            file: self.file.clone().map(|text| (FILE.to_owned(), text)),
            env: &|name| self.env.get(name).cloned(),
            env_names: self.env.keys().cloned().collect(),
            flags: self.flags.clone(),
            read_file: &|path| match self.files.get(path) {
                Some(text) => Ok(text.clone()),
                None if path == OWN_POLICY => Ok(OWN_POLICY_TEXT.to_owned()),
                None => Err(missing()),
            },
        })
    }

    #[track_caller]
    fn config(&self) -> Config {
        self.loaded().config
    }

    #[track_caller]
    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[track_caller]
    fn problems(&self) -> String {
        self.load()
            .expect_err("this configuration has a problem")
            .to_string()
    }
}

/// Loads `text` and compares what is printed about its problems.
#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(World::file(text).problems(), expected);
}

/// A file that every world has.
const OWN_POLICY: &str = "own.toml";
const OWN_POLICY_TEXT: &str = "[policy]\nid = \"own\"\nbase = \"strict\"\n";

/// Some valid value of `key` that is not its default, as in an environment variable.
fn another_value(key: &Key) -> String {
    let Fallback::Value(default) = key.default else {
        panic!("{} has no default", key.path)
    };
    match key.kind {
        Kind::Flag => (default == "false").to_string(),
        Kind::Integer { .. } => (default.parse::<u64>().unwrap() + 1).to_string(),
        Kind::Share { .. } => "0.75".to_owned(),
        Kind::Address => "127.0.0.1:9999".to_owned(),
        Kind::Names => "gate.example".to_owned(),
        Kind::Text => "another".to_owned(),
        Kind::Policy => "monitor".to_owned(),
        Kind::Threshold => "0.95".to_owned(),
        Kind::Model | Kind::Candidate => "none".to_owned(),
        Kind::Files => OWN_POLICY.to_owned(),
        Kind::Store => "memory:".to_owned(),
        Kind::Database => "3".to_owned(),
        Kind::Word { allowed, .. } => allowed
            .iter()
            .find(|word| **word != default)
            .unwrap()
            .to_string(),
        other => panic!("no value for {other:?}"),
    }
}

fn toml_literal(key: &Key, text: &str) -> String {
    match key.kind {
        Kind::Address
        | Kind::Word { .. }
        | Kind::Store
        | Kind::Text
        | Kind::Policy
        | Kind::Model
        | Kind::Candidate => {
            format!("\"{text}\"")
        }
        Kind::Names | Kind::Files => format!("[\"{text}\"]"),
        _ => text.to_owned(),
    }
}

fn origin_of(loaded: &Loaded, path: &str) -> (String, String) {
    let setting = loaded.origins.iter().find(|setting| setting.path == path);
    let setting = setting.unwrap_or_else(|| panic!("{path} is not listed"));
    (setting.value.clone(), setting.origin.clone())
}

#[test]
fn three_mistakes_in_one_file_give_three_problems_with_line_and_column() {
    check(
        "[server]\nbnd = \"127.0.0.1:1\"\ndeadline_ms = 0\n\n[log]\n  level =  \"inf\"\n",
        "tidegate.toml:2:1: server.bnd: unknown key\n  help: did you mean `bind`?\n\
         tidegate.toml:3:15: server.deadline_ms: 0 is outside 1 to 3600000\n  \
         help: give an integer from 1 to 3600000, or leave the key out for 60000\n\
         tidegate.toml:6:12: log.level: expected one of error, warn, info, debug, trace, \
         found \"inf\"\n  help: did you mean `info`?",
    );
}

#[test]
fn columns_count_characters_not_bytes() {
    check(
        "log = { \"äöü\" = 1, level = \"info\" }",
        "tidegate.toml:1:9: log.äöü: unknown key\n  help: [log] takes level, format, access",
    );
}

#[test]
fn text_that_is_not_toml_is_a_problem_with_line_and_column() {
    let problems = World::file("[server]\nbind = \n").load().unwrap_err();
    let first = &problems.0[0];
    assert_eq!((first.line, first.column), (Some(2), Some(8)), "{problems}");
    assert!(
        first
            .to_string()
            .starts_with("tidegate.toml:2:8: not TOML: "),
        "{problems}"
    );
}

#[test]
fn flags_beat_the_environment_beats_the_file_beats_the_default() {
    let path = "server.deadline_ms";
    let expect = |world: &World, ms: u64, origin: &str| {
        let loaded = world.loaded();
        assert_eq!(loaded.config.server.deadline, Duration::from_millis(ms));
        assert_eq!(
            origin_of(&loaded, path),
            (ms.to_string(), origin.to_owned())
        );
    };
    expect(&World::default(), 60_000, "default");
    let world = World::file("[server]\ndeadline_ms = 1_000\n");
    expect(&world, 1000, "tidegate.toml:2");
    let world = world.env("TIDEGATE__SERVER__DEADLINE_MS", "2000");
    expect(&world, 2000, "env TIDEGATE__SERVER__DEADLINE_MS");
    let world = world.flag(path, "3000");
    expect(&world, 3000, "flag --server.deadline_ms");
    expect(&world.flag(path, "4000"), 4000, "flag --server.deadline_ms");
}

#[test]
fn every_key_changes_the_configuration_from_the_file_the_environment_and_a_flag() {
    let default = World::default().config();
    for key in KEYS {
        let text = another_value(key);
        let line = format!("{} = {}\n", key.path, toml_literal(key, &text));
        let from_file = World::file(&line).config();
        assert_ne!(from_file, default, "{} in the file has no effect", key.path);
        let from_env = World::default().env(&env_name(key.path), &text).config();
        assert_eq!(from_env, from_file, "{} in the environment", key.path);
        let from_flag = World::default().flag(key.path, &text).config();
        assert_eq!(from_flag, from_file, "{} as a flag", key.path);
    }
}

#[test]
fn no_two_keys_change_the_same_field() {
    let changed = |key: &Key| {
        World::default()
            .flag(key.path, &another_value(key))
            .config()
    };
    for (index, key) in KEYS.iter().enumerate() {
        for other in &KEYS[..index] {
            assert_ne!(
                changed(key),
                changed(other),
                "{} and {}",
                key.path,
                other.path
            );
        }
    }
}

#[test]
fn every_integer_key_accepts_its_ends_and_refuses_what_is_beyond() {
    for key in KEYS {
        let Kind::Integer { min, max } = key.kind else {
            continue;
        };
        // Some keys limit each other, which is not what this test asks.
        let refused =
            |number: i128| match World::default().flag(key.path, &number.to_string()).load() {
                Ok(_) => false,
                Err(problems) => problems.to_string().contains("is outside"),
            };
        assert!(
            !refused(min.into()) && !refused(max.into()),
            "{} at its ends",
            key.path
        );
        assert!(refused(i128::from(min) - 1), "{} below", key.path);
        assert!(refused(i128::from(max) + 1), "{} above", key.path);
    }
}

#[test]
fn the_default_file_changes_nothing() {
    let mut written = World::file(&default_toml()).config();
    // But that somebody has written it.
    assert!(written.guard.is_chosen);
    written.guard.is_chosen = false;
    assert_eq!(written, World::default().config());
    for key in KEYS {
        let (_, origin) = origin_of(&World::file(&default_toml()).loaded(), key.path);
        assert!(
            origin.starts_with(FILE),
            "{} is not in the default file",
            key.path
        );
    }
}

#[test]
fn the_examples_in_the_default_file_load_once_uncommented() {
    let file = default_toml();
    let examples = &file[file.find("# [[providers]]").unwrap()..];
    let is_toml = |line: &&str| {
        line.starts_with("# [[") || (line.contains(" = ") && !line.starts_with("# #"))
    };
    let text: String = examples
        .lines()
        .filter(is_toml)
        .map(|line| format!("{}\n", &line[2..]))
        .collect();
    let world = World::file(&text)
        .env("LOCAL_KEY", "k")
        .env("ANTHROPIC_API_KEY", "k")
        .env("TEAM_A_KEY", &"k".repeat(16))
        .env("HOOK_SECRET", &"k".repeat(16));
    let config = world.config();
    assert_eq!(config.providers.len(), 3, "{text}");
    assert_eq!(config.tasks.schedules.len(), 1, "{text}");
    let tables = [
        PROVIDER_KEYS,
        MODEL_KEYS,
        CLIENT_KEYS,
        KIND_KEYS,
        SCHEDULE_KEYS,
        WEBHOOK_KEYS,
    ];
    for key in tables.into_iter().flatten() {
        assert!(file.contains(&format!("{} = ", key.name())), "{}", key.path);
    }
}

#[test]
fn schema_and_reference_name_every_key() {
    let (schema, reference) = (schema_json(), reference_markdown());
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    for key in KEYS {
        let pointer = format!("/properties/{}", key.path.replace('.', "/properties/"));
        let found = schema
            .pointer(&pointer)
            .unwrap_or_else(|| panic!("{}", key.path));
        assert_eq!(found["description"], key.doc);
        assert!(reference.contains(&env_name(key.path)), "{}", key.path);
        assert!(
            reference.contains(&key.doc.replace('*', "\\*")),
            "{}",
            key.path
        );
    }
    for key in PROVIDER_KEYS.iter().chain(MODEL_KEYS) {
        let pointer = format!(
            "/properties/{}/items/properties/{}",
            key.section(),
            key.name()
        );
        assert!(schema.pointer(&pointer).is_some(), "{}", key.path);
        assert!(
            reference.contains(&key.doc.replace('*', "\\*")),
            "{}",
            key.path
        );
    }
    assert_eq!(
        schema["properties"]["providers"]["items"]["required"],
        serde_json::json!(["name", "kind"])
    );
    assert_eq!(
        schema["properties"]["server"]["properties"]["bind"]["default"],
        "127.0.0.1:8080"
    );
    assert_eq!(
        schema["properties"]["server"]["properties"]["deadline_ms"]["default"],
        60_000
    );
}

#[test]
fn a_section_of_a_later_version_is_not_called_unknown() {
    check(
        "[fulfill]\nslots = 3\n",
        "tidegate.toml:1:2: fulfill: section [fulfill] is not supported by this version of tidegate",
    );
    for section in super::sections::LATER_SECTIONS {
        let expected = format!("section [{section}] is not supported by this version of tidegate");
        let file = World::file(&format!("[[{section}]]\nname = 1\n"));
        let env = World::default().env(&env_name(&format!("{section}.mode")), "1");
        assert!(file.problems().ends_with(&expected), "{}", file.problems());
        assert!(env.problems().ends_with(&expected), "{}", env.problems());
    }
    check(
        "[guard]\nvalidate_answers = []\n",
        "tidegate.toml:2:1: guard.validate_answers: this key is not supported by this version of tidegate",
    );
}

#[test]
fn an_unknown_key_is_answered_with_what_was_meant() {
    check(
        "[server]\nlevel = \"info\"\n",
        "tidegate.toml:2:1: server.level: unknown key\n  help: did you mean `log.level`?",
    );
    check(
        "[sever]\nbind = 1\n",
        "tidegate.toml:1:2: sever: unknown section\n  help: did you mean `server`?",
    );
    check(
        "[resilience.backof_ms]\nbase = 1\n",
        "tidegate.toml:1:13: resilience.backof_ms: unknown key\n  help: did you mean `backoff_ms`?",
    );
    check(
        "bind = 1\n",
        "tidegate.toml:1:1: bind: unknown key\n  help: did you mean `server.bind`?",
    );
    let world = World::default()
        .env("TIDEGATE__SERVER__BND", "1")
        .flag("sever.bind", "1");
    assert_eq!(
        world.problems(),
        "env TIDEGATE__SERVER__BND: server.bnd: unknown key\n  \
         help: did you mean `TIDEGATE__SERVER__BIND`?\n\
         flag --sever.bind: sever.bind: unknown key\n  help: did you mean `server.bind`?"
    );
}

#[test]
fn a_variable_in_the_wrong_case_is_unknown() {
    assert_eq!(
        World::default()
            .env("TIDEGATE__server__bind", "127.0.0.1:1")
            .problems(),
        "env TIDEGATE__server__bind: server.bind: unknown key\n  \
         help: did you mean `TIDEGATE__SERVER__BIND`?"
    );
}

#[test]
fn tables_cannot_be_set_outside_the_file() {
    assert_eq!(
        World::default()
            .env("TIDEGATE__PROVIDERS__NAME", "x")
            .problems(),
        "env TIDEGATE__PROVIDERS__NAME: providers.name: [[providers]] can only be set in the file"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_what_is_expected() {
    check(
        "[log]\naccess = \"yes\"\n",
        "tidegate.toml:2:10: log.access: expected true or false, found \"yes\"\n  \
         help: give true or false, or leave the key out for true",
    );
    check(
        "server = 5\n",
        "tidegate.toml:1:10: server: expected the table [server], found an integer",
    );
    check(
        "[resilience]\nretry_budget = nan\n",
        "tidegate.toml:2:16: resilience.retry_budget: NaN is outside 0 to 1\n  \
         help: give a number from 0 to 1, or leave the key out for 0.2",
    );
    check(
        "[providers]\nname = \"a\"\n",
        "tidegate.toml:1:1: providers: expected [[providers]], found a table\n  \
         help: write [[providers]] with two brackets, once for each",
    );
}

#[test]
fn the_backoff_may_be_an_inline_table_or_a_section() {
    let inline = "[resilience]\nbackoff_ms = { base = 1, max = 2, retries = 0 }\n";
    let section = "[resilience.backoff_ms]\nbase = 1\nmax = 2\nretries = 0\n";
    let backoff = World::file(inline).config().resilience.backoff;
    let expected = Backoff {
        base: Duration::from_millis(1),
        max: Duration::from_millis(2),
        retries: 0,
    };
    assert_eq!(backoff, expected);
    assert_eq!(World::file(section).config().resilience.backoff, expected);
}

#[test]
fn zero_switches_off_what_can_be_switched_off() {
    let config = World::default().config();
    assert_eq!(config.server.workers, None);
    assert_eq!(config.resilience.breaker.failure_rate, None);
    assert_eq!(config.resilience.breaker.slow_call, None);
}

#[test]
fn limits_that_contradict_each_other_are_blamed_on_the_later_layer() {
    check(
        "[resilience]\ncooldown_ms = 700_000\n",
        "tidegate.toml:2:15: resilience.cooldown_ms: 700000 is more than \
         resilience.max_cooldown_ms = 600000\n  \
         help: lower it to at most 600000, or raise resilience.max_cooldown_ms",
    );
    let world = World::default().env("TIDEGATE__RESILIENCE__BACKOFF_MS__MAX", "5");
    assert_eq!(
        world.problems(),
        "env TIDEGATE__RESILIENCE__BACKOFF_MS__MAX: resilience.backoff_ms.max: 5 is less than \
         resilience.backoff_ms.base = 2000\n  \
         help: raise it to at least 2000, or lower resilience.backoff_ms.base"
    );
}

#[test]
fn an_open_address_needs_consent() {
    let open = World::default().env("TIDEGATE__SERVER__BIND", "0.0.0.0:80");
    assert!(open.problems().contains("set server.allow_public = true"));
    let allowed = open.env("TIDEGATE__SERVER__ALLOW_PUBLIC", "true").config();
    assert_eq!(allowed.server.bind.to_string(), "0.0.0.0:80");
    assert!(
        World::default()
            .flag("server.bind", "[::1]:80")
            .load()
            .is_ok()
    );
}

#[test]
fn variables_without_effect_are_listed() {
    let world = World::default()
        .env("PERPLEXITY_API_KEY", "x")
        .env("NOVA_QUERY_TIMEOUT", "1")
        .env("HOME", "/");
    let unused = world.loaded().unused_env;
    let unused: Vec<_> = unused.iter().map(ToString::to_string).collect();
    assert_eq!(
        unused,
        [
            "NOVA_QUERY_TIMEOUT is set, and this version makes no use of it",
            "PERPLEXITY_API_KEY is set, and this version makes no use of it",
        ]
    );
}

mod arbitrary;
mod client_keys;
mod guard;
mod store;
mod tables;
mod tasks;
