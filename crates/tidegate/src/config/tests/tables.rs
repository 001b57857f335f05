//! `[[providers]]`, `[[models]]`, secrets, and what happens without any.

use super::*;

const LOCAL: &str = "[[providers]]\nname = \"local\"\nkind = \"openai\"\n\
                     base_url = \"http://127.0.0.1:11434/v1/\"\n";
const TWO: &str = "[[providers]]\nname = \"a\"\nkind = \"mock\"\n\
                   [[providers]]\nname = \"b\"\nkind = \"mock\"\n";
const CANARY: &str = "canary-7f3a";

fn chain(config: &Config, model: &str) -> Vec<String> {
    let model = config
        .models
        .iter()
        .find(|known| known.name == model)
        .expect("a model");
    let entry = |entry: &ChainEntry| {
        format!(
            "{}/{}",
            entry.provider,
            entry.model.as_deref().unwrap_or("*")
        )
    };
    model.chain.iter().map(entry).collect()
}

fn openai(provider: &Provider) -> &OpenAi {
    match &provider.kind {
        ProviderKind::OpenAi(openai) => openai,
        other => panic!("{other:?} is not openai"),
    }
}

/// Loads `LOCAL` followed by `more`, and compares the problems.
#[track_caller]
fn check_local(more: &str, expected: &str) {
    check(&format!("{LOCAL}{more}"), expected);
}

#[test]
fn without_anything_the_built_in_model_answers_every_name_without_limits() {
    let config = World::default().config();
    assert_eq!(config.providers[0].name, "builtin");
    assert_eq!(config.providers[0].kind, ProviderKind::Extractive);
    for name in ["extractive", "*"] {
        assert_eq!(chain(&config, name), ["builtin/extractive"]);
    }
    let limits = config.models[0].chain[0].limits;
    let unlimited = Limits {
        requests_per_minute: None,
        tokens_per_minute: None,
        max_concurrent: None,
    };
    assert_eq!(limits, unlimited);
}

#[test]
fn an_openai_key_alone_sets_up_openai() {
    let loaded = World::default().env("OPENAI_API_KEY", CANARY).loaded();
    let provider = openai(&loaded.config.providers[0]);
    assert_eq!(provider.base_url, "https://api.openai.com/v1");
    assert_eq!(provider.api_key.as_ref().map(Secret::expose), Some(CANARY));
    assert_eq!(chain(&loaded.config, "*"), ["openai/*"]);
    assert_eq!(
        origin_of(&loaded, "providers[0].api_key").1,
        "env OPENAI_API_KEY"
    );
    assert_eq!(origin_of(&loaded, "providers[0].base_url").1, "default");
}

#[test]
fn an_openai_url_alone_sets_up_a_server_without_a_key() {
    let config = World::default()
        .env("OPENAI_BASE_URL", "http://10.0.0.1:8000/v1")
        .config();
    let provider = openai(&config.providers[0]);
    assert_eq!(
        (provider.base_url.as_str(), &provider.api_key),
        ("http://10.0.0.1:8000/v1", &None)
    );
}

#[test]
fn an_empty_openai_key_counts_as_unset() {
    let config = World::default().env("OPENAI_API_KEY", "").config();
    assert_eq!(config.providers[0].name, "builtin");
}

#[test]
fn a_bad_openai_url_is_a_problem_of_its_variable() {
    let problems = World::default()
        .env("OPENAI_BASE_URL", "localhost")
        .problems();
    assert!(
        problems.starts_with("env OPENAI_BASE_URL: providers[0].base_url: "),
        "{problems}"
    );
}

#[test]
fn each_provider_of_the_environment_gets_the_names_that_are_its_own() {
    let config = World::default()
        .env("OPENAI_API_KEY", CANARY)
        .env("ANTHROPIC_API_KEY", CANARY)
        .env("BEDROCK_MODEL_ID", "maker.model-v1:0")
        .env("BEDROCK_FALLBACK_MODELS", "maker.small, ,maker.model-v1:0")
        .config();
    let names: Vec<&str> = config
        .providers
        .iter()
        .map(|row| row.name.as_str())
        .collect();
    assert_eq!(names, ["openai", "anthropic", "bedrock"]);
    assert_eq!(
        chain(&config, "maker.model-v1:0"),
        ["bedrock/maker.model-v1:0", "bedrock/maker.small"]
    );
    assert_eq!(chain(&config, "claude-*"), ["anthropic/*"]);
    assert_eq!(chain(&config, "*"), ["openai/*"]);
}

