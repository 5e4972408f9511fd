//! `cargo xtask loom`: explores the models of the cache, the table and the stores under loom.
//!
//! - Models are built with the private `--cfg countersign_loom` in a target directory of their
//!   own, so that they do not disturb other builds.
//! - The environment variables with which loom stops early are removed: a model that is cut short
//!   would pass.
//! - Each model's line (claim, threads, operations, executions, bound) is collected and printed
//!   again at the end. A run that explored no model fails.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cargo::{Workspace, explore};
use crate::failure::Failure;

mod twins;

/// The line in the list of commands.
pub const HELP: &str =
    "explore the concurrency models [--two-threads | --twins] [names of models or twins]";

/// Where models are: a package, and the arguments that select them.
const PLACES: &[(&str, &[&str])] = &[
    ("countersign-core", &["--test", "loom"]),
    ("countersign-policy", &["--lib"]),
    ("countersign-request", &["--test", "loom"]),
    ("countersign-breakglass", &["--test", "loom"]),
];

/// Names of models with three threads have one of these in them.
const THREE_THREADS: &[&str] = &["_3x", "miss_3"];

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    two_threads: bool,
    twins: bool,
    names: Vec<String>,
}

/// Explores the models asked for, or all.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let wanted = parse(arguments)?;
    let workspace = Workspace::load()?;
    if wanted.twins {
        return twins::run(&workspace, &wanted.names);
    }
    let packages = PLACES
        .iter()
        .map(|(package, place)| (*package, command(&workspace, package, place, &wanted)));
    explore::packages("models explored", packages, report)
}

fn parse(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    for argument in arguments {
        match argument.to_str() {
            Some("--two-threads") => wanted.two_threads = true,
            Some("--twins") => wanted.twins = true,
            Some(name) if !name.starts_with('-') => wanted.names.push(name.to_owned()),
            _ => {
                return Err(Failure::Usage(format!(
                    "`cargo xtask loom` does not know `{}`; it takes `--two-threads`, `--twins` and names",
                    argument.to_string_lossy()
                )));
            }
        }
    }
    Ok(wanted)
}

/// A cargo that builds models in a folder, into a target directory of their own.
fn loom_cargo(folder: &Path, target: &Path) -> Command {
    explore::command("countersign_loom", "LOOM_", folder, target)
}

fn command(workspace: &Workspace, package: &str, place: &[&str], wanted: &Wanted) -> Command {
    let mut command = loom_cargo(&workspace.root, &workspace.target.join("loom"));
    command.args(explore::TEST).arg(package);
    command.args(place).args(["--", "--nocapture"]);
    if place.contains(&"--lib") && wanted.names.is_empty() {
        // A library's other tests are not models, and do not run under loom.
        command.arg("models::");
    }
    command.args(&wanted.names);
    if wanted.two_threads {
        for name in THREE_THREADS {
            command.args(["--skip", name]);
        }
    }
    command
}

/// The line in which a model says what it explored, out of the lines that a run prints.
fn report(line: &str) -> Option<String> {
    let model = line.get(line.find("model ")?..)?;
    (model.contains(" executions, ")).then(|| model.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wanted, Failure> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_the_number_of_threads_are_understood() {
        assert!(parsed(&["--twins"]).unwrap().twins);
        let wanted = parsed(&["--two-threads", "table_2x2"]).unwrap();
        assert_eq!(
            wanted,
            Wanted {
                two_threads: true,
                twins: false,
                names: vec!["table_2x2".to_owned()]
            }
        );
        assert_eq!(parsed(&[]).unwrap(), Wanted::default());
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert!(matches!(parsed(&["--fast"]), Err(Failure::Usage(_))));
    }

    #[test]
    fn only_lines_that_count_executions_are_collected() {
        let line =
            "model a: it holds; 2 threads, 4 operations, 1 scenarios, 29 executions, unbounded";
        assert_eq!(report(line).as_deref(), Some(line));
        assert_eq!(
            report(&format!(".{line}")).as_deref(),
            Some(line),
            "after a progress dot"
        );
        assert_eq!(report("model a: begins"), None);
        assert_eq!(report("test result: ok"), None);
    }
}
