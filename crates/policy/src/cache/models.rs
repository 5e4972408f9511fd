//! Models of the cache's synchronous core: every interleaving, under loom.
//!
//! The value that is cached holds a cell that loom watches, so that a value which is read before
//! it is wholly published is caught, not only a wrong one. Every model ends with [`Core::audit`]:
//! nothing is in flight, no waker is held, slots and map agree. Run by `cargo xtask loom`.

use std::sync::atomic::{AtomicUsize as Counter, Ordering as CounterOrdering};
use std::task::Wake;

use countersign_core::sync::atomic::{AtomicU64, Ordering};
use countersign_core::sync::model::Model;
use loom::cell::UnsafeCell;
use loom::thread;

use super::callers::{TTL, call, core, failed, publish, tick};
use super::core::{Begin, Core, Lead, Outcome, Waiter};
use super::*;

/// A cached value: a number, and a cell that is written before it is published.
#[derive(Debug)]
struct Payload {
    number: u64,
    written: UnsafeCell<u64>,
}

type Value = Arc<Payload>;

fn payload(number: u64) -> Value {
    let payload = Payload {
        number,
        written: UnsafeCell::new(0),
    };
    payload.written.with_mut(|_| ());
    Arc::new(payload)
}

/// Reads a value as its user would.
fn number(value: &Value) -> u64 {
    value.written.with(|_| ());
    value.number
}

/// Sleeps on a modelled lock and condition variable, which loom explores, until it is woken.
struct Parker {
    woken: loom::sync::Mutex<bool>,
    condition: loom::sync::Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.condition.notify_one();
    }
}

impl Parker {
    fn new() -> Arc<Self> {
        let woken = loom::sync::Mutex::new(false);
        Arc::new(Self {
            woken,
            condition: loom::sync::Condvar::new(),
        })
    }

