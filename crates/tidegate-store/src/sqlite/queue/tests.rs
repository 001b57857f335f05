//! The queue in a file: what the suite of all homes does not see.

mod crashing;

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::lasting::Folder;
use crate::queue::{Begun, Lane, To, WELL, When};

const LONG: Duration = Duration::from_secs(3_600);
const MANY: u64 = 1_000_000;

struct Opened {
    records: SqliteRecords,
    queue: SqliteQueue,
}

async fn open(folder: &Path) -> Opened {
    let records = SqliteRecords::open(folder).await.unwrap();
    let queue = SqliteQueue::beside(&records).unwrap();
    Opened { records, queue }
}

impl Opened {
    async fn close(self) {
        self.queue.close().await;
        self.records.close().await;
    }
}

fn path(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("tidegate.db")
}

fn name(id: &str) -> EntryName {
    EntryName {
        owner: "tenant".to_owned(),
        id: id.to_owned(),
    }
}

fn entry(id: &str) -> Put {
    Put {
        name: name(id),
        lane: "work".to_owned(),
        rank: 2,
        after: Vec::new(),
        when: When::Now,
        key: None,
        input: Bytes::from(format!("input of {id}")),
        state: Bytes::from_static(b"put"),
        held: None,
    }
}

async fn take(queue: &SqliteQueue, most: usize) -> Vec<Entry> {
    let lanes = &[Lane {
        name: "work",
        most_held: Some(MANY as u32),
    }];
    let (begin, hold) = (most, LONG);
    let take = Take {
        lanes,
        most,
        begin,
        hold,
    };
    queue.take(take).await.unwrap().entries
}

fn ending(head: &Head, how: u8) -> Change {
    Change {
        name: head.name.clone(),
        version: head.version,
        to: To::Ended { how, keep: LONG },
        state: Bytes::from_static(b"ended"),
        result: Some(Bytes::from_static(b"result")),
    }
}

/// The level at which a job's transaction is flushed, as SQLite has it.
fn level(session: &mut Session<'_>) -> rusqlite::Result<u8> {
    session
        .db
        .pragma_query_value(None, "synchronous", |row| row.get(0))
}

#[tokio::test]
async fn only_a_transaction_of_what_may_be_lost_is_not_flushed() {
    let folder = Folder::new();
    let opened = open(folder.path()).await;
    let queue = &opened.queue;
    for _ in 0..2 {
        assert_eq!(queue.step((0, Flush::No), level).await, Ok(1));
        assert_eq!(queue.step((0, Flush::Yes), level).await, Ok(2));
    }
    // While the writer waits, both come into one transaction.
    let db = Connection::open(path(&folder)).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = queue.step((0, Flush::No), level);
    let together = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let both = futures_util::future::join(
            queue.step((0, Flush::No), level),
            queue.step((0, Flush::Yes), level),
        );
        let release = async { db.execute_batch("COMMIT").unwrap() };
        futures_util::future::join(both, release).await.0
    };
    let (first, both) = futures_util::future::join(first, together).await;
    assert_eq!((first, both), (Ok(1), (Ok(2), Ok(2))));
    opened.close().await;
}

