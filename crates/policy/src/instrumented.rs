//! A loader or store under observation, for tests: counts, times, holds and fails its calls.
//!
//! [`Instrumented`] wraps any [`Loader`] or [`Store`], the caller's own included, and is one
//! itself. The crate's concurrency suites assert the exact numbers it gives.
//!
//! - **Counts** are exact, whoever calls at the same time; they are read one after the other, so
//!   they agree with each other only when nobody calls.
//! - **Latency** is measured on the given [`Ticks`], from the call (the first poll of its future)
//!   to its outcome, time at the gate included. With [`ManualTicks`](crate::ManualTicks) it is
//!   what the test moved them by.
//! - **Faults**: the next calls fail without reaching what is wrapped.
//! - **The gate**: while it is closed, every call waits at it before it reaches what is wrapped.
//!
//! Nothing here is meant for production: every call takes a lock.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::clock::Ticks;
use countersign_core::future::BoxFuture;
use countersign_core::sync::Mutex;
use countersign_core::version::Version;
use tokio::sync::watch;

use crate::loader::{LoadError, Loader};
use crate::policy::Policy;
use crate::store::{
    Attribution, Changed, Error, Expected, NameListing, NamePage, Put, Store, Stored,
};

/// A method of [`Loader`] or [`Store`].
///
/// ```
/// use countersign_policy::instrumented::Method;
///
/// assert_ne!(Method::Load, Method::Get);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// [`Loader::load`].
    Load,
    /// [`Store::put`].
    Put,
    /// [`Store::get`].
    Get,
    /// [`Store::get_version`].
    GetVersion,
    /// [`Store::versions`].
    Versions,
    /// [`Store::list`].
    List,
    /// [`Store::delete`].
    Delete,
    /// [`Store::changes_after`].
    ChangesAfter,
}

/// How often a method was called, with what end, and how long it took.
///
/// ```
/// use countersign_policy::instrumented::Calls;
///
/// assert_eq!(Calls::default().begun, 0);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Calls {
    /// Calls whose future was polled.
    pub begun: u64,
    /// Calls that gave an outcome. Less than `begun` by those under way, dropped or panicked.
    pub finished: u64,
    /// Of those, the ones whose outcome was an error, injected ones included.
    pub failed: u64,
    /// The time that the finished calls took together.
    pub total: Duration,
    /// The time that the longest of them took.
    pub longest: Duration,
}

/// A [`Loader`] or [`Store`] whose calls are counted and timed, and can be held and failed.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use countersign_policy::instrumented::{Instrumented, Method};
/// use countersign_policy::{BoxFuture, CachedLoader, LoadError, Loader, ManualTicks, Policy};
///
/// struct Mine;
///
/// impl Loader for Mine {
///     fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
///         let policy = r#"{"version": "1", "rules": [
///             {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
///         ]}"#.parse::<Policy>();
///         Box::pin(async move { policy.map(Arc::new).map_err(|e| LoadError::invalid(name, e)) })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ticks = Arc::new(ManualTicks::new());
/// let source = Arc::new(Instrumented::new(Mine, ticks.clone()));
/// let cache = CachedLoader::new(source.clone());
///
/// // The source is down for one call.
/// source.fail_loads(1, |name| LoadError::failed(name, std::io::Error::other("down")));
/// assert!(cache.load("main").await.is_err());
///
/// // Two callers come while the source takes 3 ms: they share one load.
/// source.close_gate();
/// let callers = [(); 2].map(|()| tokio::spawn({
///     let cache = cache.clone();
///     async move { cache.load("main").await }
/// }));
/// source.until_held(1).await;
/// ticks.advance(Duration::from_millis(3));
/// source.open_gate();
/// for caller in callers {
///     caller.await??;
/// }
/// let loads = source.calls(Method::Load);
/// assert_eq!((loads.begun, loads.failed), (2, 1));
/// assert_eq!(loads.longest, Duration::from_millis(3));
/// # Ok(())
/// # }
/// ```
pub struct Instrumented<L> {
    inner: L,
    ticks: Arc<dyn Ticks>,
    meters: Meters,
    load_faults: Faults<LoadError>,
    store_faults: Mutex<Vec<(Method, Arc<Faults<Error>>)>>,
    closed: watch::Sender<bool>,
    held: watch::Sender<usize>,
}

