//! The store in memory: a [`Table`] of events, for tests and for services that can lose them.
//!
//! Everything is gone when the process ends. A step holds one lock for about a microsecond and
//! never across an await; reads share it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::grant::Grant;
use countersign_core::id::OperationId;
use countersign_core::names::{Person, Profile};
use countersign_core::table::{LockError, Rank, Record, Table, View};
use countersign_core::time::{Health, Now};
use countersign_core::version::Version;

use crate::admission::{
    ActiveEvent, Admission, CountWanted, Counted, Observation, Observed, UnreviewedEvent,
};
use crate::change::Change;
use crate::error::Error;
use crate::limits::Limits;
use crate::mfa::ProofId;
use crate::record::{Draft, Event, EventId};
use crate::retention::Retention;
use crate::store::{Changed, Filter, Store};
use crate::transition::Status;
use crate::{Cursor, Listing, Page};

/// What events are looked up by. A person whose events are counted is in the spelling that all
/// names of the same person share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Newest first; exactly so spelt.
    Invoker(Person),
    /// Newest first.
    Profile(Profile),
    /// Newest first.
    Status(Status),
    /// Those created latest first, under any spelling.
    SamePerson(Person),
    /// Those created latest first, under any spelling.
    SamePersonAndProfile(Person, Profile),
    /// Those created latest first.
    SameProfile(Profile),
    /// Marked active, under any spelling; those whose access lasts longest first.
    Access(Person, Profile),
    /// Marked active; those whose access is over soonest first.
    Deadline,
    /// Not reviewed; what is over soonest first.
    Unreviewed,
    /// Not reviewed, under any spelling; what is over soonest first.
    UnreviewedOf(Person),
    /// Marked as over, and reviewed; what was over soonest first.
    Ended,
    /// Began with this second factor.
    Proof(ProofId),
    /// Knows this operation.
    Operation(OperationId),
}

impl Record for Event {
    type Id = EventId;
    type Key = Key;

    fn id(&self) -> EventId {
        self.id
    }

    fn version(&self) -> Version {
        self.updated_at
    }

    fn index(&self, entry: &mut dyn FnMut(Key, Rank)) {
        let created = Rank::newest_first(self.created);
        let created_at = Rank::latest_first(self.created_at);
        let person = self.invoker.case_folded();
        entry(Key::Invoker(self.invoker.clone()), created);
        entry(Key::Profile(self.profile.clone()), created);
        entry(Key::Status(self.status), created);
        entry(Key::SamePerson(person.clone()), created_at);
        let key = Key::SamePersonAndProfile(person.clone(), self.profile.clone());
        entry(key, created_at);
        entry(Key::SameProfile(self.profile.clone()), created_at);
        if self.status == Status::Active {
            let key = Key::Access(person.clone(), self.profile.clone());
            entry(key, Rank::latest_first(self.expires_at));
            entry(Key::Deadline, Rank::earliest_first(self.expires_at));
        }
        let ended = Rank::earliest_first(self.ended_at());
        if self.review.is_none() {
            entry(Key::Unreviewed, ended);
            entry(Key::UnreviewedOf(person), ended);
        } else if self.is_terminal() {
            entry(Key::Ended, ended);
        }
        if let Some(proof) = &self.mfa {
            entry(Key::Proof(proof.id.clone()), created);
        }
        let mut last = None;
        for operation in self.history.iter().filter_map(|change| change.operation) {
            // A creation that was overridden made two entries.
            if last.replace(operation) != Some(operation) {
                entry(Key::Operation(operation), created);
            }
        }
    }

    fn changes(&self, change: &mut dyn FnMut(Version)) {
        for entry in &self.history {
            change(entry.to);
        }
    }

    fn outlasting(&self, key: &mut dyn FnMut(Key)) {
        if let Some(proof) = &self.mfa {
            key(Key::Proof(proof.id.clone()));
        }
    }

