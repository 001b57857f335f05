//! Lays file, environment and flags over the defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::keys::Key;
use super::node::{Entry, Origin, Raw};
use super::problems::{Fault, Report};
use super::rows::{self, Row};
use super::sections::{ARRAY_TABLES, KEYS, SECTIONS};
use super::unknown::{self, join};
use super::value::{Found, Threshold, Value};
use super::{Setting, Sources, env, file};

/// All layers merged, each value checked alone.
pub(super) struct Layers {
    pub(super) scalars: Scalars,
    pub(super) providers: Vec<Row>,
    pub(super) models: Vec<Row>,
    pub(super) keys: Vec<Row>,
    pub(super) task_kinds: Vec<Row>,
    pub(super) schedules: Vec<Row>,
    pub(super) webhooks: Vec<Row>,
}

impl Layers {
    /// Reads all sources; a value with a problem leaves the weaker one in place.
    pub(super) fn read(sources: &Sources<'_>, report: &mut Report) -> Self {
        let scalars = Scalars::defaults();
        let mut layers = Self {
            scalars,
            providers: Vec::new(),
            models: Vec::new(),
            keys: Vec::new(),
            task_kinds: Vec::new(),
            schedules: Vec::new(),
            webhooks: Vec::new(),
        };
        if let Some((name, text)) = &sources.file {
            let entries = file::read(name, text, report);
            layers.read_table("", &entries, report);
        }
        env::read(sources, &mut layers.scalars, report);
        layers.read_flags(&sources.flags, report);
        layers
    }

    /// Every setting in force, in the order of the table.
    pub(super) fn settings(&self, sources: &Sources<'_>) -> Vec<Setting> {
        let scalar = |key: &Key| {
            let found = self.scalars.found(key.path);
            let (value, origin) = (found.value.shown(), found.origin.to_string());
            Setting {
                path: key.path.to_owned(),
                fingerprint: found.value.fingerprint(sources),
                value,
                origin,
            }
        };
        let rows = self
            .providers
            .iter()
            .chain(&self.models)
            .chain(&self.keys)
            .chain(&self.task_kinds)
            .chain(&self.schedules)
            .chain(&self.webhooks)
            .flat_map(|row| row.settings(sources));
        KEYS.iter().map(scalar).chain(rows).collect()
    }

    fn read_table(&mut self, section: &str, entries: &[Entry], report: &mut Report) {
        for entry in entries {
            self.read_entry(section, entry, report);
        }
    }

    fn read_entry(&mut self, section: &str, entry: &Entry, report: &mut Report) {
        let path = join(section, &entry.name);
        if let Some(key) = KEYS.iter().find(|key| key.path == path) {
            match key.check(&entry.value) {
                Ok(value) => self.scalars.set(key, value, entry.value.origin.clone()),
                Err(fault) => report.add(&entry.value.origin, path, fault),
            }
        } else if let Some((section, keys)) = ARRAY_TABLES.iter().find(|(name, _)| *name == path) {
            let rows = rows::read(section, &entry.value, keys, report);
            match *section {
                "providers" => self.providers = rows,
                "keys" => self.keys = rows,
                "task_kinds" => self.task_kinds = rows,
                "schedules" => self.schedules = rows,
                "webhooks" => self.webhooks = rows,
                _ => self.models = rows,
            }
        } else if SECTIONS.iter().any(|(known, _)| *known == path) {
            match &entry.value.raw {
                Raw::Table(inner) => self.read_table(&path, inner, report),
                other => {
                    let found = other.type_name();
                    let fault = Fault::new(format!("expected the table [{path}], found {found}"));
                    report.add(&entry.value.origin, path, fault);
                }
            }
        } else {
            let fault = unknown::in_file(section, &entry.name, KEYS);
            report.add(&entry.origin, path, fault);
        }
    }

    fn read_flags(&mut self, flags: &[(String, String)], report: &mut Report) {
        for (path, text) in flags {
            let origin = Origin::Flag(path.clone());
            if let Err(fault) = self.scalars.set_text(path, text, &origin, str::to_owned) {
                report.add(&origin, path.as_str(), fault);
            }
        }
    }
}

/// The settings outside array tables; each key of the table has a value.
pub(super) struct Scalars(BTreeMap<&'static str, Found>);

impl Scalars {
    fn defaults() -> Self {
        let default = |key: &'static Key| Some((key.path, key.default_found()?));
        Self(KEYS.iter().filter_map(default).collect())
    }

    fn set(&mut self, key: &Key, value: Value, origin: Origin) {
        self.0.insert(key.path, Found { value, origin });
    }

    /// Sets `path` from text; `spell` is how the source spells paths.
    pub(super) fn set_text(
        &mut self,
        path: &str,
        text: &str,
        origin: &Origin,
        spell: fn(&str) -> String,
    ) -> Result<(), Fault> {
        let key = KEYS.iter().find(|key| key.path == path);
        let key = key.ok_or_else(|| unknown::outside_file(path, spell))?;
        let value = key.check_text(text)?;
        self.set(key, value, origin.clone());
        Ok(())
    }

    /// Sets `path` again, from the same origin.
    pub(super) fn replace(&mut self, path: &str, value: Value) {
        if let Some(found) = self.0.get_mut(path) {
            found.value = value;
        }
    }

    /// The value of `path` and its origin.
    pub(super) fn found(&self, path: &str) -> &Found {
        self.0
            .get(path)
            .expect("every key of the table has a default")
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        match self.found(path).value {
            Value::Flag(flag) => flag,
            ref other => mismatch(path, other),
        }
    }

    pub(super) fn integer<T: TryFrom<u64>>(&self, path: &str) -> T {
        match self.found(path).value {
            Value::Integer(integer) => T::try_from(integer)
                .ok()
                .expect("the key's range fits the field's type"),
            ref other => mismatch(path, other),
        }
    }

    pub(super) fn millis(&self, path: &str) -> Duration {
        Duration::from_millis(self.integer(path))
    }

    pub(super) fn share(&self, path: &str) -> f64 {
        match self.found(path).value {
            Value::Share(share) => share,
            ref other => mismatch(path, other),
        }
    }

    pub(super) fn threshold(&self, path: &str) -> Threshold {
        match self.found(path).value {
            Value::Threshold(threshold) => threshold,
            ref other => mismatch(path, other),
        }
    }

    pub(super) fn address(&self, path: &str) -> SocketAddr {
        match self.found(path).value {
            Value::Address(address) => address,
            ref other => mismatch(path, other),
        }
    }

    pub(super) fn names(&self, path: &str) -> Vec<String> {
        match &self.found(path).value {
            Value::Names(names) => names.clone(),
            other => mismatch(path, other),
        }
    }

    pub(super) fn database(&self, path: &str) -> Option<u16> {
        match self.found(path).value {
            Value::Database(number) => number,
            ref other => mismatch(path, other),
        }
    }

    pub(super) fn word(&self, path: &str) -> &str {
        match &self.found(path).value {
            Value::Text(word) | Value::Policy(word) => word,
            other => mismatch(path, other),
        }
    }
}

/// A field asks for another type than its key's kind: a mistake in this module
/// that every test of the defaults meets.
fn mismatch(path: &str, value: &Value) -> ! {
    unreachable!("{path} is not of the kind of {value:?}")
}
