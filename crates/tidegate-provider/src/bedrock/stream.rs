//! A streamed answer on its way from Bedrock's frames to the caller's chunks.

use std::collections::VecDeque;
use std::time::Duration;

use aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver;
use aws_sdk_bedrockruntime::types::ConverseStreamOutput;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use futures_util::{StreamExt, stream};

use super::errors;
use super::events::Steps;
use crate::chunk::Chunk;
use crate::dialect::{Event, Writer};
use crate::error::{ProviderError, Unavailability};
use crate::provider::ChunkStream;

/// How long the end of the body may lag behind the last event before the
/// connection is given up instead of being used again.
const END_GRACE: Duration = Duration::from_millis(10);

type Frames = EventReceiver<ConverseStreamOutput, ConverseStreamOutputError>;

/// One answer in the making.
struct Answer {
    frames: Frames,
    steps: Steps,
    writer: Writer,
    ready: VecDeque<Chunk>,
    phase: Phase,
    /// Why it ends, once all that is ready was said.
    broken: Option<ProviderError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Everything was said; what is left is to read the end of the body.
    Said,
    Over,
}

/// The chunks of an answer.
pub(super) fn chunks(frames: Frames, steps: Steps, writer: Writer) -> ChunkStream {
    let answer = Answer {
        frames,
        steps,
        writer,
        ready: VecDeque::new(),
        phase: Phase::Open,
        broken: None,
    };
    stream::unfold(answer, |mut answer| async move {
        let chunk = answer.next().await?;
        Some((chunk, answer))
    })
    .boxed()
}

impl Answer {
    async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            match self.phase {
                Phase::Over => return self.broken.take().map(Err),
                Phase::Said => {
                    self.phase = Phase::Over;
                    // Nothing that comes now can change the answer.
                    let _ = tokio::time::timeout(END_GRACE, self.frames.recv()).await;
                }
                Phase::Open => {
                    if let Err(error) = self.advance().await {
                        self.phase = Phase::Over;
                        self.broken = Some(error);
                    }
                }
            }
        }
    }

    /// Reads one frame. The counts of tokens come last, after the reason to
    /// stop; an answer that ends without them is complete all the same.
    async fn advance(&mut self) -> Result<(), ProviderError> {
        let frame = self.frames.recv().await;
        match frame.map_err(|error| errors::of_stream(&error))? {
            Some(event) => {
                let events = self.steps.step(event)?;
                let counted = events.iter().any(|event| matches!(event, Event::Tokens(_)));
                for event in events {
                    self.ready.extend(self.writer.write(event)?);
                }
                if counted && self.steps.stopped() {
                    self.end(Phase::Said)?;
                }
            }
            None if self.steps.stopped() => self.end(Phase::Over)?,
            None => return Err(Unavailability::Truncated.into()),
        }
        Ok(())
    }

    fn end(&mut self, phase: Phase) -> Result<(), ProviderError> {
        self.ready.extend(self.writer.write(Event::End)?);
        self.phase = phase;
        Ok(())
    }
}
