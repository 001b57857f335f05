//! What whoever runs the gateway should know of the file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use crate::error::StoreError;
use crate::sqlite::failure::{Stage, store_error};
use crate::sqlite::file::DatabaseFile;
use crate::state::{Remark, Weight};

/// A log that stays larger is held back by somebody who reads.
const MUCH_LOG: u64 = 256 << 20;

pub(super) fn remarks(db: &Connection, file: &DatabaseFile) -> Result<Vec<Remark>, StoreError> {
    let mut remarks = vec![summary(db, file).map_err(|e| store_error(&e, Stage::Before))?];
    let log = size(&file.log());
    if log > MUCH_LOG {
        let log = mib(log);
        remarks.push(warning(format!(
            "the log of the database has grown to {log} MiB: \
             another process has been reading it for long; end that one"
        )));
    }
    if is_open_to_others(file.path()) {
        let path = file.path().display();
        remarks.push(warning(format!(
            "other users of this machine can read {path}: chmod 600 it and its -wal and -shm"
        )));
    }
    Ok(remarks)
}

pub(super) fn fault(error: &StoreError) -> Remark {
    Remark {
        weight: Weight::Fault,
        text: error.to_string(),
    }
}

fn summary(db: &Connection, file: &DatabaseFile) -> rusqlite::Result<Remark> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous = match number("synchronous")? {
        2 => "full",
        1 => "normal",
        3 => "extra",
        _ => "off",
    };
    let free = number("freelist_count")? * number("page_size")?;
    let text = format!(
        "records are in {}: {} MiB, {} MiB of it free for new ones, log {} MiB, \
         schema {}, journal {mode}, synchronous {synchronous}",
        file.path().display(),
        mib(size(file.path())),
        mib(free.max(0).cast_unsigned()),
        mib(size(&file.log())),
        number("user_version")?,
    );
    Ok(Remark {
        weight: Weight::Note,
        text,
    })
}

fn warning(text: String) -> Remark {
    let weight = Weight::Warning;
    Remark { weight, text }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
