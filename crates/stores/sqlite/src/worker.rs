//! Threads that own a connection each, so that no call blocks the async runtime.
//!
//! A call is queued for the threads ([`crate::queue`]); its answer comes back over a oneshot channel that
//! any runtime can await. Nothing is queued before the returned future is polled. How the threads make
//! the calls is another's affair: `reads.rs` and `batch.rs`.
//!
//! If the future is dropped before a thread has begun the call, it is not made, and its place in the
//! queue is another's. After that it is made, unless it looks at its [`Caller`] and ends by itself, and
//! its answer is thrown away.
//!
//! Invariant: a panic within a call ends that call and not the thread.
//!
//! Invariant: a call whose thread has ended says so. Unless it had begun, it was not made, and says
//! that too.
//!
//! Invariant: a future of a call borrows the workers, so that whoever drops them waits for the calls
//! that have begun and for no other: the callers of all that are queued have given up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use countersign_core::clock::{Tick, Ticks};
use countersign_core::engine::Outcome;
use tokio::sync::oneshot;

use crate::error::{EngineError, Failure, Stop};
use crate::queue::{Place, Queue, Refused};

/// The most calls that a queue can be told to hold: what they take of the memory has an end.
const MOST_PLACES: usize = 65_536;

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
    flags: Arc<Flags>,
}

/// What is only ever set.
#[derive(Debug, Default)]
struct Flags {
    has_given_up: AtomicBool,
    has_begun: AtomicBool,
}

impl Caller {
    /// For how much longer the call can wait for another process.
    pub(crate) fn patience(&self) -> Duration {
        self.patience_at(self.now())
    }

    /// The same of a time that is known already.
    pub(crate) fn patience_at(&self, now: Tick) -> Duration {
        self.until.since(now)
    }

    pub(crate) fn now(&self) -> Tick {
        self.ticks.now()
    }

    /// Whether nobody waits for the answer.
    pub(crate) fn has_given_up(&self) -> bool {
        self.flags.has_given_up.load(Ordering::Acquire)
    }
}

/// How a call ended, for whoever makes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Made,
    /// With an answer of its store that says that nothing was done.
    Refused,
    /// With a failure of the engine.
    Failed,
    Panicked,
}

/// A call that its thread makes with an `X`, and then answers.
pub(crate) trait Call<X>: Send {
    fn caller(&self) -> &Caller;

    /// How it ended when it was last made.
    fn ending(&self) -> Option<Ending>;

    /// Makes it, or makes it again.
    fn make(&mut self, with: &mut X) -> Ending;

    /// Gives its last result to the caller, or the failure that stands in the place of it.
    fn answer(self: Box<Self>, instead: Option<Failure>);
}

/// A call, whatever it gives.
pub(crate) type Queued<X> = Box<dyn Call<X>>;

struct Asked<F, T, E> {
    work: F,
    caller: Caller,
    result: Option<Result<T, Stop<E>>>,
    ending: Option<Ending>,
    answer: oneshot::Sender<Result<T, Stop<E>>>,
}

impl<X, F, T, E> Call<X> for Asked<F, T, E>
where
    F: FnMut(&mut X, &Caller) -> Result<T, Stop<E>> + Send,
    T: Send,
    E: Send,
{
    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn ending(&self) -> Option<Ending> {
        self.ending
    }

    fn make(&mut self, with: &mut X) -> Ending {
        self.caller.flags.has_begun.store(true, Ordering::Release);
        let make = || (self.work)(with, &self.caller);
        let (result, ending) = match catch_unwind(AssertUnwindSafe(make)) {
            Ok(Ok(made)) => (Ok(made), Ending::Made),
            Ok(Err(Stop::Answer(error))) => (Err(Stop::Answer(error)), Ending::Refused),
            Ok(Err(failed)) => (Err(failed), Ending::Failed),
            Err(_) => (Err(EngineError::Panicked.into()), Ending::Panicked),
        };
        self.result = Some(result);
        self.ending = Some(ending);
        ending
    }

    fn answer(self: Box<Self>, instead: Option<Failure>) {
        let Self {
            work,
            result,
            answer,
            ..
        } = *self;
        // What it holds may be more than a value.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(work)));
        let result = match instead {
            Some(failure) => Some(Err(failure.into())),
            None => result,
        };
        if let Some(result) = result {
            // Nobody waits for an answer whose future was dropped.
            let _ = answer.send(result);
        }
    }
}

