//! Grammars in text files: sections of names with alternatives.

use std::collections::BTreeMap;

use crate::order::Order;

/// One section: what each name may stand for.
#[derive(Debug)]
pub(crate) struct Section {
    /// The name in brackets.
    pub(crate) name: String,
    parts: BTreeMap<String, Vec<String>>,
}

/// Reads the sections of a file.
///
/// # Panics
///
/// When a line is none of the form: the files are part of this program.
pub(crate) fn sections(file: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let lines = file.lines().filter(|line| !line.is_empty());
    for line in lines.filter(|line| !line.starts_with("# ")) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            sections.push(Section {
                name: name.to_owned(),
                parts: BTreeMap::new(),
            });
            continue;
        }
        let (name, rest) = line
            .split_once(": ")
            .expect("a name, a colon, alternatives");
        let section = sections
            .last_mut()
            .expect("a section before the first name");
        let twice = section.parts.insert(name.to_owned(), alternatives(rest));
        assert!(twice.is_none(), "{name} stands twice in [{}]", section.name);
    }
    sections
}

/// Splits at bars that no backslash escapes; `\n` is a new line.
fn alternatives(rest: &str) -> Vec<String> {
    let marked = rest.replace("\\|", "\u{0}").replace("\\n", "\n");
    marked
        .split('|')
        .map(|part| part.replace('\u{0}', "|"))
        .collect()
}

impl Section {
    /// True for a language that puts no spaces between words.
    pub(crate) fn is_unspaced(&self) -> bool {
        matches!(self.name.as_str(), "zh" | "ja" | "th")
    }

    /// Each name with each of its alternatives.
    pub(crate) fn alternatives(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().flat_map(|(name, forms)| {
            let each = move |form| (name.as_str(), String::as_str(form));
            forms.iter().map(each)
        })
    }

    /// One text that a name stands for.
    pub(crate) fn draw(&self, name: &str, order: &mut Order) -> String {
        self.fill(name, ("", ""), order)
    }

    /// One text that a name stands for, in which one slot has a meaning already.
    pub(crate) fn fill(&self, name: &str, known: (&str, &str), order: &mut Order) -> String {
        let mut text = String::new();
        let mut rest = order.pick(self.forms(name)).as_str();
        while let Some((before, slot, after)) = next_slot(rest) {
            text.push_str(before);
            let name = slot.trim_end_matches('^');
            let meaning = if name == known.0 {
                known.1.to_owned()
            } else {
                self.draw(name, order)
            };
            if slot.ends_with('^') {
                text.push_str(&capitalized(&meaning));
            } else {
                text.push_str(&meaning);
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }

    fn forms(&self, name: &str) -> &[String] {
        let forms = self.parts.get(name);
        forms.unwrap_or_else(|| panic!("[{}] has no {name}", self.name))
    }
}

/// What an alternative says itself: the text between its slots.
pub(crate) fn literals(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, _, after)) = next_slot(rest) {
        found.push(before);
        rest = after;
    }
    found.push(rest);
    found
}

/// The next `{NAME}` or `{NAME^}`: what stands before it, it, and what follows.
fn next_slot(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find('{')?;
        let inner = &text[open + 1..];
        let length = inner
            .bytes()
            .take_while(|b| b.is_ascii_uppercase() || *b == b'^')
            .count();
        if length > 0 && inner[length..].starts_with('}') {
            return Some((&text[..open], &inner[..length], &inner[length + 1..]));
        }
        from = open + 1;
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_filled_and_other_braces_stay() {
        let sections = sections("# note\n[a]\nroot: {B^} {json} a\\|b\\n{B}\nB: cat\n");
        let text = sections[0].draw("root", &mut Order::new(1));
        assert_eq!(text, "Cat {json} a|b\ncat");
    }
}
