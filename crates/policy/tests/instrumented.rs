//! The instrument itself: what it counts, fails, holds and times, over the store in memory.
#![cfg(all(feature = "test-util", not(any(countersign_loom, countersign_shuttle))))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::store::{some, store};
use countersign_policy::instrumented::{Instrumented, Method};
use countersign_policy::store::{Error, NamePage};
use countersign_policy::{Attribution, Expected, InMemory, LoadError, Loader, ManualTicks, Store};

fn fixture() -> (Arc<Instrumented<InMemory>>, Arc<ManualTicks>) {
    let ticks = Arc::new(ManualTicks::new());
    let store = Arc::new(Instrumented::new(store(), ticks.clone()));
    (store, ticks)
}

#[tokio::test]
async fn every_method_is_passed_on_and_counted_as_itself() {
    let (store, _) = fixture();
    let stored = store
        .put(
            "main",
            Expected::Absent,
            some("alice"),
            &Attribution::NOBODY,
        )
        .await;
    let stored = stored.unwrap().into_stored();
    assert_eq!(store.get("main").await.unwrap(), stored);
    assert_eq!(store.load("main").await.unwrap(), stored.content);
    let version = store.get_version("main", stored.version).await;
    assert_eq!(version.unwrap(), stored);
    assert_eq!(store.versions("main").await.unwrap().len(), 1);
    let page = NamePage::default();
    assert_eq!(store.list(&page).await.unwrap().items.len(), 1);
    store
        .delete("main", stored.version, &Attribution::NOBODY)
        .await
        .unwrap();
    assert_eq!(store.changes_after(None, 1).await.unwrap().len(), 1);
    for method in [
        Method::Load,
        Method::Put,
        Method::Get,
        Method::GetVersion,
        Method::Versions,
        Method::List,
        Method::Delete,
        Method::ChangesAfter,
    ] {
        let calls = store.calls(method);
        let counts = (calls.begun, calls.finished, calls.failed);
        assert_eq!(counts, (1, 1, 0), "{method:?}");
    }
    assert!(store.get("main").await.is_err());
    assert_eq!(store.calls(Method::Get).failed, 1);
}

#[tokio::test]
async fn injected_faults_come_in_order_and_reach_nothing() {
    let (store, _) = fixture();
    let not_found = |name: &str| Error::NotFound { name: name.into() };
    store.fail_calls(Method::Put, 1, not_found);
    let put = || {
        store.put(
            "main",
            Expected::Absent,
            some("alice"),
            &Attribution::NOBODY,
        )
    };
    assert!(matches!(put().await, Err(Error::NotFound { name }) if &*name == "main"));
    assert!(store.inner().sync().get("main").is_err());
    put().await.unwrap();

    store.fail_loads(0, |_| panic!("no load is to fail so"));
    store.fail_loads(2, |name| LoadError::Aborted { name: name.into() });
    store.fail_loads(1, |name| LoadError::NotFound { name: name.into() });
    for _ in 0..2 {
        let error = store.load("main").await.unwrap_err();
        assert!(matches!(error, LoadError::Aborted { .. }));
    }
    let error = store.load("main").await.unwrap_err();
    assert!(matches!(error, LoadError::NotFound { .. }));
    store.load("main").await.unwrap();
    let calls = store.calls(Method::Load);
    assert_eq!((calls.begun, calls.failed), (4, 3));
}

#[tokio::test]
async fn a_call_at_the_gate_is_timed_and_one_dropped_there_leaves_its_place() {
    let (store, ticks) = fixture();
    store.close_gate();
    let call = || {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.get("main").await.is_err() })
    };
    let (dropped, kept) = (call(), call());
    store.until_held(2).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    assert_eq!(store.held(), 1);
    ticks.advance(Duration::from_millis(3));
    store.open_gate();
    assert!(kept.await.unwrap());
    assert_eq!(store.held(), 0);
    assert!(call().await.unwrap());
    let calls = store.calls(Method::Get);
    assert_eq!((calls.begun, calls.finished), (3, 2));
    let three = Duration::from_millis(3);
    assert_eq!((calls.total, calls.longest), (three, three));
}
