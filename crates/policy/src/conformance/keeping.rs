//! Versions: how many are kept, in which order, and that none is issued twice.

use std::sync::Arc;

use chrono::DateTime;
use countersign_core::clock::Clock;
use countersign_core::time::{EARLIEST, LATEST};
use countersign_core::version::{Conflict, Version};

use super::bench::*;
use crate::store::{Attribution, Error, Expected, StoreExt};

/// Versions are kept newest first, each with its policy.
pub(super) async fn versions_are_kept_newest_first(bench: Bench) {
    let mut put = vec![bench.create("main", "alice").await];
    for who in ["bob", "carol", "dave"] {
        bench.clock.advance(NANO);
        put.insert(0, bench.next("main", who).await);
    }
    assert_eq!(bench.versions("main").await, put, "newest first");
    for stored in put {
        let got = bench.store.get_version("main", stored.version).await;
        assert_eq!(got.unwrap(), stored, "each by its version");
    }
}

/// 100 versions are kept, and the oldest go first.
pub(super) async fn a_hundred_versions_are_kept(bench: Bench) {
    let mut put = vec![bench.create("main", "alice").await];
    for number in 1..102 {
        let last = put[put.len() - 1].version;
        let who = format!("user {number}");
        put.push(bench.replace("main", last, &who).await.unwrap());
        let kept = bench.versions("main").await.len();
        assert_eq!(
            kept,
            (number + 1).min(100),
            "versions are kept up to the limit"
        );
    }
    let newest_first: Vec<_> = put.iter().skip(2).rev().cloned().collect();
    assert_eq!(
        bench.versions("main").await,
        newest_first,
        "the oldest go first"
    );
    for (stored, kept) in [(&put[1], false), (&put[2], true)] {
        let got = bench.store.get_version("main", stored.version).await;
        assert_eq!(got.is_ok(), kept, "as the list says: {got:?}");
    }
}

/// A version that the policy never had, or has no more, is not found by that name.
pub(super) async fn a_version_that_is_not_kept_is_not_found(bench: Bench) {
    let stored = bench.create("main", "alice").await;
    let other = bench.create("other", "alice").await;
    for wanted in [
        off(stored.version, -1),
        other.version,
        Version::from_nanos(i64::MAX),
    ] {
        let got = bench.store.get_version("main", wanted).await;
        assert!(
            matches!(&got, Err(Error::VersionNotFound { name, version })
                if &**name == "main" && *version == wanted),
            "it never had that version: {got:?}"
        );
    }
    bench
        .store
        .delete("main", stored.version, &Attribution::NOBODY)
        .await
        .unwrap();
    bench.create("main", "alice").await;
    let got = bench.store.get_version("main", stored.version).await;
    assert!(
        matches!(got, Err(Error::VersionNotFound { .. })),
        "it was put anew: {got:?}"
    );
}

/// With a clock that stands still or steps back, each version of the whole store is later than the
/// last; with one that moves on it is the clock's time.
pub(super) async fn versions_grow_whatever_the_clock_does(bench: Bench) {
    let first = bench.create("main", "alice").await.version;
    let mut versions = vec![first, bench.next("main", "bob").await.version];
    bench.clock.step_back(HOUR);
    versions.push(bench.create("other", "alice").await.version);
    versions.push(bench.next("main", "carol").await.version);
    assert!(
        versions.is_sorted_by(|a, b| a < b),
        "versions grow: {versions:?}"
    );
    for by in [1, 999, 1_000_000_001] {
        bench.clock.set(start() + HOUR + nanos(by));
        let version = bench.next("main", &format!("user {by}")).await.version;
        assert_eq!(version.time(), bench.clock.now(), "to the nanosecond");
    }
}

/// A version is never issued again after a policy was deleted and put again.
pub(super) async fn a_version_is_not_reissued_after_delete(bench: Bench) {
    let mut last = bench.create("main", "alice").await.version;
    for _ in 0..3 {
        bench
            .store
            .delete("main", last, &Attribution::NOBODY)
            .await
            .unwrap();
        bench.clock.step_back(HOUR);
        let stored = bench.create("main", "alice").await;
        assert!(
            stored.version > last,
            "version {last} or an earlier one was issued again"
        );
        let stale = bench.replace("main", last, "bob").await;
        assert!(
            matches!(stale, Err(Error::Conflict(_))),
            "a version outlived its policy: {stale:?}"
        );
        assert_eq!(bench.versions("main").await, [Arc::clone(&stored)]);
        last = stored.version;
    }
}

