//! No text makes the reader of TOON panic, and what it reads comes back from
//! what the writer makes of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_text::toon::{
    DecodeOptions, Delimiter, EncodeOptions, IndentSize, Strictness, decode, encode,
};

fuzz_target!(|text: &str| {
    let indent_size = IndentSize::new(1 + text.len() % 4).expect("a size");
    for strictness in [Strictness::Strict, Strictness::Lenient] {
        let options = DecodeOptions {
            strictness,
            indent_size,
        };
        match decode(text, &options) {
            Ok(value) => comes_back(&value, indent_size),
            Err(error) => {
                let lines: Vec<&str> = text.split('\n').collect();
                let line = lines[error.line - 1];
                assert!(error.column <= line.chars().count() + 1, "{error}");
            }
        }
    }
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
        let written = encode(&value, &EncodeOptions::default()).expect("JSON is not too deep");
        let read = decode(&written, &DecodeOptions::default()).expect("it was written");
        comes_back(&read, indent_size);
    }
});

fn comes_back(value: &serde_json::Value, indent_size: IndentSize) {
    for delimiter in Delimiter::ALL {
        let options = EncodeOptions {
            delimiter,
            indent_size,
        };
        let written = encode(value, &options).expect("it is as deep as the text was");
        let options = DecodeOptions {
            strictness: Strictness::Strict,
            indent_size,
        };
        assert_eq!(decode(&written, &options).as_ref(), Ok(value), "{written}");
    }
}
