//! `cargo xtask race`: the concurrency suites under ThreadSanitizer, the standard library included.
//!
//! - Everything is built with the detector, std too: with the ready-made std, which does not tell
//!   the detector what its locks order, correct programs would be reported. So the compiler must
//!   bring the sources of its standard library.
//! - The first report ends the run and fails it. Nothing is suppressed.
//! - Before the suites, a planted race must be reported, and its twin with a lock must not;
//!   otherwise silence would mean nothing. A suite program in which no test ran is a failure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use crate::cargo::{self, Workspace};
use crate::check::{self, Outcome};
use crate::compiler;
use crate::failure::Failure;
use crate::output::say;
use crate::suites;

/// The line in the list of commands.
pub const HELP: &str = "run the concurrency suites under a race detector";

/// Names a compiler that has the sources of its standard library.
const VARIABLE: &str = "COUNTERSIGN_RACE_RUSTC";

/// Where those sources are, in a compiler's own directory.
const SOURCES: &str = "lib/rustlib/src/rust/library/Cargo.lock";

/// The test programs of which a package may have some: those that use several threads.
const PROGRAMS: &[&str] = &[suites::PROGRAM, "linearizability"];

/// What a program with a report exits with.
const REPORTED: i32 = 66;

/// Where the planted race is.
const PLANTED: &str = "xtask/planted-race";

/// Runs the suites under the detector; that it cannot be done here is a failure.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    if let Some(argument) = arguments.first() {
        let argument = argument.to_string_lossy();
        return Err(Failure::Usage(format!(
            "`cargo xtask race` takes no arguments, and `{argument}` is one"
        )));
    }
    match outcome(&Workspace::load()?)? {
        Outcome::Passed(remark) => {
            say(format_args!("\nno data race: {remark}"));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Failed(remark) | Outcome::Skipped(remark) => Err(Failure::Program(remark)),
    }
}

/// As [`run`], for longer commands: without a compiler for it, it is skipped.
pub fn outcome(workspace: &Workspace) -> Result<Outcome, Failure> {
    let detector = match find(std::env::var_os(VARIABLE), &nightlies()) {
        Found::Compiler(compiler) => match compiler::host(&compiler) {
            Some(host) => Detector {
                compiler,
                host,
                target: workspace.target.join("race"),
            },
            None => return Ok(Outcome::Failed("the compiler does not run".to_owned())),
        },
        Found::Wrong(message) => return Ok(Outcome::Failed(message)),
        Found::Nothing(message) => return Ok(Outcome::Skipped(message)),
    };
    if let Err(message) = detector.sees_what_is_planted(&workspace.root.join(PLANTED))? {
        return Ok(Outcome::Failed(message));
    }
    detector.run_suites(workspace)
}

enum Found {
    Compiler(OsString),
    Wrong(String),
    Nothing(String),
}

/// The compiler that the variable names, else a nightly, if it has what it takes.
fn find(named: Option<OsString>, nightlies: &[PathBuf]) -> Found {
    if let Some(compiler) = named.filter(|compiler| !compiler.is_empty()) {
        let shown = compiler.to_string_lossy().into_owned();
        return match compiler::sysroot(&compiler) {
            None => Found::Wrong(format!(
                "`{VARIABLE}` names `{shown}`, which does not run; name a rustc"
            )),
            Some(sysroot) if !sysroot.join(SOURCES).exists() => Found::Wrong(format!(
                "`{VARIABLE}` names `{shown}`, which lacks the sources of its standard library, \
                 `{SOURCES}` in its directory; `.ci/run` unpacks one that has them"
            )),
            Some(_) => Found::Compiler(compiler),
        };
    }
    let with_sources = |compiler: &&PathBuf| {
        compiler::sysroot(compiler.as_os_str())
            .is_some_and(|sysroot| sysroot.join(SOURCES).exists())
    };
    match nightlies.iter().find(with_sources) {
        Some(compiler) => Found::Compiler(compiler.clone().into()),
        None if nightlies.is_empty() => Found::Nothing(format!(
            "no compiler with the sources of its standard library here; run `rustup toolchain \
             install nightly --component rust-src`, or set `{VARIABLE}` to the path of such a \
             rustc (`.ci/run` unpacks one on Debian)"
        )),
        None => Found::Nothing(format!(
            "the nightly here lacks the sources of its standard library; run `rustup component \
             add rust-src --toolchain nightly`, or set `{VARIABLE}` to the path of a rustc that \
             has them (`.ci/run` unpacks one on Debian)"
        )),
    }
}

