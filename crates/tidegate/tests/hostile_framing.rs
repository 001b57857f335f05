//! Whatever the framing of a request, the gate answers the requests that RFC
//! 9112 finds in it and no other: nobody writes another caller's next request.
//!
//! Every case carries a request inside a body, or behind something that can be
//! read in two ways, and is followed by an honest one on the same connection.
//! Each of the three has an id of its own, which the gate repeats in its answer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "hostile_framing/cases.rs"]
mod cases;
mod gateway;
#[path = "hostile_framing/heads.rs"]
mod heads;
#[path = "hostile_framing/nginx.rs"]
mod nginx;
#[path = "hostile_framing/parts.rs"]
mod parts;
#[path = "hostile_framing/seen.rs"]
mod seen;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream;
use gateway::{Call, Program, Scene, Stage, ask, chat, get, post, request};

use cases::all;
use nginx::{Line, Nginx};
use parts::{AFTER, Case, INSIDE, Then};
use seen::{Seen, exchange};

/// Connections at once.
const AT_ONCE: usize = 64;
/// No family may shrink unseen.
const FEWEST_CASES: usize = 300;

/// The real program before an upstream that writes down what it is asked.
async fn stand() -> (Program, Stage) {
    let stage = Stage::open(vec![Scene::answer()]).await;
    let upstream = stage.addr;
    let config = format!(
        "server.bind = \"127.0.0.1:0\"\nserver.deadline_ms = 700\nserver.hosts = [\"gate.example\"]\n\
         log.access = false\n\
         [[providers]]\nname = \"up\"\nkind = \"openai\"\nbase_url = \"http://{upstream}/v1\"\n\
         [[models]]\nname = \"m\"\nchain = [\"up/answer\"]\n\
         requests_per_minute = \"unlimited\"\ntokens_per_minute = \"unlimited\"\n\
         max_concurrent = \"unlimited\"\n"
    );
    let program = Program::serve(&config, &[]).await.expect("it starts");
    (program, stage)
}

