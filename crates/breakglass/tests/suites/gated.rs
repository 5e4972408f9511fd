//! A store whose first read waits, so that conflicts are certain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use countersign_breakglass::instrumented::Instrumented;
use countersign_breakglass::*;
use tokio::sync::Barrier;

use super::common::id;

/// Tries again without waiting; the jitter is drawn, from a sequence.
pub fn retry(tries: u32) -> Retry {
    Retry::default()
        .with_tries(tries.try_into().unwrap())
        .with_sleep(Arc::new(NoSleep))
        .with_random(Arc::new(SequenceRandom::default()))
}

/// Reads an emergency, waits until as many others have read it as the gate is for, then updates it,
/// and tries again after a conflict.
pub async fn gated_update<S: Store>(
    store: Arc<Instrumented<S>>,
    gate: Arc<Barrier>,
    bits: u64,
    change: Change,
    tries: u32,
) -> (Result<Arc<Emergency>, Error>, u64) {
    let passed = AtomicBool::new(false);
    let gated = Gated {
        store,
        gate,
        passed,
    };
    let retry = retry(tries);
    let mut made = 0;
    let result = gated.update_with(id(bits), &retry, |_| {
        made += 1;
        Ok(change.clone())
    });
    let result = result.await;
    (result, made)
}

/// A store whose first read waits, after it was made, at a gate.
pub struct Gated<S> {
    store: Arc<Instrumented<S>>,
    gate: Arc<Barrier>,
    passed: AtomicBool,
}

impl<S: Store> Store for Gated<S> {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        self.store.create(draft, admission)
    }

    fn get(&self, id: EmergencyId) -> BoxFuture<'_, Result<Arc<Emergency>, Error>> {
        Box::pin(async move {
            let read = self.store.get(id).await;
            if !self.passed.swap(true, Ordering::SeqCst) {
                self.gate.wait().await;
            }
            read
        })
    }

    fn update<'a>(
        &'a self,
        id: EmergencyId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        self.store.update(id, expected, change)
    }

    fn delete<'a>(
        &'a self,
        id: EmergencyId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        self.store.delete(id, retention)
    }

    fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> BoxFuture<'_, Result<Listing<lists::AwaitingReview>, Error>> {
        self.store.list_awaiting_review(page)
    }

    fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        self.store.list_ended(before, limit)
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        self.store.changes_after(after, limit)
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        self.store.list(filter, page)
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        self.store.now()
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        self.store.find_grant(user, profile)
    }

    fn active_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Emergency>>, Error>> {
        self.store.active_at(user, profile, at)
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        self.store.list_expirable(limit)
    }
}
