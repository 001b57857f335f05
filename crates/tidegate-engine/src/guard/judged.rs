//! What was found in all texts of a request or an answer.

use std::sync::Arc;

use tidegate_guard::{Outcome, ScanRequest, Verdict};

use super::Guarded;
use crate::error::EngineError;
use crate::verdicts::Seen;

/// Several verdicts, as one for each direction.
#[derive(Debug, Default)]
pub(super) struct Judged(pub(super) Vec<Seen>);

impl Judged {
    /// `other` is what the other side of a rollout says of the same text.
    pub(super) fn take(
        &mut self,
        request: &ScanRequest,
        verdict: &Verdict,
        other: Option<Outcome>,
    ) {
        let mut all = self.0.iter_mut();
        match all.find(|seen| seen.direction == request.direction) {
            Some(seen) => {
                seen.take(request, verdict);
                seen.other = seen.other.max(other);
            }
            None => self.0.push(Seen {
                other,
                ..Seen::new(request, verdict)
            }),
        }
    }

    /// The worst of them counts.
    pub(super) fn passed(self) -> Result<Guarded, EngineError> {
        let blocked = self.0.iter().find(|seen| seen.outcome == Outcome::Block);
        if let Some(Seen {
            direction,
            rules,
            missing,
            ..
        }) = blocked
        {
            let missing = missing.iter().map(|word| Arc::from(*word));
            return Err(EngineError::Blocked {
                direction: *direction,
                rules: rules.iter().cloned().chain(missing).collect(),
            });
        }
        let all = self.0.into_iter().map(|seen| Guarded {
            outcome: seen.outcome,
            rules: seen.rules,
            degraded: seen.missing,
        });
        let harmless = Guarded {
            outcome: Outcome::Allow,
            rules: Vec::new(),
            degraded: Vec::new(),
        };
        Ok(all.fold(harmless, Guarded::and))
    }
}

impl Guarded {
    /// This and what was found later, together.
    pub(crate) fn and(mut self, later: Self) -> Self {
        self.outcome = self.outcome.max(later.outcome);
        for rule in later.rules {
            if !self.rules.contains(&rule) {
                self.rules.push(rule);
            }
        }
        for word in later.degraded {
            if !self.degraded.contains(&word) {
                self.degraded.push(word);
            }
        }
        self
    }
}
