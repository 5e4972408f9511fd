//! The record: an emergency with everything that happened to it.
//!
//! An [`Emergency`] is plain data with public fields. It can be changed only by a store, which takes a
//! [`Draft`] or a [`Change`](crate::Change) and never a whole record: an emergency cannot be created
//! without its admission, and who declared what cannot be rewritten.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::grant::{Grant, GrantKind, GrantedBy};
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::time::Now;
use countersign_core::version::Version;
use countersign_core::window::duration;
use serde::{Deserialize, Serialize};

use crate::history::{Action, Actor, HistoryEntry};
use crate::mfa::MfaProof;
use crate::rate_limit_policy::Escalation;
use crate::review::{Review, ReviewOverride};
use crate::transition::Status;
use crate::vocabulary::{EmergencyId, ReasonCode};

/// One user's emergency access to one profile.
///
/// Invariants that every store keeps: `id`, `invoker`, `profile`, `duration`, `reason_code`,
/// `justification`, `ticket`, `request_id`, `mfa`, `escalate`, `escalation`, `review_override`,
/// `created`, `created_at` and `expires_at` never change; the status of a closed or expired
/// emergency never changes, nor does a review; `updated_at` grows with every change; `history`
/// begins with the creation and gains one entry a change.
///
/// ```
/// use countersign_breakglass::{Emergency, Status};
///
/// let stored = r#"{
///     "id": "0c495841982c3107", "invoker": "alice", "profile": "prod", "duration": "1h",
///     "reason_code": "incident", "justification": "the orders database is down",
///     "escalate": false, "created": "2026-03-02T09:00:00Z", "created_at": "2026-03-02T09:00:00Z",
///     "expires_at": "2026-03-02T10:00:00Z", "status": "active",
///     "updated_at": "2026-03-02T09:00:00Z", "history": []
/// }"#;
/// let emergency: Emergency = serde_json::from_str(stored)?;
/// assert_eq!(emergency.status, Status::Active);
/// let last: chrono::DateTime<chrono::Utc> = "2026-03-02T09:59:59.999999999Z".parse()?;
/// assert!(emergency.grant(last).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Emergency {
    /// What identifies it.
    pub id: EmergencyId,
    /// Who declared it, and has the access.
    pub invoker: User,
    /// What for.
    pub profile: Profile,
    /// How long access lasts, from the creation.
    #[serde(with = "duration")]
    pub duration: Duration,
    /// What kind of emergency it is.
    pub reason_code: ReasonCode,
    /// Why.
    pub justification: Arc<str>,
    /// A reference in the host's ticket system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Arc<str>>,
    /// The request for access that came before, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Arc<str>>,
    /// The second factor that was shown, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa: Option<MfaProof>,
    /// Whether the invoker had declared so many emergencies before that somebody should be told.
    pub escalate: bool,
    /// Of which rule, and how many they were. There if and only if `escalate` is set, but for
    /// emergencies that were stored before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
    /// The word of a responder by which it began although an earlier emergency awaited its review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_override: Option<ReviewOverride>,
    /// The version that it was created with: its place in lists. No other emergency ever has it.
    pub created: Version,
    /// When it was created, by the store's clock. Access begins then.
    pub created_at: DateTime<Utc>,
    /// The first moment at which access is over.
    pub expires_at: DateTime<Utc>,
    /// Where it stands. An emergency whose time is over gives no access, whatever its status.
    pub status: Status,
    /// The last note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Arc<str>>,
    /// What somebody else found when it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// The version: it grows with every change, over the whole store.
    pub updated_at: Version,
    /// Everything that happened to it, oldest first.
    pub history: Vec<Arc<HistoryEntry>>,
}

impl Emergency {
    /// Whether the emergency gives access `now`: it is active, its time has begun and is not over, and
    /// it was not declared while the clock was ahead.
    ///
    /// ```
    /// # use countersign_breakglass as breakglass;
    /// # fn example(emergency: &breakglass::Emergency) {
    /// assert!(!emergency.is_active(emergency.expires_at), "access ends before that moment");
    /// # }
    /// ```
    pub fn is_active(&self, now: impl Into<Now>) -> bool {
        let now = now.into();
        self.status == Status::Active
            && now.in_force(self.created_at, self.created, self.expires_at)
    }

