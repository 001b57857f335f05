//! Which answers may stand for each other, and how they are kept.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tidegate_guard::Outcome;
use tidegate_provider::{ChatRequest, Chunk, ChunkFacts, Usage};
use tidegate_store::Name;

use crate::answer::{Answer, AnswerBody, AnswerHead, Cached};
use crate::guard::Guarded;
use crate::store_key;
use crate::stream::{AnswerStream, UsageWanted};

/// What an answer depends on besides the request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    /// Whose it is.
    pub(crate) tenant: &'a str,
    /// The rules and the policy that it passed.
    pub(crate) guard: &'a str,
    /// The domain that it belongs to.
    pub(crate) domain: Option<&'a str>,
    /// Who may have given it: the entries of the chain, each with where its
    /// provider is. A name that a reload points elsewhere finds nothing that
    /// was said before.
    pub(crate) origins: &'a [(Arc<str>, Arc<str>)],
}

/// An answer that was kept.
#[derive(Debug, Clone)]
pub(crate) struct CachedAnswer {
    pub(crate) model: Arc<str>,
    pub(crate) guarded: Option<Guarded>,
    pub(crate) body: KeptBody,
}

/// A kept answer as it came: a stream is replayed event by event.
#[derive(Debug, Clone)]
pub(crate) enum KeptBody {
    Whole(Bytes),
    Stream(VecDeque<Chunk>),
}

/// The layout below; bytes with another number are not read.
const VERSION: u8 = 3;
/// Answers that are longer are not kept.
pub(crate) const MOST_KEPT_BYTES: usize = 1 << 20;

impl CachedAnswer {
    /// The name under which answers to this request are kept: a digest over
    /// every field, each with its length before it, so that no two different
    /// requests run together.
    ///
    /// A stream and a whole answer to the same question are two: upstreams
    /// differ in what they say in the one and not in the other, and what is
    /// replayed must be what was said.
    pub(crate) fn key(of: &Circumstances<'_>, request: &ChatRequest) -> Name {
        let mut fields: Vec<_> = request
            .raw()
            .iter()
            .filter(|(key, _)| *key != "stream")
            .collect();
        fields.sort_unstable_by_key(|(key, _)| *key);
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tidegate answer 3");
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(of.tenant.as_bytes());
        part(request.dialect().as_str().as_bytes());
        part(if request.stream() {
            b"stream"
        } else {
            b"whole"
        });
        part(of.guard.as_bytes());
        part(&[u8::from(of.domain.is_some())]);
        part(of.domain.unwrap_or_default().as_bytes());
        part(&(of.origins.len() as u64).to_le_bytes());
        for (entry, origin) in of.origins {
            part(entry.as_bytes());
            part(origin.as_bytes());
        }
        for (key, value) in fields {
            part(key.as_bytes());
            part(&compact(value));
        }
        Name {
            owner: of.tenant.to_owned(),
            namespace: store_key::ANSWERS,
            key: hasher.finalize().to_hex().to_string(),
        }
    }

    /// The version; the guard's outcome; its rules, one a line, and the model's
    /// name, each with its length before it; what kind of body; the body.
    pub(crate) fn encode_whole(head: &AnswerHead, body: &Bytes) -> Bytes {
        let mut out = encode_head(head, body.len());
        out.put_u8(WHOLE);
        out.put_slice(body);
        out.freeze()
    }

    /// The same for a stream: how many events, then each of them with what was
    /// read from it, so that a replay need not read it again.
    pub(crate) fn encode_stream(head: &AnswerHead, chunks: &[Chunk]) -> Bytes {
        let body = chunks.iter().map(chunk_bytes).sum::<usize>();
        let mut out = encode_head(head, body);
        out.put_u8(STREAM);
        out.put_u32_le(length(chunks.len()));
        for chunk in chunks {
            put_chunk(&mut out, chunk);
        }
        out.freeze()
    }

    /// What was encoded here, and nothing for anything else.
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
                // What was weakened is not kept.
                degraded: Vec::new(),
            }),
        };
        let model = take_text(&mut rest)?.into();
        let body = match rest.try_get_u8().ok()? {
            WHOLE => KeptBody::Whole(rest),
            STREAM => KeptBody::Stream(take_chunks(&mut rest)?),
            _ => return None,
        };
        Some(Self {
            model,
            guarded,
            body,
        })
    }

    /// As the answer to a request that did not have to wait for anybody.
    pub(crate) fn into_answer(self, usage: UsageWanted) -> Answer {
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
        let body = match self.body {
            KeptBody::Whole(body) => AnswerBody::Whole(body),
            KeptBody::Stream(chunks) => {
                let stream = AnswerStream::replay(chunks, head.model.clone(), usage);
                AnswerBody::Stream(Box::new(stream))
            }
        };
        Answer { head, body }
    }
}

