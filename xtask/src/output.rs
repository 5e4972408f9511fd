//! Lines on the terminal.
//!
//! A reader that has gone away (`cargo xtask check | head`) is no reason to stop: what cannot be
//! written is dropped, and the exit code still tells.

use std::fmt::Display;
use std::io::Write as _;

/// Writes a line to standard output.
pub fn say(line: impl Display) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// Writes an error to standard error.
pub fn complain(error: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "error: {error}");
}
