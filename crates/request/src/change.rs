//! The rules: what may happen to a request, as one pure function.
//!
//! A [`Change`] says who wants what and carries what the approval rule says about it;
//! [`Request::apply`] decides, without looking anywhere else. Every store calls it inside its own
//! atomic step, so each rule holds under concurrency and on every engine.

use std::sync::Arc;

use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User, check_length};
use countersign_core::time::{Now, Stamp};

use crate::approval_policy::ApprovalPolicy;
use crate::history::{Action, Actor, HistoryEntry};
use crate::record::Request;
use crate::refusal::{Refusal, Rejection};
use crate::rule::{ApprovalRule, AutoApproval};
use crate::terms::Terms;
use crate::transition::Status;

/// The most characters of a reason or a note.
const MAX_REASON_CHARACTERS: usize = 1_000;
/// The most entries that notes may fill a history up to. Changes of status are always possible.
const MAX_HISTORY_ENTRIES: usize = 1_000;

/// One wanted change of a request.
///
/// Its fields are private: a change that needs an approver is made from the [`ApprovalPolicy`] and
/// carries what its rule says.
///
/// ```
/// use countersign_request::{ApprovalPolicy, Change, User, Profile};
///
/// let policy: ApprovalPolicy =
///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#.parse()?;
/// let change = Change::approve(&policy, &Profile::new("prod")?, &User::new("bob")?, None);
/// # drop(change);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    wanted: Wanted,
    reason: Option<Arc<str>>,
    idempotency_key: Option<IdempotencyKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Approve(User, Terms),
    ApproveByRule(Terms),
    Deny(User, Terms),
    Cancel(User),
    Revoke(User, Terms),
    Release(User),
    Expire,
    EndVoid,
    Note(User),
}

impl Change {
    /// `by` approves a request for `profile`: a named approver, once, not their own request, in
    /// time. It is approved when this meets the last group, and stays pending until then.
    pub fn approve(
        policy: &ApprovalPolicy,
        profile: &Profile,
        by: &User,
        reason: Option<&str>,
    ) -> Self {
        Self::new(
            Wanted::Approve(by.clone(), Terms::of(policy, profile)),
            reason,
        )
    }

    /// The rule for `profile` approves by itself, if its conditions hold.
    pub fn approve_by_rule(policy: &ApprovalPolicy, profile: &Profile) -> Self {
        Self::new(Wanted::ApproveByRule(Terms::of(policy, profile)), None)
    }

    /// `by` denies a request for `profile`: a named approver, in time.
    pub fn deny(
        policy: &ApprovalPolicy,
        profile: &Profile,
        by: &User,
        reason: Option<&str>,
    ) -> Self {
        Self::new(Wanted::Deny(by.clone(), Terms::of(policy, profile)), reason)
    }

    /// `by` withdraws their own request.
    pub fn cancel(by: &User, reason: Option<&str>) -> Self {
        Self::new(Wanted::Cancel(by.clone()), reason)
    }

    /// `by` takes access to `profile` back: somebody whom the rule lets revoke, before the access
    /// is over.
    pub fn revoke(
        policy: &ApprovalPolicy,
        profile: &Profile,
        by: &User,
        reason: Option<&str>,
    ) -> Self {
        Self::new(
            Wanted::Revoke(by.clone(), Terms::of(policy, profile)),
            reason,
        )
    }

    /// `by` gives the access of their own request back, before it is over.
    pub fn release(by: &User, reason: Option<&str>) -> Self {
        Self::new(Wanted::Release(by.clone()), reason)
    }

    /// The deadline of a pending request has passed.
    pub fn expire() -> Self {
        Self::new(Wanted::Expire, None)
    }

    /// The access was granted while the clock was ahead, and the correction has stood long enough
    /// ([`Request::is_void`]): it ends for good.
    pub fn end_void() -> Self {
        Self::new(Wanted::EndVoid, None)
    }

    /// `by` writes a note, whatever the status; the history keeps every note.
    pub fn note(by: &User, text: &str) -> Self {
        Self::new(Wanted::Note(by.clone()), Some(text))
    }

