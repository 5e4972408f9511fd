//! The record: an emergency with everything that happened to it.
//!
//! An [`Event`] is plain data with public fields. It can be changed only by a store, which takes a
//! [`Draft`] or a [`Change`](crate::Change) and never a whole record: an event cannot be created
//! without its admission, and who declared what cannot be rewritten.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::grant::{Grant, GrantKind, GrantedBy};
use countersign_core::id::OperationId;
use countersign_core::names::{Person, Profile};
use countersign_core::time::{Now, Stamp, later};
use countersign_core::version::Version;
use countersign_core::window::duration;
use serde::{Deserialize, Serialize};

use crate::admission::Admitted;
use crate::document::{Problem, shown};
use crate::history::{Action, Actor, HistoryEntry};
use crate::limits::{Limits, ValidationError};
use crate::mfa::MfaProof;
use crate::rate_limit_policy::Escalation;
use crate::review::{Review, ReviewOverride};
use crate::transition::Status;

countersign_core::define_id! {
    /// The id of an event: 64 random bits, shown as 16 lowercase hexadecimal digits.
    ///
    /// ```
    /// use countersign_breakglass::EventId;
    ///
    /// let id: EventId = "0c495841982c3107".parse()?;
    /// assert_eq!(id.to_string(), "0c495841982c3107");
    /// # Ok::<(), countersign_breakglass::ParseIdError>(())
    /// ```
    EventId
}

/// One person's emergency access to one profile.
///
/// Invariants that every store keeps: `id`, `invoker`, `profile`, `duration`, `reason_code`,
/// `justification`, `ticket`, `request_id`, `mfa`, `escalate`, `escalation`, `review_override`,
/// `created`, `created_at` and `expires_at` never change; the status of a closed or expired event never
/// changes, nor does a review; `updated_at` grows with every change; `history` begins with the
/// creation and gains one entry a change.
///
/// ```
/// use countersign_breakglass::{Event, Status};
///
/// let stored = r#"{
///     "id": "0c495841982c3107", "invoker": "alice", "profile": "prod", "duration": "1h",
///     "reason_code": "incident", "justification": "the orders database is down",
///     "escalate": false, "created": "2026-03-02T09:00:00Z", "created_at": "2026-03-02T09:00:00Z",
///     "expires_at": "2026-03-02T10:00:00Z", "status": "active",
///     "updated_at": "2026-03-02T09:00:00Z", "history": []
/// }"#;
/// let event: Event = serde_json::from_str(stored)?;
/// assert_eq!(event.status, Status::Active);
/// let last: chrono::DateTime<chrono::Utc> = "2026-03-02T09:59:59.999999999Z".parse()?;
/// assert!(event.grant(last).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    /// What identifies it.
    pub id: EventId,
    /// Who declared it, and has the access.
    pub invoker: Person,
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
    /// events that were stored before it was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<Escalation>,
    /// The word of a responder by which it began although an earlier event awaited its review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_override: Option<ReviewOverride>,
    /// The version that it was created with: its place in lists. No other event ever has it.
    pub created: Version,
    /// When it was created, by the store's clock. Access begins then.
    pub created_at: DateTime<Utc>,
    /// The first moment at which access is over.
    pub expires_at: DateTime<Utc>,
    /// Where it stands. An event whose time is over gives no access, whatever its status.
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

impl Event {
    /// The event that an admitted `draft` becomes when a store creates it with `stamp`: active, until
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
            actor: Actor::Person(draft.invoker.clone()),
            reason: None,
            operation: draft.operation,
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

    /// Whether the event gives access `now`: it is active, its time has begun and is not over, and
    /// it was not declared while the clock was ahead.
    ///
    /// ```
    /// # use countersign_breakglass::*;
    /// # fn example(event: &Event) {
    /// assert!(!event.is_active(event.expires_at), "access ends before that moment");
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

