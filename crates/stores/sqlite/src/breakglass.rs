//! Emergencies in the file: [`EventStore`].
//!
//! Each call is one transaction, and each rule is the pure function of `countersign-breakglass`,
//! called inside it; what a call answers is what the store in memory answers. What an admission
//! looks at is read in the transaction that writes the event.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass::{
    ActiveEvent, Admission, Change, Changed, CountWanted, Counted, Cursor, Draft, Error, Event,
    EventId, Filter, Health, Limits, Listing, Observation, Observed, Page, Person, Profile,
    ProofId, Retention, Store, UnreviewedEvent,
};
use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::grant::Grant;
use countersign_core::id::OperationId;
use countersign_core::time::{CLOCK_TOLERANCE, Now};
use countersign_core::version::{Conflict, Version};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::database::Database;
use crate::error::{EngineError, Failure, Stop};
use crate::ledger::Head;
use crate::report::Report;
use crate::sql::{self, Time, bound, clamped};
use crate::step::{Books, Step};
use crate::verify::verify;

mod check;
pub(crate) mod rows;

/// Keeps emergencies in a file.
///
/// What it promises is the contract of [`Store`]. A version is on the disk when the call that made
/// it returns, as the file's [`Options`](crate::Options) say.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use countersign_breakglass::*;
/// use countersign_sqlite::{Database, EventStore, Options};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("countersign.db");
/// let who: InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "profiles": ["prod"], "users": ["alice"]}]}"#.parse()?;
/// let often = RateLimitPolicy::unlimited();
/// let clock: Arc<dyn Clock> = Arc::new(SystemClock);
/// let database = Database::open(&path, &Options::default())?;
/// let store = Arc::new(EventStore::new(&database, clock.clone()));
/// let workflow = Workflow::new(store.clone(), Arc::new(who), Arc::new(often));
/// let (alice, prod, hour) = (Person::new("alice")?, Profile::new("prod")?, Duration::from_secs(3600));
/// let draft = workflow.draft(&alice, &prod, hour, ReasonCode::Incident, "orders cannot be written")?;
/// let id = workflow.invoke(&draft).await?.id;
/// assert_eq!(store.get(id).await?.invoker, alice);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EventStore {
    books: Books,
    limits: Arc<Limits>,
}

impl EventStore {
    /// The emergencies of this file, with the default [`Limits`].
    pub fn new(database: &Database, clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(database, clock, Limits::default())
    }

    /// The emergencies of this file, with other limits. Limits hold for what is created; they are
    /// not kept in the file.
    pub fn with_limits(database: &Database, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            books: Books::new(database, &rows::LEDGER, clock, CLOCK_TOLERANCE),
            limits: Arc::new(limits),
        }
    }

    /// The same store with another tolerance: how far a reading of the clock may lie behind the
    /// last before the clock counts as corrected. 60 seconds unless set; the same in every process.
    #[must_use]
    pub fn with_clock_tolerance(self, tolerance: Duration) -> Self {
        let books = self.books.with_clock_tolerance(tolerance);
        Self { books, ..self }
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
    /// # use countersign_sqlite::EventStore;
    /// # async fn example(store: &EventStore, noted: &str) -> Result<(), Box<dyn std::error::Error>> {
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

    /// Makes one step of this store.
    async fn write<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Step<'_>, &Limits) -> Result<T, Stop<Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let limits = Arc::clone(&self.limits);
        self.books.write(move |made| step(made, &limits)).await
    }
}

/// The event in whose history the operation is, if there is one.
fn done_before(
    connection: &Connection,
    operation: Option<OperationId>,
) -> Result<Option<Event>, Failure> {
    match operation {
        Some(operation) => rows::of_operation(connection, &operation.to_string()),
        None => Ok(None),
    }
}

fn by_id(connection: &Connection, id: EventId) -> Result<Option<Event>, Failure> {
    rows::one(connection, rows::BY_ID, [id.to_string()])
}

fn shared(events: Vec<Event>) -> Vec<Arc<Event>> {
    events.into_iter().map(Arc::new).collect()
}

/// Time and id of the place to go on after; all places come after the first.
fn place(after: Option<&Cursor>, first: i64) -> (i64, String) {
    match after {
        Some(cursor) => (cursor.place, cursor.id.to_string()),
        None => (first, String::new()),
    }
}

/// The first so many, and where to go on if there are more.
fn listing(mut events: Vec<Event>, page: Page, place: fn(&Event) -> Cursor) -> Listing {
    let limit = page.effective_limit();
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map(place);
    let items = shared(events);
    Listing { items, next }
}

