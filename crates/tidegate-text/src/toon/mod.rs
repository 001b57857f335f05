//! JSON in fewer tokens: TOON as its standard has it, and a dialect on one line.
//!
//! [`encode`] and [`decode`] speak the standard (<https://toon-format.org>,
//! version 4); [`compact`] is the other dialect. Neither loses anything.

pub mod compact;
mod decode;
mod depth;
mod encode;
mod error;
mod header;
mod line;
mod number;
mod options;
mod place;
mod quote;
mod savings;
mod scan;
mod shape;
mod sink;
mod token;

pub use decode::decode;
pub use encode::{encode, encode_to};
pub use error::{DecodeError, EncodeError, MAX_DEPTH, MAX_EXPANSION, Rule, Unit};
pub use options::{DecodeOptions, Delimiter, EncodeOptions, IndentSize, Strictness};
pub use savings::{Cost, Dialect, Savings, Style, smallest, write};

#[cfg(test)]
mod tests;
