//! Every setting does something: the real program is started with two values of
//! it, and what can be seen from outside differs as the table says.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "settings/classifier_rows.rs"]
mod classifier_rows;
mod gateway;
#[path = "settings/key_rows.rs"]
mod key_rows;
#[path = "settings/observe.rs"]
mod observe;
#[path = "settings/prompt_rows.rs"]
mod prompt_rows;
#[path = "settings/resilience_rows.rs"]
mod resilience_rows;
#[path = "settings/rows.rs"]
mod rows;
#[path = "../../tidegate-store/tests/servers/mod.rs"]
mod servers;
#[path = "tasks/signed.rs"]
mod signed;
#[path = "settings/store_rows.rs"]
mod store_rows;
#[path = "settings/task_rows.rs"]
mod task_rows;
#[path = "settings/task_table_rows.rs"]
mod task_table_rows;
#[path = "settings/trial.rs"]
mod trial;
#[path = "settings/upstream_rows.rs"]
mod upstream_rows;

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures_util::StreamExt;
use futures_util::stream;
use tidegate::config::{
    CLIENT_KEYS, KEYS, KIND_KEYS, MODEL_KEYS, PROVIDER_KEYS, SCHEDULE_KEYS, WEBHOOK_KEYS,
};

use classifier_rows::classifier_rows;
use key_rows::key_rows;
use prompt_rows::prompt_rows;
use resilience_rows::resilience_rows;
use rows::rows;
use store_rows::{store_rows, variable_rows};
use task_rows::{task_rows, task_variable_rows};
use task_table_rows::task_table_rows;
use trial::{Row, Trial};
use upstream_rows::upstream_rows;

fn all() -> impl Iterator<Item = Row> {
    rows()
        .into_iter()
        .chain(resilience_rows())
        .chain(key_rows())
        .chain(classifier_rows())
        .chain(prompt_rows())
        .chain(upstream_rows())
        .chain(store_rows())
        .chain(task_rows())
        .chain(task_table_rows())
}

fn variables() -> impl Iterator<Item = Row> {
    variable_rows().into_iter().chain(task_variable_rows())
}

#[test]
fn every_setting_has_a_row_and_every_row_a_setting() {
    let tables = [
        KEYS,
        PROVIDER_KEYS,
        MODEL_KEYS,
        CLIENT_KEYS,
        KIND_KEYS,
        SCHEDULE_KEYS,
        WEBHOOK_KEYS,
    ];
    let settings = tables.into_iter().flatten();
    let settings: BTreeSet<&str> = settings.map(|key| key.path).collect();
    let rows: BTreeSet<&str> = all().map(|row| row.key).collect();
    assert_eq!(rows, settings);
}

#[test]
fn every_row_expects_two_things_of_two_values() {
    for row in all().chain(variables()) {
        let [(value, seen), (other_value, other_seen)] = row.cases;
        assert!(value != other_value && seen != other_seen, "{}", row.key);
    }
}

/// Trials at once: most of their time is waiting.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn changing_a_setting_changes_what_the_program_does() {
    check(all()).await;
}

#[tokio::test]
async fn changing_a_known_variable_changes_what_the_program_does() {
    check(variables()).await;
}

async fn check(rows: impl Iterator<Item = Row>) {
    let wrong = Mutex::new(Vec::new());
    let trials = rows.flat_map(|row| [0, 1].map(|case| (row.clone(), case)));
    stream::iter(trials)
        .for_each_concurrent(AT_ONCE, |(row, case)| {
            let wrong = &wrong;
            async move {
                let (value, expected) = row.cases[case];
                let seen = (row.observe)(Trial::begin(&row, value).await).await;
                if seen != expected {
                    let line = format!("{} = {value}: {seen:?}, not {expected:?}", row.key);
                    wrong.lock().unwrap().push(line);
                }
            }
        })
        .await;
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
