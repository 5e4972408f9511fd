//! The store: every method's good case, each error and each limit, on the store in memory.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::at;
use common::store::{BAD_NAMES, clock, create, replace, some, store};
use countersign_policy::store::{Error, Limits, NameListing, NamePage};
use countersign_policy::{
    Attribution, Clock, Conflict, Expected, IdempotencyKey, InMemory, Put, Version,
};

#[test]
fn a_policy_is_put_and_got() {
    let store = store();
    let stored = create(store.sync(), "main");
    assert_eq!(&*stored.name, "main");
    assert_eq!(stored.version.time(), at("2026-03-02T09:00:00Z"));
    assert_eq!(stored.digest(), some("alice").digest());
    assert_eq!(store.sync().get("main").unwrap(), stored);
    assert_eq!(
        store.sync().get_version("main", stored.version).unwrap(),
        stored
    );
    assert_eq!(store.sync().versions("main").unwrap(), [stored]);
}

#[test]
fn creating_over_a_policy_tells_its_version_and_changes_nothing() {
    let store = store();
    let first = create(store.sync(), "main");
    let error = store
        .sync()
        .put("main", Expected::Absent, some("bob"), &Attribution::NOBODY)
        .unwrap_err();
    let Error::AlreadyExists { name, actual } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((&**name, *actual), ("main", first.version));
    assert!(
        error.to_string().contains("`main` is there already"),
        "{error}"
    );
    assert_eq!(store.sync().versions("main").unwrap(), [first]);
    create(store.sync(), "other");
}

#[test]
fn of_two_who_read_the_same_version_the_first_wins() {
    let store = store();
    let read = create(store.sync(), "main");
    let winner = replace(store.sync(), &read, "bob").unwrap();
    let error = replace(store.sync(), &read, "carol").unwrap_err();
    let Error::Conflict(conflict) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        conflict,
        Conflict {
            expected: read.version,
            actual: winner.version
        }
    );
    assert_eq!(store.sync().get("main").unwrap(), winner);
    assert_eq!(
        store.sync().versions("main").unwrap(),
        [Arc::clone(&winner), read]
    );
    assert!(
        replace(store.sync(), &winner, "carol").is_ok(),
        "the same call, with what was read"
    );
}

#[test]
fn a_version_one_nanosecond_off_is_another_version() {
    let store = store();
    let stored = create(store.sync(), "main");
    for off in [-1, 1] {
        let version = Version::from_nanos(stored.version.as_nanos() + off);
        let error = store
            .sync()
            .put(
                "main",
                Expected::Version(version),
                some("bob"),
                &Attribution::NOBODY,
            )
            .unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error:?}");
        let error = store
            .sync()
            .delete("main", version, &Attribution::NOBODY)
            .unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error:?}");
        let error = store.sync().get_version("main", version).unwrap_err();
        assert!(matches!(error, Error::VersionNotFound { .. }), "{error:?}");
    }
    assert_eq!(store.sync().get("main").unwrap(), stored);
}

#[test]
fn what_is_not_there_is_not_found() {
    let store = store();
    create(store.sync(), "main");
    let (version, calls) = (Version::from_nanos(1), store.sync());
    for error in [
        calls.get("Main").unwrap_err(),
        calls.get_version("Main", version).unwrap_err(),
        calls.versions("Main").unwrap_err(),
        calls
            .put(
                "Main",
                Expected::Version(version),
                some("bob"),
                &Attribution::NOBODY,
            )
            .unwrap_err(),
        calls
            .delete("Main", version, &Attribution::NOBODY)
            .unwrap_err(),
    ] {
        let Error::NotFound { name } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(&**name, "Main");
        assert!(error.to_string().contains("`Main`: put it"), "{error}");
    }
}

