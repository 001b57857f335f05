//! Numbers that states give to persons.

use super::{luhn, mod_11_10, signs, weighted};

/// What is missing from a multiple of `modulus`.
fn complement(sum: u32, modulus: u32) -> u32 {
    (modulus - sum % modulus) % modulus
}

fn number(digits: &[u32]) -> u64 {
    // More digits than any of these numbers has are told apart by their count.
    digits.iter().fold(0_u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(*digit))
    })
}

/// True for anything but one digit repeated, which passes many formulas.
fn varies(digits: &[u32]) -> bool {
    digits.iter().any(|digit| *digit != digits[0])
}

/// Day and month of a date; `day` may be shifted by the caller.
fn is_day(day: u32, month: u32) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}

fn letter_of(table: &str, place: u32) -> Option<char> {
    table.chars().nth(place as usize)
}

pub(super) fn au_tfn(digits: &[u32]) -> bool {
    let sum = weighted(digits, &[1, 4, 3, 7, 5, 8, 6, 9, 10]);
    sum.is_some_and(|sum| sum > 0 && sum.is_multiple_of(11))
}

/// 97 less the remainder of the first nine; who was born from 2000 on has a 2 in
/// front of them.
pub(super) fn be_national(digits: &[u32]) -> bool {
    if digits.len() != 11 {
        return false;
    }
    let (body, check) = (number(&digits[..9]), number(&digits[9..]));
    let fits = |body: u64| 97 - body % 97 == check;
    is_day(digits[4] * 10 + digits[5], digits[2] * 10 + digits[3])
        && (fits(body) || fits(2_000_000_000 + body))
}

