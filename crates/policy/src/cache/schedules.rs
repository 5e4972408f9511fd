//! The cache's synchronous core under fifty callers and more, in schedules that are drawn; in
//! `edge.rs` the cache itself, as its users call it.
//!
//! What the models of `models.rs` explore with two threads is run here at the sizes of the suites
//! in `tests/concurrency.rs`; those that add to them say so. Who waits is polled with another waker each
//! time. Every run ends with [`Core::audit`]:
//! nothing is in flight, no waker is held, slots and map agree. Run by `cargo xtask schedules`.

use std::sync::atomic::{AtomicU64 as Counter, Ordering};
use std::task::{Context, Wake, Waker};

use countersign_core::sync::schedule::{Schedule, pause, together};

use super::callers::{TTL, call, core, failed, publish, tick, wait};
use super::core::{Begin, Core, Counts, Lead};
use super::flights::Outcome;
use super::*;

mod edge;

/// What was loaded, by number.
type Shared = Arc<Core<u64>>;

/// How often something happened in one run.
fn counter() -> Arc<Counter> {
    Arc::new(Counter::new(0))
}

/// A waker that is no other's, and wakes nobody.
fn own_waker() -> Waker {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }
    Waker::from(Arc::new(Nobody))
}

fn value(served: Result<Served<u64>, LoadError>) -> u64 {
    served.unwrap().policy
}

/// What is published for the name, if it is fresh at the moment.
fn published(core: &Shared, name: &str, now: Tick) -> Option<u64> {
    core.read(name, |entry| Some(*entry.fresh(now)?.policy))
}

