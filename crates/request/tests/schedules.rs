//! The concurrency suites at their full size, in schedules that are drawn. Run by
//! `cargo xtask schedules`.
//!
//! A schedule has the name of its suite in `concurrency.rs`, its threads, and fewer rounds; what is
//! left out, its claim says. Each ends with the audit: records and index entries agree.
#![cfg(countersign_shuttle)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use chrono::{DateTime, Utc};
use countersign_core::sync::schedule::{Schedule, together};
use countersign_request::*;
use support::{HOUR, NANOSECOND, draft, id, profile, rules, start, terms, user};

/// The store and its clock in one run, with what all runs share.
#[derive(Clone)]
struct Ground {
    store: Arc<InMemory>,
    clock: Arc<ManualClock>,
    cast: Arc<Cast>,
}

/// Who decides on `prod`: `approver-0` to `approver-49`. Made once, because every run needs it.
struct Cast {
    approve: Vec<Change>,
    deny: Vec<Change>,
    revoke: Change,
    /// What a rule for `prod` approves by itself.
    by_rule: Change,
    policy: Arc<ApprovalPolicy>,
    notes: Vec<Change>,
    /// A draft of alice's for each id.
    drafts: Vec<Draft>,
    terms: Terms,
    retry: Retry,
}

impl Cast {
    fn new() -> Arc<Self> {
        let names: Vec<_> = (0..50).map(|n| format!(r#""approver-{n}""#)).collect();
        let automatic = rules(
            r#"{"version": "1", "rules": [{"name": "own", "approvers": ["bob"],
                "auto_approve": {"users": ["alice"]}}]}"#,
        );
        let policy = rules(&format!(
            r#"{{"version": "1", "rules": [
                {{"name": "all", "profiles": ["prod"], "approvers": [{}]}}]}}"#,
            names.join(", ")
        ));
        let approvers: Vec<_> = (0..50).map(|n| user(&format!("approver-{n}"))).collect();
        let prod = profile("prod");
        let approve = |by| Change::approve(&policy, &prod, by, None);
        let deny = |by| Change::deny(&policy, &prod, by, None);
        let note = |n| Change::note(&user("alice"), &format!("note {n}"));
        Arc::new(Self {
            approve: approvers.iter().map(approve).collect(),
            deny: approvers.iter().map(deny).collect(),
            revoke: Change::revoke(&policy, &prod, &approvers[1], None),
            by_rule: Change::approve_by_rule(&automatic, &prod),
            policy: Arc::new(policy),
            notes: (0..100).map(note).collect(),
            drafts: (0..120).map(draft).collect(),
            terms: terms("prod"),
            retry: Retry::default()
                .with_tries(100.try_into().unwrap())
                .with_sleep(Arc::new(NoSleep))
                .with_random(Arc::new(SequenceRandom::default())),
        })
    }
}

impl Ground {
    fn new(cast: &Arc<Cast>) -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        Self {
            store: Arc::new(InMemory::new(clock.clone())),
            clock,
            cast: Arc::clone(cast),
        }
    }

    fn create(&self, bits: u64) -> Arc<Request> {
        let draft = &self.cast.drafts[bits as usize];
        self.store.sync().create(draft, &self.cast.terms).unwrap()
    }

    fn get(&self, bits: u64) -> Arc<Request> {
        self.store.sync().get(id(bits)).unwrap()
    }

    /// Reads, changes, and tries again after a conflict; tells how often it tried.
    fn update(&self, bits: u64, change: &Change) -> (Result<Arc<Request>, Error>, usize) {
        let mut made = 0;
        let update = self.store.update_with(id(bits), &self.cast.retry, |_| {
            made += 1;
            Ok(change.clone())
        });
        let result = now(update);
        (result, made)
    }

    fn listed(&self, status: Status) -> Vec<Arc<Request>> {
        let filter = Filter::Status(status);
        let page = Page::first(MAX_LIMIT);
        self.store.sync().list(&filter, page).unwrap().items
    }

    /// The access that alice has now, by the request that gives it.
    fn access(&self, at: DateTime<Utc>) -> Option<Arc<Request>> {
        let alice = &self.cast.drafts[0];
        let (alice, prod) = (&alice.requester, &alice.profile);
        self.store.sync().access_at(alice, prod, None, at).unwrap()
    }

    /// Until when alice has access now.
    fn granted(&self) -> Option<DateTime<Utc>> {
        let alice = &self.cast.drafts[0];
        let (alice, prod) = (&alice.requester, &alice.profile);
        let found = self.store.sync().find_grant(alice, prod, None);
        found.unwrap().map(|grant| grant.until)
    }

    fn sound(&self) {
        self.store.audit().unwrap();
    }
}

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a call on the store in memory waits"),
    }
}

