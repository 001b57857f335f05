//! `tidegate toon encode` and `tidegate toon decode`.

use std::io::{self, Write as _};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tidegate_engine::ToonWish;
use tidegate_text::tokens::Encoding;
use tidegate_text::toon::{
    self, DecodeOptions, Dialect, EncodeError, IndentSize, Strictness, compact,
};

use super::{StyleArgs, encodings, indent_size, input};
use crate::cli::Exit;
use crate::toon_report::savings_json;

pub(super) const ENCODE_EXAMPLES: &str = "\
TOON pays for lists of objects with the same keys. For settings nested in each other
JSON without white space is often smaller: auto takes whatever has the fewest tokens.
Values may be nested 127 levels deep, and a text may have 256 MiB.

Examples:
  tidegate toon encode boats.json
  curl -s $URL/boats | tidegate toon encode - --dialect auto --json
  tidegate toon encode feedback.json --dialect compact --abbreviate none

Exit codes: 0 written, 1 the input is no JSON or nested too deeply, 2 usage or a file
that cannot be read.";

pub(super) const DECODE_EXAMPLES: &str = "\
An error names the file, the line, the column and the rule that is broken. --no-strict
forgives counts that are not met, keys that stand twice, uneven indentation, tabs and
blank lines, and reads a line that is no header as a key and its value.

Examples:
  tidegate toon decode boats.toon
  tidegate toon decode answer.toon --no-strict | jq .boats
  echo '{fb:{id:FB001}}' | tidegate toon decode - --dialect compact --json

Exit codes: 0 read, 1 the text breaks a rule, 2 usage or a file that cannot be read.";

/// Arguments of `toon encode`.
#[derive(Debug, Args)]
pub(super) struct EncodeArgs {
    /// The JSON to write, or - for standard input
    #[arg(value_name = "FILE|-", default_value = "-")]
    path: String,
    /// What it is written in
    #[arg(long, value_enum, default_value = "toon")]
    dialect: Written,
    #[command(flatten)]
    style: StyleArgs,
    /// How auto and --json count tokens; estimate: four characters are one
    #[arg(long, default_value = "o200k_base", value_parser = encodings())]
    encoding: Encoding,
    /// Print one line of JSON with the text, its dialect and what it saves
    #[arg(long)]
    json: bool,
}

/// Arguments of `toon decode`.
#[derive(Debug, Args)]
pub(super) struct DecodeArgs {
    /// The text to read, or - for standard input
    #[arg(value_name = "FILE|-", default_value = "-")]
    path: String,
    /// What it is written in
    #[arg(long, value_enum, default_value = "toon")]
    dialect: Read,
    /// Spaces of one level of TOON, 1 to 16
    #[arg(long, value_name = "SPACES", default_value = "2", value_parser = indent_size)]
    indent: IndentSize,
    /// Take every broken rule for an error; this is what happens anyway
    #[arg(long, overrides_with = "no_strict")]
    strict: bool,
    /// Forgive what can be forgiven
    #[arg(long, overrides_with = "strict")]
    no_strict: bool,
    /// Which short keys of the compact dialect are read as long ones: standard
    /// (its 22), none, or a JSON file with one object {key: short key}
    #[arg(long, value_name = "standard|none|FILE", default_value = "standard")]
    abbreviate: String,
    /// Print the JSON on one line
    #[arg(long)]
    json: bool,
}

/// What a value is written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Written {
    /// The standard, https://toon-format.org
    Toon,
    /// One line, with short keys
    Compact,
    /// JSON without white space
    Json,
    /// Whichever of the three has the fewest tokens
    Auto,
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Read {
    /// The standard, https://toon-format.org
    Toon,
    /// One line, with short keys
    Compact,
}

pub(super) fn encode(args: &EncodeArgs) -> Result<Exit, Exit> {
    let wish = ToonWish {
        form: match args.dialect {
            Written::Toon => Some(Dialect::Toon),
            Written::Compact => Some(Dialect::Compact),
            Written::Json => Some(Dialect::Json),
            Written::Auto => None,
        },
        style: args.style.style()?,
        encoding: args.encoding,
    };
    let value = input::json(&args.path)?;
    let too_deep = |error: EncodeError| {
        eprintln!("error: {}: {error}", args.path);
        Exit::Findings
    };
    if args.json {
        let done = wish.encode(&value).map_err(too_deep)?;
        let savings = savings_json(&done.savings);
        let line = json!({"text": done.text, "dialect": done.form.name(), "savings": savings});
        return print(|out| write!(out, "{line}"));
    }
    match wish.form {
        // Nothing but the value is held: the text goes out as it is made.
        Some(Dialect::Toon) => print(|out| toon::encode_to(&value, &wish.style.options, out)),
        Some(Dialect::Compact) => {
            print(|out| compact::encode_to(&value, &wish.style.abbreviations, out))
        }
        Some(Dialect::Json) => print(|out| Ok(serde_json::to_writer(out, &value)?)),
        None => {
            let done = toon::smallest(&value, &wish.style, wish.encoding);
            let (_, text) = done.map_err(too_deep)?;
            print(|out| out.write_all(text.as_bytes()))
        }
    }
}

pub(super) fn decode(args: &DecodeArgs) -> Result<Exit, Exit> {
    let abbreviations = input::abbreviations(&args.abbreviate)?;
    let options = DecodeOptions {
        strictness: if args.no_strict {
            Strictness::Lenient
        } else {
            Strictness::Strict
        },
        indent_size: args.indent,
    };
    let text = input::text(&args.path)?;
    let read = match args.dialect {
        Read::Toon => toon::decode(&text, &options),
        Read::Compact => compact::decode(&text, &abbreviations),
    };
    let value: Value = read.map_err(|error| {
        let (path, line, column) = (&args.path, error.line, error.column);
        eprintln!(
            "error: {path}:{line}:{column}: {} ({})",
            error.rule,
            error.rule.code()
        );
        Exit::Findings
    })?;
    print(|out| {
        if args.json {
            Ok(serde_json::to_writer(out, &value)?)
        } else {
            Ok(serde_json::to_writer_pretty(out, &value)?)
        }
    })
}

/// Writes to standard output and ends the line. A closed pipe is the reader's
/// choice, a full disk is not.
fn print(
    write: impl FnOnce(&mut io::BufWriter<io::StdoutLock>) -> io::Result<()>,
) -> Result<Exit, Exit> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = write(&mut out)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(Exit::Clean),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Clean),
        Err(error) => {
            eprintln!("error: standard output: {error}");
            Err(Exit::Usage)
        }
    }
}