#[test]
fn every_other_name_goes_to_the_only_provider_of_the_environment() {
    let config = World::default().env("ANTHROPIC_API_KEY", CANARY).config();
    assert_eq!(chain(&config, "*"), ["anthropic/*"]);
    let config = World::default()
        .env("BEDROCK_MODEL_ID", "maker.model")
        .config();
    assert_eq!(chain(&config, "*"), ["bedrock/maker.model"]);
}

#[test]
fn configured_providers_ignore_the_openai_variables() {
    let config = World::file(LOCAL).env("OPENAI_API_KEY", CANARY).config();
    assert_eq!(config.providers.len(), 1);
    assert_eq!(openai(&config.providers[0]).api_key, None);
}

#[test]
fn one_provider_without_models_takes_every_name() {
    let config = World::file(LOCAL).config();
    assert_eq!(chain(&config, "*"), ["local/*"]);
    assert_eq!(
        openai(&config.providers[0]).base_url,
        "http://127.0.0.1:11434/v1"
    );
}

#[test]
fn several_providers_need_models() {
    check(
        TWO,
        "tidegate.toml:1:1: models: missing; there are several providers\n  \
         help: add [[models]] that say which provider serves which model",
    );
}

#[test]
fn every_provider_key_reaches_the_typed_provider() {
    let more = "api_key = \"file:/run/key\"\nstream_usage = false\nmax_tokens_field = \"max_tokens\"\n\
                headers = { X-Team = \"search\", x-token = \"env:TOKEN\" }\n";
    let world = World::file(&format!("{LOCAL}{more}"))
        .env("TOKEN", "t")
        .secret_file("/run/key", "k\n");
    let config = world.config();
    let header = |name: &str, value: &str| Header {
        name: name.to_owned(),
        value: Secret::new(value),
    };
    let expected = OpenAi {
        base_url: "http://127.0.0.1:11434/v1".to_owned(),
        api_key: Some(Secret::new("k")),
        headers: vec![header("x-team", "search"), header("x-token", "t")],
        stream_usage: false,
        max_tokens_field: MaxTokensField::MaxTokens,
    };
    assert_eq!(config.providers[0].kind, ProviderKind::OpenAi(expected));
}

#[test]
fn every_model_key_reaches_the_typed_model() {
    let more = "[[models]]\nname = \"m\"\nchain = [\"local/a/b\", \"local/c\"]\n\
                requests_per_minute = 1\ntokens_per_minute = 2\nmax_concurrent = \"unlimited\"\n\
                default_output_tokens = 4\n";
    let config = World::file(&format!("{LOCAL}{more}")).config();
    let limits = Limits {
        requests_per_minute: Some(1),
        tokens_per_minute: Some(2),
        max_concurrent: None,
    };
    let entry = |model: &str| ChainEntry {
        provider: "local".to_owned(),
        model: Some(model.to_owned()),
        limits,
    };
    let expected = Model {
        name: "m".to_owned(),
        chain: vec![entry("a/b"), entry("c")],
        default_output_tokens: 4,
    };
    assert_eq!(config.models, [expected]);
}

#[test]
fn missing_keys_are_named_at_the_table() {
    check(
        "[[providers]]\n[[models]]\n",
        "tidegate.toml:1:1: providers[0].name: missing; every [[providers]] needs it\n  \
         help: add a line such as name = \"local\"\n\
         tidegate.toml:1:1: providers[0].kind: missing; every [[providers]] needs it\n  \
         help: add a line such as kind = \"openai\"\n\
         tidegate.toml:2:1: models[0].name: missing; every [[models]] needs it\n  \
         help: add a line such as name = \"default\"\n\
         tidegate.toml:2:1: models[0].chain: missing; every [[models]] needs it\n  \
         help: add a line such as chain = [\"local/llama3.2\", \"local/qwen2.5\"]",
    );
    check(
        "[[providers]]\nname = \"a\"\nkind = \"openai\"\n",
        "tidegate.toml:1:1: providers[0].base_url: missing; kind openai needs it\n  \
         help: add a line such as base_url = \"https://api.openai.com/v1\"",
    );
}

#[test]
fn names_are_unique() {
    check(
        "[[providers]]\nname = \"a\"\nkind = \"mock\"\n[[providers]]\nname = \"a\"\nkind = \"mock\"\n\
         [[models]]\nname = \"m\"\nchain = [\"a/x\"]\n",
        "tidegate.toml:5:8: providers[1].name: \"a\" is already defined at tidegate.toml:2\n  \
         help: give each its own name",
    );
}

