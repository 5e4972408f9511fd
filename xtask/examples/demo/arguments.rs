//! What was typed after `cargo xtask demo`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// What `--help` prints.
pub const HELP: &str = "\
usage: cargo xtask demo [--json] [--data DIR] [--store STORE] [--steps N]

Plays a day of access decisions, approvals and an incident, one line a step.

  --data DIR           play the files of DIR instead of docs/demo: policy.json, approvals.json,
                       invocation.json, limits.json and day.jsonl
  --store sqlite:PATH  keep policies, requests and emergencies in the file PATH, which is made if
                       it is not there, and go on where the day on it stopped; without,
                       `--store memory`
  --steps N            play N more steps of the day, and stop
  --json               print one JSON object a step, and no summary
  --help               print this

Colours are used on a terminal unless NO_COLOR is set.
Exit code: 0 all is well, 1 a step came out differently from its `expect`, 2 bad arguments or files.
";

/// What the user wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To be told how to use the program.
    Help,
    /// To see a day.
    Day(Arguments),
}

/// How to play the day.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The directory with the files.
    pub data: PathBuf,
    /// One JSON object a step instead of lines for people.
    pub json: bool,
    /// Where policies, requests and emergencies are kept.
    pub store: Kind,
    /// How many steps are played at most.
    pub steps: usize,
}

/// Where policies, requests and emergencies are kept.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// In memory, until the end of the program.
    Memory,
    /// In the SQLite file of this name.
    Sqlite(PathBuf),
}

/// What is typed instead of an unknown argument.
const KNOWN: &str = "use --json, --data DIR, --store STORE, --steps N or --help";

/// Reads the arguments.
pub fn parse(arguments: &[OsString]) -> Result<Wanted, String> {
    let mut wanted = Arguments {
        data: shipped(),
        json: false,
        store: Kind::Memory,
        steps: usize::MAX,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(Wanted::Help),
            Some("--json") => wanted.json = true,
            Some("--data") => {
                let directory = arguments.next();
                wanted.data = directory
                    .ok_or("`--data` names no directory: write `--data DIR`")?
                    .into();
            }
            Some("--store") => {
                let store = arguments.next();
                let store = store.ok_or("`--store` names no store: write `--store sqlite:PATH`")?;
                wanted.store = kind(store)?;
            }
            Some("--steps") => {
                let steps = arguments.next().map(|steps| steps.to_string_lossy());
                let number = steps.as_ref().and_then(|steps| steps.parse().ok());
                wanted.steps = number.filter(|steps| *steps > 0).ok_or_else(|| {
                    let shown = steps.unwrap_or_default();
                    format!("`--steps` is `{shown}`: write how many steps to play, such as `10`")
                })?;
            }
            _ => {
                let shown = argument.to_string_lossy();
                let parts = shown.split_once('=');
                let known =
                    parts.filter(|(name, _)| ["--data", "--store", "--steps"].contains(name));
                return Err(match known {
                    Some((name, value)) => format!("`{shown}` is unknown: write `{name} {value}`"),
                    None => format!("`{shown}` is unknown: {KNOWN}"),
                });
            }
        }
    }
    Ok(Wanted::Day(wanted))
}

fn kind(store: &OsStr) -> Result<Kind, String> {
    let shown = store.to_string_lossy();
    let bad = |fix: &str| Err(format!("`--store` is `{shown}`: {fix}"));
    match store
        .to_str()
        .map(|text| (text, text.strip_prefix("sqlite:")))
    {
        Some(("memory", _)) => Ok(Kind::Memory),
        Some((_, Some(""))) => bad("name the file, as in `sqlite:day.db`"),
        Some((_, Some(path))) => Ok(Kind::Sqlite(path.into())),
        Some(_) => bad("write `sqlite:PATH` or `memory`"),
        None => bad("name a file in UTF-8"),
    }
}

/// The files that come with the project.
pub fn shipped() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).join("docs/demo")
}
