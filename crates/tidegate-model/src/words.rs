//! A text as a row of words, and the hashes of 1 to 3 words that follow each other.
//!
//! Nothing is kept of the text but two hashes of the words before: a text may
//! arrive in pieces, and a word without end costs no memory.

use std::sync::LazyLock;

/// One n-gram of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gram {
    /// Its hash.
    pub hash: u64,
    /// Where its first word begins, in code points from where the reader began.
    pub start: u32,
    /// Where its last word ends.
    pub end: u32,
}

/// A word that ended: its hash and where it began.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    hash: u64,
    start: u32,
}

/// The word that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// The hash of the word as written, digits as one; 0 where there is none.
    plain: u64,
    /// The hash of the word as it may be meant: digits and letters of other
    /// alphabets as the letters that they look like.
    meant: u64,
    start: u32,
    /// Which kinds of characters were seen, and whether one hid between letters.
    kinds: u8,
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const FOREIGN: u8 = 4;
const HIDDEN: u8 = 8;
const OTHER: u8 = 16;
/// The last character was a digit.
const IN_DIGITS: u8 = 32;

/// Odd, from the digits of the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
/// Odd, from the digits of pi.
const STEP: u64 = 0x2436_f302_8d41_9a6d;

/// How a character is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Part of a word: a letter of ASCII, in lower case.
    Letter(u32),
    /// Part of a word: another letter, in lower case.
    Other(u32),
    /// Part of a word that says little; the letter that it looks like.
    Digit(u32),
    /// Part of a word; the letter of ASCII that it looks like.
    Foreign(u32, u32),
    /// A word of its own: writing without spaces, or a sign that matters.
    Alone(u32),
    /// A sign of which a row counts once.
    Sign(u32),
    /// Nothing: an apostrophe, a mark on a letter.
    Skip,
    /// The end of a word.
    Gap,
}

/// Reads words and gives the n-grams that end with each.
#[derive(Clone, Debug)]
pub struct Reader {
    seed: u64,
    grams: u8,
    at: u32,
    word: Word,
    before: [Before; 2],
    sign: u32,
    count: u32,
}

impl Reader {
    /// A reader at the beginning of a text, for n-grams of up to `grams` words.
    pub fn new(seed: u64, grams: u8) -> Self {
        Self {
            seed,
            grams,
            at: 0,
            word: Word::default(),
            before: [Before::default(); 2],
            sign: 0,
            count: 0,
        }
    }

    /// How many n-grams were given.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Reads the next piece.
    pub fn read(&mut self, piece: &str, each: &mut impl FnMut(Gram)) {
        let kinds: &[Kind] = &KINDS;
        for c in piece.chars() {
            match kind(c, kinds) {
                Kind::Letter(lower) => self.extend(lower, lower, LETTER),
                Kind::Other(lower) => self.extend(lower, lower, OTHER),
                Kind::Digit(meant) => self.extend(u32::from('0'), meant, DIGIT),
                Kind::Foreign(lower, meant) => self.extend(lower, meant, FOREIGN),
                Kind::Alone(code) => {
                    self.close(each);
                    self.extend(code, code, LETTER);
                    self.at += 1;
                    self.close(each);
                    continue;
                }
                Kind::Sign(code) => {
                    self.close(each);
                    if self.sign != code {
                        self.extend(code, code, LETTER);
                        self.at += 1;
                        self.close(each);
                        self.sign = code;
                        continue;
                    }
                }
                Kind::Skip => {}
                Kind::Gap => self.close(each),
            }
            self.at += 1;
        }
    }

    /// Gives the n-grams of the last word.
    pub fn end(&mut self, each: &mut impl FnMut(Gram)) {
        self.close(each);
    }

    #[inline(always)]
    fn extend(&mut self, plain: u32, meant: u32, kind: u8) {
        let word = &mut self.word;
        if word.plain == 0 {
            *word = Word {
                plain: self.seed | 1,
                meant: self.seed | 1,
                start: self.at,
                kinds: 0,
            };
            self.sign = 0;
        }
        // A row of digits is one digit.
        if kind != DIGIT || word.kinds & IN_DIGITS == 0 {
            word.plain = step(word.plain, plain);
        }
        word.meant = step(word.meant, meant);
        if word.kinds & DIGIT != 0 && kind == LETTER {
            word.kinds |= HIDDEN;
        }
        word.kinds = (word.kinds & !IN_DIGITS) | kind | if kind == DIGIT { IN_DIGITS } else { 0 };
    }

    #[inline(always)]
    fn close(&mut self, each: &mut impl FnMut(Gram)) {
        let word = self.word;
        if word.plain == 0 {
            return;
        }
        self.word.plain = 0;
        let is_mixed = word.kinds & (LETTER | FOREIGN) == LETTER | FOREIGN;
        let is_disguised = is_mixed || word.kinds & HIDDEN != 0;
        let hash = finish(if is_disguised { word.meant } else { word.plain });
        self.give(
            Before {
                hash,
                start: word.start,
            },
            each,
        );
        if is_disguised {
            let hash = finish(self.seed ^ STEP.rotate_left(u32::from(is_mixed)));
            self.count += 1;
            each(Gram {
                hash,
                start: word.start,
                end: self.at,
            });
        }
    }

