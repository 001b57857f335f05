//! Several gates on one store are one gate: limits, cached answers and sessions
//! are shared, over every kind of Redis, and the store may go away.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod gateway;
#[path = "../../tidegate-store/tests/servers/mod.rs"]
mod servers;

use std::net::SocketAddr;
use std::time::Instant;

use gateway::{
    Folder, Program, Reply, ask, cached, chat, complete, get, post, run_with, start_mock, until,
    with,
};
use serde_json::{Value, json};
use servers::{Cluster, RedisServer, Sentinels};
use tidegate_engine::mock::Script;
use tokio::task::JoinSet;

/// Two gates on one store, before one upstream.
struct Fleet {
    gates: [Program; 2],
    _tasks: JoinSet<()>,
}

fn config(upstream: SocketAddr, url: &str) -> String {
    format!(
        "[server]\nbind = \"127.0.0.1:0\"\ndeadline_ms = 1000\n\
         [log]\nlevel = \"info\"\nformat = \"json\"\n\
         [store]\nurl = \"{url}\"\n\
         [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\
         [[models]]\nname = \"m\"\nchain = [\"up/m\"]\n\
         requests_per_minute = 100000\ntokens_per_minute = 100000000\n\
         [[models]]\nname = \"tight\"\nchain = [\"up/tight\"]\nrequests_per_minute = 36\n\
         [resilience]\nwindow_ms = 10000\n"
    )
}

impl Fleet {
    async fn start(url: &str) -> Self {
        Self::start_with(url, &[]).await
    }

    async fn start_with(url: &str, env: &[(&str, &str)]) -> Self {
        let mut tasks = JoinSet::new();
        let upstream = start_mock(Script::default(), &mut tasks).await;
        let config = config(upstream, url);
        let first = Program::serve(&config, env).await.expect("it starts");
        let second = Program::serve(&config, env).await.expect("it starts");
        let fleet = Self {
            gates: [first, second],
            _tasks: tasks,
        };
        for gate in &fleet.gates {
            until(gate.addr, "/v1/stats", |stats| stats["store"]["nodes"] == 2).await;
        }
        fleet
    }

    fn gate(&self, number: usize) -> SocketAddr {
        self.gates[number % 2].addr
    }
}

fn status(reply: &Reply) -> u16 {
    reply.status
}

fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.header(name).unwrap_or_default()
}

/// Twelve requests, six of which the limit of a window allows, whoever is
/// asked. A server that is younger than a window may have lost its counts, and
/// both gates keep to less than their shares until it is older.
async fn check_one_limit(fleet: &Fleet, server: &RedisServer) {
    server.wait_for(&["INFO", "server"], |info| {
        let line = info
            .lines()
            .find(|line| line.starts_with("uptime_in_seconds:"));
        line.is_some_and(|line| line[18..].trim().parse::<u32>().unwrap() > 11)
    });
    let (mut answered, began) = (0, Instant::now());
    for number in 0..12 {
        let request = with(chat("tight"), "user", number.to_string());
        let addr = fleet.gate(number);
        match status(&ask(addr, &post("/v1/chat/completions", &request)).await) {
            200 => answered += 1,
            429 => {}
            other => panic!("{other}"),
        }
    }
    // A store that was slow for a moment leaves both gates to less than that;
    // how much of a limit is used is the soak's to say.
    let windows = 1 + began.elapsed().as_secs() / 10;
    assert!((1..=6 * windows).contains(&answered), "{answered}");
}

#[tokio::test]
async fn every_kind_of_redis_holds_one_limit_for_all() {
    let single = RedisServer::start();
    check_one_limit(&Fleet::start(&single.url()).await, &single).await;
}

#[tokio::test]
async fn a_cluster_holds_one_limit_for_all() {
    let cluster = Cluster::start();
    let fleet = Fleet::start(&cluster.url()).await;
    check_one_limit(&fleet, &cluster.servers[5]).await;
    check_shared_answers(&fleet).await;
    check_shared_sessions(&fleet).await;
}

#[tokio::test]
async fn servers_behind_sentinels_hold_one_limit_for_all() {
    let group = Sentinels::start();
    let fleet = Fleet::start(&group.url()).await;
    check_one_limit(&fleet, &group.servers[1]).await;
    check_shared_answers(&fleet).await;
    check_shared_sessions(&fleet).await;
}

