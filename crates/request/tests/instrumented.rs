//! The instrument itself: what it counts, what it measures, and what an injected fault does.
#![cfg(all(feature = "test-util", not(any(countersign_loom, countersign_shuttle))))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::ManualTicks;
use countersign_request::instrumented::{Counts, Fault, Instrumented, Method, When};
use countersign_request::*;
use support::{draft, id, start, terms};

fn instrumented() -> (Instrumented<InMemory>, Arc<ManualTicks>) {
    let ticks = Arc::new(ManualTicks::new());
    let store = InMemory::new(Arc::new(ManualClock::at(start())));
    (Instrumented::new(store, ticks.clone()), ticks)
}

#[tokio::test]
async fn a_fault_before_the_call_leaves_the_store_alone() {
    let (store, _) = instrumented();
    let fault = Fault {
        when: When::Before,
        retryable: false,
        outcome: Outcome::NotApplied,
    };
    store.fail_next(Method::Create, 2, fault);
    for _ in 0..2 {
        let result = store.create(&draft(1), &terms("prod")).await;
        assert!(matches!(
            result,
            Err(Error::Backend(Failure {
                is_retryable: false,
                outcome: Outcome::NotApplied,
                ..
            }))
        ));
        assert!(store.inner().sync().get(id(1)).is_err());
    }
    store.create(&draft(1), &terms("prod")).await.unwrap();
    let counts = Counts {
        started: 3,
        succeeded: 1,
        injected: 2,
        ..Counts::default()
    };
    assert_eq!(store.counts(Method::Create), counts);
}

#[tokio::test]
async fn a_fault_after_the_call_loses_only_the_answer() {
    let (store, _) = instrumented();
    store.fail_next(Method::Create, 1, Fault::after());
    let lost = store.create(&draft(1), &terms("prod")).await;
    assert!(matches!(
        lost,
        Err(Error::Backend(Failure {
            is_retryable: true,
            outcome: Outcome::Unknown,
            ..
        }))
    ));
    assert!(store.get(id(1)).await.is_ok(), "it took effect");
    let again = store.create(&draft(1), &terms("prod")).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    let counts = store.counts(Method::Create);
    assert_eq!((counts.failed, counts.injected), (1, 1));
    store.into_inner().audit().unwrap();
}

#[tokio::test]
async fn nothing_is_counted_before_the_first_poll() {
    let (store, _) = instrumented();
    store.fail_next(Method::Get, 1, Fault::before());
    drop(store.get(id(1)));
    for method in Method::ALL {
        assert_eq!(store.counts(method), Counts::default());
        assert_eq!(store.longest(method), Duration::ZERO);
    }
    let still_there = store.get(id(1)).await;
    assert!(matches!(still_there, Err(Error::Backend(_))));
}

/// A store whose `get` takes as long as it is told.
struct Slow(InMemory, Arc<ManualTicks>, Vec<Duration>);

#[tokio::test]
async fn the_longest_latency_is_kept() {
    let ticks = Arc::new(ManualTicks::new());
    let memory = InMemory::new(Arc::new(ManualClock::at(start())));
    let slow = Slow(
        memory,
        ticks.clone(),
        [3, 7, 2].map(Duration::from_millis).into(),
    );
    let store = Instrumented::new(slow, ticks);
    for bits in 0..3 {
        assert!(store.get(id(bits)).await.is_err());
    }
    assert_eq!(store.longest(Method::Get), Duration::from_millis(7));
    assert_eq!(store.longest(Method::ListExpirable), Duration::ZERO);
}

impl Store for Slow {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        self.0.create(draft, terms)
    }

    fn get(&self, id: RequestId) -> BoxFuture<'_, Result<Arc<Request>, Error>> {
        {
            let bits = usize::try_from(id.to_string().parse::<u64>().unwrap()).unwrap();
            Box::pin(async move {
                self.1.advance(self.2[bits]);
                self.0.get(id).await
            })
        }
    }

    fn update<'a>(
        &'a self,
        id: RequestId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        self.0.update(id, expected, change)
    }

    fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        self.0.delete(id, ended_before)
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        self.0.list(filter, page)
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        self.0.find_grant(user, profile, policy)
    }

    fn access_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>> {
        self.0.access_at(user, profile, policy, at)
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        self.0.now()
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        self.0.list_expirable(limit)
    }

    fn list_pending<'a>(
        &'a self,
        profiles: Option<&'a BTreeSet<Profile>>,
        page: Page<lists::Pending>,
    ) -> BoxFuture<'a, Result<Listing<lists::Pending>, Error>> {
        self.0.list_pending(profiles, page)
    }

    fn list_open<'a>(
        &'a self,
        user: &'a User,
        page: Page<lists::Open>,
    ) -> BoxFuture<'a, Result<Listing<lists::Open>, Error>> {
        self.0.list_open(user, page)
    }

    fn list_ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        self.0.list_ended(time, limit)
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        self.0.changes_after(after, limit)
    }
}
