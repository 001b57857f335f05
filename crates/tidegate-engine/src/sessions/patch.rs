//! What may be changed of a session, and how.

use std::time::SystemTime;

use serde_json::{Map, Value};
use tidegate_provider::Message;

use super::{Session, SessionError, SessionMessage};

/// What is to be changed of a session; what is not named stays as it is.
#[derive(Debug, Clone, Default)]
pub struct SessionPatch {
    /// Whose it is from now on; nobody's where it is cleared.
    pub user_id: Change<String>,
    /// What is said after everything else.
    pub messages: Vec<NewMessage>,
    /// Merged into what is there, as RFC 7396 says.
    pub preferences: Change<Map<String, Value>>,
    /// Merged into what is there, as RFC 7396 says.
    pub data: Change<Map<String, Value>>,
}

/// Whether something changes, and to what.
#[derive(Debug, Clone, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// Nothing of it stays.
    Clear,
    /// It changes to this, or by this.
    To(T),
}

/// A message that is put into a session by its application.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// What is said.
    pub said: Message,
    /// Whatever the application keeps with it.
    pub metadata: Map<String, Value>,
}

/// Characters of a user's id.
const MOST_USER_CHARS: usize = 256;

/// Whether this can be a user's id.
pub(super) fn check_user(user_id: &str) -> Result<(), SessionError> {
    let fits = (1..=MOST_USER_CHARS).contains(&user_id.chars().count());
    if fits && !user_id.chars().any(char::is_control) {
        return Ok(());
    }
    Err(SessionError::Invalid {
        param: "user_id".to_owned(),
        expected: "a text of 1 to 256 characters without control characters",
    })
}

impl SessionPatch {
    /// Changes a session at `now`.
    pub(super) fn apply(&self, session: &mut Session, now: SystemTime) -> Result<(), SessionError> {
        match &self.user_id {
            Change::Keep => {}
            Change::Clear => session.user_id = None,
            Change::To(user_id) => {
                check_user(user_id)?;
                session.user_id = Some(user_id.clone());
            }
        }
        merge(&mut session.preferences, &self.preferences);
        merge(&mut session.data, &self.data);
        let added = self.messages.iter().map(|new| SessionMessage {
            said: new.said.clone(),
            at: now,
            metadata: new.metadata.clone(),
        });
        session.messages.extend(added);
        Ok(())
    }
}

fn merge(target: &mut Map<String, Value>, change: &Change<Map<String, Value>>) {
    match change {
        Change::Keep => {}
        Change::Clear => target.clear(),
        Change::To(patch) => merge_into(target, patch),
    }
}

/// A merge patch (RFC 7396): null takes a field away, an object changes what it
/// names, anything else replaces.
fn merge_into(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        match change {
            Value::Null => {
                target.shift_remove(key);
            }
            Value::Object(deeper) => {
                let place = target.entry(key.clone()).or_insert(Value::Null);
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                if let Value::Object(object) = place {
                    merge_into(object, deeper);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                target.insert(key.clone(), change.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(original: Value, patch: Value, expected: Value) {
        let Value::Object(mut target) = original else {
            panic!("an object");
        };
        let Value::Object(patch) = patch else {
            panic!("an object");
        };
        merge_into(&mut target, &patch);
        assert_eq!(Value::Object(target), expected);
    }

    /// Appendix A of the RFC, where both are objects.
    #[test]
    fn patches_merge_as_the_rfc_says() {
        check(json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"}));
        check(json!({"a":"b"}), json!({"a":null}), json!({}));
        check(
            json!({"a":"b","b":"c"}),
            json!({"a":null}),
            json!({"b":"c"}),
        );
        check(json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]}));
        check(
            json!({"a":{"b":"c"}}),
            json!({"a":{"b":"d","c":null}}),
            json!({"a":{"b":"d"}}),
        );
        check(json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]}));
        check(json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1}));
        check(
            json!({}),
            json!({"a":{"bb":{"ccc":null}}}),
            json!({"a":{"bb":{}}}),
        );
    }

    #[test]
    fn users_have_printable_names_of_bounded_length() {
        for good in ["a", "ü", "x:y/z", &"x".repeat(256)] {
            assert!(check_user(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "a\0", &"x".repeat(257)] {
            assert!(check_user(bad).is_err(), "{bad:?}");
        }
    }
}