    fn new(wanted: Wanted, reason: Option<&str>) -> Self {
        Self {
            wanted,
            reason: reason.map(Arc::from),
            idempotency_key: None,
        }
    }

    /// The same change with the key of the call, so that a repeat of it gets the first result and
    /// changes nothing.
    #[must_use]
    pub fn with_idempotency_key(mut self, idempotency_key: IdempotencyKey) -> Self {
        self.idempotency_key = Some(idempotency_key);
        self
    }

    /// The key of the call, if it has one.
    pub fn idempotency_key(&self) -> Option<IdempotencyKey> {
        self.idempotency_key
    }

    /// Whether this change, when it was made, left this entry.
    pub(crate) fn is_recorded_by(&self, entry: &HistoryEntry) -> bool {
        let (action, actor) = (entry.action, &entry.actor);
        let by = |user: &User| *actor == Actor::User(user.clone());
        let same = match &self.wanted {
            Wanted::Approve(user, _) => {
                matches!(action, Action::Approved | Action::ApprovedInPart) && by(user)
            }
            Wanted::ApproveByRule(terms) => {
                let rule = terms.rule().map(|rule| Actor::Rule(rule.shared_name()));
                action == Action::Approved && rule.as_ref() == Some(actor)
            }
            Wanted::Deny(user, _) => action == Action::Denied && by(user),
            Wanted::Cancel(user) => action == Action::Cancelled && by(user),
            Wanted::Revoke(user, _) => action == Action::Revoked && by(user),
            Wanted::Release(user) => action == Action::Released && by(user),
            Wanted::Expire => action == Action::Expired,
            Wanted::EndVoid => action == Action::Ended,
            Wanted::Note(user) => action == Action::Noted && by(user),
        };
        same && self.reason == entry.reason
    }

    /// The status that the change leads to, an approval once all groups have approved; none if it
    /// leaves the status alone.
    pub fn target(&self) -> Option<Status> {
        match self.wanted {
            Wanted::Approve(..) | Wanted::ApproveByRule(_) => Some(Status::Approved),
            Wanted::Deny(..) => Some(Status::Denied),
            Wanted::Cancel(_) => Some(Status::Cancelled),
            Wanted::Revoke(..) => Some(Status::Revoked),
            Wanted::Release(_) => Some(Status::Released),
            Wanted::Expire => Some(Status::Expired),
            Wanted::EndVoid => Some(Status::Ended),
            Wanted::Note(_) => None,
        }
    }
}

impl Request {
    /// The request as it is after `change`, made with `stamp`. The request itself stays as it
    /// is. For implementations of [`Store`](crate::Store), which call it inside their atomic step.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`], then [`Rejection::Clock`] if the change would grant, then
    /// [`Rejection::Refused`].
    pub fn apply(&self, change: &Change, stamp: Stamp) -> Result<Request, Rejection> {
        if let Some(to) = change.target() {
            if !self.status.can_become(to) {
                let (by, at) = self.status_since();
                let from = self.status;
                return Err(Rejection::InvalidTransition { from, to, by, at });
            }
        }
        if change.target() == Some(Status::Approved) {
            stamp.now.granting()?;
        }
        if let Some(reason) = &change.reason {
            check_length(reason, 1, MAX_REASON_CHARACTERS).map_err(Refusal::Reason)?;
        }
        let (action, actor) = self.permit(&change.wanted, &stamp.now)?;
        let mut after = self.clone();
        after.take(Arc::new(HistoryEntry {
            action,
            actor,
            reason: change.reason.clone(),
            idempotency_key: change.idempotency_key,
            from: Some(self.updated_at),
            to: stamp.version,
            at: stamp.now.at(),
        }));
        Ok(after)
    }

