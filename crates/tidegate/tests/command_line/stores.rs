//! Which store is opened, who says so, and who leaves something behind.

use std::path::Path;

use crate::gateway::{Folder, Program, ask, get, run, run_with, run_with_input};
use crate::servers::RedisServer;
use crate::{check, err, out};

const ANY_PORT: &str = "server.bind = \"127.0.0.1:0\"\n";
const DATA: &str = "tidegate-data";

/// All that a gateway said until it was told to end.
async fn said_by(config: &str, env: &[(&str, &str)]) -> String {
    let program = Program::serve(config, env).await.expect("it starts");
    // Who answers is up and running, signal handlers included.
    ask(program.addr, &get("/health/live")).await;
    program.terminate().await;
    let (status, said) = program.ended().await;
    assert!(status.success(), "{said}");
    said
}

#[tokio::test]
async fn the_log_says_where_the_store_is_and_who_chose_it() {
    let said = said_by(ANY_PORT, &[]).await;
    let line = format!("/{DATA} (default)");
    assert!(
        said.contains("store: sqlite at /") && said.contains(&line),
        "{said}"
    );
    let chosen = format!("{ANY_PORT}store.url = \"memory:\"\n");
    let said = said_by(&chosen, &[]).await;
    let line = "store: the memory of this process, lost when it ends (tidegate.toml:2)";
    assert!(said.contains(line), "{said}");
}

#[tokio::test]
async fn a_folder_is_where_the_gateway_was_started() {
    let program = Program::serve(ANY_PORT, &[]).await.expect("it starts");
    assert!(program.folder().join(DATA).join("tidegate.db").is_file());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_stops_the_start_and_names_a_way_out() {
    let folder = Folder::with_config(ANY_PORT);
    std::fs::write(folder.path().join("taken"), "").unwrap();
    let args = ["--set", "store.url=sqlite:taken/below"];
    for command in ["serve", "doctor"] {
        let output = run(&folder, &[&[command], &args[..]].concat()).await;
        check(&output, 3);
        let said = out(&output) + &err(&output);
        for part in ["taken/below", "store.url = \"memory:\""] {
            assert!(said.contains(part), "{command} does not say {part}: {said}");
        }
    }
}

#[tokio::test]
async fn whoever_only_looks_leaves_nothing_behind() {
    let folder = Folder::with_config(ANY_PORT);
    for args in [
        &["models", "ls"][..],
        &["rules", "ls"],
        &["config", "check"],
        &["config", "show"],
    ] {
        check(&run(&folder, args).await, 0);
    }
    check(&run_with_input(&folder, &["scan", "-"], b"hello").await, 0);
    let output = run(&folder, &["doctor"]).await;
    check(&output, 0);
    let said = out(&output);
    let line = format!("/{DATA}, would be created at the first start (default)\n");
    assert!(
        said.contains("ok   store: sqlite at /") && said.contains(&line),
        "{said}"
    );
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn doctor_looks_into_a_folder_that_is_there() {
    let program = Program::serve(ANY_PORT, &[]).await.expect("it starts");
    let data = program.folder().join(DATA).display().to_string();
    let url = format!("store.url=sqlite:{data}");
    let output = run(&Folder::new(), &["doctor", "--set", &url]).await;
    check(&output, 0);
    let said = out(&output);
    let line = format!("ok   store: sqlite at {data} (flag --store.url)\n");
    assert!(said.contains(&line), "{said}");
    assert!(said.contains("ok   store: records are in "), "{said}");
}

#[tokio::test]
async fn doctor_says_what_a_redis_would_lose_and_never_its_password() {
    let server = RedisServer::with(&["--save", "", "--requirepass", "canary"]);
    let url = format!("redis://:canary@127.0.0.1:{}", server.port);
    let output = run_with(&Folder::new(), &["doctor"], &[("REDIS_URL", &url)]).await;
    check(&output, 0);
    let said = out(&output);
    let line = format!("ok   store: redis at 127.0.0.1:{}, ", server.port);
    for part in [
        &line,
        "(env REDIS_URL)",
        "warn store: it writes nothing to disk",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    assert!(!said.contains("canary"), "{said}");
    let wrong = url.replace("canary", "another");
    let output = run_with(&Folder::new(), &["doctor"], &[("REDIS_URL", &wrong)]).await;
    check(&output, 3);
    assert!(out(&output).contains("fail store: "), "{}", out(&output));
}

#[tokio::test]
async fn a_redis_that_is_away_stops_no_start_and_is_said_everywhere() {
    let away = [("REDIS_URL", "redis://:canary@127.0.0.1:1")];
    let output = run_with(&Folder::new(), &["doctor"], &away).await;
    check(&output, 3);
    let line = "fail store: redis at 127.0.0.1:1 (env REDIS_URL) cannot be reached: ";
    assert!(out(&output).contains(line), "{}", out(&output));
    let program = Program::serve(ANY_PORT, &away).await.expect("it starts");
    let ready = ask(program.addr, &get("/health/ready")).await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["store"], "redis");
    assert_eq!(ready.json()["store_reach"], "unreachable");
    let stats = ask(program.addr, &get("/v1/stats")).await.json();
    assert!(stats["store"]["since_ms"].is_u64(), "{stats}");
    assert!(stats["store"]["reason"].is_string(), "{stats}");
    program.terminate().await;
    let (_, said) = program.ended().await;
    let line = "store: redis at 127.0.0.1:1 (env REDIS_URL) cannot be reached: ";
    assert!(
        said.contains(line) && said.contains("local_share"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");
}

#[tokio::test]
async fn a_redis_that_forbids_scripts_says_what_to_grant() {
    let server = RedisServer::start();
    server.cli(&[
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">canary",
        "~*",
        "&*",
        "+@all",
        "-@scripting",
    ]);
    let url = format!("redis://app:canary@127.0.0.1:{}", server.port);
    for command in ["serve", "doctor"] {
        let folder = Folder::with_config(ANY_PORT);
        let output = run_with(&folder, &[command], &[("REDIS_URL", &url)]).await;
        check(&output, 3);
        let said = out(&output) + &err(&output);
        assert!(said.contains("ACL SETUSER"), "{command}: {said}");
        assert!(!said.contains("canary"), "{command}: {said}");
    }
}

#[tokio::test]
async fn a_password_is_hidden_where_settings_are_shown() {
    let url = ("REDIS_URL", "redis://:canary@redis.example");
    for args in [&["config", "show"][..], &["config", "show", "--json"]] {
        let output = run_with(&Folder::new(), args, &[url]).await;
        check(&output, 0);
        let shown = out(&output);
        assert!(shown.contains("redis.example:6379"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert!(!Path::new(DATA).exists(), "a test wrote into the sources");
}
