//! A file that tells what the upstream saw, one JSON line per request.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;

use serde::Serialize;

/// Appends entries to a file; keeps the first failure instead of losing it.
#[derive(Debug)]
pub(crate) struct Journal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: BufWriter<File>,
    failure: Option<io::Error>,
}

/// What is written of one request when it ends.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    /// Number of the request, from 1.
    pub(crate) n: u64,
    /// When it arrived, in milliseconds since the start of the mock.
    pub(crate) at_ms: u64,
    pub(crate) model: String,
    pub(crate) behavior: String,
    pub(crate) stream: bool,
    /// Tokens of the prompt and of an ordinary answer to it.
    pub(crate) tokens: u64,
    /// Requests in flight when it arrived, itself included.
    pub(crate) in_flight: u64,
    pub(crate) ended: Ended,
    pub(crate) x_request_id: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    /// The answer was handed over as a whole.
    Complete,
    /// The client went away first.
    ClientLeft,
    /// The mock played a fault to its end, or was shut down.
    Faulted,
}

impl Journal {
    /// Opens `path` for appending.
    pub(crate) fn append(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            state: Mutex::new(State {
                file: BufWriter::new(file),
                failure: None,
            }),
        })
    }

    /// Writes one line, at once, so that it survives a kill.
    pub(crate) fn write(&self, entry: &Entry) {
        let mut line = serde_json::to_vec(entry).expect("an entry is always valid JSON");
        line.push(b'\n');
        let mut state = self.state.lock().expect("writing does not panic");
        let State { file, failure } = &mut *state;
        if let Err(error) = file.write_all(&line).and_then(|()| file.flush()) {
            failure.get_or_insert(error);
        }
    }

    /// The first line that could not be written, as an error.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        let failure = self
            .state
            .lock()
            .expect("writing does not panic")
            .failure
            .take();
        failure.map_or(Ok(()), Err)
    }
}
