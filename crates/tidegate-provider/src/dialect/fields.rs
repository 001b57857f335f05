//! Reading an object field by field, so that none is overlooked.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::json::Json;
use super::refusal::Refusal;
use crate::raw::RawObject;

/// The fields of one object that have not been read yet. A field that is null
/// counts as absent.
///
/// Whoever reads an object ends with [`Fields::end`], which refuses whatever
/// is left: that is how an unknown field becomes an error and not a loss.
#[derive(Debug)]
pub(crate) struct Fields {
    raw: RawObject,
    path: String,
}

impl Fields {
    /// The fields of `raw`, which stands at `path` (empty for the body).
    pub(crate) fn new(raw: RawObject, path: impl Into<String>) -> Self {
        Self {
            raw,
            path: path.into(),
        }
    }

    /// The fields of `json`, which must be an object.
    pub(crate) fn read(json: &Json, path: impl Into<String>) -> Result<Self, Refusal> {
        let path = path.into();
        let body = Bytes::copy_from_slice(json.as_str().as_bytes());
        match RawObject::parse(&body) {
            Ok(raw) => Ok(Self { raw, path }),
            Err(_) => Err(Refusal::invalid(path, "an object")),
        }
    }

    /// The full name of `key`, such as `messages[2].role`.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Takes a field that may be absent or null.
    pub(crate) fn take<T: DeserializeOwned>(
        &mut self,
        key: &str,
        expected: &'static str,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.raw.remove(key).filter(|value| value != "null") else {
            return Ok(None);
        };
        serde_json::from_slice(&value)
            .map(Some)
            .map_err(|_| Refusal::invalid(self.path_of(key), expected))
    }

    /// Takes a field that must be there.
    pub(crate) fn require<T: DeserializeOwned>(
        &mut self,
        key: &str,
        expected: &'static str,
    ) -> Result<T, Refusal> {
        self.take(key, expected)?
            .ok_or_else(|| Refusal::invalid(self.path_of(key), expected))
    }

    /// Takes an object that may be absent or null.
    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, Refusal> {
        let path = self.path_of(key);
        match self.take::<Json>(key, "an object")? {
            Some(json) => Self::read(&json, path).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a list that may be absent or null, each item with its path.
    pub(crate) fn list(&mut self, key: &str) -> Result<Vec<(String, Json)>, Refusal> {
        let path = self.path_of(key);
        let items: Vec<Json> = self.take(key, "a list")?.unwrap_or_default();
        let named = |(index, item)| (format!("{path}[{index}]"), item);
        Ok(items.into_iter().enumerate().map(named).collect())
    }

    /// Refuses the first field that nobody took; `by` is the kind of upstream
    /// that it cannot be said to.
    pub(crate) fn end(self, by: &'static str) -> Result<(), Refusal> {
        let left = self.raw.iter().find(|(_, value)| *value != "null");
        match left {
            None => Ok(()),
            Some((key, _)) => Err(Refusal::unsupported(self.path_of(key), by)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::read(&Json::parse(text).unwrap(), "messages[1]").unwrap()
    }

    #[test]
    fn what_nobody_took_is_refused_by_its_full_name() {
        let mut all = fields(r#"{"role":"user","name":"x","note":null}"#);
        assert_eq!(all.require::<String>("role", "a string").unwrap(), "user");
        let refusal = all.end("an Anthropic model").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "messages[1].name cannot be said to an Anthropic model"
        );
    }

    #[test]
    fn a_wrong_field_and_a_missing_one_say_what_is_expected() {
        let refusal = |text: &str| {
            let taken = fields(text).require::<String>("role", "a string");
            taken.unwrap_err().to_string()
        };
        assert_eq!(
            refusal(r#"{"role":7}"#),
            "messages[1].role must be a string"
        );
        assert_eq!(refusal("{}"), "messages[1].role must be a string");
    }

    #[test]
    fn null_is_absent() {
        assert!(fields(r#"{"a":null}"#).end("x").is_ok());
        assert_eq!(
            fields(r#"{"a":null}"#).take::<u64>("a", "a number"),
            Ok(None)
        );
    }
}
