//! Who waits, for how long at most, and what wakes them.

use countersign_core::retry::NoSleep;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::*;

type Loaded = Result<Served<Arc<Policy>>, LoadError>;

#[tokio::test(start_paused = true)]
async fn who_is_polled_again_with_another_waker_is_woken_by_the_new_one() {
    let Fixture { source, cache, .. } = fixture(short());
    source.gate("main");
    for leads in [true, false] {
        let mut waiting = Box::pin(cache.load("main"));
        let wakers = [(); 3].map(|()| Arc::new(Called::default()));
        for waker in &wakers {
            assert!(poll(&mut waiting, waker).is_pending());
            assert_eq!(cache.inner.core.wakers_held("main"), 1);
        }
        let [first, second, last] = &wakers;
        let held = [first, second].map(Arc::strong_count);
        assert_eq!(held, [1, 1], "a waker stays behind");
        if leads {
            // Gives up, while the load goes on.
            drop(waiting);
            assert_eq!(cache.inner.core.wakers_held("main"), 0);
            assert_eq!(Arc::strong_count(last), 1, "a waker stays behind");
            continue;
        }
        settle().await;
        source.gate.notify_one();
        settle().await;
        let counts = wakers.each_ref().map(|called| called.count());
        assert_eq!(counts, [0, 0, 1], "the waker of the last poll is called");
        let Poll::Ready(result) = poll(&mut waiting, last) else {
            panic!("it waits for ever")
        };
        result.unwrap();
    }
    assert_eq!((cache.stats().loads, cache.stats().joins), (1, 1));
    cache.inner.core.audit().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_asleep() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker panics");
        }
    }
    let Fixture { source, cache, .. } = fixture(short());
    source.gate("main");
    let called = [(); 2].map(|()| Arc::new(Called::default()));
    let [mut before, mut hurt, mut after] = [(); 3].map(|()| Box::pin(cache.load("main")));
    assert!(poll(&mut before, &called[0]).is_pending());
    let waker = Waker::from(Arc::new(Panics));
    let mut context = Context::from_waker(&waker);
    assert!(hurt.as_mut().poll(&mut context).is_pending());
    assert!(poll(&mut after, &called[1]).is_pending());
    // Whoever ends the load gets the panic, here who invalidates.
    let ended = AssertUnwindSafe(|| cache.invalidate("main"));
    let panic = std::panic::catch_unwind(ended).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a waker panics"));
    assert_eq!(called.each_ref().map(|called| called.count()), [1, 1]);
    assert_eq!(cache.inner.core.wakers_held("main"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_moves_to_another_task_while_it_waits_ends_there() {
    let Fixture { source, cache, .. } = fixture(short());
    source.gate("main");
    let mut waiting: BoxFuture<'static, Loaded> = Box::pin({
        let cache = cache.clone();
        async move { cache.load("main").await }
    });
    // Polled in a task that has no part in it by the time the load ends.
    tokio::select! {
        biased;
        _ = &mut waiting => panic!("the source answers nobody yet"),
        () = source.started.notified() => {}
    }
    let moved = tokio::spawn(waiting);
    settle().await;
    source.gate.notify_one();
    let ended = tokio::time::timeout(Duration::from_secs(1), moved).await;
    ended.expect("it waits for ever").unwrap().unwrap();
}

/// Each wait lasts until the test rings for it. They are numbered from 0.
#[derive(Debug)]
struct Bells {
    begun: AtomicUsize,
    rung: watch::Sender<HashSet<usize>>,
}

impl Bells {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: AtomicUsize::new(0),
            rung: watch::Sender::default(),
        })
    }

    fn ring(&self, number: usize) {
        self.rung.send_modify(|rung| rung.extend([number]));
    }
}

