//! Every step of the workflow: what it does, what it refuses, and where its limits are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_request::{
    Actor, Change, Clock, Draft, Error, GrantedBy, InMemory, ManualClock, NoSleep, Page, Refusal,
    RequestId, Retry, SequenceRandom, Status, Store, StoreExt, Workflow,
};
use support::{HOUR, NANOSECOND, WHY, World, draft, id, profile, rules, user};

fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not a refusal: {other:?}"),
    }
}

/// Alice's draft for the profile.
fn draft_for(bits: u64, name: &str, duration: Duration) -> Draft {
    Draft {
        profile: profile(name),
        duration,
        ..draft(bits)
    }
}

#[tokio::test]
async fn draft_mints_an_id_and_stores_nothing() {
    let world = World::new();
    let workflow = world
        .workflow()
        .with_random(Arc::new(SequenceRandom::starting_at(41)));
    let made = workflow
        .draft(&user("alice"), &profile("prod"), HOUR, WHY)
        .unwrap();
    assert_eq!(made, draft(41));
    let listed = world.store.sync();
    let listed = listed.list(&user("alice").into(), Page::default());
    assert!(listed.unwrap().items.is_empty());
}

#[tokio::test]
async fn submit_stores_a_pending_request_and_says_who_could_approve() {
    let world = World::new();
    let submitted = world.workflow().submit(&draft(1)).await.unwrap();
    assert_eq!(submitted.request.status, Status::Pending);
    assert_eq!(submitted.request, world.get(1));
    assert_eq!(submitted.approvers, [user("bob"), user("carol")]);
    let error = world.workflow().submit(&draft(1)).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    let spoilt = draft_for(2, "prod", Duration::ZERO);
    let error = world.workflow().submit(&spoilt).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert!(world.store.sync().get(id(2)).is_err());
}

#[tokio::test]
async fn submit_lets_a_rule_approve_by_itself_up_to_its_longest_duration() {
    let world = World::new();
    let submitted = world.workflow().submit(&draft_for(1, "dev", HOUR)).await;
    let submitted = submitted.unwrap();
    let request = &submitted.request;
    assert_eq!(request.status, Status::Approved);
    let approval = request.approval.as_ref().unwrap();
    assert_eq!(approval.by, GrantedBy::Rule("development".into()));
    assert_eq!(request.access_until, Some(approval.at + HOUR));
    let entry = request.history.last().unwrap();
    assert_eq!(entry.actor, Actor::Rule("development".into()));
    assert_eq!(submitted.approvers, [user("bob")], "not the requester");

    let longer = draft_for(2, "dev", HOUR + Duration::from_nanos(1));
    let submitted = world.workflow().submit(&longer).await.unwrap();
    assert_eq!(submitted.request.status, Status::Pending);
    let other = Draft {
        requester: user("dave"),
        ..draft_for(3, "dev", HOUR)
    };
    let submitted = world.workflow().submit(&other).await.unwrap();
    assert_eq!(submitted.request.status, Status::Pending);
    assert_eq!(submitted.approvers, [user("alice"), user("bob")]);
    world.sound();
}

#[tokio::test]
async fn submit_takes_what_only_a_rule_can_approve_and_only_while_it_does() {
    let world = World::new();
    let policy = rules(
        r#"{"version": "1", "rules": [{"name": "own", "approvers": ["alice"],
            "auto_approve": {"max_duration": "1h"}}]}"#,
    );
    let workflow = world.workflow().with_policy(Arc::new(policy));
    let submitted = workflow.submit(&draft(1)).await.unwrap();
    assert_eq!(submitted.request.status, Status::Approved);
    assert!(submitted.approvers.is_empty());
    let longer = draft_for(2, "prod", HOUR + Duration::from_nanos(1));
    let refusal = refused(workflow.submit(&longer).await);
    assert!(matches!(refusal, Refusal::NobodyCanApprove { .. }));
    assert!(world.store.sync().get(id(2)).is_err());
}

/// A clock that goes on by a nanosecond whenever somebody looks.
#[derive(Debug)]
struct Ticking(ManualClock);

impl Clock for Ticking {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        let now = self.0.now();
        self.0.advance(Duration::from_nanos(1));
        now
    }
}

