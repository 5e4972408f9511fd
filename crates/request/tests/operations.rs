//! Operations that are repeated, records as they were, changes as a stream, and what is deleted
//! when it is old.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::sync::Arc;

use countersign_request::{
    Action, Change, Changed, Draft, Error, IdempotencyKey, Page, Refusal, Request, Status, User,
    Version,
};
use support::{HOUR, NANOSECOND, World, draft, id, profile, rules, start, terms, user};

fn operation(bits: u64) -> IdempotencyKey {
    IdempotencyKey::from_bits(bits)
}

fn named(bits: u64, name: u64) -> Draft {
    Draft {
        idempotency_key: Some(operation(name)),
        ..draft(bits)
    }
}

#[track_caller]
fn reused<T: std::fmt::Debug>(result: Result<T, Error>) {
    match result {
        Err(Error::IdempotencyKeyReused {
            idempotency_key: o, ..
        }) => assert_eq!(o, operation(1)),
        other => panic!("not told of the reuse: {other:?}"),
    }
}

// Operations

#[test]
fn a_create_that_is_repeated_gives_the_first_result_whatever_came_since() {
    let world = World::new();
    let first = world.create(&named(1, 1));
    assert_eq!(first.history[0].idempotency_key, Some(operation(1)));
    assert_eq!(world.create(&named(1, 1)), first);
    let note = Change::note(&user("bob"), "seen");
    world.change(1, &note).unwrap();
    world.change(1, &world.deny("bob")).unwrap();
    let now = world.get(1);
    assert_eq!(world.create(&named(1, 1)), first, "as it was then");
    assert_eq!(world.get(1), now, "and nothing is changed");
    // Without the operation it is another create.
    assert!(matches!(
        world.try_create(&draft(1)),
        Err(Error::AlreadyExists { .. })
    ));
}

#[test]
fn a_create_with_the_operation_of_another_is_refused_for_every_field() {
    let world = World::new();
    world.create(&named(1, 1));
    let others: [fn(&mut Draft); 7] = [
        |draft| draft.id = id(2),
        |draft| draft.requester = user("dave"),
        |draft| draft.profile = profile("dev"),
        |draft| draft.duration += std::time::Duration::from_nanos(1),
        |draft| draft.justification.push('.'),
        |draft| draft.ticket = Some("OPS-1".into()),
        |draft| draft.policy = Some(countersign_request::PolicyDigest::from_bytes([0; 32])),
    ];
    for change in others {
        let mut other = named(1, 1);
        change(&mut other);
        reused(world.try_create(&other));
    }
    let cancel = Change::cancel(&user("alice"), None).with_idempotency_key(operation(1));
    reused(world.change(1, &cancel));
    assert_eq!(world.get(1).history.len(), 1);
}

#[test]
fn each_change_that_is_repeated_gives_its_first_result() {
    let (alice, bob, prod) = (user("alice"), user("bob"), profile("prod"));
    let why = Some("why");
    let policy = World::new().policy;
    let dev = profile("dev");
    for (status, name, change) in [
        (
            Status::Pending,
            "prod",
            Change::approve(&policy, &prod, &bob, why),
        ),
        (
            Status::Pending,
            "prod",
            Change::deny(&policy, &prod, &bob, why),
        ),
        (Status::Pending, "prod", Change::cancel(&alice, why)),
        (
            Status::Approved,
            "prod",
            Change::revoke(&policy, &prod, &bob, why),
        ),
        (Status::Approved, "prod", Change::release(&alice, why)),
        (Status::Pending, "prod", Change::note(&bob, "why")),
        (
            Status::Pending,
            "dev",
            Change::approve_by_rule(&policy, &dev),
        ),
    ] {
        let world = World::new();
        world.create(&Draft {
            profile: profile(name),
            ..draft(1)
        });
        if status == Status::Approved {
            world.change(1, &world.approve("bob")).unwrap();
        }
        let read = world.get(1).updated_at;
        let change = change.with_idempotency_key(operation(1));
        let first = world.update(1, read, &change).unwrap();
        assert_eq!(
            first.history.last().unwrap().idempotency_key,
            Some(operation(1))
        );
        let after = world.change(1, &Change::note(&alice, "later")).unwrap();
        // With the version that was read first, with the present one, and with none.
        for expected in [read, after.updated_at, Version::from_nanos(0)] {
            assert_eq!(
                world
                    .update(1, expected, &change)
                    .unwrap_or_else(|e| panic!("{e}")),
                first
            );
        }
        assert_eq!(world.get(1), after);
    }
}

