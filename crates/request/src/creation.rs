//! The rule by which a request is created: limits, the clock, terms.

use std::sync::Arc;

use countersign_core::time::{Stamp, later};

use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, Actor, HistoryEntry};
use crate::limits::Limits;
use crate::record::Request;
use crate::terms::Terms;
use crate::transition::Status;

impl Request {
    /// The request that `draft` becomes when a store creates it with `stamp`, under the terms of its
    /// profile: pending, to be decided within [`Limits::decision_window`] or, if that is shorter,
    /// what the rule says. For implementations of [`Store`](crate::Store).
    ///
    /// # Errors
    /// [`Error::Invalid`] if a field of the draft is outside its limits; then [`Error::Clock`] if
    /// nothing can be granted by the clock; then [`Error::Refused`], as [`Terms::check`] says.
    pub fn create(
        draft: &Draft,
        limits: &Limits,
        terms: &Terms,
        stamp: Stamp,
    ) -> Result<Self, Error> {
        limits.check_draft(draft)?;
        stamp.now.granting()?;
        let at = stamp.now.at();
        terms.check(draft, at)?;
        let rule = terms.rule();
        let window = rule.and_then(|rule| rule.decide_within());
        let window = window.map_or(limits.decision_window, |rule| {
            rule.min(limits.decision_window)
        });
        let created = HistoryEntry {
            action: Action::Created,
            actor: Actor::User(draft.requester.clone()),
            reason: None,
            idempotency_key: draft.idempotency_key,
            from: None,
            to: stamp.version,
            at,
        };
        Ok(Self {
            id: draft.id,
            requester: draft.requester.clone(),
            profile: draft.profile.clone(),
            duration: draft.duration,
            justification: draft.justification.as_str().into(),
            ticket: draft.ticket.as_deref().map(Arc::from),
            policy: draft.policy,
            ends_with_policy: rule.is_some_and(|rule| rule.ends_with_policy()),
            created: stamp.version,
            created_at: at,
            decide_by: later(at, window),
            status: Status::Pending,
            approvals: Vec::new(),
            approval: None,
            access_until: None,
            note: None,
            updated_at: stamp.version,
            history: vec![Arc::new(created)],
        })
    }
}
