//! Calls that wait, that are given up and that are too many; and calls whose thread ends: what they
//! say, and what is said of those that wait behind them.
//!
//! A thread survives every panic but one: that of the panic's own payload when it is dropped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;
use std::panic::panic_any;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Waker};

use countersign_core::clock::ManualTicks;
use rusqlite::Connection;

use super::*;
#[cfg(feature = "request")]
use crate::batch::Writing;
use crate::reads;

/// What ends a thread if a call panics with it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a payload panics when it is dropped");
    }
}

type Answer = Result<(), Stop<()>>;

fn one_thread() -> Workers<Connection> {
    one_thread_with_places(2_000)
}

fn one_thread_with_places(places: usize) -> Workers<Connection> {
    let connection = Connection::open_in_memory().unwrap();
    let waiting = Waiting::new(places, Duration::ZERO, Arc::new(ManualTicks::new()));
    Workers::start(
        "countersign-test",
        vec![connection],
        &waiting,
        reads::together,
    )
    .unwrap()
}

/// A call that begins, waits until it is let go, and takes its thread with it.
fn fatal() -> (
    Sender<()>,
    impl FnOnce(&mut Connection, &Caller) -> Answer + Send,
) {
    let (let_go, gate) = channel::<()>();
    let call = move |_: &mut Connection, _: &Caller| {
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
            outcome,
        })) => outcome == Outcome::Unknown,
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
    let mut behind = pin!(workers.call(|_: &mut Connection, _: &Caller| Ok::<(), Stop<()>>(())));
    queue(behind.as_mut());
    drop(let_go);
    assert!(unknown(wait(first)), "it had begun");
    assert!(!unknown(wait(behind)), "it had not begun");
    let later = workers.call(|_: &mut Connection, _: &Caller| Ok::<(), Stop<()>>(()));
    assert!(!unknown(wait(later)), "nobody can begin it");
}

#[test]
fn a_call_that_panics_was_not_made_and_leaves_its_thread() {
    let workers = one_thread();
    let call = |_: &mut Connection, _: &Caller| -> Answer { panic!("a clock panics") };
    match wait(workers.call(call)) {
        Err(Stop::Failed(Failure {
            source: EngineError::Panicked,
            outcome: Outcome::NotApplied,
        })) => {}
        other => panic!("a panic ends its call, before it is committed: {other:?}"),
    }
    wait(workers.call(|_: &mut Connection, _: &Caller| Ok::<(), Stop<()>>(()))).unwrap();
}

/// A call that begins, tells so, and waits until it is let go.
fn held() -> (
    Receiver<()>,
    Sender<()>,
    impl FnOnce(&mut Connection, &Caller) -> Answer + Send,
) {
    let (begins, begun) = channel();
    let (let_go, gate) = channel::<()>();
    let call = move |_: &mut Connection, _: &Caller| {
        let _ = begins.send(());
        let _ = gate.recv();
        Ok(())
    };
    (begun, let_go, call)
}

/// A call that tells its number.
fn telling(
    number: u32,
    happens: &Sender<u32>,
) -> impl FnOnce(&mut Connection, &Caller) -> Answer + Send + use<> {
    let happens = happens.clone();
    move |_: &mut Connection, _: &Caller| {
        happens.send(number).unwrap();
        Ok(())
    }
}

/// Dropping closes the queue and waits for the call that has begun, which is made though nobody waits
/// for it; those behind it are not.
#[test]
fn calls_that_are_given_up_while_queued_are_not_made_and_the_drop_waits_for_the_one_that_has_begun()
{
    const CALLS: u32 = 1_000;
    let workers = one_thread();
    let (begins, begun) = channel();
    let (let_go, gate) = channel::<()>();
    let (happens, happened) = channel();
    {
        let first = happens.clone();
        let mut first = pin!(workers.call(move |_: &mut Connection, _: &Caller| {
            begins.send(()).unwrap();
            let _ = gate.recv();
            first.send(CALLS).unwrap();
            Ok::<(), Stop<()>>(())
        }));
        queue(first.as_mut());
        begun.recv().unwrap();
        for number in 0..CALLS {
            queue(pin!(workers.call(telling(number, &happens))));
        }
    }
    let closing = thread::spawn(move || {
        drop(workers);
        happens.send(CALLS + 1).unwrap();
    });
    drop(let_go);
    let happened: Vec<u32> = happened.iter().collect();
    assert_eq!(
        happened,
        [CALLS, CALLS + 1],
        "what has begun is made, nothing else is, and then the drop is over"
    );
    closing.join().unwrap();
}

#[test]
fn calls_whose_callers_wait_are_made_in_order_though_others_between_them_were_given_up() {
    let workers = one_thread();
    let (begun, let_go, call) = held();
    let (happens, happened) = channel();
    let mut first = pin!(workers.call(call));
    queue(first.as_mut());
    begun.recv().unwrap();
    let mut waiting = Vec::new();
    for number in 0..100 {
        let mut call = Box::pin(workers.call(telling(number, &happens)));
        queue(call.as_mut());
        if number % 2 == 1 {
            waiting.push(call);
        }
    }
    drop((let_go, happens));
    wait(first).unwrap();
    for call in waiting {
        wait(call).unwrap();
    }
    let happened: Vec<u32> = happened.iter().collect();
    assert_eq!(happened, (0..50).map(|n| 2 * n + 1).collect::<Vec<_>>());
}

