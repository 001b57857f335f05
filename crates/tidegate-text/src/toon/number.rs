//! Numbers: the grammar of the standard, and its canonical form.
//!
//! What a number cannot hold without loss stays the string that it was written
//! as: an integer beyond 64 bits that no float is written as, and what is
//! infinite for a float.

use std::fmt::{self, Write};

use serde_json::{Number, Value};

/// 2^63 and 2^64: the ends of the integers that a value holds exactly.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_POW_64: f64 = 18_446_744_073_709_551_616.0;

/// Whether a token is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grammar {
    /// Digits, with a minus or without.
    Integer,
    /// With a fraction or an exponent.
    Decimal,
    /// Not a number.
    None,
}

/// Reads the grammar `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`.
pub(super) fn grammar(token: &str) -> Grammar {
    let bytes = token.as_bytes();
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned[0] == b'0') {
        return Grammar::None;
    }
    match behind_whole(&unsigned[whole..]) {
        Some(0) => Grammar::Integer,
        Some(_) => Grammar::Decimal,
        None => Grammar::None,
    }
}

/// True for what must be quoted so that no reader takes it for a number:
/// wider than the grammar by a leading plus and leading zeros.
pub(super) fn looks_numeric(token: &str) -> bool {
    let bytes = token.as_bytes();
    let unsigned = match bytes.first() {
        Some(b'+' | b'-') => &bytes[1..],
        _ => bytes,
    };
    let whole = digits(unsigned);
    whole > 0 && behind_whole(&unsigned[whole..]).is_some()
}

/// The length of fraction and exponent, if nothing else is there.
fn behind_whole(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    if bytes.first() == Some(&b'.') {
        let fraction = digits(&bytes[1..]);
        at = (fraction > 0).then_some(1 + fraction)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        let exponent = digits(&bytes[at..]);
        at = (exponent > 0).then_some(at + exponent)?;
    }
    (at == bytes.len()).then_some(at)
}

fn digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// The number that a token is, in the value that holds it exactly; nothing for
/// a token that is none or that no value holds.
pub(super) fn read(token: &str) -> Option<Number> {
    match grammar(token) {
        Grammar::None => None,
        Grammar::Integer => read_integer(token),
        Grammar::Decimal => {
            let float: f64 = token.parse().ok()?;
            whole(float).or_else(|| Number::from_f64(float))
        }
    }
}

fn read_integer(token: &str) -> Option<Number> {
    if let Ok(number) = token.parse::<u64>() {
        return Some(number.into());
    }
    if let Ok(number) = token.parse::<i64>() {
        return Some(number.into());
    }
    let float: f64 = token.parse().ok()?;
    let mut text = String::new();
    write_float(&mut text, float).ok()?;
    (text == token).then(|| Number::from_f64(float))?
}

/// The same value as an integer, where it is one of 64 bits. Minus zero is zero.
pub(super) fn whole(float: f64) -> Option<Number> {
    if float.fract() != 0.0 {
        None
    } else if (0.0..TWO_POW_64).contains(&float) {
        Some((float as u64).into())
    } else if (-TWO_POW_63..0.0).contains(&float) {
        Some((float as i64).into())
    } else {
        None
    }
}

/// Writes the canonical form: no exponent from 1e-6 to 1e21, no trailing zeros,
/// no minus zero.
pub(super) fn write(out: &mut impl Write, number: &Number) -> fmt::Result {
    let mut integer = itoa::Buffer::new();
    if let Some(unsigned) = number.as_u64() {
        return out.write_str(integer.format(unsigned));
    }
    if let Some(signed) = number.as_i64() {
        return out.write_str(integer.format(signed));
    }
    match number.as_f64() {
        Some(float) => write_float(out, float),
        // Without arbitrary precision a number is one of the three.
        None => out.write_str("null"),
    }
}

fn write_float(out: &mut impl Write, float: f64) -> fmt::Result {
    if let Some(number) = whole(float) {
        return write(out, &number);
    }
    let size = float.abs();
    if !(1e-6..1e21).contains(&size) {
        return write!(out, "{float:e}");
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(float);
    if text.contains('e') {
        return write!(out, "{float}");
    }
    out.write_str(text.strip_suffix(".0").unwrap_or(text))
}

/// The number or the string that an unquoted token is.
pub(super) fn number_or_text(token: &str) -> Value {
    match read(token) {
        Some(number) => Value::Number(number),
        None => Value::String(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[track_caller]
    fn check(token: &str, expected: Value) {
        assert_eq!(number_or_text(token), expected, "{token}");
    }

    #[test]
    fn numbers_are_read_into_the_value_that_holds_them_exactly() {
        check("0", json!(0));
        check("-0", json!(0));
        check("-0.0", json!(0));
        check("1.5000", json!(1.5));
        check("-1E+03", json!(-1000));
        check("18446744073709551615", json!(u64::MAX));
        check("-9223372036854775808", json!(i64::MIN));
        check("100000000000000000000", json!(1e20));
        check("1e300", json!(1e300));
    }

    #[test]
    fn what_no_value_holds_stays_a_string() {
        for token in [
            "18446744073709551617",
            "-9223372036854775809",
            "1e400",
            "05",
            "-05",
            ".5",
            "1.",
            "+1",
            "1e",
            "1e+",
            "0x10",
            "1_000",
            "NaN",
            "Infinity",
            "-",
            "",
        ] {
            check(token, json!(token));
        }
    }

    #[test]
    fn the_canonical_form_has_no_exponent_where_the_standard_forbids_it() {
        for (float, expected) in [
            (1e-6, "0.000001"),
            (9.5e-7, "9.5e-7"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (123_456_789.125, "123456789.125"),
            (-0.0, "0"),
            (5.0, "5"),
            (1e300, "1e300"),
            (0.000_012_3, "0.0000123"),
        ] {
            let mut text = String::new();
            write_float(&mut text, float).unwrap();
            assert_eq!(text, expected);
        }
    }

    proptest! {
        #[test]
        fn every_float_is_read_as_it_was_written(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let mut text = String::new();
            write_float(&mut text, float).unwrap();
            let read = read(&text).unwrap();
            prop_assert_eq!(read.as_f64(), Some(float), "{}", text);
        }

        #[test]
        fn whatever_is_read_as_a_number_looks_like_one(token in "[-+]?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][-+]?[0-9]{0,2})?") {
            prop_assert!(grammar(&token) == Grammar::None || looks_numeric(&token));
        }
    }
}
