//! Blocks of context: what a prompt shows to the model and could do without.

use std::cell::OnceCell;

use serde::Deserialize;
use serde_json::Value;

use super::form::Form;
use crate::chunk::Chunk;
use crate::sentence::sentences;

/// Which part of a block is kept longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Its beginning.
    #[default]
    First,
    /// Its end, as of a conversation.
    Last,
}

impl Keep {
    /// All there are.
    #[cfg(test)]
    pub(super) const ALL: [Self; 2] = [Self::First, Self::Last];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
        }
    }
}

/// One block of context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What templates call it, behind `context.`.
    pub name: String,
    /// The parameter that it is made of.
    pub parameter: String,
    /// What is worth least is cut first.
    pub value: u32,
    /// In which form it is shown.
    pub form: Form,
    /// Which part is kept longest.
    pub keep: Keep,
    /// A field of the items: those with the largest number are kept longest.
    pub by: Option<String>,
    /// Whether it is never cut: its parameter is required.
    pub is_fixed: bool,
}

/// A block with what it is made of this time.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    pub(super) block: &'a Block,
    content: Content<'a>,
    /// Of the text that is cut inside.
    sentences: OnceCell<Vec<Chunk>>,
}

#[derive(Debug)]
enum Content<'a> {
    Nothing,
    Text(&'a str),
    Items {
        items: &'a [Value],
        /// Numbers of the items, in the order in which they are left out.
        leaving: Vec<usize>,
    },
    Whole(&'a Value),
}

/// What is left of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    pub(super) form: &'static str,
    pub(super) gone: Gone,
}

/// What was left out of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Gone {
    pub(super) items: usize,
    pub(super) of_items: usize,
    pub(super) characters: usize,
}

/// Stands where a text was cut.
const MARK: &str = "[…]";

impl<'a> Filling<'a> {
    pub(super) fn new(block: &'a Block, value: &'a Value) -> Self {
        let content = match value {
            Value::Null => Content::Nothing,
            Value::String(text) if text.trim().is_empty() => Content::Nothing,
            Value::String(text) => Content::Text(text),
            Value::Array(items) if items.is_empty() => Content::Nothing,
            Value::Array(items) => Content::Items {
                leaving: leaving(block, items),
                items,
            },
            Value::Object(fields) if fields.is_empty() => Content::Nothing,
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => Content::Whole(value),
        };
        Self {
            block,
            content,
            sentences: OnceCell::new(),
        }
    }

    /// Whether there is anything to show.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.content, Content::Nothing)
    }

    /// How often it can be cut: level 0 is all of it, the last level nothing.
    /// First whole items go; the last one, where it is a text, sentence by
    /// sentence.
    pub(super) fn levels(&self) -> usize {
        if self.block.is_fixed {
            return 0;
        }
        match &self.content {
            Content::Nothing => 0,
            Content::Text(_) => self.sentences().len().max(1),
            Content::Items { items, .. } => items.len() - 1 + self.sentences().len().max(1),
            Content::Whole(_) => 1,
        }
    }

    /// Sentences of the text, or of the item that is kept longest.
    fn sentences(&self) -> &[Chunk] {
        let text = match &self.content {
            Content::Text(text) => text,
            Content::Items { items, leaving } => {
                let last = leaving.last().and_then(|last| items[*last].as_str());
                last.unwrap_or_default()
            }
            Content::Nothing | Content::Whole(_) => "",
        };
        self.sentences.get_or_init(|| sentences(text))
    }

    /// What is shown at `level`; nothing at the last one.
    pub(super) fn at(&self, level: usize) -> Option<Shown> {
        if level > 0 && level >= self.levels() {
            return None;
        }
        let form = self.block.form;
        match &self.content {
            Content::Nothing => None,
            Content::Whole(value) => {
                let (text, form) = form.write(value);
                let gone = Gone::default();
                Some(Shown { text, form, gone })
            }
            Content::Text(text) => {
                let (text, characters) = self.without(text, level);
                let gone = Gone {
                    characters,
                    ..Gone::default()
                };
                let form = "text";
                Some(Shown { text, form, gone })
            }
            Content::Items { items, leaving } => {
                let out = level.min(items.len() - 1);
                let mut kept = leaving[out..].to_vec();
                kept.sort_unstable();
                let mut kept: Vec<Value> = kept.into_iter().map(|at| items[at].clone()).collect();
                let mut characters = 0;
                if let (inside @ 1.., [Value::String(text)]) = (level - out, &mut kept[..]) {
                    (*text, characters) = self.without(text, inside);
                }
                let (text, form) = form.write(&Value::Array(kept));
                let gone = Gone {
                    items: out,
                    of_items: items.len(),
                    characters,
                };
                Some(Shown { text, form, gone })
            }
        }
    }

    /// `text` without `count` sentences, and how many characters were cut.
    fn without(&self, text: &str, count: usize) -> (String, usize) {
        if count == 0 {
            return (text.to_owned(), 0);
        }
        let sentences = self.sentences();
        let kept = sentences.len() - count;
        let length = text.chars().count();
        match self.block.keep {
            Keep::First => {
                let end = sentences[kept - 1].end;
                let begin: String = text.chars().take(end).collect();
                (format!("{begin} {MARK}"), length - end)
            }
            Keep::Last => {
                let start = sentences[count].start;
                let rest: String = text.chars().skip(start).collect();
                (format!("{MARK} {rest}"), start)
            }
        }
    }

    /// What is gone when nothing is left.
    pub(super) fn everything(&self) -> Gone {
        let none = Gone::default();
        match &self.content {
            Content::Nothing => none,
            Content::Text(text) => Gone {
                characters: text.chars().count(),
                ..none
            },
            Content::Items { items, .. } => Gone {
                items: items.len(),
                of_items: items.len(),
                ..none
            },
            Content::Whole(_) => Gone {
                items: 1,
                of_items: 1,
                ..none
            },
        }
    }

    /// Everything that it is made of, as one text.
    pub(super) fn raw(&self) -> String {
        match &self.content {
            Content::Nothing => String::new(),
            Content::Text(text) => (*text).to_owned(),
            Content::Items { items, .. } => Value::from(items.to_vec()).to_string(),
            Content::Whole(value) => value.to_string(),
        }
    }

    /// About how many bytes its data has at each level; `bytes[level]`.
    pub(super) fn bytes(&self) -> Vec<usize> {
        let levels = self.levels();
        let mut bytes = vec![0; levels + 1];
        match &self.content {
            Content::Nothing => {}
            Content::Whole(value) => bytes[0] = value.to_string().len(),
            Content::Text(text) => {
                let sentences = self.sentences().len().max(1);
                for (level, bytes) in bytes.iter_mut().enumerate() {
                    *bytes = text.len() / sentences * sentences.saturating_sub(level);
                }
            }
            Content::Items { items, leaving } => {
                let mut left: usize = 0;
                for (out, at) in leaving.iter().enumerate().rev() {
                    left += items[*at].to_string().len();
                    if let Some(bytes) = bytes.get_mut(out) {
                        *bytes = left;
                    }
                }
            }
        }
        bytes
    }
}