#[tokio::test]
async fn a_server_behind_tls_holds_one_limit_for_all() {
    let (server, port, signer) = RedisServer::with_tls();
    let signer = signer.display().to_string();
    let url = format!("rediss://localhost:{port}");
    let fleet = Fleet::start_with(&url, &[("SSL_CERT_FILE", &signer)]).await;
    check_one_limit(&fleet, &server).await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_trusted() {
    let (_server, port, _signer) = RedisServer::with_tls();
    let folder = Folder::with_config(&format!("[store]\nurl = \"rediss://localhost:{port}\"\n"));
    let said = run_with(&folder, &["doctor"], &[]).await;
    assert_eq!(said.status.code(), Some(3), "{said:?}");
}

#[tokio::test]
async fn a_user_with_the_documented_rights_is_enough() {
    let server = RedisServer::start();
    let documented = std::fs::read_to_string("../../docs/operations.md").unwrap();
    let grant = documented
        .lines()
        .find(|line| line.starts_with("ACL SETUSER"));
    let grant = grant.expect("the page names the rights");
    let mut words: Vec<&str> = grant.split_whitespace().collect();
    (words[2], words[4]) = ("gate", ">secret");
    assert_eq!(server.cli(&words), "OK");
    let fleet = Fleet::start(&format!("redis://gate:secret@127.0.0.1:{}", server.port)).await;
    check_one_limit(&fleet, &server).await;
    check_shared_answers(&fleet).await;
    check_shared_sessions(&fleet).await;
    let denied = server.cli(&["ACL", "LOG"]);
    assert_eq!(denied, "", "something was forbidden");
    for gate in &fleet.gates {
        assert!(!gate.said().contains("secret"), "{}", gate.said());
    }
}

async fn check_shared_answers(fleet: &Fleet) {
    let request = cached(chat("m"), "use");
    let first = complete(fleet.gate(0), &request).await;
    assert_eq!(header(&first, "x-tidegate-cache"), "miss");
    let second = complete(fleet.gate(1), &request).await;
    assert_eq!(header(&second, "x-tidegate-cache"), "hit");
    assert_eq!(first.json(), second.json());
    let forget = post("/v1/cache/invalidate", &json!({"namespace": "answer"}));
    let removed = ask(fleet.gate(0), &forget).await.json();
    assert_eq!(removed["removed"], 1, "{removed}");
    // The other gate hears of it a moment later.
    loop {
        let again = complete(fleet.gate(1), &request).await;
        if header(&again, "x-tidegate-cache") == "miss" {
            break;
        }
    }
}

async fn check_shared_sessions(fleet: &Fleet) {
    let made = ask(
        fleet.gate(0),
        &post("/v1/sessions", &json!({"user_id": "u"})),
    )
    .await;
    assert_eq!(status(&made), 200, "{}", made.json());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    for number in 0..4 {
        let request = with(chat("m"), "tidegate", json!({"session_id": id}));
        let reply = complete(fleet.gate(number), &request).await;
        assert_eq!(status(&reply), 200, "{}", reply.json());
    }
    let session = ask(fleet.gate(1), &get(&format!("/v1/sessions/{id}")))
        .await
        .json();
    assert_eq!(
        session["messages"].as_array().unwrap().len(),
        8,
        "{session}"
    );
    let listed = ask(fleet.gate(0), &get("/v1/sessions?user_id=u"))
        .await
        .json();
    assert!(listed.to_string().contains(&id), "{listed}");
}

#[tokio::test]
async fn answers_and_sessions_of_one_gate_go_on_at_the_other() {
    let server = RedisServer::start();
    let fleet = Fleet::start(&server.url()).await;
    check_shared_answers(&fleet).await;
    check_shared_sessions(&fleet).await;
}

#[tokio::test]
async fn requests_are_answered_while_the_store_is_away_and_say_so() {
    let mut server = RedisServer::start();
    let fleet = Fleet::start(&server.url()).await;
    server.kill();
    let gate = fleet.gate(0);
    until(gate, "/v1/stats", |stats| {
        stats["store"]["reach"] == "unreachable"
    })
    .await;
    let reply = complete(gate, &chat("m")).await;
    assert_eq!(status(&reply), 200, "{}", reply.json());
    assert_eq!(header(&reply, "x-tidegate-degraded"), "store:local");
    let session = ask(gate, &post("/v1/sessions", &json!({"user_id": "u"}))).await;
    assert_eq!(status(&session), 503, "{}", session.json());
    assert_eq!(session.json()["error"]["code"], "store_unreachable");
    assert!(session.header("retry-after").is_some());
    server.restart();
    until(gate, "/v1/stats", |stats| {
        stats["store"]["reach"] != "unreachable"
    })
    .await;
    let said = fleet.gates[0].said();
    let away = said
        .lines()
        .filter(|line| line.contains("cannot be reached"));
    assert_eq!(away.count(), 1, "{said}");
}

#[tokio::test]
async fn doctor_says_which_store_is_live_and_what_it_would_lose() {
    let server = RedisServer::start();
    let folder = Folder::with_config("");
    let env = [("REDIS_URL", server.url())];
    let env = env.each_ref().map(|(name, url)| (*name, url.as_str()));
    let said = run_with(&folder, &["doctor"], &env).await;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    for part in ["REDIS_URL", "writes nothing to disk", "no replica"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_server_without_scripting_rights_stops_the_start_and_says_what_to_grant() {
    let server = RedisServer::start();
    let user = [
        "ACL",
        "SETUSER",
        "gate",
        "on",
        ">pw",
        "~tidegate:*",
        "+@all",
        "-@scripting",
    ];
    assert_eq!(server.cli(&user), "OK");
    let url = format!("redis://gate:pw@127.0.0.1:{}", server.port);
    let config = format!("[server]\nbind = \"127.0.0.1:0\"\n[store]\nurl = \"{url}\"\n");
    let (status, said) = Program::serve(&config, &[])
        .await
        .expect_err("it must not start");
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(
        said.contains("ACL SETUSER") && !said.contains(":pw@"),
        "{said}"
    );
    let _: Value = Value::Null;
}
