//! Files that are read and not written: backups, and what nobody may change. Not a byte of them is
//! changed, nor is a file added; and copies that are made while others write are whole.

#![cfg(all(unix, feature = "policy", feature = "request", feature = "breakglass"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_request as request;
use countersign_request::{Outcome, RequestId, Store as _, SystemClock};
use countersign_sqlite::{
    BackupError, Database, EmergencyStore, EngineError, Head, OpenError, Options, PolicyStore,
    Report, RequestStore,
};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

mod common;

use common::filled::{Filled, filled};
use common::requests::{draft, terms};
use common::{block_on, quick, user};

/// Everything in a folder: names, digests of the bytes, lengths, rights, and when each was changed.
fn state(folder: &Path) -> Vec<(PathBuf, String, u32, i64, i64)> {
    let mut state: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let metadata = fs::metadata(&path).unwrap();
            let digest = Sha256::digest(fs::read(&path).unwrap());
            let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let changed = (metadata.mtime(), metadata.mtime_nsec());
            (path, digest, metadata.mode(), changed.0, changed.1)
        })
        .collect();
    state.sort();
    state
}

async fn create(store: &RequestStore, id: u64) -> Result<(), request::Error> {
    let draft = request::Draft {
        requester: user("erin"),
        ..draft(id)
    };
    store.create(&draft, &terms()).await.map(drop)
}

/// What all three stores of a file say, and that it cannot be changed.
fn audited(path: &Path, heads: Option<&[Head; 3]>) -> [Report; 3] {
    let database = Database::open_for_audit(path, &Options::default()).unwrap();
    let clock = Arc::new(SystemClock);
    let requests = RequestStore::new(&database, clock.clone());
    let emergencies = EmergencyStore::new(&database, clock.clone());
    let policies = PolicyStore::new(&database, clock);
    let of = |place: usize| heads.map(|heads| &heads[place]);
    block_on(async {
        let refused = create(&requests, 77).await.unwrap_err();
        let request::Error::Backend(request::Failure {
            source,
            outcome,
            is_retryable: retryable,
        }) = refused
        else {
            panic!("{refused}");
        };
        assert!(
            matches!(source.downcast_ref(), Some(EngineError::ForAudit)),
            "{source}"
        );
        assert_eq!((outcome, retryable), (request::Outcome::NotApplied, false));
        let refused = database.backup(path.with_extension("copy")).await;
        assert!(matches!(
            refused,
            Err(BackupError::Engine {
                cause: EngineError::ForAudit
            })
        ));
        [
            requests.verify(of(0)).await.unwrap(),
            emergencies.verify(of(1)).await.unwrap(),
            policies.verify(of(2)).await.unwrap(),
        ]
    })
}

fn assert_clean(reports: &[Report; 3]) {
    for report in reports {
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}

fn vacuumed(from: &Path, to: &Path) {
    let connection = Connection::open(from).unwrap();
    connection
        .execute("VACUUM INTO ?1", [to.to_str().unwrap()])
        .unwrap();
}

#[test]
fn checking_a_backup_changes_no_byte_of_it() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    let folder = tempfile::tempdir().unwrap();
    // As SQLite makes it, as it was left by a service that has ended, and with empty files beside.
    let vacuum = folder.path().join("vacuum.db");
    vacuumed(&path, &vacuum);
    let left = folder.path().join("left.db");
    fs::copy(&path, &left).unwrap();
    drop(Database::open(&left, &quick()).unwrap());
    let alone = folder.path().join("alone.db");
    fs::copy(&left, &alone).unwrap();
    for path in [&vacuum, &left, &alone] {
        let before = state(folder.path());
        assert_clean(&audited(path, Some(&heads)));
        assert_eq!(state(folder.path()), before, "{}", path.display());
    }
    // The twin: opened otherwise, the first is changed.
    let before = state(folder.path());
    drop(Database::open(&vacuum, &quick()).unwrap());
    assert_ne!(state(folder.path()), before);
}