impl<L> Instrumented<L> {
    /// Wraps `inner`: all counts at zero, the gate open, no fault.
    pub fn new(inner: L, ticks: Arc<dyn Ticks>) -> Self {
        Self {
            inner,
            ticks,
            meters: Meters::default(),
            load_faults: Faults::default(),
            store_faults: Mutex::default(),
            closed: watch::Sender::new(false),
            held: watch::Sender::new(0),
        }
    }

    /// What is wrapped. Calls made on it directly are not counted, held or failed.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// What has happened to the calls of one method so far.
    pub fn calls(&self, method: Method) -> Calls {
        self.meters.of(method).read()
    }

    /// Makes the next `count` loads fail with what `error` makes of the name, after those that
    /// were already told to. What is wrapped is not called.
    pub fn fail_loads(
        &self,
        count: usize,
        error: impl Fn(&str) -> LoadError + Send + Sync + 'static,
    ) {
        self.load_faults.add(count, Arc::new(error));
    }

    /// Makes the next `count` calls of a [`Store`] method fail with what `error` makes of the name
    /// (empty for a list or changes), after those that were already told to. What is wrapped is not
    /// called.
    ///
    /// Loads fail by [`Instrumented::fail_loads`]; for [`Method::Load`] this does nothing.
    pub fn fail_calls(
        &self,
        method: Method,
        count: usize,
        error: impl Fn(&str) -> Error + Send + Sync + 'static,
    ) {
        self.faults_of(method).add(count, Arc::new(error));
    }

    /// Closes the gate: calls that begin from now on wait at it.
    pub fn close_gate(&self) {
        self.closed.send_replace(true);
    }

    /// Opens the gate: the calls that wait at it go on, and later ones do not wait.
    pub fn open_gate(&self) {
        self.closed.send_replace(false);
    }

    /// How many calls wait at the gate.
    pub fn held(&self) -> usize {
        *self.held.borrow()
    }

    /// Waits until at least `count` calls wait at the gate.
    pub async fn until_held(&self, count: usize) {
        // The sender is in `self`, so the channel cannot be closed meanwhile.
        let _ = self.held.subscribe().wait_for(|held| *held >= count).await;
    }

    fn faults_of(&self, method: Method) -> Arc<Faults<Error>> {
        let mut all = self.store_faults.lock();
        if let Some((_, faults)) = all.iter().find(|(of, _)| *of == method) {
            return Arc::clone(faults);
        }
        let faults = Arc::new(Faults::default());
        all.push((method, Arc::clone(&faults)));
        faults
    }

    async fn pass_gate(&self) {
        let mut closed = self.closed.subscribe();
        if !*closed.borrow_and_update() {
            return;
        }
        let _place = Place::take(&self.held);
        let _ = closed.wait_for(|closed| !closed).await;
    }

    async fn observe<T, E>(
        &self,
        method: Method,
        fault: Option<E>,
        call: BoxFuture<'_, Result<T, E>>,
    ) -> Result<T, E> {
        let meter = self.meters.of(method);
        meter.begun.fetch_add(1, Ordering::SeqCst);
        let start = self.ticks.now();
        self.pass_gate().await;
        let result = match fault {
            Some(error) => Err(error),
            None => call.await,
        };
        meter.finish(self.ticks.now().since(start), result.is_err());
        result
    }

    async fn observe_store<T>(
        &self,
        method: Method,
        name: &str,
        call: BoxFuture<'_, Result<T, Error>>,
    ) -> Result<T, Error> {
        let fault = self.faults_of(method).next(name);
        self.observe(method, fault, call).await
    }
}

impl<L: Loader> Loader for Instrumented<L> {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            let fault = self.load_faults.next(name);
            self.observe(Method::Load, fault, self.inner.load(name))
                .await
        })
    }
}

