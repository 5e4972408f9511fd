//! The time of a step: it stands still rather than run backwards, and a clock that cannot be right
//! grants nothing, ends access all the same, and dates nothing.

use countersign_core::clock::Clock;
use countersign_core::time::{ClockError, EARLIEST, LATEST};
use countersign_core::version::Version;

use super::bench::*;
use crate::change::Change;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::transition::Status;

/// Within the tolerance of the last step the rules see that step's time, not what the clock shows.
pub(super) async fn the_rules_see_time_stand_still(bench: Bench) {
    let first = bench.begin_short(1, "alice", "prod").await;
    bench.clock.set(time("2026-03-02T10:00:00Z"));
    let last = bench.begin(2, "bob", "prod").await.created_at;
    for behind in [NANO, TOLERANCE] {
        bench.clock.set(last - behind);
        assert_eq!(bench.store.now().await.unwrap().at(), last, "{behind:?}");
        let late = draft(3, "dave", "prod");
        let open = invocation(
            r#""time": {"days": ["monday"], "hours": {"start": "09:00", "end": "10:00"}}"#,
        );
        let refused = bench.invoke(&late, &open).await;
        match refusal(refused, "a window that is over by the store's time") {
            Refusal::Time { at, .. } => assert_eq!(at, last, "the step's time"),
            other => panic!("the window is closed: {other}"),
        }
    }
    bench.clock.set(last - TOLERANCE);
    let expired = bench.change(1, &Change::expire()).await;
    let expired = expired.expect("by the store's time it is over");
    assert_eq!(expired.status, Status::Expired);
    assert_eq!(expired.changed_at(), last, "and the entry says so");
    assert_eq!(expired.ended_at(), first.expires_at);
    let begun = bench.begin(3, "dave", "prod").await;
    assert_eq!((begun.created_at, begun.expires_at), (last, last + HOUR));
    let until = bench.granted("dave", "prod", last - TOLERANCE).await;
    assert_eq!(until, Some(begun.expires_at), "it has begun");
}

/// A pause is not shortened by a clock that steps back within the tolerance.
pub(super) async fn a_small_step_back_shortens_no_pause(bench: Bench) {
    let pause = limits(r#""cooldown": "2h""#);
    let over = bench.begin_reviewed(1, "alice", "prod").await.created_at + 2 * HOUR;
    let again = draft(2, "alice", "prod");
    for now in [start(), start() - TOLERANCE, over - nanos(1)] {
        bench.clock.set(now);
        let refused = refusal(bench.create(&again, &pause).await, "a pause");
        assert_eq!(refused.retry_at(), Some(over), "at {now}");
    }
    bench.clock.set(over);
    let created = bench.create(&again, &pause).await;
    assert!(created.is_ok(), "the pause is over: {created:?}");
}

/// A clock before this release or after 2200 dates nothing and grants nothing; what ends access
/// works as at the last time; and all is as before when the clock is.
pub(super) async fn a_clock_that_cannot_be_right_grants_nothing(bench: Bench) {
    let alone = bench.begin(1, "alice", "prod").await;
    bench.begin(2, "bob", "prod").await;
    bench.begin_short(3, "dave", "prod").await;
    let now = bench.clock.now();
    let mut last = bench.get(3).await.updated_at;
    for (bits, wrong) in (10..).zip([
        time("1970-01-01T00:00:00Z"),
        EARLIEST - NANO,
        LATEST + NANO,
        time("2262-01-01T00:00:00Z"),
        Version::from_nanos(i64::MAX).time(),
    ]) {
        let who = format!("user-{bits}");
        bench.clock.set(now);
        last = bench.begin(bits, &who, "prod").await.updated_at.max(last);
        bench.clock.set(wrong);
        let is_doubted = |error: &Error| {
            let reading = wrong;
            matches!(error, Error::Clock(found) if *found == ClockError::Implausible { reading })
        };
        let before = bench.contents().await;
        let refused = bench.create(&draft(99, "erin", "prod"), &unlimited()).await;
        assert!(refused.as_ref().is_err_and(is_doubted), "{refused:?}");
        let found = bench.store.find_grant(&alone.invoker, &alone.profile).await;
        assert!(found.as_ref().is_err_and(is_doubted), "{found:?}");
        bench
            .assert_unchanged(&before, "a clock that is wrong")
            .await;
        assert_eq!(bench.store.now().await.unwrap().at(), now, "the last time");
        // What ends access works: as at the last time, with the next version.
        let closed = bench.made(bits, &close("carol", "prod")).await;
        assert_eq!(closed.changed_at(), now, "nothing is dated by {wrong}");
        let next = Version::from_nanos(last.as_nanos() + 1);
        assert_eq!(closed.updated_at, next, "by {wrong}");
        last = closed.updated_at;
        bench.clock.set(now);
        let until = bench.granted("alice", "prod", now).await;
        assert_eq!(until, Some(alone.expires_at), "as it was before {wrong}");
        assert_eq!(bench.granted(&who, "prod", now).await, None, "closed");
    }
    bench.clock.set(time("2262-01-01T00:00:00Z"));
    assert_eq!(
        bits(&bench.store.list_expirable(0).await.unwrap()),
        [3],
        "as it was"
    );
    let expired = bench.made(3, &Change::expire()).await;
    assert_eq!(expired.changed_at(), now);
    bench.clock.set(now + NANO);
    assert_eq!(
        bench.begin(4, "fay", "prod").await.expires_at,
        now + NANO + HOUR,
        "nothing is left of it"
    );
}

/// The first and the last time that can be right are.
pub(super) async fn the_first_and_the_last_time_there_is_grant(bench: Bench) {
    for (bits, edge) in [(1, EARLIEST), (2, LATEST)] {
        bench.clock.set(edge);
        let who = format!("user-{bits}");
        let emergency = bench.begin(bits, &who, "prod").await;
        assert_eq!(
            (emergency.created_at, emergency.expires_at),
            (edge, edge + HOUR)
        );
        let until = bench.granted(&who, "prod", edge).await;
        assert_eq!(until, Some(emergency.expires_at));
    }
}

/// An empty store whose clock cannot be right grants nothing, and keeps nothing of it.
pub(super) async fn an_empty_store_learns_nothing_from_a_wrong_clock(bench: Bench) {
    for wrong in [time("1970-01-01T00:00:00Z"), time("2262-01-01T00:00:00Z")] {
        bench.clock.set(wrong);
        let refused = bench.create(&draft(1, "alice", "prod"), &unlimited()).await;
        assert!(matches!(refused, Err(Error::Clock(_))), "{refused:?}");
        assert_eq!(bits(&bench.store.list_expirable(0).await.unwrap()), [0; 0]);
    }
    bench.clock.set(start());
    let emergency = bench.begin(1, "alice", "prod").await;
    assert_eq!(emergency.created_at, start());
    assert_eq!(
        emergency.created,
        Version::of(start()).unwrap(),
        "and its version"
    );
}
