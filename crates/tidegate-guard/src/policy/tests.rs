use std::time::{Duration, SystemTime};

use super::*;
use crate::span::Span;

fn detection(rule: &str, severity: Severity, confidence: f64) -> Detection {
    Detection {
        rule: rule.into(),
        family: rule.split('.').next().unwrap_or_default().into(),
        severity,
        confidence,
        span: Span::default(),
        matches: 1,
        message: "m".into(),
        layer: Layer::L1,
        suppressed: false,
        action: Outcome::Allow,
    }
}

fn file(base: &str, rest: &str) -> String {
    format!("[policy]\nid = \"p\"\nbase = \"{base}\"\n{rest}")
}

#[track_caller]
fn load(base: &str, rest: &str) -> Policy {
    Policy::load("p.toml", &file(base, rest)).unwrap()
}

/// One rule with these conditions, over a base that never blocks.
#[track_caller]
fn blocking(conditions: &str) -> Policy {
    load(
        "monitor",
        &format!("[[rules]]\naction = \"block\"\n{conditions}\n"),
    )
}

fn request() -> ScanRequest {
    ScanRequest {
        tenant: Some("team-a".into()),
        ..ScanRequest::default()
    }
}

#[track_caller]
fn check(conditions: &str, change: impl Fn(&mut Detection, &mut ScanRequest), expected: Outcome) {
    let mut found = detection("pii.email", Severity::Medium, 0.8);
    let mut request = request();
    change(&mut found, &mut request);
    let action = blocking(conditions).action(&found, &request);
    assert_eq!(action, expected, "{conditions}");
}

#[test]
fn every_condition_holds_where_it_says_and_nowhere_else() {
    let (block, flag) = (Outcome::Block, Outcome::Flag);
    let as_is = |_: &mut Detection, _: &mut ScanRequest| {};
    check("", as_is, block);
    check("rules = ['pii.*', 'x']", as_is, block);
    check("rules = ['*.email']", as_is, block);
    check("rules = ['pii', 'pii.e']", as_is, flag);
    check("families = ['p*']", as_is, block);
    check("families = ['pii.email']", as_is, flag);
    check("severity = 'medium'", as_is, block);
    check("severity = 'high'", as_is, flag);
    check("confidence = { min = 0.8 }", as_is, block);
    check("confidence = { min = 0.81 }", as_is, flag);
    check("confidence = { max = 0.8 }", as_is, block);
    check("confidence = { max = 0.79 }", as_is, flag);
    check("layers = ['L1']", as_is, block);
    check("layers = ['L2']", as_is, flag);
    check("layers = ['L2']", |found, _| found.layer = Layer::L2, block);
    check("tenants = ['team-*']", as_is, block);
    check("tenants = ['team-b', 'other']", as_is, flag);
    check("tenants = ['*']", |_, request| request.tenant = None, flag);
    check("directions = ['answer', 'prompt']", as_is, block);
    check("directions = ['answer']", as_is, flag);
    check(
        "directions = ['tool_call']",
        |_, request| request.direction = Direction::ToolCall,
        block,
    );
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let both = |severity: &str| format!("rules = ['pii.*']\nseverity = '{severity}'");
    check(&both("low"), |_, _| {}, Outcome::Block);
    check(&both("high"), |_, _| {}, Outcome::Flag);
    let other = |found: &mut Detection, _: &mut ScanRequest| found.rule = "secrets.jwt".into();
    check(&both("low"), other, Outcome::Flag);
}

#[test]
fn the_highest_priority_decides_and_then_the_order_of_the_file() {
    let policy = load(
        "strict",
        "[[rules]]\nrules = ['pii.*']\naction = 'flag'\n\
         [[rules]]\nrules = ['*.email']\naction = 'redact'\n\
         [[rules]]\nrules = ['pii.iban']\npriority = 1000\naction = 'allow'\n\
         [[rules]]\nrules = ['pii.iban']\npriority = 999\naction = 'block'\n",
    );
    let action = |rule| policy.action(&detection(rule, Severity::High, 0.9), &request());
    assert_eq!(action("pii.email"), Outcome::Flag);
    assert_eq!(action("x.email"), Outcome::Redact);
    assert_eq!(action("pii.iban"), Outcome::Allow);
    assert_eq!(action("secrets.jwt"), Outcome::Block);
}

#[test]
fn what_no_rule_names_goes_to_the_base() {
    let action = |base: &str, severity| {
        let policy = load(base, "[[rules]]\nrules = ['a.b']\naction = 'redact'\n");
        policy.action(&detection("c.d", severity, 0.9), &request())
    };
    assert_eq!(action("monitor", Severity::Critical), Outcome::Flag);
    assert_eq!(action("default", Severity::High), Outcome::Flag);
    assert_eq!(action("default", Severity::Critical), Outcome::Block);
    assert_eq!(action("strict", Severity::Medium), Outcome::Block);
}

