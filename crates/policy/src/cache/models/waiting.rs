//! Those who wait: woken by the waker they were polled with last, never held, gone without a trace.

use super::*;

#[test]
fn cache_give_up_2() {
    let claim = "a caller gives up while the load ends: the other is served, no waker stays behind";
    model("cache_give_up_2", claim, 2, 3, 144).check(|| {
        let core = core(8, None);
        let Begin::Lead(lead, waiter) = core.begin("main", tick(1)) else {
            panic!("cold")
        };
        let Begin::Join(mut quitter) = core.begin("main", tick(1)) else {
            panic!("under way")
        };
        let other = thread::spawn(move || lead.finish(Ok((payload(7), TTL)), tick(2)));
        // It is polled twice before it gives up, and the load may be under way all the while.
        for _ in 0..2 {
            let _ = look(&mut quitter, &Parker::new());
            assert!(core.wakers_held("main") <= 1, "one waker for one who waits");
        }
        drop(quitter);
        assert_eq!(core.wakers_held("main"), 0, "a waker stays behind");
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
fn cache_wakes_last_2() {
    let claim = "who is polled with one waker and then with another, while the load ends, is woken \
                 by the second, and one waker is held for them all the while";
    model("cache_wakes_last_2", claim, 2, 2, 56).check(|| {
        let core = core(8, None);
        let Begin::Lead(lead, mut waiter) = core.begin("main", tick(1)) else {
            panic!("cold")
        };
        let other = thread::spawn(move || lead.finish(Ok((payload(7), TTL)), tick(2)));
        let (first, second) = (Parker::new(), Parker::new());
        if look(&mut waiter, &first).is_none() && look(&mut waiter, &second).is_none() {
            assert!(core.wakers_held("main") <= 1, "the first waker is kept");
            second.park();
            assert!(
                look(&mut waiter, &first).is_some(),
                "it was woken too early"
            );
        }
        drop(waiter);
        other.join().unwrap();
        core.audit().unwrap();
    });
}

#[test]
fn cache_expire_2() {
    let claim = "the time of one who joined is over while the load ends: it gets what the load \
                 brought or that it timed out, and so does who led; the flight ends once, and the \
                 next caller is served";
    model("cache_expire_2", claim, 2, 4, 49).check(|| {
        let core = core(8, None);
        let Begin::Lead(lead, first) = core.begin("main", tick(1)) else {
            panic!("cold")
        };
        let Begin::Join(mut second) = core.begin("main", tick(1)) else {
            panic!("under way")
        };
        let other = thread::spawn(move || lead.finish(Ok((payload(7), TTL)), tick(2)));
        let early = look(&mut second, &Parker::new());
        let told = |outcome: Outcome<Value>| match outcome {
            Outcome::Done(Ok(served)) => Some(number(&served.policy)),
            Outcome::Done(Err(LoadError::TimedOut { .. })) => None,
            _ => panic!("nobody aborted or invalidated it"),
        };
        let second = told(second.expire(failed("main"), tick(2)));
        if let Some(early) = early {
            assert_eq!(
                told(early),
                second,
                "it is told something else the second time"
            );
        }
        assert_eq!(told(wait(first)), second, "one load ended in two ways");
        other.join().unwrap();
        let held = core.read("main", |entry| Some(number(entry.fresh(tick(1))?.policy)));
        assert_eq!(held, second, "what came too late is published");
        let (_, counts) = core.counts();
        assert_eq!(counts.failures, u64::from(second.is_none()));
        let next = call(&core, "main", tick(1), |lead| {
            lead.finish(Ok((payload(7), TTL)), tick(3));
        });
        assert_eq!(number(&next.unwrap().policy), 7);
        core.audit().unwrap();
    });
}

#[test]
fn cache_expire_aborted_2() {
    let claim = "the time of one who joined is over while another load of the name begins and the \
                 one that stood still is dropped: the younger load is not ended by either";
    model("cache_expire_aborted_2", claim, 2, 4, 816).check(|| {
        let core = core(8, None);
        let Begin::Lead(still, first) = core.begin("main", tick(1)) else {
            panic!("cold")
        };
        let Begin::Join(second) = core.begin("main", tick(1)) else {
            panic!("under way")
        };
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                let _ = first.expire(failed("main"), tick(2));
                let next = call(&core, "main", tick(3), |lead| {
                    lead.finish(Ok((payload(7), TTL)), tick(3));
                });
                assert_eq!(number(&next.unwrap().policy), 7, "it was ended by another");
            })
        };
        let outcome = second.expire(failed("main"), tick(2));
        assert!(matches!(
            outcome,
            Outcome::Done(Err(LoadError::TimedOut { .. }))
        ));
        drop(still);
        other.join().unwrap();
        let (_, counts) = core.counts();
        assert_eq!((counts.failures, counts.aborts), (1, 0));
        core.audit().unwrap();
    });
}
