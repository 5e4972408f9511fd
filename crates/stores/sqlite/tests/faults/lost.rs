//! A file, or its log, that is deleted, moved or replaced while it is open: nothing is answered from
//! it any more, and nothing acknowledged is lost unnoticed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use countersign_breakglass as breakglass;
use countersign_policy as policy;
use countersign_request as request;
use countersign_request::{Clock, ManualClock, RequestId};
use countersign_sqlite::{
    Database, EmergencyStore, EngineError, Options, PolicyStore, RequestStore,
};
use rusqlite::Connection;
use tempfile::TempDir;

use breakglass::Store as _;
use policy::Store as _;
use request::Store as _;

use crate::common::requests::{draft, terms};
use crate::common::{START, at, block_on, profile, user};
use crate::process::Process;
use crate::writer::line;

/// Something done to the files.
type Deed = Box<dyn FnOnce() + Send>;

/// A clock that does something to the files when it is read, which is within a step.
#[derive(Clone)]
struct Hand {
    clock: Arc<ManualClock>,
    deed: Arc<Mutex<Option<Deed>>>,
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hand")
    }
}

impl Clock for Hand {
    fn now(&self) -> DateTime<Utc> {
        if let Some(deed) = self.deed.lock().unwrap().take() {
            deed();
        }
        self.clock.now()
    }
}

struct Subject {
    folder: TempDir,
    path: PathBuf,
    hand: Hand,
    requests: RequestStore,
    emergencies: EmergencyStore,
    policies: PolicyStore,
}

