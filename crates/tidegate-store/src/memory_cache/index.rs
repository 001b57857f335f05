//! Which values a demand to forget takes, found without looking at the others.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::entry::Entry;
use crate::cache::{Name, Selector};

/// All values that are held, by owner.
#[derive(Debug, Default)]
pub(super) struct Index {
    owners: HashMap<Arc<str>, Owned>,
}

/// What one owner holds. A range of keys is a range here, so a prefix costs no
/// more than what it takes.
#[derive(Debug, Default)]
struct Owned {
    by_key: BTreeMap<ByKey, Arc<Entry>>,
    by_label: BTreeMap<(Label, u64), Arc<Entry>>,
}

/// A name in the order of its key.
#[derive(Debug, PartialEq, Eq)]
struct ByKey(Arc<Name>);

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (&self.0, &other.0);
        (&one.key, one.namespace).cmp(&(&other.key, other.namespace))
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A tag or a domain, shared by the index and the values that carry it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Tag(Arc<str>),
    Domain(Arc<str>),
}

impl Label {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Tag(text) | Self::Domain(text) => text.len(),
        }
    }
}

/// How far a demand has been carried out among one owner's values.
#[derive(Debug, Clone, Default)]
pub(super) enum Cursor {
    #[default]
    Start,
    AfterKey(Arc<Name>),
    AfterId(u64),
    End,
}

/// Values that are looked at in one go, while everybody waits.
const STEP: usize = 256;

impl Index {
    /// Adds a value; the one of the same name leaves.
    pub(super) fn add(&mut self, entry: &Arc<Entry>) {
        if !self.owners.contains_key(entry.name.owner.as_str()) {
            let owner = entry.name.owner.as_str().into();
            self.owners.insert(owner, Owned::default());
        }
        let Some(owned) = self.owners.get_mut(entry.name.owner.as_str()) else {
            return;
        };
        // The map keeps the key that it has, and with it the old name alive.
        let key = ByKey(entry.name.clone());
        let before = owned.by_key.remove(&key);
        owned.by_key.insert(key, entry.clone());
        if let Some(before) = before {
            owned.unlabel(&before);
        }
        for label in &entry.labels {
            let place = (label.clone(), entry.id);
            owned.by_label.insert(place, entry.clone());
        }
    }

    /// Removes a value, unless another one has taken its name.
    pub(super) fn remove(&mut self, entry: &Entry) {
        let Some(owned) = self.owners.get_mut(entry.name.owner.as_str()) else {
            return;
        };
        let key = ByKey(entry.name.clone());
        if owned
            .by_key
            .get(&key)
            .is_none_or(|held| held.id != entry.id)
        {
            return;
        }
        owned.by_key.remove(&key);
        owned.unlabel(entry);
        if owned.by_key.is_empty() {
            self.owners.remove(entry.name.owner.as_str());
        }
    }

    /// This owner, or all of them.
    pub(super) fn owners(&self, owner: Option<&str>) -> Vec<Arc<str>> {
        match owner {
            Some(owner) => {
                let known = self.owners.get_key_value(owner);
                known.map(|(owner, _)| owner.clone()).into_iter().collect()
            }
            None => self.owners.keys().cloned().collect(),
        }
    }

    /// The next values of an owner that a demand takes; the cursor moves on.
    pub(super) fn next(
        &self,
        owner: &str,
        what: &Selector,
        cursor: &mut Cursor,
    ) -> Vec<Arc<Entry>> {
        let Some(owned) = self.owners.get(owner) else {
            *cursor = Cursor::End;
            return Vec::new();
        };
        match what {
            Selector::Key(key) => owned.by_key(cursor, key, |name| name.key == *key, |_| true),
            Selector::Prefix(prefix) => {
                let within = |name: &Name| name.key.starts_with(prefix.as_str());
                owned.by_key(cursor, prefix, within, |_| true)
            }
            Selector::Namespace(namespace) => {
                owned.by_key(cursor, "", |_| true, |name| name.namespace == namespace)
            }
            Selector::Tag(tag) => owned.by_label(cursor, &Label::Tag(tag.as_str().into())),
            Selector::Domain(domain) => {
                owned.by_label(cursor, &Label::Domain(domain.as_str().into()))
            }
        }
    }
}

impl Owned {
    fn unlabel(&mut self, entry: &Entry) {
        for label in &entry.labels {
            self.by_label.remove(&(label.clone(), entry.id));
        }
    }

    /// Walks on from `first` for as long as names are within, and picks some.
    fn by_key(
        &self,
        cursor: &mut Cursor,
        first: &str,
        within: impl Fn(&Name) -> bool,
        picked: impl Fn(&Name) -> bool,
    ) -> Vec<Arc<Entry>> {
        let from = match &*cursor {
            Cursor::AfterKey(name) => Bound::Excluded(ByKey(name.clone())),
            Cursor::Start => Bound::Included(ByKey(Arc::new(Name {
                owner: String::new(),
                namespace: "",
                key: first.to_owned(),
            }))),
            Cursor::AfterId(_) | Cursor::End => return Vec::new(),
        };
        let mut found = Vec::new();
        let mut last = None;
        let walk = self.by_key.range((from, Bound::Unbounded));
        let walk = walk.take_while(|(key, _)| within(&key.0)).take(STEP);
        for (count, (key, entry)) in walk.enumerate() {
            if picked(&key.0) {
                found.push(entry.clone());
            }
            last = (count + 1 == STEP).then(|| key.0.clone());
        }
        *cursor = last.map_or(Cursor::End, Cursor::AfterKey);
        found
    }

    fn by_label(&self, cursor: &mut Cursor, label: &Label) -> Vec<Arc<Entry>> {
        let from = match cursor {
            Cursor::Start => Bound::Included((label.clone(), 0)),
            Cursor::AfterId(id) => Bound::Excluded((label.clone(), *id)),
            Cursor::AfterKey(_) | Cursor::End => return Vec::new(),
        };
        let walk = self.by_label.range((from, Bound::Unbounded));
        let walk = walk.take_while(|((held, _), _)| held == label).take(STEP);
        let found: Vec<_> = walk.map(|(_, entry)| entry.clone()).collect();
        *cursor = match found.last() {
            Some(last) if found.len() == STEP => Cursor::AfterId(last.id),
            Some(_) | None => Cursor::End,
        };
        found
    }
}
