//! Rows of numbers that are characters: `69 67 6e`, `0x69,0x67`, `105 103 110`,
//! `01101001 01100111`, `U+0069 U+0067`.

use crate::facts::Ending;
use std::ops::Range;

/// A row is read in parts of this many numbers.
const MAX_ROW: usize = 64;

/// A shorter row is no text.
const MIN_ROW: usize = 6;

/// The longest number: `01101001`, `U+10FFFF`.
const MAX_NUMBER: usize = 8;

/// A row, or what turned out to be none.
#[derive(Debug)]
pub(super) struct Row {
    /// How much was read.
    pub(super) bytes: usize,
    /// The bytes that each character stands instead of, and the character. None
    /// where the row is no text.
    pub(super) chars: Vec<(Range<usize>, char)>,
    /// How its numbers are written, when more of them follow.
    pub(super) goes_on: Option<Radix>,
}

/// A way to write numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Radix {
    /// `69`
    Hex,
    /// `0x69`
    Prefixed,
    /// `U+0069`, a code point where all others are bytes.
    CodePoint,
    /// `01101001`
    Binary,
    /// `105`
    Decimal,
}

const RADIXES: [Radix; 5] = [
    Radix::Hex,
    Radix::Prefixed,
    Radix::CodePoint,
    Radix::Binary,
    Radix::Decimal,
];

/// Reads a row whose first word is `length` bytes long, when all of it is there.
/// What continues another row is text however short it is.
pub(super) fn read(
    bytes: &[u8],
    length: usize,
    continues: Option<Radix>,
    ending: Ending,
) -> Option<Row> {
    let none = Some(Row {
        bytes: length,
        chars: Vec::new(),
        goes_on: None,
    });
    let first = &bytes[..length];
    if !first[0].is_ascii_hexdigit() && !matches!(first[0], b'U' | b'u') {
        return none;
    }
    let allowed = continues.map_or(u8::MAX, bit);
    if ways(first) & allowed == 0 {
        return none;
    }
    let words = words(bytes, length, allowed, ending)?;
    if continues.is_none() && words.len() < MIN_ROW {
        return none;
    }
    let row = |radix: &Radix| {
        let values = words.iter().map(|word| radix.read(&bytes[word.clone()]));
        let said = radix.said(&values.collect::<Option<Vec<u32>>>()?);
        let counts = continues.is_some() || is_text(*radix, &said);
        counts.then(|| radix.row(&said, &words)).flatten()
    };
    let mut radixes = RADIXES.iter().filter(|radix| bit(**radix) & allowed != 0);
    radixes.find_map(row).or(Some(Row {
        bytes: words.last().map_or(length, |word| word.end),
        chars: Vec::new(),
        goes_on: None,
    }))
}

impl Radix {
    /// Reads one number.
    fn read(self, word: &[u8]) -> Option<u32> {
        let (digits, lengths, radix) = match self {
            Self::Hex => (word, 2..=2, 16),
            Self::Prefixed => (word.strip_prefix(b"0x")?, 2..=2, 16),
            Self::CodePoint => {
                let digits = word.strip_prefix(b"U+").or(word.strip_prefix(b"u+"))?;
                (digits, 4..=6, 16)
            }
            Self::Binary => (word, 8..=8, 2),
            // A tabulator is the only character that has one digit.
            Self::Decimal if word == b"9" => (word, 1..=1, 10),
            Self::Decimal => (word, 2..=3, 10),
        };
        if !lengths.contains(&digits.len()) {
            return None;
        }
        let value = digits.iter().try_fold(0, |value, byte| {
            Some(value * radix + char::from(*byte).to_digit(radix)?)
        })?;
        (value != 0).then_some(value)
    }

    /// What numbers say, and how many of them each character takes. The number behind
    /// the last of a row is only there to tell that it goes on.
    fn said(self, values: &[u32]) -> Vec<(char, usize)> {
        let ending = match values.len() {
            ..=MAX_ROW => Ending::Last,
            _ => Ending::Open,
        };
        let values = &values[..values.len().min(MAX_ROW)];
        match self {
            Self::CodePoint => {
                let char = |value: &u32| (char::from_u32(*value).unwrap_or('?'), 1);
                values.iter().map(char).collect()
            }
            Self::Hex | Self::Prefixed | Self::Binary | Self::Decimal => {
                said_in_bytes(values, ending)
            }
        }
    }

    /// The characters of a row where they stand.
    fn row(self, said: &[(char, usize)], words: &[Range<usize>]) -> Option<Row> {
        let end = words.last()?.end;
        let place = |at: usize| words.get(at).map_or(end, |word| word.start);
        let mut at = 0;
        let chars = said.iter().map(|(c, taken)| {
            let begin = place(at);
            at += taken;
            (begin..place(at), *c)
        });
        let chars: Vec<_> = chars.collect();
        Some(Row {
            bytes: chars.last()?.0.end,
            chars,
            goes_on: (words.len() > MAX_ROW).then_some(self),
        })
    }
}