    fn least_id() -> EventId {
        EventId::MIN
    }
}

/// What a step sees of an [`Observation`].
fn observe(view: &View<Event>, observation: &Observation) -> Observed {
    let Observation {
        person,
        profile,
        now,
        last_created_at,
        of_person,
        of_profile,
        proof,
        unreviewed,
    } = observation;
    let last_created_at = last_created_at.then(|| {
        let key = Key::SamePersonAndProfile(person.clone(), profile.clone());
        last_moment(view, key, now)
    });
    let count = |key: &dyn Fn() -> Key, wanted: Option<CountWanted>| match wanted {
        None => Counted::default(),
        Some(wanted) => count(view, &key(), wanted, now),
    };
    let used_by = |proof: &ProofId| view.holder(&Key::Proof(proof.clone()));
    let unreviewed = unreviewed.then(|| {
        view.scan(Key::UnreviewedOf(person.clone()))
            // What is dated ahead may have ended although its time is not over.
            .take_while(|event| event.ended_at() <= now.at() || now.correction().is_some())
            .find(|event| event.awaits_review(*now))
    });
    Observed {
        proof_used_by: proof.as_ref().and_then(used_by),
        unreviewed: unreviewed.flatten().map(|event| UnreviewedEvent {
            id: event.id,
            ended_at: event.over_since(now),
        }),
        active: active(view, person, profile, now)
            .next()
            .map(|event| ActiveEvent {
                id: event.id,
                expires_at: event.expires_at,
            }),
        last_created_at: last_created_at.flatten(),
        of_person: count(&|| Key::SamePerson(person.clone()), *of_person),
        of_profile: count(&|| Key::SameProfile(profile.clone()), *of_profile),
    }
}

/// Events of a person, case-folded, and a profile that give access; there is never more than one.
fn active<'a>(
    view: &'a View<Event>,
    person: &Person,
    profile: &Profile,
    now: &'a Now,
) -> impl Iterator<Item = &'a Arc<Event>> {
    let key = Key::Access(person.clone(), profile.clone());
    view.scan_above(key, Rank::latest_first(now.at()))
        .filter(|event| event.is_active(*now))
}

/// The last moment at which one was created. What a correction has shown to be dated wrongly comes
/// first, and counts as of the correction.
fn last_moment(view: &View<Event>, key: Key, now: &Now) -> Option<DateTime<Utc>> {
    let mut last = None;
    for event in view.scan(key) {
        let moment = event.begun_at(now);
        last = last.max(Some(moment));
        if moment == event.created_at {
            break;
        }
    }
    last
}

fn count(view: &View<Event>, key: &Key, wanted: CountWanted, now: &Now) -> Counted {
    let floor = Rank::latest_first(wanted.created_after);
    if now
        .correction()
        .is_some_and(|correction| wanted.created_after < correction.latest)
    {
        let events = view.scan_above(key.clone(), floor);
        return Counted::of_moments(events.map(|event| event.begun_at(now)), wanted);
    }
    let count = view.count_above(key.clone(), floor);
    let nth_newest = wanted
        .nth_newest
        .and_then(|nth| usize::try_from(nth.get()).ok())
        .filter(|nth| *nth <= count)
        .and_then(|nth| view.scan(key.clone()).nth(nth - 1));
    Counted {
        count: count as u64,
        nth_newest: nth_newest.map(|event| event.created_at),
    }
}

