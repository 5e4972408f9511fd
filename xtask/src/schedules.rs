//! `cargo xtask schedules`: runs the concurrency suites at their full size, in schedules that
//! shuttle draws.
//!
//! - Tests are built with the private `--cfg countersign_shuttle`.
//! - Each runs under as many random and PCT schedules as `--count` says. All draw from one seed,
//!   which is new in each run and printed, so that `--seed` can repeat it.
//! - `--replay` runs the one schedule that a failure has printed.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, Hasher as _};
use std::process::{Command, ExitCode};

use crate::cargo::{Workspace, explore};
use crate::check::Outcome;
use crate::failure::Failure;

/// The line in the list of commands.
pub const HELP: &str =
    "run the suites in drawn schedules [--count N] [--seed N] [--replay SCHEDULE] [names]";

/// Where schedules are: a package, and the arguments that select them.
const PLACES: &[(&str, &[&str])] = &[
    ("countersign-core", &["--test", "schedules"]),
    ("countersign-policy", &["--lib"]),
    ("countersign-request", &["--test", "schedules"]),
    ("countersign-breakglass", &["--test", "schedules"]),
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// How many schedules of each kind.
    count: u64,
    /// A new one, unless one was named.
    seed: Option<u64>,
    replay: Option<String>,
    names: Vec<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            count: 10_000,
            seed: None,
            replay: None,
            names: Vec::new(),
        }
    }
}

/// Runs the schedules asked for, or all.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let mut wanted = parse(arguments)?;
    let workspace = Workspace::load()?;
    wanted.seed.get_or_insert_with(fresh_seed);
    explore::packages("schedules run", commands(&workspace, &wanted), report)
}

/// Every suite in a few schedules, as a step of `cargo xtask check`: that what only `extended` runs at
/// length compiles and works.
pub fn few(workspace: &Workspace) -> Result<Outcome, Failure> {
    drawn(workspace, 50)
}

/// Every suite at its full size, as a step of `cargo xtask extended`.
pub fn step(workspace: &Workspace) -> Result<Outcome, Failure> {
    drawn(workspace, Wanted::default().count)
}

fn drawn(workspace: &Workspace, count: u64) -> Result<Outcome, Failure> {
    let wanted = Wanted {
        count,
        seed: Some(fresh_seed()),
        ..Wanted::default()
    };
    let explored = explore::collect(commands(workspace, &wanted), report)?;
    Ok(explored.outcome("schedule run", |lines| {
        let (count, suites) = (wanted.count, lines.len());
        format!("{suites} suites, {count} random and {count} PCT schedules each")
    }))
}

/// The command that runs each package's schedules.
fn commands(
    workspace: &Workspace,
    wanted: &Wanted,
) -> impl ExactSizeIterator<Item = (&'static str, Command)> {
    PLACES
        .iter()
        .map(|(package, place)| (*package, command(workspace, package, place, wanted)))
}

fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn parse(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = arguments.next() {
        let mut value = |what: &str| {
            let value = arguments.next();
            value.ok_or_else(|| Failure::Usage(format!("`{argument}` needs {what} after it")))
        };
        match &*argument {
            "--count" => wanted.count = number(&value("a number")?, 1)?,
            "--seed" => wanted.seed = Some(number(&value("a number")?, 0)?),
            "--replay" => {
                let replay = value("what a failure has printed")?.into_owned();
                let (name, _) = replay.split_once(':').unwrap_or((&replay, ""));
                wanted.names.push(name.to_owned());
                wanted.replay = Some(replay);
            }
            name if !name.starts_with('-') => wanted.names.push(name.to_owned()),
            _ => {
                return Err(Failure::Usage(format!(
                    "`cargo xtask schedules` does not know `{argument}`; it takes `--count`, \
                     `--seed`, `--replay` and names"
                )));
            }
        }
    }
    Ok(wanted)
}

fn number(text: &str, least: u64) -> Result<u64, Failure> {
    let number = text.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| Failure::Usage(format!("`{text}` is no number from {least} on")))
}

fn command(workspace: &Workspace, package: &str, place: &[&str], wanted: &Wanted) -> Command {
    let target = workspace.target.join("schedules");
    let mut command = explore::command("countersign_shuttle", "SHUTTLE_", &workspace.root, &target);
    command
        .env("COUNTERSIGN_SCHEDULES", wanted.count.to_string())
        .env("COUNTERSIGN_SEED", wanted.seed.unwrap_or(0).to_string())
        .env_remove("COUNTERSIGN_REPLAY");
    if let Some(replay) = &wanted.replay {
        command.env("COUNTERSIGN_REPLAY", replay);
    }
    command.args(explore::TEST).arg(package);
    command.args(place).args(["--", "--nocapture"]);
    if place.contains(&"--lib") && wanted.names.is_empty() {
        // A library's other tests are no schedules, and do not run under shuttle.
        command.arg("schedules::");
    }
    command.args(&wanted.names);
    command
}

/// The line in which a schedule says what it ran, out of the lines that a run prints.
fn report(line: &str) -> Option<String> {
    let schedule = line.get(line.find("schedule ")?..)?;
    let ran = schedule.contains(" PCT schedules, seed ") || schedule.contains(": replayed ");
    ran.then(|| schedule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wanted, Failure> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_and_names_are_understood() {
        let wanted = parsed(&["--count", "7", "--seed", "0", "table_mixed"]).unwrap();
        assert_eq!((wanted.count, wanted.seed), (7, Some(0)));
        assert_eq!(wanted.names, ["table_mixed"]);
        let wanted = parsed(&[]).unwrap();
        assert_eq!((wanted.count, wanted.seed), (10_000, None), "a new seed");
    }

    #[test]
    fn a_replay_names_its_schedule() {
        let wanted = parsed(&["--replay", "table_mixed:pct:0x3.7"]).unwrap();
        assert_eq!(wanted.replay.as_deref(), Some("table_mixed:pct:0x3.7"));
        assert_eq!(wanted.names, ["table_mixed"]);
    }

    #[test]
    fn what_would_run_nothing_or_is_unknown_is_refused() {
        for arguments in [
            &["--count", "0"][..],
            &["--count"],
            &["--seed", "x"],
            &["--replay"],
            &["--fast"],
        ] {
            assert!(
                matches!(parsed(arguments), Err(Failure::Usage(_))),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn only_lines_that_say_what_ran_are_collected() {
        let line = "schedule a: it holds; 2 threads, 4 operations, 5 random and 5 PCT schedules, \
                    seed 1";
        assert_eq!(report(line).as_deref(), Some(line));
        assert_eq!(report(&format!(".{line}")).as_deref(), Some(line));
        assert!(report("schedule a: replayed without a failure").is_some());
        assert_eq!(report("schedule a: begins, seed 1"), None);
        assert_eq!(
            report("schedule a: failed in pct schedule 3 of seed 1; again:"),
            None
        );
    }
}
