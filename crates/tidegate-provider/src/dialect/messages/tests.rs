//! Anthropic's messages, held against what is said and heard in them.

mod arbitrary;
mod replies;
mod requests;
mod said;
mod streams;
