//! The store in memory passes the conformance kit, every case of it.
#![cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]

use std::sync::Arc;

use countersign_request::conformance::Subject;
use countersign_request::{BoxFuture, InMemory, ManualClock, Store};

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

countersign_request::conformance_tests!(Memory);
