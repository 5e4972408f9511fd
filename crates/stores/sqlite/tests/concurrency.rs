//! The concurrency suites of policies, requests and emergencies, on stores in a file.
//!
//! What stores in memory audit, `verify` does here.
#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../../../breakglass/tests/suites/mod.rs"]
mod breakglass_suites;
mod common;
#[path = "../../../policy/tests/suites/mod.rs"]
mod policy_suites;
#[path = "../../../request/tests/suites/mod.rs"]
mod request_suites;

use std::sync::Arc;

use countersign_sqlite::Database;
use tempfile::TempDir;

/// A new file, and the folder that it goes with.
fn open() -> (TempDir, Database) {
    let (folder, path) = common::file();
    let database = Database::open(path, &common::quick()).unwrap();
    (folder, database)
}

mod requests {
    use countersign_request::{BoxFuture, Clock};
    use countersign_sqlite::RequestStore;

    use super::request_suites as suites;
    use super::*;

    struct File(TempDir);

    impl suites::Subject for File {
        type Store = RequestStore;

        fn open(clock: Arc<dyn Clock>) -> BoxFuture<'static, (RequestStore, Self)> {
            Box::pin(async move {
                let (folder, database) = open();
                (RequestStore::new(&database, clock), File(folder))
            })
        }

        fn audit(&self, store: &RequestStore) -> Result<(), String> {
            assert!(self.0.path().exists(), "the file goes with its store");
            common::audit(async { store.verify(None).await.map_err(|error| error.to_string()) })
        }
    }

    suites::tests!(File);
}

mod emergencies {
    use countersign_breakglass::{BoxFuture, Clock};
    use countersign_sqlite::EmergencyStore;

    use super::breakglass_suites as suites;
    use super::*;

    struct File(TempDir);

    impl suites::Subject for File {
        type Store = EmergencyStore;

        fn open(clock: Arc<dyn Clock>) -> BoxFuture<'static, (EmergencyStore, Self)> {
            Box::pin(async move {
                let (folder, database) = open();
                (EmergencyStore::new(&database, clock), File(folder))
            })
        }

        fn audit(&self, store: &EmergencyStore) -> Result<(), String> {
            assert!(self.0.path().exists(), "the file goes with its store");
            common::audit(async { store.verify(None).await.map_err(|error| error.to_string()) })
        }
    }

    suites::tests!(File);
}

mod policies {
    use countersign_policy::{Policy, Stored, SystemClock};
    use countersign_sqlite::PolicyStore;

    use super::policy_suites as suites;
    use super::*;

    struct File(TempDir);

    impl suites::Subject for File {
        type Store = PolicyStore;

        fn open() -> (PolicyStore, Self) {
            let (folder, database) = open();
            let store = PolicyStore::new(&database, Arc::new(SystemClock));
            (store, File(folder))
        }

        fn is_what_was_stored(loaded: &Arc<Policy>, stored: &Stored) -> bool {
            loaded.digest() == stored.digest()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            assert!(self.0.path().exists(), "the file goes with its store");
        }
    }

    suites::tests!(File);
}