#[test]
fn a_name_that_is_none_is_refused_by_every_method() {
    let store = store();
    let (version, calls) = (Version::from_nanos(1), store.sync());
    let long = "n".repeat(257);
    for name in BAD_NAMES.iter().copied().chain([long.as_str()]) {
        let page = NamePage {
            limit: 1,
            after: Some(name.into()),
        };
        for result in [
            calls.get(name).map(drop),
            calls.get_version(name, version).map(drop),
            calls.versions(name).map(drop),
            calls
                .put(name, Expected::Absent, some("bob"), &Attribution::NOBODY)
                .map(drop),
            calls
                .put(
                    name,
                    Expected::Version(version),
                    some("bob"),
                    &Attribution::NOBODY,
                )
                .map(drop),
            calls.delete(name, version, &Attribution::NOBODY),
            calls.list(&page).map(drop),
        ] {
            let error = result.expect_err("a name that is none was taken");
            assert!(matches!(error, Error::InvalidName(_)), "{error:?}");
            common::assert_one_line(&error.to_string());
        }
    }
    assert_eq!(calls.list(&NamePage::default()).unwrap().items, []);
    create(calls, &"n".repeat(256));
}

#[test]
fn only_the_last_versions_are_kept() {
    let clock = clock();
    let limits = Limits {
        max_versions: 3.try_into().unwrap(),
    };
    let store = InMemory::new(clock).with_limits(limits);
    let mut put = vec![create(store.sync(), "main")];
    for n in 1..=3 {
        assert_eq!(store.sync().versions("main").unwrap().len(), n);
        let last = put.last().unwrap();
        put.push(replace(store.sync(), last, &format!("user {n}")).unwrap());
    }
    let newest_first = [&put[3], &put[2], &put[1]].map(Arc::clone);
    assert_eq!(store.sync().versions("main").unwrap(), newest_first);
    for kept in &newest_first {
        assert_eq!(
            store.sync().get_version("main", kept.version).unwrap(),
            *kept
        );
    }
    let error = store
        .sync()
        .get_version("main", put[0].version)
        .unwrap_err();
    let Error::VersionNotFound { name, version } = &error else {
        panic!("{error:?}");
    };
    assert_eq!((&**name, *version), ("main", put[0].version));
    assert!(
        error.to_string().contains("choose one that is kept"),
        "{error}"
    );
}

#[test]
fn a_hundred_versions_are_kept_unless_set_and_one_at_least() {
    let store = store();
    let mut last = create(store.sync(), "main");
    for number in 0..100 {
        last = replace(store.sync(), &last, &format!("user {number}")).unwrap();
    }
    assert_eq!(store.sync().versions("main").unwrap().len(), 100);

    let limits = Limits {
        max_versions: 1.try_into().unwrap(),
    };
    let store = InMemory::new(clock()).with_limits(limits);
    let first = create(store.sync(), "main");
    let second = replace(store.sync(), &first, "bob").unwrap();
    assert_eq!(store.sync().versions("main").unwrap(), [second]);
}

