//! `cargo xtask suites`: the concurrency suites, many times in a row.
//!
//! - The programs are built once, with all features, in debug and in release, and run one after
//!   the other: what a suite finds by luck it finds more often.
//! - The first run that fails ends it, with that run's output and number; so does a run in which
//!   no suite ran.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::cargo::{self, Workspace};
use crate::check::{self, Outcome};
use crate::failure::Failure;
use crate::output::say;

/// The line in the list of commands.
pub const HELP: &str =
    "run the concurrency suites again and again [--runs N, or 200] [names of suites]";

/// The test program of a package that holds its suites.
pub const PROGRAM: &str = "concurrency";

/// The packages that have suites.
pub const PACKAGES: &[&str] = &[
    "countersign-policy",
    "countersign-request",
    "countersign-breakglass",
    "countersign-sqlite",
];

/// Of so many runs or histories, one is made where each call waits for a file: what is rare there
/// is not rare because of threads.
const IN_A_FILE: u64 = 20;

/// How many of `wanted` runs or histories are made of a package's.
pub fn share(package: &str, wanted: u64) -> u64 {
    match package {
        "countersign-sqlite" => (wanted / IN_A_FILE).max(1),
        _ => wanted,
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    runs: u64,
    names: Vec<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            runs: 200,
            names: Vec::new(),
        }
    }
}

/// Runs the suites asked for, or all, as often as asked for.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let wanted = parse(arguments)?;
    let lines = run_all(&Workspace::load()?, &wanted)?;
    say("\nno run failed:");
    for line in &lines {
        say(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Every suite, as a step of `cargo xtask extended`.
pub fn step(workspace: &Workspace) -> Result<Outcome, Failure> {
    let wanted = Wanted::default();
    run_all(workspace, &wanted)?;
    let runs = wanted.runs;
    let in_a_file = runs / IN_A_FILE;
    Ok(Outcome::Passed(format!(
        "{runs} runs in debug, {runs} in release; {in_a_file} each of stores in a file"
    )))
}

fn run_all(workspace: &Workspace, wanted: &Wanted) -> Result<Vec<String>, Failure> {
    let (mut lines, mut total) = (Vec::new(), 0);
    for profile in ["debug", "release"] {
        for program in build(workspace, profile)? {
            let (suites, length) = repeat(&program, profile, wanted)?;
            total += suites;
            let line = format!(
                "{:24} {profile:8} {} runs of {suites} suites in {:.1} s",
                program.package,
                share(&program.package, wanted.runs),
                length.as_secs_f64()
            );
            say(&line);
            lines.push(line);
        }
    }
    if total == 0 {
        return Err(Failure::Program(
            "no suite was run: check the names".to_owned(),
        ));
    }
    Ok(lines)
}

fn parse(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = arguments.next() {
        if argument == "--runs" {
            let number = arguments.next().and_then(|number| number.parse().ok());
            wanted.runs = number.filter(|runs| *runs > 0).ok_or_else(|| {
                Failure::Usage("`--runs` needs a number, at least 1, after it".to_owned())
            })?;
        } else if argument.starts_with('-') {
            return Err(Failure::Usage(format!(
                "`cargo xtask suites` does not know `{argument}`; it takes `--runs N` and names"
            )));
        } else {
            wanted.names.push(argument.into_owned());
        }
    }
    Ok(wanted)
}

/// A test program with suites.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    package: String,
    folder: PathBuf,
    executable: PathBuf,
}

/// Builds the programs, with all features.
fn build(workspace: &Workspace, profile: &str) -> Result<Vec<Program>, Failure> {
    let mut command = cargo::command();
    command.current_dir(&workspace.root).args([
        "test",
        "--no-run",
        "--locked",
        "--all-features",
        "--message-format",
        "json-render-diagnostics",
        "--test",
        PROGRAM,
    ]);
    if profile == "release" {
        command.arg("--release");
    }
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let mut programs = Vec::new();
    for line in cargo::output(&mut command)?.lines() {
        programs.extend(program(workspace, line)?);
    }
    programs.sort_by(|one, other| one.package.cmp(&other.package));
    if programs.len() != PACKAGES.len() {
        let found = programs.len();
        return Err(Failure::Program(format!(
            "cargo built {found} programs with suites, not {}",
            PACKAGES.len()
        )));
    }
    Ok(programs)
}

/// A line that cargo prints while it builds.
#[derive(Debug, Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
}

/// What a line is about.
#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

