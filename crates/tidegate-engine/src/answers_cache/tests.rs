use std::collections::HashSet;

use proptest::prelude::*;
use tidegate_guard::{Builtin, ClassifierTerms, Mode, Policy};
use tidegate_provider::Dialect;

use super::*;
use crate::caller::Caller;
use crate::guard::{Guard, GuardConfig, Scanning};
use crate::policies::{Chosen, PolicySource, Terms};

/// Everything that a key is made of.
#[derive(Debug, Clone, PartialEq)]
struct Asking {
    tenant: String,
    guard: String,
    domain: Option<String>,
    origins: Vec<(String, String)>,
    dialect: Dialect,
    stream: bool,
    /// `model`, `messages` or `prompt`, and any others: names and JSON.
    fields: Vec<(String, String)>,
}

impl Asking {
    fn key(&self) -> Name {
        let mut fields: Vec<String> = self
            .fields
            .iter()
            .map(|(name, json)| format!("{name:?}:{json}"))
            .collect();
        if self.stream {
            fields.push(r#""stream":true"#.to_owned());
        }
        let body = Bytes::from(format!("{{{}}}", fields.join(",")));
        let request = ChatRequest::parse_as(self.dialect, body).unwrap();
        let origins: Vec<(Arc<str>, Arc<str>)> = self
            .origins
            .iter()
            .map(|(entry, origin)| (entry.as_str().into(), origin.as_str().into()))
            .collect();
        let of = Circumstances {
            tenant: &self.tenant,
            guard: &self.guard,
            domain: self.domain.as_deref(),
            origins: &origins,
        };
        CachedAnswer::key(&of, &request)
    }
}

fn asking() -> Asking {
    let field = |name: &str, json: &str| (name.to_owned(), json.to_owned());
    Asking {
        tenant: "t".to_owned(),
        guard: "g".to_owned(),
        domain: None,
        origins: vec![("p/m".to_owned(), "openai http://a".to_owned())],
        dialect: Dialect::Chat,
        stream: false,
        fields: vec![
            field("model", r#""m""#),
            field("messages", r#"[{"role":"user","content":"x"}]"#),
        ],
    }
}

fn with(name: &str, json: &str) -> Name {
    let mut asking = asking();
    asking.fields.push((name.to_owned(), json.to_owned()));
    asking.key()
}

/// The digest alone: the owner is a name of its own besides.
fn digest(name: &Name) -> &str {
    &name.key
}

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9/:|,.\"\\\\ ]{0,6}"
}

fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i16>().prop_map(|number| number.to_string()),
        any::<f32>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        any::<bool>().prop_map(|is| is.to_string()),
        word().prop_map(|word| serde_json::to_string(&word).unwrap()),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(|list| format!("{list:?}")),
    ]
}

/// Fields that may be added: real ones, and one that nobody knows yet.
const NAMES: [&str; 9] = [
    "temperature",
    "top_p",
    "seed",
    "stop",
    "tools",
    "tool_choice",
    "logit_bias",
    "reasoning_effort",
    "something_new",
];

/// One difference.
#[derive(Debug, Clone)]
enum Change {
    Tenant(String),
    Guard(String),
    Domain(String),
    Entry(String),
    Origin(String),
    SecondEntry(String),
    Stream,
    Dialect,
    Model(String),
    Said(String),
    Field(usize, String),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        word().prop_map(Change::Tenant),
        word().prop_map(Change::Guard),
        word().prop_map(Change::Domain),
        word().prop_map(Change::Entry),
        word().prop_map(Change::Origin),
        word().prop_map(Change::SecondEntry),
        Just(Change::Stream),
        Just(Change::Dialect),
        "[a-z0-9]{1,6}".prop_map(Change::Model),
        word().prop_map(Change::Said),
        (0..NAMES.len(), json()).prop_map(|(name, json)| Change::Field(name, json)),
    ]
}

