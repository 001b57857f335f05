//! `tidegate toon stats`.

use std::fmt::Write as _;
use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};
use tidegate_text::tokens::{Encoding, count};
use tidegate_text::toon::{Dialect, Style, write};

use super::{StyleArgs, input};
use crate::cli::Exit;

pub(super) const EXAMPLES: &str = "\
Tokens are counted with the tokenizers of OpenAI's models: o200k_base is that of GPT-4o
and later, cl100k_base that of GPT-4. The estimate takes four characters for a token,
and is what limits reckon with. Percents are of JSON without white space.

Examples:
  tidegate toon stats boats.json settings.json
  tidegate toon stats - --json < boats.json

Exit codes: 0 all counted, 1 no file is JSON, 2 usage or no file can be read, 4 some
files could not be counted.";

/// Arguments of `toon stats`.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// JSON files, or - for standard input
    #[arg(value_name = "FILE|-", required = true)]
    paths: Vec<String>,
    #[command(flatten)]
    style: StyleArgs,
    /// Print one JSON object a line for each file
    #[arg(long)]
    json: bool,
}

/// The forms that are compared, with their names.
const FORMS: [(&str, Form); 4] = [
    ("toon", Form::Of(Dialect::Toon)),
    ("compact", Form::Of(Dialect::Compact)),
    ("json", Form::Of(Dialect::Json)),
    ("json_pretty", Form::Pretty),
];

/// How a value can be written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Of(Dialect),
    /// JSON as people read it.
    Pretty,
}

/// What one form costs.
#[derive(Debug, Clone, Copy)]
struct Row {
    name: &'static str,
    chars: usize,
    o200k: u64,
    cl100k: u64,
    estimate: u64,
}

pub(super) fn run(args: &StatsArgs) -> Result<Exit, Exit> {
    let style = args.style.style()?;
    let mut worst = Exit::Clean;
    let mut counted = 0;
    for path in &args.paths {
        let rows = match rows_of(path, &style) {
            Ok(rows) => rows,
            Err(exit) => {
                worst = exit;
                continue;
            }
        };
        counted += 1;
        let text = match args.json {
            true => format!("{}\n", as_json(path, &rows)),
            false => as_table(path, &rows),
        };
        if std::io::stdout().write_all(text.as_bytes()).is_err() {
            break;
        }
    }
    Ok(match (worst, counted) {
        (Exit::Clean, _) => Exit::Clean,
        (worst, 0) => worst,
        (_, _) => Exit::Partial,
    })
}

fn rows_of(path: &str, style: &Style) -> Result<Vec<Row>, Exit> {
    let value = input::json(path)?;
    let mut rows = Vec::with_capacity(FORMS.len());
    for (name, form) in FORMS {
        rows.push(row(name, &written(&value, form, style, path)?));
    }
    Ok(rows)
}

fn written(value: &Value, form: Form, style: &Style, path: &str) -> Result<String, Exit> {
    match form {
        Form::Pretty => Ok(format!("{value:#}")),
        Form::Of(dialect) => write(value, dialect, style).map_err(|error| {
            eprintln!("error: {path}: {error}");
            Exit::Findings
        }),
    }
}

fn row(name: &'static str, text: &str) -> Row {
    Row {
        name,
        chars: text.chars().count(),
        o200k: count(text, Encoding::O200kBase),
        cl100k: count(text, Encoding::Cl100kBase),
        estimate: count(text, Encoding::Estimate),
    }
}

/// The dialect with the fewest tokens; JSON as people read it is none.
fn least(rows: &[Row]) -> Option<&Row> {
    let json_first = |row: &&Row| (row.o200k, usize::from(row.name != Dialect::Json.name()));
    rows.iter()
        .filter(|row| Dialect::named(row.name).is_some())
        .min_by_key(json_first)
}

fn percent(row: &Row, rows: &[Row]) -> f64 {
    let json = rows.iter().find(|row| row.name == Dialect::Json.name());
    match json {
        Some(json) if json.o200k > 0 => 100.0 * (row.o200k as f64 / json.o200k as f64 - 1.0),
        Some(_) | None => 0.0,
    }
}

fn as_table(path: &str, rows: &[Row]) -> String {
    let mut text = format!("{path}\n");
    let head = ["", "o200k_base", "cl100k_base", "estimate", "characters"];
    let [name, rest @ ..] = head;
    let _ = write!(text, "  {name:<12}");
    for column in rest {
        let _ = write!(text, "{column:>13}");
    }
    text.push('\n');
    for row in rows {
        let Row {
            name,
            chars,
            o200k,
            cl100k,
            estimate,
        } = row;
        let change = percent(row, rows);
        let _ = writeln!(
            text,
            "  {name:<12}{o200k:>13}{cl100k:>13}{estimate:>13}{chars:>13}  {change:+.1} %"
        );
    }
    if let Some(least) = least(rows) {
        let _ = writeln!(text, "  fewest tokens: {}", least.name);
    }
    text
}

fn as_json(path: &str, rows: &[Row]) -> Value {
    let forms: serde_json::Map<String, Value> = rows
        .iter()
        .map(|row| {
            let cost = json!({
                "o200k_base": row.o200k,
                "cl100k_base": row.cl100k,
                "estimate": row.estimate,
                "chars": row.chars,
                "percent_of_json": (percent(row, rows) * 10.0).round() / 10.0 + 100.0,
            });
            (row.name.to_owned(), cost)
        })
        .collect();
    json!({"path": path, "forms": forms, "fewest_tokens": least(rows).map(|row| row.name)})
}
