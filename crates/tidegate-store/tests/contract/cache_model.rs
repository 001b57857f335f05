//! Random loads and demands to forget, against a model.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tidegate_store::{Cache, Keep, Load, Name, Selector};

use crate::cache_home::CacheHome;
use crate::caching::{LONG, get, keep, name};

const OWNERS: [&str; 3] = ["a", "ab", "b"];
const NAMESPACES: [&str; 2] = ["answer", "scan"];
const KEYS: [&str; 3] = ["k", "kl", "m"];
const LABELS: [&str; 2] = ["x", "y"];

#[derive(Debug, Clone)]
enum Step {
    /// Begins a load in a slot.
    Begin(usize, Name),
    /// Puts in what is loaded in a slot.
    Put(usize, Keep),
    Forget(Option<&'static str>, Selector),
    Get(Name),
}

fn names() -> impl Strategy<Value = Name> {
    (0..OWNERS.len(), 0..NAMESPACES.len(), 0..KEYS.len())
        .prop_map(|(owner, kind, key)| name(OWNERS[owner], NAMESPACES[kind], KEYS[key]))
}

fn keeps() -> impl Strategy<Value = Keep> {
    let tags = prop::collection::vec(prop::sample::select(&LABELS[..]), 0..3);
    let domain = prop::option::of(prop::sample::select(&LABELS[..]));
    (tags, domain).prop_map(|(tags, domain)| keep(LONG, &tags, domain))
}

fn selectors() -> impl Strategy<Value = Selector> {
    let key = prop::sample::select(&KEYS[..]);
    let label = prop::sample::select(&LABELS[..]);
    let namespace = prop::sample::select(&NAMESPACES[..]);
    prop_oneof![
        key.clone().prop_map(|key| Selector::Key(key.into())),
        key.prop_map(|key| Selector::Prefix(key.into())),
        label.clone().prop_map(|tag| Selector::Tag(tag.into())),
        label.prop_map(|domain| Selector::Domain(domain.into())),
        namespace.prop_map(|namespace| Selector::Namespace(namespace.into())),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let owner = prop::option::of(prop::sample::select(&OWNERS[..]));
    let step = prop_oneof![
        4 => (0..4usize, names()).prop_map(|(slot, name)| Step::Begin(slot, name)),
        4 => (0..4usize, keeps()).prop_map(|(slot, keep)| Step::Put(slot, keep)),
        2 => (owner, selectors()).prop_map(|(owner, what)| Step::Forget(owner, what)),
        4 => names().prop_map(Step::Get),
    ];
    prop::collection::vec(step, 1..60)
}

fn takes(owner: Option<&str>, what: &Selector, name: &Name, keep: &Keep) -> bool {
    owner.is_none_or(|owner| owner == name.owner)
        && match what {
            Selector::Key(key) => name.key == *key,
            Selector::Prefix(prefix) => name.key.starts_with(prefix),
            Selector::Tag(tag) => keep.tags.contains(tag),
            Selector::Domain(domain) => keep.domain.as_ref() == Some(domain),
            Selector::Namespace(namespace) => name.namespace == namespace,
        }
}

/// What ought to be there, and what was ever forgotten.
#[derive(Default)]
struct Model {
    values: HashMap<Name, (String, Keep)>,
    forgotten: Vec<(Option<&'static str>, Selector)>,
    loads: HashMap<usize, (Load, usize)>,
    next: u32,
}

impl Model {
    async fn step(&mut self, home: CacheHome, cache: &dyn Cache, step: Step) {
        match step {
            Step::Begin(slot, name) => {
                let load = cache.begin(&name).await;
                self.loads.insert(slot, (load, self.forgotten.len()));
            }
            Step::Put(slot, keep) => {
                let Some((load, since)) = self.loads.remove(&slot) else {
                    return;
                };
                let (name, value) = (load.name.clone(), self.next.to_string());
                self.next += 1;
                cache.put(load, value.clone().into(), &keep).await;
                let mut later = self.forgotten[since..].iter();
                if !later.any(|(owner, what)| takes(*owner, what, &name, &keep)) {
                    self.values.insert(name, (value, keep));
                }
            }
            Step::Forget(owner, what) => {
                let taken = self
                    .values
                    .extract_if(|name, (_, keep)| takes(owner, &what, name, keep));
                let taken: Vec<Name> = taken.map(|(name, _)| name).collect();
                let mut expected = 0;
                for name in &taken {
                    // Redis keeps nothing that it did not acknowledge in time.
                    expected += u64::from(home.is_exact() || get(cache, name).await.is_some());
                }
                let removed = cache.invalidate(owner, &what).await.expect("it is done");
                // Redis may also take what once carried the label.
                assert!(removed >= expected, "{removed} of {expected} by {what:?}");
                assert!(removed == expected || !home.is_exact());
                self.forgotten.push((owner, what));
            }
            Step::Get(name) => {
                let (found, expected) = (get(cache, &name).await, self.values.get(&name));
                let expected = expected.map(|(value, _)| value.clone());
                if home.is_exact() || found.is_some() {
                    assert_eq!(found, expected, "{name:?}");
                }
            }
        }
    }
}

/// Starts the model over without asking for a new home.
async fn empty(cache: &dyn Cache) {
    for namespace in NAMESPACES {
        let all = Selector::Namespace(namespace.into());
        cache.invalidate(None, &all).await.expect("it is done");
    }
}

#[test]
fn in_any_order_of_loads_and_demands_nothing_forgotten_is_found() {
    for home in [CacheHome::Memory, CacheHome::Redis] {
        home.run(async |cache: Arc<dyn Cache>| {
            let mut runner = TestRunner::new(Config::with_cases(home.cases()));
            for _ in 0..home.cases() {
                let tree = steps().new_tree(&mut runner).expect("steps can be made");
                let steps = tree.current();
                println!("{steps:?}");
                empty(&*cache).await;
                let mut model = Model::default();
                for step in steps {
                    model.step(home, &*cache, step).await;
                }
            }
        });
    }
}