    #[inline(always)]
    fn give(&mut self, word: Before, each: &mut impl FnMut(Gram)) {
        let end = self.at;
        self.count += 1;
        each(Gram {
            hash: word.hash,
            start: word.start,
            end,
        });
        let [first, second] = self.before;
        if self.grams > 1 && second.hash != 0 {
            let pair = finish(second.hash.wrapping_mul(MIX) ^ word.hash.rotate_left(17));
            self.count += 1;
            each(Gram {
                hash: pair,
                start: second.start,
                end,
            });
            if self.grams > 2 && first.hash != 0 {
                let triple = finish(first.hash.wrapping_mul(STEP) ^ pair.rotate_left(29));
                self.count += 1;
                each(Gram {
                    hash: triple,
                    start: first.start,
                    end,
                });
            }
        }
        self.before = [second, word];
    }
}

#[inline(always)]
fn step(hash: u64, code: u32) -> u64 {
    (hash.rotate_left(5) ^ u64::from(code)).wrapping_mul(MIX)
}

/// Spreads a hash over all its bits; never 0, which means that there is none.
#[inline(always)]
fn finish(hash: u64) -> u64 {
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(STEP);
    (mixed ^ (mixed >> 29)) | 1
}

/// What each character of ASCII is: 0 a gap, 1 a digit, 2 nothing, 3 a sign, or
/// a letter in lower case.
const ASCII: [u8; 128] = {
    let mut table = [0; 128];
    let mut at = 0;
    while at < 128 {
        let byte = at as u8;
        table[at] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => byte.to_ascii_lowercase(),
            b'0'..=b'9' => 1,
            b'\'' => 2,
            b'.' | b'!' | b'?' | b':' | b'\n' | b'"' | b'`' | b'{' | b'}' | b'[' | b']' | b'<'
            | b'>' | b'=' | b'(' | b')' | b';' | b'|' | b'#' | b'*' | b'/' | b'$' | b'&'
            | b'\\' => 3,
            _ => 0,
        };
        at += 1;
    }
    table
};

/// The letters that the digits look like.
const DIGITS: [u8; 10] = *b"oizeasgtbg";

/// Characters below this are looked up: asking for each what kind it is takes
/// a text in Russian 15 times as long as one in English.
const KNOWN: u32 = 0x2000;

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| {
    let characters = (0..KNOWN).map(|code| char::from_u32(code).unwrap_or(' '));
    characters.map(beyond_ascii).collect()
});

#[inline(always)]
fn kind(c: char, kinds: &[Kind]) -> Kind {
    let code = u32::from(c);
    if code < 128 {
        return match ASCII[code as usize] {
            0 => Kind::Gap,
            1 => Kind::Digit(u32::from(DIGITS[(code - 48) as usize])),
            2 => Kind::Skip,
            3 => sign(c),
            lower => Kind::Letter(u32::from(lower)),
        };
    }
    match kinds.get(code as usize) {
        Some(kind) => *kind,
        None if is_unspaced(c) => Kind::Alone(code),
        None if is_hangul(c) => Kind::Other(code),
        None => beyond_ascii(c),
    }
}

/// Signs that say what kind of text this is.
#[inline(always)]
fn sign(c: char) -> Kind {
    let class = match c {
        '.' | '!' => '.',
        '?' => '?',
        ':' => ':',
        '\n' => '\n',
        '"' | '`' => '"',
        _ => '{',
    };
    // Codes above all characters, so that no letter has the same hash.
    Kind::Sign(0x0100_0000 | u32::from(class))
}

#[cold]
#[inline(never)]
fn beyond_ascii(c: char) -> Kind {
    match c {
        '\u{2019}' | '\u{200b}'..='\u{200f}' | '\u{ad}' | '\u{feff}' | '\u{300}'..='\u{36f}' => {
            Kind::Skip
        }
        '\u{2026}' | '\u{3002}' | '\u{ff01}' | '\u{964}' => sign('.'),
        '\u{ff1f}' | '\u{61f}' => sign('?'),
        '\u{ff1a}' => sign(':'),
        '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}' | '\u{300c}' | '\u{300d}' => sign('"'),
        _ if is_unspaced(c) => Kind::Alone(u32::from(c)),
        _ if c.is_numeric() => Kind::Digit(u32::from('0')),
        _ if c.is_alphanumeric() || is_mark(c) => {
            let lower = c.to_lowercase().next().unwrap_or(c);
            match looks_like(lower) {
                Some(letter) => Kind::Foreign(u32::from(lower), u32::from(letter)),
                None => Kind::Other(u32::from(lower)),
            }
        }
        _ => Kind::Gap,
    }
}

/// Writing that puts no spaces between words: a character is a word.
fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff
        | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// The syllables of Korean.
fn is_hangul(c: char) -> bool {
    matches!(c, '\u{ac00}'..='\u{d7a3}')
}

/// Signs on letters that are no letters of their own, as in Hindi and Arabic.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x0591..=0x05c7 | 0x0610..=0x061a | 0x064b..=0x065f | 0x0900..=0x0dff)
}

/// The letter of ASCII that a letter of another alphabet looks like.
fn looks_like(lower: char) -> Option<char> {
    let letter = match lower {
        'а' | 'α' => 'a',
        'в' | 'β' | 'ь' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' => 'e',
        'һ' => 'h',
        'і' | 'ι' => 'i',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'п' | 'η' => 'n',
        'о' | 'ο' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' => 'u',
        'ν' => 'v',
        'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        _ => return None,
    };
    Some(letter)
}

#[cfg(test)]
mod tests;
