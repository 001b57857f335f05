//! Rows of the array tables `[[providers]]` and `[[models]]`.

use std::collections::BTreeMap;

use super::fingerprint::Fingerprint;
use super::keys::{Fallback, Key};
use super::node::{Entry, Node, Origin, Raw};
use super::problems::{Fault, Report};
use super::secret::HIDDEN;
use super::unknown;
use super::value::{Found, Value};
use super::{Setting, Sources};

/// One table of an array, its keys checked one by one.
#[derive(Debug)]
pub(super) struct Row {
    /// Such as `models[0]`.
    pub(super) path: String,
    /// Where the table starts.
    pub(super) origin: Origin,
    keys: &'static [Key],
    /// What was written, by the key's name; defaults are not in here.
    fields: BTreeMap<&'static str, Found>,
}

impl Row {
    /// The row number `index` of `section`, without any key set.
    pub(super) fn new(section: &str, index: usize, origin: Origin, keys: &'static [Key]) -> Self {
        Self {
            path: format!("{section}[{index}]"),
            origin,
            keys,
            fields: BTreeMap::new(),
        }
    }

    /// Sets a key that the caller has checked.
    pub(super) fn set(&mut self, name: &'static str, value: Value, origin: Origin) {
        self.fields.insert(name, Found { value, origin });
    }

    /// Path of one key of this row.
    pub(super) fn path_of(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }

    /// What was written for `name`.
    pub(super) fn written(&self, name: &str) -> Option<&Found> {
        self.fields.get(name)
    }

    /// What holds for `name`: what was written, or else the default.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        let written = self.written(name).map(|found| found.value.clone());
        written.or_else(|| self.default(name).map(|found| found.value))
    }

    /// What was written for `name`, a key that holds text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.written(name).map(|found| &found.value) {
            Some(Value::Text(text) | Value::Secret(text) | Value::Policy(text)) => Some(text),
            _ => None,
        }
    }

    /// Adds `fault` to the report, at the place of `name` or else of the row.
    pub(super) fn blame(&self, name: &str, fault: Fault, report: &mut Report) {
        let origin = self
            .written(name)
            .map_or(&self.origin, |found| &found.origin);
        report.add(origin, self.path_of(name), fault);
    }

    /// The settings in force in this row.
    pub(super) fn settings(&self, sources: &Sources<'_>) -> Vec<Setting> {
        self.keys
            .iter()
            .flat_map(|key| self.settings_of(key, sources))
            .collect()
    }

    fn settings_of(&self, key: &Key, sources: &Sources<'_>) -> Vec<Setting> {
        let found = self
            .written(key.name())
            .cloned()
            .or_else(|| self.default(key.name()));
        let Some(found) = found else {
            return Vec::new();
        };
        let path = self.path_of(key.name());
        if let Value::Headers(headers) = &found.value {
            let shown = |(name, item): &(String, super::value::Item)| Setting {
                path: format!("{path}.{name}"),
                value: HIDDEN.to_owned(),
                origin: item.origin.to_string(),
                fingerprint: Fingerprint::of_secret(&item.text, sources),
            };
            return headers.iter().map(shown).collect();
        }
        vec![Setting {
            path,
            value: found.value.shown(),
            origin: found.origin.to_string(),
            fingerprint: found.value.fingerprint(sources),
        }]
    }

    fn default(&self, name: &str) -> Option<Found> {
        self.keys
            .iter()
            .find(|key| key.name() == name)?
            .default_found()
    }

    fn fill(&mut self, section: &str, entries: &[Entry], report: &mut Report) {
        for entry in entries {
            let path = self.path_of(&entry.name);
            let Some(key) = self.keys.iter().find(|key| key.name() == entry.name) else {
                let fault = unknown::in_file(section, &entry.name, self.keys);
                report.add(&entry.origin, path, fault);
                continue;
            };
            match key.check(&entry.value) {
                Ok(value) => self.set(key.name(), value, entry.value.origin.clone()),
                Err(fault) => report.add(&entry.value.origin, path, fault),
            }
        }
        self.require(section, report);
    }

    fn require(&self, section: &str, report: &mut Report) {
        for key in self.keys {
            let Fallback::Required(example) = key.default else {
                continue;
            };
            let name = key.name();
            if self.written(name).is_none() && !report.concerns(&self.path_of(name)) {
                let fault = Fault::new(format!("missing; every [[{section}]] needs it"));
                self.blame(
                    name,
                    fault.help(format!("add a line such as {name} = {example}")),
                    report,
                );
            }
        }
    }
}

/// Reads the array table `section`.
pub(super) fn read(
    section: &'static str,
    node: &Node,
    keys: &'static [Key],
    report: &mut Report,
) -> Vec<Row> {
    let Raw::List(items) = &node.raw else {
        let fault = Fault::new(format!(
            "expected [[{section}]], found {}",
            node.raw.type_name()
        ));
        let help = format!("write [[{section}]] with two brackets, once for each");
        report.add(&node.origin, section, fault.help(help));
        return Vec::new();
    };
    let mut rows = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let mut row = Row::new(section, index, item.origin.clone(), keys);
        match &item.raw {
            Raw::Table(entries) => row.fill(section, entries, report),
            other => {
                let found = other.type_name();
                let fault = Fault::new(format!("expected a table [[{section}]], found {found}"));
                report.add(&item.origin, row.path.as_str(), fault);
            }
        }
        rows.push(row);
    }
    rows
}
