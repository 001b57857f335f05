//! Who comes in, by which door, and what tenants can see of each other.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "auth/disguises.rs"]
mod disguises;
mod gateway;
#[path = "auth/staff.rs"]
mod staff;

use std::collections::BTreeMap;

use disguises::DISGUISES;
use futures_util::StreamExt;
use futures_util::stream;
use gateway::{
    Folder, House, Plan, Program, Reply, Scene, Stage, ask, cached, chat, check_refusal, get, post,
    request, run_with,
};
use serde_json::{Value, json};
use staff::{ADMIN, EXPIRED, OTHER, USER, hired, with_key};
use tidegate::HostPolicy;
use tidegate_engine::Quota;

/// What anybody may see; every other path asks for a key. A new path is on
/// neither list and fails the tests below until it is.
const PUBLIC: [&str; 2] = ["/health/live", "/health/ready"];

/// What only an operator may see or do.
const ADMIN_ONLY: [&str; 8] = [
    "/admin/reload",
    "/metrics",
    "/model_stats",
    "/v1/cache/stats",
    "/v1/cache/warm",
    "/v1/models/{name}/reset",
    "/v1/stats",
    "/v1/tasks/stats",
];

async fn house() -> House {
    house_with(Quota::unlimited()).await
}

/// A house whose tenants may use `quota` each.
async fn house_with(quota: Quota) -> House {
    let mut plan = Plan::serving(&[("m", &["up/answer"]), ("slow", &["up/slow-600"])]);
    plan.keys = hired(quota);
    // Whoever has a key may come under any name; what a name alone does is
    // told elsewhere.
    plan.settings.hosts = HostPolicy::Any;
    House::open(plan).await
}

/// One operation of the description.
#[derive(Debug, Clone)]
struct Operation {
    method: String,
    path: String,
    access: String,
    description: Value,
}

fn operations() -> Vec<Operation> {
    let document = tidegate::openapi_json();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, description) in methods.as_object().unwrap() {
            let access = description["x-tidegate-access"].as_str();
            all.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                access: access
                    .unwrap_or_else(|| panic!("{method} {path} has no policy"))
                    .to_owned(),
                description: description.clone(),
            });
        }
    }
    all
}

impl Operation {
    fn target(&self) -> String {
        self.path.replace("{name}", "m").replace("{id}", "m")
    }

    /// The request as its client would send it.
    fn plain(&self, key: Option<&str>) -> Vec<u8> {
        let head = format!("{} {}", self.method, self.target());
        request(&head, &with_key(key), b"{}")
    }
}

#[test]
fn the_policy_of_every_path_is_written_down_twice() {
    let mut by_access: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let operations = operations();
    for operation in &operations {
        let paths = by_access.entry(&operation.access).or_default();
        paths.push(&operation.path);
    }
    for paths in by_access.values_mut() {
        paths.sort_unstable();
    }
    assert_eq!(by_access["public"], PUBLIC);
    assert_eq!(by_access["admin"], ADMIN_ONLY);
    let known = ["admin", "public", "tenant"];
    assert_eq!(by_access.keys().copied().collect::<Vec<_>>(), known);
}

#[test]
fn the_description_says_which_operations_take_a_key_and_how() {
    let schemes = &tidegate::openapi_json()["components"]["securitySchemes"];
    assert_eq!(
        schemes["bearer"],
        json!({"type": "http", "scheme": "bearer"})
    );
    let header = json!({"type": "apiKey", "in": "header", "name": "x-api-key"});
    assert_eq!(schemes["apiKey"], header);
    for operation in operations() {
        let expected = match operation.access.as_str() {
            "public" => json!([]),
            _ => json!([{"bearer": []}, {"apiKey": []}]),
        };
        let security = &operation.description["security"];
        assert_eq!(*security, expected, "{}", operation.path);
    }
}

