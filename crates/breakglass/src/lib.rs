//! Break-glass: is this an emergency, is it allowed to be one, and who must look at it afterwards?
//!
//! What it guarantees, on every store and under any concurrency:
//!
//! - An emergency begins only as the [`InvocationPolicy`] allows; no rule means no.
//! - A user has at most one active emergency for a profile, and neither pauses nor quotas of the
//!   [`RateLimitPolicy`] are overrun: what they count is looked at in the same atomic step that
//!   writes the emergency. Another spelling of a name does not get round them.
//! - A refusal changes nothing, and says which rule, the counts, and when to try again.
//! - Access ends on time whether or not anybody marks it so, and what is over still counts.
//! - Who declared what, for how long and why never changes; every change is part of the record's
//!   history, written in the same step, and can be followed in the order of its making.
//! - What is over awaits a review by somebody else, once. A rule may demand it before the next
//!   emergency of the same user; only a responder who is somebody else overrides that, and it is
//!   recorded.
//! - A second factor that a rule demands is the invoker's, for this one emergency, fresh, and used once.
//! - A call repeated under its [`IdempotencyKey`] is made once and answered alike.
//! - Nothing is deleted that a rule may still look back at ([`Retention`]) or that awaits review.
//!
//! What it costs: each rule is a pure function that the store calls inside its own atomic step;
//! [`InMemory`] creates in about ten microseconds, and in some 0.2 ms where a quota counts ten
//! thousand emergencies; it makes any other step in a few, and reads under a shared lock.
//!
//! What it does not do: verify a second factor (the host does, and vouches for it with an
//! [`MfaProof`]), notify anybody (an [`Escalation`] says that somebody should be told), or
//! authenticate; names are taken as the host's identity provider gives them. Nothing is deleted by
//! itself.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use countersign_breakglass::{self as breakglass, Clock, Profile, SystemClock, User};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let who: breakglass::InvocationPolicy = r#"{"version": "1", "rules": [
//!     {"name": "on-call", "profiles": ["prod"], "users": ["alice"]}]}"#.parse()?;
//! let often: breakglass::RateLimitPolicy = r#"{"version": "1", "rules": [
//!     {"name": "daily", "max_per_user": 2, "quota_window": "24h"}]}"#.parse()?;
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//! let store = Arc::new(breakglass::InMemory::new(clock));
//! let workflow = breakglass::Workflow::new(store, Arc::new(who), Arc::new(often));
//! let (alice, prod, hour) = (User::new("alice")?, Profile::new("prod")?, Duration::from_secs(3600));
//!
//! let draft = workflow.draft(&alice, &prod, hour, breakglass::ReasonCode::Incident, "orders cannot be written")?;
//! let id = workflow.invoke(&draft).await?.id;
//! assert!(workflow.find_grant(&alice, &prod).await?.is_some());
//! workflow.close(id, &alice, "the primary is back").await?;
//! assert!(workflow.find_grant(&alice, &prod).await?.is_none());
//! # Ok(())
//! # }
//! ```

mod admission;
mod change;
#[cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]
pub mod conformance;
mod creation;
mod document;
mod draft;
mod engine_store;
mod error;
mod history;
mod index;
#[cfg(feature = "test-util")]
pub mod instrumented;
mod invocation_policy;
mod limits;
pub mod lists;
mod memory;
mod mfa;
mod rate_limit_policy;
mod record;
mod refusal;
mod repeats;
mod retention;
mod review;
mod second_factor;
mod steps;
mod store;
mod transition;
mod vocabulary;
mod workflow;

pub use admission::{
    ActiveEmergency, Admission, Admitted, CountWanted, Counted, Observation, Observed,
    UnreviewedEmergency,
};
pub use change::Change;
pub use document::{
    DocumentError, InvocationDocument, InvocationRuleDocument, MfaDocument, Problem,
    RateLimitDocument, RateLimitRuleDocument, RuleError,
};
pub use draft::Draft;
pub use engine_store::{EngineStore, OverEngine};
pub use error::Error;
pub use history::{Action, Actor, HistoryEntry};
pub use index::Key;
pub use invocation_policy::{InvocationPolicy, InvocationRule};
pub use limits::{Limits, ValidationError};
pub use memory::{InMemory, InMemorySync};
pub use mfa::{MfaMethod, MfaProof, ProofId, ProofProblem};
pub use rate_limit_policy::{Escalation, RateLimitPolicy, RateLimitRule};
pub use record::Emergency;
pub use refusal::{Refusal, Rejection};
pub use retention::Retention;
pub use review::{Review, ReviewOutcome, ReviewOverride};
pub use store::{Changed, Filter, Store, StoreExt};
pub use transition::Status;
pub use vocabulary::{EmergencyId, ReasonCode};
pub use workflow::Workflow;

pub use countersign_core::clock::{Clock, ManualClock, SystemClock};
pub use countersign_core::engine::{
    DEFAULT_LIMIT, ErrorKind, Failure, List, MAX_LIMIT, Outcome, effective_limit,
};
pub use countersign_core::future::BoxFuture;
pub use countersign_core::grant::{Grant, GrantKind, GrantedBy};
pub use countersign_core::id::{
    IdempotencyKey, OsRandom, ParseIdError, RandomError, RandomSource, SequenceRandom,
};
pub use countersign_core::names::{NameError, Profile, TextError, User};
pub use countersign_core::retry::{NoSleep, Retry, Sleep, TokioSleep};
pub use countersign_core::time::{ClockError, Correction, Health, Now, Stamp};
pub use countersign_core::version::{Conflict, Version, VersionError};

/// A place in a list of emergencies; see [`countersign_core::engine::Cursor`].
pub type Cursor<L = lists::All> = countersign_core::engine::Cursor<EmergencyId, L>;
/// Which part of a list of emergencies is wanted; see [`countersign_core::engine::Page`].
pub type Page<L = lists::All> = countersign_core::engine::Page<EmergencyId, L>;
/// One page of a list of emergencies; see [`countersign_core::engine::Listing`].
pub type Listing<L = lists::All> = countersign_core::engine::Listing<Emergency, EmergencyId, L>;
