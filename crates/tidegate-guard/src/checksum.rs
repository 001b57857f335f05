//! Numbers that carry their own proof: cards and bank accounts.

use crate::word::words;

words! {
    /// What a match must pass besides its pattern.
    #[derive(Default)]
    pub enum Check {
        /// Nothing.
        #[default]
        None = "none",
        /// The check digit of payment cards.
        Luhn = "luhn",
        /// The check digits of international bank account numbers (mod 97).
        Iban = "iban",
    }
}

impl Check {
    pub(crate) fn passes(self, text: &str) -> bool {
        match self {
            Self::None => true,
            Self::Luhn => luhn(text),
            Self::Iban => iban(text),
        }
    }
}

/// From the right, every second digit counts double, less nine above nine.
fn luhn(text: &str) -> bool {
    let digits = text.chars().rev().filter_map(|c| c.to_digit(10));
    let weighted = |(place, digit): (usize, u32)| match (place % 2, digit * 2) {
        (0, _) => digit,
        (_, double) if double > 9 => double - 9,
        (_, double) => double,
    };
    let sum: u32 = digits.clone().enumerate().map(weighted).sum();
    sum.is_multiple_of(10) && digits.clone().any(|digit| digit != 0)
}

/// The first four characters go to the end, letters become 10 to 35, and the
/// number leaves 1 when it is divided by 97.
fn iban(text: &str) -> bool {
    let signs: Vec<u32> = text.chars().filter_map(|c| c.to_digit(36)).collect();
    if !(15..=34).contains(&signs.len()) {
        return false;
    }
    let moved = signs[4..].iter().chain(&signs[..4]);
    let rest = moved.fold(0, |rest, &sign| {
        let shift = if sign > 9 { 100 } else { 10 };
        (rest * shift + sign) % 97
    });
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_with_one_wrong_digit_fails() {
        assert!(Check::Luhn.passes("4111 1111 1111 1111"));
        assert!(Check::Luhn.passes("3782-822463-10005"));
        assert!(!Check::Luhn.passes("4111 1111 1111 1112"));
        assert!(!Check::Luhn.passes("4111 1111 1111 1171"));
        assert!(!Check::Luhn.passes("0000 0000 0000 0000"));
    }

    #[test]
    fn an_account_number_with_two_digits_swapped_fails() {
        assert!(Check::Iban.passes("GB82 WEST 1234 5698 7654 32"));
        assert!(Check::Iban.passes("de89370400440532013000"));
        assert!(!Check::Iban.passes("GB82 WEST 1234 5698 7654 23"));
        assert!(!Check::Iban.passes("GB82"));
    }
}