fn newest_first(items: &[Arc<Request>]) -> bool {
    items.windows(2).all(|two| two[0].created > two[1].created)
}

#[test]
fn request_concurrent_create() {
    let schedule = Schedule {
        name: "request_concurrent_create",
        claim: "50 create a request each, and 50 others one of ten: all are there, each once, each \
                with its own version, and of the ten one each is created",
        threads: 100,
        operations: 100,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let shared = ground.clone();
        let created = together(100, move |n| {
            let bits = if n < 50 { n } else { 50 + n % 10 };
            shared
                .store
                .sync()
                .create(&shared.cast.drafts[bits], &shared.cast.terms)
        });
        let (created, taken): (Vec<_>, Vec<_>) = created.into_iter().partition(Result::is_ok);
        let created: Vec<_> = created.into_iter().map(Result::unwrap).collect();
        let versions: BTreeSet<_> = created.iter().map(|request| request.updated_at).collect();
        assert_eq!((created.len(), taken.len(), versions.len()), (60, 40, 60));
        assert!(
            taken
                .iter()
                .all(|result| matches!(result, Err(Error::AlreadyExists { .. })))
        );
        let listed = ground.listed(Status::Pending);
        assert!(listed.len() == 60 && newest_first(&listed));
        assert!(created.iter().all(|request| listed.contains(request)));
        ground.sound();
    });
}

#[test]
fn request_concurrent_state_transition() {
    let schedule = Schedule {
        name: "request_concurrent_state_transition",
        claim: "25 approvers and 25 deniers who have read one pending request: exactly one decides \
                it, 49 meet one conflict, with the winner's version, and are then told that it is \
                decided",
        threads: 50,
        operations: 99,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let read = ground.create(1).updated_at;
        let one = ground.clone();
        let results = together(50, move |n| {
            let change = match n % 2 {
                0 => &one.cast.approve[n],
                _ => &one.cast.deny[n],
            };
            match one.store.sync().update(id(1), read, change) {
                Err(Error::Conflict(conflict)) => Err((conflict, one.update(1, change))),
                result => Ok(result.unwrap()),
            }
        });
        let decided = ground.get(1);
        let mut winners = 0;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(request) => {
                    assert_eq!(request, decided);
                    assert_eq!(request.status, [Status::Approved, Status::Denied][n % 2]);
                    winners += 1;
                }
                Err((conflict, (Err(Error::InvalidTransition { from, .. }), made))) => {
                    assert_eq!(conflict.actual, decided.updated_at);
                    assert_eq!((from, made), (decided.status, 1));
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((winners, decided.history.len()), (1, 2));
        let approved = decided.status == Status::Approved;
        assert_eq!(ground.access(start()).is_some(), approved);
        ground.sound();
    });
}

#[test]
fn request_concurrent_list_by_status() {
    let schedule = Schedule {
        name: "request_concurrent_list_by_status",
        claim: "50 readers list pending requests (once each, not 5 times) while 20 writers create \
                and approve one each: every list is ordered, of pending requests alone, and holds \
                the three that nobody touches",
        threads: 70,
        operations: 90,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let untouched = [100, 101, 102].map(|bits| ground.create(bits));
        let shared = ground.clone();
        together(70, move |n| {
            if n < 20 {
                let version = shared.create(n as u64).updated_at;
                let approve = &shared.cast.approve[n];
                let store = shared.store.sync();
                store.update(id(n as u64), version, approve).unwrap();
                return;
            }
            let items = shared.listed(Status::Pending);
            let pending = |request: &Arc<Request>| request.status == Status::Pending;
            assert!(items.iter().all(pending));
            assert!(newest_first(&items), "out of order, or listed twice");
            assert!(untouched.iter().all(|request| items.contains(request)));
        });
        assert_eq!(ground.listed(Status::Pending).len(), 3);
        assert_eq!(ground.listed(Status::Approved).len(), 20);
        ground.sound();
    });
}

