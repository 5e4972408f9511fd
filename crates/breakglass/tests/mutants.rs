//! That the conformance kit refuses wrong stores: stores with one wrong line each, every one of
//! which a case must catch. Without a fault the same store passes every case.
//!
//! The table of what caught which is printed with `--nocapture`.
#![cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "mutants/faults.rs"]
mod faults;
#[path = "mutants/observing.rs"]
mod observing;
#[path = "mutants/reading.rs"]
mod reading;
#[path = "mutants/store.rs"]
mod store;

use std::fmt::Write as _;
use std::panic::{catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_breakglass::conformance::{CASES, run};
use faults::MUTANTS;
use store::Mutant;

/// How often a mutant meets all cases before it counts as a survivor: a race need not show at once.
const ROUNDS: usize = 10;
/// How many cases are run at once.
const THREADS: usize = 4;

/// Whether the case fails.
fn fails(run: fn(&str), case: &str) -> bool {
    catch_unwind(|| run(case)).is_err()
}

/// The first case that fails, if one does.
fn killer(run: fn(&str)) -> Option<&'static str> {
    let mut rounds = (0..ROUNDS).flat_map(|_| CASES.iter().copied());
    rounds.find(|case| fails(run, case))
}

/// Does it for each, several at once.
fn for_each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::SeqCst);
            let Some(item) = items.get(place) else {
                return results;
            };
            results.push((place, work(item)));
        }
    };
    let mut results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn every_mutant_is_killed_and_every_case_kills() {
    for_each(CASES, |case| run::<Mutant<0>>(case));

    // Every mutant panics somewhere, which is the point; what it says is of no interest.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let killers = for_each(MUTANTS, |(_, run)| killer(*run));
    let idle: Vec<&str> = CASES
        .iter()
        .copied()
        .filter(|case| !killers.contains(&Some(case)))
        .collect();
    // The newest faults first: they were thought of for the cases that the others pass.
    let kills = for_each(&idle, |case| {
        MUTANTS.iter().rev().any(|(_, run)| fails(*run, case))
    });
    set_hook(hook);

    let mut table = String::new();
    for ((fault, _), case) in MUTANTS.iter().zip(&killers) {
        let by = case.map_or_else(|| "SURVIVES".to_owned(), |case| format!("killed by {case}"));
        let _ = writeln!(table, "{:<32} {by}", format!("{fault:?}:"));
    }
    println!("{table}{} mutants, {} cases", MUTANTS.len(), CASES.len());
    let survivors: Vec<_> = MUTANTS
        .iter()
        .zip(&killers)
        .filter(|(_, case)| case.is_none())
        .map(|((fault, _), _)| fault)
        .collect();
    assert!(
        survivors.is_empty(),
        "no case of the kit can tell these from a right store: {survivors:?}"
    );
    let idle: Vec<_> = idle
        .iter()
        .zip(&kills)
        .filter(|(_, kills)| !**kills)
        .collect();
    assert!(idle.is_empty(), "no mutant fails these cases: {idle:?}");
}
