//! What the suites share: a store inside its instrument, its clock, and the rules.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::clock::ManualTicks;
use countersign_request::instrumented::{Counts, Instrumented, Method};
use countersign_request::*;

use super::Subject;
use super::gated::retry;
use super::support::{draft, id, profile, rules, start, terms, user};

/// A manual clock that lets other threads run before it answers. A store reads its clock inside
/// the step, so callers meet at the lock more often.
#[derive(Debug)]
struct Courteous(Arc<ManualClock>);

impl Clock for Courteous {
    fn now(&self) -> DateTime<Utc> {
        for _ in 0..10 {
            std::thread::yield_now();
        }
        self.0.now()
    }
}

/// The real store with its instrument, its clock, and rules that let `approver-0` to
/// `approver-49` decide on `prod`.
pub struct Ground<S: Subject> {
    subject: S,
    pub store: Arc<Instrumented<S::Store>>,
    pub clock: Arc<ManualClock>,
    pub policy: Arc<ApprovalPolicy>,
}

impl<S: Subject> Ground<S> {
    pub async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        let (store, subject) = S::open(Arc::new(Courteous(clock.clone()))).await;
        let approvers: Vec<_> = (0..50).map(|n| format!(r#""approver-{n}""#)).collect();
        let policy = rules(&format!(
            r#"{{"version": "1", "rules": [
                {{"name": "all", "profiles": ["prod"], "approvers": [{}]}}]}}"#,
            approvers.join(", ")
        ));
        Self {
            subject,
            store: Arc::new(Instrumented::new(store, Arc::new(ManualTicks::new()))),
            clock,
            policy: Arc::new(policy),
        }
    }

    // What prepares a suite or looks at its end is not counted by the instrument.

    pub async fn create(&self, bits: u64) -> Arc<Request> {
        let store = self.store.inner();
        store.create(&draft(bits), &terms("prod")).await.unwrap()
    }

    pub async fn get(&self, bits: u64) -> Arc<Request> {
        self.store.inner().get(id(bits)).await.unwrap()
    }

    pub fn approve(&self, by: u64) -> Change {
        Change::approve(&self.policy, &profile("prod"), &approver(by), None)
    }

    pub fn deny(&self, by: u64) -> Change {
        Change::deny(&self.policy, &profile("prod"), &approver(by), None)
    }

    pub async fn change(&self, bits: u64, change: &Change) -> Arc<Request> {
        let version = self.get(bits).await.updated_at;
        let store = self.store.inner();
        store.update(id(bits), version, change).await.unwrap()
    }

    pub fn workflow(&self) -> Workflow {
        Workflow::new(self.store.clone(), self.policy.clone()).with_retry(retry(50))
    }

    pub async fn listed(&self, status: Status) -> Vec<Arc<Request>> {
        let store = self.store.inner();
        let filter = Filter::Status(status);
        let listing = store.list(&filter, Page::first(MAX_LIMIT)).await;
        let listing = listing.unwrap();
        assert!(listing.next.is_none());
        listing.items
    }

    pub fn counts(&self, method: Method) -> Counts {
        self.store.counts(method)
    }

    /// Records and indexes agree, and no call is still under way.
    pub fn sound(&self) {
        self.subject.audit(self.store.inner()).unwrap();
        for method in Method::ALL {
            let counts = self.counts(method);
            let ended = counts.succeeded + counts.conflicts + counts.failed + counts.injected;
            assert_eq!(counts.started, ended, "{method:?} is still under way");
        }
    }
}

pub fn approver(number: u64) -> User {
    user(&format!("approver-{number}"))
}

/// A draft of a user's own.
pub fn draft_of(bits: u64, requester: &str) -> Draft {
    Draft {
        requester: user(requester),
        ..draft(bits)
    }
}

/// Whether an entry follows on the one before it, with a later version.
pub fn chained(two: &[Arc<HistoryEntry>]) -> bool {
    two[1].from == Some(two[0].to) && two[0].to < two[1].to
}
