//! What was said before, in front of what is said now.
//!
//! The newest turns win, and a turn is told whole or not at all: from what a
//! person says to the last thing that is said before the next. What upstreams
//! would refuse is not told: calls of tools that nobody has answered.

use tidegate_provider::{ChatRequest, Message, MessageFacts};
use tidegate_text::estimate_tokens_of_bytes;

use super::SessionMessage;

/// A request with what was said before it.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) request: ChatRequest,
    /// Whether something of the history is not told.
    pub(super) is_cut: bool,
}

/// Puts as much of `history` as costs no more than `budget` tokens into the
/// request, after its instructions and before everything else. A turn whose
/// tools the request answers is told whatever it costs.
pub(super) fn compose(
    request: &ChatRequest,
    history: &[SessionMessage],
    budget: u64,
) -> Result<Composed, tidegate_provider::RequestError> {
    let own = request.messages();
    let own_facts: Vec<MessageFacts> = own.iter().map(Message::facts).collect();
    let told = told(history, &own_facts);
    let mut turns: Vec<Vec<Message>> = Vec::new();
    let (mut left, mut is_cut) = (budget, false);
    for turn in told.chunk_by(|_, next| !next.1.begins_turn()).rev() {
        let weight = weight(turn);
        let answered = turn.iter().any(|(_, facts)| is_answered(facts, &own_facts));
        let fits = weight.is_some_and(|weight| weight <= left || answered);
        let messages: Vec<Message> = turn.iter().map(|(said, _)| (*said).clone()).collect();
        let retold = Message::retell(&messages, request.dialect());
        let (true, Some(retold)) = (fits, retold) else {
            is_cut = true;
            break;
        };
        left = left.saturating_sub(weight.unwrap_or_default());
        turns.push(retold);
    }
    let instructions = own_facts.iter().take_while(|facts| facts.instructs());
    let (first, rest) = own.split_at(instructions.count());
    let past = turns.into_iter().rev().flatten();
    let all = first
        .iter()
        .cloned()
        .chain(past)
        .chain(rest.iter().cloned());
    Ok(Composed {
        request: request.with_messages(&all.collect::<Vec<_>>())?,
        is_cut,
    })
}

/// What can be told: everything but calls that nobody answers, and results that
/// belong to those.
fn told<'a>(
    history: &'a [SessionMessage],
    own: &[MessageFacts],
) -> Vec<(&'a Message, MessageFacts)> {
    let all: Vec<_> = history
        .iter()
        .map(|message| (&message.said, message.said.facts()))
        .collect();
    let is_whole = |at: usize| {
        let (_, facts) = &all[at];
        let after = all[at + 1..].iter().map(|(_, facts)| facts).chain(own);
        let results: Vec<&String> = after
            .take_while(|facts| !facts.results.is_empty())
            .flat_map(|facts| &facts.results)
            .collect();
        let answered = |call: &String| results.contains(&call);
        facts.calls.iter().all(answered) || is_answered(facts, own)
    };
    let open: Vec<String> = (0..all.len())
        .filter(|at| !is_whole(*at))
        .flat_map(|at| all[at].1.calls.clone())
        .collect();
    let is_told = |facts: &MessageFacts| {
        let mut ids = facts.calls.iter().chain(&facts.results);
        !ids.any(|id| open.contains(id))
    };
    all.into_iter()
        .filter(|(_, facts)| is_told(facts))
        .collect()
}

/// Whether what is said now holds a result of one of its calls.
fn is_answered(facts: &MessageFacts, own: &[MessageFacts]) -> bool {
    let mut results = own.iter().flat_map(|facts| &facts.results);
    results.any(|id| facts.calls.contains(id))
}

/// About how many tokens a turn costs; nothing where it is no conversation.
fn weight(turn: &[(&Message, MessageFacts)]) -> Option<u64> {
    let mut bytes = 0;
    for run in turn.chunk_by(|one, next| one.0.dialect == next.0.dialect) {
        let messages: Vec<Message> = run.iter().map(|(said, _)| (*said).clone()).collect();
        bytes += Message::as_request(&messages).ok()?.content().prompt_bytes;
        bytes += run
            .iter()
            .map(|(_, facts)| facts.beside_bytes)
            .sum::<usize>();
    }
    Some(estimate_tokens_of_bytes(bytes))
}

#[cfg(test)]
mod tests;
