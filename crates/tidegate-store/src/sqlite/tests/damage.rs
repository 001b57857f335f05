//! Files that were spoiled.

use std::collections::BTreeMap;

use super::*;

/// Rows with values of all sizes, by their ids.
async fn fill(folder: &Folder) -> BTreeMap<String, Record> {
    let records = open(folder).await;
    let mut random = fastrand::Rng::with_seed(1);
    let mut rows = BTreeMap::new();
    for n in 0..60 {
        let mut value = vec![0; if n % 7 == 0 { 9_000 } else { 300 }];
        random.fill(&mut value);
        let id = format!("{n:03}");
        put(&records, &id, &value).await.unwrap();
        rows.insert(id.clone(), get(&records, &id).await.unwrap());
    }
    records.close().await;
    rows
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_what_to_do() {
    let folder = Folder::new();
    fill(&folder).await;
    let mut bytes = std::fs::read(path(&folder)).unwrap();
    for page in bytes.chunks_mut(4_096).skip(1) {
        page[..64].fill(0xff);
    }
    std::fs::write(path(&folder), bytes).unwrap();
    let error = SqliteRecords::open(folder.path()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("it is damaged"), "{text}");
    assert!(text.contains("tidegate.db-wal"), "{text}");
}

/// Random bytes over the file: an error, or the rows as they were, and never
/// something else. A row that SQLite does not find any more is none that it
/// makes up.
#[tokio::test]
async fn whatever_is_written_over_the_file_no_row_is_read_that_was_not_written() {
    let folder = Folder::new();
    let rows = fill(&folder).await;
    let whole = std::fs::read(path(&folder)).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut refused, mut unreadable, mut intact) = (0, 0, 0);
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            let end = bytes.len().min(at + random.usize(1..40));
            random.fill(&mut bytes[at..end]);
        }
        std::fs::write(path(&folder), &bytes).unwrap();
        for beside in ["tidegate.db-wal", "tidegate.db-shm"] {
            std::fs::remove_file(folder.path().join(beside)).ok();
        }
        let Ok(records) = SqliteRecords::open(folder.path()).await else {
            refused += 1;
            continue;
        };
        for (id, row) in &rows {
            match records.get(key(id)).await {
                Ok(Some(found)) => {
                    assert!(found == *row, "{id}");
                    intact += 1;
                }
                Ok(None) => {}
                Err(_) => unreadable += 1,
            }
        }
        records.close().await;
    }
    println!("{refused} refused; rows: {unreadable} unreadable, {intact} intact");
    assert!(refused > 10 && unreadable > 50 && intact > 1_000);
}

#[tokio::test]
async fn a_bit_that_changed_within_a_value_or_a_version_is_noticed() {
    let folder = Folder::new();
    fill(&folder).await;
    let records = open(&folder).await;
    let db = beside(&folder);
    for spoil in [
        "version = version + 1",
        "value = zeroblob(length(value))",
        "value = CAST(substr(value, 1, length(value) - 1) || x'00' AS BLOB)",
        "value = (SELECT value FROM record WHERE id = '002')",
        "value = x''",
        "grp = 'somebody else'",
    ] {
        db.execute_batch("BEGIN").unwrap();
        let sql = format!("UPDATE record SET {spoil} WHERE id = '001'");
        assert_eq!(db.execute(&sql, []).unwrap(), 1);
        db.execute_batch("COMMIT").unwrap();
        let read = records.get(key("001")).await;
        let Err(StoreError::Corrupt { .. }) = read else {
            panic!("{spoil}: {read:?}");
        };
        put(&records, "001", b"anew").await.unwrap();
        assert_eq!(get(&records, "001").await.unwrap().value, "anew");
    }
}
