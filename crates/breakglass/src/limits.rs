//! What an emergency may ask for, and the check of its fields.
//!
//! [`Limits::validate`] looks at fields alone. Only creation demands the initial state and derives
//! times; reading a stored emergency applies neither, so that a record written under other limits can
//! still be read.

use std::time::Duration;

use countersign_core::names::{TextError, check_length, check_statement};
use countersign_core::window::duration;
use thiserror::Error;

use crate::draft::Draft;
use crate::record::Emergency;

/// The most characters of a ticket reference, and of a request's id.
pub(crate) const MAX_REFERENCE_CHARACTERS: usize = 128;

/// The limits of a store's emergencies.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::Limits;
///
/// let limits = Limits { max_duration: Duration::from_secs(3600), ..Limits::default() };
/// assert_eq!(limits.min_justification_characters, 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest access: 4 hours.
    pub max_duration: Duration,
    /// The fewest characters of a justification: 20.
    pub min_justification_characters: usize,
    /// The most characters of a justification: 1,000.
    pub max_justification_characters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_duration: Duration::from_secs(4 * 60 * 60),
            min_justification_characters: 20,
            max_justification_characters: 1_000,
        }
    }
}

impl Limits {
    /// Checks the fields of an emergency, whatever its status.
    ///
    /// # Errors
    /// [`ValidationError`] names the first field that is outside its limits.
    pub fn validate(&self, emergency: &Emergency) -> Result<(), ValidationError> {
        self.check(
            emergency.duration,
            &emergency.justification,
            emergency.ticket.as_deref(),
            emergency.request_id.as_deref(),
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
            draft.request_id.as_deref(),
        )
    }

    fn check(
        &self,
        given: Duration,
        justification: &str,
        ticket: Option<&str>,
        request_id: Option<&str>,
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
        let check = |reference| check_length(reference, 1, MAX_REFERENCE_CHARACTERS);
        ticket
            .map_or(Ok(()), check)
            .map_err(ValidationError::Ticket)?;
        request_id
            .map_or(Ok(()), check)
            .map_err(ValidationError::RequestId)
    }
}

/// A field of an emergency that is outside its limits. Correct it and invoke again.
///
/// ```
/// use countersign_breakglass::{TextError, ValidationError};
///
/// let error = ValidationError::Ticket(TextError::TooLong { characters: 200, most: 128 });
/// assert_eq!(error.to_string(), "`ticket`: it has 200 characters: write at most 128");
/// ```
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
    /// Empty or too long.
    #[error("`request_id`: {0}")]
    RequestId(TextError),
}