impl Subject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let within = folder.path().join("within");
        fs::create_dir(&within).unwrap();
        let path = within.join("countersign.db");
        let subject = Self::at(folder, path);
        subject.create(1).unwrap();
        subject
    }

    fn at(folder: TempDir, path: PathBuf) -> Self {
        let clock = Arc::new(ManualClock::at(at(START)));
        let deed = Arc::new(Mutex::new(None));
        let hand = Hand { clock, deed };
        let database = Database::open(&path, &Options::default()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(hand.clone());
        Self {
            folder,
            path,
            hand,
            requests: RequestStore::new(&database, clock.clone()),
            emergencies: EmergencyStore::new(&database, clock.clone()),
            policies: PolicyStore::new(&database, clock),
        }
    }

    fn reopened(self) -> Self {
        let Self { folder, path, .. } = self;
        Self::at(folder, path)
    }

    fn create(&self, id: u64) -> Result<(), request::Error> {
        block_on(self.requests.create(&draft(id), &terms())).map(drop)
    }

    fn file(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    /// What every call of every store answers from now on.
    fn assert_nothing_is_answered(&self, what: &str) {
        let begun: Deed = Box::new(|| panic!("a step is begun on a file that is lost"));
        *self.hand.deed.lock().unwrap() = Some(begun);
        for id in [2, 1, 3] {
            assert_lost(self.create(id).unwrap_err(), what);
        }
        let id = RequestId::from_bits(1);
        assert_lost(block_on(self.requests.get(id)).unwrap_err(), what);
        let (alice, prod) = (user("alice"), profile("prod"));
        let grant = self.requests.find_grant(&alice, &prod, None);
        assert_lost(block_on(grant).unwrap_err(), what);
        assert_lost(block_on(self.requests.head()).unwrap_err(), what);
        assert_lost(block_on(self.requests.verify(None)).unwrap_err(), what);
        let emergency = breakglass::EmergencyId::from_bits(1);
        let error = block_on(self.emergencies.get(emergency)).unwrap_err();
        let breakglass::Error::Backend(breakglass::Failure {
            is_retryable: retryable,
            outcome,
            ..
        }) = error
        else {
            panic!("{what}: {error}");
        };
        assert_eq!((retryable, outcome), (false, breakglass::Outcome::Unknown));
        let error = block_on(self.policies.get("main")).unwrap_err();
        let policy::store::Error::Backend(policy::store::Failure {
            is_retryable: retryable,
            outcome,
            ..
        }) = error
        else {
            panic!("{what}: {error}");
        };
        assert_eq!(
            (retryable, outcome),
            (false, policy::store::Outcome::Unknown)
        );
        let begun = self.hand.deed.lock().unwrap().take();
        assert!(begun.is_some(), "{what}: no step reads the clock");
    }
}

fn assert_lost(error: request::Error, what: &str) {
    let request::Error::Backend(request::Failure {
        is_retryable: retryable,
        outcome,
        source,
    }) = error
    else {
        panic!("{what}: {error}");
    };
    assert_eq!(
        (retryable, outcome),
        (false, request::Outcome::Unknown),
        "{what}"
    );
    let lost = matches!(source.downcast_ref(), Some(EngineError::Lost { .. }));
    assert!(lost, "{what}: {source}");
    assert!(
        source.to_string().contains("before anything opens them"),
        "{source}"
    );
}

/// A whole copy of the file, in its place.
fn replace(path: &Path) {
    let backup = path.with_extension("backup");
    let connection = Connection::open(path).unwrap();
    let sql = format!("VACUUM INTO '{}'", backup.display());
    connection.execute_batch(&sql).unwrap();
    // Its log is in use, so that nothing is removed here.
    drop(connection);
    fs::rename(&backup, path).unwrap();
}

fn moved(path: &Path) {
    fs::rename(path, path.with_extension("moved")).unwrap();
}

/// Ways to lose a file, each with a name.
fn losses(subject: &Subject) -> Vec<(&'static str, Deed)> {
    let file = subject.path.clone();
    let (log, index) = (subject.file("-wal"), subject.file("-shm"));
    let within = file.parent().unwrap().to_owned();
    let deeds: Vec<(&'static str, Deed)> = vec![
        ("the file is deleted", {
            let file = file.clone();
            Box::new(move || fs::remove_file(file).unwrap())
        }),
        ("all three are deleted", {
            let files = [file.clone(), log.clone(), index.clone()];
            Box::new(move || files.iter().for_each(|file| fs::remove_file(file).unwrap()))
        }),
        ("the log is deleted", {
            let log = log.clone();
            Box::new(move || fs::remove_file(log).unwrap())
        }),
        ("the shared memory is deleted", {
            let index = index.clone();
            Box::new(move || fs::remove_file(index).unwrap())
        }),
        ("the shared memory is another", {
            let index = index.clone();
            Box::new(move || {
                fs::copy(&index, index.with_extension("copy")).unwrap();
                fs::rename(index.with_extension("copy"), &index).unwrap();
            })
        }),
        ("the log is another", {
            let log = log.clone();
            Box::new(move || {
                moved(&log);
                fs::write(log, "").unwrap();
            })
        }),
        ("the log is a copy of itself", {
            let log = log.clone();
            Box::new(move || {
                fs::copy(&log, log.with_extension("copy")).unwrap();
                fs::rename(log.with_extension("copy"), &log).unwrap();
            })
        }),
        ("the file is replaced by a backup", {
            let file = file.clone();
            Box::new(move || replace(&file))
        }),
        ("the file is moved away", {
            let file = file.clone();
            Box::new(move || moved(&file))
        }),
        ("the file is a folder", {
            let file = file.clone();
            Box::new(move || {
                moved(&file);
                fs::create_dir(file).unwrap();
            })
        }),
        ("the folder is moved away", Box::new(move || moved(&within))),
    ];
    deeds
}

/// A call that comes upon the loss first.
const FIRST: [fn(&Subject) -> request::Error; 4] = [
    // It would have been made, refused, found, and not found.
    |subject| subject.create(2).unwrap_err(),
    |subject| subject.create(1).unwrap_err(),
    |subject| block_on(subject.requests.get(RequestId::from_bits(1))).unwrap_err(),
    |subject| block_on(subject.requests.get(RequestId::from_bits(9))).unwrap_err(),
];

#[test]
fn nothing_is_answered_from_a_file_that_is_deleted_moved_or_replaced() {
    let count = losses(&Subject::new()).len();
    for place in 0..count {
        for first in FIRST {
            let subject = Subject::new();
            let (what, deed) = losses(&subject).swap_remove(place);
            deed();
            assert_lost(first(&subject), what);
            subject.assert_nothing_is_answered(what);
        }
        // Within the step that is answered next.
        let subject = Subject::new();
        let (what, deed) = losses(&subject).swap_remove(place);
        *subject.hand.deed.lock().unwrap() = Some(deed);
        assert_lost(subject.create(2).unwrap_err(), what);
        assert!(
            subject.hand.deed.lock().unwrap().is_none(),
            "{what}: it was done"
        );
        subject.assert_nothing_is_answered(what);
    }
    println!(
        "faults lost: {count} ways of losing a file, between calls and within one: each call said so"
    );
}

#[test]
fn what_was_lost_and_put_back_is_answered_from_only_when_it_is_opened_again() {
    let subject = Subject::new();
    let aside = subject.path.with_extension("aside");
    fs::rename(&subject.path, &aside).unwrap();
    assert_lost(subject.create(2).unwrap_err(), "moved away");
    fs::rename(&aside, &subject.path).unwrap();
    subject.assert_nothing_is_answered("put back");
    let subject = subject.reopened();
    subject.create(4).unwrap();
    assert!(block_on(subject.requests.get(RequestId::from_bits(1))).is_ok());
    let report = block_on(subject.requests.verify(None)).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// A link is followed by whoever opens it: once it leads elsewhere, others write there.
#[test]
fn a_link_that_comes_to_lead_elsewhere_is_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (
        folder.path().join("real.db"),
        folder.path().join("countersign.db"),
    );
    fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let subject = Subject::at(folder, link.clone());
    subject.create(1).unwrap();
    assert!(
        real.with_extension("db-wal").exists(),
        "the log is beside the file itself"
    );
    let other = link.with_file_name("other.db");
    fs::write(&other, "").unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    assert_lost(subject.create(2).unwrap_err(), "the link leads elsewhere");
    subject.assert_nothing_is_answered("the link leads elsewhere");
}

/// The twin: what others may do with a file that is open is no loss.
#[test]
fn what_loses_nothing_is_answered_as_before() {
    let subject = Subject::new();
    let mut id = 1;
    let mut go_on = |what: &str| {
        id += 1;
        subject
            .create(id)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(
            block_on(subject.requests.get(RequestId::from_bits(id))).is_ok(),
            "{what}"
        );
    };
    let own = |sql: &str| {
        let connection = Connection::open(&subject.path).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    go_on("nothing");
    own("PRAGMA wal_checkpoint(TRUNCATE)");
    go_on("the log is cut");
    own("VACUUM");
    go_on("the file is written anew");
    fs::hard_link(&subject.path, subject.path.with_extension("link")).unwrap();
    go_on("it has another name");
    let now = fs::metadata(&subject.path).unwrap().permissions();
    fs::set_permissions(&subject.path, now).unwrap();
    go_on("its rights are set");
    fs::remove_file(subject.path.with_extension("link")).unwrap();
    let second = Database::open(&subject.path, &Options::default()).unwrap();
    drop(second);
    go_on("it was opened and closed");
    let other = subject.path.with_file_name("other.db");
    drop(Database::open(&other, &Options::default()).unwrap());
    fs::remove_file(&other).unwrap();
    go_on("another file is deleted");
    drop(subject);
}

/// The role of another process that makes a change.
pub fn create_beside(words: &str, path: &Path) {
    let subject = Subject::at(tempfile::tempdir().unwrap(), path.to_owned());
    subject.create(words.parse().unwrap()).unwrap();
    line(format_args!("\ncreated"));
}

/// Two processes that do not share their memory write over each other's changes in the log, so the
/// one that has the old memory writes nothing more.
#[test]
fn what_another_process_writes_after_the_shared_memory_is_deleted_is_not_written_over() {
    let subject = Subject::new();
    let created = |id: u64| {
        let mut process = Process::start("create beside", &id.to_string(), &subject.path);
        let mut said = false;
        while let Some(line) = process.line() {
            said |= line == "created";
        }
        assert!(process.child.wait().unwrap().success() && said);
    };
    created(2);
    fs::remove_file(subject.file("-shm")).unwrap();
    for id in 10..15 {
        created(id);
    }
    for id in 20..25 {
        assert_lost(subject.create(id).unwrap_err(), "the memory is another");
    }
    created(15);
    let subject = subject.reopened();
    for id in [1, 2].into_iter().chain(10..=15) {
        let found = block_on(subject.requests.get(RequestId::from_bits(id)));
        assert!(found.is_ok(), "{id}: {found:?}");
    }
    for id in 20..25 {
        let found = block_on(subject.requests.get(RequestId::from_bits(id)));
        assert!(
            matches!(found, Err(request::Error::NotFound { .. })),
            "{id}"
        );
    }
    let report = block_on(subject.requests.verify(None)).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// The role of a process that opens a file by a path that is not absolute, and goes elsewhere.
pub fn go_elsewhere(_: &str, path: &Path) {
    let here = path.parent().unwrap();
    std::env::set_current_dir(here).unwrap();
    let name = path.file_name().unwrap().into();
    let subject = Subject::at(tempfile::tempdir().unwrap(), name);
    subject.create(1).unwrap();
    std::env::set_current_dir("/").unwrap();
    subject.create(2).unwrap();
    moved(path);
    assert_lost(subject.create(3).unwrap_err(), "moved away");
    line(format_args!("\nwent elsewhere"));
}

#[test]
fn a_path_is_taken_as_it_was_when_the_file_was_opened() {
    let (_folder, path) = crate::common::file();
    let mut process = Process::start("go elsewhere", "", &path);
    let mut said = false;
    while let Some(line) = process.line() {
        said |= line == "went elsewhere";
    }
    assert!(process.child.wait().unwrap().success() && said);
}
