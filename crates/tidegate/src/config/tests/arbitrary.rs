//! Loading survives whatever a file or a variable may hold.

use proptest::prelude::*;

use super::World;

proptest! {
    /// Arbitrary text is either a configuration or a list of problems.
    #[test]
    fn no_text_makes_loading_panic(text in any::<String>(), value in any::<String>()) {
        let _ = World::file(&text).env("TIDEGATE__LOG__LEVEL", &value).load();
    }

    /// The same for text that looks like TOML, where the checks are reached.
    #[test]
    fn no_toml_makes_loading_panic(lines in prop::collection::vec(toml_line(), 0..12)) {
        if let Err(problems) = World::file(&lines.join("\n")).load() {
            prop_assert!(!problems.0.is_empty());
        }
    }
}

fn toml_line() -> impl Strategy<Value = String> {
    let names = [
        "server",
        "bind",
        "resilience",
        "backoff_ms",
        "base",
        "providers",
        "models",
        "name",
        "kind",
        "chain",
        "headers",
        "base_url",
        "api_key",
        "guard",
        "\"\"",
        "x",
    ];
    let values = [
        "1",
        "-1",
        "1e999",
        "nan",
        "0xffffffffffffffffffffffffffffffffffff",
        "true",
        "\"a/*\"",
        "\"*\"",
        "\"openai\"",
        "\"env:X\"",
        "[]",
        "[\"a/b\", 1]",
        "{}",
        "{ a = 1 }",
        "1979-05-27",
        "\"http://[::1]:x\"",
        "\"\"\"\nä\n\"\"\"",
    ];
    let name = || prop::sample::select(names.to_vec());
    prop_oneof![
        name().prop_map(|name| format!("[{name}]")),
        name().prop_map(|name| format!("[[{name}]]")),
        (name(), prop::sample::select(values.to_vec()))
            .prop_map(|(name, value)| format!("{name} = {value}")),
        (name(), name(), prop::sample::select(values.to_vec()))
            .prop_map(|(table, name, value)| format!("{table}.{name} = {value}")),
        ".*",
    ]
}
