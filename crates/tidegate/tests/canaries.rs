//! No secret and no prompt gets anywhere but where it belongs: fifty of each go
//! through the real program at its most talkative, and are looked for in
//! everything that can be seen of it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::fmt::Write as _;
use std::net::SocketAddr;

use gateway::{
    Call, Collector, Folder, Program, Reply, Scene, Stage, ask, attribute, request, run_with,
    start_mock,
};
use serde_json::{Value, json};
use tidegate_engine::mock::Script;
use tokio::task::JoinSet;

/// In every secret and every prompt, and in nothing else.
const CANARY: &str = "kanarie";

/// Keys of clients; the last one is an operator's, the one before has expired.
const CLIENT_KEYS: usize = 20;
/// Keys of providers, in the environment and in files.
const PROVIDER_KEYS: usize = 10;
/// Header values of providers, in the file itself.
const HEADER_VALUES: usize = 10;
/// Credentials that clients present and that are none.
const WRONG_KEYS: usize = 10;
const PROMPTS: usize = 50;

/// What each model of the mock does; `stage` takes the connection and is
/// silent, `gone` does not listen.
const MODELS: [&str; 17] = [
    "answer",
    "status-400",
    "status-401",
    "status-403",
    "status-404",
    "status-429",
    "status-500",
    "throttle-60",
    "html",
    "garbage",
    "reset",
    "reset-mid",
    "truncate",
    "error-in-stream",
    "error-after-content",
    "error-in-answer",
    "empty",
];

/// What is asked of the mock in Anthropic's dialect, as `claude-` and this.
const CLAUDES: [&str; 4] = ["answer", "status-401", "garbage", "error-in-stream"];

fn secret(kind: &str, number: usize) -> String {
    format!("{CANARY}-{kind}-{number:02}-0123456789abcdef")
}

fn client_key(number: usize) -> String {
    secret("client", number)
}

fn admin_key() -> String {
    client_key(CLIENT_KEYS - 1)
}

fn environment() -> Vec<(String, String)> {
    let clients = (0..CLIENT_KEYS).map(|n| (format!("CLIENT_{n}"), client_key(n)));
    let providers = (0..PROVIDER_KEYS).map(|n| (format!("PROVIDER_{n}"), secret("provider", n)));
    clients.chain(providers).collect()
}

/// The mock once more, in the other dialect.
fn claude(mock: SocketAddr) -> String {
    let value = secret("header", 1);
    let mut file = format!(
        "[[providers]]\nname = \"claude\"\nkind = \"anthropic\"\n\
         base_url = \"http://{mock}\"\napi_key = \"env:PROVIDER_1\"\n\
         headers = {{ x-team = \"{value}\" }}\n"
    );
    for model in CLAUDES {
        let _ = write!(
            file,
            "[[models]]\nname = \"claude-{model}\"\nchain = [\"claude/{model}\"]\n"
        );
    }
    file
}

/// The whole configuration: `up0` to `up9` are the mock, each with a key and a
/// header of its own; `silent` never answers, nobody listens at `gone`.
fn config(mock: SocketAddr, silent: SocketAddr) -> String {
    let mut file = String::from(
        "[server]\nbind = \"127.0.0.1:0\"\ndeadline_ms = 400\nmax_body_bytes = 4096\n\
         [log]\nlevel = \"trace\"\naccess = true\nformat = \"json\"\n\
         [cache]\nanswers = true\n\
         [resilience]\nfailure_threshold = 3\nbackoff_ms.base = 1\nbackoff_ms.retries = 1\n",
    );
    for number in 0..PROVIDER_KEYS {
        let value = secret("header", number % HEADER_VALUES);
        let _ = write!(
            file,
            "[[providers]]\nname = \"up{number}\"\nkind = \"openai\"\n\
             base_url = \"http://{mock}/v1\"\napi_key = \"env:PROVIDER_{number}\"\n\
             headers = {{ x-team = \"{value}\" }}\n"
        );
    }
    file += &claude(mock);
    for (name, addr) in [
        ("silent", silent.to_string()),
        ("gone", "127.0.0.1:1".to_owned()),
    ] {
        let _ = write!(
            file,
            "[[providers]]\nname = \"{name}\"\nkind = \"openai\"\n\
             base_url = \"http://{addr}/v1\"\napi_key = \"env:PROVIDER_0\"\n"
        );
        let _ = write!(
            file,
            "[[models]]\nname = \"{name}\"\nchain = [\"{name}/m\"]\n"
        );
    }
    for (number, model) in MODELS.iter().enumerate() {
        let provider = number % PROVIDER_KEYS;
        let _ = write!(
            file,
            "[[models]]\nname = \"{model}\"\nchain = [\"up{provider}/{model}\"]\n\
             requests_per_minute = \"unlimited\"\n"
        );
    }
    for number in 0..CLIENT_KEYS {
        let more = match CLIENT_KEYS - number {
            1 => "role = \"admin\"\n",
            2 => "expires_at = 2020-01-01T00:00:00Z\n",
            3 => "requests_per_minute = 1\n",
            _ => "",
        };
        let _ = write!(
            file,
            "[[keys]]\ntenant = \"t{number}\"\nkey = \"env:CLIENT_{number}\"\n{more}"
        );
    }
    file
}

