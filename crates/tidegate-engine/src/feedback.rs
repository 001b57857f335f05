//! What people say of verdicts. A verdict's id holds what has to be known of
//! it, under a seal, so that none has to be kept until somebody speaks.

mod id;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::json;
use tidegate_guard::{Builtin, L2, Layer, Outcome, Policy};
use tidegate_store::{Expect, Records, Row, RowKey, StoreError, WriteError};

use crate::assemble::Engine;
use crate::caller::Caller;
use crate::store_key;
use id::{Facts, KEY_BYTES, open, rule_mark, seal};

/// What is said of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// What was found is none.
    FalsePositive,
    /// Something was not found.
    Missed,
    /// The verdict is right.
    Confirmed,
}

impl Label {
    /// The word of the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FalsePositive => "false_positive",
            Self::Missed => "missed",
            Self::Confirmed => "confirmed",
        }
    }
}

/// What was kept of somebody's word on a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// What was said.
    pub label: Label,
    /// What the verdict was.
    pub outcome: Outcome,
    /// The rules that were part of it and are in force still.
    pub rules: Vec<Arc<str>>,
    /// The policy that decided, where it is in force still.
    pub policy: Option<String>,
}

impl Feedback {
    /// What the verdict rests on: the classifier where nothing else was found.
    fn layer(&self) -> Layer {
        let layers = self.rules.iter().map(|rule| Layer::of(rule));
        layers.min().unwrap_or(Layer::L1)
    }
}

/// Why somebody's word on a verdict is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// It is no verdict of this gate on a text of this tenant, or an old one.
    #[error("no verdict of the last {} days has this id", KEPT.as_secs() / 86_400)]
    Unknown,
    /// What was not found cannot have been found by mistake.
    #[error("nothing was found in this verdict; say missed or confirmed of it")]
    NothingFound,
    /// The store cannot say, or somebody else speaks at the same time.
    #[error("the store cannot keep it now")]
    Unreachable,
}

impl From<StoreError> for FeedbackError {
    fn from(_: StoreError) -> Self {
        Self::Unreachable
    }
}

/// How long a word is kept, and how long a verdict can be spoken of.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// Stands for no rule.
const NO_RULE: &str = "none";
/// How often a word is written again because another was written meanwhile.
const MOST_CONFLICTS: usize = 4;

type Key = [u8; KEY_BYTES];

/// The key of the seals, and what was said so far. Outlives reloads.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The one that all nodes and all later processes have.
    shared: OnceLock<Key>,
    /// What stands for it while the store is away.
    own: OnceLock<Key>,
    counted: Mutex<BTreeMap<(Arc<str>, Label), u64>>,
}

impl Words {
    pub(crate) fn counts(&self) -> Vec<(Arc<str>, Label, u64)> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counted.iter();
        counts
            .map(|((rule, label), count)| (rule.clone(), *label, *count))
            .collect()
    }

    fn count(&self, feedback: &Feedback) {
        let none: [Arc<str>; 1] = [NO_RULE.into()];
        let rules = match feedback.label {
            // It is about what is not among them.
            Label::Missed => &none[..],
            Label::FalsePositive | Label::Confirmed if feedback.rules.is_empty() => &none[..],
            Label::FalsePositive | Label::Confirmed => &feedback.rules,
        };
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules {
            let key = (rule.clone(), feedback.label);
            *counted.entry(key).or_default() += 1;
        }
    }

    /// The key, which is asked for until the store has said it.
    async fn key(&self, records: &dyn Records) -> Key {
        if let Some(key) = self.shared.get() {
            return *key;
        }
        match shared_key(records).await {
            Some(key) => *self.shared.get_or_init(|| key),
            None => *self.own.get_or_init(new_key),
        }
    }

    /// The keys under which an id may have been sealed.
    async fn keys(&self, records: &dyn Records) -> Vec<Key> {
        let now = self.key(records).await;
        let mut keys = vec![now];
        keys.extend(self.own.get().filter(|own| **own != now));
        keys
    }
}

fn new_key() -> Key {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).expect("an operating system without randomness runs no gate");
    key
}

