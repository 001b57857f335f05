//! JSON that is carried and not looked into.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One JSON value, byte for byte as it came. Two are equal when they mean the
/// same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Json(Box<RawValue>);

impl Json {
    /// The value that `text` is, if it is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// As it came.
    pub(crate) fn as_str(&self) -> &str {
        self.0.get()
    }

    /// True for an object.
    pub(crate) fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }

    /// The number, if it is one that fits.
    pub(crate) fn as_f64(&self) -> Option<f64> {
        serde_json::from_str(self.as_str()).ok()
    }
}

impl From<&serde_json::Value> for Json {
    fn from(value: &serde_json::Value) -> Self {
        Self::parse(&value.to_string()).expect("a value is always valid JSON")
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        let read = |json: &Self| serde_json::from_str::<serde_json::Value>(json.as_str()).ok();
        self.as_str() == other.as_str() || read(self) == read(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_means_the_same_value_and_printing_means_the_same_bytes() {
        let (tight, loose) = (Json::parse(r#"{"a":1}"#), Json::parse("{ \"a\" : 1 }"));
        assert_eq!(tight, loose);
        assert_ne!(tight, Json::parse(r#"{"a":2}"#));
        let huge = Json::parse("123456789012345678901234567890").unwrap();
        assert_eq!(serde_json::to_string(&huge).unwrap(), huge.as_str());
    }
}
