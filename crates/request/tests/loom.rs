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

use specification::{
    AUTOMATIC, Call, FREE, GROUPED, Harness, Naive, OTHER, OWN, PINNED, START, Wish,
};

mod specification;

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a call on the store in memory waits"),
    }
}

/// Every model ends by reading everything: what there is, and the changes that nobody has seen.
fn parts(setup: &[Call]) -> Parts<Naive, Harness<InMemory>> {
    Parts {
        specification: Naive::whole(),
        store: Harness::new,
        call: |harness, call| now(harness.perform(*call)),
        setup: setup.to_vec(),
        closing: vec![
            Call::Get(1),
            Call::Get(GROUPED),
            Call::List(Status::Approved),
            FIND_GRANT,
            Call::AccessAt(0, 0),
            Call::Open(0),
            Call::Due,
            Call::Now,
            Call::Waiting(true),
            Call::Ended(100),
            Call::NextChanges(100),
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

const FIND_GRANT: Call = Call::FindGrant(0);

/// The version that the first request of a model is created at.
const FIRST: Version = Version::from_nanos(START);

const ALPHABET: [Call; 11] = [
    Call::Create(1),
    Call::Change(1, Wish::Approve),
    Call::ChangeAt(1, FIRST, Wish::Approve),
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

#[test]
fn request_access_2x2() {
    let model = Model {
        name: "request_access_2x2",
        claim: "two threads with two calls each on an approved request: release and revocation \
                exclude each other and the end of the access, and nobody finds the access \
                afterwards",
        at_least: 25_118,
        ..PENDING
    };
    let alphabet = [
        Call::Change(1, Wish::Release),
        Call::Change(1, Wish::Revoke),
        Call::Delete(1),
        Call::Open(0),
        FIND_GRANT,
        // The access is over.
        Call::Pass(1),
    ];
    let setup = [Call::Create(1), Call::Change(1, Wish::Approve)];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

#[test]
fn request_groups_2x2() {
    let model = Model {
        name: "request_groups_2x2",
        claim: "two threads with two calls each on a request that two groups must approve: each \
                user is counted once, no approval is lost, and it is approved by the one that \
                meets the last group, unless somebody denied or withdrew it before",
        at_least: 77_938,
        ..PENDING
    };
    let alphabet = [
        Call::Change(GROUPED, Wish::Approve),
        Call::Change(GROUPED, Wish::ApproveToo),
        Call::Change(GROUPED, Wish::Deny),
        Call::Change(GROUPED, Wish::Cancel),
        Call::Get(GROUPED),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[Call::Create(GROUPED)]));
}

#[test]
fn request_operations_2x2() {
    let model = Model {
        name: "request_operations_2x2",
        claim: "two threads with two calls each that name their operations: the calls of one \
                operation make one change and get one result, another change under its name is \
                refused, and a deletion forgets it",
        at_least: 9_324,
        ..PENDING
    };
    let alphabet = [
        Call::CreateOnce(1, 1),
        Call::CreateOnce(2, 1),
        Call::ChangeOnce(1, FIRST, Wish::Cancel, 2),
        Call::ChangeOnce(1, FIRST, Wish::Note(false), 2),
        Call::ChangeOnce(1, FIRST, Wish::Note(true), 3),
        Call::Delete(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[]));
}

#[test]
fn request_operations_created_2x2() {
    let model = Model {
        name: "request_operations_created_2x2",
        claim: "the same on a request that an operation has created",
        at_least: 16_425,
        ..PENDING
    };
    let alphabet = [
        Call::CreateOnce(1, 1),
        Call::ChangeOnce(1, FIRST, Wish::Approve, 2),
        Call::ChangeOnce(1, FIRST, Wish::Deny, 2),
        Call::ChangeOnce(1, FIRST, Wish::Cancel, 1),
        Call::Change(1, Wish::Cancel),
        Call::Delete(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[Call::CreateOnce(1, 1)]));
}

#[test]
fn request_changes_2x2() {
    let model = Model {
        name: "request_changes_2x2",
        claim: "one thread reads the changes one by one while another writes, or writes and reads \
                itself: it sees every change once, in the order in which they were made, and \
                skips none",
        at_least: 6_790,
        ..PENDING
    };
    let alphabet = [
        NEXT_CHANGE,
        Call::Create(2),
        Call::Change(1, Wish::Approve),
        Call::Change(1, Wish::Note(false)),
        Call::Delete(1),
    ];
    let scenarios = one_reader(scenarios(&alphabet, 2, 2));
    model.check_scenarios(scenarios, parts(&[Call::Create(1)]));
}

#[test]
fn request_inbox_2x2() {
    let model = Model {
        name: "request_inbox_2x2",
        claim: "two threads with two calls each: what waits, what a user has open and what is \
                over are each of one moment, and what ended lately is not deleted",
        at_least: 72_994,
        ..PENDING
    };
    let alphabet = [
        Call::Create(2),
        Call::Create(GROUPED),
        Call::Change(1, Wish::Approve),
        Call::Change(1, Wish::Cancel),
        Call::DeleteOld(1, 1),
        Call::Waiting(true),
        Call::Open(0),
        Call::Ended(100),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[Call::Create(1)]));
}

#[test]
fn request_corrections_2x2() {
    let model = Model {
        name: "request_corrections_2x2",
        claim: "two threads with two calls each while the clock goes eight hours ahead and is set \
                right: each step and each read has one time, what is granted lasts for its hour \
                from then, what is dated ahead is judged so by all of them, and versions go on",
        at_least: 95_945,
        ..PENDING
    };
    let alphabet = [
        Call::Set(0),
        Call::Set(8),
        Call::Create(2),
        Call::Change(1, Wish::Approve),
        Call::Change(1, Wish::Revoke),
        Call::Change(1, Wish::Expire),
        FIND_GRANT,
        Call::Due,
        Call::Now,
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[Call::Create(1)]));
}

#[test]
fn request_void_2x2() {
    let model = Model {
        name: "request_void_2x2",
        claim: "two threads with two calls each on access that was granted while the clock was \
                ahead, after the correction: it is not in force, has ended for good an hour later \
                whatever the clock does then, is marked so once, and can be taken back until then",
        at_least: 43_733,
        ..PENDING
    };
    let alphabet = [
        // The hour is over; the access would begin; what is set back again is corrected again.
        Call::Set(1),
        Call::Set(8),
        Call::Create(3),
        Call::Change(1, Wish::EndVoid),
        Call::Change(1, Wish::Release),
        Call::Delete(1),
        FIND_GRANT,
        Call::Due,
    ];
    let setup = [
        Call::Create(1),
        Call::Create(2),
        Call::Set(8),
        Call::Change(1, Wish::Approve),
        Call::Set(0),
        Call::Change(2, Wish::Note(false)),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

#[test]
fn request_automatic_2x2() {
    let model = Model {
        name: "request_automatic_2x2",
        claim: "two threads with two calls each on a request that its rule approves by itself: \
                its approval, those of people, denial and withdrawal exclude each other, and the \
                approval of an operation is made once",
        at_least: 85_140,
        ..PENDING
    };
    let alphabet = [
        Call::Change(AUTOMATIC, Wish::ApproveByRule),
        Call::ChangeOnce(AUTOMATIC, FIRST, Wish::ApproveByRule, 1),
        Call::Change(AUTOMATIC, Wish::Approve),
        Call::Change(AUTOMATIC, Wish::Deny),
        Call::Change(AUTOMATIC, Wish::Cancel),
        Call::FindGrant(AUTOMATIC_USER),
    ];
    let mut parts = parts(&[Call::Create(AUTOMATIC)]);
    parts.closing.push(Call::Get(AUTOMATIC));
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts);
}

#[test]
fn request_pinned_2x2() {
    let model = Model {
        name: "request_pinned_2x2",
        claim: "two threads with two calls each, where a user has access that ends with a policy \
                and asks for access that ends with none: what is found under a policy is of one \
                moment, and never what ends with another",
        at_least: 18_668,
        ..PENDING
    };
    let alphabet = [
        Call::Change(FREE, Wish::Approve),
        Call::Change(PINNED, Wish::Revoke),
        Call::FindGrantUnder(PINNED_USER, OWN),
        Call::FindGrantUnder(PINNED_USER, OTHER),
        Call::FindGrant(PINNED_USER),
    ];
    let setup = [
        Call::Create(PINNED),
        Call::Change(PINNED, Wish::Approve),
        Call::Create(FREE),
    ];
    let mut parts = parts(&setup);
    parts.closing.extend([Call::Get(PINNED), Call::Get(FREE)]);
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts);
}

#[test]
fn request_expiry_2x2() {
    let model = Model {
        name: "request_expiry_2x2",
        claim: "two threads with two calls each, among them the workflow's marking of what is due: \
                nothing is marked that somebody decided or that is not due, each is marked once, \
                and whoever marks is not told of those who were faster",
        at_least: 53_607,
        ..PENDING
    };
    let alphabet = [
        Call::ExpireDue,
        Call::Change(1, Wish::Approve),
        Call::Change(1, Wish::Deny),
        Call::Change(1, Wish::Note(false)),
        Call::Due,
        // The deadline passes.
        Call::Pass(24),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[Call::Create(1)]));
}

#[test]
fn request_overdue_2x2() {
    let model = Model {
        name: "request_overdue_2x2",
        claim: "the same on a request that is due, and with the workflow's deletion of what ended: \
                what is deleted had ended, and whoever deletes is not told of those who were \
                faster, or that another has the id by now",
        at_least: 28_291,
        ..PENDING
    };
    let alphabet = [
        Call::ExpireDue,
        Call::DeleteEnded(100),
        Call::Change(1, Wish::Cancel),
        Call::Delete(1),
        Call::Create(1),
    ];
    // Its deadline is over, and the clock has not jumped.
    let setup = [
        Call::Create(1),
        Call::Pass(12),
        Call::Change(1, Wish::Note(false)),
        Call::Pass(13),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

/// Whose the requests [`AUTOMATIC`] and [`PINNED`] are.
const AUTOMATIC_USER: usize = 3;
const PINNED_USER: usize = 2;

const NEXT_CHANGE: Call = Call::NextChanges(1);

/// Those in which one thread reads the changes.
fn one_reader(scenarios: Vec<Vec<Vec<Call>>>) -> Vec<Vec<Vec<Call>>> {
    let mut scenarios = scenarios;
    scenarios.retain(|scenario| {
        let reads = |calls: &&Vec<Call>| calls.contains(&NEXT_CHANGE);
        scenario.iter().filter(reads).count() == 1
    });
    scenarios
}