/// The characters of UTF-8, and how many bytes each of them has. One that is cut off
/// where a row goes on is left for what follows.
fn said_in_bytes(values: &[u32], ending: Ending) -> Vec<(char, usize)> {
    // What is more than a byte is text as well, and no word of the rules.
    let byte = |value: &u32| u8::try_from(*value).unwrap_or(0xff);
    let bytes: Vec<u8> = values.iter().map(byte).collect();
    let mut said = Vec::with_capacity(bytes.len());
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        said.extend(chunk.valid().chars().map(|c| (c, c.len_utf8())));
        let rest = chunk.invalid();
        let is_cut = ending == Ending::Open && chunks.peek().is_none() && is_begun(rest);
        if !is_cut {
            said.extend(rest.iter().map(|byte| (char::from(*byte), 1)));
        }
    }
    said
}

/// True when more bytes could make it a character.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// True when four of five characters are shown, each with the numbers that it took.
/// A byte by itself that is no character of ASCII is no letter either.
fn is_text(radix: Radix, said: &[(char, usize)]) -> bool {
    let is_shown = |(c, taken): &&(char, usize)| match c {
        ' '..='~' | '\n' | '\t' => true,
        c => (*taken > 1 || radix == Radix::CodePoint) && c.is_alphanumeric(),
    };
    said.iter().filter(is_shown).count() * 5 >= said.len() * 4
}

fn bit(radix: Radix) -> u8 {
    1 << radix as u8
}

/// One bit for each way to read a number.
fn ways(word: &[u8]) -> u8 {
    let ways = RADIXES.iter().filter(|radix| radix.read(word).is_some());
    ways.fold(0, |bits, radix| bits | bit(*radix))
}

/// The words of a row, which can all be read in the same way: they are short, and one
/// or two signs stand between each two. One more than a row has when it goes on.
fn words(bytes: &[u8], length: usize, allowed: u8, ending: Ending) -> Option<Vec<Range<usize>>> {
    let first = 0..length;
    let mut words = vec![first];
    let mut in_common = ways(&bytes[..length]) & allowed;
    let mut at = length;
    while words.len() <= MAX_ROW {
        // A number and what stands before and behind it must be there.
        if bytes.len() < at + MAX_NUMBER + 4 && ending == Ending::Open {
            return None;
        }
        let rest = &bytes[at..];
        let is_sign = |byte: &&u8| matches!(byte, b' ' | b',' | b';' | b':' | b'-' | b'\n');
        let signs = rest.iter().take(3).take_while(is_sign).count();
        let is_digit = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'+';
        let word = rest[signs..].iter().take(MAX_NUMBER + 1);
        let word = word.take_while(is_digit).count();
        if !(1..=2).contains(&signs) || !(1..=MAX_NUMBER).contains(&word) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let length = text.find([' ', ',', '-']).unwrap_or(text.len());
        let row = read(text.as_bytes(), length, None, Ending::Last).unwrap();
        let chars: String = row.chars.into_iter().map(|(_, c)| c).collect();
        assert_eq!(chars, expected, "{text}");
    }

    #[test]
    fn rows_of_numbers_are_characters() {
        check("69 67 6e 6f 72 65", "ignore");
        check("0x69, 0x67, 0x6e, 0x6f, 0x72, 0x65", "ignore");
        check("U+0069 U+0067 U+006E U+006F U+0072 U+0065", "ignore");
        check("105 103 110 111 114 101 32", "ignore ");
        check(
            "01101001 01100111 01101110 01101111 01110010 01100101",
            "ignore",
        );
    }

    #[test]
    fn other_rows_are_not() {
        check("69 67 6e 6f 72", "");
        check("1 2 3 4 5 6 7 8", "");
        check("12-24 of the tide", "");
    }

    #[test]
    fn bytes_are_read_as_utf_8_and_code_points_as_what_they_are() {
        check("46 c3 bc 68 72 65 6e", "Führen");
        check("208 184 208 179 208 189 208 190", "игно");
        check("U+0069 U+1F600 U+0067 U+006E U+043E U+0072", "i😀gnоr");
        check("300 450 600 720 810 930", "");
    }

    #[test]
    fn a_row_goes_on_where_it_was_cut_and_cuts_no_character() {
        // What is left for the second row is too short to be one by itself.
        let text = format!("{} é on", "a".repeat(MAX_ROW - 2));
        let pairs: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let pairs = pairs.join(" ");
        let (mut said, mut at, mut radix) = (String::new(), 0, None);
        while at < pairs.len() {
            let row = read(&pairs.as_bytes()[at..], 2, radix, Ending::Last).unwrap();
            said.extend(row.chars.iter().map(|(_, c)| c));
            radix = row.goes_on;
            at += row.bytes;
        }
        assert_eq!(said, text);
    }
}
