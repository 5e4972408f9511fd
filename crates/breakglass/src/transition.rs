//! The states of an emergency and the changes between them.
//!
//! active → closed | expired. Nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an emergency stands.
///
/// ```
/// use countersign_breakglass::Status;
///
/// assert!(Status::Active.can_become(Status::Closed));
/// assert!(!Status::Closed.can_become(Status::Active));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Gives access until its time is over.
    Active,
    /// Closed by a user before its time was over.
    Closed,
    /// Its time was over before anybody closed it.
    Expired,
}

impl Status {
    /// Every status, in the order of their declaration.
    pub const ALL: [Status; 3] = [Status::Active, Status::Closed, Status::Expired];

    /// Whether an emergency with this status may get the status `to`.
    pub const fn can_become(self, to: Status) -> bool {
        match self {
            Status::Active => matches!(to, Status::Closed | Status::Expired),
            Status::Closed | Status::Expired => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Active => "active",
            Status::Closed => "closed",
            Status::Expired => "expired",
        })
    }
}

/// What was done to an emergency to give it this status.
pub(crate) fn done(status: Status) -> String {
    match status {
        Status::Active => "declared".to_owned(),
        status => status.to_string(),
    }
}
