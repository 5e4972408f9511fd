//! The rules: what may happen to an emergency, as one pure function.
//!
//! A [`Change`] says who wants what and carries what the invocation rule says about it;
//! [`Emergency::apply`] decides, without looking anywhere else. Every store calls it inside its own
//! atomic step, so each rule holds under concurrency and on every engine. Whether an emergency may
//! begin is [`Admission`](crate::Admission)'s business, and why something may not be is
//! [`Refusal`]'s.

use std::sync::Arc;

use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, TextError, User, check_length, check_statement};
use countersign_core::time::{Now, Stamp};

use crate::history::{Action, Actor, HistoryEntry};
use crate::invocation_policy::{InvocationPolicy, InvocationRule};
use crate::record::Emergency;
use crate::refusal::{Refusal, Rejection};
use crate::review::{ReviewOutcome, ReviewOverride};
use crate::transition::Status;

/// The most characters of a reason or a note.
const MAX_REASON_CHARACTERS: usize = 1_000;
/// The most entries that notes may fill a history up to. Changes of status are always possible.
const MAX_HISTORY_ENTRIES: usize = 1_000;

/// One wanted change of an emergency.
///
/// Its fields are private: a change that a responder may make is made from the
/// [`InvocationPolicy`] and carries what its rule says.
///
/// ```
/// use countersign_breakglass::{Change, InvocationPolicy, User, Profile};
///
/// let policy: InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"], "responders": ["bob"]}]}"#.parse()?;
/// let (bob, prod) = (User::new("bob")?, Profile::new("prod")?);
/// let change = Change::close(&policy, &prod, &bob, "the disk has been replaced");
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
    Close(User, Authority),
    Expire,
    MakeWay,
    Note(User),
    Review(User, ReviewOutcome, Authority),
    /// Only an admission makes it: it has checked who overrides.
    Override(ReviewOverride),
}

/// What the policy says about a profile: the rule that applies to it, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    profile: Profile,
    rule: Option<Arc<InvocationRule>>,
}

impl Authority {
    fn of(policy: &InvocationPolicy, profile: &Profile) -> Self {
        Self {
            profile: profile.clone(),
            rule: policy.rule_for(profile).cloned(),
        }
    }

    fn check_profile(&self, emergency: &Emergency) -> Result<(), Refusal> {
        if self.profile != emergency.profile {
            return Err(Refusal::OtherProfile {
                made_for: self.profile.clone(),
                used_for: emergency.profile.clone(),
            });
        }
        Ok(())
    }

    /// The invoker can close in any case, and a responder if the rule in force names them.
    fn check_closer(&self, emergency: &Emergency, user: &User) -> Result<(), Refusal> {
        self.check_profile(emergency)?;
        let rule = self.rule.as_ref();
        if *user != emergency.invoker && !rule.is_some_and(|rule| rule.names_responder(user)) {
            return Err(Refusal::NotAResponder {
                user: user.clone(),
                invoker: emergency.invoker.clone(),
            });
        }
        Ok(())
    }

    /// Never the invoker, under any spelling; a reviewer if the rule in force names them.
    fn check_reviewer(&self, emergency: &Emergency, user: &User) -> Result<(), Refusal> {
        self.check_profile(emergency)?;
        if user.same_user(&emergency.invoker) {
            return Err(Refusal::OwnReview {
                user: user.clone(),
                invoker: emergency.invoker.clone(),
            });
        }
        let rule = self.rule.as_ref();
        if !rule.is_some_and(|rule| rule.names_reviewer(user)) {
            return Err(Refusal::NotAReviewer {
                user: user.clone(),
                profile: emergency.profile.clone(),
            });
        }
        Ok(())
    }
}

impl Change {
    /// `by` closes an emergency for `profile`, and ends its access: its invoker or a named responder,
    /// with a reason, before its time is over.
    pub fn close(policy: &InvocationPolicy, profile: &Profile, by: &User, reason: &str) -> Self {
        Self::new(
            Wanted::Close(by.clone(), Authority::of(policy, profile)),
            Some(reason),
        )
    }

    /// The time of an active emergency is over.
    pub fn expire() -> Self {
        Self::new(Wanted::Expire, None)
    }

    /// The emergency gives no access, and another of the same user and profile begins: of one that
    /// is marked active only one can be. For implementations of [`Store`](crate::Store), which
    /// apply it in the step that creates the other.
    pub fn make_way() -> Self {
        Self::new(Wanted::MakeWay, None)
    }

    /// `by` writes a note, whatever the status; the history keeps every note.
    pub fn note(by: &User, text: &str) -> Self {
        Self::new(Wanted::Note(by.clone()), Some(text))
    }

    /// `by` reviews an emergency for `profile` that is over: a named reviewer (if the rule names none,
    /// a responder), never the invoker, once. `text` says what they found; notes remain possible.
    pub fn review(
        policy: &InvocationPolicy,
        profile: &Profile,
        by: &User,
        outcome: ReviewOutcome,
        text: &str,
    ) -> Self {
        let authority = Authority::of(policy, profile);
        Self::new(Wanted::Review(by.clone(), outcome, authority), Some(text))
    }

    pub(crate) fn override_review(given: ReviewOverride) -> Self {
        let reason = given.reason.to_string();
        Self::new(Wanted::Override(given), Some(&reason))
    }

