//! Random operations, next to the memory home: every home gives its answers.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use tidegate_store::{
    Begun, Change, Changed, Entry, EntryName, Held, Holding, Lane, MemoryQueue, Part, Placed, Put,
    Queue, Shelf, Take, To, When,
};

use crate::queue_home::{LONG, QueueHome};

const OWNERS: [&str; 2] = ["a", "ab"];
const IDS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];
const LANES: [&str; 3] = ["a", "b", "c"];
const KEYS: [&str; 2] = ["k", "l"];

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<Put>, u64),
    Take(Vec<(&'static str, Option<u32>)>, usize, usize, Duration),
    Hold(Vec<(EntryName, Version, Begun)>, Duration),
    Change(Vec<(EntryName, Version, To)>),
    Note(EntryName, Version),
    Stop(EntryName),
    List(&'static str, Shelf, usize),
    Sweep(u64),
}

/// A version that is known when the step is taken.
#[derive(Debug, Clone, Copy)]
enum Version {
    Latest,
    First,
}

fn name() -> impl Strategy<Value = EntryName> {
    (prop::sample::select(&OWNERS[..]), id()).prop_map(|(owner, id)| EntryName {
        owner: owner.to_owned(),
        id: id.to_owned(),
    })
}

fn id() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&IDS[..])
}

fn lane() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&LANES[..])
}

/// What is over at once, or not in this test: all homes agree on what is when.
fn time() -> impl Strategy<Value = Duration> {
    prop::sample::select(vec![Duration::ZERO, LONG, LONG])
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        4 => Just(When::Now),
        1 => time().prop_map(When::In),
        1 => Just(When::At(7)),
        1 => Just(When::At(1 << 42)),
    ]
}

fn entry() -> impl Strategy<Value = Put> {
    let after = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(id().prop_map(str::to_owned), 1..3),
    ];
    let key = prop::option::weighted(0.2, prop::sample::select(&KEYS[..]));
    let held = prop::option::weighted(0.1, time());
    let parts = (name(), lane(), 0..3_u8, after, when(), key, held);
    parts.prop_map(|(name, lane, rank, after, when, key, held)| Put {
        lane: lane.to_owned(),
        rank,
        after: if held.is_some() { Vec::new() } else { after },
        when,
        key: key.map(str::to_owned),
        input: format!("{} of {}", name.id, name.owner).into(),
        state: "put".into(),
        held,
        name,
    })
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![Version::Latest, Version::Latest, Version::First])
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![
        1 => when().prop_map(To::Due),
        1 => when().prop_map(To::Again),
        4 => (0..3_u8, time()).prop_map(|(how, keep)| To::Ended { how, keep }),
    ]
}

