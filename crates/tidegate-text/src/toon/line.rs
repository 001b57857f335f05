//! Lines: what they say and how deep they stand.
//!
//! Comments are gone before anything looks at structure; blank lines are told
//! with the line that follows them, because only that line knows whether they
//! stood inside of an array.

use super::error::{Fault, Rule};
use super::options::{DecodeOptions, Strictness};
use super::scan::looked_at;

/// A line that means something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'s> {
    pub(super) depth: usize,
    /// Without indentation and trailing spaces; never empty.
    pub(super) text: &'s str,
    /// The last blank line since the line before.
    pub(super) blank_before: Option<&'s str>,
}

/// The lines of a source, one ahead.
#[derive(Debug)]
pub(super) struct Lines<'s> {
    rest: Option<&'s str>,
    ahead: Option<Line<'s>>,
    options: DecodeOptions,
}

impl<'s> Lines<'s> {
    pub(super) fn new(source: &'s str, options: DecodeOptions) -> Self {
        // A single mark of byte order is not content.
        let rest = source.strip_prefix('\u{feff}').unwrap_or(source);
        Self {
            rest: Some(rest),
            ahead: None,
            options,
        }
    }

    /// The next line, which stays.
    pub(super) fn peek(&mut self) -> Result<Option<Line<'s>>, Fault<'s>> {
        if self.ahead.is_none() {
            self.ahead = self.read()?;
        }
        Ok(self.ahead)
    }

    /// Goes past the line that was peeked at.
    pub(super) fn pass(&mut self) {
        self.ahead = None;
    }

    fn read(&mut self) -> Result<Option<Line<'s>>, Fault<'s>> {
        let mut blank_before = None;
        while let Some(raw) = self.next_raw() {
            let body = raw.trim_start_matches(' ');
            let spaces = raw.len() - body.len();
            let (depth, body) = match body.as_bytes().first() {
                None => {
                    blank_before = Some(raw);
                    continue;
                }
                Some(b'#') => continue,
                Some(b'\t') => self.behind_tab(raw, body)?,
                Some(_) => (self.depth(spaces, body)?, body),
            };
            let text = body.trim_end_matches(' ');
            if text.is_empty() {
                blank_before = Some(raw);
                continue;
            }
            return Ok(Some(Line {
                depth,
                text,
                blank_before,
            }));
        }
        Ok(None)
    }

    fn next_raw(&mut self) -> Option<&'s str> {
        let rest = self.rest?;
        let end = memchr::memchr(b'\n', rest.as_bytes());
        let (raw, rest) = match end {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        looked_at(raw.len() + 1);
        self.rest = rest;
        Some(raw.strip_suffix('\r').unwrap_or(raw))
    }

    fn depth(&self, spaces: usize, body: &'s str) -> Result<usize, Fault<'s>> {
        let indent_size = self.options.indent_size.spaces();
        if self.options.strictness == Strictness::Strict && !spaces.is_multiple_of(indent_size) {
            let found = spaces;
            let rule = Rule::UnevenIndentation { indent_size, found };
            return Err(Fault::new(body, rule));
        }
        Ok(spaces / indent_size)
    }

    /// A line with a tab in its indentation: forgiven ones count a level for
    /// each tab.
    fn behind_tab(&self, raw: &'s str, tab: &'s str) -> Result<(usize, &'s str), Fault<'s>> {
        match self.options.strictness {
            Strictness::Strict => Err(Fault::new(tab, Rule::TabIndentation)),
            Strictness::Lenient => {
                let body = raw.trim_start_matches([' ', '\t']);
                let lead = &raw[..raw.len() - body.len()];
                let tabs = lead.matches('\t').count();
                let spaces = lead.len() - tabs;
                Ok((tabs + spaces / self.options.indent_size.spaces(), body))
            }
        }
    }
}