fn program(workspace: &Workspace, line: &str) -> Result<Option<Program>, Failure> {
    let message: Message = serde_json::from_str(line).map_err(Failure::Metadata)?;
    let (Some(executable), Some(manifest)) = (message.executable, message.manifest_path) else {
        return Ok(None);
    };
    // A program that a package has besides is built for its tests too.
    if message.target.is_none_or(|target| target.name != PROGRAM) {
        return Ok(None);
    }
    let folder = manifest.parent().unwrap_or(Path::new("")).to_owned();
    let is_there = |package: &&cargo::Package| workspace.root.join(&package.folder) == folder;
    let package = workspace.packages.iter().find(is_there);
    Ok(package.map(|package| Program {
        package: package.name.clone(),
        folder,
        executable,
    }))
}

/// Runs a program as often as asked for; how many suites passed each time, and how long it took.
fn repeat(program: &Program, profile: &str, wanted: &Wanted) -> Result<(u64, Duration), Failure> {
    let runs = share(&program.package, wanted.runs);
    let (counts, length) = check::timed(|| {
        (1..=runs)
            .map(|number| {
                once(program, &wanted.names).map_err(|said| {
                    say(said);
                    Failure::Program(format!(
                        "`{}` in {profile}: run {number} of {runs} failed; its output is above",
                        program.package
                    ))
                })
            })
            .collect::<Result<Vec<u64>, Failure>>()
    });
    let counts = counts?;
    let suites = counts.first().copied().unwrap_or(0);
    if counts.iter().any(|count| *count != suites) {
        return Err(Failure::Program(format!(
            "`{}` in {profile} does not run the same number of suites each time",
            program.package
        )));
    }
    Ok((suites, length))
}

/// Runs a program once; how many suites passed, or what it said if it failed.
fn once(program: &Program, names: &[String]) -> Result<u64, String> {
    let output = Command::new(&program.executable)
        .args(names)
        .current_dir(&program.folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        let passed = said.lines().flat_map(check::results);
        return Ok(passed
            .filter(|(what, _)| *what == "passed")
            .map(|(_, count)| count)
            .sum());
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    Err(format!("{said}{complaints}{}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wanted, Failure> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_the_number_of_runs_are_understood() {
        let wanted = parsed(&["concurrent_get", "--runs", "3"]).unwrap();
        assert_eq!((wanted.runs, wanted.names.len()), (3, 1));
        let wanted = parsed(&[]).unwrap();
        assert_eq!((wanted.runs, wanted.names.len()), (200, 0));
    }

    #[test]
    fn every_package_is_run() {
        for package in PACKAGES {
            let runs = share(package, 200);
            assert!((1..=200).contains(&runs), "`{package}` is run {runs} times");
            assert_eq!(share(package, 1), 1);
        }
    }

    #[test]
    fn unknown_flags_and_numbers_that_are_none_are_refused() {
        for arguments in [
            &["--run", "3"][..],
            &["--runs"],
            &["--runs", "0"],
            &["--runs", "x"],
        ] {
            assert!(matches!(parsed(arguments), Err(Failure::Usage(_))));
        }
    }

    #[test]
    fn programs_are_the_messages_with_an_executable() {
        let workspace = Workspace::parse(
            r#"{"workspace_root": "/p", "target_directory": "/t", "packages": [
                {"name": "a", "rust_version": "1.85", "features": {}, "dependencies": [],
                 "manifest_path": "/p/crates/a/Cargo.toml"}]}"#,
        )
        .unwrap();
        let built = |target: &str, executable: &str| {
            let line = format!(
                r#"{{"reason": "compiler-artifact", "manifest_path": "/p/crates/a/Cargo.toml",
                    "target": {{"name": "{target}"}}, "executable": {executable}}}"#
            );
            program(&workspace, &line).unwrap()
        };
        let expected = Program {
            package: "a".to_owned(),
            folder: "/p/crates/a".into(),
            executable: "/t/a".into(),
        };
        assert_eq!(built(PROGRAM, r#""/t/a""#), Some(expected));
        assert_eq!(built("a-tool", r#""/t/a""#), None, "another program");
        assert_eq!(built(PROGRAM, "null"), None);
        let finished = r#"{"reason": "build-finished", "success": true}"#;
        assert_eq!(program(&workspace, finished).unwrap(), None);
    }

    #[test]
    fn program_that_fails_gives_what_it_said() {
        let program = |executable: &str| Program {
            package: "a".to_owned(),
            folder: ".".into(),
            executable: executable.into(),
        };
        let running = std::env::current_exe().unwrap();
        let running = program(&running.to_string_lossy());
        let none = once(&running, &["no_such_test_here".to_owned()]);
        assert_eq!(none, Ok(0), "it succeeds and runs nothing");
        let said = once(&running, &["--no-such-flag".to_owned()]).unwrap_err();
        assert!(said.contains("no-such-flag"), "{said}");
        assert!(once(&program("no-such-program-here"), &[]).is_err());
    }
}
