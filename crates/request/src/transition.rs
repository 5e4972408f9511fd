//! The states of a request and the changes between them.
//!
//! pending → approved | denied | expired | cancelled; approved → revoked | released | ended. Nothing
//! else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a request stands.
///
/// ```
/// use countersign_request::Status;
///
/// assert!(Status::Pending.can_become(Status::Approved));
/// assert!(!Status::Denied.can_become(Status::Approved));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waits for a decision.
    Pending,
    /// Approved: gives access until its time is over.
    Approved,
    /// Denied by an approver.
    Denied,
    /// Not decided in time.
    Expired,
    /// Withdrawn by the requester.
    Cancelled,
    /// Approved, and taken back before its time was over.
    Revoked,
    /// Approved, and given back by the requester before its time was over.
    Released,
    /// Approved while the clock was ahead, and ended because the clock has been corrected.
    Ended,
}

impl Status {
    /// Every status, in the order of their declaration.
    pub const ALL: [Status; 8] = [
        Status::Pending,
        Status::Approved,
        Status::Denied,
        Status::Expired,
        Status::Cancelled,
        Status::Revoked,
        Status::Released,
        Status::Ended,
    ];

    /// Whether a request with this status may get the status `to`.
    pub const fn can_become(self, to: Status) -> bool {
        match self {
            Status::Pending => {
                matches!(
                    to,
                    Status::Approved | Status::Denied | Status::Expired | Status::Cancelled
                )
            }
            Status::Approved => {
                matches!(to, Status::Revoked | Status::Released | Status::Ended)
            }
            Status::Denied
            | Status::Expired
            | Status::Cancelled
            | Status::Revoked
            | Status::Released
            | Status::Ended => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Pending => "pending",
            Status::Approved => "approved",
            Status::Denied => "denied",
            Status::Expired => "expired",
            Status::Cancelled => "cancelled",
            Status::Revoked => "revoked",
            Status::Released => "released",
            Status::Ended => "ended",
        })
    }
}

/// What was done to a request to give it this status.
pub(crate) fn done(status: Status) -> String {
    match status {
        Status::Pending => "submitted".to_owned(),
        status => status.to_string(),
    }
}
