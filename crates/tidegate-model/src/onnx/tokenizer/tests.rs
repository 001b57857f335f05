use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::onnx::error::OnnxError;

/// A tokenizer.json with these steps.
fn form(normalizer: Value, splitter: Value, model: Value) -> Value {
    json!({ "normalizer": normalizer, "pre_tokenizer": splitter, "model": model })
}

fn load(form: &Value) -> Result<Tokenizer, OnnxError> {
    Tokenizer::from_json(&form.to_string(), Path::new("tokenizer.json"))
}

#[track_caller]
fn check(form: &Value, cases: &[(&str, &[u32])]) {
    let tokenizer = load(form).unwrap();
    for (text, ids) in cases {
        let found: Vec<u32> = tokenizer
            .read(text, 0)
            .iter()
            .map(|token| token.id)
            .collect();
        assert_eq!(found, *ids, "{text:?}");
    }
}

#[track_caller]
fn refuses(form: &Value, holds: &[&str]) {
    let message = load(form).expect_err("this file is refused").to_string();
    for part in holds {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

fn word_piece(pieces: &[&str]) -> Value {
    let vocab: Value = pieces
        .iter()
        .zip(0..)
        .map(|(piece, id)| (piece.to_string(), json!(id)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({ "type": "WordPiece", "unk_token": "?", "vocab": vocab })
}

fn bert() -> Value {
    form(
        json!({ "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true }),
        json!({ "type": "BertPreTokenizer" }),
        word_piece(&[
            "?", "tide", "##s", "un", "##ti", "##d", "e", ".", "潮", "Tide", "é", "##é",
        ]),
    )
}

#[test]
fn bert_reads_words_by_their_longest_pieces() {
    check(
        &bert(),
        &[
            ("", &[]),
            ("Tides tide.", &[1, 2, 1, 7]),
            ("untid UNTIDY", &[3, 4, 5, 0]),
            ("é tidé\u{200b}s", &[6, 1, 2]),
            ("tide潮\u{0}tide\u{fffd}", &[1, 8, 1]),
            ("ti\u{301}de", &[1]),
        ],
    );
    let mut cased = bert();
    cased["normalizer"]["lowercase"] = json!(false);
    check(&cased, &[("Tide tide é ti\u{301}de", &[9, 1, 10, 0])]);
}

#[test]
fn a_word_that_is_too_long_is_unknown_at_once() {
    let mut long = bert();
    long["model"]["max_input_chars_per_word"] = json!(5);
    check(&long, &[("tides tidess", &[1, 2, 0])]);
}

#[test]
fn tokens_know_their_place_in_the_text() {
    let tokenizer = load(&bert()).unwrap();
    let places: Vec<_> = tokenizer
        .read("É tides 潮", 10)
        .iter()
        .map(|t| (t.start, t.end))
        .collect();
    assert_eq!(places, [(10, 11), (12, 16), (16, 17), (18, 19)]);
}

fn byte_pairs() -> Value {
    let pieces = [
        "a", "b", "Ġ", "c", "Ã", "©", "ab", "Ġab", "abc", "Ã©", "Ċ", "'", "s", "'s", "ca",
    ];
    let vocab: serde_json::Map<_, _> = pieces
        .iter()
        .zip(0..)
        .map(|(p, id)| (p.to_string(), json!(id)))
        .collect();
    form(
        Value::Null,
        json!({ "type": "ByteLevel", "add_prefix_space": false, "use_regex": true }),
        json!({ "type": "BPE", "vocab": vocab, "merges": [
            "a b", ["Ġ", "ab"], "ab c", ["Ã", "©"], "' s", "c a",
        ] }),
    )
}

#[test]
fn pairs_of_bytes_merge_in_the_order_that_was_learned() {
    check(
        &byte_pairs(),
        &[
            ("abc", &[8]),
            // The space takes the pair before the letter behind it does.
            (" abc", &[7, 3]),
            ("  ab", &[2, 7]),
            ("ab  ", &[6, 2, 2]),
            ("\n\nab", &[10, 10, 6]),
            ("ab's é", &[6, 13, 2, 9]),
            ("aab", &[0, 6]),
            ("cab", &[3, 6]),
            ("xa", &[0]),
        ],
    );
    let mut prefixed = byte_pairs();
    prefixed["pre_tokenizer"]["add_prefix_space"] = json!(true);
    check(&prefixed, &[("ab", &[7]), (" ab", &[7]), ("", &[])]);
}

#[test]
fn a_long_word_without_end_is_merged_in_a_moment() {
    let tokenizer = load(&byte_pairs()).unwrap();
    assert_eq!(tokenizer.read(&"ab".repeat(100_000), 0).len(), 100_000);
}

#[test]
fn an_unknown_letter_becomes_its_bytes_or_one_unknown_token() {
    let vocab = json!({ "?": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3 });
    let mut pairs = form(
        Value::Null,
        Value::Null,
        json!({ "type": "BPE", "vocab": vocab, "merges": [], "unk_token": "?" }),
    );
    check(&pairs, &[("aéxa", &[1, 0, 0, 1])]);
    pairs["model"]["fuse_unk"] = json!(true);
    check(&pairs, &[("aéxa", &[1, 0, 1])]);
    pairs["model"]["byte_fallback"] = json!(true);
    check(&pairs, &[("aéxa", &[1, 2, 3, 0, 1])]);
}

fn unigram() -> Value {
    let vocab = json!([
        ["<unk>", 0.0],
        ["▁", -3.0],
        ["▁tide", -4.0],
        ["▁ti", -2.0],
        ["de", -1.5],
        ["s", -2.0],
        ["<0xC3>", -9.0],
        ["<0xA9>", -9.0],
    ]);
    form(
        json!({ "type": "Sequence", "normalizers": [
            { "type": "Strip", "strip_left": true, "strip_right": true },
            { "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " },
        ] }),
        json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always" }),
        json!({ "type": "Unigram", "unk_id": 0, "vocab": vocab }),
    )
}

#[test]
fn unigrams_take_the_most_likely_way_through_a_word() {
    check(
        &unigram(),
        &[
            // -3.5 in two pieces is more likely than -4 in one.
            ("tide", &[3, 4]),
            ("  tides   tide ", &[3, 4, 5, 3, 4]),
            ("xy tide", &[1, 0, 3, 4]),
            ("s", &[1, 5]),
        ],
    );
    let mut bytes = unigram();
    bytes["model"]["byte_fallback"] = json!(true);
    check(&bytes, &[("é", &[1, 6, 7]), ("éx", &[1, 0])]);
    let mut first = unigram();
    first["pre_tokenizer"]["prepend_scheme"] = json!("first");
    first["pre_tokenizer"]["split"] = json!(false);
    let tokenizer = load(&first).unwrap();
    let ids = |at| {
        tokenizer
            .read("s", at)
            .iter()
            .map(|t| t.id)
            .collect::<Vec<_>>()
    };
    assert_eq!((ids(0), ids(7)), (vec![1, 5], vec![5]));
}

#[test]
fn letters_are_taken_apart_and_put_together_as_unicode_says() {
    use unicode_normalization::UnicodeNormalization;

    let text =
        "e\u{323}\u{301} ﬁ ① Å 각 \u{1100}\u{1161}\u{11a8} a\u{301}\u{5b0}\u{327} \u{1e9b}\u{323}";
    for (name, wanted) in [
        ("NFC", text.nfc().collect::<String>()),
        ("NFD", text.nfd().collect()),
        ("NFKC", text.nfkc().collect()),
        ("NFKD", text.nfkd().collect()),
    ] {
        let whole = form(
            json!({ "type": name }),
            Value::Null,
            json!({ "type": "WordLevel", "vocab": { wanted.clone(): 5 }, "unk_token": null }),
        );
        check(&whole, &[(text, &[5])]);
    }
}

#[test]
fn words_are_cut_as_each_step_says() {
    let word = |id: u32, text: &str| (text.to_owned(), json!(id));
    let vocab: serde_json::Map<_, _> = [
        word(1, "ab"),
        word(2, "!!"),
        word(3, "!"),
        word(4, "ab!"),
        word(5, " ab"),
        word(6, "12"),
        word(7, "1"),
        word(8, "2"),
        word(9, " "),
    ]
    .into_iter()
    .collect();
    let model = json!({ "type": "WordLevel", "vocab": vocab, "unk_token": null });
    let split = |pattern: Value, behavior: &str| json!({ "type": "Split", "pattern": pattern, "behavior": behavior, "invert": false });
    let mark = || json!({ "Regex": "!" });
    let cases: [(Value, &str, &[u32]); 10] = [
        (json!({ "type": "Whitespace" }), "ab!! ab", &[1, 2, 1]),
        (json!({ "type": "WhitespaceSplit" }), " ab ab!", &[1, 4]),
        (json!({ "type": "Punctuation" }), "ab!!", &[1, 3, 3]),
        (
            json!({ "type": "Digits", "individual_digits": true }),
            "12ab",
            &[7, 8, 1],
        ),
        (
            json!({ "type": "Digits", "individual_digits": false }),
            "12ab",
            &[6, 1],
        ),
        (split(mark(), "Removed"), "ab!!ab", &[1, 1]),
        (split(mark(), "Isolated"), "ab!!ab", &[1, 3, 3, 1]),
        (split(mark(), "Contiguous"), "ab!!ab", &[1, 2, 1]),
        (split(mark(), "MergedWithPrevious"), "ab!!ab", &[4, 3, 1]),
        (
            split(json!({ "String": " " }), "MergedWithNext"),
            "ab ab ",
            &[1, 5, 9],
        ),
    ];
    for (splitter, text, ids) in cases {
        check(&form(Value::Null, splitter, model.clone()), &[(text, ids)]);
    }
}

#[test]
fn a_table_of_sentencepiece_replaces_what_it_knows() {
    // One entry: "A" becomes "ab". The root's children begin at 1; "A" is unit
    // 1 ^ 0x41 = 0x40, has a leaf, and its leaf stands at 0x40 ^ 2 = 0x42.
    let mut units = vec![0_u32; 0x60];
    units[0] = 1 << 10;
    units[0x40] = 2 << 10 | 1 << 8 | 0x41;
    units[0x42] = 1 << 31;
    let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
    bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend(b"ab\0");
    let normalizer = json!({ "type": "Precompiled", "precompiled_charsmap": base64(&bytes) });
    let model = json!({ "type": "WordLevel", "vocab": { "xabyB": 3 }, "unk_token": null });
    check(
        &form(normalizer, Value::Null, model.clone()),
        &[("xAyB", &[3])],
    );
    let damaged = json!({ "type": "Precompiled", "precompiled_charsmap": base64(&bytes[..9]) });
    refuses(&form(damaged, Value::Null, model), &["damaged table"]);
}

fn base64(bytes: &[u8]) -> String {
    let signs = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        let sign = |at: usize| signs[(bits >> (18 - 6 * at)) as usize & 63] as char;
        (0..=group.len()).map(sign).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn added_tokens_are_found_and_special_ones_are_letters() {
    let mut added = bert();
    added["added_tokens"] = json!([
        { "id": 20, "content": "[sep]", "special": true },
        { "id": 21, "content": "<ip>", "special": false },
        { "id": 22, "content": "<ip><ip>", "special": false },
    ]);
    check(
        &added,
        &[
            ("tide<ip>tides", &[1, 21, 1, 2]),
            ("<ip><ip><ip>", &[22, 21]),
            ("[sep]", &[0, 0, 0]),
        ],
    );
    added["added_tokens"][1]["content"] = json!("<IP>");
    refuses(&added, &["\"<IP>\", which its normalizer changes"]);
    added["added_tokens"][1]["lstrip"] = json!(true);
    refuses(&added, &["conditions of the added token"]);
}

#[test]
fn the_frame_is_that_of_the_template() {
    let mut framed = bert();
    let part = |id: &str, kind: u32| json!({ "SpecialToken": { "id": id, "type_id": kind } });
    framed["post_processor"] = json!({ "type": "Sequence", "processors": [
        { "type": "ByteLevel", "trim_offsets": true },
        { "type": "TemplateProcessing", "pair": [], "special_tokens": {
            "[C]": { "id": "[C]", "ids": [8, 9], "tokens": ["a", "b"] },
            "[S]": { "id": "[S]", "ids": [7], "tokens": ["c"] },
        }, "single": [part("[C]", 0), { "Sequence": { "id": "A", "type_id": 1 } }, part("[S]", 2)] },
    ] });
    let wanted = Frame {
        before: vec![(8, 0), (9, 0)],
        kind: 1,
        after: vec![(7, 2)],
    };
    assert_eq!(*load(&framed).unwrap().frame(), wanted);
    framed["post_processor"] =
        json!({ "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0] });
    let frame = load(&framed).unwrap();
    assert_eq!(
        (&frame.frame().before[..], &frame.frame().after[..]),
        (&[(0, 0)][..], &[(2, 0)][..])
    );
    framed["post_processor"] =
        json!({ "type": "TemplateProcessing", "single": [part("[X]", 0)], "special_tokens": {} });
    refuses(
        &framed,
        &["names a special token that it does not define", "[X]"],
    );
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let change = |key: &str, value: Value| {
        let mut form = bert();
        form[key] = value;
        form
    };
    refuses(&json!({}), &["tokenizer.json", "missing field `model`"]);
    refuses(
        &change("normalizer", json!({ "type": "Nmt" })),
        &["unknown variant `Nmt`", "NFKC"],
    );
    refuses(
        &change("pre_tokenizer", json!({ "type": "UnicodeScripts" })),
        &["UnicodeScripts"],
    );
    let look = json!({ "type": "Split", "pattern": { "Regex": "a(?!b)" }, "behavior": "Isolated" });
    refuses(
        &change("pre_tokenizer", look),
        &["does not run in linear time", "docs/onnx.md"],
    );
    let huge = json!({ "type": "Split", "pattern": { "Regex": "(a{1000}){1000}" }, "behavior": "Isolated" });
    refuses(
        &change("pre_tokenizer", huge),
        &["does not run in linear time"],
    );
    refuses(
        &change(
            "model",
            json!({ "type": "WordPiece", "unk_token": "?", "vocab": {} }),
        ),
        &["a token that its vocabulary does not have"],
    );
    refuses(
        &change(
            "model",
            json!({ "type": "WordPiece", "unk_token": "?", "vocab": { "?": 1 << 24 } }),
        ),
        &["a number that is too large"],
    );
    refuses(
        &change(
            "model",
            json!({ "type": "BPE", "vocab": { "a": 0 }, "merges": ["a a"] }),
        ),
        &["does not have", "aa"],
    );
    refuses(
        &change(
            "model",
            json!({ "type": "Unigram", "unk_id": 3, "vocab": [["a", 0.0]] }),
        ),
        &["unk_id"],
    );
}

proptest! {
    /// Every token lies in the text, and behind the beginning of the one before it.
    #[test]
    fn any_text_gives_tokens_that_lie_in_it(text in "\\PC{0,60}|[a-eé \n\u{301}']{0,60}") {
        let count = text.chars().count() as u32;
        for form in [bert(), byte_pairs(), unigram()] {
            for token in load(&form).unwrap().read(&text, 0) {
                prop_assert!(token.start <= token.end && token.end <= count, "{token:?}");
            }
        }
    }
}
