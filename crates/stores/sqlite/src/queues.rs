//! Who waits for whom: the queues of a file, with calls that the test holds at a gate.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Waker};
use std::time::Duration;

use countersign_core::clock::ManualTicks;
use countersign_request::{
    ApprovalPolicy, Draft, Error, Outcome, Profile, RequestId, Store as _, SystemClock, Terms, User,
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::error::Stop;
use crate::{
    BackupError, Database, EmergencyStore, EngineError, Options, PolicyStore, RequestStore,
};

/// A call of which the test knows that it has begun, and that ends when the test says so.
struct Held {
    begun: Receiver<()>,
    let_go: Sender<()>,
}

impl Held {
    fn has_begun(&self) {
        self.begun.recv().unwrap();
    }
}

/// What a thread is held by, and what holds it.
fn held() -> (Held, impl FnMut() -> Result<(), Stop<Error>> + Send) {
    let (begins, begun) = channel();
    let (let_go, gate) = channel::<()>();
    let call = move || {
        let _ = begins.send(());
        let _ = gate.recv();
        Ok(())
    };
    (Held { begun, let_go }, call)
}

/// Polls once, which queues the call.
fn queue<T>(future: Pin<&mut impl Future<Output = T>>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it is queued, and not answered");
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    (folder, path)
}

/// One reader: two long reads would leave none.
fn one_reader() -> Options {
    Options {
        readers: 1,
        ..Options::default()
    }
}

struct Stores {
    requests: RequestStore,
    emergencies: EmergencyStore,
    policies: PolicyStore,
}

impl Stores {
    fn of(database: &Database) -> Self {
        let clock = Arc::new(SystemClock);
        Self {
            requests: RequestStore::new(database, clock.clone()),
            emergencies: EmergencyStore::new(database, clock.clone()),
            policies: PolicyStore::new(database, clock),
        }
    }

    /// Reads that are short.
    fn answer(&self) {
        let missing = wait(self.requests.get(RequestId::from_bits(1)));
        assert!(
            matches!(missing, Err(Error::NotFound { .. })),
            "{missing:?}"
        );
        wait(self.emergencies.head()).unwrap();
        wait(self.policies.head()).unwrap();
    }
}

/// A daily `verify` of two stores, and a backup: whatever reads everything.
#[test]
fn two_long_reads_stop_no_other_read() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let stores = Stores::of(&database);
    let (first, mut call) = held();
    let mut holding = pin!(database.read_long(move |_| call()));
    queue(holding.as_mut());
    first.has_begun();
    let mut verifies = pin!(async {
        (
            stores.requests.verify(None).await.unwrap(),
            stores.emergencies.verify(None).await.unwrap(),
        )
    });
    let mut policies = pin!(stores.policies.verify(None));
    let mut backup = pin!(database.backup(path.with_extension("backup")));
    queue(verifies.as_mut());
    queue(policies.as_mut());
    queue(backup.as_mut());
    stores.answer();
    let written = wait(database.write::<_, Error>(|_| Ok(1)));
    assert_eq!(written.unwrap(), 1, "nor a change");
    drop(first.let_go);
    wait(holding).unwrap();
    let (requests, emergencies) = wait(verifies);
    assert!(requests.is_clean() && emergencies.is_clean());
    assert!(wait(policies).unwrap().is_clean());
    assert_eq!(wait(backup).unwrap().reports.len(), 3);
}

#[test]
fn reads_that_are_held_stop_no_long_read() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let stores = Stores::of(&database);
    let (first, mut call) = held();
    let mut holding = pin!(database.read(move |_| call()));
    queue(holding.as_mut());
    first.has_begun();
    assert!(wait(stores.requests.verify(None)).unwrap().is_clean());
    wait(database.backup(path.with_extension("backup"))).unwrap();
    drop(first.let_go);
    wait(holding).unwrap();
}

