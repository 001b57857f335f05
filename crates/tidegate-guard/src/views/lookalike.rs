//! Characters that look like letters and digits of ASCII.
//!
//! A small table of our own, from what the Unicode standard's annex 39 says of the
//! alphabets that are used as disguise. What compatibility decomposition maps
//! already (full width, mathematical, circled) is not in it.

/// The letter of ASCII that a letter of another alphabet looks like. Words of that
/// alphabet are full of them, so it takes a look at the word as well.
pub(crate) fn of_other_alphabet(c: char) -> Option<u8> {
    let ascii = match c {
        'а' | 'α' | 'ɑ' => b'a',
        'А' | 'Α' | 'Ꭺ' => b'A',
        'Ь' | 'ь' | 'β' => b'b',
        'В' | 'Β' | 'Ᏼ' => b'B',
        'с' | 'ς' | 'ⲥ' => b'c',
        'С' | 'Ꮯ' => b'C',
        'ԁ' | 'ɗ' | 'ժ' => b'd',
        'Ꭰ' => b'D',
        'е' | 'ҽ' | 'ε' | 'є' | 'э' => b'e',
        'Е' | 'Ε' | 'Ꭼ' => b'E',
        'ƒ' | 'ք' => b'f',
        'Ϝ' => b'F',
        'ց' | 'ɡ' => b'g',
        'Ԍ' | 'Ꮐ' => b'G',
        'һ' | 'հ' => b'h',
        'Н' | 'Η' | 'Ꮋ' => b'H',
        'і' | 'ι' | 'ӏ' | 'ı' | 'ɩ' => b'i',
        'І' | 'Ι' | 'Ӏ' => b'I',
        'ј' | 'ϳ' => b'j',
        'Ј' | 'Ꭻ' => b'J',
        'к' | 'κ' => b'k',
        'К' | 'Κ' | 'Ꮶ' => b'K',
        'ǀ' => b'l',
        'Ꮮ' => b'L',
        'м' => b'm',
        'М' | 'Μ' | 'Ꮇ' => b'M',
        'п' | 'η' | 'ո' | 'ռ' => b'n',
        'Ν' => b'N',
        'о' | 'ο' | 'σ' | 'օ' | 'ө' => b'o',
        'О' | 'Ο' | 'Օ' => b'O',
        'р' | 'ρ' => b'p',
        'Р' | 'Ρ' | 'Ꮲ' => b'P',
        'ԛ' | 'զ' => b'q',
        'Ԛ' => b'Q',
        'г' | 'ɾ' => b'r',
        'Ꮢ' => b'R',
        'ѕ' => b's',
        'Ѕ' | 'Տ' | 'Ꮪ' => b'S',
        'т' | 'τ' => b't',
        'Т' | 'Τ' | 'Ꭲ' => b'T',
        'υ' | 'ս' | 'ц' => b'u',
        'Ս' => b'U',
        'ν' | 'ѵ' => b'v',
        'Ѵ' | 'Ꮩ' => b'V',
        'ԝ' | 'ω' | 'ш' | 'ѡ' => b'w',
        'Ԝ' | 'Ꮃ' => b'W',
        'х' | 'χ' => b'x',
        'Х' | 'Χ' => b'X',
        'у' | 'γ' | 'ү' => b'y',
        'У' | 'Υ' | 'Ү' => b'Y',
        'Ζ' | 'Ꮓ' => b'Z',
        'З' | 'з' => b'3',
        _ => return None,
    };
    Some(ascii)
}

/// The letter that a letter with no other use in words stands for: small capitals,
/// letters with a stroke, letters in boxes and upside down.
pub(crate) fn of_latin(c: char) -> Option<char> {
    let ascii = match c {
        'ᴀ' | 'ɐ' => 'a',
        'ʙ' | 'ƀ' => 'b',
        'ᴄ' | 'ɔ' | 'ȼ' => 'c',
        'ᴅ' | 'đ' => 'd',
        'ᴇ' | 'ǝ' | 'ɘ' | 'ə' | 'ɇ' => 'e',
        'ꜰ' | 'ɟ' => 'f',
        'ɢ' | 'ǥ' | 'ᵷ' => 'g',
        'ʜ' | 'ħ' | 'ɥ' => 'h',
        'ɪ' | 'ᴉ' | 'ɨ' => 'i',
        'ᴊ' | 'ɉ' => 'j',
        'ᴋ' | 'ʞ' => 'k',
        'ʟ' | 'ł' | 'ƚ' => 'l',
        'ᴍ' | 'ɯ' => 'm',
        'ɴ' => 'n',
        'ᴏ' | 'ø' => 'o',
        'ᴘ' => 'p',
        'ǫ' => 'q',
        'ʀ' | 'ɹ' | 'ᴙ' => 'r',
        'ꜱ' => 's',
        'ᴛ' | 'ʇ' | 'ŧ' => 't',
        'ᴜ' | 'ʉ' => 'u',
        'ᴠ' | 'ʌ' => 'v',
        'ᴡ' | 'ʍ' => 'w',
        'ʏ' | 'ʎ' => 'y',
        'ᴢ' | 'ƶ' => 'z',
        'Đ' => 'D',
        'Ħ' => 'H',
        'Ł' => 'L',
        'Ø' => 'O',
        'Ŧ' => 'T',
        '‐' | '‑' => '-',
        '\u{2028}' | '\u{2029}' => '\n',
        // Negative circled, squared and negative squared capitals.
        '\u{1F150}'..='\u{1F169}' => capital(c, 0x1F150),
        '\u{1F170}'..='\u{1F189}' => capital(c, 0x1F170),
        '\u{1F1E6}'..='\u{1F1FF}' => capital(c, 0x1F1E6),
        // Tags: a copy of ASCII that no screen shows.
        '\u{E0020}'..='\u{E007E}' => {
            char::from_u32(u32::from(c) - 0xE0000).expect("tags are ASCII, moved")
        }
        _ => return None,
    };
    Some(ascii)
}

fn capital(c: char, first: u32) -> char {
    let letter = u32::from('A') + u32::from(c) - first;
    char::from_u32(letter).expect("a row of 26 letters")
}

/// True for what a reader does not see: zero-width characters, soft hyphens,
/// variation selectors, fillers, marks of direction.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{8}' | '\u{E}'..='\u{1F}' | '\u{7F}'
        | '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E001F}' | '\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
}