#[tokio::test]
async fn what_another_process_puts_rings_and_what_it_holds_does_not() {
    let folder = Folder::new();
    let (one, other) = (open(folder.path()).await, open(folder.path()).await);
    let mut bell = one.queue.bell();
    other.queue.put(vec![entry("a")], MANY).await.unwrap();
    let rung = tokio::time::timeout(Duration::from_secs(60), bell.changed()).await;
    assert!(rung.is_ok_and(|rung| rung.is_ok()), "it is not heard");
    let taken = take(&other.queue, 1).await;
    let holding = Holding {
        name: name("a"),
        version: taken[0].head.version,
        begun: Begun::Yes,
    };
    bell.mark_unchanged();
    other.queue.hold(&[holding], LONG).await.unwrap();
    // What rings next comes from what was put after that.
    let before = *bell.borrow();
    other.queue.put(vec![entry("b")], MANY).await.unwrap();
    bell.changed().await.unwrap();
    assert_eq!(*bell.borrow(), before + 1);
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn two_processes_share_one_queue_and_fence_each_other() {
    let folder = Folder::new();
    let (one, other) = (open(folder.path()).await, open(folder.path()).await);
    let all: Vec<Put> = (0..100).map(|n| entry(&n.to_string())).collect();
    one.queue.put(all.clone(), MANY).await.unwrap();
    let again = other.queue.put(all, MANY).await.unwrap();
    assert!(
        again
            .iter()
            .all(|placed| matches!(placed, Placed::Known { .. }))
    );
    let mut taken = Vec::new();
    for _ in 0..10 {
        let (a, b) = futures_util::future::join(take(&one.queue, 5), take(&other.queue, 5)).await;
        taken.extend(a.into_iter().chain(b));
    }
    let unique: std::collections::BTreeSet<&EntryName> =
        taken.iter().map(|entry| &entry.head.name).collect();
    assert_eq!((taken.len(), unique.len()), (100, 100));
    let end = vec![ending(&taken[0].head, WELL)];
    let made = one.queue.change(end.clone()).await.unwrap();
    assert!(matches!(made[0], Changed::To(_)));
    // The other one asks for the same: it is known to be made.
    assert_eq!(other.queue.change(end).await, Ok(made));
    let late = other.queue.change(vec![ending(&taken[0].head, 3)]).await;
    assert_eq!(late, Ok(vec![Changed::Lost]));
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn an_entry_whose_bytes_were_spoiled_is_taken_without_them() {
    let folder = Folder::new();
    let opened = open(folder.path()).await;
    let all = ["a", "b", "c"].map(entry).to_vec();
    opened.queue.put(all, MANY).await.unwrap();
    let db = Connection::open(path(&folder)).unwrap();
    db.execute_batch(
        "UPDATE entry_input SET input = x'0102' WHERE seq = 1;
         UPDATE entry SET state = x'01', note = x'02', result = x'03' WHERE seq = 1;
         DELETE FROM entry_input WHERE seq = 2;
         UPDATE entry SET after = x'ff' WHERE seq = 2",
    )
    .unwrap();
    // One that lies where another one was put is not mistaken for it.
    db.execute_batch(
        "UPDATE entry_input SET input = (SELECT state FROM entry WHERE seq = 3) WHERE seq = 3",
    )
    .unwrap();
    let taken = take(&opened.queue, 9).await;
    let read: Vec<(&str, bool, usize)> = taken
        .iter()
        .map(|entry| {
            let head = &entry.head;
            (&*head.name.id, entry.input.is_some(), head.state.len())
        })
        .collect();
    assert_eq!(read, [("a", false, 0), ("b", false, 3), ("c", false, 3)]);
    let found = opened.queue.get(&name("a")).await.unwrap().unwrap();
    assert_eq!((found.input, found.result), (None, None));
    let ends = taken.iter().map(|entry| ending(&entry.head, WELL));
    let ended = opened.queue.change(ends.collect()).await.unwrap();
    assert!(
        ended
            .iter()
            .all(|changed| matches!(changed, Changed::To(_)))
    );
    opened.close().await;
}

#[test]
fn no_statement_of_the_queue_reads_more_than_it_needs() {
    let db = Connection::open_in_memory().unwrap();
    for step in crate::sqlite::file::STEPS {
        db.execute_batch(step).unwrap();
    }
    let statements = [
        taking::statements(),
        changing::statements(),
        putting::statements(),
        reading::statements(),
    ];
    for statement in statements.concat() {
        let mut plan = db
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
            .unwrap();
        let count = plan.parameter_count();
        let steps = plan.query_map(rusqlite::params_from_iter(vec![1; count]), |row| {
            row.get::<_, String>(3)
        });
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        let plan = steps.join("; ");
        let reads_all = plan.contains("SCAN entry ") || plan.ends_with("SCAN entry");
        assert!(
            !reads_all && !plan.contains("B-TREE"),
            "{plan} for {statement}"
        );
    }
}
