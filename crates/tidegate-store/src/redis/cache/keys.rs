//! Where everything lies in Redis, and what the notes of a value say.
//!
//! A key is a digest: no text of a caller's ever becomes part of one, and no
//! two names share one, since every part is hashed with its length before it.

use crate::cache::{MOST_TAGS, Name};
use crate::memory_cache::Labels;

/// Counts what was forgotten, and tells one beginning of the count from another.
pub(super) const COUNT: &str = "tidegate:cache:count";
/// Who keeps anything, each until its last value expires.
pub(super) const OWNERS: &str = "tidegate:cache:owners";
/// Every index, each until its last value expires.
pub(super) const INDEXES: &str = "tidegate:cache:indexes";
/// Where demands to forget are announced.
pub(super) const TOPIC: &str = "tidegate:cache:forget";

/// Where a value lies.
pub(super) fn value(owner: &str, namespace: &str, key: &str) -> String {
    format!("tidegate:cache:{}", digest(&[owner, namespace, key]))
}

/// What values of an owner are listed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By<'a> {
    /// The namespaces that it uses; members are those.
    Namespaces,
    /// One namespace; members are keys.
    Namespace(&'a str),
    /// A tag; members are a namespace and a key.
    Tag(&'a str),
    /// A domain; members are a namespace and a key.
    Domain(&'a str),
}

/// Where a list of an owner's values lies.
pub(super) fn index(owner: &str, by: By<'_>) -> String {
    let (kind, text) = match by {
        By::Namespaces => ("namespaces", ""),
        By::Namespace(text) => ("namespace", text),
        By::Tag(text) => ("tag", text),
        By::Domain(text) => ("domain", text),
    };
    format!("tidegate:cache:index:{}", digest(&[owner, kind, text]))
}

/// What a value is called in the list of a tag or a domain: neither part has
/// control characters.
pub(super) fn member(name: &Name) -> String {
    format!("{}\0{}", name.namespace, name.key)
}

/// The namespace and the key of a member.
pub(super) fn parts(member: &str) -> Option<(&str, &str)> {
    member.split_once('\0')
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let hex = hasher.finalize().to_hex();
    hex[..32].to_owned()
}

/// Tags and domain, as the notes of an envelope: the number of tags, whether
/// there is a domain, and each text with its length before it.
pub(super) fn write_labels(labels: &Labels) -> Vec<u8> {
    let mut bytes = vec![
        u8::try_from(labels.tags.len()).unwrap_or(u8::MAX),
        u8::from(labels.domain.is_some()),
    ];
    for text in labels.tags.iter().chain(&labels.domain) {
        write_text(&mut bytes, text);
    }
    bytes
}

/// What [`write_labels`] wrote, and nothing for anything else.
pub(super) fn read_labels(bytes: &[u8]) -> Option<Labels> {
    let (head, mut rest) = bytes.split_at_checked(2)?;
    if usize::from(head[0]) > MOST_TAGS || head[1] > 1 {
        return None;
    }
    let tags = (0..head[0]).map(|_| read_text(&mut rest));
    let tags = tags.collect::<Option<Vec<_>>>()?;
    let domain = match head[1] {
        0 => None,
        _ => Some(read_text(&mut rest)?),
    };
    rest.is_empty().then_some(Labels { tags, domain })
}

pub(super) fn write_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_le_bytes());
    bytes.extend(&text.as_bytes()[..usize::from(length)]);
}

pub(super) fn read_text(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}
