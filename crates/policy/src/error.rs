//! Why a document is not a policy.
//!
//! Every message names the rule, the field, the value and the fix, in one line; every case can
//! also be told apart in code. Control characters are escaped and long values shortened when a
//! message is written, so that a hostile document cannot flood or forge a log.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use countersign_core::names::NameError;
use countersign_core::window::WindowError;
use countersign_core::window::duration::ParseDurationError;
use thiserror::Error;

use crate::vocabulary::{Effect, Mode};

/// The largest document that is read: 64 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024 * 1024;

/// Why a document is not a policy. Nothing is kept of a document that is refused: correct it and
/// read it again.
///
/// ```
/// use countersign_policy::{DocumentError, Policy, Problem};
///
/// let json = br#"{"version": "1", "rules": [
///     {"name": "night-shift", "effect": "allow", "conditions": {"users": ["alice "]}}
/// ]}"#;
/// let error = Policy::from_json(json).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "rule 0 `night-shift`: `conditions.users[0]`: \
///      name `alice ` begins or ends with white space: remove it",
/// );
/// assert!(matches!(error, DocumentError::Rule(rule) if matches!(rule.problem, Problem::Name(_))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Not JSON, or a field is unknown, missing, given twice or of the wrong type. Correct the
    /// place that is named.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Counted from 1; 0 if the document is empty.
        line: usize,
        /// Counted in bytes from 1; 0 if the document is empty.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Not UTF-8. Save the document as UTF-8.
    #[error("byte {at} is not UTF-8: save the document as UTF-8")]
    NotUtf8 {
        /// How many bytes before it are.
        at: usize,
    },
    /// The document begins with a byte order mark. Save it without.
    #[error("the document begins with a byte order mark: save it as UTF-8 without one")]
    ByteOrderMark,
    /// More than [`MAX_DOCUMENT_BYTES`]. Divide the policy.
    #[error("the document has {bytes} bytes: at most {MAX_DOCUMENT_BYTES} are read")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// A version of the format that is not known. Write `1`.
    #[error("`version`: `{}` is not known: write \"1\"", Shown(value))]
    Version {
        /// What was given.
        value: String,
    },
    /// A policy without a rule would deny everything. Write a rule, or delete the policy.
    #[error("`rules` is empty: write at least one rule")]
    NoRules,
    /// A rule that cannot be. Correct the field that is named.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// Which rule and field of a document is at fault, and why.
///
/// ```
/// use countersign_policy::{Effect, Problem, RuleError};
///
/// let problem = Problem::HardOnNonDeny { effect: Effect::Allow };
/// let error = RuleError { index: 2, name: "on-call".into(), field: "hard".into(), problem };
/// assert_eq!(
///     error.to_string(),
///     "rule 2 `on-call`: `hard`: only a deny rule can be hard, and this is `allow`: leave it out",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// The rule's place in the document, counted from 0.
    pub index: usize,
    /// The rule's name as it was given; it may be what is wrong.
    pub name: String,
    /// The field within the rule, such as `conditions.time.hours.start` or `conditions.users[3]`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// In one line: the rule's place and name, the field, the problem.
impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            name,
            field,
            problem,
        } = self;
        write!(f, "rule {index} `{}`: `{field}`: ", Shown(name))?;
        write!(f, "{}", Shown(problem))
    }
}

impl std::error::Error for RuleError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.cause()
    }
}

