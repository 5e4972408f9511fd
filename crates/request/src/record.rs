//! The record: a request with everything that happened to it, and what follows from it.
//!
//! A [`Request`] is plain data with public fields. It can be changed only by a store, which takes a
//! [`Draft`](crate::Draft) or a [`Change`](crate::Change) and never a whole record: a request
//! cannot be created already approved, and who asked for what cannot be rewritten. Everything that
//! can change follows from the history, so [`Request::as_of`] can give the record as it was after
//! any entry.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::grant::{Grant, GrantKind, GrantedBy, PolicyDigest};
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::time::{Now, later};
use countersign_core::version::Version;
use countersign_core::window::duration;
use serde::{Deserialize, Serialize};

use crate::history::{Action, Actor, HistoryEntry};
use crate::transition::Status;
use crate::vocabulary::RequestId;

/// One user's request for one profile.
///
/// Invariants that every store keeps: `id`, `requester`, `profile`, `duration`, `justification`,
/// `ticket`, `policy`, `ends_with_policy`, `created`, `created_at` and `decide_by` never change;
/// `updated_at` grows with every change; `history` begins with the creation and gains one entry a
/// change. The status of a request that is over never changes, but for access that is over by time
/// alone: it is in force again if the clock turns out to have been ahead, and can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Request {
    /// What identifies it.
    pub id: RequestId,
    /// Who asks.
    pub requester: User,
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
    /// The access policy under which it was asked for, if the host said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyDigest>,
    /// Whether its access ends when that policy changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_with_policy: bool,
    /// The version that it was created with: its place in lists. No other request ever has it.
    pub created: Version,
    /// When it was created, by the store's clock.
    pub created_at: DateTime<Utc>,
    /// The first moment at which it can no longer be decided.
    pub decide_by: DateTime<Utc>,
    /// Where it stands.
    pub status: Status,
    /// Every approval so far, oldest first: of each user once, and of the rule if it approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// The approval that completed it, if it was approved: the last of `approvals`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// The first moment at which access is over, if it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_until: Option<DateTime<Utc>>,
    /// The last note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// The version: it grows with every change, over the whole store.
    pub updated_at: Version,
    /// Everything that happened to it, oldest first.
    pub history: Vec<Arc<HistoryEntry>>,
}

impl Request {
    /// The access that the request gives `now`: none unless it is approved and its access has
    /// begun, is not over, and was not granted while the clock was ahead.
    ///
    /// A store's [`find_grant`](crate::Store::find_grant) asks with the store's own time. With a
    /// time of somebody else's this is for audit: nothing may be granted by it.
    ///
    /// ```
    /// # use countersign_request as request;
    /// # fn example(request: &request::Request, now: chrono::DateTime<chrono::Utc>) {
    /// if let Some(grant) = request.grant(now) {
    ///     println!("until {}", grant.until);
    /// }
    /// # }
    /// ```
    pub fn grant(&self, now: impl Into<Now>) -> Option<Grant> {
        let until = self.access_until?;
        let approval = self.approval.as_ref()?;
        self.gives_access(&now.into()).then(|| Grant {
            kind: GrantKind::Approval,
            user: self.requester.clone(),
            profile: self.profile.clone(),
            granted_by: approval.by.clone(),
            until,
            policy: self.policy,
            ends_with_policy: self.ends_with_policy,
        })
    }

    /// Whether this user has approved it, under this spelling of their name or another.
    pub fn approved_by(&self, user: &User) -> bool {
        self.approved_at_by(user).is_some()
    }

    /// When this user approved it, under this spelling of their name or another.
    pub(crate) fn approved_at_by(&self, user: &User) -> Option<DateTime<Utc>> {
        let is_theirs = |approval: &&Approval| match &approval.by {
            GrantedBy::User(approver) => approver.same_user(user),
            GrantedBy::Rule(_) => false,
        };
        let theirs = self.approvals.iter().find(is_theirs);
        theirs.map(|approval| approval.at)
    }

    /// The people who have approved it so far, oldest approval first.
    pub fn approving_people(&self) -> impl Iterator<Item = &User> {
        self.approvals
            .iter()
            .filter_map(|approval| match &approval.by {
                GrantedBy::User(user) => Some(user),
                GrantedBy::Rule(_) => None,
            })
    }

    /// Whether nothing can change the status any more: it is denied, expired, cancelled, revoked,
    /// released or ended, or approved with its access over `now` ([`Request::is_void`] included).
    /// Only such a request can be deleted.
    pub fn is_terminal(&self, now: impl Into<Now>) -> bool {
        match self.status {
            Status::Pending => false,
            Status::Approved => {
                let now = now.into();
                self.access_until.is_none_or(|until| now.at() >= until) || self.is_void(&now)
            }
            Status::Denied
            | Status::Expired
            | Status::Cancelled
            | Status::Revoked
            | Status::Released
            | Status::Ended => true,
        }
    }

