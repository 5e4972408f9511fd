//! The store in memory: emergencies in a [`Table`], for tests and for services that can lose them.
//!
//! Everything is gone when the process ends. A step holds one lock for about a microsecond and
//! never across an await; reads share it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::grant::Grant;
use countersign_core::names::{Profile, User};
use countersign_core::table::Table;
use countersign_core::time::{Health, Now};
use countersign_core::version::Version;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::engine_store::EngineStore;
use crate::error::Error;
use crate::limits::Limits;
use crate::record::Emergency;
use crate::retention::Retention;
use crate::steps;
use crate::store::{Changed, Filter};
use crate::vocabulary::EmergencyId;
use crate::{Listing, Page, lists};

/// Keeps emergencies in memory.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::{self as breakglass, Profile, User};
///
/// let policy: breakglass::InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"]}]}"#.parse()?;
/// let prod = Profile::new("prod")?;
/// let admission = breakglass::Admission::new(&policy, &breakglass::RateLimitPolicy::unlimited(), &prod);
/// let store = breakglass::InMemory::default();
/// let emergency = store.sync().create(
///     &breakglass::Draft {
///         id: breakglass::EmergencyId::from_bits(1),
///         idempotency_key: None,
///         invoker: User::new("alice")?,
///         profile: prod,
///         duration: Duration::from_secs(600),
///         reason_code: breakglass::ReasonCode::Incident,
///         justification: "the site is down since nine".into(),
///         ticket: None,
///         request_id: None,
///         mfa: None,
///     },
///     &admission,
/// )?;
/// assert_eq!(emergency.status, breakglass::Status::Active);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type InMemory = EngineStore<Table<Emergency>>;

impl EngineStore<Table<Emergency>> {
    /// An empty store with a clock of one's own; `InMemory::default()` has the system's.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::over(Table::new(clock))
    }

    /// The same store with another tolerance: how far a reading of the clock may lie behind the
    /// last before the clock counts as corrected, and a second factor's clock ahead of it. 60
    /// seconds unless set.
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
///
/// ```
/// use countersign_breakglass::{Filter, InMemory, Page, Status};
///
/// let store = InMemory::default();
/// let active = store.sync().list(&Filter::Status(Status::Active), Page::default())?;
/// assert!(active.items.is_empty());
/// # Ok::<(), countersign_breakglass::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct InMemorySync<'a> {
    table: &'a Table<Emergency>,
    limits: &'a Limits,
}

impl InMemorySync<'_> {
    /// See [`Store::create`](crate::Store::create).
    ///
    /// # Errors
    /// As there.
    pub fn create(&self, draft: &Draft, admission: &Admission) -> Result<Arc<Emergency>, Error> {
        self.table
            .write(|step| steps::create(step, draft, admission, self.limits))
    }

    /// See [`Store::get`](crate::Store::get).
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, id: EmergencyId) -> Result<Arc<Emergency>, Error> {
        self.table.read(|view| steps::get(view, id))
    }

    /// See [`Store::update`](crate::Store::update).
    ///
    /// # Errors
    /// As there.
    pub fn update(
        &self,
        id: EmergencyId,
        expected: Version,
        change: &Change,
    ) -> Result<Arc<Emergency>, Error> {
        self.table
            .write(|step| steps::update(step, id, expected, change))
    }

    /// See [`Store::delete`](crate::Store::delete).
    ///
    /// # Errors
    /// As there.
    pub fn delete(&self, id: EmergencyId, retention: &Retention) -> Result<bool, Error> {
        self.table.write(|step| steps::delete(step, id, retention))
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
    pub fn find_grant(&self, user: &User, profile: &Profile) -> Result<Option<Grant>, Error> {
        self.table
            .read_now(|view, now| steps::find_grant(view, user, profile, now))
    }

    /// See [`Store::active_at`](crate::Store::active_at).
    ///
    /// # Errors
    /// As there.
    pub fn active_at(
        &self,
        user: &User,
        profile: &Profile,
        at: DateTime<Utc>,
    ) -> Result<Option<Arc<Emergency>>, Error> {
        let now = Now::at_given(at);
        self.table
            .read(|view| steps::active_of(view, user, profile, &now))
    }

    /// See [`Store::list_expirable`](crate::Store::list_expirable).
    ///
    /// # Errors
    /// As there.
    pub fn list_expirable(&self, limit: usize) -> Result<Vec<Arc<Emergency>>, Error> {
        self.table
            .read_now(|view, now| steps::list_expirable(view, limit, now))
    }

    /// See [`Store::list_awaiting_review`](crate::Store::list_awaiting_review).
    ///
    /// # Errors
    /// As there.
    pub fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> Result<Listing<lists::AwaitingReview>, Error> {
        self.table
            .read_now(|view, now| steps::list_awaiting_review(view, &page, now))
    }

    /// See [`Store::list_ended`](crate::Store::list_ended).
    ///
    /// # Errors
    /// As there.
    pub fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Arc<Emergency>>, Error> {
        self.table
            .read_now(|view, now| steps::list_ended(view, before, limit, now))
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
