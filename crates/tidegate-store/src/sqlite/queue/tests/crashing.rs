//! A log whose end was torn off, and a process that is killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const FOLDER: &str = "TIDEGATE_TEST_QUEUE_FOLDER";
const TORN: usize = 200;

fn log(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("tidegate.db-wal")
}

/// What was acknowledged of an entry when the log was so long.
#[derive(Default)]
struct Acknowledged {
    put: u64,
    ended: u64,
}

/// What the loss of power leaves of a log: all of it up to some point, then
/// anything. What was acknowledged before that point is there.
#[tokio::test]
async fn a_log_whose_end_was_torn_off_has_everything_that_was_acknowledged_before() {
    let folder = Folder::new();
    let mut random = fastrand::Rng::with_seed(5);
    let opened = open(folder.path()).await;
    let queue = &opened.queue;
    let length = || std::fs::metadata(log(&folder)).unwrap().len();
    let mut known: Vec<Acknowledged> = Vec::new();
    let mut held = Vec::new();
    for n in 0..20 {
        let id = n.to_string();
        let put = Put {
            key: Some(id.clone()),
            ..entry(&id)
        };
        queue.put(vec![put], MANY).await.unwrap();
        known.push(Acknowledged {
            put: length(),
            ended: u64::MAX,
        });
        if random.bool() {
            for taken in take(queue, random.usize(1..3)).await {
                let version = taken.head.version;
                let holding = Holding {
                    name: taken.head.name.clone(),
                    version,
                    begun: Begun::Yes,
                };
                queue.note(&holding, "word".into()).await.unwrap();
                held.push(taken);
            }
        }
        if random.bool() && !held.is_empty() {
            let entry = held.swap_remove(random.usize(..held.len()));
            let made = queue.change(vec![ending(&entry.head, WELL)]).await.unwrap();
            assert!(matches!(made[0], Changed::To(_)));
            let which: usize = entry.head.name.id.parse().unwrap();
            known[which].ended = length();
        }
    }
    let database = std::fs::read(path(&folder)).unwrap();
    let whole = std::fs::read(log(&folder)).unwrap();
    assert!(whole.len() < 4 << 20, "the log was begun anew meanwhile");
    opened.close().await;
    for _ in 0..TORN {
        let torn = random.usize(..=whole.len());
        if (torn as u64) < known[0].put {
            continue;
        }
        let after = Folder::new();
        std::fs::create_dir_all(after.path()).unwrap();
        std::fs::write(path(&after), &database).unwrap();
        let mut left = whole[..torn].to_vec();
        let mut noise = vec![0; random.usize(..9_000)];
        random.fill(&mut noise);
        left.extend(noise);
        std::fs::write(log(&after), left).unwrap();
        check(&after, &known, torn as u64).await;
    }
}

async fn check(folder: &Folder, known: &[Acknowledged], torn: u64) {
    let opened = open(folder.path()).await;
    let queue = &opened.queue;
    let mut live = 0;
    for (n, known) in known.iter().enumerate() {
        let id = n.to_string();
        let found = queue.get(&name(&id)).await.unwrap();
        assert_eq!(found.is_some(), known.put <= torn, "{id}");
        let Some(found) = found else { continue };
        assert_eq!(found.input, Some(Bytes::from(format!("input of {id}"))));
        let has_ended = found.head.shelf == Shelf::Ended(WELL);
        assert_eq!(has_ended, known.ended <= torn, "{id}");
        assert_eq!(found.result.is_some(), has_ended);
        live += u64::from(!has_ended);
    }
    let counts = queue.counts().await.unwrap().counts;
    let counted = counts.iter().filter(|count| !count.shelf.is_end());
    let counted: u64 = counted.map(|count| count.entries).sum();
    assert_eq!(counted, live);
    opened.close().await;
}

/// This is what runs in the process that is killed: it puts, takes, notes and
/// ends, and says what was acknowledged. By itself it does a little of it.
#[tokio::test]
async fn a_worker_says_what_was_acknowledged() {
    let folder = std::env::var(FOLDER);
    let own = Folder::new();
    let (path, rounds) = match &folder {
        Ok(folder) => (Path::new(folder), u64::MAX),
        Err(_) => (own.path(), 3),
    };
    let opened = open(path).await;
    let queue = &opened.queue;
    for _ in 0..rounds {
        let ids: Vec<String> = (0..5).map(|_| format!("{:x}", fastrand::u64(..))).collect();
        let puts = ids.iter().map(|id| entry(id)).collect();
        queue.put(puts, MANY).await.unwrap();
        for id in &ids {
            println!("put {id}");
        }
        let taken = take(queue, 3).await;
        for entry in &taken {
            let held = Holding {
                name: entry.head.name.clone(),
                version: entry.head.version,
                begun: Begun::Yes,
            };
            assert_eq!(queue.note(&held, "word".into()).await, Ok(true));
            println!("noted {}", entry.head.name.id);
        }
        let ends = taken.iter().skip(1).map(|entry| ending(&entry.head, WELL));
        queue.change(ends.collect()).await.unwrap();
        for entry in taken.iter().skip(1) {
            println!("ended {}", entry.head.name.id);
        }
    }
    opened.close().await;
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_nothing_that_was_acknowledged() {
    let folder = Folder::new();
    let mut said = Vec::new();
    for _ in 0..8 {
        let name = "sqlite::queue::tests::crashing::a_worker_says_what_was_acknowledged";
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", name, "--nocapture", "--quiet"]);
        command.env(FOLDER, folder.path()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (most, mut heard) = (fastrand::usize(20..300), 0);
        for line in lines {
            // The last line may be cut off.
            let Ok(line) = line else { break };
            let Some((what, id)) = line.split_once(' ') else {
                continue;
            };
            if ["put", "noted", "ended"].contains(&what) {
                said.push((what.to_owned(), id.to_owned()));
                heard += 1;
            }
            if heard == most {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(heard >= most, "the worker ended after {heard}");
    }
    let opened = open(folder.path()).await;
    for (what, id) in said {
        let found = opened.queue.get(&name(&id)).await.unwrap();
        let found = found.unwrap_or_else(|| panic!("{id} was acknowledged and is gone"));
        match &*what {
            "ended" => assert_eq!(found.head.shelf, Shelf::Ended(WELL), "{id}"),
            "noted" => assert_eq!(&found.head.note[..], b"word", "{id}"),
            _ => assert!(found.input.is_some()),
        }
    }
    opened.close().await;
}
