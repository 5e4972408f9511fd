//! A cache in front of a [`Loader`]: hits without waiting, one load per name at a time, and never
//! a policy past its time.
//!
//! - **Hit**: lock-free; no allocation, and no memory is written that another thread reads. Only
//!   [`CachedLoader::get`] and [`CachedLoader::load`] count a reference to the policy they give;
//!   [`CachedLoader::with`] does not.
//! - **Miss**: one load per name; other names are not delayed. A task that is spawned on the first
//!   caller's runtime owns the load, so it goes on if its caller gives up, for as long as somebody
//!   drives that runtime. If the task ends unfinished every waiter gets [`LoadError::Aborted`] and
//!   the next caller begins anew. Errors are shared by those who waited and not remembered.
//! - **Waiting**: no call lasts longer than [`CacheConfig::load_timeout`], whoever leads and whatever
//!   became of the leader's runtime. Each caller has a timer of its own, which needs no runtime's
//!   ([`ThreadSleep`]); when it rings for a load that was under way all the while, the load has timed
//!   out for everybody, and the next caller begins anew.
//! - **Age** counts from the beginning of the load, on [`Ticks`] that only grow: a hit is at most one
//!   time to live behind the source. A caller who waits gets what the load it waited for brought,
//!   which may have begun up to [`CacheConfig::load_timeout`] before the call; a policy whose load
//!   took longer than the time to live is handed to those who waited for it and to nobody else.
//! - **Stale**: served only if [`CacheConfig::stale_if_error`] allows it, at most that old, only
//!   when the source failed or timed out, never when it answered "not found" or the load was
//!   aborted.
//! - **Invalidation**: what a load begun before [`CachedLoader::invalidate`] brings is never seen
//!   after it, not even by those who were waiting for it: they wait for another.
//!
//! The rules of who loads and who waits are in `cache/core.rs`, without futures.

use std::fmt;
use std::future::{Future, poll_fn};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use countersign_core::clock::{InstantTicks, Tick, Ticks};
use countersign_core::future::BoxFuture;
use countersign_core::id::{OsRandom, RandomSource};
use countersign_core::retry::Sleep;

use self::core::{Begin, Core, Entry, Lead, Settings, Slot};
use self::flights::Outcome;
use self::spawn::Spawner;
use self::stats::Striped;
use crate::loader::{LoadError, Loader};
use crate::policy::Policy;

pub use self::sleep::ThreadSleep;
pub use self::stats::CacheStats;

#[cfg(test)]
#[cfg(any(countersign_loom, countersign_shuttle))]
mod callers;
mod core;
mod flights;
#[cfg(test)]
#[cfg(countersign_loom)]
mod models;
#[cfg(test)]
#[cfg(countersign_shuttle)]
mod schedules;
mod sleep;
mod spawn;
mod stats;
#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests;

/// How often a caller begins again because the name was invalidated while it waited.
const MAX_RESTARTS: usize = 16;

/// How a [`CachedLoader`] behaves.
///
/// ```
/// use std::time::Duration;
/// use countersign_policy::CacheConfig;
///
/// let config = CacheConfig {
///     time_to_live: Duration::from_secs(30),
///     stale_if_error: Some(Duration::from_secs(300)),
///     ..CacheConfig::default()
/// };
/// assert_eq!(config.load_timeout, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// How long a policy is served after the beginning of its load: 60 s.
    pub time_to_live: Duration,
    /// Up to how much of `time_to_live` is randomly left off, so that names that were loaded
    /// together do not expire together: none.
    pub jitter: Duration,
    /// How old a policy may be to stand in when the source fails: it never does, by default.
    pub stale_if_error: Option<Duration>,
    /// How long the source is left alone after a failure for which a stale policy stood in: 1 s.
    pub retry_after: Duration,
    /// How long a load may take, and a caller wait: 5 s.
    pub load_timeout: Duration,
    /// The most names that are held: 1,000. Expired ones go first, then those loaded longest ago.
    pub max_names: NonZeroUsize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            time_to_live: Duration::from_secs(60),
            jitter: Duration::ZERO,
            stale_if_error: None,
            retry_after: Duration::from_secs(1),
            load_timeout: Duration::from_secs(5),
            max_names: NonZeroUsize::MIN.saturating_add(999),
        }
    }
}

