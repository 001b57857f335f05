//! The threads that read.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{OpenError, StoreError};
use crate::records::Record;
use crate::sqlite::clock::Clock;
use crate::sqlite::desk::{Desk, Queue};
use crate::sqlite::file::DatabaseFile;
use crate::sqlite::look;
use crate::sqlite::rows::{self, Key};
use crate::state::Remark;

/// More than these wait for the same disk.
const MOST_READERS: usize = 4;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of a reader.
pub(super) enum Question {
    Get(Key, Reply<Option<Record>>),
    List(List, Reply<Vec<Record>>),
    Look(Reply<Vec<Remark>>),
    Else(Look),
}

/// A question of another room.
pub(super) type Look = Box<dyn FnOnce(&Connection, Clock) + Send>;

/// What is to be listed.
pub(super) struct List {
    pub(super) table: &'static str,
    pub(super) owner: String,
    pub(super) group: String,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

pub(super) fn start(file: &DatabaseFile, clock: Clock) -> Result<Desk<Question>, OpenError> {
    let (desk, queue) = Desk::new();
    let queue = Arc::new(Mutex::new(queue));
    let readers = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..readers.clamp(2, MOST_READERS) {
        let reader = Reader {
            db: file.open_to_read()?,
            file: file.clone(),
            clock,
            queue: queue.clone(),
        };
        let thread = thread::Builder::new().name("sqlite-read".to_owned());
        let thread = thread.spawn(move || reader.run());
        desk.keep(thread.map_err(|error| file.unusable(&error))?);
    }
    Ok(desk)
}

struct Reader {
    db: Connection,
    file: DatabaseFile,
    clock: Clock,
    queue: Arc<Mutex<Queue<Question>>>,
}

impl Reader {
    fn run(self) {
        loop {
            let next = {
                let queue = self.queue.lock();
                queue.unwrap_or_else(PoisonError::into_inner).recv()
            };
            match next {
                Ok(asked) => self.answer(asked.job),
                Err(_) => return,
            }
        }
    }

    /// Somebody who does not wait any more gets no answer.
    fn answer(&self, question: Question) {
        match question {
            Question::Get(key, reply) if !reply.is_closed() => {
                reply.send(rows::get(&self.db, &key, self.clock)).ok();
            }
            Question::List(list, reply) if !reply.is_closed() => {
                reply.send(rows::list(&self.db, &list, self.clock)).ok();
            }
            Question::Look(reply) => {
                reply.send(look::remarks(&self.db, &self.file)).ok();
            }
            Question::Else(answer) => answer(&self.db, self.clock),
            Question::Get(..) | Question::List(..) => {}
        }
    }
}
