//! An engine over redb, an embedded store in pure Rust: it shows what a new engine takes.
//!
//! [`RedbEngine`] keeps records of one kind in a table of their own of a redb file. It knows of a record
//! what [`Record`](countersign_core::engine::Record) says, and how serde writes it; no domain crate is
//! among its dependencies. Its tests run the kit for engines, and the kits of the three domain crates
//! over their stores on it, every case of them.
//!
//! What it guarantees besides what every [`Engine`](countersign_core::engine::Engine) does:
//!
//! - A change is on the disk when its call returns: redb syncs each commit.
//! - No call blocks the runtime; each is made on a thread for blocking work. It needs tokio's.
//!
//! What it does not do: it is not published, and a service takes `countersign-sqlite`. Columns that an
//! auditor can query, a ledger, constraints that hold for other writers, batches and bounded queues are
//! not here.
//!
//! ```
//! use std::sync::Arc;
//! use countersign_core::clock::SystemClock;
//! use countersign_redb::{Database, RedbEngine};
//! use countersign_request::{EngineStore, Filter, Page, Request, Status, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("countersign.redb");
//! let database = Arc::new(Database::create(path)?);
//! let engine = RedbEngine::<Request>::new(database, "request", Arc::new(SystemClock))?;
//! let store = EngineStore::over(engine);
//! let pending = store.list(&Filter::Status(Status::Pending), Page::default()).await?;
//! assert!(pending.items.is_empty());
//! # Ok(())
//! # }
//! ```

mod engine;
mod view;

pub use engine::RedbEngine;
pub use redb::Database;
pub use view::{Stored, View};
