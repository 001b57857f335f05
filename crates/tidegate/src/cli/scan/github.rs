//! Findings as workflow commands of GitHub Actions.

use std::io::{self, Write};

use super::input::Unread;
use super::row::{Level, Row};

pub(super) fn write(row: &Row, out: &mut impl Write) -> io::Result<()> {
    let file = row
        .path()
        .map(|path| format!("file={},", property(&path.to_string_lossy())))
        .unwrap_or_default();
    let judged = match &row.result {
        Ok(judged) => judged,
        Err(Unread::Skipped(_)) => return Ok(()),
        Err(Unread::Failed(reason)) => {
            return writeln!(out, "::error {file}title=unreadable::{}", data(reason));
        }
    };
    for (found, place) in judged.counted() {
        let command = match Level::from(found.severity) {
            Level::Note => "notice",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let (start, end) = (place.start, place.end);
        // A column is only shown where it is of one line.
        let columns = if start.line == end.line {
            format!("col={},endColumn={},", start.column, end.column)
        } else {
            String::new()
        };
        writeln!(
            out,
            "::{command} {file}line={},endLine={},{columns}title={}::{}",
            start.line,
            end.line,
            property(&found.rule),
            data(&format!("{} ({})", found.message, found.severity)),
        )?;
    }
    Ok(())
}

fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_cannot_end_itself_or_its_line() {
        assert_eq!(property("a::b,c\r\nd%0A"), "a%3A%3Ab%2Cc%0D%0Ad%250A");
        assert_eq!(data("a: b, c\n"), "a: b, c%0A");
    }
}