#[tokio::test]
async fn the_router_lets_in_whom_the_description_says() {
    let house = house().await;
    for operation in operations() {
        let ends = async |key| house.ask(&operation.plain(key)).await.status;
        let (nobody, expired) = (ends(None).await, ends(Some(EXPIRED)).await);
        let (user, admin) = (ends(Some(USER)).await, ends(Some(ADMIN)).await);
        let is_in = |status: u16| status != 401 && status != 403;
        let seen = [nobody, expired, user, admin].map(is_in);
        let expected = match operation.access.as_str() {
            "public" => [true, true, true, true],
            "tenant" => [false, false, true, true],
            "admin" => [false, false, false, true],
            other => panic!("{other} is no access"),
        };
        assert_eq!(seen, expected, "{operation:?}");
        let refused = match operation.access.as_str() {
            "public" => continue,
            "tenant" => [nobody, expired],
            _ => [nobody, user],
        };
        let admin_only = operation.access == "admin";
        assert_eq!(refused, [401, if admin_only { 403 } else { 401 }]);
    }
}

/// A caller who should see nothing, and where.
const INTRUDERS: [(&str, Option<&str>); 4] = [
    ("no key", None),
    ("a bad key", Some("key-that-nobody-has-0123456789")),
    ("an expired key", Some(EXPIRED)),
    ("half a key", Some("key-of-the-operator-0")),
];

/// Requests at once.
const AT_ONCE: usize = 16;

/// Sends every request in every disguise; gives their number and those whose
/// answer says more than that there is nothing to see.
async fn storm(
    house: &House,
    requests: Vec<(String, Operation, Option<&str>)>,
) -> (usize, Vec<String>) {
    let all = requests.iter().flat_map(|(who, operation, key)| {
        DISGUISES
            .iter()
            .map(move |disguise| (who, operation, *key, disguise))
    });
    let replies = stream::iter(all).map(|(who, operation, key, disguise)| async move {
        let raw = disguise.wear(&operation.method, &operation.target(), &with_key(key), "{}");
        let reply = house.ask(&raw).await;
        let shown = format!(
            "{who}: {disguise:?} {} {}",
            operation.method, operation.path
        );
        (shown, reply, disguise.has_malformed_host())
    });
    let replies: Vec<(String, Reply, bool)> = replies.buffer_unordered(AT_ONCE).collect().await;
    let count = replies.len();
    let wrong = replies.into_iter().filter(|(_, reply, malformed)| {
        let refused = matches!(reply.status, 401 | 403 | 404);
        let refused = refused || (*malformed && reply.status == 400);
        !refused || reply.header("allow").is_some()
    });
    let wrong = wrong.map(|(shown, reply, _)| format!("{shown} -> {}", reply.status));
    (count, wrong.collect())
}