#[test]
fn request_concurrent_find_approved() {
    let schedule = Schedule {
        name: "request_concurrent_find_approved",
        claim: "100 look for access while one note is written and a longer request is approved and \
                revoked: all find the one whose access lasts longest of those approved, never one \
                that is shorter, pending or revoked before they asked",
        threads: 102,
        operations: 103,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        for (bits, hours) in [(1, 1), (2, 3), (3, 2), (4, 5), (5, 6)] {
            let draft = Draft {
                duration: HOUR * hours,
                ..ground.cast.drafts[bits as usize].clone()
            };
            ground.store.sync().create(&draft, &cast.terms).unwrap();
            if bits < 4 {
                ground.update(bits, &ground.cast.approve[0]).0.unwrap();
            }
        }
        let over = Arc::new(AtomicBool::new(false));
        let shared = ground.clone();
        together(102, move |n| match n {
            40 => drop(shared.update(2, &shared.cast.notes[0]).0.unwrap()),
            60 => {
                shared.update(4, &shared.cast.approve[1]).0.unwrap();
                shared.update(4, &shared.cast.revoke).0.unwrap();
                over.store(true, Ordering::SeqCst);
            }
            _ => {
                let late = over.load(Ordering::SeqCst);
                let found = shared.access(start() + NANOSECOND * 50);
                let found = found.expect("there is access all the time");
                assert_eq!(found.status, Status::Approved);
                assert!(found.id == id(2) || (found.id == id(4) && !late));
            }
        });
        assert_eq!(ground.get(2).history.len(), 3);
        ground.sound();
    });
}

#[test]
fn request_optimistic_locking_retry() {
    let schedule = Schedule {
        name: "request_optimistic_locking_retry",
        claim: "10 writers of one request: all succeed within 10 tries, because each conflict means \
                that another one has written, and no note is lost",
        threads: 10,
        operations: 10,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        ground.create(1);
        let shared = ground.clone();
        let results = together(10, move |n| shared.update(1, &shared.cast.notes[n]));
        let mut versions = BTreeSet::new();
        for (result, made) in results {
            assert!((1..=10).contains(&made), "{made} tries");
            versions.insert(result.unwrap().updated_at);
        }
        let after = ground.get(1);
        let texts: BTreeSet<_> = after
            .history
            .iter()
            .filter_map(|e| e.reason.as_ref())
            .collect();
        assert_eq!(
            (versions.len(), texts.len(), after.history.len()),
            (10, 10, 11)
        );
        assert_eq!(versions.last(), Some(&after.updated_at));
        ground.sound();
    });
}

#[test]
fn request_concurrent_mixed_operations() {
    let schedule = Schedule {
        name: "request_concurrent_mixed_operations",
        claim: "100 threads with 2 operations each (not 20), out of creating, noting on ten shared \
                requests, listing and cancelling: all succeed, and nothing is lost",
        threads: 100,
        operations: 200,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let shared: Vec<_> = (100..110).map(|bits| ground.create(bits)).collect();
        let one = ground.clone();
        together(100, move |n| {
            let (bits, on) = (n as u64, 100 + n as u64 % 10);
            match n % 4 {
                0 => {
                    let created = one.create(bits);
                    let cancel = Change::cancel(&created.requester, None);
                    let cancelled = one
                        .store
                        .sync()
                        .update(id(bits), created.updated_at, &cancel);
                    assert_eq!(cancelled.unwrap().status, Status::Cancelled);
                }
                1 => {
                    let created = one.create(bits);
                    assert_eq!(one.get(bits), created);
                }
                2 => {
                    let (result, _) = one.update(on, &one.cast.notes[n]);
                    assert!(one.get(on).updated_at >= result.unwrap().updated_at);
                }
                _ => {
                    let before = one.listed(Status::Cancelled).len();
                    assert!(
                        before <= one.listed(Status::Cancelled).len(),
                        "one came back"
                    );
                }
            }
        });
        assert_eq!(ground.listed(Status::Pending).len(), shared.len() + 25);
        assert_eq!(ground.listed(Status::Cancelled).len(), 25);
        let notes: usize = shared
            .iter()
            .map(|request| ground.store.sync().get(request.id).unwrap().history.len() - 1)
            .sum();
        assert_eq!(notes, 25);
        ground.sound();
    });
}

