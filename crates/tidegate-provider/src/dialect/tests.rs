//! What is said in one dialect means the same in the other.
//!
//! The strategies make what every dialect can say; each side is put under the
//! same three tests: a request, an answer and a stream that are written and
//! read again are what they were.

pub(crate) mod arbitrary;
mod fidelity;
mod garbage;
mod losses;
mod pairs;
