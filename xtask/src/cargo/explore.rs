//! Running what explores interleavings: tests that are built with a cfg that is private to this
//! project.
//!
//! - They are built in a target directory of their own, so that they do not disturb other builds.
//! - The environment variables that would make the explorer stop early are removed: what is cut
//!   short would pass.
//! - The line that each prints about itself is collected and printed again at the end. A run in
//!   which none did fails.

use std::path::Path;
use std::process::{Command, ExitCode};

use super::run_looking;
use crate::check::Outcome;
use crate::failure::Failure;
use crate::output::say;

/// The arguments with which a package is tested; its name comes next.
pub const TEST: &[&str] = &[
    "test",
    "--quiet",
    "--locked",
    "--profile",
    "loom",
    "--package",
];

/// A cargo that builds in a folder, under a cfg, into a target directory, with no variable in its
/// environment that begins with `variables`.
pub fn command(cfg: &str, variables: &str, folder: &Path, target: &Path) -> Command {
    let mut command = super::command();
    command
        .current_dir(folder)
        .env("RUSTFLAGS", format!("--cfg {cfg}"))
        .env("CARGO_TARGET_DIR", target);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(variables) {
            command.env_remove(name);
        }
    }
    command
}

/// What a run has explored.
#[derive(Debug)]
pub struct Explored<'p> {
    /// The lines that say so.
    pub lines: Vec<String>,
    /// The packages in which something failed.
    pub failed: Vec<&'p str>,
}

impl Explored<'_> {
    /// What came of it, as a step of a longer command; `remark` sums up the lines.
    pub fn outcome(self, what: &str, remark: impl FnOnce(&[String]) -> String) -> Outcome {
        if !self.failed.is_empty() {
            Outcome::Failed(format!("failures in {}", self.failed.join(", ")))
        } else if self.lines.is_empty() {
            Outcome::Failed(format!("no {what}"))
        } else {
            Outcome::Passed(remark(&self.lines))
        }
    }
}

/// Runs the command of each package, one after the other, and keeps what `report` makes of their
/// lines.
pub fn collect<'p>(
    packages: impl ExactSizeIterator<Item = (&'p str, Command)>,
    report: fn(&str) -> Option<String>,
) -> Result<Explored<'p>, Failure> {
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    let count = packages.len();
    for (place, (package, mut command)) in packages.enumerate() {
        say(format_args!("== {package} ({} of {count})", place + 1));
        if !run_looking(&mut command, |line| lines.extend(report(line)))? {
            failed.push(package);
        }
    }
    Ok(Explored { lines, failed })
}

/// As [`collect`], and prints the lines again.
pub fn packages<'p>(
    what: &str,
    packages: impl ExactSizeIterator<Item = (&'p str, Command)>,
    report: fn(&str) -> Option<String>,
) -> Result<ExitCode, Failure> {
    let Explored { lines, failed } = collect(packages, report)?;
    say(format_args!("\n{} {what}:", lines.len()));
    for line in &lines {
        say(line);
    }
    if !failed.is_empty() {
        let failed = failed.join(", ");
        return Err(Failure::Program(format!("there are failures in: {failed}")));
    }
    if lines.is_empty() {
        return Err(Failure::Program(format!("no {what}: check the names")));
    }
    Ok(ExitCode::SUCCESS)
}
