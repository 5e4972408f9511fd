//! The record: a request with everything that happened to it.
//!
//! A [`Request`] is plain data with public fields. It can be changed only by a store, which takes a
//! [`Draft`] or a [`Change`](crate::Change) and never a whole record: a request cannot be created
//! already approved, and who asked for what cannot be rewritten.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::grant::{Grant, GrantKind, GrantedBy};
use countersign_core::names::{Person, Profile};
use countersign_core::version::Version;
use countersign_core::window::duration;
use serde::{Deserialize, Serialize};

use crate::limits::{Limits, ValidationError};
use crate::transition::Status;

countersign_core::define_id! {
    /// The id of a request: 64 random bits, shown as 16 lowercase hexadecimal digits.
    ///
    /// ```
    /// use countersign_request::RequestId;
    ///
    /// let id: RequestId = "0c495841982c3107".parse()?;
    /// assert_eq!(id.to_string(), "0c495841982c3107");
    /// # Ok::<(), countersign_request::ParseIdError>(())
    /// ```
    RequestId
}

/// One person's request for one profile.
///
/// Invariants that every store keeps: `id`, `requester`, `profile`, `duration`, `justification`,
/// `ticket`, `created_at` and `decide_by` never change; the status of a terminal request never
/// changes; `updated_at` grows with every change; `history` begins with the creation and gains one
/// entry a change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// What identifies it.
    pub id: RequestId,
    /// Who asks.
    pub requester: Person,
    /// What for.
    pub profile: Profile,
    /// How long access lasts, from the approval.
    #[serde(with = "duration")]
    pub duration: Duration,
    /// Why.
    pub justification: Arc<str>,
    /// A reference in the host's ticket system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Arc<str>>,
    /// When it was created: the version that it had then, as a time.
    pub created_at: DateTime<Utc>,
    /// The first moment at which it can no longer be decided.
    pub decide_by: DateTime<Utc>,
    /// Where it stands.
    pub status: Status,
    /// Who or what approved it, if it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The first moment at which access is over, if it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_until: Option<DateTime<Utc>>,
    /// The last note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// The version: when it was last changed, made unique by the store.
    pub updated_at: Version,
    /// Everything that happened to it, oldest first.
    pub history: Vec<Arc<HistoryEntry>>,
}

impl Request {
    /// The request that `draft` becomes when a store creates it at `at`: pending, to be decided
    /// within [`Limits::decision_window`]. For implementations of [`Store`](crate::Store).
    ///
    /// # Errors
    /// [`ValidationError`] if a field of the draft is outside its limits.
    pub fn create(draft: &Draft, limits: &Limits, at: Version) -> Result<Self, ValidationError> {
        limits.check_draft(draft)?;
        let created = HistoryEntry {
            action: Action::Created,
            actor: Actor::Person(draft.requester.clone()),
            reason: None,
            from: None,
            to: at,
        };
        Ok(Self {
            id: draft.id,
            requester: draft.requester.clone(),
            profile: draft.profile.clone(),
            duration: draft.duration,
            justification: draft.justification.as_str().into(),
            ticket: draft.ticket.as_deref().map(Arc::from),
            created_at: at.time(),
            decide_by: later(at.time(), limits.decision_window),
            status: Status::Pending,
            approval: None,
            access_until: None,
            note: None,
            updated_at: at,
            history: vec![Arc::new(created)],
        })
    }

    /// The access that the request gives at `at`: none unless it is approved and not over.
    ///
    /// ```
    /// # use countersign_request::*;
    /// # fn example(request: &Request, now: chrono::DateTime<chrono::Utc>) {
    /// if let Some(grant) = request.grant(now) {
    ///     println!("until {}", grant.until);
    /// }
    /// # }
    /// ```
    pub fn grant(&self, at: DateTime<Utc>) -> Option<Grant> {
        let until = self.access_until?;
        let approval = self.approval.as_ref()?;
        (self.status == Status::Approved && at < until).then(|| Grant {
            kind: GrantKind::Approval,
            person: self.requester.clone(),
            profile: self.profile.clone(),
            granted_by: approval.by.clone(),
            until,
            policy: None,
            ends_with_policy: false,
        })
    }

    /// Whether nothing can change the status any more: it is denied, expired, cancelled or revoked,
    /// or approved with its access over at `at`. Only such a request can be deleted.
    pub fn is_terminal(&self, at: DateTime<Utc>) -> bool {
        match self.status {
            Status::Pending => false,
            Status::Approved => self.access_until.is_none_or(|until| at >= until),
            Status::Denied | Status::Expired | Status::Cancelled | Status::Revoked => true,
        }
    }
}

/// Adds a length to a time; stops at the latest time there is.
pub(crate) fn later(time: DateTime<Utc>, length: Duration) -> DateTime<Utc> {
    chrono::TimeDelta::from_std(length)
        .ok()
        .and_then(|length| time.checked_add_signed(length))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// What a request is created from.
///
/// ```
/// use std::time::Duration;
/// use countersign_request::{Draft, OsRandom, Person, Profile, RequestId};
///
/// let draft = Draft {
///     id: RequestId::random(&OsRandom)?,
///     requester: Person::new("alice")?,
///     profile: Profile::new("prod")?,
///     duration: Duration::from_secs(3600),
///     justification: "migrate the orders table".into(),
///     ticket: Some("OPS-4711".into()),
/// };
/// assert_eq!(draft.ticket.as_deref(), Some("OPS-4711"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The id it shall have: minted first, so that the caller knows it whatever happens.
    pub id: RequestId,
    /// Who asks.
    pub requester: Person,
    /// What for.
    pub profile: Profile,
    /// How long access shall last, from the approval: more than zero, at most 8 hours by default.
    pub duration: Duration,
    /// Why: 10 to 500 characters by default, two different ones of which are not white space.
    pub justification: String,
    /// A reference in the host's ticket system: 1 to 128 characters.
    pub ticket: Option<String>,
}

/// Who or what approved a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Approval {
    /// A person, or a rule that approves automatically; never one for the other.
    pub by: GrantedBy,
    /// When: access begins here.
    pub at: DateTime<Utc>,
}

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
    /// The version before; none at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version after, which is also when.
    pub to: Version,
}

/// What was done to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was submitted.
    Created,
    /// A person or a rule approved it.
    Approved,
    /// An approver denied it.
    Denied,
    /// Nobody decided it in time.
    Expired,
    /// The requester withdrew it.
    Cancelled,
    /// An approver took the access back.
    Revoked,
    /// Somebody wrote a note.
    Noted,
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
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Person(person) => write!(f, "{person}"),
            Actor::Rule(rule) => write!(f, "rule `{rule}`"),
            Actor::Time => f.write_str("time"),
        }
    }
}