/// The event of a person and profile that gives access: there is one under any spelling, or none.
fn active(
    connection: &Connection,
    person: &Person,
    profile: &Profile,
    now: &Now,
) -> Result<Option<Event>, Failure> {
    let folded = person.case_folded();
    let parameters = params![folded.as_str(), profile.as_str(), clamped(now.at())];
    let found = rows::one(connection, rows::ACTIVE, parameters)?;
    Ok(found.filter(|event| event.is_active(*now)))
}

/// What a step sees of an [`Observation`].
fn observe(connection: &Connection, wanted: &Observation) -> Result<Observed, Failure> {
    let now = &wanted.now;
    let (person, profile) = (wanted.person.as_str(), wanted.profile.as_str());
    let active = active(connection, &wanted.person, &wanted.profile, now)?;
    let last_created_at = match wanted.last_created_at {
        false => None,
        true => last_moment(connection, person, profile, now)?,
    };
    let used_by = match &wanted.proof {
        None => None,
        Some(proof) => used_by(connection, proof)?,
    };
    let unreviewed = match wanted.unreviewed {
        false => None,
        true => {
            let due = |event: &Event| event.awaits_review(*now);
            rows::some(connection, rows::UNREVIEWED_OF, [person], 1, due)?.pop()
        }
    };
    let of_person = count(connection, person, wanted.of_person, &OF_PERSON, now)?;
    let of_profile = count(connection, profile, wanted.of_profile, &OF_PROFILE, now)?;
    Ok(Observed {
        active: active.map(|event| ActiveEvent {
            id: event.id,
            expires_at: event.expires_at,
        }),
        last_created_at,
        of_person,
        of_profile,
        proof_used_by: used_by,
        unreviewed: unreviewed.map(|event| UnreviewedEvent {
            id: event.id,
            ended_at: event.over_since(now),
        }),
    })
}

