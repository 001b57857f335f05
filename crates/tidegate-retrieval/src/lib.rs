#![doc = include_str!("../README.md")]

mod bm25;
mod extract;
mod index;
mod stem;
mod term;

pub use extract::{Extract, extract};
pub use index::{Document, Hit, Index};
