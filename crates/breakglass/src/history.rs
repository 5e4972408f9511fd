//! What happened to an event: the entries of its history, and the event as it was.
//!
//! Every change of an event is one entry, and everything that can change follows from the entries.
//! So [`Event::as_of`] can give the record as it was after any of them, and a call that is repeated
//! with its [`OperationId`] gets the first result again.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::id::OperationId;
use countersign_core::names::Person;
use countersign_core::version::Version;
use serde::{Deserialize, Serialize};

use crate::admission::Admission;
use crate::change::Change;
use crate::error::Error;
use crate::record::{Draft, Event, EventId};
use crate::review::{Review, ReviewOutcome};
use crate::transition::Status;

/// One change of an event.
///
/// ```
/// use countersign_breakglass::{Action, Actor, HistoryEntry, Version};
///
/// let expired = HistoryEntry {
///     action: Action::Expired,
///     actor: Actor::Time,
///     reason: None,
///     operation: None,
///     from: Some(Version::from_nanos(1)),
///     to: Version::from_nanos(2),
///     at: "2026-03-02T10:00:00Z".parse()?,
/// };
/// assert_eq!(expired.actor.to_string(), "time");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// What was done.
    pub action: Action,
    /// Who or what did it.
    pub actor: Actor,
    /// Why, as the actor put it; the text of a note or a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// The caller's operation that it was, if they named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The version before; none at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version after.
    pub to: Version,
    /// When, by the store's clock: what the rules judged it by.
    pub at: DateTime<Utc>,
}

/// What was done to an event.
///
/// ```
/// use countersign_breakglass::{Action, ReviewOutcome};
///
/// assert_eq!(serde_json::to_string(&Action::Noted)?, "\"noted\"");
/// let reviewed = Action::Reviewed(ReviewOutcome::Justified);
/// assert_eq!(serde_json::to_string(&reviewed)?, r#"{"reviewed":"justified"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was declared.
    Created,
    /// Its invoker or a responder closed it.
    Closed,
    /// Its time was over.
    Expired,
    /// Somebody wrote a note.
    Noted,
    /// Somebody other than its invoker reviewed it.
    Reviewed(ReviewOutcome),
    /// A responder let it begin although an earlier event awaited its review.
    Overridden,
}

/// Who or what changed an event.
///
/// ```
/// use countersign_breakglass::{Actor, Person};
///
/// assert_eq!(Actor::Person(Person::new("carol")?).to_string(), "carol");
/// # Ok::<(), countersign_breakglass::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A person.
    Person(Person),
    /// Time: the event's was over.
    Time,
    /// The clock: it was ahead when the event was declared, and has been corrected.
    Clock,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Person(person) => write!(f, "{person}"),
            Actor::Time => f.write_str("time"),
            Actor::Clock => f.write_str("the clock"),
        }
    }
}

impl Event {
    /// The event as it was when it had this version; none if it never had it. Equal to what the
    /// call that made the version returned.
    ///
    /// ```
    /// # use countersign_breakglass::*;
    /// # fn example(event: &Event) -> Option<()> {
    /// let created = event.as_of(event.history.first()?.to)?;
    /// assert_eq!((created.status, created.history.len()), (Status::Active, 1));
    /// # Some(())
    /// # }
    /// ```
    pub fn as_of(&self, version: Version) -> Option<Event> {
        let last = self.place_of(version)?;
        let entries = self.history.get(..=last)?;
        let overridden = |entry: &Arc<HistoryEntry>| entry.action == Action::Overridden;
        let review_override = self.review_override.as_ref();
        let mut past = Event {
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

    /// The change that led to this version; none if the event never had it.
    pub fn entry_at(&self, version: Version) -> Option<&Arc<HistoryEntry>> {
        self.history.get(self.place_of(version)?)
    }

    /// Versions grow along a history.
    fn place_of(&self, version: Version) -> Option<usize> {
        self.history
            .binary_search_by_key(&version, |entry| entry.to)
            .ok()
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
                if let Actor::Person(by) = &entry.actor {
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

    /// The last entry of the operation: a creation that was overridden made two.
    fn entry_of(&self, operation: Option<OperationId>) -> Option<&Arc<HistoryEntry>> {
        let operation = Some(operation?);
        let mut entries = self.history.iter().rev();
        entries.find(|entry| entry.operation == operation)
    }
}

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
