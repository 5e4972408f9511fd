//! What the suites share: a store inside its instrument, and its clock.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_breakglass::instrumented::{Counts, Instrumented, Method};
use countersign_breakglass::*;
use countersign_core::clock::ManualTicks;

use super::common::{anybody, draft, id, start};
use super::{Subject, free};

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

/// The real store with its instrument and its clock.
pub struct Ground<S: Subject> {
    subject: S,
    pub store: Arc<Instrumented<S::Store>>,
    pub clock: Arc<ManualClock>,
}

impl<S: Subject> Ground<S> {
    pub async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        let (store, subject) = S::open(Arc::new(Courteous(clock.clone()))).await;
        Self {
            subject,
            store: Arc::new(Instrumented::new(store, Arc::new(ManualTicks::new()))),
            clock,
        }
    }

    // What prepares a suite or looks at its end is not counted by the instrument.

    pub async fn begin(&self, bits: u64, invoker: &str, wanted: &str) -> Arc<Emergency> {
        let store = self.store.inner();
        let draft = draft(bits, invoker, wanted);
        store.create(&draft, &free(wanted)).await.unwrap()
    }

    pub async fn get(&self, bits: u64) -> Arc<Emergency> {
        self.store.inner().get(id(bits)).await.unwrap()
    }

    pub fn workflow(&self, limits: &RateLimitPolicy) -> Workflow {
        let limits = Arc::new(limits.clone());
        Workflow::new(self.store.clone(), Arc::new(anybody()), limits)
    }

    pub async fn listed(&self, filter: impl Into<Filter>) -> Vec<Arc<Emergency>> {
        let (store, filter) = (self.store.inner(), filter.into());
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
