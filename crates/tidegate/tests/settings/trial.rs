//! One start of the program with one value of one setting.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tidegate_engine::mock::Script;
use tokio::task::JoinSet;

use crate::gateway::{Folder, Program, Reply, Scene, Stage, ask, chat, complete, get, start_mock};
use crate::servers::RedisServer;

/// One setting, what else is set, and what is seen for two of its values.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    /// Values in TOML with what is seen; of a variable, as they are.
    pub(crate) cases: [(&'static str, &'static str); 2],
    /// Other settings, as keys with values in TOML; [`UNSET`] takes one out.
    pub(crate) given: &'static [(&'static str, &'static str)],
    pub(crate) upstream: Upstream,
    pub(crate) observe: fn(Trial) -> BoxFuture<'static, String>,
}

/// Who plays the provider `up`.
#[derive(Debug, Clone)]
pub(crate) enum Upstream {
    /// The mock.
    Mock,
    /// The mock, with a pause between the events of a stream.
    Paced,
    /// One scene per request.
    Stage(Vec<Scene>),
}

/// The value of a setting that is left out.
pub(crate) const UNSET: &str = "";

/// What holds unless a row says otherwise. `UPSTREAM` is the provider's address.
const DEFAULTS: [(&str, &str); 12] = [
    ("server.bind", "\"127.0.0.1:0\""),
    ("store.url", "\"memory:\""),
    ("log.format", "\"json\""),
    ("resilience.backoff_ms.retries", "0"),
    ("providers.name", "\"up\""),
    ("providers.kind", "\"openai\""),
    ("providers.base_url", "\"http://UPSTREAM/v1\""),
    ("models.name", "\"m\""),
    ("models.chain", "[\"up/answer\"]"),
    ("models.requests_per_minute", "\"unlimited\""),
    ("models.tokens_per_minute", "\"unlimited\""),
    ("models.max_concurrent", "\"unlimited\""),
];

/// Secrets that rows name.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("FIRST_KEY", "first"),
    ("SECOND_KEY", "second"),
    ("CLIENT_KEY", CLIENT_KEY),
    ("LONG_KEY", "another-key-of-16-or-more"),
];

/// Two profiles.
const AWS_CREDENTIALS: &str = "[default]\naws_access_key_id = AKIDDEFAULT\n\
    aws_secret_access_key = s\n[other]\naws_access_key_id = AKIDOTHER\n\
    aws_secret_access_key = s\n";

/// A folder with what AWS's tools keep in a home.
fn aws_home() -> Folder {
    let home = Folder::new();
    std::fs::write(home.path().join("credentials"), AWS_CREDENTIALS).unwrap();
    let config = "[default]\n[profile other]\n";
    std::fs::write(home.path().join("config"), config).unwrap();
    home
}

