//! Models of the cache's synchronous core: every interleaving, under loom.
//!
//! The value that is cached holds a cell that loom watches, so that a value which is read before
//! it is wholly published is caught, not only a wrong one. Who waits is polled with another waker each
//! time, and once more than it need be. Every model ends with [`Core::audit`]: nothing is in flight,
//! no waker is held, slots and map agree. Run by `cargo xtask loom`.

use std::sync::atomic::{AtomicUsize as Counter, Ordering as CounterOrdering};
use std::task::Wake;

use countersign_core::sync::atomic::{AtomicU64, Ordering};
use countersign_core::sync::model::Model;
use loom::cell::UnsafeCell;
use loom::thread;

use super::callers::{TTL, call, call_watched, core, failed, publish, tick, wait};
use super::core::{Begin, Core, Lead};
use super::flights::Outcome;
use super::*;

mod invalidation;
mod waiting;

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

/// Polls once with the parker's waker.
fn look<F: Future + Unpin>(future: &mut F, parker: &Arc<Parker>) -> Option<F::Output> {
    let waker = Arc::clone(parker).into();
    let mut context = std::task::Context::from_waker(&waker);
    match Pin::new(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Waits in the thread that calls, as loom sees it; who is never woken makes a deadlock.
pub(super) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let parker = Parker::new();
    loop {
        match look(&mut future, &parker) {
            Some(output) => return output,
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
    model("cache_cold_miss_2", claim, 2, 2, 1_292).check(|| cold(2));
}

#[test]
fn cache_cold_miss_3() {
    let claim = "three callers of a cold name: one load, all get its value";
    let bounded = Model {
        preemptions: Some(4),
        ..model("cache_cold_miss_3", claim, 3, 3, 23_590)
    };
    bounded.check(|| cold(3));
}

#[test]
fn cache_expiry_2() {
    let claim = "two callers at the moment of expiry: the old value is served to neither, by name \
                 or by handle, and it is loaded once";
    model("cache_expiry_2", claim, 2, 4, 2_617).check(|| {
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
    model("cache_abort_2", claim, 2, 3, 1_619).check(|| {
        ends(drop, |result| {
            assert!(matches!(result, Err(LoadError::Aborted { .. })))
        });
    });
}

#[test]
fn cache_failure_2() {
    let claim = "the load fails or times out: whoever waits gets the error, it is not remembered";
    model("cache_failure_2", claim, 2, 3, 1_798).check(|| {
        ends(
            |lead| lead.finish(Err(failed("main")), tick(2)),
            |result| assert!(matches!(result, Err(LoadError::TimedOut { .. }))),
        );
    });
}

#[test]
fn cache_stale_2() {
    let claim = "the source fails while two ask for an expired name: both get the stale value \
                 within its bound, neither beyond it, and the source is asked once";
    model("cache_stale_2", claim, 2, 2, 1_332).check(|| {
        let core = core(8, Some(Duration::from_nanos(150)));
        publish(&core, "main", payload(1), tick(0));
        let asked = Arc::new(Counter::new(0));
        let caller = |core: &Arc<Core<Value>>, asked: &Arc<Counter>| {
            let served = call(core, "main", tick(140), |lead| {
                asked.fetch_add(1, CounterOrdering::SeqCst);
                // It takes almost as long as the pause that follows.
                lead.finish(Err(failed("main")), tick(149));
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
        // The pause counts from the end of the load that failed.
        let alone = call(&core, "main", tick(150), |_| {
            panic!("a source that was slow to fail is asked again at once")
        });
        assert_eq!(number(&alone.unwrap().policy), 1);
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
    model("cache_not_found_2", claim, 2, 3, 1_970).check(|| {
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

#[test]
fn cache_handles_evicted_2() {
    let claim = "a handle is made for a name while another name evicts it: it shows what is held from \
                 then on, and so does one that was made for the other before";
    model("cache_handles_evicted_2", claim, 2, 4, 10).check(|| {
        let core = core(1, None);
        publish(&core, "a", payload(1), tick(0));
        let early = core.slot("b");
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || publish(&core, "b", payload(2), tick(1)))
        };
        let late = core.slot("a");
        other.join().unwrap();
        for (slot, held) in [(&early, Some(2)), (&late, None)] {
            let entry = slot.entry.load_full();
            let shown = entry.as_ref().and_then(|entry| entry.fresh(tick(1)));
            let shown = shown.map(|served| number(served.policy));
            assert_eq!(shown, held, "a handle does not show what is held");
        }
        core.audit().unwrap();
    });
}
