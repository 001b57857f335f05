//! The one envelope of bytes that lie outside of this process.
//!
//! ```text
//!  0       version
//!  1       flags: bit 0 says that the body is one zstd frame
//!  2..10   checksum of what the envelope is bound to and of all other bytes
//! 10..18   made at      milliseconds of the server's clock, little endian like
//! 18..26   expires at   every number here
//! 26..30   bytes of the value
//! 30..34   bytes of the notes
//! 34..     notes, then the body
//! ```
//!
//! An envelope is bound to where it lies, so bytes that were moved to another
//! name cannot be read there. Whatever is wrong with it is an [`Unreadable`]:
//! no field is believed before the checksum has held, and no length after it
//! makes this process take more memory than the bytes at hand can be worth.

use std::io::Read;

use bytes::Bytes;

use crate::error::StoreError;

/// Bytes of the largest value that is kept anywhere.
pub(crate) const MOST_VALUE_BYTES: usize = 16 << 20;
/// Values above this are compressed.
const COMPRESSED_FROM: usize = 1_024;
/// The fastest level: values are read more often than written, and the network
/// costs less than the higher ones.
const LEVEL: i32 = 1;
/// A frame may be worth this many times its own bytes, and a little more.
/// What compresses better is kept as it is, so nothing honest is refused.
const MOST_RATIO: usize = 256;
const FREE_BYTES: usize = 64 << 10;
/// No frame of ours needs a larger window (4 MiB).
const MOST_WINDOW_LOG: u32 = 22;

const VERSION: u8 = 1;
const ZSTD: u8 = 1;
const HEADER_BYTES: usize = 34;

/// What an envelope holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// When it was made, in milliseconds of the server's clock.
    pub(crate) made_ms: u64,
    /// When it expires, in milliseconds of the server's clock.
    pub(crate) expires_ms: u64,
    /// What else is to be known about it.
    pub(crate) notes: Vec<u8>,
    /// What it is about.
    pub(crate) value: Bytes,
}

/// Why an envelope cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Another version of this program wrote it, or none.
    #[error("an envelope of a known version")]
    Version,
    /// It is not what was written, or lies elsewhere.
    #[error("an intact envelope")]
    Damaged,
    /// It claims to be larger than it may be.
    #[error("an envelope of a bounded size")]
    Size,
}

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> Self {
        let what = match unreadable {
            Unreadable::Version => "an envelope of a known version",
            Unreadable::Damaged => "an intact envelope",
            Unreadable::Size => "an envelope of a bounded size",
        };
        Self::Corrupt { what }
    }
}

/// Writes an envelope that can only be read where it is bound to. `None` where
/// the value is larger than [`MOST_VALUE_BYTES`].
pub(crate) fn seal(bound_to: &[u8], envelope: &Envelope) -> Option<Vec<u8>> {
    let value = &envelope.value;
    if value.len() > MOST_VALUE_BYTES {
        return None;
    }
    let value_bytes = u32::try_from(value.len()).ok()?;
    let notes_bytes = u32::try_from(envelope.notes.len()).ok()?;
    let compressed = compress(value);
    let body = compressed.as_deref().unwrap_or(value);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + envelope.notes.len() + body.len());
    bytes.push(VERSION);
    bytes.push(if compressed.is_some() { ZSTD } else { 0 });
    bytes.extend([0; 8]);
    bytes.extend(envelope.made_ms.to_le_bytes());
    bytes.extend(envelope.expires_ms.to_le_bytes());
    bytes.extend(value_bytes.to_le_bytes());
    bytes.extend(notes_bytes.to_le_bytes());
    bytes.extend(&envelope.notes);
    bytes.extend(body);
    let checksum = checksum(bound_to, &bytes);
    bytes[2..10].copy_from_slice(&checksum);
    Some(bytes)
}

/// Reads an envelope that lies where it is bound to.
pub(crate) fn open(bound_to: &[u8], bytes: &Bytes) -> Result<Envelope, Unreadable> {
    if *bytes.first().ok_or(Unreadable::Damaged)? != VERSION {
        return Err(Unreadable::Version);
    }
    if bytes.len() < HEADER_BYTES || bytes[2..10] != checksum(bound_to, bytes) {
        return Err(Unreadable::Damaged);
    }
    let value_bytes = number::<4>(bytes, 26);
    let notes_bytes = number::<4>(bytes, 30);
    let value_bytes = usize::try_from(value_bytes).map_err(|_| Unreadable::Size)?;
    let notes_bytes = usize::try_from(notes_bytes).map_err(|_| Unreadable::Size)?;
    if value_bytes > MOST_VALUE_BYTES || notes_bytes > bytes.len() - HEADER_BYTES {
        return Err(Unreadable::Size);
    }
    let notes = bytes[HEADER_BYTES..HEADER_BYTES + notes_bytes].to_vec();
    let body = bytes.slice(HEADER_BYTES + notes_bytes..);
    let value = match bytes[1] {
        0 if body.len() == value_bytes => body,
        0 => return Err(Unreadable::Size),
        ZSTD => decompress(&body, value_bytes)?,
        _ => return Err(Unreadable::Version),
    };
    Ok(Envelope {
        made_ms: number::<8>(bytes, 10),
        expires_ms: number::<8>(bytes, 18),
        notes,
        value,
    })
}

/// The value in fewer bytes, where that pays and can be undone within bounds.
fn compress(value: &[u8]) -> Option<Vec<u8>> {
    if value.len() <= COMPRESSED_FROM {
        return None;
    }
    let frame = zstd::bulk::compress(value, LEVEL).ok()?;
    (frame.len() < value.len() && value.len() <= most_from(frame.len())).then_some(frame)
}

/// Stops reading one byte after what was claimed, whatever the frame would
/// still have in it.
fn decompress(frame: &[u8], claimed: usize) -> Result<Bytes, Unreadable> {
    if claimed > most_from(frame.len()) {
        return Err(Unreadable::Size);
    }
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(frame).map_err(|_| Unreadable::Damaged)?;
    decoder
        .window_log_max(MOST_WINDOW_LOG)
        .map_err(|_| Unreadable::Damaged)?;
    let mut value = Vec::with_capacity(claimed + 1);
    let most = u64::try_from(claimed).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(most)
        .read_to_end(&mut value)
        .map_err(|_| Unreadable::Damaged)?;
    if value.len() != claimed {
        return Err(Unreadable::Size);
    }
    Ok(value.into())
}

/// What so many compressed bytes may be worth.
fn most_from(frame_bytes: usize) -> usize {
    frame_bytes
        .saturating_mul(MOST_RATIO)
        .saturating_add(FREE_BYTES)
        .min(MOST_VALUE_BYTES)
}

/// Of everything but itself. A strong hash and not a cyclic sum: those let a
/// splice of two intact envelopes through too often.
fn checksum(bound_to: &[u8], bytes: &[u8]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(
        &u64::try_from(bound_to.len())
            .unwrap_or(u64::MAX)
            .to_le_bytes(),
    );
    hasher.update(bound_to);
    hasher.update(&bytes[..2]);
    hasher.update(&bytes[10..]);
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    checksum
}

/// The little-endian number of `N` bytes at a place that is there.
fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests;
