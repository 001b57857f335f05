//! Which policy judges a scan, and what its file can say.

use serde_json::{Value, json};
use tidegate::{KeyRing, Pass, Role};
use tidegate_engine::{Caller, Chosen, Policy, PolicySource, Quota, Rollout};

use super::{ADDRESS, ADDRESS_RULE, ATTACK, CARD, scan, verdict};
use crate::gateway::{House, Plan, Reply, check_refusal, get, request};

const USER_KEY: &str = "user-key-of-16-or-more";
const BARE_KEY: &str = "bare-key-of-16-or-more";
const ADMIN_KEY: &str = "admin-key-of-16-or-more";

fn policy(id: &str, base: &str, rest: &str) -> Policy {
    let text = format!("[policy]\nid = \"{id}\"\nbase = \"{base}\"\n{rest}");
    Policy::load("test.toml", &text).unwrap()
}

fn plan() -> Plan {
    Plan::serving(&[("m", &["up/answer"])])
}

/// What decided, by whose choice, and what came of it.
fn decision(found: &Value) -> [&str; 3] {
    ["policy", "policy_source", "verdict"].map(|key| found[key].as_str().unwrap())
}

/// A gate with two keys that demand a policy, a user's and an admin's, and one
/// that does not.
async fn keyed(demanded: Policy) -> House {
    let mut plan = plan();
    plan.guard.policies = vec![policy("own", "strict", "")];
    let caller = Caller::new("team-a", Quota::unlimited());
    let passes = [
        (USER_KEY, Role::User, caller.clone().under(demanded.clone())),
        (ADMIN_KEY, Role::Admin, caller.clone().under(demanded)),
        (BARE_KEY, Role::User, caller),
    ];
    plan.keys = KeyRing::default();
    for (secret, role, caller) in passes {
        let expires_at = None;
        let pass = Pass {
            caller,
            role,
            expires_at,
        };
        plan.keys.add(secret, pass);
    }
    House::open(plan).await
}

async fn with_key(house: &House, key: &str, body: Value) -> Reply {
    let headers = format!("content-type: application/json\r\nx-api-key: {key}\r\n");
    let body = body.to_string();
    let raw = request("POST /v1/scan", &headers, body.as_bytes());
    house.ask(&raw).await
}

#[tokio::test]
async fn the_request_comes_before_the_key_the_key_before_the_gate() {
    let house = keyed(Policy::default()).await;
    let judged = async |key, body| with_key(&house, key, body).await.json();
    let asked = json!({"text": CARD, "policy": "strict"});
    let found = judged(USER_KEY, asked).await;
    assert_eq!(decision(&found), ["strict", "request", "block"]);
    let found = judged(USER_KEY, json!({"text": CARD})).await;
    assert_eq!(decision(&found), ["default", "key", "flag"]);
    let found = judged(BARE_KEY, json!({"text": CARD})).await;
    assert_eq!(decision(&found), ["default", "default", "flag"]);
    let asked = json!({"text": CARD, "policy": "own"});
    let found = judged(BARE_KEY, asked).await;
    assert_eq!(decision(&found), ["own", "request", "block"]);
    let mut plan = plan();
    plan.guard.chosen = Chosen {
        policy: Policy::strict(),
        source: PolicySource::File,
    };
    let house = House::open(plan).await;
    let found = verdict(&house, json!({"text": CARD})).await;
    assert_eq!(decision(&found), ["strict", "file", "block"]);
}

#[tokio::test]
async fn a_request_does_not_talk_a_users_key_out_of_its_policy() {
    let house = keyed(Policy::default()).await;
    for milder in ["monitor", "own"] {
        let asked = json!({"text": ATTACK, "policy": milder});
        let refused = with_key(&house, USER_KEY, asked.clone()).await;
        check_refusal(&refused, 403, "policy_not_allowed", Some("policy"));
        let found = with_key(&house, ADMIN_KEY, asked).await.json();
        assert_eq!(decision(&found)[..2], [milder, "request"]);
    }
    let same = json!({"text": ATTACK, "policy": "default"});
    assert_eq!(with_key(&house, USER_KEY, same).await.status, 200);
}

