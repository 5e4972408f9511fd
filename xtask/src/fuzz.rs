//! `cargo xtask fuzz`: lets libFuzzer look for inputs that break the properties of the package
//! `countersign-fuzz`.
//!
//! - It needs a C++ compiler for libFuzzer and no other tool and no other toolchain: the compiler's
//!   coverage instrumentation is to be had on stable. Sanitizers are not, and are not missed: the
//!   project has no unsafe code.
//! - New inputs and those that break something are kept in the target directory; only what a user
//!   copies to `fuzz/corpus` is kept by the project, and replayed by `cargo xtask check`.
//! - An input that breaks a property, runs for more than ten seconds or takes more than 2 GiB is a
//!   failure.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::cargo::{self, Workspace};
use crate::check::Outcome;
use crate::failure::Failure;
use crate::output::say;

/// The line in the list of commands.
pub const HELP: &str = "look for inputs that break parsers and the index [--seconds N] [targets]";

/// What is fuzzed, in the order of `countersign_fuzz::TARGETS`, and the most bytes of an input.
const TARGETS: [(&str, u32); 5] = [
    ("policy", 4_096),
    ("approvals", 4_096),
    ("breakglass", 4_096),
    ("texts", 128),
    ("index", 512),
];

/// The instrumentation that libFuzzer reads: which edges run and what is compared with what.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// How long each target runs, in seconds.
    seconds: u32,
    targets: Vec<(&'static str, u32)>,
}

/// Every target for ten seconds.
impl Default for Wanted {
    fn default() -> Self {
        Self {
            seconds: 10,
            targets: TARGETS.to_vec(),
        }
    }
}

/// Fuzzes the targets asked for, or all.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let wanted = parse(arguments)?;
    match explore(&Workspace::load()?, &wanted)? {
        Outcome::Passed(remark) => {
            say(format_args!("\n{remark}"));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Skipped(reason) => Err(Failure::Program(reason)),
        Outcome::Failed(remark) => Err(Failure::Program(remark)),
    }
}

/// Every target for ten seconds, as a step of `cargo xtask extended`.
pub fn step(workspace: &Workspace) -> Result<Outcome, Failure> {
    explore(workspace, &Wanted::default())
}

/// Fuzzes targets one after the other. Skipped where libFuzzer cannot be built.
fn explore(workspace: &Workspace, wanted: &Wanted) -> Result<Outcome, Failure> {
    let Some(host) = host()? else {
        return Ok(Outcome::Skipped(
            "libFuzzer runs on Linux and macOS alone".to_owned(),
        ));
    };
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !answers(&compiler) {
        return Ok(Outcome::Skipped(format!(
            "libFuzzer is C++ and `{}` does not run; install a C++ compiler, or name one in `CXX`",
            compiler.to_string_lossy()
        )));
    }
    let folder = workspace.target.join("fuzz");
    if !build(workspace, &folder, &host, wanted)? {
        return Ok(Outcome::Failed("the targets do not build".to_owned()));
    }
    let (mut lines, mut failed) = (Vec::new(), Vec::new());
    for (name, most_bytes) in &wanted.targets {
        let program = folder.join(&host).join("fuzz").join(name);
        let log = folder.join(format!("{name}.log"));
        let mut command = fuzzer(workspace, &folder, &program, name, *most_bytes)?;
        command.arg(format!("-max_total_time={}", wanted.seconds));
        let passed = run_logged(&mut command, &log)?;
        let text = read(&log)?;
        if !passed {
            say(text.trim_end());
            failed.push(*name);
        }
        let executions = text.lines().find_map(executed).unwrap_or(0);
        lines.push(format!("{name} {executions}"));
    }
    Ok(if failed.is_empty() {
        Outcome::Passed(format!(
            "executions in {} s each: {}",
            wanted.seconds,
            lines.join(", ")
        ))
    } else {
        Outcome::Failed(format!(
            "{}: the input lies in `{}`; mend what it shows, and copy it to `fuzz/corpus`",
            failed.join(", "),
            folder.join("found").display()
        ))
    })
}

fn parse(arguments: &[OsString]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut targets = Vec::new();
    let mut rest = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let value = rest.next().unwrap_or_default();
            let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
            wanted.seconds = seconds.ok_or_else(|| {
                Failure::Usage(format!(
                    "`--seconds` takes a whole number from 1, not `{value}`"
                ))
            })?;
            continue;
        }
        let target = TARGETS.into_iter().find(|(name, _)| *name == argument);
        targets.push(target.ok_or_else(|| {
            let known = TARGETS.map(|(name, _)| name).join(", ");
            Failure::Usage(format!(
                "`cargo xtask fuzz` does not know `{argument}`; it takes `--seconds N` and {known}"
            ))
        })?);
    }
    if !targets.is_empty() {
        wanted.targets = targets;
    }
    Ok(wanted)
}

