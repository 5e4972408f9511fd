//! What nobody does: rules that approve by themselves, and workflows that mark what is due and
//! delete what is old, while people decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::sync::suite;
use countersign_request::*;
use tokio::sync::Barrier;

use super::Subject;
use super::gated::{gated_update, retry};
use super::ground::Ground;
use super::support::{HOUR, id, profile, rules, user};

/// 25 times a rule approves one pending request by itself, and 25 people deny it, who have all read
/// it: exactly one decides it, and 49 meet one conflict each and are then told that it is decided.
///
/// Fails without: the comparison of versions inside the step, or the look at the status in
/// `Request::apply`.
pub fn concurrent_automatic_approval<S: Subject>() {
    suite::run("concurrent_automatic_approval", |suite| async move {
        let ground = Ground::<S>::new().await;
        ground.create(1).await;
        let automatic = rules(
            r#"{"version": "1", "rules": [{"name": "own", "approvers": ["bob"],
                "auto_approve": {"users": ["alice"]}}]}"#,
        );
        let by_rule = Change::approve_by_rule(&automatic, &profile("prod"));
        let gate = Arc::new(Barrier::new(50));
        let tasks = (0..50).map(|n| {
            let change = if n % 2 == 0 {
                by_rule.clone()
            } else {
                ground.deny(n)
            };
            gated_update(ground.store.clone(), gate.clone(), 1, change, 10)
        });
        let results = suite.together(tasks).await;
        let decided = ground.get(1).await;
        assert_eq!(decided.history.len(), 2, "it is decided once");
        let (mut winners, mut told) = (0, 0);
        for (n, (result, made)) in results.into_iter().enumerate() {
            match result {
                Ok(request) => {
                    assert_eq!((&request, made), (&decided, 1));
                    let wanted = [Status::Approved, Status::Denied][n % 2];
                    assert_eq!(request.status, wanted);
                    winners += 1;
                }
                Err(Error::InvalidTransition { from, .. }) => {
                    assert_eq!((from, made), (decided.status, 2));
                    told += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((winners, told), (1, 49));
        assert_eq!(decided.approving_people().count(), 0, "nobody approved");
        ground.sound();
    });
}

/// 10 mark what is due, 5 delete what ended, and 20 write a note each on one of 20 requests that
/// are due: each request is marked once and deleted once, nobody is told of those who were faster,
/// and only who writes a note on what is deleted.
///
/// Fails without: a workflow that passes over what somebody has changed, or that is gone.
pub fn concurrent_expire_and_delete<S: Subject>() {
    suite::run("concurrent_expire_and_delete", |suite| async move {
        let ground = Ground::<S>::new().await;
        let mut deadline = ground.clock.now();
        for bits in 1..=20 {
            deadline = ground.create(bits).await.decide_by;
        }
        // Nothing is deleted where the clock has gone forward by more than a day in one step.
        ground.clock.set(deadline - HOUR);
        let note = Change::note(&user("alice"), "nobody has decided");
        ground.change(1, &note).await;
        ground.clock.set(deadline + HOUR);
        let tasks = (0..35).map(|n| {
            let (store, workflow) = (ground.store.clone(), ground.workflow());
            async move {
                match n {
                    0..10 => (workflow.expire_due(0).await.unwrap(), 0),
                    10..15 => {
                        let deleted = workflow.delete_ended_before(deadline + HOUR, 0);
                        (Vec::new(), deleted.await.unwrap())
                    }
                    _ => {
                        let note = Change::note(&user("alice"), "it is late");
                        let (on, retry) = (id(n - 14), retry(50));
                        let noted = store.update_with(on, &retry, |_| Ok(note.clone()));
                        match noted.await {
                            Ok(_) | Err(Error::NotFound { .. }) => (Vec::new(), 0),
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            }
        });
        let mut marked = Vec::new();
        let mut deleted = 0;
        for (expired, gone) in suite.together(tasks).await {
            marked.extend(expired);
            deleted += gone;
        }
        marked.extend(ground.workflow().expire_due(0).await.unwrap());
        let workflow = ground.workflow();
        let rest = workflow.delete_ended_before(deadline + HOUR, 0).await;
        deleted += rest.unwrap();
        let ids: BTreeSet<_> = marked.iter().map(|request| request.id).collect();
        assert_eq!((marked.len(), ids.len()), (20, 20), "each is marked once");
        assert!(marked.iter().all(|one| one.status == Status::Expired));
        assert_eq!(deleted, 20, "each is deleted once");
        for status in Status::ALL {
            assert!(ground.listed(status).await.is_empty(), "none is left");
        }
        ground.sound();
    });
}