#[test]
fn a_long_read_of_an_audited_file_stops_no_other_read() {
    let (_folder, path) = file();
    drop(Database::open(&path, &one_reader()).unwrap());
    let database = Database::open_for_audit(&path, &one_reader()).unwrap();
    let stores = Stores::of(&database);
    let (first, mut call) = held();
    let mut holding = pin!(database.read_long(move |_| call()));
    queue(holding.as_mut());
    first.has_begun();
    let mut verify = pin!(stores.requests.verify(None));
    queue(verify.as_mut());
    stores.answer();
    drop(first.let_go);
    wait(holding).unwrap();
    assert!(wait(verify).unwrap().is_clean());
}

fn draft(id: u64) -> Draft {
    Draft {
        id: RequestId::from_bits(id),
        requester: User::new("alice").unwrap(),
        profile: Profile::new("prod").unwrap(),
        duration: Duration::from_secs(600),
        justification: "look at the slow query".into(),
        ticket: None,
        policy: None,
        idempotency_key: None,
    }
}

fn terms() -> Terms {
    let rules = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#;
    let rules: ApprovalPolicy = rules.parse().unwrap();
    Terms::of(&rules, &draft(1).profile)
}

/// The requests of a file.
fn stored(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    let count = |row: &rusqlite::Row<'_>| row.get(0);
    connection
        .query_row("SELECT count(*) FROM request", [], count)
        .unwrap()
}

/// Another process that writes, as far as the file can tell.
fn locked(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

/// A time that does not pass unless the test says so, and calls that wait for ever.
fn patient(path: &Path) -> Database {
    let options = Options {
        busy_timeout: Duration::MAX,
        ..Options::default()
    };
    Database::open_with_ticks(path, &options, Arc::new(ManualTicks::new())).unwrap()
}

/// 200 who want access, and of whom nobody waits any more when the writer gets to them.
#[test]
fn requests_that_were_given_up_while_queued_are_not_made() {
    let (_folder, path) = file();
    let database = Database::open(&path, &Options::default()).unwrap();
    let (store, terms) = (Stores::of(&database).requests, terms());
    let (first, mut call) = held();
    let mut holding = pin!(database.write(move |_| call()));
    queue(holding.as_mut());
    first.has_begun();
    for id in 0..200 {
        queue(pin!(store.create(&draft(id), &terms)));
    }
    let late = draft(1_000);
    let mut late = pin!(store.create(&late, &terms));
    queue(late.as_mut());
    drop(first.let_go);
    wait(holding).unwrap();
    wait(late).unwrap();
    assert_eq!(stored(&path), 1, "the one for which somebody waits");
}

#[test]
fn requests_that_were_given_up_behind_the_lock_of_another_are_not_made() {
    let (_folder, path) = file();
    let database = patient(&path);
    let (store, terms) = (Stores::of(&database).requests, terms());
    let other = locked(&path);
    for id in 0..200 {
        queue(pin!(store.create(&draft(id), &terms)));
    }
    let late = draft(1_000);
    let mut late = pin!(store.create(&late, &terms));
    queue(late.as_mut());
    other.execute_batch("COMMIT").unwrap();
    wait(late).unwrap();
    assert_eq!(stored(&path), 1, "the one for which somebody waits");
}

/// Two of each kind of read, of which the first is held and the second was given up.
#[test]
fn reads_that_were_given_up_while_queued_are_not_made() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let (happens, happened) = channel();
    let tell = |what: &'static str| {
        let happens = happens.clone();
        move |_: &Connection| {
            happens.send(what).unwrap();
            Ok::<(), Stop<Error>>(())
        }
    };
    let (short, mut call) = held();
    let mut reading = pin!(database.read(move |_| call()));
    queue(reading.as_mut());
    let (long, mut call) = held();
    let mut verifying = pin!(database.read_long(move |_| call()));
    queue(verifying.as_mut());
    short.has_begun();
    long.has_begun();
    let backup = path.with_extension("backup");
    queue(pin!(database.read(tell("a read"))));
    queue(pin!(database.read_long(tell("a long read"))));
    queue(pin!(database.backup(&backup)));
    drop((short.let_go, long.let_go));
    wait(reading).unwrap();
    wait(verifying).unwrap();
    wait(database.read(tell("the last read"))).unwrap();
    wait(database.read_long(tell("the last long read"))).unwrap();
    let happened: Vec<_> = happened.try_iter().collect();
    assert_eq!(happened, ["the last read", "the last long read"]);
    assert!(!backup.exists());
}

