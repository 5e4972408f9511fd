//! Shows that each case of the conformance kit can fail, and that none fails for nothing.
//!
//! A naive store passes every case. With one wrong line it is a mutant, and the kit must refuse
//! each: a mutant that no case kills fails this test by name, and so does a case that kills no
//! mutant. Run it with `--nocapture` for the table of what killed what.
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

#[path = "mutants/faults.rs"]
mod faults;
#[path = "mutants/naive.rs"]
mod naive;
#[path = "support/time.rs"]
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use countersign_request::conformance::{CASES, run};
use faults::{Fault, MUTANTS};
use naive::Mutant;

/// How many mutants are tried at the same time.
const AT_ONCE: usize = 4;

/// The cases that create a thousand requests: for mutants that no other case kills.
const LONG: [&str; 2] = ["limits_are_exact", "limits_of_what_ended_are_exact"];

#[test]
fn every_mutant_is_killed_and_the_naive_store_is_not() {
    for case in CASES {
        run::<Mutant<{ Fault::Nothing as usize }>>(case);
    }
    // From here on cases are meant to fail.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let killers = killers();
    panic::set_hook(hook);

    let mut killing = BTreeSet::new();
    println!("{} mutants, {} cases", MUTANTS.len(), CASES.len());
    for (number, (fault, what, _)) in MUTANTS.iter().enumerate() {
        let cases = &killers[&number];
        killing.extend(cases.iter().copied());
        match cases.split_first() {
            Some((first, [])) => println!("{fault:?} ({what}): killed by {first}"),
            Some((first, more)) => {
                println!(
                    "{fault:?} ({what}): killed by {first} and {} more",
                    more.len()
                );
            }
            None => println!("{fault:?} ({what}): SURVIVES"),
        }
    }
    let idle: Vec<_> = CASES
        .iter()
        .filter(|case| !killing.contains(*case))
        .collect();
    println!("{} cases killed no mutant: {idle:?}", idle.len());

    let surviving = MUTANTS.iter().enumerate();
    let surviving = surviving.filter(|(number, _)| killers[number].is_empty());
    let surviving: Vec<_> = surviving
        .map(|(_, (fault, what, _))| (fault, what))
        .collect();
    assert!(surviving.is_empty(), "no case kills {surviving:?}");
    assert!(
        idle.is_empty(),
        "no mutant shows that these can fail: {idle:?}"
    );
}

/// Of each mutant, by its number, the cases that it fails, in the order of the kit.
fn killers() -> BTreeMap<usize, Vec<&'static str>> {
    let next = AtomicUsize::new(0);
    let killers = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some((_, _, run)) = MUTANTS.get(number) else {
                        return;
                    };
                    let failed = |case: &&str| catch_unwind(|| run(case)).is_err();
                    let (long, short): (Vec<_>, Vec<_>) =
                        CASES.iter().copied().partition(|case| LONG.contains(case));
                    let mut cases: Vec<_> = short.into_iter().filter(failed).collect();
                    if cases.is_empty() {
                        cases.extend(long.into_iter().filter(failed));
                    }
                    killers.lock().unwrap().insert(number, cases);
                }
            });
        }
    });
    killers.into_inner().unwrap()
}
