//! What a repeated call is answered: the result of the first, by the operation in a history.

use std::sync::Arc;

use countersign_core::id::OperationId;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, HistoryEntry};
use crate::record::Event;
use crate::vocabulary::EventId;

impl Admission {
    /// The first result of creating an event from `draft` by this admission, given the event in
    /// whose history the draft's operation is. For implementations of [`Store`](crate::Store),
    /// which look for that event before anything else in their atomic step.
    ///
    /// # Errors
    /// [`Error::OperationReused`] if the operation did not create an event from the same draft, by
    /// the same override if it took one.
    pub fn first_result(&self, draft: &Draft, found: &Event) -> Result<Event, Error> {
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
                entry.action == Action::Created && entry.operation == draft.operation
            });
        let entry = found.entry_of(draft.operation).filter(|_| same);
        first_result(draft.operation, found, entry)
    }
}

impl Change {
    /// The first result of making this change to event `id`, given the event in whose history the
    /// change's operation is. For implementations of [`Store`](crate::Store), as
    /// [`Admission::first_result`].
    ///
    /// # Errors
    /// [`Error::OperationReused`] if the operation did not make the same change to that event.
    pub fn first_result(&self, id: EventId, found: &Event) -> Result<Event, Error> {
        let operation = self.operation();
        let entry = found.entry_of(operation);
        let entry = entry.filter(|entry| id == found.id && self.is_recorded_by(entry));
        first_result(operation, found, entry)
    }
}

fn first_result(
    operation: Option<OperationId>,
    found: &Event,
    entry: Option<&Arc<HistoryEntry>>,
) -> Result<Event, Error> {
    entry
        .and_then(|entry| found.as_of(entry.to))
        .ok_or(Error::OperationReused {
            operation: operation.unwrap_or(OperationId::MIN),
            id: found.id,
        })
}
