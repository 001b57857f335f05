//! Text on its way to a writer of bytes.

use std::fmt;
use std::io;

use super::error::EncodeError;

/// Hands `write` a writer of text over `out`, and gives back the error of `out`
/// where there was one.
pub(super) fn through<W: io::Write>(
    out: W,
    write: impl FnOnce(&mut Utf8<W>) -> fmt::Result,
) -> io::Result<()> {
    let mut text = Utf8 {
        out: io::BufWriter::with_capacity(64 * 1024, out),
        error: None,
    };
    match write(&mut text) {
        Ok(()) => io::Write::flush(&mut text.out),
        Err(fmt::Error) => Err(text.error.unwrap_or_else(|| io::ErrorKind::Other.into())),
    }
}

/// An error about the value as one of writing.
pub(super) fn invalid(error: EncodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// A writer of bytes as a writer of text, which keeps its error.
pub(super) struct Utf8<W: io::Write> {
    out: io::BufWriter<W>,
    error: Option<io::Error>,
}

impl<W: io::Write> fmt::Write for Utf8<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        io::Write::write_all(&mut self.out, text.as_bytes()).map_err(|error| {
            self.error = Some(error);
            fmt::Error
        })
    }
}