#[test]
fn request_race_detection() {
    let schedule = Schedule {
        name: "request_race_detection",
        claim: "30 threads call every method once (not 10 times) on the same three requests: every \
                answer is one that the contract allows, and of what was created each is decided at \
                most once",
        threads: 30,
        operations: 330,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        // One that nobody decides is past its deadline all the time.
        let late = ground.create(100);
        ground.clock.set(late.decide_by);
        let one = ground.clone();
        let books = together(30, move |n| {
            let (store, bits) = (one.store.sync(), n as u64 % 3);
            let mut books = (0, 0);
            match store.create(&one.cast.drafts[bits as usize], &one.cast.terms) {
                Ok(_) => books.0 += 1,
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            match store.get(id(bits)) {
                Ok(read) => match store.update(id(bits), read.updated_at, &one.cast.deny[n]) {
                    Ok(_) => books.1 += 1,
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
            assert!(one.listed(Status::Pending).len() <= 4);
            assert!(one.granted().is_none(), "nobody approves");
            let due = store.list_expirable(0).unwrap();
            assert_eq!(due, *std::slice::from_ref(&late), "it alone is late");
            let waiting = store.list_pending(None, Page::default()).unwrap().items;
            let alice = &one.cast.drafts[0].requester;
            let open = store.list_open(alice, Page::default()).unwrap().items;
            let pending = |request: &Arc<Request>| request.status == Status::Pending;
            assert!(waiting.iter().chain(&open).all(pending));
            let ended = store.list_ended(start() + HOUR * 48, 0).unwrap();
            assert!(ended.iter().all(|request| request.status == Status::Denied));
            let changes = store.changes_after(None, 0).unwrap();
            assert!(
                changes
                    .windows(2)
                    .all(|two| two[0].version < two[1].version)
            );
            match store.delete(id(bits), None) {
                Ok(_) | Err(Error::NotTerminal { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            books
        });
        let created: usize = books.iter().map(|books| books.0).sum();
        let decided: usize = books.iter().map(|books| books.1).sum();
        assert_eq!(created, decided + ground.listed(Status::Pending).len() - 1);
        ground.sound();
    });
}

#[test]
fn request_concurrent_expire_and_approve() {
    let schedule = Schedule {
        name: "request_concurrent_expire_and_approve",
        claim: "25 approve and 25 mark a request expired while the clock passes its deadline: it ends \
                once at most, approved before the deadline or expired after it",
        threads: 51,
        operations: 50,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let deadline = ground.create(1).decide_by;
        ground.clock.set(deadline - NANOSECOND * 10);
        let one = ground.clone();
        let results = together(51, move |n| {
            if n == 50 {
                one.clock.set(deadline);
                return None;
            }
            let result = match n % 2 {
                0 => one.update(1, &one.cast.approve[n]),
                _ => one.update(1, &Change::expire()),
            };
            Some(result.0)
        });
        let after = ground.get(1);
        let mut won = 0;
        for (n, result) in results.into_iter().flatten().enumerate() {
            match result {
                Ok(request) => {
                    assert_eq!(request, after);
                    won += 1;
                }
                Err(Error::InvalidTransition { from, .. }) => assert_eq!(from, after.status),
                Err(Error::Refused(Refusal::TooLate { .. })) => assert_eq!(n % 2, 0),
                Err(Error::Refused(Refusal::NotDue { .. })) => assert_eq!(n % 2, 1),
                Err(error) => panic!("{error}"),
            }
        }
        let decided_at = after.changed_at();
        match after.status {
            Status::Approved => assert!(won == 1 && decided_at < deadline),
            Status::Expired => assert!(won == 1 && decided_at >= deadline),
            // All who mark it came too early, and all who approve too late.
            Status::Pending => assert_eq!(won, 0),
            other => panic!("{other}"),
        }
        ground.sound();
    });
}

#[test]
fn request_concurrent_revoke_and_find_grant() {
    let schedule = Schedule {
        name: "request_concurrent_revoke_and_find_grant",
        claim: "one revokes while 50 ask twice for the access: nobody finds it after the revocation \
                was answered, or again after having once found none",
        threads: 51,
        operations: 101,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        ground.create(1);
        ground.update(1, &ground.cast.approve[0]).0.unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let one = ground.clone();
        together(51, move |n| {
            if n == 25 {
                let (revoked, made) = one.update(1, &one.cast.revoke);
                assert_eq!((revoked.unwrap().status, made), (Status::Revoked, 1));
                over.store(true, Ordering::SeqCst);
                return;
            }
            let mut gone = false;
            for _ in 0..2 {
                let late = over.load(Ordering::SeqCst);
                match one.granted() {
                    Some(until) => {
                        assert!(!late, "access after the revocation was answered");
                        assert!(!gone, "access came back");
                        assert_eq!(until, start() + HOUR);
                    }
                    None => gone = true,
                }
            }
        });
        assert!(ground.granted().is_none());
        assert_eq!(ground.get(1).history.len(), 3);
        ground.sound();
    });
}

#[test]
fn request_concurrent_automatic_approval() {
    let schedule = Schedule {
        name: "request_concurrent_automatic_approval",
        claim: "25 times a rule approves one pending request by itself, and 25 people deny it, who \
                have all read it: exactly one decides it, 49 meet one conflict, with the winner's \
                version, and are then told that it is decided",
        threads: 50,
        operations: 99,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let read = ground.create(1).updated_at;
        let one = ground.clone();
        let results = together(50, move |n| {
            let change = match n % 2 {
                0 => &one.cast.by_rule,
                _ => &one.cast.deny[n],
            };
            match one.store.sync().update(id(1), read, change) {
                Err(Error::Conflict(conflict)) => Err((conflict, one.update(1, change))),
                result => Ok(result.unwrap()),
            }
        });
        let decided = ground.get(1);
        let mut won = 0;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(request) => {
                    let wanted = [Status::Approved, Status::Denied][n % 2];
                    assert_eq!((&request, request.status), (&decided, wanted));
                    won += 1;
                }
                Err((conflict, (again, made))) => {
                    assert_eq!((conflict.actual, made), (decided.updated_at, 1));
                    assert!(matches!(
                        again,
                        Err(Error::InvalidTransition { from, .. }) if from == decided.status
                    ));
                }
            }
        }
        assert_eq!((won, decided.history.len()), (1, 2));
        assert_eq!(decided.approving_people().count(), 0, "nobody approved");
        let access = ground.access(start());
        assert_eq!(access.is_some(), decided.status == Status::Approved);
        ground.sound();
    });
}

