//! What somebody who wants more than they were given would try, one test for each attack.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::sync::Arc;

use countersign_request::{
    Change, Draft, Error, IdempotencyKey, PolicyDigest, Refusal, Request, Status, TextError,
    ValidationError,
};
use support::{HOUR, NANOSECOND, World, draft, id, profile, rules, terms, user};

fn with(policy: &str) -> World {
    World {
        policy: rules(policy),
        ..World::new()
    }
}

const PAIR: &str = r#"{"version": "1", "rules": [{"name": "pair", "groups": [
    {"name": "operations", "approvers": ["bob", "carol"]},
    {"name": "security", "approvers": ["bob", "dave"]}]}]}"#;

#[test]
fn self_approval_by_case() {
    let world = with(
        r#"{"version": "1", "rules": [{"name": "pair", "groups": [
            {"name": "all", "approvers": ["Alice", "bob", "carol"], "threshold": 2}]}]}"#,
    );
    world.create(&draft(1));
    world.change(1, &world.approve("bob")).unwrap();
    let refusal = world.refusal(1, &world.approve("Alice"));
    assert!(matches!(refusal, Refusal::OwnRequest { .. }), "{refusal}");
    let approved = world.change(1, &world.approve("carol")).unwrap();
    assert_eq!(approved.status, Status::Approved);
}

#[test]
fn one_user_approving_twice() {
    let world = with(
        r#"{"version": "1", "rules": [
            {"name": "two", "groups": [{"name": "all", "approvers": ["bob", "carol"], "threshold": 2}]}]}"#,
    );
    world.create(&draft(1));
    let first = world.change(1, &world.approve("bob")).unwrap();
    let twice = Refusal::AlreadyApproved {
        user: user("bob"),
        at: first.approvals[0].at,
    };
    assert_eq!(world.refusal(1, &world.approve("bob")), twice);
    assert!(twice.to_string().contains("somebody else"), "{twice}");
    // The same user under a spelling that a later policy names.
    let respelt = rules(
        r#"{"version": "1", "rules": [
            {"name": "two", "groups": [{"name": "all", "approvers": ["BOB", "carol"], "threshold": 2}]}]}"#,
    );
    let again = Change::approve(&respelt, &profile("prod"), &user("BOB"), None);
    assert!(matches!(
        world.refusal(1, &again),
        Refusal::AlreadyApproved { .. }
    ));
    assert_eq!(world.get(1).approvals.len(), 1);
    let approved = world.change(1, &world.approve("carol")).unwrap();
    assert_eq!(approved.status, Status::Approved);
}

#[test]
fn one_user_approving_for_two_groups() {
    let world = with(PAIR);
    world.create(&draft(1));
    let half = world.change(1, &world.approve("bob")).unwrap();
    assert_eq!(
        half.status,
        Status::Pending,
        "he is in both and counts once"
    );
    assert_eq!(half.grant(half.changed_at()), None);
    let approved = world.change(1, &world.approve("dave")).unwrap();
    assert_eq!(approved.status, Status::Approved);
    // Where the rule says so, he is enough.
    let lenient = with(&PAIR.replace(
        "\"name\": \"pair\",",
        "\"name\": \"pair\", \"count_in_every_group\": true,",
    ));
    lenient.create(&draft(1));
    let approved = lenient.change(1, &lenient.approve("bob")).unwrap();
    assert_eq!(approved.status, Status::Approved);
}

