//! The concurrency suites of `suites`, over the store in memory.
#![cfg(all(feature = "test-util", not(any(countersign_loom, countersign_shuttle))))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod suites;

use std::sync::Arc;

use countersign_policy::{InMemory, SystemClock};

struct Memory;

impl suites::Subject for Memory {
    type Store = InMemory;

    fn open() -> (InMemory, Self) {
        (InMemory::new(Arc::new(SystemClock)), Memory)
    }
}

suites::tests!(Memory);
