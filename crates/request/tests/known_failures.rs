//! What access tools are known to get wrong, one test for each failure, named after it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use countersign_request::{
    Change, Draft, Error, GrantedBy, Page, RandomError, RandomSource, Refusal, Status, User,
};
use support::{HOUR, NANOSECOND, WHY, World, draft, id, profile, rules, user};

#[test]
fn a_record_created_already_approved() {
    // A store takes drafts and changes, never records, and a draft has no status: whatever is in
    // it, it becomes a pending request that opens nothing.
    let world = World::new();
    for (bits, name) in [(1, "prod"), (2, "dev"), (3, "solo"), (4, "unknown")] {
        let request = world.create(&Draft {
            profile: profile(name),
            ..draft(bits)
        });
        assert_eq!(request.status, Status::Pending);
        assert_eq!((&request.approval, request.access_until), (&None, None));
        assert_eq!(request.grant(request.created_at), None);
        assert_eq!(world.access("alice", name, request.created_at), None);
    }
    let approved = Page::default();
    let approved = world.store.sync().list(&Status::Approved.into(), approved);
    assert!(approved.unwrap().items.is_empty());
}

#[test]
fn an_approved_record_rewritten() {
    let (world, approved) = World::approved();
    world.clock.advance(Duration::from_secs(60));
    for change in [
        world.approve("carol"),
        world.deny("carol"),
        Change::cancel(&user("alice"), None),
        Change::expire(),
        Change::approve_by_rule(&world.policy, &profile("prod")),
    ] {
        let error = world.change(1, &change).unwrap_err();
        assert!(matches!(error, Error::InvalidTransition { .. }), "{error}");
        assert_eq!(world.get(1), approved);
    }
    // Creating it again rewrites nothing either; a note and a revocation leave the rest alone.
    let again = world.try_create(&Draft {
        requester: user("mallory"),
        duration: 8 * HOUR,
        ..draft(1)
    });
    assert!(matches!(again, Err(Error::AlreadyExists { .. })));
    for change in [Change::note(&user("bob"), "seen"), world.revoke("bob")] {
        let after = world.change(1, &change).unwrap();
        let mut same = (*after).clone();
        assert_eq!(same.history[..2], approved.history[..]);
        (same.status, same.note) = (approved.status, None);
        (same.updated_at, same.history) = (approved.updated_at, approved.history.clone());
        assert_eq!(same, *approved, "something else changed");
    }
}

#[test]
fn access_counted_from_the_request_instead_of_the_approval() {
    let (world, request) = World::pending();
    let waited = 23 * HOUR;
    world.clock.advance(waited);
    let approved = world.change(1, &world.approve("bob")).unwrap();
    let until = approved.access_until.unwrap();
    assert_eq!(until, request.created_at + waited + HOUR);
    assert_eq!(until, approved.approval.as_ref().unwrap().at + HOUR);
    world.clock.set(until - NANOSECOND);
    let at = until - NANOSECOND;
    let found = world.access("alice", "prod", at);
    assert!(found.is_some(), "the whole hour is there");
}

#[tokio::test]
async fn self_approval_also_under_another_spelling() {
    let spellings = ["bob", "Bob", "BOB", "bOB"];
    let policy = rules(
        r#"{"version": "1", "rules": [
            {"name": "all", "approvers": ["bob", "Bob", "BOB", "bOB", "carol"]}]}"#,
    );
    for requester in spellings {
        let world = World::new();
        let request = world.create(&Draft {
            requester: user(requester),
            ..draft(1)
        });
        let workflow = world.workflow().with_policy(Arc::new(policy.clone()));
        for approver in spellings {
            let change = Change::approve(&policy, &profile("prod"), &user(approver), None);
            let refusal = world.refusal(1, &change);
            let by = user(approver);
            assert_eq!(refusal, Refusal::OwnRequest { user: by.clone() });
            assert!(refusal.to_string().contains("somebody else"), "{refusal}");
            let error = workflow.approve(id(1), &by, None).await.unwrap_err();
            assert!(matches!(error, Error::Refused(Refusal::OwnRequest { .. })));
            let decidable = workflow.inbox(&by, Page::default()).await.unwrap();
            assert!(decidable.items.is_empty());
        }
        assert_eq!(world.get(1), request);
        assert!(workflow.approve(id(1), &user("carol"), None).await.is_ok());
    }
}

