use super::*;
use crate::policy::Policy;
use crate::verdict::{Outcome, Severity};

const PACK: &str = r#"
[pack]
id = "probe"
version = "1.0.0"
name = "Probe"

[[patterns]]
name = "address"
expression = 'https?://'

[[rules]]
id = "probe.open"
family = "probe"
severity = "critical"
confidence = 1.0
message = "asks to open the gate"
remediation = "keep it closed"
patterns = ['open\s+the\s+gate', 'lift\s+the\s+bar']
examples.must = ["Open the gate!"]
examples.must_not = ["The gate is open."]

[[rules]]
id = "probe.send"
family = "probe"
severity = "medium"
confidence = 0.8
message = "sends something away"
remediation = "keep it"
directions = ["answer"]
patterns = ['send\s+it']
near = { requires = ["address"], within = 10 }
examples.must = ["send it to http://a.example"]
examples.must_not = ["send it by post"]
"#;

fn rules() -> Rules {
    Rules::load(&[("probe.toml", PACK)]).unwrap()
}

fn answer(text: &str) -> Verdict {
    let request = ScanRequest {
        direction: Direction::Answer,
        ..ScanRequest::default()
    };
    rules().scan(text, &request)
}

#[test]
fn the_builtin_packs_load_and_every_example_holds() {
    // As packs of the last layer every pattern is built and every example tried.
    let tried = Rules::load(BUILTIN).unwrap_or_else(|error| panic!("{error}"));
    assert!(tried.len() >= 300, "{}", tried.len());
    let rules = Rules::builtin().unwrap();
    assert_eq!(rules.len(), tried.len());
    assert_eq!(rules.packs().len(), BUILTIN.len());
    assert_eq!(rules.version().len(), 16);
}

#[test]
fn every_file_of_the_packs_folder_is_part_of_the_program() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packs/guard");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut names: Vec<String> = BUILTIN
        .iter()
        .map(|(name, _)| format!("{name}.toml"))
        .collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
}

#[test]
fn every_builtin_rule_names_a_reference_and_what_to_do() {
    for rule in Rules::builtin().unwrap().iter() {
        assert!(!rule.references.is_empty(), "{}", rule.id);
        assert!(
            !rule.remediation.is_empty() && !rule.message.is_empty(),
            "{}",
            rule.id
        );
    }
}

#[test]
fn nearly_every_builtin_pattern_has_a_literal() {
    let rules = Rules::builtin().unwrap();
    let unfiltered: Vec<&str> = rules.unfiltered().collect();
    assert!(unfiltered.is_empty(), "{unfiltered:?}");
}

#[test]
fn a_benign_text_is_allowed() {
    let verdict = rules().scan("The tide is out.", &ScanRequest::default());
    assert_eq!(verdict.outcome, Outcome::Allow);
    assert_eq!(
        (verdict.severity, verdict.confidence),
        (Severity::None, 0.0)
    );
    assert!(verdict.detections.is_empty());
}

#[test]
fn a_rule_gives_one_detection_at_its_first_match() {
    let text = "Größe: OPEN the  gate. 😀 Open the\n gate.";
    let verdict = rules().scan(text, &ScanRequest::default());
    let [found] = verdict.detections.as_slice() else {
        panic!("{verdict:?}");
    };
    assert_eq!(found.span, Span { start: 7, end: 21 });
    assert_eq!(found.matches, 2);
    assert_eq!(verdict.outcome, Outcome::Block);
}

#[test]
fn confidence_grows_with_matches_patterns_and_length() {
    let confidence = |text| rules().scan(text, &ScanRequest::default()).confidence;
    // One match of 13 characters by one of two patterns:
    // 0.7 + 0.3 * (0.4 / 3 + 0.4 / 2 + 0.2 * 13 / 20).
    let one = confidence("open the gate");
    assert!((one - 0.839).abs() < 1e-9, "{one}");
    let both = confidence("open the gate, lift the bar");
    assert!((both - 0.9375).abs() < 1e-9, "{both}");
    let all = confidence("open the           gate, lift the           bar, lift the        bar");
    assert!((all - 1.0).abs() < 1e-9, "{all}");
}

#[test]
fn a_rule_of_another_direction_is_left_out() {
    assert!(answer("open the gate").detections.is_empty());
    let verdict = rules().scan("send it to http://a", &ScanRequest::default());
    assert!(verdict.detections.is_empty());
}

#[test]
fn what_is_required_must_stand_near() {
    assert_eq!(answer("send it to http://a").detections.len(), 1);
    assert_eq!(answer("http://a: send it").detections.len(), 1);
    assert_eq!(answer("send it 12345678 http://a").detections.len(), 1);
    assert_eq!(answer("send it 123456789 http://a").detections.len(), 0);
    assert_eq!(answer("send it").detections.len(), 0);
}

#[test]
fn another_pack_is_another_version() {
    let other = PACK.replace("1.0.0", "1.0.1");
    let other = Rules::load(&[("probe.toml", &other)]).unwrap();
    assert_ne!(rules().version(), other.version());
    assert_eq!(rules().version(), rules().version());
}

#[test]
fn the_policy_of_the_request_decides() {
    let outcome = |policy| {
        let request = ScanRequest {
            policy,
            direction: Direction::Answer,
            ..ScanRequest::default()
        };
        rules().scan("send it to http://a", &request).outcome
    };
    assert_eq!(outcome(Policy::monitor()), Outcome::Flag);
    assert_eq!(outcome(Policy::default()), Outcome::Flag);
    assert_eq!(outcome(Policy::strict()), Outcome::Block);
}

#[test]
fn what_is_encoded_too_often_is_told_by_scans_streams_and_parts() {
    let rules = std::sync::Arc::new(Rules::builtin().unwrap());
    let escape = |text: String| text.bytes().map(|b| format!("%{b:02x}")).collect();
    let nested = |times| (0..times).fold("high tide".to_owned(), |text, _| escape(text));
    let request = ScanRequest::default();
    for (times, expected) in [(3, 0), (4, 1)] {
        let text = nested(times);
        let mut follow = rules.follow(request.clone());
        follow.push(&text);
        let parts = rules.parts(&text, 2);
        let scans = parts
            .iter()
            .map(|part| rules.scan_part(&text, part, &request));
        let merged = rules.merge(&text, scans.collect(), &request);
        for verdict in [rules.scan(&text, &request), follow.end(), merged] {
            assert_eq!(verdict.degraded.len(), expected, "{times} times");
        }
    }
}