/// Who gives up after the beginning does not know whether the call is made: it is.
#[test]
fn a_call_that_is_given_up_while_it_runs_is_made() {
    let workers = one_thread();
    let (begins, begun) = channel();
    let (let_go, gate) = channel::<()>();
    let (happens, happened) = channel();
    {
        let mut call = pin!(workers.call(move |_: &mut Connection, caller: &Caller| {
            let before = caller.has_given_up();
            begins.send(()).unwrap();
            let _ = gate.recv();
            happens.send((before, caller.has_given_up())).unwrap();
            Ok::<(), Stop<()>>(())
        }));
        queue(call.as_mut());
        begun.recv().unwrap();
    }
    drop(let_go);
    assert_eq!(happened.recv(), Ok((false, true)), "it can see that");
}

fn waiting_calls(answer: Answer) -> usize {
    match answer {
        Err(Stop::Failed(Failure {
            source: EngineError::QueueFull { waiting },
            outcome: Outcome::NotApplied,
        })) => waiting,
        other => panic!("it is not said that the queue is full: {other:?}"),
    }
}

#[test]
fn a_call_too_many_is_refused_at_once_and_the_last_that_fits_is_made() {
    for (asked, places) in [(0, 1), (1, 1), (2, 2), (7, 7)] {
        let workers = one_thread_with_places(asked);
        let (begun, let_go, call) = held();
        let (happens, happened) = channel();
        let mut first = pin!(workers.call(call));
        queue(first.as_mut());
        begun.recv().unwrap();
        let mut waiting = Vec::new();
        for number in 0..places {
            let mut call = Box::pin(workers.call(telling(number, &happens)));
            queue(call.as_mut());
            waiting.push(call);
        }
        let refused = wait(workers.call(telling(99, &happens)));
        assert_eq!(waiting_calls(refused), places as usize);
        drop(let_go);
        wait(first).unwrap();
        for call in waiting {
            wait(call).unwrap();
        }
        wait(workers.call(telling(places, &happens))).unwrap();
        drop(happens);
        let happened: Vec<u32> = happened.iter().collect();
        assert_eq!(happened, (0..=places).collect::<Vec<_>>());
    }
}

/// Places are made when the queue is: as many as there are addresses would end the process.
#[test]
fn a_queue_of_any_length_can_be_asked_for() {
    let workers = one_thread_with_places(usize::MAX);
    assert_eq!(workers.waiting.places, MOST_PLACES);
    wait(workers.call(|_: &mut Connection, _: &Caller| Ok::<(), Stop<()>>(()))).unwrap();
}

/// What a caller waits for another process counts from when the call is queued.
#[test]
fn the_patience_of_a_call_is_used_up_while_it_is_queued() {
    let connection = Connection::open_in_memory().unwrap();
    let (ticks, nanosecond) = (Arc::new(ManualTicks::new()), Duration::from_nanos(1));
    let second = Duration::from_secs(1);
    let waiting = Waiting::new(10, second, ticks.clone());
    let workers = Workers::start(
        "countersign-test",
        vec![connection],
        &waiting,
        reads::together,
    )
    .unwrap();
    let left = |_: &mut Connection, caller: &Caller| Ok::<_, Stop<()>>(caller.patience());
    for (passes, expected) in [
        (Duration::ZERO, second),
        (nanosecond, second - nanosecond),
        (second - nanosecond, nanosecond),
        (second, Duration::ZERO),
        (second + nanosecond, Duration::ZERO),
        (Duration::from_secs(1_000), Duration::ZERO),
    ] {
        let (begun, let_go, call) = held();
        let mut first = pin!(workers.call(call));
        queue(first.as_mut());
        begun.recv().unwrap();
        let mut asked = pin!(workers.call(left));
        queue(asked.as_mut());
        ticks.advance(passes);
        let mut later = pin!(workers.call(left));
        queue(later.as_mut());
        drop(let_go);
        wait(first).unwrap();
        assert_eq!(wait(asked).unwrap(), expected, "after {passes:?}");
        assert_eq!(wait(later).unwrap(), second, "that one has just come");
    }
}

/// The last handle may be what a call holds: the thread that drops it waits for the others only.
#[test]
fn a_thread_that_drops_its_own_workers_does_not_wait_for_itself() {
    let workers = Arc::new(one_thread());
    let held = Arc::clone(&workers);
    let (begins, begun) = channel();
    let (let_go, gate) = channel::<()>();
    let (happens, happened) = channel();
    {
        let mut call = pin!(workers.call(move |_: &mut Connection, _: &Caller| {
            begins.send(()).unwrap();
            let _ = gate.recv();
            drop(held);
            happens.send(()).unwrap();
            Ok::<(), Stop<()>>(())
        }));
        queue(call.as_mut());
        begun.recv().unwrap();
    }
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
        Err(Error::Backend(countersign_core::engine::Failure { outcome, .. })) => outcome,
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
        let failing = move || -> Result<(), Stop<Error>> {
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into())
        };
        let written = wait(database.write(move |_: &mut Writing| failing()));
        let read = wait(database.read(move |_: &Connection| failing()));
        for result in [written, read] {
            match result {
                Err(Error::Backend(countersign_core::engine::Failure { outcome, .. })) => {
                    assert_eq!(outcome, Outcome::NotApplied)
                }
                other => panic!("the engine's failure is an error: {other:?}"),
            }
        }
    }
}
