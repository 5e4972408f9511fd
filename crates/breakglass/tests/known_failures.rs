//! Failures that are known of systems of this kind; each test names one that cannot happen here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::{Arc, Barrier};

use chrono::TimeDelta;
use common::*;
use countersign_breakglass::*;

fn unlimited() -> RateLimitPolicy {
    RateLimitPolicy::unlimited()
}

#[test]
fn an_expired_but_active_emergency_neither_blocks_nor_is_stacked_on() {
    let bench = Bench::default();
    let first = bench.begin(1, "alice", "prod");
    let again = draft(2, "Alice", "prod");
    bench
        .clock
        .set(first.expires_at - TimeDelta::nanoseconds(1));
    let refused = refusal(bench.create(&again, &unlimited()));
    assert!(matches!(refused, Refusal::Active { .. }), "{refused}");
    assert_eq!(
        bench.get(1),
        first,
        "a refusal marked the emergency expired"
    );

    bench.clock.set(first.expires_at);
    let second = bench.create(&again, &unlimited()).unwrap();
    assert_eq!(
        second.created_at, first.expires_at,
        "the first blocked the second"
    );
    let first = bench.get(1);
    assert_eq!(
        first.status,
        Status::Expired,
        "the second was stacked on the first"
    );
    let entry = first.history.last().unwrap();
    assert_eq!(
        (entry.action, &entry.actor),
        (Action::Expired, &Actor::Time)
    );
    assert_eq!(entry.to, first.updated_at);
    assert_ne!(
        first.updated_at, second.updated_at,
        "two records share a version"
    );
    let active = Filter::Status(Status::Active);
    let active = bench.store.sync().list(&active, Page::default()).unwrap();
    assert_eq!(active.items, [second]);
}

