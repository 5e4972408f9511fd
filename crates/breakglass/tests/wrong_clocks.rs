//! What hosts met whose clock was wrong for a while; each test names what cannot happen here.
//! The rules to the nanosecond, on every store, are the kit's.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::*;
use countersign_breakglass::*;

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

fn unlimited() -> RateLimitPolicy {
    RateLimitPolicy::unlimited()
}

/// Somebody writes something while the clock is ahead by so much; then it is set right.
fn ahead_for_a_moment(bench: &Bench, bits: u64, by: Duration) {
    let now = bench.clock.now();
    bench.clock.advance(by);
    bench.begin(bits, "dave", &format!("dev-{bits}"));
    bench.clock.set(now);
}

/// Ahead by milliseconds, by minutes, by hours, by years, and as far as a clock can be.
fn ahead() -> [Duration; 6] {
    let to_the_end = countersign_core::time::LATEST - start();
    [
        Duration::from_millis(3),
        3 * MINUTE,
        10 * MINUTE,
        8 * HOUR,
        4 * YEAR,
        to_the_end.to_std().unwrap(),
    ]
}

// A clock that was ahead once makes access last for years.

#[tokio::test]
async fn a_clock_that_was_ahead_once_makes_no_access_last_longer() {
    for by in ahead() {
        let bench = Bench::default();
        let workflow = bench.workflow(anybody(), unlimited());
        ahead_for_a_moment(&bench, 9, by);
        let (alice, prod) = (user("alice"), profile("prod"));
        let emergency = workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
        assert_eq!(
            emergency.expires_at,
            emergency.created_at + HOUR,
            "{by:?} ahead"
        );
        // Within what is tolerated time stands still; beyond it the clock is right.
        let began = start() + by.min(MINUTE) * u32::from(by <= MINUTE);
        assert_eq!(emergency.created_at, began, "{by:?} ahead");
        assert_eq!(workflow.remaining(&alice, &prod).await.unwrap(), HOUR);
        bench.clock.set(began + HOUR - NANO);
        assert_eq!(workflow.remaining(&alice, &prod).await.unwrap(), NANO);
        for now in [began + HOUR, start() + 11 * HOUR, start() + YEAR] {
            bench.clock.set(now);
            let grant = workflow.find_grant(&alice, &prod).await.unwrap();
            assert_eq!(grant, None, "{by:?} ahead, at {now}");
        }
    }
}

#[tokio::test]
async fn a_pause_or_quota_of_another_decade_shuts_nobody_out() {
    for by in [8 * HOUR, 4 * YEAR] {
        for rule in [
            r#""cooldown": "30m""#,
            r#""max_per_user": 1, "quota_window": "30m""#,
            r#""max_per_profile": 1, "quota_window": "30m""#,
        ] {
            let bench = Bench::at(start() + by);
            let workflow = bench.workflow(anybody(), limits(rule));
            let emergency = workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
            let alice = user("alice");
            workflow
                .close(emergency.id, &alice, "it is over")
                .await
                .unwrap();
            bench.clock.set(start());
            let over = start() + HOUR / 2;
            for now in [start(), over - NANO] {
                bench.clock.set(now);
                let refused = refusal(workflow.invoke(&draft(2, "alice", "prod")).await);
                assert_eq!(refused.retry_at(), Some(over), "{rule}, {by:?} ahead");
            }
            bench.clock.set(over);
            let begun = workflow.invoke(&draft(2, "alice", "prod")).await;
            assert!(begun.is_ok(), "{rule}, {by:?} ahead: {begun:?}");
        }
    }
}