#[test]
fn an_approval_at_the_deadline() {
    for (nanoseconds, in_time) in [(-1, true), (0, false), (1, false)] {
        let world = with(PAIR);
        let request = world.create(&draft(1));
        world.change(1, &world.approve("bob")).unwrap();
        world
            .clock
            .set(request.decide_by + NANOSECOND * nanoseconds);
        let result = world.change(1, &world.approve("dave"));
        assert_eq!(result.is_ok(), in_time, "{nanoseconds} ns: {result:?}");
        let status = if in_time {
            Status::Approved
        } else {
            Status::Pending
        };
        assert_eq!(world.get(1).status, status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_approval_and_a_revocation_at_once() {
    for _ in 0..100 {
        let (world, _) = World::pending();
        let world = Arc::new(world);
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let tasks = [true, false].map(|approves| {
            let (workflow, barrier) = (world.workflow(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                if approves {
                    workflow.approve(id(1), &user("bob"), None).await
                } else {
                    workflow.revoke(id(1), &user("carol"), None).await
                }
            })
        });
        let [approved, revoked] = tasks;
        let (approved, revoked) = (approved.await.unwrap(), revoked.await.unwrap());
        assert!(approved.is_ok(), "nothing else decides it: {approved:?}");
        let after = world.get(1);
        match revoked {
            // It came after the approval, and nothing is left.
            Ok(_) => assert_eq!((after.status, after.history.len()), (Status::Revoked, 3)),
            // It came before, and has ended nothing.
            Err(Error::InvalidTransition {
                from: Status::Pending,
                ..
            }) => {
                assert_eq!((after.status, after.history.len()), (Status::Approved, 2));
            }
            Err(error) => panic!("{error}"),
        }
        let now = after.changed_at();
        assert_eq!(after.grant(now).is_some(), after.status == Status::Approved);
    }
}

#[test]
fn a_decision_on_a_stale_copy() {
    let world = with(PAIR);
    let read = world.create(&draft(1));
    world.change(1, &world.approve("bob")).unwrap();
    // Who has not seen bob's approval neither adds to it nor overrides it.
    for change in [world.approve("dave"), world.deny("dave")] {
        let error = world.update(1, read.updated_at, &change).unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{error}");
    }
    assert_eq!(world.get(1).approvals.len(), 1);
}

#[test]
fn an_identity_changed_between_read_and_write() {
    // The request that was read is gone, and another user's stands under its id.
    let (world, read) = World::pending();
    world.change(1, &world.deny("bob")).unwrap();
    world.delete(1).unwrap();
    world.clock.step_back(HOUR);
    let mallory = Draft {
        requester: user("mallory"),
        duration: HOUR * 8,
        ..draft(1)
    };
    let other = world.create(&mallory);
    let error = world
        .update(1, read.updated_at, &world.approve("bob"))
        .unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    assert_eq!(world.get(1), other);
    // And no change can alter what the request says of itself.
    let release = Change::release(&user("mallory"), None);
    for change in [
        world.approve("bob"),
        Change::note(&user("eve"), "alice"),
        release,
    ] {
        let after = world.change(1, &change).unwrap();
        let identity = |request: &Request| {
            let Request {
                id,
                requester,
                profile,
                duration,
                justification,
                ..
            } = request.clone();
            let Request {
                ticket,
                policy,
                ends_with_policy,
                created_at,
                decide_by,
                ..
            } = request.clone();
            let asked = (id, requester, profile, duration, justification);
            (
                asked,
                ticket,
                policy,
                ends_with_policy,
                created_at,
                decide_by,
            )
        };
        assert_eq!(identity(&after), identity(&other));
    }
}

#[test]
fn a_request_created_already_approved() {
    // A draft has no status to set; the one way in is the document of a record, which no store
    // takes. What it can carry, an operation or a policy, approves nothing.
    let world = World::new();
    let approved = world.create(&draft(1));
    let approved = world
        .update(1, approved.updated_at, &world.approve("bob"))
        .unwrap();
    let operation = approved.history[1].idempotency_key;
    assert_eq!(operation, None);
    let request = world.create(&Draft {
        policy: Some(PolicyDigest::from_bytes([1; 32])),
        idempotency_key: Some(IdempotencyKey::from_bits(1)),
        ..draft(2)
    });
    assert_eq!(
        (request.status, request.approvals.len()),
        (Status::Pending, 0)
    );
    assert_eq!((&request.approval, request.access_until), (&None, None));
    assert_eq!(request.grant(request.created_at), None);
}

#[test]
fn leaving_a_terminal_state() {
    let alice = user("alice");
    for status in Status::ALL {
        if matches!(status, Status::Pending | Status::Approved) {
            continue;
        }
        let (world, request) = World::with_status(status);
        for change in [
            world.approve("carol"),
            Change::approve_by_rule(&world.policy, &profile("prod")),
            world.deny("carol"),
            world.revoke("carol"),
            Change::release(&alice, None),
            Change::cancel(&alice, None),
            Change::expire(),
        ] {
            let error = world.change(1, &change).unwrap_err();
            assert!(matches!(error, Error::InvalidTransition { from, .. } if from == status));
        }
        assert_eq!(world.get(1), request);
        let noted = world.change(1, &Change::note(&alice, "please")).unwrap();
        assert_eq!(noted.status, status, "a note is no way out");
        assert_eq!(noted.grant(noted.changed_at()), None);
    }
}

#[test]
fn a_justification_that_says_nothing() {
    let world = World::new();
    for (justification, problem) in [
        (
            "",
            TextError::TooShort {
                characters: 0,
                least: 10,
            },
        ),
        (
            "x",
            TextError::TooShort {
                characters: 1,
                least: 10,
            },
        ),
        ("          ", TextError::SaysNothing),
        ("xxxxxxxxxxxxxxxxxxxx", TextError::SaysNothing),
        (" x x x x x x x ", TextError::SaysNothing),
    ] {
        let error = world.try_create(&Draft {
            justification: justification.into(),
            ..draft(1)
        });
        match error {
            Err(Error::Invalid(ValidationError::Justification(found))) => {
                assert_eq!(found, problem, "{justification:?}");
            }
            other => panic!("{justification:?}: {other:?}"),
        }
    }
    assert!(world.try_create(&draft(1)).is_ok());
}

#[test]
fn a_replayed_operation() {
    // Mallory has seen the id of bob's approval, and replays it for herself and elsewhere.
    let world = World::new();
    let operation = IdempotencyKey::from_bits(7);
    world.create(&draft(1));
    world.create(&Draft {
        requester: user("mallory"),
        ..draft(2)
    });
    let approve = world.approve("bob").with_idempotency_key(operation);
    world.change(1, &approve).unwrap();
    for (bits, change) in [
        (2, world.approve("bob")),
        (2, world.approve("mallory")),
        (1, world.deny("carol")),
    ] {
        let error = world
            .change(bits, &change.with_idempotency_key(operation))
            .unwrap_err();
        assert!(
            matches!(error, Error::IdempotencyKeyReused { .. }),
            "{error}"
        );
    }
    assert_eq!(world.get(2).status, Status::Pending);
    // Replayed after the revocation, the approval is told again and not made again.
    world.change(1, &world.revoke("carol")).unwrap();
    let told = world.change_again(1, &approve);
    assert_eq!(told.status, Status::Approved, "as it was then");
    assert_eq!(world.get(1).status, Status::Revoked);
    let now = world.get(1).changed_at();
    assert_eq!(world.access("alice", "prod", now), None);
}

#[test]
fn a_grant_of_another_user_another_profile_or_spent() {
    let (world, request) = World::approved();
    let until = request.access_until.unwrap();
    let find = |who: &str, what: &str, at| world.access(who, what, at);
    let before = until - NANOSECOND;
    assert!(find("alice", "prod", before).is_some());
    for (who, what, at) in [
        ("mallory", "prod", before),
        ("Alice", "prod", before),
        ("alice", "Prod", before),
        ("alice", "dev", before),
        ("alice", "prod", until),
    ] {
        assert_eq!(find(who, what, at), None, "{who} {what} {at}");
    }
    let grant = request.grant(before).unwrap();
    assert!(!grant.covers(&user("mallory"), &profile("prod"), before));
    assert!(!grant.covers(&user("alice"), &profile("prod"), until));
    world.change(1, &world.revoke("carol")).unwrap();
    assert_eq!(find("alice", "prod", before), None, "taken back");
}

#[test]
fn ending_one_of_several_overlapping_grants() {
    // Alice has three that overlap, and one more that she only asked for. Whatever ends one of
    // them, whoever does it and in whatever order, ends that one and gives back no other.
    let alice = user("alice");
    let ends: [fn(&World) -> Change; 2] = [
        |world| world.revoke("carol"),
        |_| Change::release(&user("alice"), None),
    ];
    for (order, end) in [[1, 2, 3], [3, 2, 1], [2, 3, 1]]
        .into_iter()
        .zip(ends.iter().cycle())
    {
        let world = World::new();
        for (bits, hours) in [(1, 1), (2, 2), (3, 3)] {
            world.create(&Draft {
                duration: HOUR * hours,
                ..draft(bits)
            });
            world.change(bits, &world.approve("bob")).unwrap();
        }
        world.create(&draft(4));
        world.change(4, &Change::cancel(&alice, None)).unwrap();
        let mut remaining = vec![1, 2, 3];
        for bits in order {
            let others = |left: &[u64]| -> Vec<Arc<Request>> {
                left.iter()
                    .filter(|other| **other != bits)
                    .map(|other| world.get(*other))
                    .collect()
            };
            let before = others(&remaining);
            world.change(bits, &end(&world)).unwrap();
            assert_eq!(others(&remaining), before, "ending {bits} changed another");
            remaining.retain(|other| *other != bits);
            let now = world.get(bits).changed_at();
            let found = world.access("alice", "prod", now).map(|request| request.id);
            assert_eq!(found, remaining.last().map(|bits| id(*bits)));
        }
    }
}

#[tokio::test]
async fn a_pinned_grant_after_the_policy_changed() {
    let world = with(
        r#"{"version": "1", "rules": [
            {"name": "pinned", "approvers": ["bob"], "ends_with_policy": true}]}"#,
    );
    let [before, after] = [1, 2].map(|byte| PolicyDigest::from_bytes([byte; 32]));
    let workflow = world.workflow().with_access_policy(before);
    let draft = Draft {
        policy: Some(before),
        ..draft(1)
    };
    workflow.submit(&draft).await.unwrap();
    workflow.approve(id(1), &user("bob"), None).await.unwrap();
    let (alice, prod) = (user("alice"), profile("prod"));
    assert!(workflow.find_grant(&alice, &prod).await.unwrap().is_some());
    let changed = workflow.with_access_policy(after);
    assert_eq!(changed.find_grant(&alice, &prod).await.unwrap(), None);
    assert_eq!(
        world.workflow().find_grant(&alice, &prod).await.unwrap(),
        None
    );
    // A record that was pinned to nothing, however it came to be, gives nothing.
    let mut forged = (*world.get(1)).clone();
    forged.policy = None;
    let grant = forged.grant(forged.changed_at()).unwrap();
    assert!(!grant.holds_under(before) && !grant.holds_under(after));
}

#[test]
fn terms_of_a_lenient_profile() {
    // Dave asks for `prod` under the terms of `sandbox`, where nothing is demanded.
    let world = with(
        r#"{"version": "1", "rules": [
            {"name": "sandbox", "profiles": ["sandbox"], "approvers": ["bob"]},
            {"name": "rest", "approvers": ["bob"], "ticket_required": true}]}"#,
    );
    let sandbox = countersign_request::Terms::of(&world.policy, &profile("sandbox"));
    let error = world.store.sync().create(&draft(1), &sandbox).unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::OtherProfile { .. })),
        "{error}"
    );
    assert!(world.store.sync().create(&draft(1), &terms("prod")).is_ok());
}
