//! `put` and `get`: names first, then what is expected, then the version.

use std::sync::Arc;

use countersign_core::names::User;
use countersign_core::version::{Conflict, Version};

use super::bench::*;
use crate::policy::Policy;
use crate::store::{Attribution, Error, Expected, NamePage, Put};

/// A policy that was put is what every method gives, whole.
pub(super) async fn a_policy_that_was_put_is_there(bench: Bench) {
    let policy = some("alice");
    let stored = bench
        .store
        .put(
            "main",
            Expected::Absent,
            Arc::clone(&policy),
            &Attribution::NOBODY,
        )
        .await
        .unwrap()
        .into_stored();
    assert_eq!(&*stored.name, "main");
    assert_eq!(
        stored.version.time(),
        start(),
        "the version is the clock's time"
    );
    assert_eq!(stored.content, policy);
    assert_eq!(bench.get("main").await, stored);
    assert_eq!(bench.versions("main").await, [Arc::clone(&stored)]);
    let version = bench.store.get_version("main", stored.version).await;
    assert_eq!(version.unwrap(), stored);
    assert_eq!(bench.list(0, None).await.items, [Arc::clone(&stored)]);
    assert_eq!(bench.store.load("main").await.unwrap(), policy);
}

/// A text that is no name is refused by every method, before anything else.
pub(super) async fn names_are_checked_first(bench: Bench) {
    bench.create("main", "alice").await;
    let before = bench.contents().await;
    let (long, version, store) = ("n".repeat(257), Version::from_nanos(1), &bench.store);
    for name in ["", " ", " main", "main ", "ma\0in", "main\n", long.as_str()] {
        let page = NamePage {
            limit: 1,
            after: Some(name.into()),
        };
        for answer in [
            store.get(name).await.map(drop),
            store.get_version(name, version).await.map(drop),
            store.versions(name).await.map(drop),
            store
                .put(name, Expected::Absent, some("bob"), &Attribution::NOBODY)
                .await
                .map(drop),
            store
                .put(
                    name,
                    Expected::Version(version),
                    some("bob"),
                    &Attribution::NOBODY,
                )
                .await
                .map(drop),
            store.delete(name, version, &Attribution::NOBODY).await,
            store.list(&page).await.map(drop),
        ] {
            assert!(
                matches!(answer, Err(Error::InvalidName(_))),
                "`{}` is no name: {answer:?}",
                name.escape_debug()
            );
        }
    }
    bench
        .assert_unchanged(&before, "a call with a wrong name")
        .await;
}

/// Every name is a name of its own: long, of any script, with signs that engines know.
pub(super) async fn every_name_is_its_own(bench: Bench) {
    let long = "é".repeat(256);
    let all = [
        "main",
        "Main",
        "a b",
        "проd/日本",
        "a'; --\"%_",
        "a%",
        "ab",
        "a_",
        long.as_str(),
    ];
    for name in all {
        bench.create(name, name).await;
    }
    for name in all {
        let stored = bench.get(name).await;
        assert_eq!(
            (&*stored.name, stored.digest()),
            (name, some(name).digest())
        );
    }
    assert_eq!(bench.list(0, None).await.items.len(), all.len());
}

/// A policy that is expected to be absent and is there is told with its version.
pub(super) async fn creating_over_a_policy_is_refused(bench: Bench) {
    bench.create("main", "alice").await;
    let current = bench.next("main", "bob").await;
    let before = bench.contents().await;
    let refused = bench
        .store
        .put(
            "main",
            Expected::Absent,
            some("carol"),
            &Attribution::NOBODY,
        )
        .await;
    assert!(
        matches!(&refused, Err(Error::AlreadyExists { name, actual })
            if &**name == "main" && *actual == current.version),
        "it is there, at its present version: {refused:?}"
    );
    bench.assert_unchanged(&before, "a refused put").await;
}

/// A put over a policy that is not there is not found, whatever version is expected.
pub(super) async fn replacing_what_is_absent_is_refused(bench: Bench) {
    let other = bench.create("main", "alice").await;
    let before = bench.contents().await;
    for version in [other.version, Version::from_nanos(1)] {
        let refused = bench.replace("Main", version, "bob").await;
        assert!(
            matches!(&refused, Err(Error::NotFound { name }) if &**name == "Main"),
            "there is no such policy: {refused:?}"
        );
    }
    bench.assert_unchanged(&before, "a refused put").await;
}

/// A put over any other version than the present one is a conflict that names both.
pub(super) async fn replacing_another_version_is_a_conflict(bench: Bench) {
    let first = bench.create("main", "alice").await.version;
    bench.clock.advance(HOUR);
    let actual = bench.next("main", "bob").await.version;
    let before = bench.contents().await;
    for expected in [first, off(actual, -1), off(actual, 1)] {
        let lost = bench.replace("main", expected, "carol").await;
        assert!(
            matches!(lost, Err(Error::Conflict(found)) if found == Conflict { expected, actual }),
            "a stale writer is told which version won: {lost:?}"
        );
    }
    bench.assert_unchanged(&before, "a stale put").await;
    let won = bench.replace("main", actual, "carol").await;
    assert!(won.is_ok(), "the present version fits: {won:?}");
}

