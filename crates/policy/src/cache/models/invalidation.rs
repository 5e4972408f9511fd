//! Invalidations against loads and those who wait for them.

use super::*;

#[test]
fn cache_invalidate_2() {
    let claim = "an invalidation races a load: what the source held before it is never seen after \
                 it, by those who ask later, by handle, or by those who waited";
    model("cache_invalidate_2", claim, 2, 5, 169_725).check(|| {
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
                // What was ended when it looked for the last time, waiting included.
                let late = Counter::new(0);
                let watch = || {
                    let ended = invalidated.load(CounterOrdering::SeqCst);
                    late.store(ended, CounterOrdering::SeqCst);
                };
                let served = call_watched(&core, "main", tick(1), load, watch).unwrap();
                assert!(
                    late.into_inner() == 0 || number(&served.policy) == 2,
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
        ..model("cache_invalidate_3", claim, 3, 4, 513_973)
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

/// A waiter whose load ends with `result` on another thread, and who looks once `invalidate` is
/// done. Gives what it sees.
fn looks_after(
    result: fn() -> Result<(Value, Duration), LoadError>,
    invalidate: fn(&Core<Value>),
) -> (Outcome<Value>, Arc<Core<Value>>) {
    let core = core(8, None);
    let Begin::Lead(lead, waiter) = core.begin("main", tick(1)) else {
        panic!("cold")
    };
    let other = thread::spawn(move || lead.finish(result(), tick(2)));
    invalidate(&core);
    let outcome = wait(waiter);
    other.join().unwrap();
    core.audit().unwrap();
    (outcome, core)
}

#[test]
fn cache_invalidate_failure_2() {
    let claim = "a load fails while its name is invalidated, by itself and with all others: what it \
                 answered is told to nobody afterwards, who waited begins again";
    model("cache_invalidate_failure_2", claim, 2, 6, 256).check(|| {
        let results: [fn() -> Result<(Value, Duration), LoadError>; 2] = [
            || Err(failed("main")),
            || {
                Err(LoadError::NotFound {
                    name: "main".into(),
                })
            },
        ];
        let invalidations: [fn(&Core<Value>); 2] =
            [|core| core.invalidate("main"), Core::invalidate_all];
        for (result, invalidate) in results.into_iter().zip(invalidations) {
            let (outcome, _) = looks_after(result, invalidate);
            assert!(
                matches!(outcome, Outcome::Superseded),
                "a failure of before the invalidation was told after it"
            );
        }
    });
}

#[test]
fn cache_invalidate_other_2() {
    let claim = "another name is invalidated while a load ends: who waits for it is not restarted, \
                 and what it brought stays published";
    model("cache_invalidate_other_2", claim, 2, 3, 56).check(|| {
        let (outcome, core) =
            looks_after(|| Ok((payload(7), TTL)), |core| core.invalidate("another"));
        let Outcome::Done(Ok(served)) = outcome else {
            panic!("it was restarted, and nobody invalidated it")
        };
        assert_eq!(number(&served.policy), 7);
        let held = core.read("main", |entry| Some(number(entry.fresh(tick(1))?.policy)));
        assert_eq!(held, Some(7));
    });
}

#[test]
fn cache_invalidate_all_2() {
    let claim = "all names are invalidated while one of two is being loaded and both have a handle: \
                 what the source held before is never seen after it, by either name or handle, or by \
                 who waited";
    model("cache_invalidate_all_2", claim, 2, 6, 3_907).check(|| {
        let core = core(8, None);
        // One has expired by the time that counts, and is loaded again.
        publish(&core, "cold", payload(1), tick(0));
        publish(&core, "held", payload(1), tick(1));
        let slots = ["held", "cold"].map(|name| core.slot(name));
        let source = Arc::new(AtomicU64::new(1));
        let other = {
            let (core, source) = (Arc::clone(&core), Arc::clone(&source));
            thread::spawn(move || {
                let served = call(&core, "cold", tick(100), |lead| {
                    let value = payload(source.load(Ordering::SeqCst));
                    lead.finish(Ok((value, TTL)), tick(101));
                });
                number(&served.unwrap().policy)
            })
        };
        source.store(2, Ordering::SeqCst);
        core.invalidate_all();
        for (name, slot) in ["held", "cold"].iter().zip(&slots) {
            let entry = slot.entry.load_full();
            let shown = entry.as_ref().and_then(|entry| entry.fresh(tick(100)));
            assert!(
                shown.is_none_or(|served| number(served.policy) == 2),
                "the handle on `{name}` goes on serving"
            );
            let read = core.read(name, |entry| Some(number(entry.fresh(tick(100))?.policy)));
            assert_ne!(read, Some(1), "`{name}` goes on being served");
        }
        other.join().unwrap();
        let held = core.read("cold", |entry| Some(number(entry.fresh(tick(100))?.policy)));
        assert_ne!(held, Some(1), "an older value was published late");
        core.audit().unwrap();
    });
}

#[test]
fn cache_invalidate_all_waiters_2() {
    let claim = "all names are invalidated while the loads of two end, which somebody waits for: \
                 neither waiter is shown anything older, neither waits for ever";
    model("cache_invalidate_all_waiters_2", claim, 2, 5, 91).check(|| {
        let core = core(8, None);
        let [first, second] = ["a", "b"].map(|name| match core.begin(name, tick(1)) {
            Begin::Lead(lead, waiter) => (lead, waiter),
            _ => panic!("cold"),
        });
        let (leads, waiters) = ([first.0, second.0], [first.1, second.1]);
        let other = thread::spawn(move || {
            for lead in leads {
                lead.finish(Ok((payload(1), TTL)), tick(2));
            }
        });
        core.invalidate_all();
        for waiter in waiters {
            assert!(
                matches!(wait(waiter), Outcome::Superseded),
                "an older value was shown"
            );
        }
        other.join().unwrap();
        core.audit().unwrap();
    });
}
