//! `cargo xtask bench`: measures the budgets of decisions, documents and the policy cache.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cargo;
use crate::failure::Failure;

/// The line in the list of commands.
pub const HELP: &str =
    "what decisions and cache hits cost, against their budgets [--bench decisions|documents|cache]";

/// Every feature is on, so that the cache is measured with the coarse clock too.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let mut command = cargo::command();
    command.args(["bench", "--package", "countersign-policy", "--all-features"]);
    command.args(arguments);
    Ok(if cargo::run(&mut command)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
