//! What was typed after `cargo xtask demo`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What `--help` prints.
pub const HELP: &str = "\
usage: cargo xtask demo [--json] [--data DIR]

Plays a day of access decisions, approvals and an incident, one line a step.

  --data DIR  play the files of DIR instead of docs/demo: policy.json, approvals.json,
              invocation.json, limits.json and day.jsonl
  --json      print one JSON object a step, and no summary
  --help      print this

Colours are used on a terminal unless NO_COLOR is set.
Exit code: 0 all is well, 1 a step came out differently from its `expect`, 2 bad arguments or files.
";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To be told how to use the program.
    Help,
    /// To see a day.
    Day(Arguments),
}

/// How to play the day.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The directory with the files.
    pub data: PathBuf,
    /// One JSON object a step instead of lines for people.
    pub json: bool,
}

/// Reads the arguments.
pub fn parse(arguments: &[OsString]) -> Result<Wanted, String> {
    let mut wanted = Arguments {
        data: shipped(),
        json: false,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Wanted::Help),
            Some("--json") => wanted.json = true,
            Some("--data") => {
                let directory = arguments.next();
                wanted.data = directory
                    .ok_or("`--data` names no directory: write `--data DIR`")?
                    .into();
            }
            _ => {
                let shown = argument.to_string_lossy();
                return Err(match shown.strip_prefix("--data=") {
                    Some(directory) => format!("`{shown}` is unknown: write `--data {directory}`"),
                    None => format!("`{shown}` is unknown: use --json, --data DIR or --help"),
                });
            }
        }
    }
    Ok(Wanted::Day(wanted))
}

/// The files that come with the project.
pub fn shipped() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).join("docs/demo")
}