#[test]
fn what_is_in_the_log_alone_is_verified_too_and_stays_there() {
    let (_folder, path) = common::file();
    let database = Database::open(&path, &Options::default()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    block_on(async {
        for id in 1..4 {
            create(&store, id).await.unwrap();
        }
    });
    // The evidence of a machine that was switched off: two of the three files.
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence.db");
    let copied = |ending: &str| {
        let of = |path: &Path| format!("{}{ending}", path.display());
        let copy = Command::new("cp").args([of(&path), of(&evidence)]).status();
        assert!(copy.unwrap().success());
    };
    copied("");
    copied("-wal");
    for more in [false, true] {
        if more {
            copied("-shm");
        }
        let before = state(folder.path());
        let reports = audited(&evidence, None);
        assert_clean(&reports);
        assert_eq!(reports[0].records, 3, "none is missing");
        let audit = Database::open_for_audit(&evidence, &Options::default()).unwrap();
        let read = RequestStore::new(&audit, Arc::new(SystemClock));
        assert!(block_on(read.get(RequestId::from_bits(3))).is_ok());
        drop((read, audit));
        assert_eq!(state(folder.path()), before);
    }
    drop((store, database));
}

#[test]
fn a_file_that_cannot_be_written_is_verified() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    for with_log in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join("within");
        fs::create_dir(&within).unwrap();
        let copy = within.join("countersign.db");
        fs::copy(&path, &copy).unwrap();
        if with_log {
            // Something that stays in the log.
            let service = Database::open(&copy, &quick()).unwrap();
            let store = RequestStore::new(&service, Arc::new(SystemClock));
            block_on(create(&store, 50)).unwrap();
            let log = within.join("countersign.db-wal");
            let saved = fs::read(&log).unwrap();
            let file = fs::read(&copy).unwrap();
            drop((store, service));
            fs::write(&copy, file).unwrap();
            fs::write(&log, saved).unwrap();
        }
        for entry in fs::read_dir(&within).unwrap() {
            let path = entry.unwrap().path();
            fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
        }
        fs::set_permissions(&within, fs::Permissions::from_mode(0o555)).unwrap();
        let before = state(&within);
        let reports = audited(&copy, Some(&heads));
        assert_clean(&reports);
        assert_eq!(reports[0].records, if with_log { 4 } else { 3 });
        assert_eq!(state(&within), before);
        fs::set_permissions(&within, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_file_is_found_and_left() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    let folder = tempfile::tempdir().unwrap();
    let edited = folder.path().join("edited.db");
    vacuumed(&path, &edited);
    let connection = Connection::open(&edited).unwrap();
    let sql = "DROP TRIGGER request_identity; UPDATE request SET justification = 'none of it'";
    let drops = "DROP TRIGGER request_version; DROP TRIGGER request_transition;";
    connection.execute_batch(&format!("{drops}{sql}")).unwrap();
    drop(connection);
    let before = state(folder.path());
    let reports = audited(&edited, Some(&heads));
    assert!(!reports[0].is_clean());
    assert_eq!(state(folder.path()), before);
}

#[test]
fn what_is_not_to_be_audited_is_refused_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty.db"), "").unwrap();
    let own = Connection::open(at("own.db")).unwrap();
    own.execute_batch("CREATE TABLE own (id INTEGER)").unwrap();
    drop(own);
    fs::write(
        at("text.db"),
        "no database at all, and long enough. ".repeat(40),
    )
    .unwrap();
    let Filled { _folder, path, .. } = filled();
    vacuumed(&path, &at("journal.db"));
    fs::write(at("journal.db-journal"), "a change that was not finished").unwrap();
    std::os::unix::fs::symlink("journal.db", at("link.db")).unwrap();
    let before = state(folder.path());
    let refused = |name: &str| {
        let refused = Database::open_for_audit(at(name), &Options::default());
        refused.map(drop).unwrap_err()
    };
    for name in ["empty.db", "own.db"] {
        assert!(
            matches!(refused(name), OpenError::OtherApplication { .. }),
            "{name}"
        );
    }
    let damaged = refused("text.db").to_string();
    assert!(damaged.contains("damaged"), "{damaged}");
    assert!(matches!(refused("none.db"), OpenError::Missing { .. }));
    for name in ["journal.db", "link.db"] {
        assert!(
            matches!(refused(name), OpenError::Unfinished { .. }),
            "{name}"
        );
    }
    let folder_itself = folder.path().to_str().unwrap();
    for name in ["", ":memory:", "file:own.db", folder_itself] {
        let refused = Database::open_for_audit(name, &Options::default());
        assert!(
            matches!(refused, Err(OpenError::NotAFile { .. })),
            "`{name}`"
        );
    }
    assert_eq!(state(folder.path()), before);
}

