#![doc = include_str!("../README.md")]

mod carriers;
mod corpus;
mod documents;
mod evaluate;
mod generate;
mod grammar;
mod grey;
mod learn;
mod material;
mod order;
mod overlap;
mod rows;
mod ship;
mod task;

pub use documents::documents;
pub use evaluate::{Measure, Measures};
pub use grey::Grey;
pub use material::{DEV, Material};
pub use overlap::{Overlap, overlaps};
pub use rows::{Row, RowsError, read};
pub use ship::train;
pub use task::Task;