#[test]
fn a_version_token_from_a_clock_that_stands_still_or_steps_back() {
    let (world, first) = World::pending();
    let mut versions = vec![first.updated_at];
    for step in 0_u64..50 {
        if step % 3 == 1 {
            world.clock.step_back(HOUR);
        }
        let note = Change::note(&user("bob"), "the clock is wrong");
        let before = world.get(1);
        let noted = world.change(1, &note).unwrap();
        assert!(noted.updated_at > before.updated_at, "step {step}");
        let stale = world.update(1, before.updated_at, &note);
        assert!(matches!(stale, Err(Error::Conflict(_))), "a lost update");
        let created = world.create(&draft(100 + step));
        assert!(created.updated_at > noted.updated_at, "one order for all");
        versions.extend([noted.updated_at, created.updated_at]);
    }
    let different: HashSet<_> = versions.iter().collect();
    assert_eq!(different.len(), versions.len());
}

#[test]
fn a_clock_that_steps_back_does_not_reopen_a_deadline() {
    // Within the tolerance time stands still rather than running backwards.
    for back in [NANOSECOND, TimeDelta::seconds(1), TimeDelta::seconds(60)] {
        let (world, request) = World::pending();
        world.clock.set(request.decide_by);
        world.create(&draft(2));
        world.clock.set(request.decide_by - back);
        let refusal = world.refusal(1, &world.approve("bob"));
        assert!(matches!(refusal, Refusal::TooLate { .. }), "{refusal}");
        let expired = world.change(1, &Change::expire()).unwrap();
        assert_eq!(expired.changed_at(), request.decide_by);
    }
}

#[test]
fn a_version_reissued_after_delete_and_create() {
    let (world, _) = World::pending();
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let pending = world.get(1);
        let cancel = Change::cancel(&user("alice"), None);
        let cancelled = world.change(1, &cancel).unwrap();
        assert!(seen.insert(pending.updated_at) && seen.insert(cancelled.updated_at));
        world.delete(1).unwrap();
        world.clock.step_back(HOUR);
        let again = world.create(&draft(1));
        for stale in &seen {
            // Who read the record that was there before cannot change its successor.
            let error = world.update(1, *stale, &world.approve("bob")).unwrap_err();
            assert!(matches!(error, Error::Conflict(_)), "{error}");
        }
        assert!(!seen.contains(&again.updated_at));
    }
}

/// A source of random bytes that has none, and leaves zeros.
#[derive(Debug)]
struct Dry;

impl RandomSource for Dry {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        buffer.fill(0);
        Err(RandomError {
            reason: "dry".into(),
        })
    }
}

#[test]
fn the_id_of_all_zeros_when_randomness_fails() {
    let world = World::new();
    let workflow = world.workflow().with_random(Arc::new(Dry));
    let made = workflow.draft(&user("alice"), &profile("prod"), HOUR, WHY);
    let error = made.unwrap_err();
    assert!(matches!(error, Error::Random(_)), "{error}");
    assert_eq!(error.to_string(), "no random bytes are to be had: dry");
    assert!(world.store.sync().get(id(0)).is_err());
}

#[tokio::test]
async fn a_grant_for_one_user_used_for_another() {
    let (world, request) = World::approved();
    let workflow = world.workflow();
    let now = request.changed_at();
    let grant = request.grant(now).unwrap();
    for (who, what) in [
        ("bob", "prod"),
        ("Alice", "prod"),
        ("ALICE", "prod"),
        ("alice2", "prod"),
        ("alice", "dev"),
        ("alice", "PROD"),
    ] {
        let (who, what) = (user(who), profile(what));
        assert_eq!(workflow.find_grant(&who, &what).await.unwrap(), None);
        assert!(!grant.covers(&who, &what, now), "{who} {what}");
    }
    let (alice, prod) = (user("alice"), profile("prod"));
    let found = workflow.find_grant(&alice, &prod).await.unwrap();
    assert_eq!(found.as_ref(), Some(&grant));
    assert!(grant.covers(&alice, &prod, now));
}

