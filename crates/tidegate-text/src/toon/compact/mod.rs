//! The compact dialect: one line, short keys.
//!
//! `{fb:{id:FB001|conf:0.85}}`: objects in braces, lists in brackets, `|`
//! between, `~` for null, `T` and `F`. Ordinary data looks as it always did in
//! this dialect; what used to be lost on the way back is in quotes.

mod abbreviations;
mod decode;
mod encode;
mod words;

pub use abbreviations::{Abbreviations, TableError};
pub use decode::decode;
pub use encode::{encode, encode_to};

#[cfg(test)]
mod tests;
