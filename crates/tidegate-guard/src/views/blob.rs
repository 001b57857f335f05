//! Base64 and hexadecimal: a block of a run of letters and digits.

use std::ops::Range;

use super::MIN_TEXT_BYTES;

/// A run is read in blocks of this many letters, each by itself: what is hidden in
/// the middle of something else is found too.
const BLOCK_LETTERS: usize = 64;

/// A line that ends within a run has this many letters at least.
const MIN_LINE: usize = 16;

/// What a line may begin with before a run goes on.
const MAX_INDENT: usize = 8;

/// The letters of a block, and where they stand.
#[derive(Debug)]
pub(super) struct Block {
    letters: Vec<u8>,
    places: Vec<usize>,
    /// The first byte behind it.
    pub(super) end: usize,
    /// The run has more letters.
    pub(super) goes_on: bool,
    /// Letters on the last line.
    pub(super) on_line: usize,
}

/// A piece of decoded text.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) text: String,
    /// The bytes that it stands instead of; those of all parts are apart.
    pub(super) takes: Range<usize>,
    /// The bytes that have a share in it.
    pub(super) from: Range<usize>,
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Letters at the beginning of `bytes`, up to `limit`.
pub(super) fn run_length(bytes: &[u8], limit: usize) -> usize {
    let letters = bytes.iter().take(limit);
    letters.take_while(|byte| is_letter(**byte)).count()
}

impl Block {
    /// Reads a block, when all of it is there.
    pub(super) fn read(bytes: &[u8], on_line: usize, is_last: bool) -> Option<Self> {
        let mut block = Self {
            letters: Vec::with_capacity(BLOCK_LETTERS),
            places: Vec::with_capacity(BLOCK_LETTERS),
            end: 0,
            goes_on: true,
            on_line,
        };
        while block.letters.len() < BLOCK_LETTERS {
            match bytes.get(block.end) {
                None if is_last => block.goes_on = false,
                None => return None,
                Some(byte) if is_letter(*byte) => {
                    block.letters.push(*byte);
                    block.places.push(block.end);
                    block.end += 1;
                    block.on_line += 1;
                    continue;
                }
                Some(_) => match line_break(&bytes[block.end..], is_last)? {
                    0 => block.goes_on = false,
                    _ if block.on_line < MIN_LINE => block.goes_on = false,
                    skipped if block.ends_hex(&bytes[block.end + skipped..], is_last)? => {
                        block.goes_on = false;
                    }
                    skipped => {
                        block.end += skipped;
                        block.on_line = 0;
                        continue;
                    }
                },
            }
            let padding = bytes[block.end..].iter().take(2);
            block.end += padding.take_while(|byte| **byte == b'=').count();
            break;
        }
        Some(block)
    }

    /// True when all letters are hexadecimal digits and those of the next line are
    /// not.
    fn ends_hex(&self, next: &[u8], is_last: bool) -> Option<bool> {
        const LOOK: usize = 6;
        if self.letters.is_empty() || !self.letters.iter().all(u8::is_ascii_hexdigit) {
            return Some(false);
        }
        if next.len() < LOOK && !is_last {
            return None;
        }
        let mut word = next.iter().take(LOOK).take_while(|byte| is_letter(**byte));
        Some(word.any(|byte| !byte.is_ascii_hexdigit()))
    }

    /// What the block says, if that is text.
    pub(super) fn decode(&self, was_text: bool) -> Option<Vec<Part>> {
        let is_hex = self.letters.iter().all(u8::is_ascii_hexdigit);
        let hex = is_hex
            .then(|| self.hex())
            .filter(|bytes| is_text(bytes, was_text));
        if let Some(bytes) = hex {
            return Some(self.parts(&bytes, (2, 1)));
        }
        let bytes = self.base64();
        is_text(&bytes, was_text).then(|| self.parts(&bytes, (4, 3)))
    }

    fn hex(&self) -> Vec<u8> {
        let digit = |letter: u8| char::from(letter).to_digit(16).unwrap_or(0) as u8;
        let pairs = self.letters.chunks_exact(2);
        pairs
            .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
            .collect()
    }

    fn base64(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.letters.len());
        let (mut bits, mut held) = (0_u32, 0);
        for letter in &self.letters {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'+' | b'-' => 62,
                _ => 63,
            };
            bits = bits << 6 | u32::from(value);
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
            }
        }
        bytes
    }

    /// The characters, with the letters that they come from; `letters` are
    /// written for `count` bytes. What is no character becomes a mark that stands for it.
    fn parts(&self, bytes: &[u8], (letters, count): (usize, usize)) -> Vec<Part> {
        let first = |byte: usize| byte * letters / count;
        let place = |letter: usize| self.places.get(letter).copied().unwrap_or(self.end);
        let mut parts: Vec<Part> = Vec::with_capacity(bytes.len());
        let mut at = 0;
        let mut add = |text: &str, taken: usize| {
            let begin = if at == 0 { 0 } else { place(first(at)) };
            let end = at + taken;
            let next = if end == bytes.len() {
                self.end
            } else {
                place(first(end))
            };
            let last = (end * letters).div_ceil(count) - 1;
            let last = last.min(self.places.len() - 1);
            parts.push(Part {
                text: text.to_owned(),
                takes: begin..next,
                from: place(first(at))..self.places[last] + 1,
            });
            at = end;
        };
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                let mut utf8 = [0; 4];
                let text = if c == '\0' {
                    ""
                } else {
                    c.encode_utf8(&mut utf8)
                };
                add(text, c.len_utf8());
            }
            if !chunk.invalid().is_empty() {
                add("?", chunk.invalid().len());
            }
        }
        parts
    }
}

/// The bytes of a line break and of what a line may begin with, 0 when the run
/// ends here.
fn line_break(bytes: &[u8], is_last: bool) -> Option<usize> {
    let mut at = match bytes {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        [b'\r'] if !is_last => return None,
        [..] => return Some(0),
    };
    let limit = at + MAX_INDENT;
    while at < limit && matches!(bytes.get(at), Some(b' ' | b'\t' | b'>')) {
        at += 1;
    }
    match bytes.get(at) {
        None if !is_last => None,
        Some(byte) if is_letter(*byte) => Some(at),
        Some(_) | None => Some(0),
    }
}

/// True for what a person or a model could read: four of five bytes belong to
/// characters that are shown. Zeros are left out, so wide characters are text.
fn is_text(bytes: &[u8], was_text: bool) -> bool {
    let (mut shown, mut zeros) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\0' => zeros += 1,
                '\t' | '\n' | '\r' => shown += 1,
                c if c.is_control() => {}
                c => shown += c.len_utf8(),
            }
        }
    }
    let counted = bytes.len() - zeros;
    let is_long = bytes.len() >= MIN_TEXT_BYTES || was_text;
    is_long && zeros * 2 <= bytes.len() + 1 && shown * 5 >= counted * 4 && shown > 0
}