/// The event that a second factor was used for, deleted or not.
fn used_by(connection: &Connection, proof: &ProofId) -> Result<Option<EventId>, Failure> {
    for sql in [rows::PROOF_USED, rows::PROOF_OUTLASTING] {
        let mut statement = sql::statement(connection, rows::STATEMENTS, sql)?;
        let id = statement.query_row([proof.as_str()], |row| {
            sql::parsed(row, "id", |text| text.parse().ok())
        });
        if let Some(id) = id.optional()? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The last moment at which one was created. What a correction has shown to be dated wrongly comes
/// first, and counts as of the correction.
fn last_moment(
    connection: &Connection,
    person: &str,
    profile: &str,
    now: &Now,
) -> Result<Option<DateTime<Utc>>, Failure> {
    let mut statement = sql::statement(connection, rows::STATEMENTS, rows::LAST_CREATED)?;
    let mut found = statement.query([person, profile])?;
    let mut last = None;
    while let Some(row) = found.next()? {
        let moment = moment(row, now)?;
        last = last.max(Some(moment));
        if moment == row.get::<_, Time>("created_at")?.0 {
            break;
        }
    }
    Ok(last)
}

/// When an event counts as created.
fn moment(row: &Row<'_>, now: &Now) -> Result<DateTime<Utc>, rusqlite::Error> {
    let version = Version::from_nanos(row.get("created")?);
    Ok(now.moment_of(row.get::<_, Time>("created_at")?.0, version))
}

/// The statements that count: how many, the n-th newest, and the times of all.
struct Counting {
    count: &'static str,
    nth: &'static str,
    moments: &'static str,
}

const OF_PERSON: Counting = Counting {
    count: rows::COUNT_OF_PERSON,
    nth: rows::NTH_OF_PERSON,
    moments: rows::MOMENTS_OF_PERSON,
};

const OF_PROFILE: Counting = Counting {
    count: rows::COUNT_OF_PROFILE,
    nth: rows::NTH_OF_PROFILE,
    moments: rows::MOMENTS_OF_PROFILE,
};

fn count(
    connection: &Connection,
    of: &str,
    wanted: Option<CountWanted>,
    counting: &Counting,
    now: &Now,
) -> Result<Counted, Failure> {
    let Some(wanted) = wanted else {
        return Ok(Counted::default());
    };
    let statement = |sql| sql::statement(connection, rows::STATEMENTS, sql);
    let after = clamped(wanted.created_after);
    let correction = now.correction();
    if correction.is_some_and(|correction| wanted.created_after < correction.latest) {
        let mut statement = statement(counting.moments)?;
        let moments = statement.query_map(params![of, after], |row| moment(row, now))?;
        let moments: Result<Vec<_>, _> = moments.collect();
        return Ok(Counted::of_moments(moments?, wanted));
    }
    let count = statement(counting.count)?.query_row(params![of, after], |row| row.get(0))?;
    let nth_newest = match wanted.nth_newest {
        None => None,
        Some(number) => {
            let before = i64::from(number.get()) - 1;
            statement(counting.nth)?
                .query_row(params![of, after, before], |row| row.get::<_, Time>(0))
                .optional()?
        }
    };
    Ok(Counted {
        count,
        nth_newest: nth_newest.map(|time| time.0),
    })
}

fn create(
    step: &mut Step<'_>,
    limits: &Limits,
    draft: &Draft,
    admission: &Admission,
) -> Result<Event, Stop<Error>> {
    if let Some(found) = done_before(step.connection, draft.operation)? {
        return Ok(admission.first_result(draft, &found)?);
    }
    if by_id(step.connection, draft.id)?.is_some() {
        return Err(Error::AlreadyExists { id: draft.id }.into());
    }
    limits.check_draft(draft).map_err(Error::from)?;
    let stamp = step.stamp().map_err(Error::from)?;
    let now = stamp.now;
    now.granting().map_err(Error::from)?;
    let observed = observe(step.connection, &admission.observation(draft, now))?;
    let admitted = admission.decide(draft, &observed, now);
    let admitted = admitted.map_err(Error::from)?;
    let event = Event::create(draft, &admitted, limits, stamp);
    let mut event = event.map_err(Error::from)?;
    if let Some(change) = admitted.follow_up() {
        let stamp = step.stamp().map_err(Error::from)?;
        event = event.apply(&change, stamp).map_err(Error::from)?;
    }
    let person = draft.invoker.case_folded();
    let parameters = params![person.as_str(), draft.profile.as_str(), i64::MIN];
    let mut replaced = rows::many(step.connection, rows::ACTIVE, parameters)?;
    for event in &mut replaced {
        let stamp = step.stamp().map_err(Error::from)?;
        *event = event
            .apply(&Change::make_way(), stamp)
            .map_err(Error::from)?;
    }
    rows::insert(step, &event, &replaced)?;
    Ok(event)
}

/// What verifying the store says, with nothing noted.
pub(crate) fn verified(connection: &Connection) -> Result<Report, Failure> {
    verify(connection, &check::CHAINED, None)
}

impl Store for EventStore {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Event>, Error>> {
        Box::pin(async move {
            let (draft, admission) = (draft.clone(), admission.clone());
            self.write(move |step, limits| create(step, limits, &draft, &admission).map(Arc::new))
                .await
        })
    }

    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Arc<Event>, Error>> {
        Box::pin(async move {
            let read = move |connection: &Connection| {
                let found = by_id(connection, id)?;
                Ok(Arc::new(found.ok_or(Error::NotFound { id })?))
            };
            self.books.read(read).await
        })
    }

    fn update<'a>(
        &'a self,
        id: EventId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Event>, Error>> {
        Box::pin(async move {
            let change = change.clone();
            self.write(move |step, _| {
                if let Some(found) = done_before(step.connection, change.operation())? {
                    return Ok(Arc::new(change.first_result(id, &found)?));
                }
                let current = by_id(step.connection, id)?.ok_or(Error::NotFound { id })?;
                let actual = current.updated_at;
                if actual != expected {
                    return Err(Error::Conflict(Conflict { expected, actual }).into());
                }
                let stamp = step.stamp().map_err(Error::from)?;
                let event = current.apply(&change, stamp).map_err(Error::from)?;
                rows::update(step, &event)?;
                Ok(Arc::new(event))
            })
            .await
        })
    }

    fn delete<'a>(
        &'a self,
        id: EventId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            let retention = *retention;
            self.write(move |step, _| {
                let Some(event) = by_id(step.connection, id)? else {
                    return Ok(false);
                };
                let stamp = step.stamp().map_err(Error::from)?;
                retention.check(&event, stamp.now)?;
                rows::delete(step, &event, stamp.version)?;
                Ok(true)
            })
            .await
        })
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move {
            let (sql, key) = match filter {
                Filter::Invoker(person) => (rows::OF_INVOKER, person.to_string()),
                Filter::Profile(profile) => (rows::OF_PROFILE, profile.to_string()),
                Filter::Status(status) => (rows::OF_STATUS, rows::status_text(*status).to_owned()),
            };
            let read = move |connection: &Connection| {
                let (after, id) = place(page.after.as_ref(), i64::MAX);
                let limit = bound(page.effective_limit() + 1);
                let found = rows::many(connection, sql, params![key, after, id, limit])?;
                Ok(listing(found, page, |event| {
                    Cursor::at_version(event.created, event.id)
                }))
            };
            self.books.read(read).await
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        Box::pin(self.books.read_now(|_, now| Ok(*now)))
    }

    fn find_grant<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        Box::pin(async move {
            let (person, profile) = (person.clone(), profile.clone());
            self.books
                .read_now(move |connection, now| {
                    now.granting().map_err(Error::from)?;
                    let found = active(connection, &person, &profile, now)?;
                    let found = found.filter(|event| event.invoker == person);
                    Ok(found.and_then(|event| event.grant(*now)))
                })
                .await
        })
    }

    fn active_at<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Event>>, Error>> {
        Box::pin(async move {
            let (person, profile) = (person.clone(), profile.clone());
            let read = move |connection: &Connection| {
                let found = active(connection, &person, &profile, &Now::at_given(at))?;
                Ok(found.filter(|event| event.invoker == person).map(Arc::new))
            };
            self.books.read(read).await
        })
    }

    fn due(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Event>>, Error>> {
        let limit = Page::first(limit).effective_limit();
        Box::pin(self.books.read_now(move |connection, now| {
            let at = clamped(now.at());
            let mut found = rows::many(connection, rows::DUE, params![at, bound(limit)])?;
            // What is dated ahead has its end still to come.
            if now.correction().is_some() {
                let left = limit - found.len();
                let is_void = |event: &Event| event.is_void(now);
                found.extend(rows::some(connection, rows::NOT_DUE, [at], left, is_void)?);
            }
            Ok(shared(found))
        }))
    }

    fn awaiting_review(&self, page: Page) -> BoxFuture<'_, Result<Listing, Error>> {
        Box::pin(self.books.read_now(move |connection, now| {
            let (after, id) = place(page.after.as_ref(), i64::MIN);
            let limit = page.effective_limit() + 1;
            let due = |event: &Event| event.awaits_review(*now);
            let parameters = params![after, id];
            let found = rows::some(connection, rows::UNREVIEWED, parameters, limit, due)?;
            Ok(listing(found, page, |event| {
                Cursor::at_time(event.ended_at(), event.id)
            }))
        }))
    }

    fn ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Event>>, Error>> {
        let limit = Page::first(limit).effective_limit();
        Box::pin(self.books.read_now(move |connection, now| {
            // What is dated wrongly was over at the correction.
            let latest = now
                .correction()
                .map(|correction| clamped(correction.latest));
            let up_to = latest.map_or(i64::MIN, |latest| latest.saturating_add(1));
            let up_to = up_to.max(clamped(before));
            let ended = |event: &Event| event.over_since(now) < before;
            let found = rows::some(connection, rows::ENDED, [up_to], limit, ended)?;
            Ok(shared(found))
        }))
    }

    fn changes_since(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(async move {
            let limit = bound(Page::first(limit).effective_limit());
            let read = move |connection: &Connection| Ok(changes_since(connection, after, limit)?);
            self.books.read(read).await
        })
    }
}

fn changes_since(
    connection: &Connection,
    after: Option<Version>,
    limit: i64,
) -> Result<Vec<Changed>, Failure> {
    let (shipped, changes) = (rows::STATEMENTS, rows::CHANGES);
    let places = sql::changes_after(connection, shipped, changes, after, limit)?;
    let mut records: HashMap<i64, Arc<Event>> = HashMap::new();
    let mut changes = Vec::with_capacity(places.len());
    for (version, key) in places {
        let event = match records.get(&key) {
            Some(event) => Arc::clone(event),
            None => {
                let found = rows::one(connection, rows::BY_KEY, [key])?;
                let event = Arc::new(found.ok_or_else(|| EngineError::Record {
                    place: format!("the change of version `{version}`"),
                    found: "no event that it is of".to_owned(),
                })?);
                records.insert(key, Arc::clone(&event));
                event
            }
        };
        if let Some(entry) = event.entry_at(version) {
            changes.push(Changed {
                version,
                entry: Arc::clone(entry),
                event,
            });
        }
    }
    Ok(changes)
}