#[test]
fn cache_concurrent_cold_miss() {
    let schedule = Schedule {
        name: "cache_concurrent_cold_miss",
        claim: "50 callers of one cold name: one load, all get its value",
        threads: 50,
        operations: 50,
    };
    schedule.check(|| {
        let core: Shared = core(8, None);
        let (shared, loads) = (Arc::clone(&core), counter());
        let counted = Arc::clone(&loads);
        let got = together(50, move |_| {
            value(call(&shared, "main", tick(1), |lead| {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                pause();
                lead.finish(Ok((7 + number, TTL)), tick(2));
            }))
        });
        assert_eq!(got, [7; 50]);
        assert_eq!(loads.load(Ordering::SeqCst), 1, "it was loaded twice");
        let (names, counts) = core.counts();
        assert_eq!((names, counts.loads, counts.failures), (1, 1, 0));
        assert!(counts.joins <= 49);
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_failure() {
    let schedule = Schedule {
        name: "cache_concurrent_failure",
        claim: "50 callers of one cold name whose first load fails (beside the suite's): those who \
                waited for it get its error, the others one later load's value, the error is not \
                remembered",
        threads: 50,
        operations: 50,
    };
    schedule.check(|| {
        let core: Shared = core(8, None);
        let shared = Arc::clone(&core);
        let loads = counter();
        let counted = Arc::clone(&loads);
        let got = together(50, move |_| {
            let served = call(&shared, "main", tick(1), |lead| {
                let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
                pause();
                let result = if first {
                    Err(failed("main"))
                } else {
                    Ok((7, TTL))
                };
                lead.finish(result, tick(2));
            });
            match served {
                Ok(served) => served.policy,
                Err(LoadError::TimedOut { .. }) => 0,
                Err(error) => panic!("{error}"),
            }
        });
        assert!(got.iter().all(|number| [0, 7].contains(number)));
        assert!(got.contains(&0), "who led the failing load gets its error");
        let wanted = 1 + u64::from(got.contains(&7));
        assert_eq!(loads.load(Ordering::SeqCst), wanted);
        let (names, counts) = core.counts();
        assert_eq!((names as u64, counts.failures), (wanted - 1, 1));
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_abort() {
    let schedule = Schedule {
        name: "cache_concurrent_abort",
        claim: "50 callers whose first two loads are aborted, and 10 who give up waiting: whoever \
                waited for one of the two gets `Aborted`, nobody waits for ever, one load brings \
                the value",
        threads: 60,
        operations: 60,
    };
    schedule.check(|| {
        let core: Shared = core(8, None);
        let shared = Arc::clone(&core);
        let loads = counter();
        let counted = Arc::clone(&loads);
        let got = together(60, move |n| {
            let load = |lead: Lead<u64>| {
                let aborts = counted.fetch_add(1, Ordering::SeqCst) < 2;
                pause();
                if !aborts {
                    lead.finish(Ok((7, TTL)), tick(2));
                }
            };
            if n >= 50 {
                // Registers its waker, if there is something to wait for, and gives up.
                if let Begin::Join(mut waiter) = shared.begin("main", tick(1)) {
                    let waker = own_waker();
                    let mut context = Context::from_waker(&waker);
                    let _ = Pin::new(&mut waiter).poll(&mut context);
                    pause();
                    drop(waiter);
                    let stays = shared.holds("main", &waker);
                    assert!(!stays, "a waker stays behind while the load goes on");
                }
                return None;
            }
            loop {
                match call(&shared, "main", tick(1), load) {
                    Ok(served) => return Some(served.policy),
                    Err(LoadError::Aborted { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert!(got.iter().take(50).all(|number| *number == Some(7)));
        let (
            names,
            Counts {
                loads: begun,
                aborts,
                ..
            },
        ) = core.counts();
        assert_eq!(loads.load(Ordering::SeqCst), 3);
        // Who gives up may have led a load, which then ends with him.
        assert!(names == 1 && aborts + 1 == begun && (3..=13).contains(&begun));
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_expiry() {
    let schedule = Schedule {
        name: "cache_concurrent_expiry",
        claim: "100 readers at the moment of expiry (one round, not 50), half of them by handle \
                first: the old value is served to none, and it is loaded once",
        threads: 100,
        operations: 150,
    };
    schedule.check(|| {
        let core: Shared = core(8, None);
        publish(&core, "main", 1, tick(0));
        let slot = core.slot("main");
        let (shared, loads) = (Arc::clone(&core), counter());
        let counted = Arc::clone(&loads);
        let got = together(100, move |n| {
            if n % 2 == 0 {
                let held = slot.entry.load_full();
                let served = held.as_ref().and_then(|entry| entry.fresh(tick(100)));
                assert!(served.is_none_or(|served| *served.policy == 2), "expired");
            }
            value(call(&shared, "main", tick(100), |lead| {
                counted.fetch_add(1, Ordering::SeqCst);
                lead.finish(Ok((2, TTL)), tick(101));
            }))
        });
        assert_eq!(got, [2; 100]);
        assert_eq!(loads.load(Ordering::SeqCst), 1, "it was loaded twice");
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_invalidation() {
    let schedule = Schedule {
        name: "cache_concurrent_invalidation",
        claim: "50 readers, by name and by handle, and 5 who change the source and invalidate: \
                nobody sees what the source held before an invalidation that ended before they \
                asked, or an older value after a newer one",
        threads: 55,
        operations: 105,
    };
    schedule.check(|| {
        let core: Shared = core(8, None);
        publish(&core, "main", 0, tick(0));
        let slot = core.slot("main");
        // What the source holds, and the least that may still be seen.
        let (source, least) = (counter(), counter());
        let (shared, newest) = (Arc::clone(&core), Arc::clone(&source));
        together(55, move |n| {
            if n < 5 {
                let number = source.fetch_add(1, Ordering::SeqCst) + 1;
                pause();
                match n {
                    0 => shared.invalidate_all(),
                    _ => shared.invalidate("main"),
                }
                least.fetch_max(number, Ordering::SeqCst);
                return;
            }
            let due = least.load(Ordering::SeqCst);
            let held = slot.entry.load_full();
            if let Some(served) = held.as_ref().and_then(|entry| entry.fresh(tick(1))) {
                assert!(
                    *served.policy >= due,
                    "a handle showed what was invalidated"
                );
            }
            let due = due.max(least.load(Ordering::SeqCst));
            let got = value(call(&shared, "main", tick(1), |lead| {
                let number = source.load(Ordering::SeqCst);
                pause();
                lead.finish(Ok((number, TTL)), tick(2));
            }));
            assert!(
                got >= due,
                "{got} was seen after {due} had been invalidated"
            );
            let later = published(&shared, "main", tick(2));
            assert!(
                later.is_none_or(|later| later >= got),
                "an older value reappeared"
            );
        });
        let newest = newest.load(Ordering::SeqCst);
        let last = published(&core, "main", tick(2));
        assert!(
            last.is_none_or(|last| last == newest),
            "an older value was published late"
        );
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_different_keys() {
    let schedule = Schedule {
        name: "cache_concurrent_different_keys",
        claim: "100 callers of 25 cold names (not 100), read twice: each gets the value of the name \
                it asked for, one load a name",
        threads: 100,
        operations: 200,
    };
    let names: Arc<[String]> = (0..25).map(|key| format!("key-{key}")).collect();
    schedule.check(move || {
        let core: Shared = core(25, None);
        let (shared, names) = (Arc::clone(&core), Arc::clone(&names));
        together(100, move |n| {
            let (key, name) = (n as u64 % 25, names[n % 25].as_str());
            let load = |lead: Lead<u64>| {
                assert_eq!(&**lead.name(), name);
                lead.finish(Ok((key, TTL)), tick(2));
            };
            assert_eq!(value(call(&shared, name, tick(1), load)), key);
            assert_eq!(published(&shared, name, tick(2)), Some(key));
        });
        let (names, counts) = core.counts();
        assert_eq!((names, counts.loads, counts.evictions), (25, 25, 0));
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_slow_key() {
    let schedule = Schedule {
        name: "cache_concurrent_slow_key",
        claim: "one name is being loaded, 10 wait for it, and 40 load and invalidate another: the \
                other is served all the same, and the slow load ends for all who waited",
        threads: 50,
        operations: 90,
    };
    schedule.check(|| {
        let core: Shared = core(8, None);
        let Begin::Lead(slow, waiter) = core.begin("slow", tick(1)) else {
            panic!("cold")
        };
        let waiting: Vec<_> = (0..10).map(|_| core.begin("slow", tick(1))).collect();
        let waiters = waiting.into_iter().map(|begin| match begin {
            Begin::Join(waiter) => std::sync::Mutex::new(Some(waiter)),
            _ => panic!("under way"),
        });
        let waiters: Vec<_> = waiters.collect();
        let (slow, quick) = (std::sync::Mutex::new(Some(slow)), counter());
        let shared = Arc::clone(&core);
        together(50, move |n| {
            if let Some(waiter) = waiters.get(n) {
                let waiter = waiter.lock().unwrap().take().unwrap();
                let Outcome::Done(result) = wait(waiter) else {
                    panic!("nobody invalidated it")
                };
                assert_eq!(value(result), 8);
                return;
            }
            let load = |lead: Lead<u64>| lead.finish(Ok((7, TTL)), tick(2));
            assert_eq!(value(call(&shared, "quick", tick(1), load)), 7);
            shared.invalidate("quick");
            // The slow load ends only when all are done with the other name.
            if quick.fetch_add(1, Ordering::SeqCst) == 39 {
                let slow = slow.lock().unwrap().take().unwrap();
                slow.finish(Ok((8, TTL)), tick(3));
            }
        });
        let Outcome::Done(result) = wait(waiter) else {
            panic!("nobody invalidated it")
        };
        assert_eq!(value(result), 8);
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_stale() {
    let schedule = Schedule {
        name: "cache_concurrent_stale",
        claim: "the source fails while 50 ask for an expired name (beside the suite's): all get the \
                stale value within its bound, and the source is asked once",
        threads: 50,
        operations: 50,
    };
    schedule.check(|| {
        let core: Shared = core(8, Some(Duration::from_nanos(150)));
        publish(&core, "main", 1, tick(0));
        let (shared, asked) = (Arc::clone(&core), counter());
        let counted = Arc::clone(&asked);
        together(50, move |_| {
            let served = call(&shared, "main", tick(140), |lead| {
                counted.fetch_add(1, Ordering::SeqCst);
                pause();
                // It takes longer than the pause that follows, which counts from its end.
                lead.finish(Err(failed("main")), tick(150));
            });
            let served = served.unwrap();
            assert!(served.age <= Duration::from_nanos(150) && served.policy == 1);
            assert_eq!(served.freshness, Freshness::Stale);
        });
        assert_eq!(
            asked.load(Ordering::SeqCst),
            1,
            "a failing source is left alone"
        );
        core.audit().unwrap();
    });
}

#[test]
fn cache_concurrent_eviction() {
    let schedule = Schedule {
        name: "cache_concurrent_eviction",
        claim: "50 callers of ten names where three may be held: all are served their own value, \
                three are held, and handles show what is held",
        threads: 50,
        operations: 50,
    };
    let names: Arc<[String]> = (0..10).map(|key| format!("key-{key}")).collect();
    schedule.check(move || {
        let core: Shared = core(3, None);
        let slots: Vec<_> = names.iter().map(|name| core.slot(name)).collect();
        let (shared, names) = (Arc::clone(&core), Arc::clone(&names));
        together(50, move |n| {
            let key = n % 10;
            let load = |lead: Lead<u64>| lead.finish(Ok((key as u64, TTL)), tick(2));
            let got = value(call(&shared, &names[key], tick(1), load));
            assert_eq!(got, key as u64, "another name's value");
        });
        let held = slots.iter().filter(|slot| slot.entry.load_full().is_some());
        assert_eq!(held.count(), 3);
        let (held, counts) = core.counts();
        assert_eq!((held, counts.evictions), (3, counts.loads - 3));
        core.audit().unwrap();
    });
}