/// AWS's own variables; its token service is played by the upstream.
fn aws_environment(home: &Folder, upstream: SocketAddr) -> [(&'static str, String); 4] {
    let file = |name| home.path().join(name).display().to_string();
    [
        ("AWS_CONFIG_FILE", file("config")),
        ("AWS_SHARED_CREDENTIALS_FILE", file("credentials")),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ENDPOINT_URL_STS", format!("http://{upstream}")),
    ]
}

/// The client key that rows of `[[keys]]` name.
pub(crate) const CLIENT_KEY: &str = "client-key-of-16-or-more";

/// The program under one value, or how it refused to start.
pub(crate) struct Trial {
    started: Result<Program, (ExitStatus, String)>,
    pub(crate) upstream: SocketAddr,
    stage: Option<Stage>,
    store: Option<RedisServer>,
    _tasks: JoinSet<()>,
    _home: Folder,
}

impl Trial {
    pub(crate) async fn begin(row: &Row, value: &str) -> Self {
        let mut tasks = JoinSet::new();
        let (upstream, stage) = match &row.upstream {
            Upstream::Mock => (start_mock(Script::default(), &mut tasks).await, None),
            Upstream::Paced => (start_mock(paced(), &mut tasks).await, None),
            Upstream::Stage(scenes) => {
                let stage = Stage::open(scenes.clone()).await;
                (stage.addr, Some(stage))
            }
        };
        let (config, variables) = settings(row, value);
        let store = store_for(&config, &variables);
        let config = config.replace("UPSTREAM", &upstream.to_string());
        let config = placed(&config, store.as_ref());
        let home = aws_home();
        let mut environment = aws_environment(&home, upstream).to_vec();
        let variables = variables.into_iter();
        environment.extend(variables.map(|(name, text)| (name, placed(text, store.as_ref()))));
        let mut all = ENVIRONMENT.to_vec();
        all.extend(environment.iter().map(|(name, value)| (*name, &**value)));
        Self {
            started: Program::serve(&config, &all).await,
            upstream,
            stage,
            store,
            _tasks: tasks,
            _home: home,
        }
    }

    /// How the program refused to start, if it did.
    pub(crate) fn refusal(&self) -> Option<String> {
        let (status, _) = self.started.as_ref().err()?;
        Some(format!("exit {}", status.code().unwrap_or(-1)))
    }

    pub(crate) fn program(&self) -> &Program {
        match &self.started {
            Ok(program) => program,
            Err((status, said)) => panic!("it ended with {status}: {said}"),
        }
    }

    /// Ends the program and gives all that it said.
    pub(crate) async fn end(self) -> String {
        // Who answers is up and running, signal handlers included.
        ask(self.addr(), &get("/health/live")).await;
        self.program().terminate().await;
        let Ok(program) = self.started else {
            unreachable!("it was told to end")
        };
        program.ended().await.1
    }

    /// Kills the program and starts it again where it was, with what it had.
    pub(crate) async fn again(self) -> Self {
        let Ok(program) = self.started else {
            panic!("it has not started")
        };
        let started = Program::serve_in(program.killed().await, &ENVIRONMENT).await;
        Self { started, ..self }
    }

    pub(crate) fn stage(&self) -> &Stage {
        self.stage.as_ref().expect("the row has scenes")
    }

    pub(crate) fn store(&self) -> &RedisServer {
        self.store.as_ref().expect("the row names it")
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.program().addr
    }

    /// Sends one request and reads its whole answer.
    pub(crate) async fn chat(&self) -> Reply {
        self.complete(&chat("m")).await
    }

    pub(crate) async fn complete(&self, request: &Value) -> Reply {
        complete(self.addr(), request).await
    }
}

fn paced() -> Script {
    Script {
        event_gap: Duration::from_millis(150),
        events: 3,
        ..Script::default()
    }
}

/// The password of a trial's own Redis, where a row is about passwords.
const STORE_PASSWORD: &str = "p@ss:word";

/// A Redis where something names it.
fn store_for(config: &str, variables: &[(&str, &str)]) -> Option<RedisServer> {
    let is = |wanted: &str| variables.iter().any(|(name, _)| *name == wanted);
    let mut texts = variables.iter().map(|(_, text)| *text).chain([config]);
    if is("REDIS_PASSWORD") {
        let guarded = ["--save", "", "--requirepass", STORE_PASSWORD];
        return Some(RedisServer::with(&guarded));
    }
    texts
        .any(|text| text.contains("STORE"))
        .then(RedisServer::start)
}

fn placed(text: &str, store: Option<&RedisServer>) -> String {
    match store.map(|store| store.port) {
        Some(port) => text
            .replace("STORE-PORT", &port.to_string())
            .replace("STORE", &format!("127.0.0.1:{port}")),
        None => text.to_owned(),
    }
}

/// The configuration file of one trial, and its variables.
fn settings<'r>(row: &Row, value: &'r str) -> (String, Vec<(&'static str, &'r str)>) {
    let is_variable = |key: &str| !key.contains('.');
    let given = row.given.iter().copied();
    let variables = given.chain([(row.key, value)]);
    let variables = variables.filter(|(name, _)| is_variable(name));
    (config(row, value), variables.collect())
}

/// Settings that stand in one row of an array of tables.
const TABLES: [&str; 6] = [
    "providers",
    "models",
    "keys",
    "task_kinds",
    "schedules",
    "webhooks",
];

/// The configuration file of one trial.
fn config(row: &Row, value: &str) -> String {
    let mut settings: BTreeMap<&str, &str> = DEFAULTS.into_iter().collect();
    settings.extend(row.given.iter().copied());
    settings.insert(row.key, value);
    settings.retain(|key, value| key.contains('.') && *value != UNSET);
    let of = |table: &str| {
        let lines = settings.iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(table)?.strip_prefix('.')?;
            Some(format!("{name} = {value}\n"))
        });
        let lines: String = lines.collect();
        if lines.is_empty() {
            lines
        } else {
            format!("[[{table}]]\n{lines}")
        }
    };
    let in_tables = |key: &str| {
        let table = key.split_once('.').map(|(table, _)| table);
        table.is_some_and(|table| TABLES.contains(&table))
    };
    let top = settings.iter().filter(|(key, _)| !in_tables(key));
    let top: String = top
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let tables: String = TABLES.iter().map(|table| of(table)).collect();
    top + &tables
}
