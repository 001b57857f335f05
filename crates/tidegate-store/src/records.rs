//! Rows that outlive the process.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::StoreError;

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey<'a> {
    /// What kind of row it is.
    pub table: &'static str,
    /// Whose it is; rows of different owners never meet.
    pub owner: &'a str,
    /// Which one.
    pub id: &'a str,
}

/// A row as it is written.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Opaque; at most 16 MiB.
    pub value: &'a [u8],
    /// By what it is listed, besides its owner: a session's user.
    pub group: &'a str,
    /// How long it is kept after this; `None` until it is deleted.
    pub ttl: Option<Duration>,
}

/// A row as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The row's id.
    pub id: String,
    /// Opaque.
    pub value: Bytes,
    /// By what it is listed.
    pub group: String,
    /// Grows with every write.
    pub version: u64,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the row is new.
    Absent,
    /// The version that was read.
    Version(u64),
    /// Whatever is there is replaced.
    Anything,
}

/// Why a row was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote it, or deleted it, since it was read.
    #[error("changed by somebody else")]
    Conflict,
    /// The home has not done it, or cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A part of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The last id of the page before.
    pub after: Option<&'a str>,
    /// Rows at most.
    pub limit: usize,
}

/// A home of rows. A write that was acknowledged is there after a crash of the
/// process; the memory home says that it is not one for that.
///
/// A version is never given twice, not even to a row that is written anew after
/// its deletion. A row whose time is over is absent for everybody, and removed a
/// little later.
///
/// Dropping the future of a write leaves open whether it was written.
#[async_trait]
pub trait Records: Send + Sync + fmt::Debug {
    /// The row, unless it is absent or has expired.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn get(&self, key: RowKey<'_>) -> Result<Option<Record>, StoreError>;

    /// Writes the row and returns its new version. A row without a time that
    /// replaces one with a time is kept until it is deleted.
    ///
    /// # Errors
    /// [`WriteError`] when nothing was written, or nobody can say. After
    /// [`StoreError::Unreachable`] it may have been written, or may be yet: read
    /// the row again, and write again only if its version is still the one that
    /// was expected. The same write with [`Expect::Version`] or
    /// [`Expect::Absent`] is then safe, as only one of the two can succeed.
    async fn put(&self, key: RowKey<'_>, row: Row<'_>, expect: Expect) -> Result<u64, WriteError>;

    /// Lets the row live for `ttl` from now on; false where there is none. Its
    /// version stays.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn touch(&self, key: RowKey<'_>, ttl: Duration) -> Result<bool, StoreError>;

    /// Deletes the row; false where there is none. One that is absent is not as
    /// [`Expect::Version`] expects.
    ///
    /// # Errors
    /// [`WriteError`] when it is not as expected, or nobody can say.
    async fn delete(&self, key: RowKey<'_>, expect: Expect) -> Result<bool, WriteError>;

    /// The rows of one owner and group, in the order of their ids, without
    /// looking at any others. A page with fewer than its limit is the last one.
    /// Rows that are written meanwhile may be in it or not.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say, or one row of the page cannot be
    /// read.
    async fn list(
        &self,
        table: &'static str,
        owner: &str,
        group: &str,
        page: Page<'_>,
    ) -> Result<Vec<Record>, StoreError>;
}
