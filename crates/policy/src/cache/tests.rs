//! Tests of the cache at its edge: limits in time, sharing, failures, cancellation, invalidation.
//!
//! Ticks are manual, and callers wait on tokio's time, which is paused, or on a bell that the test
//! rings: no test depends on how fast the machine is.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use countersign_core::clock::ManualTicks;
use countersign_core::id::{RandomError, SequenceRandom};
use countersign_core::retry::TokioSleep;
use tokio::sync::Notify;

use super::*;

mod invalidation;
mod waiting;

const NANO: Duration = Duration::from_nanos(1);
const TTL: Duration = Duration::from_millis(2);

fn policy(name: &str) -> Arc<Policy> {
    let json = format!(
        r#"{{"version": "1", "rules": [
            {{"name": "{name}", "effect": "allow", "conditions": {{"profiles": ["dev"]}}}}]}}"#
    );
    Arc::new(json.parse().unwrap())
}

type Answer = Result<Arc<Policy>, LoadError>;

/// A source that counts its loads, can be made to wait, and answers what it is told to.
#[derive(Default)]
struct Source {
    loads: AtomicUsize,
    answer: Mutex<Option<Answer>>,
    /// Loads of this name wait for `gate`.
    gated: Mutex<Option<&'static str>>,
    started: Notify,
    gate: Notify,
    panics: Mutex<bool>,
}

impl Source {
    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    fn gate(&self, name: &'static str) {
        *self.gated.lock().unwrap() = Some(name);
    }
}

impl Loader for Source {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            self.loads.fetch_add(1, Ordering::SeqCst);
            let answer = self.answer.lock().unwrap().clone();
            let gated = *self.gated.lock().unwrap() == Some(name);
            assert!(!*self.panics.lock().unwrap(), "the source panics");
            if gated {
                self.started.notify_one();
                self.gate.notified().await;
            }
            answer.unwrap_or_else(|| Ok(policy(name)))
        })
    }
}

fn failed() -> Answer {
    Err(LoadError::Failed {
        name: "main".into(),
        cause: Arc::from(Box::from("unreachable")),
    })
}

fn not_found() -> Answer {
    Err(LoadError::NotFound {
        name: "main".into(),
    })
}

struct Fixture {
    source: Arc<Source>,
    ticks: Arc<ManualTicks>,
    cache: CachedLoader,
}

fn fixture(config: CacheConfig) -> Fixture {
    waiting_on(config, Arc::new(TokioSleep))
}

fn waiting_on(config: CacheConfig, sleep: Arc<dyn Sleep>) -> Fixture {
    let (source, ticks) = (Arc::new(Source::default()), Arc::new(ManualTicks::new()));
    let random = Arc::new(OsRandom);
    let cache = CachedLoader::with_sleep(source.clone(), config, ticks.clone(), random, sleep);
    Fixture {
        source,
        ticks,
        cache,
    }
}

fn short() -> CacheConfig {
    CacheConfig {
        time_to_live: TTL,
        ..CacheConfig::default()
    }
}

/// Counts how often it is called.
#[derive(Default)]
pub(super) struct Called(AtomicUsize);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Called {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

pub(super) fn poll<F: Future + ?Sized>(
    future: &mut Pin<Box<F>>,
    called: &Arc<Called>,
) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(called));
    future.as_mut().poll(&mut Context::from_waker(&waker))
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

fn spawn_load(
    cache: &CachedLoader,
    name: &'static str,
) -> tokio::task::JoinHandle<Result<Served<Arc<Policy>>, LoadError>> {
    let cache = cache.clone();
    tokio::spawn(async move { cache.load(name).await })
}

/// Begins a load of `main` that the gate holds.
async fn slow_load(
    source: &Source,
    cache: &CachedLoader,
) -> tokio::task::JoinHandle<Result<Served<Arc<Policy>>, LoadError>> {
    source.gate("main");
    let load = spawn_load(cache, "main");
    source.started.notified().await;
    load
}

