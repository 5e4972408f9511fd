//! The store: every method's good case, each error and each limit, on the store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{allowing, at};
use countersign_policy::store::{Error, Limits, NameListing, NamePage, Outcome};
use countersign_policy::{
    BoxFuture, Clock, Conflict, Expected, InMemory, InMemorySync, LoadError, Loader, ManualClock,
    NoSleep, Policy, Retry, Store, StoreExt, Stored, Version,
};
use serde_json::json;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(at("2026-03-02T09:00:00Z")))
}

fn store() -> InMemory {
    InMemory::new(clock())
}

fn some(who: &str) -> Arc<Policy> {
    Arc::new(allowing(json!({"users": [who]})))
}

fn create(store: InMemorySync<'_>, name: &str) -> Arc<Stored> {
    store.put(name, Expected::Absent, some("alice")).unwrap()
}

fn replace(store: InMemorySync<'_>, stored: &Stored, who: &str) -> Result<Arc<Stored>, Error> {
    store.put(&stored.name, Expected::Version(stored.version), some(who))
}

const BAD_NAMES: &[&str] = &["", " ", " main", "main ", "ma\0in", "main\n"];

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
        .put("main", Expected::Absent, some("bob"))
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
            .put("main", Expected::Version(version), some("bob"))
            .unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error:?}");
        let error = store.sync().delete("main", version).unwrap_err();
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
            .put("Main", Expected::Version(version), some("bob"))
            .unwrap_err(),
        calls.delete("Main", version).unwrap_err(),
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
            calls.put(name, Expected::Absent, some("bob")).map(drop),
            calls
                .put(name, Expected::Version(version), some("bob"))
                .map(drop),
            calls.delete(name, version),
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
        put.push(replace(store.sync(), last, "bob").unwrap());
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
    for _ in 0..100 {
        last = replace(store.sync(), &last, "bob").unwrap();
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
    let error = store.sync().delete("main", first.version).unwrap_err();
    let conflict = Conflict {
        expected: first.version,
        actual: second.version,
    };
    assert!(
        matches!(error, Error::Conflict(found) if found == conflict),
        "{error:?}"
    );
    assert_eq!(store.sync().get("main").unwrap(), second);
    store.sync().delete("main", second.version).unwrap();
    for error in [
        store.sync().get("main").unwrap_err(),
        store.sync().get_version("main", first.version).unwrap_err(),
        store.sync().versions("main").unwrap_err(),
        store.sync().delete("main", second.version).unwrap_err(),
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
        let other = store
            .sync()
            .put(&format!("other {round}"), Expected::Absent, some("a"));
        issued.extend([first.version, second.version, other.unwrap().version]);
        store.sync().delete("main", second.version).unwrap();
        let stale = store
            .sync()
            .put("main", Expected::Version(first.version), some("carol"));
        assert!(
            matches!(stale, Err(Error::NotFound { .. })),
            "a version outlived its policy"
        );
        match round {
            0 => clock.step_back(Duration::from_secs(3_600)),
            1 => clock.set(at("1970-01-01T00:00:00Z")),
            _ => {}
        }
    }
    assert!(
        issued.is_sorted_by(|a, b| a < b),
        "versions do not grow: {issued:?}"
    );
    assert_eq!(issued[0].time(), at("2026-03-02T09:00:00Z"));
    assert_eq!(issued[11].time(), at("2026-03-02T09:00:00.000000011Z"));
}

