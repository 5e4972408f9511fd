//! Requests in a file: what the store answers, compared with the store in memory call by call, and
//! what is there after the file is opened again.

#![cfg(feature = "request")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_request::*;
use countersign_sqlite::{Database, Options, RequestStore, Synchronous};

mod common;

use common::requests::draft;
use common::{Draws, START, at, block_on, profile, quick, user};

const RULES: &str = r#"{"version": "1", "rules": [
    {"name": "production", "profiles": ["prod"], "approvers": ["bob", "carol"],
     "revokers": ["dave"]},
    {"name": "pinned", "profiles": ["pinned"], "approvers": ["bob"], "revokers": ["dave"],
     "ends_with_policy": true},
    {"name": "groups", "profiles": ["groups"], "groups": [
        {"name": "one", "approvers": ["bob", "carol"], "threshold": 1},
        {"name": "two", "approvers": ["dave"], "threshold": 1}]},
    {"name": "open", "profiles": ["dev"], "approvers": ["bob"],
     "auto_approve": {"users": ["alice"]}}]}"#;

const PEOPLE: [&str; 5] = ["alice", "Alice", "bob", "carol", "dave"];
const PROFILES: [&str; 5] = ["prod", "pinned", "groups", "dev", "other"];

fn terms(policy: &ApprovalPolicy, name: &str) -> Terms {
    Terms::of(policy, &profile(name))
}

fn drawn_digest(draws: &mut Draws) -> Option<PolicyDigest> {
    let digest = PolicyDigest::from_bytes([draws.below(2) as u8; 32]);
    draws.one_in(2).then_some(digest)
}

fn drawn_draft(draws: &mut Draws) -> Draft {
    let seconds = draws.pick(&[0, 600, 3600, 3600, 100_000]);
    Draft {
        id: RequestId::from_bits(draws.below(40).wrapping_mul(0x2545_F491_4F6C_DD1D)),
        requester: user(draws.pick(&PEOPLE)),
        profile: profile(draws.pick(&PROFILES)),
        duration: Duration::from_secs(seconds) + Duration::from_nanos(draws.below(2)),
        justification: draws
            .pick(&["migrate the table", "migrate the table", "short"])
            .into(),
        ticket: draws.one_in(2).then(|| "OPS-4711".to_owned()),
        policy: drawn_digest(draws),
        idempotency_key: draws
            .one_in(4)
            .then(|| IdempotencyKey::from_bits(draws.below(30))),
    }
}

fn drawn_change(draws: &mut Draws, policy: &ApprovalPolicy, request: &Request) -> Change {
    let by = user(draws.pick(&PEOPLE));
    let profile = &request.profile;
    let reason = draws.one_in(2).then_some("as agreed");
    let change = match draws.below(10) {
        _ if request.profile.as_str() == "dev" && draws.one_in(2) => {
            Change::approve_by_rule(policy, profile)
        }
        _ if request.status == Status::Pending && draws.one_in(2) => {
            let by = user(draws.pick(&["bob", "carol", "dave"]));
            Change::approve(policy, profile, &by, reason)
        }
        0 | 1 => Change::approve(policy, profile, &by, reason),
        2 => Change::approve_by_rule(policy, profile),
        3 => Change::deny(policy, profile, &by, reason),
        4 => Change::cancel(draws.pick(&[&by, &request.requester]), reason),
        5 => Change::revoke(
            policy,
            profile,
            &draws.pick(&["bob", "dave"]).parse().unwrap(),
            reason,
        ),
        6 | 9 => Change::release(draws.pick(&[&by, &request.requester]), reason),
        7 => match request.status {
            Status::Approved => Change::end_void(),
            _ => Change::expire(),
        },
        _ => Change::note(&by, draws.pick(&["a note", ""])),
    };
    match draws.one_in(4) {
        true => change.with_idempotency_key(IdempotencyKey::from_bits(draws.below(30))),
        false => change,
    }
}

/// Two stores, both asked everything.
struct Pair {
    memory: InMemory,
    file: RequestStore,
}

impl Pair {
    async fn same<'a, T: std::fmt::Debug>(
        &'a self,
        call: impl Fn(&'a dyn Store) -> BoxFuture<'a, Result<T, Error>>,
    ) -> String {
        let expected = format!("{:?}", call(&self.memory).await);
        let found = format!("{:?}", call(&self.file).await);
        assert_eq!(expected, found, "the file answers as memory does");
        found
    }
}