#[tokio::test]
async fn a_request_names_policies_and_never_files() {
    let mut plan = plan();
    plan.guard.policies = vec![policy("own", "strict", "")];
    let house = House::open(plan).await;
    for path in ["own.toml", "./own", "/etc/passwd", "Own", ""] {
        let refused = scan(&house, &json!({"text": "x", "policy": path})).await;
        check_refusal(&refused, 400, "invalid_parameter", Some("policy"));
        let message = refused.json()["error"]["message"].to_string();
        assert!(
            message.contains("monitor, default, strict, own"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn the_version_of_a_policy_is_that_of_its_content() {
    let version = async |base| {
        let mut plan = plan();
        plan.guard.policies = vec![policy("own", base, "")];
        let house = House::open(plan).await;
        let found = verdict(&house, json!({"text": "x", "policy": "own"})).await;
        found["policy_version"].as_str().unwrap().to_owned()
    };
    assert_ne!(version("strict").await, version("default").await);
    assert_eq!(version("strict").await, version("strict").await);
}

#[tokio::test]
async fn a_file_decides_by_rule_tenant_and_direction() {
    let rules = "
[[rules]]
rules = ['*.email']
directions = ['answer']
action = 'block'
[[rules]]
rules = ['pii.*']
tenants = ['team-*']
action = 'allow'
";
    let mut plan = plan();
    plan.guard.chosen.policy = policy("own", "monitor", rules);
    let local = House::open(plan).await;
    let of = async |direction| {
        let body = json!({"text": ADDRESS, "direction": direction});
        verdict(&local, body).await["verdict"].clone()
    };
    assert_eq!(of("answer").await, "block");
    assert_eq!(of("prompt").await, "flag");
    let keyed = keyed(policy("own2", "monitor", rules)).await;
    let found = with_key(&keyed, USER_KEY, json!({"text": ADDRESS}))
        .await
        .json();
    assert_eq!(decision(&found), ["own2", "key", "allow"]);
    assert_eq!(found["detections"][0]["rule_id"], ADDRESS_RULE);
    assert_eq!(found["detections"][0]["action"], "allow");
    assert_eq!(found["has_threats"], false);
}

fn suppressing(expires: &str) -> Policy {
    let row =
        format!("[[suppressions]]\nrule = 'pii.*'\nreason = 'test data'\nexpires = {expires}\n");
    policy("own", "strict", &row)
}

#[tokio::test]
async fn a_suppression_of_the_file_holds_until_it_expires_and_is_counted() {
    let judged = async |expires| {
        let mut plan = plan();
        plan.guard.chosen.policy = suppressing(expires);
        let house = House::open(plan).await;
        let found = verdict(&house, json!({"text": CARD})).await;
        let metrics = house.ask(&get("/metrics")).await.text();
        let counted = "tidegate_guard_suppressed_total{rule=\"pii.payment_card\"} 1";
        (found, metrics.contains(counted))
    };
    let (found, counted) = judged("2999-01-01T00:00:00Z").await;
    assert_eq!((&found["verdict"], counted), (&json!("allow"), true));
    assert_eq!(found["detections"][0]["suppressed"], true);
    assert_eq!(found["detections"][0]["action"], "allow");
    let (found, counted) = judged("2020-01-01T00:00:00Z").await;
    assert_eq!((&found["verdict"], counted), (&json!("block"), false));
}

#[tokio::test]
async fn a_rollout_decides_or_only_asks_and_leaves_named_policies_alone() {
    let judged = async |share, decides, body| {
        let mut plan = plan();
        plan.guard.rollout = Some(Rollout {
            policy: Policy::strict(),
            share,
            decides,
            model: None,
        });
        let house = House::open(plan).await;
        verdict(&house, body).await
    };
    let text = json!({"text": CARD});
    let found = judged(1.0, true, text.clone()).await;
    assert_eq!(decision(&found), ["strict", "rollout", "block"]);
    let found = judged(1.0, false, text.clone()).await;
    assert_eq!(decision(&found), ["default", "default", "flag"]);
    let found = judged(0.0, true, text).await;
    assert_eq!(decision(&found), ["default", "default", "flag"]);
    let named = json!({"text": CARD, "policy": "default"});
    let found = judged(1.0, true, named).await;
    assert_eq!(decision(&found), ["default", "request", "flag"]);
}

const CARDS: &str = "[[rules]]\nrules = ['pii.payment_card']\naction = 'redact'\n";

#[tokio::test]
async fn the_text_comes_back_without_what_is_redacted_only_when_asked() {
    let mut plan = plan();
    plan.guard.chosen.policy = policy("own", "default", CARDS);
    let house = House::open(plan).await;
    let text = format!("pay with {CARD}, please");
    let found = verdict(&house, json!({"text": text, "redact": true})).await;
    assert_eq!(found["verdict"], "redact");
    let redacted = "pay with [redacted:pii.payment_card], please";
    assert_eq!(found["redacted_text"], redacted);
    let found = verdict(&house, json!({"text": "hello", "redact": true})).await;
    assert_eq!(found["redacted_text"], Value::Null);
    let unasked = verdict(&house, json!({"text": text})).await;
    assert_eq!(unasked.get("redacted_text"), None);
    let both = json!({"texts": ["hello", text], "redact": true});
    let results = verdict(&house, both).await["results"].clone();
    assert_eq!(results[0]["redacted_text"], Value::Null);
    assert_eq!(results[1]["redacted_text"], redacted);
}

#[tokio::test]
async fn many_texts_are_judged_as_one_by_one_and_in_their_order() {
    let house = House::open(plan()).await;
    let pieces = ["hello", ATTACK, ADDRESS, CARD];
    let texts: Vec<String> = (0..64)
        .map(|n| format!("{} {}", pieces[n % 4], "tide ".repeat(n * 20)))
        .collect();
    let results = verdict(&house, json!({"texts": texts})).await["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 64);
    for (text, together) in texts.iter().zip(results.as_array().unwrap()) {
        let alone = verdict(&house, json!({"text": text})).await;
        for key in ["verdict", "detections", "text_sha256", "policy_source"] {
            assert_eq!(together[key], alone[key], "{key}");
        }
    }
}

#[tokio::test]
async fn the_agreement_of_two_policies_is_shown() {
    let mut plan = plan();
    plan.guard.rollout = Some(Rollout {
        policy: Policy::strict(),
        share: 1.0,
        decides: false,
        model: None,
    });
    let house = House::open(plan).await;
    for text in ["hello", CARD, CARD, ATTACK] {
        verdict(&house, json!({"text": text})).await;
    }
    verdict(&house, json!({"texts": [CARD]})).await;
    let stats = house.ask(&get("/v1/stats")).await.json();
    let rollout = &stats["guard"]["rollout"];
    let row = |own, candidate, count| json!({"outcome": own, "candidate_outcome": candidate, "count": count});
    let expected = [
        row("allow", "allow", 1),
        row("flag", "block", 3),
        row("block", "block", 1),
    ];
    assert_eq!(rollout["agreement"], json!(expected));
    assert_eq!(
        (&rollout["policy"], &rollout["share"]),
        (&json!("strict"), &json!(1.0))
    );
    let metrics = house.ask(&get("/metrics")).await.text();
    let line = "tidegate_guard_rollout_total{policy=\"default\",candidate=\"strict\",\
        outcome=\"flag\",candidate_outcome=\"block\"} 3";
    assert!(metrics.contains(line), "{metrics}");
}
