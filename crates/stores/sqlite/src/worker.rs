//! Threads that own a connection each, so that no call blocks the async runtime.
//!
//! A call is a closure sent over a channel; its answer comes back over a oneshot channel that any
//! runtime can await. Nothing is sent before the returned future is polled. Only so many calls wait
//! in a queue: the next is refused at once.
//!
//! If the future is dropped before a thread has begun the call, it is not made. After that it is made,
//! unless it looks at its [`Caller`] and ends by itself, and its answer is thrown away.
//!
//! After each call that it made a thread does what else is to be done with its connection, and so it
//! does before it ends; nobody waits for the former.
//!
//! Invariant: a panic within a call ends that call and not the thread.
//!
//! Invariant: a call whose thread has ended says so. Unless it had begun, it was not made, and says
//! that too.
//!
//! Invariant: a future of a call borrows the workers, so that whoever drops them waits for the calls
//! that have begun and for no other: the callers of all that are queued have given up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use countersign_core::clock::{Tick, Ticks};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{EngineError, Failure, Stop};
use crate::file::Opened;

/// Whether it was made.
type Job = Box<dyn FnOnce(&mut Connection) -> bool + Send>;

/// The most calls that a queue can be told to hold: its places are made when it is.
const MOST_PLACES: usize = 65_536;

/// What a thread does beside its calls.
#[derive(Clone)]
pub(crate) struct Upkeep {
    pub(crate) opened: Arc<Opened>,
    /// After each call.
    pub(crate) after_call: fn(&Opened, &Connection),
    /// Before the connection is closed.
    pub(crate) at_end: fn(&Opened, &Connection),
}

/// How calls wait.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    /// How many wait in a queue: from 1 to [`MOST_PLACES`].
    places: usize,
    /// How long each waits for another process, counted from when it is queued.
    patience: Duration,
    ticks: Arc<dyn Ticks>,
}

impl Waiting {
    pub(crate) fn new(places: usize, patience: Duration, ticks: Arc<dyn Ticks>) -> Self {
        Self {
            places: places.clamp(1, MOST_PLACES),
            patience,
            ticks,
        }
    }
}

/// Who waits for a call, as the thread that makes it sees them.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    until: Tick,
    ticks: Arc<dyn Ticks>,
    has_given_up: Arc<AtomicBool>,
}

impl Caller {
    /// For how much longer the call can wait for another process.
    pub(crate) fn patience(&self) -> Duration {
        self.until.since(self.ticks.now())
    }

    /// Whether nobody waits for the answer.
    pub(crate) fn has_given_up(&self) -> bool {
        self.has_given_up.load(Ordering::Acquire)
    }
}

/// Goes with the future of a call.
struct Attention(Arc<AtomicBool>);

impl Drop for Attention {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Threads that share one queue of calls.
pub(crate) struct Workers {
    queue: Option<SyncSender<Job>>,
    waiting: Waiting,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// One thread for each connection.
    pub(crate) fn start(
        name: &str,
        connections: Vec<Connection>,
        waiting: &Waiting,
        upkeep: Option<&Upkeep>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel::<Job>(waiting.places);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut workers = Self {
            queue: Some(queue),
            waiting: waiting.clone(),
            threads: Vec::with_capacity(connections.len()),
        };
        for connection in connections {
            let (jobs, upkeep) = (Arc::clone(&jobs), upkeep.cloned());
            let thread = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || serve(connection, &jobs, upkeep))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Makes a call on one of the threads.
    pub(crate) async fn call<T, E>(
        &self,
        call: impl FnOnce(&mut Connection, &Caller) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, Stop<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let caller = Caller {
            until: self.waiting.ticks.now().plus(self.waiting.patience),
            ticks: Arc::clone(&self.waiting.ticks),
            has_given_up: Arc::default(),
        };
        let _attention = Attention(Arc::clone(&caller.has_given_up));
        let job: Job = Box::new(move |connection| {
            if caller.has_given_up() {
                return false;
            }
            begins.store(true, Ordering::Release);
            let result = catch_unwind(AssertUnwindSafe(|| call(connection, &caller)));
            let panicked = |_| Err(EngineError::Panicked.into());
            // Nobody waits for an answer whose future was dropped.
            let _ = answer.send(result.unwrap_or_else(panicked));
            true
        });
        match self.queue.as_ref().map(|queue| queue.try_send(job)) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => {
                let waiting = self.waiting.places;
                return Err(EngineError::QueueFull { waiting }.into());
            }
            Some(Err(TrySendError::Disconnected(_))) | None => {
                return Err(EngineError::Closed.into());
            }
        }
        answered.await.unwrap_or_else(|_| {
            Err(Stop::Failed(Failure {
                source: EngineError::Closed,
                unknown: begun.load(Ordering::Acquire),
            }))
        })
    }
}

fn serve(mut connection: Connection, jobs: &Mutex<Receiver<Job>>, upkeep: Option<Upkeep>) {
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        let made = job(&mut connection);
        if let (true, Some(upkeep)) = (made, &upkeep) {
            (upkeep.after_call)(&upkeep.opened, &connection);
        }
    }
    if let Some(upkeep) = &upkeep {
        (upkeep.at_end)(&upkeep.opened, &connection);
    }
}

/// Waits until the calls that have begun are done and the connections are closed, so that the file
/// can be opened again, moved or removed.
impl Drop for Workers {
    fn drop(&mut self) {
        self.queue = None;
        let own = thread::current().id();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != own {
                // A thread does not panic; were it to, there is nobody to tell.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;
