//! What waits, after a clock that was ahead has been set right: pauses, quotas, reviews, retention.
//! Each counts from the correction, and is no longer than its own length from that.

use std::time::Duration;

use countersign_core::clock::Clock;

use super::bench::*;
use super::correcting::ahead;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::rate_limit_policy::RateLimitPolicy;
use crate::refusal::Refusal;
use crate::retention::Retention;

/// The draft is refused until `until`, whenever it is tried, and not from then on.
async fn waits(
    bench: &Bench,
    draft: &Draft,
    limits: &RateLimitPolicy,
    until: chrono::DateTime<chrono::Utc>,
) {
    let now = bench.clock.now();
    for now in [now, now + (until - now) / 2, until - nanos(1)] {
        bench.clock.set(now);
        let refused = refusal(bench.create(draft, limits).await, "a wait");
        assert_eq!(refused.retry_at(), Some(until), "at {now}: {refused}");
    }
    bench.clock.set(until);
    let created = bench.create(draft, limits).await;
    assert!(created.is_ok(), "it is over at {until}: {created:?}");
}

/// A pause that began while the clock was ahead lasts its length from the correction, to the
/// nanosecond, and does not come back when the clock comes to the wrong time once more.
pub(super) async fn a_pause_counts_from_the_correction(bench: Bench) {
    for (round, by) in (0..).zip(ahead()) {
        for (place, hours) in [(0, 2), (1, 23)] {
            let wanted = format!("prod-{round}-{place}");
            let bits = 10 * round + 3 * place;
            let pause = limits(&format!(r#""cooldown": "{hours}h""#));
            bench.clock.set(start() + by);
            bench.begin_reviewed(bits, "alice", &wanted).await;
            bench.clock.set(start());
            bench.store.list_expirable(0).await.unwrap();
            let over = start() + hours * HOUR;
            waits(&bench, &draft(bits + 1, "ALICE", &wanted), &pause, over).await;
            bench.made(bits + 1, &close("ALICE", &wanted)).await;
            if by == 8 * HOUR && hours == 2 {
                bench.clock.set(start() + by);
                let created = bench
                    .create(&draft(bits + 2, "alice", &wanted), &pause)
                    .await;
                assert!(created.is_ok(), "it does not come back: {created:?}");
            }
        }
    }
}

/// A pause is after the newest, which need not be the one that is dated latest.
pub(super) async fn a_pause_after_a_correction_is_after_the_newest(bench: Bench) {
    bench.clock.set(start() + 8 * HOUR);
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.clock.set(start());
    bench.store.list_expirable(0).await.unwrap();
    bench.clock.advance(HOUR);
    bench.begin_reviewed(2, "alice", "prod").await;
    let pause = limits(r#""cooldown": "10h""#);
    let over = start() + 11 * HOUR;
    waits(&bench, &draft(3, "alice", "prod"), &pause, over).await;
}

/// A quota counts what began while the clock was ahead from the correction, to the nanosecond,
/// among what began before and since; for users and profiles alike.
pub(super) async fn a_quota_counts_from_the_correction(bench: Bench) {
    let who = |field: &str, place: u64| match field {
        "max_per_user" => (
            ["alice", "Alice"][place as usize % 2].to_owned(),
            format!("prod-{place}"),
        ),
        _ => (format!("user-{place}"), "dev".to_owned()),
    };
    for (round, field) in (0..).zip(["max_per_user", "max_per_profile"]) {
        let base = start() + round * 48 * HOUR;
        let bits = |place: u64| 100 * u64::from(round) + place;
        let begin = async |place: u64, at| {
            bench.clock.set(at);
            let (who, wanted) = who(field, place);
            bench.begin(bits(place), &who, &wanted).await;
        };
        begin(1, base - HOUR).await;
        // Two while the clock was ahead, in the wrong order.
        begin(2, base + 30 * HOUR).await;
        begin(3, base + 31 * HOUR).await;
        bench.clock.set(base);
        bench.store.list_expirable(0).await.unwrap();
        begin(4, base + HOUR).await;
        let quota = |max: u32| limits(&format!(r#""{field}": {max}, "quota_window": "24h""#));
        let next = |place: u64| {
            let (who, wanted) = who(field, place);
            draft(bits(place), &who, &wanted)
        };
        let met = |max| {
            let (quota, draft) = (quota(max), next(9));
            let store = &bench;
            async move {
                let refused = refusal(store.create(&draft, &quota).await, "a quota");
                match refused {
                    Refusal::UserQuota {
                        count, retry_at, ..
                    }
                    | Refusal::ProfileQuota {
                        count, retry_at, ..
                    } => (count, retry_at),
                    other => panic!("a quota is met: {other}"),
                }
            }
        };
        for (max, leaves) in [(1, base + HOUR), (2, base), (3, base), (4, base - HOUR)] {
            assert_eq!(
                met(max).await,
                (4, leaves + 24 * HOUR),
                "{field}, {max} at most"
            );
        }
        let created = bench.create(&next(5), &quota(5)).await;
        assert!(created.is_ok(), "four of five: {created:?}");
        bench
            .made(bits(5), &close("carol", next(5).profile.as_str()))
            .await;
        // The two leave at once.
        waits(&bench, &next(6), &quota(3), base + 24 * HOUR).await;
    }
}

/// An escalation counts from the correction too.
pub(super) async fn an_escalation_counts_from_the_correction(bench: Bench) {
    let watched = limits(r#""escalation_threshold": 1, "quota_window": "2h""#);
    bench.clock.set(start() + 8 * HOUR);
    bench.begin(1, "alice", "ops").await;
    bench.clock.set(start());
    bench.store.list_expirable(0).await.unwrap();
    let mut escalates = Vec::new();
    for (bits, now) in [
        (2, start() + 2 * HOUR - NANO),
        (3, start() + 4 * HOUR - NANO),
    ] {
        bench.clock.set(now);
        let draft = draft(bits, "alice", &format!("prod-{bits}"));
        escalates.push(bench.create(&draft, &watched).await.unwrap().escalate);
    }
    assert_eq!(
        escalates,
        [true, false],
        "the first is in the window, and then not"
    );
}

/// A second factor that is shown after the correction is good, whenever the last step was.
pub(super) async fn a_second_factor_is_good_after_a_correction(bench: Bench) {
    for (round, by) in (0..).zip(ahead()) {
        bench.clock.set(start() + by);
        bench
            .begin(10 * round, "dave", &format!("dev-{round}"))
            .await;
        bench.clock.set(start());
        for (place, age, good) in [
            (1, 300_000_000_001, false),
            (2, 300_000_000_000, true),
            (3, 0, true),
        ] {
            let bits = 10 * round + place;
            let mut draft = draft(bits, "alice", &format!("prod-{bits}"));
            draft.mfa = Some(proof(
                &format!("push-{bits}"),
                "alice",
                bits,
                start() - nanos(age),
            ));
            let created = bench.create(&draft, &unlimited()).await;
            assert_eq!(
                created.is_ok(),
                good,
                "{by:?} ahead, {age} ns old: {created:?}"
            );
        }
    }
}

/// A review that is due for what was over while the clock was ahead is due since the correction;
/// what began then and is not over is due an hour after it.
pub(super) async fn a_review_is_due_since_the_correction(bench: Bench) {
    let rules = reviewed_first();
    let due = |bits, who: &str| {
        let (draft, rules, bench) = (draft(bits, who, "x"), rules.clone(), &bench);
        async move {
            match refusal(bench.invoke(&draft, &rules).await, "a review") {
                Refusal::ReviewDue {
                    emergency,
                    ended_at,
                    ..
                } => (emergency, ended_at),
                other => panic!("the review is due: {other}"),
            }
        }
    };
    bench.clock.set(start() + 8 * HOUR);
    bench.begin(1, "alice", "prod").await;
    bench.made(1, &close("alice", "prod")).await;
    bench.begin(2, "bob", "prod").await;
    bench.clock.set(start());
    assert_eq!(due(3, "alice").await, (id(1), start()));
    bench.clock.set(start() + HOUR);
    assert_eq!(due(3, "bob").await, (id(2), start()));
    bench.made(2, &review("carol", "prod")).await;
    let created = bench.invoke(&draft(3, "bob", "x"), &rules).await;
    assert!(created.is_ok(), "the debt is paid: {created:?}");
}

/// What was over while the clock was ahead is kept from the correction on, to the nanosecond, and
/// is found among what ended.
pub(super) async fn retention_counts_from_the_correction(bench: Bench) {
    let retention = Retention::new(&anybody(), &limits(r#""cooldown": "23h""#));
    let until = start() + 23 * HOUR;
    for (bits, by) in (1..).zip([8 * HOUR, 23 * HOUR]) {
        bench.clock.set(start() + by);
        bench.begin_reviewed(bits, "alice", "prod").await;
        bench.clock.set(start());
    }
    bench.begin_reviewed(9, "bob", "prod").await;
    assert_eq!(bench.list_ended(start()).await, [0; 0]);
    let ended = bench.list_ended(start() + nanos(1)).await;
    assert_eq!(
        ended.len(),
        3,
        "all count as over at the correction: {ended:?}"
    );
    bench.clock.set(until - nanos(1));
    for bits in [1, 2] {
        let refused = bench.store.delete(id(bits), &retention).await;
        let refused = refusal(refused, "deleting too early");
        assert_eq!(
            refused,
            Refusal::Kept {
                id: id(bits),
                until
            }
        );
    }
    bench.clock.set(until);
    for bits in [1, 2] {
        let deleted = bench.store.delete(id(bits), &retention).await;
        assert!(
            matches!(deleted, Ok(true)),
            "nothing looks back at it: {deleted:?}"
        );
    }
}

/// Nothing is deleted for an hour after the clock has gone forward by more than a day between two
/// steps; tries that are refused do not make the hour begin anew.
pub(super) async fn deletion_waits_for_an_hour_after_a_jump(bench: Bench) {
    let day = 24 * HOUR;
    let retention = shortest_retention();
    let mut now = start();
    for (bits, length, waits) in [
        (1, day, false),
        (2, day + NANO, true),
        (3, 1_000 * day, true),
    ] {
        bench.clock.set(now);
        bench.begin_reviewed(bits, "alice", "prod").await;
        let landed = now + length;
        let settled = landed + HOUR;
        let tries: &[_] = if waits {
            &[landed, landed + HOUR / 2, settled - NANO]
        } else {
            &[]
        };
        for at in tries {
            bench.clock.set(*at);
            let refused = bench.store.delete(id(bits), &retention).await;
            assert!(
                matches!(refused, Err(Error::ClockJumped { until }) if until == settled),
                "{length:?}, {at}: {refused:?}"
            );
        }
        now = if waits { settled } else { landed };
        bench.clock.set(now);
        let deleted = bench.store.delete(id(bits), &retention).await;
        assert!(matches!(deleted, Ok(true)), "{length:?}: {deleted:?}");
    }
}

/// A jump that is corrected keeps nothing from being deleted an hour after the correction.
pub(super) async fn deletion_goes_on_an_hour_after_a_corrected_jump(bench: Bench) {
    let retention = shortest_retention();
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.clock.set(start() + 4 * 365 * 24 * HOUR);
    bench.begin(2, "bob", "prod").await;
    for now in [start() + HOUR, start() + 2 * HOUR - NANO] {
        bench.clock.set(now);
        let refused = bench.store.delete(id(1), &retention).await;
        let until = start() + 2 * HOUR;
        assert!(
            matches!(refused, Err(Error::ClockJumped { until: found }) if found == until),
            "{now}: {refused:?}"
        );
    }
    bench.clock.set(start() + 2 * HOUR);
    let deleted = bench.store.delete(id(1), &retention).await;
    assert!(matches!(deleted, Ok(true)), "{deleted:?}");
}

/// What the order of errors of a deletion is where the clock is wrong.
pub(super) async fn nothing_is_deleted_by_a_clock_that_cannot_be_right(bench: Bench) {
    bench.begin_reviewed(1, "alice", "prod").await;
    bench.begin(2, "bob", "prod").await;
    for wrong in [time("1970-01-01T00:00:00Z"), time("2262-01-01T00:00:00Z")] {
        bench.clock.set(wrong);
        let refused = bench.store.delete(id(1), &shortest_retention()).await;
        assert!(matches!(refused, Err(Error::Clock(_))), "{refused:?}");
        let refused = bench.store.delete(id(2), &shortest_retention()).await;
        assert!(
            matches!(refused, Err(Error::NotTerminal { .. })),
            "{refused:?}"
        );
    }
    bench.clock.set(start() + Duration::from_secs(2));
    let deleted = bench.store.delete(id(1), &shortest_retention()).await;
    assert!(matches!(deleted, Ok(true)), "as before: {deleted:?}");
}

/// What a store knows of its clock outlives a restart: the last time, the correction, the jump.
pub(super) async fn corrections_are_known_after_reopening(bench: Bench) {
    let pause = limits(r#""cooldown": "2h""#);
    bench.clock.set(start() + 8 * HOUR);
    bench.begin(1, "alice", "prod").await;
    let bench = bench.reopen().await;
    bench.clock.set(start());
    let refused = bench.create(&draft(2, "alice", "prod"), &pause).await;
    assert_eq!(
        refusal(refused, "a pause").retry_at(),
        Some(start() + 2 * HOUR)
    );
    let bench = bench.reopen().await;
    bench.clock.set(start() + HOUR);
    let refused = bench.create(&draft(2, "alice", "prod"), &pause).await;
    assert_eq!(
        refusal(refused, "a pause").retry_at(),
        Some(start() + 2 * HOUR)
    );
    assert_eq!(
        bench.list_expirable(start() + HOUR).await,
        [1],
        "it has ended for good"
    );
    let from = start() + 8 * HOUR;
    assert_eq!(bench.granted("alice", "prod", from).await, None);
    bench.made(1, &Change::expire()).await;
    bench.made(1, &review("carol", "prod")).await;
    let landed = from + 1_000 * HOUR;
    bench.clock.set(landed);
    let refused = bench.store.delete(id(1), &shortest_retention()).await;
    assert!(
        matches!(refused, Err(Error::ClockJumped { .. })),
        "{refused:?}"
    );
    let bench = bench.reopen().await;
    bench.clock.set(landed + HOUR - NANO);
    let refused = bench.store.delete(id(1), &shortest_retention()).await;
    assert!(
        matches!(refused, Err(Error::ClockJumped { .. })),
        "{refused:?}"
    );
    bench.clock.set(landed + HOUR);
    let deleted = bench.store.delete(id(1), &shortest_retention()).await;
    assert!(matches!(deleted, Ok(true)), "{deleted:?}");
}