#[test]
fn request_concurrent_expire_and_delete() {
    let schedule = Schedule {
        name: "request_concurrent_expire_and_delete",
        claim: "6 mark what is due, 4 delete what ended, and 10 write a note each on one of 10 \
                requests that are due: each is marked once and deleted once, and nobody is told of \
                those who were faster, but who writes a note on what is deleted",
        threads: 20,
        operations: 20,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let mut deadline = start();
        for bits in 0..10 {
            deadline = ground.create(bits).decide_by;
        }
        // Nothing is deleted where the clock has gone forward by more than a day in one step.
        ground.clock.set(deadline - HOUR);
        ground.update(0, &cast.notes[0]).0.unwrap();
        let late = deadline + HOUR;
        ground.clock.set(late);
        let workflow = Workflow::new(ground.store.clone(), Arc::clone(&cast.policy));
        let (one, working) = (ground.clone(), workflow.clone());
        let results = together(20, move |n| match n {
            0..6 => (now(working.expire_due(0)).unwrap(), 0),
            6..10 => {
                let deleted = now(working.delete_ended_before(late, 0));
                (Vec::new(), deleted.unwrap())
            }
            _ => {
                let bits = n as u64 - 10;
                match one.update(bits, &one.cast.notes[n]).0 {
                    Ok(_) | Err(Error::NotFound { .. }) => (Vec::new(), 0),
                    Err(error) => panic!("{error}"),
                }
            }
        });
        let (mut marked, mut deleted) = (now(workflow.expire_due(0)).unwrap(), 0);
        for (expired, gone) in results {
            marked.extend(expired);
            deleted += gone;
        }
        deleted += now(workflow.delete_ended_before(late, 0)).unwrap();
        let ids: BTreeSet<_> = marked.iter().map(|request| request.id).collect();
        assert_eq!((marked.len(), ids.len(), deleted), (10, 10, 10));
        assert!(marked.iter().all(|one| one.status == Status::Expired));
        ground.sound();
    });
}
