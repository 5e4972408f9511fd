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

use countersign_core::sync::model::{Model, Parts, scenarios};
use countersign_request::{InMemory, Status, Version};

use specification::{Call, Harness, Naive, START, Wish};

mod specification;

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a call on the store in memory waits"),
    }
}

fn parts(setup: &[Call]) -> Parts<Naive, Harness<InMemory>> {
    Parts {
        specification: Naive::whole(),
        store: Harness::new,
        call: |harness, call| now(harness.perform(*call)),
        setup: setup.to_vec(),
        closing: vec![
            Call::Get(1),
            Call::List(Status::Approved),
            FIND_GRANT,
            Call::Create(1),
            Call::Get(1),
        ],
        audit: |harness| harness.store.audit(),
    }
}

const PENDING: Model = Model {
    name: "request_2x2",
    claim: "two threads with two calls each on a pending request: approve, deny, cancel, expire \
            and revoke exclude each other, the first writer wins, losers get the winner's version \
            or its status, `update_with` loses nothing, versions are never issued again",
    threads: 2,
    operations: 4,
    at_least: 636_188,
    preemptions: None,
};

const FIND_GRANT: Call = Call::FindGrant(0, 0);

const ALPHABET: [Call; 11] = [
    Call::Create(1),
    Call::Change(1, Wish::Approve),
    // The version that the request was created at, and no other.
    Call::ChangeAt(1, Version::from_nanos(START), Wish::Approve),
    Call::Change(1, Wish::Deny),
    Call::Change(1, Wish::Cancel),
    Call::Change(1, Wish::Revoke),
    Call::Change(1, Wish::Expire),
    Call::Change(1, Wish::Note(false)),
    Call::Delete(1),
    FIND_GRANT,
    // The deadline passes.
    Call::Pass(24),
];

#[test]
fn request_2x2() {
    PENDING.check_scenarios(scenarios(&ALPHABET, 2, 2), parts(&[Call::Create(1)]));
}

#[test]
fn request_3x1() {
    let model = Model {
        name: "request_3x1",
        claim: "the same of three threads with one call each",
        threads: 3,
        operations: 3,
        at_least: 518_811,
        ..PENDING
    };
    model.check_scenarios(scenarios(&ALPHABET, 3, 1), parts(&[Call::Create(1)]));
}

#[test]
fn request_approved_2x1() {
    let model = Model {
        name: "request_approved_2x1",
        claim: "two threads with one call each on an approved request: a grant that is revoked is \
                found by nobody afterwards, two notes are both kept",
        operations: 2,
        at_least: 808,
        ..PENDING
    };
    let alphabet = [
        &ALPHABET[..],
        &[
            Call::Change(1, Wish::Note(true)),
            Call::List(Status::Approved),
            Call::Get(1),
        ],
    ]
    .concat();
    let setup = [Call::Create(1), Call::Change(1, Wish::Approve)];
    model.check_scenarios(scenarios(&alphabet, 2, 1), parts(&setup));
}
