//! One SQLite file that keeps access requests, emergencies and policies.
//!
//! [`RequestStore`], [`EmergencyStore`] and [`PolicyStore`] are the stores of `countersign-request`,
//! `countersign-breakglass` and `countersign-policy`, each behind the feature `request`,
//! `breakglass` or `policy`; all are on by default. They share a [`Database`]: a file and the
//! threads that use it. SQLite is built in; nothing need be installed.
//!
//! What it guarantees:
//!
//! - What a call answers is what the store in memory would answer. For requests and emergencies it is
//!   the same code over another engine: the steps of the domain crates, each made inside one
//!   transaction. Policies are kept by a store of their own, to the same contract.
//! - A change is wholly there or not at all, and, unless [`Options`] say otherwise, on the disk
//!   before its call returns: it survives the end of the process and the loss of power.
//! - Several handles, in one process or several, can have the file open: their calls are made one
//!   after the other, and each sees what was made before it.
//! - Versions grow over the whole life of the file, with a clock that steps back and after records
//!   are deleted.
//! - The schema holds the invariants against other writers too: who asked for what never changes,
//!   nor does a status that nothing leads out of; one active emergency for a user and profile;
//!   versions grow; histories are appended to.
//! - Each entry is chained to the one before it and into a ledger whose [`Head`] can be noted
//!   elsewhere; `verify` of each store finds what was changed, dropped, added or reordered since.
//! - No call blocks the async runtime, whichever it is. A call is queued when its future is first
//!   polled. One whose future is dropped before its turn is not made; after that a change may be, and a
//!   read ends.
//! - Nobody waits without end: a queue that is full refuses the next call at once, those who wait for
//!   another process do so for one [`Options::busy_timeout`] however many they are, and `verify` and
//!   backups hold up each other alone.
//! - No acknowledged change is lost unnoticed: before a call is answered, file and log are looked at,
//!   and if they are not those that were opened (deleted, moved, replaced), it fails with
//!   `outcome: Unknown`, as does every later one until the file is opened again.
//! - [`Database::backup`] makes a whole, verified copy while others write; [`Database::open_for_audit`]
//!   opens a file to be verified and changes no byte of it.
//! - A failure of the engine is an `Error::Backend` that says in words what to do, whether a later
//!   try may succeed, and whether the change was made.
//!
//! What it costs: each change waits for the disk, and so does whoever comes meanwhile, in all processes
//! together. What has come by then is one transaction, which waits once; reads that wait together share
//! a snapshot. Opening blocks; see [`Database::open`]. Lists, lookups and counts follow an
//! index that has what they ask for in their order, whatever the number of records; the example
//! `cost` measures them. A ledger row of
//! some 150 bytes stays for each change, also when its record is deleted.
//!
//! What it does not do: keep times outside the years 1678 to 2261 (limits that lead there are an
//! error), encrypt, or defend the file against those who can write it: they can be found out, not
//! stopped. The file must be on a local disk.
//!
//! ```
//! # #[cfg(feature = "request")]
//! # mod example {
//! use std::{sync::Arc, time::Duration};
//! use countersign_request::{self as request, Profile, SystemClock, User};
//! use countersign_sqlite::{Database, Options, RequestStore};
//!
//! # pub async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("countersign.db");
//! let database = Database::open_on_a_thread(path, Options::default()).await?;
//! let store = Arc::new(RequestStore::new(&database, Arc::new(SystemClock)));
//!
//! let policy: request::ApprovalPolicy = r#"{"version": "1", "rules": [
//!     {"name": "production", "profiles": ["prod"], "approvers": ["bob"]}]}"#.parse()?;
//! let workflow = request::Workflow::new(store.clone(), Arc::new(policy));
//! let (alice, bob, prod) = (User::new("alice")?, User::new("bob")?, Profile::new("prod")?);
//! let draft = workflow.draft(&alice, &prod, Duration::from_secs(3600), "migrate the orders table")?;
//! let id = workflow.submit(&draft).await?.request.id;
//! workflow.approve(id, &bob, Some("go ahead")).await?;
//!
//! // Noted where those who can write the file cannot, and compared with another day.
//! let noted = store.head().await?.to_string();
//! let report = store.verify(Some(&noted.parse()?)).await?;
//! assert!(report.is_clean(), "{:?}", report.findings);
//! # Ok(())
//! # }
//! # }
//! # #[cfg(feature = "request")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() { example::run().await.unwrap() }
//! # #[cfg(not(feature = "request"))]
//! # fn main() {}
//! ```

#![cfg_attr(
    not(all(feature = "policy", feature = "request", feature = "breakglass")),
    allow(dead_code, reason = "each store uses a part of what they share")
)]

mod audit;
mod backup;
mod batch;
#[cfg(feature = "breakglass")]
mod breakglass;
#[cfg(any(feature = "request", feature = "breakglass", feature = "policy"))]
mod check;
mod connection;
mod database;
#[cfg(any(feature = "request", feature = "breakglass", feature = "policy"))]
mod engine;
mod error;
mod file;
mod ledger;
mod options;
#[cfg(all(test, feature = "policy", feature = "request", feature = "breakglass"))]
mod plans;
#[cfg(feature = "policy")]
mod policy;
mod queue;
#[cfg(all(test, feature = "policy", feature = "request", feature = "breakglass"))]
mod queues;
mod reads;
#[cfg(any(feature = "request", feature = "breakglass", feature = "policy"))]
mod records;
mod report;
#[cfg(feature = "request")]
mod request;
mod schema;
#[cfg(all(test, feature = "request"))]
mod settings;
mod sql;
mod step;
#[cfg(any(feature = "request", feature = "breakglass", feature = "policy"))]
mod store;
mod verify;
mod worker;

pub use backup::{Backup, BackupError};
#[cfg(feature = "breakglass")]
pub use breakglass::EmergencyStore;
pub use database::Database;
pub use error::{EngineError, OpenError, SqliteError};
pub use ledger::{Head, ParseHeadError};
pub use options::{Options, Synchronous};
#[cfg(feature = "policy")]
pub use policy::PolicyStore;
pub use report::{Finding, Place, Report};
#[cfg(feature = "request")]
pub use request::RequestStore;
