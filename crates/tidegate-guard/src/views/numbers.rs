//! Rows of numbers that are characters: `69 67 6e`, `0x69,0x67`, `105 103 110`,
//! `01101001 01100111`, `U+0069 U+0067`.

use std::ops::Range;

/// A row is read in parts of this many numbers.
const MAX_ROW: usize = 64;

/// A shorter row is no text.
const MIN_ROW: usize = 6;

/// The longest number: `01101001`.
const MAX_NUMBER: usize = 8;

/// A row, or what turned out to be none.
#[derive(Debug)]
pub(super) struct Row {
    /// How much was read.
    pub(super) bytes: usize,
    /// The bytes that each character stands instead of, and the character.
    pub(super) chars: Option<Vec<(Range<usize>, u8)>>,
}

/// How the numbers are written.
const RADIXES: [fn(&[u8]) -> Option<u8>; 5] = [
    |word| digits(word, 2, 16),
    |word| digits(word.strip_prefix(b"0x")?, 2, 16),
    |word| {
        digits(
            word.strip_prefix(b"U+").or(word.strip_prefix(b"u+"))?,
            4,
            16,
        )
    },
    |word| digits(word, 8, 2),
    |word| digits(word, word.len().clamp(2, 3), 10),
];

/// Reads a row whose first word is `length` bytes long, when all of it is there.
pub(super) fn read(bytes: &[u8], length: usize, is_last: bool) -> Option<Row> {
    let none = Some(Row {
        bytes: length,
        chars: None,
    });
    let first = &bytes[..length];
    if !first[0].is_ascii_hexdigit() && !matches!(first[0], b'U' | b'u') {
        return none;
    }
    if ways(first) == 0 {
        return none;
    }
    let words = words(bytes, length, is_last)?;
    let end = words.last().map_or(length, |word| word.end);
    if words.len() < MIN_ROW {
        return none;
    }
    let read_as = |radix: &fn(&[u8]) -> Option<u8>| -> Option<Vec<u8>> {
        words
            .iter()
            .map(|word| radix(&bytes[word.clone()]))
            .collect()
    };
    let is_text = |row: &Vec<u8>| {
        let shown = row
            .iter()
            .filter(|byte| matches!(byte, b' '..=b'~' | b'\n'));
        shown.count() * 5 >= row.len() * 4
    };
    let text = RADIXES.iter().filter_map(read_as).find(is_text);
    let next = |index: usize| words.get(index + 1).map_or(end, |word| word.start);
    let chars = text.map(|text| {
        let places = words.iter().enumerate();
        let places = places.map(|(index, word)| word.start..next(index));
        places.zip(text).collect()
    });
    Some(Row { bytes: end, chars })
}

/// One bit for each way to read a number.
fn ways(word: &[u8]) -> u8 {
    let ways = RADIXES.iter().enumerate();
    let ways = ways.filter(|(_, radix)| radix(word).is_some());
    ways.fold(0, |bits, (way, _)| bits | 1 << way)
}

/// The words of a row, which can all be read in the same way: they are short, and one or two signs stand between each two.
fn words(bytes: &[u8], length: usize, is_last: bool) -> Option<Vec<Range<usize>>> {
    let mut words = vec![0..length];
    let mut in_common = ways(&bytes[..length]);
    let mut at = length;
    while words.len() < MAX_ROW {
        // A number and what stands before and behind it must be there.
        if bytes.len() < at + MAX_NUMBER + 4 && !is_last {
            return None;
        }
        let rest = &bytes[at..];
        let is_sign = |byte: &&u8| matches!(byte, b' ' | b',' | b';' | b':' | b'-' | b'\n');
        let signs = rest.iter().take(3).take_while(is_sign).count();
        let is_digit = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'+';
        let word = rest[signs..].iter().take(MAX_NUMBER + 1);
        let word = word.take_while(is_digit).count();
        if !(1..=2).contains(&signs) || !(2..=MAX_NUMBER).contains(&word) {
            break;
        }
        in_common &= ways(&rest[signs..signs + word]);
        if in_common == 0 {
            break;
        }
        words.push(at + signs..at + signs + word);
        at += signs + word;
    }
    Some(words)
}

fn digits(word: &[u8], count: usize, radix: u32) -> Option<u8> {
    if word.len() != count {
        return None;
    }
    let value = word.iter().try_fold(0, |value, byte| {
        Some(value * radix + char::from(*byte).to_digit(radix)?)
    })?;
    u8::try_from(value)
        .ok()
        .filter(|byte| *byte != 0 && byte.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let length = text.find([' ', ',', '-']).unwrap_or(text.len());
        let row = read(text.as_bytes(), length, true).unwrap();
        let chars = row.chars.map(|chars| {
            let bytes = chars.into_iter().map(|(_, byte)| char::from(byte));
            bytes.collect::<String>()
        });
        assert_eq!(chars.as_deref(), expected, "{text}");
    }

    #[test]
    fn rows_of_numbers_are_characters() {
        check("69 67 6e 6f 72 65", Some("ignore"));
        check("0x69, 0x67, 0x6e, 0x6f, 0x72, 0x65", Some("ignore"));
        check("U+0069 U+0067 U+006E U+006F U+0072 U+0065", Some("ignore"));
        check("105 103 110 111 114 101 32", Some("ignore "));
        check(
            "01101001 01100111 01101110 01101111 01110010 01100101",
            Some("ignore"),
        );
    }

    #[test]
    fn other_rows_are_not() {
        check("69 67 6e 6f 72", None);
        check("1 2 3 4 5 6 7 8", None);
        check("12-24 of the tide", None);
    }
}
