//! The concurrency suites: the cache under many callers at once, on real threads, over any store,
//! whose calls are counted.
//!
//! [`Subject`] says how a store is opened, and `suites::tests!` makes each suite a test of it; the
//! tests of another crate can include this file with `#[path]`.
//!
//! Tasks start together at a barrier and time is manual, so that no count depends on how fast the
//! machine is; a suite that hangs fails. Each suite says which rule it cannot do without; each was
//! seen to fail without it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::sync::suite::{self, Suite};
use countersign_policy::instrumented::{Calls, Instrumented, Method};
use countersign_policy::{
    Attribution, CacheConfig, CachedLoader, Expected, Freshness, ManualTicks, Policy, Served,
    Store, Stored, Ticks,
};

/// Makes each suite a test of the store that a [`Subject`] gives. This module must be in sight as
/// `suites`.
macro_rules! tests {
    ($subject:ty) => {
        suites::tests! { $subject:
            concurrent_read
            concurrent_read_write
            concurrent_expiry
            concurrent_different_keys
            race_condition_stress
            concurrent_cold_miss
        }
    };
    ($subject:ty: $($suite:ident)*) => {$(
        #[test]
        fn $suite() {
            suites::$suite::<$subject>();
        }
    )*};
}
pub(crate) use tests;

/// What opens a store under test.
pub trait Subject: Sized + Send + Sync + 'static {
    /// The store.
    type Store: Store + 'static;

    /// An empty store, and what has to live as long as it does.
    fn open() -> (Self::Store, Self);

    /// Whether a load gave what was stored: the very same, unless the store reads it anew.
    fn is_what_was_stored(loaded: &Arc<Policy>, stored: &Stored) -> bool {
        Arc::ptr_eq(loaded, &stored.content)
    }
}

const TTL: Duration = Duration::from_millis(2);

struct Fixture<S: Subject> {
    cache: CachedLoader,
    source: Arc<Instrumented<S::Store>>,
    ticks: Arc<ManualTicks>,
    _subject: S,
}

impl<S: Subject> Fixture<S> {
    /// A cache over an empty store. A load may take an hour of real time, so that no slow machine
    /// ends one.
    fn new(time_to_live: Duration) -> Self {
        let ticks = Arc::new(ManualTicks::new());
        let (store, subject) = S::open();
        let source = Arc::new(Instrumented::new(store, ticks.clone()));
        let config = CacheConfig {
            time_to_live,
            load_timeout: Duration::from_secs(3600),
            ..CacheConfig::default()
        };
        let cache = CachedLoader::with_config(source.clone(), config, ticks.clone());
        Self {
            cache,
            source,
            ticks,
            _subject: subject,
        }
    }

    /// Puts the policy with this number over whatever is there, past the instrument.
    async fn put(&self, name: &str, number: u64) {
        put(&self.source, name, number).await;
    }

    fn loads(&self) -> u64 {
        self.source.calls(Method::Load).begun
    }

    /// Waits until `callers` have asked for a load: they lead one or have joined one.
    async fn until_asked(&self, suite: &Suite, callers: u64) {
        let asked = async {
            loop {
                let stats = self.cache.stats();
                if stats.loads + stats.joins >= callers {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let what = format!("{callers} callers to have asked for a load");
        suite.waiting_for(&what, asked).await;
    }

    /// Waits until the source has at least `count` loads at its gate.
    async fn until_held(&self, suite: &Suite, count: usize) {
        let what = format!("{count} loads at the gate of the source");
        suite
            .waiting_for(&what, self.source.until_held(count))
            .await;
    }
}

async fn put<S: Store>(source: &Instrumented<S>, name: &str, number: u64) {
    let store = source.inner();
    let expected = match store.get(name).await {
        Ok(stored) => Expected::Version(stored.version),
        Err(_) => Expected::Absent,
    };
    let put = store.put(name, expected, policy(name, number), &Attribution::NOBODY);
    put.await.unwrap();
}

/// A policy that tells what it was put as.
fn policy(name: &str, number: u64) -> Arc<Policy> {
    let json = format!(
        r#"{{"version": "1", "rules": [
            {{"name": "{name}/{number}", "effect": "allow", "conditions": {{"profiles": ["dev"]}}}}]}}"#
    );
    Arc::new(json.parse().unwrap())
}

