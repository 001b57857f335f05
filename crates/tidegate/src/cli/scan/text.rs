//! Findings for people, a line each.

use std::io::{self, Write};

use tidegate_guard::Severity;

use super::row::Row;

/// Whether severities are colored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Ansi,
    Plain,
}

pub(super) fn write(row: &Row, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let Ok(judged) = &row.result else {
        return Ok(());
    };
    let name = shown(row.name());
    for (found, place) in judged.counted() {
        let (line, column) = (place.start.line, place.start.column);
        let severity = painted(found.severity, paint);
        let more = match found.matches {
            1 => String::new(),
            matches => format!(" ({matches} matches)"),
        };
        let (rule, message) = (&found.rule, &found.message);
        writeln!(
            out,
            "{name}:{line}:{column}: {severity} {rule}: {message}{more}"
        )?;
    }
    Ok(())
}

fn painted(severity: Severity, paint: Paint) -> String {
    let code = match severity {
        Severity::None | Severity::Low => "36",
        Severity::Medium => "33",
        Severity::High => "31",
        Severity::Critical => "1;31",
    };
    match paint {
        Paint::Ansi => format!("\x1b[{code}m{severity}\x1b[0m"),
        Paint::Plain => severity.to_string(),
    }
}

/// A name on one line and without power over a terminal.
pub(super) fn shown(name: impl AsRef<str>) -> String {
    let mut shown = String::new();
    for letter in name.as_ref().chars() {
        if letter.is_control() || is_direction_mark(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Letters that turn the order of others around.
fn is_direction_mark(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_power_over_a_terminal() {
        assert_eq!(
            shown("a\nb\x1b[2J\u{9b}c\u{202e}d é"),
            r"a\nb\u{1b}[2J\u{9b}c\u{202e}d é"
        );
    }
}
