//! Reads TOML text into nodes that know their line and column.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::node::{Entry, Node, Origin, Raw};
use super::problems::{Fault, Report};

/// Reads `text`; syntax errors go to `report` and leave an empty table, because
/// what a broken file still seems to say would only produce false problems.
pub(super) fn read(name: &str, text: &str, report: &mut Report) -> Vec<Entry> {
    let places = Places::new(name, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let offset = error.span().map_or(text.len(), |span| span.start);
        report.add(
            &places.at(offset),
            "",
            Fault::new(format!("not TOML: {}", error.message())),
        );
    }
    if errors.is_empty() {
        places.entries(table.get_ref())
    } else {
        Vec::new()
    }
}

/// Turns byte offsets into lines and columns.
struct Places<'a> {
    name: &'a str,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(name: &'a str, text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            name,
            text,
            line_starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    fn at(&self, offset: usize) -> Origin {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        let before = self.text.get(start..offset).unwrap_or_default();
        let column = before.chars().count() + 1;
        Origin::File {
            name: self.name.to_owned(),
            line,
            column,
        }
    }

    fn entries(&self, table: &DeTable<'_>) -> Vec<Entry> {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| -> Entry {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            let origin = self.at(key.span().start);
            Entry {
                name: name.to_string(),
                origin,
                value: self.node(value),
            }
        };
        table.iter().map(entry).collect()
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let raw = match value.get_ref() {
            DeValue::Boolean(flag) => Raw::Flag(*flag),
            DeValue::Integer(integer) => Raw::Integer(saturated(integer)),
            // A float too long for `f64` reads as not-a-number, which no range holds.
            DeValue::Float(float) => Raw::Float(float.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Datetime(date) => Raw::Date(date.to_string()),
            DeValue::Array(list) => Raw::List(list.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Raw::Table(self.entries(table)),
        };
        Node {
            raw,
            origin: self.at(value.span().start),
        }
    }
}

fn saturated(integer: &DeInteger<'_>) -> i128 {
    let end = if integer.as_str().starts_with('-') {
        i128::MIN
    } else {
        i128::MAX
    };
    i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(end)
}