    fn park(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.condition.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// Looks at a waiter once; it wakes the parker if it has to wait.
fn look<V: Clone>(waiter: &mut Waiter<V>, parker: &Arc<Parker>) -> Option<Outcome<V>> {
    let waker = Arc::clone(parker).into();
    let mut context = std::task::Context::from_waker(&waker);
    match std::pin::Pin::new(waiter).poll(&mut context) {
        std::task::Poll::Ready(outcome) => Some(outcome),
        std::task::Poll::Pending => None,
    }
}

/// Waits as a caller would.
pub(super) fn wait<V: Clone>(mut waiter: Waiter<V>) -> Outcome<V> {
    let parker = Parker::new();
    loop {
        match look(&mut waiter, &parker) {
            Some(outcome) => return outcome,
            None => parker.park(),
        }
    }
}

fn model(
    name: &'static str,
    claim: &'static str,
    threads: usize,
    operations: usize,
    at_least: u64,
) -> Model {
    Model {
        name,
        claim,
        threads,
        operations,
        at_least,
        preemptions: None,
    }
}

/// `threads` callers of one cold name; each leads with `load` if it has to.
fn cold(threads: usize) {
    let core = core(8, None);
    let loads = Arc::new(Counter::new(0));
    let caller = |core: Arc<Core<Value>>, loads: Arc<Counter>| {
        let served = call(&core, "main", tick(1), |lead| {
            loads.fetch_add(1, CounterOrdering::SeqCst);
            lead.finish(Ok((payload(7), TTL)), tick(2));
        });
        assert_eq!(number(&served.unwrap().policy), 7);
    };
    let others: Vec<_> = (1..threads)
        .map(|_| {
            let (core, loads) = (Arc::clone(&core), Arc::clone(&loads));
            thread::spawn(move || caller(core, loads))
        })
        .collect();
    caller(Arc::clone(&core), Arc::clone(&loads));
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(
        loads.load(CounterOrdering::SeqCst),
        1,
        "callers of one cold name load it once"
    );
    core.audit().unwrap();
}

#[test]
fn cache_cold_miss_2() {
    let claim = "two callers of a cold name: one load, both get its value";
    model("cache_cold_miss_2", claim, 2, 2, 1_157).check(|| cold(2));
}

#[test]
fn cache_cold_miss_3() {
    let claim = "three callers of a cold name: one load, all get its value";
    let bounded = Model {
        preemptions: Some(4),
        ..model("cache_cold_miss_3", claim, 3, 3, 20_566)
    };
    bounded.check(|| cold(3));
}

#[test]
fn cache_expiry_2() {
    let claim = "two callers at the moment of expiry: the old value is served to neither, by name \
                 or by handle, and it is loaded once";
    model("cache_expiry_2", claim, 2, 4, 2_347).check(|| {
        let core = core(8, None);
        publish(&core, "main", payload(1), tick(0));
        let slot = core.slot("main");
        let loads = Arc::new(Counter::new(0));
        let caller = |core: &Arc<Core<Value>>, loads: &Arc<Counter>| {
            let served = call(core, "main", tick(100), |lead| {
                loads.fetch_add(1, CounterOrdering::SeqCst);
                lead.finish(Ok((payload(2), TTL)), tick(101));
            });
            assert_eq!(
                number(&served.unwrap().policy),
                2,
                "an expired value was served"
            );
        };
        let other = {
            let (core, loads) = (Arc::clone(&core), Arc::clone(&loads));
            thread::spawn(move || caller(&core, &loads))
        };
        let held = slot.entry.load_full();
        if let Some(served) = held.as_ref().and_then(|entry| entry.fresh(tick(100))) {
            assert_eq!(number(served.policy), 2, "a handle served an expired value");
        }
        caller(&core, &loads);
        other.join().unwrap();
        assert_eq!(
            loads.load(CounterOrdering::SeqCst),
            1,
            "an expired name is loaded once"
        );
        core.audit().unwrap();
    });
}

/// Two callers whose load ends with `end`; gives what they got.
fn ends(end: fn(Lead<Value>), check: fn(&Result<Served<Value>, LoadError>)) {
    let core = core(8, None);
    let other = {
        let core = Arc::clone(&core);
        thread::spawn(move || check(&call(&core, "main", tick(1), end)))
    };
    check(&call(&core, "main", tick(1), end));
    other.join().unwrap();
    let served = call(&core, "main", tick(1), |lead| {
        lead.finish(Ok((payload(7), TTL)), tick(2))
    });
    assert_eq!(
        number(&served.unwrap().policy),
        7,
        "the next caller begins anew"
    );
    core.audit().unwrap();
}

#[test]
fn cache_abort_2() {
    let claim = "the load's task panics or is aborted: whoever waits gets `Aborted`, nobody waits \
                 for ever, the next caller begins anew";
    model("cache_abort_2", claim, 2, 3, 1_484).check(|| {
        ends(drop, |result| {
            assert!(matches!(result, Err(LoadError::Aborted { .. })))
        });
    });
}

#[test]
fn cache_failure_2() {
    let claim = "the load fails or times out: whoever waits gets the error, it is not remembered";
    model("cache_failure_2", claim, 2, 3, 1_663).check(|| {
        ends(
            |lead| lead.finish(Err(failed("main")), tick(2)),
            |result| assert!(matches!(result, Err(LoadError::TimedOut { .. }))),
        );
    });
}

#[test]
fn cache_give_up_2() {
    let claim = "a caller gives up while the load ends: the other is served, no waker stays behind";
    model("cache_give_up_2", claim, 2, 3, 44).check(|| {
        let core = core(8, None);
        let Begin::Lead(lead, waiter) = core.begin("main", tick(1)) else {
            panic!("cold")
        };
        let Begin::Join(mut quitter) = core.begin("main", tick(1)) else {
            panic!("under way")
        };
        let other = thread::spawn(move || lead.finish(Ok((payload(7), TTL)), tick(2)));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let _ = std::pin::Pin::new(&mut quitter).poll(&mut context);
        drop(quitter);
        let Outcome::Done(result) = wait(waiter) else {
            panic!("nothing was invalidated")
        };
        assert_eq!(number(&result.unwrap().policy), 7);
        other.join().unwrap();
        core.audit().unwrap();
    });
}

#[test]
fn cache_wakes_all_2() {
    let claim = "two who wait for one load are both woken when it ends";
    model("cache_wakes_all_2", claim, 2, 3, 86).check(|| {
        let core = core(8, None);
        let Begin::Lead(lead, mut first) = core.begin("main", tick(1)) else {
            panic!("cold")
        };
        let Begin::Join(mut second) = core.begin("main", tick(1)) else {
            panic!("under way")
        };
        let other = thread::spawn(move || lead.finish(Ok((payload(7), TTL)), tick(2)));
        let parkers = [Parker::new(), Parker::new()];
        let waiting = [
            look(&mut first, &parkers[0]),
            look(&mut second, &parkers[1]),
        ];
        for (outcome, parker) in waiting.iter().zip(&parkers) {
            if outcome.is_none() {
                parker.park();
            }
        }
        other.join().unwrap();
        drop((first, second));
        core.audit().unwrap();
    });
}

#[test]
fn cache_invalidate_2() {
    let claim = "an invalidation races a load: what the source held before it is never seen after \
                 it, by those who ask later, by handle, or by those who waited";
    model("cache_invalidate_2", claim, 2, 5, 152_265).check(|| {
        let core = core(8, None);
        let slot = core.slot("main");
        let source = Arc::new(AtomicU64::new(1));
        let load = |source: &Arc<AtomicU64>| {
            let source = Arc::clone(source);
            move |lead: Lead<Value>| {
                let value = payload(source.load(Ordering::SeqCst));
                lead.finish(Ok((value, TTL)), tick(2));
            }
        };
        let invalidated = Arc::new(Counter::new(0));
        let other = {
            let (core, load) = (Arc::clone(&core), load(&source));
            let invalidated = Arc::clone(&invalidated);
            thread::spawn(move || {
                let late = invalidated.load(CounterOrdering::SeqCst) == 1;
                let served = call(&core, "main", tick(1), load).unwrap();
                assert!(
                    !late || number(&served.policy) == 2,
                    "seen after the invalidation"
                );
            })
        };
        source.store(2, Ordering::SeqCst);
        core.invalidate("main");
        invalidated.store(1, CounterOrdering::SeqCst);
        let held = slot.entry.load_full();
        if let Some(served) = held.as_ref().and_then(|entry| entry.fresh(tick(1))) {
            assert_eq!(
                number(served.policy),
                2,
                "a handle showed what was invalidated"
            );
        }
        let served = call(&core, "main", tick(1), load(&source)).unwrap();
        assert_eq!(number(&served.policy), 2, "an older value reappeared");
        other.join().unwrap();
        let held = core.read("main", |entry| Some(number(entry.fresh(tick(1))?.policy)));
        assert_eq!(held, Some(2), "an older value was published late");
        core.audit().unwrap();
    });
}

#[test]
fn cache_invalidate_3() {
    let claim = "an invalidation races two callers of whom one may wait for the other's load: who \
                 asks after it gets nothing older, each side of it has one load, and nothing older \
                 is published late";
    let bounded = Model {
        preemptions: Some(6),
        ..model("cache_invalidate_3", claim, 3, 4, 474_606)
    };
    bounded.check(|| {
        let core = core(8, None);
        let source = Arc::new(AtomicU64::new(1));
        let (loads, invalidated) = (Arc::new(Counter::new(0)), Arc::new(Counter::new(0)));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (core, source) = (Arc::clone(&core), Arc::clone(&source));
                let (loads, invalidated) = (Arc::clone(&loads), Arc::clone(&invalidated));
                thread::spawn(move || {
                    let late = invalidated.load(CounterOrdering::SeqCst) == 1;
                    let served = call(&core, "main", tick(1), |lead| {
                        loads.fetch_add(1, CounterOrdering::SeqCst);
                        let value = payload(source.load(Ordering::SeqCst));
                        lead.finish(Ok((value, TTL)), tick(2));
                    });
                    let number = number(&served.unwrap().policy);
                    assert!(!late || number == 2, "seen after the invalidation");
                })
            })
            .collect();
        source.store(2, Ordering::SeqCst);
        core.invalidate("main");
        invalidated.store(1, CounterOrdering::SeqCst);
        for other in others {
            other.join().unwrap();
        }
        let held = core.read("main", |entry| Some(number(entry.fresh(tick(1))?.policy)));
        assert_ne!(held, Some(1), "an older value was published late");
        let loads = loads.load(CounterOrdering::SeqCst);
        assert!(
            (1..=2).contains(&loads),
            "one load before the invalidation and one after it"
        );
        core.audit().unwrap();
    });
}

