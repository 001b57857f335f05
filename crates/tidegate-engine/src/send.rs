//! One call to an upstream, up to the point where the answer is sure to come.

use std::collections::VecDeque;

use futures_util::StreamExt;
use tidegate_provider::{Chunk, ChunkStream, Completion, ProviderError, Unavailability};

use crate::entry::Entry;
use crate::generate::Call;

/// Chunks without content that are held back before a stream commits.
const MOST_HELD_CHUNKS: usize = 64;

/// What came back, before it is accounted for.
pub(crate) enum Raw {
    Whole(Completion),
    Stream(VecDeque<Chunk>, ChunkStream),
}

/// Sends one call.
pub(crate) async fn send(entry: &Entry, call: Call<'_>) -> Result<Raw, ProviderError> {
    match call {
        Call::Chat(request) => entry
            .provider
            .complete(&entry.model, request)
            .await
            .map(Raw::Whole),
        Call::Embed(request) => entry
            .provider
            .embed(&entry.model, request)
            .await
            .map(Raw::Whole),
        Call::Elsewhere => Err(Unavailability::Connect.into()),
        Call::Stream(request) => commit(entry.provider.stream(&entry.model, request).await?).await,
    }
}

/// Reads on until the first content: up to there another model can still take
/// over without the caller noticing.
async fn commit(mut chunks: ChunkStream) -> Result<Raw, ProviderError> {
    let mut ready = VecDeque::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        let committed = chunk.facts.has_content || chunk.facts.finished > 0;
        ready.push_back(chunk);
        if committed || ready.len() >= MOST_HELD_CHUNKS {
            break;
        }
    }
    Ok(Raw::Stream(ready, chunks))
}
