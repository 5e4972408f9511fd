//! The concurrency suites of `suites`, over the store in memory.
#![cfg(all(feature = "test-util", not(any(countersign_loom, countersign_shuttle))))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod suites;

use countersign_policy::InMemory;

struct Memory;

impl suites::Subject for Memory {
    type Store = InMemory;

    fn open() -> (InMemory, Self) {
        (InMemory::default(), Memory)
    }
}

suites::tests!(Memory);
