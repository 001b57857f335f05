//! How much a request carries.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::embed_request::{INPUT, Input};
use crate::raw::RawObject;
use crate::request::{RequestError, optional};

const MESSAGES: &str = "a list of objects with a string `role`, not empty";
const NO_KEY_TWICE: &str = "a list of objects in which no key stands twice";
const READABLE_KEYS: &str = "a list of objects whose keys are valid text";
const FEW_KEYS: &str = "a list of objects with at most 64 keys";
const SHALLOW: &str = "a list of objects with content of at most 16 levels";

/// How much a request carries; what maxima are checked against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContentCounts {
    /// Messages in the conversation.
    pub messages: usize,
    /// Image parts over all messages.
    pub images: usize,
    /// Tools offered to the model.
    pub tools: usize,
    /// Bytes of JSON that the model has to read: messages and tools.
    pub prompt_bytes: usize,
}

/// One object's pairs in order, doubled ones too, with values as they came.
///
/// Nothing of an object can hide here behind a field of a shape that is not
/// expected, which a derived struct would refuse as a whole.
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A string that is borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(4);
        while let Some(Word(key)) = map.next_key()? {
            pairs.push((key, map.next_value()?));
        }
        Ok(Fields(pairs))
    }
}

impl<'a> Fields<'a> {
    /// The fields of `json`, unless it is no object or a key is no text.
    pub(crate) fn of(json: &'a RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }

    /// The first of that name that is not null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let named = self.iter().filter(|(known, _)| *known == key);
        named.map(|(_, value)| value).find(|value| !is_null(value))
    }

    /// A field that is a string.
    pub(crate) fn word(&self, key: &str) -> Option<Cow<'a, str>> {
        let Word(word) = serde_json::from_str(self.get(key)?.get()).ok()?;
        Some(word)
    }

    /// Of a part: each field that may hold words. Encoded bytes are none.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let encoded = self.word("type").is_some_and(|kind| kind == "base64");
        self.iter().filter(move |(key, value)| {
            !is_null(value) && (WORDS.contains(key) || (*key == "data" && !encoded))
        })
    }

    /// Servers differ in which of two keys they believe, and some in whether
    /// case matters: what cannot be read for certain is refused.
    fn check_keys(&self) -> Result<(), RequestError> {
        if self.0.len() > MOST_KEYS {
            return Err(wrong(FEW_KEYS));
        }
        for (at, (key, _)) in self.0.iter().enumerate() {
            check_case(key, &READ)?;
            if self.0[..at].iter().any(|(before, _)| before == key) {
                return Err(wrong(NO_KEY_TWICE));
            }
        }
        Ok(())
    }
}

/// What is read of messages and of their parts.
const READ: [&str; 11] = [
    "role", "content", "type", "text", "title", "context", "source", "data", "input", "thinking",
    "refusal",
];