fn changed(mut asking: Asking, change: &Change) -> Asking {
    match change {
        Change::Tenant(word) => asking.tenant.clone_from(word),
        Change::Guard(word) => asking.guard.clone_from(word),
        Change::Domain(word) => asking.domain = Some(word.clone()),
        Change::Entry(word) => asking.origins[0].0.clone_from(word),
        Change::Origin(word) => asking.origins[0].1.clone_from(word),
        Change::SecondEntry(word) => asking.origins.push((word.clone(), String::new())),
        Change::Stream => asking.stream = !asking.stream,
        Change::Dialect => {
            // Anthropic's wants a bound; it is there in both.
            asking.dialect = match asking.dialect {
                Dialect::Chat | Dialect::Completion => Dialect::Messages,
                Dialect::Messages => Dialect::Chat,
            };
        }
        Change::Model(word) => asking.fields[0].1 = format!("{word:?}"),
        Change::Said(word) => {
            let said = serde_json::to_string(word).unwrap();
            asking.fields[1].1 = format!(r#"[{{"role":"user","content":{said}}}]"#);
        }
        Change::Field(name, json) => {
            let name = NAMES[*name];
            asking.fields.retain(|(known, _)| known != name);
            // The one of them whose kind is checked here.
            let json = match name {
                "tools" => format!("[{json}]"),
                _ => json.clone(),
            };
            asking.fields.push((name.to_owned(), json));
        }
    }
    asking
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Two requests that differ in anything have two keys, and equal ones have
    /// one, in whatever order their fields come.
    #[test]
    fn any_single_difference_makes_another_key(
        before in prop::collection::vec(change(), 0..6),
        one in change(),
    ) {
        let mut asking = asking();
        asking.fields.push(("max_tokens".to_owned(), "9".to_owned()));
        let asking = before.iter().fold(asking, changed);
        let other = changed(asking.clone(), &one);
        let mut turned = asking.clone();
        turned.fields.reverse();
        prop_assert_eq!(asking.key(), turned.key());
        let sorted = |mut asking: Asking| {
            asking.fields.sort();
            asking
        };
        let same = sorted(asking.clone()) == sorted(other.clone());
        let (one, other) = (asking.key(), other.key());
        prop_assert_eq!(digest(&one) == digest(&other), same);
    }

    /// Whatever lies under our keys, reading it never panics, and nothing that
    /// was not written here is read as an answer of another length.
    #[test]
    fn other_bytes_are_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut kept = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, STREAM];
        kept.extend(&bytes);
        for bytes in [bytes, kept] {
            let _ = CachedAnswer::decode(&Bytes::from(bytes));
        }
    }
}

#[test]
fn a_stream_that_is_not_asked_for_is_the_same_as_none() {
    assert_eq!(asking().key(), with("stream", "false"));
    assert_ne!(asking().key(), with("stream", "true"));
}

