//! Every JSON value comes back from both dialects as it was.
//!
//! `TOON_CASES=1000000 cargo test --release -p tidegate-text --test round_trip`
//! tries a million values in each.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Map, Number, Value};
use tidegate_text::toon::compact::{self, Abbreviations};
use tidegate_text::toon::{
    DecodeOptions, Delimiter, EncodeOptions, IndentSize, Strictness, decode, encode, encode_to,
};

/// Values tried where nobody asks for more.
const CASES: u32 = 2_000;

fn cases() -> u32 {
    match std::env::var("TOON_CASES") {
        Ok(asked) => asked.parse().expect("TOON_CASES is a number"),
        Err(_) => CASES,
    }
}

#[track_caller]
fn every<S: Strategy>(strategy: S, holds: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: std::fmt::Debug,
{
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    };
    let start = std::time::Instant::now();
    if let Err(error) = TestRunner::new(config).run(&strategy, holds) {
        panic!("{error}");
    }
    println!("{} values in {:?}", cases(), start.elapsed());
}

/// Strings that are hard to tell from something else, and any others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z ]{0,12}",
        3 => "[-+0-9.eE\"\\\\:|,\\[\\]{}#~TF \t\n\r]{0,6}",
        1 => prop::sample::select(vec![
            "true", "false", "null", "T", "F", "~", "-", "- a", "#", "fb", "feedback", "msg",
            "[2]: 1,2", "a[1]{b}:", "\u{feff}x", "\u{a0}", "1e400", "18446744073709551616", "-0",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-100i64..100).prop_map(Value::from),
        any::<u64>().prop_map(
            |bits| Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
        ),
        (-1000i32..1000).prop_map(|hundredths| Value::from(f64::from(hundredths) / 100.0)),
    ]
}

fn primitive() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ]
}

fn object(
    inner: impl Strategy<Value = Value>,
    keys: std::ops::Range<usize>,
) -> impl Strategy<Value = Value> {
    prop::collection::vec((text(), inner), keys)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// Rows with the keys of one template: what becomes a table, or nearly one.
fn table(inner: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Value> {
    let cells = prop::collection::vec(prop::collection::vec(inner, 3), 1..5);
    (prop::collection::vec(text(), 3), cells, any::<bool>()).prop_map(|(names, rows, keyed)| {
        let object = |cells: Vec<Value>| -> Value {
            Value::Object(names.iter().cloned().zip(cells).collect::<Map<_, _>>())
        };
        let rows = rows.into_iter().map(object);
        if keyed {
            let named = rows.enumerate().map(|(at, row)| (format!("r{at}"), row));
            Value::Object(named.collect())
        } else {
            rows.collect()
        }
    })
}

fn value() -> impl Strategy<Value = Value> {
    primitive().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            object(inner.clone(), 0..5),
            table(primitive().boxed()),
            table(inner.boxed()),
        ]
    })
}

/// The value as TOON has it: it knows numbers, and no difference between 1 and
/// 1.0 or between 0 and -0.
fn canonical(value: Value) -> Value {
    match value {
        Value::Number(number) => canonical_number(number),
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        Value::Object(map) => {
            let fields = map.into_iter().map(|(key, value)| (key, canonical(value)));
            Value::Object(fields.collect())
        }
        other => other,
    }
}

fn canonical_number(number: Number) -> Value {
    let Some(float) = number
        .as_f64()
        .filter(|_| number.is_f64() && number.as_f64().is_some_and(|float| float.fract() == 0.0))
    else {
        return Value::Number(number);
    };
    let exact = format!("{float:.0}");
    let exact = if exact == "-0" { "0" } else { &exact };
    let whole = exact.parse::<u64>().map(Number::from);
    let whole = whole.or_else(|_| exact.parse::<i64>().map(Number::from));
    Value::Number(whole.unwrap_or(number))
}

fn style() -> impl Strategy<Value = EncodeOptions> {
    let delimiter = prop::sample::select(Delimiter::ALL.to_vec());
    (delimiter, 1..5usize).prop_map(|(delimiter, spaces)| EncodeOptions {
        delimiter,
        indent_size: IndentSize::new(spaces).expect("a size"),
    })
}

#[test]
fn toon_reads_what_it_wrote_strictly_and_not() {
    every((value(), style()), |(value, options)| {
        let value = canonical(value);
        let text = encode(&value, &options).expect("not deep");
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let indent_size = options.indent_size;
            let read = decode(
                &text,
                &DecodeOptions {
                    strictness,
                    indent_size,
                },
            );
            prop_assert_eq!(read.as_ref(), Ok(&value), "{}", &text);
        }
        let mut bytes = Vec::new();
        encode_to(&value, &options, &mut bytes).expect("a vector takes all");
        prop_assert_eq!(bytes, text.into_bytes());
        Ok(())
    });
}

#[test]
fn the_compact_dialect_reads_what_it_wrote_with_every_table() {
    let own = [("msg", "a"), ("a", "fb"), ("", "msg")]
        .map(|(long, short)| (long.to_owned(), short.to_owned()));
    let tables = [
        Abbreviations::standard(),
        Abbreviations::none(),
        Abbreviations::own(own).expect("a table that leads back"),
    ];
    every(value(), |value| {
        for table in &tables {
            let text = compact::encode(&value, table).expect("not deep");
            prop_assert!(!text.contains('\n'), "{}", &text);
            let read = compact::decode(&text, table);
            prop_assert_eq!(read.as_ref(), Ok(&value), "{}", &text);
        }
        let plain = compact::encode(&value, &Abbreviations::none()).expect("not deep");
        let read = compact::decode(&plain, &Abbreviations::standard());
        prop_assert_eq!(read.as_ref(), Ok(&value), "{}", &plain);
        Ok(())
    });
}

#[test]
fn no_text_makes_a_reader_panic_and_what_is_read_can_be_written() {
    let line = prop_oneof![
        "[a-c\"\\[\\]{}:,|# \t1-3-]{0,16}",
        prop::sample::select(vec![
            "a[2]{b,c}:",
            "  1,2",
            "- x: 1",
            "b[1]:",
            "m[1:]{v}:",
            "{fb:[1|\"a\\:b\"]}"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let text = prop::collection::vec((0usize..4, line), 0..8).prop_map(|lines| {
        let lines: Vec<String> = lines
            .into_iter()
            .map(|(depth, line)| "  ".repeat(depth) + &line)
            .collect();
        lines.join("\n")
    });
    every(text, |text| {
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let options = DecodeOptions {
                strictness,
                ..DecodeOptions::default()
            };
            match decode(&text, &options) {
                Ok(value) => {
                    let written = encode(&value, &EncodeOptions::default()).expect("not deep");
                    prop_assert_eq!(decode(&written, &options), Ok(value), "{}", written);
                }
                Err(error) => prop_assert!(error.line <= text.matches('\n').count() + 1),
            }
        }
        let table = Abbreviations::standard();
        if let Ok(value) = compact::decode(&text, &table) {
            let written = compact::encode(&value, &table).expect("not deep");
            prop_assert_eq!(compact::decode(&written, &table), Ok(value), "{}", written);
        }
        Ok(())
    });
}