#[test]
fn an_operation_is_of_one_change_of_one_request() {
    let world = World::new();
    world.create(&draft(1));
    world.create(&draft(2));
    let note =
        |by: &str, text: &str| Change::note(&user(by), text).with_idempotency_key(operation(1));
    world.change(1, &note("bob", "seen")).unwrap();
    reused(world.change(2, &note("bob", "seen")));
    reused(world.change(1, &note("bob", "Seen")));
    reused(world.change(1, &note("Bob", "seen")));
    reused(world.change(1, &world.deny("bob").with_idempotency_key(operation(1))));
    reused(world.try_create(&named(3, 1)));
    // Also where there is no such request: the operation is looked for first.
    reused(
        world
            .store
            .sync()
            .update(id(9), Version::from_nanos(0), &note("bob", "seen")),
    );
    assert!(
        world
            .change(2, &note("bob", "seen").with_idempotency_key(operation(2)))
            .is_ok()
    );
}

#[test]
fn a_failed_call_leaves_no_trace_of_its_operation() {
    let (world, _) = World::pending();
    let early = Change::expire().with_idempotency_key(operation(1));
    assert!(matches!(world.refusal(1, &early), Refusal::NotDue { .. }));
    world.clock.set(world.get(1).decide_by);
    assert!(world.change(1, &early).is_ok(), "judged anew");
    assert!(world.change(1, &early).is_ok(), "and then known");
}

#[test]
fn a_deleted_request_takes_its_operations_with_it() {
    let world = World::new();
    world.create(&named(1, 1));
    world.change(1, &world.deny("bob")).unwrap();
    world.delete(1).unwrap();
    let again = world.create(&named(1, 1));
    assert_eq!(again.status, Status::Pending);
}

#[tokio::test]
async fn a_workflow_for_an_operation_repeats_without_harm() {
    let world = World::new();
    let workflow = world.workflow().with_idempotency_key(operation(1));
    let made = workflow.draft(&user("alice"), &profile("prod"), HOUR, support::WHY);
    let made = made.unwrap();
    let first = workflow.submit(&made).await.unwrap();
    let id = first.request.id;
    let bob = user("bob");
    let approve = world.workflow().with_idempotency_key(operation(2));
    let approved = approve.approve(id, &bob, Some("go")).await.unwrap();
    world.workflow().note(id, &bob, "done").await.unwrap();
    assert_eq!(workflow.submit(&made).await.unwrap(), first);
    assert_eq!(
        approve.approve(id, &bob, Some("go")).await.unwrap(),
        approved
    );
    let other = approve.approve(id, &user("carol"), Some("go")).await;
    assert!(matches!(other, Err(Error::IdempotencyKeyReused { .. })));
    assert_eq!(world.store.sync().get(id).unwrap().history.len(), 3);
    // A draft without an operation gets the workflow's.
    let third = world.workflow().with_idempotency_key(operation(3));
    let submitted = third.submit(&draft(9)).await.unwrap();
    assert_eq!(
        submitted.request.history[0].idempotency_key,
        Some(operation(3))
    );
}

#[tokio::test]
async fn a_repeated_submit_makes_up_for_a_lost_automatic_approval() {
    let world = World::new();
    let automatic = Draft {
        profile: profile("dev"),
        ..named(1, 1)
    };
    world.create(&automatic);
    let submitted = world.workflow().submit(&automatic).await.unwrap();
    assert_eq!(submitted.request.status, Status::Approved);
    let again = world.workflow().submit(&automatic).await.unwrap();
    assert_eq!(again, submitted);
    assert_eq!(world.get(1).history.len(), 2);
}

/// Alice's draft for `dev`, which its rule approves.
fn automatic() -> Draft {
    Draft {
        profile: profile("dev"),
        ..draft(1)
    }
}

