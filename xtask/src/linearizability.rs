//! `cargo xtask linearizability`: records histories of the table, the stores and the cache under
//! load and checks them; the long form of the tests of that name.
//!
//! - Each campaign's line (histories, operations, longest check) is collected and printed again at
//!   the end. A run that checked no history fails.
//! - The seed is shown, and a campaign that fails says which seed failed.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::cargo::{self, Workspace, explore};
use crate::check::Outcome;
use crate::failure::Failure;
use crate::suites;

/// The line in the list of commands.
pub const HELP: &str =
    "record histories of concurrent calls and check them [--histories N] [--seed N]";

/// The packages that have a test named `linearizability`.
const PACKAGES: &[&str] = &[
    "countersign-core",
    "countersign-policy",
    "countersign-request",
    "countersign-breakglass",
    "countersign-sqlite",
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    histories: u64,
    seed: Option<u64>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            histories: 500,
            seed: None,
        }
    }
}

/// Records and checks as many histories as asked for, in every campaign.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let wanted = parse(arguments)?;
    let workspace = Workspace::load()?;
    explore::packages("campaigns", commands(&workspace, &wanted), report)
}

/// Every campaign at length, as a step of `cargo xtask extended`.
pub fn step(workspace: &Workspace) -> Result<Outcome, Failure> {
    let wanted = Wanted::default();
    let explored = explore::collect(commands(workspace, &wanted), report)?;
    Ok(explored.outcome("campaign", |lines| {
        let (campaigns, histories) = (lines.len(), wanted.histories);
        let in_a_file = suites::share("countersign-sqlite", histories);
        format!("{campaigns} campaigns of {histories} histories, of stores in a file {in_a_file}")
    }))
}

/// The command that runs each package's campaigns.
fn commands(
    workspace: &Workspace,
    wanted: &Wanted,
) -> impl ExactSizeIterator<Item = (&'static str, Command)> {
    PACKAGES
        .iter()
        .map(|package| (*package, command(workspace, package, wanted)))
}

fn command(workspace: &Workspace, package: &str, wanted: &Wanted) -> Command {
    let mut command = cargo::command();
    command.current_dir(&workspace.root).env(
        "COUNTERSIGN_HISTORIES",
        suites::share(package, wanted.histories).to_string(),
    );
    if let Some(seed) = wanted.seed {
        command.env("COUNTERSIGN_SEED", seed.to_string());
    }
    command.args(["test", "--quiet", "--locked", "--release", "--all-features"]);
    command.args(["--package", package, "--test", "linearizability"]);
    command.args(["--", "--nocapture"]);
    command
}

fn parse(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let value = rest.next().and_then(|value| value.to_str()?.parse().ok());
        match (flag.to_str(), value) {
            (Some("--histories"), Some(histories)) => wanted.histories = histories,
            (Some("--seed"), Some(seed)) => wanted.seed = Some(seed),
            _ => {
                return Err(Failure::Usage(format!(
                    "`cargo xtask linearizability` does not know `{}`; it takes `--histories N` \
                     and `--seed N`",
                    flag.to_string_lossy()
                )));
            }
        }
    }
    Ok(wanted)
}

/// The line in which a campaign says what it checked, or which seed failed.
fn report(line: &str) -> Option<String> {
    let campaign = line.get(line.find("linearizability ")?..)?;
    let said = campaign.contains(" histories, ") || campaign.contains(": failed");
    said.then(|| campaign.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wanted, Failure> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn number_of_histories_and_seed_are_understood() {
        let wanted = |histories, seed| Wanted { histories, seed };
        assert_eq!(parsed(&[]).unwrap(), wanted(500, None));
        assert_eq!(
            parsed(&["--seed", "7", "--histories", "3"]).unwrap(),
            wanted(3, Some(7))
        );
    }

    #[test]
    fn unknown_flags_and_what_is_no_number_are_refused() {
        for arguments in [&["--fast"][..], &["--seed"], &["--seed", "x"]] {
            assert!(matches!(parsed(arguments), Err(Failure::Usage(_))));
        }
    }

    #[test]
    fn only_lines_of_campaigns_are_collected() {
        let line = "linearizability cache: 3 histories, 90 operations, longest check 1.0 ms";
        assert_eq!(report(&format!(".{line}")).as_deref(), Some(line));
        assert!(report("linearizability cache: failed; again with COUNTERSIGN_SEED=1").is_some());
        assert_eq!(report("Running tests/linearizability.rs"), None);
    }
}