const WHOLE: u8 = 0;
const STREAM: u8 = 1;
/// Stands for an answer that no guard saw.
const NOT_GUARDED: u8 = 0;

fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Allow => 1,
        Outcome::Flag => 2,
        Outcome::Block => 3,
        Outcome::Redact => 4,
    }
}

/// JSON without the space between its parts, which means nothing and differs
/// from one client library to the next.
fn compact(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let (mut in_string, mut escaped) = (false, false);
    for (index, byte) in json.iter().enumerate() {
        let is_space = !in_string && byte.is_ascii_whitespace();
        if is_space && out.is_none() {
            let mut copy = Vec::with_capacity(json.len());
            copy.extend_from_slice(&json[..index]);
            out = Some(copy);
        }
        match &mut out {
            Some(out) if !is_space => out.push(*byte),
            Some(_) | None => {}
        }
        (in_string, escaped) = match byte {
            b'"' if !escaped => (!in_string, false),
            b'\\' if in_string => (true, !escaped),
            _ => (in_string, false),
        };
    }
    out.map_or(Cow::Borrowed(json), Cow::Owned)
}

/// What is kept is shorter than [`MOST_KEPT_BYTES`].
fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

fn encode_head(head: &AnswerHead, body: usize) -> BytesMut {
    let guarded = head.guarded.as_ref();
    let rules = guarded.map_or(String::new(), |guarded| guarded.rules.join("\n"));
    let texts = [rules.as_str(), &head.model];
    let texts_bytes = texts.iter().map(|text| text.len() + 4).sum::<usize>();
    let mut out = BytesMut::with_capacity(texts_bytes + body + 7);
    out.put_u8(VERSION);
    out.put_u8(guarded.map_or(NOT_GUARDED, |guarded| outcome_code(guarded.outcome)));
    for text in texts {
        put_bytes(&mut out, text.as_bytes());
    }
    out
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32_le(length(bytes.len()));
    out.put_slice(bytes);
}

fn take_bytes(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn take_text(rest: &mut Bytes) -> Option<String> {
    String::from_utf8(take_bytes(rest)?.to_vec()).ok()
}

const HAS_EVENT: u8 = 1;
const HAS_CONTENT: u8 = 2;
const WITHOUT_CHOICES: u8 = 4;
const HAS_USAGE: u8 = 8;

/// What one event takes, at most.
pub(crate) fn chunk_bytes(chunk: &Chunk) -> usize {
    const FIXED: usize = 1 + 4 + 8 + 16 + 4;
    FIXED + chunk.event.as_ref().map_or(0, |event| event.len()) + chunk.json.len()
}

fn put_chunk(out: &mut BytesMut, chunk: &Chunk) {
    let facts = chunk.facts;
    let flags = [
        (chunk.event.is_some(), HAS_EVENT),
        (facts.has_content, HAS_CONTENT),
        (facts.without_choices, WITHOUT_CHOICES),
        (facts.usage.is_some(), HAS_USAGE),
    ];
    let set = flags.iter().filter(|(is, _)| *is);
    out.put_u8(set.fold(0, |all, (_, flag)| all | flag));
    if let Some(event) = &chunk.event {
        put_bytes(out, event.as_bytes());
    }
    out.put_u64_le(facts.finished);
    if let Some(usage) = facts.usage {
        out.put_u64_le(usage.prompt_tokens);
        out.put_u64_le(usage.completion_tokens);
    }
    put_bytes(out, &chunk.json);
}

fn take_chunk(rest: &mut Bytes) -> Option<Chunk> {
    let flags = rest.try_get_u8().ok()?;
    let has = |flag: u8| flags & flag != 0;
    let event = if has(HAS_EVENT) {
        Some(take_text(rest)?.into())
    } else {
        None
    };
    let finished = rest.try_get_u64_le().ok()?;
    let usage = if has(HAS_USAGE) {
        Some(Usage {
            prompt_tokens: rest.try_get_u64_le().ok()?,
            completion_tokens: rest.try_get_u64_le().ok()?,
        })
    } else {
        None
    };
    let facts = ChunkFacts {
        has_content: has(HAS_CONTENT),
        finished,
        without_choices: has(WITHOUT_CHOICES),
        usage,
    };
    let json = take_bytes(rest)?;
    Some(Chunk { event, json, facts })
}

/// All of them, or nothing: half a stream is none.
fn take_chunks(rest: &mut Bytes) -> Option<VecDeque<Chunk>> {
    let count = rest.try_get_u32_le().ok()?;
    let mut chunks = VecDeque::new();
    for _ in 0..count {
        chunks.push_back(take_chunk(rest)?);
    }
    rest.is_empty().then_some(chunks)
}

#[cfg(test)]
#[path = "answers_cache/tests.rs"]
mod tests;
