//! How far a long command has come.

use std::io::{IsTerminal as _, Write as _};

/// Draws a bar, on a terminal only: elsewhere it would be noise.
pub(super) fn progress(done: usize, all: usize) {
    if !std::io::stderr().is_terminal() || all == 0 {
        return;
    }
    let end = if done == all { "\n" } else { "" };
    let _ = write!(std::io::stderr(), "\r{} {done}/{all}{end}", bar(done, all));
}

/// Draws a line in the place of the one before, on a terminal only: a bar, and
/// what there is to say beside it.
pub(super) fn progress_with(done: usize, all: usize, beside: &str) {
    // What was longer before is wiped out.
    let _ = write!(
        std::io::stderr(),
        "\r\x1b[2K{} {beside}",
        bar(done.min(all), all.max(1))
    );
}

/// Ends the line of a bar.
pub(super) fn progress_over() {
    let _ = write!(std::io::stderr(), "\r\x1b[2K");
}

fn bar(done: usize, all: usize) -> String {
    const WIDTH: usize = 24;
    let full = done.saturating_mul(WIDTH) / all;
    format!("[{}{}]", "#".repeat(full), ".".repeat(WIDTH - full))
}