#[test]
fn every_call_is_answered_as_in_memory() {
    let policy: ApprovalPolicy = RULES.parse().unwrap();
    let mut unseen = BTreeSet::from([
        "status: Pending",
        "status: Approved",
        "status: Denied",
        "status: Expired",
        "status: Cancelled",
        "status: Revoked",
        "status: Released",
        "status: Ended",
        "DatedAhead",
        "ClockJumped",
        "ApprovedInPart",
        "Rule(",
        "Noted",
        "AlreadyExists",
        "IdempotencyKeyReused",
        "NotFound",
        "Conflict",
        "InvalidTransition",
        "Refused",
        "Invalid(",
        "NotTerminal",
        "Retained",
        "Ok(true)",
        "Ok(false)",
        "Ok(Some(",
        "Ok(None)",
        "next: Some(",
    ]);
    for seed in 0..12 {
        let (_folder, path) = common::file();
        let clock = Arc::new(ManualClock::at(at(START)));
        let database = Database::open(&path, &quick()).unwrap();
        let pair = Pair {
            memory: InMemory::new(clock.clone()),
            file: RequestStore::new(&database, clock.clone()),
        };
        let draws = &mut Draws::from_seed(seed);
        block_on(async {
            for _ in 0..600 {
                let answer = one_call(&pair, draws, &policy, &clock).await;
                unseen.retain(|word| !answer.contains(word));
            }
            pair.same(|store| store.changes_after(None, 1_000)).await;
        });
    }
    assert!(unseen.is_empty(), "no call was answered with {unseen:?}");
}

async fn one_call(
    pair: &Pair,
    draws: &mut Draws,
    policy: &ApprovalPolicy,
    clock: &ManualClock,
) -> String {
    match draws.below(12) {
        0 => clock.advance(Duration::from_nanos(1)),
        1 => clock.advance(Duration::from_secs(draws.below(600))),
        2 => clock.step_back(Duration::from_secs(draws.below(300))),
        4 if draws.one_in(8) => clock.step_back(Duration::from_secs(draws.below(20_000))),
        5 if draws.one_in(4) => clock.advance(Duration::from_secs(draws.below(1_200))),
        3 if draws.one_in(20) => clock.advance(Duration::from_secs(90_000)),
        _ => {}
    }
    let now = clock.now();
    let limit = draws.below(5) as usize;
    let id = drawn_draft(draws).id;
    match draws.below(16) {
        0..=4 => {
            let draft = drawn_draft(draws);
            let terms = Terms::of(policy, &draft.profile);
            pair.same(|store| store.create(&draft, &terms)).await
        }
        5..=9 => {
            let Ok(request) = pair.memory.sync().get(id) else {
                let change = Change::expire();
                let version = Version::from_nanos(1);
                return pair.same(|store| store.update(id, version, &change)).await;
            };
            let change = drawn_change(draws, policy, &request);
            let expected = match draws.one_in(8) {
                true => Version::from_nanos(1),
                false => request.updated_at,
            };
            pair.same(|store| store.update(id, expected, &change)).await
        }
        10 => {
            let before = draws.one_in(2).then_some(now - Duration::from_secs(5_000));
            pair.same(|store| store.delete(id, before)).await
        }
        11 => {
            pair.same(|store| store.get(id)).await;
            let approved = Filter::Status(Status::Approved);
            let approved = pair.memory.sync().list(&approved, Page::first(1)).unwrap();
            let (whose, what) = match approved.items.first() {
                Some(request) => (request.requester.clone(), request.profile.clone()),
                None => (user(draws.pick(&PEOPLE)), profile(draws.pick(&PROFILES))),
            };
            let policy = drawn_digest(draws);
            pair.same(|store| store.find_grant(&whose, &what, policy))
                .await;
            pair.same(|store| store.access_at(&whose, &what, policy, now))
                .await
        }
        12 => {
            pair.same(|store| store.list_expirable(limit)).await;
            let due = pair.memory.sync().list_expirable(1_000).unwrap();
            let void = due
                .iter()
                .find(|request| request.status == Status::Approved);
            if let Some(void) = void {
                let (id, expected) = (void.id, void.updated_at);
                let end = Change::end_void();
                return pair.same(|store| store.update(id, expected, &end)).await;
            }
            pair.same(|store| store.list_ended(now, limit)).await
        }
        13 => {
            let after = pair
                .memory
                .sync()
                .get(id)
                .ok()
                .map(|request| request.updated_at);
            pair.same(|store| store.changes_after(after, limit)).await
        }
        14 => {
            let filter = match draws.below(3) {
                0 => Filter::Requester(user(draws.pick(&PEOPLE))),
                1 => Filter::Profile(profile(draws.pick(&PROFILES))),
                _ => Filter::Status(draws.pick(&Status::ALL)),
            };
            pages(pair, limit, |store, page| store.list(&filter, page)).await
        }
        _ => {
            let whose = user(draws.pick(&PEOPLE));
            pages(pair, limit, |store, page| store.list_open(&whose, page)).await;
            let few = PROFILES.iter().take(draws.below(6) as usize);
            let few: BTreeSet<Profile> = few.map(|name| profile(name)).collect();
            pages(pair, limit, |store, page| {
                store.list_pending(Some(&few), page)
            })
            .await;
            pages(pair, limit, |store, page| store.list_pending(None, page)).await
        }
    }
}

