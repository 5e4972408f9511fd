//! What happened to a request: the entries of its history. Every change of a request is one entry.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::id::IdempotencyKey;
use countersign_core::names::User;
use countersign_core::version::Version;
use serde::{Deserialize, Serialize};

use crate::transition::Status;

/// One change of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// What was done.
    pub action: Action,
    /// Who or what did it.
    pub actor: Actor,
    /// Why, as the actor put it; the text of a note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// The key of the call that made it, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// The version before; none at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version after.
    pub to: Version,
    /// When, by the store's clock: what the rules judged it by.
    pub at: DateTime<Utc>,
}

/// What was done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was submitted.
    Created,
    /// A user approved it, and others have to approve it as well.
    ApprovedInPart,
    /// A user or a rule approved it, and nobody else has to: access began.
    Approved,
    /// An approver denied it.
    Denied,
    /// Nobody decided it in time.
    Expired,
    /// The requester withdrew it.
    Cancelled,
    /// Somebody whom the rule lets revoke took the access back.
    Revoked,
    /// The requester gave the access back.
    Released,
    /// The access was granted while the clock was ahead, and the clock has been corrected.
    Ended,
    /// Somebody wrote a note.
    Noted,
}

impl Action {
    /// The status that the action leads to; none if it leaves the status alone.
    ///
    /// ```
    /// use countersign_request::{Action, Status};
    ///
    /// assert_eq!(Action::Released.status(), Some(Status::Released));
    /// assert_eq!(Action::ApprovedInPart.status(), None);
    /// ```
    pub const fn status(self) -> Option<Status> {
        match self {
            Action::Created => Some(Status::Pending),
            Action::ApprovedInPart | Action::Noted => None,
            Action::Approved => Some(Status::Approved),
            Action::Denied => Some(Status::Denied),
            Action::Expired => Some(Status::Expired),
            Action::Cancelled => Some(Status::Cancelled),
            Action::Revoked => Some(Status::Revoked),
            Action::Released => Some(Status::Released),
            Action::Ended => Some(Status::Ended),
        }
    }
}

/// Who or what changed a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A user.
    User(User),
    /// An approval rule, by its name: an automatic approval.
    Rule(Arc<str>),
    /// Time: a deadline passed.
    Time,
    /// The clock: it was ahead, and has been corrected.
    Clock,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::User(user) => write!(f, "{user}"),
            Actor::Rule(rule) => write!(f, "rule `{rule}`"),
            Actor::Time => f.write_str("time"),
            Actor::Clock => f.write_str("the clock"),
        }
    }
}
