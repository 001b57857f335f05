//! The mock held against its words: in process, over a socket, and both alike.

mod in_process;
mod over_http;
mod parity;

use bytes::Bytes;

use crate::request::ChatRequest;

/// A chat request to `model` with further fields, each with its comma in front.
fn chat_json(model: &str, fields: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]{fields}}}"#)
}

fn chat(model: &str) -> ChatRequest {
    ChatRequest::parse(Bytes::from(chat_json(model, ""))).unwrap()
}
