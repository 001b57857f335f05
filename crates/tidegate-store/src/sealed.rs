//! Rows as they are stored: in an envelope that is bound to their names.

use bytes::Bytes;

use crate::codec::{self, Envelope, MOST_VALUE_BYTES};
use crate::error::StoreError;
use crate::records::{Row, RowKey};

/// Above this, packing and unpacking take long enough to hold up others.
const LARGE_BYTES: usize = 256 << 10;

/// Everything that names a row, so that no two rows have the same.
pub(crate) fn names(key: RowKey<'_>, group: &str) -> Vec<u8> {
    let mut names = Vec::new();
    for name in [key.table, key.owner, key.id, group] {
        names.extend((name.len() as u64).to_le_bytes());
        names.extend(name.as_bytes());
    }
    names
}

/// Packs a row's value.
///
/// # Errors
/// [`StoreError::Refused`] when it is larger than a row may be.
pub(crate) async fn seal(key: RowKey<'_>, row: Row<'_>) -> Result<Vec<u8>, StoreError> {
    let bytes = row.value.len();
    check_size(bytes)?;
    let names = names(key, row.group);
    let envelope = Envelope {
        value: Bytes::copy_from_slice(row.value),
        ..Envelope::default()
    };
    let pack = move || codec::seal(&names, &envelope).ok_or_else(|| too_large(bytes));
    beside(bytes, pack).await
}

/// Unpacks a row's value.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what was packed under these names.
pub(crate) fn open(names: &[u8], stored: Vec<u8>) -> Result<Bytes, StoreError> {
    let envelope = codec::open(names, &Bytes::from(stored))?;
    Ok(envelope.value)
}

/// Runs work over so many bytes where it holds up nobody.
pub(crate) async fn beside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= LARGE_BYTES {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

/// Refuses what no home keeps.
///
/// # Errors
/// [`StoreError::Refused`] says how much is kept.
pub(crate) fn check_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > MOST_VALUE_BYTES {
        return Err(too_large(bytes));
    }
    Ok(())
}

fn too_large(bytes: usize) -> StoreError {
    let reason = format!("a row of {bytes} bytes; at most {MOST_VALUE_BYTES} are kept");
    StoreError::Refused { reason }
}
