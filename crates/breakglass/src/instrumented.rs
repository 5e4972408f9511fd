//! A store around a store, for tests: counts calls, measures them, and fails them on demand.
//!
//! [`Instrumented`] wraps any [`Store`] and is one. Put it around your own store to see how a
//! service behaves when the engine fails, or to assert how often it was asked. It costs a few
//! atomic operations a call, adds no lock across an await, and changes no answer unless
//! [`Instrumented::fail_next`] told it to. Present with the feature `test-util` only.
//!
//! ```
//! use std::sync::Arc;
//! use countersign_core::clock::ManualTicks;
//! use countersign_breakglass::instrumented::{Fault, Instrumented, Method};
//! use countersign_breakglass::{self as breakglass, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let yours = breakglass::InMemory::default(); // or any other store
//! let store = Instrumented::new(yours, Arc::new(ManualTicks::new()));
//! let id = breakglass::EmergencyId::from_bits(1);
//!
//! store.fail_next(Method::Get, 1, Fault::before());
//! assert!(store.get(id).await.unwrap_err().is_retryable());
//! assert!(matches!(store.get(id).await, Err(breakglass::Error::NotFound { .. })));
//!
//! let counts = store.counts(Method::Get);
//! assert_eq!((counts.started, counts.failed, counts.injected), (2, 1, 1));
//! # }
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::Ticks;
use countersign_core::engine::Failure;
use countersign_core::engine::Outcome;
use countersign_core::future::BoxFuture;
use countersign_core::grant::Grant;
use countersign_core::names::{Profile, User};
use countersign_core::time::Now;
use countersign_core::version::Version;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::record::Emergency;
use crate::retention::Retention;
use crate::store::{Changed, Filter, Store};
use crate::vocabulary::EmergencyId;
use crate::{Listing, Page, lists};

/// A method of [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// [`Store::create`].
    Create,
    /// [`Store::get`].
    Get,
    /// [`Store::update`].
    Update,
    /// [`Store::delete`].
    Delete,
    /// [`Store::list`].
    List,
    /// [`Store::now`].
    Now,
    /// [`Store::find_grant`].
    FindGrant,
    /// [`Store::active_at`].
    ActiveAt,
    /// [`Store::list_expirable`].
    ListExpirable,
    /// [`Store::list_awaiting_review`].
    ListAwaitingReview,
    /// [`Store::list_ended`].
    ListEnded,
    /// [`Store::changes_after`].
    ChangesAfter,
}

impl Method {
    /// All of them, in the order of the trait.
    pub const ALL: [Method; 12] = [
        Method::Create,
        Method::Get,
        Method::Update,
        Method::Delete,
        Method::List,
        Method::Now,
        Method::FindGrant,
        Method::ActiveAt,
        Method::ListExpirable,
        Method::ListAwaitingReview,
        Method::ListEnded,
        Method::ChangesAfter,
    ];
}

/// When an injected fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Instead of the call: the wrapped store never sees it.
    Before,
    /// After the call: the wrapped store has answered, and the answer is lost.
    After,
}

/// A fault to inject: the [`Error::Backend`] that the caller gets, and when.
///
/// [`Outcome::NotApplied`] together with [`When::After`] breaks the contract of [`Store`], unless
/// the call would have failed anyway; it can be injected to see whether anything notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When it strikes.
    pub when: When,
    /// What the error says of trying again.
    pub retryable: bool,
    /// What the error says of the change.
    pub outcome: Outcome,
}

impl Fault {
    /// The engine could not be reached: nothing was changed, and trying again may help.
    pub const fn before() -> Self {
        Self {
            when: When::Before,
            retryable: true,
            outcome: Outcome::NotApplied,
        }
    }

    /// The answer was lost: the call took effect, and the caller cannot know.
    pub const fn after() -> Self {
        Self {
            when: When::After,
            retryable: true,
            outcome: Outcome::Unknown,
        }
    }

    fn error(self, method: Method) -> Error {
        let failure = Failure::new(format!("injected into {method:?}"), self.outcome);
        Error::Backend(Failure {
            is_retryable: self.retryable,
            ..failure
        })
    }
}

/// What became of the calls of one method.
///
/// A call whose future is dropped before its end is started and nothing else, so calls are under
/// way or were dropped where `started` exceeds the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls whose future was polled.
    pub started: u64,
    /// Calls that the caller saw succeed.
    pub succeeded: u64,
    /// Calls that the caller saw fail with [`Error::Conflict`].
    pub conflicts: u64,
    /// Calls that the store itself failed with any other error.
    pub failed: u64,
    /// Calls that the caller saw fail with an injected fault, whatever the store answered.
    pub injected: u64,
}

#[derive(Debug, Default)]
struct Gauge {
    started: AtomicU64,
    succeeded: AtomicU64,
    conflicts: AtomicU64,
    failed: AtomicU64,
    injected: AtomicU64,
    longest_nanos: AtomicU64,
    faults: Mutex<VecDeque<Fault>>,
}

impl Gauge {
    fn next_fault(&self) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.pop_front()
    }
}

/// A store that counts, measures and fails the calls of the store that it wraps.
///
/// Counters are exact, and are seen by whoever has seen the call end. Nothing is counted before a
/// future is first polled.
#[derive(Debug)]
pub struct Instrumented<S> {
    store: S,
    ticks: Arc<dyn Ticks>,
    create: Gauge,
    get: Gauge,
    update: Gauge,
    delete: Gauge,
    list: Gauge,
    now: Gauge,
    find_grant: Gauge,
    active_at: Gauge,
    list_expirable: Gauge,
    list_awaiting_review: Gauge,
    list_ended: Gauge,
    changes_after: Gauge,
}

