//! What only a file can do wrong.

mod crashing;
mod damage;
mod opening;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::Connection;

use super::file::DatabaseFile;
use super::{Clock, SqliteRecords, reader, writer};
use crate::lasting::Folder;
use crate::records::{Expect, Record, Records, Row, RowKey, WriteError};
use crate::{Remark, StoreError, Weight};

async fn open(folder: &Folder) -> SqliteRecords {
    let opened = SqliteRecords::open(folder.path()).await;
    opened.expect("the folder can be used")
}

/// Another process's way to the same file.
fn beside(folder: &Folder) -> Connection {
    let db = Connection::open(path(folder)).unwrap();
    db.busy_timeout(Duration::from_secs(60)).unwrap();
    db
}

fn path(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("tidegate.db")
}

fn key(id: &str) -> RowKey<'_> {
    let (table, owner) = ("session", "tenant");
    RowKey { table, owner, id }
}

async fn put(records: &SqliteRecords, id: &str, value: &[u8]) -> Result<u64, WriteError> {
    let (group, ttl) = ("user", None);
    let row = Row { value, group, ttl };
    records.put(key(id), row, Expect::Anything).await
}

async fn get(records: &SqliteRecords, id: &str) -> Option<Record> {
    records.get(key(id)).await.expect("the file can be read")
}

