//! Histories of stores in a file under load, checked against the sequential specifications of the
//! domain crates. `cargo xtask linearizability` runs the long form.
#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../../../breakglass/tests/histories/mod.rs"]
mod breakglass_histories;
mod common;
#[path = "../../../request/tests/histories/mod.rs"]
mod request_histories;

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

    use super::request_histories as histories;
    use super::*;

    struct File(TempDir);

    impl histories::Subject for File {
        type Store = RequestStore;

        const READS_SNAPSHOTS: bool = true;
        const TASKS_OF_A_WHOLE: u64 = 8;

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

    #[test]
    fn histories_are_linearizable() {
        histories::are_linearizable::<File>("sqlite_request", 2);
    }

    #[test]
    fn whole_histories_are_linearizable_with_exact_versions() {
        histories::are_linearizable_as_a_whole::<File>("sqlite_request_whole", 10);
    }
}

mod emergencies {
    use countersign_breakglass::{BoxFuture, Clock};
    use countersign_sqlite::EmergencyStore;

    use super::breakglass_histories as histories;
    use super::*;

    struct File(TempDir);

    impl histories::Subject for File {
        type Store = EmergencyStore;

        const READS_SNAPSHOTS: bool = true;
        const TASKS_OF_A_WHOLE: u64 = 8;

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

    #[test]
    fn histories_are_linearizable_where_users_have_a_quota() {
        let ids = histories::USERS;
        histories::are_linearizable::<File>("sqlite_breakglass_users", ids, 2);
    }

    #[test]
    fn histories_are_linearizable_where_profiles_have_a_quota() {
        let ids = histories::PROFILES;
        histories::are_linearizable::<File>("sqlite_breakglass_profiles", ids, 2);
    }

    #[test]
    fn whole_histories_are_linearizable_with_exact_versions() {
        let ids = histories::BOTH;
        histories::are_linearizable_as_a_whole::<File>("sqlite_breakglass_whole", ids, 10);
    }

    #[test]
    fn whole_histories_are_linearizable_where_reviews_and_second_factors_are_looked_at() {
        let ids = histories::DEBTS;
        histories::are_linearizable_as_a_whole::<File>("sqlite_breakglass_debts", ids, 10);
    }
}