#[test]
fn a_key_that_its_kind_does_not_take_is_refused() {
    check(
        "[[providers]]\nname = \"a\"\nkind = \"bedrock\"\nbase_url = \"http://h\"\n",
        "tidegate.toml:4:12: providers[0].base_url: only kinds openai and anthropic take this key\n  \
         help: remove it, or set kind = \"openai\"",
    );
    check(
        "[[providers]]\nname = \"a\"\nkind = \"anthropic\"\nregion = \"eu-west-1\"\n",
        "tidegate.toml:4:10: providers[0].region: only kind bedrock takes this key\n  \
         help: remove it, or set kind = \"bedrock\"",
    );
}

#[test]
fn keys_without_effect_on_a_kind_are_refused() {
    check(
        "[[providers]]\nname = \"a\"\nkind = \"mock\"\nstream_usage = true\n",
        "tidegate.toml:4:16: providers[0].stream_usage: only kind openai takes this key\n  \
         help: remove it, or set kind = \"openai\"",
    );
}

#[test]
fn chains_name_known_providers_and_each_entry_once() {
    check_local(
        "[[models]]\nname = \"m\"\nchain = [\"lokal/x\", \"x\", \"local/y\", \"local/y\", \"local/*\"]\n",
        "tidegate.toml:7:10: models[0].chain[0]: there is no provider \"lokal\"\n  \
         help: did you mean `local/x`?\n\
         tidegate.toml:7:21: models[0].chain[1]: expected \"provider/model\", found \"x\"\n  \
         help: write \"local/x\"\n\
         tidegate.toml:7:37: models[0].chain[3]: \"local/y\" is listed twice\n  \
         help: remove one; retries of one entry are set in [resilience.backoff_ms]\n\
         tidegate.toml:7:48: models[0].chain[4]: \"local/*\" is only possible under a name that ends in *\n  \
         help: name the provider's model",
    );
}

#[test]
fn a_provider_with_a_problem_is_not_also_unknown() {
    let problems = World::file(
        "[[providers]]\nname = \"A!\"\nkind = \"mock\"\n[[models]]\nname = \"m\"\nchain = [\"a/x\"]\n",
    );
    assert_eq!(problems.load().unwrap_err().0.len(), 1);
}

#[test]
fn two_models_may_not_give_one_entry_different_limits() {
    check_local(
        "[[models]]\nname = \"m\"\nchain = [\"local/x\"]\nmax_concurrent = 1\n\
         [[models]]\nname = \"n\"\nchain = [\"local/x\"]\nmax_concurrent = 2\n",
        "tidegate.toml:12:18: models[1].max_concurrent: 2 for \"local/x\" contradicts 1 at \
         tidegate.toml:8\n  help: entries shared by several models share one budget: write the \
         same limit, or write it once",
    );
}

#[test]
fn an_entry_has_the_same_limits_wherever_it_appears() {
    let more = "[[models]]\nname = \"m\"\nchain = [\"local/x\"]\n\
                [[models]]\nname = \"n\"\nchain = [\"local/x\"]\nmax_concurrent = 2\n";
    let config = World::file(&format!("{LOCAL}{more}")).config();
    for model in &config.models {
        assert_eq!(
            model.chain[0].limits.max_concurrent,
            Some(2),
            "{}",
            model.name
        );
        assert_eq!(
            model.chain[0].limits.requests_per_minute,
            Some(30),
            "{}",
            model.name
        );
    }
}