#[test]
fn a_second_factor_of_this_second_is_not_years_old() {
    let rule = invocation(r#""mfa": {"required": true, "max_age": "2m"}"#);
    for by in ahead() {
        let bench = Bench::default();
        ahead_for_a_moment(&bench, 9, by);
        let mut draft = draft(1, "alice", "prod");
        draft.mfa = Some(proof("push-1", "alice", 1, bench.clock.now()));
        let admission = Admission::new(&rule, &unlimited(), &draft.profile);
        let begun = bench.store.sync().create(&draft, &admission);
        assert!(begun.is_ok(), "{by:?} ahead: {begun:?}");
    }
}

#[test]
fn a_note_at_the_end_of_time_leaves_versions_for_everybody() {
    let bench = Bench::default();
    let first = bench.begin(1, "alice", "prod").updated_at;
    bench.clock.set(Version::from_nanos(i64::MAX).time());
    let noted = bench.update(1, &Change::note(&user("dave"), "a note"));
    let noted = noted.unwrap();
    assert_eq!(noted.updated_at.as_nanos(), first.as_nanos() + 1);
    assert_eq!(noted.changed_at(), start(), "it is dated by what can be");
    bench.clock.set(start());
    let close = Change::close(&anybody(), &profile("prod"), &user("carol"), "it is over");
    bench.update(1, &close).unwrap();
    bench.begin(2, "alice", "prod");
}

// Hours ahead for a moment: live access cannot be taken back.

#[tokio::test]
async fn what_gives_access_can_be_closed_whatever_the_clock_was() {
    for by in ahead() {
        for closer in ["alice", "carol"] {
            let bench = Bench::default();
            let workflow = bench.workflow(anybody(), unlimited());
            let mut draft = draft(1, "alice", "prod");
            draft.duration = 4 * HOUR;
            let emergency = workflow.invoke(&draft).await.unwrap();
            ahead_for_a_moment(&bench, 9, by);
            bench.clock.set(start() + 5 * MINUTE);
            let (alice, prod) = (user("alice"), profile("prod"));
            let grant = workflow.find_grant(&alice, &prod).await.unwrap();
            assert!(grant.is_some(), "{by:?} ahead");
            let closed = workflow
                .close(emergency.id, &user(closer), "it is over")
                .await;
            assert!(closed.is_ok(), "{by:?} ahead, by {closer}: {closed:?}");
            let grant = workflow.find_grant(&alice, &prod).await.unwrap();
            assert_eq!(grant, None, "{by:?} ahead");
        }
    }
}

#[tokio::test]
async fn what_gives_access_is_not_reviewed_because_the_clock_was_ahead() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), unlimited());
    let emergency = workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
    ahead_for_a_moment(&bench, 9, 8 * HOUR);
    let (carol, outcome) = (user("carol"), ReviewOutcome::Justified);
    let early = workflow.review(emergency.id, &carol, outcome, "it was called for");
    let early = refusal(early.await);
    assert!(matches!(early, Refusal::NotDue { .. }), "{early}");
    bench.clock.set(emergency.expires_at);
    let review = workflow.review(emergency.id, &carol, outcome, "it was called for");
    assert!(review.await.is_ok());
}

#[tokio::test]
async fn what_gives_access_can_be_closed_by_a_clock_that_has_lost_the_time() {
    for wrong in [
        "1970-01-01T00:00:00Z",
        "2025-12-31T23:59:59Z",
        "2262-01-01T00:00:00Z",
    ] {
        let bench = Bench::default();
        let workflow = bench.workflow(anybody(), unlimited());
        let emergency = workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
        bench.clock.set(time(wrong));
        let (alice, prod) = (user("alice"), profile("prod"));
        let grant = workflow.find_grant(&alice, &prod).await;
        assert!(matches!(grant, Err(Error::Clock(_))), "{wrong}: {grant:?}");
        let invoked = workflow.invoke(&draft(2, "bob", "prod")).await;
        assert!(
            matches!(invoked, Err(Error::Clock(_))),
            "{wrong}: {invoked:?}"
        );
        let closed = workflow
            .close(emergency.id, &alice, "it is over")
            .await
            .unwrap();
        assert_eq!(closed.changed_at(), start(), "{wrong}");
        bench.clock.set(start());
        assert!(workflow.find_grant(&alice, &prod).await.unwrap().is_none());
        assert!(workflow.invoke(&draft(2, "bob", "prod")).await.is_ok());
    }
}

// What began in the wrong time.

