//! Requests in the file: [`RequestStore`].
//!
//! Each call is one transaction, and each rule is the pure function of `countersign-request`, called
//! inside it; what a call answers is what the store in memory answers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::future::BoxFuture;
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::id::OperationId;
use countersign_core::time::{CLOCK_TOLERANCE, Now};
use countersign_core::version::{Conflict, Version};
use countersign_request::{
    Change, Changed, Cursor, Draft, Error, Filter, Health, Limits, Listing, Page, Person, Profile,
    Request, RequestId, Store, Terms,
};
use rusqlite::{Connection, params};

use crate::database::Database;
use crate::error::{EngineError, Failure, Stop};
use crate::ledger::Head;
use crate::report::Report;
use crate::sql::{self, bound, clamped};
use crate::step::{Books, Step};
use crate::verify::verify;

mod check;
pub(crate) mod rows;

/// Requests of one waiting profile that are read at once, where several profiles are asked for.
const READ_AHEAD: usize = 16;

/// Keeps requests in a file.
///
/// What it promises is the contract of [`Store`]. A version is on the disk when the call that made
/// it returns, as the file's [`Options`](crate::Options) say.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use countersign_request::*;
/// use countersign_sqlite::{Database, Options, RequestStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("countersign.db");
/// let policy: ApprovalPolicy =
///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#.parse()?;
/// let clock: Arc<dyn Clock> = Arc::new(SystemClock);
/// let database = Database::open(&path, &Options::default())?;
/// let store = Arc::new(RequestStore::new(&database, clock.clone()));
/// let workflow = Workflow::new(store, Arc::new(policy), clock);
/// let (alice, prod) = (Person::new("alice")?, Profile::new("prod")?);
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
    limits: Arc<Limits>,
}

impl RequestStore {
    /// The requests of this file, with the default [`Limits`].
    pub fn new(database: &Database, clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(database, clock, Limits::default())
    }

    /// The requests of this file, with other limits. Limits hold for what is created; they are not
    /// kept in the file.
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

    /// Makes one step of this store.
    async fn write<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Step<'_>, &Limits) -> Result<T, Stop<Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let limits = Arc::clone(&self.limits);
        self.books.write(move |made| step(made, &limits)).await
    }
}

/// The request in whose history the operation is, if there is one.
fn done_before(
    connection: &Connection,
    operation: Option<OperationId>,
) -> Result<Option<Request>, Failure> {
    match operation {
        Some(operation) => rows::of_operation(connection, &operation.to_string()),
        None => Ok(None),
    }
}

fn by_id(connection: &Connection, id: RequestId) -> Result<Option<Request>, Failure> {
    rows::one(connection, rows::BY_ID, [id.to_string()])
}

fn shared(requests: Vec<Request>) -> Vec<Arc<Request>> {
    requests.into_iter().map(Arc::new).collect()
}

/// Time and id of the place to go on after; all places come after the first.
fn place(after: Option<&Cursor>, first: i64) -> (i64, String) {
    match after {
        Some(cursor) => (cursor.place, cursor.id.to_string()),
        None => (first, String::new()),
    }
}

/// The first so many, and where to go on if there are more.
fn listing(mut requests: Vec<Request>, page: Page, place: impl Fn(&Request) -> Cursor) -> Listing {
    let limit = page.effective_limit();
    let more = requests.len() > limit;
    requests.truncate(limit);
    let next = requests.last().filter(|_| more).map(place);
    let items = shared(requests);
    Listing { items, next }
}

fn by_creation(request: &Request) -> Cursor {
    Cursor::at_version(request.created, request.id)
}

/// The request whose access is in force and lasts longest, of those that hold under the policy.
fn longest(
    connection: &Connection,
    person: &Person,
    profile: &Profile,
    policy: Option<PolicyDigest>,
    now: &Now,
) -> Result<Option<Request>, Failure> {
    let longest = |pinned_to: &str| {
        let at = clamped(now.at());
        let parameters = params![person.as_str(), profile.as_str(), pinned_to, at];
        let in_force = |request: &Request| request.grant(*now).is_some();
        rows::some(connection, rows::GRANT, parameters, 1, in_force)
    };
    let mut both = longest("")?;
    if let Some(policy) = policy {
        both.extend(longest(&policy.to_string())?);
    }
    let lasts = |request: &Request| (request.access_until, Reverse(request.id));
    Ok(both.into_iter().max_by_key(lasts))
}

