//! The kits of the domain crates over their stores on this engine, and the kit for engines: every case.
//!
//! Opening again closes the file first: what comes back was read from it. Files are not synced: no
//! test cuts the power.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::sync::Arc;

use countersign_core::clock::ManualClock;
use countersign_redb::{Database, RedbEngine, Stored};
use redb::StorageBackend;
use redb::backends::FileBackend;
use tempfile::TempDir;

/// An engine in a file of its own, which goes with it.
struct Kept<S> {
    store: Option<Arc<S>>,
    clock: Arc<ManualClock>,
    folder: TempDir,
    over: fn(Arc<Database>, Arc<ManualClock>) -> S,
}

impl<S> Kept<S> {
    fn open(clock: Arc<ManualClock>, over: fn(Arc<Database>, Arc<ManualClock>) -> S) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kept = Self {
            store: None,
            clock,
            folder,
            over,
        };
        kept.reopen()
    }

    fn reopen(mut self) -> Self {
        if let Some(store) = self.store.take() {
            assert!(
                Arc::into_inner(store).is_some(),
                "nothing else holds the file open"
            );
        }
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true);
        let file = options.open(self.folder.path().join("countersign.redb"));
        let backend = Unsynced(FileBackend::new(file.unwrap()).expect("nobody else has it open"));
        let database = Database::builder().create_with_backend(backend);
        let database = Arc::new(database.expect("the file opens"));
        self.store = Some(Arc::new((self.over)(database, Arc::clone(&self.clock))));
        self
    }

    fn store(&self) -> Arc<S> {
        self.store.clone().expect("a store is open")
    }
}

#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
        self.0.read(offset, length)
    }

    fn set_len(&self, length: u64) -> std::io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self, _eventual: bool) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

fn engine<R: Stored>(database: Arc<Database>, clock: Arc<ManualClock>) -> RedbEngine<R> {
    RedbEngine::new(database, "kept", clock).expect("its table can be made")
}

macro_rules! kept_in_redb {
    ($module:ident, $domain:ident, $record:ty) => {
        mod $module {
            use $domain::conformance::Subject;
            use $domain::{BoxFuture, EngineStore, Store};

            use super::*;

            struct File(super::Kept<EngineStore<RedbEngine<$record>>>);

            impl Subject for File {
                fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
                    let over = |database, clock| EngineStore::over(engine(database, clock));
                    Box::pin(async move { File(Kept::open(clock, over)) })
                }

                fn store(&self) -> Arc<dyn Store> {
                    self.0.store()
                }

                fn reopen(self) -> BoxFuture<'static, Self> {
                    Box::pin(async move { File(self.0.reopen()) })
                }
            }

            $domain::conformance_tests!(File);
        }
    };
}

kept_in_redb!(requests, countersign_request, countersign_request::Request);
kept_in_redb!(
    emergencies,
    countersign_breakglass,
    countersign_breakglass::Emergency
);
kept_in_redb!(
    policies,
    countersign_policy,
    countersign_core::documents::Kept<countersign_policy::Policy>
);

mod engines {
    use countersign_core::engine::conformance::{Note, Subject};
    use countersign_core::future::BoxFuture;

    use super::*;

    struct File(Kept<RedbEngine<Note>>);

    impl Subject for File {
        type Engine = RedbEngine<Note>;

        fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
            Box::pin(async move { File(Kept::open(clock, engine)) })
        }

        fn engine(&self) -> Arc<RedbEngine<Note>> {
            self.0.store()
        }

        fn reopen(self) -> BoxFuture<'static, Self> {
            Box::pin(async move { File(self.0.reopen()) })
        }
    }

    countersign_core::engine_conformance_tests!(File);
}