/// The creation is what the operation names; the approval that comes with it is no second use.
#[tokio::test]
async fn an_automatic_approval_within_an_operation_is_not_told_that_it_was_used() {
    let world = World::new();
    let workflow = world.workflow().with_idempotency_key(operation(1));
    let made = workflow.draft(&user("alice"), &profile("dev"), HOUR, support::WHY);
    let made = made.unwrap();
    let first = workflow.submit(&made).await.unwrap();
    assert_eq!(first.request.status, Status::Approved);
    let named: Vec<_> = first
        .request
        .history
        .iter()
        .map(|e| e.idempotency_key)
        .collect();
    assert_eq!(named, [Some(operation(1)), None]);
    assert_eq!(workflow.submit(&made).await.unwrap(), first);
    let kept = world.store.sync().get(made.id).unwrap();
    assert_eq!(kept, first.request, "a repeat changes nothing");
    world.sound();
}

/// The same where the draft has no operation, and gets the workflow's.
#[tokio::test]
async fn an_automatic_approval_of_a_draft_that_gets_its_operation_is_repeated() {
    let world = World::new();
    let workflow = world.workflow().with_idempotency_key(operation(1));
    let first = workflow.submit(&automatic()).await.unwrap();
    assert_eq!(first.request.status, Status::Approved);
    assert_eq!(workflow.submit(&automatic()).await.unwrap(), first);
    assert_eq!(world.get(1).history.len(), 2);
}

#[tokio::test]
async fn a_repeated_submit_gives_the_automatic_approval_whatever_came_since() {
    let world = World::new();
    let workflow = world.workflow().with_idempotency_key(operation(1));
    let first = workflow.submit(&automatic()).await.unwrap();
    let later = [
        Change::note(&user("bob"), "seen"),
        Change::release(&user("alice"), None),
        Change::note(&user("bob"), "done"),
    ];
    for change in later {
        world.change(1, &change).unwrap();
        let now = world.get(1);
        assert_eq!(workflow.submit(&automatic()).await.unwrap(), first);
        assert_eq!(world.get(1), now, "a repeat changes nothing");
    }
}

#[tokio::test]
async fn a_repeated_submit_gives_the_automatic_approval_after_its_window_has_closed() {
    let world = World::new();
    let window = r#"{"version": "1", "rules": [{"name": "own", "approvers": ["bob"],
        "auto_approve": {"time": {"hours": {"start": "09:00", "end": "10:00"}}}}]}"#;
    let workflow = world.workflow().with_idempotency_key(operation(1));
    let workflow = workflow.with_policy(Arc::new(rules(window)));
    let first = workflow.submit(&draft(1)).await.unwrap();
    assert_eq!(first.request.status, Status::Approved);
    world.clock.advance(HOUR);
    assert_eq!(workflow.submit(&draft(1)).await.unwrap(), first);
    // Nor does it matter that the rule is another by now.
    let plain = r#"{"version": "1", "rules": [{"name": "own", "approvers": ["bob"]}]}"#;
    let workflow = workflow.with_policy(Arc::new(rules(plain)));
    assert_eq!(workflow.submit(&draft(1)).await.unwrap(), first);
    assert_eq!(world.get(1).history.len(), 2);
}

