//! `cargo xtask demo`: builds and runs the example program `demo`.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cargo;
use crate::failure::Failure;

/// The line in the list of commands.
pub const HELP: &str =
    "play a day of access decisions, approvals and an incident [--store sqlite:PATH] [--data DIR]";

/// Runs the example where the user stands, so that relative paths mean what they say.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let mut command = cargo::command();
    command.args([
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--example",
        "demo",
        "--",
    ]);
    command.args(arguments);
    let status = cargo::status(&mut command)?;
    Ok(exit_code(status.code()))
}

/// The program's own exit code; 1 if a signal ended it.
fn exit_code(code: Option<i32>) -> ExitCode {
    match code.and_then(|code| u8::try_from(code).ok()) {
        Some(code) => ExitCode::from(code),
        None => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_of_the_program_is_passed_on() {
        assert_eq!(exit_code(Some(0)), ExitCode::SUCCESS);
        assert_eq!(exit_code(Some(2)), ExitCode::from(2));
    }

    #[test]
    fn program_ended_by_a_signal_has_failed() {
        assert_eq!(exit_code(None), ExitCode::FAILURE);
        assert_eq!(exit_code(Some(256)), ExitCode::FAILURE);
    }
}
