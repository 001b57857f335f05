//! Headers: `key[3]:`, `rows[2]{id,at{x,y}}:`, `map[2:|]{a|b}:`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::error::{Fault, MAX_DEPTH, Rule};
use super::options::Delimiter;
use super::scan::{after_quoted, looked_at, seek};
use super::token::{name, quoted};

/// What a header says about the lines below it.
#[derive(Debug)]
pub(super) struct Header<'s> {
    pub(super) key: Option<Cow<'s, str>>,
    /// The length as it stands in the text, for complaints about it.
    pub(super) mark: &'s str,
    pub(super) declared: usize,
    pub(super) delimiter: Delimiter,
    pub(super) kind: Kind,
    pub(super) fields: Option<Fields<'s>>,
    /// What follows the colon.
    pub(super) inline: &'s str,
}

/// Whether a header is of an array or of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Array,
    Keyed,
}

/// The list of fields of a header.
#[derive(Debug)]
pub(super) struct Fields<'s> {
    pub(super) list: Vec<Field>,
    /// The cells of a row.
    pub(super) leaves: usize,
    /// How many groups hold each other.
    pub(super) depth: usize,
    /// What one row repeats of the header: bytes of names, and something for
    /// every group.
    pub(super) cost: usize,
    /// A name that stands twice in its list.
    pub(super) duplicate: Option<&'s str>,
}

/// One field, or a group of them.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) children: Option<Vec<Field>>,
}

/// What an object costs beside its names.
const GROUP_COST: usize = 64;

/// Reads a header whose bracket stands at `bracket`.
pub(super) fn parse(text: &str, bracket: usize) -> Result<Header<'_>, Fault<'_>> {
    let key = match &text[..bracket] {
        "" => None,
        key if key.ends_with([' ', '\t']) => {
            return Err(Fault::new(&text[bracket..], Rule::BrokenHeader));
        }
        key => Some(name(key)?),
    };
    let mut reader = Reader {
        text,
        at: bracket + 1,
        delimiter: Delimiter::Comma,
        names: Names::default(),
    };
    let (declared, kind) = reader.length()?;
    let mark = &text[bracket..reader.at];
    let fields = reader.fields()?;
    if reader.byte() != Some(b':') {
        return Err(reader.fault(Rule::BrokenHeader));
    }
    let inline = text[reader.at + 1..].trim_matches(' ');
    let header = Header {
        key,
        mark,
        declared,
        delimiter: reader.delimiter,
        kind,
        fields,
        inline,
    };
    header.check()
}

impl<'s> Header<'s> {
    fn check(self) -> Result<Self, Fault<'s>> {
        match (&self.fields, self.kind) {
            (None, Kind::Keyed) => Err(Fault::new(self.mark, Rule::KeyedWithoutFields)),
            (Some(_), _) if !self.inline.is_empty() => {
                Err(Fault::new(self.inline, Rule::ContentAfterFields))
            }
            (Some(_), _) | (None, Kind::Array) => Ok(self),
        }
    }
}

/// What is gathered over all groups of a list.
#[derive(Default)]
struct Names<'s> {
    leaves: usize,
    depth: usize,
    cost: usize,
    duplicate: Option<&'s str>,
}

struct Reader<'s> {
    text: &'s str,
    at: usize,
    delimiter: Delimiter,
    names: Names<'s>,
}

