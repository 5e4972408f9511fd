//! The rules: what may happen to an event, as one pure function, and why something may not.
//!
//! A [`Change`] says who wants what and carries what the invocation rule says about it;
//! [`Event::apply`] decides, without looking anywhere else. Every store calls it inside its own
//! atomic step, so each rule holds under concurrency and on every engine. Whether an event may
//! begin is [`Admission`](crate::Admission)'s business; its refusals are here too.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{Person, Profile, TextError, check_length, check_statement};
use countersign_core::version::Version;
use countersign_core::window::{Window, duration};
use thiserror::Error;

use crate::invocation_policy::{InvocationPolicy, InvocationRule, MfaMethod};
use crate::record::{Action, Actor, Event, EventId, HistoryEntry, ReasonCode};
use crate::transition::Status;

/// The most characters of a reason or a note.
const MAX_REASON_CHARACTERS: usize = 1_000;
/// The most entries that notes may fill a history up to. Changes of status are always possible.
const MAX_HISTORY_ENTRIES: usize = 1_000;

/// One wanted change of an event.
///
/// Its fields are private: a change that a responder may make is made from the
/// [`InvocationPolicy`] and carries what its rule says.
///
/// ```
/// use countersign_breakglass::{Change, InvocationPolicy, Person, Profile};
///
/// let policy: InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"], "responders": ["bob"]}]}"#.parse()?;
/// let (bob, prod) = (Person::new("bob")?, Profile::new("prod")?);
/// let change = Change::close(&policy, &prod, &bob, "the disk has been replaced");
/// # drop(change);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    wanted: Wanted,
    reason: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Close(Person, Authority),
    Expire,
    Note(Person),
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

    /// The invoker can close in any case, and a responder if the rule in force names them.
    fn check_closer(&self, event: &Event, person: &Person) -> Result<(), Refusal> {
        if self.profile != event.profile {
            return Err(Refusal::OtherProfile {
                made_for: self.profile.clone(),
                used_for: event.profile.clone(),
            });
        }
        let rule = self.rule.as_ref();
        if *person != event.invoker && !rule.is_some_and(|rule| rule.names_responder(person)) {
            return Err(Refusal::NotAResponder {
                person: person.clone(),
                invoker: event.invoker.clone(),
            });
        }
        Ok(())
    }
}

impl Change {
    /// `by` closes an event for `profile`, and ends its access: its invoker or a named responder,
    /// with a reason, before its time is over.
    pub fn close(policy: &InvocationPolicy, profile: &Profile, by: &Person, reason: &str) -> Self {
        Self::new(
            Wanted::Close(by.clone(), Authority::of(policy, profile)),
            Some(reason),
        )
    }

    /// The time of an active event is over.
    pub fn expire() -> Self {
        Self::new(Wanted::Expire, None)
    }

    /// `by` writes a note, whatever the status; the history keeps every note.
    pub fn note(by: &Person, text: &str) -> Self {
        Self::new(Wanted::Note(by.clone()), Some(text))
    }

    fn new(wanted: Wanted, reason: Option<&str>) -> Self {
        Self {
            wanted,
            reason: reason.map(Arc::from),
        }
    }

    /// The status that the change leads to; none if it leaves the status alone.
    pub fn target(&self) -> Option<Status> {
        match self.wanted {
            Wanted::Close(..) => Some(Status::Closed),
            Wanted::Expire => Some(Status::Expired),
            Wanted::Note(_) => None,
        }
    }
}

impl Event {
    /// The event as it is after `change`, made at version `at`. The event itself stays as it is.
    /// For implementations of [`Store`](crate::Store), which call it inside their atomic step.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`], then [`Rejection::Refused`].
    pub fn apply(&self, change: &Change, at: Version) -> Result<Event, Rejection> {
        if let Some(to) = change.target() {
            if !self.status.can_become(to) {
                return Err(Rejection::InvalidTransition {
                    from: self.status,
                    to,
                });
            }
        }
        let reason = change.reason.as_deref();
        let checked = match (&change.wanted, reason) {
            (_, None) => Ok(()),
            (Wanted::Close(..), Some(reason)) => check_statement(reason, 1, MAX_REASON_CHARACTERS),
            (_, Some(reason)) => check_length(reason, 1, MAX_REASON_CHARACTERS),
        };
        checked.map_err(Refusal::Reason)?;
        let (action, actor) = self.permit(&change.wanted, at.time())?;
        let mut after = self.clone();
        match change.target() {
            Some(status) => after.status = status,
            None => after.note = change.reason.clone(),
        }
        after.updated_at = at;
        after.history.push(Arc::new(HistoryEntry {
            action,
            actor,
            reason: change.reason.clone(),
            from: Some(self.updated_at),
            to: at,
        }));
        Ok(after)
    }