#[tokio::test]
async fn a_window_that_closes_while_submitting_leaves_the_request_pending_and_says_so() {
    // The creation is the last nanosecond inside, the approval the first outside.
    let world = World::new();
    let policy = rules(
        r#"{"version": "1", "rules": [{"name": "own", "approvers": ["alice"],
            "auto_approve": {"time": {"hours": {"start": "09:00", "end": "10:00"}}}}]}"#,
    );
    world.clock.advance(HOUR - Duration::from_nanos(1));
    let ticking = Ticking(ManualClock::at(world.clock.now()));
    let store = Arc::new(InMemory::new(Arc::new(ticking)));
    let workflow = Workflow::new(store, Arc::new(policy));
    let submitted = workflow.submit(&draft(1)).await.unwrap();
    assert_eq!(submitted.request.status, Status::Pending);
    assert!(submitted.approvers.is_empty(), "nobody can approve it");
    assert_eq!(submitted.request.access_until, None);
    world.clock.advance(Duration::from_nanos(1));
    let refusal = refused(workflow.submit(&draft(2)).await);
    assert!(matches!(refusal, Refusal::NobodyCanApprove { .. }));
}

#[tokio::test]
async fn each_decision_leads_to_its_status_and_keeps_its_reason() {
    let workflow_of = |world: &World| world.workflow();
    let (bob, alice) = (user("bob"), user("alice"));

    let (world, _) = World::pending();
    let workflow = workflow_of(&world);
    let approved = workflow.approve(id(1), &bob, Some("go")).await.unwrap();
    assert_eq!(approved.status, Status::Approved);
    let revoked = workflow.revoke(id(1), &bob, Some("done")).await.unwrap();
    assert_eq!(revoked.status, Status::Revoked);
    let noted = workflow.note(id(1), &user("dave"), "seen").await.unwrap();
    let reasons: Vec<_> = noted.history.iter().map(|e| e.reason.as_deref()).collect();
    assert_eq!(reasons, [None, Some("go"), Some("done"), Some("seen")]);
    assert_eq!(noted, world.get(1));

    let (world, _) = World::pending();
    let denied = workflow_of(&world).deny(id(1), &bob, None).await.unwrap();
    assert_eq!((denied.status, denied.access_until), (Status::Denied, None));

    let (world, _) = World::pending();
    let cancelled = workflow_of(&world).cancel(id(1), &alice, None).await;
    assert_eq!(cancelled.unwrap().status, Status::Cancelled);
    world.sound();
}

#[tokio::test]
async fn each_step_says_what_forbids_it_and_changes_nothing() {
    let (world, before) = World::pending();
    let workflow = world.workflow();
    let (alice, bob, dave) = (user("alice"), user("bob"), user("dave"));
    let one = id(1);
    assert!(matches!(
        refused(workflow.approve(one, &alice, None).await),
        Refusal::OwnRequest { .. }
    ));
    for refusal in [
        refused(workflow.approve(one, &dave, None).await),
        refused(workflow.deny(one, &dave, None).await),
        refused(workflow.deny(one, &alice, None).await),
    ] {
        assert!(matches!(refusal, Refusal::NotAnApprover { .. }));
        assert!(refusal.to_string().contains("`production`"), "{refusal}");
    }
    assert!(matches!(
        refused(workflow.cancel(one, &bob, None).await),
        Refusal::NotTheRequester { .. }
    ));
    for refusal in [
        refused(workflow.note(one, &bob, "").await),
        refused(workflow.approve(one, &bob, Some(&"x".repeat(1_001))).await),
    ] {
        assert!(matches!(refusal, Refusal::Reason(_)), "{refusal}");
    }
    let error = workflow.revoke(one, &bob, None).await.unwrap_err();
    assert!(matches!(error, Error::InvalidTransition { .. }), "{error}");
    for result in [
        workflow.approve(id(2), &bob, None).await,
        workflow.deny(id(2), &bob, None).await,
        workflow.cancel(id(2), &alice, None).await,
        workflow.revoke(id(2), &bob, None).await,
        workflow.note(id(2), &bob, "x").await,
    ] {
        assert!(matches!(result, Err(Error::NotFound { .. })), "{result:?}");
    }
    assert_eq!(world.get(1), before);
    world.sound();
}

