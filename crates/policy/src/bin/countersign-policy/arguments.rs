//! What can be typed, and what `--help` says about it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use countersign_policy::{Group, Mode, Profile, Severity, User};

const AFTER_HELP: &str = "\
Exit codes:
  0  all is well: access is allowed, nothing was found, both policies mean the same
  1  there is something to look at: access is not allowed, a finding, a difference, or it is
     not known whether there is one
  2  bad input: wrong arguments, a file that cannot be read, a document that is not a policy

Colours are used on a terminal, unless NO_COLOR is set or `--color` says otherwise.";

const DECIDE_HELP: &str = "\
Exit codes: 0 access is allowed; 1 it is denied, or an approval is required; 2 bad input.

Examples:
  countersign-policy decide policy.json --user alice --profile prod
  countersign-policy decide policy.json --user alice --group on-call --profile prod \\
      --mode server --at 2026-03-02T23:30:00Z
  git show HEAD:policy.json | countersign-policy decide - --user alice --profile prod";

const EXPLAIN_HELP: &str = "\
Exit codes: 0 it was explained, whatever the answer; 2 bad input.

Example:
  countersign-policy explain policy.json --user bob --profile prod --at 2026-03-02T09:00:00Z";

const LINT_HELP: &str = "\
Exit codes: 0 nothing was found; 1 a finding as severe as `--fail-on` says, or a rule of which it is
not known whether there is one; 2 bad input.

Examples:
  countersign-policy lint policy.json
  countersign-policy lint policy.json --fail-on warning --format sarif > policy.sarif";

const DIFF_HELP: &str = "\
Exit codes: 0 both mean the same; 1 they differ, or may; 2 bad input.

Example:
  git show main:policy.json | countersign-policy diff - policy.json";

/// Asks, checks and compares Countersign policies.
#[derive(Debug, Parser)]
#[command(name = "countersign-policy", version, after_help = AFTER_HELP)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Whether to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        display_order = 100
    )]
    pub color: Color,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// May this user use this profile?
    #[command(after_help = DECIDE_HELP)]
    Decide(Asked),
    /// Why is that the answer? Per rule: it matches, or the first condition that fails
    #[command(after_help = EXPLAIN_HELP)]
    Explain(Explained),
    /// Find rules that never decide, denials that come too late, rules written twice
    #[command(after_help = LINT_HELP)]
    Lint(Linted),
    /// Who gains and who loses access if NEW takes the place of OLD?
    #[command(after_help = DIFF_HELP)]
    Diff(Compared),
    /// Print the JSON Schema of policy documents
    Schema(Printed),
}

/// A policy and a query.
#[derive(Debug, Args)]
pub struct Asked {
    /// The policy; `-` is standard input
    pub file: PathBuf,
    /// Who asks
    #[arg(long, value_name = "NAME")]
    pub user: User,
    /// What is asked for
    #[arg(long, value_name = "NAME")]
    pub profile: Profile,
    /// A group that the user is in; may be repeated
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<Group>,
    /// A group that the profile is in; may be repeated
    #[arg(long = "profile-group", value_name = "NAME")]
    pub profile_groups: Vec<Group>,
    /// When it is asked, such as 2026-03-02T09:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<DateTime<Utc>>,
    /// How it is asked; without it, rules for a mode do not match
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(
        Mode::ALL.map(Mode::as_str)).try_map(|text| text.parse::<Mode>()))]
    pub mode: Option<Mode>,
    /// The table in which the session is tracked
    #[arg(long, value_name = "NAME")]
    pub session_table: Option<String>,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// A query that is explained.
#[derive(Debug, Args)]
pub struct Explained {
    /// The query.
    #[command(flatten)]
    pub query: Asked,
    /// Name every rule, however many there are
    #[arg(long)]
    pub all: bool,
}

/// A policy that is checked.
#[derive(Debug, Args)]
pub struct Linted {
    /// The policy; `-` is standard input
    pub file: PathBuf,
    /// The least severe finding that makes the exit code 1
    #[arg(long, value_name = "SEVERITY", default_value = "note")]
    pub fail_on: Threshold,
    /// How to print; `sarif` is SARIF 2.1.0, which code hosts show at the line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: LintFormat,
}

/// Two policies.
#[derive(Debug, Args)]
pub struct Compared {
    /// The policy in force; `-` is standard input
    pub old: PathBuf,
    /// The policy that would take its place; `-` is standard input
    pub new: PathBuf,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// What is printed and needs no input.
#[derive(Debug, Args)]
pub struct Printed {
    /// How to print: `json` is the same in one line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// In files and pipes too
    Always,
    /// Never
    Never,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people
    Text,
    /// One object in one line
    Json,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// Lines for people
    Text,
    /// One object in one line
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// From which severity on a finding counts for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    /// Any finding
    Note,
    /// Warnings alone
    Warning,
}

impl Threshold {
    /// Whether a finding counts.
    pub fn is_reached(self, severity: Severity) -> bool {
        match self {
            Threshold::Note => true,
            Threshold::Warning => severity >= Severity::Warning,
        }
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text);
    time.map(|time| time.to_utc())
        .map_err(|error| format!("{error}: write a time such as 2026-03-02T09:00:00Z"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_may_have_an_offset_and_must_have_a_zone() {
        let utc = time("2026-03-02T09:00:00Z");
        assert_eq!(time("2026-03-02T10:00:00+01:00"), utc);
        assert!(time("2026-03-02T09:00:00").is_err());
        let error = time("tomorrow").unwrap_err();
        assert!(
            error.ends_with("write a time such as 2026-03-02T09:00:00Z"),
            "{error}"
        );
    }
}