#[tokio::test]
async fn what_began_in_the_wrong_time_is_marked_once_the_correction_has_stood_for_an_hour() {
    let bench = Bench::at(start() + 8 * HOUR);
    let workflow = bench.workflow(anybody(), unlimited());
    workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
    for (now, marked) in [
        (start(), 0),
        (start() + HOUR - NANO, 0),
        (start() + HOUR, 1),
        (start() + HOUR, 0),
    ] {
        bench.clock.set(now);
        assert_eq!(workflow.expire_due(0).await.unwrap().len(), marked, "{now}");
    }
    let emergency = bench.get(1);
    assert_eq!(
        (emergency.status, emergency.ended_at()),
        (Status::Expired, start() + HOUR)
    );
    assert_eq!(emergency.history[1].actor, Actor::Clock);
    let carol = user("carol");
    let review = workflow.review(
        emergency.id,
        &carol,
        ReviewOutcome::Justified,
        "a wrong clock",
    );
    assert!(review.await.is_ok(), "it awaits its review as any other");
}

#[tokio::test]
async fn who_only_asks_for_grants_is_given_none_of_the_wrong_time() {
    let bench = Bench::at(start() + 8 * HOUR);
    let workflow = bench.workflow(anybody(), unlimited());
    workflow.invoke(&draft(1, "alice", "prod")).await.unwrap();
    let (alice, prod) = (user("alice"), profile("prod"));
    for minutes in (0..10 * 60).step_by(20) {
        bench.clock.set(start() + minutes * MINUTE);
        let grant = workflow.find_grant(&alice, &prod).await.unwrap();
        assert_eq!(grant, None, "{minutes} minutes after the correction");
    }
}

#[tokio::test]
async fn what_was_over_in_the_wrong_time_is_deleted_although_others_are_kept() {
    let bench = Bench::at(start() + 4 * YEAR);
    let workflow = bench.workflow(anybody(), limits(r#""cooldown": "24h""#));
    let end = |bits: u64| {
        let who = format!("user-{bits}");
        bench.begin(bits, &who, "prod");
        let close = Change::close(&anybody(), &profile("prod"), &user(&who), "it is over");
        bench.update(bits, &close).unwrap();
        bench.update(bits, &review("carol", "prod")).unwrap();
    };
    end(1);
    bench.clock.set(start());
    end(2);
    bench.clock.set(start() + 23 * HOUR);
    end(3);
    let far = start() + YEAR;
    let delete = async |now: DateTime<Utc>| {
        bench.clock.set(now);
        workflow.delete_ended_before(far, 0).await.unwrap()
    };
    assert_eq!(delete(start() + 24 * HOUR - NANO).await, 0);
    assert_eq!(
        delete(start() + 24 * HOUR).await,
        2,
        "of the wrong time too"
    );
    assert_eq!(bench.get(3).id, id(3), "a pause looks back at it");
}

#[test]
fn health_tells_how_far_ahead_the_clock_was() {
    let bench = Bench::default();
    assert_eq!(bench.store.health().correction, None);
    ahead_for_a_moment(&bench, 9, 8 * HOUR);
    bench.begin(1, "alice", "prod");
    let health = bench.store.health();
    let made = health.correction.unwrap();
    assert_eq!((made.from, made.to), (start() + 8 * HOUR, start()));
    // The correction and the emergency took a version each.
    assert_eq!(health.versions_ahead, 8 * HOUR + 2 * NANO);
    bench.clock.set(start() + 9 * HOUR);
    assert_eq!(bench.store.health().versions_ahead, Duration::ZERO);
}

/// Nothing was deleted, and a job that hears "0" takes that for done.
#[tokio::test]
async fn a_deletion_by_a_clock_that_shows_no_time_is_an_error_though_nothing_is_there() {
    let bench = Bench::default();
    let workflow = bench.workflow(anybody(), unlimited());
    bench.begin(1, "alice", "prod");
    for wrong in ["1970-01-01T00:00:00Z", "2262-01-01T00:00:00Z"] {
        let wrong: DateTime<Utc> = wrong.parse().unwrap();
        bench.clock.set(wrong);
        let refused = workflow.delete_ended_before(wrong - HOUR, 0).await;
        assert!(matches!(refused, Err(Error::Clock(_))), "{refused:?}");
    }
    bench.clock.set(start());
    assert_eq!(workflow.delete_ended_before(start(), 0).await.unwrap(), 0);
}
