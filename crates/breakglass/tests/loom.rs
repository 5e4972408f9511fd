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

use specification::{
    AFTER_REVIEW, AFTER_REVIEW_AGAIN, Call, Harness, Naive, START, WITH_PROOF, WITH_PROOF_AGAIN,
    Wish,
};

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

/// Every model ends by reading everything: what there is, and the changes that nobody has seen.
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
            FIND_GRANT,
            Call::NextChanges(100),
            Call::Pass(100),
            Call::Due,
            Call::AwaitingReview,
        ],
        audit: |harness| harness.store.audit(),
    }
}

const ACTIVE: Model = Model {
    name: "breakglass_2x2",
    claim: "two threads with two calls each beside an active emergency: one active emergency for a user \
            and profile under any spelling, the quota is never exceeded, a closed slot is freed \
            once, an expired emergency is replaced in one step, the first writer wins",
    threads: 2,
    operations: 4,
    at_least: 182_535,
    preemptions: None,
};

const FIND_GRANT: Call = Call::FindGrant(ALICE);

/// The version that the first emergency of a model is created at.
const FIRST: Version = Version::from_nanos(START);

const ALPHABET: [Call; 10] = [
    Call::Invoke(ALICE),
    Call::Invoke(ALICE_SHOUTED),
    Call::Invoke(BOB),
    Call::Change(ALICE, Wish::Close),
    Call::ChangeAt(ALICE, FIRST, Wish::Close),
    Call::Change(ALICE, Wish::Expire),
    Call::Change(ALICE, Wish::Note),
    Call::Delete(ALICE),
    FIND_GRANT,
    // Emergencies expire.
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
                emergency for a user and profile, a quota of two, all decided in one step",
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

const OVER: [Call; 6] = [
    Call::Change(ALICE, Wish::Review),
    Call::Change(ALICE, Wish::ReviewToo),
    Call::Delete(ALICE),
    Call::Invoke(ALICE),
    Call::AwaitingReview,
    Call::Ended(100),
];

#[test]
fn breakglass_ended_2x2() {
    let model = Model {
        name: "breakglass_ended_2x2",
        claim: "two threads with two calls each beside an emergency that is over: it is reviewed once, \
                deleted only when it is reviewed, and what begins under its id is not deleted in \
                its place",
        at_least: 32_234,
        ..ACTIVE
    };
    let setup = [
        Call::Invoke(ALICE),
        Call::Change(ALICE, Wish::Close),
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&OVER, 2, 2), parts(&setup));
}

#[test]
fn breakglass_reviewed_2x2() {
    let model = Model {
        name: "breakglass_reviewed_2x2",
        claim: "two threads with two calls each beside an emergency that is over and reviewed: one of \
                two deletions deletes it, and no list shows it afterwards",
        at_least: 25_596,
        ..ACTIVE
    };
    let setup = [
        Call::Invoke(ALICE),
        Call::Change(ALICE, Wish::Close),
        Call::Change(ALICE, Wish::Review),
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&OVER, 2, 2), parts(&setup));
}

#[test]
fn breakglass_proof_2x2() {
    let model = Model {
        name: "breakglass_proof_2x2",
        claim: "two threads with two calls each that show one second factor: it begins one emergency, \
                whatever becomes of that emergency, until it is too old to begin any",
        at_least: 8_780,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke(WITH_PROOF),
        Call::Invoke(WITH_PROOF_AGAIN),
        Call::Change(WITH_PROOF, Wish::Close),
        Call::Change(WITH_PROOF, Wish::Review),
        Call::Delete(WITH_PROOF),
        // It is too old, and the emergency that it has begun may be deleted.
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[]));
}

