//! The store in memory: a [`Table`] of requests, for tests and for services that can lose them.
//!
//! Everything is gone when the process ends. A step holds one lock for about a microsecond and
//! never across an await; reads share it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::id::OperationId;
use countersign_core::names::{Person, Profile};
use countersign_core::table::{LockError, Rank, Record, Table, View};
use countersign_core::time::{Health, Now};
use countersign_core::version::Version;

use crate::change::Change;
use crate::error::Error;
use crate::limits::Limits;
use crate::record::{Draft, Request, RequestId};
use crate::store::{Changed, Filter, Store};
use crate::terms::Terms;
use crate::transition::Status;
use crate::{Cursor, Listing, Page};

/// What requests are looked up by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Newest first.
    Requester(Person),
    /// Newest first.
    Profile(Profile),
    /// Newest first.
    Status(Status),
    /// Approved requests, by the policy with which their access ends; those whose access lasts
    /// longest first.
    Access(Person, Profile, Option<PolicyDigest>),
    /// Pending requests; those to be decided soonest first.
    Deadline,
    /// Pending requests, for one profile or for all; oldest first.
    Waiting(Option<Profile>),
    /// Pending and approved requests of one requester; those whose time ends last first.
    Open(Person),
    /// Requests that have ended or will; earliest first.
    Ended,
    /// The request in whose history the operation is.
    Operation(OperationId),
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
        let created = Rank::newest_first(self.created);
        entry(Key::Requester(self.requester.clone()), created);
        entry(Key::Profile(self.profile.clone()), created);
        entry(Key::Status(self.status), created);
        match (self.status, self.access_until) {
            (Status::Approved, Some(until)) => {
                let until = Rank::latest_first(until);
                entry(Key::Open(self.requester.clone()), until);
                let policy = self.policy.filter(|_| self.ends_with_policy);
                // What is pinned to nothing holds under nothing.
                if policy.is_some() == self.ends_with_policy {
                    let (person, profile) = (self.requester.clone(), self.profile.clone());
                    entry(Key::Access(person, profile, policy), until);
                }
            }
            (Status::Pending, _) => {
                entry(Key::Deadline, Rank::earliest_first(self.decide_by));
                let open = Rank::latest_first(self.decide_by);
                entry(Key::Open(self.requester.clone()), open);
                let oldest_first = Rank::oldest_first(self.created);
                entry(Key::Waiting(None), oldest_first);
                entry(Key::Waiting(Some(self.profile.clone())), oldest_first);
            }
            _ => {}
        }
        if let Some(ended_at) = self.ended_at() {
            entry(Key::Ended, Rank::earliest_first(ended_at));
        }
        for operation in self.history.iter().filter_map(|entry| entry.operation) {
            entry(Key::Operation(operation), created);
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
/// use countersign_request::{
///     ApprovalPolicy, Draft, InMemory, Person, Profile, RequestId, Status, SystemClock, Terms,
/// };
///
/// let policy: ApprovalPolicy =
///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#.parse()?;
/// let prod = Profile::new("prod")?;
/// let terms = Terms::of(&policy, &prod);
/// let store = InMemory::new(Arc::new(SystemClock));
/// let request = store.sync().create(&Draft {
///     id: RequestId::from_bits(1),
///     requester: Person::new("alice")?,
///     profile: prod,
///     duration: Duration::from_secs(600),
///     justification: "look at the slow query".into(),
///     ticket: None,
///     policy: None,
///     operation: None,
/// }, &terms)?;
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

    /// The same store with another tolerance: how far a reading of the clock may lie behind the
    /// last before the clock counts as corrected. 60 seconds unless set.
    #[must_use]
    pub fn with_clock_tolerance(self, tolerance: Duration) -> Self {
        let table = self.table.with_clock_tolerance(tolerance);
        Self { table, ..self }
    }

    /// How far the store's versions are ahead of its clock, and the last correction of the clock.
    pub fn health(&self) -> Health {
        let reading = self.table.clock().now();
        self.table.read(|view| view.timeline().health(reading))
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
    pub fn create(&self, draft: &Draft, terms: &Terms) -> Result<Arc<Request>, Error> {
        self.store.table.write(|step| {
            if let Some(found) = done_before(step, draft.operation) {
                return Ok(Arc::new(draft.first_result(found)?));
            }
            if step.get(&draft.id).is_some() {
                return Err(Error::AlreadyExists { id: draft.id });
            }
            let stamp = step.stamp()?;
            Ok(step.put(Request::create(draft, &self.store.limits, terms, stamp)?))
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
            if let Some(found) = done_before(step, change.operation()) {
                return Ok(Arc::new(change.first_result(id, found)?));
            }
            let current = step.current(&id, expected).map_err(|error| match error {
                LockError::NotFound => Error::NotFound { id },
                LockError::Conflict(conflict) => Error::Conflict(conflict),
            })?;
            let stamp = step.stamp()?;
            Ok(step.put(current.apply(change, stamp)?))
        })
    }

    /// See [`Store::delete`].
    ///
    /// # Errors
    /// As there.
    pub fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> Result<bool, Error> {
        self.store.table.write(|step| {
            let Some(request) = step.get(&id).cloned() else {
                return Ok(false);
            };
            request.check_deletion(&step.stamp()?.now, ended_before)?;
            step.remove(id);
            Ok(true)
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

    /// See [`Store::now`].
    ///
    /// # Errors
    /// As there.
    pub fn now(&self) -> Result<Now, Error> {
        Ok(self.store.table.read_now(|_, now| *now))
    }

    /// See [`Store::find_grant`].
    ///
    /// # Errors
    /// As there.
    pub fn find_grant(
        &self,
        person: &Person,
        profile: &Profile,
        policy: Option<PolicyDigest>,
    ) -> Result<Option<Grant>, Error> {
        self.store.table.read_now(|view, now| {
            now.granting()?;
            let found = longest(view, person, profile, policy, now);
            Ok(found.and_then(|request| request.grant(*now)))
        })
    }

    /// See [`Store::access_at`].
    ///
    /// # Errors
    /// As there.
    pub fn access_at(
        &self,
        person: &Person,
        profile: &Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> Result<Option<Arc<Request>>, Error> {
        let now = Now::at_given(at);
        let read = |view: &View<Request>| longest(view, person, profile, policy, &now).cloned();
        Ok(self.store.table.read(read))
    }

    /// See [`Store::due`].
    ///
    /// # Errors
    /// As there.
    pub fn due(&self, limit: usize) -> Result<Vec<Arc<Request>>, Error> {
        let limit = Page::first(limit).effective_limit();
        Ok(self.store.table.read_now(|view, now| {
            let is_passed = |request: &Request| request.decide_by <= now.at();
            let passed = view
                .scan(Key::Deadline)
                .take_while(|request| is_passed(request));
            let ahead = [Key::Deadline, Key::Ended]
                .into_iter()
                .flat_map(|key| to_come(view, key, now.at(), now))
                .filter(|request| {
                    request.is_void(now) || request.is_due(now) && !is_passed(request)
                });
            passed.chain(ahead).take(limit).cloned().collect()
        }))
    }

    /// See [`Store::waiting`].
    ///
    /// # Errors
    /// As there.
    pub fn waiting(
        &self,
        profiles: Option<&BTreeSet<Profile>>,
        page: Page,
    ) -> Result<Listing, Error> {
        let place = |request: &Request| Cursor::at_version(request.created, request.id);
        let keys: Vec<_> = match profiles {
            None => vec![Key::Waiting(None)],
            Some(profiles) => profiles
                .iter()
                .map(|profile| Key::Waiting(Some(profile.clone())))
                .collect(),
        };
        Ok(self.store.table.read(|view| {
            let mut sources: Vec<_> = keys
                .into_iter()
                .map(|key| rest(view, key, page.after.as_ref(), Cursor::ascending))
                .collect();
            // The next of each source, oldest first; no request is in two of them.
            let mut heads = BTreeMap::new();
            for (number, source) in sources.iter_mut().enumerate() {
                heads.extend(source.next().map(|next| (place(next), (number, next))));
            }
            let merged = std::iter::from_fn(|| {
                let (_, (number, oldest)) = heads.pop_first()?;
                let next = sources.get_mut(number).and_then(Iterator::next);
                heads.extend(next.map(|next| (place(next), (number, next))));
                Some(oldest)
            });
            listing(merged, page, place)
        }))
    }

    /// See [`Store::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(&self, person: &Person, page: Page) -> Result<Listing, Error> {
        let place = |request: &Request| Cursor::at_time(ends_at(request), request.id);
        let key = Key::Open(person.clone());
        Ok(self.store.table.read_now(|view, now| {
            let open = rest(view, key, page.after.as_ref(), Cursor::descending)
                .take_while(|request| ends_at(request) > now.at())
                .filter(|request| request.is_open(now));
            listing(open, page, place)
        }))
    }

    /// See [`Store::ended`].
    ///
    /// # Errors
    /// As there.
    pub fn ended(&self, time: DateTime<Utc>, limit: usize) -> Result<Vec<Arc<Request>>, Error> {
        let limit = Page::first(limit).effective_limit();
        let floor = Rank::earliest_first(time);
        Ok(self.store.table.read_now(|view, now| {
            let before = |request: &&Arc<Request>| request.ended_before(time, now);
            let ended = view.scan_above(Key::Ended, floor).filter(before);
            let ahead = to_come(view, Key::Ended, time.max(now.at()), now).filter(before);
            ended.chain(ahead).take(limit).cloned().collect()
        }))
    }

    /// See [`Store::changes_since`].
    ///
    /// # Errors
    /// As there.
    pub fn changes_since(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<Changed>, Error> {
        let limit = Page::first(limit).effective_limit();
        let changed = |(version, request): (Version, &Arc<Request>)| {
            let entry = Arc::clone(request.entry_at(version)?);
            let request = Arc::clone(request);
            Some(Changed {
                version,
                entry,
                request,
            })
        };
        Ok(self.store.table.read(|view| {
            let changes = view.changes_after(after).filter_map(changed);
            changes.take(limit).collect()
        }))
    }
}

/// The request in whose history the operation is, if there is one.
fn done_before(view: &View<Request>, operation: Option<OperationId>) -> Option<&Arc<Request>> {
    view.scan(Key::Operation(operation?)).next()
}

/// The request whose access is in force and lasts longest, of those that hold under the policy.
fn longest<'a>(
    view: &'a View<Request>,
    person: &Person,
    profile: &Profile,
    policy: Option<PolicyDigest>,
    now: &Now,
) -> Option<&'a Arc<Request>> {
    let floor = Rank::latest_first(now.at());
    let longest = |policy| {
        let key = Key::Access(person.clone(), profile.clone(), policy);
        view.scan_above(key, floor)
            .find(|request| request.gives_access(now))
    };
    let pinned = policy.and_then(|policy| longest(Some(policy)));
    let both = longest(None).into_iter().chain(pinned);
    both.max_by_key(|request| (request.access_until, Reverse(request.id)))
}

/// Those whose deadline or end is at `time` or later, as far as a correction may have made them
/// due or over all the same: none if the clock has never been corrected.
fn to_come<'a>(
    view: &'a View<Request>,
    key: Key,
    time: DateTime<Utc>,
    now: &Now,
) -> impl Iterator<Item = &'a Arc<Request>> {
    let corrected = now.correction().is_some();
    let rest = view.scan_from(key, Rank::earliest_first(time));
    rest.take_while(move |_| corrected)
}

/// When what is open is over, unless it is decided or ended before.
fn ends_at(request: &Request) -> DateTime<Utc> {
    request.access_until.unwrap_or(request.decide_by)
}

/// The requests with this key after a cursor, whose place `rank` ranks as the key's entries are.
fn rest<'a>(
    view: &'a View<Request>,
    key: Key,
    after: Option<&Cursor>,
    rank: fn(&Cursor) -> Rank,
) -> Box<dyn Iterator<Item = &'a Arc<Request>> + 'a> {
    match after {
        None => Box::new(view.scan(key)),
        Some(cursor) => Box::new(view.scan_after(key, rank(cursor), cursor.id)),
    }
}

