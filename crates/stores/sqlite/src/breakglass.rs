//! Emergencies in the file: [`EventStore`].
//!
//! Each call is one transaction, and each rule is the pure function of `countersign-breakglass`,
//! called inside it; what a call answers is what the store in memory answers. What an admission
//! looks at is read in the transaction that writes the event.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_breakglass::{
    ActiveEvent, Admission, Change, Changed, CountWanted, Counted, Cursor, Draft, Error, Event,
    EventId, Filter, Limits, Listing, Observation, Observed, Page, Person, Profile, Retention,
    Store, UnreviewedEvent,
};
use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::id::OperationId;
use countersign_core::version::{Conflict, Version};
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Database;
use crate::error::{EngineError, Failure, Stop};
use crate::ledger::{Head, Step, Tip};
use crate::report::Report;
use crate::sql::{self, Time, bound, clamped};
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
/// let workflow = Workflow::new(store.clone(), Arc::new(who), Arc::new(often), clock);
/// let (alice, prod, hour) = (Person::new("alice")?, Profile::new("prod")?, Duration::from_secs(3600));
/// let draft = workflow.draft(&alice, &prod, hour, ReasonCode::Incident, "orders cannot be written")?;
/// let id = workflow.invoke(&draft).await?.id;
/// assert_eq!(store.get(id).await?.invoker, alice);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EventStore {
    database: Database,
    clock: Arc<dyn Clock>,
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
            database: database.clone(),
            clock,
            limits: Arc::new(limits),
        }
    }

    /// The head of the ledger: note it where those who can write the file cannot.
    ///
    /// # Errors
    /// [`Error::Backend`] if the engine fails.
    pub async fn head(&self) -> Result<Head, Error> {
        let read = |connection: &Connection| {
            let tip = Tip::read(connection, &rows::LEDGER)?;
            Ok(Head::new(rows::LEDGER.store, tip.position, tip.head))
        };
        self.database.read(read).await
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
        self.database.read(read).await
    }

    /// Makes one step of this store.
    async fn write<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Step<'_>, &Limits) -> Result<T, Stop<Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let (clock, limits) = (Arc::clone(&self.clock), Arc::clone(&self.limits));
        let write = move |connection: &Connection| {
            step(
                &mut Step::begin(connection, &rows::LEDGER, &*clock)?,
                &limits,
            )
        };
        self.database.write(write).await
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
        Some(cursor) => (clamped(cursor.time), cursor.id.to_string()),
        None => (first, String::new()),
    }
}

/// The first so many, and where to go on if there are more.
fn listing(mut events: Vec<Event>, page: Page, time: fn(&Event) -> DateTime<Utc>) -> Listing {
    let limit = page.effective_limit();
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map(|last| Cursor {
        time: time(last),
        id: last.id,
    });
    let items = shared(events);
    Listing { items, next }
}

/// What a step sees of an [`Observation`].
fn observe(connection: &Connection, wanted: &Observation) -> Result<Observed, Failure> {
    let (person, profile) = (wanted.person.as_str(), wanted.profile.as_str());
    let statement = |sql| sql::statement(connection, rows::STATEMENTS, sql);
    let parameters = params![person, profile, clamped(wanted.at)];
    let active = rows::one(connection, rows::ACTIVE, parameters)?;
    let last_created_at = match wanted.last_created_at {
        false => None,
        true => statement(rows::LAST_CREATED)?
            .query_row([person, profile], |row| row.get::<_, Time>(0))
            .optional()?,
    };
    let used_by = match &wanted.proof {
        None => None,
        Some(proof) => statement(rows::PROOF_USED)?
            .query_row([proof.as_str()], |row| {
                sql::parsed(row, "id", |text| text.parse().ok())
            })
            .optional()?,
    };
    let unreviewed = match wanted.unreviewed {
        false => None,
        true => rows::one(connection, rows::UNREVIEWED_OF, [person])?,
    };
    let unreviewed = unreviewed.filter(|event| event.awaits_review(wanted.at));
    let of_person = count(
        connection,
        person,
        wanted.of_person,
        (rows::COUNT_OF_PERSON, rows::NTH_OF_PERSON),
    )?;
    let of_profile = count(
        connection,
        profile,
        wanted.of_profile,
        (rows::COUNT_OF_PROFILE, rows::NTH_OF_PROFILE),
    )?;
    Ok(Observed {
        active: active.map(|event| ActiveEvent {
            id: event.id,
            expires_at: event.expires_at,
        }),
        last_created_at: last_created_at.map(|time| time.0),
        of_person,
        of_profile,
        proof_used_by: used_by,
        unreviewed: unreviewed.map(|event| UnreviewedEvent {
            id: event.id,
            ended_at: event.ended_at(),
        }),
    })
}