/// Refuses a key that a server which folds case would take for one of `known`.
pub(crate) fn check_case(key: &str, known: &[&'static str]) -> Result<(), RequestError> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || !byte.is_ascii_alphabetic() && byte.is_ascii();
    if key.bytes().all(plain) {
        return Ok(());
    }
    let meant = known
        .iter()
        .find(|known| key.chars().map(fold).eq(known.chars()));
    meant.map_or(Ok(()), |param| {
        Err(RequestError::Invalid {
            param,
            expected: "written in lower case",
        })
    })
}

/// Beside the letters of ASCII, Unicode folds two signs into them.
fn fold(letter: char) -> char {
    match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// Where a part may hold words: its own, a document's, a search result's, those
/// of a tool's result and of what a model thought.
const WORDS: [&str; 7] = [
    "text", "title", "context", "content", "source", "thinking", "refusal",
];

fn is_null(json: &RawValue) -> bool {
    json.get() == "null"
}

/// The elements of a list; what is none has none.
pub(crate) fn items(json: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(json.get()).unwrap_or_default()
}

fn wrong(expected: &'static str) -> RequestError {
    RequestError::Invalid {
        param: "messages",
        expected,
    }
}

/// Counts what a request with `messages` carries.
pub(crate) fn count_messages(raw: &RawObject) -> Result<ContentCounts, RequestError> {
    let json = raw
        .get("messages")
        .ok_or(RequestError::Missing { param: "messages" })?;
    let messages: Vec<Fields<'_>> = serde_json::from_slice(json).map_err(|_| wrong(MESSAGES))?;
    if messages.is_empty() {
        return Err(wrong(MESSAGES));
    }
    let tools = optional::<Vec<IgnoredAny>>(raw, "tools", "a list")?;
    let beside = ["tools", "system"].into_iter();
    let mut load = Load {
        images: 0,
        bytes: beside.filter_map(|key| raw.get(key)).map(Bytes::len).sum(),
    };
    for message in &messages {
        load.add(message)?;
    }
    Ok(ContentCounts {
        messages: messages.len(),
        images: load.images,
        tools: tools.map_or(0, |tools| tools.len()),
        prompt_bytes: load.bytes,
    })
}

/// Counts what a request with a `prompt` carries.
pub(crate) fn count_prompt(raw: &RawObject) -> Result<ContentCounts, RequestError> {
    const PARAM: &str = "prompt";
    let json = raw
        .get(PARAM)
        .ok_or(RequestError::Missing { param: PARAM })?;
    let wrong = RequestError::Invalid {
        param: PARAM,
        expected: INPUT,
    };
    let prompt: Input = serde_json::from_slice(json).map_err(|_| wrong.clone())?;
    if prompt.items() == 0 {
        return Err(wrong);
    }
    let suffix = optional::<String>(raw, "suffix", "a string")?;
    Ok(ContentCounts {
        messages: prompt.items(),
        prompt_bytes: json.len() + suffix.map_or(0, |suffix| suffix.len()),
        ..ContentCounts::default()
    })
}

/// What a part that is no text counts for: about a thousand tokens, as image
/// models do, whatever the length of its encoding.
pub(crate) const MEDIA_PART_BYTES: usize = 4_000;
/// Role and punctuation of a message.
pub(crate) const MESSAGE_BYTES: usize = 16;

/// What a list is, a part and a field of it: documents in the results of tools
/// need eight. Each level is read again, so they cannot be without bound.
pub(crate) const MOST_LEVELS: usize = 16;
/// Doubled keys are looked for one by one.
const MOST_KEYS: usize = 64;

/// What messages weigh, read once and checked on the way.
struct Load {
    images: usize,
    bytes: usize,
}

impl Load {
    fn add(&mut self, message: &Fields<'_>) -> Result<(), RequestError> {
        message.check_keys()?;
        message.word("role").ok_or_else(|| wrong(MESSAGES))?;
        self.bytes += MESSAGE_BYTES;
        self.bytes += match message.get("content") {
            Some(content) if content.get().starts_with('"') => content.get().len(),
            Some(content) => self.weigh(content, MOST_LEVELS)?,
            None => 0,
        };
        Ok(())
    }

    /// How much of a content the model has to read. What is neither text nor
    /// part is the upstream's to refuse.
    fn weigh(&mut self, content: &RawValue, levels: usize) -> Result<usize, RequestError> {
        let json = content.get();
        let deeper = levels.checked_sub(1).ok_or_else(|| wrong(SHALLOW))?;
        match json.as_bytes().first() {
            Some(b'"') => Ok(json.len() - 2),
            Some(b'{') => self.part(content, deeper),
            Some(b'[') => items(content)
                .into_iter()
                .try_fold(0, |sum, item| Ok(sum + self.weigh(item, deeper)?)),
            _ => Ok(json.len()),
        }
    }

    fn part(&mut self, json: &RawValue, levels: usize) -> Result<usize, RequestError> {
        let part = Fields::of(json).ok_or_else(|| wrong(READABLE_KEYS))?;
        part.check_keys()?;
        let image = |kind: Cow<'_, str>| kind.contains("image");
        self.images += usize::from(part.word("type").is_some_and(image));
        let mut said = None;
        for (_, words) in part.words() {
            said = Some(said.unwrap_or(0) + self.weigh(words, levels)?);
        }
        // Of a tool's use.
        let input = || part.get("input").map(|input| input.get().len());
        Ok(said.or_else(input).unwrap_or(MEDIA_PART_BYTES))
    }
}
