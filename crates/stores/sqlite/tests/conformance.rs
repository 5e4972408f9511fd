//! The conformance kits of the domain crates on the stores in a file, every case of them.
//!
//! Opening again closes the file first: the threads end, and what comes back was read from the disk.
#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::Arc;

use countersign_core::clock::ManualClock;
use countersign_sqlite::Database;
use tempfile::TempDir;

mod common;

/// A store in a file of its own, which goes with it.
struct Kept<S> {
    store: Option<Arc<S>>,
    clock: Arc<ManualClock>,
    path: PathBuf,
    folder: TempDir,
}

impl<S> Kept<S> {
    fn open(clock: Arc<ManualClock>, make: fn(&Database, Arc<ManualClock>) -> S) -> Self {
        let (folder, path) = common::file();
        let mut kept = Self {
            store: None,
            clock,
            path,
            folder,
        };
        kept.fill(make);
        kept
    }

    fn reopen(mut self, make: fn(&Database, Arc<ManualClock>) -> S) -> Self {
        let store = self.store.take();
        let handles = store.as_ref().map_or(0, Arc::strong_count);
        assert_eq!(handles, 1, "nothing else holds the file open");
        drop(store);
        self.fill(make);
        self
    }

    fn fill(&mut self, make: fn(&Database, Arc<ManualClock>) -> S) {
        let database = Database::open(&self.path, &common::quick());
        let database = database.expect("the file opens");
        self.store = Some(Arc::new(make(&database, Arc::clone(&self.clock))));
        assert!(self.path.starts_with(self.folder.path()));
    }

    fn store(&self) -> Arc<S> {
        self.store.clone().expect("a store is open")
    }
}

macro_rules! kept_in_a_file {
    ($module:ident, $domain:ident, $store:ident) => {
        mod $module {
            use countersign_sqlite::$store;
            use $domain::conformance::Subject;
            use $domain::{BoxFuture, Store};

            use super::*;

            struct File(Kept<$store>);

            fn make(database: &Database, clock: Arc<ManualClock>) -> $store {
                $store::new(database, clock)
            }

            impl Subject for File {
                fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
                    Box::pin(async move { File(Kept::open(clock, make)) })
                }

                fn store(&self) -> Arc<dyn Store> {
                    self.0.store()
                }

                fn reopen(self) -> BoxFuture<'static, Self> {
                    Box::pin(async move { File(self.0.reopen(make)) })
                }
            }

            $domain::conformance_tests!(File);
        }
    };
}

kept_in_a_file!(requests, countersign_request, RequestStore);
kept_in_a_file!(emergencies, countersign_breakglass, EmergencyStore);
kept_in_a_file!(policies, countersign_policy, PolicyStore);