impl<S> Instrumented<S> {
    /// Wraps a store. Latencies are read off `ticks`; with
    /// [`ManualTicks`](countersign_core::clock::ManualTicks) a test decides them.
    pub fn new(store: S, ticks: Arc<dyn Ticks>) -> Self {
        Self {
            store,
            ticks,
            create: Gauge::default(),
            get: Gauge::default(),
            update: Gauge::default(),
            delete: Gauge::default(),
            list: Gauge::default(),
            now: Gauge::default(),
            find_grant: Gauge::default(),
            active_at: Gauge::default(),
            list_expirable: Gauge::default(),
            list_awaiting_review: Gauge::default(),
            list_ended: Gauge::default(),
            changes_after: Gauge::default(),
        }
    }

    /// The wrapped store. What is called on it directly is not counted.
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// The wrapped store, without the instrument.
    pub fn into_inner(self) -> S {
        self.store
    }

    /// What became of the calls of a method so far.
    pub fn counts(&self, method: Method) -> Counts {
        let gauge = self.gauge(method);
        Counts {
            started: gauge.started.load(Ordering::SeqCst),
            succeeded: gauge.succeeded.load(Ordering::SeqCst),
            conflicts: gauge.conflicts.load(Ordering::SeqCst),
            failed: gauge.failed.load(Ordering::SeqCst),
            injected: gauge.injected.load(Ordering::SeqCst),
        }
    }

    /// How many calls of a method were started.
    pub fn calls(&self, method: Method) -> u64 {
        self.counts(method).started
    }

    /// The longest that a call of a method took, from its first poll to its end; zero if none has
    /// ended.
    pub fn longest(&self, method: Method) -> Duration {
        Duration::from_nanos(self.gauge(method).longest_nanos.load(Ordering::SeqCst))
    }

    /// Makes the next `calls` calls of a method fail; after those already set up to fail.
    pub fn fail_next(&self, method: Method, calls: usize, fault: Fault) {
        let faults = &self.gauge(method).faults;
        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.extend(std::iter::repeat_n(fault, calls));
    }

    fn gauge(&self, method: Method) -> &Gauge {
        match method {
            Method::Create => &self.create,
            Method::Get => &self.get,
            Method::Update => &self.update,
            Method::Delete => &self.delete,
            Method::List => &self.list,
            Method::Now => &self.now,
            Method::FindGrant => &self.find_grant,
            Method::ActiveAt => &self.active_at,
            Method::ListExpirable => &self.list_expirable,
            Method::ListAwaitingReview => &self.list_awaiting_review,
            Method::ListEnded => &self.list_ended,
            Method::ChangesAfter => &self.changes_after,
        }
    }

    async fn measure<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let gauge = self.gauge(method);
        gauge.started.fetch_add(1, Ordering::SeqCst);
        let begin = self.ticks.now();
        let fault = gauge.next_fault();
        let result = match fault {
            Some(fault) if fault.when == When::Before => Err(fault.error(method)),
            Some(fault) => {
                drop(call.await);
                Err(fault.error(method))
            }
            None => call.await,
        };
        let took = self.ticks.now().since(begin).as_nanos();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        gauge.longest_nanos.fetch_max(took, Ordering::SeqCst);
        let counter = match &result {
            _ if fault.is_some() => &gauge.injected,
            Ok(_) => &gauge.succeeded,
            Err(Error::Conflict(_)) => &gauge.conflicts,
            Err(_) => &gauge.failed,
        };
        counter.fetch_add(1, Ordering::SeqCst);
        result
    }
}

impl<S: Store> Store for Instrumented<S> {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        Box::pin(async move {
            self.measure(Method::Create, self.store.create(draft, admission))
                .await
        })
    }

    fn get(&self, id: EmergencyId) -> BoxFuture<'_, Result<Arc<Emergency>, Error>> {
        Box::pin(async move { self.measure(Method::Get, self.store.get(id)).await })
    }

    fn update<'a>(
        &'a self,
        id: EmergencyId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        Box::pin(async move {
            self.measure(Method::Update, self.store.update(id, expected, change))
                .await
        })
    }

    fn delete<'a>(
        &'a self,
        id: EmergencyId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            self.measure(Method::Delete, self.store.delete(id, retention))
                .await
        })
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move {
            self.measure(Method::List, self.store.list(filter, page))
                .await
        })
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        Box::pin(async move { self.measure(Method::Now, self.store.now()).await })
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        Box::pin(async move {
            let call = self.store.find_grant(user, profile);
            self.measure(Method::FindGrant, call).await
        })
    }

    fn active_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Emergency>>, Error>> {
        Box::pin(async move {
            let call = self.store.active_at(user, profile, at);
            self.measure(Method::ActiveAt, call).await
        })
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        Box::pin(async move {
            self.measure(Method::ListExpirable, self.store.list_expirable(limit))
                .await
        })
    }

    fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> BoxFuture<'_, Result<Listing<lists::AwaitingReview>, Error>> {
        Box::pin(async move {
            let call = self.store.list_awaiting_review(page);
            self.measure(Method::ListAwaitingReview, call).await
        })
    }

    fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        Box::pin(async move {
            self.measure(Method::ListEnded, self.store.list_ended(before, limit))
                .await
        })
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(async move {
            let call = self.store.changes_after(after, limit);
            self.measure(Method::ChangesAfter, call).await
        })
    }
}