#[tokio::test]
async fn rules_that_change_apply_to_the_decisions_that_come() {
    let (world, _) = World::pending();
    let none = rules(
        r#"{"version": "1", "rules": [{"name": "x", "profiles": ["x"], "approvers": ["bob"]}]}"#,
    );
    let without = world.workflow().with_policy(Arc::new(none));
    for refusal in [
        refused(without.approve(id(1), &user("bob"), None).await),
        refused(without.deny(id(1), &user("bob"), None).await),
    ] {
        assert!(matches!(refusal, Refusal::NobodyCanApprove { .. }));
    }
    let dave = rules(r#"{"version": "1", "rules": [{"name": "d", "approvers": ["dave"]}]}"#);
    let workflow = world.workflow().with_policy(Arc::new(dave));
    refused(workflow.approve(id(1), &user("bob"), None).await);
    assert!(workflow.approve(id(1), &user("dave"), None).await.is_ok());
}

#[tokio::test]
async fn expire_due_marks_from_the_deadline_on_earliest_first_and_only_once() {
    let world = World::new();
    for bits in 1..=3 {
        world.create(&draft(bits));
        world.clock.advance(Duration::from_nanos(1));
    }
    let workflow = world.workflow();
    world.clock.set(world.get(1).decide_by - NANOSECOND);
    assert!(workflow.expire_due(0).await.unwrap().is_empty());
    world.clock.set(world.get(1).decide_by);
    let marked = workflow.expire_due(0).await.unwrap();
    assert_eq!(marked.len(), 1);
    assert_eq!((marked[0].id, marked[0].status), (id(1), Status::Expired));
    world.clock.advance(HOUR);
    let marked = workflow.expire_due(1).await.unwrap();
    assert_eq!(marked[0].id, id(2));
    assert_eq!(workflow.expire_due(0).await.unwrap().len(), 1);
    assert!(workflow.expire_due(0).await.unwrap().is_empty());
    world.sound();
}

#[tokio::test]
async fn find_grant_follows_the_clock() {
    let (world, request) = World::approved();
    let workflow = world.workflow();
    let (alice, prod) = (user("alice"), profile("prod"));
    let grant = workflow.find_grant(&alice, &prod).await.unwrap().unwrap();
    assert_eq!(Some(grant.until), request.access_until);
    world.clock.set(grant.until - NANOSECOND);
    assert!(workflow.find_grant(&alice, &prod).await.unwrap().is_some());
    world.clock.set(grant.until);
    assert_eq!(workflow.find_grant(&alice, &prod).await.unwrap(), None);
}

#[tokio::test]
async fn inbox_leaves_out_ones_own_what_others_decide_and_what_is_late() {
    let world = World::new();
    world.create(&draft(1));
    world.clock.advance(Duration::from_nanos(1));
    world.create(&draft_for(2, "dev", HOUR));
    world.create(&Draft {
        requester: user("BOB"),
        ..draft(3)
    });
    world.create(&draft_for(4, "unknown", HOUR));
    world.create(&draft(5));
    world.change(5, &world.deny("carol")).unwrap();
    let inbox = async |name: &str| -> Vec<u64> {
        let listing = world
            .workflow()
            .inbox(&user(name), Page::default())
            .await
            .unwrap();
        listing.items.iter().map(|r| r.id.to_bits()).collect()
    };
    assert_eq!(inbox("bob").await, [1, 2], "3 is his own");
    assert_eq!(inbox("carol").await, [1, 3]);
    assert_eq!(inbox("alice").await, [0; 0], "2 is her own");
    assert_eq!(inbox("dave").await, [0; 0]);
    world.clock.set(world.get(2).decide_by - NANOSECOND);
    assert_eq!(inbox("bob").await, [2], "1 is due a nanosecond earlier");
    world.clock.set(world.get(2).decide_by);
    assert_eq!(inbox("bob").await, [0; 0]);
}

#[tokio::test]
async fn pages_of_an_inbox_hold_each_request_once() {
    let world = World::new();
    for bits in 1..=2_300 {
        let name = if bits % 2 == 0 { "prod" } else { "unknown" };
        world.create(&draft_for(bits, name, HOUR));
    }
    let workflow = world.workflow();
    let expected: Vec<u64> = (1..=1_150).map(|half| half * 2).collect();
    for limit in [0, 7, 1_000, 1_001] {
        let (mut seen, mut page) = (Vec::new(), Page::first(limit));
        loop {
            let listing = workflow.inbox(&user("bob"), page).await.unwrap();
            assert!(listing.items.len() <= page.effective_limit());
            seen.extend(listing.items.iter().map(|r| r.id.to_bits()));
            let Some(next) = listing.next else { break };
            page = Page::after(next, limit);
        }
        assert_eq!(seen, expected, "limit {limit}");
    }
}

#[tokio::test]
async fn update_with_reads_again_after_a_conflict_and_gives_up_after_its_tries() {
    for (conflicts, tries, succeeds) in
        [(0, 1, true), (9, 10, true), (10, 10, false), (1, 1, false)]
    {
        let (world, _) = World::pending();
        let calls = AtomicUsize::new(0);
        let retry = Retry::default()
            .with_tries(NonZeroU32::new(tries).unwrap())
            .with_sleep(Arc::new(NoSleep));
        let store: &dyn Store = &*world.store;
        let result = store
            .update_with(id(1), &retry, |request| {
                assert_eq!(*request, *world.get(1), "as just read");
                if calls.fetch_add(1, Ordering::Relaxed) < conflicts {
                    let note = Change::note(&user("carol"), "first");
                    world.change(1, &note).unwrap();
                }
                Ok(Change::note(&user("bob"), "second"))
            })
            .await;
        let made = calls.into_inner();
        let note = world.get(1).note.clone();
        if succeeds {
            assert_eq!(result.unwrap().note.as_deref(), Some("second"));
            assert_eq!(made, conflicts + 1);
        } else {
            let Err(Error::Conflict(conflict)) = result else {
                panic!("{result:?}")
            };
            assert_eq!(conflict.actual, world.get(1).updated_at);
            assert_eq!((made, note.as_deref()), (conflicts, Some("first")));
        }
    }
}

#[tokio::test]
async fn update_with_gives_every_other_error_at_once() {
    let (world, before) = World::pending();
    let retry = Retry::default().with_sleep(Arc::new(NoSleep));
    let calls = AtomicUsize::new(0);
    let make = |change: Result<Change, Error>| {
        calls.fetch_add(1, Ordering::Relaxed);
        change
    };
    let store = &world.store;
    let own = store
        .update_with(id(1), &retry, |_| {
            make(Err(Error::NotFound {
                id: RequestId::from_bits(9),
            }))
        })
        .await;
    assert!(matches!(own, Err(Error::NotFound { id }) if id.to_bits() == 9));
    let refusal = store
        .update_with(id(1), &retry, |_| make(Ok(Change::expire())))
        .await;
    assert!(matches!(refused(refusal), Refusal::NotDue { .. }));
    let absent = store
        .update_with(id(2), &retry, |_| make(Ok(Change::expire())))
        .await;
    assert!(matches!(absent, Err(Error::NotFound { .. })));
    assert_eq!(calls.into_inner(), 2, "one try each, none without a record");
    assert_eq!(world.get(1), before);
}

#[tokio::test]
async fn nothing_happens_before_a_future_is_polled() {
    let world = World::new();
    drop(world.store.create(&draft(1), &support::terms("prod")));
    assert!(world.store.sync().get(id(1)).is_err());
    let (world, before) = World::pending();
    let change = world.deny("bob");
    drop(world.store.update(id(1), before.updated_at, &change));
    assert_eq!(world.get(1), before);
}

#[tokio::test]
async fn expiry_passes_over_what_is_not_due_by_the_clock_of_the_store() {
    let (world, request) = World::pending();
    let policy = Arc::new(world.policy.clone());
    let workflow = countersign_request::Workflow::new(world.store.clone(), policy);
    assert_eq!(workflow.expire_due(0).await.unwrap(), []);
    assert_eq!(world.get(1), request);
    world.clock.set(request.decide_by);
    assert_eq!(workflow.expire_due(0).await.unwrap().len(), 1);
}
