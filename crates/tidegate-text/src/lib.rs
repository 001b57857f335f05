#![doc = include_str!("../README.md")]

mod block;
mod chunk;
mod sentence;
pub mod template;
mod token;
mod word;

pub use chunk::{Chunk, Chunker};
pub use sentence::sentences;
pub use token::{estimate_tokens, estimate_tokens_of_bytes};
pub use word::words;
