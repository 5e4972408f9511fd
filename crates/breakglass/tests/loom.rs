//! Models of the store: every small scenario of its operations, against the sequential
//! specification. Run by `cargo xtask loom`.
#![cfg(countersign_loom)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use countersign_breakglass::{InMemory, Status, Version};
use countersign_core::sync::model::{Model, Parts, scenarios};

use specification::{Call, Harness, Naive, START, Wish};

mod specification;

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a call on the store in memory waits"),
    }
}

const ALICE: u64 = 1;
const ALICE_SHOUTED: u64 = 2;
const BOB: u64 = 3;
const CAROL: u64 = 4;

fn parts(setup: &[Call]) -> Parts<Naive, Harness<InMemory>> {
    Parts {
        specification: Naive::whole(),
        store: Harness::new,
        call: |harness, call| now(harness.perform(*call)),
        setup: setup.to_vec(),
        closing: vec![
            Call::Get(ALICE),
            Call::Get(ALICE_SHOUTED),
            Call::Get(BOB),
            Call::Get(CAROL),
            Call::List(Status::Active),
            FIND_ACTIVE,
        ],
        audit: |harness| harness.store.audit(),
    }
}

const ACTIVE: Model = Model {
    name: "breakglass_2x2",
    claim: "two threads with two calls each beside an active event: one active event for a person \
            and profile under any spelling, the quota is never exceeded, a closed slot is freed \
            once, an expired event is replaced in one step, the first writer wins",
    threads: 2,
    operations: 4,
    at_least: 182_535,
    preemptions: None,
};

const FIND_ACTIVE: Call = Call::FindActive(ALICE, 0);

const ALPHABET: [Call; 10] = [
    Call::Invoke(ALICE),
    Call::Invoke(ALICE_SHOUTED),
    Call::Invoke(BOB),
    Call::Change(ALICE, Wish::Close),
    // The version that the event was created at, and no other.
    Call::ChangeAt(ALICE, Version::from_nanos(START), Wish::Close),
    Call::Change(ALICE, Wish::Expire),
    Call::Change(ALICE, Wish::Note),
    Call::Delete(ALICE),
    FIND_ACTIVE,
    // Events expire.
    Call::Pass(1),
];

#[test]
fn breakglass_2x2() {
    ACTIVE.check_scenarios(scenarios(&ALPHABET, 2, 2), parts(&[Call::Invoke(ALICE)]));
}

#[test]
fn breakglass_3x1() {
    let model = Model {
        name: "breakglass_3x1",
        claim: "the same of three threads with one call each",
        threads: 3,
        operations: 3,
        at_least: 126_666,
        ..ACTIVE
    };
    model.check_scenarios(scenarios(&ALPHABET, 3, 1), parts(&[Call::Invoke(ALICE)]));
}

#[test]
fn breakglass_invoke_2x2() {
    let model = Model {
        name: "breakglass_invoke_2x2",
        claim: "two threads with two invocations each on an empty store: duplicate ids, one active \
                event for a person and profile, a quota of two, all decided in one step",
        at_least: 3_129,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke(ALICE),
        Call::Invoke(ALICE_SHOUTED),
        Call::Invoke(BOB),
        Call::Invoke(CAROL),
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[]));
}

#[test]
fn breakglass_ended_2x2() {
    let model = Model {
        name: "breakglass_ended_2x2",
        claim: "two threads with two calls each beside an event that is over: it is reviewed once, \
                deleted only when it is reviewed, and what begins under its id is not deleted in \
                its place",
        at_least: 10_688,
        ..ACTIVE
    };
    let alphabet = [
        Call::Change(ALICE, Wish::Review),
        Call::Change(ALICE, Wish::Note),
        Call::Delete(ALICE),
        Call::Invoke(ALICE),
    ];
    let setup = [
        Call::Invoke(ALICE),
        Call::Change(ALICE, Wish::Close),
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
    let reviewed = [
        &setup[..],
        &[Call::Change(ALICE, Wish::Review), Call::Pass(1)],
    ]
    .concat();
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&reviewed));
}
