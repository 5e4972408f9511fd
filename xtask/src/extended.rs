//! `cargo xtask extended`: the long forms of what `cargo xtask check` does, in one command.
//!
//! Steps, their output and the exit code are as those of the check. A step that needs what this
//! machine lacks is skipped, and says what that is.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::check::{self, Step};
use crate::failure::Failure;
use crate::{faults, fuzz, linearizability, loom, race, schedules, suites};

/// The line in the list of commands.
pub const HELP: &str = "the long forms of the checks; minutes each [names of single steps]";

const STEPS: &[Step] = &[
    Step {
        name: "models",
        run: loom::three_threads,
    },
    Step {
        name: "twins",
        run: loom::twins,
    },
    Step {
        name: "schedules",
        run: schedules::step,
    },
    Step {
        name: "linearizability",
        run: linearizability::step,
    },
    Step {
        name: "suites",
        run: suites::step,
    },
    Step {
        name: "faults",
        run: faults::step,
    },
    Step {
        name: "fuzz",
        run: fuzz::step,
    },
    Step {
        name: "race",
        run: race::outcome,
    },
];

/// Runs the steps named, or all.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    check::run_steps("extended", STEPS, arguments)
}
