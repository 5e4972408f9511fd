//! Shows that each case of the kit for engines can fail, and that none fails for nothing.
//!
//! A naive engine passes every case. With one wrong line it is a mutant, and the kit must refuse each:
//! a mutant that no case kills fails this test by name, and so does a case that kills no mutant. Run it
//! with `--nocapture` for the table of what killed what.
#![cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "engine_mutants/faults.rs"]
mod faults;
#[path = "engine_mutants/naive.rs"]
mod naive;
#[path = "engine_mutants/state.rs"]
mod state;
#[path = "engine_mutants/step.rs"]
mod step;
#[path = "engine_mutants/view.rs"]
mod view;

use std::collections::BTreeSet;
use std::panic::{self, catch_unwind};

use countersign_core::engine::conformance::{CASES, run};
use faults::{Fault, MUTANTS};
use naive::Mutant;

#[test]
fn every_mutant_is_killed_and_the_naive_engine_is_not() {
    Fault::set_tried(None);
    CASES.iter().for_each(|case| run::<Mutant>(case));
    // From here on cases are meant to fail.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let mut killers = Vec::new();
    for (number, (fault, what)) in MUTANTS.iter().enumerate() {
        Fault::set_tried(Some(number));
        let failed = |case: &&str| catch_unwind(|| run::<Mutant>(case)).is_err();
        let cases: Vec<_> = CASES.iter().copied().filter(failed).collect();
        match cases.split_first() {
            Some((first, more)) => {
                println!(
                    "{fault:?} ({what}): killed by {first} and {} more",
                    more.len()
                );
            }
            None => println!("{fault:?} ({what}): SURVIVES"),
        }
        killers.push((fault, what, cases));
    }
    panic::set_hook(hook);

    println!("{} mutants, {} cases", MUTANTS.len(), CASES.len());
    let killing: BTreeSet<_> = killers.iter().flat_map(|(_, _, cases)| cases).collect();
    let idle: Vec<_> = CASES
        .iter()
        .filter(|case| !killing.contains(case))
        .collect();
    println!("{} cases killed no mutant: {idle:?}", idle.len());
    let surviving: Vec<_> = killers
        .iter()
        .filter(|(_, _, cases)| cases.is_empty())
        .collect();
    assert!(surviving.is_empty(), "no case kills {surviving:?}");
    assert!(
        idle.is_empty(),
        "no mutant shows that these can fail: {idle:?}"
    );
}
