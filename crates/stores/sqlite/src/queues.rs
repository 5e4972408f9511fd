//! Who waits for whom: the queues of a file, with calls that the test holds at a gate.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Waker};

use countersign_request::{Error, RequestId, Store as _, SystemClock};
use tempfile::TempDir;

use crate::error::Stop;
use crate::{Database, EventStore, Options, PolicyStore, RequestStore};

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
fn held<C: ?Sized>() -> (Held, impl FnOnce(&C) -> Result<(), Stop<Error>> + Send) {
    let (begins, begun) = channel();
    let (let_go, gate) = channel::<()>();
    let call = move |_: &C| {
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
    events: EventStore,
    policies: PolicyStore,
}

impl Stores {
    fn of(database: &Database) -> Self {
        let clock = Arc::new(SystemClock);
        Self {
            requests: RequestStore::new(database, clock.clone()),
            events: EventStore::new(database, clock.clone()),
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
        wait(self.events.head()).unwrap();
        wait(self.policies.head()).unwrap();
    }
}

/// A daily `verify` of two stores, and a backup: whatever reads everything.
#[test]
fn two_long_reads_stop_no_other_read() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let stores = Stores::of(&database);
    let (first, call) = held();
    let mut holding = pin!(database.read_long(call));
    queue(holding.as_mut());
    first.has_begun();
    let mut verifies = pin!(async {
        (
            stores.requests.verify(None).await.unwrap(),
            stores.events.verify(None).await.unwrap(),
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
    let (requests, events) = wait(verifies);
    assert!(requests.is_clean() && events.is_clean());
    assert!(wait(policies).unwrap().is_clean());
    assert_eq!(wait(backup).unwrap().reports.len(), 3);
}

#[test]
fn reads_that_are_held_stop_no_long_read() {
    let (_folder, path) = file();
    let database = Database::open(&path, &one_reader()).unwrap();
    let stores = Stores::of(&database);
    let (first, call) = held();
    let mut holding = pin!(database.read(call));
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
    let (first, call) = held();
    let mut holding = pin!(database.read_long(call));
    queue(holding.as_mut());
    first.has_begun();
    let mut verify = pin!(stores.requests.verify(None));
    queue(verify.as_mut());
    stores.answer();
    drop(first.let_go);
    wait(holding).unwrap();
    assert!(wait(verify).unwrap().is_clean());
}
