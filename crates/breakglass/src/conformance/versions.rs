//! Versions: `max(clock, last + 1 ns)` over the whole store; they order, and say nothing of time.

use countersign_core::clock::Clock;
use countersign_core::version::Version;

use super::bench::*;
use crate::error::Error;

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

/// With a clock that steps back, by less or by more than is tolerated, versions go on after the
/// last one; a correction takes one.
pub(super) async fn versions_grow_while_the_clock_steps_back(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await;
    let later = |by: i64| Version::from_nanos(first.created.as_nanos() + by);
    bench.clock.step_back(TOLERANCE);
    let noted = bench.made(1, &note("bob", "a note")).await;
    assert_eq!(noted.updated_at, later(1), "last + 1 ns");
    let second = bench.begin(2, "bob", "prod").await;
    assert_eq!(second.created, later(2), "last + 1 ns of the whole store");
    assert_eq!(second.created_at, first.created_at, "time stands still");
    bench.clock.step_back(NANO);
    let third = bench.begin(3, "dave", "prod").await;
    assert_eq!(third.created, later(4), "after the correction's");
    assert_eq!(third.created_at, bench.clock.now(), "time is corrected");
    bench.clock.step_back(24 * HOUR);
    let noted = bench.made(1, &note("bob", "a note")).await;
    assert_eq!(noted.updated_at, later(6), "after the next correction's");
}

/// With a clock that has moved on, the version is what the clock shows, to the nanosecond.
pub(super) async fn versions_follow_the_clock(bench: Bench) {
    bench.begin(1, "alice", "prod").await;
    for by in [nanos(1), nanos(999), nanos(1_000_000_001)] {
        bench.clock.set(bench.clock.now() + by);
        let noted = bench.made(1, &note("bob", "a note")).await;
        assert_eq!(
            noted.updated_at,
            Version::of(bench.clock.now()).unwrap(),
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
        let emergency = bench.begin(1, "alice", "prod").await;
        assert!(
            emergency.updated_at > last,
            "version {last} or an earlier one was issued again"
        );
        let stale = bench.store.update(id(1), last, &note("bob", "stale")).await;
        assert!(
            matches!(stale, Err(Error::Conflict(_))),
            "a version outlived its emergency: {stale:?}"
        );
        bench.made(1, &close("alice", "prod")).await;
        last = bench.made(1, &review("carol", "prod")).await.updated_at;
        bench.clock.set(last.time());
        bench.delete(1).await;
    }
}
