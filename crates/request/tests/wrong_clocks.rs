//! What a clock that was wrong is known to do to access tools, one test for each failure, named
//! after it: through the workflow, as a host meets it. The conformance kit has the rules by
//! themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::time::{CLOCK_TOLERANCE, ClockError, EARLIEST, LATEST, SETTLING_TIME};
use countersign_request::{
    Action, Actor, Clock, Draft, Error, Page, Refusal, Request, Status, Submitted, Workflow,
};
use support::{HOUR, NANOSECOND, World, draft, id, profile, start, user};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

/// How far clocks are ahead: by milliseconds, by a little more than the tolerance, by minutes, by
/// hours, by years, to the last time that can be right, to the end of time.
fn ahead() -> [DateTime<Utc>; 8] {
    [
        start() + Duration::from_millis(5),
        start() + CLOCK_TOLERANCE + Duration::from_nanos(1),
        start() + 3 * MINUTE,
        start() + 8 * HOUR,
        start() + 4 * YEAR,
        LATEST,
        LATEST + NANOSECOND,
        DateTime::from_timestamp_nanos(i64::MAX),
    ]
}

/// A world in which something was written while the clock showed `ahead`, and the clock set right.
async fn corrected(ahead: DateTime<Utc>) -> (World, Workflow) {
    let world = World::new();
    let workflow = world.workflow();
    world.create(&draft(90));
    world.clock.set(ahead);
    write(&workflow).await;
    world.clock.set(start());
    (world, workflow)
}

/// Anything that is written.
async fn write(workflow: &Workflow) -> Arc<Request> {
    let note = workflow.note(id(90), &user("dave"), "any write").await;
    note.unwrap()
}

async fn submit(workflow: &Workflow, bits: u64, asked: Duration) -> Result<Submitted, Error> {
    let duration = asked;
    let draft = Draft {
        duration,
        ..draft(bits)
    };
    workflow.submit(&draft).await
}

async fn approved(workflow: &Workflow, bits: u64, asked: Duration) -> Arc<Request> {
    submit(workflow, bits, asked).await.unwrap();
    let approved = workflow.approve(id(bits), &user("bob"), None).await;
    approved.unwrap()
}

/// Until when alice has access to `prod`.
async fn access(workflow: &Workflow) -> Option<DateTime<Utc>> {
    let found = workflow.find_grant(&user("alice"), &profile("prod")).await;
    found.unwrap().map(|grant| grant.until)
}

/// The time that a store goes by once its clock is set right from `ahead`: it stands still within
/// the tolerance, and what can be no time moves nothing.
fn goes_by(ahead: DateTime<Utc>) -> DateTime<Utc> {
    if ahead - start() <= chrono::TimeDelta::from_std(CLOCK_TOLERANCE).unwrap() {
        ahead
    } else {
        start()
    }
}

// Years ahead, once

#[tokio::test]
async fn a_clock_that_was_ahead_once_makes_access_last_for_years() {
    for ahead in ahead() {
        let (world, workflow) = corrected(ahead).await;
        let at = goes_by(ahead);
        let request = approved(&workflow, 1, HOUR).await;
        assert_eq!(request.created_at, at, "{ahead}");
        assert_eq!(request.decide_by, at + 24 * HOUR, "{ahead}");
        let until = at + HOUR;
        assert_eq!(request.access_until, Some(until), "{ahead}");
        for shown in [start(), until - NANOSECOND] {
            world.clock.set(shown);
            assert_eq!(access(&workflow).await, Some(until), "{ahead}");
        }
        for shown in [until, until + 11 * HOUR, start() + YEAR, start() + 4 * YEAR] {
            world.clock.set(shown);
            assert_eq!(access(&workflow).await, None, "{ahead}, at {shown}");
        }
        world.sound();
    }
}

#[tokio::test]
async fn access_of_the_wrong_time_comes_back_when_the_time_comes() {
    for ahead in [
        SETTLING_TIME + Duration::from_nanos(1),
        8 * HOUR,
        4 * YEAR,
        (LATEST - start()).to_std().unwrap(),
    ] {
        let world = World::new();
        let workflow = world.workflow();
        world.create(&draft(90));
        let from = start() + ahead;
        world.clock.set(from);
        let wrong = approved(&workflow, 1, 8 * HOUR).await;
        world.clock.set(start());
        write(&workflow).await;
        let settled = start() + SETTLING_TIME;
        for at in [
            start(),
            settled - NANOSECOND,
            settled,
            from,
            from + 7 * HOUR,
        ] {
            world.clock.set(at);
            if at > LATEST {
                continue;
            }
            assert_eq!(access(&workflow).await, None, "{ahead:?} ahead, at {at}");
        }
        // It is marked when its hour is over, once, and by the clock.
        world.clock.set(settled - NANOSECOND);
        assert!(workflow.expire_due(0).await.unwrap().is_empty());
        world.clock.set(settled);
        let marked = workflow.expire_due(0).await.unwrap();
        assert_eq!(marked.len(), 1, "{ahead:?} ahead");
        let entry = marked[0].history.last().unwrap();
        assert_eq!((marked[0].id, marked[0].status), (id(1), Status::Ended));
        assert_eq!((entry.action, &entry.actor), (Action::Ended, &Actor::Clock));
        assert_eq!(marked[0].access_until, wrong.access_until);
        assert!(workflow.expire_due(0).await.unwrap().is_empty());
        world.sound();
    }
}

