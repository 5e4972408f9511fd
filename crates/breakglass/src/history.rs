//! What happened to an emergency: the entries of its history. Every change of an emergency is one entry.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::id::IdempotencyKey;
use countersign_core::names::User;
use countersign_core::version::Version;
use serde::{Deserialize, Serialize};

use crate::review::ReviewOutcome;

/// One change of an emergency.
///
/// ```
/// use countersign_breakglass::{Action, Actor, HistoryEntry, Version};
///
/// let expired = HistoryEntry {
///     action: Action::Expired,
///     actor: Actor::Time,
///     reason: None,
///     idempotency_key: None,
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
    /// The key of the call that made it, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// The version before; none at creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The version after.
    pub to: Version,
    /// When, by the store's clock: what the rules judged it by.
    pub at: DateTime<Utc>,
}

/// What was done to an emergency.
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
    /// A responder let it begin although an earlier emergency awaited its review.
    Overridden,
}

/// Who or what changed an emergency.
///
/// ```
/// use countersign_breakglass::{Actor, User};
///
/// assert_eq!(Actor::User(User::new("carol")?).to_string(), "carol");
/// # Ok::<(), countersign_breakglass::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A user.
    User(User),
    /// Time: the emergency's was over.
    Time,
    /// The clock: it was ahead when the emergency was declared, and has been corrected.
    Clock,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::User(user) => write!(f, "{user}"),
            Actor::Time => f.write_str("time"),
            Actor::Clock => f.write_str("the clock"),
        }
    }
}
