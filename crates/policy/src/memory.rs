//! The store that keeps policies in memory, for tests and for hosts that bring their own
//! persistence.
//!
//! One record a name, holding its versions, in a [`Table`]: the table's lock, version floor and
//! all-or-nothing steps are what makes the contract of [`Store`] hold. No rule is here that is not
//! in that contract.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use countersign_core::clock::{Clock, SystemClock};
use countersign_core::engine::{LockError, Range, Rank, Reads, Record, Transaction};
use countersign_core::future::BoxFuture;
use countersign_core::table::{Step, Table};
use countersign_core::version::Version;

use crate::loader::{LoadError, Loader};
use crate::policy::Policy;
use crate::store::{
    Error, Expected, Limits, NameListing, NamePage, Store, Stored, check_policy_name,
};

/// A [`Store`] in memory: what is put is gone with the process.
///
/// Calls never wait for anything but a lock that is held for the length of one step; the
/// asynchronous ones do their work when polled and are done at once. A page costs the same wherever
/// it begins.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{Expected, InMemory, Policy};
///
/// let store = InMemory::default();
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
/// ]}"#.parse()?;
/// let stored = store.sync().put("main", Expected::Absent, Arc::new(policy))?;
/// assert_eq!(store.sync().get("main")?.version, stored.version);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct InMemory {
    table: Table<Policies>,
    limits: Limits,
}

impl InMemory {
    /// An empty store that takes its versions from `clock`; `InMemory::default()` takes them from the
    /// system's.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            // Policies have versions and no times: nothing is judged by when they were put.
            table: Table::new(clock).with_clock_tolerance(Duration::MAX),
            limits: Limits::default(),
        }
    }

    /// Sets what is bounded.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same calls without futures.
    pub fn sync(&self) -> InMemorySync<'_> {
        InMemorySync { store: self }
    }
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

/// The calls of [`Store`] on an [`InMemory`] store, without futures. The contract is the same.
///
/// ```
/// use countersign_policy::{InMemory, store::Error};
///
/// let store = InMemory::default();
/// assert!(matches!(store.sync().get("main"), Err(Error::NotFound { .. })));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct InMemorySync<'a> {
    store: &'a InMemory,
}

impl InMemorySync<'_> {
    /// As [`Store::put`].
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn put(
        self,
        name: &str,
        expected: Expected,
        policy: Arc<Policy>,
    ) -> Result<Arc<Stored>, Error> {
        check_policy_name(name)?;
        let id: Arc<str> = name.into();
        self.store.table.write(|step| {
            let Ok(found) = step.get(&id);
            let before = match expected {
                Expected::Absent => match found {
                    None => Vec::new(),
                    Some(policies) => {
                        return Err(Error::AlreadyExists {
                            name: id,
                            actual: policies.version(),
                        });
                    }
                },
                Expected::Version(version) => current(step, &id, version)?.newest_first(),
            };
            let stamp = step.stamp()?;
            stamp.now.granting()?;
            let stored = Arc::new(Stored {
                name: Arc::clone(&id),
                version: stamp.version,
                policy,
            });
            let keep = self.store.limits.max_versions.get() - 1;
            step.put(Policies {
                current: Arc::clone(&stored),
                earlier: before.into_iter().take(keep).collect(),
            });
            Ok(stored)
        })
    }

    /// As [`Store::get`].
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn get(self, name: &str) -> Result<Arc<Stored>, Error> {
        Ok(Arc::clone(&self.policies(name)?.current))
    }

    /// As [`Store::get_version`].
    ///
    /// # Errors
    /// As [`Store::get_version`].
    pub fn get_version(self, name: &str, version: Version) -> Result<Arc<Stored>, Error> {
        let kept = self.versions(name)?;
        let found = kept.into_iter().find(|stored| stored.version == version);
        found.ok_or_else(|| Error::VersionNotFound {
            name: name.into(),
            version,
        })
    }

    /// As [`Store::versions`].
    ///
    /// # Errors
    /// As [`Store::versions`].
    pub fn versions(self, name: &str) -> Result<Vec<Arc<Stored>>, Error> {
        Ok(self.policies(name)?.newest_first())
    }

    /// As [`Store::list`].
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn list(self, page: &NamePage) -> Result<NameListing, Error> {
        if let Some(after) = &page.after {
            check_policy_name(after)?;
        }
        Ok(self.store.table.read(|view| {
            // The first page begins before every name: there is none of no characters.
            let after = page.after.clone().unwrap_or_else(Policies::least_id);
            let mut rest = view
                .entries(&EveryName, Range::after(rank(), after))
                .map(|(_, policies)| &policies.current)
                .peekable();
            let items: Vec<_> = rest
                .by_ref()
                .take(page.effective_limit())
                .map(Arc::clone)
                .collect();
            let next = rest.peek().and(items.last());
            let next = next.map(|stored| Arc::clone(&stored.name));
            NameListing { items, next }
        }))
    }

    /// As [`Store::delete`].
    ///
    /// # Errors
    /// As [`Store::delete`].
    pub fn delete(self, name: &str, expected: Version) -> Result<(), Error> {
        check_policy_name(name)?;
        let id: Arc<str> = name.into();
        self.store.table.write(|step| {
            current(step, &id, expected)?;
            step.remove(id);
            Ok(())
        })
    }

    fn policies(self, name: &str) -> Result<Arc<Policies>, Error> {
        check_policy_name(name)?;
        let name: Arc<str> = name.into();
        let found = self.store.table.get(&name);
        found.ok_or(Error::NotFound { name })
    }
}

