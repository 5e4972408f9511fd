//! The store in memory: policies in a [`Table`], for tests and for hosts that bring their own
//! persistence.
//!
//! What is put is gone with the process. A step holds one lock and never across an await; reads share
//! it.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::clock::Clock;
use countersign_core::documents::{Kept, steps};
use countersign_core::table::Table;
use countersign_core::time::Health;
use countersign_core::version::Version;

use crate::engine_store::{EngineStore, checked, list};
use crate::policy::Policy;
use crate::store::{
    Attribution, Changed, Error, Expected, Limits, NameListing, NamePage, Put, Stored,
    check_policy_name,
};

/// A [`Store`](crate::Store) in memory: what is put is gone with the process.
///
/// Calls never wait for anything but a lock that is held for the length of one step; the
/// asynchronous ones do their work when polled and are done at once. A page costs the same wherever
/// it begins.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{Attribution, Expected, InMemory, User, Policy};
///
/// let store = InMemory::default();
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
/// ]}"#.parse()?;
/// let by = Attribution::by(User::new("alice")?).with_ticket("OPS-4711");
/// let put = store.sync().put("main", Expected::Absent, Arc::new(policy), &by)?;
/// let stored = store.sync().get("main")?;
/// assert_eq!((put.stored(), &stored.attribution), (&stored, &by));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type InMemory = EngineStore<Table<Kept<Policy>>>;

impl EngineStore<Table<Kept<Policy>>> {
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
            limits: self.limits,
        }
    }

    /// Checks that versions and indexes agree. For tests; walks the whole store.
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
/// use countersign_policy::{InMemory, store::Error};
///
/// let store = InMemory::default();
/// assert!(matches!(store.sync().get("main"), Err(Error::NotFound { .. })));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct InMemorySync<'a> {
    table: &'a Table<Kept<Policy>>,
    limits: Limits,
}

impl InMemorySync<'_> {
    /// See [`Store::put`](crate::Store::put).
    ///
    /// # Errors
    /// As there.
    pub fn put(
        self,
        name: &str,
        expected: Expected,
        policy: Arc<Policy>,
        attribution: &Attribution,
    ) -> Result<Put, Error> {
        let (name, most) = (checked(name)?, self.limits.max_versions);
        self.table
            .write(|step| steps::put(step, &name, expected, &policy, attribution, most))
    }

    /// See [`Store::get`](crate::Store::get).
    ///
    /// # Errors
    /// As there.
    pub fn get(self, name: &str) -> Result<Arc<Stored>, Error> {
        let name = checked(name)?;
        self.table.read(|view| steps::get(view, &name))
    }

    /// See [`Store::get_version`](crate::Store::get_version).
    ///
    /// # Errors
    /// As there.
    pub fn get_version(self, name: &str, version: Version) -> Result<Arc<Stored>, Error> {
        let name = checked(name)?;
        self.table
            .read(|view| steps::get_version(view, &name, version))
    }

    /// See [`Store::versions`](crate::Store::versions).
    ///
    /// # Errors
    /// As there.
    pub fn versions(self, name: &str) -> Result<Vec<Arc<Stored>>, Error> {
        let name = checked(name)?;
        self.table.read(|view| steps::list_versions(view, &name))
    }

    /// See [`Store::list`](crate::Store::list).
    ///
    /// # Errors
    /// As there.
    pub fn list(self, page: &NamePage) -> Result<NameListing, Error> {
        page.after.as_deref().map(check_policy_name).transpose()?;
        self.table.read(|view| list(view, page))
    }

    /// See [`Store::delete`](crate::Store::delete).
    ///
    /// # Errors
    /// As there.
    pub fn delete(
        self,
        name: &str,
        expected: Version,
        attribution: &Attribution,
    ) -> Result<(), Error> {
        let name = checked(name)?;
        self.table
            .write(|step| steps::remove(step, &name, expected, attribution).map(drop))
    }

    /// See [`Store::changes_after`](crate::Store::changes_after).
    ///
    /// # Errors
    /// As there.
    pub fn changes_after(
        self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<Changed>, Error> {
        let limit = NamePage { limit, after: None }.effective_limit();
        self.table
            .read(|view| steps::changes_after(view, after, limit))
    }
}