/// What an engine's failure says: whether to try again, whether it was made, and why.
fn backend<T: std::fmt::Debug>(result: Result<T, Error>) -> (bool, Outcome, EngineError) {
    let Err(Error::Backend(countersign_core::engine::Failure {
        is_retryable: retryable,
        outcome,
        source,
    })) = result
    else {
        panic!("it is not the engine's failure: {result:?}");
    };
    let source: &EngineError = source.downcast_ref().unwrap();
    (retryable, outcome, source.clone())
}

fn says_that_the_queue_is_full<T: std::fmt::Debug>(result: Result<T, Error>) {
    let (retryable, outcome, source) = backend(result);
    assert!(
        matches!(source, EngineError::QueueFull { waiting: 2 }),
        "{source}"
    );
    assert!(source.to_string().contains("is busy"), "{source}");
    assert_eq!((retryable, outcome), (true, Outcome::NotApplied));
}

fn short_queues() -> Options {
    Options {
        queue_length: 2,
        ..one_reader()
    }
}

#[test]
fn a_change_too_many_is_refused_at_once_and_can_be_tried_again() {
    use countersign_policy::{Attribution, Expected, Policy, Store as _, store};

    let (_folder, path) = file();
    let database = Database::open(&path, &short_queues()).unwrap();
    let (stores, terms, drafts) = (Stores::of(&database), terms(), [1, 2, 3].map(draft));
    let (held, mut call) = held();
    let mut holding = pin!(database.write(move |_| call()));
    queue(holding.as_mut());
    held.has_begun();
    let mut first = pin!(stores.requests.create(&drafts[0], &terms));
    let mut second = pin!(stores.requests.create(&drafts[1], &terms));
    queue(first.as_mut());
    queue(second.as_mut());
    says_that_the_queue_is_full(wait(stores.requests.create(&drafts[2], &terms)));
    // The stores of a file have one queue for their changes.
    let policy = r#"{"version": "1", "rules": [{"name": "all", "effect": "allow",
        "conditions": {"users": ["alice"]}}]}"#;
    let policy: Policy = policy.parse().unwrap();
    let refused = wait(stores.policies.put(
        "main",
        Expected::Absent,
        Arc::new(policy),
        &Attribution::NOBODY,
    ));
    assert!(
        matches!(
            refused,
            Err(store::Error::Backend(store::Failure {
                is_retryable: true,
                outcome: store::Outcome::NotApplied,
                ..
            }))
        ),
        "{refused:?}"
    );
    // What reads has others, and so has whoever opens the file beside.
    stores.answer();
    assert!(wait(stores.emergencies.verify(None)).unwrap().is_clean());
    let beside = patient(&path);
    let beside_store = Stores::of(&beside).requests;
    let beside_draft = draft(4);
    let mut fourth = pin!(beside_store.create(&beside_draft, &terms));
    queue(fourth.as_mut());
    drop(held.let_go);
    wait(holding).unwrap();
    wait(first).unwrap();
    wait(second).unwrap();
    wait(fourth).unwrap();
    assert_eq!(stored(&path), 3, "what was refused was not made");
    wait(stores.requests.create(&drafts[2], &terms)).unwrap();
}