#[test]
fn space_between_the_parts_of_json_makes_no_difference_and_within_strings_it_does() {
    let said = |json: &str| {
        let mut asking = asking();
        asking.fields[1].1 = json.to_owned();
        asking.key()
    };
    let plain = said(r#"[{"role":"user","content":"a \" b"}]"#);
    assert_eq!(
        plain,
        said("[ {\"role\" : \"user\",\n\t\"content\": \"a \\\" b\" } ]")
    );
    assert_ne!(plain, said(r#"[{"role":"user","content":"a \"b"}]"#));
    assert_ne!(plain, said(r#"[{"role":"user","content":"a \\","b":" "}]"#));
}

#[test]
fn neighbours_do_not_run_together() {
    let two = |a: &str, b: &str| {
        let mut asking = asking();
        asking.fields.push(("a".to_owned(), a.to_owned()));
        asking.fields.push(("b".to_owned(), b.to_owned()));
        asking.key()
    };
    assert_ne!(two("12", "3"), two("1", "23"));
    let between = |tenant: &str, guard: &str| {
        let mut asking = asking();
        asking.tenant = tenant.to_owned();
        asking.guard = guard.to_owned();
        asking.key().key
    };
    assert_ne!(between("ab", "c"), between("a", "bc"));
}

#[test]
fn an_answer_that_passed_one_policy_does_not_stand_for_one_under_another() {
    let file = |base: &str| {
        let text = format!("[policy]\nid = 'p'\nbase = '{base}'");
        Policy::load("p.toml", &text).unwrap()
    };
    let guard = |scanning| {
        let config = GuardConfig {
            scanning,
            ..GuardConfig::default()
        };
        Guard::new(config, None).unwrap()
    };
    let key = |policy: Policy, scanning| {
        let chosen = Chosen {
            policy,
            source: PolicySource::Request,
        };
        let terms = Terms::new(chosen, &Caller::default(), Mode::default());
        let mut asking = asking();
        asking.guard = guard(scanning).version(&terms);
        asking.key()
    };
    let mut keys: HashSet<Name> = HashSet::new();
    for policy in Builtin::ALL {
        keys.insert(key(Policy::from(*policy), Scanning::On));
        keys.insert(key(Policy::from(*policy), Scanning::Off));
    }
    keys.insert(key(file("default"), Scanning::On));
    keys.insert(key(file("strict"), Scanning::On));
    assert_eq!(keys.len(), 6);
}

#[test]
fn an_answer_that_passed_one_classifier_does_not_stand_for_one_under_another() {
    let key = |mode, classifier: Option<ClassifierTerms>| {
        let config = GuardConfig {
            mode,
            classifier,
            ..GuardConfig::default()
        };
        let guard = Guard::new(config, None).unwrap();
        let terms = guard.terms(&Caller::default(), None, Vec::new).unwrap();
        let mut asking = asking();
        asking.guard = guard.version(&terms);
        asking.key()
    };
    let own = || Some(ClassifierTerms::builtin());
    let mut strange = ClassifierTerms::builtin();
    strange.cancel_confidence = 0.9;
    let keys: HashSet<Name> = HashSet::from([
        key(Mode::Fast, own()),
        key(Mode::Balanced, own()),
        key(Mode::Thorough, own()),
        key(Mode::Balanced, None),
        key(Mode::Balanced, Some(strange)),
    ]);
    assert_eq!(keys.len(), 5);
    assert_eq!(key(Mode::Balanced, own()), key(Mode::Balanced, own()));
}

fn head(guarded: Option<Guarded>) -> AnswerHead {
    AnswerHead {
        model: "p/m".into(),
        attempts: 1,
        degraded: Vec::new(),
        cached: Cached::Miss,
        upstream: Duration::ZERO,
        waited: Duration::ZERO,
        guarded,
        usage: None,
    }
}

fn flagged() -> Guarded {
    Guarded {
        outcome: Outcome::Flag,
        rules: vec!["a.b".into(), "c.d".into()],
        degraded: Vec::new(),
    }
}

fn chunks() -> Vec<Chunk> {
    let chunk = |event: Option<&'static str>, json: &'static str, facts| Chunk {
        event: event.map(Into::into),
        json: Bytes::from_static(json.as_bytes()),
        facts,
    };
    let content = ChunkFacts {
        has_content: true,
        ..ChunkFacts::default()
    };
    let end = ChunkFacts {
        finished: 2,
        ..ChunkFacts::default()
    };
    let usage = ChunkFacts {
        without_choices: true,
        usage: Some(Usage {
            prompt_tokens: 3,
            completion_tokens: 4,
        }),
        ..ChunkFacts::default()
    };
    vec![
        chunk(Some("message_start"), "{}", ChunkFacts::default()),
        chunk(None, r#"{"a":"é"}"#, content),
        chunk(None, "", end),
        chunk(None, "{}", usage),
    ]
}

#[test]
fn what_was_kept_comes_back_whole() {
    let body = Bytes::from_static(b"{}");
    for guarded in [None, Some(flagged())] {
        let kept = CachedAnswer::encode_whole(&head(guarded.clone()), &body);
        let kept = CachedAnswer::decode(&kept).unwrap();
        assert_eq!((&*kept.model, &kept.guarded), ("p/m", &guarded));
        assert!(matches!(kept.body, KeptBody::Whole(whole) if whole == body));
    }
}

#[test]
fn what_was_kept_of_a_stream_comes_back_event_by_event() {
    let kept = CachedAnswer::encode_stream(&head(Some(flagged())), &chunks());
    let kept = CachedAnswer::decode(&kept).unwrap();
    let KeptBody::Stream(replayed) = kept.body else {
        panic!("no stream");
    };
    assert_eq!(kept.guarded, Some(flagged()));
    for (chunk, replayed) in chunks().iter().zip(&replayed) {
        assert_eq!(
            (&chunk.event, &chunk.json, chunk.facts),
            (&replayed.event, &replayed.json, replayed.facts)
        );
    }
    assert_eq!(replayed.len(), chunks().len());
}

#[test]
fn half_a_stream_is_no_answer() {
    let kept = CachedAnswer::encode_stream(&head(None), &chunks());
    for length in 0..kept.len() {
        assert!(
            CachedAnswer::decode(&kept.slice(..length)).is_none(),
            "{length}"
        );
    }
    let mut longer = kept.to_vec();
    longer.push(0);
    assert!(CachedAnswer::decode(&Bytes::from(longer)).is_none());
}

#[test]
fn other_bytes_are_a_miss() {
    for broken in [
        &b""[..],
        &[9],
        &[VERSION, 0],
        &[VERSION, 9, 0, 0, 0, 0, 0, 0, 0, 0, WHOLE],
        &[VERSION, 0, 255, 255, 255, 255],
        &[VERSION, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xff, WHOLE],
        &[VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, WHOLE],
    ] {
        let bytes = Bytes::copy_from_slice(broken);
        assert!(CachedAnswer::decode(&bytes).is_none(), "{broken:?}");
    }
}