/// Keeps events in memory.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use countersign_breakglass::*;
///
/// let policy: InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"]}]}"#.parse()?;
/// let prod = Profile::new("prod")?;
/// let admission = Admission::new(&policy, &RateLimitPolicy::unlimited(), &prod);
/// let store = InMemory::new(Arc::new(SystemClock));
/// let event = store.sync().create(
///     &Draft {
///         id: EventId::from_bits(1),
///         operation: None,
///         invoker: Person::new("alice")?,
///         profile: prod,
///         duration: Duration::from_secs(600),
///         reason_code: ReasonCode::Incident,
///         justification: "the site is down since nine".into(),
///         ticket: None,
///         request_id: None,
///         mfa: None,
///     },
///     &admission,
/// )?;
/// assert_eq!(event.status, Status::Active);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct InMemory {
    table: Table<Event>,
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
    /// last before the clock counts as corrected, and a second factor's clock ahead of it. 60
    /// seconds unless set.
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
///
/// ```
/// use std::sync::Arc;
/// use countersign_breakglass::{Filter, InMemory, Page, Status, SystemClock};
///
/// let store = InMemory::new(Arc::new(SystemClock));
/// let active = store.sync().list(&Filter::Status(Status::Active), Page::default())?;
/// assert!(active.items.is_empty());
/// # Ok::<(), countersign_breakglass::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct InMemorySync<'a> {
    store: &'a InMemory,
}

