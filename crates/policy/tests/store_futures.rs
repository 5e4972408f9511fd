//! The store's futures, what it is as a loader, and what [`StoreExt`] adds: updates that are made
//! from what they replace, and rollbacks.
#![cfg(not(any(countersign_loom, countersign_shuttle)))]
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

use common::store::{BAD_NAMES, create, replace, some, store};
use countersign_policy::store::{Error, NameListing, NamePage, Outcome};
use countersign_policy::{
    Attribution, BoxFuture, Changed, Conflict, Expected, InMemory, LoadError, Loader, NoSleep,
    Policy, Put, Retry, Store, StoreExt, Stored, Version,
};

#[tokio::test]
async fn the_futures_give_the_same_and_work_only_when_polled() {
    let store: Arc<dyn Store> = Arc::new(store());
    drop(store.put(
        "main",
        Expected::Absent,
        some("alice"),
        &Attribution::NOBODY,
    ));
    assert!(
        store.get("main").await.is_err(),
        "a future that was never polled did its work"
    );
    let first = store
        .put(
            "main",
            Expected::Absent,
            some("alice"),
            &Attribution::NOBODY,
        )
        .await
        .unwrap()
        .into_stored();
    let expected = Expected::Version(first.version);
    let second = store
        .put("main", expected, some("bob"), &Attribution::NOBODY)
        .await
        .unwrap()
        .into_stored();
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
    assert_eq!(loader.load("main").await.unwrap(), second.content);
    store
        .delete("main", second.version, &Attribution::NOBODY)
        .await
        .unwrap();
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
    let backend = |retryable, outcome| {
        Error::Backend(countersign_core::engine::Failure {
            source: Arc::new(io::Error::other("the disk is full")),
            is_retryable: retryable,
            outcome,
        })
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
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<Put, Error>> {
        let left = self.rivals.load(Ordering::SeqCst);
        if left > 0 {
            self.rivals.store(left - 1, Ordering::SeqCst);
            let current = self.inner.sync().get(name).unwrap();
            replace(self.inner.sync(), &current, &format!("rival {left}")).unwrap();
        }
        self.inner.put(name, expected, policy, attribution)
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
    fn delete<'a>(
        &'a self,
        name: &'a str,
        expected: Version,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.inner.delete(name, expected, attribution)
    }
    fn changes_after<'a>(
        &'a self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Changed>, Error>> {
        self.inner.changes_after(after, limit)
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
        .update_with_retry("main", &Attribution::NOBODY, &retry, |stored| {
            seen.push(stored.digest());
            Ok::<_, Error>(some("mine"))
        })
        .await
        .unwrap()
        .into_stored();
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
        .update_with_retry("main", &Attribution::NOBODY, &retry, |_| {
            Ok::<_, Error>(some("mine"))
        })
        .await;
    assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
    assert_eq!(
        store.get("main").await.unwrap().digest(),
        some("rival 1").digest()
    );
    let again = store
        .update_with_retry("main", &Attribution::NOBODY, &retry, |_| {
            Ok::<_, Error>(some("mine"))
        })
        .await;
    assert!(again.is_ok(), "there are no rivals left");
}

#[tokio::test]
async fn an_update_ends_at_other_errors_and_puts_nothing() {
    let store = contended(0);
    let before = store.get("main").await.unwrap();
    let result = store
        .update_with("main", &Attribution::NOBODY, |_| {
            Err::<Arc<Policy>, Box<dyn std::error::Error + Send + Sync>>("no".into())
        })
        .await;
    assert_eq!(result.unwrap_err().to_string(), "no");
    assert_eq!(store.get("main").await.unwrap(), before);
    let mut calls = 0;
    let result = store
        .update_with("absent", &Attribution::NOBODY, |_| {
            calls += 1;
            Ok::<_, Error>(some("mine"))
        })
        .await;
    assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
    let result = store
        .update_with("bad ", &Attribution::NOBODY, |_| {
            Ok::<_, Error>(some("mine"))
        })
        .await;
    assert!(matches!(result, Err(Error::InvalidName(_))), "{result:?}");
    assert_eq!(calls, 0);
    let done = store
        .update_with("main", &Attribution::NOBODY, |_| {
            Ok::<_, Error>(some("mine"))
        })
        .await
        .unwrap()
        .into_stored();
    assert!(done.version > before.version);
}

#[tokio::test]
async fn a_rollback_is_a_new_version_of_an_earlier_policy() {
    let store = store();
    let first = create(store.sync(), "main");
    let second = replace(store.sync(), &first, "bob").unwrap();
    let third = store
        .rollback("main", second.version, first.version, &Attribution::NOBODY)
        .await
        .unwrap()
        .into_stored();
    assert_eq!(third.content, first.content);
    assert!(third.version > second.version);
    assert_eq!(
        store.versions("main").await.unwrap(),
        [Arc::clone(&third), second.clone(), first.clone()]
    );

    let stale = store
        .rollback("main", second.version, first.version, &Attribution::NOBODY)
        .await;
    assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
    let unknown = Version::from_nanos(1);
    let unknown = store
        .rollback("main", third.version, unknown, &Attribution::NOBODY)
        .await;
    assert!(
        matches!(unknown, Err(Error::VersionNotFound { .. })),
        "{unknown:?}"
    );
    let absent = store
        .rollback("absent", third.version, first.version, &Attribution::NOBODY)
        .await;
    assert!(matches!(absent, Err(Error::NotFound { .. })), "{absent:?}");
    let invalid = store
        .rollback("", third.version, first.version, &Attribution::NOBODY)
        .await;
    assert!(matches!(invalid, Err(Error::InvalidName(_))), "{invalid:?}");
    assert_eq!(store.versions("main").await.unwrap().len(), 3);
}
