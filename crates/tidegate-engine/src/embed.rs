//! One request for embeddings: the same chain, the same limits.

use tidegate_provider::EmbedRequest;
use tidegate_text::estimate_tokens_of_bytes;

use crate::answer::{Answer, AnswerBody};
use crate::assemble::Engine;
use crate::chat::head_of;
use crate::context::Context;
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
        context: &Context,
    ) -> Result<Answer, EngineError> {
        let chain = self.rooms.chain(request.model())?;
        let prompt_tokens = estimate_tokens_of_bytes(request.input_bytes());
        let mut allowance = self.rooms.allow(&context.caller, prompt_tokens).await?;
        let job = Job {
            call: Call::Embed(request),
            prompt_tokens,
            most_output: Some(0),
            deadline: context.deadline,
            trail: &context.trail,
            spent: &context.spent,
            budget: context.deadline.remaining(),
        };
        let generated = allowance
            .over(self.rooms.generator.generate(&chain, job))
            .await?;
        let head = head_of(&generated);
        match generated.reply {
            Reply::Whole(completion) => {
                allowance.settle_with(completion.usage);
                Ok(Answer {
                    head,
                    body: AnswerBody::Whole(completion.body),
                })
            }
            Reply::Stream(_) => Err(EngineError::Internal),
        }
    }
}