impl InMemorySync<'_> {
    /// See [`Store::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(&self, draft: &Draft, admission: &Admission) -> Result<Arc<Event>, Error> {
        self.store.table.write(|step| {
            if let Some(found) = done_before(step, draft.operation) {
                return Ok(Arc::new(admission.first_result(draft, found)?));
            }
            if step.get(&draft.id).is_some() {
                return Err(Error::AlreadyExists { id: draft.id });
            }
            self.store.limits.check_draft(draft)?;
            let stamp = step.stamp()?;
            let now = stamp.now;
            now.granting()?;
            let observed = observe(step, &admission.observation(draft, now));
            let admitted = admission.decide(draft, &observed, now)?;
            let mut event = Event::create(draft, &admitted, &self.store.limits, stamp)?;
            if let Some(change) = admitted.follow_up() {
                event = event.apply(&change, step.stamp()?)?;
            }
            let key = Key::Access(draft.invoker.case_folded(), draft.profile.clone());
            let replaced: Vec<Arc<Event>> = step.scan(key).cloned().collect();
            for event in replaced {
                let expired = event.apply(&Change::make_way(), step.stamp()?)?;
                step.put(expired);
            }
            Ok(step.put(event))
        })
    }

    /// See [`Store::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get(&self, id: EventId) -> Result<Arc<Event>, Error> {
        self.store.table.get(&id).ok_or(Error::NotFound { id })
    }

    /// See [`Store::update`].
    ///
    /// # Errors
    /// As there.
    pub fn update(
        &self,
        id: EventId,
        expected: Version,
        change: &Change,
    ) -> Result<Arc<Event>, Error> {
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
    pub fn delete(&self, id: EventId, retention: &Retention) -> Result<bool, Error> {
        self.store.table.write(|step| {
            let Some(event) = step.get(&id).cloned() else {
                return Ok(false);
            };
            retention.check(&event, step.stamp()?.now)?;
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
            Filter::Invoker(person) => Key::Invoker(person.clone()),
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
    pub fn find_grant(&self, person: &Person, profile: &Profile) -> Result<Option<Grant>, Error> {
        self.store.table.read_now(|view, now| {
            now.granting()?;
            let folded = person.case_folded();
            let found = active(view, &folded, profile, now).find(|event| event.invoker == *person);
            Ok(found.and_then(|event| event.grant(*now)))
        })
    }

    /// See [`Store::active_at`].
    ///
    /// # Errors
    /// As there.
    pub fn active_at(
        &self,
        person: &Person,
        profile: &Profile,
        at: DateTime<Utc>,
    ) -> Result<Option<Arc<Event>>, Error> {
        let now = Now::at_given(at);
        let folded = person.case_folded();
        Ok(self.store.table.read(|view| {
            active(view, &folded, profile, &now)
                .find(|event| event.invoker == *person)
                .cloned()
        }))
    }

    /// See [`Store::due`].
    ///
    /// # Errors
    /// As there.
    pub fn due(&self, limit: usize) -> Result<Vec<Arc<Event>>, Error> {
        let limit = Page::first(limit).effective_limit();
        Ok(self.store.table.read_now(|view, now| {
            let over = view
                .scan(Key::Deadline)
                .take_while(|event| event.expires_at <= now.at());
            // What is dated ahead has its end still to come.
            let ahead = view
                .scan_after(Key::Deadline, Rank::earliest_first(now.at()), EventId::MAX)
                .take_while(|_| now.correction().is_some())
                .filter(|event| event.is_void(now));
            over.chain(ahead).take(limit).cloned().collect()
        }))
    }

    /// See [`Store::awaiting_review`].
    ///
    /// # Errors
    /// As there.
    pub fn awaiting_review(&self, page: Page) -> Result<Listing, Error> {
        // The first page begins before every event.
        let (rank, id) = match page.after {
            Some(cursor) => (cursor.ascending(), cursor.id),
            None => (Rank::earliest_first(DateTime::<Utc>::MIN_UTC), EventId::MIN),
        };
        let limit = page.effective_limit();
        Ok(self.store.table.read_now(|view, now| {
            let mut items: Vec<Arc<Event>> = view
                .scan_after(Key::Unreviewed, rank, id)
                .filter(|event| event.awaits_review(*now))
                .take(limit + 1)
                .cloned()
                .collect();
            let more = items.len() > limit;
            items.truncate(limit);
            let last = items.last().filter(|_| more);
            let next = last.map(|event| Cursor::at_time(event.ended_at(), event.id));
            Listing { items, next }
        }))
    }

    /// See [`Store::ended`].
    ///
    /// # Errors
    /// As there.
    pub fn ended(&self, before: DateTime<Utc>, limit: usize) -> Result<Vec<Arc<Event>>, Error> {
        let limit = Page::first(limit).effective_limit();
        Ok(self.store.table.read_now(|view, now| {
            let latest = now.correction().map(|correction| correction.latest);
            view.scan(Key::Ended)
                // What is dated wrongly was over at the correction.
                .take_while(|event| event.ended_at() < before || Some(event.ended_at()) <= latest)
                .filter(|event| event.over_since(now) < before)
                .take(limit)
                .cloned()
                .collect()
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
        Ok(self.store.table.read(|view| {
            let changes = view.changes_after(after).filter_map(|(version, event)| {
                Some(Changed {
                    version,
                    entry: Arc::clone(event.entry_at(version)?),
                    event: Arc::clone(event),
                })
            });
            changes.take(limit).collect()
        }))
    }
}

/// The event in whose history the operation is, if there is one.
fn done_before(view: &View<Event>, operation: Option<OperationId>) -> Option<&Arc<Event>> {
    view.scan(Key::Operation(operation?)).next()
}

impl Store for InMemory {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Event>, Error>> {
        Box::pin(async move { self.sync().create(draft, admission) })
    }

    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Arc<Event>, Error>> {
        Box::pin(async move { self.sync().get(id) })
    }

    fn update<'a>(
        &'a self,
        id: EventId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Event>, Error>> {
        Box::pin(async move { self.sync().update(id, expected, change) })
    }

    fn delete<'a>(
        &'a self,
        id: EventId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move { self.sync().delete(id, retention) })
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
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        Box::pin(async move { self.sync().find_grant(person, profile) })
    }

    fn active_at<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Event>>, Error>> {
        Box::pin(async move { self.sync().active_at(person, profile, at) })
    }

    fn due(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Event>>, Error>> {
        Box::pin(async move { self.sync().due(limit) })
    }

    fn awaiting_review(&self, page: Page) -> BoxFuture<'_, Result<Listing, Error>> {
        Box::pin(async move { self.sync().awaiting_review(page) })
    }

    fn ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Event>>, Error>> {
        Box::pin(async move { self.sync().ended(before, limit) })
    }

    fn changes_since(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(async move { self.sync().changes_since(after, limit) })
    }
}
