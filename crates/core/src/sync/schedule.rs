//! Running bodies at full size under shuttle: schedules are drawn, counted, and can be repeated.
//!
//! Only under `--cfg countersign_shuttle`. A schedule states its claim in words;
//! [`Schedule::check`] runs its body under as many random and PCT schedules as were asked for,
//! prints what it ran, and fails if that is less, so that a schedule that runs nothing cannot
//! pass. A failure prints the command that runs the same schedule again. How many, the seed and
//! what is replayed come from variables that `cargo xtask schedules` sets.

#![allow(clippy::print_stdout, reason = "a schedule says what it ran")]

use std::env;
use std::fmt::{self, Display};
use std::future::Future;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::id::{OsRandom, RandomSource};

/// How many schedules of each kind are run unless `COUNTERSIGN_SCHEDULES` says otherwise.
const SCHEDULES: usize = 10_000;
/// How many times PCT takes the turn from the thread that has it, plus one.
const PCT_DEPTH: usize = 3;
/// A body that takes more turns than this goes on for ever.
const MOST_STEPS: usize = 200_000;
const STACK_BYTES: usize = 256 * 1024;

/// One body at full size.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// What it is called; so is its test, and so does a replay name it.
    pub name: &'static str,
    /// What holds under every schedule.
    pub claim: &'static str,
    /// How many threads it has.
    pub threads: usize,
    /// How many operations its threads make, not counting those made again after a conflict.
    pub operations: usize,
}

impl Schedule {
    /// Runs `body` under every schedule that is asked for and prints one line.
    ///
    /// # Panics
    /// If a run of the body panics, deadlocks or goes on for ever, or if fewer were run than were
    /// asked for.
    pub fn check(&self, body: impl Fn() + Send + Sync + 'static) {
        let body = Arc::new(body);
        if let Some(replay) = variable::<String>("COUNTERSIGN_REPLAY") {
            return self.replay(&replay, body);
        }
        let count = variable("COUNTERSIGN_SCHEDULES").unwrap_or(SCHEDULES);
        let seed = variable("COUNTERSIGN_SEED")
            .or_else(|| OsRandom.next_u64().ok())
            .unwrap_or(0);
        println!("schedule {}: begins, seed {seed}", self.name);
        let random = RandomScheduler::new_from_seed(seed, count);
        let random = self.run("random", seed, random, Arc::clone(&body));
        let pct = PctScheduler::new_from_seed(seed, PCT_DEPTH, count);
        let pct = self.run("pct", seed, pct, body);
        println!(
            "schedule {}: {}; {} threads, {} operations, {random} random and {pct} PCT schedules, \
             seed {seed}",
            self.name, self.claim, self.threads, self.operations
        );
        assert!(
            count > 0 && random == count as u64 && pct == count as u64,
            "schedule {} was to run {count} of each kind",
            self.name
        );
    }

    /// Runs what [`LastWords`] printed, if that is a schedule of this body.
    fn replay(&self, replay: &str, body: Arc<impl Fn() + Send + Sync + 'static>) {
        let mut parts = replay.splitn(3, ':');
        let (name, kind, how) = (parts.next(), parts.next(), parts.next().unwrap_or_default());
        if name != Some(self.name) {
            return;
        }
        let count = match (kind, how.parse()) {
            (Some("random"), Ok(seed)) => self.run(
                "random",
                seed,
                RandomScheduler::new_from_seed(seed, 1),
                body,
            ),
            _ => self.run("pct", 0, Replay::parse(how), body),
        };
        assert_eq!(count, 1, "`{replay}` is no schedule");
        println!("schedule {}: replayed without a failure", self.name);
    }

    /// Runs `body` until the scheduler has had enough; gives how many runs came to their end.
    fn run(
        &self,
        kind: &'static str,
        seed: u64,
        scheduler: impl Scheduler + 'static,
        body: Arc<impl Fn() + Send + Sync + 'static>,
    ) -> u64 {
        let (trace, ended) = (Arc::new(Trace::default()), Arc::new(AtomicU64::new(0)));
        let _last_words = LastWords {
            name: self.name,
            kind,
            seed,
            trace: Arc::clone(&trace),
        };
        let mut config = Config::new();
        config.stack_size = STACK_BYTES;
        config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
        config.failure_persistence = FailurePersistence::None;
        config.silence_warnings = true;
        config
            .ungraceful_shutdown_config
            .immediately_return_on_panic = true;
        let counted = Arc::clone(&ended);
        let run = move || {
            body();
            counted.fetch_add(1, Ordering::Relaxed);
        };
        Runner::new(Traced { scheduler, trace }, config).run(run);
        ended.load(Ordering::Relaxed)
    }
}