/// The key in the store; the first node that looks makes it.
async fn shared_key(records: &dyn Records) -> Option<Key> {
    let place = RowKey {
        table: "seal",
        owner: store_key::EVERYBODY,
        id: "verdict",
    };
    for _ in 0..MOST_CONFLICTS {
        if let Some(found) = records.get(place).await.ok()? {
            return Key::try_from(&found.value[..]).ok();
        }
        let key = new_key();
        let row = Row {
            value: &key,
            group: "",
            ttl: None,
        };
        match records.put(place, row, Expect::Absent).await {
            Ok(_) => return Some(key),
            Err(WriteError::Conflict) => {}
            Err(WriteError::Store(_)) => return None,
        }
    }
    None
}

impl Engine {
    /// An id for a verdict on a text of `caller`, by which it can be spoken of.
    /// Nothing is kept for it.
    pub async fn verdict_id(
        &self,
        caller: &Caller,
        outcome: Outcome,
        rules: &[Arc<str>],
        policy: &Policy,
    ) -> String {
        let records = &*self.rooms.store.records;
        let key = self.rooms.guard.words.key(records).await;
        let facts = Facts::new(SystemTime::now(), outcome, rules, policy);
        seal(&key, caller.tenant(), &facts)
    }

    /// Keeps what `caller` says of a verdict, in the place of what was said of
    /// it before.
    ///
    /// # Errors
    /// [`FeedbackError`]; nothing was kept then, or nobody knows.
    pub async fn feedback(
        &self,
        caller: &Caller,
        id: &str,
        label: Label,
    ) -> Result<Feedback, FeedbackError> {
        let records = &*self.rooms.store.records;
        let words = &self.rooms.guard.words;
        let keys = words.keys(records).await;
        let mut opened = keys.iter().filter_map(|key| open(key, caller.tenant(), id));
        let facts = opened.next().ok_or(FeedbackError::Unknown)?;
        let age = SystemTime::now().duration_since(facts.at);
        if age.is_ok_and(|age| age >= KEPT) {
            return Err(FeedbackError::Unknown);
        }
        let feedback = self.said(&facts, label);
        if label == Label::FalsePositive && facts.rules.is_empty() {
            return Err(FeedbackError::NothingFound);
        }
        if keep(records, caller.tenant(), id, &feedback).await? {
            words.count(&feedback);
        }
        Ok(feedback)
    }

    fn said(&self, facts: &Facts, label: Label) -> Feedback {
        let rules = self.rooms.guard.own.scanner.rules().iter();
        let rules = rules.map(|rule| rule.id.clone()).chain([L2::RULE.into()]);
        let rules = rules.filter(|rule| facts.rules.contains(&rule_mark(rule)));
        let builtin = Builtin::ALL.iter().map(|one| Policy::from(*one));
        let mut policies = builtin.chain(self.policies());
        let policy = policies.find(|policy| policy.version().starts_with(&facts.policy));
        Feedback {
            label,
            outcome: facts.outcome,
            rules: rules.collect(),
            policy: policy.map(|policy| policy.id().to_owned()),
        }
    }
}

/// Keeps a word; false where the same was said before.
async fn keep(
    records: &dyn Records,
    tenant: &str,
    id: &str,
    feedback: &Feedback,
) -> Result<bool, FeedbackError> {
    let name = blake3::hash(id.as_bytes()).to_hex();
    let place = RowKey {
        table: "feedback",
        owner: tenant,
        id: &name,
    };
    let label = feedback.label.as_str();
    let value = json!({
        "verdict_id": id,
        "label": label,
        "layer": feedback.layer().as_str(),
        "rules": feedback.rules.iter().map(|rule| &**rule).collect::<Vec<_>>(),
        "outcome": feedback.outcome.as_str(),
        "policy": feedback.policy,
    });
    let value = value.to_string();
    let row = Row {
        value: value.as_bytes(),
        group: label,
        ttl: Some(KEPT),
    };
    for _ in 0..MOST_CONFLICTS {
        let before = records.get(place).await?;
        let expect = match &before {
            Some(same) if same.group == label => return Ok(false),
            Some(other) => Expect::Version(other.version),
            None => Expect::Absent,
        };
        match records.put(place, row, expect).await {
            Ok(_) => return Ok(true),
            Err(WriteError::Conflict) => {}
            Err(WriteError::Store(error)) => return Err(error.into()),
        }
    }
    Err(FeedbackError::Unreachable)
}
