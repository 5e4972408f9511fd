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
#[path = "mutants/store.rs"]
mod store;

use std::fmt::Write as _;
use std::panic::{catch_unwind, set_hook, take_hook};

use countersign_policy::conformance::{CASES, run};
use faults::MUTANTS;
use store::Mutant;

/// How often a mutant meets all cases before it counts as a survivor: a race need not show at once.
const ROUNDS: usize = 10;

/// The first case that fails, if one does.
fn killer(run: fn(&str)) -> Option<&'static str> {
    let cases = || CASES.iter().copied();
    let mut rounds = (0..ROUNDS).flat_map(|_| cases());
    rounds.find(|case| catch_unwind(|| run(case)).is_err())
}

#[test]
fn every_mutant_is_killed_and_the_store_without_a_fault_passes() {
    CASES.iter().for_each(|case| run::<Mutant<0>>(case));

    // Every mutant panics somewhere, which is the point; what it says is of no interest.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let killers: Vec<_> = MUTANTS
        .iter()
        .map(|(fault, run)| (*fault, killer(*run)))
        .collect();
    set_hook(hook);

    let mut table = String::new();
    for (fault, case) in &killers {
        let by = case.map_or_else(|| "SURVIVES".to_owned(), |case| format!("killed by {case}"));
        let _ = writeln!(table, "{:<32} {by}", format!("{fault:?}:"));
    }
    println!("{table}{} mutants, {} cases", killers.len(), CASES.len());
    let survivors: Vec<_> = killers
        .iter()
        .filter(|(_, case)| case.is_none())
        .map(|(fault, _)| fault)
        .collect();
    assert!(
        survivors.is_empty(),
        "no case of the kit can tell these from a right store: {survivors:?}"
    );
}
