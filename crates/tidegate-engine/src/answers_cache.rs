//! Which answers may stand for each other, and how they are kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidegate_guard::Outcome;
use tidegate_provider::ChatRequest;
use tidegate_store::Name;

use crate::answer::{Answer, AnswerBody, AnswerHead, Cached};
use crate::guard::Guarded;
use crate::store_key;

/// An answer that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachedAnswer {
    model: Arc<str>,
    guarded: Option<Guarded>,
    body: Bytes,
}

/// The layout below; bytes with another number are not read.
const VERSION: u8 = 2;

impl CachedAnswer {
    /// The name under which answers to this request are kept: a digest over
    /// every field, each with its length before it, so that no two different
    /// requests run together.
    pub(crate) fn key(tenant: &str, guard: &str, request: &ChatRequest) -> Name {
        let mut fields: Vec<_> = request
            .raw()
            .iter()
            .filter(|(key, _)| !is_transport(key))
            .collect();
        fields.sort_unstable_by_key(|(key, _)| *key);
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tidegate answer 2");
        for part in [request.dialect().as_str(), guard] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        for (key, value) in fields {
            for part in [key.as_bytes(), value] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Name {
            owner: tenant.to_owned(),
            namespace: store_key::ANSWERS,
            key: hasher.finalize().to_hex().to_string(),
        }
    }

    /// The version; the guard's outcome; its rules, one a line, and the model's
    /// name, each with its length before it; the body.
    pub(crate) fn encode(head: &AnswerHead, body: &Bytes) -> Bytes {
        let guarded = head.guarded.as_ref();
        let rules = guarded.map_or(String::new(), |guarded| guarded.rules.join("\n"));
        let texts = [rules.as_str(), &head.model];
        let length = texts.iter().map(|text| text.len() + 4).sum::<usize>();
        let mut out = BytesMut::with_capacity(length + body.len() + 2);
        out.put_u8(VERSION);
        out.put_u8(guarded.map_or(NOT_GUARDED, |guarded| outcome_code(guarded.outcome)));
        for text in texts {
            out.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
            out.put_slice(text.as_bytes());
        }
        out.put_slice(body);
        out.freeze()
    }

    /// What [`Self::encode`] made, and nothing for anything else.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut rest = bytes.clone();
        if rest.try_get_u8().ok()? != VERSION {
            return None;
        }
        let code = rest.try_get_u8().ok()?;
        let rules = take_text(&mut rest)?;
        let guarded = match code {
            NOT_GUARDED => None,
            code => Some(Guarded {
                outcome: *Outcome::ALL
                    .iter()
                    .find(|own| outcome_code(**own) == code)?,
                rules: rules.lines().map(Arc::from).collect(),
            }),
        };
        let model = take_text(&mut rest)?.into();
        Some(Self {
            model,
            guarded,
            body: rest,
        })
    }

    pub(crate) fn into_answer(self) -> Answer {
        let head = AnswerHead {
            model: self.model,
            attempts: 0,
            degraded: Vec::new(),
            cached: Cached::Hit,
            upstream: Duration::ZERO,
            waited: Duration::ZERO,
            guarded: self.guarded,
            usage: None,
        };
        Answer {
            head,
            body: AnswerBody::Whole(self.body),
        }
    }
}

/// Stands for an answer that no guard saw.
const NOT_GUARDED: u8 = 0;

fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Allow => 1,
        Outcome::Flag => 2,
        Outcome::Block => 3,
    }
}

fn take_text(rest: &mut Bytes) -> Option<String> {
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    if length > rest.len() {
        return None;
    }
    String::from_utf8(rest.split_to(length).to_vec()).ok()
}

/// Fields that say how the answer travels and not what it is.
fn is_transport(key: &str) -> bool {
    matches!(key, "stream" | "stream_options")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tidegate_guard::Policy;

    use super::*;
    use crate::guard::{Guard, GuardConfig, Scanning};

    fn key(text: &str) -> Name {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}]{text}}}"#);
        CachedAnswer::key("t", "g", &ChatRequest::parse(Bytes::from(body)).unwrap())
    }

    #[test]
    fn every_field_but_transport_is_part_of_the_key() {
        assert_eq!(key(""), key(r#","stream":false"#));
        let others = [
            r#","n":1"#,
            r#","n":2"#,
            r#","temperature":0"#,
            r#","tools":[]"#,
            r#","user":"a""#,
        ];
        for (position, other) in others.iter().enumerate() {
            assert_ne!(key(""), key(other));
            for another in &others[position + 1..] {
                assert_ne!(key(other), key(another));
            }
        }
    }

    #[test]
    fn an_answer_that_passed_one_policy_does_not_stand_for_one_under_another() {
        let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
        let request = ChatRequest::parse(Bytes::from(body)).unwrap();
        let policies = Policy::ALL.iter().map(|policy| GuardConfig {
            policy: *policy,
            ..GuardConfig::default()
        });
        let off = GuardConfig {
            scanning: Scanning::Off,
            ..GuardConfig::default()
        };
        let key = |config| CachedAnswer::key("t", &Guard::new(config, None).version(), &request);
        let keys: HashSet<Name> = policies.chain([off]).map(key).collect();
        assert_eq!(keys.len(), 4);
    }

    #[test]
    fn the_order_of_fields_is_not() {
        assert_eq!(key(r#","n":1,"seed":2"#), key(r#","seed":2,"n":1"#));
    }

    #[test]
    fn neighbours_do_not_run_together() {
        assert_ne!(key(r#","a":12,"b":3"#), key(r#","a":1,"b":23"#));
    }

    #[test]
    fn what_was_kept_comes_back_and_other_bytes_are_a_miss() {
        let body = Bytes::from_static(b"{}");
        let flagged = Guarded {
            outcome: Outcome::Flag,
            rules: vec!["a.b".into(), "c.d".into()],
        };
        for guarded in [None, Some(flagged)] {
            let answer = CachedAnswer {
                model: "p/m".into(),
                guarded,
                body: body.clone(),
            };
            let head = answer.clone().into_answer().head;
            let kept = CachedAnswer::encode(&head, &body);
            assert_eq!(CachedAnswer::decode(&kept), Some(answer));
        }
        for broken in [
            &b""[..],
            &[9],
            &[2, 0],
            &[2, 9, 0, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 255, 255, 255, 255],
            &[2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xff],
        ] {
            assert_eq!(CachedAnswer::decode(&Bytes::copy_from_slice(broken)), None);
        }
    }
}
