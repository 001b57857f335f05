//! Files that can be opened, and files that cannot.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::error::OpenError;
use crate::{Store, StoreConfig, StoreUrl};

/// Why the folder cannot be used; `path` is what is named.
async fn why_not(folder: &Path, path: &Path) -> String {
    let Err(OpenError::File {
        path: named,
        reason,
    }) = SqliteRecords::open(folder).await
    else {
        panic!("{} opens", folder.display());
    };
    assert_eq!(named, path.display().to_string());
    reason
}

async fn why_not_file(folder: &Folder) -> String {
    why_not(folder.path(), &path(folder)).await
}

#[tokio::test]
async fn a_store_keeps_its_rows_in_a_folder_that_it_makes_for_its_user_alone() {
    let folder = Folder::new();
    let deep = folder.path().join("a/b");
    let config = StoreConfig {
        url: StoreUrl::Sqlite(deep.clone()),
        ..StoreConfig::default()
    };
    let store = Store::open(&config).await.unwrap();
    let (group, ttl, value) = ("user", None, &b"v"[..]);
    let row = Row { value, group, ttl };
    store
        .records
        .put(key("a"), row, Expect::Absent)
        .await
        .unwrap();
    assert_eq!(store.state().home, "sqlite");
    assert_eq!(store.inspect().await.len(), 1);
    for (name, mode) in [
        ("", 0o700),
        ("tidegate.db", 0o600),
        ("tidegate.db-wal", 0o600),
        ("tidegate.db-shm", 0o600),
    ] {
        let found = std::fs::metadata(deep.join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{name}");
    }
    store.close().await;
    let again = Store::open(&config).await.unwrap();
    assert!(again.records.get(key("a")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_acknowledged_was_flushed_ahead_into_the_log() {
    let folder = Folder::new();
    open(&folder).await.close().await;
    let file = DatabaseFile::at(folder.path()).unwrap();
    let db = file.open_to_write().unwrap();
    let full: u32 = db
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .unwrap();
    let mode: String = db
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    assert_eq!((full, &*mode), (2, "wal"));
}

#[tokio::test]
async fn many_who_open_a_new_folder_at_once_all_succeed() {
    let folder = Folder::new();
    let opened = join_all((0..8).map(|_| open(&folder))).await;
    let puts = opened.iter().enumerate();
    let puts = puts.map(async |(n, records)| put(records, &n.to_string(), b"v").await);
    assert!(join_all(puts).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_folder_that_is_none_is_named() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("below");
    assert!(why_not(&below, &below).await.contains("name another one"));
    assert!(why_not(&file, &file).await.contains("name another one"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let text = "somebody's notes, long enough for a header of a hundred bytes\n".repeat(100);
    std::fs::write(path(&folder), &text).unwrap();
    let reason = why_not_file(&folder).await;
    assert!(reason.contains("no SQLite database"), "{reason}");
    assert_eq!(std::fs::read_to_string(path(&folder)).unwrap(), text);
}

#[tokio::test]
async fn the_database_of_another_program_is_left_as_it_is() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let db = beside(&folder);
    db.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let reason = why_not_file(&folder).await;
    assert!(reason.contains("another program"), "{reason}");
    let tables = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
        row.get::<_, u32>(0)
    });
    assert_eq!(tables.unwrap(), 1);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_not_touched() {
    let folder = Folder::new();
    open(&folder).await.close().await;
    beside(&folder)
        .pragma_update(None, "user_version", 7)
        .unwrap();
    let reason = why_not_file(&folder).await;
    assert!(reason.contains("schema 7"), "{reason}");
    assert!(reason.contains("knows 2"), "{reason}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    std::fs::write(path(&folder), "").unwrap();
    assert!(put(&open(&folder).await, "a", b"v").await.is_ok());
}