impl Loader for InMemory {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            match self.sync().get(name) {
                Ok(stored) => Ok(Arc::clone(&stored.policy)),
                Err(error) => Err(error.into_load_error(name)),
            }
        })
    }
}

impl Store for InMemory {
    fn put<'a>(
        &'a self,
        name: &'a str,
        expected: Expected,
        policy: Arc<Policy>,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move { self.sync().put(name, expected, policy) })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move { self.sync().get(name) })
    }

    fn get_version<'a>(
        &'a self,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move { self.sync().get_version(name, version) })
    }

    fn versions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Arc<Stored>>, Error>> {
        Box::pin(async move { self.sync().versions(name) })
    }

    fn list<'a>(&'a self, page: &'a NamePage) -> BoxFuture<'a, Result<NameListing, Error>> {
        Box::pin(async move { self.sync().list(page) })
    }

    fn delete<'a>(&'a self, name: &'a str, expected: Version) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.sync().delete(name, expected) })
    }
}

/// The versions of one policy that are kept.
struct Policies {
    current: Arc<Stored>,
    /// Newest first.
    earlier: Vec<Arc<Stored>>,
}

impl Policies {
    fn newest_first(&self) -> Vec<Arc<Stored>> {
        let current = std::iter::once(&self.current);
        current.chain(&self.earlier).map(Arc::clone).collect()
    }
}

/// The key of the only index: every record has the same rank, so it is ordered by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EveryName;

fn rank() -> Rank {
    Rank::latest_first(DateTime::UNIX_EPOCH)
}

impl Record for Policies {
    type Id = Arc<str>;
    type Key = EveryName;

    fn id(&self) -> Arc<str> {
        Arc::clone(&self.current.name)
    }

    fn version(&self) -> Version {
        self.current.version
    }

    fn index(&self, entry: &mut dyn FnMut(EveryName, Rank)) {
        entry(EveryName, rank());
    }

    fn least_id() -> Arc<str> {
        "".into()
    }
}

fn current(
    step: &Step<'_, Policies>,
    name: &Arc<str>,
    expected: Version,
) -> Result<Arc<Policies>, Error> {
    step.current(name, expected).map_err(|error| match error {
        LockError::NotFound => Error::NotFound {
            name: Arc::clone(name),
        },
        LockError::Conflict(conflict) => Error::Conflict(conflict),
    })
}
