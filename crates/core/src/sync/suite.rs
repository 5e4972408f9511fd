//! Running concurrency suites: tasks that start together on real threads, under a watchdog.
//!
//! - A suite that does not end fails by name, with what it was waiting for. The limit is far
//!   beyond what any suite takes, and decides about nothing but suites that would never end.
//! - A task that panics fails its suite at once, even if other tasks are waiting for it.
//! - The watchdog is a thread of its own: it also sees a suite whose threads all block.
//!
//! Only for tests, with the feature `test-util`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a suite that goes wrong fails its test"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// How long a suite may take, in real time.
const LIMIT: Duration = Duration::from_secs(120);

/// How many threads run the tasks of a suite.
const THREADS: usize = 4;

/// How many of the things that a suite waits for are named.
const NAMED: usize = 5;

/// Runs a suite on four threads and returns when it has ended.
///
/// ```
/// use countersign_core::sync::suite;
///
/// suite::run("squares", |suite| async move {
///     let squares = suite.together((0..3).map(|n| async move { n * n })).await;
///     assert_eq!(squares, [0, 1, 4]);
/// });
/// ```
///
/// # Panics
/// If the suite panics, or has not ended after 120 seconds of real time; the message then says
/// what it was waiting for. Threads of such a suite stay behind until the process ends.
pub fn run<F>(name: &str, suite: impl FnOnce(Suite) -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    run_within(LIMIT, name, suite);
}

fn run_within<F>(limit: Duration, name: &str, suite: impl FnOnce(Suite) -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    let handle = Suite::default();
    let waits = handle.clone();
    let (sender, ended) = mpsc::channel::<()>();
    let runner = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Dropped last, so that the end of the runtime is waited for as well.
        let _sender = sender;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_time()
            .build()
            .expect("a runtime can be started");
        runtime.block_on(suite(handle));
    });
    let runner = runner.expect("a thread can be started");
    if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        panic!("suite `{name}` hangs: after {limit:?} it waits for {waits}");
    }
    if let Err(panic) = runner.join() {
        resume_unwind(panic);
    }
}

/// A suite under way: starts its tasks and knows what it waits for. Clones are the same suite.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    waits: Arc<Mutex<Waits>>,
}

#[derive(Debug, Default)]
struct Waits {
    next: u64,
    open: BTreeMap<u64, String>,
}

impl Suite {
    /// Runs tasks that start together, and gives what they gave, in order.
    ///
    /// # Panics
    /// As soon as one of the tasks panics.
    pub async fn together<T, F>(&self, tasks: impl IntoIterator<Item = F>) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.start(tasks).join().await
    }

    /// Starts tasks together, to be joined later.
    pub fn start<T, F>(&self, tasks: impl IntoIterator<Item = F>) -> Running<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let tasks: Vec<F> = tasks.into_iter().collect();
        let count = tasks.len();
        let barrier = Arc::new(Barrier::new(count));
        let mut running = JoinSet::new();
        for (number, task) in tasks.into_iter().enumerate() {
            let (suite, barrier) = (self.clone(), Arc::clone(&barrier));
            let open = suite.open(format!("task {number} of {count}"));
            running.spawn(async move {
                let _open = open;
                barrier.wait().await;
                (number, task.await)
            });
        }
        Running { tasks: running }
    }

    /// Awaits something under a name, which the suite's failure gives if it never comes.
    pub async fn waiting_for<T>(&self, what: &str, wait: impl Future<Output = T>) -> T {
        let _open = self.open(what.to_owned());
        wait.await
    }

    fn open(&self, what: String) -> Open {
        let mut waits = self.lock();
        let number = waits.next;
        waits.next += 1;
        waits.open.insert(number, what);
        drop(waits);
        Open {
            suite: self.clone(),
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waits = self.lock();
        let named: Vec<&str> = waits
            .open
            .values()
            .take(NAMED)
            .map(String::as_str)
            .collect();
        match waits.open.len() {
            0 => f.write_str("nothing that it has named"),
            count if count > NAMED => {
                write!(f, "{} and {} more", named.join(", "), count - NAMED)
            }
            _ => f.write_str(&named.join(", ")),
        }
    }
}

/// Something that is waited for, until it is dropped.
#[derive(Debug)]
struct Open {
    suite: Suite,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.suite.lock().open.remove(&self.number);
    }
}

/// Tasks that were started together.
#[derive(Debug)]
#[must_use = "tasks that are not joined are cancelled"]
pub struct Running<T> {
    tasks: JoinSet<(usize, T)>,
}

impl<T: Send + 'static> Running<T> {
    /// Waits for all of them, and gives what they gave, in order.
    ///
    /// # Panics
    /// As soon as one of the tasks panics.
    pub async fn join(mut self) -> Vec<T> {
        let mut results = BTreeMap::new();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok((number, result)) => drop(results.insert(number, result)),
                Err(error) => resume_unwind(error.into_panic()),
            }
        }
        results.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::panic::catch_unwind;

    use super::*;

    /// Long enough for a thread to start, short enough to wait for.
    const SHORT: Duration = Duration::from_millis(300);

    fn failure<F>(limit: Duration, suite: impl FnOnce(Suite) -> F + Send + 'static) -> String
    where
        F: Future<Output = ()>,
    {
        let suite = std::panic::AssertUnwindSafe(suite);
        let panic = catch_unwind(|| run_within(limit, "planted", { suite }.0)).unwrap_err();
        let text = panic.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
    }

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        run("order", |suite| async move {
            let results = suite.together((0..50).map(|n| async move { n })).await;
            assert_eq!(results, (0..50).collect::<Vec<_>>());
            assert_eq!(suite.to_string(), "nothing that it has named");
        });
    }

    #[test]
    fn suite_that_hangs_fails_with_what_it_waits_for() {
        let message = failure(SHORT, |suite| async move {
            let tasks = suite.start((0..9).map(|n| async move {
                if n % 2 == 1 {
                    pending::<()>().await;
                }
            }));
            let ended = async {
                while suite.lock().open.len() > 5 {
                    tokio::task::yield_now().await;
                }
            };
            suite.waiting_for("the even ones", ended).await;
            suite.waiting_for("the moon", tasks.join()).await;
        });
        let expected = "suite `planted` hangs: after 300ms it waits for \
                        task 1 of 9, task 3 of 9, task 5 of 9, task 7 of 9, the moon";
        assert_eq!(message, expected);
    }

    #[test]
    fn suite_whose_threads_all_block_fails_too() {
        let message = failure(SHORT, |suite| async move {
            let stuck = Arc::new(std::sync::Barrier::new(THREADS + 2));
            let tasks = (0..THREADS).map(|_| {
                let stuck = Arc::clone(&stuck);
                async move {
                    stuck.wait();
                }
            });
            let _tasks = suite.start(tasks);
            stuck.wait();
        });
        assert!(message.ends_with("task 3 of 4"), "{message}");
    }

    #[test]
    fn task_that_panics_fails_its_suite_though_others_wait() {
        let message = failure(LIMIT, |suite| async move {
            let tasks = (0..3).map(|n| async move {
                if n == 2 {
                    panic!("planted in task {n}");
                }
                pending::<()>().await
            });
            suite.together(tasks).await;
        });
        assert_eq!(message, "planted in task 2");
    }
}
