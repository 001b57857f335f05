//! Another configuration holds from the next request on, whole or not at all,
//! and neither cuts off who is being served nor forgets what was counted.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;

use std::net::SocketAddr;
use std::time::Duration;

use gateway::{
    Call, PATIENCE, Program, Reply, Scene, Stage, ask, chat, complete, entry_stats, get, post,
    start_mock, stream, until, with,
};
use serde_json::{Value, json};
use tidegate_engine::mock::Script;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A gateway before an upstream that streams slowly enough to be interrupted.
struct Story {
    program: Program,
    upstream: SocketAddr,
    _tasks: JoinSet<()>,
}

/// The first lines of every file; a chain begins at line 11, column 9.
fn head(upstream: SocketAddr) -> String {
    format!(
        "[server]\nbind = \"127.0.0.1:0\"\ndeadline_ms = 5000\n\
         [log]\nlevel = \"info\"\n\
         [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n"
    )
}

fn model(entry: &str, more: &str) -> String {
    format!("[[models]]\nchain = [\"{entry}\"]\nname = \"m\"\n{more}")
}

impl Story {
    async fn begin(model: &str) -> Self {
        let script = Script {
            event_gap: Duration::from_millis(150),
            events: 8,
            ..Script::default()
        };
        let mut tasks = JoinSet::new();
        let upstream = start_mock(script, &mut tasks).await;
        let config = format!("{}{model}", head(upstream));
        let program = Program::serve(&config, &[]).await.expect("it starts");
        Self {
            program,
            upstream,
            _tasks: tasks,
        }
    }

    /// Writes the file with this model.
    fn write(&self, model: &str) {
        self.program
            .configure(&format!("{}{model}", head(self.upstream)));
    }

    async fn reload(&self) -> Reply {
        reload(self.program.addr).await
    }

