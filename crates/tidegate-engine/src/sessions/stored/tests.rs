use proptest::prelude::*;
use serde_json::json;

use super::*;

const TTL: Duration = Duration::from_secs(60);

fn session(texts: &[String]) -> Session {
    let at = now();
    let said = |text: &String| SessionMessage {
        said: Message {
            dialect: Dialect::Messages,
            json: json!({"role": "user", "content": text}).to_string().into(),
        },
        at,
        metadata: json!({"n": 1}).as_object().cloned().unwrap_or_default(),
    };
    Session {
        id: "0".repeat(44),
        user_id: Some("ada".to_owned()),
        created_at: at,
        last_accessed_at: at,
        expires_at: at + TTL,
        messages: texts.iter().map(said).collect(),
        preferences: Map::new(),
        last_query: texts.last().cloned(),
        last_domain: None,
        data: json!({"deep": {"a": [1, 2.5, null]}})
            .as_object()
            .cloned()
            .unwrap_or_default(),
    }
}

fn read(bytes: Vec<u8>) -> Result<Session, SessionError> {
    decode(&"0".repeat(44), &bytes.into(), TTL)
}

#[test]
fn a_later_format_is_named_and_an_earlier_one_is_not_guessed_at() {
    let bytes = encode(&session(&[])).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let later = text.replacen("\"format\":1", "\"format\":2,\"new\":7", 1);
    let error = read(later.into_bytes()).unwrap_err();
    assert_eq!(error.code(), "session_unreadable");
    assert!(error.to_string().contains("format 2"), "{error}");
    for odd in [
        text.replacen("\"format\":1", "\"format\":0", 1),
        text.replacen("\"format\":1", "\"format\":1,\"new\":7", 1),
        text.replacen("\"id\":\"0", "\"id\":\"1", 1),
        text.replacen(
            "\"last_accessed_at_ms\":1",
            "\"last_accessed_at_ms\":1000000000000",
            1,
        ),
    ] {
        assert_ne!(odd, text);
        assert_eq!(read(odd.into_bytes()), Err(corrupt()));
    }
}

proptest! {
    #[test]
    fn what_is_kept_comes_back(texts in prop::collection::vec("\\PC{0,40}", 0..8)) {
        let session = session(&texts);
        prop_assert_eq!(read(encode(&session).unwrap()), Ok(session));
    }

    /// Whatever became of the bytes: a session or a clear word, never a panic.
    #[test]
    fn corrupted_bytes_are_never_a_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&session(&["hello".to_owned()])).unwrap();
        let at = at.index(bytes.len());
        let length = length.index(bytes.len());
        prop_assert_eq!(read(bytes[..length].to_vec()), Err(corrupt()));
        bytes[at] = byte;
        if let Err(error) = read(bytes) {
            prop_assert!(["store_corrupt", "session_unreadable"].contains(&error.code()));
        }
    }

    #[test]
    fn noise_is_no_session(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(read(noise), Err(corrupt()));
    }
}