#[tokio::test]
async fn no_disguise_of_a_request_leads_around_a_door() {
    assert_eq!(DISGUISES.len(), 36);
    let house = house().await;
    let mut requests = Vec::new();
    for operation in operations() {
        if operation.access == "public" {
            continue;
        }
        for (who, key) in INTRUDERS {
            requests.push((who.to_owned(), operation.clone(), key));
        }
    }
    let (count, wrong) = storm(&house, requests).await;
    println!(
        "{count} requests without a valid key: {} got further",
        wrong.len()
    );
    assert!(count > 2_000, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn no_disguise_makes_a_user_an_operator() {
    let house = house().await;
    let mut requests = Vec::new();
    for operation in operations() {
        if operation.access == "admin" {
            requests.push(("a user".to_owned(), operation.clone(), Some(USER)));
            requests.push(("another tenant".to_owned(), operation, Some(OTHER)));
        }
    }
    let (count, mut wrong) = storm(&house, requests).await;
    // Who has a key may learn which methods the paths of its own role take.
    wrong.retain(|line| !line.ends_with("-> 405"));
    println!(
        "{count} requests of users to operators' paths: {} got further",
        wrong.len()
    );
    assert!(count > 200, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_disguised_request_with_a_valid_key_is_served_where_it_names_the_path() {
    // The other tests would pass if every disguise were refused as nonsense.
    let house = house().await;
    let mut served = 0;
    for disguise in &DISGUISES {
        let raw = disguise.wear("GET", "/v1/stats", &with_key(Some(ADMIN)), "");
        let status = house.ask(&raw).await.status;
        let as_expected = if disguise.keeps_path() {
            status == 200
        } else {
            matches!(status, 401 | 404 | 405) || (status == 400 && disguise.has_malformed_host())
        };
        assert!(as_expected, "{disguise:?} -> {status}");
        served += usize::from(status == 200);
    }
    assert!(served >= 15, "{served}");
}

#[tokio::test]
async fn methods_are_shown_to_those_who_may_use_the_path() {
    let house = house().await;
    let delete = |path: &str, key| {
        let head = format!("DELETE {path}");
        request(&head, &with_key(key), b"")
    };
    for (path, key, status, allow) in [
        ("/v1/chat/completions", None, 401, None),
        ("/v1/chat/completions", Some(EXPIRED), 401, None),
        ("/v1/chat/completions", Some(USER), 405, Some("POST")),
        ("/v1/stats", None, 401, None),
        ("/v1/stats", Some(USER), 403, None),
        ("/v1/stats", Some(ADMIN), 405, Some("GET,HEAD")),
        ("/health/live", None, 405, Some("GET,HEAD")),
        ("/nowhere", None, 404, None),
    ] {
        let reply = house.ask(&delete(path, key)).await;
        let seen = (reply.status, reply.header("allow"));
        assert_eq!(seen, (status, allow), "{path} {key:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_how_to_come_in_and_nothing_of_the_key() {
    let house = house().await;
    let headers = |line: &str| request("GET /v1/models", &format!("{line}\r\n"), b"");
    let secret = "Bearer kingfisher-0123456789";
    for line in ["x-nothing: 1", &format!("authorization: {secret}")] {
        let reply = house.ask(&headers(line)).await;
        check_refusal(&reply, 401, "invalid_api_key", None);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    }
    let raw = request("GET /v1/stats", &with_key(Some(USER)), b"");
    let reply = house.ask(&raw).await;
    check_refusal(&reply, 403, "admin_key_required", None);
    assert_eq!(reply.header("www-authenticate"), None);
    let raw = request("POST /v1/messages", "", b"{}");
    let reply = house.ask(&raw).await.json();
    assert_eq!(reply["error"]["type"], "authentication_error", "{reply}");
}

#[tokio::test]
async fn the_key_of_a_client_stays_here() {
    let stage = Stage::open(vec![Scene::answer()]).await;
    let mut plan = Plan::serving(&[("m", &["up/m"])]);
    plan.upstream = Some(stage.addr);
    plan.keys = hired(Quota::unlimited());
    let house = House::open(plan).await;
    assert_eq!(chat_as(&house, USER, &chat("m")).await.status, 200);
    let seen = stage.seen().remove(0);
    assert!(!format!("{seen:?}").contains(USER), "{seen:?}");
    let authorization = seen.header("authorization");
    assert_eq!(authorization.as_deref(), Some("Bearer sk-of-the-operator"));
}

#[tokio::test]
async fn the_body_of_a_stranger_is_not_read() {
    let house = house().await;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\ncontent-length: 1000000\r\n\r\n";
    let mut call = gateway::Call::open(house.addr, head.as_bytes()).await;
    call.until("401").await;
}

#[tokio::test]
async fn who_was_not_let_in_is_counted_by_reason() {
    let house = house().await;
    for key in [None, None, Some(EXPIRED), Some("x"), Some("y"), Some(USER)] {
        house
            .ask(&request("GET /v1/stats", &with_key(key), b""))
            .await;
    }
    house.ask(&get("/health/live")).await;
    let raw = request("GET /metrics", &with_key(Some(ADMIN)), b"");
    let text = house.ask(&raw).await.text();
    for (reason, count) in [("missing", 2), ("unknown", 3), ("forbidden", 1)] {
        let line = format!("tidegate_denied_total{{reason=\"{reason}\"}} {count}\n");
        assert!(text.contains(&line), "no {line:?} in {text}");
    }
}

async fn post_as(house: &House, key: &str, path: &str, body: &Value) -> Reply {
    let json = format!("content-type: application/json\r\n{}", with_key(Some(key)));
    let head = format!("POST {path}");
    house
        .ask(&request(&head, &json, body.to_string().as_bytes()))
        .await
}

async fn chat_as(house: &House, key: &str, body: &Value) -> Reply {
    post_as(house, key, "/v1/chat/completions", body).await
}

#[tokio::test]
async fn a_reservation_of_one_tenant_does_not_exist_for_another() {
    let house = house().await;
    let held = post_as(&house, USER, "/v1/limits/m/reserve", &json!({"tokens": 5})).await;
    let reservation = held.json()["reservation"].clone();
    let body = json!({"reservation": reservation, "tokens": 5, "success": false});
    let settle = async |key| {
        post_as(&house, key, "/v1/limits/settle", &body)
            .await
            .outcome()
    };
    let absent = (404, "reservation_not_found".to_owned());
    assert_eq!(settle(OTHER).await, absent);
    // Not even an operator's.
    assert_eq!(settle(ADMIN).await, absent);
    assert_eq!(settle(USER).await.0, 200);
    assert_eq!(settle(USER).await, absent);
}

#[tokio::test]
async fn no_disguise_ends_a_reservation_of_another_tenant() {
    let house = house().await;
    let held = post_as(&house, USER, "/v1/limits/m/reserve", &json!({"tokens": 5})).await;
    let reservation = held.json()["reservation"].clone();
    let body = json!({"reservation": reservation, "tokens": 5, "success": true});
    for key in [OTHER, ADMIN] {
        for disguise in &DISGUISES {
            let headers = format!("content-type: application/json\r\n{}", with_key(Some(key)));
            let raw = disguise.wear("POST", "/v1/limits/settle", &headers, &body.to_string());
            let reply = house.ask(&raw).await;
            let refused = matches!(reply.status, 401 | 404 | 405)
                || (reply.status == 400 && disguise.has_malformed_host());
            assert!(refused, "{disguise:?} -> {}", reply.status);
        }
    }
    let settled = post_as(&house, USER, "/v1/limits/settle", &body).await;
    assert_eq!(settled.status, 200, "{}", settled.text());
}

#[tokio::test]
async fn a_cached_answer_of_one_tenant_is_never_served_to_another() {
    let house = house().await;
    let asked = cached(chat("m"), "use");
    let cache = async |key| {
        let reply = chat_as(&house, key, &asked).await;
        reply.header("x-tidegate-cache").unwrap().to_owned()
    };
    assert_eq!(cache(USER).await, "miss");
    for key in [OTHER, ADMIN] {
        assert_eq!(cache(key).await, "miss");
        assert_eq!(cache(key).await, "hit");
    }
    assert_eq!(cache(USER).await, "hit");
    // Another key of the same tenant is the same tenant.
    assert_eq!(cache(staff::USER_NEXT).await, "hit");
}

#[tokio::test]
async fn the_limits_of_one_tenant_do_not_touch_another() {
    let quota = Quota {
        requests: Some(3),
        ..Quota::unlimited()
    };
    let house = house_with(quota).await;
    let asked = chat("m");
    for key in [USER, staff::USER_NEXT, USER] {
        assert_eq!(chat_as(&house, key, &asked).await.status, 200);
    }
    // Both keys of the tenant share its limit.
    for key in [USER, staff::USER_NEXT] {
        let refused = chat_as(&house, key, &asked).await;
        assert_eq!(refused.outcome(), (429, "tenant_limit_exceeded".to_owned()));
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((50..=61).contains(&wait), "{wait}");
        let again = refused.header("x-should-retry");
        assert_eq!(again, None, "the client may wait and repeat");
    }
    assert_eq!(chat_as(&house, OTHER, &asked).await.status, 200);
}

#[tokio::test]
async fn without_keys_everybody_is_the_operator() {
    let house = House::open(Plan::serving(&[("m", &["up/answer"])])).await;
    for key in [None, Some("whatever")] {
        let raw = request("GET /v1/stats", &with_key(key), b"");
        assert_eq!(house.ask(&raw).await.status, 200);
    }
    assert_eq!(
        house
            .ask(&post("/v1/models/m/reset", &json!({})))
            .await
            .status,
        200
    );
}

/// A file with two keys, one of them an operator's, on an address that other
/// machines reach.
const OPEN: &str = "server.bind = \"0.0.0.0:0\"\n\
    [[keys]]\ntenant = \"a\"\nkey = \"env:USER_KEY\"\n\
    [[keys]]\ntenant = \"a\"\nkey = \"env:OLD_KEY\"\nexpires_at = 2020-01-01T00:00:00Z\n\
    [[keys]]\ntenant = \"ops\"\nkey = \"env:ADMIN_KEY\"\nrole = \"admin\"\n";

const OPEN_ENV: [(&str, &str); 3] = [
    ("USER_KEY", USER),
    ("OLD_KEY", EXPIRED),
    ("ADMIN_KEY", ADMIN),
];

#[tokio::test]
async fn the_program_listens_for_other_machines_once_there_are_keys() {
    let (bind, keys) = OPEN.split_once('\n').unwrap();
    let (status, said) = Program::serve(bind, &[]).await.expect_err("it needs keys");
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("add [[keys]]"), "{said}");
    assert!(keys.starts_with("[[keys]]"));
    let program = Program::serve(OPEN, &OPEN_ENV).await.unwrap();
    let status = async |path: &str, key| {
        let raw = request(&format!("GET {path}"), &with_key(key), b"");
        ask(program.addr, &raw).await.status
    };
    assert_eq!(status("/v1/models", None).await, 401);
    assert_eq!(status("/v1/models", Some(EXPIRED)).await, 401);
    assert_eq!(status("/v1/models", Some(USER)).await, 200);
    assert_eq!(status("/v1/stats", Some(USER)).await, 403);
    assert_eq!(status("/v1/stats", Some(ADMIN)).await, 200);
    assert_eq!(status("/health/ready", None).await, 200);
    program.terminate().await;
    let (_, said) = program.ended().await;
    assert!(
        said.contains("callers need one of the configured keys"),
        "{said}"
    );
    assert!(said.contains("-H \"authorization: Bearer $KEY\""), "{said}");
}

#[tokio::test]
async fn a_diagnosis_counts_keys_and_tenants_and_names_what_is_missing() {
    let folder = Folder::with_config(OPEN);
    let diagnosis = run_with(&folder, &["doctor"], &OPEN_ENV).await;
    let said = String::from_utf8(diagnosis.stdout).unwrap();
    assert!(said.contains("keys: 3, of 2 tenants"), "{said}");
    assert!(
        said.contains("warn a key of tenant a has expired"),
        "{said}"
    );
    assert!(!said.contains("has the role admin"), "{said}");
    let (users, _) = OPEN.rsplit_once("[[keys]]").unwrap();
    let folder = Folder::with_config(users);
    let diagnosis = run_with(&folder, &["doctor"], &OPEN_ENV).await;
    let said = String::from_utf8(diagnosis.stdout).unwrap();
    assert!(
        said.contains("warn no valid key has the role admin"),
        "{said}"
    );
}
