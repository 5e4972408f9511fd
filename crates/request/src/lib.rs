//! Access requests and approvals: has somebody else approved it?
//!
//! What it guarantees, on every store and under any concurrency:
//!
//! - Nobody approves their own request, under any spelling of their name; only approvers that the
//!   [`ApprovalPolicy`] names for the profile decide; a decision at or after the deadline is
//!   refused.
//! - Where a rule has groups, all must approve; a user counts once, and the order in which
//!   people approve makes no difference.
//! - A request is decided once. Of several people who decide at the same time one wins, and all
//!   others are told so. A call that is repeated with its idempotency key changes nothing.
//! - Access begins when the approval is complete, lasts for what was asked, and ends at once when
//!   it is revoked or released.
//! - Who asked for what, for how long and why never changes; every change is part of the record's
//!   history, written in the same step.
//!
//! What it costs: each rule is a pure function that the store calls inside its own atomic step;
//! [`InMemory`] makes a step in about a microsecond and reads under a shared lock.
//!
//! What it does not do: decide who may ask (that is `countersign-policy`), notify anybody, or
//! authenticate; names are taken as the host's identity provider gives them.
//!
//! Features, none of which is on by default: `schema` (`JsonSchema` for the documents), `test-util`
//! (`instrumented`: counts, latencies and faults around a store of one's own) and `conformance` (the
//! tests that a store of one's own must pass).
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use countersign_request::{self as request, Profile, User};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy: request::ApprovalPolicy = r#"{"version": "1", "rules": [
//!     {"name": "production", "profiles": ["prod"], "approvers": ["bob"]}]}"#.parse()?;
//! let workflow = request::Workflow::new(Arc::new(request::InMemory::default()), Arc::new(policy));
//! let (alice, bob, prod) = (User::new("alice")?, User::new("bob")?, Profile::new("prod")?);
//!
//! let draft = workflow.draft(&alice, &prod, Duration::from_secs(3600), "migrate the orders table")?;
//! let id = workflow.submit(&draft).await?.request.id;
//! assert!(workflow.approve(id, &alice, None).await.is_err(), "not one's own");
//! workflow.approve(id, &bob, Some("go ahead")).await?;
//! assert!(workflow.find_grant(&alice, &prod).await?.is_some());
//! # Ok(())
//! # }
//! ```

mod approval_policy;
mod change;
#[cfg(all(feature = "conformance", not(countersign_loom)))]
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
mod limits;
mod lint;
pub mod lists;
mod memory;
mod quorum;
mod record;
mod refusal;
mod repeats;
mod retention;
mod rule;
mod steps;
mod store;
mod terms;
mod transition;
mod vocabulary;
mod workflow;

pub use approval_policy::ApprovalPolicy;
pub use change::Change;
pub use document::{
    ApprovalDocument, ApprovalGroupDocument, ApprovalRuleDocument, AutoApproveDocument,
    DocumentError, Problem, RuleError,
};
pub use draft::Draft;
pub use engine_store::{EngineStore, OverEngine};
pub use error::Error;
pub use history::{Action, Actor, HistoryEntry};
pub use index::Key;
pub use limits::{Limits, ValidationError};
pub use lint::{Finding, FindingKind, RulePlace};
pub use memory::{InMemory, InMemorySync};
pub use record::{Approval, Request};
pub use refusal::{Refusal, Rejection};
pub use rule::{ApprovalGroup, ApprovalRule, AutoApproval};
pub use store::{Changed, Filter, Store, StoreExt};
pub use terms::Terms;
pub use transition::Status;
pub use vocabulary::RequestId;
pub use workflow::{Submitted, Workflow};

pub use countersign_core::clock::{Clock, ManualClock, SystemClock};
pub use countersign_core::engine::{
    DEFAULT_LIMIT, ErrorKind, Failure, List, MAX_LIMIT, Outcome, effective_limit,
};
pub use countersign_core::future::BoxFuture;
pub use countersign_core::grant::{Grant, GrantKind, GrantedBy, ParseDigestError, PolicyDigest};
pub use countersign_core::id::{
    IdempotencyKey, OsRandom, ParseIdError, RandomError, RandomSource, SequenceRandom,
};
pub use countersign_core::names::{NameError, Profile, TextError, User};
pub use countersign_core::retry::{NoSleep, Retry, Sleep, TokioSleep};
pub use countersign_core::time::{
    CLOCK_TOLERANCE, ClockError, Correction, Health, Now, Stamp, Timeline, Writer,
};
pub use countersign_core::version::{Conflict, Version, VersionError};

/// A place in a list of requests; see [`countersign_core::engine::Cursor`].
pub type Cursor<L = lists::All> = countersign_core::engine::Cursor<RequestId, L>;
/// Which part of a list of requests is wanted; see [`countersign_core::engine::Page`].
pub type Page<L = lists::All> = countersign_core::engine::Page<RequestId, L>;
/// One page of a list of requests; see [`countersign_core::engine::Listing`].
pub type Listing<L = lists::All> = countersign_core::engine::Listing<Request, RequestId, L>;
