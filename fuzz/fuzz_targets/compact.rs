//! No text makes the reader of the compact dialect panic, and every value comes
//! back from it, whatever table it was written with.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate_text::toon::compact::{Abbreviations, decode, encode};

fuzz_target!(|text: &str| {
    let pairs = [("feedback", "f"), ("a", "feedback")];
    let pairs = pairs.map(|(long, short)| (long.to_owned(), short.to_owned()));
    let own = Abbreviations::own(pairs).expect("a table that leads back");
    for table in [Abbreviations::standard(), Abbreviations::none(), own] {
        match decode(text, &table) {
            Ok(value) => comes_back(&value, &table),
            Err(error) => {
                let lines: Vec<&str> = text.split('\n').collect();
                let line = lines[error.line - 1];
                assert!(error.column <= line.chars().count() + 1, "{error}");
            }
        }
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            comes_back(&value, &table);
        }
    }
});

fn comes_back(value: &Value, table: &Abbreviations) {
    let written = encode(value, table).expect("it is as deep as the text was");
    assert!(!written.contains('\n'), "{written}");
    assert_eq!(decode(&written, table).as_ref(), Ok(value), "{written}");
}