/// Goes with the future of a call.
struct Attention<'q, X> {
    queue: &'q Queue<Queued<X>>,
    flags: Arc<Flags>,
    /// None once it is answered.
    place: Option<Place>,
}

impl<X> Drop for Attention<'_, X> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.flags.has_given_up.store(true, Ordering::Release);
            self.queue.remove(place);
        }
    }
}

/// Threads that share one queue of calls.
pub(crate) struct Workers<X> {
    queue: Arc<Queue<Queued<X>>>,
    waiting: Waiting,
    threads: Vec<JoinHandle<()>>,
}

impl<X: 'static> Workers<X> {
    /// One thread for each connection, or for what holds it. A thread makes calls with `serve` until
    /// the queue is closed.
    pub(crate) fn start(
        name: &str,
        connections: Vec<X>,
        waiting: &Waiting,
        serve: impl Fn(X, &Queue<Queued<X>>) + Clone + Send + 'static,
    ) -> std::io::Result<Self>
    where
        X: Send,
    {
        let queue = Queue::new(waiting.places, connections.len());
        let mut workers = Self {
            queue: Arc::new(queue),
            waiting: waiting.clone(),
            threads: Vec::with_capacity(connections.len()),
        };
        for connection in connections {
            let (present, serve) = (Present(Arc::clone(&workers.queue)), serve.clone());
            let thread = thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || serve(connection, &present.0))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Makes a call on one of the threads, once.
    pub(crate) async fn call<T, E>(
        &self,
        call: impl FnOnce(&mut X, &Caller) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, Stop<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let mut call = Some(call);
        let once = move |with: &mut X, caller: &Caller| match call.take() {
            Some(call) => call(with, caller),
            None => Err(EngineError::Closed.into()),
        };
        self.call_again(once).await
    }

    /// Makes a call on one of the threads, which may make it again before it answers.
    pub(crate) async fn call_again<T, E>(
        &self,
        call: impl FnMut(&mut X, &Caller) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, Stop<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let flags = Arc::<Flags>::default();
        let caller = Caller {
            until: self.waiting.ticks.now().plus(self.waiting.patience),
            ticks: Arc::clone(&self.waiting.ticks),
            flags: Arc::clone(&flags),
        };
        let asked = Asked {
            work: call,
            caller,
            result: None,
            ending: None,
            answer,
        };
        let place = self.queue.push(Box::new(asked)).map_err(|why| match why {
            Refused::Full => EngineError::QueueFull {
                waiting: self.waiting.places,
            },
            Refused::Closed => EngineError::Closed,
        })?;
        let mut attention = Attention {
            queue: &self.queue,
            flags,
            place: Some(place),
        };
        let answer = answered.await;
        attention.place = None;
        answer.unwrap_or_else(|_| {
            Err(Stop::Failed(Failure {
                source: EngineError::Closed,
                outcome: match attention.flags.has_begun.load(Ordering::Acquire) {
                    true => Outcome::Unknown,
                    false => Outcome::NotApplied,
                },
            }))
        })
    }
}

/// A thread that makes calls, until it ends, however it does.
struct Present<X>(Arc<Queue<Queued<X>>>);

impl<X> Drop for Present<X> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Waits until the calls that have begun are done and the connections are closed, so that the file
/// can be opened again, moved or removed.
impl<X> Drop for Workers<X> {
    fn drop(&mut self) {
        self.queue.close();
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