/// The first so many, and where to go on if there are more.
fn listing<'a>(
    requests: impl Iterator<Item = &'a Arc<Request>>,
    page: Page,
    place: impl Fn(&Request) -> Cursor,
) -> Listing {
    let limit = page.effective_limit();
    let mut items: Vec<_> = requests.take(limit + 1).cloned().collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| place(last));
    Listing { items, next }
}

impl Store for InMemory {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        Box::pin(async move { self.sync().create(draft, terms) })
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

    fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move { self.sync().delete(id, ended_before) })
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move { self.sync().list(filter, page) })
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        Box::pin(async move { self.sync().now() })
    }

    fn find_grant<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        Box::pin(async move { self.sync().find_grant(person, profile, policy) })
    }

    fn access_at<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>> {
        Box::pin(async move { self.sync().access_at(person, profile, policy, at) })
    }

    fn due(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        Box::pin(async move { self.sync().due(limit) })
    }

    fn waiting<'a>(
        &'a self,
        profiles: Option<&'a BTreeSet<Profile>>,
        page: Page,
    ) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move { self.sync().waiting(profiles, page) })
    }

    fn open<'a>(&'a self, person: &'a Person, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move { self.sync().open(person, page) })
    }

    fn ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        Box::pin(async move { self.sync().ended(time, limit) })
    }

    fn changes_since(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(async move { self.sync().changes_since(after, limit) })
    }
}
