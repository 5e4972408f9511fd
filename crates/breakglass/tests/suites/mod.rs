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

#[path = "../common/mod.rs"]
mod common;
mod gated;
mod ground;
#[path = "../common/subject.rs"]
mod subject;
mod unattended;

pub use subject::Subject;
pub use unattended::*;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{admission, anybody, draft, id, limits, profile, refusal, start, user};
use countersign_breakglass::instrumented::Method;
use countersign_breakglass::*;
use countersign_core::sync::suite;
use gated::{gated_update, retry};
use ground::Ground;
use tokio::sync::Barrier;

/// Makes each suite a test of the store that a [`Subject`] gives. This module must be in sight as
/// `suites`.
macro_rules! tests {
    ($subject:ty) => {
        suites::tests! { $subject:
            concurrent_create
            concurrent_create_duplicates
            concurrent_get
            concurrent_update
            concurrent_list_by_invoker
            concurrent_list_by_status
            concurrent_mixed_operations
            race_detection
            concurrent_invoke_same_profile
            concurrent_quota
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

/// Anybody may, as often as they like.
pub fn free(wanted: &str) -> Admission {
    admission(&RateLimitPolicy::unlimited(), wanted)
}

fn close(by: &str, wanted: &str) -> Change {
    Change::close(&anybody(), &profile(wanted), &user(by), "over")
}

/// Whether an entry follows on the one before it, with a later version.
fn chained(two: &[Arc<HistoryEntry>]) -> bool {
    two[1].from == Some(two[0].to) && two[0].to < two[1].to
}

fn newest_first(items: &[Arc<Emergency>]) -> bool {
    items.windows(2).all(|two| two[0].created > two[1].created)
}

/// 50 people invoke distinct emergencies for one profile: all are there, each once, each with its own
/// version.
///
/// Fails without: versions that grow under a clock that stands still.
pub fn concurrent_create<S: Subject>() {
    suite::run("concurrent_create", |suite| async move {
        let ground = Ground::<S>::new().await;
        let tasks = (0..50).map(|n| {
            let store = ground.store.clone();
            let draft = draft(n, &format!("user-{n}"), "prod");
            async move { store.create(&draft, &free("prod")).await.unwrap() }
        });
        let created = suite.together(tasks).await;
        let versions: BTreeSet<_> = created
            .iter()
            .map(|emergency| emergency.updated_at)
            .collect();
        assert_eq!(versions.len(), 50);
        let listed = ground.listed(Status::Active).await;
        let ids: BTreeSet<_> = listed.iter().map(|emergency| emergency.id).collect();
        assert_eq!((listed.len(), ids), (50, (0..50).map(id).collect()));
        assert!(created.iter().all(|emergency| listed.contains(emergency)));
        let counts = ground.counts(Method::Create);
        assert_eq!((counts.started, counts.succeeded), (50, 50));
        ground.sound();
    });
}

/// 20 people invoke under one id: one wins, 19 are told that the id is taken, and the record is
/// the winner's.
///
/// Fails without: the look for the id at the creation.
pub fn concurrent_create_duplicates<S: Subject>() {
    suite::run("concurrent_create_duplicates", |suite| async move {
        let ground = Ground::<S>::new().await;
        let tasks = (0..20).map(|n| {
            let store = ground.store.clone();
            let draft = draft(1, &format!("user-{n}"), "prod");
            async move { store.create(&draft, &free("prod")).await }
        });
        let (mut won, mut taken) = (Vec::new(), 0);
        for result in suite.together(tasks).await {
            match result {
                Ok(emergency) => won.push(emergency),
                Err(Error::AlreadyExists { id: of }) if of == id(1) => taken += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((won.len(), taken), (1, 19));
        assert_eq!(ground.listed(Status::Active).await, won);
        assert_eq!(ground.get(1).await, won[0]);
        let counts = ground.counts(Method::Create);
        assert_eq!((counts.succeeded, counts.failed), (1, 19));
        ground.sound();
    });
}

/// 100 readers read one emergency 5 times each while 10 writers write a note each: each reads whole
/// records only, and never an older one after a newer one.
///
/// Fails without: a record that is replaced as one (its version and its history disagree), or
/// versions that only grow.
pub fn concurrent_get<S: Subject>() {
    suite::run("concurrent_get", |suite| async move {
        let ground = Ground::<S>::new().await;
        let first = ground.begin(1, "alice", "prod").await;
        let tasks = (0..110).map(|n| {
            let store = ground.store.clone();
            let mut seen = first.updated_at;
            async move {
                if n < 10 {
                    let note = Change::note(&user("bob"), &format!("note {n}"));
                    store
                        .update_with(id(1), &retry(10), |_| Ok(note.clone()))
                        .await
                        .unwrap();
                    return;
                }
                for _ in 0..5 {
                    let emergency = store.get(id(1)).await.unwrap();
                    assert!(
                        emergency.updated_at >= seen,
                        "an older one after a newer one"
                    );
                    seen = emergency.updated_at;
                    let last = emergency.history.last().unwrap();
                    assert_eq!((last.to, &last.reason), (seen, &emergency.note));
                    tokio::task::yield_now().await;
                }
            }
        });
        suite.together(tasks).await;
        let updates = ground.counts(Method::Update);
        assert_eq!((updates.succeeded, updates.failed), (10, 0));
        let reads = ground.counts(Method::Get);
        assert_eq!(reads.succeeded, 500 + updates.started);
        let after = ground.get(1).await;
        assert_eq!(after.history.len(), 11);
        assert!(after.history.windows(2).all(chained), "a version twice");
        ground.sound();
    });
}

/// 50 writers have all read one emergency and note on it with 50 tries each: all succeed, the history
/// holds all 50 in the order of their versions, and the last writer's text stands. No luck is
/// needed: each conflict means that another one has written, so a writer meets at most 49.
///
/// Fails without: the comparison of versions inside the step (fewer than 49 conflicts), or
/// versions that are never issued twice.
pub fn concurrent_update<S: Subject>() {
    suite::run("concurrent_update", |suite| async move {
        let ground = Ground::<S>::new().await;
        ground.begin(1, "alice", "prod").await;
        let gate = Arc::new(Barrier::new(50));
        let tasks = (0..50).map(|n| {
            let note = Change::note(&user("bob"), &format!("note {n}"));
            gated_update(ground.store.clone(), gate.clone(), 1, note, 50)
        });
        let results = suite.together(tasks).await;
        let made: u64 = results.iter().map(|(_, made)| made).sum();
        assert!(results.iter().all(|(_, made)| (1..=50).contains(made)));
        let written = results.into_iter().map(|(result, _)| result.unwrap());
        let last = written
            .max_by_key(|emergency| emergency.updated_at)
            .unwrap();
        let after = ground.get(1).await;
        assert_eq!(after, last, "the last writer's text stands");
        assert_eq!(after.note, after.history[50].reason);
        let texts: BTreeSet<_> = after
            .history
            .iter()
            .filter(|entry| entry.action == Action::Noted)
            .map(|entry| entry.reason.clone())
            .collect();
        assert_eq!((texts.len(), after.history.len()), (50, 51));
        assert!(after.history.windows(2).all(chained));
        let updates = ground.counts(Method::Update);
        assert_eq!(
            (updates.started, updates.succeeded, updates.failed),
            (made, 50, 0)
        );
        assert_eq!(updates.conflicts, made - 50);
        assert!((49..=1_225).contains(&updates.conflicts), "{updates:?}");
        assert_eq!(ground.counts(Method::Get).succeeded, made);
        ground.sound();
    });
}

/// 50 readers list alice's emergencies 5 times each while 20 writers invoke and close one of hers each:
/// every list is ordered, without duplicates, of hers alone, holds the ten that nobody touches,
/// and never shrinks.
///
/// Fails without: versions that grow under a clock that stands still (the order is lost).
pub fn concurrent_list_by_invoker<S: Subject>() {
    suite::run("concurrent_list_by_invoker", |suite| async move {
        let ground = Ground::<S>::new().await;
        let mut untouched = Vec::new();
        for bits in 100..110 {
            let wanted = format!("profile-{bits}");
            untouched.push(ground.begin(bits, "alice", &wanted).await);
        }
        ground.begin(200, "bob", "prod").await;
        let tasks = (0..70).map(|n| {
            let store = ground.store.clone();
            let untouched = untouched.clone();
            async move {
                if n < 20 {
                    let wanted = format!("profile-{n}");
                    let emergency = store
                        .create(&draft(n, "alice", &wanted), &free(&wanted))
                        .await
                        .unwrap();
                    tokio::task::yield_now().await;
                    let close = close("alice", &wanted);
                    store
                        .update(id(n), emergency.updated_at, &close)
                        .await
                        .unwrap();
                    return;
                }
                let mut most = untouched.len();
                for _ in 0..5 {
                    let filter = Filter::Invoker(user("alice"));
                    let items = store.list(&filter, Page::default()).await.unwrap().items;
                    assert!(
                        items
                            .iter()
                            .all(|emergency| emergency.invoker == user("alice"))
                    );
                    assert!(newest_first(&items), "out of order, or listed twice");
                    assert!(untouched.iter().all(|emergency| items.contains(emergency)));
                    assert!(items.len() >= most, "one is gone");
                    most = items.len();
                    tokio::task::yield_now().await;
                }
            }
        });
        suite.together(tasks).await;
        assert_eq!(ground.listed(user("alice")).await.len(), 30);
        assert_eq!(ground.counts(Method::List).succeeded, 250);
        assert_eq!(ground.counts(Method::Create).succeeded, 20);
        assert_eq!(ground.counts(Method::Update).succeeded, 20);
        ground.sound();
    });
}

/// 50 readers list active emergencies 5 times each while 20 writers invoke and close one each: every
/// list is ordered, without duplicates, of active emergencies alone, and holds the ten that nobody
/// touches.
///
/// Fails without: versions that grow under a clock that stands still (the order is lost).
pub fn concurrent_list_by_status<S: Subject>() {
    suite::run("concurrent_list_by_status", |suite| async move {
        let ground = Ground::<S>::new().await;
        let mut untouched = Vec::new();
        for bits in 100..110 {
            let invoker = format!("user-{bits}");
            untouched.push(ground.begin(bits, &invoker, "prod").await);
        }
        let tasks = (0..70).map(|n| {
            let store = ground.store.clone();
            let untouched = untouched.clone();
            async move {
                if n < 20 {
                    let me = format!("user-{n}");
                    let emergency = store
                        .create(&draft(n, &me, "prod"), &free("prod"))
                        .await
                        .unwrap();
                    tokio::task::yield_now().await;
                    let close = close(&me, "prod");
                    store
                        .update(id(n), emergency.updated_at, &close)
                        .await
                        .unwrap();
                    return;
                }
                for _ in 0..5 {
                    let filter = Filter::Status(Status::Active);
                    let items = store.list(&filter, Page::default()).await.unwrap().items;
                    assert!(
                        items
                            .iter()
                            .all(|emergency| emergency.status == Status::Active)
                    );
                    assert!(newest_first(&items), "out of order, or listed twice");
                    assert!(untouched.iter().all(|emergency| items.contains(emergency)));
                    tokio::task::yield_now().await;
                }
            }
        });
        suite.together(tasks).await;
        assert_eq!(ground.listed(Status::Active).await.len(), 10);
        assert_eq!(ground.listed(Status::Closed).await.len(), 20);
        assert_eq!(ground.counts(Method::List).succeeded, 250);
        assert_eq!(ground.counts(Method::Create).succeeded, 20);
        assert_eq!(ground.counts(Method::Update).succeeded, 20);
        ground.sound();
    });
}

/// 100 tasks of 20 operations each, on emergencies of their own and on ten that all share: every
/// operation succeeds, and nothing is lost.
///
/// Fails without: versions that grow under a clock that stands still, or index entries written in
/// the same step as the record.
pub fn concurrent_mixed_operations<S: Subject>() {
    suite::run("concurrent_mixed_operations", |suite| async move {
        let ground = Ground::<S>::new().await;
        for bits in 0..10 {
            ground.begin(bits, &format!("shared-{bits}"), "prod").await;
        }
        let tasks = (0..100).map(|task| {
            let store = ground.store.clone();
            async move {
                let own = |step| 1_000 + task * 100 + step;
                let me = format!("user-{task}");
                for step in 0..20 {
                    match step % 5 {
                        0 => {
                            let draft = draft(own(step), &me, "prod");
                            store.create(&draft, &free("prod")).await.unwrap();
                        }
                        1 => {
                            let me = user(&me);
                            let found = store.active_at(&me, &profile("prod"), start()).await;
                            assert_eq!(found.unwrap().unwrap().id, id(own(step - 1)));
                        }
                        2 => {
                            // 40 notes on each shared emergency: at most 39 conflicts.
                            let note = Change::note(&user(&me), "mixed");
                            let on = id(task % 10);
                            store
                                .update_with(on, &retry(40), |_| Ok(note.clone()))
                                .await
                                .unwrap();
                        }
                        3 => {
                            let filter = Filter::Invoker(user(&me));
                            let items = store.list(&filter, Page::default()).await.unwrap().items;
                            assert_eq!(items.len() as u64, step / 5 + 1);
                        }
                        _ => {
                            let close = close(&me, "prod");
                            let own = id(own(step - 4));
                            store
                                .update_with(own, &retry(1), |_| Ok(close.clone()))
                                .await
                                .unwrap();
                        }
                    }
                }
            }
        });
        suite.together(tasks).await;
        assert_eq!(ground.listed(Status::Active).await.len(), 10);
        assert_eq!(ground.listed(Status::Closed).await.len(), 400);
        for bits in 0..10 {
            let shared = ground.get(bits).await;
            assert_eq!(shared.history.len(), 41);
            assert!(shared.history.windows(2).all(chained), "a version twice");
        }
        for method in [Method::Create, Method::ActiveAt, Method::List] {
            assert_eq!(ground.counts(method).succeeded, 400, "{method:?}");
        }
        let updates = ground.counts(Method::Update);
        assert_eq!((updates.succeeded, updates.failed), (800, 0));
        let reads = ground.counts(Method::Get);
        assert_eq!(reads.succeeded, 800 + updates.conflicts);
        ground.sound();
    });
}

/// 30 tasks call every method on the same three emergencies, 10 rounds each, with every answer that
/// the contract allows and no other; each change that was answered is in the store's books.
///
/// Fails without: the look at the status in `Emergency::apply`, or the look for the id at the creation.
pub fn race_detection<S: Subject>() {
    suite::run("race_detection", |suite| async move {
        let ground = Ground::<S>::new().await;
        let created = Arc::new(AtomicU64::new(0));
        let closed = Arc::new(AtomicU64::new(0));
        let reviewed = Arc::new(AtomicU64::new(0));
        let tasks = (0..30).map(|task| {
            let store = ground.store.clone();
            let (created, closed) = (created.clone(), closed.clone());
            let (reviewed, clock) = (reviewed.clone(), ground.clock.clone());
            async move {
                for round in 0..10 {
                    let bits = (task + round) % 3;
                    let wanted = format!("profile-{bits}");
                    match store
                        .create(&draft(bits, "alice", &wanted), &free(&wanted))
                        .await
                    {
                        Ok(_) => drop(created.fetch_add(1, Ordering::SeqCst)),
                        Err(Error::AlreadyExists { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    let close = close("alice", &wanted);
                    match store.get(id(bits)).await {
                        Ok(read) => match store.update(id(bits), read.updated_at, &close).await {
                            Ok(_) => drop(closed.fetch_add(1, Ordering::SeqCst)),
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
                    let filter = Filter::Invoker(user("alice"));
                    assert!(
                        store
                            .list(&filter, Page::default())
                            .await
                            .unwrap()
                            .items
                            .len()
                            <= 3
                    );
                    let (alice, profile) = (user("alice"), profile(&wanted));
                    let found = store.active_at(&alice, &profile, start()).await.unwrap();
                    assert!(found.is_none_or(|emergency| emergency.status == Status::Active));
                    let grant = store.find_grant(&alice, &profile).await.unwrap();
                    assert!(grant.is_none_or(|grant| grant.covers(&alice, &profile, start())));
                    let due = store.list_expirable(0).await.unwrap();
                    assert!(
                        due.iter()
                            .all(|emergency| emergency.status == Status::Active)
                    );
                    let waiting = store.list_awaiting_review(Page::default()).await;
                    let now = store.now().await.unwrap();
                    for emergency in waiting.unwrap().items {
                        assert!(emergency.awaits_review(now));
                    }
                    let ended = store.list_ended(start() + common::HOUR, 0).await.unwrap();
                    assert!(ended.iter().all(|emergency| emergency.review.is_some()));
                    let changes = store.changes_after(None, 0).await.unwrap();
                    let versions: Vec<_> = changes.iter().map(|changed| changed.version).collect();
                    assert!(versions.is_sorted());
                    let review = common::review("carol", &wanted);
                    match store.get(id(bits)).await {
                        Ok(read) => {
                            let result = store.update(id(bits), read.updated_at, &review).await;
                            match result {
                                Ok(_)
                                | Err(
                                    Error::Conflict(_)
                                    | Error::NotFound { .. }
                                    | Error::Refused(
                                        Refusal::NotDue { .. } | Refusal::ReviewedAlready { .. },
                                    ),
                                ) => {
                                    reviewed.fetch_add(u64::from(result.is_ok()), Ordering::SeqCst)
                                }
                                Err(error) => panic!("{error}"),
                            };
                        }
                        Err(Error::NotFound { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    clock.advance(Duration::from_secs(1));
                    match store.delete(id(bits), &common::shortest_retention()).await {
                        Ok(_)
                        | Err(
                            Error::NotTerminal { .. }
                            | Error::Refused(Refusal::Unreviewed { .. } | Refusal::Kept { .. }),
                        ) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        suite.together(tasks).await;
        let reads = ground.counts(Method::Get);
        for method in Method::ALL {
            let expected = match method {
                Method::Update => reads.succeeded,
                Method::Get => 600,
                _ => 300,
            };
            assert_eq!(ground.store.calls(method), expected, "{method:?}");
        }
        let (created, closed) = (
            created.load(Ordering::SeqCst),
            closed.load(Ordering::SeqCst),
        );
        assert_eq!(ground.counts(Method::Create).succeeded, created);
        let reviewed = reviewed.load(Ordering::SeqCst);
        assert_eq!(ground.counts(Method::Update).succeeded, closed + reviewed);
        assert!(reviewed <= closed, "an emergency was reviewed twice");
        // Of what was created, each one was closed at most once; what was not is still active.
        assert_eq!(
            created,
            closed + ground.listed(Status::Active).await.len() as u64
        );
        ground.sound();
    });
}

/// 50 callers invoke for one user, under several spellings, and one profile: exactly one emergency
/// becomes active, and 49 are refused because of it.
///
/// Fails without: the look for an active emergency at the creation.
pub fn concurrent_invoke_same_profile<S: Subject>() {
    suite::run("concurrent_invoke_same_profile", |suite| async move {
        let ground = Ground::<S>::new().await;
        let workflow = ground.workflow(&RateLimitPolicy::unlimited());
        let tasks = (0..50_usize).map(|n| {
            let workflow = workflow.clone();
            let draft = draft(n as u64, ["alice", "Alice", "ALICE"][n % 3], "prod");
            async move { workflow.invoke(&draft).await }
        });
        let (begun, refused): (Vec<_>, Vec<_>) = suite
            .together(tasks)
            .await
            .into_iter()
            .partition(Result::is_ok);
        assert_eq!((begun.len(), refused.len()), (1, 49));
        let active = ground.listed(Status::Active).await;
        assert_eq!(active.len(), 1);
        assert_eq!(begun[0].as_ref().unwrap(), &active[0]);
        for result in refused {
            let expected = Refusal::Active {
                id: active[0].id,
                retry_at: active[0].expires_at,
            };
            assert_eq!(refusal(result), expected);
        }
        let counts = ground.counts(Method::Create);
        assert_eq!((counts.succeeded, counts.failed), (1, 49));
        ground.sound();
    });
}

/// 50 callers under a quota of 3, of one user over 50 profiles and then of 50 people over one
/// profile: exactly 3 begin, and 47 are told that there are 3 of 3.
///
/// Fails without: the count of emergencies at the creation.
pub fn concurrent_quota<S: Subject>() {
    suite::run("concurrent_quota", |suite| async move {
        for of_user in [true, false] {
            let ground = Ground::<S>::new().await;
            let field = if of_user {
                "max_per_user"
            } else {
                "max_per_profile"
            };
            let limits = limits(&format!(r#""{field}": 3, "quota_window": "24h""#));
            let workflow = ground.workflow(&limits);
            let tasks = (0..50).map(|n| {
                let workflow = workflow.clone();
                let draft = if of_user {
                    draft(n, "alice", &format!("profile-{n}"))
                } else {
                    draft(n, &format!("user-{n}"), "prod")
                };
                async move { workflow.invoke(&draft).await }
            });
            let (begun, refused): (Vec<_>, Vec<_>) = suite
                .together(tasks)
                .await
                .into_iter()
                .partition(Result::is_ok);
            assert_eq!((begun.len(), refused.len()), (3, 47));
            assert_eq!(ground.listed(Status::Active).await.len(), 3);
            for result in refused {
                match (refusal(result), of_user) {
                    (Refusal::UserQuota { count, max, .. }, true)
                    | (Refusal::ProfileQuota { count, max, .. }, false) => {
                        assert_eq!((count, max.get()), (3, 3));
                    }
                    (other, _) => panic!("{other}"),
                }
            }
            let counts = ground.counts(Method::Create);
            assert_eq!((counts.succeeded, counts.failed), (3, 47));
            ground.sound();
        }
    });
}