#[tokio::test]
async fn access_of_the_wrong_time_comes_back_after_another_correction() {
    let world = World::new();
    let workflow = world.workflow();
    world.create(&draft(90));
    world.clock.advance(8 * HOUR);
    approved(&workflow, 1, 8 * HOUR).await;
    world.clock.set(start());
    write(&workflow).await;
    // At noon, before it would begin, and while it would last: ahead by minutes, and set right.
    for right in [3, 7, 9, 12].map(|hours| start() + hours * HOUR) {
        world.clock.set(right + 10 * MINUTE);
        write(&workflow).await;
        world.clock.set(right);
        write(&workflow).await;
        for shown in [right, start() + 8 * HOUR, start() + 15 * HOUR] {
            world.clock.set(shown);
            assert_eq!(access(&workflow).await, None, "{right}, at {shown}");
        }
    }
}

#[tokio::test]
async fn a_write_at_the_end_of_time_leaves_no_version() {
    for end in [
        DateTime::from_timestamp_nanos(i64::MAX),
        LATEST + NANOSECOND,
    ] {
        let (world, workflow) = corrected(end).await;
        for bits in 1..20 {
            approved(&workflow, bits, HOUR).await;
            let revoked = workflow.revoke(id(bits), &user("bob"), None).await;
            assert_eq!(revoked.unwrap().status, Status::Revoked);
            world.clock.set(end);
            write(&workflow).await;
            world.clock.set(start());
        }
        let last = world.get(90).updated_at.time();
        assert!(last < start() + MINUTE, "no version is of that time");
    }
}

#[tokio::test]
async fn a_deadline_of_the_wrong_time_lets_a_request_wait_for_years() {
    for ahead in [8 * HOUR, 4 * YEAR] {
        let world = World::new();
        let workflow = world.workflow();
        let before = submit(&workflow, 1, HOUR).await.unwrap().request;
        world.clock.advance(ahead);
        let wrong = submit(&workflow, 2, HOUR).await.unwrap().request;
        world.clock.set(start());
        let refused = workflow.approve(id(2), &user("bob"), None).await;
        let refused = refused.unwrap_err();
        let Error::Refused(Refusal::DatedAhead { created_at, at }) = refused else {
            panic!("{refused}");
        };
        assert_eq!((created_at, at), (wrong.created_at, start()));
        let inbox = workflow.inbox(&user("bob"), Page::default()).await;
        let inbox: Vec<_> = inbox.unwrap().items.iter().map(|r| r.id).collect();
        assert_eq!(inbox, [id(1)], "nobody is asked to decide what cannot be");
        let marked = workflow.expire_due(0).await.unwrap();
        assert_eq!(
            (marked.len(), marked[0].id),
            (1, id(2)),
            "it is due at once"
        );
        assert_eq!(marked[0].status, Status::Expired);
        // The deadline of before holds to its nanosecond.
        world.clock.set(before.decide_by - NANOSECOND);
        assert!(workflow.expire_due(0).await.unwrap().is_empty());
        let approved = workflow.approve(id(1), &user("bob"), None).await;
        let until = before.decide_by - NANOSECOND + HOUR;
        assert_eq!(approved.unwrap().access_until, Some(until));
    }
}

// Hours ahead, for a moment

#[tokio::test]
async fn live_access_that_cannot_be_taken_back_after_a_moment_hours_ahead() {
    for ahead in ahead() {
        for releases in [false, true] {
            let world = World::new();
            let workflow = world.workflow();
            world.create(&draft(90));
            let until = approved(&workflow, 1, 4 * HOUR).await.access_until;
            world.clock.set(ahead);
            write(&workflow).await;
            world.clock.set(start() + 5 * MINUTE);
            assert_eq!(access(&workflow).await, until, "{ahead}");
            let taken = match releases {
                true => workflow.release(id(1), &user("alice"), None).await,
                false => workflow.revoke(id(1), &user("bob"), None).await,
            };
            let taken = taken.unwrap_or_else(|error| panic!("{ahead}: {error}"));
            let status = [Status::Revoked, Status::Released][usize::from(releases)];
            assert_eq!(taken.status, status, "{ahead}");
            world.clock.set(until.unwrap() - NANOSECOND);
            assert_eq!(access(&workflow).await, None, "{ahead}");
        }
    }
}

