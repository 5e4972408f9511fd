//! `cargo xtask faults`: what is left of a SQLite file when something goes wrong while it is
//! written or after; the long form of the test program `faults` of `countersign-sqlite`.
//!
//! - **Kill**: processes that write are killed by SIGKILL at drawn moments, some of them beside
//!   another process that writes on. Each acknowledged write is there afterwards, as it was
//!   acknowledged; each other one is wholly there or wholly not, and repeating it does nothing
//!   twice. Records, rows, histories, ledgers, lists and the stream of changes tell the same, what
//!   was there before is as it was, `verify` with the heads noted before finds nothing, and one
//!   active emergency, quotas and terminal states hold.
//! - **Lock**: a process reads its own file by other means, which ends its locks, while another comes
//!   and goes: nothing acknowledged is lost, whether it is one of ours or another program, which
//!   removes the log; the latter is said before anything is answered.
//! - **Lost**: a file or log that is deleted, moved or replaced between calls or within one: that
//!   call and every later one says so. **Trim**: the log is written back, and becomes small again
//!   after a long read.
//! - **Room**: on a small file system that something else fills, calls say that the disk is full
//!   and change nothing; what was written stays readable, and writes go on when there is room.
//! - **Outgrown**: commits of a process whose files may not grow further fail as on a broken disk and
//!   say that the change may have been made; repeating it does nothing twice.
//! - **Permission**, **mount**: a file, folder or file system that cannot be written is refused in
//!   words, and nothing is lost.
//! - **Damage**, **log**: flipped, zeroed and missing bytes are noticed when the file is opened,
//!   read or verified; what is read all the same is what was written, or `verify` tells. A
//!   write-ahead log that is not whole takes back the last writes, whole ones; the noted head tells.
//!
//! The checks are shown what they must find: a process that acknowledges before it writes, and
//! files from which a write is missing (**early**, **planted**).
//!
//! SIGKILL leaves what a process gave to the system: the loss of power is not tried. That a write
//! survives it rests on SQLite's `synchronous=FULL` and on a disk that writes what it says.
//!
//! Each claim's line is collected and printed again at the end, with what was looked at. What a
//! machine does not allow (mounting) is skipped by name; a run that looked at nothing fails, and
//! so does one in which no kill hit a write.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::cargo::{self, Workspace, explore};
use crate::check::Outcome;
use crate::failure::Failure;

/// The line in the list of commands.
pub const HELP: &str = "kill writers, fill disks, damage files, and look at what is left [--kills N, or 500] [--seed N]";

const PACKAGE: &str = "countersign-sqlite";

/// How many kills, damaged files and damaged logs there are in the step of `cargo xtask extended`.
const STEP: u64 = 100;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    kills: u64,
    seed: Option<u64>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            kills: 500,
            seed: None,
        }
    }
}

/// Does as much as asked for.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let wanted = parse(arguments)?;
    let workspace = Workspace::load()?;
    explore::packages("claims", commands(&workspace, &wanted), report)
}

/// The short form, as a step of `cargo xtask extended`.
pub fn step(workspace: &Workspace) -> Result<Outcome, Failure> {
    let wanted = Wanted {
        kills: STEP,
        ..Wanted::default()
    };
    let explored = explore::collect(commands(workspace, &wanted), report)?;
    Ok(explored.outcome("claim", summary))
}

fn commands(
    workspace: &Workspace,
    wanted: &Wanted,
) -> impl ExactSizeIterator<Item = (&'static str, Command)> {
    std::iter::once((PACKAGE, command(workspace, wanted)))
}

fn command(workspace: &Workspace, wanted: &Wanted) -> Command {
    let mut command = cargo::command();
    command
        .current_dir(&workspace.root)
        .env("COUNTERSIGN_KILLS", wanted.kills.to_string());
    if let Some(seed) = wanted.seed {
        command.env("COUNTERSIGN_SEED", seed.to_string());
    }
    command.args(["test", "--quiet", "--locked", "--all-features"]);
    command.args(["--package", PACKAGE, "--test", "faults"]);
    command.args(["--", "--nocapture"]);
    command
}

fn parse(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().and_then(|value| value.to_str()?.parse().ok());
        match (flag.to_str(), value) {
            (Some("--kills"), Some(kills)) if kills > 0 => wanted.kills = kills,
            (Some("--seed"), Some(seed)) => wanted.seed = Some(seed),
            _ => {
                return Err(Failure::Usage(format!(
                    "`cargo xtask faults` does not know `{}`; it takes `--kills N`, at least 1, \
                     and `--seed N`",
                    flag.to_string_lossy()
                )));
            }
        }
    }
    Ok(wanted)
}

/// The line in which a claim says what was looked at, or why it was skipped.
fn report(line: &str) -> Option<String> {
    let claim = line.get(line.find("faults ")?..)?;
    let (name, said) = claim.strip_prefix("faults ")?.split_once(": ")?;
    let is_claim = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase());
    (is_claim && !said.starts_with(BEGINS)).then(|| claim.to_owned())
}

/// What a claim says before it has looked at anything.
const BEGINS: &str = "everything is drawn from ";

/// How many claims held, and which were skipped.
fn summary(lines: &[String]) -> String {
    let skipped = |line: &String| {
        let (claim, said) = line.split_once(": ")?;
        said.starts_with("skipped").then(|| claim.to_owned())
    };
    let skipped: Vec<String> = lines.iter().filter_map(skipped).collect();
    let held = lines.len() - skipped.len();
    match skipped.is_empty() {
        true => format!("{held} claims hold"),
        false => format!("{held} claims hold; skipped: {}", skipped.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wanted, Failure> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn number_of_kills_and_seed_are_understood() {
        let wanted = |kills, seed| Wanted { kills, seed };
        assert_eq!(parsed(&[]).unwrap(), wanted(500, None));
        assert_eq!(
            parsed(&["--seed", "7", "--kills", "3"]).unwrap(),
            wanted(3, Some(7))
        );
    }

    #[test]
    fn unknown_flags_and_what_is_no_number_are_refused() {
        for arguments in [
            &["--fast"][..],
            &["--kills"],
            &["--kills", "0"],
            &["--seed", "x"],
        ] {
            assert!(matches!(parsed(arguments), Err(Failure::Usage(_))));
        }
    }

    #[test]
    fn only_lines_that_say_what_was_looked_at_are_collected() {
        let line = "faults kill: 3 processes killed";
        assert_eq!(
            report(&format!("test kill ... {line}")).as_deref(),
            Some(line)
        );
        assert!(report("faults room: skipped, nothing can be mounted here").is_some());
        assert_eq!(
            report("faults kill: everything is drawn from COUNTERSIGN_SEED=1"),
            None
        );
        assert_eq!(
            report("Running tests/faults/main.rs (target/debug/deps/faults-1)"),
            None
        );
    }

    #[test]
    fn skipped_claims_are_named_and_do_not_count() {
        let lines = [
            "faults kill: 3 killed".to_owned(),
            "faults room: skipped, why".to_owned(),
        ];
        assert_eq!(summary(&lines), "1 claims hold; skipped: faults room");
        assert_eq!(summary(&lines[..1]), "1 claims hold");
    }
}