#[test]
fn a_limit_is_a_number_or_unlimited() {
    check_local(
        "[[models]]\nname = \"m\"\nchain = [\"local/x\"]\nmax_concurrent = 0\n\
         tokens_per_minute = \"no\"\n",
        "tidegate.toml:8:18: models[0].max_concurrent: 0 is outside 1 to 1000000000000\n  \
         help: give an integer of at least 1, or \"unlimited\", or leave the key out for 5\n\
         tidegate.toml:9:21: models[0].tokens_per_minute: expected an integer of at least 1, or \
         \"unlimited\", found \"no\"\n  \
         help: give an integer of at least 1, or \"unlimited\", or leave the key out for 120000",
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    for text in [CANARY, "env:canary-7f3a", "file:", "env:"] {
        check_local(
            &format!("api_key = \"{text}\"\n"),
            "tidegate.toml:5:11: providers[0].api_key: secrets are env:NAME or file:PATH\n  \
             help: put the secret into an environment variable or a file and name that here",
        );
    }
}

#[test]
fn an_unusable_secret_says_what_is_missing() {
    check_local(
        "api_key = \"env:NOWHERE\"\n",
        "tidegate.toml:5:11: providers[0].api_key: environment variable NOWHERE is not set\n  \
         help: set NOWHERE, or remove the line that names it",
    );
    check_local(
        "api_key = \"file:/nowhere\"\n",
        "tidegate.toml:5:11: providers[0].api_key: cannot read secret file /nowhere: no such file\n  \
         help: check the path and who may read it",
    );
    let broken = World::file(&format!("{LOCAL}api_key = \"env:KEY\"\n"));
    for (text, message) in [(" \n", "the secret is empty"), ("a\nb", "cannot be sent")] {
        let problems = broken.clone().env("KEY", text).problems();
        assert!(problems.contains(message), "{problems}");
    }
}

#[test]
fn secrets_never_appear_in_debug_output_or_origins() {
    let more = format!(
        "api_key = \"env:KEY\"\nheaders = {{ x-literal = \"{CANARY}\", x-file = \"file:/f\" }}\n"
    );
    let world = World::file(&format!("{LOCAL}{more}"))
        .env("KEY", CANARY)
        .secret_file("/f", CANARY);
    let loaded = world.loaded();
    assert!(!format!("{loaded:?}").contains(CANARY));
    assert_eq!(
        openai(&loaded.config.providers[0]).headers[0]
            .value
            .expose(),
        CANARY
    );
    for path in ["providers[0].api_key", "providers[0].headers.x-literal"] {
        assert_eq!(origin_of(&loaded, path).0, "<hidden>");
    }
    assert_eq!(
        format!("{} {:?}", Secret::new(CANARY), Secret::new(CANARY)),
        "<hidden> <hidden>"
    );
}

#[test]
fn secrets_never_appear_in_problems() {
    let places = [
        "api_key = [\"CANARY\"]",
        "api_key = \"CANARY\"",
        "apikey = \"CANARY\"",
        "api_key = CANARY",
        "base_url = \"CANARY\"",
        "headers = \"CANARY\"",
        "headers = { host = \"CANARY\" }",
        "headers = { x-a = [\"CANARY\"] }",
        "headers = { x-a = \"CANARYä\" }",
        "headers = { x-a = \"env:CANARY x\" }",
    ];
    for place in places {
        let line = place.replace("CANARY", CANARY);
        let text = format!("[[providers]]\nname = \"a\"\nkind = \"openai\"\n{line}\n");
        let problems = World::file(&text).load().expect_err(place);
        assert!(
            !format!("{problems} {problems:?}").contains(CANARY),
            "{place}: {problems}"
        );
    }
}

#[test]
fn base_urls_are_http_without_credentials_query_or_fragment() {
    let load = |url: &str| World::default().env("OPENAI_BASE_URL", url).load();
    for url in [
        "http://h",
        "https://a.example:8443/v1/x",
        "http://[::1]:80/v1",
        "http://1.2.3.4/",
    ] {
        assert!(load(url).is_ok(), "{url}");
    }
    for url in [
        "ftp://h",
        "h",
        "http://",
        "http:///v1",
        "http://u:p@h",
        "http://h?k=v",
        "http://h/#x",
        "http://h:x",
        "http://h:0",
        "http://h:+80",
        "http://h:99999",
        "http://[::x]/",
        "http://a b/",
        "http://h/ä",
    ] {
        assert!(load(url).is_err(), "{url}");
    }
}

#[test]
fn headers_have_valid_names_that_nobody_else_sets() {
    let headers = "headers = { \"a b\" = \"1\", Host = \"2\", x-a = \"3\", X-A = \"4\", \
                   authorization = \"5\" }\napi_key = \"env:KEY\"\n";
    let problems = World::file(&format!("{LOCAL}{headers}"))
        .env("KEY", "k")
        .load()
        .unwrap_err();
    let paths: Vec<_> = problems
        .0
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(paths.len(), 4, "{problems}");
    for name in ["a b", "Host", "authorization"] {
        assert!(
            paths.contains(&format!("providers[0].headers.{name}").as_str()),
            "{problems}"
        );
    }
}

#[test]
fn hosts_are_names_or_addresses_without_a_port() {
    for wrong in ["\"a:80\"", "\"\"", "\"*\"", "\"::1\"", "\"a b\"", "1"] {
        let file = format!("[server]\nhosts = [\"gate.example\", {wrong}]\n");
        let problems = World::file(&file).problems();
        assert!(
            problems.starts_with("tidegate.toml:2:9: server.hosts: expected a host name"),
            "{wrong}: {problems}"
        );
    }
    let world = World::file("[server]\nhosts = [\"Gate.Example\", \"[::1]\", \"10.0.0.1\"]\n");
    let hosts = world.config().server.hosts;
    assert_eq!(hosts, ["gate.example", "[::1]", "10.0.0.1"]);
    let world = world.env("TIDEGATE__SERVER__HOSTS", "one.example, two.example");
    assert_eq!(world.config().server.hosts, ["one.example", "two.example"]);
    let world = world.flag("server.hosts", "[]");
    assert!(world.config().server.hosts.is_empty());
}
