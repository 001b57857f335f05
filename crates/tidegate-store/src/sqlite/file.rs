//! The file: made, checked and brought to the schema of this version.

use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Error, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::OpenError;
use crate::sqlite::failure;

const NAME: &str = "tidegate.db";
/// `tide`, so that the file of another program is not mistaken for ours.
const APPLICATION: i32 = 0x7469_6465;
/// How long a transaction waits for one of another process.
const BUSY: Duration = Duration::from_secs(2);
/// A larger file is not read through when it is opened: this much takes about
/// a tenth of a second.
const MOST_CHECKED_BYTES: u64 = 64 << 20;
/// The log is cut back to this after a burst.
const LOG_BYTES: i64 = 16 << 20;

/// What makes each version of the schema out of the one before. Entries are
/// added, never changed.
pub(super) const STEPS: [&str; 2] = [
    "
    CREATE TABLE record (
        tbl TEXT NOT NULL,
        owner TEXT NOT NULL,
        id TEXT NOT NULL,
        grp TEXT NOT NULL,
        version INTEGER NOT NULL,
        until INTEGER,
        seal INTEGER NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (tbl, owner, id)
    ) STRICT;
    CREATE INDEX record_by_group ON record (tbl, owner, grp, id);
    CREATE INDEX record_by_until ON record (until) WHERE until IS NOT NULL;
    CREATE TABLE version (last INTEGER NOT NULL) STRICT;
    INSERT INTO version (last) VALUES (0);
",
    include_str!("queue/schema.sql"),
];

/// The database's file.
#[derive(Debug, Clone)]
pub(super) struct DatabaseFile {
    path: PathBuf,
}

impl DatabaseFile {
    /// Makes the folder and an empty file where they are missing, for this user
    /// alone: SQLite gives its log the rights of the database.
    pub(super) fn at(folder: &Path) -> Result<Self, OpenError> {
        let made = make_folder(folder);
        made.map_err(|error| unusable(folder, &error))?;
        let path = folder.join(NAME);
        let made = make_file(&path, folder);
        made.map_err(|error| unusable(&path, &error))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The log beside the database.
    pub(super) fn log(&self) -> PathBuf {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        log.into()
    }

    pub(super) fn unusable(&self, reason: &io::Error) -> OpenError {
        unusable(&self.path, reason)
    }

    pub(super) fn open_to_write(&self) -> Result<Connection, OpenError> {
        let opened = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE);
        let mut db = opened.map_err(|error| self.explain(&error))?;
        let bytes = fs::metadata(&self.path).map_err(|error| self.unusable(&error))?;
        self.prepare(&mut db)?;
        let damage = check(&db, bytes.len()).map_err(|error| self.explain(&error))?;
        match damage {
            None => Ok(db),
            Some(damage) => Err(self.refuse(damaged(&damage))),
        }
    }

