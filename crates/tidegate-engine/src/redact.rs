//! Requests and answers without what their policy redacts.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_guard::Outcome;
use tidegate_provider::{ChatRequest, Dialect, Spoken, Unfit, rewritten_answer};

use crate::assemble::Rooms;
use crate::error::EngineError;
use crate::guard::{Guard, Guarded, MOST_INLINE_BYTES, direction, on_pool};
use crate::policies::Terms;

impl Guard {
    /// What was said without what the terms redact, where that is something.
    fn redacted(&self, spoken: &Spoken, terms: &Terms) -> Option<String> {
        let request = terms.request(direction(spoken.by));
        let scanner = &self.layers(terms.side()).scanner;
        scanner.redact(&spoken.text, &request)
    }
}

/// Whether something is to be redacted; what is blocked has not come here.
fn redacts(guarded: Option<&Guarded>) -> Option<&Guarded> {
    guarded.filter(|guarded| guarded.outcome == Outcome::Redact)
}

impl Guarded {
    /// Refuses what cannot be redacted where it is.
    pub(crate) fn must_not_redact(self, place: &'static str) -> Result<Self, EngineError> {
        match redacts(Some(&self)) {
            Some(_) => Err(EngineError::NotRedacted {
                place,
                rules: self.rules,
            }),
            None => Ok(self),
        }
    }
}

impl Rooms {
    /// Step 1, after the scan: the request as it may go on.
    pub(crate) async fn redact_prompt(
        &self,
        request: ChatRequest,
        guarded: Option<&Guarded>,
        terms: &Arc<Terms>,
    ) -> Result<ChatRequest, EngineError> {
        let Some(found) = redacts(guarded) else {
            return Ok(request);
        };
        let (guard, terms) = (self.guard.clone(), terms.clone());
        let inline = request.content().prompt_bytes <= MOST_INLINE_BYTES;
        let rewrite = move || {
            let rewritten = request.rewritten(|spoken| guard.redacted(spoken, &terms));
            rewritten.map(|other| other.unwrap_or(request))
        };
        let rewritten = if inline {
            rewrite()
        } else {
            on_pool(&self.pool, rewrite).await?
        };
        rewritten.map_err(|unfit| unfit_for(unfit, "request", found))
    }

    /// Step 7, after the scan of a whole answer: the answer as it may go on.
    pub(crate) async fn redact_answer(
        &self,
        dialect: Dialect,
        body: Bytes,
        guarded: Option<&Guarded>,
        terms: &Arc<Terms>,
    ) -> Result<Bytes, EngineError> {
        let Some(found) = redacts(guarded) else {
            return Ok(body);
        };
        let (guard, terms) = (self.guard.clone(), terms.clone());
        let inline = body.len() <= MOST_INLINE_BYTES;
        let rewrite = move || {
            let change = |spoken: &Spoken| guard.redacted(spoken, &terms);
            let rewritten = rewritten_answer(dialect, &body, change);
            rewritten.map(|other| other.unwrap_or(body))
        };
        let rewritten = if inline {
            rewrite()
        } else {
            on_pool(&self.pool, rewrite).await?
        };
        rewritten.map_err(|unfit| unfit_for(unfit, "answer", found))
    }
}

fn unfit_for(_: Unfit, place: &'static str, found: &Guarded) -> EngineError {
    EngineError::NotRedacted {
        place,
        rules: found.rules.clone(),
    }
}