#[tokio::test]
async fn live_access_that_is_found_to_its_end_and_cannot_be_taken_back() {
    // Nobody has taken it back: it is there to its last nanosecond, and so is the way to end it.
    let world = World::new();
    let workflow = world.workflow();
    world.create(&draft(90));
    let until = approved(&workflow, 1, 4 * HOUR).await.access_until.unwrap();
    world.clock.advance(8 * HOUR);
    write(&workflow).await;
    world.clock.set(until - NANOSECOND);
    assert_eq!(access(&workflow).await, Some(until));
    let revoked = workflow.revoke(id(1), &user("carol"), None).await;
    assert_eq!(revoked.unwrap().changed_at(), until - NANOSECOND);
}

#[tokio::test]
async fn access_by_a_rule_or_by_groups_that_cannot_be_taken_back() {
    for (bits, name, revoker) in [(1, "dev", "bob"), (2, "pair", "alice")] {
        let world = World::new();
        let workflow = world.workflow();
        world.create(&draft(90));
        let draft = Draft {
            profile: profile(name),
            ..draft(bits)
        };
        let submitted = workflow.submit(&draft).await.unwrap();
        if submitted.request.status == Status::Pending {
            for by in ["bob", "carol"] {
                let part = workflow.approve(id(bits), &user(by), None).await;
                part.unwrap();
            }
        }
        assert_eq!(world.get(bits).status, Status::Approved, "{name}");
        world.clock.advance(8 * HOUR);
        write(&workflow).await;
        world.clock.set(start() + 30 * MINUTE);
        let found = workflow.find_grant(&user("alice"), &profile(name)).await;
        assert_eq!(found.unwrap().unwrap().until, start() + HOUR, "{name}");
        let revoked = workflow.revoke(id(bits), &user(revoker), None).await;
        assert_eq!(revoked.unwrap().status, Status::Revoked, "{name}");
    }
}

#[tokio::test]
async fn live_access_that_cannot_be_taken_back_while_the_clock_is_lost() {
    for lost in [
        DateTime::UNIX_EPOCH,
        EARLIEST - NANOSECOND,
        LATEST + NANOSECOND,
        DateTime::from_timestamp_nanos(i64::MAX),
    ] {
        let world = World::new();
        let workflow = world.workflow();
        let until = approved(&workflow, 1, HOUR).await.access_until;
        approved(&workflow, 2, 2 * HOUR).await;
        submit(&workflow, 3, HOUR).await.unwrap();
        submit(&workflow, 4, HOUR).await.unwrap();
        let before = [world.get(1), world.get(4)];
        world.clock.set(lost);
        let reading = lost;
        let implausible = |error: Error| matches!(error, Error::Clock(ClockError::Implausible { reading: r }) if r == reading);
        // Nothing is granted, nothing is stored, nothing is deleted.
        assert!(implausible(submit(&workflow, 5, HOUR).await.unwrap_err()));
        assert!(world.store.sync().get(id(5)).is_err());
        let approval = workflow.approve(id(4), &user("bob"), None).await;
        assert!(implausible(approval.unwrap_err()));
        let (alice, prod) = (user("alice"), profile("prod"));
        let grant = workflow.find_grant(&alice, &prod).await;
        assert!(implausible(grant.unwrap_err()));
        // What ends access works.
        workflow.release(id(2), &alice, None).await.unwrap();
        let denied = workflow.deny(id(3), &user("carol"), None).await;
        assert_eq!(denied.unwrap().changed_at(), start(), "{lost}");
        // And all is as before when the clock is.
        world.clock.set(start() + NANOSECOND);
        assert_eq!([world.get(1), world.get(4)], before, "nothing is re-dated");
        assert_eq!(access(&workflow).await, until, "{lost}");
        let approved = workflow.approve(id(4), &user("bob"), None).await;
        let until = start() + NANOSECOND + HOUR;
        assert_eq!(approved.unwrap().access_until, Some(until), "{lost}");
        assert_eq!(world.store.health().correction, None, "{lost}");
        world.sound();
    }
}

// Two clocks, minutes apart

