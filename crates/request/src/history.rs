//! What happened to a request: the entries of its history, and the request as it was.
//!
//! Every change of a request is one entry, and everything that can change follows from the
//! entries. So [`Request::as_of`] can give the record as it was after any of them, and a call that
//! is repeated with its [`OperationId`] gets the first result again.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::grant::GrantedBy;
use countersign_core::id::OperationId;
use countersign_core::names::Person;
use countersign_core::time::later;
use countersign_core::version::Version;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::error::Error;
use crate::record::{Approval, Draft, Request, RequestId};
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
    /// The operation that the caller made it in, if they named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
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
    /// A person approved it, and others have to approve it as well.
    ApprovedInPart,
    /// A person or a rule approved it, and nobody else has to: access began.
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
    /// A person.
    Person(Person),
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
            Actor::Person(person) => write!(f, "{person}"),
            Actor::Rule(rule) => write!(f, "rule `{rule}`"),
            Actor::Time => f.write_str("time"),
            Actor::Clock => f.write_str("the clock"),
        }
    }
}

impl Request {
    /// The request as it was when it had this version; none if it never had it.
    ///
    /// Equal to what the call that made the version returned.
    ///
    /// ```
    /// # use countersign_request::*;
    /// # fn example(request: &Request) -> Option<()> {
    /// let created = request.as_of(request.history.first()?.to)?;
    /// assert_eq!((created.status, created.history.len()), (Status::Pending, 1));
    /// # Some(())
    /// # }
    /// ```
    pub fn as_of(&self, version: Version) -> Option<Request> {
        let last = self.place_of(version)?;
        let entries = self.history.get(..=last)?;
        let mut past = Request {
            id: self.id,
            requester: self.requester.clone(),
            profile: self.profile.clone(),
            duration: self.duration,
            justification: Arc::clone(&self.justification),
            ticket: self.ticket.clone(),
            policy: self.policy,
            ends_with_policy: self.ends_with_policy,
            created: self.created,
            created_at: self.created_at,
            decide_by: self.decide_by,
            status: Status::Pending,
            approvals: Vec::new(),
            approval: None,
            access_until: None,
            note: None,
            updated_at: version,
            history: Vec::with_capacity(entries.len()),
        };
        for entry in entries {
            past.take(Arc::clone(entry));
        }
        Some(past)
    }

    /// The change that led to this version; none if the request never had it.
    pub fn entry_at(&self, version: Version) -> Option<&Arc<HistoryEntry>> {
        self.history.get(self.place_of(version)?)
    }

    /// Versions grow along a history.
    fn place_of(&self, version: Version) -> Option<usize> {
        self.history
            .binary_search_by_key(&version, |entry| entry.to)
            .ok()
    }

    /// Adds an entry to the history, with all that follows from it.
    pub(crate) fn take(&mut self, entry: Arc<HistoryEntry>) {
        let at = entry.at;
        if let Some(status) = entry.action.status() {
            self.status = status;
        }
        match entry.action {
            Action::ApprovedInPart | Action::Approved => {
                let approval = granted_by(&entry.actor).map(|by| Approval {
                    by,
                    at,
                    version: entry.to,
                    reason: entry.reason.clone(),
                });
                self.approvals.extend(approval.clone());
                if entry.action == Action::Approved {
                    self.approval = approval;
                    self.access_until = Some(later(at, self.duration));
                }
            }
            Action::Noted => self.note.clone_from(&entry.reason),
            _ => {}
        }
        self.updated_at = entry.to;
        self.history.push(entry);
    }

    fn entry_of(&self, operation: Option<OperationId>) -> Option<&Arc<HistoryEntry>> {
        let operation = Some(operation?);
        self.history
            .iter()
            .find(|entry| entry.operation == operation)
    }
}

/// Who or what an approval came from. Neither time nor the clock approves anything.
fn granted_by(actor: &Actor) -> Option<GrantedBy> {
    match actor {
        Actor::Person(person) => Some(GrantedBy::Person(person.clone())),
        Actor::Rule(rule) => Some(GrantedBy::Rule(Arc::clone(rule))),
        Actor::Time | Actor::Clock => None,
    }
}

impl Draft {
    /// The first result of creating this draft, given the request in whose history the draft's
    /// operation is. For implementations of [`Store`](crate::Store), which look for that request
    /// before anything else in their atomic step.
    ///
    /// # Errors
    /// [`Error::OperationReused`] if the operation did not create a request from the same draft.
    pub fn first_result(&self, found: &Request) -> Result<Request, Error> {
        let entry = found.entry_of(self.operation);
        let same = self.id == found.id
            && self.requester == found.requester
            && self.profile == found.profile
            && self.duration == found.duration
            && *self.justification == *found.justification
            && self.ticket.as_deref() == found.ticket.as_deref()
            && self.policy == found.policy;
        let entry = entry.filter(|entry| same && entry.action == Action::Created);
        first_result(self.operation, found, entry)
    }
}

impl Change {
    /// The first result of making this change to request `id`, given the request in whose history
    /// the change's operation is. For implementations of [`Store`](crate::Store), as
    /// [`Draft::first_result`].
    ///
    /// # Errors
    /// [`Error::OperationReused`] if the operation did not make the same change to that request.
    pub fn first_result(&self, id: RequestId, found: &Request) -> Result<Request, Error> {
        let operation = self.operation();
        let entry = found.entry_of(operation);
        let entry = entry.filter(|entry| id == found.id && self.is_recorded_by(entry));
        first_result(operation, found, entry)
    }
}

fn first_result(
    operation: Option<OperationId>,
    found: &Request,
    entry: Option<&Arc<HistoryEntry>>,
) -> Result<Request, Error> {
    entry
        .and_then(|entry| found.as_of(entry.to))
        .ok_or(Error::OperationReused {
            operation: operation.unwrap_or(OperationId::MIN),
            id: found.id,
        })
}