#[test]
fn an_approval_made_for_another_profile() {
    // Dave may approve `sandbox`; with a change made for it he tries `prod`.
    let policy = rules(
        r#"{"version": "1", "rules": [
            {"name": "sandbox", "profiles": ["sandbox"], "approvers": ["dave"],
             "auto_approve": {"max_duration": "8h"}},
            {"name": "rest", "approvers": ["bob"]}]}"#,
    );
    let (sandbox, dave) = (profile("sandbox"), user("dave"));
    for change in [
        Change::approve(&policy, &sandbox, &dave, None),
        Change::approve_by_rule(&policy, &sandbox),
        Change::deny(&policy, &sandbox, &dave, None),
    ] {
        let (world, _) = World::pending();
        let refusal = world.refusal(1, &change);
        let (change, request) = (sandbox.clone(), profile("prod"));
        assert_eq!(refusal, Refusal::OtherProfile { change, request });
        assert!(
            refusal.to_string().contains("from the request"),
            "{refusal}"
        );
    }
    let (world, _) = World::approved();
    let refusal = world.refusal(1, &Change::revoke(&policy, &sandbox, &dave, None));
    assert!(matches!(refusal, Refusal::OtherProfile { .. }));
}

#[tokio::test]
async fn a_request_that_nobody_can_approve_waits_for_ever() {
    let world = World::new();
    let workflow = world.workflow();
    let drafts = [
        // No rule for the profile.
        ("alice", "unknown"),
        // The only approver is the requester, under either spelling.
        ("alice", "solo"),
        ("ALICE", "solo"),
    ];
    for (who, what) in drafts {
        let submitted = workflow
            .submit(&Draft {
                requester: user(who),
                profile: profile(what),
                ..draft(1)
            })
            .await;
        let error = submitted.unwrap_err();
        assert!(
            matches!(&error, Error::Refused(Refusal::NobodyCanApprove { profile }) if profile.as_str() == what),
            "{error}"
        );
        assert!(error.to_string().contains(what), "{error}");
        assert!(world.store.sync().get(id(1)).is_err(), "nothing is stored");
    }
    let other = Draft {
        requester: user("bob"),
        profile: profile("solo"),
        ..draft(1)
    };
    assert!(workflow.submit(&other).await.is_ok());
}

#[test]
fn an_approval_by_somebody_who_is_not_an_approver() {
    for somebody in ["dave", "Bob", "BOB", "bob2", "production"] {
        let (world, _) = World::pending();
        let refusal = world.refusal(1, &world.approve(somebody));
        let (user, rule) = (user(somebody), Arc::from("production"));
        assert_eq!(refusal, Refusal::NotAnApprover { user, rule });
        let denial = world.refusal(1, &world.deny(somebody));
        assert_eq!(denial, refusal);
    }
}

#[test]
fn an_approval_that_comes_late() {
    for hours in [24, 25, 24 * 365] {
        let (world, request) = World::pending();
        world.clock.advance(hours * HOUR);
        let decide_by = request.decide_by;
        let late = Refusal::TooLate { decide_by };
        assert_eq!(world.refusal(1, &world.approve("bob")), late);
        // Marked or not makes no difference.
        world.change(1, &Change::expire()).unwrap();
        let error = world.change(1, &world.approve("bob")).unwrap_err();
        assert!(matches!(error, Error::InvalidTransition { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_approval_by_a_rule_that_looks_like_a_users() {
    // A rule called like a user stays a rule.
    let policy = rules(
        r#"{"version": "1", "rules": [{"name": "bob", "approvers": ["bob"],
            "auto_approve": {"max_duration": "8h"}}]}"#,
    );
    let world = World::new();
    let workflow = world.workflow().with_policy(Arc::new(policy));
    let submitted = workflow.submit(&draft(1)).await.unwrap();
    let approval = submitted.request.approval.clone().unwrap();
    assert_eq!(approval.by, GrantedBy::Rule("bob".into()));
    assert_ne!(approval.by, GrantedBy::User(User::new("bob").unwrap()));
    let written = serde_json::to_value(&*submitted.request).unwrap();
    assert_eq!(written["approval"]["by"]["rule"], "bob");
}