#[test]
fn deleting_takes_every_version_and_only_the_one_expected() {
    let store = store();
    let first = create(store.sync(), "main");
    let second = replace(store.sync(), &first, "bob").unwrap();
    let other = create(store.sync(), "other");
    let error = store
        .sync()
        .delete("main", first.version, &Attribution::NOBODY)
        .unwrap_err();
    let conflict = Conflict {
        expected: first.version,
        actual: second.version,
    };
    assert!(
        matches!(error, Error::Conflict(found) if found == conflict),
        "{error:?}"
    );
    assert_eq!(store.sync().get("main").unwrap(), second);
    store
        .sync()
        .delete("main", second.version, &Attribution::NOBODY)
        .unwrap();
    for error in [
        store.sync().get("main").unwrap_err(),
        store.sync().get_version("main", first.version).unwrap_err(),
        store.sync().versions("main").unwrap_err(),
        store
            .sync()
            .delete("main", second.version, &Attribution::NOBODY)
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
    assert_eq!(store.sync().get("other").unwrap(), other);
}

#[test]
fn a_version_is_never_reused_by_a_clock_that_stands_still_or_steps_back_or_after_delete() {
    let clock = clock();
    let store = InMemory::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let mut issued = Vec::new();
    for round in 0..4 {
        let first = create(store.sync(), "main");
        let second = replace(store.sync(), &first, "bob").unwrap();
        let other = store.sync().put(
            &format!("other {round}"),
            Expected::Absent,
            some("a"),
            &Attribution::NOBODY,
        );
        issued.extend([
            first.version,
            second.version,
            other.unwrap().stored().version,
        ]);
        store
            .sync()
            .delete("main", second.version, &Attribution::NOBODY)
            .unwrap();
        let stale = store.sync().put(
            "main",
            Expected::Version(first.version),
            some("carol"),
            &Attribution::NOBODY,
        );
        assert!(
            matches!(stale, Err(Error::NotFound { .. })),
            "a version outlived its policy"
        );
        match round {
            0 => clock.step_back(Duration::from_secs(3_600)),
            1 => clock.set(at("2026-01-01T00:00:00Z")),
            _ => {}
        }
    }
    assert!(
        issued.is_sorted_by(|a, b| a < b),
        "versions do not grow: {issued:?}"
    );
    assert_eq!(issued[0].time(), at("2026-03-02T09:00:00Z"));
    // By a clock that does not go on, each version is the next: 3 deletions, which took 8 versions and
    // earlier deletions with them, and 2 corrections of the clock came between the 12 puts.
    assert_eq!(issued[11].time(), at("2026-03-02T09:00:00.000000024Z"));
}

#[test]
fn a_version_read_before_delete_does_not_fit_what_is_put_after() {
    let store = store(); // its clock stands still
    let before = create(store.sync(), "main");
    store
        .sync()
        .delete("main", before.version, &Attribution::NOBODY)
        .unwrap();
    let after = create(store.sync(), "main");
    let error = replace(store.sync(), &before, "bob").unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    let error = store
        .sync()
        .get_version("main", before.version)
        .unwrap_err();
    assert!(matches!(error, Error::VersionNotFound { .. }), "{error:?}");
    assert_eq!(store.sync().versions("main").unwrap(), [after]);
}

#[test]
fn a_clock_beyond_what_a_version_holds_is_an_error_and_changes_nothing() {
    #[derive(Debug)]
    struct FarFuture;
    impl Clock for FarFuture {
        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            chrono::DateTime::<chrono::Utc>::MAX_UTC
        }
    }
    let store = InMemory::new(Arc::new(FarFuture));
    let error = store
        .sync()
        .put(
            "main",
            Expected::Absent,
            some("alice"),
            &Attribution::NOBODY,
        )
        .unwrap_err();
    assert!(matches!(error, Error::Clock(_)), "{error:?}");
    assert!(store.sync().get("main").is_err());

    let clock = clock();
    let store = InMemory::new(clock.clone());
    let last = create(store.sync(), "main");
    clock.advance(Duration::MAX);
    let error = replace(store.sync(), &last, "bob").unwrap_err();
    assert!(matches!(error, Error::Clock(_)), "{error:?}");
    assert_eq!(
        store.sync().versions("main").unwrap(),
        [last],
        "the failed put changed something"
    );
}

fn names(listing: &NameListing) -> Vec<&str> {
    listing.items.iter().map(|stored| &*stored.name).collect()
}

#[test]
fn policies_are_listed_by_name_in_pages() {
    let store = store();
    for name in ["b", "a", "ä", "B", "c"] {
        create(store.sync(), name);
    }
    let a = store.sync().get("a").unwrap();
    let current = replace(store.sync(), &a, "bob").unwrap();
    let list =
        |limit, after: Option<Arc<str>>| store.sync().list(&NamePage { limit, after }).unwrap();

    let all = list(0, None);
    assert_eq!(names(&all), ["B", "a", "b", "c", "ä"]);
    assert_eq!(all.next, None);
    assert_eq!(all.items[1], current, "the current version is listed");

    let first = list(2, None);
    assert_eq!(
        (names(&first), first.next.as_deref()),
        (vec!["B", "a"], Some("a"))
    );
    // What comes and goes in between is in or out; the others are listed once.
    store
        .sync()
        .delete("a", current.version, &Attribution::NOBODY)
        .unwrap();
    create(store.sync(), "0");
    create(store.sync(), "bb");
    let second = list(2, first.next);
    assert_eq!(
        (names(&second), second.next.as_deref()),
        (vec!["b", "bb"], Some("bb"))
    );
    let third = list(2, second.next);
    assert_eq!(
        (names(&third), third.next.as_deref()),
        (vec!["c", "ä"], None),
        "a full last page"
    );
    assert_eq!(names(&list(2, Some("ä".into()))), [""; 0]);
}

