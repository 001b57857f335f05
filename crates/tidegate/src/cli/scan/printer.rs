//! Rows on their way to standard output.

use std::io::{self, Write};

use serde_json::{Value, json};
use tidegate_guard::{Scanner, Severity};

use super::row::Row;
use super::text::Paint;
use super::{Format, github, junit, sarif, text};

/// Writes each row as it comes, or all at the end where the format needs that.
pub(super) struct Printer<'a> {
    format: Format,
    paint: Paint,
    scanner: &'a Scanner,
    kept: Vec<Row>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(format: Format, paint: Paint, scanner: &'a Scanner) -> Self {
        let kept = Vec::new();
        Self {
            format,
            paint,
            scanner,
            kept,
        }
    }

    pub(super) fn row(&mut self, row: Row) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.format {
            Format::Text => text::write(&row, self.paint, &mut out),
            Format::Github => github::write(&row, &mut out),
            Format::Ndjson => match row.to_json() {
                Some(json) => writeln!(out, "{json}"),
                None => Ok(()),
            },
            Format::Json | Format::Sarif | Format::Junit => {
                self.kept.push(row);
                Ok(())
            }
        }
    }

    pub(super) fn finish(self, fail_on: Severity) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.format {
            Format::Text | Format::Github | Format::Ndjson => Ok(()),
            Format::Json => writeln!(out, "{}", document(&self.kept)),
            Format::Sarif => sarif::write(&self.kept, self.scanner, &mut out),
            Format::Junit => junit::write(&self.kept, fail_on, &mut out),
        }
    }
}

/// One verdict, or a list of them: the endpoint's two shapes.
fn document(rows: &[Row]) -> Value {
    let mut results: Vec<Value> = rows.iter().filter_map(Row::to_json).collect();
    if rows.len() == 1 && results.len() == 1 {
        results.remove(0)
    } else {
        json!({"results": results})
    }
}
