//! The cache over a source that takes 1 ms: one load a cold name however many ask, cold names side
//! by side, and warm reads that wait for nothing.
//!
//! Time is tokio's paused clock: it moves only when everything waits, and then by as much as the
//! first timer needs. So "takes exactly 1 ms" and "takes no time" are exact on any machine.
#![cfg(not(countersign_loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock is paused, so that reading it and sleeping are decided by the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::id::OsRandom;
use countersign_policy::{
    BoxFuture, CachedLoader, LoadError, Loader, ManualTicks, Policy, TokioSleep,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

const LATENCY: Duration = Duration::from_millis(1);
const CALLERS: u64 = 50;

/// A source that takes [`LATENCY`] for any name, however many loads are under way.
#[derive(Default)]
struct Slow {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Loader for Slow {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(LATENCY).await;
            self.ended.fetch_add(1, Ordering::SeqCst);
            let json = format!(
                r#"{{"version": "1", "rules": [
                    {{"name": "{name}", "effect": "allow", "conditions": {{"profiles": ["dev"]}}}}]}}"#
            );
            Ok(Arc::new(json.parse().unwrap()))
        })
    }
}

impl Slow {
    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

/// A cache in which nothing expires, and its source.
fn cold() -> (CachedLoader, Arc<Slow>) {
    let source = Arc::new(Slow::default());
    let config = countersign_policy::CacheConfig::default();
    let ticks = Arc::new(ManualTicks::new());
    let (random, sleep) = (Arc::new(OsRandom), Arc::new(TokioSleep));
    let cache = CachedLoader::with_sleep(source.clone(), config, ticks, random, sleep);
    (cache, source)
}

/// One caller for each name, all spawned before any of them runs.
fn callers(cache: &CachedLoader, names: impl Iterator<Item = String>) -> JoinSet<Arc<Policy>> {
    let mut callers = JoinSet::new();
    for name in names {
        let cache = cache.clone();
        callers.spawn(async move {
            let policy = cache.load(&name).await.unwrap().policy;
            assert_eq!(policy.rules()[0].name(), name, "another name's policy");
            policy
        });
    }
    callers
}

/// What all callers got. One that waits for ever fails: with nothing else to do, the clock moves on
/// to the end of the hour.
async fn answered(callers: JoinSet<Arc<Policy>>) -> Vec<Arc<Policy>> {
    tokio::time::timeout(Duration::from_secs(3600), callers.join_all())
        .await
        .expect("every caller is answered")
}

fn cold_names() -> impl Iterator<Item = String> {
    (0..CALLERS).map(|number| format!("cold-{number}"))
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_cold_name_share_one_load_that_takes_as_long_as_one() {
    let (cache, source) = cold();
    let start = Instant::now();
    let one = (0..CALLERS).map(|_| "main".to_owned());
    let policies = answered(callers(&cache, one)).await;
    assert_eq!(start.elapsed(), LATENCY, "50 callers wait for one load");
    assert_eq!(source.begun(), 1, "50 callers cause one load");
    assert_eq!(policies.len() as u64, CALLERS);
    assert!(policies.iter().all(|p| Arc::ptr_eq(p, &policies[0])));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.joins, stats.hits), (1, 49, 0));
}

#[tokio::test(start_paused = true)]
async fn callers_of_cold_names_load_side_by_side() {
    let (cache, source) = cold();
    let start = Instant::now();
    let policies = answered(callers(&cache, cold_names())).await;
    assert_eq!(start.elapsed(), LATENCY, "50 loads take as long as one");
    assert_eq!(policies.len() as u64, CALLERS);
    assert_eq!((source.begun(), source.ended()), (CALLERS, CALLERS));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.joins), (CALLERS, 0));
}

#[tokio::test(start_paused = true)]
async fn warm_reads_wait_for_no_load_of_another_name() {
    let (cache, source) = cold();
    let warm = cache.load("warm").await.unwrap().policy;
    let handle = cache.handle("warm");
    let loads = callers(&cache, cold_names());
    let start = Instant::now();
    // Enough turns for every task to begin, and none of them moves the clock.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(source.begun(), 1 + CALLERS, "a load waits for another's");
    assert!(Arc::ptr_eq(&cache.get("warm").unwrap().policy, &warm));
    assert!(Arc::ptr_eq(
        &cache.load("warm").await.unwrap().policy,
        &warm
    ));
    assert!(Arc::ptr_eq(&handle.get().unwrap().policy, &warm));
    assert!(Arc::ptr_eq(&handle.load().await.unwrap().policy, &warm));
    assert!(cache.with("warm", |_| ()).is_some());
    assert!(handle.with(|_| ()).is_some());
    assert_eq!(start.elapsed(), Duration::ZERO, "a warm read takes no time");
    assert_eq!(source.ended(), 1, "all 50 loads were under way meanwhile");
    assert_eq!(answered(loads).await.len() as u64, CALLERS);
    assert_eq!(start.elapsed(), LATENCY);
    assert_eq!((source.begun(), cache.stats().hits), (1 + CALLERS, 6));
}