    /// Whether its time is over, marked so or not. One that is dated ahead of a clock that has been
    /// corrected is not over before the correction has stood for an hour, and gives no access.
    pub fn is_over(&self, now: impl Into<Now>) -> bool {
        let now = now.into();
        self.is_terminal() || now.at() >= self.expires_at || self.is_void(&now)
    }

    /// Whether it was declared while the clock was ahead, and has ended for good by that, marked
    /// or not.
    pub fn is_void(&self, now: &Now) -> bool {
        self.status == Status::Active && now.is_void(self.created_at, self.created)
    }

    /// When it counts as created, for pauses and quotas: then, or at the correction that has shown
    /// the clock to have been ahead of that ([`Now::moment_of`]).
    pub fn begun_at(&self, now: &Now) -> DateTime<Utc> {
        now.moment_of(self.created_at, self.created)
    }

    /// When it was last changed: the `at` of the last entry of its history.
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.history
            .last()
            .map_or(self.created_at, |entry| entry.at)
    }

    /// The access that the emergency gives `now`: none unless it is active ([`Emergency::is_active`]).
    ///
    /// A store's [`find_grant`](crate::Store::find_grant) asks with the store's own time. With a
    /// time of somebody else's this is for audit: nothing may be granted by it.
    ///
    /// ```
    /// # use countersign_breakglass as breakglass;
    /// # fn example(emergency: &breakglass::Emergency, now: chrono::DateTime<chrono::Utc>) {
    /// if let Some(grant) = emergency.grant(now) {
    ///     println!("until {}", grant.until);
    /// }
    /// # }
    /// ```
    pub fn grant(&self, now: impl Into<Now>) -> Option<Grant> {
        self.is_active(now).then(|| Grant {
            kind: GrantKind::Emergency,
            user: self.invoker.clone(),
            profile: self.profile.clone(),
            granted_by: GrantedBy::User(self.invoker.clone()),
            until: self.expires_at,
            policy: None,
            ends_with_policy: false,
        })
    }

    /// How much of the access is left `now`: zero if there is none.
    ///
    /// ```
    /// # use countersign_breakglass as breakglass;
    /// # use std::time::Duration;
    /// # fn example(emergency: &breakglass::Emergency) {
    /// assert_eq!(emergency.remaining(emergency.expires_at), Duration::ZERO);
    /// # }
    /// ```
    pub fn remaining(&self, now: impl Into<Now>) -> Duration {
        let now = now.into();
        if !self.is_active(now) {
            return Duration::ZERO;
        }
        (self.expires_at - now.at())
            .to_std()
            .unwrap_or(Duration::ZERO)
    }

    /// Whether nothing can change the status any more: it is closed or expired. Only such an emergency
    /// can be deleted.
    pub fn is_terminal(&self) -> bool {
        match self.status {
            Status::Active => false,
            Status::Closed | Status::Expired => true,
        }
    }

    /// The first moment at which the emergency was or will be over: when it was closed, or else when
    /// its time was up.
    ///
    /// ```
    /// # use countersign_breakglass as breakglass;
    /// # fn example(emergency: &breakglass::Emergency) {
    /// assert!(emergency.ended_at() <= emergency.expires_at, "closing only makes it earlier");
    /// # }
    /// ```
    pub fn ended_at(&self) -> DateTime<Utc> {
        match self.end() {
            // What a correction has ended is marked before its time is up.
            Some(entry) => entry.at.min(self.expires_at),
            None => self.expires_at,
        }
    }

    /// When it counts as over, for retention and for what awaits its review: then
    /// ([`Emergency::ended_at`]), or at the correction that has shown the clock to have been ahead of
    /// that ([`Now::moment_of`]).
    pub fn over_since(&self, now: &Now) -> DateTime<Utc> {
        let began = self.begun_at(now);
        match self.end() {
            Some(entry) => now.moment_of(entry.at, entry.to).min(self.expires_at),
            None if began < self.created_at => began,
            None => self.expires_at,
        }
    }

    fn end(&self) -> Option<&HistoryEntry> {
        let mut entries = self.history.iter().rev();
        let ended =
            |entry: &&Arc<HistoryEntry>| matches!(entry.action, Action::Closed | Action::Expired);
        entries.find(ended).map(|entry| &**entry)
    }

    /// Whether the emergency awaits its review `now`: it is over, marked so or not, and nobody has
    /// reviewed it.
    ///
    /// ```
    /// # use countersign_breakglass as breakglass;
    /// # fn example(emergency: &breakglass::Emergency) {
    /// assert_eq!(emergency.awaits_review(emergency.ended_at()), emergency.review.is_none());
    /// # }
    /// ```
    pub fn awaits_review(&self, now: impl Into<Now>) -> bool {
        self.review.is_none() && self.is_over(now)
    }

    /// The emergency as it was when it had this version; none if it never had it. Equal to what the
    /// call that made the version returned.
    ///
    /// ```
    /// # use countersign_breakglass as breakglass;
    /// # fn example(emergency: &breakglass::Emergency) -> Option<()> {
    /// let created = emergency.as_of(emergency.history.first()?.to)?;
    /// assert_eq!((created.status, created.history.len()), (breakglass::Status::Active, 1));
    /// # Some(())
    /// # }
    /// ```
    pub fn as_of(&self, version: Version) -> Option<Emergency> {
        let last = self.place_of(version)?;
        let entries = self.history.get(..=last)?;
        let overridden = |entry: &Arc<HistoryEntry>| entry.action == Action::Overridden;
        let review_override = self.review_override.as_ref();
        let mut past = Emergency {
            status: Status::Active,
            note: None,
            review: None,
            review_override: review_override
                .filter(|_| entries.iter().any(overridden))
                .cloned(),
            history: Vec::with_capacity(entries.len()),
            ..self.clone()
        };
        for entry in entries {
            past.take(Arc::clone(entry));
        }
        Some(past)
    }

    /// The change that led to this version; none if the emergency never had it.
    pub fn entry_at(&self, version: Version) -> Option<&Arc<HistoryEntry>> {
        self.history.get(self.place_of(version)?)
    }

    /// Versions grow along a history.
    fn place_of(&self, version: Version) -> Option<usize> {
        self.history
            .binary_search_by_key(&version, |entry| entry.to)
            .ok()
    }

    /// Who or what gave it the status that it has, and when.
    pub fn status_since(&self) -> (Actor, DateTime<Utc>) {
        let gives = |action| matches!(action, Action::Created | Action::Closed | Action::Expired);
        let mut entries = self.history.iter().rev();
        match entries.find(|entry| gives(entry.action)) {
            Some(entry) => (entry.actor.clone(), entry.at),
            None => (Actor::User(self.invoker.clone()), self.created_at),
        }
    }

    /// Adds an entry to the history, with all that follows from it.
    pub(crate) fn take(&mut self, entry: Arc<HistoryEntry>) {
        match entry.action {
            // An override says more than its entry: whoever adds one sets the field.
            Action::Created | Action::Overridden => {}
            Action::Closed => self.status = Status::Closed,
            Action::Expired => self.status = Status::Expired,
            Action::Noted => self.note.clone_from(&entry.reason),
            Action::Reviewed(outcome) => {
                if let Actor::User(by) = &entry.actor {
                    self.review = Some(Review {
                        by: by.clone(),
                        outcome,
                        text: entry.reason.clone().unwrap_or_default(),
                        at: entry.at,
                    });
                }
            }
        }
        self.updated_at = entry.to;
        self.history.push(entry);
    }

    /// The last entry with the key: a creation that was overridden made two.
    pub(crate) fn entry_of(
        &self,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Option<&Arc<HistoryEntry>> {
        let idempotency_key = Some(idempotency_key?);
        let mut entries = self.history.iter().rev();
        entries.find(|entry| entry.idempotency_key == idempotency_key)
    }
}

/// One line for a log: who, for what, when, why, and whatever is out of the ordinary.
impl fmt::Display for Emergency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            status,
            invoker,
            profile,
            reason_code,
            justification,
            ..
        } = self;
        let (from, until) = (self.created_at, self.ended_at());
        write!(
            f,
            "emergency {id} ({status}): {invoker} on {profile} from {from} until {until}, {reason_code}: {justification:?}"
        )?;
        if let Some(proof) = &self.mfa {
            write!(f, "; second factor: {proof}")?;
        }
        match &self.escalation {
            Some(escalation) => write!(f, "; ESCALATED: {escalation}")?,
            None if self.escalate => f.write_str("; ESCALATED")?,
            None => {}
        }
        if let Some(given) = &self.review_override {
            write!(f, "; {given}")?;
        }
        if let Some(review) = &self.review {
            write!(f, "; {review}")?;
        }
        Ok(())
    }
}
