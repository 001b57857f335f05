//! Names of tasks: later ones are greater, and none can be guessed.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::new_task::MOST_ID_BYTES;

/// A name that nobody has had.
pub(crate) fn new_id() -> Result<String, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis() & 0xffff_ffff_ffff;
    let random = random
        .iter()
        .fold(0_u128, |all, byte| (all << 8) | u128::from(*byte));
    Ok(format!("{ms:012x}{random:020x}"))
}

/// Whether a caller may call a task so.
pub(crate) fn is_good(id: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MOST_ID_BYTES).contains(&id.len()) && id.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_good_and_no_two_are_alike() {
        let (one, other) = (new_id().unwrap(), new_id().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
        assert!(is_good(&one));
        assert!(!is_good("") && !is_good("a b") && !is_good("../x/y") && !is_good(&"x".repeat(65)));
    }
}
