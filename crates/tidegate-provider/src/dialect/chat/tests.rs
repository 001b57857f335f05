//! OpenAI's chat dialect, field by field and step by step.

mod answers;
mod requests;
mod streams;

use super::*;
use crate::dialect::Part;

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}