/// A policy as the cache gives it: an `Arc<Policy>`, or a `&Policy` inside [`CachedLoader::with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served<P> {
    /// The policy.
    pub policy: P,
    /// The time since its load began.
    pub age: Duration,
    /// Whether it is within its time to live.
    pub freshness: Freshness,
}

impl<P> Served<P> {
    fn map<Q>(self, map: impl FnOnce(P) -> Q) -> Served<Q> {
        Served {
            policy: map(self.policy),
            age: self.age,
            freshness: self.freshness,
        }
    }
}

/// Whether a served policy is within its time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It is, or it has just been loaded.
    Fresh,
    /// It is past it, and stands in because the source failed.
    Stale,
}

/// A cache in front of a [`Loader`]. Cheap to clone; clones share everything.
///
/// ```
/// use std::sync::Arc;
/// use countersign_policy::{Attribution, CachedLoader, Expected, InMemory, Policy, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "developers", "effect": "allow", "conditions": {"profiles": ["dev"]}}]}"#.parse()?;
/// let store = Arc::new(InMemory::default());
/// store.put("main", Expected::Absent, Arc::new(policy), &Attribution::NOBODY).await?;
///
/// let cache = CachedLoader::new(store);
/// assert!(cache.get("main").is_none(), "nothing is loaded yet");
/// let served = cache.load("main").await?;
/// assert_eq!(served.policy.rules().len(), 1);
/// assert_eq!(cache.with("main", |served| served.policy.rules().len()), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CachedLoader {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core<Arc<Policy>>>,
    loader: Arc<dyn Loader>,
    ticks: Arc<dyn Ticks>,
    random: Arc<dyn RandomSource>,
    sleep: Arc<dyn Sleep>,
    config: CacheConfig,
    hits: Striped,
}

impl CachedLoader {
    /// A cache with the default configuration, timed by [`InstantTicks`] and [`ThreadSleep`].
    pub fn new(loader: Arc<dyn Loader>) -> Self {
        Self::with_config(
            loader,
            CacheConfig::default(),
            Arc::new(InstantTicks::start()),
        )
    }

    /// A cache with another configuration and clock.
    pub fn with_config(
        loader: Arc<dyn Loader>,
        config: CacheConfig,
        ticks: Arc<dyn Ticks>,
    ) -> Self {
        Self::with_random(loader, config, ticks, Arc::new(OsRandom))
    }

    /// A cache whose jitter comes from `random`. If that fails, no jitter is applied.
    pub fn with_random(
        loader: Arc<dyn Loader>,
        config: CacheConfig,
        ticks: Arc<dyn Ticks>,
        random: Arc<dyn RandomSource>,
    ) -> Self {
        Self::with_sleep(loader, config, ticks, random, Arc::new(ThreadSleep))
    }

    /// A cache whose loads and callers end their waiting when `sleep` says so. With
    /// [`TokioSleep`](crate::TokioSleep) that is tokio's time, which a test can stop; every caller's
    /// runtime must have it enabled.
    pub fn with_sleep(
        loader: Arc<dyn Loader>,
        config: CacheConfig,
        ticks: Arc<dyn Ticks>,
        random: Arc<dyn RandomSource>,
        sleep: Arc<dyn Sleep>,
    ) -> Self {
        let core = Arc::new(Core::new(Settings {
            stale_if_error: config.stale_if_error,
            retry_after: config.retry_after,
            max_names: config.max_names.get(),
        }));
        let hits = Striped::new();
        Self {
            inner: Arc::new(Inner {
                core,
                loader,
                ticks,
                random,
                sleep,
                config,
                hits,
            }),
        }
    }

