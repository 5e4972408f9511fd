//! What a repeated call is answered: the result of the first, by the key in a history.

use std::sync::Arc;

use countersign_core::id::IdempotencyKey;

use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, HistoryEntry};
use crate::record::Request;
use crate::vocabulary::RequestId;

impl Draft {
    /// The first result of creating this draft, given the request in whose history the draft's
    /// key is. For implementations of [`Store`](crate::Store), which look for that request
    /// before anything else in their atomic step.
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] if the call with the key did not create a request from the
    /// same draft.
    pub fn first_result(&self, found: &Request) -> Result<Request, Error> {
        let entry = found.entry_of(self.idempotency_key);
        let same = self.id == found.id
            && self.requester == found.requester
            && self.profile == found.profile
            && self.duration == found.duration
            && *self.justification == *found.justification
            && self.ticket.as_deref() == found.ticket.as_deref()
            && self.policy == found.policy;
        let entry = entry.filter(|entry| same && entry.action == Action::Created);
        first_result(self.idempotency_key, found, entry)
    }
}

impl Change {
    /// The first result of making this change to request `id`, given the request in whose history
    /// the change's key is. For implementations of [`Store`](crate::Store), as
    /// [`Draft::first_result`].
    ///
    /// # Errors
    /// [`Error::IdempotencyKeyReused`] if the call with the key did not make the same change to
    /// that request.
    pub fn first_result(&self, id: RequestId, found: &Request) -> Result<Request, Error> {
        let idempotency_key = self.idempotency_key();
        let entry = found.entry_of(idempotency_key);
        let entry = entry.filter(|entry| id == found.id && self.is_recorded_by(entry));
        first_result(idempotency_key, found, entry)
    }
}

fn first_result(
    idempotency_key: Option<IdempotencyKey>,
    found: &Request,
    entry: Option<&Arc<HistoryEntry>>,
) -> Result<Request, Error> {
    entry
        .and_then(|entry| found.as_of(entry.to))
        .ok_or(Error::IdempotencyKeyReused {
            idempotency_key: idempotency_key.unwrap_or(IdempotencyKey::MIN),
            id: found.id,
        })
}
