//! How far a long command has come.

use std::io::{IsTerminal as _, Write as _};

/// Draws a bar, on a terminal only: elsewhere it would be noise.
pub(super) fn progress(done: usize, all: usize) {
    const WIDTH: usize = 24;
    if !std::io::stderr().is_terminal() || all == 0 {
        return;
    }
    let full = done * WIDTH / all;
    let bar = "#".repeat(full) + &".".repeat(WIDTH - full);
    let end = if done == all { "\n" } else { "" };
    let _ = write!(std::io::stderr(), "\r[{bar}] {done}/{all}{end}");
}
