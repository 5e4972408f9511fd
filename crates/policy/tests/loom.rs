//! Models of the store: every small scenario of its operations, against the sequential
//! specification. Run by `cargo xtask loom`; those of the cache are beside it.
#![cfg(countersign_loom)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use countersign_core::sync::model::{Model, Parts, scenarios};
use countersign_policy::Version;

use kept::{Call, Harness, Naive, START};

mod kept;

/// The version that the policy of a model is set up with.
const FIRST: Version = Version::from_nanos(START);

const ALPHABET: [Call; 9] = [
    Call::Put(Some(FIRST), 1, None),
    Call::Put(Some(FIRST), 1, Some(1)),
    Call::Put(Some(FIRST), 2, Some(1)),
    Call::Put(None, 0, Some(2)),
    Call::Update(2),
    Call::Delete(FIRST, Some(3)),
    Call::Get,
    Call::Versions,
    Call::Update(0),
];

fn parts() -> Parts<Naive, Harness> {
    Parts {
        specification: Naive::new(),
        store: Harness::new,
        call: |harness, call| harness.perform(call),
        setup: vec![Call::Put(None, 0, None)],
        closing: vec![
            Call::Versions,
            Call::NextChange,
            Call::NextChange,
            Call::NextChange,
            Call::NextChange,
            Call::Put(Some(FIRST), 1, Some(1)),
            Call::Delete(FIRST, Some(3)),
            Call::Update(3),
            Call::Get,
        ],
        audit: |harness| harness.store.audit(),
    }
}

const STORE: Model = Model {
    name: "policy_2x2",
    claim: "two threads with two calls each on a policy: the first writer wins, losers get the \
            winner's version, a repeat gets the first result, a put that changes nothing makes no \
            version, a deletion takes every version, changes tell what is there",
    threads: 2,
    operations: 4,
    at_least: 103_240,
    preemptions: None,
};

#[test]
fn policy_2x2() {
    STORE.check_scenarios(scenarios(&ALPHABET, 2, 2), parts());
}

#[test]
fn policy_3x1() {
    let model = Model {
        name: "policy_3x1",
        claim: "the same of three threads with one call each",
        threads: 3,
        operations: 3,
        at_least: 65_975,
        ..STORE
    };
    model.check_scenarios(scenarios(&ALPHABET, 3, 1), parts());
}