    /// Who does what, if the rules permit it at `now`.
    fn permit(&self, wanted: &Wanted, now: &Now) -> Result<(Action, Actor), Refusal> {
        match wanted {
            Wanted::Approve(by, terms) => {
                if by.same_user(&self.requester) {
                    return Err(Refusal::OwnRequest { user: by.clone() });
                }
                let rule = terms.rule_naming(self, by)?;
                self.can_be_approved(now)?;
                if let Some(at) = self.approved_at_by(by) {
                    let user = by.clone();
                    return Err(Refusal::AlreadyApproved { user, at });
                }
                self.is_what_is_demanded_by(rule)?;
                let people = self.approving_people().chain([by]);
                let action = if rule.is_met_by(&self.requester, people) {
                    Action::Approved
                } else {
                    Action::ApprovedInPart
                };
                Ok((action, Actor::User(by.clone())))
            }
            Wanted::ApproveByRule(terms) => {
                let rule = terms.rule_for(&self.profile)?;
                self.can_be_approved(now)?;
                self.is_what_is_demanded_by(rule)?;
                let holds =
                    |auto: &AutoApproval| auto.holds(&self.requester, self.duration, now.at());
                if !rule.auto_approval().is_some_and(holds) {
                    return Err(Refusal::NotAutomatic {
                        rule: rule.shared_name(),
                    });
                }
                Ok((Action::Approved, Actor::Rule(rule.shared_name())))
            }
            Wanted::Deny(by, terms) => {
                terms.rule_naming(self, by)?;
                self.in_time(now)?;
                Ok((Action::Denied, Actor::User(by.clone())))
            }
            Wanted::Cancel(by) => {
                self.asked_for_by(by)?;
                Ok((Action::Cancelled, Actor::User(by.clone())))
            }
            Wanted::Revoke(by, terms) => {
                let rule = terms.rule_for(&self.profile)?;
                if !rule.names_revoker(by) {
                    return Err(Refusal::NotARevoker {
                        user: by.clone(),
                        rule: rule.shared_name(),
                    });
                }
                self.is_not_over(now)?;
                Ok((Action::Revoked, Actor::User(by.clone())))
            }
            Wanted::Release(by) => {
                self.asked_for_by(by)?;
                self.is_not_over(now)?;
                Ok((Action::Released, Actor::User(by.clone())))
            }
            Wanted::Expire => {
                if !self.is_due(now) {
                    return Err(Refusal::NotDue {
                        decide_by: self.decide_by,
                    });
                }
                let actor = match now.is_ahead(self.created_at) {
                    true => Actor::Clock,
                    false => Actor::Time,
                };
                Ok((Action::Expired, actor))
            }
            Wanted::EndVoid => {
                if !self.is_void(now) {
                    return Err(Refusal::NotVoid);
                }
                Ok((Action::Ended, Actor::Clock))
            }
            Wanted::Note(by) => {
                if self.history.len() >= MAX_HISTORY_ENTRIES {
                    return Err(Refusal::HistoryFull {
                        entries: self.history.len(),
                    });
                }
                Ok((Action::Noted, Actor::User(by.clone())))
            }
        }
    }

    /// What the rule demands holds when it approves, too: it may be another than at creation.
    fn is_what_is_demanded_by(&self, rule: &ApprovalRule) -> Result<(), Refusal> {
        let is_pinned = self.ends_with_policy && self.policy.is_some();
        rule.check(
            self.duration,
            &self.justification,
            self.ticket.is_some(),
            is_pinned,
        )
    }

    fn asked_for_by(&self, user: &User) -> Result<(), Refusal> {
        if *user != self.requester {
            return Err(Refusal::NotTheRequester {
                user: user.clone(),
                requester: self.requester.clone(),
            });
        }
        Ok(())
    }

    /// Whatever gives access now or may later can be taken back, whoever granted it and when.
    fn is_not_over(&self, now: &Now) -> Result<(), Refusal> {
        match self.access_until {
            Some(until) if now.at() >= until => Err(Refusal::AccessOver { until }),
            _ => Ok(()),
        }
    }

    fn can_be_approved(&self, now: &Now) -> Result<(), Refusal> {
        if now.is_ahead(self.created_at) {
            return Err(Refusal::DatedAhead {
                created_at: self.created_at,
                at: now.at(),
            });
        }
        self.in_time(now)
    }

    fn in_time(&self, now: &Now) -> Result<(), Refusal> {
        if now.at() >= self.decide_by {
            return Err(Refusal::TooLate {
                decide_by: self.decide_by,
            });
        }
        Ok(())
    }
}
