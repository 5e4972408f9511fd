//! `cargo xtask bench`: measures the budgets of decisions, documents and the policy cache, and what
//! the store in a file costs.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cargo;
use crate::failure::Failure;
use crate::output::say;

/// The line in the list of commands.
pub const HELP: &str = "what decisions, cache hits and changes in a file cost, against their budgets \
     [--bench decisions|documents|cache|writes|callers|scale]";

/// What a run that names none measures.
const USUAL: [&str; 5] = ["decisions", "documents", "cache", "writes", "callers"];

/// Every feature is on, so that the cache is measured with the coarse clock too.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let mut command = cargo::command();
    command.args(["bench", "--all-features"]);
    command.args(["--package", "countersign-policy"]);
    command.args(["--package", "countersign-sqlite"]);
    if !named(arguments) {
        say("`scale` fills a file of a million records: it runs when named, with `--bench scale`");
        command.args(USUAL.iter().flat_map(|name| ["--bench", name]));
    }
    command.args(arguments);
    Ok(if cargo::run(&mut command)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether the arguments name what is to be measured.
fn named(arguments: &[OsString]) -> bool {
    let names = |argument: &OsString| argument.to_string_lossy().starts_with("--bench");
    let own = arguments.iter().take_while(|argument| *argument != "--");
    own.into_iter().any(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(arguments: &[&str]) -> bool {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        super::named(&arguments)
    }

    #[test]
    fn what_is_named_is_what_is_measured() {
        assert!(named(&["--bench", "scale"]) && named(&["--bench=scale"]));
        assert!(!named(&[]) && !named(&["--quiet"]) && !named(&["--", "--bench"]));
    }

    #[test]
    fn every_benchmark_is_in_the_help() {
        for name in USUAL {
            assert!(HELP.contains(name), "`{name}` is in the help");
        }
    }
}