/// What a user decided is no part of the first result, before and after the rule would.
#[tokio::test]
async fn a_repeated_submit_gives_the_creation_where_a_user_decided() {
    let world = World::new();
    let window = r#"{"version": "1", "rules": [{"name": "own", "approvers": ["bob"],
        "auto_approve": {"time": {"hours": {"start": "12:00", "end": "13:00"}}}}]}"#;
    let policy = Arc::new(rules(window));
    let workflow = world.workflow().with_policy(policy);
    let named = workflow.with_idempotency_key(operation(1));
    let first = named.submit(&draft(1)).await.unwrap();
    assert_eq!(first.request.status, Status::Pending);
    let approved = workflow.approve(id(1), &user("bob"), None).await.unwrap();
    for _ in 0..3 {
        assert_eq!(named.submit(&draft(1)).await.unwrap(), first);
        world.clock.advance(HOUR + HOUR);
    }
    assert_eq!(world.get(1), approved);
    // Without an operation it is told what is there now: the id is taken.
    let again = workflow.submit(&draft(1)).await;
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_of_one_operation_at_once_make_one_change_and_get_one_result() {
    let world = Arc::new(World::new());
    let barrier = Arc::new(tokio::sync::Barrier::new(20));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (world, barrier) = (world.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let created = world.store.sync().create(&named(1, 1), &terms("prod"));
                let bob = user("bob");
                let workflow = world.workflow().with_idempotency_key(operation(2));
                let approved = workflow.approve(id(1), &bob, None).await;
                (created.unwrap(), approved.unwrap())
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    assert!(results.windows(2).all(|two| two[0] == two[1]));
    assert_eq!(world.get(1), results[0].1);
    assert_eq!(world.get(1).history.len(), 2);
}

// Records as they were

#[test]
fn a_record_without_what_is_optional_is_read() {
    let stored = r#"{"id":"0000000000000001","requester":"alice","profile":"prod",
        "duration":"1h","justification":"migrate the orders table",
        "created":"2026-03-02T09:00:00Z","created_at":"2026-03-02T09:00:00Z",
        "decide_by":"2026-03-03T09:00:00Z",
        "status":"approved","approval":{"by":{"user":"bob"},"at":"2026-03-02T09:01:00Z",
            "version":"2026-03-02T09:01:00Z"},
        "access_until":"2026-03-02T10:01:00Z","updated_at":"2026-03-02T09:01:00Z",
        "history":[
            {"action":"created","actor":{"user":"alice"},"to":"2026-03-02T09:00:00Z",
             "at":"2026-03-02T09:00:00Z"},
            {"action":"approved","actor":{"user":"bob"},"from":"2026-03-02T09:00:00Z",
             "to":"2026-03-02T09:01:00Z","at":"2026-03-02T09:01:00Z"}]}"#;
    let request: Request = serde_json::from_str(stored).unwrap();
    assert_eq!((request.policy, request.ends_with_policy), (None, false));
    assert!(request.approvals.is_empty());
    let now = start() + HOUR;
    let grant = request.grant(now).unwrap();
    assert_eq!((grant.policy, grant.ends_with_policy), (None, false));
    assert_eq!(request.ended_at(), request.access_until);
    let before = request.as_of(request.history[0].to).unwrap();
    assert_eq!(
        (before.status, before.access_until),
        (Status::Pending, None)
    );
    let today = request.as_of(request.updated_at).unwrap();
    assert_eq!(today.approval, request.approval);
    assert_eq!(today.access_until, request.access_until);
    // What is not there is not written.
    let written = serde_json::to_value(&request).unwrap();
    for field in ["policy", "ends_with_policy", "approvals"] {
        assert!(written.get(field).is_none(), "{field}");
    }
    assert!(written["history"][0].get("idempotency_key").is_none());
}

#[test]
fn a_request_never_was_at_a_version_of_another() {
    let world = World::new();
    let first = world.create(&draft(1));
    let second = world.create(&draft(2));
    assert_eq!(first.as_of(second.updated_at), None);
    assert!(first.entry_at(second.updated_at).is_none());
    assert_eq!(first.as_of(first.updated_at).as_ref(), Some(&*first));
}

// Changes

fn changes(world: &World, after: Option<Version>, limit: usize) -> Vec<Changed> {
    world.store.sync().changes_after(after, limit).unwrap()
}

#[test]
fn changes_come_in_order_each_once_and_go_on_from_any_version() {
    let world = World::new();
    let mut results = Vec::new();
    for bits in 1..=3 {
        results.push(world.create(&draft(bits)));
    }
    world.clock.advance(2 * HOUR);
    let noted = world.change(3, &Change::note(&user("bob"), "ahead"));
    results.push(noted.unwrap());
    world.clock.step_back(HOUR);
    for bits in [2, 1] {
        results.push(world.change(bits, &world.approve("bob")).unwrap());
        results.push(world.change(bits, &world.revoke("bob")).unwrap());
    }
    let all = changes(&world, None, 0);
    let versions: Vec<_> = all.iter().map(|changed| changed.version).collect();
    let expected: Vec<_> = results.iter().map(|request| request.updated_at).collect();
    assert_eq!(versions, expected);
    for (changed, result) in all.iter().zip(&results) {
        assert_eq!(changed.entry, *result.history.last().unwrap());
        assert_eq!(
            changed.request,
            world.get(result.id.to_bits()),
            "as it is now"
        );
        let then = changed.request.as_of(changed.version).unwrap();
        assert_eq!(then, **result, "as it was");
    }
    for (place, version) in versions.iter().enumerate() {
        assert_eq!(changes(&world, Some(*version), 0), all[place + 1..]);
    }
    // In pieces.
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let piece = changes(&world, after, 2);
        assert!(piece.len() <= 2);
        let Some(last) = piece.last() else { break };
        after = Some(last.version);
        seen.extend(piece);
    }
    assert_eq!(seen, all);
    world.delete(1).unwrap();
    assert_eq!(
        changes(&world, None, 0).len(),
        5,
        "a deleted request takes them with it"
    );
}

