//! The concurrency suites: any store, on several threads, with exact counts.
//!
//! [`Subject`] says how a store is opened, and `suites::tests!` makes each suite a test of it; the
//! tests of another crate can include this file with `#[path]`.
//!
//! Every task waits at one barrier, time is a manual clock, nothing sleeps, and a suite that hangs
//! fails. Where a suite needs tasks that have all read the same version, their stores are
//! [`Gated`]: the first read of each waits for the first reads of the others, so that the conflicts
//! are certain and no suite depends on how fast the machine is.
//!
//! What a suite is said to fail without is a rule that is taken out. A rule that is only looked at
//! a moment too early, outside the step, shows here by luck; the models of `cargo xtask loom` are
//! there to find it.
#![allow(dead_code, reason = "a test file may use a part")]

mod gated;
mod ground;
#[path = "../support/subject.rs"]
mod subject;
#[path = "../support/mod.rs"]
mod support;
mod unattended;

pub use subject::Subject;
pub use unattended::*;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use countersign_core::sync::suite;
use countersign_request::instrumented::{Counts, Method};
use countersign_request::*;
use gated::{gated_update, retry};
use ground::{Ground, approver, chained, draft_of};
use support::{HOUR, NANOSECOND, draft, id, profile, rules, start, terms, user};
use tokio::sync::Barrier;

/// Makes each suite a test of the store that a [`Subject`] gives. This module must be in sight as
/// `suites`.
macro_rules! tests {
    ($subject:ty) => {
        suites::tests! { $subject:
            concurrent_create
            concurrent_state_transition
            concurrent_list_by_status
            concurrent_find_approved
            optimistic_locking_retry
            concurrent_mixed_operations
            race_detection
            concurrent_expire_and_approve
            concurrent_revoke_and_find_grant
            concurrent_group_approvals
            concurrent_changes_since
            concurrent_automatic_approval
            concurrent_expire_and_delete
        }
    };
    ($subject:ty: $($suite:ident)*) => {$(
        #[test]
        fn $suite() {
            suites::$suite::<$subject>();
        }
    )*};
}
pub(crate) use tests;

/// 50 callers create 50 distinct requests: all are there, each once, each with its own version.
///
/// Fails without: versions that grow under a clock that stands still.
pub fn concurrent_create<S: Subject>() {
    suite::run("concurrent_create", |suite| async move {
        let ground = Ground::<S>::new().await;
        let tasks = (0..50).map(|n| {
            let store = ground.store.clone();
            async move { store.create(&draft(n), &terms("prod")).await.unwrap() }
        });
        let created = suite.together(tasks).await;
        let versions: BTreeSet<_> = created.iter().map(|request| request.updated_at).collect();
        assert_eq!(versions.len(), 50);
        let listed = ground.listed(Status::Pending).await;
        let ids: BTreeSet<_> = listed.iter().map(|request| request.id).collect();
        assert_eq!(ids, (0..50).map(id).collect());
        assert_eq!(listed.len(), 50);
        assert!(created.iter().all(|request| listed.contains(request)));
        assert_eq!(ground.counts(Method::Create).succeeded, 50);
        assert_eq!(ground.counts(Method::Create).started, 50);
        ground.sound();
    });
}

/// 25 approvers and 25 deniers have all read one pending request: exactly one decides it, and 49
/// meet one conflict each and are then told that it is decided.
///
/// Fails without: the comparison of versions inside the step (no conflict is met), or the look at
/// the status in `Request::apply` (a second one decides).
pub fn concurrent_state_transition<S: Subject>() {
    suite::run("concurrent_state_transition", |suite| async move {
        let ground = Ground::<S>::new().await;
        ground.create(1).await;
        let gate = Arc::new(Barrier::new(50));
        let tasks = (0..50).map(|n| {
            let change = if n % 2 == 0 {
                ground.approve(n)
            } else {
                ground.deny(n)
            };
            gated_update(ground.store.clone(), gate.clone(), 1, change, 10)
        });
        let results = suite.together(tasks).await;
        let decided = ground.get(1).await;
        let mut winners = 0;
        let mut told = 0;
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
        assert_eq!(decided.history.len(), 2);
        let updates = Counts {
            started: 99,
            succeeded: 1,
            conflicts: 49,
            failed: 49,
            injected: 0,
        };
        assert_eq!(ground.counts(Method::Update), updates);
        assert_eq!(ground.counts(Method::Get).succeeded, 99);
        ground.sound();
    });
}

