//! Random steps, compared with what a sorted map would do.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Home, records};
use crate::{Expect, Page, Record, Records, Row, RowKey, WriteError};

const LONG: Duration = Duration::from_secs(3_600);

/// What may happen to rows.
#[derive(Debug, Clone)]
enum Step {
    Put(Place, String, Option<Duration>, Wanted),
    Touch(Place, Duration),
    Delete(Place, Wanted),
    List(&'static str, String, Option<String>, usize),
}

/// An [`Expect`] whose version is known when the step is taken.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Absent,
    Anything,
    Latest,
    Stale,
}

type Place = (&'static str, String, String);

/// A case must not see what the one before has left.
fn owner(round: &str, place: &Place) -> String {
    format!("{round} {}", place.1)
}

fn key<'a>(place: &'a Place, owner: &'a str) -> RowKey<'a> {
    let (table, id) = (place.0, &*place.2);
    RowKey { table, owner, id }
}

const WORDS: [&str; 5] = ["", "a", "ab", "b", "\u{e9}"];

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(&WORDS[..]).prop_map(str::to_owned)
}

fn place() -> impl Strategy<Value = Place> {
    (table(), word(), word())
}

fn table() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "ab"])
}

fn ttl() -> impl Strategy<Value = Duration> {
    prop::sample::select(vec![LONG, LONG, LONG, Duration::ZERO])
}

fn wanted() -> impl Strategy<Value = Wanted> {
    prop::sample::select(vec![
        Wanted::Absent,
        Wanted::Anything,
        Wanted::Latest,
        Wanted::Latest,
        Wanted::Stale,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (place(), word(), prop::option::of(ttl()), wanted())
            .prop_map(|(place, group, ttl, wanted)| Step::Put(place, group, ttl, wanted)),
        1 => (place(), ttl()).prop_map(|(place, ttl)| Step::Touch(place, ttl)),
        2 => (place(), wanted()).prop_map(|(place, wanted)| Step::Delete(place, wanted)),
        2 => (table(), word(), prop::option::of(word()), 0_usize..4)
            .prop_map(|(table, group, after, limit)| Step::List(table, group, after, limit)),
    ]
}

/// The rows as they ought to be.
#[derive(Default)]
struct Model {
    rows: BTreeMap<Place, Record>,
    last: u64,
    /// A version that is nobody's any more.
    stale: u64,
}

impl Model {
    fn expect(&self, place: &Place, wanted: Wanted) -> (Expect, bool) {
        let found = self.rows.get(place).map(|record| record.version);
        match wanted {
            Wanted::Absent => (Expect::Absent, found.is_none()),
            Wanted::Anything => (Expect::Anything, true),
            Wanted::Latest => match found {
                Some(version) => (Expect::Version(version), true),
                None => (Expect::Version(self.last), false),
            },
            Wanted::Stale => (Expect::Version(self.stale), false),
        }
    }

    fn forget(&mut self, place: &Place) -> bool {
        let gone = self.rows.remove(place);
        self.stale = gone.as_ref().map_or(self.stale, |record| record.version);
        gone.is_some()
    }

    async fn take(&mut self, home: &dyn Records, round: &str, step: &Step) {
        match step {
            Step::Put(place, group, ttl, wanted) => {
                let (expect, met) = self.expect(place, *wanted);
                let value = format!("{} of {round}", self.last).repeat(40);
                let (value, ttl) = (value.as_bytes(), *ttl);
                let owner = &owner(round, place);
                let row = Row { value, group, ttl };
                let written = home.put(key(place, owner), row, expect).await;
                assert_eq!(written.is_ok(), met, "{step:?}: {written:?}");
                if let Ok(version) = written {
                    self.written(place, row, version);
                }
            }
            Step::Touch(place, ttl) => {
                let owner = &owner(round, place);
                let touched = home.touch(key(place, owner), *ttl).await;
                assert_eq!(touched, Ok(self.rows.contains_key(place)), "{step:?}");
                if ttl.is_zero() {
                    self.forget(place);
                }
            }
            Step::Delete(place, wanted) => {
                let (expect, met) = self.expect(place, *wanted);
                let owner = &owner(round, place);
                let deleted = home.delete(key(place, owner), expect).await;
                let ought = if met {
                    Ok(self.forget(place))
                } else {
                    Err(WriteError::Conflict)
                };
                assert_eq!(deleted, ought, "{step:?}");
            }
            Step::List(table, group, after, limit) => {
                let after = after.as_deref();
                let page = Page {
                    after,
                    limit: *limit,
                };
                for owner in WORDS {
                    let whose = format!("{round} {owner}");
                    let listed = home.list(table, &whose, group, page).await;
                    let ought = self.list((table, owner, group), page);
                    assert_eq!(listed, Ok(ought), "{step:?}");
                }
            }
        }
    }

    fn written(&mut self, place: &Place, row: Row<'_>, version: u64) {
        assert!(version > self.last, "{version} after {}", self.last);
        self.last = version;
        self.forget(place);
        if row.ttl != Some(Duration::ZERO) {
            let record = Record {
                id: place.2.clone(),
                value: row.value.to_vec().into(),
                group: row.group.to_owned(),
                version,
            };
            self.rows.insert(place.clone(), record);
        }
    }

    fn list(&self, (table, owner, group): (&str, &str, &str), page: Page<'_>) -> Vec<Record> {
        let rows = self.rows.iter().filter(|(place, record)| {
            (place.0, &*place.1) == (table, owner)
                && record.group == group
                && page.after.is_none_or(|after| &*place.2 > after)
        });
        rows.map(|(_, row)| row.clone()).take(page.limit).collect()
    }

    /// Every row is there, and nothing else.
    async fn compare(&self, home: &dyn Records, round: &str, steps: &[Step]) {
        for step in steps {
            let (Step::Put(place, ..) | Step::Touch(place, _) | Step::Delete(place, _)) = step
            else {
                continue;
            };
            let owner = &owner(round, place);
            let found = home.get(key(place, owner)).await;
            assert_eq!(found, Ok(self.rows.get(place).cloned()), "{place:?}");
        }
    }
}

#[test]
fn every_home_does_what_a_sorted_map_would_do() {
    for home in records() {
        println!("home: {}", home.name);
        compare_with_model(&home);
    }
}

pub(crate) fn compare_with_model(home: &Home<dyn Records>) {
    let runtime = (home.runtime)();
    let made = runtime.block_on((home.make)());
    let mut runner = TestRunner::new(Config {
        cases: home.cases,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = prop::collection::vec(step(), 1..60);
    let round = std::cell::Cell::new(0);
    let compared = runner.run(&steps, |steps| {
        round.set(round.get() + 1);
        let round = round.get().to_string();
        runtime.block_on(async {
            let mut model = Model::default();
            for step in &steps {
                model.take(&*made.home, &round, step).await;
            }
            model.compare(&*made.home, &round, &steps).await;
        });
        Ok(())
    });
    compared.unwrap_or_else(|failed| panic!("{}: {failed}", home.name));
}
