//! The instrument itself: what it counts, what it measures, and what an injected fault does.
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

use chrono::{DateTime, Utc};
use common::{admission, draft, id, start};
use countersign_breakglass::instrumented::{Counts, Fault, Instrumented, Method, When};
use countersign_breakglass::*;
use countersign_core::clock::ManualTicks;

fn instrumented() -> (Instrumented<InMemory>, Arc<ManualTicks>) {
    let ticks = Arc::new(ManualTicks::new());
    let store = InMemory::new(Arc::new(ManualClock::at(start())));
    (Instrumented::new(store, ticks.clone()), ticks)
}

async fn begin(store: &impl Store) -> Result<Arc<Emergency>, Error> {
    let admission = admission(&RateLimitPolicy::unlimited(), "prod");
    store.create(&draft(1, "alice", "prod"), &admission).await
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
        let result = begin(&store).await;
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
    begin(&store).await.unwrap();
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
    let lost = begin(&store).await;
    assert!(matches!(
        lost,
        Err(Error::Backend(Failure {
            is_retryable: true,
            outcome: Outcome::Unknown,
            ..
        }))
    ));
    assert!(store.get(id(1)).await.is_ok(), "it took effect");
    let again = begin(&store).await;
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
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        self.0.create(draft, admission)
    }

    fn get(&self, id: EmergencyId) -> BoxFuture<'_, Result<Arc<Emergency>, Error>> {
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
        id: EmergencyId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        self.0.update(id, expected, change)
    }

    fn delete<'a>(
        &'a self,
        id: EmergencyId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        self.0.delete(id, retention)
    }

    fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> BoxFuture<'_, Result<Listing<lists::AwaitingReview>, Error>> {
        self.0.list_awaiting_review(page)
    }

    fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        self.0.list_ended(before, limit)
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        self.0.changes_after(after, limit)
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        self.0.list(filter, page)
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        self.0.now()
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        self.0.find_grant(user, profile)
    }

    fn active_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Emergency>>, Error>> {
        self.0.active_at(user, profile, at)
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        self.0.list_expirable(limit)
    }
}