/// 50 readers list pending requests 5 times each while 20 writers create and approve one each:
/// every list is ordered, without duplicates, of pending requests alone, and holds the ten that
/// nobody touches.
///
/// Fails without: versions that grow under a clock that stands still (the order is lost).
pub fn concurrent_list_by_status<S: Subject>() {
    suite::run("concurrent_list_by_status", |suite| async move {
        let ground = Ground::<S>::new().await;
        let mut untouched = Vec::new();
        for bits in 100..110 {
            untouched.push(ground.create(bits).await);
        }
        let tasks = (0..70).map(|n| {
            let store = ground.store.clone();
            let untouched = untouched.clone();
            let approve = ground.approve(n % 50);
            async move {
                if n < 20 {
                    let request = store.create(&draft(n), &terms("prod")).await.unwrap();
                    tokio::task::yield_now().await;
                    let version = request.updated_at;
                    store.update(id(n), version, &approve).await.unwrap();
                    return;
                }
                for _ in 0..5 {
                    let filter = Filter::Status(Status::Pending);
                    let items = store.list(&filter, Page::default()).await.unwrap().items;
                    assert!(
                        items
                            .iter()
                            .all(|request| request.status == Status::Pending)
                    );
                    let newest_first = items.windows(2).all(|two| two[0].created > two[1].created);
                    assert!(newest_first, "out of order, or listed twice");
                    assert!(untouched.iter().all(|request| items.contains(request)));
                    tokio::task::yield_now().await;
                }
            }
        });
        suite.together(tasks).await;
        assert_eq!(ground.listed(Status::Pending).await.len(), 10);
        assert_eq!(ground.listed(Status::Approved).await.len(), 20);
        assert_eq!(ground.counts(Method::List).succeeded, 250);
        assert_eq!(ground.counts(Method::Create).succeeded, 20);
        assert_eq!(ground.counts(Method::Update).succeeded, 20);
        ground.sound();
    });
}

/// 100 callers look for alice's access while 20 others write notes on it: all find the request
/// whose access lasts longest, never one that is shorter, pending or revoked.
///
/// Fails without: the order by the end of access, or the removal of a revoked request's entry.
pub fn concurrent_find_approved<S: Subject>() {
    suite::run("concurrent_find_approved", |suite| async move {
        let ground = Ground::<S>::new().await;
        for (bits, hours) in [(1, 1), (2, 3), (3, 2), (4, 5), (5, 6)] {
            let duration = HOUR * hours;
            let draft = Draft {
                duration,
                ..draft(bits)
            };
            let created = ground.store.inner().create(&draft, &terms("prod")).await;
            created.unwrap();
            if bits != 5 {
                ground.change(bits, &ground.approve(0)).await;
            }
        }
        let revoke = Change::revoke(&ground.policy, &profile("prod"), &approver(1), None);
        ground.change(4, &revoke).await;
        let tasks = (0..120).map(|n| {
            let store = ground.store.clone();
            async move {
                if n < 20 {
                    let note = Change::note(&approver(n), "seen");
                    store
                        .update_with(id(2), &retry(20), |_| Ok(note.clone()))
                        .await
                        .unwrap();
                    return;
                }
                let (alice, prod) = (user("alice"), profile("prod"));
                let found = store.find_grant(&alice, &prod, None).await.unwrap();
                let found = found.expect("there is access all the time");
                assert_eq!(found.until, start() + HOUR * 3);
                let at = start() + NANOSECOND * 20;
                let access = store.access_at(&alice, &prod, None, at).await.unwrap();
                let access = access.expect("there is access all the time");
                assert_eq!((access.id, access.status), (id(2), Status::Approved));
            }
        });
        suite.together(tasks).await;
        assert_eq!(ground.counts(Method::FindGrant).succeeded, 100);
        assert_eq!(ground.counts(Method::Update).succeeded, 20);
        assert_eq!(ground.get(2).await.history.len(), 2 + 20);
        ground.sound();
    });
}