/// The same policy put again makes no version, and the call says so: however often, by whomever,
/// and only over the version that is there.
pub(super) async fn the_same_policy_is_no_new_version(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let second = bench.next("main", "bob").await;
    let before = bench.contents().await;
    let by = Attribution::by(User::new("carol").unwrap()).with_reason("once more");
    for attribution in [&Attribution::NOBODY, &by, &by] {
        bench.clock.advance(NANO);
        let expected = Expected::Version(second.version);
        let put = bench.store.put("main", expected, some("bob"), attribution);
        let put = put.await.unwrap();
        assert_eq!(put, Put::Unchanged(Arc::clone(&second)), "nothing changed");
    }
    let stale = bench.replace("main", first.version, "bob").await;
    assert!(
        matches!(stale, Err(Error::Conflict(_))),
        "what is expected comes first: {stale:?}"
    );
    let there = bench
        .store
        .put("main", Expected::Absent, some("bob"), &by)
        .await;
    assert!(
        matches!(there, Err(Error::AlreadyExists { .. })),
        "what is expected comes first: {there:?}"
    );
    bench
        .assert_unchanged(&before, "putting the same policy")
        .await;
    let expected = Expected::Version(second.version);
    let put = bench.store.put("main", expected, some("alice"), &by).await;
    let put = put.unwrap();
    assert!(!put.is_unchanged(), "an earlier policy is another");
    assert!(put.stored().version > second.version);
    let same = bench
        .store
        .put("other", Expected::Absent, some("alice"), &by)
        .await;
    assert!(!same.unwrap().is_unchanged(), "of another name");
}

/// What is not there is not found by any method that reads.
pub(super) async fn what_is_not_there_is_not_found(bench: Bench) {
    let version = bench.create("main", "alice").await.version;
    let store = &bench.store;
    for answer in [
        store.get("Main").await.map(drop),
        store.get_version("Main", version).await.map(drop),
        store.versions("Main").await.map(drop),
    ] {
        assert!(
            matches!(&answer, Err(Error::NotFound { name }) if &**name == "Main"),
            "there is no such policy: {answer:?}"
        );
    }
    assert_eq!(bench.list(0, Some("main")).await.items, []);
}

/// A put of one policy leaves all others as they are.
pub(super) async fn a_put_leaves_other_policies_alone(bench: Bench) {
    bench.create("a", "alice").await;
    bench.next("a", "bob").await;
    let before = bench.versions("a").await;
    bench.create("b", "carol").await;
    bench.next("b", "dave").await;
    assert_eq!(bench.versions("a").await, before);
}

/// A document of every kind of rule comes back with the same content and the same digest.
pub(super) async fn content_and_digest_are_preserved(bench: Bench) {
    let policy: Policy = r#"{"version": "1", "rules": [
        {"name": "nächte 🔥", "effect": "allow", "conditions": {
            "users": ["zoë'; --", "alice"], "groups": ["on-call"], "profile_groups": ["all"],
            "time": {"days": ["monday", "sunday"], "hours": {"start": "22:00", "end": "06:00"},
                     "timezone": "Europe/London"}, "mode": ["server", "cli"]}},
        {"name": "never", "effect": "deny", "hard": true, "reason": "line one “quoted” \\ \"x\"",
            "conditions": {"profiles": ["root"]}},
        {"name": "asked", "effect": "require_approval", "conditions": {"profiles": ["prod"]}},
        {"name": "capped", "effect": "require_server", "max_server_duration": "1h30m",
            "conditions": {"profiles": ["db"]}}]}"#
        .parse()
        .unwrap();
    let policy = Arc::new(policy);
    let stored = bench
        .store
        .put(
            "main",
            Expected::Absent,
            Arc::clone(&policy),
            &Attribution::NOBODY,
        )
        .await
        .unwrap()
        .into_stored();
    assert_eq!(stored.digest(), policy.digest());
    bench.next("main", "alice").await;
    let kept = bench
        .store
        .get_version("main", stored.version)
        .await
        .unwrap();
    assert_eq!(
        (kept.digest(), &kept.content),
        (policy.digest(), &policy),
        "to the letter"
    );
    let bench = bench.reopen().await;
    let kept = bench
        .store
        .get_version("main", stored.version)
        .await
        .unwrap();
    assert_eq!(
        (kept.digest(), &kept.content),
        (policy.digest(), &policy),
        "and over a restart"
    );
}

/// A policy that is loaded is the current one; without one the source says that there is none.
pub(super) async fn loading_gives_the_current_policy(bench: Bench) {
    use crate::loader::LoadError;
    bench.create("main", "alice").await;
    let current = bench.next("main", "bob").await;
    assert_eq!(bench.store.load("main").await.unwrap(), current.content);
    for name in ["Main", "main ", ""] {
        let loaded = bench.store.load(name).await;
        assert!(
            matches!(&loaded, Err(LoadError::NotFound { name: told }) if &**told == name),
            "the source answered, and there is none: {loaded:?}"
        );
    }
    bench
        .store
        .delete("main", current.version, &Attribution::NOBODY)
        .await
        .unwrap();
    let loaded = bench.store.load("main").await;
    assert!(
        matches!(loaded, Err(LoadError::NotFound { .. })),
        "it is gone: {loaded:?}"
    );
}
