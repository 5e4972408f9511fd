//! A working day of access decisions, approvals and an incident, played through the public API.
//!
//! - [`arguments`]: what was typed.
//! - [`data`]: the files of a directory, read and checked before anything is played.
//! - [`step`]: one line of `day.jsonl`; [`fields`] reads its fields strictly, and [`place`] finds the
//!   line of a field in a document.
//! - [`world`]: the three crates wired together, and each step played on them; [`attempts`],
//!   [`requests`] and [`emergencies`] say what each crate answered, and [`upkeep`] is what a service
//!   does by itself.
//! - [`stores`]: where the records are kept; [`journal`]: what was played on a file, so that a day
//!   goes on where it stopped.
//! - [`report`]: the lines, and the table at the end.
//!
//! The clock is set to each step's time and ids follow from the number of the step, so the same files
//! always give the same output, played in one go or not.

mod arguments;
mod attempts;
mod data;
mod emergencies;
mod fields;
mod journal;
mod place;
mod report;
mod requests;
mod step;
mod stores;
#[cfg(test)]
mod tests;
mod upkeep;
mod world;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use arguments::{Arguments, Kind, Wanted};
use chrono::DateTime;
use countersign_policy::{Clock, ManualClock};
use data::Data;
use journal::{Journal, Played};
use report::Report;
use step::Step;
use stores::Stores;
use world::{Outcome, World};

/// The arguments or the files are wrong.
const BAD_INPUT: u8 = 2;
/// A step came out differently from what it expected, or the output or the store could not be
/// written.
const FAILED: u8 = 1;

/// Why the day was not played as far as was wanted.
#[derive(Debug)]
enum Stopped {
    /// The file of the store cannot be used; nothing was played.
    Input(String),
    /// The store failed in the middle.
    Store(String),
    Output(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Stopped::Output(error)
    }
}

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
        Err(Stopped::Input(error)) => complain(errors, BAD_INPUT, &error),
        Err(Stopped::Store(error)) => complain(errors, FAILED, &error),
        Err(Stopped::Output(error)) => written(Err(error), errors),
    }
}

/// Plays the steps that are wanted and were not played before; gives what came out differently from
/// what was expected, then or now.
async fn play(
    arguments: &Arguments,
    data: Data,
    colour: bool,
    output: &mut dyn Write,
) -> Result<Vec<String>, Stopped> {
    let (journal, played) = match &arguments.store {
        Kind::Memory => (None, Played::default()),
        Kind::Sqlite(path) => {
            let opened = Journal::open(path, &data);
            let (journal, played) =
                opened.map_err(|error| Stopped::Input(format!("`--store`: {error}")))?;
            (Some(journal), played)
        }
    };
    let day = data.day_file();
    let Data { rules, steps, .. } = data;
    let (before, after) = steps.split_at(played.outcomes.len().min(steps.len()));
    let (now, left) = after.split_at(arguments.steps.min(after.len()));
    let clock = Arc::new(ManualClock::at(DateTime::UNIX_EPOCH));
    let shared: Arc<dyn Clock> = clock.clone();
    let stores = match &journal {
        None => Stores::in_memory(&shared),
        Some(journal) => Stores::of_file(journal.database(), &shared),
    };
    let mut world = World::new(rules, clock, stores);
    world.go_on_after(before, played.kept).await;
    let mut report = Report::new(arguments.json, colour, &mut *output);
    let mut outcomes = Expected::new(&day);
    for (step, outcome) in before.iter().zip(&played.outcomes) {
        report.count(step, outcome);
        outcomes.compare(step, outcome);
    }
    report.before(before)?;
    for step in now {
        let outcome = world.play(step).await;
        if outcome.store_failed() {
            let line = step.line;
            let why = format!(
                "{day}:{line}: the store failed ({}): play the day again",
                outcome.why
            );
            return Err(Stopped::Store(why));
        }
        if let Some(journal) = &journal {
            let noted = journal.note(step, &outcome, &world.kept);
            noted.map_err(Stopped::Store)?;
        }
        report.count(step, &outcome);
        report.step(step, &outcome)?;
        outcomes.compare(step, &outcome);
    }
    report.summary(outcomes.as_expected, world.cache.stats())?;
    report.left(left.len(), journal.is_some())?;
    Ok(outcomes.surprises)
}

/// What came of the steps, compared with what they expect.
struct Expected<'d> {
    day: &'d str,
    as_expected: usize,
    surprises: Vec<String>,
}

impl<'d> Expected<'d> {
    fn new(day: &'d str) -> Self {
        Self {
            day,
            as_expected: 0,
            surprises: Vec::new(),
        }
    }

    fn compare(&mut self, step: &Step, outcome: &Outcome) {
        match &step.expect {
            Some(kind) if *kind == outcome.kind => self.as_expected += 1,
            Some(kind) => self.surprises.push(format!(
                "{}:{}: `expect` is `{kind}` and the outcome is `{}` ({}): correct the step, or \
                 what it expects",
                self.day, step.line, outcome.kind, outcome.why
            )),
            None => {}
        }
    }
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
