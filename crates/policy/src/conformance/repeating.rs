//! Who put a policy and why, and what a call is answered that is repeated because its answer was lost.

use std::sync::Arc;

use countersign_core::clock::Clock;
use countersign_core::id::IdempotencyKey;
use countersign_core::names::User;
use countersign_core::version::Version;

use super::bench::*;
use crate::store::{Attribution, Changed, Error, Expected, Put, StoreExt, Stored};

fn by(who: &str) -> Attribution {
    Attribution::by(User::new(who).unwrap())
}

fn keyed(bits: u64) -> Attribution {
    by("alice")
        .with_reason("the database has moved")
        .with_idempotency_key(IdempotencyKey::from_bits(bits))
}

fn is_reused<T>(answer: &Result<T, Error>, bits: u64, of: &str) -> bool {
    let is_it = |key: IdempotencyKey| key == IdempotencyKey::from_bits(bits);
    matches!(answer, Err(Error::IdempotencyKeyReused { idempotency_key, name })
        if is_it(*idempotency_key) && &**name == of)
}

/// With each version are kept who put it, why, when, and what it replaces, in every answer and over a
/// restart.
pub(super) async fn who_put_it_why_and_when_is_kept(bench: Bench) {
    let attributions = [
        Attribution::NOBODY,
        by("alice"),
        by("Zoë O'Neil; --")
            .with_reason("line one\nline “two” \\")
            .with_ticket("OPS-4711")
            .with_idempotency_key(IdempotencyKey::MAX),
        Attribution::NOBODY.with_ticket("é".repeat(128)),
        by("bob").with_reason("é".repeat(1_000)),
    ];
    let mut put = Vec::new();
    for (number, attribution) in attributions.iter().enumerate() {
        bench.clock.advance(HOUR);
        let expected = match put.first() {
            None => Expected::Absent,
            Some(last) => Expected::Version(last_of(last)),
        };
        let policy = some(&format!("user {number}"));
        let made = bench.store.put("main", expected, policy, attribution).await;
        let made = made.unwrap().into_stored();
        assert_eq!(made.attribution, *attribution, "as it was given");
        assert_eq!(made.at, bench.clock.now(), "when it was put");
        assert_eq!(made.replaces, put.first().map(last_of), "what it replaces");
        put.insert(0, made);
    }
    // Back by less than a clock may be: time stands still, and versions go on.
    bench.clock.step_back(NANO);
    let last = bench.next("main", "carol").await;
    assert_eq!(last.at, put[0].at, "time does not run backwards");
    put.insert(0, last);
    let bench = bench.reopen().await;
    assert_eq!(bench.versions("main").await, put);
    assert_eq!(bench.list(0, None).await.items, [Arc::clone(&put[0])]);
    let wanted = bench.store.get_version("main", put[3].version).await;
    assert_eq!(wanted.unwrap(), put[3]);
    let changes = bench.changes(None, 0).await;
    let told = put.iter().rev().cloned().map(Changed::Put);
    assert_eq!(changes, told.collect::<Vec<_>>());
}

fn last_of(stored: &Arc<Stored>) -> Version {
    stored.version
}

/// A text of an attribution that is empty, too long or hides what follows it is refused, before
/// anything but the name.
pub(super) async fn an_attribution_that_is_not_valid_is_refused(bench: Bench) {
    let stored = bench.create("main", "alice").await;
    let before = bench.contents().await;
    let (store, expected) = (&bench.store, Expected::Version(stored.version));
    for bad in [
        by("alice").with_reason(""),
        by("alice").with_reason("é".repeat(1_001)),
        by("alice").with_reason("a\u{1b}b"),
        by("alice").with_ticket(""),
        by("alice").with_ticket("é".repeat(129)),
        by("alice").with_ticket("a\0b"),
    ] {
        for answer in [
            store
                .put("main", expected, some("bob"), &bad)
                .await
                .map(drop),
            store
                .put("main", Expected::Absent, some("bob"), &bad)
                .await
                .map(drop),
            store
                .put("main", expected, some("alice"), &bad)
                .await
                .map(drop),
            store.delete("main", stored.version, &bad).await,
        ] {
            assert!(
                matches!(answer, Err(Error::InvalidAttribution(_))),
                "{bad:?} is not valid: {answer:?}"
            );
        }
        let name = store.put("", expected, some("bob"), &bad).await;
        assert!(matches!(name, Err(Error::InvalidName(_))), "{name:?}");
    }
    bench
        .assert_unchanged(&before, "a call with a wrong attribution")
        .await;
}

