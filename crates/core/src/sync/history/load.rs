//! Recording what a store does under load: random calls of many tasks on several threads.
//!
//! [`Campaign`] says how many histories a test records and from which seed; [`record`] records
//! one. A seed gives the same calls again, though not the same interleaving.

#![allow(clippy::print_stdout, reason = "a campaign says what it checked")]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Operation, Recorder, Specification, Unexplained, explain};
use crate::id::{OsRandom, RandomSource};
use crate::sync::suite;
use crate::version::Version;

/// Random numbers from a seed.
///
/// ```
/// use countersign_core::sync::history::load::Random;
///
/// let mut random = Random::new(1);
/// assert!(random.below(3) < 3);
/// assert_eq!(Random::new(1).below(1_000), Random::new(1).below(1_000));
/// ```
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `limit`, without `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_u64().checked_rem(limit).unwrap_or(0)
    }
}

/// The histories of one test: as many as `COUNTERSIGN_HISTORIES` says, from the seed that
/// `COUNTERSIGN_SEED` says. Says at the end what was checked, and if it fails which seed failed.
#[derive(Debug)]
pub struct Campaign {
    name: &'static str,
    histories: u64,
    seed: u64,
    operations: usize,
    longest: Duration,
}

impl Campaign {
    /// A campaign of `short` histories from a random seed, unless the environment says otherwise.
    ///
    /// # Panics
    /// If one of the variables is no number.
    pub fn new(name: &'static str, short: u64) -> Self {
        Self {
            name,
            histories: variable("COUNTERSIGN_HISTORIES").unwrap_or(short),
            seed: variable("COUNTERSIGN_SEED")
                .or_else(|| OsRandom.next_u64().ok())
                .unwrap_or(1),
            operations: 0,
            longest: Duration::ZERO,
        }
    }

    /// Calls `round` once for each history, with the seed to record it from, and says what was
    /// checked.
    pub fn run(mut self, mut round: impl FnMut(&mut Self, u64)) {
        let (first, histories) = (self.seed, self.histories);
        for number in 0..histories {
            self.seed = first.wrapping_add(number);
            let seed = self.seed;
            round(&mut self, seed);
        }
        println!(
            "linearizability {}: {histories} histories, {} operations, longest check {:.1} ms",
            self.name,
            self.operations,
            self.longest.as_secs_f64() * 1_000.0,
        );
    }

    /// Checks a history, or a part of one.
    ///
    /// # Panics
    /// If no order explains it.
    pub fn check<S: Specification>(&mut self, start: S, history: &[Operation<S::Call, S::Answer>]) {
        let result = self.explain(start, history);
        assert!(
            result.is_ok(),
            "{}",
            result
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        );
    }

    /// As [`Campaign::check`], for a history that may be rejected.
    ///
    /// # Errors
    /// [`Unexplained`] if no order explains it.
    #[allow(
        clippy::disallowed_methods,
        reason = "how long a check really takes is what is said"
    )]
    pub fn explain<S: Specification>(
        &mut self,
        start: S,
        history: &[Operation<S::Call, S::Answer>],
    ) -> Result<(), Unexplained> {
        let begin = Instant::now();
        let result = explain(start, history);
        self.operations += history.len();
        self.longest = self.longest.max(begin.elapsed());
        result
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "linearizability {}: failed; again with COUNTERSIGN_SEED={} COUNTERSIGN_HISTORIES=1",
                self.name, self.seed
            );
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    assert!(number.is_ok(), "`{name}` is `{text}`: write a number");
    number.ok()
}

/// How one history is made.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many tasks call at the same time.
    pub tasks: u64,
    /// How many calls each of them makes.
    pub calls: usize,
    /// What the calls are drawn from.
    pub seed: u64,
}

/// Records the calls that tasks on four threads make, beginning together: `choose` draws the next
/// call of a task, knowing its last answer, and `make` makes it.
///
/// # Panics
/// As [`suite::run`].
pub fn record<C, A, F>(
    load: Load,
    recorder: &Arc<Recorder<C, A>>,
    choose: impl Fn(&mut Random, Option<&A>) -> C + Send + Sync + 'static,
    make: impl Fn(C) -> F + Send + Sync + 'static,
) -> Vec<Operation<C, A>>
where
    C: Clone + Send + 'static,
    A: Clone + Send + 'static,
    F: Future<Output = A> + Send,
{
    let shared = Arc::new((choose, make));
    let mut seeds = Random::new(load.seed);
    let tasks: Vec<_> = (0..load.tasks)
        .map(|_| {
            let (shared, recorder) = (Arc::clone(&shared), Arc::clone(recorder));
            let mut random = Random::new(seeds.next_u64());
            async move {
                let (choose, make) = &*shared;
                let mut last = None;
                for _ in 0..load.calls {
                    let call = choose(&mut random, last.as_ref());
                    let began = recorder.begin();
                    let answer = make(call.clone()).await;
                    recorder.end(began, call, answer.clone());
                    last = Some(answer);
                    if random.below(4) == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        })
        .collect();
    suite::run("history", |suite| async move {
        suite.together(tasks).await;
    });
    recorder.take()
}

/// Checks the versions that a store issued, each with when its call began and ended: none twice,
/// and a call that began after another had ended got a later one.
///
/// # Errors
/// A sentence that names two versions.
pub fn check_versions(issued: impl IntoIterator<Item = (u64, u64, Version)>) -> Result<(), String> {
    let mut issued: Vec<(u64, u64, Version)> = issued.into_iter().collect();
    issued.sort_by_key(|(_, _, version)| *version);
    let (mut latest_begin, mut before) = (0, None);
    for (began, ended, version) in issued {
        if before.replace(version) == Some(version) {
            return Err(format!("version `{version}` was issued twice"));
        }
        if ended < latest_begin {
            return Err(format!(
                "version `{version}` is later than one whose call began after its own had ended"
            ));
        }
        latest_begin = began.max(latest_begin);
    }
    Ok(())
}
