//! The commands of README.md, as they stand there: what a reader types first must work in a fresh
//! clone.
//!
//! Each is either run or named in [`LONG`] with the reason why not. A command that is neither runs, so
//! that none can be added unseen. Only what asks for a screen is left out of it.

use std::fs;

use super::Outcome;
use crate::cargo::{self, Workspace};
use crate::failure::Failure;

/// What is not run here, by its words up to the arguments.
const LONG: &[(&str, &str)] = &[
    ("xtask check", "it is this command"),
    (
        "xtask extended",
        "it takes hours, and has a summary of its own",
    ),
    ("xtask loom", "the step `models` is its short form"),
    ("xtask linearizability", "a short form is among the tests"),
    (
        "xtask bench",
        "it measures, and what it says depends on the machine",
    ),
];

/// Arguments that open a window.
const OPENS: &[&str] = &["--open"];

/// Runs them.
pub fn run(workspace: &Workspace) -> Result<Outcome, Failure> {
    let path = workspace.root.join("README.md");
    let text = fs::read_to_string(&path).map_err(|source| Failure::Read {
        path: path.display().to_string(),
        source,
    })?;
    // Where a place for files is named, it is an empty one.
    let scratch = workspace.target.join("readme");
    let _ = fs::remove_dir_all(&scratch);
    let _ = fs::create_dir_all(&scratch);
    let (mut count, mut failed) = (0, Vec::new());
    for words in wanted(&text) {
        let mut command = cargo::command();
        command.current_dir(&workspace.root);
        // A warning on the way is no success.
        let mut flags = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
        flags.push_str(" -D warnings");
        command.env("RUSTDOCFLAGS", flags.trim_start());
        for word in &words {
            command.arg(
                word.replace("DIR", "docs/demo")
                    .replace("PATH", &scratch.join("readme.db").to_string_lossy()),
            );
        }
        count += 1;
        if !cargo::run(&mut command)? {
            failed.push(format!("`cargo {}`", words.join(" ")));
        }
    }
    Ok(match (count, failed.is_empty()) {
        (0, _) => Outcome::Failed("README.md has no command that is run".into()),
        (_, true) => Outcome::Passed(format!("{count} commands")),
        (_, false) => Outcome::Failed(failed.join(", ")),
    })
}

/// The arguments of the commands that are run, each once.
fn wanted(text: &str) -> Vec<Vec<String>> {
    let mut wanted: Vec<Vec<String>> = Vec::new();
    for command in commands(text) {
        let words: Vec<String> = command
            .split_whitespace()
            .filter(|word| !OPENS.contains(word))
            .map(str::to_owned)
            .collect();
        let line = words.join(" ");
        let is_long = |(begin, _): &(&str, &str)| {
            line.strip_prefix(begin)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if !LONG.iter().any(is_long) && !wanted.contains(&words) {
            wanted.push(words);
        }
    }
    wanted
}

/// What stands after `cargo ` in fenced lines of a shell and between backticks. An option that stands
/// alone between backticks (`--store sqlite:PATH`) is one of the command before it.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut fence = None;
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            fence = match fence {
                None => Some(language),
                Some(_) => None,
            };
        } else if let Some(language) = fence {
            let command = line
                .split(" #")
                .next()
                .and_then(|line| line.strip_prefix("cargo "));
            if let ("sh", Some(command)) = (language, command) {
                commands.push(command.trim().to_owned());
            }
        } else {
            for code in line.split('`').skip(1).step_by(2) {
                if let Some(command) = code.strip_prefix("cargo ") {
                    commands.push(command.to_owned());
                } else if let (true, Some(last)) = (code.starts_with("--"), commands.last()) {
                    let verb: Vec<&str> = last
                        .split_whitespace()
                        .take_while(|word| !word.starts_with("--"))
                        .collect();
                    commands.push(format!("{} {code}", verb.join(" ")));
                }
            }
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "# A project

```sh
cargo xtask demo    # plays
cargo xtask check   # runs
```

```rust
cargo not_a_command
```

Play it with `cargo xtask demo --data DIR`, or
with `--store sqlite:PATH`. `cargo xtask loom --twins`, `cargo doc --no-deps --open`, `cargo xtask demo`.
";

    #[test]
    fn fenced_lines_and_backticks_are_read_and_other_languages_are_not() {
        assert_eq!(
            commands(README),
            [
                "xtask demo",
                "xtask check",
                "xtask demo --data DIR",
                "xtask demo --store sqlite:PATH",
                "xtask loom --twins",
                "doc --no-deps --open",
                "xtask demo"
            ]
        );
    }

    #[test]
    fn everything_is_run_once_but_what_is_named_as_long() {
        let wanted: Vec<String> = wanted(README).iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            wanted,
            [
                "xtask demo",
                "xtask demo --data DIR",
                "xtask demo --store sqlite:PATH",
                "doc --no-deps"
            ]
        );
    }

    #[test]
    fn what_only_begins_like_a_long_command_is_run() {
        assert_eq!(wanted("`cargo xtask checks`").len(), 1);
        assert_eq!(wanted("`cargo xtask check tidy`").len(), 0);
    }

    #[test]
    fn the_projects_own_commands_are_found() {
        let text = include_str!("../../../README.md");
        let wanted: Vec<String> = wanted(text).iter().map(|words| words.join(" ")).collect();
        for command in ["xtask demo", "doc --workspace --no-deps"] {
            assert!(wanted.iter().any(|line| line == command), "{wanted:?}");
        }
    }
}