fn nightlies() -> Vec<PathBuf> {
    let toolchains = compiler::toolchains().into_iter();
    toolchains
        .filter(|name| name.starts_with("nightly"))
        .filter_map(|name| compiler::of_toolchain(&name))
        .collect()
}

/// A compiler that can build everything with the detector.
struct Detector {
    compiler: OsString,
    host: String,
    target: PathBuf,
}

impl Detector {
    fn cargo(&self, folder: &Path, verb: &str) -> Command {
        let mut command = cargo::command();
        command
            .current_dir(folder)
            .env("RUSTC", &self.compiler)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zsanitizer=thread")
            .env(
                "TSAN_OPTIONS",
                format!("halt_on_error=1 exitcode={REPORTED}"),
            )
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.args([verb, "--locked", "-Zbuild-std", "--target", &self.host]);
        command
    }

    /// Whether the detector reports the planted race, and not its twin with a lock.
    fn sees_what_is_planted(&self, folder: &Path) -> Result<Result<(), String>, Failure> {
        if !cargo::run(&mut self.cargo(folder, "build"))? {
            let message = "nothing can be built with the detector; the output is above";
            return Ok(Err(message.to_owned()));
        }
        let program = self.target.join(&self.host).join("debug/planted-race");
        for (argument, is_race) in [("without-lock", true), ("with-lock", false)] {
            let output = self
                .cargo(folder, "run")
                .args(["--quiet", "--", argument])
                .stdin(Stdio::null())
                .output()
                .map_err(|source| Failure::Start {
                    program: program.display().to_string(),
                    source,
                })?;
            if let Err(message) = judge(&output, is_race) {
                say(String::from_utf8_lossy(&output.stderr));
                return Ok(Err(message));
            }
        }
        say("the planted race is reported, and its twin with a lock is not");
        Ok(Ok(()))
    }

    fn run_suites(&self, workspace: &Workspace) -> Result<Outcome, Failure> {
        let mut command = self.cargo(&workspace.root, "test");
        command.arg("--all-features");
        for package in watched() {
            command.args(["--package", package]);
        }
        let mut expected = 0;
        for program in PROGRAMS {
            let here = having(workspace, program);
            if here > 0 {
                command.args(["--test", program]);
                expected += here;
            }
        }
        let mut counts = Vec::new();
        let passed = cargo::run_looking(&mut command, |line| {
            let passed = check::results(line).find(|(what, _)| *what == "passed");
            counts.extend(passed.map(|(_, count)| count));
        })?;
        Ok(suites_outcome(passed, &counts, expected))
    }
}

/// The packages whose suites are run. Not SQLite's: threads of the engine meet in mapped memory, by
/// file locks and barriers that the detector does not know, and a read that was overtaken is known by
/// its checksum and made again. So the detector reports the engine, and what it could see of ours is in
/// the other packages' suites too.
fn watched() -> impl Iterator<Item = &'static str> {
    let all = suites::PACKAGES.iter().copied();
    all.filter(|package| *package != "countersign-sqlite")
}

/// How many of the packages with suites have a test program of this name.
fn having(workspace: &Workspace, program: &str) -> usize {
    let packages = workspace.packages.iter();
    packages
        .filter(|package| watched().any(|name| name == package.name))
        .filter(|package| {
            let folder = workspace.root.join(&package.folder);
            folder.join(format!("tests/{program}.rs")).exists()
        })
        .count()
}