#[tokio::test]
async fn two_clocks_that_take_turns_stretch_what_is_approved() {
    for apart in [3 * MINUTE, 10 * MINUTE] {
        let world = World::new();
        let workflow = world.workflow();
        world.create(&draft(90));
        for round in 0_u32..10 {
            let right = start() + round * 20 * MINUTE;
            let bits = u64::from(round) + 1;
            world.clock.set(right);
            submit(&workflow, bits, 5 * MINUTE).await.unwrap();
            world.clock.set(right + apart);
            write(&workflow).await;
            world.clock.set(right + Duration::from_secs(1));
            let approved = workflow.approve(id(bits), &user("bob"), None).await;
            let until = right + Duration::from_secs(1) + 5 * MINUTE;
            assert_eq!(approved.unwrap().access_until, Some(until), "{apart:?}");
            // The fast one writes again, and the right one still ends what it still gives.
            world.clock.set(right + 4 * MINUTE + apart);
            write(&workflow).await;
            world.clock.set(right + 4 * MINUTE);
            assert_eq!(access(&workflow).await, Some(until), "{apart:?}");
            let taken = workflow.revoke(id(bits), &user("carol"), None).await;
            assert_eq!(taken.unwrap().status, Status::Revoked, "{apart:?}");
            assert_eq!(access(&workflow).await, None, "{apart:?}");
        }
        world.sound();
    }
}

#[tokio::test]
async fn two_clocks_within_the_tolerance_correct_each_other() {
    let world = World::new();
    let workflow = world.workflow();
    world.create(&draft(90));
    for round in 0_u32..10 {
        let right = start() + round * MINUTE;
        world.clock.set(right + CLOCK_TOLERANCE);
        write(&workflow).await;
        world.clock.set(right);
        let written = write(&workflow).await;
        assert_eq!(written.changed_at(), right + CLOCK_TOLERANCE, "it stands");
    }
    assert_eq!(world.store.health().correction, None);
}

#[tokio::test]
async fn access_by_the_slower_clock_is_not_found_by_the_faster_at_its_own_end() {
    // What the fast one grants begins ahead, and is over for both when its time is over.
    let world = World::new();
    let workflow = world.workflow();
    world.create(&draft(90));
    world.clock.set(start() + 10 * MINUTE);
    let until = approved(&workflow, 1, 5 * MINUTE).await.access_until;
    let until = until.unwrap();
    world.clock.set(start());
    write(&workflow).await;
    for (shown, found) in [
        (start(), None),
        (start() + 10 * MINUTE - NANOSECOND, None),
        (start() + 10 * MINUTE, Some(until)),
        (until - NANOSECOND, Some(until)),
        (until, None),
    ] {
        world.clock.set(shown);
        assert_eq!(access(&workflow).await, found, "at {shown}");
    }
}

// Deletion

#[tokio::test]
async fn everything_looks_old_to_a_clock_that_is_years_ahead() {
    let world = World::new();
    let workflow = world.workflow();
    world.create(&draft(90));
    submit(&workflow, 1, HOUR).await.unwrap();
    let denied = workflow.deny(id(1), &user("bob"), None).await;
    let denied = denied.unwrap();
    world.clock.advance(4 * YEAR);
    let year_ago = world.clock.now() - YEAR;
    for _ in 0..2 {
        let swept = workflow.delete_ended_before(year_ago, 0).await;
        let error = swept.unwrap_err();
        let until = world.clock.now() + SETTLING_TIME;
        assert!(matches!(error, Error::ClockJumped { until: u } if u == until));
        assert!(error.to_string().contains(&until.to_string()), "{error}");
        write(&workflow).await;
    }
    world.clock.set(start() + HOUR);
    write(&workflow).await;
    world.clock.advance(SETTLING_TIME);
    assert_eq!(workflow.delete_ended_before(year_ago, 0).await.unwrap(), 1);
    assert!(world.store.sync().get(id(1)).is_err(), "{}", denied.id);
    assert_eq!(world.get(90).status, Status::Pending, "it is not over");
}

/// Nothing was deleted, and a job that hears "0" takes that for done.
#[tokio::test]
async fn a_deletion_by_a_clock_that_shows_no_time_is_an_error_though_nothing_is_there() {
    let world = World::new();
    let workflow = world.workflow();
    world.create(&draft(90));
    for wrong in ["1970-01-01T00:00:00Z", "2262-01-01T00:00:00Z"] {
        let wrong = wrong.parse().unwrap();
        world.clock.set(wrong);
        let refused = workflow.delete_ended_before(wrong - HOUR, 0).await;
        assert!(matches!(refused, Err(Error::Clock(_))), "{refused:?}");
    }
    world.clock.set(start());
    assert_eq!(workflow.delete_ended_before(start(), 0).await.unwrap(), 0);
}