/// Waiting requests of one profile, read a few at a time.
struct Source<'a> {
    profile: &'a Profile,
    place: (i64, String),
    ready: VecDeque<Request>,
    done: bool,
}

impl Source<'_> {
    /// When and which its next request is; reads on if it must.
    fn head(&mut self, connection: &Connection, ahead: usize) -> Result<Option<Version>, Failure> {
        if self.ready.is_empty() && !self.done {
            let (time, id) = &self.place;
            let parameters = params![self.profile.as_str(), time, id, bound(ahead)];
            let read = rows::many(connection, rows::WAITING_FOR, parameters)?;
            self.done = read.len() < ahead;
            if let Some(last) = read.last() {
                self.place = (last.created.as_nanos(), last.id.to_string());
            }
            self.ready = read.into();
        }
        let next = self.ready.front();
        Ok(next.map(|request| request.created))
    }
}

/// The oldest waiting requests of several profiles. No request is of two of them.
fn waiting_for(
    connection: &Connection,
    profiles: &BTreeSet<Profile>,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<Request>, Failure> {
    let ahead = match profiles.len() {
        1 => limit,
        _ => READ_AHEAD.min(limit),
    };
    let mut sources: Vec<Source<'_>> = Vec::with_capacity(profiles.len());
    let mut heads = BTreeMap::new();
    for (number, profile) in profiles.iter().enumerate() {
        let mut source = Source {
            profile,
            place: place(after, i64::MIN),
            ready: VecDeque::new(),
            done: false,
        };
        heads.extend(source.head(connection, ahead)?.map(|head| (head, number)));
        sources.push(source);
    }
    let mut requests = Vec::new();
    while requests.len() < limit {
        let Some((_, number)) = heads.pop_first() else {
            break;
        };
        let Some(source) = sources.get_mut(number) else {
            break;
        };
        requests.extend(source.ready.pop_front());
        heads.extend(source.head(connection, ahead)?.map(|head| (head, number)));
    }
    Ok(requests)
}

/// What verifying the store says, with nothing noted.
pub(crate) fn verified(connection: &Connection) -> Result<Report, Failure> {
    verify(connection, &check::CHAINED, None)
}

impl Store for RequestStore {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        Box::pin(async move {
            let (draft, terms) = (draft.clone(), terms.clone());
            self.write(move |step, limits| {
                if let Some(found) = done_before(step.connection, draft.operation)? {
                    return Ok(Arc::new(draft.first_result(&found)?));
                }
                if by_id(step.connection, draft.id)?.is_some() {
                    return Err(Error::AlreadyExists { id: draft.id }.into());
                }
                let stamp = step.stamp().map_err(Error::from)?;
                let request = Request::create(&draft, limits, &terms, stamp)?;
                rows::insert(step, &request)?;
                Ok(Arc::new(request))
            })
            .await
        })
    }

    fn get(&self, id: RequestId) -> BoxFuture<'_, Result<Arc<Request>, Error>> {
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
        id: RequestId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
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
                let request = current.apply(&change, stamp).map_err(Error::from)?;
                rows::update(step, &request)?;
                Ok(Arc::new(request))
            })
            .await
        })
    }

    fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(async move {
            self.write(move |step, _| {
                let Some(request) = by_id(step.connection, id)? else {
                    return Ok(false);
                };
                let stamp = step.stamp().map_err(Error::from)?;
                request.check_deletion(&stamp.now, ended_before)?;
                rows::delete(step, &request, stamp.version)?;
                Ok(true)
            })
            .await
        })
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move {
            let (sql, key) = match filter {
                Filter::Requester(person) => (rows::OF_REQUESTER, person.to_string()),
                Filter::Profile(profile) => (rows::OF_PROFILE, profile.to_string()),
                Filter::Status(status) => (rows::OF_STATUS, rows::status_text(*status).to_owned()),
            };
            let read = move |connection: &Connection| {
                let (after, id) = place(page.after.as_ref(), i64::MAX);
                let limit = bound(page.effective_limit() + 1);
                let found = rows::many(connection, sql, params![key, after, id, limit])?;
                Ok(listing(found, page, by_creation))
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
        policy: Option<PolicyDigest>,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        Box::pin(async move {
            let (person, profile) = (person.clone(), profile.clone());
            self.books
                .read_now(move |connection, now| {
                    now.granting().map_err(Error::from)?;
                    let found = longest(connection, &person, &profile, policy, now)?;
                    Ok(found.and_then(|request| request.grant(*now)))
                })
                .await
        })
    }

    fn access_at<'a>(
        &'a self,
        person: &'a Person,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>> {
        Box::pin(async move {
            let (person, profile) = (person.clone(), profile.clone());
            let now = Now::at_given(at);
            let read = move |connection: &Connection| {
                let found = longest(connection, &person, &profile, policy, &now)?;
                Ok(found.map(Arc::new))
            };
            self.books.read(read).await
        })
    }

    fn due(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        let limit = Page::first(limit).effective_limit();
        Box::pin(self.books.read_now(move |connection, now| {
            let at = clamped(now.at());
            let mut found = rows::many(connection, rows::DUE, params![at, bound(limit)])?;
            // What is dated ahead has its deadline, or the end of its access, still to come.
            if now.correction().is_some() {
                let is_due = |request: &Request| request.is_due(now) || request.is_void(now);
                for sql in [rows::NOT_DUE, rows::NOT_ENDED] {
                    let left = limit - found.len();
                    found.extend(rows::some(connection, sql, [at], left, is_due)?);
                }
            }
            Ok(shared(found))
        }))
    }

    fn waiting<'a>(
        &'a self,
        profiles: Option<&'a BTreeSet<Profile>>,
        page: Page,
    ) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move {
            let profiles = profiles.cloned();
            let read = move |connection: &Connection| {
                let limit = page.effective_limit() + 1;
                let found = match &profiles {
                    Some(profiles) => {
                        waiting_for(connection, profiles, page.after.as_ref(), limit)?
                    }
                    None => {
                        let (after, id) = place(page.after.as_ref(), i64::MIN);
                        rows::many(connection, rows::WAITING, params![after, id, bound(limit)])?
                    }
                };
                Ok(listing(found, page, by_creation))
            };
            self.books.read(read).await
        })
    }

    fn open<'a>(&'a self, person: &'a Person, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move {
            let person = person.clone();
            self.books
                .read_now(move |connection, now| {
                    let (after, id) = place(page.after.as_ref(), i64::MAX);
                    let parameters = params![person.as_str(), clamped(now.at()), after, id];
                    let limit = page.effective_limit() + 1;
                    let is_open = |request: &Request| request.is_open(now);
                    let found = rows::some(connection, rows::OPEN, parameters, limit, is_open)?;
                    Ok(listing(found, page, |request| {
                        let ends_at = request.access_until.unwrap_or(request.decide_by);
                        Cursor::at_time(ends_at, request.id)
                    }))
                })
                .await
        })
    }

    fn ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        let limit = Page::first(limit).effective_limit();
        Box::pin(self.books.read_now(move |connection, now| {
            let before = |request: &Request| request.ended_before(time, now);
            let to_come = clamped(time.max(now.at()));
            let time = clamped(time);
            let mut found = rows::some(connection, rows::ENDED, [time], limit, before)?;
            // What is dated ahead ended at the correction.
            if now.correction().is_some() {
                let (left, time) = (limit - found.len(), to_come);
                found.extend(rows::some(
                    connection,
                    rows::NOT_ENDED,
                    [time],
                    left,
                    before,
                )?);
            }
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
    let mut records: HashMap<i64, Arc<Request>> = HashMap::new();
    let mut changes = Vec::with_capacity(places.len());
    for (version, key) in places {
        let request = match records.get(&key) {
            Some(request) => Arc::clone(request),
            None => {
                let found = rows::one(connection, rows::BY_KEY, [key])?;
                let request = Arc::new(found.ok_or_else(|| EngineError::Record {
                    place: format!("the change of version `{version}`"),
                    found: "no request that it is of".to_owned(),
                })?);
                records.insert(key, Arc::clone(&request));
                request
            }
        };
        if let Some(entry) = request.entry_at(version) {
            changes.push(Changed {
                version,
                entry: Arc::clone(entry),
                request,
            });
        }
    }
    Ok(changes)
}
