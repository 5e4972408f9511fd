//! What can go wrong with a store of requests.

use std::convert::Infallible;

use chrono::{DateTime, Utc};
use countersign_core::engine::{ErrorKind, Failure};
use countersign_core::id::{IdempotencyKey, RandomError};
use countersign_core::time::ClockError;
use countersign_core::version::Conflict;
use thiserror::Error;

use crate::history::Actor;
use crate::limits::ValidationError;
use crate::refusal::{Refusal, Rejection};
use crate::transition::{Status, done};
use crate::vocabulary::RequestId;

/// Why a store did not do what it was asked. Unless [`Error::Backend`] says otherwise nothing was
/// changed, and the same call can be made again.
///
/// ```
/// use countersign_request::{Error, ErrorKind, RequestId};
///
/// let error = Error::NotFound { id: RequestId::from_bits(255) };
/// assert_eq!(error.to_string(), "there is no request `00000000000000ff`");
/// assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, "not_found"));
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
    /// The key is that of another change. Mint a key for each call, and repeat the call as it was.
    #[error(
        "idempotency key `{idempotency_key}` is that of another change, of request `{id}`: mint \
         another key for another call"
    )]
    IdempotencyKeyReused {
        /// The key.
        idempotency_key: IdempotencyKey,
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
    #[error("the request cannot become {to}: {by} {} it at `{at}`", done(*from))]
    InvalidTransition {
        /// The status it has.
        from: Status,
        /// The status it was to get.
        to: Status,
        /// Who or what gave it the status that it has.
        by: Actor,
        /// When.
        at: DateTime<Utc>,
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
    #[error(transparent)]
    Backend(#[from] Failure),
}

impl Error {
    /// What kind of thing went wrong: what a service decides its answer by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::NotFound { .. } => ErrorKind::NotFound,
            Error::AlreadyExists { .. }
            | Error::IdempotencyKeyReused { .. }
            | Error::Conflict(_)
            | Error::InvalidTransition { .. }
            | Error::NotTerminal { .. } => ErrorKind::Conflict,
            Error::Invalid(_) => ErrorKind::Invalid,
            Error::Refused(_) | Error::Retained { .. } => ErrorKind::Refused,
            Error::Clock(_) | Error::ClockJumped { .. } | Error::Random(_) | Error::Backend(_) => {
                ErrorKind::Unavailable
            }
        }
    }

    /// The error as one word, for programs and metrics. It stays when texts are reworded.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NotFound { .. } => "not_found",
            Error::AlreadyExists { .. } => "already_exists",
            Error::IdempotencyKeyReused { .. } => "idempotency_key_reused",
            Error::Conflict(_) => "conflict",
            Error::InvalidTransition { .. } => "invalid_transition",
            Error::NotTerminal { .. } => "not_terminal",
            Error::Invalid(_) => "invalid",
            Error::Refused(refusal) => refusal.code(),
            Error::Retained { .. } => "retained",
            Error::Clock(_) => "clock",
            Error::ClockJumped { .. } => "clock_jumped",
            Error::Random(_) => "random",
            Error::Backend(_) => "backend",
        }
    }

    /// Whether the same call may succeed later although nobody changes anything. After a conflict it
    /// does not: read again first.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::Backend(failure) => failure.is_retryable,
            Error::Random(_) | Error::ClockJumped { .. } => true,
            _ => false,
        }
    }
}

/// An engine in memory does not fail.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::InvalidTransition { from, to, by, at } => {
                Error::InvalidTransition { from, to, by, at }
            }
            Rejection::Clock(error) => Error::Clock(error),
            Rejection::Refused(refusal) => Error::Refused(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::engine::Outcome;

    use super::*;

    fn backend(retryable: bool) -> Error {
        let failure = Failure::new("the disk is full", Outcome::NotApplied);
        Error::Backend(Failure {
            is_retryable: retryable,
            ..failure
        })
    }

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        let version = countersign_core::version::Version::from_nanos;
        let conflict = Conflict {
            expected: version(1),
            actual: version(2),
        };
        let until = DateTime::from_timestamp_nanos(0);
        let answers = [
            (backend(true), "backend", true),
            (backend(false), "backend", false),
            (Error::ClockJumped { until }, "clock_jumped", true),
            (conflict.into(), "conflict", false),
            (
                Refusal::HistoryFull { entries: 1 }.into(),
                "history_full",
                false,
            ),
        ];
        for (error, code, is_retryable) in answers {
            let told = (error.code(), error.is_retryable());
            assert_eq!(told, (code, is_retryable), "{error}");
        }
    }
}
