//! Calls whose thread ends: what they say, and what is said of those that wait behind them.
//!
//! A thread survives every panic but one: that of the panic's own payload when it is dropped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::panic::panic_any;
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Waker};

use super::*;

/// What ends a thread if a call panics with it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a payload panics when it is dropped");
    }
}

type Answer = Result<(), Stop<()>>;

fn one_thread() -> Workers {
    let connection = Connection::open_in_memory().unwrap();
    Workers::start("countersign-test", vec![connection], None).unwrap()
}

/// A call that begins, waits until it is let go, and takes its thread with it.
fn fatal() -> (Sender<()>, impl FnOnce(&mut Connection) -> Answer + Send) {
    let (let_go, gate) = channel::<()>();
    let call = move |_: &mut Connection| {
        let _ = gate.recv();
        panic_any(Bomb)
    };
    (let_go, call)
}

/// Polls once, which queues the call.
fn queue<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) {
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it is queued, and not answered");
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn unknown(answer: Answer) -> bool {
    match answer {
        Err(Stop::Failed(Failure {
            source: EngineError::Closed,
            unknown,
        })) => unknown,
        other => panic!("it is not said that the thread has ended: {other:?}"),
    }
}

#[test]
fn a_call_that_is_lost_with_its_thread_may_have_been_made() {
    let workers = one_thread();
    let (let_go, call) = fatal();
    drop(let_go);
    assert!(unknown(wait(workers.call(call))), "nobody knows");
}

#[test]
fn what_waits_behind_a_lost_thread_was_not_made() {
    let workers = one_thread();
    let (let_go, call) = fatal();
    let mut first = pin!(workers.call(call));
    queue(first.as_mut());
    let mut behind = pin!(workers.call(|_: &mut Connection| Ok::<(), Stop<()>>(())));
    queue(behind.as_mut());
    drop(let_go);
    assert!(unknown(wait(first)), "it had begun");
    assert!(!unknown(wait(behind)), "it had not begun");
    let later = workers.call(|_: &mut Connection| Ok::<(), Stop<()>>(()));
    assert!(!unknown(wait(later)), "nobody can begin it");
}

#[test]
fn a_call_that_panics_was_not_made_and_leaves_its_thread() {
    let workers = one_thread();
    let call = |_: &mut Connection| -> Answer { panic!("a clock panics") };
    match wait(workers.call(call)) {
        Err(Stop::Failed(Failure {
            source: EngineError::Panicked,
            unknown: false,
        })) => {}
        other => panic!("a panic ends its call, before it is committed: {other:?}"),
    }
    wait(workers.call(|_: &mut Connection| Ok::<(), Stop<()>>(()))).unwrap();
}

/// Dropping closes the queue and waits: what was queued is made though nobody waits for it, and
/// before the drop is over.
#[test]
fn calls_that_are_queued_are_made_before_the_drop_is_over() {
    const CALLS: u32 = 1_000;
    let workers = one_thread();
    let (let_go, gate) = channel::<()>();
    let (happens, happened) = channel();
    {
        let mut first = pin!(workers.call(move |_: &mut Connection| {
            let _ = gate.recv();
            Ok::<(), Stop<()>>(())
        }));
        queue(first.as_mut());
        for number in 0..CALLS {
            let happens = happens.clone();
            let made = move |_: &mut Connection| {
                happens.send(number).unwrap();
                Ok::<(), Stop<()>>(())
            };
            queue(pin!(workers.call(made)));
        }
    }
    let closing = thread::spawn(move || {
        drop(workers);
        happens.send(CALLS).unwrap();
    });
    drop(let_go);
    let happened: Vec<u32> = happened.iter().collect();
    assert_eq!(
        happened,
        (0..=CALLS).collect::<Vec<_>>(),
        "each is made, in order, and then the drop is over"
    );
    closing.join().unwrap();
}

/// The last handle may be what a call holds: the thread that drops it waits for the others only.
#[test]
fn a_thread_that_drops_its_own_workers_does_not_wait_for_itself() {
    let workers = Arc::new(one_thread());
    let held = Arc::clone(&workers);
    let (let_go, gate) = channel::<()>();
    let (happens, happened) = channel();
    queue(pin!(workers.call(move |_: &mut Connection| {
        let _ = gate.recv();
        drop(held);
        happens.send(()).unwrap();
        Ok::<(), Stop<()>>(())
    })));
    drop(workers);
    drop(let_go);
    happened.recv().expect("it comes to its end");
}

#[cfg(feature = "request")]
#[test]
fn a_read_that_is_lost_with_its_thread_has_changed_nothing() {
    use countersign_request::{Error, Outcome};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let database = crate::Database::open(path, &crate::Options::default()).unwrap();
    let outcome = |result: Result<(), Error>| match result {
        Err(Error::Backend { outcome, .. }) => outcome,
        other => panic!("it is not said that the thread has ended: {other:?}"),
    };
    let read = database.read(|_| panic_any(Bomb));
    assert_eq!(outcome(wait(read)), Outcome::NotApplied);
    let write = database.write(|_| panic_any(Bomb));
    assert_eq!(outcome(wait(write)), Outcome::Unknown);
}

/// Before the commit nothing is there yet, whatever the engine met.
#[cfg(feature = "request")]
#[test]
fn an_error_before_the_commit_has_changed_nothing() {
    use countersign_request::{Error, Outcome};
    use rusqlite::ffi;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    let database = crate::Database::open(path, &crate::Options::default()).unwrap();
    for code in [ffi::SQLITE_IOERR, ffi::SQLITE_CORRUPT, ffi::SQLITE_NOMEM] {
        let failing = move |_: &Connection| -> Result<(), Stop<Error>> {
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into())
        };
        for result in [wait(database.write(failing)), wait(database.read(failing))] {
            match result {
                Err(Error::Backend { outcome, .. }) => assert_eq!(outcome, Outcome::NotApplied),
                other => panic!("the engine's failure is an error: {other:?}"),
            }
        }
    }
}
