//! Versions: `max(clock, last + 1 ns)` over the whole store, and the time that the rules see.

use countersign_core::clock::Clock;
use countersign_core::version::Version;

use super::bench::*;
use crate::change::Change;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::transition::Status;

/// With a clock that stands still, each version of the whole store is one nanosecond later.
pub(super) async fn versions_grow_while_the_clock_stands(bench: Bench) {
    let mut versions = Vec::new();
    for bits in 1..=3 {
        versions.push(
            bench
                .begin(bits, "alice", &format!("prod-{bits}"))
                .await
                .updated_at,
        );
        versions.push(bench.made(bits, &note("bob", "a note")).await.updated_at);
    }
    let expected = (0..6).map(|n| start() + nanos(n));
    let times: Vec<_> = versions.iter().map(|version| version.time()).collect();
    assert_eq!(times, expected.collect::<Vec<_>>(), "last + 1 ns");
}

/// With a clock that steps back, versions go on after the last one.
pub(super) async fn versions_grow_while_the_clock_steps_back(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await;
    bench.clock.step_back(24 * HOUR);
    let noted = bench.made(1, &note("bob", "a note")).await;
    assert_eq!(
        noted.updated_at.time(),
        first.created_at + nanos(1),
        "last + 1 ns"
    );
    let second = bench.begin(2, "bob", "prod").await;
    assert_eq!(
        second.created_at,
        first.created_at + nanos(2),
        "last + 1 ns of the whole store"
    );
    assert_eq!(
        second.expires_at,
        second.created_at + HOUR,
        "its time is the version's"
    );
}

/// With a clock that has moved on, the version is what the clock shows, to the nanosecond.
pub(super) async fn versions_follow_the_clock(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    for by in [nanos(1), nanos(999), nanos(1_000_000_001)] {
        bench.clock.set(bench.clock.now() + by);
        let noted = bench.made(1, &note("bob", "a note")).await;
        assert_eq!(
            noted.updated_at.time(),
            bench.clock.now(),
            "the clock's time"
        );
    }
}

/// A version is never issued again, not after a delete and not for the same id.
pub(super) async fn a_version_is_not_reissued_after_delete(bench: Bench) {
    let mut last = bench.begin_reviewed(1, "alice", "prod").await.updated_at;
    bench.delete(1).await;
    for _ in 0..3 {
        bench.clock.set(start());
        let event = bench.begin(1, "alice", "prod").await;
        assert!(
            event.updated_at > last,
            "version {last} or an earlier one was issued again"
        );
        let stale = bench.store.update(id(1), last, &note("bob", "stale")).await;
        assert!(
            matches!(stale, Err(Error::Conflict(_))),
            "a version outlived its event: {stale:?}"
        );
        bench.made(1, &close("alice", "prod")).await;
        last = bench.made(1, &review("carol", "prod")).await.updated_at;
        bench.clock.set(last.time());
        bench.delete(1).await;
    }
}

/// The rules see the time of the version, not that of a clock that has stepped back.
pub(super) async fn the_rules_see_the_time_of_the_version(bench: Bench) {
    let first = bench.begin_short(1, "alice", "prod").await;
    bench.clock.advance(HOUR);
    bench.begin(2, "bob", "prod").await;
    bench.clock.set(first.created_at);
    let expired = bench.change(1, &Change::expire()).await;
    let expired = expired.expect("by the store's time it is over");
    assert_eq!(expired.status, Status::Expired);
    let late = draft(3, "dave", "prod");
    let open =
        invocation(r#""time": {"days": ["monday"], "hours": {"start": "09:00", "end": "10:00"}}"#);
    match refusal(
        bench.invoke(&late, &open).await,
        "a window that is over by the store's time",
    ) {
        Refusal::Time { at, .. } => {
            assert!(
                at > expired.updated_at.time(),
                "the step's time is its version's"
            );
        }
        other => panic!("the window is closed: {other}"),
    }
}

/// Where no version can be made any more, the clock is to blame and nothing is changed.
pub(super) async fn a_clock_at_its_end_is_an_error(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    bench.begin_reviewed(2, "bob", "prod").await;
    bench.clock.set(Version::from_nanos(i64::MAX).time());
    bench.made(1, &note("bob", "the last")).await;
    let before = bench.contents().await;
    let noted = bench.change(1, &note("bob", "one more")).await;
    assert!(
        matches!(noted, Err(Error::Clock(_))),
        "no version is left: {noted:?}"
    );
    let created = bench.create(&draft(3, "dave", "prod"), &unlimited()).await;
    assert!(
        matches!(created, Err(Error::Clock(_))),
        "no version is left: {created:?}"
    );
    bench
        .assert_unchanged(&before, "a call without a version")
        .await;
}