#[test]
fn a_version_read_before_delete_does_not_fit_what_is_put_after() {
    let store = store(); // its clock stands still
    let before = create(store.sync(), "main");
    store.sync().delete("main", before.version).unwrap();
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
        .put("main", Expected::Absent, some("alice"))
        .unwrap_err();
    assert!(matches!(error, Error::Clock(_)), "{error:?}");
    assert!(store.sync().get("main").is_err());

    let clock = clock();
    clock.advance(Duration::MAX);
    let store = InMemory::new(clock);
    let last = create(store.sync(), "main");
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
    store.sync().delete("a", current.version).unwrap();
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
            .put(&name, Expected::Absent, Arc::clone(&policy))
            .unwrap();
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

#[tokio::test]
async fn the_futures_give_the_same_and_work_only_when_polled() {
    let store: Arc<dyn Store> = Arc::new(store());
    drop(store.put("main", Expected::Absent, some("alice")));
    assert!(
        store.get("main").await.is_err(),
        "a future that was never polled did its work"
    );
    let first = store
        .put("main", Expected::Absent, some("alice"))
        .await
        .unwrap();
    let expected = Expected::Version(first.version);
    let second = store.put("main", expected, some("bob")).await.unwrap();
    assert_eq!(store.get("main").await.unwrap(), second);
    assert_eq!(
        store.get_version("main", first.version).await.unwrap(),
        first
    );
    let both = [Arc::clone(&second), first];
    assert_eq!(store.versions("main").await.unwrap(), both);
    let listing = store.list(&NamePage::default()).await.unwrap();
    assert_eq!(listing.items, both[..1]);
    let loader: Arc<dyn Loader> = Arc::new(Arc::clone(&store));
    assert_eq!(loader.load("main").await.unwrap(), second.policy);
    store.delete("main", second.version).await.unwrap();
    assert!(
        matches!(loader.load("main").await, Err(LoadError::NotFound { name }) if &*name == "main")
    );
}

#[tokio::test]
async fn loading_says_not_found_only_if_the_store_answered_so() {
    let store = store();
    for name in BAD_NAMES {
        let error = store.load(name).await.unwrap_err();
        assert!(
            matches!(error, LoadError::NotFound { .. }),
            "under no name there is no policy"
        );
        assert_eq!(error.name(), *name);
    }
    let backend = |retryable, outcome| Error::Backend {
        source: Arc::new(io::Error::other("the disk is full")),
        retryable,
        outcome,
    };
    for error in [
        backend(true, Outcome::NotApplied),
        backend(false, Outcome::Unknown),
        Error::Conflict(Conflict {
            expected: Version::from_nanos(1),
            actual: Version::from_nanos(2),
        }),
    ] {
        let message = error.to_string();
        let loaded = error.into_load_error("main");
        assert!(
            matches!(loaded, LoadError::Failed { .. }),
            "{message} became {loaded}"
        );
    }
    let loaded = backend(true, Outcome::NotApplied).into_load_error("main");
    assert_eq!(
        loaded.to_string(),
        "policy `main` could not be loaded: the disk is full"
    );
}

/// A store in memory before whose every put somebody else puts first, a number of times.
struct Contended {
    inner: InMemory,
    rivals: AtomicUsize,
}

impl Loader for Contended {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        self.inner.load(name)
    }
}

impl Store for Contended {
    fn put<'a>(
        &'a self,
        name: &'a str,
        expected: Expected,
        policy: Arc<Policy>,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        let left = self.rivals.load(Ordering::SeqCst);
        if left > 0 {
            self.rivals.store(left - 1, Ordering::SeqCst);
            let current = self.inner.sync().get(name).unwrap();
            replace(self.inner.sync(), &current, &format!("rival {left}")).unwrap();
        }
        self.inner.put(name, expected, policy)
    }
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        self.inner.get(name)
    }
    fn get_version<'a>(
        &'a self,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        self.inner.get_version(name, version)
    }
    fn versions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Arc<Stored>>, Error>> {
        self.inner.versions(name)
    }
    fn list<'a>(&'a self, page: &'a NamePage) -> BoxFuture<'a, Result<NameListing, Error>> {
        self.inner.list(page)
    }
    fn delete<'a>(&'a self, name: &'a str, expected: Version) -> BoxFuture<'a, Result<(), Error>> {
        self.inner.delete(name, expected)
    }
}

