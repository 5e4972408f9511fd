//! The store in memory: requests in a [`Table`], for tests and for services that can lose them.
//!
//! Everything is gone when the process ends. A step holds one lock for about a microsecond and
//! never across an await; reads share it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::names::{Profile, User};
use countersign_core::table::Table;
use countersign_core::time::{Health, Now};
use countersign_core::version::Version;

use crate::change::Change;
use crate::draft::Draft;
use crate::engine_store::EngineStore;
use crate::error::Error;
use crate::limits::Limits;
use crate::record::Request;
use crate::steps;
use crate::store::{Changed, Filter};
use crate::terms::Terms;
use crate::vocabulary::RequestId;
use crate::{Listing, Page, lists};

/// Keeps requests in memory.
///
/// ```
/// use std::time::Duration;
/// use countersign_request::{
///     ApprovalPolicy, Draft, InMemory, User, Profile, RequestId, Status, Terms,
/// };
///
/// let policy: ApprovalPolicy =
///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#.parse()?;
/// let prod = Profile::new("prod")?;
/// let terms = Terms::of(&policy, &prod);
/// let store = InMemory::default();
/// let request = store.sync().create(&Draft {
///     id: RequestId::from_bits(1),
///     requester: User::new("alice")?,
///     profile: prod,
///     duration: Duration::from_secs(600),
///     justification: "look at the slow query".into(),
///     ticket: None,
///     policy: None,
///     idempotency_key: None,
/// }, &terms)?;
/// assert_eq!(request.status, Status::Pending);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type InMemory = EngineStore<Table<Request>>;

impl EngineStore<Table<Request>> {
    /// An empty store with a clock of one's own; `InMemory::default()` has the system's.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::over(Table::new(clock))
    }

    /// The same store with another tolerance: how far a reading of the clock may lie behind the
    /// last before the clock counts as corrected. 60 seconds unless set.
    #[must_use]
    pub fn with_clock_tolerance(self, tolerance: Duration) -> Self {
        let engine = self.engine.with_clock_tolerance(tolerance);
        Self { engine, ..self }
    }

    /// How far the store's versions are ahead of its clock, and the last correction of the clock.
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// The same calls without futures.
    pub fn sync(&self) -> InMemorySync<'_> {
        InMemorySync {
            table: &self.engine,
            limits: &self.limits,
        }
    }

    /// Checks that records and indexes agree. For tests; walks the whole store.
    ///
    /// # Errors
    /// A sentence that names what does not agree.
    pub fn audit(&self) -> Result<(), String> {
        self.engine.read(|view| view.audit())
    }
}

/// The calls of [`Store`](crate::Store) without futures, on an [`InMemory`] store. Each keeps the
/// contract of the method of the same name.
#[derive(Debug, Clone, Copy)]
pub struct InMemorySync<'a> {
    table: &'a Table<Request>,
    limits: &'a Limits,
}

impl InMemorySync<'_> {
    /// See [`Store::create`](crate::Store::create).
    ///
    /// # Errors
    /// As there.
    pub fn create(&self, draft: &Draft, terms: &Terms) -> Result<Arc<Request>, Error> {
        self.table
            .write(|step| steps::create(step, draft, terms, self.limits))
    }

    /// See [`Store::get`](crate::Store::get).
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, id: RequestId) -> Result<Arc<Request>, Error> {
        self.table.read(|view| steps::get(view, id))
    }

    /// See [`Store::update`](crate::Store::update).
    ///
    /// # Errors
    /// As there.
    pub fn update(
        &self,
        id: RequestId,
        expected: Version,
        change: &Change,
    ) -> Result<Arc<Request>, Error> {
        self.table
            .write(|step| steps::update(step, id, expected, change))
    }

    /// See [`Store::delete`](crate::Store::delete).
    ///
    /// # Errors
    /// As there.
    pub fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> Result<bool, Error> {
        self.table
            .write(|step| steps::delete(step, id, ended_before))
    }

    /// See [`Store::list`](crate::Store::list).
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, filter: &Filter, page: Page) -> Result<Listing, Error> {
        self.table.read(|view| steps::list(view, filter, &page))
    }

    /// See [`Store::now`](crate::Store::now).
    ///
    /// # Errors
    /// As there.
    pub fn now(&self) -> Result<Now, Error> {
        self.table.read_now(|_, now| Ok(*now))
    }

    /// See [`Store::find_grant`](crate::Store::find_grant).
    ///
    /// # Errors
    /// As there.
    pub fn find_grant(
        &self,
        user: &User,
        profile: &Profile,
        policy: Option<PolicyDigest>,
    ) -> Result<Option<Grant>, Error> {
        self.table
            .read_now(|view, now| steps::find_grant(view, user, profile, policy, now))
    }

    /// See [`Store::access_at`](crate::Store::access_at).
    ///
    /// # Errors
    /// As there.
    pub fn access_at(
        &self,
        user: &User,
        profile: &Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> Result<Option<Arc<Request>>, Error> {
        let now = Now::at_given(at);
        self.table
            .read(|view| steps::longest(view, user, profile, policy, &now))
    }

    /// See [`Store::list_expirable`](crate::Store::list_expirable).
    ///
    /// # Errors
    /// As there.
    pub fn list_expirable(&self, limit: usize) -> Result<Vec<Arc<Request>>, Error> {
        self.table
            .read_now(|view, now| steps::list_expirable(view, limit, now))
    }

    /// See [`Store::list_pending`](crate::Store::list_pending).
    ///
    /// # Errors
    /// As there.
    pub fn list_pending(
        &self,
        profiles: Option<&BTreeSet<Profile>>,
        page: Page<lists::Pending>,
    ) -> Result<Listing<lists::Pending>, Error> {
        self.table
            .read(|view| steps::list_pending(view, profiles, &page))
    }

    /// See [`Store::list_open`](crate::Store::list_open).
    ///
    /// # Errors
    /// As there.
    pub fn list_open(
        &self,
        user: &User,
        page: Page<lists::Open>,
    ) -> Result<Listing<lists::Open>, Error> {
        self.table
            .read_now(|view, now| steps::list_open(view, user, &page, now))
    }

    /// See [`Store::list_ended`](crate::Store::list_ended).
    ///
    /// # Errors
    /// As there.
    pub fn list_ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Arc<Request>>, Error> {
        self.table
            .read_now(|view, now| steps::list_ended(view, time, limit, now))
    }

    /// See [`Store::changes_after`](crate::Store::changes_after).
    ///
    /// # Errors
    /// As there.
    pub fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<Changed>, Error> {
        self.table
            .read(|view| steps::changes_after(view, after, limit))
    }
}
