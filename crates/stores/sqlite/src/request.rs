//! Requests in the file: [`RequestStore`].
//!
//! It is the store of `countersign-request` over the file's engine. What is here is what only a file
//! has: a ledger with a head, and that it can be verified.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::clock::Clock;
use countersign_core::time::CLOCK_TOLERANCE;
use countersign_request::{EngineStore, Error, Health, Limits, OverEngine, Request};
use rusqlite::Connection;

use crate::database::Database;
use crate::engine::FileEngine;
use crate::error::Failure;
use crate::ledger::Head;
use crate::report::Report;
use crate::step::Books;
use crate::verify::verify;

mod check;
pub(crate) mod rows;

/// Keeps requests in a file.
///
/// What it promises is the contract of [`Store`](countersign_request::Store). A version is on the disk
/// when the call that made it returns, as the file's [`Options`](crate::Options) say.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use countersign_request::{self as request, Profile, SystemClock, User};
/// use countersign_sqlite::{Database, Options, RequestStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("countersign.db");
/// let policy: request::ApprovalPolicy =
///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#.parse()?;
/// let database = Database::open(&path, &Options::default())?;
/// let store = Arc::new(RequestStore::new(&database, Arc::new(SystemClock)));
/// let workflow = request::Workflow::new(store, Arc::new(policy));
/// let (alice, prod) = (User::new("alice")?, Profile::new("prod")?);
/// let draft = workflow.draft(&alice, &prod, Duration::from_secs(600), "look at the slow query")?;
/// let id = workflow.submit(&draft).await?.request.id;
/// drop((workflow, database));
///
/// let database = Database::open(&path, &Options::default())?;
/// let store = RequestStore::new(&database, Arc::new(SystemClock));
/// assert_eq!(store.get(id).await?.requester, alice);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RequestStore {
    books: Books,
    store: EngineStore<FileEngine<Request>>,
}

impl RequestStore {
    /// The requests of this file, with the default [`Limits`].
    pub fn new(database: &Database, clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(database, clock, Limits::default())
    }

    /// The requests of this file, with other limits. Limits hold for what is created; they are not
    /// kept in the file.
    pub fn with_limits(database: &Database, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        let books = Books::new(database, &rows::LEDGER, clock, CLOCK_TOLERANCE);
        Self::over(books, limits)
    }

    /// The same store with another tolerance: how far a reading of the clock may lie behind the
    /// last before the clock counts as corrected. 60 seconds unless set; the same in every process.
    #[must_use]
    pub fn with_clock_tolerance(self, tolerance: Duration) -> Self {
        let limits = self.store.limits().clone();
        Self::over(self.books.with_clock_tolerance(tolerance), limits)
    }

    fn over(books: Books, limits: Limits) -> Self {
        let store = EngineStore::over(FileEngine::over(books.clone())).with_limits(limits);
        Self { books, store }
    }

    /// How far the store's versions are ahead of its clock, and the last correction of the clock.
    ///
    /// # Errors
    /// [`Error::Backend`] if the engine fails.
    pub async fn health(&self) -> Result<Health, Error> {
        self.books.health().await
    }

    /// The head of the ledger: note it where those who can write the file cannot.
    ///
    /// # Errors
    /// [`Error::Backend`] if the engine fails.
    pub async fn head(&self) -> Result<Head, Error> {
        self.books.head().await
    }

    /// Whether the file is still what this store has written, and whether its ledger has the head
    /// that was `known`, if one is given: the engine's checks, the schema, the ledger, every entry
    /// of every history, and the columns that follow from them.
    ///
    /// - Without a head that was noted elsewhere it finds whatever does not agree with the rest of
    ///   the file. Whoever can write the file can also write all of it anew, which only such a head
    ///   shows, and only of what came before it.
    /// - It walks over everything, on a thread that reads; writers go on meanwhile.
    ///
    /// # Errors
    /// [`Error::Backend`] if the engine fails. Damage to the file is not an error but a finding.
    ///
    /// ```
    /// # use countersign_sqlite::RequestStore;
    /// # async fn example(store: &RequestStore, noted: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = store.verify(Some(&noted.parse()?)).await?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn verify(&self, known: Option<&Head>) -> Result<Report, Error> {
        let known = known.copied();
        let read =
            move |connection: &Connection| Ok(verify(connection, &check::CHAINED, known.as_ref())?);
        self.books.read_long(read).await
    }
}

/// What verifying the store says, with nothing noted.
pub(crate) fn verified(connection: &Connection) -> Result<Report, Failure> {
    verify(connection, &check::CHAINED, None)
}

impl OverEngine for RequestStore {
    type Engine = FileEngine<Request>;

    fn engine_store(&self) -> &EngineStore<FileEngine<Request>> {
        &self.store
    }
}
