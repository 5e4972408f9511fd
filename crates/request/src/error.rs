//! What can go wrong with a store of requests.

use std::convert::Infallible;

use chrono::{DateTime, Utc};
use countersign_core::engine::Failure;
use countersign_core::id::{OperationId, RandomError};
use countersign_core::time::ClockError;
use countersign_core::version::Conflict;
use thiserror::Error;

use crate::limits::ValidationError;
use crate::refusal::{Refusal, Rejection};
use crate::transition::Status;
use crate::vocabulary::RequestId;

/// Why a store did not do what it was asked. Unless [`Error::Backend`] says otherwise nothing was
/// changed, and the same call can be made again.
///
/// ```
/// use countersign_request::{Error, RequestId};
///
/// let error = Error::NotFound { id: RequestId::from_bits(255) };
/// assert_eq!(error.to_string(), "there is no request `00000000000000ff`");
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The id is taken. Mint another, unless this is a repeat of a call whose answer was lost.
    #[error("request `{id}` exists already: mint another id")]
    AlreadyExists {
        /// The id.
        id: RequestId,
    },
    /// The operation has made another change. Name each operation anew, and repeat it as it was.
    #[error(
        "operation `{operation}` has made another change, of request `{id}`: mint another id for \
         another operation"
    )]
    OperationReused {
        /// The operation.
        operation: OperationId,
        /// The request that it changed.
        id: RequestId,
    },
    /// There is no such request. Check the id; it may have been deleted.
    #[error("there is no request `{id}`")]
    NotFound {
        /// The id.
        id: RequestId,
    },
    /// Somebody else changed the request first. Read it again, decide again.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The request's status does not lead to the one asked for. Read it again: most likely it has
    /// been decided.
    #[error("a request that is {from} cannot become {to}")]
    InvalidTransition {
        /// The status it has.
        from: Status,
        /// The status it was to get.
        to: Status,
    },
    /// A rule forbids the change. The refusal says which and what would be needed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A field is outside its limits. Correct it.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// Only a request that is over can be deleted. Cancel, revoke or release it first.
    #[error("request `{id}` is {status} and not over: cancel or revoke it before deleting it")]
    NotTerminal {
        /// The id.
        id: RequestId,
        /// The status it has.
        status: Status,
    },
    /// The request ended too late to be deleted now. Delete it when it is old enough.
    #[error("request `{id}` ended at `{ended_at}`: it is not old enough to be deleted")]
    Retained {
        /// The id.
        id: RequestId,
        /// When it ended.
        ended_at: DateTime<Utc>,
    },
    /// Nothing is granted by the clock as it stands. Set it right; what ends access works
    /// meanwhile.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The clock went forward by more than a day between two steps. Nothing is deleted for an
    /// hour, since a clock that is ahead makes everything look old. Try again then.
    #[error("the clock went forward by more than a day: nothing is deleted before `{until}`")]
    ClockJumped {
        /// The first moment at which something is deleted again.
        until: DateTime<Utc>,
    },
    /// No id could be minted. Try again.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The engine behind the store failed.
    #[error("the store failed{}: {source}", match .outcome {
        Outcome::NotApplied => " and nothing was changed",
        Outcome::Unknown => " and the change may or may not have been made",
    })]
    Backend {
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether the same call may succeed later.
        retryable: bool,
        /// Whether the change was made.
        outcome: Outcome,
    },
}

/// An engine in memory does not fail.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Error::Backend {
            source: failure.source,
            retryable: failure.is_retryable,
            outcome: match failure.may_have_been_made {
                true => Outcome::Unknown,
                false => Outcome::NotApplied,
            },
        }
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::InvalidTransition { from, to } => Error::InvalidTransition { from, to },
            Rejection::Clock(error) => Error::Clock(error),
            Rejection::Refused(refusal) => Error::Refused(refusal),
        }
    }
}

/// Whether a change was made although the engine failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not: the call can be made again.
    NotApplied,
    /// Nobody knows: read the record before making the call again.
    Unknown,
}