/// Two check digits, each modulo 11.
pub(super) fn br_cpf(digits: &[u32]) -> bool {
    const WEIGHTS: [u32; 10] = [11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
    let check =
        |of: usize| weighted(&digits[..of], &WEIGHTS[10 - of..]).map(|sum| sum * 10 % 11 % 10);
    digits.len() == 11
        && varies(digits)
        && check(9) == Some(digits[9])
        && check(10) == Some(digits[10])
}

/// EAN-13 behind 756.
pub(super) fn ch_ahv(digits: &[u32]) -> bool {
    let sum = weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
    digits.starts_with(&[7, 5, 6]) && sum.is_some_and(|sum| sum.is_multiple_of(10))
}

/// Weights 2 to 7 from the right, modulo 11; K stands for 10.
pub(super) fn cl_rut(text: &str) -> bool {
    let signs = signs(text);
    let Some((check, body)) = signs.split_last() else {
        return false;
    };
    let body: Vec<u32> = body.iter().filter_map(|c| c.to_digit(10)).collect();
    let weighted = body.iter().rev().zip((2..=7).cycle());
    let sum: u32 = weighted.map(|(digit, weight)| digit * weight).sum();
    let expected = match complement(sum, 11) {
        10 => 'K',
        digit => char::from_digit(digit, 10).unwrap_or('0'),
    };
    (7..=8).contains(&body.len()) && varies(&body) && *check == expected
}

/// ISO/IEC 7064, MOD 11-2.
pub(super) fn cn_resident(text: &str) -> bool {
    let signs = signs(text);
    let value = |c: &char| if *c == 'X' { Some(10) } else { c.to_digit(10) };
    let values: Vec<u32> = signs.iter().filter_map(value).collect();
    if values.len() != 18 {
        return false;
    }
    let sum = values.iter().fold(0, |sum, value| (sum * 2 + value) % 11);
    let at = |place: usize| values[place] * 10 + values[place + 1];
    sum == 1 && is_day(at(12), at(10))
}

/// ISO/IEC 7064, MOD 11,10; of the first ten digits one stands twice or three
/// times.
pub(super) fn de_tax_id(digits: &[u32]) -> bool {
    if digits.len() != 11 || digits[0] == 0 {
        return false;
    }
    let times = (0..10).map(|digit| digits[..10].iter().filter(|d| **d == digit).count());
    let repeated: Vec<usize> = times.filter(|times| *times > 1).collect();
    matches!(repeated[..], [2 | 3]) && mod_11_10(digits)
}

/// The letter at the place of the number modulo 23; X, Y and Z of foreigners
/// count as 0, 1 and 2.
pub(super) fn es_dni(text: &str) -> bool {
    let signs = signs(text);
    let Some((letter, body)) = signs.split_last() else {
        return false;
    };
    let value = |c: &char| match c {
        'X' => Some(0),
        'Y' => Some(1),
        'Z' => Some(2),
        _ => c.to_digit(10),
    };
    let body: Vec<u32> = body.iter().filter_map(value).collect();
    let place = (number(&body) % 23) as u32;
    body.len() == 8 && varies(&body) && letter_of("TRWAGMYFPDXBNJZSQVHLCKE", place) == Some(*letter)
}

/// The sign at the place of date and number modulo 31.
pub(super) fn fi_hetu(text: &str) -> bool {
    let signs = signs(text);
    let Some((check, body)) = signs.split_last() else {
        return false;
    };
    // A letter between date and number stands for the century.
    let body: Vec<u32> = body.iter().filter_map(|c| c.to_digit(10)).collect();
    let place = (number(&body) % 31) as u32;
    body.len() == 9
        && is_day(body[0] * 10 + body[1], body[2] * 10 + body[3])
        && letter_of("0123456789ABCDEFHJKLMNPRSTUVWXY", place) == Some(*check)
}

/// 97 less the remainder of the first thirteen; Corsica's 2A and 2B count as 19
/// and 18.
pub(super) fn fr_nir(text: &str) -> bool {
    let text = text
        .to_ascii_uppercase()
        .replace("2A", "19")
        .replace("2B", "18");
    let digits = super::digits(&text);
    digits.len() == 15
        && matches!(digits[0], 1 | 2 | 7 | 8)
        && 97 - number(&digits[..13]) % 97 == number(&digits[13..])
}

/// Weights 10 to 2, modulo 11.
pub(super) fn uk_nhs(digits: &[u32]) -> bool {
    let sum = weighted(digits, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    sum.is_some_and(|sum| varies(digits) && sum.is_multiple_of(11))
}

pub(super) fn hr_oib(digits: &[u32]) -> bool {
    digits.len() == 11 && varies(digits) && mod_11_10(digits)
}

/// Verhoeff's scheme: digits are permuted by their place and multiplied in the
/// dihedral group of the pentagon.
pub(super) fn in_aadhaar(digits: &[u32]) -> bool {
    const PERMUTED: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let product = |a: usize, b: usize| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let permuted =
        |place: usize, digit: u32| (0..place % 8).fold(digit as usize, |digit, _| PERMUTED[digit]);
    let places = digits.iter().rev().enumerate();
    let rest = places.fold(0, |rest, (place, digit)| {
        product(rest, permuted(place, *digit))
    });
    digits.len() == 12 && digits[0] > 1 && rest == 0
}

/// Signs in odd places have values of their own; the last is a letter modulo 26.
pub(super) fn it_codice_fiscale(text: &str) -> bool {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let signs = signs(text);
    // What the number is called may stand in front of it.
    let Some(signs) = signs.last_chunk::<16>() else {
        return false;
    };
    let value = |c: char| c.to_digit(10).unwrap_or_else(|| c as u32 - 'A' as u32);
    let sum: u32 = (0..15)
        .map(|place| match place % 2 {
            0 => ODD[value(signs[place]) as usize],
            _ => value(signs[place]),
        })
        .sum();
    signs[15].is_ascii_uppercase() && value(signs[15]) == sum % 26
}

/// Weights 2 to 9 and 2 to 5, modulo 11. Numbers since October 2020 have no check
/// digit and are not found.
pub(super) fn kr_resident(digits: &[u32]) -> bool {
    let Some((check, body)) = digits.split_last() else {
        return false;
    };
    let sum = weighted(body, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    sum.is_some_and(|sum| {
        (11 - sum % 11) % 10 == *check && is_day(body[4] * 10 + body[5], body[2] * 10 + body[3])
    })
}

/// Weights 9 to 2, the last counts -1, modulo 11.
pub(super) fn nl_bsn(digits: &[u32]) -> bool {
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2, 10]);
    sum.is_some_and(|sum| sum > 0 && varies(digits) && sum.is_multiple_of(11))
}

/// Two check digits, each modulo 11.
pub(super) fn no_fnr(digits: &[u32]) -> bool {
    let first = digits.len() == 11
        && weighted(&digits[..10], &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1])
            .is_some_and(|sum| sum.is_multiple_of(11));
    let second = weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]);
    first
        && second.is_some_and(|sum| sum.is_multiple_of(11))
        && is_day(digits[0] * 10 + digits[1], digits[2] * 10 + digits[3])
}

