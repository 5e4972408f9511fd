//! Running models under loom: without bounds from the environment, with executions counted.
//!
//! Only under `--cfg countersign_loom`. A model states its claim in words; [`Model::check`] runs
//! its body once for every interleaving, prints what it explored and fails if that is less than
//! was recorded for the model, so that a model that quietly explores nothing cannot pass.

#![allow(clippy::print_stdout, reason = "a model says what it explored")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::history::{Recorder, Specification, explain};

/// The variable that has models say what they are instead of exploring anything.
const LIST: &str = "COUNTERSIGN_LIST_MODELS";

/// One model.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// What it is called; twins name it.
    pub name: &'static str,
    /// What holds in every interleaving.
    pub claim: &'static str,
    /// How many threads it has.
    pub threads: usize,
    /// How many operations its threads make in all.
    pub operations: usize,
    /// The fewest executions that it explores.
    pub at_least: u64,
    /// The most preemptions of an execution; none where every interleaving is explored.
    pub preemptions: Option<usize>,
}

impl Model {
    /// Explores `body` and prints one line.
    ///
    /// # Panics
    /// If an execution panics or deadlocks, or if fewer than `at_least` were explored.
    pub fn check(&self, body: impl Fn() + Send + Sync + 'static) {
        if self.is_only_listed(1) {
            return;
        }
        println!("model {}: begins", self.name);
        let executions = Arc::new(AtomicU64::new(0));
        self.explore(&executions, body);
        self.report(1, executions.load(Ordering::Relaxed));
    }

    /// Explores each scenario of `scenarios`: a list of calls for each thread, made on a fresh
    /// `store`, with `setup` made before and `closing` after them; every explored history must be
    /// linearizable and pass `audit`. Scenarios are spread over the machine's cores.
    ///
    /// # Panics
    /// As [`Model::check`]; and, with the history, if one is not linearizable.
    pub fn check_scenarios<S, T>(&self, scenarios: Vec<Vec<Vec<S::Call>>>, parts: Parts<S, T>)
    where
        S: Specification + Send + Sync + 'static,
        S::Call: Send + Sync + 'static,
        S::Answer: Clone + Send + 'static,
        T: Send + Sync + 'static,
    {
        if self.is_only_listed(scenarios.len()) {
            return;
        }
        println!("model {}: begins", self.name);
        let (executions, next) = (Arc::new(AtomicU64::new(0)), AtomicUsize::new(0));
        let (scenarios, parts) = (Arc::new(scenarios), Arc::new(parts));
        let work = || {
            // What is left is taken away when a scenario fails, so that all workers stop.
            let _stop = StopOthers(&next);
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= scenarios.len() {
                    return;
                }
                let (scenarios, parts) = (Arc::clone(&scenarios), Arc::clone(&parts));
                self.explore(&executions, move || {
                    scenarios
                        .get(place)
                        .into_iter()
                        .for_each(|scenario| parts.run(scenario));
                });
            }
        };
        std::thread::scope(|scope| {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            for _ in 1..cores {
                scope.spawn(work);
            }
            work();
        });
        self.report(scenarios.len(), executions.load(Ordering::Relaxed));
    }

    /// Whether the models are to be listed; then says, between tabs, what this one is.
    fn is_only_listed(&self, scenarios: usize) -> bool {
        let Self {
            name,
            claim,
            threads,
            operations,
            at_least,
            preemptions,
        } = self;
        let listed = std::env::var_os(LIST).is_some();
        if listed {
            let bound = preemptions.map_or_else(String::new, |bound| bound.to_string());
            println!(
                "listed model\t{name}\t{claim}\t{threads}\t{operations}\t{scenarios}\t\
                 {at_least}\t{bound}"
            );
        }
        listed
    }

    /// Runs `body` in every interleaving, and counts them.
    fn explore(&self, executions: &Arc<AtomicU64>, body: impl Fn() + Send + Sync + 'static) {
        // The builder reads limits from the environment that would make it stop early and pass.
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = self.preemptions;
        builder.max_permutations = None;
        builder.max_duration = None;
        builder.max_branches = 100_000;
        builder.checkpoint_file = None;
        let counted = Arc::clone(executions);
        let _last_words = LastWords {
            name: self.name,
            executions: Arc::clone(executions),
        };
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            body();
        });
    }

    fn report(&self, scenarios: usize, executions: u64) {
        let bound = match self.preemptions {
            None => "unbounded".to_owned(),
            Some(bound) => format!("at most {bound} preemptions"),
        };
        println!(
            "model {}: {}; {} threads, {} operations, {scenarios} scenarios, {executions} \
             executions, {bound}",
            self.name, self.claim, self.threads, self.operations
        );
        assert!(
            executions >= self.at_least,
            "model {} explored {executions} executions and used to explore {}",
            self.name,
            self.at_least
        );
    }
}

