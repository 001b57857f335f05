//! Findings as JUnit's XML: one test case for each text.

use std::io::{self, Write};

use tidegate_guard::{Detection, Severity};

use super::input::Unread;
use super::place::Place;
use super::row::Row;
use super::tally::fails;

/// Findings as bad as `fail_on` are failures, others are told beside.
pub(super) fn write(rows: &[Row], fail_on: Severity, out: &mut impl Write) -> io::Result<()> {
    let count = |is: fn(&Row, Severity) -> bool| rows.iter().filter(|row| is(row, fail_on)).count();
    let failures = count(|row, fail_on| {
        let severity = row.result.as_ref().map(|judged| judged.verdict.severity);
        severity.is_ok_and(|severity| fails(severity, fail_on))
    });
    let errors = count(|row, _| matches!(row.result, Err(Unread::Failed(_))));
    let skipped = count(|row, _| matches!(row.result, Err(Unread::Skipped(_))));
    let tests = rows.len();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    let counts = format!(r#"tests="{tests}" failures="{failures}" errors="{errors}""#);
    writeln!(out, "<testsuites {counts}>")?;
    writeln!(
        out,
        r#"<testsuite name="tidegate scan" {counts} skipped="{skipped}">"#
    )?;
    for row in rows {
        write_case(row, fail_on, out)?;
    }
    writeln!(out, "</testsuite>\n</testsuites>")
}

fn write_case(row: &Row, fail_on: Severity, out: &mut impl Write) -> io::Result<()> {
    let name = escaped(&row.name());
    writeln!(out, r#"<testcase classname="tidegate.scan" name="{name}">"#)?;
    match &row.result {
        Err(Unread::Skipped(reason)) => {
            writeln!(out, r#"<skipped message="{}"/>"#, escaped(reason))?;
        }
        Err(Unread::Failed(reason)) => {
            let reason = escaped(reason);
            writeln!(out, r#"<error type="unreadable" message="{reason}"/>"#)?;
        }
        Ok(judged) => {
            let all = judged.counted();
            let (bad, others): (Vec<_>, Vec<_>) =
                all.partition(|(found, _)| fails(found.severity, fail_on));
            if let Some((worst, _)) = bad.iter().max_by_key(|(found, _)| found.severity) {
                let (severity, message) = (worst.severity, escaped(&worst.message));
                writeln!(
                    out,
                    r#"<failure type="{severity}" message="{message}">{}</failure>"#,
                    lines(&bad)
                )?;
            }
            if !others.is_empty() {
                writeln!(out, "<system-out>{}</system-out>", lines(&others))?;
            }
        }
    }
    writeln!(out, "</testcase>")
}

fn lines(found: &[(&Detection, &Place)]) -> String {
    let line = |(found, place): &(&Detection, &Place)| {
        let (line, column) = (place.start.line, place.start.column);
        let (severity, rule, message) = (found.severity, &found.rule, &found.message);
        escaped(&format!("{line}:{column}: {severity} {rule}: {message}\n"))
    };
    found.iter().map(line).collect()
}

/// For elements and attributes. What XML has no way to say is replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(letter))),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_attribute_or_break_the_document() {
        assert_eq!(
            escaped("a\"/><b c='\n\x1b\u{ffff}&amp;"),
            "a&quot;/&gt;&lt;b c=&apos;&#10;\u{fffd}\u{fffd}&amp;amp;"
        );
    }
}