/// Weights 1, 3, 7 and 9; the month also says the century.
pub(super) fn pl_pesel(digits: &[u32]) -> bool {
    let sum = weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    sum.is_some_and(|sum| {
        let month = (digits[2] * 10 + digits[3]) % 20;
        sum.is_multiple_of(10) && is_day(digits[4] * 10 + digits[5], month)
    })
}

/// Weights 9 to 2, modulo 11; 10 and 11 count as 0.
pub(super) fn pt_nif(digits: &[u32]) -> bool {
    let Some((check, body)) = digits.split_last() else {
        return false;
    };
    let sum = weighted(body, &[9, 8, 7, 6, 5, 4, 3, 2]);
    sum.is_some_and(|sum| varies(digits) && complement(sum, 11) % 10 == *check)
}

/// A weighted sum modulo 11; 10 counts as 1.
pub(super) fn ro_cnp(digits: &[u32]) -> bool {
    let Some((check, body)) = digits.split_last() else {
        return false;
    };
    let sum = weighted(body, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]);
    sum.is_some_and(|sum| {
        let rest = sum % 11;
        (if rest == 10 { 1 } else { rest }) == *check
            && body[0] > 0
            && is_day(body[5] * 10 + body[6], body[3] * 10 + body[4])
    })
}

/// Luhn over the ten last digits, which begin with a date. A day above 60 is of a
/// person without a registered address.
pub(super) fn se_personnummer(digits: &[u32]) -> bool {
    if !matches!(digits.len(), 10 | 12) {
        return false;
    }
    let short = &digits[digits.len() - 10..];
    let day = short[4] * 10 + short[5];
    let day = if day > 60 { day - 60 } else { day };
    is_day(day, short[2] * 10 + short[3]) && luhn(short)
}

/// Weights 2, 7, 6, 5, 4, 3, 2, modulo 11; the first letter chooses the table.
pub(super) fn sg_nric(text: &str) -> bool {
    let signs = signs(text);
    let digits = super::digits(text);
    let Some(sum) = weighted(&digits, &[2, 7, 6, 5, 4, 3, 2]) else {
        return false;
    };
    let (extra, table) = match signs.first() {
        Some('S') => (0, "JZIHGFEDCBA"),
        Some('T') => (4, "JZIHGFEDCBA"),
        Some('F') => (0, "XWUTRQPNMLK"),
        Some('G') => (4, "XWUTRQPNMLK"),
        Some('M') => (3, "KLJNPQRTUWX"),
        _ => return false,
    };
    let rest = (sum + extra) % 11;
    let place = if signs[0] == 'M' { 10 - rest } else { rest };
    varies(&digits) && letter_of(table, place) == signs.last().copied()
}

/// The tenth digit from odd and even places, the eleventh from all before.
pub(super) fn tr_tckn(digits: &[u32]) -> bool {
    if digits.len() != 11 || digits[0] == 0 {
        return false;
    }
    let odd: u32 = digits[..9].iter().step_by(2).sum();
    let even: u32 = digits[1..8].iter().step_by(2).sum();
    let all: u32 = digits[..10].iter().sum();
    (odd * 7 + 100 - even) % 10 == digits[9] && all % 10 == digits[10]
}

/// Luhn behind 80840, which stands for health and the United States.
pub(super) fn us_npi(digits: &[u32]) -> bool {
    let prefixed: Vec<u32> = [8, 0, 8, 4, 0].iter().chain(digits).copied().collect();
    digits.len() == 10 && matches!(digits[0], 1 | 2) && luhn(&prefixed)
}