#[test]
fn the_worst_action_over_all_detections_is_the_outcome() {
    let rule =
        |rule: &str, action: &str| format!("[[rules]]\nrules = ['{rule}']\naction = '{action}'\n");
    let actions = [
        ("a.a", "allow"),
        ("a.f", "flag"),
        ("a.r", "redact"),
        ("a.b", "block"),
    ];
    let rules: String = actions
        .iter()
        .map(|(id, action)| rule(id, action))
        .collect();
    let request = ScanRequest {
        policy: load("monitor", &rules),
        ..request()
    };
    let outcome = |ids: &[&str]| {
        let found = ids.iter().map(|id| detection(id, Severity::High, 0.9));
        crate::Verdict::decide(&request, found.collect())
    };
    assert_eq!(outcome(&["a.a"]).outcome, Outcome::Allow);
    assert_eq!(outcome(&["a.a"]).severity, Severity::None);
    assert_eq!(outcome(&["a.f", "a.a"]).outcome, Outcome::Flag);
    assert_eq!(outcome(&["a.r", "a.f", "a.a"]).outcome, Outcome::Redact);
    assert_eq!(outcome(&["a.a", "a.b", "a.r"]).outcome, Outcome::Block);
}

const NEW_YEAR: u64 = 1_798_761_600;