/// 10 writers have all read one request and have 10 tries each: all succeed. No luck is needed:
/// each conflict means that another one has written, so a writer meets at most 9.
///
/// Fails without: the comparison of versions inside the step (fewer than 9 conflicts), versions
/// that are never issued twice (a note is lost), or the next try after a conflict.
pub fn optimistic_locking_retry<S: Subject>() {
    suite::run("optimistic_locking_retry", |suite| async move {
        let ground = Ground::<S>::new().await;
        ground.create(1).await;
        let gate = Arc::new(Barrier::new(10));
        let tasks = (0..10).map(|n| {
            let note = Change::note(&approver(n), &format!("note {n}"));
            gated_update(ground.store.clone(), gate.clone(), 1, note, 10)
        });
        let results = suite.together(tasks).await;
        let made: u64 = results.iter().map(|(_, made)| made).sum();
        assert!(
            results
                .iter()
                .all(|(result, made)| result.is_ok() && (1..=10).contains(made))
        );
        let after = ground.get(1).await;
        let texts: BTreeSet<_> = after
            .history
            .iter()
            .filter_map(|e| e.reason.clone())
            .collect();
        assert_eq!((texts.len(), after.history.len()), (10, 11));
        let updates = ground.counts(Method::Update);
        assert_eq!(
            (updates.started, updates.succeeded, updates.failed),
            (made, 10, 0)
        );
        assert_eq!(updates.conflicts, made - 10);
        assert!((9..=45).contains(&updates.conflicts), "{updates:?}");
        assert_eq!(ground.counts(Method::Get).succeeded, made);
        ground.sound();
    });
}

/// 100 tasks of 20 operations each, on requests of their own and on ten that all share: every
/// operation succeeds, and nothing is lost.
///
/// Fails without: versions that grow under a clock that stands still, or index entries written in
/// the same step as the record.
pub fn concurrent_mixed_operations<S: Subject>() {
    suite::run("concurrent_mixed_operations", |suite| async move {
        let ground = Ground::<S>::new().await;
        for bits in 0..10 {
            ground.create(bits).await;
        }
        let tasks = (0..100).map(|task| {
            let store = ground.store.clone();
            async move {
                let own = |step| 1_000 + task * 100 + step;
                let me = format!("user-{task}");
                for step in 0..20 {
                    match step % 5 {
                        0 => drop(
                            store
                                .create(&draft_of(own(step), &me), &terms("prod"))
                                .await
                                .unwrap(),
                        ),
                        1 => drop(store.get(id(own(step - 1))).await.unwrap()),
                        2 => {
                            // 40 notes on each shared request: at most 39 conflicts.
                            let note = Change::note(&user(&me), "mixed");
                            let on = id(task % 10);
                            store
                                .update_with(on, &retry(40), |_| Ok(note.clone()))
                                .await
                                .unwrap();
                        }
                        3 => {
                            let filter = Filter::Requester(user(&me));
                            let items = store.list(&filter, Page::default()).await.unwrap().items;
                            assert_eq!(items.len() as u64, step / 5 + 1);
                        }
                        _ => {
                            let cancel = Change::cancel(&user(&me), None);
                            let own = id(own(step - 4));
                            store
                                .update_with(own, &retry(1), |_| Ok(cancel.clone()))
                                .await
                                .unwrap();
                        }
                    }
                }
            }
        });
        suite.together(tasks).await;
        assert_eq!(ground.listed(Status::Pending).await.len(), 10);
        assert_eq!(ground.listed(Status::Cancelled).await.len(), 400);
        for bits in 0..10 {
            let shared = ground.get(bits).await;
            assert_eq!(shared.history.len(), 41);
            assert!(shared.history.windows(2).all(chained), "a version twice");
        }
        assert_eq!(ground.counts(Method::Create).succeeded, 400);
        assert_eq!(ground.counts(Method::List).succeeded, 400);
        let updates = ground.counts(Method::Update);
        assert_eq!((updates.succeeded, updates.failed), (800, 0));
        let reads = ground.counts(Method::Get);
        assert_eq!(reads.succeeded, 400 + 800 + updates.conflicts);
        ground.sound();
    });
}