/// Runs `task` once for each number below `count`, each in a thread of its own, and gives what
/// they gave, in order. To be called in the body of a schedule.
///
/// # Panics
/// If a thread does.
pub fn together<T: Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let task = Arc::new(task);
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let task = Arc::clone(&task);
            shuttle::thread::spawn(move || task(number))
        })
        .collect();
    let results: Vec<T> = threads
        .into_iter()
        .filter_map(|thread| thread.join().ok())
        .collect();
    assert_eq!(results.len(), count, "a thread panicked");
    results
}

/// Waits for a future in the thread that calls; who is never woken makes a deadlock.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    shuttle::future::block_on(future)
}

/// Runs a future in a task of its own, also if nobody waits for it.
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(shuttle::future::spawn(task));
}

/// Lets another thread have the turn.
pub fn pause() {
    shuttle::thread::yield_now();
}

/// What a variable of the environment says, if it is set.
///
/// # Panics
/// If it is set to something else: another number of schedules than was meant must not pass.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let value = text.parse().ok();
    assert!(value.is_some(), "`{text}` makes no sense for {name}");
    value
}

/// What a scheduler has decided in the run that is under way.
#[derive(Debug, Default)]
struct Trace {
    begun: AtomicU64,
    seed: AtomicU64,
    steps: Mutex<Vec<usize>>,
}

impl Trace {
    fn steps(&self) -> MutexGuard<'_, Vec<usize>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scheduler that leaves a trace.
struct Traced<S> {
    scheduler: S,
    trace: Arc<Trace>,
}

impl<S: Scheduler> Scheduler for Traced<S> {
    fn new_execution(&mut self) -> Option<shuttle::scheduler::Schedule> {
        let schedule = self.scheduler.new_execution()?;
        self.trace.begun.fetch_add(1, Ordering::Relaxed);
        self.trace.seed.store(schedule.seed, Ordering::Relaxed);
        self.trace.steps().clear();
        Some(schedule)
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let next = self.scheduler.next_task(runnable, current, is_yielding)?;
        self.trace.steps().push(usize::from(next));
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.scheduler.next_u64()
    }
}

/// Gives the turns that a trace has. Where the body has changed since, to whoever can take it.
struct Replay {
    begun: bool,
    steps: std::vec::IntoIter<usize>,
}

impl Replay {
    /// Reads what [`Runs`] writes. A text that is none is refused by its having no steps.
    fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        for run in text.split('.') {
            let (task, length) = run.split_once('x').unwrap_or((run, "1"));
            match (task.parse(), length.parse()) {
                (Ok(task), Ok(length)) => steps.extend(std::iter::repeat_n::<usize>(task, length)),
                _ => steps.clear(),
            }
        }
        Self {
            begun: steps.is_empty(),
            steps: steps.into_iter(),
        }
    }
}

impl Scheduler for Replay {
    fn new_execution(&mut self) -> Option<shuttle::scheduler::Schedule> {
        let first = !std::mem::replace(&mut self.begun, true);
        first.then(|| shuttle::scheduler::Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        _current: Option<TaskId>,
        _is_yielding: bool,
    ) -> Option<TaskId> {
        let wanted = self.steps.next().map(TaskId::from);
        let mut ids = runnable.iter().map(|task| task.id());
        ids.clone()
            .find(|id| Some(*id) == wanted)
            .or_else(|| ids.next())
    }

    fn next_u64(&mut self) -> u64 {
        0
    }
}

/// The threads that had the turn, with how many turns each had in a row: `0x3.7.0x2`.
struct Runs<'a>(&'a [usize]);

impl Display for Runs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, run) in self.0.chunk_by(|one, other| one == other).enumerate() {
            let point = if place == 0 { "" } else { "." };
            match run {
                [] => {}
                [task] => write!(f, "{point}{task}")?,
                [task, ..] => write!(f, "{point}{task}x{}", run.len())?,
            }
        }
        Ok(())
    }
}

/// Says which schedule failed, and how to run it again.
struct LastWords {
    name: &'static str,
    kind: &'static str,
    seed: u64,
    trace: Arc<Trace>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let Self {
            name,
            kind,
            seed,
            trace,
        } = self;
        let begun = trace.begun.load(Ordering::Relaxed);
        let how = match *kind {
            // A random schedule has a seed of its own; a PCT one depends on those before it.
            "random" => trace.seed.load(Ordering::Relaxed).to_string(),
            _ => Runs(&trace.steps()).to_string(),
        };
        println!("schedule {name}: failed in {kind} schedule {begun} of seed {seed}; again:");
        println!("    cargo xtask schedules --replay {name}:{kind}:{how}");
    }
}