    /// Whether its access is in force.
    pub(crate) fn gives_access(&self, now: &Now) -> bool {
        match (self.status, &self.approval, self.access_until) {
            (Status::Approved, Some(approval), Some(until)) => {
                now.in_force(approval.at, approval.version, until)
            }
            _ => false,
        }
    }

    /// Whether its access was granted while the clock was ahead and has ended for good by the
    /// correction, although its time is not over and nobody has marked it.
    pub fn is_void(&self, now: &Now) -> bool {
        match (self.status, &self.approval, self.access_until) {
            (Status::Approved, Some(approval), Some(until)) => {
                now.at() < until && now.is_void(approval.at, approval.version)
            }
            _ => false,
        }
    }

    /// Whether nobody can approve it any more although it is pending: its deadline has passed, or
    /// it is dated ahead of a clock that has been corrected.
    pub fn is_due(&self, now: &Now) -> bool {
        self.status == Status::Pending
            && (now.at() >= self.decide_by || now.is_ahead(self.created_at))
    }

    /// Whether it waits for a decision that can still be made, or gives access.
    pub fn is_open(&self, now: &Now) -> bool {
        match self.status {
            Status::Pending => !self.is_due(now),
            _ => self.gives_access(now),
        }
    }

    /// Whether it ended before `time`, or will if nobody ends it before. What is over and dated
    /// ahead counts as ended at the correction.
    pub fn ended_before(&self, time: DateTime<Utc>, now: &Now) -> bool {
        let ended = |ended_at| match self.is_terminal(*now) {
            true => now.moment(ended_at),
            false => ended_at,
        };
        self.ended_at()
            .is_some_and(|ended_at| ended(ended_at) < time)
    }

    /// When it ended, or when its access will be over if nobody ends it before; none while it is
    /// pending. An expired request ended at its deadline, whenever it was marked.
    ///
    /// ```
    /// # use countersign_request as request;
    /// # fn example(request: &request::Request) {
    /// if request.status == request::Status::Approved {
    ///     assert_eq!(request.ended_at(), request.access_until);
    /// }
    /// # }
    /// ```
    pub fn ended_at(&self) -> Option<DateTime<Utc>> {
        match self.status {
            Status::Pending => None,
            Status::Approved => self.access_until,
            // One that was dated ahead was marked before its deadline.
            Status::Expired => Some(self.end_entry_at().min(self.decide_by)),
            Status::Denied
            | Status::Cancelled
            | Status::Revoked
            | Status::Released
            | Status::Ended => Some(self.end_entry_at()),
        }
    }

    /// The `at` of the entry that ended it.
    fn end_entry_at(&self) -> DateTime<Utc> {
        let ends = |entry: &&Arc<HistoryEntry>| entry.action.status() == Some(self.status);
        let end = self.history.iter().rev().find(ends).map(|entry| entry.at);
        end.unwrap_or(self.created_at)
    }

    /// When it was last changed: the `at` of the last entry of its history.
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.history
            .last()
            .map_or(self.created_at, |entry| entry.at)
    }

    /// The request as it was when it had this version; none if it never had it.
    ///
    /// Equal to what the call that made the version returned.
    ///
    /// ```
    /// # use countersign_request as request;
    /// # fn example(request: &request::Request) -> Option<()> {
    /// let created = request.as_of(request.history.first()?.to)?;
    /// assert_eq!((created.status, created.history.len()), (request::Status::Pending, 1));
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

    /// Who or what gave it the status that it has, and when.
    pub fn status_since(&self) -> (Actor, DateTime<Utc>) {
        let mut entries = self.history.iter().rev();
        let entry = entries.find(|entry| entry.action.status().is_some());
        match entry {
            Some(entry) => (entry.actor.clone(), entry.at),
            None => (Actor::User(self.requester.clone()), self.created_at),
        }
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

    pub(crate) fn entry_of(
        &self,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Option<&Arc<HistoryEntry>> {
        let idempotency_key = Some(idempotency_key?);
        self.history
            .iter()
            .find(|entry| entry.idempotency_key == idempotency_key)
    }
}

/// Who or what an approval came from. Neither time nor the clock approves anything.
fn granted_by(actor: &Actor) -> Option<GrantedBy> {
    match actor {
        Actor::User(user) => Some(GrantedBy::User(user.clone())),
        Actor::Rule(rule) => Some(GrantedBy::Rule(Arc::clone(rule))),
        Actor::Time | Actor::Clock => None,
    }
}

/// Who or what approved a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Approval {
    /// A user, or a rule that approves automatically; never one for the other.
    pub by: GrantedBy,
    /// When. Access begins at the approval that completes the request.
    pub at: DateTime<Utc>,
    /// The version that it made.
    pub version: Version,
    /// Why, as the approver put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}