#[test]
fn breakglass_review_due_2x2() {
    let model = Model {
        name: "breakglass_review_due_2x2",
        claim: "two threads with two calls each beside an emergency whose review is due: the next \
                begins after the review or by an override, which is recorded with it, and one of \
                two reviews counts",
        at_least: 19_124,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke(AFTER_REVIEW_AGAIN),
        Call::InvokeOverriding(AFTER_REVIEW_AGAIN),
        Call::Change(AFTER_REVIEW, Wish::Review),
        Call::Change(AFTER_REVIEW, Wish::ReviewToo),
        Call::AwaitingReview,
    ];
    let setup = [Call::Invoke(AFTER_REVIEW), Call::Pass(1)];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

#[test]
fn breakglass_review_owed_2x2() {
    let model = Model {
        name: "breakglass_review_owed_2x2",
        claim: "two threads with two calls each beside an active emergency that its rule wants \
                reviewed: nothing begins between its end and its review, but by an override",
        at_least: 13_720,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke(AFTER_REVIEW_AGAIN),
        Call::InvokeOverriding(AFTER_REVIEW_AGAIN),
        Call::Change(AFTER_REVIEW, Wish::Close),
        Call::Change(AFTER_REVIEW, Wish::Review),
        // It is over.
        Call::Pass(1),
    ];
    let setup = [Call::Invoke(AFTER_REVIEW)];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

#[test]
fn breakglass_operations_2x2() {
    let model = Model {
        name: "breakglass_operations_2x2",
        claim: "two threads with two calls each that name their operations: the calls of one \
                operation make one change and get one result, and another change under its name \
                is refused",
        at_least: 4_550,
        ..ACTIVE
    };
    let alphabet = [
        Call::InvokeOnce(ALICE, 1),
        Call::InvokeOnce(BOB, 1),
        Call::ChangeOnce(ALICE, FIRST, Wish::Close, 2),
        Call::ChangeOnce(ALICE, FIRST, Wish::Note, 2),
        Call::ChangeOnce(ALICE, FIRST, Wish::Note, 1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[]));
}

#[test]
fn breakglass_operations_over_2x2() {
    let model = Model {
        name: "breakglass_operations_over_2x2",
        claim: "the same beside an emergency that is over and reviewed, which an operation has begun: \
                its deletion forgets the operation",
        at_least: 4_550,
        ..ACTIVE
    };
    let alphabet = [
        Call::InvokeOnce(ALICE, 1),
        Call::InvokeOnce(BOB, 1),
        Call::InvokeOnce(BOB, 2),
        Call::ChangeOnce(ALICE, FIRST, Wish::Close, 3),
        Call::Delete(ALICE),
    ];
    let setup = [
        Call::InvokeOnce(ALICE, 1),
        Call::ChangeOnce(ALICE, FIRST, Wish::Close, 3),
        Call::Change(ALICE, Wish::Review),
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

#[test]
fn breakglass_changes_2x2() {
    let model = Model {
        name: "breakglass_changes_2x2",
        claim: "one thread reads the changes one by one while another writes, or writes and reads \
                itself: it sees every change once, in the order in which they were made, and \
                skips none, not even of two that one step made",
        at_least: 7_454,
        ..ACTIVE
    };
    let alphabet = [
        NEXT_CHANGE,
        Call::Change(AFTER_REVIEW, Wish::Note),
        Call::Change(AFTER_REVIEW, Wish::Review),
        Call::Invoke(BOB),
        // Two changes of the emergency, and one of that which it replaces.
        Call::InvokeOverriding(REPLACING),
    ];
    let mut scenarios = scenarios(&alphabet, 2, 2);
    scenarios.retain(|scenario| {
        let reads = |calls: &&Vec<Call>| calls.contains(&NEXT_CHANGE);
        scenario.iter().filter(reads).count() == 1
    });
    let setup = [Call::Invoke(AFTER_REVIEW), Call::Pass(1)];
    model.check_scenarios(scenarios, parts(&setup));
}

#[test]
fn breakglass_expiry_2x2() {
    let model = Model {
        name: "breakglass_expiry_2x2",
        claim: "two threads with two calls each beside an active emergency, among them the workflow's \
                marking of what is due and deletion of what ended: nothing is marked that somebody \
                closed or that is not over, each is marked once, what is deleted was reviewed, and \
                whoever marks or deletes is not told of those who were faster",
        at_least: 39_146,
        ..ACTIVE
    };
    let alphabet = [
        Call::ExpireDue,
        Call::DeleteEnded(100),
        Call::Change(ALICE, Wish::Close),
        Call::Change(ALICE, Wish::Review),
        Call::Invoke(ALICE_SHOUTED),
        // It is over.
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[Call::Invoke(ALICE)]));
}

#[test]
fn breakglass_overdue_2x2() {
    let model = Model {
        name: "breakglass_overdue_2x2",
        claim: "the same beside an emergency that is over and not marked so",
        at_least: 27_341,
        ..ACTIVE
    };
    let alphabet = [
        Call::ExpireDue,
        Call::DeleteEnded(100),
        Call::Delete(ALICE),
        Call::Change(ALICE, Wish::Review),
        Call::Due,
    ];
    let setup = [Call::Invoke(ALICE), Call::Pass(1)];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

const NEXT_CHANGE: Call = Call::NextChanges(1);
/// Of the same user and for the same profile as `AFTER_REVIEW`.
const REPLACING: u64 = AFTER_REVIEW + 2;

#[test]
fn breakglass_clock_2x2() {
    let model = Model {
        name: "breakglass_clock_2x2",
        claim: "two threads with two calls each beside an active emergency, while the clock is set ahead \
                and back by eight hours: each call is judged by one time, a correction is made once, \
                what gives access can be closed, and never do two emergencies give it",
        at_least: 4_935,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke(ALICE_SHOUTED),
        Call::Change(ALICE, Wish::Close),
        FIND_GRANT,
        Call::Pass(8),
        Call::Back(8),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[Call::Invoke(ALICE)]));
}

#[test]
fn breakglass_corrected_2x2() {
    let model = Model {
        name: "breakglass_corrected_2x2",
        claim: "two threads with two calls each beside an emergency that began while the clock was \
                ahead: it stands in nobody's way, whoever finds the clock set right corrects it \
                once, refused or not, and an hour later the emergency has ended for good",
        at_least: 30_102,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke(ALICE_SHOUTED),
        Call::Change(ALICE, Wish::Expire),
        Call::Change(ALICE, Wish::Review),
        FIND_GRANT,
        Call::Due,
        // The correction has stood for an hour.
        Call::Pass(1),
    ];
    let setup = [Call::Pass(8), Call::Invoke(ALICE), Call::Back(8)];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}

#[test]
fn breakglass_proof_kept_2x2() {
    let model = Model {
        name: "breakglass_proof_kept_2x2",
        claim: "two threads with two calls each beside an emergency that is over and reviewed: the \
                second factor that began it is not good again when the emergency is deleted, whatever \
                the clock does",
        at_least: 1_180,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke(WITH_PROOF),
        Call::Invoke(WITH_PROOF_AGAIN),
        Call::Delete(WITH_PROOF),
        // The second factor is fresh again.
        Call::Back(1),
    ];
    let setup = [
        Call::Invoke(WITH_PROOF),
        Call::Change(WITH_PROOF, Wish::Close),
        Call::Change(WITH_PROOF, Wish::Review),
        Call::Pass(1),
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&setup));
}
