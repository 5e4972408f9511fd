//! What requests are looked up by, in every engine.
//!
//! Only what a request says of itself is here. What is read with these keys is in `steps.rs`.

use countersign_core::engine::{Rank, Record};
use countersign_core::grant::PolicyDigest;
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::version::Version;
use serde::Serialize;

use crate::record::Request;
use crate::transition::Status;
use crate::vocabulary::RequestId;

/// What requests are looked up by, for engines to find them. Serde writes no two alike.
///
/// ```
/// use countersign_core::engine::Record;
/// use countersign_request::{Key, Request, Status};
///
/// fn is_pending(request: &Request) -> bool {
///     let mut found = false;
///     request.index(&mut |key, _| found |= key == Key::Status(Status::Pending));
///     found
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Key {
    /// Newest first.
    Requester(User),
    /// Newest first.
    Profile(Profile),
    /// Newest first.
    Status(Status),
    /// Approved requests, by the policy with which their access ends; those whose access lasts
    /// longest first.
    Access(User, Profile, Option<PolicyDigest>),
    /// Pending requests; those to be decided soonest first.
    Deadline,
    /// Pending requests, for one profile or for all; oldest first.
    Waiting(Option<Profile>),
    /// Pending and approved requests of one requester; those whose time ends last first.
    Open(User),
    /// Requests that have ended or will; earliest first.
    Ended,
    /// The request in whose history the key is.
    IdempotencyKey(IdempotencyKey),
}

impl Record for Request {
    type Id = RequestId;
    type Key = Key;

    fn id(&self) -> RequestId {
        self.id
    }

    fn version(&self) -> Version {
        self.updated_at
    }

    fn index(&self, entry: &mut dyn FnMut(Key, Rank)) {
        let created = Rank::newest_first(self.created);
        entry(Key::Requester(self.requester.clone()), created);
        entry(Key::Profile(self.profile.clone()), created);
        entry(Key::Status(self.status), created);
        match (self.status, self.access_until) {
            (Status::Approved, Some(until)) => {
                let until = Rank::latest_first(until);
                entry(Key::Open(self.requester.clone()), until);
                let policy = self.policy.filter(|_| self.ends_with_policy);
                // What is pinned to nothing holds under nothing.
                if policy.is_some() == self.ends_with_policy {
                    let (user, profile) = (self.requester.clone(), self.profile.clone());
                    entry(Key::Access(user, profile, policy), until);
                }
            }
            (Status::Pending, _) => {
                entry(Key::Deadline, Rank::earliest_first(self.decide_by));
                let open = Rank::latest_first(self.decide_by);
                entry(Key::Open(self.requester.clone()), open);
                let oldest_first = Rank::oldest_first(self.created);
                entry(Key::Waiting(None), oldest_first);
                entry(Key::Waiting(Some(self.profile.clone())), oldest_first);
            }
            _ => {}
        }
        if let Some(ended_at) = self.ended_at() {
            entry(Key::Ended, Rank::earliest_first(ended_at));
        }
        for idempotency_key in self
            .history
            .iter()
            .filter_map(|entry| entry.idempotency_key)
        {
            entry(Key::IdempotencyKey(idempotency_key), created);
        }
    }

    fn changes(&self, change: &mut dyn FnMut(Version)) {
        for entry in &self.history {
            change(entry.to);
        }
    }

    fn least_id() -> RequestId {
        RequestId::MIN
    }
}