/// Follows the cursors to the end, and from places where nothing is.
async fn pages<'a, L: List>(
    pair: &'a Pair,
    limit: usize,
    call: impl Fn(&'a dyn Store, Page<L>) -> BoxFuture<'a, Result<Listing<L>, Error>>,
) -> String {
    let mut page = Page::first(limit);
    let mut answers = String::new();
    loop {
        answers += &pair.same(|store| call(store, page)).await;
        let Some(cursor) = call(&pair.memory, page).await.unwrap().next else {
            return answers;
        };
        for id in [RequestId::MIN, RequestId::from_bits(u64::MAX)] {
            let forged = Page::after(Cursor::new(cursor.place, id), limit);
            pair.same(|store| call(store, forged)).await;
        }
        page = Page::after(cursor, limit);
    }
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let policy: ApprovalPolicy = RULES.parse().unwrap();
    let (_folder, path) = common::file();
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let id = RequestId::from_bits(match synchronous {
            Synchronous::Full => 1,
            Synchronous::Normal => 2,
        });
        let options = Options {
            synchronous,
            ..Options::default()
        };
        let clock = Arc::new(ManualClock::at(at(START)));
        let before = block_on(async {
            let database = Database::open(&path, &options).unwrap();
            let store = RequestStore::new(&database, clock.clone());
            let draft = Draft { id, ..draft(1) };
            let request = store.create(&draft, &terms(&policy, "prod")).await.unwrap();
            let approve = Change::approve(&policy, &request.profile, &user("bob"), Some("yes"));
            store
                .update(id, request.updated_at, &approve)
                .await
                .unwrap()
        });
        let after = block_on(async {
            let database = Database::open(&path, &options).unwrap();
            let store = RequestStore::new(&database, clock.clone());
            let (alice, prod) = (user("alice"), profile("prod"));
            let found = store.find_grant(&alice, &prod, None).await.unwrap();
            assert!(found.is_some());
            store.get(id).await.unwrap()
        });
        assert_eq!(before, after);
    }
}

#[test]
fn versions_grow_over_opening_again_with_a_clock_that_stepped_back() {
    let policy: ApprovalPolicy = RULES.parse().unwrap();
    let (_folder, path) = common::file();
    let mut last = None;
    for round in 0..6 {
        let clock = ManualClock::at(at(START) - Duration::from_secs(3600 * round));
        let database = Database::open(&path, &quick()).unwrap();
        let store = RequestStore::new(&database, Arc::new(clock));
        block_on(async {
            let request = store
                .create(&draft(round), &terms(&policy, "prod"))
                .await
                .unwrap();
            assert!(
                Some(request.updated_at) > last,
                "a version was issued twice"
            );
            let cancel = Change::cancel(&user("alice"), None);
            let over = store
                .update(request.id, request.updated_at, &cancel)
                .await
                .unwrap();
            assert!(store.delete(request.id, None).await.unwrap());
            last = Some(over.updated_at);
        });
    }
    // A version for each of three steps a round, and one for each correction of the clock.
    let expected = Version::of(at(START)).unwrap().as_nanos() + 3 * 6 - 2 + 5;
    assert_eq!(
        last.unwrap().as_nanos(),
        expected,
        "deleting issues a version too"
    );
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let policy: ApprovalPolicy = RULES.parse().unwrap();
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let (draft, terms) = (draft(1), terms(&policy, "prod"));
    drop(store.create(&draft, &terms));
    let missing = block_on(store.get(draft.id));
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    block_on(store.create(&draft, &terms)).unwrap();
    assert!(block_on(store.get(draft.id)).is_ok());
}

#[test]
fn times_that_do_not_fit_are_an_error_and_change_nothing() {
    let policy: ApprovalPolicy = RULES.parse().unwrap();
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let limits = Limits {
        decision_window: Duration::MAX,
        ..Limits::default()
    };
    let clock = Arc::new(ManualClock::at(at(START)));
    let store = RequestStore::with_limits(&database, clock.clone(), limits);
    let refused = block_on(store.create(&draft(1), &terms(&policy, "prod"))).unwrap_err();
    assert!(
        refused.to_string().contains("cannot be stored"),
        "{refused}"
    );
    let Error::Backend(Failure {
        is_retryable: retryable,
        outcome,
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((retryable, outcome), (false, Outcome::NotApplied));
    let store = RequestStore::new(&database, clock);
    assert!(block_on(store.create(&draft(1), &terms(&policy, "prod"))).is_ok());
}

#[test]
fn a_clock_that_panics_changes_nothing_and_ends_nothing() {
    #[derive(Debug)]
    struct Broken;
    impl Clock for Broken {
        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            panic!("the clock is broken")
        }
    }
    let policy: ApprovalPolicy = RULES.parse().unwrap();
    let (_folder, path) = common::file();
    let database = Database::open(&path, &quick()).unwrap();
    let broken = RequestStore::new(&database, Arc::new(Broken));
    let store = RequestStore::new(&database, Arc::new(SystemClock));
    let failed = block_on(broken.create(&draft(1), &terms(&policy, "prod")));
    assert!(matches!(
        failed,
        Err(Error::Backend(Failure {
            outcome: Outcome::NotApplied,
            is_retryable: false,
            ..
        }))
    ));
    block_on(store.create(&draft(1), &terms(&policy, "prod"))).unwrap();
}