    /// The access that the event gives `now`: none unless it is active ([`Event::is_active`]).
    ///
    /// A store's [`find_grant`](crate::Store::find_grant) asks with the store's own time. With a
    /// time of somebody else's this is for audit: nothing may be granted by it.
    ///
    /// ```
    /// # use countersign_breakglass::*;
    /// # fn example(event: &Event, now: chrono::DateTime<chrono::Utc>) {
    /// if let Some(grant) = event.grant(now) {
    ///     println!("until {}", grant.until);
    /// }
    /// # }
    /// ```
    pub fn grant(&self, now: impl Into<Now>) -> Option<Grant> {
        self.is_active(now).then(|| Grant {
            kind: GrantKind::Emergency,
            person: self.invoker.clone(),
            profile: self.profile.clone(),
            granted_by: GrantedBy::Person(self.invoker.clone()),
            until: self.expires_at,
            policy: None,
            ends_with_policy: false,
        })
    }

    /// How much of the access is left `now`: zero if there is none.
    ///
    /// ```
    /// # use countersign_breakglass::*;
    /// # use std::time::Duration;
    /// # fn example(event: &Event) {
    /// assert_eq!(event.remaining(event.expires_at), Duration::ZERO);
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

    /// Whether nothing can change the status any more: it is closed or expired. Only such an event
    /// can be deleted.
    pub fn is_terminal(&self) -> bool {
        match self.status {
            Status::Active => false,
            Status::Closed | Status::Expired => true,
        }
    }
}

/// One line for a log: who, for what, when, why, and whatever is out of the ordinary.
impl fmt::Display for Event {
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
            "event {id} ({status}): {invoker} on {profile} from {from} until {until}, {reason_code}: {justification:?}"
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

/// What an event is created from.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::{Draft, EventId, OsRandom, Person, Profile, ReasonCode};
///
/// let draft = Draft {
///     id: EventId::random(&OsRandom)?,
///     operation: None,
///     invoker: Person::new("alice")?,
///     profile: Profile::new("prod")?,
///     duration: Duration::from_secs(3600),
///     reason_code: ReasonCode::Incident,
///     justification: "the orders database does not accept writes".into(),
///     ticket: Some("INC-4711".into()),
///     request_id: None,
///     mfa: None,
/// };
/// assert_eq!(draft.ticket.as_deref(), Some("INC-4711"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The id it shall have: minted first, so that the caller knows it whatever happens.
    pub id: EventId,
    /// What the caller calls this operation, so that a repeat of it is known for a repeat.
    pub operation: Option<OperationId>,
    /// Who declares it.
    pub invoker: Person,
    /// What for.
    pub profile: Profile,
    /// How long access shall last, from the creation: more than zero, at most 4 hours by default.
    pub duration: Duration,
    /// What kind of emergency it is.
    pub reason_code: ReasonCode,
    /// Why: 20 to 1,000 characters by default, two different ones of which are not white space.
    pub justification: String,
    /// A reference in the host's ticket system: 1 to 128 characters.
    pub ticket: Option<String>,
    /// The request for access that came before, if there was one: 1 to 128 characters.
    pub request_id: Option<String>,
    /// The second factor that was shown, if one was. What is shown is checked, demanded or not.
    pub mfa: Option<MfaProof>,
}

/// What kind of emergency it is.
///
/// ```
/// use countersign_breakglass::ReasonCode;
///
/// assert_eq!("incident".parse(), Ok(ReasonCode::Incident));
/// assert!("Incident".parse::<ReasonCode>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(description = "What kind of emergency it is.")
)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Something is broken.
    Incident,
    /// Something must be done that cannot wait.
    Maintenance,
    /// Somebody is attacking, or has.
    Security,
    /// Something lost must be brought back.
    Recovery,
    /// None of these; the justification says what.
    Other,
}

impl ReasonCode {
    /// Every code, in the order of their declaration.
    pub const ALL: [ReasonCode; 5] = [
        ReasonCode::Incident,
        ReasonCode::Maintenance,
        ReasonCode::Security,
        ReasonCode::Recovery,
        ReasonCode::Other,
    ];

    /// The code as documents and records write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReasonCode::Incident => "incident",
            ReasonCode::Maintenance => "maintenance",
            ReasonCode::Security => "security",
            ReasonCode::Recovery => "recovery",
            ReasonCode::Other => "other",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ReasonCode {
    type Err = Problem;

    /// Reads the code as documents write it; [`Problem::UnknownReasonCode`] otherwise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut codes = ReasonCode::ALL.into_iter();
        codes
            .find(|code| code.as_str() == text)
            .ok_or_else(|| Problem::UnknownReasonCode { value: shown(text) })
    }
}