#[test]
fn an_expired_emergency_that_another_limit_refuses_stays_as_it_was() {
    let bench = Bench::default();
    let first = bench.begin(1, "alice", "prod");
    bench.clock.set(first.expires_at);
    let limits = limits(r#""max_per_user": 1, "quota_window": "24h""#);
    let refused = refusal(bench.create(&draft(2, "alice", "prod"), &limits));
    assert!(matches!(refused, Refusal::UserQuota { .. }), "{refused}");
    assert_eq!(bench.get(1), first, "a refusal changed something");
}

#[test]
fn the_history_of_expired_and_closed_emergencies_does_not_vanish_from_quotas() {
    for limit in ["max_per_user", "max_per_profile"] {
        let bench = Bench::default();
        let limits = limits(&format!(r#""{limit}": 2, "quota_window": "24h""#));
        bench.create(&draft(1, "alice", "prod"), &limits).unwrap();
        let close = Change::close(&anybody(), &profile("prod"), &user("alice"), "it is over");
        bench.update(1, &close).unwrap();
        let expires_at = bench
            .create(&draft(2, "alice", "prod"), &limits)
            .unwrap()
            .expires_at;
        bench.clock.set(expires_at);
        bench.update(2, &Change::expire()).unwrap();
        let refused = refusal(bench.create(&draft(3, "alice", "prod"), &limits));
        match refused {
            Refusal::UserQuota { count, .. } | Refusal::ProfileQuota { count, .. } => {
                assert_eq!(count, 2);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn another_spelling_of_a_name_gets_round_no_limit() {
    let spellings = ["alice", "Alice", "ALICE", "aLiCe"];
    let bench = Bench::default();
    let quota = limits(r#""max_per_user": 3, "quota_window": "24h""#);
    let results = spellings.map(|name| bench.create(&draft(bits(name), name, name), &quota));
    let outcomes: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(outcomes, [true, true, true, false], "the quota");

    let bench = Bench::default();
    let pause = limits(r#""cooldown": "2h""#);
    let expires_at = bench
        .create(&draft(1, "alice", "prod"), &pause)
        .unwrap()
        .expires_at;
    bench.clock.set(expires_at);
    let refused = refusal(bench.create(&draft(2, "ALICE", "prod"), &pause));
    assert!(matches!(refused, Refusal::Cooldown { .. }), "{refused}");

    let bench = Bench::default();
    let watched = limits(r#""escalation_threshold": 1, "quota_window": "24h""#);
    assert!(
        !bench
            .create(&draft(1, "alice", "a"), &watched)
            .unwrap()
            .escalate
    );
    assert!(
        bench
            .create(&draft(2, "ALICE", "b"), &watched)
            .unwrap()
            .escalate
    );

    // Letters outside ASCII are not folded: these are two people.
    let bench = Bench::default();
    bench.begin(1, "älice", "prod");
    bench.begin(2, "Älice", "prod");
}

fn bits(name: &str) -> u64 {
    name.bytes()
        .fold(0, |bits, byte| bits * 256 + u64::from(byte))
}

#[test]
fn version_tokens_do_not_repeat_with_a_clock_that_stands_still_or_steps_back() {
    let bench = Bench::default();
    let mut versions = vec![bench.begin(1, "alice", "prod").updated_at];
    let note = Change::note(&user("dave"), "x");
    for step in 0..6 {
        if step == 3 {
            bench.clock.step_back(24 * HOUR);
        }
        versions.push(bench.update(1, &note).unwrap().updated_at);
    }
    assert!(
        versions.windows(2).all(|pair| pair[0] < pair[1]),
        "{versions:?}"
    );
    for stale in &versions[..6] {
        let result = bench.store.sync().update(id(1), *stale, &note);
        assert!(
            matches!(result, Err(Error::Conflict(_))),
            "a stale version was taken"
        );
    }
    // Versions order, and time is the clock's: it lasts what was asked for.
    let late = bench.begin(2, "bob", "prod");
    assert!(late.created > versions[6]);
    assert_eq!(late.created_at, bench.clock.now());
    assert_eq!(late.expires_at, late.created_at + HOUR);
    // Within what is tolerated a clock that steps back begins nothing in the past.
    bench.clock.step_back(HOUR / 60);
    let still = bench.begin(3, "dave", "prod");
    assert_eq!(still.created_at, late.created_at);
}

#[test]
fn a_clock_that_steps_back_shortens_no_pause_and_empties_no_quota() {
    for back in [NANO, HOUR / 60, HOUR / 60 + NANO, HOUR, 240 * HOUR] {
        let bench = Bench::default();
        let pause = limits(r#""cooldown": "30m""#);
        let quota = limits(r#""max_per_user": 1, "quota_window": "1h""#);
        bench.create(&draft(1, "alice", "prod"), &pause).unwrap();
        let close = Change::close(&anybody(), &profile("prod"), &user("alice"), "it is over");
        bench.update(1, &close).unwrap();
        bench.clock.step_back(back);
        // From the correction, if it is one; else from the creation.
        let from = if back > HOUR / 60 {
            start() - back
        } else {
            start()
        };
        for (wanted, limits, length) in [("prod", &pause, HOUR / 2), ("dev", &quota, HOUR)] {
            for now in [bench.clock.now(), from + length - NANO] {
                bench.clock.set(now);
                let refused = refusal(bench.create(&draft(2, "alice", wanted), limits));
                assert_eq!(refused.retry_at(), Some(from + length), "{back:?} back");
            }
        }
    }
    let bench = Bench::default();
    let limits = limits(r#""cooldown": "30m", "max_per_user": 1, "quota_window": "1h""#);
    bench.create(&draft(1, "alice", "prod"), &limits).unwrap();
    bench.clock.step_back(240 * HOUR);
    let refused = refusal(bench.create(&draft(2, "alice", "dev"), &limits));
    assert!(
        matches!(refused, Refusal::UserQuota { count: 1, .. }),
        "{refused}"
    );
}

#[test]
fn there_is_no_id_of_all_zeros_when_randomness_fails() {
    #[derive(Debug)]
    struct Dry;
    impl RandomSource for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError {
                reason: "the well is dry".into(),
            })
        }
    }
    let bench = Bench::default();
    let workflow = bench
        .workflow(anybody(), unlimited())
        .with_random(Arc::new(Dry));
    let draft = workflow.draft(
        &user("alice"),
        &profile("prod"),
        HOUR,
        ReasonCode::Incident,
        JUSTIFICATION,
    );
    assert!(matches!(draft, Err(Error::Random(_))), "{draft:?}");
}

#[test]
fn a_grant_for_one_user_or_profile_is_none_for_another() {
    let bench = Bench::default();
    let emergency = bench.begin(1, "alice", "prod");
    let grant = emergency.grant(start()).unwrap();
    assert!(grant.covers(&user("alice"), &profile("prod"), start()));
    assert!(!grant.covers(&user("Alice"), &profile("prod"), start()));
    assert!(!grant.covers(&user("bob"), &profile("prod"), start()));
    assert!(!grant.covers(&user("alice"), &profile("PROD"), start()));
    assert!(!grant.covers(&user("alice"), &profile("prod"), emergency.expires_at));
}

/// Runs `call` on this many threads that start together, and gives the answers.
fn together<T: Send>(threads: u64, call: impl Fn(u64) -> T + std::marker::Sync) -> Vec<T> {
    let barrier = Barrier::new(usize::try_from(threads).unwrap());
    let call = |number| {
        barrier.wait();
        call(number)
    };
    let call = &call;
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || call(number)))
            .collect();
        let answers = handles.into_iter().map(|handle| handle.join().unwrap());
        answers.collect()
    })
}

#[test]
fn two_callers_never_both_pass_the_admission() {
    for round in 0..50 {
        // One user, one profile, an expired emergency in the way.
        let bench = Bench::default();
        let expires_at = bench.begin(1_000, "alice", "prod").expires_at;
        bench.clock.set(expires_at);
        let admission = admission(&unlimited(), "prod");
        let answers = together(8, |number| {
            let name = if number % 2 == 0 { "alice" } else { "ALICE" };
            bench
                .store
                .sync()
                .create(&draft(number, name, "prod"), &admission)
        });
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(
            won, 1,
            "round {round}: {won} emergencies are active at once"
        );
        bench.store.audit().unwrap();

        // Several profiles, one quota over all of them.
        let bench = Bench::default();
        let limits = limits(r#""max_per_user": 3, "quota_window": "24h""#);
        let answers = together(8, |number| {
            let wanted = format!("prod-{number}");
            let draft = draft(number, "alice", &wanted);
            bench
                .store
                .sync()
                .create(&draft, &common::admission(&limits, &wanted))
        });
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 3, "round {round}: a quota of 3 let {won} pass");
        for answer in answers {
            if let Err(error) = answer {
                let refused = refusal::<()>(Err(error));
                assert!(
                    matches!(refused, Refusal::UserQuota { count: 3, .. }),
                    "{refused}"
                );
            }
        }
    }
}

#[test]
fn of_several_who_close_at_once_one_wins_and_the_others_are_told() {
    for _ in 0..50 {
        let bench = Bench::default();
        let version = bench.begin(1, "alice", "prod").updated_at;
        let change = Change::close(&anybody(), &profile("prod"), &user("alice"), "it is over");
        let answers = together(8, |_| bench.store.sync().update(id(1), version, &change));
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1);
        let told = answers
            .iter()
            .filter(|a| matches!(a, Err(Error::Conflict(_))))
            .count();
        assert_eq!(told, 7);
        assert_eq!(bench.get(1).history.len(), 2, "a change was written twice");
    }
}
