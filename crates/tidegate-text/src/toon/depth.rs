//! How deeply the containers of a value hold each other.

use serde_json::Value;

use super::error::{EncodeError, MAX_DEPTH};

/// Refuses a value that is nested more deeply than a reader would read.
pub(super) fn check(value: &Value) -> Result<(), EncodeError> {
    if fits(value, MAX_DEPTH) {
        Ok(())
    } else {
        Err(EncodeError::TooDeep { limit: MAX_DEPTH })
    }
}

/// True when at most so many more containers hold each other. It goes no deeper
/// than that, so no value is too deep for the stack.
fn fits(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
        Value::Object(map) => levels > 0 && map.values().all(|item| fits(item, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}