/// Whether a planted program did under the detector what it must.
fn judge(output: &Output, is_race: bool) -> Result<(), String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let reported = said.contains("WARNING: ThreadSanitizer: data race");
    match (is_race, output.status.code()) {
        (true, Some(REPORTED)) if reported => Ok(()),
        (true, _) => Err(
            "the detector does not report the planted race, so its silence about \
                          the suites would mean nothing"
                .to_owned(),
        ),
        (false, Some(0)) if !reported => Ok(()),
        (false, _) => Err(
            "the detector reports a program without a data race, or cannot run \
                           it; its output is above"
                .to_owned(),
        ),
    }
}

/// What came of the suites: how many tests passed in each program, of so many programs.
fn suites_outcome(passed: bool, counts: &[u64], expected: usize) -> Outcome {
    let tests: u64 = counts.iter().sum();
    if !passed {
        return Outcome::Failed(
            "a suite failed, or the detector reported one; the output is above".to_owned(),
        );
    }
    if counts.len() != expected || counts.contains(&0) || tests == 0 {
        let ran = counts.iter().filter(|count| **count > 0).count();
        return Outcome::Failed(format!(
            "tests ran in {ran} programs, not in all {expected} of them"
        ));
    }
    Outcome::Passed(format!(
        "{tests} tests in {expected} programs, under a detector that sees a planted one"
    ))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn arguments_are_refused() {
        assert!(matches!(run(&["fast".into()]), Err(Failure::Usage(_))));
    }

    #[test]
    fn named_compiler_must_run_and_have_sources() {
        let named = |compiler: &OsStr| find(Some(compiler.to_owned()), &[]);
        let found = named(OsStr::new("no-such-compiler-here"));
        assert!(matches!(found, Found::Wrong(message) if message.contains("does not run")));
    }

    #[test]
    fn what_is_missing_is_said_with_how_to_get_it() {
        let missing = |nightlies: &[PathBuf]| match find(Some(OsString::new()), nightlies) {
            Found::Nothing(message) => message,
            _ => String::new(),
        };
        assert!(missing(&[]).contains("install nightly --component rust-src"));
        let nightly = missing(&["no-such-compiler-here".into()]);
        assert!(nightly.contains("component add rust-src"), "{nightly}");
    }

    #[cfg(unix)]
    #[test]
    fn only_a_report_of_the_planted_race_alone_will_do() {
        use std::os::unix::process::ExitStatusExt as _;
        use std::process::ExitStatus;

        let output = |code: i32, said: &str| Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: Vec::new(),
            stderr: said.as_bytes().to_vec(),
        };
        let report = "WARNING: ThreadSanitizer: data race (pid=1)";
        assert_eq!(judge(&output(66, report), true), Ok(()));
        assert_eq!(judge(&output(0, "counted"), false), Ok(()));
        assert!(judge(&output(0, ""), true).is_err(), "it saw nothing");
        assert!(judge(&output(66, ""), true).is_err(), "another reason");
        assert!(judge(&output(0, report), true).is_err(), "it went on");
        assert!(judge(&output(66, report), false).is_err());
        assert!(judge(&output(101, "no build"), false).is_err());
    }

    #[test]
    fn every_program_must_have_run_tests() {
        let failed = |passed, counts: &[u64], expected| {
            matches!(suites_outcome(passed, counts, expected), Outcome::Failed(_))
        };
        assert!(!failed(true, &[6, 9, 10], 3));
        assert!(failed(false, &[6, 9, 10], 3));
        assert!(failed(true, &[6, 0, 10], 3), "one ran none");
        assert!(failed(true, &[6, 9], 3), "one did not run");
        assert!(failed(true, &[], 0), "nothing ran");
    }

    #[test]
    fn every_package_with_suites_has_the_program() {
        let workspace = Workspace::load().unwrap();
        let found = having(&workspace, suites::PROGRAM);
        assert_eq!(found, watched().count());
        assert_eq!(having(&workspace, "no_such_program_here"), 0);
    }
}