/// A put that is repeated after its answer was lost gets the first result, whatever was put since, and
/// a stranger's put is told apart from one's own.
pub(super) async fn a_repeated_put_gets_the_first_result(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let expected = Expected::Version(first.version);
    let mine = keyed(1);
    let put = bench.store.put("main", expected, some("bob"), &mine).await;
    let put = put.unwrap();
    let created = bench
        .store
        .put("new", Expected::Absent, some("bob"), &keyed(2))
        .await
        .unwrap();
    assert!(!put.is_unchanged() && !created.is_unchanged());
    let repeats = async |bench: &Bench, when: &str| {
        let before = bench.contents().await;
        bench.clock.advance(NANO);
        let repeat = bench.store.put("main", expected, some("bob"), &mine).await;
        assert_eq!(repeat.unwrap(), put, "the first result, {when}");
        let anew = Expected::Version(bench.get("main").await.version);
        let repeat = bench.store.put("main", anew, some("bob"), &mine).await;
        assert_eq!(repeat.unwrap(), put, "whatever is expected, {when}");
        let repeat = bench
            .store
            .put("new", Expected::Absent, some("bob"), &keyed(2))
            .await;
        assert_eq!(repeat.unwrap(), created, "the first result, {when}");
        bench.assert_unchanged(&before, "a repeat").await;
    };
    repeats(&bench, "at once").await;
    bench.next("main", "carol").await;
    bench.next("new", "carol").await;
    repeats(&bench, "after a later put").await;
    let bench = bench.reopen().await;
    repeats(&bench, "after a restart").await;
    let other = bench
        .store
        .put("main", expected, some("bob"), &keyed(3))
        .await;
    assert!(
        matches!(other, Err(Error::Conflict(_))),
        "without its key it is a stranger's: {other:?}"
    );
    let rolled_back = bench
        .store
        .rollback("main", first.version, put.stored().version, &mine);
    assert_eq!(rolled_back.await.unwrap(), put, "a rollback is a put");
    // For as long as it is kept.
    for number in 0..98 {
        bench.next("main", &format!("user {number}")).await;
    }
    let repeat = bench.store.put("main", expected, some("bob"), &mine).await;
    assert_eq!(repeat.unwrap(), put, "it is the oldest that is kept");
    bench.next("main", "last").await;
    let repeat = bench.store.put("main", expected, some("bob"), &mine).await;
    assert!(
        matches!(repeat, Err(Error::Conflict(_))),
        "it is not kept any more: {repeat:?}"
    );
}

/// A key that is that of another change is refused, and nothing is changed.
pub(super) async fn a_key_of_another_change_is_refused(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let expected = Expected::Version(first.version);
    let put = bench
        .store
        .put("main", expected, some("bob"), &keyed(1))
        .await;
    let current = put.unwrap().stored().version;
    let gone = bench.create("gone", "alice").await.version;
    bench.store.delete("gone", gone, &keyed(2)).await.unwrap();
    let before = bench.contents().await;
    let (store, current) = (&bench.store, Expected::Version(current));
    let plain = by("alice").with_idempotency_key(IdempotencyKey::from_bits(1));
    for (what, answer) in [
        (
            "policy",
            store.put("main", current, some("carol"), &keyed(1)).await,
        ),
        (
            "name",
            store
                .put("other", Expected::Absent, some("bob"), &keyed(1))
                .await,
        ),
        (
            "reason",
            store.put("main", current, some("bob"), &plain).await,
        ),
        (
            "ticket",
            store
                .put("main", current, some("bob"), &keyed(1).with_ticket("OPS-1"))
                .await,
        ),
        (
            "author",
            store
                .put("main", current, some("bob"), &{
                    let mut other = keyed(1);
                    other.author = User::new("bob").ok();
                    other
                })
                .await,
        ),
    ] {
        assert!(is_reused(&answer, 1, "main"), "another {what}: {answer:?}");
    }
    let deletion = store.delete("main", first.version, &keyed(1)).await;
    assert!(is_reused(&deletion, 1, "main"), "a deletion: {deletion:?}");
    let put = store
        .put("gone", Expected::Absent, some("alice"), &keyed(2))
        .await;
    assert!(is_reused(&put, 2, "gone"), "after a deletion: {put:?}");
    let other = store.delete("main", first.version, &keyed(2)).await;
    assert!(is_reused(&other, 2, "gone"), "of another: {other:?}");
    bench.assert_unchanged(&before, "a key that was used").await;
}

/// A put that made no version, or failed, leaves no trace of its key.
pub(super) async fn a_put_that_made_no_version_leaves_its_key_free(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let (store, expected) = (&bench.store, Expected::Version(first.version));
    let same = store.put("main", expected, some("alice"), &keyed(1)).await;
    assert_eq!(same.unwrap(), Put::Unchanged(Arc::clone(&first)));
    let failed = store
        .put("main", Expected::Absent, some("bob"), &keyed(1))
        .await;
    assert!(matches!(failed, Err(Error::AlreadyExists { .. })));
    let put = store.put("main", expected, some("bob"), &keyed(1)).await;
    assert!(matches!(put, Ok(Put::Written(_))), "it is free: {put:?}");
}

/// A deletion that is repeated after its answer was lost is answered as the first, also once the
/// policy is put again; and without its key it is not.
pub(super) async fn a_repeated_deletion_is_answered_as_the_first(bench: Bench) {
    let first = bench.create("main", "alice").await.version;
    bench.store.delete("main", first, &keyed(1)).await.unwrap();
    for put in [false, true] {
        if put {
            bench.create("main", "alice").await;
        }
        let before = bench.contents().await;
        let repeat = bench.store.delete("main", first, &keyed(1)).await;
        assert!(repeat.is_ok(), "as the first: {repeat:?}");
        let other = bench.store.delete("main", first, &keyed(2)).await;
        assert!(other.is_err(), "there is no such version: {other:?}");
        bench.assert_unchanged(&before, "a repeat").await;
    }
    let bench = bench.reopen().await;
    let repeat = bench.store.delete("main", first, &keyed(1)).await;
    assert!(repeat.is_ok(), "over a restart: {repeat:?}");
}

/// Of 20 repeats at the same moment one makes a version, and all get it.
pub(super) async fn of_20_repeats_at_once_one_makes_a_version(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let expected = Expected::Version(first.version);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&bench.store);
            async move { store.put("main", expected, some("bob"), &keyed(1)).await }
        })
        .collect();
    let answers = bench.suite.together(tasks).await;
    let versions = bench.versions("main").await;
    assert_eq!(versions.len(), 2, "one key made several versions");
    let put = Put::Written(Arc::clone(&versions[0]));
    for answer in answers {
        assert_eq!(answer.unwrap(), put, "all get what one made");
    }
}
