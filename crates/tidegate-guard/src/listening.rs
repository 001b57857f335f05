//! The classifier beside a text that arrives in pieces.

use std::sync::Arc;

use tidegate_model::{Classifier, Following, Score};

use crate::facts::Ending;
use crate::l2::{L2, L2Outcome, Reason};
use crate::scanner::Second;
use crate::verdict::{Direction, ScanRequest, Verdict};

/// What stands before the open windows is forgotten when there is this much of it,
/// in code points.
const FORGOTTEN_CHARS: usize = 8 * 1024;

/// Listens to a growing text.
///
/// Of the text it keeps the windows that are open, and the worst one that was
/// suspicious: whoever asks later is told why.
#[derive(Debug)]
pub(crate) struct Listening {
    second: Second,
    following: Following<Arc<Classifier>>,
    /// The end of the text, from the code point `tail_at` on.
    tail: String,
    tail_at: usize,
    /// The worst window that has ended, with its reasons once somebody asked.
    worst: Option<Worst>,
}

#[derive(Debug)]
struct Worst {
    score: Score,
    text: String,
    reasons: Option<Vec<Reason>>,
}

impl Listening {
    pub(crate) fn new(second: Second) -> Self {
        Self {
            following: Following::new(Arc::clone(second.classifier())),
            second,
            tail: String::new(),
            tail_at: 0,
            worst: None,
        }
    }

    /// Takes the next piece of a text of this direction.
    pub(crate) fn push(&mut self, piece: &str, direction: Direction) {
        self.following.push(piece);
        self.tail.push_str(piece);
        let settled = self.following.settled();
        let is_new = |score: &Score| match &self.worst {
            Some(worst) => worst.score.window != score.window,
            None => true,
        };
        let is_told = |score: &Score| self.second.is_suspicious(score, direction);
        if let Some(score) = settled.filter(|score| is_new(score) && is_told(score)) {
            let from = score.window.start - self.tail_at;
            let text = self.tail.chars().skip(from).take(score.window.len());
            self.worst = Some(Worst {
                text: text.collect(),
                score,
                reasons: None,
            });
        }
        self.forget();
    }

    fn forget(&mut self) {
        let closed = self.following.open_from() - self.tail_at;
        if closed < FORGOTTEN_CHARS {
            return;
        }
        let end = self.tail.char_indices().nth(closed);
        let end = end.map_or(self.tail.len(), |(end, _)| end);
        self.tail.drain(..end);
        self.tail_at += closed;
    }

    /// The verdict of the rules, with what there is to say so far.
    ///
    /// Until the text has ended only windows that have ended count: what is said in
    /// between must never be worse than what is said at the end.
    pub(crate) fn join(
        &mut self,
        rules: Verdict,
        ending: Ending,
        request: &ScanRequest,
    ) -> Verdict {
        let second = self.second.clone();
        second.join(rules, request, || self.says(ending, request.direction))
    }

    fn says(&mut self, ending: Ending, direction: Direction) -> L2 {
        let score = match ending {
            Ending::Last => Some(self.following.score()),
            Ending::Open => self.following.settled(),
        };
        let Some(score) = score else {
            return self.second.unanswered(L2Outcome::Skipped);
        };
        let reasons = if self.second.is_suspicious(&score, direction) {
            self.reasons(&score)
        } else {
            Vec::new()
        };
        self.second.scored(&score, reasons)
    }

    fn reasons(&mut self, score: &Score) -> Vec<Reason> {
        let (second, window) = (&self.second, &score.window);
        match &mut self.worst {
            Some(worst) if worst.score.window == *window => {
                let find = || second.reasons(&worst.text, window, window.start);
                worst.reasons.get_or_insert_with(find).clone()
            }
            // It is open: the text ends in it.
            Some(_) | None => second.reasons(&self.tail, window, self.tail_at),
        }
    }
}