#[test]
fn a_page_holds_100_names_unless_set_and_1000_at_most() {
    let store = store();
    let policy = some("alice");
    for n in 0..1_001 {
        let name = format!("{n:04}");
        store
            .sync()
            .put(
                &name,
                Expected::Absent,
                Arc::clone(&policy),
                &Attribution::NOBODY,
            )
            .unwrap()
            .into_stored();
    }
    for (limit, held) in [
        (0, 100),
        (1, 1),
        (999, 999),
        (1_000, 1_000),
        (1_001, 1_000),
        (usize::MAX, 1_000),
    ] {
        let page = NamePage { limit, after: None };
        assert_eq!(page.effective_limit(), held);
        let listing = store.sync().list(&page).unwrap();
        assert_eq!(listing.items.len(), held);
        assert_eq!(
            listing.next,
            Some(Arc::clone(&listing.items[held - 1].name))
        );
    }
}

#[test]
fn of_many_writers_at_once_one_wins() {
    let store = store();
    let read = create(store.sync(), "main");
    let barrier = std::sync::Barrier::new(8);
    let wins: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let (store, read, barrier) = (&store, &read, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    usize::from(replace(store.sync(), read, &format!("writer {n}")).is_ok())
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    assert_eq!(wins, 1, "two writers replaced the same version");
    assert_eq!(store.sync().versions("main").unwrap().len(), 2);
}

#[test]
fn putting_the_same_policy_again_flushes_no_version_out() {
    let store = store();
    let first = create(store.sync(), "main");
    let second = replace(store.sync(), &first, "bob").unwrap();
    for _ in 0..100 {
        let expected = Expected::Version(second.version);
        let put = store
            .sync()
            .put("main", expected, some("bob"), &Attribution::NOBODY);
        assert_eq!(put.unwrap(), Put::Unchanged(Arc::clone(&second)));
    }
    let versions = store.sync().versions("main").unwrap();
    assert_eq!(
        versions,
        [second, first],
        "the first is kept, to roll back to"
    );
    store.audit().unwrap();
}

#[test]
fn a_repeat_of_a_put_whose_answer_was_lost_is_no_conflict() {
    let store = store();
    let first = create(store.sync(), "main");
    let mine = Attribution::NOBODY.with_idempotency_key(IdempotencyKey::from_bits(1));
    let put = |attribution: &Attribution| {
        let expected = Expected::Version(first.version);
        store.sync().put("main", expected, some("bob"), attribution)
    };
    let made = put(&mine).unwrap();
    assert_eq!(put(&mine).unwrap(), made, "the answer that was lost");
    let current = replace(store.sync(), made.stored(), "a stranger").unwrap();
    assert_eq!(put(&mine).unwrap(), made, "also after a stranger's put");
    let strangers = put(&Attribution::NOBODY).unwrap_err();
    assert!(
        matches!(strangers, Error::Conflict(conflict) if conflict.actual == current.version),
        "without its key it is not known: {strangers:?}"
    );
    let other = store
        .sync()
        .put("other", Expected::Absent, some("bob"), &mine)
        .unwrap_err();
    assert!(
        other
            .to_string()
            .contains("of policy `main`: mint another key"),
        "{other}"
    );
    assert_eq!(
        (other.code(), other.is_retryable()),
        ("idempotency_key_reused", false)
    );
    store.audit().unwrap();
}
