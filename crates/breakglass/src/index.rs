//! What events are looked up by, in every engine.
//!
//! Only what an event says of itself is here. What is read with these keys is in `steps.rs`.

use countersign_core::engine::{Rank, Record};
use countersign_core::id::OperationId;
use countersign_core::names::{Person, Profile};
use countersign_core::version::Version;

use crate::mfa::ProofId;
use crate::record::Event;
use crate::transition::Status;
use crate::vocabulary::EventId;

/// What events are looked up by, for engines to find them. A person whose events are counted is in
/// the spelling that all names of the same person share.
///
/// ```
/// use countersign_breakglass::{Event, Key, Status};
/// use countersign_core::engine::Record;
///
/// fn is_active(event: &Event) -> bool {
///     let mut found = false;
///     event.index(&mut |key, _| found |= key == Key::Status(Status::Active));
///     found
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Newest first; exactly so spelt.
    Invoker(Person),
    /// Newest first.
    Profile(Profile),
    /// Newest first.
    Status(Status),
    /// Those created latest first, under any spelling.
    SamePerson(Person),
    /// Those created latest first, under any spelling.
    SamePersonAndProfile(Person, Profile),
    /// Those created latest first.
    SameProfile(Profile),
    /// Marked active, under any spelling; those whose access lasts longest first.
    Access(Person, Profile),
    /// Marked active; those whose access is over soonest first.
    Deadline,
    /// Not reviewed; what is over soonest first.
    Unreviewed,
    /// Not reviewed, under any spelling; what is over soonest first.
    UnreviewedOf(Person),
    /// Marked as over, and reviewed; what was over soonest first.
    Ended,
    /// Began with this second factor.
    Proof(ProofId),
    /// Knows this operation.
    Operation(OperationId),
}

impl Record for Event {
    type Id = EventId;
    type Key = Key;

    fn id(&self) -> EventId {
        self.id
    }

    fn version(&self) -> Version {
        self.updated_at
    }

    fn index(&self, entry: &mut dyn FnMut(Key, Rank)) {
        let created = Rank::newest_first(self.created);
        let created_at = Rank::latest_first(self.created_at);
        let person = self.invoker.case_folded();
        entry(Key::Invoker(self.invoker.clone()), created);
        entry(Key::Profile(self.profile.clone()), created);
        entry(Key::Status(self.status), created);
        entry(Key::SamePerson(person.clone()), created_at);
        let key = Key::SamePersonAndProfile(person.clone(), self.profile.clone());
        entry(key, created_at);
        entry(Key::SameProfile(self.profile.clone()), created_at);
        if self.status == Status::Active {
            let key = Key::Access(person.clone(), self.profile.clone());
            entry(key, Rank::latest_first(self.expires_at));
            entry(Key::Deadline, Rank::earliest_first(self.expires_at));
        }
        let ended = Rank::earliest_first(self.ended_at());
        if self.review.is_none() {
            entry(Key::Unreviewed, ended);
            entry(Key::UnreviewedOf(person), ended);
        } else if self.is_terminal() {
            entry(Key::Ended, ended);
        }
        if let Some(proof) = &self.mfa {
            entry(Key::Proof(proof.id.clone()), created);
        }
        let mut last = None;
        for operation in self.history.iter().filter_map(|change| change.operation) {
            // A creation that was overridden made two entries.
            if last.replace(operation) != Some(operation) {
                entry(Key::Operation(operation), created);
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

    fn least_id() -> EventId {
        EventId::MIN
    }
}
