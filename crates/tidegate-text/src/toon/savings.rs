//! What a form of a value costs beside its JSON, and which form is the smallest.

use serde_json::Value;

use super::compact::{self, Abbreviations};
use super::error::EncodeError;
use super::options::EncodeOptions;
use super::{depth, encode::encode};
use crate::tokens::{Encoding, count};

/// What a value is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The standard.
    Toon,
    /// The dialect on one line.
    Compact,
    /// JSON without white space, where neither of the two pays.
    Json,
}

impl Dialect {
    /// All of them; of two that cost the same, the first is taken.
    pub const ALL: [Self; 3] = [Self::Json, Self::Toon, Self::Compact];

    /// The name of the dialect.
    pub fn name(self) -> &'static str {
        match self {
            Self::Toon => "toon",
            Self::Compact => "compact",
            Self::Json => "json",
        }
    }

    /// The dialect of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// How the dialects are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Style {
    /// Of TOON.
    pub options: EncodeOptions,
    /// Of the compact dialect.
    pub abbreviations: Abbreviations,
}

/// Writes a value in a dialect.
///
/// # Errors
/// [`EncodeError`] for a value that is nested too deeply.
pub fn write(value: &Value, dialect: Dialect, style: &Style) -> Result<String, EncodeError> {
    match dialect {
        Dialect::Toon => encode(value, &style.options),
        Dialect::Compact => compact::encode(value, &style.abbreviations),
        Dialect::Json => {
            depth::check(value)?;
            Ok(value.to_string())
        }
    }
}

/// Writes a value in the dialect that takes the fewest tokens.
///
/// # Errors
/// [`EncodeError`] for a value that is nested too deeply.
pub fn smallest(
    value: &Value,
    style: &Style,
    encoding: Encoding,
) -> Result<(Dialect, String), EncodeError> {
    let mut best: Option<(u64, Dialect, String)> = None;
    for dialect in Dialect::ALL {
        let text = write(value, dialect, style)?;
        let tokens = count(&text, encoding);
        if best.as_ref().is_none_or(|(fewest, _, _)| tokens < *fewest) {
            best = Some((tokens, dialect, text));
        }
    }
    let (_, dialect, text) = best.unwrap_or((0, Dialect::Json, String::new()));
    Ok((dialect, text))
}

/// What a text costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Its code points.
    pub chars: u64,
    /// Its tokens.
    pub tokens: u64,
}

impl Cost {
    /// The cost of a text.
    pub fn of(text: &str, encoding: Encoding) -> Self {
        Self {
            chars: text.chars().count() as u64,
            tokens: count(text, encoding),
        }
    }

    /// How many percent of the tokens of `other` this one does without; less
    /// than zero where it takes more.
    pub fn saved_percent(self, other: Self) -> f64 {
        if other.tokens == 0 {
            return 0.0;
        }
        100.0 * (1.0 - self.tokens as f64 / other.tokens as f64)
    }
}

/// What a text costs beside the JSON of the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savings {
    /// How tokens were counted.
    pub encoding: Encoding,
    /// The text.
    pub text: Cost,
    /// JSON without white space.
    pub json: Cost,
    /// JSON as people read it, indented by two spaces.
    pub json_pretty: Cost,
}

impl Savings {
    /// Compares a text with the JSON of the value that it holds.
    ///
    /// # Errors
    /// [`EncodeError`] for a value that is nested too deeply.
    pub fn of(text: &str, value: &Value, encoding: Encoding) -> Result<Self, EncodeError> {
        depth::check(value)?;
        Ok(Self {
            encoding,
            text: Cost::of(text, encoding),
            json: Cost::of(&value.to_string(), encoding),
            json_pretty: Cost::of(&format!("{value:#}"), encoding),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table(rows: usize) -> Value {
        let row = |number| json!({"id": number, "name": "boat", "gate": "open"});
        (0..rows).map(row).collect()
    }

    #[test]
    fn the_smallest_form_of_a_long_table_is_toon() {
        let value = table(20);
        let (dialect, text) = smallest(&value, &Style::default(), Encoding::O200kBase).unwrap();
        assert_eq!(dialect, Dialect::Toon);
        let savings = Savings::of(&text, &value, Encoding::O200kBase).unwrap();
        assert!(savings.text.tokens < savings.json.tokens);
        assert!(savings.json.tokens < savings.json_pretty.tokens);
        assert!(
            savings.text.saved_percent(savings.json) > 30.0,
            "{savings:?}"
        );
    }

    #[test]
    fn the_smallest_form_is_never_larger_than_any_other() {
        let style = Style::default();
        for value in [
            json!(null),
            json!("a"),
            json!({"feedback": {"id": "FB001", "risk_level": "High"}}),
            json!([[1, 2], [3, [4, {"a": {"b": {"c": {"d": 1}}}}]]]),
            table(3),
        ] {
            let (_, text) = smallest(&value, &style, Encoding::Cl100kBase).unwrap();
            for dialect in Dialect::ALL {
                let other = write(&value, dialect, &style).unwrap();
                let [own, other] = [&text, &other].map(|text| count(text, Encoding::Cl100kBase));
                assert!(own <= other, "{value}: {dialect:?}");
            }
        }
    }

    #[test]
    fn the_seed_example_costs_what_it_was_measured_to_cost() {
        let value = json!({"feedback": {
            "id": "FB001",
            "description": "Timeline missing timestamps",
            "category": "Timeline",
            "risk_level": "Medium",
            "confidence": 0.85,
        }});
        let tokens = |text: &str| count(text, Encoding::O200kBase);
        let of = |dialect| tokens(&write(&value, dialect, &Style::default()).unwrap());
        assert_eq!(of(Dialect::Compact), 28);
        assert_eq!(of(Dialect::Json), 29);
        assert_eq!(of(Dialect::Toon), 33);
        assert_eq!(tokens(&format!("{value:#}")), 50);
        let (least, _) = smallest(&value, &Style::default(), Encoding::O200kBase).unwrap();
        assert_eq!(least, Dialect::Compact);
    }

    #[test]
    fn nothing_is_saved_of_nothing() {
        let none = Cost {
            chars: 0,
            tokens: 0,
        };
        assert_eq!(none.saved_percent(none), 0.0);
    }
}