impl<S: Store> Store for Instrumented<S> {
    fn put<'a>(
        &'a self,
        name: &'a str,
        expected: Expected,
        policy: Arc<Policy>,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<Put, Error>> {
        Box::pin(async move {
            let call = self.inner.put(name, expected, policy, attribution);
            self.observe_store(Method::Put, name, call).await
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move {
            let call = self.inner.get(name);
            self.observe_store(Method::Get, name, call).await
        })
    }

    fn get_version<'a>(
        &'a self,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move {
            let call = self.inner.get_version(name, version);
            self.observe_store(Method::GetVersion, name, call).await
        })
    }

    fn versions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Arc<Stored>>, Error>> {
        Box::pin(async move {
            let call = self.inner.versions(name);
            self.observe_store(Method::Versions, name, call).await
        })
    }

    fn list<'a>(&'a self, page: &'a NamePage) -> BoxFuture<'a, Result<NameListing, Error>> {
        Box::pin(async move {
            let call = self.inner.list(page);
            self.observe_store(Method::List, "", call).await
        })
    }

    fn delete<'a>(
        &'a self,
        name: &'a str,
        expected: Version,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let call = self.inner.delete(name, expected, attribution);
            self.observe_store(Method::Delete, name, call).await
        })
    }

    fn changes_after<'a>(
        &'a self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Changed>, Error>> {
        Box::pin(async move {
            let call = self.inner.changes_after(after, limit);
            self.observe_store(Method::ChangesAfter, "", call).await
        })
    }
}

impl<L: fmt::Debug> fmt::Debug for Instrumented<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instrumented")
            .field("inner", &self.inner)
            .field("meters", &self.meters)
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Meters {
    load: Meter,
    put: Meter,
    get: Meter,
    get_version: Meter,
    versions: Meter,
    list: Meter,
    delete: Meter,
    changes_after: Meter,
}

impl Meters {
    fn of(&self, method: Method) -> &Meter {
        match method {
            Method::Load => &self.load,
            Method::Put => &self.put,
            Method::Get => &self.get,
            Method::GetVersion => &self.get_version,
            Method::Versions => &self.versions,
            Method::List => &self.list,
            Method::Delete => &self.delete,
            Method::ChangesAfter => &self.changes_after,
        }
    }
}

#[derive(Debug, Default)]
struct Meter {
    begun: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    total_nanos: AtomicU64,
    longest_nanos: AtomicU64,
}

impl Meter {
    fn finish(&self, took: Duration, failed: bool) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.total_nanos.fetch_add(nanos, Ordering::SeqCst);
        self.longest_nanos.fetch_max(nanos, Ordering::SeqCst);
        self.failed.fetch_add(u64::from(failed), Ordering::SeqCst);
        self.finished.fetch_add(1, Ordering::SeqCst);
    }

    fn read(&self) -> Calls {
        Calls {
            begun: self.begun.load(Ordering::SeqCst),
            finished: self.finished.load(Ordering::SeqCst),
            failed: self.failed.load(Ordering::SeqCst),
            total: Duration::from_nanos(self.total_nanos.load(Ordering::SeqCst)),
            longest: Duration::from_nanos(self.longest_nanos.load(Ordering::SeqCst)),
        }
    }
}

type MakeError<E> = Arc<dyn Fn(&str) -> E + Send + Sync>;

/// Errors that are to come, each with how many calls get it.
struct Faults<E> {
    queue: Mutex<VecDeque<(usize, MakeError<E>)>>,
}

impl<E> Default for Faults<E> {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
        }
    }
}

impl<E> Faults<E> {
    fn add(&self, count: usize, make: MakeError<E>) {
        if count > 0 {
            self.queue.lock().push_back((count, make));
        }
    }

    fn next(&self, name: &str) -> Option<E> {
        let mut queue = self.queue.lock();
        let (left, make) = queue.front_mut()?;
        *left -= 1;
        let make = Arc::clone(make);
        if *left == 0 {
            queue.pop_front();
        }
        drop(queue);
        Some(make(name))
    }
}

/// A place at the gate, given up when the call goes on or is dropped.
struct Place<'a> {
    held: &'a watch::Sender<usize>,
}

impl<'a> Place<'a> {
    fn take(held: &'a watch::Sender<usize>) -> Self {
        held.send_modify(|held| *held += 1);
        Self { held }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.held.send_modify(|held| *held -= 1);
    }
}