fn at(seconds: u64) -> Option<SystemTime> {
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

const SUPPRESSIONS: &str = "
[[suppressions]]
rule = 'pii.*'
reason = 'test data'
expires = 2027-01-01T00:00:00Z
by = 'ops'
[[suppressions]]
rule = 'secrets.jwt'
reason = 'documented example'
";

#[test]
fn a_suppression_lets_its_rules_decide_nothing_until_it_expires() {
    let outcome = |at| {
        let request = ScanRequest {
            policy: load("strict", SUPPRESSIONS),
            at,
            ..request()
        };
        let found = vec![detection("pii.email", Severity::High, 0.9)];
        crate::Verdict::decide(&request, found)
    };
    let before = outcome(at(NEW_YEAR - 1));
    assert_eq!(before.outcome, Outcome::Allow);
    assert!(before.detections[0].suppressed);
    assert_eq!(outcome(at(NEW_YEAR)).outcome, Outcome::Block);
    // Who does not say what time it is gets nothing that can be over.
    assert_eq!(outcome(None).outcome, Outcome::Block);
}

#[test]
fn expired_suppressions_are_reported_and_change_the_edition() {
    let policy = load("default", SUPPRESSIONS);
    let expired = |at| {
        policy
            .expired(at)
            .map(Suppression::pattern)
            .collect::<Vec<_>>()
    };
    assert_eq!(expired(at(0)), Vec::<&str>::new());
    assert_eq!(expired(at(NEW_YEAR)), ["pii.*"]);
    let suppression = policy.suppression_of("pii.email", at(0)).unwrap();
    assert_eq!(suppression.reason, "test data");
    assert_eq!(suppression.by.as_deref(), Some("ops"));
    assert!(policy.suppression_of("pii.email", at(NEW_YEAR)).is_none());
    assert_eq!(policy.edition(at(0)), policy.version());
    assert_ne!(policy.edition(at(NEW_YEAR)), policy.edition(at(0)));
}

#[test]
fn another_content_under_the_same_name_is_another_policy() {
    let one = load("default", "");
    assert_eq!(one, load("default", ""));
    assert_eq!(one.id(), "p");
    let other = load("strict", "");
    assert_ne!(one.version(), other.version());
    assert_ne!(one, other);
    let builtin: Vec<Policy> = Builtin::ALL.iter().map(|one| Policy::from(*one)).collect();
    for (policy, word) in builtin.iter().zip(Builtin::ALL) {
        assert_eq!(
            (policy.id(), policy.builtin()),
            (word.as_str(), Some(*word))
        );
    }
    assert_eq!(one.builtin(), None);
}

#[test]
fn only_what_is_known_to_be_as_strict_is() {
    let own = load("strict", "");
    let [monitor, default, strict] = [0, 1, 2].map(|at| Policy::from(Builtin::ALL[at]));
    assert!(strict.is_at_least(&default) && default.is_at_least(&monitor));
    assert!(default.is_at_least(&default) && own.is_at_least(&own));
    assert!(!default.is_at_least(&strict) && !monitor.is_at_least(&default));
    assert!(!own.is_at_least(&strict) && !strict.is_at_least(&own));
}

#[test]
fn patterns_that_no_rule_fits_are_named() {
    let rules = Rules::builtin().unwrap();
    let policy = load(
        "default",
        "[[rules]]\nrules = ['pii.*', 'pii.emial', 'classifier.attack']\naction = 'flag'\n\
         [[suppressions]]\nrule = 'secret.*'\nreason = 'r'\n",
    );
    assert_eq!(policy.without_rule(&rules), ["pii.emial", "secret.*"]);
}

#[test]
fn only_a_policy_with_such_a_rule_redacts() {
    assert!(!blocking("").redacts());
    assert!(!Policy::strict().redacts());
    assert!(load("monitor", "[[rules]]\naction = 'redact'\n").redacts());
}

#[track_caller]
fn refused(text: &str, place: (usize, usize), problem: &str) {
    let error = Policy::load("p.toml", text).unwrap_err();
    assert_eq!((error.line, error.column), place, "{error}");
    assert!(error.to_string().contains(problem), "{error}");
    assert!(
        error.to_string().starts_with("policy p.toml, line "),
        "{error}"
    );
}

#[test]
fn a_broken_head_is_refused_with_its_place() {
    refused("[policy", (1, 8), "unclosed table");
    refused("[policy]\nid = 'p'\n", (1, 1), "missing field `base`");
    refused(&file("lenient", ""), (3, 8), "unknown variant `lenient`");
    refused(
        &file("default", "colour = 1"),
        (4, 1),
        "unknown field `colour`",
    );
    refused(
        "[policy]\nid = 'strict'\nbase = 'default'",
        (2, 6),
        "built-in policy",
    );
    refused(
        "[policy]\nid = 'A B'\nbase = 'default'",
        (2, 6),
        "the id must be a name",
    );
}

#[test]
fn a_broken_rule_is_refused_with_its_place() {
    let rule = |rest: &str| file("default", &format!("[[rules]]\naction = 'flag'\n{rest}"));
    refused(&rule("rule = 'x'"), (6, 1), "unknown field `rule`");
    refused(&rule("rules = []"), (6, 9), "the list is empty");
    refused(
        &rule("rules = ['a', 'B']"),
        (6, 15),
        "a pattern has 1 to 256",
    );
    refused(
        &rule(&format!("rules = ['{}']", "a".repeat(257))),
        (6, 10),
        "a pattern has",
    );
    refused(
        &rule("priority = 1001"),
        (6, 12),
        "priority 1001 is outside",
    );
    refused(&rule("priority = -1"), (6, 12), "priority -1 is outside");
    refused(
        &rule("confidence = { min = 0.5, max = 0.4 }"),
        (6, 14),
        "min <= max",
    );
    refused(&rule("confidence = { min = nan }"), (6, 14), "min <= max");
    refused(
        &rule("severity = 'awful'"),
        (6, 12),
        "unknown variant `awful`",
    );
    refused(
        &rule("directions = ['up']"),
        (6, 15),
        "unknown variant `up`",
    );
    refused(
        &file("default", "[[rules]]\naction = 'warn'"),
        (5, 10),
        "unknown variant `warn`",
    );
}

#[test]
fn a_broken_suppression_is_refused_with_its_place() {
    let suppression = |rest: &str| file("default", &format!("[[suppressions]]\n{rest}"));
    refused(
        &suppression("rule = 'a.*'"),
        (4, 1),
        "missing field `reason`",
    );
    refused(
        &suppression("rule = 'a.*'\nreason = ' '"),
        (6, 10),
        "needs 1 to 500",
    );
    refused(
        &suppression("rule = '*'\nreason = 'r'"),
        (5, 8),
        "switches the guard off",
    );
    let expires =
        |value: &str| suppression(&format!("rule = 'a.b'\nreason = 'r'\nexpires = {value}"));
    for value in ["'soon'", "7", "2027-01-01", "'2027-01-01T00:00:00'"] {
        refused(&expires(value), (7, 11), "expires must be a time");
    }
}

#[test]
fn a_policy_holds_a_thousand_rules_and_suppressions_and_no_more() {
    let rules = |count| file("default", &"[[rules]]\naction = 'flag'\n".repeat(count));
    assert!(Policy::load("p.toml", &rules(1_000)).is_ok());
    refused(&rules(1_001), (3 + 2 * 1_001, 10), "more than 1000 rules");
    let row = "[[suppressions]]\nrule = 'a.b'\nreason = 'r'\n";
    let suppressions = |count| file("default", &row.repeat(count));
    assert!(Policy::load("p.toml", &suppressions(1_000)).is_ok());
    let place = (3 + 3 * 1_001 - 1, 8);
    refused(&suppressions(1_001), place, "more than 1000 suppressions");
    let large = format!("{}#{}", file("default", ""), "x".repeat(1 << 20));
    refused(&large, (1, 1), "more than 1048576 bytes");
}