    /// The policy, if a fresh one is held. Never waits.
    pub fn get(&self, name: &str) -> Option<Served<Arc<Policy>>> {
        let now = self.inner.ticks.now();
        let found = self.inner.core.read(name, |entry| owned(entry, now));
        self.inner.count_hit(found)
    }

    /// Calls `read` with the policy, if a fresh one is held. Never waits and counts no reference,
    /// so it costs the same on every core. `read` should be short: the policy it borrows stays in
    /// memory meanwhile.
    pub fn with<T>(&self, name: &str, read: impl FnOnce(Served<&Policy>) -> T) -> Option<T> {
        let now = self.inner.ticks.now();
        let found = self.inner.core.read(name, |entry| {
            entry
                .fresh(now)
                .map(|served| read(served.map(|policy| &**policy)))
        });
        self.inner.count_hit(found)
    }

    /// The policy: a fresh one at once, else the one that a load brings, whoever began it.
    ///
    /// Dropping the future leaves the load going for the others.
    ///
    /// # Errors
    /// - What the loader answered, shared by all who waited; or, if the source failed and a stale
    ///   policy may stand in, that policy and no error.
    /// - [`LoadError::TimedOut`] after [`CacheConfig::load_timeout`].
    /// - [`LoadError::Aborted`] if the load ended unfinished.
    /// - [`LoadError::Superseded`] if the name was invalidated 16 times while this call waited.
    /// - [`LoadError::NoRuntime`] outside a tokio runtime, if there is something to load.
    pub async fn load(&self, name: &str) -> Result<Served<Arc<Policy>>, LoadError> {
        let inner = &self.inner;
        let mut alarm = None;
        for restarts in 0..MAX_RESTARTS {
            let now = inner.ticks.now();
            if let Some(hit) = inner.core.read(name, |entry| owned(entry, now)) {
                inner.hits.raise();
                return Ok(hit);
            }
            let spawner =
                Spawner::current().ok_or_else(|| LoadError::NoRuntime { name: name.into() })?;
            let waiter = match inner.core.begin(name, now) {
                Begin::Ready(served) => {
                    if served.freshness == Freshness::Fresh {
                        inner.hits.raise();
                    }
                    return Ok(served);
                }
                Begin::Join(waiter) => waiter,
                Begin::Lead(lead, waiter) => {
                    spawner.spawn(run(Arc::clone(inner), lead));
                    waiter
                }
            };
            let alarm = alarm.get_or_insert_with(|| inner.sleep.sleep(inner.config.load_timeout));
            match until(waiter, alarm).await {
                Ok(Outcome::Done(result)) => return result,
                Ok(Outcome::Superseded) => {}
                Err(waiter) => {
                    let error = inner.timed_out(name.into());
                    // What was joined before the alarm was set has been under way all the while.
                    if restarts > 0 {
                        return Err(error);
                    }
                    return match waiter.expire(error.clone(), inner.ticks.now()) {
                        Outcome::Done(result) => result,
                        Outcome::Superseded => Err(error),
                    };
                }
            }
        }
        Err(LoadError::Superseded { name: name.into() })
    }

    /// A handle on one name: as [`CachedLoader::get`] and the others, without looking the name up.
    pub fn handle(&self, name: &str) -> Handle {
        let slot = self.inner.core.slot(name);
        Handle {
            cache: self.clone(),
            name: name.into(),
            slot,
        }
    }

    /// Forgets a policy. What a load begun before this call brings is never seen after it.
    pub fn invalidate(&self, name: &str) {
        self.inner.core.invalidate(name);
    }

    /// Forgets every policy; see [`CachedLoader::invalidate`].
    pub fn invalidate_all(&self) {
        self.inner.core.invalidate_all();
    }