    /// Who does what, if the rules permit it at `now`.
    fn permit(&self, wanted: &Wanted, now: DateTime<Utc>) -> Result<(Action, Actor), Refusal> {
        let expires_at = self.expires_at;
        match wanted {
            Wanted::Close(by, authority) => {
                authority.check_closer(self, by)?;
                if now >= expires_at {
                    return Err(Refusal::AccessOver { expires_at });
                }
                Ok((Action::Closed, Actor::Person(by.clone())))
            }
            Wanted::Expire => {
                if now < expires_at {
                    return Err(Refusal::NotDue { expires_at });
                }
                Ok((Action::Expired, Actor::Time))
            }
            Wanted::Note(by) => {
                if self.history.len() >= MAX_HISTORY_ENTRIES {
                    return Err(Refusal::HistoryFull {
                        entries: self.history.len(),
                    });
                }
                Ok((Action::Noted, Actor::Person(by.clone())))
            }
        }
    }
}

/// Why a change was not made; [`Event::apply`] gives it.
///
/// ```
/// use countersign_breakglass::{Rejection, Status};
///
/// let rejection = Rejection::InvalidTransition { from: Status::Closed, to: Status::Expired };
/// assert_eq!(rejection.to_string(), "an event that is closed cannot become expired");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The status does not lead to the one asked for.
    #[error("an event that is {from} cannot become {to}")]
    InvalidTransition {
        /// The status it has.
        from: Status,
        /// The status it was to get.
        to: Status,
    },
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The rule that forbids an event or a change, and what would be needed. Trying again without
/// changing anything gives the same answer, except where a time is named.
///
/// ```
/// use countersign_breakglass::{Profile, Refusal};
///
/// let refusal = Refusal::NoRule { profile: Profile::new("prod")? };
/// assert!(refusal.to_string().starts_with("no invocation rule is for `prod`"));
/// assert_eq!(refusal.retry_at(), None, "waiting does not help");
/// # Ok::<(), countersign_breakglass::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No invocation rule is for the profile.
    #[error(
        "no invocation rule is for `{profile}`: add one if it may be opened in an emergency, or submit a request"
    )]
    NoRule {
        /// What was asked for.
        profile: Profile,
    },
    /// The rule does not name this person.
    #[error("rule `{rule}` does not let `{person}` declare an emergency: ask one whom it names")]
    Person {
        /// The rule that applies.
        rule: Arc<str>,
        /// Who tried.
        person: Person,
    },
    /// The rule does not allow this reason.
    #[error("rule `{rule}` does not allow the reason `{reason_code}`: submit a request instead")]
    ReasonCode {
        /// The rule that applies.
        rule: Arc<str>,
        /// What was given.
        reason_code: ReasonCode,
    },
    /// The rule's window is not open.
    #[error("rule `{rule}` is open at `{window}` only, and it is `{at}`: try again then")]
    Time {
        /// The rule that applies.
        rule: Arc<str>,
        /// When it was tried.
        at: DateTime<Utc>,
        /// When the rule is open.
        window: Window,
    },
    /// The rule allows shorter access only.
    #[error("rule `{rule}` allows at most `{}`, not `{}`: ask for less", duration::format(*.most), duration::format(*.given))]
    Duration {
        /// The rule that applies.
        rule: Arc<str>,
        /// What was asked for.
        given: Duration,
        /// The most that may be.
        most: Duration,
    },
    /// The rule demands a second factor, and none was shown.
    #[error("rule `{rule}` demands a second factor: show one by {}", listed(.methods))]
    MfaRequired {
        /// The rule that applies.
        rule: Arc<str>,
        /// The methods that will do.
        methods: Vec<MfaMethod>,
    },
    /// The same person has an active event for the same profile.
    #[error("event `{id}` is active until `{retry_at}`: use it, or close it first")]
    Active {
        /// The event.
        id: EventId,
        /// The first moment at which it no longer stands in the way.
        retry_at: DateTime<Utc>,
    },
    /// The last event of the same person for the same profile is not long enough ago.
    #[error("rule `{rule}` demands a pause since the last event: try again at `{retry_at}`")]
    Cooldown {
        /// The rule that applies.
        rule: Arc<str>,
        /// The first moment at which the pause is over.
        retry_at: DateTime<Utc>,
    },
    /// The same person has had too many events, over all profiles.
    #[error(
        "rule `{rule}` allows a person {max} events in its window and there are {count}: try again at `{retry_at}`"
    )]
    PersonQuota {
        /// The rule that applies.
        rule: Arc<str>,
        /// How many there are.
        count: u64,
        /// How many may be.
        max: NonZeroU32,
        /// The first moment at which there are fewer.
        retry_at: DateTime<Utc>,
    },
    /// The same profile has had too many events, over all people.
    #[error(
        "rule `{rule}` allows a profile {max} events in its window and there are {count}: try again at `{retry_at}`"
    )]
    ProfileQuota {
        /// The rule that applies.
        rule: Arc<str>,
        /// How many there are.
        count: u64,
        /// How many may be.
        max: NonZeroU32,
        /// The first moment at which there are fewer.
        retry_at: DateTime<Utc>,
    },
    /// Only the invoker or a named responder closes an event.
    #[error(
        "`{person}` did not declare this and no rule names them as a responder: `{invoker}` or a responder can close it"
    )]
    NotAResponder {
        /// Who tried.
        person: Person,
        /// Who declared it.
        invoker: Person,
    },
    /// There is nothing left to close.
    #[error("the access ended at `{expires_at}`: there is nothing to close")]
    AccessOver {
        /// The first moment at which access was over.
        expires_at: DateTime<Utc>,
    },
    /// Access is not over.
    #[error("the access lasts until `{expires_at}`: it expires then")]
    NotDue {
        /// The first moment at which it expires.
        expires_at: DateTime<Utc>,
    },
    /// The admission or change was made for another profile than the event is for.
    #[error(
        "made for `{made_for}`, and the event is for `{used_for}`: make it for the event's profile"
    )]
    OtherProfile {
        /// The profile of the admission or change.
        made_for: Profile,
        /// The profile of the event.
        used_for: Profile,
    },
    /// The reason or note is empty, too long, or says nothing.
    #[error("the reason or note: {0}")]
    Reason(TextError),
    /// Notes have filled the history. Changes of status remain possible.
    #[error(
        "the history has {entries} entries, and no note is added to it: write it in the ticket"
    )]
    HistoryFull {
        /// How many it has.
        entries: usize,
    },
}

