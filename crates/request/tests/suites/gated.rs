//! A store whose callers have all read the same version before the first of them writes, so that
//! conflicts are certain.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use countersign_request::instrumented::Instrumented;
use countersign_request::*;
use tokio::sync::Barrier;

use super::support::id;

/// Tries again without waiting; the jitter is drawn, from a sequence.
pub fn retry(tries: u32) -> Retry {
    Retry::default()
        .with_tries(tries.try_into().unwrap())
        .with_sleep(Arc::new(NoSleep))
        .with_random(Arc::new(SequenceRandom::default()))
}

/// Reads a request, waits until as many others have read it as the gate is for, then updates it,
/// and tries again after a conflict.
pub async fn gated_update<S: Store>(
    store: Arc<Instrumented<S>>,
    gate: Arc<Barrier>,
    bits: u64,
    change: Change,
    tries: u32,
) -> (Result<Arc<Request>, Error>, u64) {
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
struct Gated<S> {
    store: Arc<Instrumented<S>>,
    gate: Arc<Barrier>,
    passed: AtomicBool,
}

impl<S: Store> Store for Gated<S> {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        self.store.create(draft, terms)
    }

    fn get(&self, id: RequestId) -> BoxFuture<'_, Result<Arc<Request>, Error>> {
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
        id: RequestId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        self.store.update(id, expected, change)
    }

    fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        self.store.delete(id, ended_before)
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        self.store.list(filter, page)
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        self.store.find_grant(user, profile, policy)
    }

    fn access_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>> {
        self.store.access_at(user, profile, policy, at)
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        self.store.now()
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        self.store.list_expirable(limit)
    }

    fn list_pending<'a>(
        &'a self,
        profiles: Option<&'a BTreeSet<Profile>>,
        page: Page<lists::Pending>,
    ) -> BoxFuture<'a, Result<Listing<lists::Pending>, Error>> {
        self.store.list_pending(profiles, page)
    }

    fn list_open<'a>(
        &'a self,
        user: &'a User,
        page: Page<lists::Open>,
    ) -> BoxFuture<'a, Result<Listing<lists::Open>, Error>> {
        self.store.list_open(user, page)
    }

    fn list_ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        self.store.list_ended(time, limit)
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        self.store.changes_after(after, limit)
    }
}
