//! `cargo xtask loom`: explores the models of the cache, the table and the stores under loom.
//!
//! - Models are built with the private `--cfg countersign_loom` in a target directory of their
//!   own, so that they do not disturb other builds.
//! - The environment variables with which loom stops early are removed: a model that is cut short
//!   would pass.
//! - Each model's line (claim, threads, operations, executions, bound) is collected and printed
//!   again at the end. A run that explored no model fails.
//! - `--table` prints what the models and twins are, for `docs/concurrency.md`, and explores nothing.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cargo::{Workspace, explore};
use crate::check::Outcome;
use crate::failure::Failure;
use crate::output::say;

mod table;
mod twins;

/// The line in the list of commands.
pub const HELP: &str =
    "explore the concurrency models [--two-threads | --twins | --table] [names of models or twins]";

/// Where models are: a package, and the arguments that select them.
const PLACES: &[(&str, &[&str])] = &[
    ("countersign-core", &["--test", "loom"]),
    ("countersign-policy", &["--lib"]),
    ("countersign-policy", &["--test", "loom"]),
    ("countersign-request", &["--test", "loom"]),
    ("countersign-breakglass", &["--test", "loom"]),
];

/// Names of models with three threads have this in them, and no others.
const THREE_THREADS: &str = "_3";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    two_threads: bool,
    twins: bool,
    table: bool,
    names: Vec<String>,
}

/// Explores the models asked for, or all.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let wanted = parse(arguments)?;
    let workspace = Workspace::load()?;
    if wanted.twins {
        twins::run(&workspace, &wanted.names)?;
        return Ok(ExitCode::SUCCESS);
    }
    if wanted.table {
        say(format_args!("\n{}", table::text(&workspace)?));
        return Ok(ExitCode::SUCCESS);
    }
    explore::packages("models explored", commands(&workspace, &wanted), report)
}

/// The models of two threads, and whether the page about models tells of them as they are, as a
/// step of `cargo xtask check`.
pub fn two_threads(workspace: &Workspace) -> Result<Outcome, Failure> {
    let wanted = Wanted {
        two_threads: true,
        ..Wanted::default()
    };
    let outcome = step(workspace, &wanted)?;
    if let Outcome::Passed(_) = outcome {
        if !table::is_on_page(workspace, &table::text(workspace)?)? {
            return Ok(Outcome::Failed(
                "the tables in docs/concurrency.md are out of date: run `cargo xtask fix`".into(),
            ));
        }
    }
    Ok(outcome)
}

/// Writes the tables of models and twins into the page about them, for `cargo xtask fix`.
pub fn write_table(workspace: &Workspace) -> Result<(), Failure> {
    table::write(workspace, &table::text(workspace)?)
}

/// The models of three threads, as a step of `cargo xtask extended`.
pub fn three_threads(workspace: &Workspace) -> Result<Outcome, Failure> {
    step(
        workspace,
        &Wanted {
            names: vec![THREE_THREADS.to_owned()],
            ..Wanted::default()
        },
    )
}

fn step(workspace: &Workspace, wanted: &Wanted) -> Result<Outcome, Failure> {
    let explored = explore::collect(commands(workspace, wanted), report)?;
    Ok(explored.outcome("model explored", remark))
}

/// Every twin, as a step of `cargo xtask extended`.
pub fn twins(workspace: &Workspace) -> Result<Outcome, Failure> {
    let caught = twins::run(workspace, &[])?;
    Ok(Outcome::Passed(format!("{caught} twins caught")))
}

/// How many models were explored, and in how many executions.
fn remark(lines: &[String]) -> String {
    let executions: u64 = lines.iter().filter_map(|line| executions(line)).sum();
    format!("{} models, {executions} executions", lines.len())
}

/// The command that explores each package's models.
fn commands(
    workspace: &Workspace,
    wanted: &Wanted,
) -> impl ExactSizeIterator<Item = (&'static str, Command)> {
    PLACES
        .iter()
        .map(|(package, place)| (*package, command(workspace, package, place, wanted)))
}

fn parse(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    for argument in arguments {
        match argument.to_str() {
            Some("--two-threads") => wanted.two_threads = true,
            Some("--twins") => wanted.twins = true,
            Some("--table") => wanted.table = true,
            Some(name) if !name.starts_with('-') => wanted.names.push(name.to_owned()),
            _ => {
                return Err(Failure::Usage(format!(
                    "`cargo xtask loom` does not know `{}`; it takes `--two-threads`, \
                     `--twins`, `--table` and names",
                    argument.to_string_lossy()
                )));
            }
        }
    }
    Ok(wanted)
}

/// A cargo that builds models in a folder, into a target directory of their own.
fn loom_cargo(folder: &Path, target: &Path) -> Command {
    let mut command = explore::command("countersign_loom", "LOOM_", folder, target);
    command.env_remove(table::LIST);
    command
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
        command.args(["--skip", THREE_THREADS]);
    }
    command
}

/// The line in which a model says what it explored, out of the lines that a run prints.
fn report(line: &str) -> Option<String> {
    let model = line.get(line.find("model ")?..)?;
    (model.contains(" executions, ")).then(|| model.to_owned())
}

/// How many executions a model's line counts.
fn executions(line: &str) -> Option<u64> {
    let (before, _) = line.split_once(" executions, ")?;
    before.rsplit(' ').next()?.parse().ok()
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
        assert!(parsed(&["--table"]).unwrap().table);
        let wanted = parsed(&["--two-threads", "table_2x2"]).unwrap();
        assert_eq!(
            wanted,
            Wanted {
                two_threads: true,
                twins: false,
                table: false,
                names: vec!["table_2x2".to_owned()]
            }
        );
        assert_eq!(parsed(&[]).unwrap(), Wanted::default());
    }

    /// Runs itself again with them in its environment: a test cannot change its own.
    #[test]
    fn variables_that_would_cut_a_model_short_are_removed() {
        let variables = [
            "LOOM_MAX_PREEMPTIONS",
            "LOOM_MAX_PERMUTATIONS",
            "LOOM_MAX_DURATION",
            "LOOM_MAX_BRANCHES",
            "LOOM_CHECKPOINT_FILE",
            table::LIST,
        ];
        if std::env::var_os(table::LIST).is_none() {
            let mut again = Command::new(std::env::current_exe().unwrap());
            again.args(["--exact", "--quiet"]);
            again.arg("loom::tests::variables_that_would_cut_a_model_short_are_removed");
            again.envs(variables.map(|variable| (variable, "1")));
            let output = again.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let ran = said.contains("1 passed");
            assert!(output.status.success() && ran, "{said}");
            return;
        }
        let command = loom_cargo(Path::new("."), Path::new("target"));
        for variable in variables {
            assert!(std::env::var_os(variable).is_some(), "{variable} is set");
            let removed = (std::ffi::OsStr::new(variable), None);
            assert!(
                command.get_envs().any(|entry| entry == removed),
                "{variable}"
            );
        }
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
        assert_eq!(executions(line), Some(29));
        assert_eq!(
            remark(&[line.to_owned(), line.to_owned()]),
            "2 models, 58 executions"
        );
        assert_eq!(report("model a: begins"), None);
        assert_eq!(report("test result: ok"), None);
    }
}
