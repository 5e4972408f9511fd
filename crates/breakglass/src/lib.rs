//! Break-glass: is this an emergency, is it allowed to be one, and who must look at it afterwards?
//!
//! What it guarantees, on every store and under any concurrency:
//!
//! - An emergency begins only as the [`InvocationPolicy`] allows; no rule means no.
//! - A person has at most one active emergency for a profile, and neither pauses nor quotas of the
//!   [`RateLimitPolicy`] are overrun: what they count is looked at in the same atomic step that
//!   writes the event. Another spelling of a name does not get round them.
//! - A refusal changes nothing, and says which rule, the counts, and when to try again.
//! - Access ends on time whether or not anybody marks it so, and what is over still counts.
//! - Who declared what, for how long and why never changes; every change is part of the record's
//!   history, written in the same step.
//!
//! What it costs: each rule is a pure function that the store calls inside its own atomic step;
//! [`InMemory`] creates in about ten microseconds, and in some 0.2 ms where a quota counts ten
//! thousand events; it makes any other step in a few, and reads under a shared lock.
//!
//! What it does not do: ask for a second factor (a rule that demands one refuses), notify anybody,
//! or authenticate; names are taken as the host's identity provider gives them. Nothing is deleted
//! by itself; deleting what is younger than [`RateLimitPolicy::longest_look_back`] would let quotas
//! and pauses forget it.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use countersign_breakglass::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let who: InvocationPolicy = r#"{"version": "1", "rules": [
//!     {"name": "on-call", "profiles": ["prod"], "users": ["alice"]}]}"#.parse()?;
//! let often: RateLimitPolicy = r#"{"version": "1", "rules": [
//!     {"name": "daily", "max_per_user": 2, "quota_window": "24h"}]}"#.parse()?;
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//! let store = Arc::new(InMemory::new(clock.clone()));
//! let workflow = Workflow::new(store, Arc::new(who), Arc::new(often), clock);
//! let (alice, prod, hour) = (Person::new("alice")?, Profile::new("prod")?, Duration::from_secs(3600));
//!
//! let draft = workflow.draft(&alice, &prod, hour, ReasonCode::Incident, "orders cannot be written")?;
//! let id = workflow.invoke(&draft).await?.id;
//! assert!(workflow.find_grant(&alice, &prod).await?.is_some());
//! workflow.close(id, &alice, "the primary is back").await?;
//! assert!(workflow.find_grant(&alice, &prod).await?.is_none());
//! # Ok(())
//! # }
//! ```

mod admission;
mod change;
mod document;
mod error;
#[cfg(feature = "test-util")]
pub mod instrumented;
mod invocation_policy;
mod limits;
mod memory;
mod rate_limit_policy;
mod record;
mod store;
mod transition;
mod workflow;

pub use admission::{
    ActiveEvent, Admission, Admitted, CountWanted, Counted, Observation, Observed,
};
pub use change::{Change, Refusal, Rejection};
pub use document::{
    DocumentError, InvocationDocument, InvocationRuleDocument, MfaDocument, Problem,
    RateLimitDocument, RateLimitRuleDocument, RuleError,
};
pub use error::{Error, Outcome};
pub use invocation_policy::{InvocationPolicy, InvocationRule, MfaMethod};
pub use limits::{Limits, ValidationError};
pub use memory::{InMemory, InMemorySync};
pub use rate_limit_policy::{RateLimitPolicy, RateLimitRule};
pub use record::{Action, Actor, Draft, Event, EventId, HistoryEntry, ReasonCode};
pub use store::{Filter, Store, StoreExt};
pub use transition::Status;
pub use workflow::Workflow;

pub use countersign_core::clock::{Clock, ManualClock, SystemClock};
pub use countersign_core::future::BoxFuture;
pub use countersign_core::grant::{Grant, GrantKind, GrantedBy};
pub use countersign_core::id::{OsRandom, ParseIdError, RandomError, RandomSource, SequenceRandom};
pub use countersign_core::names::{NameError, Person, Profile, TextError};
pub use countersign_core::retry::{NoSleep, Retry, Sleep, TokioSleep};
pub use countersign_core::version::{Conflict, Version, VersionError};

/// A place in a list of events; see [`countersign_core::table::Cursor`].
pub type Cursor = countersign_core::table::Cursor<EventId>;
/// Which part of a list of events is wanted; see [`countersign_core::table::Page`].
pub type Page = countersign_core::table::Page<EventId>;
/// One page of a list of events; see [`countersign_core::table::Listing`].
pub type Listing = countersign_core::table::Listing<Event, EventId>;