/// The number a policy was put with. Panics if it was put under another name.
fn number(policy: &Policy, name: &str) -> u64 {
    let rule = policy.rules()[0].name();
    let (under, number) = rule.split_once('/').unwrap();
    assert_eq!(under, name, "the policy of another name was served");
    number.parse().unwrap()
}

fn all_same(served: &[Arc<Policy>]) -> bool {
    served.iter().all(|policy| Arc::ptr_eq(policy, &served[0]))
}

/// 100 readers of one warm key, each in all three ways: one load in all, one instance.
///
/// Fails without: a load that succeeds is published (`Core::conclude` without `publish_entry`).
pub fn concurrent_read<S: Subject>() {
    suite::run("concurrent_read", |suite| async move {
        let fixture = Fixture::<S>::new(TTL);
        fixture.put("main", 1).await;
        let warm = fixture.cache.load("main").await.unwrap().policy;
        fixture.ticks.advance(TTL - Duration::from_nanos(1));
        let read = suite.together((0..100).map(|_| {
            let cache = fixture.cache.clone();
            async move {
                let age = cache.with("main", |served| served.age);
                assert_eq!(age, Some(TTL - Duration::from_nanos(1)));
                let got = cache.get("main").expect("the key is warm").policy;
                let loaded = cache.load("main").await.unwrap().policy;
                [got, loaded]
            }
        }));
        let read = read.await.concat();
        assert!(all_same(&read) && Arc::ptr_eq(&read[0], &warm));
        assert_eq!(fixture.loads(), 1);
        let stats = fixture.cache.stats();
        assert_eq!((stats.hits, stats.loads, stats.joins), (300, 1, 0));
    });
}

/// 50 readers × 10 of a warm key while 50 writers put cold keys and load them: no reader misses,
/// every writer gets what it put, one load a key.
///
/// Fails without: a publication keeps what is published for other names (`Core::publish` begun
/// from an empty map).
pub fn concurrent_read_write<S: Subject>() {
    suite::run("concurrent_read_write", |suite| async move {
        let fixture = Fixture::<S>::new(TTL);
        fixture.put("warm", 1).await;
        let warm = fixture.cache.load("warm").await.unwrap().policy;
        let done = suite.together((0..100).map(|task| {
            let (cache, source) = (fixture.cache.clone(), Arc::clone(&fixture.source));
            let warm = Arc::clone(&warm);
            async move {
                if task % 2 == 0 {
                    for _ in 0..10 {
                        let read = cache.get("warm").expect("the key stays warm").policy;
                        assert!(Arc::ptr_eq(&read, &warm));
                        tokio::task::yield_now().await;
                    }
                } else {
                    let name = format!("cold-{task}");
                    let policy = policy(&name, 7);
                    let stored = source
                        .put(&name, Expected::Absent, policy, &Attribution::NOBODY)
                        .await
                        .unwrap()
                        .into_stored();
                    let loaded = cache.load(&name).await.unwrap();
                    assert!(S::is_what_was_stored(&loaded.policy, &stored));
                }
            }
        }));
        assert_eq!(done.await.len(), 100);
        assert_eq!(fixture.loads(), 51);
        assert_eq!(fixture.source.calls(Method::Put).finished, 50);
        let stats = fixture.cache.stats();
        assert_eq!((stats.hits, stats.loads, stats.joins), (500, 51, 0));
        assert_eq!((stats.names, stats.failures), (51, 0));
    });
}

