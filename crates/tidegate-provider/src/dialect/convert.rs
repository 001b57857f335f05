//! From one dialect into another and back: requests on their way to an
//! upstream, answers on their way to the caller.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};

use super::{Dialect, Event, OutputBound, Refusal, chat, messages};
use crate::chunk::Chunk;
use crate::error::{ProviderError, Unavailability};
use crate::provider::{ChunkStream, Completion};
use crate::request::{ChatRequest, RequestError};

/// What refusals call an upstream whose own dialect this is.
fn upstream(native: Dialect) -> &'static str {
    match native {
        Dialect::Chat | Dialect::Completion => chat::UPSTREAM,
        Dialect::Messages => "an Anthropic model",
    }
}

/// The same request in the words of `native`, to an upstream that calls the
/// model `model` and wants its bounds said as `bound`.
///
/// # Errors
/// [`Refusal`] names what is wrong or cannot be said. Legacy completions can
/// be said in no other dialect.
pub(crate) fn request(
    request: &ChatRequest,
    native: Dialect,
    model: &str,
    bound: OutputBound,
) -> Result<ChatRequest, Refusal> {
    let (raw, by) = (request.raw(), upstream(native));
    let conversation = match request.dialect() {
        Dialect::Chat => chat::read_request(raw, by)?,
        Dialect::Messages => messages::read_request(raw, by)?,
        Dialect::Completion => return Err(Refusal::unsupported("prompt", NO_PROMPT)),
    };
    let body = match native {
        Dialect::Chat => chat::write_request(&conversation, model, bound.field)?,
        Dialect::Messages => messages::write_request(&conversation, model, bound.unless_given)?,
        Dialect::Completion => return Err(Refusal::unsupported("messages", LEGACY)),
    };
    ChatRequest::parse_as(native, body).map_err(wrong)
}

const NO_PROMPT: &str = "any other dialect; legacy completions need a server in OpenAI's dialect";
const LEGACY: &str = "a server that only completes prompts";

/// What was read and is no request in the other dialect, such as one without
/// any turn.
fn wrong(error: RequestError) -> Refusal {
    match error {
        RequestError::Syntax(_) => Refusal::invalid("the body", "a request"),
        RequestError::Missing { param } => Refusal::invalid(param, "there"),
        RequestError::Invalid { param, expected } => Refusal::invalid(param, expected),
    }
}

/// The same answer in the words of `to`. `created` is in seconds since 1970,
/// for a dialect whose answers say when they were made.
///
/// # Errors
/// [`Unavailability::Garbage`] when it is no answer in the words of `from`.
pub(crate) fn answer(
    completion: Completion,
    from: Dialect,
    to: Dialect,
    created: u64,
) -> Result<Completion, ProviderError> {
    let reply = match from {
        Dialect::Chat => chat::read_reply(&completion.body)?,
        Dialect::Messages => messages::read_reply(&completion.body)?,
        Dialect::Completion => return Err(Unavailability::Garbage.into()),
    };
    let body = match to {
        Dialect::Chat => chat::write_reply(&reply, created),
        Dialect::Messages => messages::write_reply(&reply),
        Dialect::Completion => return Err(Unavailability::Garbage.into()),
    };
    let usage = completion.usage;
    Ok(Completion { body, usage })
}

/// The same streamed answer in the words of `to`. An error of the upstream
/// passes through and ends the stream, and so does a chunk that is none.
pub(crate) fn chunks(
    upstream: ChunkStream,
    from: Dialect,
    to: Dialect,
    created: u64,
) -> ChunkStream {
    match (Reader::of(from), Writer::of(to, created)) {
        (Some(reader), Some(writer)) => {
            let state = Retelling {
                upstream: Some(upstream),
                reader,
                writer,
                ready: VecDeque::new(),
                broken: None,
            };
            stream::unfold(state, Retelling::next).boxed()
        }
        (None, _) | (_, None) => stream::iter([Err(Unavailability::Garbage.into())]).boxed(),
    }
}

enum Reader {
    Chat(chat::EventReader),
    Messages(messages::EventReader),
}

impl Reader {
    fn of(dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::Chat => Some(Self::Chat(chat::EventReader::default())),
            Dialect::Messages => Some(Self::Messages(messages::EventReader::default())),
            Dialect::Completion => None,
        }
    }

    fn read(&mut self, chunk: &Chunk) -> Result<Vec<Event>, ProviderError> {
        match self {
            Self::Chat(reader) => reader.read(chunk),
            Self::Messages(reader) => reader.read(chunk),
        }
    }

    fn end(&mut self) -> Vec<Event> {
        match self {
            Self::Chat(reader) => reader.end(),
            Self::Messages(reader) => reader.end(),
        }
    }
}

/// Writes the events of one stream, in whichever dialect.
#[derive(Debug)]
pub(crate) enum Writer {
    Chat(chat::EventWriter),
    Messages(messages::EventWriter),
}

impl Writer {
    fn of(dialect: Dialect, created: u64) -> Option<Self> {
        match dialect {
            Dialect::Chat => Some(Self::Chat(chat::EventWriter::new(created))),
            Dialect::Messages => Some(Self::Messages(messages::EventWriter::new())),
            Dialect::Completion => None,
        }
    }

    pub(crate) fn write(&mut self, event: Event) -> Result<Vec<Chunk>, ProviderError> {
        match self {
            Self::Chat(writer) => writer.write(event),
            Self::Messages(writer) => writer.write(event),
        }
    }
}

/// A stream that is told again in another dialect.
struct Retelling {
    /// Nothing once it has ended.
    upstream: Option<ChunkStream>,
    reader: Reader,
    writer: Writer,
    ready: VecDeque<Chunk>,
    /// Why it ends, once all that is ready was said.
    broken: Option<ProviderError>,
}

impl Retelling {
    async fn next(mut self) -> Option<(Result<Chunk, ProviderError>, Self)> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some((Ok(chunk), self));
            }
            if let Some(error) = self.broken.take() {
                return Some((Err(error), self));
            }
            let next = self.upstream.as_mut()?.next().await;
            let events = match next {
                Some(Ok(chunk)) => self.reader.read(&chunk),
                Some(Err(error)) => Err(error),
                None => {
                    self.upstream = None;
                    Ok(self.reader.end())
                }
            };
            if let Err(error) = events.and_then(|events| self.write(events)) {
                self.upstream = None;
                // What was said until now comes before the error.
                self.broken = Some(error);
            }
        }
    }

    fn write(&mut self, events: Vec<Event>) -> Result<(), ProviderError> {
        for event in events {
            self.ready.extend(self.writer.write(event)?);
        }
        Ok(())
    }
}
