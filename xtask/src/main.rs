//! The project's own commands; run `cargo xtask` to see them.
//!
//! Each verb is a module and a line in [`VERBS`]. Whatever a workflow, a script or a user does to
//! this project goes through one of them, so that all three do the same.

mod bench;
mod cargo;
mod check;
mod compiler;
mod demo;
mod extended;
mod failure;
mod faults;
mod fix;
mod fuzz;
mod linearizability;
mod loom;
mod output;
mod race;
mod schedules;
mod suites;
mod tidy;
mod tree;

use std::ffi::OsString;
use std::process::ExitCode;

use failure::Failure;
use output::say;

/// A command of the project.
struct Verb {
    name: &'static str,
    /// One line for the list that a bare `cargo xtask` prints.
    help: &'static str,
    /// Does it, with the arguments that follow the verb.
    run: fn(&[OsString]) -> Result<ExitCode, Failure>,
}

/// Every command, in the order in which a newcomer meets them.
const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        help: demo::HELP,
        run: demo::run,
    },
    Verb {
        name: "check",
        help: check::HELP,
        run: check::run,
    },
    Verb {
        name: "extended",
        help: extended::HELP,
        run: extended::run,
    },
    Verb {
        name: "loom",
        help: loom::HELP,
        run: loom::run,
    },
    Verb {
        name: "suites",
        help: suites::HELP,
        run: suites::run,
    },
    Verb {
        name: "race",
        help: race::HELP,
        run: race::run,
    },
    Verb {
        name: "schedules",
        help: schedules::HELP,
        run: schedules::run,
    },
    Verb {
        name: "linearizability",
        help: linearizability::HELP,
        run: linearizability::run,
    },
    Verb {
        name: "faults",
        help: faults::HELP,
        run: faults::run,
    },
    Verb {
        name: "fuzz",
        help: fuzz::HELP,
        run: fuzz::run,
    },
    Verb {
        name: "bench",
        help: bench::HELP,
        run: bench::run,
    },
    Verb {
        name: "fix",
        help: fix::HELP,
        run: fix::run,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure);
            failure.exit_code()
        }
    }
}

fn dispatch(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let Some((name, rest)) = arguments.split_first() else {
        say(help());
        return Ok(ExitCode::SUCCESS);
    };
    let name = name.to_string_lossy();
    if matches!(&*name, "help" | "--help" | "-h") {
        say(help());
        return Ok(ExitCode::SUCCESS);
    }
    match VERBS.iter().find(|verb| verb.name == name) {
        Some(verb) => (verb.run)(rest),
        None => Err(Failure::Usage(format!(
            "there is no command `{name}`; run `cargo xtask` for the list"
        ))),
    }
}

/// The list of commands.
fn help() -> String {
    let width = VERBS.iter().map(|verb| verb.name.len()).max().unwrap_or(0);
    let mut text = String::from("usage: cargo xtask <command> [arguments]\n\ncommands:");
    for verb in VERBS {
        text.push_str(&format!("\n  {:width$}  {}", verb.name, verb.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_has_one_line_for_each_verb() {
        let help = help();
        for verb in VERBS {
            let line = format!("  {}", verb.name);
            let found = help.lines().filter(|text| text.starts_with(&line)).count();
            assert_eq!(found, 1, "`{}` has one line in the help", verb.name);
            assert!(
                !verb.help.is_empty() && !verb.help.contains('\n'),
                "help is one line"
            );
        }
    }

    #[test]
    fn unknown_command_is_a_usage_error_that_names_it() {
        let failure = dispatch(&["chekc".into()]).unwrap_err();
        assert!(matches!(failure, Failure::Usage(_)));
        assert!(failure.to_string().contains("`chekc`"));
    }
}
