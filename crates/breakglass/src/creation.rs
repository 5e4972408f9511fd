//! The rule by which an emergency is created: its admission, limits, the time that it lasts.

use std::sync::Arc;

use countersign_core::time::{Stamp, later};

use crate::admission::Admitted;
use crate::draft::Draft;
use crate::history::{Action, Actor, HistoryEntry};
use crate::limits::{Limits, ValidationError};
use crate::record::Emergency;
use crate::transition::Status;

impl Emergency {
    /// The emergency that an admitted `draft` becomes when a store creates it with `stamp`: active, until
    /// its duration is over. For implementations of [`Store`](crate::Store), which also apply
    /// [`Admitted::follow_up`] before they write it.
    ///
    /// # Errors
    /// [`ValidationError`] if a field of the draft is outside its limits.
    pub fn create(
        draft: &Draft,
        admitted: &Admitted,
        limits: &Limits,
        stamp: Stamp,
    ) -> Result<Self, ValidationError> {
        limits.check_draft(draft)?;
        let at = stamp.now.at();
        let created = HistoryEntry {
            action: Action::Created,
            actor: Actor::User(draft.invoker.clone()),
            reason: None,
            idempotency_key: draft.idempotency_key,
            from: None,
            to: stamp.version,
            at,
        };
        Ok(Self {
            id: draft.id,
            invoker: draft.invoker.clone(),
            profile: draft.profile.clone(),
            duration: draft.duration,
            reason_code: draft.reason_code,
            justification: draft.justification.as_str().into(),
            ticket: draft.ticket.as_deref().map(Arc::from),
            request_id: draft.request_id.as_deref().map(Arc::from),
            mfa: draft.mfa.clone(),
            escalate: admitted.escalate(),
            escalation: admitted.escalation().cloned(),
            review_override: None,
            created: stamp.version,
            created_at: at,
            expires_at: later(at, draft.duration),
            status: Status::Active,
            note: None,
            review: None,
            updated_at: stamp.version,
            history: vec![Arc::new(created)],
        })
    }
}
