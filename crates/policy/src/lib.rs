//! May this user use this profile now, and under what condition?
//!
//! A policy is a list of rules; the first that matches decides, and where none matches access is
//! denied. It is read from a document ([`Policy::from_json`]), asked with a [`Query`], and answers
//! with a [`Decision`]; [`Decision::combine`] lets approvals and emergencies through.
//!
//! ```
//! use countersign_policy::{Decision, User, Policy, Profile, Query};
//!
//! let policy = Policy::from_json(br#"{"version": "1", "rules": [
//!     {"name": "on-call", "effect": "allow", "conditions": {
//!         "users": ["alice"], "profiles": ["prod"],
//!         "time": {"hours": {"start": "22:00", "end": "06:00"}, "timezone": "Europe/London"}}},
//!     {"name": "prod", "effect": "require_approval", "conditions": {"profiles": ["prod"]}}
//! ]}"#)?;
//! let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T23:30:00Z".parse()?);
//! match policy.decide(&query) {
//!     Decision::Allow(allow) => assert_eq!(allow.rule.map(|rule| rule.name), Some("on-call")),
//!     Decision::Deny(_) | Decision::RequireApproval(_) => unreachable!("alice is on call at night"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it guarantees:
//!
//! - **A policy means what it says or is refused.** Unknown fields, effects, days, zones and empty
//!   lists are errors that name rule, field, value and fix ([`DocumentError`]). A [`Policy`] that
//!   exists has been checked; asking it cannot fail.
//! - **A demanded approval is not access.** The outcome is an exhaustive enum, and whoever
//!   forgets a case does not compile.
//! - **A grant opens what it was given for.** One exact user, one exact profile, until one
//!   moment; never a hard denial, never server mode or session tracking.
//! - **A version is never issued twice.** [`Store`] puts a policy only over the version that the
//!   caller has read.
//!
//! What it costs: a decision allocates nothing, and its time does not grow with rules that name
//! other people or other profiles. A rule of one user and one profile takes some 400 bytes, index
//! included. Names match exactly: the crate does not know that `Alice` and `alice` are one user.
//!
//! Approvals are `countersign-request`'s, emergencies `countersign-breakglass`'s; this crate knows
//! neither and needs neither.

mod cache;
mod combine;
#[cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]
pub mod conformance;
mod decision;
mod diff;
mod digest;
mod document;
mod engine_store;
mod error;
mod explain;
mod index;
#[cfg(all(feature = "test-util", not(any(countersign_loom, countersign_shuttle))))]
pub mod instrumented;
mod lint;
mod listed;
mod loader;
mod memory;
mod names;
mod policy;
mod query;
mod rule;
mod space;
pub mod store;
mod vocabulary;

#[cfg(all(
    feature = "coarse-clock",
    any(target_os = "linux", target_os = "android")
))]
pub use countersign_core::clock::CoarseTicks;
pub use countersign_core::clock::{
    Clock, InstantTicks, ManualClock, ManualTicks, SystemClock, Tick, Ticks,
};
pub use countersign_core::future::BoxFuture;
pub use countersign_core::grant::{Grant, GrantKind, GrantedBy};
pub use countersign_core::id::{IdempotencyKey, OsRandom, RandomError, RandomSource};
pub use countersign_core::names::{Group, NameError, Profile, User};
pub use countersign_core::retry::{NoSleep, Retry, Sleep, TokioSleep};
pub use countersign_core::time::ClockError;
pub use countersign_core::version::{Conflict, Version, VersionError};
pub use countersign_core::window::duration::{DurationText, ParseDurationError};
pub use countersign_core::window::{HoursDocument, Window, WindowDocument, WindowError};

pub use cache::{CacheConfig, CacheStats, CachedLoader, Freshness, Handle, Served, ThreadSleep};
pub use decision::{
    Allow, Decision, Denial, Deny, Matched, OwnedDecision, OwnedDenial, OwnedRule, RequireApproval,
    Verdict,
};
pub use diff::{Change, Difference, Direction, LocalTimes, NameSet, Outcome, Subjects};
pub use digest::{ParseDigestError, PolicyDigest};
pub use document::{ConditionsDocument, PolicyDocument, RuleDocument};
pub use engine_store::{EngineStore, OverEngine};
pub use error::{DocumentError, MAX_DOCUMENT_BYTES, Problem, RuleError};
pub use explain::{Explanation, Step, Steps, Unmet};
pub use lint::{Finding, FindingKind, LintReport, RulePlace, Severity};
pub use loader::{LoadError, Loader};
pub use memory::{InMemory, InMemorySync};
pub use policy::Policy;
pub use query::Query;
pub use rule::{Conditions, Modes, Rule};
pub use space::Ways;
pub use store::{Attribution, Changed, Expected, Put, Store, StoreExt, Stored};
pub use vocabulary::{Effect, MAX_REASON_CHARACTERS, Mode};
