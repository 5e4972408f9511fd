//! What a repeated call is answered: the result of the first, by the key in a history.

use std::sync::Arc;

use countersign_core::id::IdempotencyKey;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, HistoryEntry};
use crate::record::Emergency;
use crate::vocabulary::EmergencyId;

impl Admission {
    /// The first result of creating an emergency from `draft` by this admission, given the emergency in
    /// whose history the draft's key is. For implementations of [`Store`](crate::Store),
    /// which look for that emergency before anything else in their atomic step.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] if the call with the key did not create an emergency from
    /// the same draft, by the same override if it took one.
    pub fn first_result(&self, draft: &Draft, found: &Emergency) -> Result<Emergency, Error> {
        let created = found.history.first();
        let same = draft.id == found.id
            && draft.invoker == found.invoker
            && draft.profile == found.profile
            && draft.duration == found.duration
            && draft.reason_code == found.reason_code
            && *draft.justification == *found.justification
            && draft.ticket.as_deref() == found.ticket.as_deref()
            && draft.request_id.as_deref() == found.request_id.as_deref()
            && draft.mfa == found.mfa
            && self.overrides_as(found.review_override.as_ref())
            && created.is_some_and(|entry| {
                entry.action == Action::Created && entry.idempotency_key == draft.idempotency_key
            });
        let entry = found.entry_of(draft.idempotency_key).filter(|_| same);
        first_result(draft.idempotency_key, found, entry)
    }
}

impl Change {
    /// The first result of making this change to emergency `id`, given the emergency in whose history the
    /// change's key is. For implementations of [`Store`](crate::Store), as
    /// [`Admission::first_result`].
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] if the call with the key did not make the same change to
    /// that emergency.
    pub fn first_result(&self, id: EmergencyId, found: &Emergency) -> Result<Emergency, Error> {
        let idempotency_key = self.idempotency_key();
        let entry = found.entry_of(idempotency_key);
        let entry = entry.filter(|entry| id == found.id && self.is_recorded_by(entry));
        first_result(idempotency_key, found, entry)
    }
}

fn first_result(
    idempotency_key: Option<IdempotencyKey>,
    found: &Emergency,
    entry: Option<&Arc<HistoryEntry>>,
) -> Result<Emergency, Error> {
    entry
        .and_then(|entry| found.as_of(entry.to))
        .ok_or(Error::IdempotencyKeyReused {
            idempotency_key: idempotency_key.unwrap_or(IdempotencyKey::MIN),
            id: found.id,
        })
}
