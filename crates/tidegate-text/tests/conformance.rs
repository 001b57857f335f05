//! The cases of the standard (version 4.1.1), read from the shared data folder.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tidegate_text::toon::{
    DecodeOptions, Delimiter, EncodeOptions, IndentSize, Strictness, decode, encode,
};

/// Cases that are not passed, each with its reason. A case that is missing here
/// fails the test, and so does one that is here and passes.
const MISSES: [(&str, &str, &str); 0] = [];

/// How many cases there are.
const DECODE_CASES: usize = 359;
const ENCODE_CASES: usize = 179;

/// The cases, where this machine has them.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["../shared", "../../shared"].map(|shared| root.join(shared).join("data/toon"));
    folders.into_iter().find(|folder| folder.exists())
}

/// One case, and the file that it comes from.
struct Case {
    file: String,
    body: Value,
}

impl Case {
    fn name(&self) -> &str {
        self.body["name"].as_str().expect("a case has a name")
    }

    fn wants_error(&self) -> bool {
        self.body["shouldError"].as_bool() == Some(true)
    }

    fn indent_size(&self) -> IndentSize {
        let spaces = self.body["options"]["indentSize"].as_u64().unwrap_or(2);
        IndentSize::new(spaces as usize).expect("an indent size")
    }
}

fn cases(folder: &Path, kind: &str) -> Vec<Case> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.join("fixtures").join(kind))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a file of cases");
        let file: Value = serde_json::from_str(&text).expect("JSON");
        let name = format!(
            "{kind}/{}",
            path.file_stem().expect("a name").to_string_lossy()
        );
        for body in file["tests"].as_array().expect("a list of cases") {
            all.push(Case {
                file: name.clone(),
                body: body.clone(),
            });
        }
    }
    all
}

/// The same value for a reader of JSON, to whom 1 and 1.0 are one number.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && (left.iter().zip(right))
                    .all(|((a, left), (b, right))| a == b && same(left, right))
        }
        (left, right) => left == right,
    }
}

/// What is wrong with the answer to a case that reads.
fn decode_problem(case: &Case) -> Option<String> {
    let strictness = match case.body["options"]["strict"].as_bool() {
        Some(false) => Strictness::Lenient,
        _ => Strictness::Strict,
    };
    let options = DecodeOptions {
        strictness,
        indent_size: case.indent_size(),
    };
    let text = case.body["input"].as_str().expect("a text");
    match decode(text, &options) {
        Ok(_) if case.wants_error() => Some("an error is expected".to_owned()),
        Ok(value) if same(&value, &case.body["expected"]) => None,
        Ok(value) => Some(format!("{value} instead of {}", case.body["expected"])),
        Err(_) if case.wants_error() => None,
        Err(error) => Some(error.to_string()),
    }
}

/// What is wrong with the answer to a case that writes.
fn encode_problem(case: &Case) -> Option<String> {
    let delimiter = match case.body["options"]["delimiter"].as_str() {
        Some(text) => {
            let character = text.chars().next().expect("a character");
            Delimiter::of(character).expect("a delimiter")
        }
        None => Delimiter::Comma,
    };
    let options = EncodeOptions {
        delimiter,
        indent_size: case.indent_size(),
    };
    let text = encode(&case.body["input"], &options).expect("a value that is not deep");
    let expected = case.body["expected"].as_str().expect("a text");
    (text != expected).then(|| format!("{text:?} instead of {expected:?}"))
}

#[track_caller]
fn check(kind: &str, expected: usize, problem: fn(&Case) -> Option<String>) {
    let Some(folder) = folder() else {
        println!("skipped: the shared data folder is absent, so no {kind} case was run");
        return;
    };
    let cases = cases(&folder, kind);
    assert_eq!(cases.len(), expected, "the {kind} cases");
    let mut wrong = Vec::new();
    let mut passed = 0;
    for case in &cases {
        let listed = MISSES
            .iter()
            .find(|(file, name, _)| *file == case.file && *name == case.name());
        match (problem(case), listed) {
            (None, None) => passed += 1,
            (Some(_), Some((_, name, reason))) => println!("missed: {name}: {reason}"),
            (None, Some(_)) => wrong.push(format!(
                "{}: {}: is listed and passes",
                case.file,
                case.name()
            )),
            (Some(problem), None) => {
                wrong.push(format!("{}: {}: {problem}", case.file, case.name()));
            }
        }
    }
    println!("{passed} of {} {kind} cases pass", cases.len());
    assert!(
        wrong.is_empty(),
        "{} of them are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_case_of_the_standard_is_read_as_it_says() {
    check("decode", DECODE_CASES, decode_problem);
}

#[test]
fn every_case_of_the_standard_is_written_as_it_says() {
    check("encode", ENCODE_CASES, encode_problem);
}