fn contended(rivals: usize) -> Contended {
    let inner = store();
    create(inner.sync(), "main");
    Contended {
        inner,
        rivals: rivals.into(),
    }
}

fn retry(tries: u32) -> Retry {
    Retry::default()
        .with_sleep(Arc::new(NoSleep))
        .with_tries(tries.try_into().unwrap())
}

#[tokio::test]
async fn an_update_is_made_from_the_version_that_it_replaces() {
    let store = contended(2);
    let mut seen = Vec::new();
    let retry = retry(3);
    let stored = store
        .update_with_retry("main", &retry, |stored| {
            seen.push(stored.digest());
            Ok::<_, Error>(some("mine"))
        })
        .await
        .unwrap();
    let made_from = [some("alice"), some("rival 2"), some("rival 1")].map(|policy| policy.digest());
    assert_eq!(seen, made_from);
    assert_eq!(store.get("main").await.unwrap(), stored);
    assert_eq!(
        store.versions("main").await.unwrap()[1].digest(),
        made_from[2]
    );
}

#[tokio::test]
async fn an_update_gives_up_with_the_conflict_after_its_tries() {
    let store = contended(3);
    let retry = retry(3);
    let result = store
        .update_with_retry("main", &retry, |_| Ok::<_, Error>(some("mine")))
        .await;
    assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
    assert_eq!(
        store.get("main").await.unwrap().digest(),
        some("rival 1").digest()
    );
    let again = store
        .update_with_retry("main", &retry, |_| Ok::<_, Error>(some("mine")))
        .await;
    assert!(again.is_ok(), "there are no rivals left");
}

#[tokio::test]
async fn an_update_ends_at_other_errors_and_puts_nothing() {
    let store = contended(0);
    let before = store.get("main").await.unwrap();
    let result = store
        .update_with("main", |_| {
            Err::<Arc<Policy>, Box<dyn std::error::Error + Send + Sync>>("no".into())
        })
        .await;
    assert_eq!(result.unwrap_err().to_string(), "no");
    assert_eq!(store.get("main").await.unwrap(), before);
    let mut calls = 0;
    let result = store
        .update_with("absent", |_| {
            calls += 1;
            Ok::<_, Error>(some("mine"))
        })
        .await;
    assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
    let result = store
        .update_with("bad ", |_| Ok::<_, Error>(some("mine")))
        .await;
    assert!(matches!(result, Err(Error::InvalidName(_))), "{result:?}");
    assert_eq!(calls, 0);
    let done = store
        .update_with("main", |_| Ok::<_, Error>(some("mine")))
        .await
        .unwrap();
    assert!(done.version > before.version);
}

#[tokio::test]
async fn a_rollback_is_a_new_version_of_an_earlier_policy() {
    let store = store();
    let first = create(store.sync(), "main");
    let second = replace(store.sync(), &first, "bob").unwrap();
    let third = store
        .rollback("main", second.version, first.version)
        .await
        .unwrap();
    assert_eq!(third.policy, first.policy);
    assert!(third.version > second.version);
    assert_eq!(
        store.versions("main").await.unwrap(),
        [Arc::clone(&third), second.clone(), first.clone()]
    );

    let stale = store.rollback("main", second.version, first.version).await;
    assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
    let unknown = Version::from_nanos(1);
    let unknown = store.rollback("main", third.version, unknown).await;
    assert!(
        matches!(unknown, Err(Error::VersionNotFound { .. })),
        "{unknown:?}"
    );
    let absent = store.rollback("absent", third.version, first.version).await;
    assert!(matches!(absent, Err(Error::NotFound { .. })), "{absent:?}");
    let invalid = store.rollback("", third.version, first.version).await;
    assert!(matches!(invalid, Err(Error::InvalidName(_))), "{invalid:?}");
    assert_eq!(store.versions("main").await.unwrap().len(), 3);
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