#[test]
fn cache_invalidate_waiter_2() {
    let claim = "a waiter whose load ended before an invalidation and who looks after it begins \
                 again instead of showing the older value";
    model("cache_invalidate_waiter_2", claim, 2, 3, 16).check(|| {
        let core = core(8, None);
        let Begin::Lead(lead, waiter) = core.begin("main", tick(1)) else {
            panic!("cold")
        };
        let other = thread::spawn(move || lead.finish(Ok((payload(1), TTL)), tick(2)));
        core.invalidate("main");
        assert!(
            matches!(wait(waiter), Outcome::Superseded),
            "the older value was shown"
        );
        other.join().unwrap();
        assert!(
            core.read("main", |_| Some(())).is_none(),
            "the older value was published"
        );
        core.audit().unwrap();
    });
}

#[test]
fn cache_two_keys_2() {
    let claim = "while one name is being loaded another is loaded, served and invalidated";
    model("cache_two_keys_2", claim, 2, 4, 236).check(|| {
        let core = core(8, None);
        let Begin::Lead(slow, waiter) = core.begin("slow", tick(1)) else {
            panic!("cold")
        };
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                let load = |lead: Lead<Value>| lead.finish(Ok((payload(7), TTL)), tick(2));
                assert_eq!(
                    number(&call(&core, "quick", tick(1), load).unwrap().policy),
                    7
                );
                core.invalidate("quick");
            })
        };
        let Begin::Join(second) = core.begin("slow", tick(1)) else {
            panic!("under way")
        };
        drop(second);
        // The slow load ends only when the other name is done with: nothing there waits for it.
        other.join().unwrap();
        slow.finish(Ok((payload(8), TTL)), tick(3));
        let Outcome::Done(result) = wait(waiter) else {
            panic!("it was not invalidated")
        };
        assert_eq!(number(&result.unwrap().policy), 8);
        core.audit().unwrap();
    });
}