#[test]
fn changes_are_100_by_default_and_1000_at_most() {
    let world = World::new();
    for bits in 1..=1_001 {
        world.create(&draft(bits));
    }
    for (limit, holds) in [(0, 100), (1, 1), (1_000, 1_000), (1_001, 1_000)] {
        assert_eq!(changes(&world, None, limit).len(), holds, "limit {limit}");
    }
}

// Retention

#[test]
fn requests_end_when_their_status_or_their_time_ends_them() {
    for status in Status::ALL {
        let (world, request) = World::with_status(status);
        let ended = match status {
            Status::Pending => None,
            Status::Approved => request.access_until,
            Status::Expired => Some(request.decide_by),
            _ => Some(request.changed_at()),
        };
        assert_eq!(request.ended_at(), ended, "{status}");
        world.clock.advance(HOUR);
        let noted = world
            .change(1, &Change::note(&user("bob"), "seen"))
            .unwrap();
        assert_eq!(noted.ended_at(), ended, "a note ends nothing");
        let listed = |time| world.store.sync().list_ended(time, 0).unwrap().len();
        if let Some(ended) = ended {
            assert_eq!((listed(ended), listed(ended + NANOSECOND)), (0, 1));
        } else {
            assert_eq!(listed(start() + HOUR * 1_000), 0);
        }
    }
}

#[tokio::test]
async fn what_ended_before_a_time_is_deleted_earliest_first() {
    let world = World::new();
    for bits in 1..=5 {
        world.create(&draft(bits));
    }
    for bits in [3, 1, 2] {
        world.clock.advance(HOUR);
        world.change(bits, &world.deny("bob")).unwrap();
    }
    world.change(4, &world.approve("bob")).unwrap();
    let workflow = world.workflow();
    let left = || {
        let listed = world
            .store
            .sync()
            .list(&user("alice").into(), Page::default());
        let items = listed.unwrap().items;
        items.iter().map(|r| r.id.to_bits()).collect::<Vec<_>>()
    };
    let third = world.get(3).ended_at().unwrap();
    assert_eq!(workflow.delete_ended_before(third, 0).await.unwrap(), 0);
    let later = third + HOUR * 100;
    assert_eq!(workflow.delete_ended_before(later, 1).await.unwrap(), 1);
    assert_eq!(left(), [5, 4, 2, 1]);
    // 2 ended at this moment, and 4 gives access for another hour.
    assert_eq!(workflow.delete_ended_before(later, 0).await.unwrap(), 1);
    assert_eq!(left(), [5, 4, 2]);
    world.clock.advance(HOUR * 2);
    assert_eq!(workflow.delete_ended_before(later, 0).await.unwrap(), 2);
    assert_eq!(left(), [5], "pending, for ever if nobody marks it");
    assert_eq!(workflow.delete_ended_before(later, 0).await.unwrap(), 0);
    world.sound();
}

#[test]
fn retention_is_decided_in_the_step() {
    let (world, request) = World::with_status(Status::Denied);
    let ended_at = request.ended_at().unwrap();
    let delete = |before| world.store.sync().delete(id(1), Some(before));
    let kept = delete(ended_at);
    assert!(matches!(kept, Err(Error::Retained { ended_at: e, .. }) if e == ended_at));
    assert_eq!(world.get(1), request);
    assert!(delete(ended_at + NANOSECOND).unwrap());
    assert!(!delete(ended_at).unwrap(), "it was not there");
    let (world, request) = World::approved();
    let until = request.access_until.unwrap();
    let early = world.store.sync().delete(id(1), Some(until + HOUR));
    assert!(matches!(early, Err(Error::NotTerminal { .. })));
}

// What a user has open