/// What is wrong with a field of a rule.
///
/// ```
/// use countersign_policy::Problem;
///
/// let problem = Problem::UnknownMode { value: "batch".into() };
/// assert_eq!(
///     problem.to_string(),
///     "`batch` is not a mode: write server, cli or credential_process",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// A rule without a name cannot be told from others in a log. Name it.
    #[error("the rule has no name: write one that no other rule has")]
    EmptyName,
    /// Two rules have the same name. Rename one.
    #[error("rule {first} has the same name: give each rule its own")]
    DuplicateName {
        /// The place of the first rule with the name.
        first: usize,
    },
    /// Not an effect. Write one of those listed.
    #[error(
        "`{value}` is not an effect: write allow, deny, require_approval, require_server or require_server_session"
    )]
    UnknownEffect {
        /// What was given.
        value: String,
    },
    /// Not a mode. Write one of those listed.
    #[error("`{value}` is not a mode: write server, cli or credential_process")]
    UnknownMode {
        /// What was given.
        value: String,
    },
    /// A rule without conditions would be for everyone and everything. State one.
    #[error(
        "the rule has no condition: state users, groups, profiles, profile_groups, time or mode"
    )]
    NoConditions,
    /// A list without an entry would match nothing. Fill it, or leave the field out for any.
    #[error("the list is empty: name an entry, or leave the field out for any")]
    EmptyList,
    /// A session table without a name. Name it, or leave the field out.
    #[error("it is empty: name a table, or leave the field out")]
    EmptySessionTable,
    /// The reason is longer than people read. Shorten it.
    #[error("the reason has {characters} characters: write at most 1000")]
    LongReason {
        /// How many it has.
        characters: usize,
    },
    /// Only a denial can be hard. Leave the field out, or make the rule a deny rule.
    #[error("only a deny rule can be hard, and this is `{effect}`: leave it out")]
    HardOnNonDeny {
        /// The rule's effect.
        effect: Effect,
    },
    /// Not a name. Write the subject as the identity provider gives it.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not a time window. Correct the day, hour or zone.
    #[error("{}", without_field(.0))]
    Window(#[from] WindowError),
    /// Not a duration. Write hours, minutes and seconds such as `1h30m`.
    #[error(transparent)]
    Duration(#[from] ParseDurationError),
}

impl FromStr for Effect {
    type Err = Problem;

    /// Reads the effect as documents write it; [`Problem::UnknownEffect`] otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let effect = Effect::ALL
            .into_iter()
            .find(|effect| effect.as_str() == text);
        effect.ok_or_else(|| Problem::UnknownEffect {
            value: text.to_owned(),
        })
    }
}

impl FromStr for Mode {
    type Err = Problem;

    /// Reads the mode as documents write it; [`Problem::UnknownMode`]
    /// otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mode = Mode::ALL.into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or_else(|| Problem::UnknownMode {
            value: text.to_owned(),
        })
    }
}

/// What a window error says, less the name of the field if it begins with it: the rule's error
/// has named it.
fn without_field(error: &WindowError) -> &dyn fmt::Display {
    match error {
        WindowError::BadHour { cause, .. } => cause,
        error => error,
    }
}

impl Problem {
    fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Problem::Name(source) => Some(source),
            Problem::Window(source) => Some(source),
            Problem::Duration(source) => Some(source),
            _ => None,
        }
    }
}

/// A serde_json error as a typed one, with its place taken out of the message.
pub(crate) fn syntax(error: &serde_json::Error) -> DocumentError {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let place = format!(" at line {line} column {column}");
    let message = message.strip_suffix(&place).unwrap_or(&message);
    DocumentError::Syntax {
        line,
        column,
        message: Shown(message).to_string(),
    }
}

/// A value in a message: control characters escaped, the middle left out if it is long.
pub(crate) struct Shown<T>(pub(crate) T);

/// How many characters of each end of a long value are shown.
const SHOWN_CHARACTERS: usize = 256;

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let end = |(at, _)| at;
        let head = text.char_indices().nth(SHOWN_CHARACTERS).map(end);
        let tail = text.char_indices().rev().nth(SHOWN_CHARACTERS - 1).map(end);
        match (head, tail) {
            (Some(head), Some(tail)) if head < tail => {
                escape(f, text.get(..head).unwrap_or_default())?;
                f.write_str(" … ")?;
                escape(f, text.get(tail..).unwrap_or_default())
            }
            _ => escape(f, &text),
        }
    }
}

/// Writes a text with its control characters escaped.
pub(crate) fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        if character.is_control() {
            write!(f, "{}", character.escape_debug())?;
        } else {
            f.write_char(character)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_lose_their_middle_and_control_characters_are_escaped() {
        let shown = |text: &str| Shown(text).to_string();
        assert_eq!(shown("a\0\n日"), "a\\0\\n日");
        let ends = 2 * SHOWN_CHARACTERS;
        assert_eq!(
            shown(&"é".repeat(ends)),
            "é".repeat(ends),
            "just not too long"
        );
        let head = "é".repeat(SHOWN_CHARACTERS);
        let tail = "x".repeat(SHOWN_CHARACTERS);
        assert_eq!(shown(&format!("{head}{tail}")), format!("{head}{tail}"));
        assert_eq!(shown(&format!("{head}?{tail}")), format!("{head} … {tail}"));
    }
}
