//! What is read: a file or standard input, and tables of short keys.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use serde_json::Value;
use tidegate_text::toon::compact::Abbreviations;

use crate::cli::Exit;

/// The largest text. Values of a text take some twenty times its memory.
const MOST_BYTES: u64 = 256 << 20;

/// The text of a file, or of standard input.
pub(super) fn text(path: &str) -> Result<String, Exit> {
    let bytes = match path {
        "-" => bounded(io::stdin().lock()),
        path => File::open(path).and_then(bounded),
    };
    let bytes = bytes.map_err(|error| refuse(path, &format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refuse(path, &format!("is larger than {MOST_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refuse(path, &format!("is no UTF-8 text: byte {at} breaks it"))
    })
}

fn bounded(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The JSON of a file, or of standard input.
pub(super) fn json(path: &str) -> Result<Value, Exit> {
    serde_json::from_str(&text(path)?).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        eprintln!(
            "error: {path}:{line}:{column}: {}",
            without_place(&error.to_string())
        );
        Exit::Findings
    })
}

/// The library ends its messages with the place, which stands in front already.
fn without_place(message: &str) -> &str {
    message
        .rsplit_once(" at line ")
        .map_or(message, |(what, _)| what)
}

/// The table of short keys that `--abbreviate` names.
pub(super) fn abbreviations(name: &str) -> Result<Abbreviations, Exit> {
    match name {
        "standard" => Ok(Abbreviations::standard()),
        "none" => Ok(Abbreviations::none()),
        path => {
            let pairs: BTreeMap<String, String> =
                serde_json::from_str(&text(path)?).map_err(|error| {
                    refuse(path, &format!("is no object {{key: short key}}: {error}"))
                })?;
            Abbreviations::own(pairs).map_err(|error| refuse(path, &error.to_string()))
        }
    }
}

fn refuse(path: &str, problem: &str) -> Exit {
    eprintln!("error: {path} {problem}");
    Exit::Usage
}