impl<'s> Reader<'s> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, rule: Rule) -> Fault<'s> {
        Fault::new(&self.text[self.at..], rule)
    }

    /// `3]`, `3|]`, `3:]` or `3:|]`.
    fn length(&mut self) -> Result<(usize, Kind), Fault<'s>> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = &self.text[start..self.at];
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            return Err(Fault::new(&self.text[start..], Rule::BadLength));
        }
        // No scope holds that many, so its count stays unmet.
        let declared = digits.parse().unwrap_or(usize::MAX);
        let kind = if self.byte() == Some(b':') {
            self.at += 1;
            Kind::Keyed
        } else {
            Kind::Array
        };
        match self.byte() {
            Some(b'\t') => self.delimiter = Delimiter::Tab,
            Some(b'|') => self.delimiter = Delimiter::Pipe,
            Some(_) | None => {}
        }
        if self.delimiter != Delimiter::Comma {
            self.at += 1;
        }
        if self.byte() != Some(b']') {
            return Err(self.fault(Rule::BadLength));
        }
        self.at += 1;
        Ok((declared, kind))
    }

    fn fields(&mut self) -> Result<Option<Fields<'s>>, Fault<'s>> {
        if self.byte() != Some(b'{') {
            return Ok(None);
        }
        let open = &self.text[self.at..];
        let list = self.group(open, 1)?;
        let names = std::mem::take(&mut self.names);
        Ok(Some(Fields {
            list,
            leaves: names.leaves,
            depth: names.depth,
            cost: names.cost,
            duplicate: names.duplicate,
        }))
    }

    /// From an opening brace to behind the closing one.
    fn group(&mut self, open: &'s str, level: usize) -> Result<Vec<Field>, Fault<'s>> {
        if level > MAX_DEPTH {
            return Err(Fault::new(open, Rule::TooDeep { limit: MAX_DEPTH }));
        }
        self.names.depth = self.names.depth.max(level);
        self.names.cost += GROUP_COST;
        self.at += 1;
        let mut list = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (token, name) = self.field_name(open)?;
            self.names.cost += name.len();
            let children = self.children(token, level)?;
            if !seen.insert(name.clone()) {
                self.names.duplicate = self.names.duplicate.or(Some(token));
            }
            let name = name.into_owned();
            list.push(Field { name, children });
            if self.ends_group(open)? {
                return Ok(list);
            }
        }
    }

    fn field_name(&mut self, open: &'s str) -> Result<(&'s str, Cow<'s, str>), Fault<'s>> {
        self.skip_spaces();
        let bytes = self.text.as_bytes();
        let start = self.at;
        if self.byte() == Some(b'"') {
            let Some(end) = after_quoted(bytes, start) else {
                return Err(self.fault(Rule::UnterminatedString));
            };
            self.at = end;
            let token = &self.text[start..end];
            return Ok((token, quoted(token)?));
        }
        let ends = |byte| matches!(byte, b',' | b'\t' | b'|' | b'{' | b'}');
        self.at = seek(bytes, start, ends);
        match self.byte() {
            None => return Err(Fault::new(open, Rule::UnmatchedBrace)),
            Some(b'{' | b'}') => {}
            Some(byte) if byte == self.delimiter.byte() => {}
            Some(_) => {
                let declared = self.delimiter;
                return Err(self.fault(Rule::FieldDelimiter { declared }));
            }
        }
        let token = self.text[start..self.at].trim_end_matches(' ');
        if token.is_empty() {
            return Err(Fault::new(&self.text[start..], Rule::EmptyField));
        }
        if self.byte() == Some(b'{') && start + token.len() < self.at {
            return Err(self.fault(Rule::BrokenHeader));
        }
        Ok((token, Cow::Borrowed(token)))
    }

    fn children(&mut self, token: &'s str, level: usize) -> Result<Option<Vec<Field>>, Fault<'s>> {
        if self.byte() == Some(b'{') {
            let open = &self.text[self.at..];
            return Ok(Some(self.group(open, level + 1)?));
        }
        looked_at(token.len());
        self.names.leaves += 1;
        Ok(None)
    }

    /// Goes past what follows a field: a delimiter, or the end of its group.
    fn ends_group(&mut self, open: &'s str) -> Result<bool, Fault<'s>> {
        self.skip_spaces();
        let ends = match self.byte() {
            Some(b'}') => true,
            Some(byte) if byte == self.delimiter.byte() => false,
            None => return Err(Fault::new(open, Rule::UnmatchedBrace)),
            Some(b',' | b'\t' | b'|') => {
                let declared = self.delimiter;
                return Err(self.fault(Rule::FieldDelimiter { declared }));
            }
            Some(_) => return Err(self.fault(Rule::BrokenHeader)),
        };
        self.at += 1;
        Ok(ends)
    }

    fn skip_spaces(&mut self) {
        while self.byte() == Some(b' ') {
            self.at += 1;
        }
    }
}
