//! The table passes the kit for engines, every case of it.
#![cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]

use std::sync::Arc;

use countersign_core::clock::ManualClock;
use countersign_core::engine::conformance::{Note, Subject};
use countersign_core::future::BoxFuture;
use countersign_core::table::Table;

struct Memory(Arc<Table<Note>>);

impl Subject for Memory {
    type Engine = Table<Note>;

    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
        Box::pin(async move { Memory(Arc::new(Table::new(clock))) })
    }

    fn engine(&self) -> Arc<Table<Note>> {
        Arc::clone(&self.0)
    }

    fn reopen(self) -> BoxFuture<'static, Self> {
        Box::pin(async move { self })
    }
}

countersign_core::engine_conformance_tests!(Memory);
