//! The conformance kit on the store in memory.
#![cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]

use std::sync::Arc;

use countersign_policy::conformance::Subject;
use countersign_policy::{BoxFuture, InMemory, ManualClock, Store, conformance_tests};

struct Memory(Arc<InMemory>);

impl Subject for Memory {
    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
        Box::pin(async move { Memory(Arc::new(InMemory::new(clock))) })
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn reopen(self) -> BoxFuture<'static, Self> {
        Box::pin(async move { self })
    }
}

conformance_tests!(Memory);