    /// The same change with the key of the call, so that a repeat of it is known for a
    /// repeat: a store that has made it answers with its first result.
    ///
    /// ```
    /// use countersign_breakglass::{Change, IdempotencyKey, OsRandom, User};
    ///
    /// let idempotency_key = IdempotencyKey::random(&OsRandom)?;
    /// let change = Change::note(&User::new("bob")?, "called the vendor").with_idempotency_key(idempotency_key);
    /// assert_eq!(change.idempotency_key(), Some(idempotency_key));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_idempotency_key(self, idempotency_key: IdempotencyKey) -> Self {
        self.carrying(Some(idempotency_key))
    }

    pub(crate) fn carrying(self, idempotency_key: Option<IdempotencyKey>) -> Self {
        Self {
            idempotency_key,
            ..self
        }
    }

    /// The key of the call, if it has one.
    pub fn idempotency_key(&self) -> Option<IdempotencyKey> {
        self.idempotency_key
    }

    fn new(wanted: Wanted, reason: Option<&str>) -> Self {
        Self {
            wanted,
            reason: reason.map(Arc::from),
            idempotency_key: None,
        }
    }

    /// The status that the change leads to; none if it leaves the status alone.
    pub fn target(&self) -> Option<Status> {
        match self.wanted {
            Wanted::Close(..) => Some(Status::Closed),
            Wanted::Expire | Wanted::MakeWay => Some(Status::Expired),
            Wanted::Note(_) | Wanted::Review(..) | Wanted::Override(_) => None,
        }
    }

    /// What the history says of the change once it is made.
    fn action(&self, emergency: &Emergency, now: &Now) -> (Action, Actor) {
        match &self.wanted {
            Wanted::Close(by, _) => (Action::Closed, Actor::User(by.clone())),
            Wanted::Expire | Wanted::MakeWay if now.at() < emergency.expires_at => {
                (Action::Expired, Actor::Clock)
            }
            Wanted::Expire | Wanted::MakeWay => (Action::Expired, Actor::Time),
            Wanted::Note(by) => (Action::Noted, Actor::User(by.clone())),
            Wanted::Review(by, outcome, _) => (Action::Reviewed(*outcome), Actor::User(by.clone())),
            Wanted::Override(given) => (Action::Overridden, Actor::User(given.by.clone())),
        }
    }

    /// Whether the entry tells of this same change: action, actor and reason.
    pub(crate) fn is_recorded_by(&self, entry: &HistoryEntry) -> bool {
        let by = |user: &User| entry.actor == Actor::User(user.clone());
        let same = match &self.wanted {
            Wanted::Close(user, _) => entry.action == Action::Closed && by(user),
            Wanted::Expire | Wanted::MakeWay => entry.action == Action::Expired,
            Wanted::Note(user) => entry.action == Action::Noted && by(user),
            Wanted::Review(user, outcome, _) => {
                entry.action == Action::Reviewed(*outcome) && by(user)
            }
            Wanted::Override(given) => entry.action == Action::Overridden && by(&given.by),
        };
        same && entry.reason == self.reason
    }
}

impl Emergency {
    /// The emergency as it is after `change`, made with `stamp`. The emergency itself stays as it is.
    /// For implementations of [`Store`](crate::Store), which call it inside their atomic step.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`], then [`Rejection::Refused`].
    pub fn apply(&self, change: &Change, stamp: Stamp) -> Result<Emergency, Rejection> {
        if let Some(to) = change.target() {
            if !self.status.can_become(to) {
                let (by, at) = self.status_since();
                let from = self.status;
                return Err(Rejection::InvalidTransition { from, to, by, at });
            }
        }
        let reason = change.reason.as_deref();
        let checked = match (&change.wanted, reason) {
            (_, None) => Ok(()),
            (Wanted::Close(..) | Wanted::Review(..), Some(reason)) => check_reason(reason),
            (_, Some(reason)) => check_length(reason, 1, MAX_REASON_CHARACTERS),
        };
        checked.map_err(Refusal::Reason)?;
        self.permit(&change.wanted, &stamp.now)?;
        let (action, actor) = change.action(self, &stamp.now);
        let mut after = self.clone();
        if let Wanted::Override(given) = &change.wanted {
            after.review_override = Some(given.clone());
        }
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

    /// Whether the rules permit it at `now`.
    fn permit(&self, wanted: &Wanted, now: &Now) -> Result<(), Refusal> {
        let expires_at = self.expires_at;
        match wanted {
            Wanted::Close(by, authority) => {
                authority.check_closer(self, by)?;
                // Whatever gives access now or may later can be closed, whatever the clock did.
                if now.at() >= expires_at {
                    return Err(Refusal::AccessOver { expires_at });
                }
            }
            Wanted::Expire => {
                if !self.is_over(*now) {
                    return Err(Refusal::NotDue { expires_at });
                }
            }
            Wanted::MakeWay => {
                if self.is_active(*now) {
                    return Err(Refusal::NotDue { expires_at });
                }
            }
            Wanted::Note(_) => {
                if self.history.len() >= MAX_HISTORY_ENTRIES {
                    return Err(Refusal::HistoryFull {
                        entries: self.history.len(),
                    });
                }
            }
            Wanted::Review(by, _, authority) => {
                authority.check_reviewer(self, by)?;
                if let Some(review) = &self.review {
                    return Err(Refusal::ReviewedAlready {
                        by: review.by.clone(),
                        at: review.at,
                    });
                }
                if !self.is_over(*now) {
                    return Err(Refusal::NotDue { expires_at });
                }
            }
            Wanted::Override(_) => {}
        }
        Ok(())
    }
}

/// What a reason must be that somebody will read to judge by: it says something.
pub(crate) fn check_reason(reason: &str) -> Result<(), TextError> {
    check_statement(reason, 1, MAX_REASON_CHARACTERS)
}
