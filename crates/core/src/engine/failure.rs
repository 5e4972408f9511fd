//! What an engine that can fail says, for every domain crate to take into its own error, and what
//! kinds of errors the stores have in common.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why an engine did not do what it was asked: what each domain crate has as `Error::Backend`.
///
/// Its text has the text of what the engine said, so [`source`](Error::source) gives what is behind
/// that.
///
/// ```
/// use countersign_core::engine::{Failure, Outcome};
///
/// let full = Failure::new("the disk is full", Outcome::NotApplied).retryable();
/// assert!(full.is_retryable);
/// assert_eq!(full.to_string(), "the store failed and nothing was changed: the disk is full");
/// ```
#[derive(Debug, Clone)]
pub struct Failure {
    /// What the engine said.
    pub source: Arc<dyn Error + Send + Sync>,
    /// Whether the same call may succeed later although nobody changes anything.
    pub is_retryable: bool,
    /// Whether the change was made.
    pub outcome: Outcome,
}

impl Failure {
    /// A failure that is there to stay.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>, outcome: Outcome) -> Self {
        Self {
            source: source.into().into(),
            is_retryable: false,
            outcome,
        }
    }

    /// The same, as one that may pass by itself.
    #[must_use]
    pub fn retryable(self) -> Self {
        let is_retryable = true;
        Self {
            is_retryable,
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::NotApplied => "nothing was changed",
            Outcome::Unknown => "the change may or may not have been made",
        };
        write!(f, "the store failed and {outcome}: {}", self.source)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

/// Whether a change was made although the engine failed.
///
/// ```
/// use countersign_core::engine::Outcome;
///
/// assert_ne!(Outcome::NotApplied, Outcome::Unknown);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was not made: the same call can be made again.
    NotApplied,
    /// Nobody knows: read what was to be changed before making the call again.
    Unknown,
}

/// What kind of thing a store's error is: what a service decides its answer by.
///
/// ```
/// use countersign_core::engine::ErrorKind;
///
/// fn http_status(kind: ErrorKind) -> u16 {
///     match kind {
///         ErrorKind::NotFound => 404,
///         ErrorKind::Conflict => 409,
///         ErrorKind::Invalid => 400,
///         ErrorKind::Refused => 403,
///         _ => 503,
///     }
/// }
/// assert_eq!(http_status(ErrorKind::Unavailable), 503);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the call is about is not there. Check the id or name.
    NotFound,
    /// What is there is not what the caller took it for: somebody else was first, or it has another
    /// status by now. Read it again, decide again.
    Conflict,
    /// The input is not valid. Correct it.
    Invalid,
    /// A rule forbids it. The error says which and what would be needed.
    Refused,
    /// It cannot be done now, whoever asks: the engine failed, the clock cannot be right, or there is
    /// no randomness.
    Unavailable,
}