/// No lock keeps others out, so that whoever writes is noticed before anything is answered.
#[test]
fn a_file_that_is_written_while_it_is_audited_is_not_answered_from() {
    let Filled { _folder, path, .. } = filled();
    for deed in ["is written", "is overwritten", "gets a log", "is replaced"] {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("countersign.db");
        vacuumed(&path, &copy);
        let audit = Database::open_for_audit(&copy, &Options::default()).unwrap();
        let store = RequestStore::new(&audit, Arc::new(SystemClock));
        assert!(block_on(store.verify(None)).unwrap().is_clean());
        match deed {
            "is written" => {
                let other = Connection::open(&copy).unwrap();
                other
                    .execute_batch("CREATE TABLE more (id INTEGER)")
                    .unwrap();
            }
            // In place, and with as many bytes.
            "is overwritten" => {
                let mut bytes = fs::read(&copy).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(&copy, &bytes).unwrap();
                let file = fs::File::options().write(true).open(&copy).unwrap();
                let modified = file.metadata().unwrap().modified().unwrap();
                let later = modified + std::time::Duration::from_secs(10);
                file.set_modified(later).unwrap();
            }
            "gets a log" => fs::write(copy.with_extension("db-wal"), "").unwrap(),
            _ => {
                vacuumed(&path, &copy.with_extension("new"));
                fs::rename(copy.with_extension("new"), &copy).unwrap();
            }
        }
        let failed = block_on(store.verify(None)).unwrap_err();
        let request::Error::Backend(request::Failure {
            source, outcome, ..
        }) = failed
        else {
            panic!("{deed}: {failed}");
        };
        assert!(
            matches!(source.downcast_ref(), Some(EngineError::Changed { .. })),
            "{source}"
        );
        // An audit changes nothing, so that nothing is in doubt but what it read.
        assert_eq!(outcome, Outcome::NotApplied);
        let again = block_on(store.verify(None)).unwrap_err();
        assert!(
            again.to_string().contains("while it was audited"),
            "{again}"
        );
    }
}