#[tokio::test]
async fn what_a_user_has_open_is_pending_in_time_or_access_that_is_not_over() {
    let world = World::new();
    for bits in 1..=6 {
        world.create(&draft(bits));
        world.clock.advance(std::time::Duration::from_nanos(1));
    }
    let bob = Draft {
        requester: user("bob"),
        ..draft(7)
    };
    world.create(&bob);
    world.change(1, &world.approve("bob")).unwrap();
    world.change(2, &world.deny("bob")).unwrap();
    world.change(3, &world.approve("bob")).unwrap();
    world.change(3, &world.revoke("bob")).unwrap();
    let open = async |who: &User| -> Vec<u64> {
        let listing = world
            .workflow()
            .open_for(who, Page::default())
            .await
            .unwrap();
        listing.items.iter().map(|r| r.id.to_bits()).collect()
    };
    let alice = user("alice");
    assert_eq!(open(&alice).await, [6, 5, 4, 1], "what ends last first");
    assert_eq!(open(&user("bob")).await, [7]);
    assert_eq!(open(&user("Alice")).await, [0; 0]);
    let until = world.get(1).access_until.unwrap();
    world.clock.set(until - NANOSECOND);
    assert_eq!(open(&alice).await, [6, 5, 4, 1]);
    world.clock.set(until);
    assert_eq!(open(&alice).await, [6, 5, 4]);
    world.clock.set(world.get(5).decide_by - NANOSECOND);
    assert_eq!(open(&alice).await, [6, 5]);
    world.clock.set(world.get(6).decide_by);
    assert_eq!(open(&alice).await, [0; 0]);
    // In pages of each size.
    world.clock.set(start());
    for limit in 1..=5 {
        let (mut page, mut seen) = (Page::first(limit), Vec::new());
        loop {
            let listing = world.workflow().open_for(&alice, page).await.unwrap();
            assert!(listing.items.len() <= limit);
            seen.extend(listing.items.iter().map(|r| r.id.to_bits()));
            let Some(next) = listing.next else { break };
            page = Page::after(next, limit);
        }
        assert_eq!(seen, [6, 5, 4, 1], "limit {limit}");
    }
}

#[test]
fn what_waits_is_listed_oldest_first_for_all_or_for_some_profiles() {
    let world = World::new();
    let names = ["prod", "dev", "solo"];
    for bits in 1..=9 {
        let name = names[bits as usize % 3];
        world.create(&Draft {
            profile: profile(name),
            ..draft(bits)
        });
        world.clock.step_back(HOUR);
    }
    world
        .change(4, &Change::cancel(&user("alice"), None))
        .unwrap();
    let waiting = |wanted: Option<&[&str]>, limit| {
        let wanted = wanted.map(|names| names.iter().map(|name| profile(name)).collect());
        let (mut page, mut seen) = (Page::first(limit), Vec::new());
        loop {
            let listing = world
                .store
                .sync()
                .list_pending(wanted.as_ref(), page)
                .unwrap();
            seen.extend(listing.items.iter().map(|r| r.id.to_bits()));
            let Some(next) = listing.next else {
                return seen;
            };
            page = Page::after(next, limit);
        }
    };
    for limit in 1..=9 {
        assert_eq!(waiting(None, limit), [1, 2, 3, 5, 6, 7, 8, 9]);
        assert_eq!(waiting(Some(&["dev"]), limit), [1, 7]);
        assert_eq!(waiting(Some(&["prod", "dev"]), limit), [1, 3, 6, 7, 9]);
        assert_eq!(
            waiting(Some(&["none", "solo", "prod"]), limit),
            [2, 3, 5, 6, 8, 9]
        );
        assert_eq!(waiting(Some(&[]), limit), [0; 0]);
    }
}

#[tokio::test]
async fn a_page_of_an_inbox_looks_at_a_thousand_requests_at_most() {
    // A rule for every profile, of which 2,050 requests are bob's own.
    let world = World {
        policy: rules(
            r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob", "carol"]}]}"#,
        ),
        ..World::new()
    };
    for bits in 1..=2_050 {
        let own = Draft {
            requester: user("bob"),
            ..draft(bits)
        };
        world.store.sync().create(&own, &terms("prod")).unwrap();
    }
    world
        .store
        .sync()
        .create(&draft(3_000), &terms("prod"))
        .unwrap();
    let workflow = world.workflow();
    let (mut page, mut sizes) = (Page::first(10), Vec::new());
    loop {
        let listing = workflow.inbox(&user("bob"), page).await.unwrap();
        sizes.push(listing.items.len());
        let Some(next) = listing.next else { break };
        page = Page::after(next, 10);
    }
    assert_eq!(sizes, [0, 0, 1]);
    let none = workflow
        .inbox(&user("dave"), Page::default())
        .await
        .unwrap();
    assert_eq!((none.items.len(), none.next), (0, None));
    assert_eq!(world.get(1).history[0].action, Action::Created);
}