fn shelf() -> impl Strategy<Value = Shelf> {
    prop_oneof![
        Just(Shelf::Waiting),
        Just(Shelf::Due),
        Just(Shelf::Again),
        Just(Shelf::Held),
        (0..3_u8).prop_map(Shelf::Ended),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let lanes = prop::collection::vec((lane(), prop::option::of(0..3_u32)), 0..4);
    let begun = prop::sample::select(vec![Begun::No, Begun::Yes]);
    let held = prop::collection::vec((name(), version(), begun), 0..4);
    let changes = prop::collection::vec((name(), version(), to()), 0..4);
    prop_oneof![
        6 => (prop::collection::vec(entry(), 0..5), prop::sample::select(vec![1_000, 1_000, 9]))
            .prop_map(|(entries, most)| Step::Put(entries, most)),
        6 => (lanes, 0..5_usize, 0..5_usize, time())
            .prop_map(|(lanes, most, begin, hold)| Step::Take(lanes, most, begin, hold)),
        2 => (held, time()).prop_map(|(held, hold)| Step::Hold(held, hold)),
        6 => changes.prop_map(Step::Change),
        1 => (name(), version()).prop_map(|(name, version)| Step::Note(name, version)),
        1 => name().prop_map(Step::Stop),
        1 => (prop::sample::select(&OWNERS[..]), shelf(), 0..5_usize)
            .prop_map(|(owner, shelf, limit)| Step::List(owner, shelf, limit)),
        1 => prop::sample::select(vec![0, 1_000]).prop_map(Step::Sweep),
    ]
}

/// A home beside the model: versions and moments are each one's own.
struct Pair {
    model: Arc<dyn Queue>,
    home: Arc<dyn Queue>,
    /// A version that each has once given to a name.
    first: std::collections::BTreeMap<EntryName, [u64; 2]>,
}

impl Pair {
    fn both(&self) -> [&dyn Queue; 2] {
        [&*self.model, &*self.home]
    }

    async fn versions(&self, name: &EntryName, version: Version) -> [u64; 2] {
        let first = self.first.get(name).copied().unwrap_or([1, 1]);
        match version {
            Version::First => first,
            Version::Latest => {
                let mut versions = first;
                for (queue, version) in self.both().into_iter().zip(&mut versions) {
                    let found = queue.get(name).await.expect("it can say");
                    *version = found.map_or(*version, |entry| entry.head.version);
                }
                versions
            }
        }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Put(entries, most) => self.put(entries, *most).await,
            Step::Take(lanes, most, begin, hold) => {
                let lane = |(name, most_held): &(&'static str, Option<u32>)| Lane {
                    name,
                    most_held: *most_held,
                };
                // Of a lane that is named twice the first is meant.
                let mut lanes: Vec<Lane<'_>> = lanes.iter().map(lane).collect();
                lanes.sort_by_key(|lane| lane.name);
                lanes.dedup_by_key(|lane| lane.name);
                let (lanes, most, begin, hold) = (&lanes[..], *most, *begin, *hold);
                let mut heard = Vec::new();
                for queue in self.both() {
                    let take = Take {
                        lanes,
                        most,
                        begin,
                        hold,
                    };
                    let taken = queue.take(take).await.expect("it can say");
                    let next = taken.next.map(|next| next > LONG / 2);
                    heard.push((taken.entries.iter().map(alike).collect::<Vec<_>>(), next));
                }
                assert_eq!(heard[0], heard[1]);
            }
            Step::Hold(held, hold) => self.hold(held, *hold).await,
            Step::Change(changes) => self.change(changes).await,
            Step::Note(name, version) => {
                let versions = self.versions(name, *version).await;
                let mut heard = Vec::new();
                for (queue, version) in self.both().into_iter().zip(versions) {
                    let held = holding(name, version, Begun::Yes);
                    heard.push(queue.note(&held, "note".into()).await);
                }
                assert_eq!(heard[0], heard[1]);
            }
            Step::Stop(name) => {
                assert_eq!(self.model.stop(name).await, self.home.stop(name).await);
            }
            Step::List(owner, shelf, limit) => self.list(owner, *shelf, *limit).await,
            Step::Sweep(most) => {
                assert_eq!(self.model.sweep(*most).await, self.home.sweep(*most).await);
            }
        }
    }

    async fn put(&mut self, entries: &[Put], most: u64) {
        let model = self.model.put(entries.to_vec(), most).await;
        let home = self.home.put(entries.to_vec(), most).await;
        let (model, home) = match (model, home) {
            (Ok(model), Ok(home)) => (model, home),
            (model, home) => return assert_eq!(model, home),
        };
        assert_eq!(model.len(), home.len());
        for ((put, model), home) in entries.iter().zip(model).zip(home) {
            match (model, home) {
                (Placed::New { version: one }, Placed::New { version: other }) => {
                    self.first.insert(put.name.clone(), [one, other]);
                }
                (model, home) => assert_eq!(model, home),
            }
        }
    }

    async fn hold(&self, held: &[(EntryName, Version, Begun)], hold: Duration) {
        let mut both: [Vec<Holding>; 2] = Default::default();
        for (name, version, begun) in held {
            let versions = self.versions(name, *version).await;
            for (held, version) in both.iter_mut().zip(versions) {
                held.push(holding(name, version, *begun));
            }
        }
        let model: Vec<Held> = self.model.hold(&both[0], hold).await.expect("it can say");
        assert_eq!(Ok(model), self.home.hold(&both[1], hold).await);
    }

    async fn change(&self, changes: &[(EntryName, Version, To)]) {
        let mut both: [Vec<Change>; 2] = Default::default();
        for (name, version, to) in changes {
            let versions = self.versions(name, *version).await;
            for (changes, version) in both.iter_mut().zip(versions) {
                changes.push(Change {
                    name: name.clone(),
                    version,
                    to: *to,
                    state: "changed".into(),
                    result: Some("result".into()),
                });
            }
        }
        let [one, other] = both;
        let model = self.model.change(one).await.expect("it can say");
        let home = self.home.change(other).await.expect("it can say");
        let is_made = |changed: &Changed| matches!(changed, Changed::To(_));
        let model: Vec<bool> = model.iter().map(is_made).collect();
        let home: Vec<bool> = home.iter().map(is_made).collect();
        assert_eq!(model, home);
    }

    /// In any order: entries of one call may be of one moment here and of two
    /// there.
    async fn list(&self, owner: &str, shelf: Shelf, limit: usize) {
        let part = Part { after: None, limit };
        let model = self.model.list(owner, shelf, &part).await;
        let home = self.home.list(owner, shelf, &part).await;
        let lengths = [model, home].map(|heads| heads.expect("it can say").len());
        assert_eq!(lengths[0], lengths[1]);
    }

    /// Everything that there is, and how much.
    async fn compare(&self) {
        for owner in OWNERS {
            for id in IDS {
                let (owner, id) = (owner.to_owned(), id.to_owned());
                let name = EntryName { owner, id };
                let model = self.model.get(&name).await.expect("it can say");
                let home = self.home.get(&name).await.expect("it can say");
                let (model, home) = (model.as_ref().map(alike), home.as_ref().map(alike));
                assert_eq!(model, home, "{name:?}");
            }
        }
        let mut both = Vec::new();
        for queue in self.both() {
            let found = queue.counts().await.expect("it can say");
            let mut counts: Vec<_> = found.counts.into_iter().collect();
            counts.sort_by_key(|count| (count.lane.clone(), count.rank, count.shelf));
            both.push((counts, found.oldest.is_some()));
        }
        assert_eq!(both[0], both[1]);
    }
}