#[test]
fn a_backup_made_while_others_write_is_whole_and_of_one_moment() {
    let Filled {
        _folder,
        path,
        heads,
    } = filled();
    let database = Database::open(&path, &quick()).unwrap();
    let (writing, other) = (database.clone(), Database::open(&path, &quick()).unwrap());
    let stopped = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    std::thread::scope(|scope| {
        for (first, database) in [(1_000, &writing), (100_000, &other)] {
            let stopped = &stopped;
            scope.spawn(move || {
                let store = RequestStore::new(database, Arc::new(SystemClock));
                let mut id = first;
                while !stopped.load(Ordering::SeqCst) {
                    block_on(create(&store, id)).unwrap();
                    id += 1;
                }
            });
        }
        for number in 0..5 {
            let backup = folder.path().join(format!("backup-{number}.db"));
            let made = block_on(database.backup(&backup)).unwrap();
            assert_eq!(made.reports.len(), 3);
            assert_eq!(fs::metadata(&backup).unwrap().mode() & 0o7777, 0o600);
            let reports = audited(&backup, Some(&heads));
            assert_clean(&reports);
            let noted = made.reports.iter().map(|report| report.head);
            assert!(
                noted.eq(reports.iter().map(|report| report.head)),
                "the heads to note"
            );
            assert!(reports[0].records >= last, "each is of a later moment");
            last = reports[0].records;
        }
        stopped.store(true, Ordering::SeqCst);
    });
    let names: Vec<_> = state(folder.path())
        .into_iter()
        .map(|file| file.0)
        .collect();
    assert_eq!(names.len(), 5, "nothing else is left: {names:?}");
    // It can be opened in the place of the file.
    let restored = Database::open(folder.path().join("backup-4.db"), &quick()).unwrap();
    let store = RequestStore::new(&restored, Arc::new(SystemClock));
    block_on(create(&store, 9)).unwrap();
}

#[test]
fn a_backup_overwrites_nothing_and_leaves_nothing_when_it_fails() {
    let Filled { _folder, path, .. } = filled();
    let database = Database::open(&path, &quick()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file.db"), "something").unwrap();
    fs::create_dir(at("folder.db")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("link.db")).unwrap();
    let names = || {
        let names = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    for name in ["file.db", "folder.db", "link.db"] {
        let refused = block_on(database.backup(at(name))).unwrap_err();
        assert!(
            matches!(refused, BackupError::Exists { .. }),
            "{name}: {refused}"
        );
    }
    let refused = block_on(database.backup(&path)).unwrap_err();
    assert!(
        matches!(refused, BackupError::Exists { .. }),
        "itself: {refused}"
    );
    let refused = block_on(database.backup(at("none/backup.db"))).unwrap_err();
    assert!(matches!(refused, BackupError::NotMade { .. }), "{refused}");
    // The engine would take it for a part of the file: every call would wait for it in vain.
    let name = path.file_name().unwrap().to_str().unwrap();
    for ending in ["-journal", "-wal", "-shm"] {
        let refused = block_on(database.backup(path.with_file_name(format!("{name}{ending}"))));
        let refused = refused.unwrap_err();
        assert!(matches!(refused, BackupError::Exists { .. }), "{refused}");
    }
    assert!(!path.with_file_name(format!("{name}-journal")).exists());
    assert_eq!(names(), before);
    assert_eq!(fs::read(at("file.db")).unwrap(), b"something");

    // What is wrong with the file is wrong with its copy, which is no backup then.
    let own = Connection::open(&path).unwrap();
    own.execute_batch("DROP TRIGGER request_identity").unwrap();
    let refused = block_on(database.backup(at("backup.db"))).unwrap_err();
    assert!(
        matches!(refused, BackupError::Findings { count: 3, .. }),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("`request_identity` is missing"),
        "{refused}"
    );
    assert_eq!(names(), before);
    // More than a report lists are counted all the same.
    let extra = |number: u32| {
        format!("CREATE TRIGGER extra_{number} AFTER INSERT ON request BEGIN SELECT 1; END;")
    };
    let extra: String = (0..150).map(extra).collect();
    own.execute_batch(&extra).unwrap();
    let refused = block_on(database.backup(at("backup.db"))).unwrap_err();
    assert!(
        matches!(refused, BackupError::Findings { count: 453, .. }),
        "{refused}"
    );
    // Nor is a copy of a file that is not the one that was opened.
    fs::rename(&path, path.with_extension("moved")).unwrap();
    let refused = block_on(database.backup(at("backup.db"))).unwrap_err();
    assert!(
        matches!(
            refused,
            BackupError::Engine {
                cause: EngineError::Lost { .. }
            }
        ),
        "{refused}"
    );
    assert_eq!(names(), before);
}
