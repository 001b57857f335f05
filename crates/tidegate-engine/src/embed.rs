//! One request for embeddings: the same chain, the same limits.

use tidegate_provider::EmbedRequest;
use tidegate_text::estimate_tokens_of_bytes;
use tidegate_work::Deadline;

use crate::answer::{Answer, AnswerBody};
use crate::assemble::Engine;
use crate::chat::head_of;
use crate::error::EngineError;
use crate::generate::{Call, Job, Reply};

impl Engine {
    /// Embeds texts. Dropping the future cancels the call.
    ///
    /// # Errors
    /// [`EngineError`] says what the caller can do.
    pub async fn embed(
        &self,
        request: &EmbedRequest,
        deadline: Deadline,
    ) -> Result<Answer, EngineError> {
        let chain = self.rooms.chain(request.model())?;
        let job = Job {
            call: Call::Embed(request),
            prompt_tokens: estimate_tokens_of_bytes(request.input_bytes()),
            most_output: Some(0),
            deadline,
            budget: deadline.remaining(),
        };
        let generated = self.rooms.generator.generate(&chain, job).await?;
        let head = head_of(&generated);
        match generated.reply {
            Reply::Whole(completion) => Ok(Answer {
                head,
                body: AnswerBody::Whole(completion.body),
            }),
            Reply::Stream(_) => Err(EngineError::Internal),
        }
    }
}
