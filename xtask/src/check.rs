//! `cargo xtask check`: everything that a plain toolchain can check, in one command.
//!
//! - Every step runs, whatever came of those before it; what each prints is shown as it comes.
//! - It ends with one line for each step: what came of it, how long it took, and what was skipped
//!   and why. The exit code is 1 if any step failed.
//! - It writes nothing outside the target directory, and fails if a step left a file behind.
//!   `cargo xtask fix` mends what tools can mend.
//!
//! A step is a name and a function; the order of [`STEPS`] puts what fails fast first and lets a
//! step find what an earlier one has built.

mod features;
mod readme;
mod rust_version;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::cargo::{self, Workspace};
use crate::failure::Failure;
use crate::loom;
use crate::output::say;
use crate::schedules;
use crate::tidy;
use crate::tree;
pub use features::turned_on;
use summary::Line;

/// The line in the list of commands.
pub const HELP: &str = "everything a change must pass; writes nothing [names of single steps]";

/// What came of a step, with a remark for the last lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Passed(String),
    /// Something is wrong; the remark says what, if the step's output does not.
    Failed(String),
    /// It could not be done here; the remark says why, and how it can be.
    Skipped(String),
}

/// One thing that is checked.
pub struct Step {
    /// What it is called.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&Workspace) -> Result<Outcome, Failure>,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "tidy",
        run: tidy,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "alone",
        run: alone,
    },
    Step {
        name: "docs",
        run: docs,
    },
    Step {
        name: "doctests",
        run: doctests,
    },
    Step {
        name: "tests",
        run: tests,
    },
    Step {
        name: "models",
        run: loom::two_threads,
    },
    Step {
        name: "schedules",
        run: schedules::few,
    },
    Step {
        name: "readme",
        run: readme::run,
    },
    Step {
        name: "rust-version",
        run: rust_version::run,
    },
];

/// Runs the steps named, or all.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    run_steps("check", STEPS, arguments)
}

/// Runs those of a verb's steps that are named, or all.
pub fn run_steps(
    verb: &str,
    steps: &'static [Step],
    arguments: &[OsString],
) -> Result<ExitCode, Failure> {
    let steps = chosen(verb, steps, arguments)?;
    let workspace = Workspace::load()?;
    let before = tree::paths(&workspace)?;
    let mut lines = Vec::new();
    for step in steps {
        say(format_args!("== {}", step.name));
        lines.push(line(step.name, || (step.run)(&workspace)));
    }
    lines.push(line("read-only", || {
        Ok(left_behind(&before, &tree::paths(&workspace)?))
    }));
    say(format_args!("\n{}", summary::table(verb, &lines)));
    Ok(if summary::any_failed(&lines) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn line(step: &'static str, run: impl FnOnce() -> Result<Outcome, Failure>) -> Line {
    let (outcome, length) = timed(run);
    let outcome = outcome.unwrap_or_else(|failure| Outcome::Failed(failure.to_string()));
    Line {
        step,
        outcome,
        length,
    }
}

/// Whether the steps left files among the sources. Which files were changed is not asked: whoever
/// edits one while the check runs does nothing wrong.
fn left_behind(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Outcome {
    let new: Vec<String> = after
        .difference(before)
        .map(|path| format!("`{path}`"))
        .collect();
    if new.is_empty() {
        Outcome::Passed(String::new())
    } else {
        Outcome::Failed(format!("left {} behind", new.join(", ")))
    }
}

fn chosen(
    verb: &str,
    steps: &'static [Step],
    arguments: &[OsString],
) -> Result<Vec<&'static Step>, Failure> {
    if arguments.is_empty() {
        return Ok(steps.iter().collect());
    }
    let mut wanted = Vec::new();
    for argument in arguments {
        let name = argument.to_string_lossy();
        let step = steps.iter().find(|step| step.name == name).ok_or_else(|| {
            let known: Vec<&str> = steps.iter().map(|step| step.name).collect();
            let known = known.join(", ");
            Failure::Usage(format!(
                "`{verb}` has no step `{name}`; choose from {known}"
            ))
        })?;
        wanted.push(step);
    }
    Ok(wanted)
}

/// Does the work, and says how long it took.
#[allow(
    clippy::disallowed_methods,
    reason = "how long it really takes is what is asked"
)]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn cargo_in(workspace: &Workspace) -> Command {
    let mut command = cargo::command();
    command.current_dir(&workspace.root);
    command
}