impl Refusal {
    /// The first moment at which this refusal no longer holds, if time alone lifts it. Another
    /// may hold then.
    ///
    /// ```
    /// use countersign_breakglass::{EventId, Refusal};
    ///
    /// let retry_at = "2026-03-02T10:00:00Z".parse()?;
    /// let refusal = Refusal::Active { id: EventId::from_bits(1), retry_at };
    /// assert_eq!(refusal.retry_at(), Some(retry_at));
    /// # Ok::<(), chrono::ParseError>(())
    /// ```
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Refusal::Active { retry_at, .. }
            | Refusal::Cooldown { retry_at, .. }
            | Refusal::PersonQuota { retry_at, .. }
            | Refusal::ProfileQuota { retry_at, .. } => Some(*retry_at),
            Refusal::NotDue { expires_at } => Some(*expires_at),
            Refusal::NoRule { .. }
            | Refusal::Person { .. }
            | Refusal::ReasonCode { .. }
            | Refusal::Time { .. }
            | Refusal::Duration { .. }
            | Refusal::MfaRequired { .. }
            | Refusal::NotAResponder { .. }
            | Refusal::AccessOver { .. }
            | Refusal::OtherProfile { .. }
            | Refusal::Reason(_)
            | Refusal::HistoryFull { .. } => None,
        }
    }
}

/// Methods for a message: `totp or sms`.
fn listed(methods: &[MfaMethod]) -> String {
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    names.join(" or ")
}