/// Sends every case on a connection of its own.
async fn play(addr: SocketAddr) -> Vec<(Case, Seen)> {
    let mut played: Vec<_> = stream::iter(all())
        .map(|case| async move {
            let seen = exchange(addr, &case.raw).await;
            (case, seen)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    played.sort_by_key(|(case, _)| case.number);
    played
}

/// What is wrong with the answers to a case when nothing stands in between.
fn fault(case: &Case, seen: &Seen) -> Option<String> {
    let ids: Vec<&str> = seen.answers.iter().map(|answer| &*answer.id).collect();
    let (own, after) = (case.id("case"), case.id(AFTER));
    let known = |id: &str| id == own || id == after;
    let most = match case.then {
        Then::MayFollow => 2,
        Then::MustClose => 1,
    };
    let refused_unread = ids.iter().position(|id| !known(id));
    let fault = if seen.hung {
        "hangs"
    } else if ids.contains(&&*case.id(INSIDE)) {
        "answers what is inside"
    } else if seen.answers.iter().any(|answer| answer.status == 101) {
        "changes the protocol"
    } else if ids.len() > most || (most == 1 && ids.contains(&&*after)) {
        "answers too often"
    } else if ids.first().is_some_and(|id| *id == after) {
        "answers the second request only"
    } else if refused_unread.is_some_and(|place| place + 1 < ids.len()) {
        "goes on after what it could not read"
    } else if ids.is_empty() {
        "says nothing"
    } else {
        return None;
    };
    Some(format!("{} {}: {fault}: {ids:?}", case.family, case.name))
}

/// Prints a line for each family: cases, and how the first request fared.
fn show(title: &str, played: &[(Case, Seen)], faults: usize) {
    let mut families: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for (case, seen) in played {
        let counts = families.entry(case.family).or_default();
        counts[0] += 1;
        let first = seen.answers.first().map_or(0, |answer| answer.status);
        counts[1] += usize::from((200..300).contains(&first));
        counts[2] += usize::from(first >= 400);
        let after = case.id(AFTER);
        counts[3] += usize::from(seen.answers.iter().any(|answer| answer.id == after));
    }
    println!("{title}: {} cases, {faults} desyncs", played.len());
    for (family, [cases, answered, refused, followed]) in families {
        println!(
            "  {family:<24}{cases:>5} cases {answered:>4} answered {refused:>4} refused {followed:>4} with the next request"
        );
    }
}

/// Chat requests that reached the upstream, none of which may be a canary.
fn check_upstream(stage: &Stage, most: usize) {
    let seen = stage.seen();
    let smuggled: Vec<_> = seen
        .iter()
        .filter(|seen| seen.body.to_string().contains(INSIDE))
        .map(|seen| seen.head.clone())
        .collect();
    assert!(smuggled.is_empty(), "reached the upstream: {smuggled:?}");
    assert!(seen.len() <= most, "{} calls for {most}", seen.len());
}

/// The gate serves as ever, on a connection of its own.
async fn check_honest(addr: SocketAddr) {
    let reply = ask(addr, &post("/v1/chat/completions", &chat("m"))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// Requests that the gate itself has counted, by its metrics.
async fn counted(addr: SocketAddr) -> usize {
    let metrics = ask(addr, &get("/metrics")).await.text();
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("tidegate_http_requests_total"));
    let counts = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<usize>().ok());
    counts.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_found_where_there_is_none() {
    let (program, stage) = stand().await;
    let played = play(program.addr).await;
    let faults: Vec<_> = played
        .iter()
        .filter_map(|(case, seen)| fault(case, seen))
        .collect();
    show("hostile framing, direct", &played, faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(played.len() >= FEWEST_CASES, "{} cases", played.len());
    // The gate's own count fits: nothing was handled that was not answered.
    let answered = played.iter().flat_map(|(case, seen)| {
        let own = [case.id("case"), case.id(AFTER)];
        seen.answers
            .iter()
            .filter(move |answer| own.contains(&answer.id))
    });
    let answered = answered.count();
    let counted = counted(program.addr).await;
    assert_eq!(counted, answered, "requests handled and requests answered");
    check_upstream(&stage, answered);
    check_honest(program.addr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_behind_a_proxy_that_keeps_its_connections() {
    let (program, _stage) = stand().await;
    let Some(nginx) = Nginx::before(program.addr).await else {
        println!("skipped: nginx is not installed, so nothing stood before the gate");
        return;
    };
    let played = play(nginx.addr).await;
    let noted = nginx.noted();
    let mut faults: Vec<_> = played
        .iter()
        .filter_map(|(case, seen)| fault_behind(case, seen, &noted))
        .collect();
    faults.extend(noted.iter().filter_map(exchanged));
    show("hostile framing, behind nginx", &played, faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The gate has found the requests that nginx has sent, and no other.
    let sent = noted.iter().filter(|line| line.upstream != "-").count();
    let counted = counted(program.addr).await;
    assert!(counted <= sent, "{counted} found of {sent} sent");
    println!("  nginx sent {sent} requests, the gate found {counted}, refusing the others unread");
    let smuggled = |case: &Case| noted.iter().any(|line| line.given == case.id(INSIDE));
    let open = played.iter().filter(|(case, _)| smuggled(case)).count();
    println!("  {open} cases hold, as nginx reads them, a second request in the open");
    // Every caller gets its own answer over the connections that were kept.
    for number in 0..100 {
        let id = format!("x-request-id: honest-{number}\r\n");
        let reply = ask(nginx.addr, &request("GET /health/live", &id, b"")).await;
        let given = reply.header("x-request-id").unwrap_or_default();
        assert_eq!(
            (reply.status, given),
            (200, &*format!("honest-{number}")),
            "somebody else's answer"
        );
    }
    check_honest(nginx.addr).await;
}

/// What is wrong behind a proxy, which decides itself how many requests there
/// are: an answer to one that it has not found, or two answers to one.
fn fault_behind(case: &Case, seen: &Seen, noted: &[Line]) -> Option<String> {
    let ids = seen.answers.iter().map(|answer| answer.id.as_str());
    let mut ours: Vec<&str> = ids.filter(|id| id.contains('-')).collect();
    let found = |id: &&str| noted.iter().any(|line| line.given == **id);
    let foreign = ours.iter().any(|id| !id.ends_with(&case.id("")));
    let invented = !ours.iter().all(found);
    let all = ours.len();
    ours.sort_unstable();
    ours.dedup();
    if seen.hung || foreign || invented || ours.len() < all {
        return Some(format!("{} {}: {seen:?}", case.family, case.name));
    }
    None
}

/// An answer that went to another request than the one it belongs to.
fn exchanged(line: &Line) -> Option<String> {
    let own = line.given == line.sent;
    // The gate names what it could not read itself.
    let made_up = !line.sent.contains('-') || line.sent == "-";
    (!own && !made_up).then(|| format!("exchanged: {line:?}"))
}

#[tokio::test]
async fn an_unread_body_is_read_away_as_far_as_64_kib() {
    let (program, _stage) = stand().await;
    for (bytes, closes) in [(0, false), (65_536, false), (65_537, true), (1 << 20, true)] {
        let body = "x".repeat(bytes);
        let raw = format!(
            "POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: {bytes}\r\n\r\n{body}"
        );
        let mut call = Call::open(program.addr, raw.as_bytes()).await;
        call.until("\"not_found\"").await;
        if closes {
            let rest = call.rest().await;
            assert!(rest.contains("connection: close"), "{bytes}: {rest}");
        } else {
            call.send(&get("/health/live")).await;
            let rest = call.rest().await;
            assert!(rest.contains("{\"status\":\"live\"}"), "{bytes}: {rest}");
        }
    }
}

#[tokio::test]
async fn who_waits_for_leave_to_send_is_refused_without_it() {
    let (program, _stage) = stand().await;
    let head = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    let rest = Call::open(program.addr, head.as_bytes()).await.rest().await;
    assert!(rest.starts_with("HTTP/1.1 404 "), "{rest}");
    assert!(rest.contains("connection: close"), "{rest}");
}

#[tokio::test]
async fn a_foreign_name_is_refused_and_not_repeated() {
    let (program, _stage) = stand().await;
    let named = |target: &str, host: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
    };
    for raw in [
        named("/health/live", "evil.example"),
        named("/v1/models", "127.0.0.1.evil.example:80"),
        named("http://evil.example/health/live", "localhost"),
    ] {
        let reply = ask(program.addr, raw.as_bytes()).await;
        let message = gateway::check_refusal(&reply, 403, "foreign_host", Some("host"));
        assert!(message.contains("host header") && message.contains("server.hosts"));
        assert!(!reply.text().contains("evil"), "{message}");
    }
    for host in ["localhost", "gate.example:443", "[::1]", "127.0.0.1:1"] {
        let reply = ask(program.addr, named("/health/live", host).as_bytes()).await;
        assert_eq!(reply.status, 200, "{host}");
    }
    let nameless = "GET /health/live HTTP/1.1\r\nconnection: close\r\n\r\n";
    let reply = ask(program.addr, nameless.as_bytes()).await;
    gateway::check_refusal(&reply, 400, "invalid_host", Some("host"));
    let older = Call::open(program.addr, b"GET /health/live HTTP/1.0\r\n\r\n").await;
    let rest = older.rest().await;
    assert!(rest.contains(" 200 OK"), "{rest}");
}

#[tokio::test]
async fn the_verdict_finds_what_it_looks_for() {
    let case = all().into_iter().next().unwrap();
    let answer = |word: &str| seen::Answer {
        status: 200,
        id: case.id(word),
    };
    let seen = |words: &[&str]| Seen {
        answers: words.iter().map(|word| answer(word)).collect(),
        hung: false,
    };
    for words in [
        &["case", INSIDE][..],
        &["case", AFTER, AFTER],
        &[AFTER],
        &[],
        &["unknown", AFTER],
    ] {
        assert!(fault(&case, &seen(words)).is_some(), "{words:?}");
    }
    assert!(fault(&case, &seen(&["case"])).is_none());
    let line = |given: &str, sent: &str| Line {
        given: case.id(given),
        sent: case.id(sent),
        upstream: "200".to_owned(),
    };
    let noted = [line("case", "case"), line(AFTER, AFTER)];
    for words in [&["case", INSIDE][..], &["case", "case"], &["foreign"]] {
        assert!(
            fault_behind(&case, &seen(words), &noted).is_some(),
            "{words:?}"
        );
    }
    assert!(fault_behind(&case, &seen(&["case", AFTER]), &noted).is_none());
    assert!(exchanged(&line("case", AFTER)).is_some());
    assert!(noted.iter().all(|line| exchanged(line).is_none()));
}