/// Records whose writer was told something else first.
async fn with_writer(folder: &Folder, tell: &str) -> SqliteRecords {
    open(folder).await.close().await;
    let file = DatabaseFile::at(folder.path()).unwrap();
    let db = file.open_to_write().unwrap();
    db.execute_batch(tell).unwrap();
    let clock = Clock::start();
    SqliteRecords {
        read: Arc::new(reader::start(&file, clock).unwrap()),
        write: Arc::new(writer::start(&file, db, clock).unwrap()),
        file,
        clock,
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_when_the_file_is_opened_again() {
    let folder = Folder::new();
    let first = open(&folder).await;
    let version = put(&first, "a", b"1").await.unwrap();
    let gone = put(&first, "b", b"1").await.unwrap();
    first.delete(key("b"), Expect::Version(gone)).await.unwrap();
    first.close().await;
    let second = open(&folder).await;
    assert_eq!(get(&second, "a").await.unwrap().version, version);
    assert_eq!(get(&second, "b").await, None);
    assert!(put(&second, "b", b"2").await.unwrap() > gone);
}

#[tokio::test]
async fn two_who_open_one_folder_see_each_others_rows_and_conflicts() {
    let folder = Folder::new();
    let (one, other) = (open(&folder).await, open(&folder).await);
    let first = put(&one, "a", b"1").await.unwrap();
    assert_eq!(get(&other, "a").await.unwrap().version, first);
    let second = put(&other, "a", b"2").await.unwrap();
    assert!(second > first);
    let (group, ttl, value) = ("user", None, &b"3"[..]);
    let row = Row { value, group, ttl };
    let stale = one.put(key("a"), row, Expect::Version(first)).await;
    assert_eq!(stale, Err(WriteError::Conflict));
    let both = (0..200).map(async |n| {
        let who = if n % 2 == 0 { &one } else { &other };
        put(who, &format!("{n}"), b"v").await.unwrap()
    });
    let versions: std::collections::BTreeSet<u64> = join_all(both).await.into_iter().collect();
    assert_eq!(versions.len(), 200, "a version was given twice");
}

#[tokio::test]
async fn expired_rows_are_removed_without_being_asked_for() {
    let folder = Folder::new();
    let records = open(&folder).await;
    let puts = (0..1_000).map(async |n: u32| {
        let ttl = n.is_multiple_of(2).then_some(Duration::from_millis(1));
        let (value, group) = (&b"v"[..], "user");
        let row = Row { value, group, ttl };
        let id = &n.to_string();
        records.put(key(id), row, Expect::Absent).await.unwrap()
    });
    join_all(puts).await;
    let db = beside(&folder);
    let began = std::time::Instant::now();
    let rows = || {
        db.query_row("SELECT count(*) FROM record", [], |row| {
            row.get::<_, u32>(0)
        })
    };
    while rows().unwrap() > 500 {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rows().unwrap(), 500);
}

/// On one thread, whoever waits for the disk must not keep it from others.
#[tokio::test]
async fn a_write_that_waits_for_another_process_holds_up_neither_readers_nor_the_runtime() {
    let folder = Folder::new();
    let records = open(&folder).await;
    put(&records, "a", b"1").await.unwrap();
    let db = beside(&folder);
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = put(&records, "a", b"2");
    let read = async {
        for _ in 0..100 {
            assert_eq!(get(&records, "a").await.unwrap().value, "1");
        }
        db.execute_batch("COMMIT").unwrap();
    };
    let (written, ()) = tokio::join!(write, read);
    assert!(written.is_ok(), "{written:?}");
    assert_eq!(get(&records, "a").await.unwrap().value, "2");
}

#[track_caller]
fn refused(answer: Result<u64, WriteError>, reason: &str) {
    let Err(WriteError::Store(StoreError::Refused { reason: said })) = answer else {
        panic!("{answer:?} is no refusal");
    };
    assert!(said.contains(reason), "{said}");
}

#[tokio::test]
async fn a_database_that_another_process_keeps_locked_is_a_refusal_that_says_so() {
    let folder = Folder::new();
    let records = open(&folder).await;
    put(&records, "a", b"1").await.unwrap();
    let db = beside(&folder);
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    refused(put(&records, "a", b"2").await, "another process");
    db.execute_batch("COMMIT").unwrap();
    assert_eq!(get(&records, "a").await.unwrap().value, "1");
    assert!(put(&records, "a", b"3").await.is_ok());
}

#[tokio::test]
async fn a_database_that_another_process_keeps_locked_is_opened_and_read() {
    let folder = Folder::new();
    let first = open(&folder).await;
    put(&first, "a", b"1").await.unwrap();
    let db = beside(&folder);
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let second = open(&folder).await;
    assert_eq!(get(&second, "a").await.unwrap().value, "1");
    db.execute_batch("COMMIT").unwrap();
    assert!(put(&second, "a", b"2").await.is_ok());
}

#[tokio::test]
async fn a_full_disk_is_a_refusal_and_what_was_there_stays() {
    let folder = Folder::new();
    let records = with_writer(&folder, "PRAGMA max_page_count = 30").await;
    put(&records, "a", b"1").await.unwrap();
    let mut noise = vec![0; 500_000];
    fastrand::Rng::with_seed(1).fill(&mut noise);
    let together = [&noise[..], b"x", &noise].map(|value| put(&records, "a", value));
    let answers = join_all(together).await;
    refused(answers[0].clone(), "the disk is full");
    assert!(
        put(&records, "b", b"2").await.is_ok(),
        "there is room for this"
    );
    assert!(get(&records, "a").await.unwrap().value.len() == 1);
}

#[tokio::test]
async fn a_database_that_can_only_be_read_is_a_refusal_and_is_read() {
    let folder = Folder::new();
    let first = open(&folder).await;
    put(&first, "a", b"1").await.unwrap();
    first.close().await;
    let records = with_writer(&folder, "PRAGMA query_only = 1").await;
    refused(put(&records, "a", b"2").await, "only be read");
    assert_eq!(get(&records, "a").await.unwrap().value, "1");
}

#[tokio::test]
async fn what_was_asked_before_it_closes_is_written_and_what_comes_later_is_refused() {
    let folder = Folder::new();
    let records = open(&folder).await;
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..200 {
        let records = records.clone();
        puts.spawn(async move { (n, put(&records, &n.to_string(), b"v").await) });
    }
    tokio::task::yield_now().await;
    records.close().await;
    refused(put(&records, "late", b"v").await, "closed");
    assert!(records.get(key("late")).await.is_err());
    let again = open(&folder).await;
    for (n, answer) in puts.join_all().await {
        let there = get(&again, &n.to_string()).await.is_some();
        assert_eq!(there, answer.is_ok(), "{n}: {answer:?}");
    }
    assert_eq!(get(&again, "late").await, None);
}

#[tokio::test]
async fn whoever_looks_is_told_how_the_file_is_doing() {
    let folder = Folder::new();
    let records = open(&folder).await;
    let remarks = records.inspect().await;
    let [Remark { weight, text }] = &remarks[..] else {
        panic!("{remarks:?}");
    };
    assert_eq!(*weight, Weight::Note);
    for said in ["tidegate.db", "schema 2", "journal wal", "synchronous full"] {
        assert!(text.contains(said), "{text}");
    }
    set_mode(&path(&folder), 0o644);
    let remarks = records.inspect().await;
    assert_eq!(remarks[1].weight, Weight::Warning);
    assert!(remarks[1].text.contains("chmod 600"), "{remarks:?}");
    records.close().await;
    assert_eq!(records.inspect().await[0].weight, Weight::Fault);
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
