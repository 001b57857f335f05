//! Names of sessions: later ones are greater, and none can be guessed.

use std::time::SystemTime;

use super::SessionError;
use super::stored::millis;

/// Digits of an id: 48 bits of time, then 128 random ones.
pub(super) const LENGTH: usize = 12 + 32;

/// A name that nobody has had.
pub(super) fn new_id(now: SystemTime) -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let time = millis(now) & 0xffff_ffff_ffff;
    Ok(format!("{time:012x}{:032x}", u128::from_be_bytes(random)))
}

/// Whether this can be the name of a session: nothing else is ever told to the
/// store.
pub(super) fn check_id(id: &str) -> Result<(), SessionError> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if id.len() == LENGTH && id.bytes().all(digit) {
        Ok(())
    } else {
        Err(SessionError::BadId)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn later_ids_are_greater_and_no_two_are_alike() {
        let now = SystemTime::now();
        let ids = [0, 0, 1, 60_000, 1 << 40].map(|ms| new_id(now + Duration::from_millis(ms)));
        let ids = ids.map(Result::unwrap);
        assert!(ids.iter().all(|id| check_id(id).is_ok()));
        assert_ne!(ids[0], ids[1]);
        assert!(ids[1..].is_sorted());
        assert_ne!(ids[0][12..], ids[4][12..]);
    }

    #[test]
    fn nothing_but_an_id_is_one() {
        let good = new_id(SystemTime::now()).unwrap();
        for bad in [
            String::new(),
            "0".repeat(LENGTH - 1),
            "0".repeat(LENGTH + 1),
            good.to_uppercase()
                .replace(|c: char| c.is_ascii_digit(), "A"),
            format!("{}\n", &good[1..]),
            format!("{}é", &good[2..]),
            "*".repeat(LENGTH),
            "' OR 1=1 --".repeat(4),
        ] {
            assert_eq!(check_id(&bad), Err(SessionError::BadId), "{bad}");
        }
    }
}