/// Formatting is as rustfmt wants it.
fn format(workspace: &Workspace) -> Result<Outcome, Failure> {
    let passed = cargo::run(cargo_in(workspace).args(["fmt", "--all", "--", "--check"]))?;
    Ok(if passed {
        Outcome::Passed(String::new())
    } else {
        Outcome::Failed("run `cargo xtask fix`".into())
    })
}

/// The project's own rules hold.
fn tidy(workspace: &Workspace) -> Result<Outcome, Failure> {
    let files = tidy::files(workspace)?;
    let problems = tidy::problems(workspace, &files);
    for problem in &problems {
        say(problem);
    }
    Ok(match problems.len() {
        0 => Outcome::Passed(format!("{} files", files.len())),
        1 => Outcome::Failed("1 problem".into()),
        several => Outcome::Failed(format!("{several} problems")),
    })
}

/// Clippy has nothing to say, to any package under any set of its features.
fn clippy(workspace: &Workspace) -> Result<Outcome, Failure> {
    each_feature_set(workspace, workspace.packages.iter(), |command, set| {
        command.args(["clippy", "--quiet", "--locked", "--all-targets"]);
        command.args(set).args(["--", "-D", "warnings"]);
    })
}

/// Each library builds as its users get it: by itself, without development dependencies, which
/// may turn on features that it forgot to ask for.
fn alone(workspace: &Workspace) -> Result<Outcome, Failure> {
    each_feature_set(workspace, workspace.libraries(), |command, set| {
        command
            .args(["check", "--quiet", "--locked", "--lib"])
            .args(set);
    })
}

fn each_feature_set<'w>(
    workspace: &Workspace,
    packages: impl Iterator<Item = &'w cargo::Package>,
    build: impl Fn(&mut Command, &[String]),
) -> Result<Outcome, Failure> {
    let (mut count, mut failed) = (0, Vec::new());
    for package in packages {
        for set in features::sets(&package.features) {
            let mut arguments = vec!["--package".to_owned(), package.name.clone()];
            arguments.extend(set.arguments());
            let mut command = cargo_in(workspace);
            build(&mut command, &arguments);
            count += 1;
            if !cargo::run(&mut command)? {
                failed.push(format!("{} with {set}", package.name));
            }
        }
    }
    Ok(if failed.is_empty() {
        Outcome::Passed(format!("{count} feature sets"))
    } else {
        Outcome::Failed(failed.join(", "))
    })
}

/// The documentation builds without a warning, with everything in it; as a reader builds it, it does
/// in the step `readme`.
fn docs(workspace: &Workspace) -> Result<Outcome, Failure> {
    let mut flags = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
    flags.push_str(" -D warnings");
    let mut command = cargo_in(workspace);
    command.env("RUSTDOCFLAGS", flags.trim_start());
    command.args([
        "doc",
        "--workspace",
        "--no-deps",
        "--all-features",
        "--locked",
    ]);
    Ok(if cargo::run(&mut command)? {
        Outcome::Passed(String::new())
    } else {
        Outcome::Failed(String::new())
    })
}

/// The examples in the documentation compile and do what they say.
fn doctests(workspace: &Workspace) -> Result<Outcome, Failure> {
    counted(cargo_in(workspace).args([
        "test",
        "--workspace",
        "--all-features",
        "--locked",
        "--no-fail-fast",
        "--doc",
    ]))
}

/// Every test passes.
fn tests(workspace: &Workspace) -> Result<Outcome, Failure> {
    counted(cargo_in(workspace).args([
        "test",
        "--workspace",
        "--all-features",
        "--locked",
        "--no-fail-fast",
        "--lib",
        "--bins",
        "--tests",
    ]))
}