    /// Writes the file with this model and has it read; it must be in order.
    async fn change(&self, model: &str) -> Value {
        self.write(model);
        let reply = self.reload().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    async fn chat(&self) -> Reply {
        complete(self.program.addr, &chat("m")).await
    }

    async fn ready(&self) -> Value {
        self.get("/health/ready").await
    }

    async fn get(&self, path: &str) -> Value {
        ask(self.program.addr, &get(path)).await.json()
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        ask(self.program.addr, &post(path, body)).await
    }

    async fn metrics(&self) -> String {
        ask(self.program.addr, &get("/metrics")).await.text()
    }
}

async fn reload(addr: SocketAddr) -> Reply {
    ask(addr, &gateway::request("POST /admin/reload", "", b"")).await
}

#[tokio::test]
async fn a_stream_ends_under_the_revision_that_it_began_under() {
    let story = Story::begin(&model("up/first", "")).await;
    let mut call = Call::open(
        story.program.addr,
        &post("/v1/chat/completions", &stream("m")),
    )
    .await;
    call.until("token").await;
    let changed = story.change(&model("up/second", "")).await;
    let expected = json!({"revision": 2, "changed": ["models[0].chain"]});
    assert_eq!(changed, expected);
    let next = story.chat().await;
    assert_eq!(next.header("x-tidegate-model"), Some("up/second"));
    let ended = call.reply().await;
    assert_eq!(ended.header("x-tidegate-model"), Some("up/first"));
    let events = ended.events();
    let tokens = events.iter().filter(|event| event.contains("token "));
    assert_eq!(tokens.count(), 8);
    assert_eq!(ended.events().last().map(String::as_str), Some("[DONE]"));
}

#[tokio::test]
async fn an_unchanged_configuration_is_the_next_revision_without_a_change() {
    let story = Story::begin(&model("up/first", "")).await;
    for revision in 2..5 {
        let reply = story.reload().await;
        assert_eq!(reply.json(), json!({"revision": revision, "changed": []}));
    }
    let ready = story.ready().await;
    assert_eq!(ready["revision"], 4);
    let counts = json!({"applied": 3, "refused": 0, "last_error": null});
    assert_eq!(ready["reload"], counts);
}

#[tokio::test]
async fn a_hang_up_signal_and_a_request_do_the_same() {
    let story = Story::begin(&model("up/first", "")).await;
    story.write(&model("up/second", ""));
    story.program.hang_up().await;
    until(story.program.addr, "/health/ready", |ready| {
        ready["revision"] == 2
    })
    .await;
    let served = story.chat().await;
    assert_eq!(served.header("x-tidegate-model"), Some("up/second"));
    story.write("nothing = 1\n");
    story.program.hang_up().await;
    let ready = until(story.program.addr, "/health/ready", |ready| {
        ready["reload"]["refused"] == 1
    })
    .await;
    assert_eq!(ready["revision"], 2);
    story.change(&model("up/third", "")).await;
    let metrics = story.metrics().await;
    for line in [
        "tidegate_config_revision 3.0",
        "tidegate_config_reloads_total{outcome=\"applied\"} 2",
        "tidegate_config_reloads_total{outcome=\"refused\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    story.program.terminate().await;
    let (status, said) = story.program.ended().await;
    assert!(status.success(), "{status}");
    for line in [
        "the configuration was reloaded: revision 2",
        "the configuration was not reloaded, nothing has changed",
        "tidegate.toml:10:1",
        "models[0].chain",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
}

/// Has a file read that is wrong, and looks whether anything came of it.
async fn check_refused(story: &Story, text: &str, expected: &[&str]) {
    story.program.configure(text);
    let refused = story.ready().await["reload"]["refused"].as_u64().unwrap();
    let reply = story.reload().await;
    assert_eq!(reply.outcome(), (400, "invalid_configuration".to_owned()));
    let message = reply.json()["error"]["message"].to_string();
    for text in expected {
        assert!(message.contains(text), "{text} is not in {message}");
    }
    let ready = story.ready().await;
    assert_eq!(ready["revision"], 1);
    assert_eq!(ready["reload"]["refused"], refused + 1);
    let place = expected[0].split(": ").next().unwrap();
    let last_error = ready["reload"]["last_error"].as_str().unwrap();
    assert!(last_error.contains(place), "{place} is not in {last_error}");
    let served = story.chat().await;
    assert_eq!(served.header("x-tidegate-model"), Some("up/first"));
}

#[tokio::test]
async fn what_is_wrong_is_named_by_line_and_column_and_changes_nothing() {
    let story = Story::begin(&model("up/first", "")).await;
    let head = head(story.upstream);
    let file = |model: &str| format!("{head}{model}");
    let unknown_key = file(&model("up/second", "colour = 1\n"));
    check_refused(
        &story,
        &unknown_key,
        &["tidegate.toml:13:1: models[0].colour"],
    )
    .await;
    let wrong_type = file(&model("up/second", "requests_per_minute = true\n"));
    let place = "tidegate.toml:13:23: models[0].requests_per_minute";
    check_refused(&story, &wrong_type, &[place]).await;
    let unknown_provider = file(&model("nobody/second", ""));
    check_refused(
        &story,
        &unknown_provider,
        &["tidegate.toml:11:10", "nobody"],
    )
    .await;
    let several = file(&model(
        "nobody/x",
        "colour = 1\nrequests_per_minute = true\n",
    ));
    let places = [
        "tidegate.toml:11:10",
        "tidegate.toml:13:1",
        "tidegate.toml:14:23",
    ];
    check_refused(&story, &several, &places).await;
    let no_toml = file("[[models]\n");
    check_refused(&story, &no_toml, &["tidegate.toml:10:"]).await;
    let unset = file(&format!(
        "api_key = \"env:NOBODY_SET_THIS\"\n{}",
        model("up/second", "")
    ));
    let expected = ["tidegate.toml:10:11", "NOBODY_SET_THIS is not set"];
    check_refused(&story, &unset, &expected).await;
}

#[tokio::test]
async fn no_refusal_repeats_a_secret() {
    let story = Story::begin(&model("up/first", "")).await;
    let pasted = "sk-canary-7f3a";
    story.write(&format!("api_key = \"{pasted}\"\n{}", model("up/x", "")));
    let reply = story.reload().await;
    assert_eq!(reply.status, 400);
    assert!(
        reply.text().contains("tidegate.toml:10:11"),
        "{}",
        reply.text()
    );
    let everything = format!("{}{}", reply.text(), story.ready().await);
    story.program.terminate().await;
    let (_, said) = story.program.ended().await;
    assert!(!format!("{everything}{said}").contains(pasted));
}

#[tokio::test]
async fn a_file_that_is_gone_is_refused_and_not_taken_for_none() {
    let story = Story::begin(&model("up/first", "")).await;
    std::fs::remove_file(story.program.folder().join("tidegate.toml")).unwrap();
    let reply = story.reload().await;
    assert_eq!(reply.outcome(), (400, "invalid_configuration".to_owned()));
    assert!(
        reply.text().contains("tidegate.toml cannot be read"),
        "{}",
        reply.text()
    );
    assert_eq!(story.ready().await["revision"], 1);
    let served = story.chat().await;
    assert_eq!(served.header("x-tidegate-model"), Some("up/first"));
}

#[tokio::test]
async fn a_limit_that_is_used_up_stays_used_up_and_a_higher_one_holds_at_once() {
    let limit = |limit: u32| model("up/first", &format!("requests_per_minute = {limit}\n"));
    let story = Story::begin(&limit(30)).await;
    for _ in 0..30 {
        assert_eq!(story.chat().await.status, 200);
    }
    assert_eq!(story.chat().await.status, 429);
    assert_eq!(story.reload().await.status, 200);
    assert_eq!(story.chat().await.status, 429);
    let changed = story.change(&limit(31)).await["changed"].clone();
    assert_eq!(changed, json!(["models[0].requests_per_minute"]));
    assert_eq!(story.chat().await.status, 200);
    assert_eq!(story.chat().await.status, 429);
}

#[tokio::test]
async fn an_open_breaker_stays_open() {
    let failing = |more: &str| {
        format!(
            "{}[resilience]\nfailure_threshold = 1\n{more}",
            model("up/status-500", "")
        )
    };
    let story = Story::begin(&failing("")).await;
    assert_eq!(story.chat().await.status, 502);
    let open = entry_stats(story.program.addr, "up/status-500").await;
    assert_eq!(
        (&open["state"], &open["trips"]),
        (&json!("circuit_open"), &json!(1))
    );
    story.change(&failing("retry_budget = 0.5\n")).await;
    let still = entry_stats(story.program.addr, "up/status-500").await;
    assert_eq!(
        (&still["state"], &still["trips"]),
        (&json!("circuit_open"), &json!(1))
    );
    assert_eq!(still["failed"], 1);
}

#[tokio::test]
async fn a_reservation_is_still_held_after_a_reload() {
    let one_place = |more: &str| model("up/first", &format!("max_concurrent = 1\n{more}"));
    let story = Story::begin(&one_place("")).await;
    let held = story
        .post("/v1/limits/m/reserve", &json!({"tokens": 10}))
        .await;
    assert_eq!(held.status, 200, "{}", held.text());
    story.change(&one_place("tokens_per_minute = 5000\n")).await;
    let second = story
        .post("/v1/limits/m/reserve", &json!({"tokens": 10}))
        .await;
    assert_eq!(second.status, 429);
    let settle = json!({"tokens": 10, "success": true});
    let settle = with(settle, "reservation", held.json()["reservation"].clone());
    let settled = story.post("/v1/limits/settle", &settle).await;
    assert_eq!(settled.json(), json!({"settled": true}));
    let third = story
        .post("/v1/limits/m/reserve", &json!({"tokens": 10}))
        .await;
    assert_eq!(third.status, 200);
}

#[tokio::test]
async fn a_secret_that_was_rotated_in_its_file_is_used_from_then_on() {
    let stage = Stage::open(vec![Scene::answer()]).await;
    let secrets = gateway::Folder::new();
    let secret = secrets.path().join("key");
    std::fs::write(&secret, "sk-of-yesterday\n").unwrap();
    let config = format!(
        "{}api_key = \"file:{}\"\n{}",
        head(stage.addr),
        secret.display(),
        model("up/first", "")
    );
    let program = Program::serve(&config, &[]).await.expect("it starts");
    complete(program.addr, &chat("m")).await;
    std::fs::write(&secret, "sk-of-today\n").unwrap();
    let reply = reload(program.addr).await;
    assert_eq!(reply.json()["changed"], json!(["providers[0].api_key"]));
    complete(program.addr, &chat("m")).await;
    let keys: Vec<_> = stage
        .seen()
        .iter()
        .map(|seen| seen.header("authorization"))
        .collect();
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    assert_eq!(keys, [bearer("sk-of-yesterday"), bearer("sk-of-today")]);
    std::fs::remove_file(&secret).unwrap();
    let refused = reload(program.addr).await;
    assert_eq!(refused.outcome(), (400, "invalid_configuration".to_owned()));
    complete(program.addr, &chat("m")).await;
    assert_eq!(
        stage.seen()[2].header("authorization"),
        bearer("sk-of-today")
    );
}

#[tokio::test]
async fn settings_that_need_a_restart_are_named_and_nothing_else_is_applied() {
    let story = Story::begin(&model("up/first", "")).await;
    let other = head(story.upstream)
        .replace("127.0.0.1:0", "127.0.0.1:9")
        .replace("\"info\"", "\"warn\"");
    story
        .program
        .configure(&format!("{other}{}", model("up/second", "")));
    let reply = story.reload().await;
    assert_eq!(reply.outcome(), (409, "restart_required".to_owned()));
    let text = reply.text();
    assert!(text.contains("server.bind, log.level"), "{text}");
    assert!(!text.contains("models"), "{text}");
    assert_eq!(story.ready().await["revision"], 1);
    let served = story.chat().await;
    assert_eq!(served.header("x-tidegate-model"), Some("up/first"));
}

#[tokio::test]
async fn a_gateway_that_drains_takes_no_other_configuration() {
    let story = Story::begin(&model("up/first", "")).await;
    let mut call = Call::open(
        story.program.addr,
        &post("/v1/chat/completions", &stream("m")),
    )
    .await;
    call.until("token").await;
    story.program.terminate().await;
    let refused = async { while TcpStream::connect(story.program.addr).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("nobody gets in");
    story.program.hang_up().await;
    let ended = call.reply().await;
    assert_eq!(ended.events().last().map(String::as_str), Some("[DONE]"));
    let (status, said) = story.program.ended().await;
    assert!(status.success(), "{status}: {said}");
    assert!(
        said.contains("the gate is draining and takes no other"),
        "{said}"
    );
}

#[tokio::test]
async fn two_hundred_reloads_lose_no_request() {
    let unlimited = "requests_per_minute = \"unlimited\"\ntokens_per_minute = \"unlimited\"\n";
    let story = Story::begin(&model("up/first", unlimited)).await;
    let addr = story.program.addr;
    let (over, _) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let over = over.subscribe();
        clients.spawn(async move {
            let mut answered = 0;
            while !*over.borrow() {
                let reply = complete(addr, &chat("m")).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                answered += 1;
            }
            answered
        });
    }
    for number in 0..200 {
        let entry = if number % 2 == 0 {
            "up/second"
        } else {
            "up/first"
        };
        story.change(&model(entry, unlimited)).await;
    }
    over.send_replace(true);
    let answered: u32 = clients.join_all().await.into_iter().sum();
    assert!(answered > 100, "{answered}");
    assert_eq!(story.ready().await["revision"], 201);
}
