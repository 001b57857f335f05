//! What SQLite's errors mean to a caller.

use rusqlite::{Error, ErrorCode};

use crate::error::StoreError;

/// How far a change had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing was written.
    Before,
    /// The disk was told to keep it, and may have done so.
    Commit,
}

pub(super) fn code(error: &Error) -> ErrorCode {
    error.sqlite_error_code().unwrap_or(ErrorCode::Unknown)
}

/// Whether every other change would fail in the same way.
pub(super) fn concerns_all(error: &Error) -> bool {
    matches!(
        code(error),
        ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::ReadOnly
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen
    )
}

pub(super) fn store_error(error: &Error, stage: Stage) -> StoreError {
    if is_unreadable(error) {
        let what = "the database file";
        return StoreError::Corrupt { what };
    }
    let reason = reason(error);
    match (stage, code(error)) {
        // Whether the flush came through is not known: after a crash the rows
        // may be there.
        (Stage::Commit, ErrorCode::SystemIoFailure) => StoreError::Unreachable { reason },
        _ => StoreError::Refused { reason },
    }
}

/// Whether what was read is not what SQLite, or this crate, has written.
pub(super) fn is_unreadable(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(..) => matches!(
            code(error),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
        ),
        Error::InvalidColumnType(..)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => true,
        _ => false,
    }
}

/// What happened, and what to do, without keys and values.
pub(super) fn reason(error: &Error) -> String {
    let known = match code(error) {
        ErrorCode::DiskFull => "the disk is full: make room on it",
        ErrorCode::ReadOnly => {
            "the database can only be read: let this user write the file and its folder"
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            "another process keeps the database locked: end it, or wait for it"
        }
        ErrorCode::CannotOpen => {
            "the database or its log cannot be opened: let this user write the folder"
        }
        ErrorCode::PermissionDenied => "no right to the database: let this user write the folder",
        ErrorCode::TooBig => "the row is too large for the database",
        ErrorCode::OutOfMemory => "no memory left",
        ErrorCode::SystemIoFailure => {
            return format!("the disk fails ({error}): look at the system's log");
        }
        _ => return error.to_string(),
    };
    known.to_owned()
}
