//! What emergencies are looked up by, in every engine.
//!
//! Only what an emergency says of itself is here. What is read with these keys is in `steps.rs`.

use countersign_core::engine::{Rank, Record};
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::version::Version;
use serde::Serialize;

use crate::mfa::ProofId;
use crate::record::Emergency;
use crate::transition::Status;
use crate::vocabulary::EmergencyId;

/// What emergencies are looked up by, for engines to find them. A user whose emergencies are
/// counted is in the spelling that all names of the same user share.
///
/// ```
/// use countersign_breakglass::{Emergency, Key, Status};
/// use countersign_core::engine::Record;
///
/// fn is_active(emergency: &Emergency) -> bool {
///     let mut found = false;
///     emergency.index(&mut |key, _| found |= key == Key::Status(Status::Active));
///     found
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Key {
    /// Newest first; exactly so spelt.
    Invoker(User),
    /// Newest first.
    Profile(Profile),
    /// Newest first.
    Status(Status),
    /// Those created latest first, under any spelling.
    SameUser(User),
    /// Those created latest first, under any spelling.
    SameUserAndProfile(User, Profile),
    /// Those created latest first.
    SameProfile(Profile),
    /// Marked active, under any spelling; those whose access lasts longest first.
    Access(User, Profile),
    /// Marked active; those whose access is over soonest first.
    Deadline,
    /// Not reviewed; what is over soonest first.
    Unreviewed,
    /// Not reviewed, under any spelling; what is over soonest first.
    UnreviewedOf(User),
    /// Marked as over, and reviewed; what was over soonest first.
    Ended,
    /// Began with this second factor.
    Proof(ProofId),
    /// Has this key in its history.
    IdempotencyKey(IdempotencyKey),
}

impl Record for Emergency {
    type Id = EmergencyId;
    type Key = Key;

    fn id(&self) -> EmergencyId {
        self.id
    }

    fn version(&self) -> Version {
        self.updated_at
    }

    fn index(&self, entry: &mut dyn FnMut(Key, Rank)) {
        let created = Rank::newest_first(self.created);
        let created_at = Rank::latest_first(self.created_at);
        let user = self.invoker.case_folded();
        entry(Key::Invoker(self.invoker.clone()), created);
        entry(Key::Profile(self.profile.clone()), created);
        entry(Key::Status(self.status), created);
        entry(Key::SameUser(user.clone()), created_at);
        let key = Key::SameUserAndProfile(user.clone(), self.profile.clone());
        entry(key, created_at);
        entry(Key::SameProfile(self.profile.clone()), created_at);
        if self.status == Status::Active {
            let key = Key::Access(user.clone(), self.profile.clone());
            entry(key, Rank::latest_first(self.expires_at));
            entry(Key::Deadline, Rank::earliest_first(self.expires_at));
        }
        let ended = Rank::earliest_first(self.ended_at());
        if self.review.is_none() {
            entry(Key::Unreviewed, ended);
            entry(Key::UnreviewedOf(user), ended);
        } else if self.is_terminal() {
            entry(Key::Ended, ended);
        }
        if let Some(proof) = &self.mfa {
            entry(Key::Proof(proof.id.clone()), created);
        }
        let mut last = None;
        for idempotency_key in self
            .history
            .iter()
            .filter_map(|change| change.idempotency_key)
        {
            // A creation that was overridden made two entries.
            if last.replace(idempotency_key) != Some(idempotency_key) {
                entry(Key::IdempotencyKey(idempotency_key), created);
            }
        }
    }

    fn changes(&self, change: &mut dyn FnMut(Version)) {
        for entry in &self.history {
            change(entry.to);
        }
    }

    fn outlasting(&self, key: &mut dyn FnMut(Key)) {
        if let Some(proof) = &self.mfa {
            key(Key::Proof(proof.id.clone()));
        }
    }

    fn least_id() -> EmergencyId {
        EmergencyId::MIN
    }
}
