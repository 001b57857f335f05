//! Numbers of banks, companies, papers and vehicles.

use super::{luhn, mod_97, signs, weighted};

/// The first four signs go to the end, and the number leaves 1 modulo 97.
pub(super) fn iban(text: &str) -> bool {
    let signs = signs(text);
    (15..=34).contains(&signs.len()) && mod_97(signs[4..].iter().chain(&signs[..4])) == 1
}

/// The number leaves 1 modulo 97.
pub(super) fn lei(text: &str) -> bool {
    let signs = signs(text);
    signs.len() == 20 && mod_97(&signs) == 1
}

/// Weights 3, 7 and 1.
pub(super) fn us_routing(digits: &[u32]) -> bool {
    let sum = weighted(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]);
    sum.is_some_and(|sum| sum > 0 && sum.is_multiple_of(10))
}

/// Letters become two digits, then Luhn.
pub(super) fn isin(text: &str) -> bool {
    let mut digits = Vec::new();
    for value in signs(text).iter().filter_map(|c| c.to_digit(36)) {
        if value > 9 {
            digits.push(value / 10);
        }
        digits.push(value % 10);
    }
    luhn(&digits)
}

/// The ninth sign is the weighted sum of the others modulo 11.
pub(super) fn vin(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let signs = signs(text);
    let value = |c: &char| match c {
        '0'..='9' => c.to_digit(10),
        'A'..='H' => Some(*c as u32 - 'A' as u32 + 1),
        'J'..='N' | 'P' | 'R' => Some(*c as u32 - 'J' as u32 + 1),
        'S'..='Z' => Some(*c as u32 - 'S' as u32 + 2),
        _ => None,
    };
    let Some(values) = signs.iter().map(value).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let Some(rest) = weighted(&values, &WEIGHTS).map(|sum| sum % 11) else {
        return false;
    };
    let check = signs.get(8);
    check.is_some_and(|c| {
        if rest == 10 {
            *c == 'X'
        } else {
            c.to_digit(10) == Some(rest)
        }
    })
}

/// One less in the first place, then a weighted sum modulo 89.
pub(super) fn au_abn(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 11] = [10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19];
    let sum = weighted(digits, &WEIGHTS);
    sum.is_some_and(|sum| digits[0] > 0 && (sum - 10).is_multiple_of(89))
}

/// Two check digits, each modulo 11.
pub(super) fn br_cnpj(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let check = |of: usize| {
        let sum = weighted(&digits[..of], &WEIGHTS[13 - of..]);
        sum.map(|sum| match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        })
    };
    digits.len() == 14
        && digits.iter().any(|digit| *digit != digits[0])
        && check(12) == Some(digits[12])
        && check(13) == Some(digits[13])
}