/// The machine's target, if libFuzzer runs there. It is named to cargo, so that the flags do not
/// reach build scripts and macros.
fn host() -> Result<Option<String>, Failure> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let answer = cargo::output(rustc.arg("-vV"))?;
    let host = answer.lines().find_map(|line| line.strip_prefix("host: "));
    let runs = |host: &&str| host.contains("linux") || host.contains("darwin");
    Ok(host.filter(runs).map(str::to_owned))
}

fn answers(compiler: &OsString) -> bool {
    let mut command = Command::new(compiler);
    command.arg("--version").stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn build(
    workspace: &Workspace,
    folder: &Path,
    host: &str,
    wanted: &Wanted,
) -> Result<bool, Failure> {
    let mut command = cargo::command();
    command
        .current_dir(&workspace.root)
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", folder);
    command.args(["build", "--quiet", "--locked", "--profile", "fuzz"]);
    command.args(["--package", "countersign-fuzz", "--target", host]);
    for (name, _) in &wanted.targets {
        command.args(["--bin", name]);
    }
    cargo::run(&mut command)
}

/// libFuzzer on one target: it reads the inputs found before and those that the project keeps, and
/// writes to the target directory alone.
fn fuzzer(
    workspace: &Workspace,
    folder: &Path,
    program: &Path,
    name: &str,
    most_bytes: u32,
) -> Result<Command, Failure> {
    let new = made(folder.join("corpus").join(name))?;
    let found = made(folder.join("found").join(name))?;
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(found.join(""));
    let mut command = Command::new(program);
    command.current_dir(workspace.root.join("fuzz"));
    command
        .args(["-timeout=10", "-rss_limit_mb=2048", "-verbosity=0"])
        .args(["-print_final_stats=1", "-dict=documents.dict"])
        .arg(format!("-max_len={most_bytes}"))
        .arg(prefix)
        .arg(new)
        .arg(Path::new("corpus").join(name));
    Ok(command)
}

/// Runs a fuzzer, which says much on its way, into a file.
fn run_logged(command: &mut Command, log: &Path) -> Result<bool, Failure> {
    let file = File::create(log).map_err(|source| unreadable(log, source))?;
    command.stderr(file);
    cargo::run(command)
}

fn read(log: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(log).map_err(|source| unreadable(log, source))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(path: &Path, source: std::io::Error) -> Failure {
    Failure::Read {
        path: path.display().to_string(),
        source,
    }
}

fn made(folder: PathBuf) -> Result<PathBuf, Failure> {
    match std::fs::create_dir_all(&folder) {
        Ok(()) => Ok(folder),
        Err(source) => Err(unreadable(&folder, source)),
    }
}

/// The count in libFuzzer's line about how often it ran the target.
fn executed(line: &str) -> Option<u64> {
    let count = line.strip_prefix("stat::number_of_executed_units:")?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Wanted, Failure> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn seconds_and_targets_are_understood() {
        assert_eq!(parsed(&[]).unwrap(), Wanted::default());
        let wanted = parsed(&["texts", "--seconds", "120", "policy"]).unwrap();
        assert_eq!(wanted.seconds, 120);
        assert_eq!(wanted.targets, [("texts", 128), ("policy", 4_096)]);
    }

    #[test]
    fn other_arguments_are_usage_errors() {
        for arguments in [
            &["--seconds"][..],
            &["--seconds", "0"],
            &["--seconds", "x"],
            &["polic"],
            &["--fast"],
        ] {
            assert!(
                matches!(parsed(arguments), Err(Failure::Usage(_))),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn executions_are_counted() {
        let line = "stat::number_of_executed_units: 1990888";
        assert_eq!(executed(line), Some(1_990_888));
        assert_eq!(executed("stat::peak_rss_mb: 31"), None);
    }

    #[test]
    fn every_target_has_its_folder_of_inputs() {
        let corpus = Workspace::load().unwrap().root.join("fuzz/corpus");
        for (name, _) in TARGETS {
            assert!(corpus.join(name).is_dir(), "`{name}` has inputs");
        }
        let folders = std::fs::read_dir(corpus).unwrap().count();
        assert_eq!(folders, TARGETS.len(), "every folder is a target's");
    }
}