fn count(
    connection: &Connection,
    of: &str,
    wanted: Option<CountWanted>,
    (count, nth): (&'static str, &'static str),
) -> Result<Counted, Failure> {
    let Some(wanted) = wanted else {
        return Ok(Counted::default());
    };
    let after = clamped(wanted.created_after);
    let mut statement = sql::statement(connection, rows::STATEMENTS, count)?;
    let count = statement.query_row(params![of, after], |row| row.get(0))?;
    let nth_newest = match wanted.nth_newest {
        None => None,
        Some(number) => {
            let before = i64::from(number.get()) - 1;
            let mut statement = sql::statement(connection, rows::STATEMENTS, nth)?;
            statement
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
    let at = step.stamp().map_err(Error::from)?;
    let observed = observe(step.connection, &admission.observation(draft, at.time()))?;
    let admitted = admission.decide(draft, &observed, at.time());
    let admitted = admitted.map_err(Error::from)?;
    let event = Event::create(draft, &admitted, limits, at);
    let mut event = event.map_err(Error::from)?;
    if let Some(change) = admitted.follow_up() {
        let at = step.stamp().map_err(Error::from)?;
        event = event.apply(&change, at).map_err(Error::from)?;
    }
    let person = draft.invoker.case_folded();
    let parameters = params![person.as_str(), draft.profile.as_str(), i64::MIN];
    let mut replaced = rows::many(step.connection, rows::ACTIVE, parameters)?;
    for event in &mut replaced {
        let at = step.stamp().map_err(Error::from)?;
        *event = event.apply(&Change::expire(), at).map_err(Error::from)?;
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
            self.database.read(read).await
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
                let at = step.stamp().map_err(Error::from)?;
                let event = current.apply(&change, at).map_err(Error::from)?;
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
                let at = step.stamp().map_err(Error::from)?;
                retention.check(&event, at.time())?;
                rows::delete(step, &event, at)?;
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
                let (time, id) = place(page.after.as_ref(), i64::MAX);
                let limit = bound(page.effective_limit() + 1);
                let found = rows::many(connection, sql, params![key, time, id, limit])?;
                Ok(listing(found, page, |event| event.created_at))
            };
            self.database.read(read).await
        })
    }

    fn find_active<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Event>>, Error>> {
        Box::pin(async move {
            let (person, profile) = (person.clone(), profile.clone());
            let read = move |connection: &Connection| {
                let folded = person.case_folded();
                let parameters = params![folded.as_str(), profile.as_str(), clamped(at)];
                // There is one under any spelling, or none.
                let found = rows::one(connection, rows::ACTIVE, parameters)?;
                Ok(found.filter(|event| event.invoker == person).map(Arc::new))
            };
            self.database.read(read).await
        })
    }

    fn due(
        &self,
        at: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Event>>, Error>> {
        Box::pin(async move {
            let limit = bound(Page::first(limit).effective_limit());
            let read = move |connection: &Connection| {
                let found = rows::many(connection, rows::DUE, params![clamped(at), limit])?;
                Ok(shared(found))
            };
            self.database.read(read).await
        })
    }

    fn awaiting_review(
        &self,
        at: DateTime<Utc>,
        page: Page,
    ) -> BoxFuture<'_, Result<Listing, Error>> {
        Box::pin(async move {
            let read = move |connection: &Connection| {
                let (time, id) = place(page.after.as_ref(), i64::MIN);
                let limit = bound(page.effective_limit() + 1);
                let parameters = params![clamped(at), time, id, limit];
                let found = rows::many(connection, rows::UNREVIEWED, parameters)?;
                Ok(listing(found, page, Event::ended_at))
            };
            self.database.read(read).await
        })
    }

    fn ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Event>>, Error>> {
        Box::pin(async move {
            let limit = bound(Page::first(limit).effective_limit());
            let read = move |connection: &Connection| {
                let found = rows::many(connection, rows::ENDED, params![clamped(before), limit])?;
                Ok(shared(found))
            };
            self.database.read(read).await
        })
    }

    fn changes_since(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(async move {
            let limit = bound(Page::first(limit).effective_limit());
            let read = move |connection: &Connection| Ok(changes_since(connection, after, limit)?);
            self.database.read(read).await
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
