//! `countersign-policy`: asks, checks and compares policies, for those who write them and for their
//! CI.
//!
//! - It calls nothing but the library's public functions, so what it says is what a service would
//!   decide.
//! - It reads the files that it is given and writes to standard output and standard error, nothing
//!   else.
//! - The exit code is 0 if all is well, 1 if there is something to look at (access is not allowed, lint
//!   found something, the policies differ), 2 if the input is bad.
//!
//! `docs/policy-tool.md` shows each command.

mod answer;
mod arguments;
mod changes;
mod failure;
mod findings;
mod outline;
mod sarif;
mod source;
mod style;
mod text;

use std::io::{self, ErrorKind, IsTerminal as _, Read, Write};
use std::process::ExitCode;

use clap::Parser as _;
use countersign_policy::{Clock, PolicyDocument, SystemClock};

use arguments::{Arguments, Command, Format};
use failure::Failure;
use style::Style;

/// What a command has to say.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// For standard output.
    text: String,
    /// Whether there is something to look at.
    found: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that was asked for comes this way too. What nobody reads need not be written.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let no_color = std::env::var_os("NO_COLOR");
    let style = |is_terminal| Style::new(arguments.color, is_terminal, no_color.as_deref());
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    let plain = style(stdout.is_terminal());
    let (text, code) = match run(&arguments, &SystemClock, &mut io::stdin().lock(), plain) {
        Ok(answer) => (answer.text, u8::from(answer.found)),
        Err(failure) => {
            let told = failure.told(style(stderr.is_terminal()));
            let _ = stderr.write_all(told.as_bytes());
            (machine_readable(&arguments.command, &failure), 2)
        }
    };
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        // Whoever has closed the pipe has read what they wanted.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(stderr, "error: standard output cannot be written: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::from(code),
    }
}

fn run(
    arguments: &Arguments,
    clock: &dyn Clock,
    stdin: &mut dyn Read,
    style: Style,
) -> Result<Answer, Failure> {
    match &arguments.command {
        Command::Decide(asked) => answer::decide(asked, clock, stdin, style),
        Command::Explain(asked) => answer::explain(asked, clock, stdin, style),
        Command::Lint(asked) => findings::lint(asked, stdin, style),
        Command::Diff(asked) => changes::diff(asked, stdin, style),
        Command::Schema(asked) => schema(asked.format),
    }
}

/// Prints the schema of policies, as `docs/schema` has it.
fn schema(format: Format) -> Result<Answer, Failure> {
    let schema = schemars::schema_for!(PolicyDocument);
    let text = match format {
        Format::Text => serde_json::to_string_pretty(&schema),
        Format::Json => serde_json::to_string(&schema),
    };
    let text = text.map_err(|error| Failure::new(error.to_string()))? + "\n";
    Ok(Answer { text, found: false })
}

/// A failure for programs, if the command was asked for anything but text.
fn machine_readable(command: &Command, failure: &Failure) -> String {
    let format = match command {
        Command::Decide(asked) => asked.format,
        Command::Explain(asked) => asked.query.format,
        Command::Diff(asked) => asked.format,
        Command::Schema(asked) => asked.format,
        Command::Lint(asked) => match asked.format {
            arguments::LintFormat::Text => Format::Text,
            arguments::LintFormat::Json => Format::Json,
            arguments::LintFormat::Sarif => return sarif::of_failure(failure),
        },
    };
    match format {
        Format::Text => String::new(),
        Format::Json => failure.json(),
    }
}

/// A value as one line of JSON.
fn json_line(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(error.to_string()))?;
    Ok(text + "\n")
}