#[test]
fn cache_stale_2() {
    let claim = "the source fails while two ask for an expired name: both get the stale value \
                 within its bound, neither beyond it, and the source is asked once";
    model("cache_stale_2", claim, 2, 2, 1_197).check(|| {
        let core = core(8, Some(Duration::from_nanos(150)));
        publish(&core, "main", payload(1), tick(0));
        let asked = Arc::new(Counter::new(0));
        let caller = |core: &Arc<Core<Value>>, asked: &Arc<Counter>| {
            let served = call(core, "main", tick(140), |lead| {
                asked.fetch_add(1, CounterOrdering::SeqCst);
                lead.finish(Err(failed("main")), tick(140));
            });
            let served = served.unwrap();
            assert!(served.age <= Duration::from_nanos(150) && number(&served.policy) == 1);
            assert_eq!(served.freshness, Freshness::Stale);
        };
        let other = {
            let (core, asked) = (Arc::clone(&core), Arc::clone(&asked));
            thread::spawn(move || caller(&core, &asked))
        };
        caller(&core, &asked);
        other.join().unwrap();
        assert_eq!(
            asked.load(CounterOrdering::SeqCst),
            1,
            "a failing source is left alone"
        );
        let beyond = call(&core, "main", tick(151), |lead| {
            lead.finish(Err(failed("main")), tick(151));
        });
        assert!(beyond.is_err(), "too old to stand in");
        core.audit().unwrap();
    });
}

#[test]
fn cache_not_found_2() {
    let claim = "the source answers `not found` for one caller while it fails for another: once \
                 gone, the stale value stands in for nobody";
    model("cache_not_found_2", claim, 2, 3, 1_835).check(|| {
        let core = core(8, Some(Duration::from_nanos(150)));
        publish(&core, "main", payload(1), tick(0));
        let gone = Arc::new(AtomicU64::new(0));
        let caller = |core: &Arc<Core<Value>>, gone: &Arc<AtomicU64>| {
            call(core, "main", tick(120), |lead| {
                let name: Arc<str> = "main".into();
                // The first to ask is told that it is gone, whoever comes later that it failed.
                let error = match gone.fetch_add(1, Ordering::SeqCst) {
                    0 => LoadError::NotFound { name },
                    _ => failed("main"),
                };
                lead.finish(Err(error), tick(120));
            })
        };
        let other = {
            let (core, gone) = (Arc::clone(&core), Arc::clone(&gone));
            thread::spawn(move || assert!(caller(&core, &gone).is_err(), "it stood in"))
        };
        assert!(caller(&core, &gone).is_err(), "it stood in");
        other.join().unwrap();
        core.audit().unwrap();
    });
}

#[test]
fn cache_eviction_2() {
    let claim = "two names are loaded at once where one may be held: both callers are served, one \
                 name is held, and handles show what is held";
    model("cache_eviction_2", claim, 2, 2, 1_435).check(|| {
        let core = core(1, None);
        let slots = ["a", "b"].map(|name| core.slot(name));
        let caller = |core: &Arc<Core<Value>>, name: &str, value: u64| {
            let load = |lead: Lead<Value>| lead.finish(Ok((payload(value), TTL)), tick(2));
            assert_eq!(
                number(&call(core, name, tick(1), load).unwrap().policy),
                value
            );
        };
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || caller(&core, "a", 1))
        };
        caller(&core, "b", 2);
        other.join().unwrap();
        let held = slots
            .iter()
            .filter(|slot| slot.entry.load_full().is_some())
            .count();
        assert_eq!(held, 1, "one name is held");
        core.audit().unwrap();
    });
}