/// 100 readers × 50 rounds over a time to live of 2 ms, 1 ms between rounds, the source changed
/// before each: one load in each round in which the policy has expired, none in the others.
///
/// Fails without: a policy has expired once it is as old as its time to live (`Entry::fresh` with
/// `<=`). Without the second look that `Core::begin` takes under the lock it fails by luck, with too
/// many loads; the models of `cargo xtask loom` are there to find that.
pub fn concurrent_expiry<S: Subject>() {
    suite::run("concurrent_expiry", |suite| async move {
        let fixture = Fixture::<S>::new(TTL);
        let mut expected_loads = 0;
        let mut current = 0;
        for round in 0..50 {
            fixture.put("main", round).await;
            let expired = round % 2 == 0;
            if expired {
                expected_loads += 1;
                current = round;
            }
            let age = if expired { Duration::ZERO } else { TTL / 2 };
            let served = suite.together((0..100).map(|_| {
                let cache = fixture.cache.clone();
                async move { cache.load("main").await }
            }));
            for served in served.await {
                let served = served.expect("no load fails");
                assert_eq!(number(&served.policy, "main"), current, "round {round}");
                assert_eq!((served.age, served.freshness), (age, Freshness::Fresh));
            }
            assert_eq!(fixture.loads(), expected_loads, "round {round}");
            fixture.ticks.advance(TTL / 2);
        }
        let stats = fixture.cache.stats();
        assert_eq!((stats.loads, stats.stale, stats.failures), (25, 0, 0));
        assert_eq!(stats.hits + stats.joins + stats.loads, 5_000);
    });
}

/// 100 cold keys, all under way at once, then read again: the same instances, exactly 100 loads.
///
/// Fails without: a flight belongs to one name (`Core::begin` joining any flight under way).
pub fn concurrent_different_keys<S: Subject>() {
    suite::run("concurrent_different_keys", |suite| async move {
        let fixture = Fixture::<S>::new(TTL);
        let names: Vec<Arc<str>> = (0..100).map(|key| format!("key-{key}").into()).collect();
        for name in &names {
            fixture.put(name, 1).await;
        }
        let load = |key: usize| {
            let (cache, name) = (fixture.cache.clone(), Arc::clone(&names[key]));
            async move { cache.load(&name).await.unwrap().policy }
        };
        fixture.source.close_gate();
        let first = suite.start((0..100).map(load));
        fixture.until_asked(&suite, 100).await;
        let stats = fixture.cache.stats();
        assert_eq!(
            (stats.loads, stats.joins),
            (100, 0),
            "each has its own load"
        );
        fixture.until_held(&suite, 100).await;
        fixture.source.open_gate();
        let first = first.join().await;
        let second = suite.together((0..100).map(load)).await;
        for ((name, first), second) in names.iter().zip(&first).zip(&second) {
            assert_eq!(number(first, name), 1);
            assert!(Arc::ptr_eq(first, second), "`{name}` was loaded again");
        }
        assert_eq!(fixture.loads(), 100);
        let stats = fixture.cache.stats();
        assert_eq!((stats.names, stats.hits, stats.joins), (100, 100, 0));
    });
}

