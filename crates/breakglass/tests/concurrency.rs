//! The concurrency suites of `suites`, on the store in memory.
#![cfg(all(feature = "test-util", not(any(countersign_loom, countersign_shuttle))))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod suites;

use std::sync::Arc;

use countersign_breakglass::{BoxFuture, Clock, InMemory};

struct Memory;

impl suites::Subject for Memory {
    type Store = InMemory;

    fn open(clock: Arc<dyn Clock>) -> BoxFuture<'static, (InMemory, Self)> {
        Box::pin(async move { (InMemory::new(clock), Memory) })
    }

    fn audit(&self, store: &InMemory) -> Result<(), String> {
        store.audit()
    }
}

suites::tests!(Memory);
