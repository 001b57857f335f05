//! One text of a template, where it stands in its pack, and what it may hold.

use std::collections::HashSet;

use toml::Spanned;

use super::error::PromptProblem;
use super::sandbox;

/// A template's text and the line of its first line in the pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) line: usize,
}

/// Statements of a prompt. What is left out either keeps values (`set`, `macro`)
/// and could grow them without end, or reaches for other templates.
const STATEMENTS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "include"];

impl Piece {
    /// A text of the pack `source`.
    pub(super) fn of(source: &str, text: &Spanned<String>) -> Self {
        let start = text.span().start;
        // The first line break after the quotes is not part of the text.
        let literal = source.get(start..).unwrap_or_default();
        let opened = ["'''\n", "'''\r\n", "\"\"\"\n", "\"\"\"\r\n"];
        let skipped = opened.iter().any(|quotes| literal.starts_with(quotes));
        Self {
            text: text.get_ref().clone(),
            line: super::load::line_of(source, start) + usize::from(skipped),
        }
    }

    /// The line in the pack of a line of the text, both from 1.
    pub(super) fn line_in_pack(&self, line: usize) -> usize {
        self.line + line.saturating_sub(1)
    }

    /// The line in the pack where `word` first stands.
    pub(super) fn line_of_word(&self, word: &str) -> usize {
        let at = self.text.find(word).unwrap_or(0);
        self.line_in_pack(self.text[..at].matches('\n').count() + 1)
    }

    /// Whether it is a template, and one of a prompt.
    ///
    /// # Errors
    ///
    /// The line in the pack, and what is wrong there.
    pub(super) fn check(&self) -> Result<(), (usize, PromptProblem)> {
        let tags = tags(&self.text);
        for tag in &tags {
            let line = self.line_in_pack(tag.line);
            if tag.code.contains('*') {
                return Err((line, PromptProblem::Product));
            }
            let word: String = tag.code.chars().take_while(|c| is_word(*c)).collect();
            if tag.is_statement && !STATEMENTS.contains(&word.as_str()) {
                return Err((line, PromptProblem::Statement(word)));
            }
        }
        sandbox::syntax(&self.text)
            .map_err(|(line, reason)| (self.line_in_pack(line), PromptProblem::Source(reason)))
    }

    /// Variables that it looks up, with one level of what it reads of them.
    pub(super) fn variables(&self) -> HashSet<String> {
        sandbox::variables(&self.text)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The inside of `{{ }}` or `{% %}` without its strings.
struct Tag {
    line: usize,
    is_statement: bool,
    code: String,
}

/// Every place where a tag begins, comments aside. A tag that the engine would
/// not see (inside of a string that holds braces) is listed too: too much is
/// refused rather than too little.
fn tags(text: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find('{') {
        let start = at + found;
        let rest = &text[start + 1..];
        if let Some(comment) = rest.strip_prefix('#') {
            at = comment
                .find("#}")
                .map_or(text.len(), |end| start + 2 + end + 2);
            continue;
        }
        at = start + 1;
        let Some(inside) = rest.strip_prefix(['{', '%']) else {
            continue;
        };
        tags.push(Tag {
            line: text[..start].matches('\n').count() + 1,
            is_statement: rest.starts_with('%'),
            code: code(inside),
        });
        at = start + 2;
    }
    tags
}

/// Up to the end of the tag, without white space at the start and what stands
/// between quotes.
fn code(inside: &str) -> String {
    let inside = inside.trim_start_matches(['-', '+']).trim_start();
    let mut code = String::new();
    let mut quote = None;
    let mut chars = inside.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(_) if c == '\\' => {
                chars.next();
            }
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if (c == '}' || c == '%') && chars.peek() == Some(&'}') => break,
            None => code.push(c),
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str) -> Piece {
        Piece {
            text: text.to_owned(),
            line: 10,
        }
    }

    #[track_caller]
    fn refused(text: &str, line: usize, problem: PromptProblem) {
        assert_eq!(piece(text).check(), Err((line, problem)), "{text}");
    }

    #[test]
    fn conditions_loops_and_includes_are_all_there_is() {
        let good = "{% if a %}x{% elif b %}y{% else %}{% for c in d %}{{ c }}{% endfor %}{% endif %}{%- include 'p' -%}";
        assert_eq!(piece(good).check(), Ok(()));
        for word in [
            "set", "macro", "import", "extends", "block", "with", "raw", "call", "do",
        ] {
            let text = format!("one\n{{%- {word} x = 1 %}}");
            refused(&text, 11, PromptProblem::Statement(word.to_owned()));
        }
    }

    #[test]
    fn a_statement_between_statements_or_in_a_loop_is_found() {
        refused(
            "{% if a %}{{ b }}\n\n{%+ set c = a ~ a %}{% endif %}",
            12,
            PromptProblem::Statement("set".to_owned()),
        );
        assert_eq!(piece("{# {% set a = 1 %} #}x").check(), Ok(()));
        assert_eq!(piece("100 % of {a: 1} and {").check(), Ok(()));
    }

    #[test]
    fn a_product_is_refused_and_a_star_in_words_is_not() {
        refused("{{ 'x' * 1000000 }}", 10, PromptProblem::Product);
        refused("{% if a ** 9 %}{% endif %}", 10, PromptProblem::Product);
        assert_eq!(piece("* {{ '*' }} **bold**").check(), Ok(()));
    }

    #[test]
    fn what_is_no_template_is_refused_with_its_line() {
        let (line, problem) = piece("one\ntwo {{ a b }}").check().unwrap_err();
        assert_eq!(line, 11);
        assert!(matches!(problem, PromptProblem::Source(_)), "{problem}");
        assert!(piece("{% if a %}").check().is_err());
    }
}
