//! The query of a URL.

use super::error::ApiError;

/// Names and values in their order, without their encoding.
pub(super) fn pairs(query: &str) -> Result<Vec<(&str, String)>, ApiError> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or_else(|| {
            let message = format!("{key} must be percent-encoded UTF-8");
            ApiError::invalid("invalid_parameter", message).about(key)
        })?;
        Ok((key, value))
    });
    pairs.collect()
}

/// A value without its encoding.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}
