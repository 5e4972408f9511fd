//! The file: opening it, sharing it, what it says when it cannot be used, and what is there when
//! several write.

#![cfg(all(feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use countersign_breakglass as breakglass;
use countersign_request as request;
use countersign_sqlite::{
    Database, EmergencyStore, EngineError, OpenError, Options, RequestStore, SqliteError,
};
use request::{
    Change, Error, ManualClock, Outcome, RequestId, Status, Store, StoreExt, SystemClock,
};
use rusqlite::Connection;

mod common;

use common::filled::{Filled, filled};
use common::requests::{draft, rules, terms};
use common::{START, at, block_on, profile, quick, user};

#[test]
fn the_file_of_somebody_else_is_refused_and_left_alone() {
    let (_folder, path) = common::file();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE own (id INTEGER)")
        .unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let refused = Database::open(&path, &Options::default());
    assert!(matches!(
        refused,
        Err(OpenError::OtherApplication {
            application_id: 0,
            ..
        })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    let own: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    connection
        .pragma_update(None, "user_version", own + 1)
        .unwrap();
    drop(connection);
    let refused = Database::open(&path, &Options::default()).unwrap_err();
    assert!(
        refused.to_string().contains("use the newer release"),
        "{refused}"
    );
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", own).unwrap();
    drop(connection);
    assert!(Database::open(&path, &Options::default()).is_ok());
}

#[test]
fn what_is_no_database_is_said_to_be_damaged() {
    let (_folder, path) = common::file();
    std::fs::write(
        &path,
        "no database at all, and long enough to have a header. ".repeat(40),
    )
    .unwrap();
    let refused = Database::open(&path, &Options::default()).unwrap_err();
    assert!(matches!(
        &refused,
        OpenError::Engine {
            cause: EngineError::Corrupt(_),
            ..
        }
    ));
    assert!(
        refused.to_string().contains("damaged or is no database"),
        "{refused}"
    );
}

#[test]
fn names_of_no_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let itself = folder.path().to_str().unwrap();
    for name in ["", ":memory:", "file:countersign.db?mode=memory", itself] {
        let refused = Database::open(name, &Options::default());
        assert!(
            matches!(refused, Err(OpenError::NotAFile { .. })),
            "`{name}`"
        );
    }
}

/// After a file is gone, an empty one in its place would let everybody use their limits and second
/// factors again.
#[test]
fn a_file_that_is_gone_is_not_made_anew_unless_that_is_asked_for() {
    let (_folder, path) = common::file();
    let options = Options {
        create_if_missing: false,
        ..quick()
    };
    let refused = Database::open(&path, &options).unwrap_err();
    assert!(matches!(refused, OpenError::Missing { .. }), "{refused}");
    assert!(!path.exists());
    drop(Database::open(&path, &quick()).unwrap());
    drop(Database::open(&path, &options).unwrap());
    // A link that leads nowhere is no file either.
    let link = path.with_extension("link");
    std::os::unix::fs::symlink("none.db", &link).unwrap();
    let refused = Database::open(&link, &options).unwrap_err();
    assert!(matches!(refused, OpenError::Missing { .. }), "{refused}");
    drop(Database::open(&link, &quick()).unwrap());
    assert!(path.with_file_name("none.db").exists());
}

#[test]
fn a_log_whose_file_is_gone_is_left_as_it_is() {
    let Filled { _folder, path, .. } = filled();
    let database = Database::open(&path, &quick()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let (log, moved) = (path.with_extension("db-wal"), path.with_extension("moved"));
    block_on(store.create(&draft(77), &terms())).unwrap();
    let (held, written) = (database, std::fs::read(&log).unwrap());
    assert!(!written.is_empty());
    std::fs::rename(&path, &moved).unwrap();
    let link = path.with_extension("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for create_if_missing in [true, false] {
        let options = Options {
            create_if_missing,
            ..quick()
        };
        for path in [&path, &link] {
            let refused = Database::open(path, &options).unwrap_err();
            assert!(
                matches!(refused, OpenError::LogWithoutFile { .. }),
                "{refused}"
            );
        }
    }
    assert!(!path.exists());
    assert_eq!(std::fs::read(&log).unwrap(), written);
    // Put together again, the last change is there.
    drop((store, held));
    assert_eq!(std::fs::read(&log).unwrap(), written);
    std::fs::rename(&moved, &path).unwrap();
    let database = Database::open(&path, &quick()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    assert!(block_on(store.get(RequestId::from_bits(77))).is_ok());
    drop(database);
    // An empty log holds nothing.
    drop(store);
    std::fs::write(&log, "").unwrap();
    std::fs::remove_file(&path).unwrap();
    drop(Database::open(&path, &quick()).unwrap());
}

#[test]
fn a_damaged_page_is_an_error_that_says_so_and_is_not_retried() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'request'";
    let page: u64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    let start = (page as usize - 1) * 4096;
    bytes[start..start + 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let database = Database::open(&path, &quick()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let failed = block_on(store.get(RequestId::from_bits(1))).unwrap_err();
    assert!(
        failed.to_string().contains("the file is damaged"),
        "{failed}"
    );
    assert!(matches!(
        failed,
        Error::Backend(countersign_request::Failure {
            is_retryable: false,
            outcome: Outcome::NotApplied,
            ..
        })
    ));
}

#[test]
fn a_record_that_no_store_writes_is_said_to_be_one() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("DROP TRIGGER request_identity; DROP TRIGGER request_version")
        .unwrap();
    connection
        .execute_batch("UPDATE request SET requester = ''")
        .unwrap();
    drop(connection);
    let database = Database::open(&path, &quick()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let failed = block_on(store.get(RequestId::from_bits(1)))
        .unwrap_err()
        .to_string();
    assert!(
        failed.contains("request `0000000000000001` holds column `requester` holds ``"),
        "{failed}"
    );
}

/// Its name is known, so SQLite says no more than that there is no query solution.
#[test]
fn an_index_that_is_another_under_its_name_is_said_to_be_damage() {
    let Filled { _folder, path, .. } = filled();
    let connection = Connection::open(&path).unwrap();
    let other = "DROP INDEX request_history_idempotency_key; \
         CREATE INDEX request_history_idempotency_key ON request_history (actor) \
         WHERE actor = 'nobody'";
    connection.execute_batch(other).unwrap();
    drop(connection);
    let database = Database::open(&path, &quick()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let repeated = countersign_request::Draft {
        idempotency_key: Some(countersign_request::IdempotencyKey::from_bits(1)),
        ..draft(9)
    };
    let failed = block_on(store.create(&repeated, &terms())).unwrap_err();
    let said = failed.to_string();
    assert!(
        said.contains("the file is damaged") && said.contains("no query solution"),
        "{said}"
    );
}

#[test]
fn a_lock_that_lasts_is_an_error_that_can_be_retried() {
    let Filled { _folder, path, .. } = filled();
    let options = Options {
        busy_timeout: Duration::from_millis(1),
        ..quick()
    };
    let database = Database::open(&path, &options).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let failed = block_on(store.create(&draft(9), &terms())).unwrap_err();
    assert!(
        failed.to_string().contains("locked by another connection"),
        "{failed}"
    );
    let Error::Backend(countersign_request::Failure {
        is_retryable: retryable,
        outcome,
        source,
    }) = failed
    else {
        panic!("not the engine's");
    };
    assert_eq!((retryable, outcome), (true, Outcome::NotApplied));
    let Some(EngineError::Busy(said)) = source.downcast_ref() else {
        panic!("{source}");
    };
    let said: &SqliteError = said;
    assert!(
        source.to_string().contains(&said.to_string()) && source.source().is_none(),
        "what SQLite said is told once: {source}"
    );
    assert!(
        block_on(store.get(RequestId::from_bits(1))).is_ok(),
        "reading goes on"
    );
    other.execute_batch("ROLLBACK").unwrap();
    block_on(store.create(&draft(9), &terms())).unwrap();
}

#[test]
fn dropping_the_last_handle_closes_the_file() {
    let (_folder, path) = common::file();
    for id in 0..5 {
        let database = Database::open(&path, &quick()).unwrap();
        let store = RequestStore::new(&database.clone(), Arc::new(SystemClock));
        drop(database);
        block_on(store.create(&draft(id), &terms())).unwrap();
        drop(store);
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        // It stays: who takes itself for the last to close may be wrong. With nothing in it.
        assert_eq!(
            std::fs::metadata(&log).unwrap().len(),
            0,
            "the log is written back and emptied"
        );
        let alone = path.with_extension("alone");
        std::fs::copy(&path, &alone).unwrap();
        let copy = Database::open(&alone, &quick()).unwrap();
        let copy = RequestStore::new(&copy, Arc::new(SystemClock));
        assert!(block_on(copy.get(RequestId::from_bits(id))).is_ok());
        std::fs::rename(&path, path.with_extension("moved")).unwrap();
        std::fs::rename(path.with_extension("moved"), &path).unwrap();
    }
}

#[test]
fn several_that_open_a_new_file_at_once_all_can_use_it() {
    for round in 0..10 {
        let (_folder, path) = common::file();
        let barrier = Barrier::new(4);
        thread::scope(|scope| {
            for number in 0..4 {
                let (path, barrier) = (&path, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let database = Database::open(path, &quick());
                    let database = database.unwrap_or_else(|error| panic!("{round}: {error}"));
                    let store = RequestStore::new(&database, Arc::new(SystemClock));
                    block_on(store.create(&draft(number), &terms())).unwrap();
                });
            }
        });
        let database = Database::open(&path, &quick()).unwrap();
        let store = RequestStore::new(&database, Arc::new(SystemClock));
        assert_eq!(block_on(store.changes_after(None, 0)).unwrap().len(), 4);
    }
}

/// Two handles have nothing in common but the file, as two processes have.
#[test]
fn of_two_handles_that_change_one_version_one_wins() {
    let (_folder, path) = common::file();
    let clock = Arc::new(ManualClock::at(at(START)));
    let stores: Vec<_> = (0..2)
        .map(|_| RequestStore::new(&Database::open(&path, &quick()).unwrap(), clock.clone()))
        .collect();
    for id in 0..20 {
        let created = block_on(stores[0].create(&draft(id), &terms())).unwrap();
        let barrier = Barrier::new(2);
        let won: Vec<_> = thread::scope(|scope| {
            let threads = stores.iter().enumerate().map(|(number, store)| {
                let (barrier, created) = (&barrier, &created);
                scope.spawn(move || {
                    let change = match number {
                        0 => Change::cancel(&user("alice"), None),
                        _ => Change::deny(&rules(), &profile("prod"), &user("bob"), None),
                    };
                    barrier.wait();
                    block_on(store.update(created.id, created.updated_at, &change))
                })
            });
            let threads: Vec<_> = threads.collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let winners: Vec<_> = won
            .iter()
            .filter_map(|result| result.as_ref().ok())
            .collect();
        assert_eq!(winners.len(), 1, "one change of one version is made");
        let actual = winners[0].updated_at;
        assert!(won.iter().any(|result| {
            matches!(result, Err(Error::Conflict(conflict)) if conflict.actual == actual)
        }));
        for store in &stores {
            assert_eq!(*block_on(store.get(created.id)).unwrap(), **winners[0]);
        }
    }
}

#[test]
fn notes_through_two_handles_are_all_kept_and_versions_grow() {
    let (_folder, path) = common::file();
    let clock = Arc::new(ManualClock::at(at(START)));
    let stores: Vec<_> = (0..2)
        .map(|_| RequestStore::new(&Database::open(&path, &quick()).unwrap(), clock.clone()))
        .collect();
    let id = block_on(stores[0].create(&draft(1), &terms())).unwrap().id;
    let retry = request::Retry::default().with_tries(std::num::NonZeroU32::new(1_000).unwrap());
    thread::scope(|scope| {
        for (number, store) in stores.iter().enumerate() {
            let retry = &retry;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build();
                runtime.unwrap().block_on(async {
                    for note in 0..25 {
                        let text = format!("note {note} of {number}");
                        let note = |_: &request::Request| Ok(Change::note(&user("alice"), &text));
                        store.update_with(id, retry, note).await.unwrap();
                    }
                });
            });
        }
    });
    let request = block_on(stores[1].get(id)).unwrap();
    assert_eq!(
        (request.status, request.history.len()),
        (Status::Pending, 51)
    );
    let report = block_on(stores[0].verify(None)).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn of_two_handles_that_invoke_for_one_profile_one_is_let() {
    use breakglass::Store as _;
    let (_folder, path) = common::file();
    let clock = Arc::new(ManualClock::at(at(START)));
    let who: breakglass::InvocationPolicy =
        r#"{"version": "1", "rules": [{"name": "all", "users": ["alice"]}]}"#
            .parse()
            .unwrap();
    let often = breakglass::RateLimitPolicy::unlimited();
    let stores: Vec<_> = (0..2)
        .map(|_| EmergencyStore::new(&Database::open(&path, &quick()).unwrap(), clock.clone()))
        .collect();
    for round in 0..10 {
        let barrier = Barrier::new(2);
        let results: Vec<bool> = thread::scope(|scope| {
            let threads = stores.iter().zip(0..).map(|(store, number)| {
                let (barrier, who, often) = (&barrier, &who, &often);
                scope.spawn(move || {
                    let draft = breakglass::Draft {
                        id: breakglass::EmergencyId::from_bits(2 * round + number),
                        idempotency_key: None,
                        invoker: user("alice"),
                        profile: profile(&format!("prod-{round}")),
                        duration: Duration::from_secs(600),
                        reason_code: breakglass::ReasonCode::Incident,
                        justification: "the orders database is down".into(),
                        ticket: None,
                        request_id: None,
                        mfa: None,
                    };
                    let admission = breakglass::Admission::new(who, often, &draft.profile);
                    barrier.wait();
                    block_on(store.create(&draft, &admission)).is_ok()
                })
            });
            let threads: Vec<_> = threads.collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(results.iter().filter(|let_in| **let_in).count(), 1);
    }
}

#[test]
fn stores_share_a_file_and_its_versions_do_not_meet() {
    let Filled { _folder, path, .. } = filled();
    let database = block_on(Database::open_on_a_thread(&path, quick())).unwrap();
    let requests = RequestStore::new(&database, Arc::new(ManualClock::at(at(START))));
    let emergencies = EmergencyStore::new(&database, Arc::new(ManualClock::at(at(START))));
    let (requests, emergencies) = (
        block_on(requests.head()).unwrap(),
        block_on(emergencies.head()).unwrap(),
    );
    assert_ne!(requests.store(), emergencies.store());
}