/// In which order items are left out.
fn leaving(block: &Block, items: &[Value]) -> Vec<usize> {
    let mut order: Vec<usize> = match block.keep {
        Keep::First => (0..items.len()).rev().collect(),
        Keep::Last => (0..items.len()).collect(),
    };
    if let Some(by) = &block.by {
        let worth = |at: &usize| items[*at].get(by).and_then(Value::as_f64);
        let worth = |at: &usize| worth(at).unwrap_or(f64::NEG_INFINITY);
        order.sort_by(|one, other| worth(one).total_cmp(&worth(other)));
    }
    order
}

impl Gone {
    /// What a model is told about it.
    pub(super) fn said(&self) -> String {
        match self.items {
            0 if self.characters == 0 => String::new(),
            0 => format!("{} characters", self.characters),
            items => format!("{items} of {} items", self.of_items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn block(keep: Keep, by: Option<&str>) -> Block {
        Block {
            name: "b".to_owned(),
            parameter: "b".to_owned(),
            value: 1,
            form: Form::Json,
            keep,
            by: by.map(str::to_owned),
            is_fixed: false,
        }
    }

    fn shown(block: &Block, value: &Value) -> Vec<Option<String>> {
        let filling = Filling::new(block, value);
        let text = |level| filling.at(level).map(|shown| shown.text);
        (0..=filling.levels()).map(text).collect()
    }

    fn texts(all: &[&str]) -> Vec<Option<String>> {
        let some = all.iter().map(|text| Some((*text).to_owned()));
        some.chain([None]).collect()
    }

    #[test]
    fn whole_items_go_before_the_last_one_is_cut_at_sentence_ends() {
        let items = json!(["One. Two. Three.", "Four.", "Five."]);
        let first = texts(&[
            r#"["One. Two. Three.","Four.","Five."]"#,
            r#"["One. Two. Three.","Four."]"#,
            r#"["One. Two. Three."]"#,
            r#"["One. Two. […]"]"#,
            r#"["One. […]"]"#,
        ]);
        assert_eq!(shown(&block(Keep::First, None), &items), first);
        let last = texts(&[
            r#"["One. Two. Three.","Four.","Five."]"#,
            r#"["Four.","Five."]"#,
            r#"["Five."]"#,
        ]);
        assert_eq!(shown(&block(Keep::Last, None), &items), last);
    }

    #[test]
    fn a_text_is_cut_at_the_end_that_is_not_kept() {
        let text = json!("One. Two. Three.");
        let first = texts(&["One. Two. Three.", "One. Two. […]", "One. […]"]);
        assert_eq!(shown(&block(Keep::First, None), &text), first);
        let last = texts(&["One. Two. Three.", "[…] Two. Three.", "[…] Three."]);
        assert_eq!(shown(&block(Keep::Last, None), &text), last);
    }

    #[test]
    fn items_with_the_largest_number_stay_and_keep_their_order() {
        let items = json!([{"n": 1}, {"n": 3}, {"x": 0}, {"n": 2}]);
        let kept = texts(&[
            r#"[{"n":1},{"n":3},{"x":0},{"n":2}]"#,
            r#"[{"n":1},{"n":3},{"n":2}]"#,
            r#"[{"n":3},{"n":2}]"#,
            r#"[{"n":3}]"#,
        ]);
        assert_eq!(shown(&block(Keep::First, Some("n")), &items), kept);
    }

    #[test]
    fn what_is_fixed_or_empty_cannot_be_cut() {
        let fixed = Block {
            is_fixed: true,
            ..block(Keep::First, None)
        };
        assert_eq!(Filling::new(&fixed, &json!("One. Two.")).levels(), 0);
        let free = block(Keep::First, None);
        for nothing in [json!(null), json!(""), json!([]), json!({})] {
            let filling = Filling::new(&free, &nothing);
            assert_eq!((filling.levels(), filling.at(0)), (0, None));
        }
    }

    #[test]
    fn what_was_cut_is_counted() {
        let items = json!(["One. Two.", "Three."]);
        let free = block(Keep::First, None);
        let filling = Filling::new(&free, &items);
        let gone = filling.at(2).unwrap().gone;
        assert_eq!((gone.items, gone.of_items, gone.characters), (1, 2, 5));
        assert_eq!(gone.said(), "1 of 2 items");
    }
}
