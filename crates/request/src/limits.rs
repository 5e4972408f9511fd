//! What a request may ask for, and the check of its fields.
//!
//! [`Limits::validate`] looks at fields alone. Only creation demands the initial state and derives
//! times; reading a stored request applies neither, so that a record written under other limits
//! can still be read.

use std::time::Duration;

use countersign_core::names::{TextError, check_length, check_statement};
use countersign_core::window::duration;
use thiserror::Error;

use crate::draft::Draft;
use crate::record::Request;

/// The most characters of a ticket reference.
pub(crate) const MAX_TICKET_CHARACTERS: usize = 128;

/// The limits of a store's requests.
///
/// ```
/// use std::time::Duration;
/// use countersign_request::Limits;
///
/// let limits = Limits { max_duration: Duration::from_secs(3600), ..Limits::default() };
/// assert_eq!(limits.decision_window, Duration::from_secs(24 * 3600));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a request may wait for its decision: 24 hours.
    pub decision_window: Duration,
    /// The longest access: 8 hours.
    pub max_duration: Duration,
    /// The fewest characters of a justification: 10.
    pub min_justification_characters: usize,
    /// The most characters of a justification: 500.
    pub max_justification_characters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decision_window: Duration::from_secs(24 * 60 * 60),
            max_duration: Duration::from_secs(8 * 60 * 60),
            min_justification_characters: 10,
            max_justification_characters: 500,
        }
    }
}

impl Limits {
    /// Checks the fields of a request, whatever its status.
    ///
    /// # Errors
    /// [`ValidationError`] names the first field that is outside its limits.
    pub fn validate(&self, request: &Request) -> Result<(), ValidationError> {
        self.check(
            request.duration,
            &request.justification,
            request.ticket.as_deref(),
        )
    }

    /// Checks the fields of a draft.
    ///
    /// # Errors
    /// As [`Limits::validate`].
    pub fn check_draft(&self, draft: &Draft) -> Result<(), ValidationError> {
        self.check(
            draft.duration,
            &draft.justification,
            draft.ticket.as_deref(),
        )
    }

    fn check(
        &self,
        given: Duration,
        justification: &str,
        ticket: Option<&str>,
    ) -> Result<(), ValidationError> {
        if given.is_zero() || given > self.max_duration {
            return Err(ValidationError::Duration {
                given,
                most: self.max_duration,
            });
        }
        let (least, most) = (
            self.min_justification_characters,
            self.max_justification_characters,
        );
        check_statement(justification, least, most).map_err(ValidationError::Justification)?;
        match ticket {
            None => Ok(()),
            Some(ticket) => {
                check_length(ticket, 1, MAX_TICKET_CHARACTERS).map_err(ValidationError::Ticket)
            }
        }
    }
}

/// A field of a request that is outside its limits. Correct it and submit again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ValidationError {
    /// No time at all, or too long.
    #[error("`duration` is `{}`: ask for more than zero and at most `{}`", duration::format(*.given), duration::format(*.most))]
    Duration {
        /// What was asked for.
        given: Duration,
        /// The most that may be.
        most: Duration,
    },
    /// Too short, too long, or it says nothing.
    #[error("`justification`: {0}")]
    Justification(TextError),
    /// Empty or too long.
    #[error("`ticket`: {0}")]
    Ticket(TextError),
}