    pub(super) fn open_to_read(&self) -> Result<Connection, OpenError> {
        let opened = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY);
        opened.map_err(|error| self.explain(&error))
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&self.path, flags)?;
        db.busy_timeout(BUSY)?;
        db.set_prepared_statement_cache_capacity(64);
        db.pragma_update(None, "trusted_schema", false)?;
        db.pragma_update(None, "cell_size_check", true)?;
        // With NORMAL, what was acknowledged last is lost with the power.
        db.pragma_update(None, "synchronous", "FULL")?;
        Ok(db)
    }

    /// Brings the file to this version's schema.
    fn prepare(&self, db: &mut Connection) -> Result<(), OpenError> {
        let explain = |error: Error| self.explain(&error);
        let mode = to_log_ahead(db).map_err(explain)?;
        if mode != "wal" {
            let reason = format!(
                "its file system allows no write-ahead log ({mode}): use a folder on a local disk"
            );
            return Err(self.refuse(reason));
        }
        // Whoever writes meanwhile keeps nobody from opening what is up to date.
        if is_current(db).map_err(explain)? {
            return Ok(());
        }
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.map_err(explain)?;
        self.migrate(&transaction)?;
        transaction.commit().map_err(explain)
    }

    fn migrate(&self, db: &Transaction<'_>) -> Result<(), OpenError> {
        let explain = |error: Error| self.explain(&error);
        let (application, schema) = marks(db).map_err(explain)?;
        let is_empty = !db
            .prepare("SELECT 1 FROM sqlite_schema")
            .and_then(|mut any| any.exists([]))
            .map_err(explain)?;
        if application != APPLICATION && !(is_empty && schema == 0) {
            let reason = "it belongs to another program: name another folder";
            return Err(self.refuse(reason));
        }
        let newest = newest();
        if schema > newest {
            let reason = format!(
                "it has schema {schema} and this version knows {newest}: \
                 run the version that wrote it, or a newer one"
            );
            return Err(self.refuse(reason));
        }
        let done = usize::try_from(schema).unwrap_or_default();
        for step in &STEPS[done..] {
            db.execute_batch(step).map_err(explain)?;
        }
        if schema < newest {
            let mark = |name, value: i32| db.pragma_update(None, name, value);
            mark("application_id", APPLICATION).map_err(explain)?;
            mark("user_version", newest).map_err(explain)?;
        }
        Ok(())
    }

    fn refuse(&self, reason: impl Into<String>) -> OpenError {
        OpenError::File {
            path: self.path.display().to_string(),
            reason: reason.into(),
        }
    }

    fn explain(&self, error: &Error) -> OpenError {
        let reason = match failure::code(error) {
            ErrorCode::NotADatabase => {
                "it is no SQLite database: move it away, or name another folder".to_owned()
            }
            _ if failure::is_unreadable(error) => damaged(&error.to_string()),
            _ => failure::reason(error),
        };
        self.refuse(reason)
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)?;
    // A folder whose entry is lost with the power takes the database with it.
    match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => File::open(above)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

fn make_file(path: &Path, folder: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Ok(file) => file
            .sync_all()
            .and_then(|()| File::open(folder)?.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whose the file is, and the version of its schema.
fn marks(db: &Connection) -> rusqlite::Result<(i32, i32)> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    Ok((number("application_id")?, number("user_version")?))
}

/// The version of the schema that this program writes.
fn newest() -> i32 {
    i32::try_from(STEPS.len()).unwrap_or(i32::MAX)
}

fn is_current(db: &Connection) -> rusqlite::Result<bool> {
    Ok(marks(db)? == (APPLICATION, newest()))
}

/// Two processes that open a new file at once lock each other out here, and
/// SQLite does not wait for this lock by itself.
fn to_log_ahead(db: &Connection) -> rusqlite::Result<String> {
    let switch =
        || db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
    let mut mode = switch();
    for _ in 0..50 {
        match &mode {
            Err(error) if failure::code(error) == ErrorCode::DatabaseBusy => {}
            Ok(_) | Err(_) => break,
        }
        std::thread::park_timeout(Duration::from_millis(20));
        mode = switch();
    }
    db.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    mode
}

/// What is wrong with the file, as far as that can be seen in a short time.
fn check(db: &Connection, bytes: u64) -> rusqlite::Result<Option<String>> {
    if bytes > MOST_CHECKED_BYTES {
        db.query_row("SELECT last FROM version", [], |row| row.get::<_, i64>(0))?;
        db.prepare("SELECT 1 FROM record ORDER BY tbl, owner, id")?
            .exists([])?;
        return Ok(None);
    }
    let found = db.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0))?;
    Ok((found != "ok").then_some(found))
}

fn damaged(what: &str) -> String {
    let what = what.lines().last().unwrap_or_default();
    format!(
        "it is damaged ({what}): put a copy in its place, \
         or move {NAME}, {NAME}-wal and {NAME}-shm away to begin with an empty one"
    )
}

fn unusable(path: &Path, error: &impl Display) -> OpenError {
    OpenError::File {
        path: path.display().to_string(),
        reason: format!("{error}: let this user write the folder, or name another one"),
    }
}
