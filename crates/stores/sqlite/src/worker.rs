//! Threads that own a connection each, so that no call blocks the async runtime.
//!
//! A call is a closure sent over a channel; its answer comes back over a oneshot channel that any
//! runtime can await. Nothing is sent before the returned future is polled. If the future is
//! dropped after that, the call is made all the same and its answer is thrown away.
//!
//! After each call a thread does what else is to be done with its connection, and so it does before
//! it ends; nobody waits for the former.
//!
//! Invariant: a panic within a call ends that call and not the thread.
//!
//! Invariant: a call whose thread has ended says so. Unless it had begun, it was not made, and says
//! that too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{EngineError, Failure, Stop};
use crate::file::Opened;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// What a thread does beside its calls.
#[derive(Clone)]
pub(crate) struct Upkeep {
    pub(crate) opened: Arc<Opened>,
    /// After each call.
    pub(crate) after_call: fn(&Opened, &Connection),
    /// Before the connection is closed.
    pub(crate) at_end: fn(&Opened, &Connection),
}

/// Threads that share one queue of calls.
pub(crate) struct Workers {
    queue: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// One thread for each connection.
    pub(crate) fn start(
        name: &str,
        connections: Vec<Connection>,
        upkeep: Option<&Upkeep>,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        let mut workers = Self {
            queue: Some(queue),
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
        call: impl FnOnce(&mut Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, Stop<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let job: Job = Box::new(move |connection| {
            begins.store(true, Ordering::Release);
            let result = catch_unwind(AssertUnwindSafe(|| call(connection)));
            let panicked = |_| Err(EngineError::Panicked.into());
            // Nobody waits for an answer whose future was dropped.
            let _ = answer.send(result.unwrap_or_else(panicked));
        });
        let sent = self.queue.as_ref().map(|queue| queue.send(job));
        if !matches!(sent, Some(Ok(()))) {
            return Err(EngineError::Closed.into());
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
        job(&mut connection);
        if let Some(upkeep) = &upkeep {
            (upkeep.after_call)(&upkeep.opened, &connection);
        }
    }
    if let Some(upkeep) = &upkeep {
        (upkeep.at_end)(&upkeep.opened, &connection);
    }
}

/// Waits until the calls that were made are done and the connections are closed, so that the file
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