/// By a clock that cannot be right nothing is put, and nothing is changed; deleting works, and a
/// version is left for when the clock is right again.
pub(super) async fn a_clock_at_its_end_is_an_error(bench: Bench) {
    let mut last = bench.create("main", "alice").await.version;
    let wrong = [
        DateTime::UNIX_EPOCH,
        EARLIEST - nanos(1),
        LATEST + nanos(1),
        Version::from_nanos(i64::MAX).time(),
    ];
    for reading in wrong {
        bench.clock.set(start());
        let other = bench.create("other", "alice").await.version;
        bench.clock.set(reading);
        let before = bench.contents().await;
        let put = bench.replace("main", last, "carol").await;
        assert!(
            matches!(put, Err(Error::Clock(_))),
            "by `{reading}`: {put:?}"
        );
        let put = bench
            .store
            .put(
                "third",
                Expected::Absent,
                some("carol"),
                &Attribution::NOBODY,
            )
            .await;
        assert!(
            matches!(put, Err(Error::Clock(_))),
            "by `{reading}`: {put:?}"
        );
        bench
            .assert_unchanged(&before, "a put by such a clock")
            .await;
        bench
            .store
            .delete("other", other, &Attribution::NOBODY)
            .await
            .unwrap();
        bench.clock.set(start());
        let next = bench.next("main", &format!("by {reading}")).await.version;
        assert!(next > last && next.time() < LATEST, "{next}");
        last = next;
    }
    for reading in [EARLIEST, LATEST] {
        bench.clock.set(reading);
        let next = bench.next("main", &format!("by {reading}")).await.version;
        assert!(next > last, "{next}");
        last = next;
    }
}

/// Deleting takes all versions of the one policy, if it is at the version expected.
pub(super) async fn deleting_takes_every_version(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let second = bench.next("main", "bob").await;
    let others = [
        bench.create("mai", "alice").await,
        bench.create("main/x", "alice").await,
    ];
    let before = bench.contents().await;
    let actual = second.version;
    for expected in [first.version, off(actual, -1), off(actual, 1)] {
        let refused = bench
            .store
            .delete("main", expected, &Attribution::NOBODY)
            .await;
        assert!(
            matches!(refused, Err(Error::Conflict(found)) if found == Conflict { expected, actual }),
            "only what the caller has read is deleted: {refused:?}"
        );
    }
    let absent = bench
        .store
        .delete("Main", actual, &Attribution::NOBODY)
        .await;
    assert!(
        matches!(absent, Err(Error::NotFound { .. })),
        "there is no such policy: {absent:?}"
    );
    bench.assert_unchanged(&before, "a refused deletion").await;
    bench
        .store
        .delete("main", actual, &Attribution::NOBODY)
        .await
        .unwrap();
    let store = &bench.store;
    for answer in [
        store.get("main").await.map(drop),
        store.get_version("main", first.version).await.map(drop),
        store.versions("main").await.map(drop),
        store.delete("main", actual, &Attribution::NOBODY).await,
    ] {
        assert!(
            matches!(answer, Err(Error::NotFound { .. })),
            "it is gone: {answer:?}"
        );
    }
    let left = bench.list(0, None).await.items;
    assert_eq!(left, others, "and nothing else");
}

/// A rollback puts an earlier policy again, as a new version; those in between stay.
pub(super) async fn a_rollback_is_a_new_version(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let second = bench.next("main", "bob").await;
    let third = bench
        .store
        .rollback("main", second.version, first.version, &Attribution::NOBODY)
        .await
        .unwrap()
        .into_stored();
    assert_eq!(third.digest(), first.digest());
    assert!(third.version > second.version, "as a new version");
    assert_eq!(
        bench.versions("main").await,
        [third.clone(), second.clone(), first.clone()]
    );
    let before = bench.contents().await;
    let stale = bench
        .store
        .rollback("main", second.version, first.version, &Attribution::NOBODY)
        .await;
    assert!(
        matches!(stale, Err(Error::Conflict(_))),
        "somebody came first: {stale:?}"
    );
    let unknown = bench
        .store
        .rollback(
            "main",
            third.version,
            off(first.version, -1),
            &Attribution::NOBODY,
        )
        .await;
    assert!(
        matches!(unknown, Err(Error::VersionNotFound { .. })),
        "it is not kept: {unknown:?}"
    );
    let absent = bench
        .store
        .rollback("Main", third.version, first.version, &Attribution::NOBODY)
        .await;
    assert!(
        matches!(absent, Err(Error::NotFound { .. })),
        "there is no such policy: {absent:?}"
    );
    bench
        .assert_unchanged(&before, "a rollback that failed")
        .await;
}

/// `update_with` puts what its closure makes of what is stored, and passes on every error.
pub(super) async fn update_with_passes_on_every_error(bench: Bench) {
    let absent = bench
        .store
        .update_with("main", &Attribution::NOBODY, |_| {
            Ok::<_, Error>(some("bob"))
        })
        .await;
    assert!(matches!(absent, Err(Error::NotFound { .. })), "{absent:?}");
    let first = bench.create("main", "alice").await;
    let mut seen = Vec::new();
    let second = bench
        .store
        .update_with("main", &Attribution::NOBODY, |stored| {
            seen.push(stored.clone());
            Ok::<_, Error>(some("bob"))
        });
    let second = second.await.unwrap().into_stored();
    assert_eq!(seen, [(*first).clone()], "once, with what is stored");
    assert_eq!(bench.versions("main").await, [Arc::clone(&second), first]);
    let stopped = bench
        .store
        .update_with("main", &Attribution::NOBODY, |stored| {
            Err::<Arc<_>, _>(Error::NotFound {
                name: Arc::clone(&stored.name),
            })
        });
    let stopped = stopped.await;
    assert!(
        matches!(stopped, Err(Error::NotFound { .. })),
        "{stopped:?}"
    );
    assert_eq!(bench.get("main").await, second, "nothing was put");
}