/// Runs tests and adds up what the runners say; none at all is a failure.
fn counted(command: &mut Command) -> Result<Outcome, Failure> {
    // A failed property shows its smallest counterexample; its seed is not kept among the sources.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let passed = cargo::run_looking(command, |line| {
        for (what, count) in results(line) {
            *counts.entry(what.to_owned()).or_default() += count;
        }
    })?;
    Ok(test_outcome(passed, &counts))
}

fn test_outcome(passed: bool, counts: &BTreeMap<String, u64>) -> Outcome {
    let count = |what: &str| counts.get(what).copied().unwrap_or(0);
    let mut remark = format!("{} passed", count("passed"));
    for what in ["failed", "ignored"] {
        if count(what) > 0 {
            remark.push_str(&format!(", {} {what}", count(what)));
        }
    }
    if passed && count("passed") == 0 {
        return Outcome::Failed("no test ran".into());
    }
    if passed {
        Outcome::Passed(remark)
    } else {
        Outcome::Failed(remark)
    }
}

/// The counts in a test runner's closing line, such as `test result: ok. 3 passed; 1 ignored`.
pub fn results(line: &str) -> impl Iterator<Item = (&str, u64)> {
    let counts = line
        .strip_prefix("test result: ")
        .and_then(|rest| rest.split_once(". "))
        .map_or("", |(_, counts)| counts);
    counts.split("; ").filter_map(|part| {
        let (count, what) = part.split_once(' ')?;
        Some((what, count.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name() {
        let names = |arguments: &[&str]| -> Vec<&str> {
            let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
            chosen("check", STEPS, &arguments)
                .unwrap()
                .iter()
                .map(|step| step.name)
                .collect()
        };
        assert_eq!(names(&[]).len(), STEPS.len(), "no name means every step");
        assert_eq!(names(&["tests", "tidy"]), ["tests", "tidy"]);
    }

    #[test]
    fn unknown_step_is_a_usage_error_that_lists_the_steps() {
        let failure = chosen("check", STEPS, &["test".into()]).err().unwrap();
        assert!(matches!(failure, Failure::Usage(_)));
        let message = failure.to_string();
        assert!(
            message.contains("`test`") && message.contains("doctests, tests"),
            "{message}"
        );
    }

    #[test]
    fn closing_lines_of_test_runners_are_read() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; \
                    finished in 0.01s";
        let counts: Vec<_> = results(line).collect();
        assert!(counts.contains(&("passed", 12)) && counts.contains(&("ignored", 1)));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored";
        assert!(results(line).any(|count| count == ("failed", 2)));
        assert_eq!(results("test a::b ... ok").count(), 0);
        assert_eq!(results("3 passed; 4 failed").count(), 0);
    }

    #[test]
    fn tests_that_did_not_run_are_no_success() {
        let counts = |passed| BTreeMap::from([("passed".to_owned(), passed)]);
        assert_eq!(
            test_outcome(true, &counts(3)),
            Outcome::Passed("3 passed".into())
        );
        assert_eq!(
            test_outcome(true, &counts(0)),
            Outcome::Failed("no test ran".into())
        );
        assert_eq!(
            test_outcome(false, &counts(3)),
            Outcome::Failed("3 passed".into())
        );
    }

    #[test]
    fn files_left_among_the_sources_are_a_failure() {
        let paths = |list: &[&str]| -> BTreeSet<String> {
            list.iter().map(|path| (*path).to_owned()).collect()
        };
        let passed = Outcome::Passed(String::new());
        assert_eq!(left_behind(&paths(&["a"]), &paths(&["a"])), passed);
        assert_eq!(left_behind(&paths(&["a", "b"]), &paths(&["a"])), passed);
        let failed = Outcome::Failed("left `b` behind".into());
        assert_eq!(left_behind(&paths(&["a"]), &paths(&["a", "b"])), failed);
    }

    #[test]
    fn ignored_tests_are_told() {
        let counts = BTreeMap::from([("passed".to_owned(), 3), ("ignored".to_owned(), 1)]);
        assert_eq!(
            test_outcome(true, &counts),
            Outcome::Passed("3 passed, 1 ignored".into())
        );
    }
}
