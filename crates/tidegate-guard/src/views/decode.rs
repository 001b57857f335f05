//! Text that is written in an encoding: Base64, hexadecimal and other numbers of
//! characters, and the escapes of addresses, programs and web pages.
//!
//! What is decoded takes the place of what was read, and is never longer: a text
//! cannot grow, however often it is decoded.

use crate::facts::Ending;
use std::ops::Range;

use super::MIN_TEXT_BYTES;
use super::blob::{self, Block};
use super::escape::{self, Escape};
use super::numbers::{self, Radix};
use super::tape::Tape;
use super::window::Window;

/// Shorter runs of letters and digits are words.
const MIN_RUN: usize = 16;

/// A run of letters and digits that may be an encoding.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// How many of them stand on the line that was read last.
    on_line: usize,
    /// The block before said something.
    was_text: bool,
}

/// Copies the neighborhoods of what is encoded, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decode {
    read: usize,
    run: Option<Run>,
    /// A row of numbers goes on here that are written like this.
    row: Option<Radix>,
    window: Window,
    /// Only look whether there is something to decode.
    is_blind: bool,
    /// Something was there to decode.
    pub(crate) has_met: bool,
}

impl Decode {
    /// One that says whether there is something, and does not decode it.
    pub(crate) fn blind() -> Self {
        Self {
            is_blind: true,
            ..Self::default()
        }
    }

    /// Reads what is new on the source.
    pub(crate) fn advance(&mut self, source: &Tape, target: &mut Tape, ending: Ending) {
        while let Some(end) = self.unit(source, target, ending) {
            self.read = end;
        }
        if !self.is_blind {
            self.window.advance(self.read, source, target);
        }
    }

    /// What must be kept of the source.
    pub(crate) fn keeps(&self) -> usize {
        self.read.saturating_sub(self.window.kept_bytes())
    }

    /// Reads up to the next place where something can be told, and returns it.
    /// Says nothing when more text must come first, or none is left.
    fn unit(&mut self, source: &Tape, target: &mut Tape, ending: Ending) -> Option<usize> {
        let at = self.read;
        let bytes = source.bytes_from(at);
        if let Some(run) = self.run {
            return self.block(run, source, target, ending);
        }
        match *bytes.first()? {
            b'%' | b'\\' | b'&' => self.escape(source, target, ending),
            first if first.is_ascii_alphanumeric() => {
                let length = blob::run_length(bytes, MIN_RUN);
                if length == bytes.len() && length < MIN_RUN && ending == Ending::Open {
                    return None;
                }
                if length >= MIN_RUN {
                    self.row = None;
                    self.run = Some(Run::default());
                    return self.block(Run::default(), source, target, ending);
                }
                self.number(length, source, target, ending)
            }
            _ => {
                let is_dull = |byte: &&u8| {
                    !(byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'\\' | b'&'))
                };
                Some(at + bytes.iter().take_while(is_dull).count())
            }
        }
    }

    fn block(
        &mut self,
        run: Run,
        source: &Tape,
        target: &mut Tape,
        ending: Ending,
    ) -> Option<usize> {
        let at = self.read;
        let block = Block::read(source.bytes_from(at), run.on_line, ending)?;
        let end = at + block.end;
        let text = block.decode(if run.was_text { 1 } else { MIN_TEXT_BYTES });
        if let Some(parts) = &text {
            for part in parts {
                let range = at + part.takes.start..at + part.takes.end;
                let from = at + part.from.start..at + part.from.end;
                self.put(range, &from, &part.text, source);
            }
            self.open(&(at..end), source, target);
        }
        self.run = block.goes_on.then_some(Run {
            on_line: block.on_line,
            was_text: text.is_some(),
        });
        Some(end)
    }

    fn escape(&mut self, source: &Tape, target: &mut Tape, ending: Ending) -> Option<usize> {
        let at = self.read;
        match escape::read(source.bytes_from(at), ending) {
            Escape::Unknown => None,
            Escape::None => Some(at + 1),
            Escape::Char { c, bytes, tells } => {
                let range = at..at + bytes;
                let text = c.encode_utf8(&mut [0; 4]).to_owned();
                self.put(range.clone(), &range, &text, source);
                if tells {
                    self.open(&range, source, target);
                }
                Some(range.end)
            }
        }
    }

    /// Reads a row of numbers that begins with a word of `length` bytes.
    fn number(
        &mut self,
        length: usize,
        source: &Tape,
        target: &mut Tape,
        ending: Ending,
    ) -> Option<usize> {
        let at = self.read;
        let bytes = source.bytes_from(at);
        if length > 2 && bytes[..length].iter().all(u8::is_ascii_alphabetic) {
            return Some(at + length);
        }
        let row = numbers::read(bytes, length, self.row, ending)?;
        self.row = row.goes_on;
        if !row.chars.is_empty() {
            for (takes, c) in row.chars {
                let range = at + takes.start..at + takes.end;
                let text = c.encode_utf8(&mut [0; 4]).to_owned();
                self.put(range.clone(), &range, &text, source);
            }
            self.open(&(at..at + row.bytes), source, target);
        }
        Some(at + row.bytes)
    }

    fn put(&mut self, range: Range<usize>, from: &Range<usize>, text: &str, source: &Tape) {
        if !self.is_blind {
            self.window.change(range, text, source.span(from));
        }
    }

    fn open(&mut self, range: &Range<usize>, source: &Tape, target: &mut Tape) {
        self.has_met = true;
        if !self.is_blind {
            self.window.open(range, source, target);
        }
    }
}
