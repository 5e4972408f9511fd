//! The store in memory: a [`Table`] of requests, for tests and for services that can lose them.
//!
//! Everything is gone when the process ends. A step holds one lock for about a microsecond and
//! never across an await; reads share it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::names::{Person, Profile};
use countersign_core::table::{LockError, Rank, Record, Table};
use countersign_core::version::Version;

use crate::change::Change;
use crate::error::Error;
use crate::limits::Limits;
use crate::record::{Draft, Request, RequestId};
use crate::store::{Filter, Store};
use crate::transition::Status;
use crate::{Listing, Page};

/// What requests are looked up by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Newest first.
    Requester(Person),
    /// Newest first.
    Profile(Profile),
    /// Newest first.
    Status(Status),
    /// Approved requests; those whose access lasts longest first.
    Access(Person, Profile),
    /// Pending requests; those to be decided soonest first.
    Deadline,
}

impl Record for Request {
    type Id = RequestId;
    type Key = Key;

    fn id(&self) -> RequestId {
        self.id
    }

    fn version(&self) -> Version {
        self.updated_at
    }

    fn index(&self, entry: &mut dyn FnMut(Key, Rank)) {
        let created = Rank::latest_first(self.created_at);
        entry(Key::Requester(self.requester.clone()), created);
        entry(Key::Profile(self.profile.clone()), created);
        entry(Key::Status(self.status), created);
        match (self.status, self.access_until) {
            (Status::Approved, Some(until)) => {
                let key = Key::Access(self.requester.clone(), self.profile.clone());
                entry(key, Rank::latest_first(until));
            }
            (Status::Pending, _) => entry(Key::Deadline, Rank::earliest_first(self.decide_by)),
            _ => {}
        }
    }

    fn changes(&self, change: &mut dyn FnMut(Version)) {
        for entry in &self.history {
            change(entry.to);
        }
    }

    fn least_id() -> RequestId {
        RequestId::MIN
    }
}

/// Keeps requests in memory.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use countersign_request::{Draft, InMemory, Person, Profile, RequestId, Status, SystemClock};
///
/// let store = InMemory::new(Arc::new(SystemClock));
/// let request = store.sync().create(&Draft {
///     id: RequestId::from_bits(1),
///     requester: Person::new("alice")?,
///     profile: Profile::new("prod")?,
///     duration: Duration::from_secs(600),
///     justification: "look at the slow query".into(),
///     ticket: None,
/// })?;
/// assert_eq!(request.status, Status::Pending);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct InMemory {
    table: Table<Request>,
    limits: Limits,
}

impl InMemory {
    /// An empty store with the default [`Limits`].
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(clock, Limits::default())
    }

    /// An empty store with other limits.
    pub fn with_limits(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            table: Table::new(clock),
            limits,
        }
    }

    /// The same calls without futures.
    pub fn sync(&self) -> InMemorySync<'_> {
        InMemorySync { store: self }
    }

    /// Checks that records and indexes agree. For tests; walks the whole store.
    ///
    /// # Errors
    /// A sentence that names what does not agree.
    pub fn audit(&self) -> Result<(), String> {
        self.table.read(|view| view.audit())
    }
}

/// The calls of [`Store`] without futures, on an [`InMemory`] store. Each keeps the contract of
/// the method of the same name.
#[derive(Debug, Clone, Copy)]
pub struct InMemorySync<'a> {
    store: &'a InMemory,
}

impl InMemorySync<'_> {
    /// See [`Store::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(&self, draft: &Draft) -> Result<Arc<Request>, Error> {
        self.store.table.write(|step| {
            if step.get(&draft.id).is_some() {
                return Err(Error::AlreadyExists { id: draft.id });
            }
            let at = step.stamp()?;
            Ok(step.put(Request::create(draft, &self.store.limits, at)?))
        })
    }

    /// See [`Store::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, id: RequestId) -> Result<Arc<Request>, Error> {
        self.store.table.get(&id).ok_or(Error::NotFound { id })
    }

    /// See [`Store::update`].
    ///
    /// # Errors
    /// As there.
    pub fn update(
        &self,
        id: RequestId,
        expected: Version,
        change: &Change,
    ) -> Result<Arc<Request>, Error> {
        self.store.table.write(|step| {
            let current = step.current(&id, expected).map_err(|error| match error {
                LockError::NotFound => Error::NotFound { id },
                LockError::Conflict(conflict) => Error::Conflict(conflict),
            })?;
            let at = step.stamp()?;
            Ok(step.put(current.apply(change, at)?))
        })
    }

    /// See [`Store::delete`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(&self, id: RequestId) -> Result<(), Error> {
        self.store.table.write(|step| {
            let Some(request) = step.get(&id).cloned() else {
                return Ok(());
            };
            let status = request.status;
            if !request.is_terminal(step.stamp()?.time()) {
                return Err(Error::NotTerminal { id, status });
            }
            step.remove(id);
            Ok(())
        })
    }

    /// See [`Store::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, filter: &Filter, page: Page) -> Result<Listing, Error> {
        let key = match filter {
            Filter::Requester(person) => Key::Requester(person.clone()),
            Filter::Profile(profile) => Key::Profile(profile.clone()),
            Filter::Status(status) => Key::Status(*status),
        };
        Ok(self.store.table.read(|view| view.page(key, &page)))
    }

    /// See [`Store::find_grant`].
    ///
    /// # Errors
    /// As there.
    pub fn find_grant(
        &self,
        person: &Person,
        profile: &Profile,
        at: DateTime<Utc>,
    ) -> Result<Option<Arc<Request>>, Error> {
        let key = Key::Access(person.clone(), profile.clone());
        let floor = Rank::latest_first(at);
        Ok(self
            .store
            .table
            .read(|view| view.scan_above(key, floor).next().cloned()))
    }

    /// See [`Store::due`].
    ///
    /// # Errors
    /// As there.
    pub fn due(&self, at: DateTime<Utc>, limit: usize) -> Result<Vec<Arc<Request>>, Error> {
        let limit = Page::first(limit).effective_limit();
        Ok(self.store.table.read(|view| {
            view.scan(Key::Deadline)
                .take_while(|request| request.decide_by <= at)
                .take(limit)
                .cloned()
                .collect()
        }))
    }
}

impl Store for InMemory {
    fn create<'a>(&'a self, draft: &'a Draft) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        Box::pin(async move { self.sync().create(draft) })
    }

    fn get(&self, id: RequestId) -> BoxFuture<'_, Result<Arc<Request>, Error>> {
        Box::pin(async move { self.sync().get(id) })
    }

    fn update<'a>(
        &'a self,
        id: RequestId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        Box::pin(async move { self.sync().update(id, expected, change) })
    }

    fn delete(&self, id: RequestId) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move { self.sync().delete(id) })
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move { self.sync().list(filter, page) })
    }

    fn find_grant<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>> {
        Box::pin(async move { self.sync().find_grant(person, profile, at) })
    }

    fn due(
        &self,
        at: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        Box::pin(async move { self.sync().due(at, limit) })
    }
}
