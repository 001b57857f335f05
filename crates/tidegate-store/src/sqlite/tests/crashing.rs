//! A writer that is killed, again and again, and a log whose end is torn off.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

const FOLDER: &str = "TIDEGATE_TEST_FOLDER";
/// How many times it is killed; a soak kills it more often.
const KILLS: &str = "TIDEGATE_TEST_KILLS";
/// Who writes at once, each its own rows.
const WRITERS: u64 = 8;
const ROWS_EACH: u64 = 5;

/// Writes without end and says what was acknowledged: `id count version`.
async fn write_until_killed(folder: &Path, rounds: u64) {
    let records = SqliteRecords::open(folder).await.unwrap();
    let writers = (0..WRITERS).map(|writer| write(&records, writer, rounds));
    join_all(writers).await;
    records.close().await;
}

async fn write(records: &SqliteRecords, writer: u64, rounds: u64) {
    for round in 0..rounds {
        let id = format!("{writer}-{}", round % ROWS_EACH);
        let found = get(records, &id).await;
        let (count, expect) = match &found {
            Some(found) => (count(found) + 1, Expect::Version(found.version)),
            None => (1, Expect::Absent),
        };
        // Some are compressed, some lie on pages of their own.
        let value = format!("{count} {}", "filling ".repeat((count % 9) as usize * 300));
        let (group, ttl, value) = ("user", None, value.as_bytes());
        let row = Row { value, group, ttl };
        let version = records.put(key(&id), row, expect).await.unwrap();
        println!("{id} {count} {version}");
    }
}

fn count(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.value).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// What was acknowledged last, by id.
type Acknowledged = BTreeMap<String, (u64, u64)>;

/// This is what runs in the process that is killed; by itself it writes a
/// little and checks it.
#[tokio::test]
async fn a_writer_says_what_was_acknowledged() {
    if let Ok(folder) = std::env::var(FOLDER) {
        return write_until_killed(Path::new(&folder), u64::MAX).await;
    }
    let folder = Folder::new();
    write_until_killed(folder.path(), ROWS_EACH * 2).await;
    let records = open(&folder).await;
    for writer in 0..WRITERS {
        for row in 0..ROWS_EACH {
            let found = get(&records, &format!("{writer}-{row}")).await;
            assert_eq!(count(&found.unwrap()), 2);
        }
    }
}

fn start(folder: &Folder) -> Child {
    let name = "sqlite::tests::crashing::a_writer_says_what_was_acknowledged";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--quiet"]);
    command.env(FOLDER, folder.path()).stdout(Stdio::piped());
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// Lets a writer acknowledge so many rows, kills it, and returns what was heard
/// of it until it was dead.
fn kill_after(folder: &Folder, rows: usize, known: &mut Acknowledged) {
    let mut child = start(folder);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heard = 0;
    for line in lines {
        // The last line may be cut off; what the test runner says is none.
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split(' ').collect();
        let [id, count, version] = words[..] else {
            continue;
        };
        let (Ok(count), Ok(version)) = (count.parse(), version.parse()) else {
            continue;
        };
        known.insert(id.to_owned(), (count, version));
        heard += 1;
        if heard == rows {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(heard >= rows, "the writer ended after {heard} rows");
}

async fn check(folder: &Folder, known: &Acknowledged) {
    let records = open(folder).await;
    for (id, (acknowledged, version)) in known {
        let found = get(&records, id).await;
        let found = found.unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
        assert!(
            found.version >= *version,
            "{id}: {} of {version}",
            found.version
        );
        assert!(count(&found) >= *acknowledged, "{id} went back");
    }
    records.close().await;
    assert_whole(folder);
}

#[track_caller]
fn assert_whole(folder: &Folder) {
    let db = beside(folder);
    let found: String = db
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .unwrap();
    assert_eq!(found, "ok");
}

#[tokio::test]
async fn a_writer_that_is_killed_loses_nothing_that_it_acknowledged() {
    let kills = std::env::var(KILLS).map_or(20, |kills| kills.parse().expect("a number"));
    let folder = Folder::new();
    let mut known = Acknowledged::new();
    let mut random = fastrand::Rng::new();
    println!("seed {}", random.get_seed());
    for _ in 0..kills {
        kill_after(&folder, random.usize(1..400), &mut known);
        check(&folder, &known).await;
    }
    assert_eq!(known.len() as u64, WRITERS * ROWS_EACH);
    println!("{kills} kills, last {:?}", known.first_key_value());
}

/// What the loss of power leaves of a log: all of it up to some point, then
/// anything. The rows are then as they were after some acknowledged write, and
/// as they were after the last one if its end was not torn.
#[tokio::test]
async fn a_log_whose_end_was_torn_off_gives_the_rows_of_an_earlier_moment() {
    let folder = Folder::new();
    let mut random = fastrand::Rng::with_seed(3);
    // Every write is acknowledged before the next: their order is their count.
    let records = open(&folder).await;
    put(&records, "first", b"0").await.unwrap();
    let mut ends = Vec::new();
    for n in 1..=60_u64 {
        put(&records, &format!("{}", n % 7), n.to_string().as_bytes())
            .await
            .unwrap();
        ends.push(std::fs::metadata(log(&folder)).unwrap().len());
    }
    let (database, log_bytes) = (
        std::fs::read(path(&folder)).unwrap(),
        std::fs::read(log(&folder)).unwrap(),
    );
    records.close().await;
    for _ in 0..100 {
        let torn = random.usize(..=log_bytes.len());
        let after = Folder::new();
        std::fs::create_dir_all(after.path()).unwrap();
        std::fs::write(path(&after), &database).unwrap();
        let mut left = log_bytes[..torn].to_vec();
        let mut noise = vec![0; random.usize(..9_000)];
        random.fill(&mut noise);
        left.extend(noise);
        std::fs::write(log(&after), left).unwrap();
        let flushed = ends.iter().filter(|end| **end <= torn as u64).count() as u64;
        // Before the first flush there may be no database at all yet.
        if flushed == 0 {
            continue;
        }
        let records = open(&after).await;
        for row in 0..7 {
            let last = (1..=flushed).rev().find(|n| n % 7 == row);
            let found = get(&records, &row.to_string()).await;
            let found = found.map(|found| count(&found));
            assert_eq!(found, last, "row {row} after {flushed} writes");
        }
        records.close().await;
        assert_whole(&after);
    }
}

fn log(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("tidegate.db-wal")
}