    /// How often what has happened.
    pub fn stats(&self) -> CacheStats {
        let (names, counts) = self.inner.core.counts();
        CacheStats {
            names,
            hits: self.inner.hits.sum(),
            loads: counts.loads,
            joins: counts.joins,
            failures: counts.failures,
            aborts: counts.aborts,
            stale: counts.stale,
            evictions: counts.evictions,
        }
    }
}

/// One name of a [`CachedLoader`], looked up once.
///
/// A handle holds no policy by itself: when its name expires, is invalidated or evicted, it gives
/// none until the next load.
#[derive(Clone)]
pub struct Handle {
    cache: CachedLoader,
    name: Arc<str>,
    slot: Arc<Slot<Arc<Policy>>>,
}

impl Handle {
    /// As [`CachedLoader::get`].
    pub fn get(&self) -> Option<Served<Arc<Policy>>> {
        let now = self.cache.inner.ticks.now();
        let entry = self.slot.entry.load();
        self.cache
            .inner
            .count_hit(entry.as_ref().and_then(|entry| owned(entry, now)))
    }

    /// As [`CachedLoader::with`].
    pub fn with<T>(&self, read: impl FnOnce(Served<&Policy>) -> T) -> Option<T> {
        let now = self.cache.inner.ticks.now();
        let entry = self.slot.entry.load();
        let served = entry.as_ref().and_then(|entry| entry.fresh(now));
        self.cache
            .inner
            .count_hit(served.map(|served| read(served.map(|policy| &**policy))))
    }

    /// As [`CachedLoader::load`].
    ///
    /// # Errors
    /// As there.
    pub async fn load(&self) -> Result<Served<Arc<Policy>>, LoadError> {
        match self.get() {
            Some(served) => Ok(served),
            None => self.cache.load(&self.name).await,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Inner {
    fn count_hit<T>(&self, found: Option<T>) -> Option<T> {
        if found.is_some() {
            self.hits.raise();
        }
        found
    }

    fn timed_out(&self, name: Arc<str>) -> LoadError {
        let after = self.config.load_timeout;
        LoadError::TimedOut { name, after }
    }

    /// The configured time to live, less a random part of the jitter.
    fn time_to_live(&self) -> Duration {
        let CacheConfig {
            time_to_live,
            jitter,
            ..
        } = self.config;
        if jitter.is_zero() {
            return time_to_live;
        }
        // One more number than the range must exist.
        let range = u64::try_from(jitter.as_nanos()).unwrap_or(u64::MAX);
        let range = range.min(u64::MAX - 1);
        let draw = self.random.next_u64().map_or(0, |draw| draw % (range + 1));
        time_to_live.saturating_sub(Duration::from_nanos(draw))
    }
}

fn owned(entry: &Entry<Arc<Policy>>, now: Tick) -> Option<Served<Arc<Policy>>> {
    entry.fresh(now).map(|served| served.map(Arc::clone))
}

/// The load itself, in a task of its own. `lead` ends the flight even if this is dropped.
async fn run(inner: Arc<Inner>, lead: Lead<Arc<Policy>>) {
    let name = Arc::clone(lead.name());
    let mut alarm = inner.sleep.sleep(inner.config.load_timeout);
    let result = match until(inner.loader.load(&name), &mut alarm).await {
        Ok(result) => result.map(|policy| (policy, inner.time_to_live())),
        Err(_) => Err(inner.timed_out(Arc::clone(&name))),
    };
    lead.finish(result, inner.ticks.now());
}

/// What the future gives, or the future itself if the alarm rings first.
async fn until<F: Future + Unpin>(
    mut future: F,
    alarm: &mut BoxFuture<'_, ()>,
) -> Result<F::Output, F> {
    let ended = poll_fn(|context| {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(context) {
            return Poll::Ready(Some(output));
        }
        alarm.as_mut().poll(context).map(|()| None)
    });
    ended.await.ok_or(future)
}

impl Loader for CachedLoader {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move { self.load(name).await.map(|served| served.policy) })
    }
}

impl fmt::Debug for CachedLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedLoader")
            .field("config", &self.inner.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