impl Sleep for Bells {
    fn sleep(&self, _: Duration) -> BoxFuture<'_, ()> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        let mut rung = self.rung.subscribe();
        Box::pin(async move {
            let _ = rung.wait_for(|rung| rung.contains(&number)).await;
        })
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// Begins a load on a runtime that nobody drives afterwards. Who led it has given up. Two waits
/// have begun: that caller's and the load's.
fn led_by_one_that_stands_still(source: &Source, cache: &CachedLoader) -> Runtime {
    let runtime = runtime();
    source.gate("main");
    runtime.block_on(async {
        tokio::select! {
            _ = cache.load("main") => panic!("the source answers nobody yet"),
            () = source.started.notified() => {}
        }
    });
    runtime
}

fn spawn_on(runtime: &Runtime, cache: &CachedLoader) -> tokio::task::JoinHandle<Loaded> {
    let _entered = runtime.enter();
    spawn_load(cache, "main")
}

/// What a caller was told by now.
fn told(runtime: &Runtime, caller: tokio::task::JoinHandle<Loaded>) -> Loaded {
    runtime.block_on(settle());
    assert!(caller.is_finished(), "a caller is held");
    runtime.block_on(caller).unwrap()
}

fn is_timeout(result: &Loaded) -> bool {
    matches!(result, Err(LoadError::TimedOut { .. }))
}

#[test]
fn who_joins_a_load_whose_runtime_stands_still_is_not_held_past_its_own_time() {
    let bells = Bells::new();
    let Fixture { source, cache, .. } = waiting_on(short(), bells.clone());
    let still = led_by_one_that_stands_still(&source, &cache);
    let other = runtime();
    let waiting = [(); 3].map(|()| spawn_on(&other, &cache));
    other.block_on(settle());
    assert_eq!((cache.stats().loads, cache.stats().joins), (1, 3));
    // The second of the three: what has been under way all its time has timed out for all.
    bells.ring(3);
    for waiting in waiting {
        assert!(is_timeout(&told(&other, waiting)));
    }
    assert_eq!((cache.stats().failures, cache.stats().aborts), (1, 0));
    cache.inner.core.audit().unwrap();

    // The next caller begins anew, and the load that stood still changes nothing any more.
    source.gate("nothing");
    source.answers(Ok(policy("new")));
    let served = other.block_on(cache.load("main")).unwrap();
    assert_eq!(served.policy.rules()[0].name(), "new");
    source.gate.notify_one();
    still.block_on(settle());
    let held = cache.get("main").unwrap();
    assert_eq!(
        held.policy.rules()[0].name(),
        "new",
        "an older one came late"
    );
    assert_eq!((cache.stats().loads, cache.stats().failures), (2, 1));
    drop(still);
    assert_eq!(cache.stats().aborts, 0);
    cache.inner.core.audit().unwrap();
}

#[test]
fn a_stale_policy_stands_in_when_the_runtime_that_loads_stands_still() {
    let bells = Bells::new();
    let Fixture {
        source,
        ticks,
        cache,
    } = waiting_on(forgiving(), bells.clone());
    let other = runtime();
    other.block_on(cache.load("main")).unwrap();
    ticks.advance(TTL);
    let _still = led_by_one_that_stands_still(&source, &cache);
    let waiting = spawn_on(&other, &cache);
    other.block_on(settle());
    bells.ring(4);
    let served = told(&other, waiting).unwrap();
    assert_eq!((served.age, served.freshness), (TTL, Freshness::Stale));
    assert_eq!(cache.stats().stale, 1);
    cache.inner.core.audit().unwrap();
}

#[test]
fn who_was_restarted_is_not_held_past_its_own_time_and_ends_no_younger_load() {
    let bells = Bells::new();
    let Fixture { source, cache, .. } = waiting_on(short(), bells.clone());
    source.gate("main");
    let runtime = runtime();
    let waiting = spawn_on(&runtime, &cache);
    runtime.block_on(source.started.notified());
    cache.invalidate("main");
    runtime.block_on(source.started.notified());
    assert_eq!(cache.stats().loads, 2, "the caller leads another");
    let younger = spawn_on(&runtime, &cache);
    runtime.block_on(settle());
    // The caller's time counts from its call, and not from its restart.
    bells.ring(0);
    assert!(is_timeout(&told(&runtime, waiting)));
    source.gate.notify_waiters();
    told(&runtime, younger).expect("it is in time");
    assert_eq!((cache.stats().loads, cache.stats().failures), (2, 0));
    cache.inner.core.audit().unwrap();
}

#[test]
fn who_is_invalidated_as_its_time_ends_is_told_that_it_is_over() {
    let bells = Bells::new();
    let Fixture { source, cache, .. } = waiting_on(short(), bells.clone());
    let _still = led_by_one_that_stands_still(&source, &cache);
    let other = runtime();
    let waiting = spawn_on(&other, &cache);
    other.block_on(settle());
    bells.ring(2);
    cache.invalidate("main");
    // It leads another load, whose time is over before it has begun to wait.
    assert!(is_timeout(&told(&other, waiting)));
    other.block_on(settle());
    assert_eq!(cache.inner.core.wakers_held("main"), 0);
}

#[test]
fn a_caller_on_another_executor_is_not_held_by_a_runtime_that_nobody_drives() {
    let bells = Bells::new();
    let Fixture { cache, .. } = waiting_on(short(), bells.clone());
    let undriven = runtime();
    let entered = undriven.enter();
    let called = Arc::new(Called::default());
    let mut waiting: BoxFuture<'_, Loaded> = Box::pin(cache.load("main"));
    assert!(poll(&mut waiting, &called).is_pending());
    assert_eq!(called.count(), 0);
    bells.ring(0);
    assert_eq!(called.count(), 1, "the bell wakes it");
    let Poll::Ready(result) = poll(&mut waiting, &called) else {
        panic!("it is held")
    };
    assert!(is_timeout(&result));
    cache.inner.core.audit().unwrap();
    drop(waiting);
    drop(entered);
}

#[test]
fn an_alarm_that_rings_at_once_ends_the_load_and_panics_nowhere() {
    let Fixture { source, cache, .. } = waiting_on(short(), Arc::new(NoSleep));
    source.gate("main");
    let runtime = runtime();
    for _ in 0..3 {
        assert!(is_timeout(&runtime.block_on(cache.load("main"))));
    }
    runtime.block_on(settle());
    cache.inner.core.audit().unwrap();
}

#[test]
fn a_runtime_without_timers_loads_and_times_out_as_any_other() {
    let config = |load_timeout| CacheConfig {
        load_timeout,
        ..short()
    };
    let runtime = Builder::new_current_thread().build().unwrap();
    let hour = Duration::from_secs(3600);
    let Fixture { cache, .. } = waiting_on(config(hour), Arc::new(ThreadSleep));
    runtime.block_on(cache.load("main")).unwrap();
    assert_eq!((cache.stats().aborts, cache.stats().loads), (0, 1));

    let Fixture { source, cache, .. } = waiting_on(config(NANO), Arc::new(ThreadSleep));
    source.gate("main");
    assert!(is_timeout(&runtime.block_on(cache.load("main"))));
    assert_eq!(cache.stats().aborts, 0);
}