/// Says after how many executions a model failed.
struct LastWords {
    name: &'static str,
    executions: Arc<AtomicU64>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let executions = self.executions.load(Ordering::Relaxed);
            println!("model {}: failed in execution {executions}", self.name);
        }
    }
}

struct StopOthers<'a>(&'a AtomicUsize);

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(usize::MAX / 2, Ordering::Relaxed);
        }
    }
}

/// How scenarios are run.
pub struct Parts<S: Specification, T> {
    /// The specification at the start.
    pub specification: S,
    /// A fresh store.
    pub store: fn() -> T,
    /// Makes one call on it.
    pub call: fn(&T, &S::Call) -> S::Answer,
    /// Calls made before the threads begin.
    pub setup: Vec<S::Call>,
    /// Calls made when the threads have ended.
    pub closing: Vec<S::Call>,
    /// Checks that records and indexes of the store agree.
    pub audit: fn(&T) -> Result<(), String>,
}

impl<S: Specification, T> std::fmt::Debug for Parts<S, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts(..)")
    }
}

impl<S, T> Parts<S, T>
where
    S: Specification + Send + Sync + 'static,
    S::Call: Send + Sync + 'static,
    S::Answer: Clone + Send + 'static,
    T: Send + Sync + 'static,
{
    fn run(&self, scenario: &[Vec<S::Call>]) {
        let store = Arc::new((self.store)());
        let recorder = Arc::new(Recorder::new());
        let call = self.call;
        let perform = move |store: &T, recorder: &Recorder<_, _>, calls: &[S::Call]| {
            for made in calls {
                recorder.call(made.clone(), || call(store, made));
            }
        };
        perform(&store, &recorder, &self.setup);
        let mut threads = Vec::new();
        if let Some((own, others)) = scenario.split_first() {
            for calls in others {
                let (store, recorder) = (Arc::clone(&store), Arc::clone(&recorder));
                let calls = calls.clone();
                threads.push(loom::thread::spawn(move || {
                    perform(&store, &recorder, &calls)
                }));
            }
            perform(&store, &recorder, own);
        }
        for thread in threads {
            assert!(thread.join().is_ok(), "a thread of the scenario panicked");
        }
        perform(&store, &recorder, &self.closing);
        let history = recorder.take();
        if let Err(unexplained) = explain(self.specification.clone(), &history) {
            assert!(
                history.is_empty(),
                "{unexplained}\nThe history: {history:#?}"
            );
        }
        if let Err(disagreement) = (self.audit)(&store) {
            assert!(disagreement.is_empty(), "{disagreement}");
        }
    }
}

/// Every way of giving `threads` threads `calls` calls each out of `alphabet`, threads being
/// alike.
pub fn scenarios<C: Clone>(alphabet: &[C], threads: usize, calls: usize) -> Vec<Vec<Vec<C>>> {
    let mut sequences: Vec<Vec<C>> = vec![Vec::new()];
    for _ in 0..calls {
        let longer = |sequence: &Vec<C>| {
            let sequence = sequence.clone();
            alphabet
                .iter()
                .map(move |call| [&sequence[..], std::slice::from_ref(call)].concat())
        };
        sequences = sequences.iter().flat_map(longer).collect();
    }
    let mut chosen: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..threads {
        let longer = |places: &Vec<usize>| {
            let places = places.clone();
            let least = places.last().copied().unwrap_or(0);
            (least..sequences.len()).map(move |place| [&places[..], &[place]].concat())
        };
        chosen = chosen.iter().flat_map(longer).collect();
    }
    let scenario = |places: &Vec<usize>| {
        places
            .iter()
            .filter_map(|place| sequences.get(*place).cloned())
            .collect()
    };
    chosen.iter().map(scenario).collect()
}