#[test]
fn a_read_too_many_is_refused_at_once_of_either_kind() {
    let (_folder, path) = file();
    drop(Database::open(&path, &short_queues()).unwrap());
    for audited in [false, true] {
        let database = match audited {
            false => Database::open(&path, &short_queues()),
            true => Database::open_for_audit(&path, &short_queues()),
        };
        let database = database.unwrap();
        let store = Stores::of(&database).requests;
        let (short, mut call) = held();
        let mut reading = pin!(database.read(move |_| call()));
        queue(reading.as_mut());
        let (long, mut call) = held();
        let mut verifying = pin!(database.read_long(move |_| call()));
        queue(verifying.as_mut());
        short.has_begun();
        long.has_begun();
        let (mut first, mut second) = (pin!(store.head()), pin!(store.head()));
        queue(first.as_mut());
        queue(second.as_mut());
        says_that_the_queue_is_full(wait(store.head()));
        let (mut third, mut fourth) = (pin!(store.verify(None)), pin!(store.verify(None)));
        queue(third.as_mut());
        queue(fourth.as_mut());
        says_that_the_queue_is_full(wait(store.verify(None)));
        let refused = wait(database.backup(path.with_extension("backup")));
        let full = matches!(
            refused,
            Err(BackupError::Engine {
                cause: EngineError::QueueFull { .. }
            })
        );
        assert!(full, "{refused:?}");
        drop((short.let_go, long.let_go));
        wait(reading).unwrap();
        wait(verifying).unwrap();
        assert_eq!(wait(first).unwrap(), wait(second).unwrap());
        assert!(wait(third).unwrap().is_clean() && wait(fourth).unwrap().is_clean());
    }
}

/// A task that drops the last handle, on the only thread of its runtime: what was queued is not made,
/// and the file is closed.
#[test]
fn the_last_handle_dropped_within_a_runtime_waits_for_no_queued_call() {
    let (_folder, path) = file();
    let database = Database::open(&path, &Options::default()).unwrap();
    let (first, mut call) = held();
    wait(async {
        let (store, terms) = (Stores::of(&database).requests, terms());
        let mut holding = Box::pin(database.write(move |_| call()));
        queue(holding.as_mut());
        first.has_begun();
        for id in 0..200 {
            queue(pin!(store.create(&draft(id), &terms)));
        }
        drop(holding);
        drop(first.let_go);
    });
    wait(async move { drop(database) });
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap();
    assert_eq!(log.len(), 0, "it is closed in an orderly way");
    assert_eq!(stored(&path), 0);
}

/// Reads without an end, but for that of the engine.
fn endless(begins: Sender<()>) -> impl FnOnce(&Connection) -> Result<i64, Stop<Error>> + Send {
    move |connection: &Connection| {
        begins.send(()).unwrap();
        let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
            SELECT count(*) FROM n";
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    }
}

#[test]
fn a_read_that_is_given_up_while_it_runs_holds_up_nobody() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let stores = Stores::of(&database);
    let (begins, begun) = channel();
    {
        let mut short = pin!(database.read(endless(begins.clone())));
        let mut long = pin!(database.read_long(endless(begins.clone())));
        queue(short.as_mut());
        queue(long.as_mut());
        begun.recv().unwrap();
        begun.recv().unwrap();
    }
    stores.answer();
    assert!(wait(stores.requests.verify(None)).unwrap().is_clean());
    {
        let mut again = pin!(database.read_long(endless(begins)));
        queue(again.as_mut());
        begun.recv().unwrap();
    }
    drop((stores, database));
}

#[test]
fn closing_waits_for_the_change_that_has_begun_and_blocks_no_thread() {
    let (_folder, path) = file();
    let database = Database::open(&path, &Options::default()).unwrap();
    wait(Stores::of(&database).requests.create(&draft(1), &terms())).unwrap();
    let (held, mut call) = held();
    {
        let mut holding = pin!(database.write(move |_| call()));
        queue(holding.as_mut());
        held.has_begun();
    }
    let mut first = pin!(database.clone().close());
    queue(first.as_mut());
    let mut last = pin!(database.close());
    queue(last.as_mut());
    queue(first.as_mut());
    drop(held.let_go);
    wait(last);
    wait(first);
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap();
    assert_eq!(log.len(), 0, "it is closed in an orderly way");
    assert_eq!(stored(&path), 1);
}

/// Whoever closes waits for the others; what they do meanwhile is done.
#[test]
fn closing_waits_for_whoever_else_has_a_handle() {
    let (_folder, path) = file();
    let database = Database::open(&path, &Options::default()).unwrap();
    let store = Stores::of(&database).requests;
    let mut close = pin!(database.close());
    queue(close.as_mut());
    wait(store.create(&draft(1), &terms())).unwrap();
    queue(close.as_mut());
    drop(store);
    wait(close);
    assert_eq!(stored(&path), 1);
}

mod batches;
mod locks;
mod snapshots;