/// 30 tasks call every method on the same three requests, 10 rounds each, with every answer that
/// the contract allows and no other; each change that was answered is in the store's books.
///
/// Fails without: the look at the status in `Request::apply` (one is decided twice).
pub fn race_detection<S: Subject>() {
    suite::run("race_detection", |suite| async move {
        let ground = Ground::<S>::new().await;
        // One that nobody decides is past its deadline all the time.
        let late = Draft {
            profile: profile("stage"),
            ..draft(100)
        };
        let late = ground.store.inner().create(&late, &terms("stage")).await;
        let late = late.unwrap();
        ground.clock.set(late.decide_by);
        let created = Arc::new(AtomicU64::new(0));
        let decided = Arc::new(AtomicU64::new(0));
        let tasks = (0..30).map(|task| {
            let store = ground.store.clone();
            let deny = ground.deny(task);
            let (created, decided) = (created.clone(), decided.clone());
            let late = late.clone();
            async move {
                for round in 0..10 {
                    let bits = (task + round) % 3;
                    match store.create(&draft(bits), &terms("prod")).await {
                        Ok(_) => drop(created.fetch_add(1, Ordering::SeqCst)),
                        Err(Error::AlreadyExists { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    match store.get(id(bits)).await {
                        Ok(read) => match store.update(id(bits), read.updated_at, &deny).await {
                            Ok(_) => drop(decided.fetch_add(1, Ordering::SeqCst)),
                            Err(
                                Error::Conflict(_)
                                | Error::NotFound { .. }
                                | Error::InvalidTransition { .. },
                            ) => {}
                            Err(error) => panic!("{error}"),
                        },
                        Err(Error::NotFound { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    let filter = Filter::Profile(profile("prod"));
                    assert!(
                        store
                            .list(&filter, Page::default())
                            .await
                            .unwrap()
                            .items
                            .len()
                            <= 3
                    );
                    let at = start() + HOUR * 48;
                    let (alice, prod) = (user("alice"), profile("prod"));
                    let grant = store.find_grant(&alice, &prod, None).await;
                    assert!(grant.unwrap().is_none(), "nobody approves");
                    assert_eq!(
                        store.list_expirable(0).await.unwrap(),
                        *std::slice::from_ref(&late)
                    );
                    let waiting = store
                        .list_pending(None, Page::default())
                        .await
                        .unwrap()
                        .items;
                    let open = store.list_open(&alice, Page::default()).await;
                    for request in waiting.iter().chain(&open.unwrap().items) {
                        assert_eq!(request.status, Status::Pending);
                    }
                    let ended = store.list_ended(at, 0).await.unwrap();
                    assert!(ended.iter().all(|request| request.status == Status::Denied));
                    let changes = store.changes_after(None, 0).await.unwrap();
                    assert!(
                        changes
                            .windows(2)
                            .all(|two| two[0].version < two[1].version)
                    );
                    match store.delete(id(bits), None).await {
                        Ok(_) | Err(Error::NotTerminal { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        suite.together(tasks).await;
        for method in [
            Method::Create,
            Method::Get,
            Method::List,
            Method::FindGrant,
            Method::ListExpirable,
            Method::Delete,
            Method::ListPending,
            Method::ListOpen,
            Method::ListEnded,
            Method::ChangesAfter,
        ] {
            assert_eq!(ground.store.calls(method), 300, "{method:?}");
        }
        let reads = ground.counts(Method::Get);
        assert_eq!(ground.store.calls(Method::Update), reads.succeeded);
        assert_eq!(
            ground.counts(Method::Create).succeeded,
            created.load(Ordering::SeqCst)
        );
        assert_eq!(
            ground.counts(Method::Update).succeeded,
            decided.load(Ordering::SeqCst)
        );
        // Of what was created, each one was decided at most once; what was not is still pending.
        let pending = ground.listed(Status::Pending).await.len() as u64 - 1;
        assert_eq!(
            created.load(Ordering::SeqCst),
            decided.load(Ordering::SeqCst) + pending
        );
        ground.sound();
    });
}

/// At the deadline, 25 approvers and 25 that mark requests expired have all read one pending
/// request: it expires, exactly once, and nobody approves it. 25 others approve a second one, that
/// nobody marks: all are too late.
///
/// Fails without: the look at the deadline inside the step (an approver may win), or the look at
/// the status (it expires twice).
pub fn concurrent_expire_and_approve<S: Subject>() {
    suite::run("concurrent_expire_and_approve", |suite| async move {
        let ground = Ground::<S>::new().await;
        ground.create(1).await;
        let pending = ground.create(2).await;
        let gate = Arc::new(Barrier::new(75));
        ground.clock.set(pending.decide_by - NANOSECOND * 10);
        let tasks = (0..75).map(|n| {
            // The last 25 approve a request that nobody marks.
            let (bits, change) = match n {
                50.. => (2, ground.approve(n - 50)),
                _ if n % 2 == 0 => (1, ground.approve(n)),
                _ => (1, Change::expire()),
            };
            let (store, gate) = (ground.store.clone(), gate.clone());
            let (clock, deadline) = (ground.clock.clone(), pending.decide_by);
            async move {
                // The last one to set the clock has done so before anybody passes the gate.
                clock.set(deadline);
                gated_update(store, gate, bits, change, 10).await.0
            }
        });
        let mut results = suite.together(tasks).await;
        for result in results.split_off(50) {
            assert!(matches!(
                result,
                Err(Error::Refused(Refusal::TooLate { .. }))
            ));
        }
        assert_eq!(ground.get(2).await, pending);
        let after = ground.get(1).await;
        assert_eq!((after.status, after.history.len()), (Status::Expired, 2));
        let (mut won, mut decided_already, mut too_late) = (0, 0, 0);
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(request) => {
                    assert_eq!((request.status, n % 2), (Status::Expired, 1));
                    won += 1;
                }
                Err(Error::InvalidTransition { from, .. }) => {
                    assert_eq!(from, Status::Expired);
                    decided_already += 1;
                }
                Err(Error::Refused(Refusal::TooLate { .. })) => {
                    assert_eq!(n % 2, 0);
                    too_late += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((won, decided_already + too_late), (1, 49));
        assert!(decided_already >= 24, "the other 24 that expire it");
        let updates = ground.counts(Method::Update);
        assert_eq!(updates.succeeded, 1);
        assert_eq!(updates.failed, 49 + 25);
        assert_eq!(ground.workflow().expire_due(0).await.unwrap().len(), 1);
        ground.sound();
    });
}

/// One approver revokes while 50 callers ask for the access until it is gone: nobody finds access
/// after the revocation was answered, or again after having once found none.
///
/// Fails without: the removal of the access entry in the step of the revocation.
pub fn concurrent_revoke_and_find_grant<S: Subject>() {
    suite::run("concurrent_revoke_and_find_grant", |suite| async move {
        let ground = Ground::<S>::new().await;
        ground.create(1).await;
        ground.change(1, &ground.approve(0)).await;
        let revoked = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicU64::new(0));
        let tasks = (0..51).map(|n| {
            let (store, workflow) = (ground.store.clone(), ground.workflow());
            let (revoked, asked) = (revoked.clone(), asked.clone());
            async move {
                if n == 25 {
                    let answer = workflow.revoke(id(1), &approver(1), Some("over")).await;
                    assert_eq!(answer.unwrap().status, Status::Revoked);
                    revoked.store(true, Ordering::SeqCst);
                    return 0;
                }
                let (alice, prod) = (user("alice"), profile("prod"));
                let mut refused = 0;
                while refused < 3 {
                    let over = revoked.load(Ordering::SeqCst);
                    asked.fetch_add(1, Ordering::SeqCst);
                    // The store is asked, not the workflow, which would look at the status again.
                    match store.find_grant(&alice, &prod, None).await.unwrap() {
                        Some(found) => {
                            assert!(!over, "access after the revocation was answered");
                            assert_eq!(refused, 0, "access came back");
                            assert_eq!(found.until, start() + HOUR);
                        }
                        None => refused += 1,
                    }
                    tokio::task::yield_now().await;
                }
                refused
            }
        });
        let refused: u64 = suite.together(tasks).await.into_iter().sum();
        assert_eq!(refused, 50 * 3);
        let finds = ground.counts(Method::FindGrant);
        assert_eq!(finds.succeeded, asked.load(Ordering::SeqCst));
        assert_eq!(ground.counts(Method::Update).succeeded, 1);
        assert_eq!(ground.counts(Method::Update).started, 1);
        assert_eq!(ground.get(1).await.history.len(), 3);
        ground.sound();
    });
}

/// 50 people of two groups, of which 3 and 2 must approve, have all read one pending request and
/// approve it: it is approved by exactly the approval that completes it, and whoever comes later
/// is told so.
///
/// Fails without: the comparison of versions inside the step (an approval is lost), or the count
/// of what is there already in `Request::apply`.
pub fn concurrent_group_approvals<S: Subject>() {
    suite::run("concurrent_group_approvals", |suite| async move {
        let ground = Ground::<S>::new().await;
        let members = |from: u64| -> Vec<String> {
            (from..50)
                .step_by(2)
                .map(|n| format!("approver-{n}"))
                .collect()
        };
        let groups = serde_json::json!([
        {"name": "even", "approvers": members(0), "threshold": 3},
        {"name": "odd", "approvers": members(1), "threshold": 2}]);
        let policy = rules(
            &serde_json::json!({"version": "1", "rules": [{"name": "all", "groups": groups}]})
                .to_string(),
        );
        ground.create(1).await;
        let gate = Arc::new(Barrier::new(50));
        let tasks = (0..50).map(|n| {
            let change = Change::approve(&policy, &profile("prod"), &approver(n), None);
            gated_update(ground.store.clone(), gate.clone(), 1, change, 50)
        });
        let results = suite.together(tasks).await;
        let after = ground.get(1).await;
        assert_eq!(after.status, Status::Approved);
        let mut made = 0;
        for (result, _) in results {
            match result {
                Ok(_) => made += 1,
                Err(Error::InvalidTransition { from, .. }) => assert_eq!(from, Status::Approved),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(
            (after.approvals.len(), after.history.len()),
            (made, made + 1)
        );
        let people: Vec<_> = after.approving_people().cloned().collect();
        let rule = &policy.rules()[0];
        assert!(rule.is_met_by(&user("alice"), &people));
        assert!(
            !rule.is_met_by(&user("alice"), &people[..made - 1]),
            "complete before its end"
        );
        ground.sound();
    });
}

/// 20 writers create and decide requests while 10 readers follow the changes, each from where it
/// last was: every reader sees every change once, in the order of the versions.
///
/// Fails without: versions issued in the step that writes (a reader passes over a change that
/// appears later with an earlier version).
pub fn concurrent_changes_since<S: Subject>() {
    suite::run("concurrent_changes_since", |suite| async move {
        let ground = Ground::<S>::new().await;
        let tasks = (0..30).map(|n| {
            let (store, deny) = (ground.store.clone(), ground.deny(n));
            async move {
                let mut seen = Vec::new();
                if n < 20 {
                    for round in 0..10 {
                        let bits = n * 100 + round;
                        let created = store.create(&draft(bits), &terms("prod")).await.unwrap();
                        let version = created.updated_at;
                        store.update(id(bits), version, &deny).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    return seen;
                }
                while seen.len() < 400 {
                    let after = seen.last().copied();
                    let changes = store.changes_after(after, 7).await.unwrap();
                    seen.extend(changes.iter().map(|changed| changed.version));
                    tokio::task::yield_now().await;
                }
                seen
            }
        });
        let seen = suite.together(tasks).await.split_off(20);
        let all = ground.store.inner().changes_after(None, 1_000).await;
        let all: Vec<_> = all.unwrap().iter().map(|changed| changed.version).collect();
        assert_eq!(all.len(), 400);
        assert!(
            seen.iter().all(|seen| *seen == all),
            "skipped, repeated or out of order"
        );
        ground.sound();
    });
}