/// Prompts, one after the other; each is asked for as often as is needed.
#[derive(Default)]
struct Prompts {
    next: usize,
}

impl Prompts {
    fn next(&mut self) -> String {
        let prompt = secret("prompt", self.next % PROMPTS);
        self.next += 1;
        prompt
    }
}

/// Everything that was seen, with where.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn note(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.0.push((place.into(), text.into()));
    }

    /// A refusal or a page of the gate's own, head and body.
    fn reply(&mut self, place: &str, reply: &Reply) {
        self.note(
            place,
            format!("{reply:?} {}", String::from_utf8_lossy(&reply.body)),
        );
    }

    fn hits(&self) -> Vec<String> {
        let line = |(place, text): &(String, String)| {
            let line = text.lines().find(|line| line.contains(CANARY))?;
            let at = line.find(CANARY)?;
            let from = line[..at]
                .char_indices()
                .rev()
                .nth(40)
                .map_or(0, |(at, _)| at);
            let part: String = line[from..].chars().take(120).collect();
            Some(format!("{place}: …{part}"))
        };
        self.0.iter().filter_map(line).collect()
    }
}

/// The program and what is seen of it.
struct Aviary {
    program: Program,
    prompts: Prompts,
    seen: Seen,
    statuses: Vec<u16>,
}

impl Aviary {
    async fn send(&mut self, place: &str, raw: &[u8]) -> Reply {
        let reply = ask(self.program.addr, raw).await;
        self.statuses.push(reply.status);
        self.seen.reply(place, &reply);
        reply
    }

    async fn post(&mut self, key: &str, path: &str, body: &str) -> Reply {
        let head = format!("POST {path}");
        let headers = format!("content-type: application/json\r\nauthorization: Bearer {key}\r\n");
        self.send(
            &format!("{head} {}", body.len()),
            &request(&head, &headers, body.as_bytes()),
        )
        .await
    }

