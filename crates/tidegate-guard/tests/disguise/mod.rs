//! Ways to hide a phrase from a filter, each as a function of the plain text.

/// A disguise and its name.
pub type Disguise = (&'static str, fn(&str) -> String);

/// All of them.
pub const ALL: &[Disguise] = &[
    ("homoglyphs, Cyrillic", |t| {
        letters(t, "aceopxyijsh", "асеорхуіјѕһ")
    }),
    ("homoglyphs, Greek", |t| {
        letters(t, "aeioupvkntx", "αειουρνκητχ")
    }),
    ("homoglyphs, mixed", |t| {
        letters(t, "aceiopsxyg", "аϲеіοрѕχуց")
    }),
    ("fullwidth", |t| shift(t, [0xFF21, 0xFF41, 0xFF10])),
    ("mathematical bold", |t| {
        shift(t, [0x1D400, 0x1D41A, 0x1D7CE])
    }),
    ("mathematical italic", |t| {
        shift(t, [0x1D468, 0x1D482, 0x1D7CE])
    }),
    ("mathematical script", |t| {
        shift(t, [0x1D4D0, 0x1D4EA, 0x1D7CE])
    }),
    ("monospace", |t| shift(t, [0x1D670, 0x1D68A, 0x1D7F6])),
    ("circled", |t| shift(t, [0x24B6, 0x24D0, 0])),
    ("small capitals", |t| {
        letters(t, "abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")
    }),
    ("zero-width spaces", |t| within(t, "\u{200B}")),
    ("zero-width joiners", |t| within(t, "\u{200D}")),
    ("word joiners", |t| within(t, "\u{2060}")),
    ("soft hyphens", |t| within(t, "\u{AD}")),
    ("combining marks", |t| {
        each(t, |c| format!("{c}\u{336}\u{301}"))
    }),
    ("accents", |t| letters(t, "aeiouncsy", "àéïöûñçšý")),
    ("tag characters", |t| {
        let tag = |c: char| {
            char::from_u32(0xE0000 + u32::from(c)).filter(|_| c.is_ascii_graphic() || c == ' ')
        };
        t.chars().map(|c| tag(c).unwrap_or(c)).collect()
    }),
    ("bidirectional override", |t| {
        let turn =
            |line: &str| format!("\u{202E}{}\u{202C}", line.chars().rev().collect::<String>());
        // An override ends with its line, and is not believed for longer texts.
        let pieces: Vec<String> = t.split('\n').map(turned_in_pieces(turn)).collect();
        pieces.join("\n")
    }),
    ("leetspeak, light", |t| letters(t, "eio", "310")),
    ("leetspeak, heavy", |t| letters(t, "aeilost", "4311057")),
    ("leetspeak, signs", |t| letters(t, "aials", "@!4|$")),
    ("letters with spaces", |t| spread(t, " ")),
    ("letters with dots", |t| spread(t, ".")),
    ("letters with dashes", |t| spread(t, "-")),
    ("letters with underscores", |t| spread(t, "_")),
    ("letters with stars", |t| spread(t, "*")),
    ("a sign in every word", |t| inside(t, "*")),
    ("line breaks in words", |t| inside(t, "\n")),
    ("alternating case", |t| {
        let flip = |(at, c): (usize, char)| {
            if at % 2 == 0 {
                c.to_ascii_lowercase()
            } else {
                c.to_ascii_uppercase()
            }
        };
        t.chars().enumerate().map(flip).collect()
    }),
    ("double spaces", |t| t.replace(' ', "  ")),
    ("Base64", |t| base64(t.as_bytes(), STANDARD, true)),
    ("Base64, without padding", |t| {
        base64(t.as_bytes(), STANDARD, false)
    }),
    ("Base64, for addresses, in lines", |t| {
        lines(&base64(t.as_bytes(), FOR_URLS, true), 60)
    }),
    ("Base64 twice", |t| {
        base64(
            base64(t.as_bytes(), STANDARD, true).as_bytes(),
            STANDARD,
            true,
        )
    }),
    ("Base64 in hexadecimal", |t| {
        hex(&base64(t.as_bytes(), STANDARD, true), "")
    }),
    ("Base64 three times", |t| {
        (0..3).fold(t.to_owned(), |t, _| base64(t.as_bytes(), STANDARD, true))
    }),
    ("hexadecimal", |t| hex(t, "")),
    ("hexadecimal, in pairs", |t| hex(t, " ")),
    ("hexadecimal, 0x", |t| bytes(t, |b| format!("0x{b:02x}, "))),
    ("hexadecimal, \\x", |t| bytes(t, |b| format!("\\x{b:02x}"))),
    ("percent", |t| bytes(t, |b| format!("%{b:02X}"))),
    ("percent, spaces only", |t| t.replace(' ', "%20")),
    ("percent twice", |t| {
        bytes(&bytes(t, |b| format!("%{b:02X}")), |b| format!("%{b:02X}"))
    }),
    ("\\u", |t| {
        t.encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect()
    }),
    ("\\u{}", |t| {
        each(t, |c| format!("\\u{{{:x}}}", u32::from(c)))
    }),
    ("U+", |t| each(t, |c| format!("U+{:04X} ", u32::from(c)))),
    ("HTML, decimal", |t| {
        each(t, |c| format!("&#{};", u32::from(c)))
    }),
    ("HTML, hexadecimal", |t| {
        each(t, |c| format!("&#x{:x};", u32::from(c)))
    }),
    ("octal", |t| bytes(t, |b| format!("\\{b:03o}"))),
    ("decimal numbers", |t| bytes(t, |b| format!("{b} "))),
    ("binary numbers", |t| bytes(t, |b| format!("{b:08b} "))),
    ("leetspeak in Base64", |t| {
        base64(letters(t, "eio", "310").as_bytes(), STANDARD, true)
    }),
];

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn turned_in_pieces(turn: impl Fn(&str) -> String) -> impl Fn(&str) -> String {
    move |line| {
        let chars: Vec<char> = line.chars().collect();
        let pieces = chars
            .chunks(500)
            .map(|piece| turn(&piece.iter().collect::<String>()));
        pieces.collect()
    }
}

fn each(text: &str, to: impl Fn(char) -> String) -> String {
    let map = |c: char| {
        if c.is_whitespace() && c != ' ' {
            c.to_string()
        } else {
            to(c)
        }
    };
    text.chars().map(map).collect()
}

fn bytes(text: &str, to: impl Fn(u8) -> String) -> String {
    text.bytes().map(to).collect()
}

fn letters(text: &str, plain: &str, disguised: &str) -> String {
    let map = |c: char| {
        let at = plain.chars().position(|p| p == c);
        at.and_then(|at| disguised.chars().nth(at)).unwrap_or(c)
    };
    text.chars().map(map).collect()
}

/// Letters and digits from other rows of the Unicode table.
fn shift(text: &str, [capital, small, digit]: [u32; 3]) -> String {
    let map = |c: char| {
        let (first, base) = match c {
            'A'..='Z' => ('A', capital),
            'a'..='z' => ('a', small),
            '0'..='9' => ('0', digit),
            _ => return c,
        };
        let shifted = char::from_u32(base + u32::from(c) - u32::from(first));
        shifted.filter(|_| base != 0).unwrap_or(c)
    };
    text.chars().map(map).collect()
}

/// Something invisible between all letters.
fn within(text: &str, sign: &str) -> String {
    each(text, |c| {
        if c.is_alphanumeric() {
            format!("{c}{sign}")
        } else {
            c.to_string()
        }
    })
}

/// Letters that stand apart, words with more space between them.
fn spread(text: &str, sign: &str) -> String {
    let word = |word: &str| {
        let mut spread = String::new();
        for c in word.chars() {
            let is_within = spread.chars().last().is_some_and(char::is_alphanumeric);
            if is_within && c.is_alphanumeric() {
                spread.push_str(sign);
            }
            spread.push(c);
        }
        spread
    };
    let space = if sign == " " { "   " } else { " " };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(space);
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A sign in the middle of all words of five letters or more.
fn inside(text: &str, sign: &str) -> String {
    let word = |word: &str| {
        let is_word = word.len() > 4 && word.chars().all(|c| c.is_ascii_alphabetic());
        let middle = word.len() / 2;
        if is_word {
            format!("{}{sign}{}", &word[..middle], &word[middle..])
        } else {
            word.to_owned()
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn hex(text: &str, sign: &str) -> String {
    let pairs: Vec<String> = text.bytes().map(|b| format!("{b:02x}")).collect();
    pairs.join(sign)
}

fn lines(text: &str, width: usize) -> String {
    let lines = text.as_bytes().chunks(width);
    let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    lines.join("\n")
}

/// RFC 4648.
fn base64(bytes: &[u8], alphabet: &[u8; 64], is_padded: bool) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| {
            bits << 8 | u32::from(*group.get(at).unwrap_or(&0))
        });
        for at in 0..4 {
            let letter = alphabet[(bits >> (18 - 6 * at) & 63) as usize];
            if at <= group.len() {
                text.push(char::from(letter));
            } else if is_padded {
                text.push('=');
            }
        }
    }
    text
}