fn holding(name: &EntryName, version: u64, begun: Begun) -> Holding {
    let name = name.clone();
    Holding {
        name,
        version,
        begun,
    }
}

/// An entry without what is each home's own.
fn alike(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    let head = &mut entry.head;
    head.version = 0;
    let stamps = &mut head.stamps;
    stamps.due_ms = u64::from(stamps.due_ms > stamps.put_ms + 1_800_000);
    stamps.put_ms = 0;
    stamps.begun_ms = u64::from(stamps.begun_ms > 0);
    stamps.ended_ms = u64::from(stamps.ended_ms > 0);
    entry
}

async fn run(home: Arc<dyn Queue>, steps: &[Step]) {
    let mut pair = Pair {
        model: Arc::new(MemoryQueue::default()),
        home,
        first: std::collections::BTreeMap::new(),
    };
    for step in steps {
        println!("{step:?}");
        pair.step(step).await;
        pair.compare().await;
    }
}

#[test]
fn in_any_order_of_operations_every_home_answers_as_the_model_does() {
    for home in [QueueHome::Sqlite, QueueHome::Redis] {
        let mut runner = TestRunner::new(Config::default());
        for case in 0..12 {
            let steps = prop::collection::vec(step(), 20..60).new_tree(&mut runner);
            let steps = steps.expect("steps can be made").current();
            println!("{home:?}, case {case}");
            home.run(async |queue| run(queue, &steps).await);
        }
    }
}