/// A cache whose policy of `main` has just expired.
async fn expired(config: CacheConfig) -> Fixture {
    let fixture = fixture(config);
    fixture.cache.load("main").await.unwrap();
    fixture.ticks.advance(TTL);
    fixture
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_fresh_until_the_last_nanosecond_of_its_time() {
    let Fixture {
        source,
        ticks,
        cache,
    } = fixture(short());
    assert!(cache.get("main").is_none());
    let first = cache.load("main").await.unwrap();
    assert_eq!(
        (first.age, first.freshness),
        (Duration::ZERO, Freshness::Fresh)
    );
    ticks.advance(TTL - NANO);
    let hit = cache.get("main").unwrap();
    assert_eq!(hit.age, TTL - NANO);
    assert!(
        Arc::ptr_eq(&hit.policy, &first.policy),
        "a hit gives the same instance"
    );
    assert_eq!(cache.with("main", |served| served.age), Some(TTL - NANO));
    ticks.advance(NANO);
    assert!(cache.get("main").is_none() && cache.with("main", |_| ()).is_none());
    let second = cache.load("main").await.unwrap();
    assert!(!Arc::ptr_eq(&second.policy, &first.policy));
    assert_eq!(source.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_the_beginning_of_the_load() {
    let Fixture {
        source,
        ticks,
        cache,
    } = fixture(short());
    let load = slow_load(&source, &cache).await;
    ticks.advance(TTL - NANO);
    source.gate.notify_one();
    assert_eq!(load.await.unwrap().unwrap().age, TTL - NANO);
    assert!(cache.get("main").is_some());
    ticks.advance(NANO);
    assert!(cache.get("main").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_load_longer_than_the_time_to_live_serves_only_those_who_waited() {
    let Fixture {
        source,
        ticks,
        cache,
    } = fixture(short());
    let load = slow_load(&source, &cache).await;
    ticks.advance(TTL);
    source.gate.notify_one();
    assert!(load.await.unwrap().is_ok());
    assert!(cache.get("main").is_none());
}

#[tokio::test(start_paused = true)]
async fn one_slow_load_does_not_block_other_keys() {
    let Fixture { source, cache, .. } = fixture(short());
    source.gate("slow");
    let slow = spawn_load(&cache, "slow");
    source.started.notified().await;
    cache.load("other").await.unwrap();
    assert!(!slow.is_finished());
    source.gate.notify_one();
    slow.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_cold_name_share_one_load_and_one_instance() {
    let Fixture { source, cache, .. } = fixture(short());
    let loads: Vec<_> = (0..50).map(|_| spawn_load(&cache, "main")).collect();
    let mut served = Vec::new();
    for load in loads {
        served.push(load.await.unwrap().unwrap().policy);
    }
    assert!(served.iter().all(|policy| Arc::ptr_eq(policy, &served[0])));
    assert_eq!(source.loads(), 1);
    let stats = cache.stats();
    assert_eq!(stats.loads, 1);
    assert_eq!(stats.joins + stats.hits, 49);
    cache.inner.core.audit().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_harms_nobody() {
    let Fixture { source, cache, .. } = fixture(short());
    let first = slow_load(&source, &cache).await;
    let second = spawn_load(&cache, "main");
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    source.gate.notify_one();
    second.await.unwrap().unwrap();
    assert_eq!(source.loads(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_when_every_caller_has_given_up() {
    let Fixture { source, cache, .. } = fixture(short());
    let only = slow_load(&source, &cache).await;
    only.abort();
    let _ = only.await;
    source.gate.notify_one();
    settle().await;
    assert!(cache.get("main").is_some());
    cache.inner.core.audit().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_aborts_the_load_and_the_next_caller_begins_anew() {
    let Fixture { source, cache, .. } = fixture(short());
    *source.panics.lock().unwrap() = true;
    let loads: Vec<_> = (0..5).map(|_| spawn_load(&cache, "main")).collect();
    for load in loads {
        assert!(matches!(
            load.await.unwrap(),
            Err(LoadError::Aborted { .. })
        ));
    }
    cache.inner.core.audit().unwrap();
    *source.panics.lock().unwrap() = false;
    cache.load("main").await.unwrap();
    assert!(cache.stats().aborts >= 1);
}

#[test]
fn a_runtime_that_shuts_down_aborts_the_load() {
    let Fixture { source, cache, .. } = fixture(short());
    source.gate("main");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        drop(spawn_load(&cache, "main"));
        source.started.notified().await;
    });
    drop(runtime);
    cache
        .inner
        .core
        .audit()
        .expect("the flight ended with its task");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    source.gate("nothing");
    runtime.block_on(cache.load("main")).unwrap();
}

#[test]
fn outside_a_runtime_a_miss_is_an_error_and_a_hit_is_not() {
    let Fixture { cache, .. } = fixture(short());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(cache.load("main")).unwrap();
    let poll = |name: &'static str| {
        let cache = cache.clone();
        let mut load = Box::pin(async move { cache.load(name).await });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match load.as_mut().poll(&mut context) {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => panic!("it waits outside a runtime"),
        }
    };
    assert!(poll("main").is_ok());
    assert!(matches!(poll("other"), Err(LoadError::NoRuntime { .. })));
    cache.inner.core.audit().unwrap();
}

#[tokio::test(start_paused = true)]
async fn errors_are_shared_and_not_remembered() {
    let Fixture { source, cache, .. } = fixture(short());
    source.answers(failed());
    let loads: Vec<_> = (0..5).map(|_| spawn_load(&cache, "main")).collect();
    for load in loads {
        assert!(matches!(load.await.unwrap(), Err(LoadError::Failed { .. })));
    }
    assert_eq!(source.loads(), 1);
    source.answers(Ok(policy("later")));
    cache.load("main").await.unwrap();
    assert_eq!(source.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_load_ends_at_its_timeout() {
    let Fixture { source, cache, .. } = fixture(short());
    source.gate("main");
    let error = cache.load("main").await.unwrap_err();
    let LoadError::TimedOut { after, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(after, Duration::from_secs(5));
    cache.inner.core.audit().unwrap();
}

fn forgiving() -> CacheConfig {
    CacheConfig {
        stale_if_error: Some(TTL * 10),
        retry_after: TTL,
        ..short()
    }
}

#[tokio::test(start_paused = true)]
async fn without_leave_an_expired_policy_is_never_served() {
    let Fixture { source, cache, .. } = expired(short()).await;
    source.answers(failed());
    assert!(matches!(
        cache.load("main").await,
        Err(LoadError::Failed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_stale_policy_stands_in_up_to_its_greatest_age() {
    for (age, stands_in) in [(TTL * 10, true), (TTL * 10 + NANO, false)] {
        let Fixture {
            source,
            ticks,
            cache,
        } = fixture(forgiving());
        cache.load("main").await.unwrap();
        source.answers(failed());
        ticks.advance(age);
        match cache.load("main").await {
            Ok(served) => {
                assert!(stands_in, "{age:?} is too old");
                assert_eq!((served.age, served.freshness), (age, Freshness::Stale));
                assert!(cache.get("main").is_none(), "get gives only what is fresh");
            }
            Err(error) => assert!(!stands_in, "{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_source_is_left_alone_for_a_while() {
    let Fixture {
        source,
        ticks,
        cache,
    } = expired(forgiving()).await;
    source.answers(failed());
    cache.load("main").await.unwrap();
    assert_eq!(source.loads(), 2);
    ticks.advance(TTL - NANO);
    assert_eq!(
        cache.load("main").await.unwrap().freshness,
        Freshness::Stale
    );
    assert_eq!(source.loads(), 2, "one nanosecond early");
    ticks.advance(NANO);
    source.answers(Ok(policy("back")));
    assert_eq!(
        cache.load("main").await.unwrap().freshness,
        Freshness::Fresh
    );
    assert_eq!(source.loads(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_load_that_failed_slowly_the_pause_counts_from_its_end() {
    for times_out in [false, true] {
        let Fixture {
            source,
            ticks,
            cache,
        } = expired(forgiving()).await;
        source.answers(failed());
        let slow = slow_load(&source, &cache).await;
        // Longer than the pause: counted from the beginning it would be over.
        ticks.advance(TTL * 3);
        if !times_out {
            source.gate.notify_one();
        }
        let served = slow.await.unwrap().unwrap();
        assert_eq!((served.age, served.freshness), (TTL * 4, Freshness::Stale));
        source.gate("nothing");
        ticks.advance(TTL - NANO);
        let served = cache.load("main").await.unwrap();
        assert_eq!(served.freshness, Freshness::Stale);
        assert_eq!(source.loads(), 2, "the source was asked again at once");
        ticks.advance(NANO);
        source.answers(Ok(policy("back")));
        let served = cache.load("main").await.unwrap();
        assert_eq!((served.freshness, source.loads()), (Freshness::Fresh, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_too_old_when_a_slow_load_failed_does_not_stand_in() {
    for (takes, stands_in) in [(TTL * 9, true), (TTL * 9 + NANO, false)] {
        let Fixture {
            source,
            ticks,
            cache,
        } = expired(forgiving()).await;
        source.answers(failed());
        let slow = slow_load(&source, &cache).await;
        ticks.advance(takes);
        source.gate.notify_one();
        assert_eq!(slow.await.unwrap().is_ok(), stands_in, "{takes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_left_alone_does_not_stretch_the_greatest_age() {
    let config = CacheConfig {
        retry_after: TTL * 100,
        ..forgiving()
    };
    let Fixture {
        source,
        ticks,
        cache,
    } = fixture(config);
    cache.load("main").await.unwrap();
    source.answers(failed());
    ticks.advance(TTL * 9);
    cache.load("main").await.unwrap();
    ticks.advance(TTL);
    assert!(cache.load("main").await.is_ok());
    ticks.advance(NANO);
    assert!(matches!(
        cache.load("main").await,
        Err(LoadError::Failed { .. })
    ));
    assert_eq!(source.loads(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_stands_in_for_a_policy_that_was_not_found_or_whose_load_was_aborted() {
    let Fixture { source, cache, .. } = expired(forgiving()).await;
    *source.panics.lock().unwrap() = true;
    assert!(matches!(
        cache.load("main").await,
        Err(LoadError::Aborted { .. })
    ));
    *source.panics.lock().unwrap() = false;
    source.answers(not_found());
    assert!(matches!(
        cache.load("main").await,
        Err(LoadError::NotFound { .. })
    ));
    source.answers(failed());
    let later = cache.load("main").await;
    assert!(
        matches!(later, Err(LoadError::Failed { .. })),
        "it was forgotten with the answer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_as_a_failure_of_the_source() {
    let Fixture { source, cache, .. } = expired(forgiving()).await;
    source.gate("main");
    assert_eq!(
        cache.load("main").await.unwrap().freshness,
        Freshness::Stale
    );
}

#[tokio::test(start_paused = true)]
async fn expired_names_make_room_first_then_those_loaded_longest_ago() {
    let config = CacheConfig {
        max_names: NonZeroUsize::new(2).unwrap(),
        ..short()
    };
    let Fixture { ticks, cache, .. } = fixture(config);
    for name in ["a", "b", "c"] {
        cache.load(name).await.unwrap();
        ticks.advance(NANO);
    }
    assert!(cache.get("a").is_none() && cache.get("b").is_some() && cache.get("c").is_some());
    ticks.advance(TTL - NANO * 2);
    assert!(
        cache.get("b").is_none() && cache.get("c").is_some(),
        "b has just expired"
    );
    cache.load("d").await.unwrap();
    assert!(cache.get("c").is_some() && cache.get("d").is_some());
    assert_eq!((cache.stats().names, cache.stats().evictions), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_makes_room_before_what_was_loaded_longer_ago() {
    let config = CacheConfig {
        max_names: NonZeroUsize::new(2).unwrap(),
        jitter: NANO,
        ..short()
    };
    let (source, ticks) = (Arc::new(Source::default()), Arc::new(ManualTicks::new()));
    let random = Arc::new(SequenceRandom::starting_at(0));
    let cache = CachedLoader::with_random(source, config, ticks.clone(), random);
    // The second lives a nanosecond less than the first.
    cache.load("a").await.unwrap();
    cache.load("b").await.unwrap();
    ticks.advance(TTL - NANO);
    cache.load("c").await.unwrap();
    assert!(cache.get("a").is_some() && cache.get("c").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_stale_policy_stands_in_for_a_document_that_is_none() {
    let Fixture { source, cache, .. } = expired(forgiving()).await;
    let invalid = "{}".parse::<Policy>().unwrap_err();
    source.answers(Err(LoadError::Invalid {
        name: "main".into(),
        cause: Arc::new(invalid),
    }));
    let served = cache.load("main").await.unwrap();
    assert_eq!(served.freshness, Freshness::Stale);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_stale_is_no_hit() {
    let Fixture { source, cache, .. } = expired(forgiving()).await;
    source.answers(failed());
    for _ in 0..3 {
        let served = cache.load("main").await.unwrap();
        assert_eq!(served.freshness, Freshness::Stale);
    }
    assert_eq!((cache.stats().hits, source.loads()), (0, 2));
}

#[test]
fn names_of_handles_that_are_gone_are_forgotten() {
    let Fixture { cache, .. } = fixture(short());
    let kept = cache.handle("kept");
    for number in 0..100 {
        drop(cache.handle(&format!("name-{number}")));
    }
    let held = cache.inner.core.slots_held();
    assert!(held <= 2, "{held} names are held for `{}`", kept.name());
}

#[tokio::test(start_paused = true)]
async fn a_cache_of_one_name_keeps_the_newest() {
    let config = CacheConfig {
        max_names: NonZeroUsize::MIN,
        ..short()
    };
    let Fixture { cache, .. } = fixture(config);
    cache.load("z").await.unwrap();
    cache.load("a").await.unwrap();
    assert!(cache.get("z").is_none() && cache.get("a").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_handle_follows_its_name() {
    let config = CacheConfig {
        max_names: NonZeroUsize::MIN,
        ..short()
    };
    let Fixture {
        source,
        ticks,
        cache,
    } = fixture(config);
    let handle = cache.handle("main");
    assert!(handle.get().is_none());
    handle.load().await.unwrap();
    assert_eq!(handle.with(|served| served.age), Some(Duration::ZERO));
    assert!(
        cache.handle("main").get().is_some(),
        "a later handle sees what is held"
    );
    cache.invalidate("main");
    assert!(handle.get().is_none());
    cache.load("main").await.unwrap();
    assert!(handle.get().is_some());
    cache.load("other").await.unwrap();
    assert!(handle.get().is_none(), "it was evicted");
    handle.load().await.unwrap();
    ticks.advance(TTL);
    assert!(handle.get().is_none());
    cache.invalidate_all();
    assert!(handle.get().is_none());
    assert_eq!((handle.name(), source.loads()), ("main", 4));
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_the_time_to_live_and_never_stretches_it() {
    #[derive(Debug)]
    struct NoRandom;
    impl RandomSource for NoRandom {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError {
                reason: "dry".into(),
            })
        }
    }
    let config = CacheConfig {
        jitter: Duration::from_nanos(9),
        ..short()
    };
    let lives = |random: Arc<dyn RandomSource>, lived: Duration| {
        let config = config.clone();
        async move {
            let ticks = Arc::new(ManualTicks::new());
            let source = Arc::new(Source::default());
            let cache = CachedLoader::with_random(source, config, ticks.clone(), random);
            cache.load("main").await.unwrap();
            ticks.advance(lived);
            cache.get("main").is_some()
        }
    };
    for draw in [0, 1, 9, 10, u64::MAX] {
        let cut = Duration::from_nanos(draw % 10);
        let random = || Arc::new(SequenceRandom::starting_at(draw));
        assert!(lives(random(), TTL - cut - NANO).await, "draw {draw}");
        assert!(!lives(random(), TTL - cut).await, "draw {draw}");
    }
    assert!(lives(Arc::new(NoRandom), TTL - NANO).await && !lives(Arc::new(NoRandom), TTL).await);
}

#[tokio::test(start_paused = true)]
async fn a_jitter_of_any_length_loads() {
    let [last, all] = [u64::MAX - 1, u64::MAX].map(Duration::from_nanos);
    for jitter in [last, all, Duration::MAX] {
        let config = CacheConfig { jitter, ..short() };
        let Fixture { cache, .. } = fixture(config);
        let loaded = cache.load("main").await;
        assert!(loaded.is_ok(), "{jitter:?}: {:?}", loaded.err());
    }
}

#[tokio::test(start_paused = true)]
async fn hits_are_counted_however_they_are_made() {
    let Fixture { cache, .. } = fixture(short());
    let handle = cache.handle("main");
    cache.load("main").await.unwrap();
    cache.load("main").await.unwrap();
    cache.get("main").unwrap();
    cache.with("main", |_| ()).unwrap();
    handle.get().unwrap();
    handle.with(|_| ()).unwrap();
    handle.load().await.unwrap();
    assert_eq!(cache.stats().hits, 6);
}

#[test]
fn hits_from_many_threads_are_all_counted() {
    let striped = Striped::new();
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| (0..100).for_each(|_| striped.raise()));
        }
    });
    assert_eq!(striped.sum(), 10_000);
}