    fn chat(&mut self, model: &str) -> Value {
        let prompt = self.prompts.next();
        let system = self.prompts.next();
        json!({"model": model, "user": self.prompts.next(), "max_tokens": 10, "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": [{"type": "text", "text": prompt}]},
        ]})
    }

    /// Every dialect and both kinds of answer of every model.
    async fn every_model(&mut self) {
        let others = ["silent", "gone", "nobody-serves-this"].map(str::to_owned);
        let claudes = CLAUDES.map(|model| format!("claude-{model}"));
        let models = MODELS.map(str::to_owned).into_iter();
        let models = models.chain(others).chain(claudes);
        for (number, model) in models.enumerate() {
            let key = client_key(number % (CLIENT_KEYS - 3));
            for streamed in [false, true] {
                let mut body = self.chat(&model);
                body["stream"] = streamed.into();
                self.post(&key, "/v1/chat/completions", &body.to_string())
                    .await;
            }
            let input = [self.prompts.next(), self.prompts.next()];
            let body = json!({"model": model, "input": input});
            self.post(&key, "/v1/embeddings", &body.to_string()).await;
            let body = json!({"model": model, "prompt": self.prompts.next()});
            self.post(&key, "/v1/completions", &body.to_string()).await;
            let mut body = self.chat(&model);
            body["messages"].as_array_mut().unwrap().remove(0);
            self.post(&key, "/v1/messages", &body.to_string()).await;
        }
    }

    /// Bodies that are wrong in ways of their own, each with a prompt in it.
    async fn every_mistake(&mut self) {
        let key = client_key(0);
        for number in 0..2 * PROMPTS {
            let prompt = self.prompts.next();
            let message = json!({"role": "user", "content": prompt}).to_string();
            let body = match number % 13 {
                0 => format!(r#"{{"model":"answer","messages":[{message}"#),
                1 => format!(r#"{{"model":"answer","messages":"{prompt}"}}"#),
                2 => format!(r#"{{"model":"{prompt}"}}"#),
                3 => format!(r#"{{"model":"answer","messages":[{message}],"n":"{prompt}"}}"#),
                4 => format!(r#"{{"model":"answer","messages":[{message}],"n":17}}"#),
                5 => {
                    format!(r#"{{"model":"answer","messages":[{message}],"base_url":"{prompt}"}}"#)
                }
                6 => format!("{prompt} is no JSON"),
                7 => format!(r#"{{"model":"answer","messages":[{message}]}} {prompt}"#),
                8 => format!(
                    r#"{{"model":"answer","x":"{}","messages":[{message}]}}"#,
                    prompt.repeat(200)
                ),
                9 => format!(
                    r#"{{"model":"answer","messages":[{message}],"tidegate":{{"cache":"{prompt}"}}}}"#
                ),
                10 => format!(
                    r#"{{"model":"answer","messages":[{{"role":"{prompt}","content":1}}]}}"#
                ),
                11 => format!(r#"{{"model":"answer","{prompt}":{}}}"#, "[".repeat(200)),
                _ => format!(
                    r#"{{"model":"answer","messages":[{message}],"max_tokens":"{prompt}"}}"#
                ),
            };
            for path in [
                "/v1/chat/completions",
                "/v1/messages",
                "/v1/embeddings",
                "/v1/completions",
            ] {
                self.post(&key, path, &body).await;
            }
        }
    }

    /// Credentials that are none, wherever clients put them.
    async fn every_wrong_key(&mut self) {
        for number in 0..WRONG_KEYS {
            let wrong = secret("wrong", number);
            let expired = client_key(CLIENT_KEYS - 2);
            for line in [
                format!("authorization: Bearer {wrong}"),
                format!("authorization: Basic {wrong}"),
                format!("authorization: {wrong}"),
                format!("x-api-key: {wrong}"),
                format!("authorization: Bearer {expired}"),
                format!(
                    "authorization: Bearer {}\r\nx-api-key: {wrong}",
                    client_key(1)
                ),
                format!("cookie: session={wrong}"),
                format!("proxy-authorization: Bearer {wrong}"),
            ] {
                for path in [
                    "GET /v1/models",
                    "GET /v1/stats",
                    "POST /v1/chat/completions",
                ] {
                    let raw = request(path, &format!("{line}\r\n"), b"{}");
                    self.send(&line.replace(CANARY, "…"), &raw).await;
                }
            }
            let headers = format!("authorization: Bearer {}\r\n", client_key(number));
            let raw = request(&format!("GET /v1/models?key={wrong}"), &headers, b"");
            self.send("a key in the query", &raw).await;
            let raw = request(&format!("GET /v1/{wrong}"), &headers, b"");
            self.send("a key as a path", &raw).await;
            let raw = request("GET /v1/stats", &headers, b"");
            self.send("a user at an operator's path", &raw).await;
        }
    }

    /// Calls made elsewhere, a tenant at its limit, the cache, a hang-up.
    async fn the_rest(&mut self) {
        let key = client_key(0);
        let held = self
            .post(&key, "/v1/limits/answer/reserve", r#"{"tokens":1}"#)
            .await;
        let id = held.json()["reservation"].clone();
        let body = json!({"reservation": id, "tokens": 1, "success": true}).to_string();
        self.post(&client_key(1), "/v1/limits/settle", &body).await;
        self.post(&key, "/v1/limits/settle", &body).await;
        let body = json!({"reservation": self.prompts.next(), "tokens": 1, "success": true});
        self.post(&key, "/v1/limits/settle", &body.to_string())
            .await;
        let body = self.chat("answer").to_string();
        for _ in 0..2 {
            self.post(&client_key(CLIENT_KEYS - 3), "/v1/chat/completions", &body)
                .await;
            self.post(&key, "/v1/chat/completions", &body).await;
        }
        let headers = format!("x-api-key: {key}\r\n");
        let raw = request(
            "POST /v1/chat/completions",
            &headers,
            self.chat("silent").to_string().as_bytes(),
        );
        drop(Call::open(self.program.addr, &raw).await);
    }

    /// What operators look at.
    async fn every_page(&mut self) {
        let headers = format!("x-api-key: {}\r\n", admin_key());
        for path in [
            "/metrics",
            "/v1/stats",
            "/model_stats",
            "/health/ready",
            "/health/live",
            "/openapi.json",
            "/docs",
            "/v1/models",
        ] {
            let raw = request(&format!("GET {path}"), &headers, b"");
            let reply = self.send(path, &raw).await;
            assert_eq!(reply.status, 200, "{path}");
        }
    }
}

/// What the collector was told: spans of every upstream, so that there is
/// something to look through.
fn every_span(collector: &Collector, seen: &mut Seen) {
    let spans = collector.spans();
    let names = |name: &str, value: &str| {
        let named = |span: &&_| attribute(span, name).as_deref() == Some(value);
        spans.iter().filter(named).count()
    };
    for (name, value) in [
        ("gen_ai.system", "up0"),
        ("gen_ai.system", "claude"),
        ("http.route", "/v1/chat/completions"),
        ("error.type", "invalid_api_key"),
    ] {
        assert!(names(name, value) > 0, "no span with {name} = {value}");
    }
    for post in collector.posts() {
        // Names and values stand in the batches as they are.
        seen.note("a batch of spans", String::from_utf8_lossy(&post.body));
    }
}

/// What the commands say that read the same configuration.
async fn every_command(config: &str, env: &[(&str, &str)], seen: &mut Seen) {
    let folder = Folder::with_config(config);
    for args in [
        &["config", "show"][..],
        &["config", "show", "--origin"],
        &["config", "show", "--json"],
        &["config", "check"],
        &["models", "ls"],
        &["doctor"],
    ] {
        let output = run_with(&folder, args, env).await;
        for text in [output.stdout, output.stderr] {
            seen.note(format!("{args:?}"), String::from_utf8_lossy(&text));
        }
    }
    // Two rows with one secret, a short one, a secret in the file, a missing one.
    let broken = config.replace("env:CLIENT_1\"", "env:CLIENT_2\"");
    let broken = broken.replace("env:CLIENT_3\"", "kanarie-client-03\"");
    let broken = broken.replace("env:CLIENT_4\"", "env:NOWHERE\"");
    let folder = Folder::with_config(&broken);
    let output = run_with(&folder, &["config", "check"], env).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the same secret as"), "{text}");
    seen.note("problems", text);
}

#[tokio::test]
async fn fifty_secrets_and_fifty_prompts_are_seen_nowhere() {
    let mut tasks = JoinSet::new();
    let mock = start_mock(Script::default(), &mut tasks).await;
    let silent = Stage::open(vec![Scene::events_without_end("")]).await;
    let config = config(mock, silent.addr);
    let env = environment();
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(CLIENT_KEYS + PROVIDER_KEYS + HEADER_VALUES + WRONG_KEYS, 50);
    let collector = Collector::open().await;
    let endpoint = collector.endpoint();
    let mut traced = env.clone();
    traced.push(("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint));
    traced.push(("OTEL_BSP_SCHEDULE_DELAY", "20"));
    let program = Program::serve(&config, &traced).await.expect("it starts");
    let mut aviary = Aviary {
        program,
        prompts: Prompts::default(),
        seen: Seen::default(),
        statuses: Vec::new(),
    };
    aviary.every_model().await;
    aviary.every_mistake().await;
    aviary.every_wrong_key().await;
    aviary.the_rest().await;
    aviary.every_page().await;
    let Aviary {
        program,
        prompts,
        mut seen,
        mut statuses,
    } = aviary;
    assert!(prompts.next >= PROMPTS);
    let count = statuses.len();
    statuses.sort_unstable();
    statuses.dedup();
    every_command(&config, &env, &mut seen).await;
    program.terminate().await;
    let (_, said) = program.ended().await;
    every_span(&collector, &mut seen);
    let levels = ["TRACE", "DEBUG", "INFO"].map(|level| said.matches(level).count());
    println!(
        "{count} requests, answered with {statuses:?}; {} bytes of log, trace/debug/info lines {levels:?}",
        said.len()
    );
    assert!(levels.iter().all(|lines| *lines > 0), "{levels:?}");
    for status in [200, 400, 401, 403, 404, 413, 429, 502, 503, 504] {
        assert!(statuses.contains(&status), "no {status} in {statuses:?}");
    }
    seen.note("standard output and error", said);
    let hits = seen.hits();
    assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
}

#[test]
fn a_canary_that_got_out_would_be_seen() {
    let mut seen = Seen::default();
    seen.note("a clean page", "nothing here");
    assert!(seen.hits().is_empty());
    seen.note("a page", format!("first line\nBearer {}", admin_key()));
    let expected = "a page: …Bearer kanarie-client-19-0123456789abcdef";
    assert_eq!(seen.hits(), [expected]);
}
