//! Models of the table: every small scenario of its operations, against the sequential
//! specification. Run by `cargo xtask loom`.
#![cfg(countersign_loom)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use countersign_core::sync::model::{Model, Parts, scenarios};
use countersign_core::table::View;
use countersign_core::version::Version;

use specification::{Call, Naive, START, Store, call, store};

mod specification;

const ALPHABET: [Call; 9] = [
    Call::Create(1),
    Call::Create(2),
    // The version that record 1 was set up with, and no other.
    Call::Update(1, Version::from_nanos(START), 1),
    Call::Repaint(1, 2),
    Call::Repaint(1, 3),
    Call::Delete(1),
    Call::Get(1),
    Call::List(1),
    Call::MoveClock(-500),
];

fn parts(setup: Vec<Call>) -> Parts<Naive, Store> {
    Parts {
        specification: Naive::new(),
        store,
        call,
        setup,
        closing: vec![
            Call::Get(1),
            Call::Get(2),
            Call::List(0),
            Call::List(1),
            Call::List(2),
            Call::List(3),
            Call::Create(9),
            Call::NextChange,
            Call::NextChange,
            Call::NextChange,
        ],
        audit: |store| store.table.read(View::audit),
    }
}

#[test]
fn table_2x2() {
    let model = Model {
        name: "table_2x2",
        claim: "every history of two threads with two calls each has an order that explains it: \
                the first writer wins, losers get the winner's version, versions grow and are \
                never issued again, nothing is lost, no reader sees half a step",
        threads: 2,
        operations: 4,
        at_least: 90_499,
        preemptions: None,
    };
    model.check_scenarios(scenarios(&ALPHABET, 2, 2), parts(vec![Call::Create(1)]));
}

#[test]
fn table_3x1() {
    let model = Model {
        name: "table_3x1",
        claim: "the same of three threads with one call each",
        threads: 3,
        operations: 3,
        at_least: 73_076,
        preemptions: None,
    };
    model.check_scenarios(scenarios(&ALPHABET, 3, 1), parts(vec![Call::Create(1)]));
}

#[test]
fn table_changes_2x2() {
    let model = Model {
        name: "table_changes_2x2",
        claim: "one thread reads the log change by change while another writes, or writes and \
                reads itself: it sees every change once, in the order of the versions, and skips \
                none",
        threads: 2,
        operations: 4,
        at_least: 4_952,
        preemptions: None,
    };
    let alphabet = [
        Call::NextChange,
        Call::Create(2),
        Call::Repaint(1, 2),
        Call::Repaint(2, 3),
        Call::Delete(1),
        Call::MoveClock(-500),
    ];
    let mut scenarios = scenarios(&alphabet, 2, 2);
    scenarios.retain(|scenario| {
        let reads = |calls: &&Vec<Call>| calls.contains(&Call::NextChange);
        scenario.iter().filter(reads).count() == 1
    });
    model.check_scenarios(scenarios, parts(vec![Call::Create(1)]));
}
