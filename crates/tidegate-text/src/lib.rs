#![doc = include_str!("../README.md")]

mod block;
mod chunk;
pub mod pack_folder;
mod sentence;
pub mod template;
pub mod tokens;
pub mod toon;
mod word;

pub use chunk::{Chunk, Chunker};
pub use sentence::sentences;
pub use tokens::{estimate_tokens, estimate_tokens_of_bytes};
pub use word::words;