/// 50 tasks × 100 calls over 10 keys with a time to live of 1 ms, while one task changes the
/// source and moves the ticks by half of that, 200 times.
///
/// - Nobody gets another name's policy, an error, or a policy older than one he got before.
/// - A hit holds all that had been put one time to live ago. (Whoever waits for a load may get an
///   older one, if the load takes longer than that.)
/// - No key is loaded more than once in a time to live, and every call is counted once.
///
/// Fails without: a policy expires (`Entry::fresh` always true).
pub fn race_condition_stress<S: Subject>() {
    suite::run("race_condition_stress", |suite| async move {
        const KEYS: u64 = 10;
        const STEPS: u64 = 200;
        let time_to_live = Duration::from_millis(1);
        let step = time_to_live / 2;
        let fixture = Fixture::<S>::new(time_to_live);
        for key in 0..KEYS {
            fixture.put(&format!("key-{key}"), 0).await;
        }
        let done = Arc::new(AtomicU64::new(0));
        let answered = suite.together((0..51).map(|task| {
            let (cache, ticks) = (fixture.cache.clone(), Arc::clone(&fixture.ticks));
            let (source, done) = (Arc::clone(&fixture.source), Arc::clone(&done));
            async move {
                if task == 50 {
                    for number in 1..=STEPS {
                        // In step with the callers: 25 calls a step.
                        while done.load(Ordering::SeqCst) < (number - 1) * 25 {
                            tokio::task::yield_now().await;
                        }
                        for key in 0..KEYS {
                            put(&source, &format!("key-{key}"), number).await;
                        }
                        ticks.advance(step);
                    }
                    return 0;
                }
                let mut newest: HashMap<u64, u64> = HashMap::new();
                let mut answered = 0;
                for call in 0..100_u64 {
                    let key = (call * 7 + task as u64 * 3) % KEYS;
                    let name = format!("key-{key}");
                    let before = ticks.now();
                    let served = match call % 4 {
                        0 => cache.get(&name),
                        1 => cache.handle(&name).get(),
                        _ => Some(cache.load(&name).await.expect("no load fails")),
                    };
                    if let Some(Served {
                        policy,
                        age,
                        freshness,
                    }) = served
                    {
                        answered += 1;
                        assert_eq!(freshness, Freshness::Fresh);
                        let number = number(&policy, &name);
                        let seen = newest.insert(key, number);
                        assert!(seen <= Some(number), "an older policy reappeared");
                        if call % 4 < 2 {
                            // A hit: loaded less than two steps before `before`, so at most one.
                            let steps = before.as_nanos() / u64::try_from(step.as_nanos()).unwrap();
                            let due = steps.saturating_sub(1);
                            assert!(age < time_to_live && number >= due, "{number} of {due}");
                        }
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
                answered
            }
        }));
        let answered: u64 = answered.await.into_iter().sum();
        let Calls {
            begun,
            finished,
            failed,
            ..
        } = fixture.source.calls(Method::Load);
        let stats = fixture.cache.stats();
        assert_eq!((begun, finished, failed), (stats.loads, stats.loads, 0));
        assert_eq!((stats.failures, stats.aborts, stats.stale), (0, 0, 0));
        assert_eq!(stats.hits + stats.joins + stats.loads, answered);
        let most = KEYS * (1 + STEPS / 2);
        assert!((KEYS..=most).contains(&begun), "{begun} loads of {most}");
    });
}

/// 50 callers of one cold key, all there before the source answers: exactly one load, one
/// instance; and when the source fails, one load and 50 errors.
///
/// Fails without: a caller joins the load under way (`Core::begin` that never joins).
pub fn concurrent_cold_miss<S: Subject>() {
    suite::run("concurrent_cold_miss", |suite| async move {
        let fixture = Fixture::<S>::new(TTL);
        fixture.put("main", 1).await;
        let load = |_| {
            let cache = fixture.cache.clone();
            async move { cache.load("main").await.map(|served| served.policy) }
        };
        fixture.source.fail_loads(1, |name| {
            countersign_policy::LoadError::failed(name, std::io::Error::other("down"))
        });
        fixture.source.close_gate();
        let callers = suite.start((0..50).map(load));
        fixture.until_asked(&suite, 50).await;
        let stats = fixture.cache.stats();
        assert_eq!((stats.loads, stats.joins), (1, 49), "49 wait for one");
        fixture.source.open_gate();
        assert!(callers.join().await.iter().all(Result::is_err));
        assert_eq!(fixture.loads(), 1, "a failed load is shared");

        fixture.source.close_gate();
        let callers = suite.start((0..50).map(load));
        fixture.until_asked(&suite, 100).await;
        fixture.until_held(&suite, 1).await;
        fixture.ticks.advance(Duration::from_millis(1));
        fixture.source.open_gate();
        let served: Result<Vec<_>, _> = callers.join().await.into_iter().collect();
        assert!(all_same(&served.unwrap()));
        let calls = fixture.source.calls(Method::Load);
        assert_eq!((calls.begun, calls.finished, calls.failed), (2, 2, 1));
        assert_eq!(calls.longest, Duration::from_millis(1));
        let stats = fixture.cache.stats();
        assert_eq!((stats.hits, stats.loads, stats.joins), (0, 2, 98));
    });
}
