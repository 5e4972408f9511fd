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

mod common;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{
    HOUR, admission, anybody, draft, id, limits, profile, refusal, review, shortest_retention,
    start, user,
};
use countersign_breakglass::*;
use countersign_core::sync::schedule::{Schedule, pause, together};

/// The store and its clock in one run, with what all runs share.
#[derive(Clone)]
struct Ground {
    store: Arc<InMemory>,
    clock: Arc<ManualClock>,
    cast: Arc<Cast>,
}

/// What every run needs, made once. Anybody may, for `prod`.
struct Cast {
    /// As often as they like.
    free: Admission,
    /// Three for a user in a day, whatever the profile.
    three_a_user: Admission,
    /// Three for the profile in a day, whoever it is.
    three_a_profile: Admission,
    /// A draft of `user-n`'s for each number.
    own: Vec<Draft>,
    /// Drafts of one user's, under three spellings.
    alice: Vec<Draft>,
    notes: Vec<Change>,
    retention: Retention,
    retry: Retry,
}

impl Cast {
    fn new() -> Arc<Self> {
        let quota = |field: &str| {
            let limits = limits(&format!(r#""{field}": 3, "quota_window": "24h""#));
            admission(&limits, "prod")
        };
        let own = |n: u64| draft(n, &format!("user-{n}"), "prod");
        let alice = |n: u64| draft(n, ["alice", "Alice", "ALICE"][n as usize % 3], "prod");
        let note = |n| Change::note(&user("bob"), &format!("note {n}"));
        Arc::new(Self {
            free: admission(&RateLimitPolicy::unlimited(), "prod"),
            three_a_user: quota("max_per_user"),
            three_a_profile: quota("max_per_profile"),
            own: (0..120).map(own).collect(),
            alice: (0..60).map(alice).collect(),
            notes: (0..100).map(note).collect(),
            retention: shortest_retention(),
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

    fn create(&self, draft: &Draft) -> Result<Arc<Emergency>, Error> {
        self.store.sync().create(draft, &self.cast.free)
    }

    /// An emergency of `user-n`'s under id n.
    fn begin(&self, n: usize) -> Arc<Emergency> {
        self.create(&self.cast.own[n]).unwrap()
    }

    fn get(&self, bits: u64) -> Arc<Emergency> {
        self.store.sync().get(id(bits)).unwrap()
    }

    /// Reads, changes, and tries again after a conflict; tells how often it tried.
    fn update(&self, bits: u64, change: &Change) -> (Result<Arc<Emergency>, Error>, usize) {
        let mut made = 0;
        let update = self.store.update_with(id(bits), &self.cast.retry, |_| {
            made += 1;
            Ok(change.clone())
        });
        let result = now(update);
        (result, made)
    }

    fn listed(&self, filter: impl Into<Filter>) -> Vec<Arc<Emergency>> {
        let page = Page::first(MAX_LIMIT);
        self.store.sync().list(&filter.into(), page).unwrap().items
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

fn close(emergency: &Emergency) -> Change {
    Change::close(&anybody(), &emergency.profile, &emergency.invoker, "over")
}

fn newest_first(items: &[Arc<Emergency>]) -> bool {
    items.windows(2).all(|two| two[0].created > two[1].created)
}

#[test]
fn breakglass_concurrent_create() {
    let schedule = Schedule {
        name: "breakglass_concurrent_create",
        claim: "50 people begin an emergency each for one profile: all are there, each once, each with \
                its own version",
        threads: 50,
        operations: 50,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let one = ground.clone();
        let created = together(50, move |n| one.begin(n));
        let versions: BTreeSet<_> = created
            .iter()
            .map(|emergency| emergency.updated_at)
            .collect();
        let listed = ground.listed(Status::Active);
        assert_eq!((versions.len(), listed.len()), (50, 50));
        assert!(
            newest_first(&listed) && created.iter().all(|emergency| listed.contains(emergency))
        );
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_create_duplicates() {
    let schedule = Schedule {
        name: "breakglass_concurrent_create_duplicates",
        claim: "20 people begin under one id: one wins, 19 are told that the id is taken, and the \
                record is the winner's",
        threads: 20,
        operations: 20,
    };
    let cast = Cast::new();
    let drafts: Arc<[Draft]> = (0..20)
        .map(|n| draft(1, &format!("user-{n}"), "prod"))
        .collect();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let (one, drafts) = (ground.clone(), Arc::clone(&drafts));
        let (mut won, mut taken) = (Vec::new(), 0);
        for result in together(20, move |n| one.create(&drafts[n])) {
            match result {
                Ok(emergency) => won.push(emergency),
                Err(Error::AlreadyExists { id: of }) if of == id(1) => taken += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!((won.len(), taken), (1, 19));
        assert_eq!(ground.listed(Status::Active), won);
        assert_eq!(ground.get(1), won[0]);
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_get() {
    let schedule = Schedule {
        name: "breakglass_concurrent_get",
        claim: "100 readers read one emergency twice (not 5 times) while 10 writers write a note each: \
                each reads whole records only, and never an older one after a newer one",
        threads: 110,
        operations: 210,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let first = ground.begin(1).updated_at;
        let one = ground.clone();
        together(110, move |n| {
            if n < 10 {
                let (result, made) = one.update(1, &one.cast.notes[n]);
                assert!(result.is_ok() && made <= 10, "{made} tries");
                return;
            }
            let mut seen = first;
            for _ in 0..2 {
                let emergency = one.get(1);
                assert!(
                    emergency.updated_at >= seen,
                    "an older one after a newer one"
                );
                seen = emergency.updated_at;
                let last = emergency.history.last().unwrap();
                assert_eq!((last.to, &last.reason), (seen, &emergency.note));
            }
        });
        assert_eq!(ground.get(1).history.len(), 11);
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_update() {
    let schedule = Schedule {
        name: "breakglass_concurrent_update",
        claim: "50 writers of one emergency's note who have all read it: one meets no conflict, all \
                succeed within 50 tries, the history holds all 50 in the order of their versions, \
                and the last writer's text stands",
        threads: 50,
        operations: 50,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let read = ground.begin(1).updated_at;
        let one = ground.clone();
        let results = together(50, move |n| {
            let note = &one.cast.notes[n];
            match one.store.sync().update(id(1), read, note) {
                Err(Error::Conflict(_)) => one.update(1, note),
                result => (result, 0),
            }
        });
        assert!(results.iter().all(|(_, made)| *made < 50));
        let at_once = results.iter().filter(|(_, made)| *made == 0).count();
        assert_eq!(
            at_once, 1,
            "the first writer wins, the others meet a conflict"
        );
        let written = results.into_iter().map(|(result, _)| result.unwrap());
        let last = written
            .max_by_key(|emergency| emergency.updated_at)
            .unwrap();
        let after = ground.get(1);
        assert_eq!(after, last, "the last writer's text stands");
        assert_eq!(after.note, after.history[50].reason);
        let notes = after.history.iter().skip(1);
        let texts: BTreeSet<_> = notes.map(|entry| entry.reason.clone()).collect();
        assert_eq!((texts.len(), after.history.len()), (50, 51));
        let chained =
            |two: &[Arc<HistoryEntry>]| two[1].from == Some(two[0].to) && two[0].to < two[1].to;
        assert!(after.history.windows(2).all(chained));
        ground.sound();
    });
}

/// 20 writers begin and close an emergency each while 50 readers list by `filter`, once each.
fn lists(schedule: Schedule, filter: Filter, drafts: fn(&Cast, usize) -> Draft, in_all: usize) {
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let untouched = [100, 101, 102].map(|n| {
            let draft = drafts(&ground.cast, n);
            let free = admission(&RateLimitPolicy::unlimited(), draft.profile.as_str());
            ground.store.sync().create(&draft, &free).unwrap()
        });
        let (one, listed) = (ground.clone(), filter.clone());
        together(70, move |n| {
            if n < 20 {
                let draft = drafts(&one.cast, n);
                let free = admission(&RateLimitPolicy::unlimited(), draft.profile.as_str());
                let emergency = one.store.sync().create(&draft, &free).unwrap();
                let closed =
                    one.store
                        .sync()
                        .update(emergency.id, emergency.updated_at, &close(&emergency));
                assert_eq!(closed.unwrap().status, Status::Closed);
                return;
            }
            let items = one.listed(listed.clone());
            assert!(newest_first(&items), "out of order, or listed twice");
            assert!(untouched.iter().all(|emergency| items.contains(emergency)));
            assert!(items.iter().all(|emergency| match &listed {
                Filter::Status(status) => emergency.status == *status,
                Filter::Invoker(user) => emergency.invoker == *user,
                Filter::Profile(profile) => emergency.profile == *profile,
            }));
        });
        assert_eq!(ground.listed(filter.clone()).len(), in_all);
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_list_by_invoker() {
    let schedule = Schedule {
        name: "breakglass_concurrent_list_by_invoker",
        claim: "50 readers list alice's emergencies (once each, not 5 times) while 20 writers begin and \
                close one of hers each: every list is ordered, of hers alone, and holds the three \
                that nobody touches",
        threads: 70,
        operations: 90,
    };
    let of_alice = |_: &Cast, n: usize| draft(n as u64, "alice", &format!("profile-{n}"));
    lists(schedule, user("alice").into(), of_alice, 23);
}

#[test]
fn breakglass_concurrent_list_by_status() {
    let schedule = Schedule {
        name: "breakglass_concurrent_list_by_status",
        claim: "50 readers list active emergencies (once each, not 5 times) while 20 writers begin and \
                close one each: every list is ordered, of active emergencies alone, and holds the three \
                that nobody touches",
        threads: 70,
        operations: 90,
    };
    lists(
        schedule,
        Status::Active.into(),
        |cast, n| cast.own[n].clone(),
        3,
    );
}

#[test]
fn breakglass_concurrent_mixed_operations() {
    let schedule = Schedule {
        name: "breakglass_concurrent_mixed_operations",
        claim: "100 threads with 2 operations each (not 20), out of beginning, closing, noting on \
                ten shared emergencies, finding and listing: all succeed, and nothing is lost",
        threads: 100,
        operations: 200,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let shared: Vec<_> = (100..110).map(|n| ground.begin(n)).collect();
        let one = ground.clone();
        together(100, move |n| {
            let on = 100 + n as u64 % 10;
            match n % 4 {
                0 => {
                    let emergency = one.begin(n);
                    let store = one.store.sync();
                    let closed =
                        store.update(emergency.id, emergency.updated_at, &close(&emergency));
                    assert_eq!(closed.unwrap().status, Status::Closed);
                }
                1 => {
                    let emergency = one.begin(n);
                    let store = one.store.sync();
                    let found = store.active_at(&emergency.invoker, &emergency.profile, start());
                    assert_eq!(found.unwrap(), Some(emergency));
                }
                2 => {
                    let (result, _) = one.update(on, &one.cast.notes[n]);
                    assert!(one.get(on).updated_at >= result.unwrap().updated_at);
                }
                _ => {
                    let before = one.listed(Status::Closed).len();
                    assert!(
                        before <= one.listed(Status::Closed).len(),
                        "one was reopened"
                    );
                }
            }
        });
        assert_eq!(ground.listed(Status::Active).len(), shared.len() + 25);
        assert_eq!(ground.listed(Status::Closed).len(), 25);
        let notes: usize = shared
            .iter()
            .map(|emergency| ground.store.sync().get(emergency.id).unwrap().history.len() - 1)
            .sum();
        assert_eq!(notes, 25);
        ground.sound();
    });
}

#[test]
fn breakglass_race_detection() {
    let schedule = Schedule {
        name: "breakglass_race_detection",
        claim: "30 threads call every method once (not 10 times) on the same three emergencies: every \
                answer is one that the contract allows, and of what was created each is closed at \
                most once",
        threads: 30,
        operations: 210,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let one = ground.clone();
        let books = together(30, move |n| {
            let (store, draft) = (one.store.sync(), &one.cast.own[n % 3]);
            let mut books = (0, 0);
            match one.create(draft) {
                Ok(_) => books.0 += 1,
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            match store.get(draft.id) {
                Ok(read) => match store.update(draft.id, read.updated_at, &close(&read)) {
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
            assert!(one.listed(profile("prod")).len() <= 3);
            let found = store.active_at(&draft.invoker, &draft.profile, start());
            assert!(
                found
                    .unwrap()
                    .is_none_or(|emergency| emergency.status == Status::Active)
            );
            assert!(store.find_grant(&draft.invoker, &draft.profile).is_ok());
            let due = store.list_expirable(0).unwrap();
            assert!(
                due.iter()
                    .all(|emergency| emergency.status == Status::Active)
            );
            let waiting = store.list_awaiting_review(Page::default()).unwrap();
            let now = store.now().unwrap();
            assert!(
                waiting
                    .items
                    .iter()
                    .all(|emergency| emergency.awaits_review(now))
            );
            let ended = store.list_ended(start() + HOUR, 0).unwrap();
            assert!(ended.iter().all(|emergency| emergency.review.is_some()));
            let changes = store.changes_after(None, 0).unwrap();
            let versions: Vec<_> = changes.iter().map(|changed| changed.version).collect();
            assert!(versions.is_sorted());
            if let Ok(read) = store.get(draft.id) {
                match store.update(draft.id, read.updated_at, &review("carol", "prod")) {
                    Ok(_)
                    | Err(
                        Error::Conflict(_)
                        | Error::NotFound { .. }
                        | Error::Refused(Refusal::NotDue { .. } | Refusal::ReviewedAlready { .. }),
                    ) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            one.clock.advance(Duration::from_secs(1));
            match store.delete(draft.id, &one.cast.retention) {
                Ok(_)
                | Err(
                    Error::NotTerminal { .. }
                    | Error::Refused(Refusal::Unreviewed { .. } | Refusal::Kept { .. }),
                ) => {}
                Err(error) => panic!("{error}"),
            }
            books
        });
        let created: usize = books.iter().map(|books| books.0).sum();
        let closed: usize = books.iter().map(|books| books.1).sum();
        assert_eq!(created, closed + ground.listed(Status::Active).len());
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_invoke_same_profile() {
    let schedule = Schedule {
        name: "breakglass_concurrent_invoke_same_profile",
        claim: "50 begin an emergency for one user, under three spellings, and one profile: exactly \
                one becomes active, and 49 are refused because of it",
        threads: 50,
        operations: 50,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let one = ground.clone();
        let results = together(50, move |n| one.create(&one.cast.alice[n]));
        let (begun, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((begun.len(), refused.len()), (1, 49));
        let active = ground.listed(Status::Active);
        assert_eq!((active.len(), begun[0].as_ref().unwrap()), (1, &active[0]));
        for result in refused {
            let expected = Refusal::Active {
                id: active[0].id,
                retry_at: active[0].expires_at,
            };
            assert_eq!(refusal(result), expected);
        }
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_replace() {
    let schedule = Schedule {
        name: "breakglass_concurrent_replace",
        claim: "25 begin a new emergency for one user and 24 mark the old one expired while the clock \
                passes its end: never are two active, the old one ends once and in time, and one \
                more attempt succeeds if and only if none of the 25 did",
        threads: 50,
        operations: 50,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let old = ground.create(&ground.cast.alice[51]).unwrap();
        let (one, end) = (ground.clone(), old.expires_at);
        let results = together(50, move |n| match n {
            49 => {
                one.clock.set(end);
                None
            }
            _ if n % 2 == 0 => one.create(&one.cast.alice[n]).ok(),
            _ => {
                let _ = one.update(51, &Change::expire());
                None
            }
        });
        let mut begun: Vec<_> = results.into_iter().flatten().collect();
        let last = ground.create(&ground.cast.alice[50]);
        assert_eq!(last.is_ok(), begun.is_empty(), "one and only one follows");
        begun.extend(last);
        assert_eq!(ground.listed(Status::Active), begun);
        let after = ground.get(51);
        assert_eq!((after.status, after.history.len()), (Status::Expired, 2));
        assert!(after.changed_at() >= end, "it ended early");
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_quota_of_profile() {
    let schedule = Schedule {
        name: "breakglass_concurrent_quota_of_profile",
        claim: "50 people under a quota of 3 for the profile: exactly 3 begin, and 47 are told that \
                there are 3 of 3",
        threads: 50,
        operations: 50,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let one = ground.clone();
        let results = together(50, move |n| {
            let store = one.store.sync();
            store.create(&one.cast.own[n], &one.cast.three_a_profile)
        });
        let (begun, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((begun.len(), refused.len()), (3, 47));
        assert_eq!(ground.listed(Status::Active).len(), 3);
        for result in refused {
            match refusal(result) {
                Refusal::ProfileQuota { count, max, .. } => assert_eq!((count, max.get()), (3, 3)),
                other => panic!("{other}"),
            }
        }
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_quota_of_user() {
    let schedule = Schedule {
        name: "breakglass_concurrent_quota_of_user",
        claim: "50 begin and close an emergency of one user's, under a quota of 3 for the user: \
                exactly 3 begin, never two at once, and the others are refused",
        threads: 50,
        operations: 53,
    };
    let cast = Cast::new();
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let one = ground.clone();
        let results = together(50, move |n| {
            // Who meets an active emergency comes again when it is closed; the last ones meet the quota.
            loop {
                let store = one.store.sync();
                match store.create(&one.cast.alice[n], &one.cast.three_a_user) {
                    Ok(emergency) => {
                        assert_eq!(one.listed(Status::Active), [Arc::clone(&emergency)]);
                        let closed =
                            store.update(emergency.id, emergency.updated_at, &close(&emergency));
                        assert_eq!(closed.unwrap().status, Status::Closed);
                        return true;
                    }
                    Err(Error::Refused(Refusal::Active { .. })) => pause(),
                    Err(Error::Refused(Refusal::UserQuota { count, max, .. })) => {
                        assert_eq!((count, max.get()), (3, 3));
                        return false;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        assert_eq!(results.iter().filter(|begun| **begun).count(), 3);
        assert_eq!(ground.listed(Status::Closed).len(), 3);
        ground.sound();
    });
}

#[test]
fn breakglass_concurrent_expire_and_delete() {
    let schedule = Schedule {
        name: "breakglass_concurrent_expire_and_delete",
        claim: "6 mark what is over, 4 delete what ended, and 10 review one each of 10 emergencies that \
                are over: each is marked once, reviewed once and deleted once, and nobody is told \
                of those who were faster",
        threads: 20,
        operations: 20,
    };
    let cast = Cast::new();
    let (who, often) = (Arc::new(anybody()), Arc::new(RateLimitPolicy::unlimited()));
    schedule.check(move || {
        let ground = Ground::new(&cast);
        let mut end = start();
        for n in 0..10 {
            end = ground.begin(n).expires_at;
        }
        let late = end + HOUR;
        ground.clock.set(late);
        let workflow = Workflow::new(ground.store.clone(), Arc::clone(&who), Arc::clone(&often));
        let (one, working) = (ground.clone(), workflow.clone());
        let results = together(20, move |n| match n {
            0..6 => (now(working.expire_due(0)).unwrap(), 0),
            6..10 => {
                let deleted = now(working.delete_ended_before(late, 0));
                (Vec::new(), deleted.unwrap())
            }
            _ => {
                let reviewed = one.update(n as u64 - 10, &review("carol", "prod")).0;
                reviewed.unwrap();
                (Vec::new(), 0)
            }
        });
        let (mut marked, mut deleted) = (now(workflow.expire_due(0)).unwrap(), 0);
        for (expired, gone) in results {
            marked.extend(expired);
            deleted += gone;
        }
        deleted += now(workflow.delete_ended_before(late, 0)).unwrap();
        let ids: BTreeSet<_> = marked.iter().map(|emergency| emergency.id).collect();
        assert_eq!((marked.len(), ids.len(), deleted), (10, 10, 10));
        assert!(marked.iter().all(|one| one.status == Status::Expired));
        ground.sound();
    });
}
