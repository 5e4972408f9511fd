//! A working day of access decisions, approvals and an incident, played through the public API.
//!
//! - [`arguments`]: what was typed.
//! - [`data`]: the files of a directory, read and checked before anything is played.
//! - [`step`]: one line of `day.jsonl`; [`fields`] reads its fields strictly, and [`place`] finds the
//!   line of a field in a document.
//! - [`world`]: the three crates wired together, and each step played on them; [`attempts`],
//!   [`requests`] and [`emergencies`] say what each crate answered, and [`upkeep`] is what a service
//!   does by itself.
//! - [`report`]: the lines, and the table at the end.
//!
//! The clock is set to each step's time and ids come from a sequence, so the same files always give
//! the same output.

mod arguments;
mod attempts;
mod data;
mod emergencies;
mod fields;
mod place;
mod report;
mod requests;
mod step;
#[cfg(test)]
mod tests;
mod upkeep;
mod world;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use arguments::{Arguments, Wanted};
use data::Data;
use report::Report;
use world::World;

/// The arguments or the files are wrong.
const BAD_INPUT: u8 = 2;
/// A step came out differently from what it expected, or the output could not be written.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let colour = io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let code = run(&arguments, colour, &mut io::stdout(), &mut io::stderr());
    ExitCode::from(code)
}

/// The whole program: gives its exit code.
fn run(arguments: &[OsString], colour: bool, output: &mut dyn Write, errors: &mut dyn Write) -> u8 {
    let arguments = match arguments::parse(arguments) {
        Ok(Wanted::Help) => return written(output.write_all(arguments::HELP.as_bytes()), errors),
        Ok(Wanted::Day(arguments)) => arguments,
        Err(error) => return complain(errors, BAD_INPUT, &error),
    };
    let data = match data::read(&arguments.data) {
        Ok(data) => data,
        Err(error) => return complain(errors, BAD_INPUT, &error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(errors, FAILED, &error),
    };
    match runtime.block_on(play(&arguments, data, colour, output)) {
        Ok(surprises) if surprises.is_empty() => 0,
        Ok(surprises) => {
            for surprise in surprises {
                complain(errors, FAILED, &surprise);
            }
            FAILED
        }
        Err(error) => written(Err(error), errors),
    }
}

/// Plays every step; gives what came out differently from what was expected.
async fn play(
    arguments: &Arguments,
    data: Data,
    colour: bool,
    output: &mut dyn Write,
) -> io::Result<Vec<String>> {
    let day = data.day_file();
    let Data { rules, steps, .. } = data;
    let mut world = World::new(rules);
    let mut report = Report::new(arguments.json, colour, &mut *output);
    let (mut expected, mut surprises) = (0_usize, Vec::new());
    for step in &steps {
        let outcome = world.play(step).await;
        report.step(step, &outcome)?;
        match &step.expect {
            Some(kind) if *kind == outcome.kind => expected += 1,
            Some(kind) => surprises.push(format!(
                "{day}:{}: `expect` is `{kind}` and the outcome is `{}` ({}): correct the step, or \
                 what it expects",
                step.line, outcome.kind, outcome.why
            )),
            None => {}
        }
    }
    report.summary(expected, world.cache.stats())?;
    Ok(surprises)
}

fn complain(errors: &mut dyn Write, code: u8, error: &dyn std::fmt::Display) -> u8 {
    // Whoever closed standard error does not want to know; the exit code still tells.
    let _ = writeln!(errors, "error: {}", report::one_line(&error.to_string()));
    code
}

/// A reader that went away (`demo | head`) has read all it wants.
fn written(result: io::Result<()>, errors: &mut dyn Write) -> u8 {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(
            errors,
            FAILED,
            &format_args!("cannot write the output: {error}"),
        ),
        _ => 0,
    }
}
