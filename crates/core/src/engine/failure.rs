//! What an engine that can fail says, for every domain crate to take into its own error.

use std::error::Error;
use std::fmt;

/// Why an engine did not do what it was asked. Each domain crate makes an `Error::Backend` of it.
///
/// ```
/// use countersign_core::engine::Failure;
///
/// let full = Failure {
///     source: "the disk is full".into(),
///     is_retryable: true,
///     may_have_been_made: false,
/// };
/// assert_eq!(full.to_string(), "the disk is full");
/// ```
#[derive(Debug)]
pub struct Failure {
    /// What the engine said.
    pub source: Box<dyn Error + Send + Sync>,
    /// Whether the same call may succeed later.
    pub is_retryable: bool,
    /// Whether nobody knows if the change was made. If not, it was not.
    pub may_have_been_made: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}
