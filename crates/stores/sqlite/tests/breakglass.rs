//! Emergencies in a file: what the store answers, compared with the store in memory call by call,
//! and what is there after the file is opened again.

#![cfg(feature = "breakglass")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_breakglass::*;

use countersign_sqlite::{Database, EmergencyStore};

mod common;

use common::{Draws, START, at, block_on, profile, quick, user};

const WHO: &str = r#"{"version": "1", "rules": [
    {"name": "reviewed", "profiles": ["prod"], "users": ["alice", "Alice", "bob"],
     "responders": ["carol"], "reviewers": ["carol", "dave"], "after_review": true},
    {"name": "factor", "profiles": ["factor"], "users": ["alice", "Alice", "bob"],
     "responders": ["carol"], "mfa": {"required": true, "methods": ["totp"]}},
    {"name": "rest", "users": ["alice", "Alice", "bob"], "responders": ["carol", "dave"]}]}"#;

const OFTEN: &str = r#"{"version": "1", "rules": [
    {"name": "paused", "profiles": ["prod", "paused"], "cooldown": "40m"},
    {"name": "counted", "max_per_user": 4, "max_per_profile": 3, "escalation_threshold": 2,
     "quota_window": "1h"}]}"#;

const PEOPLE: [&str; 5] = ["alice", "Alice", "bob", "carol", "dave"];
const PROFILES: [&str; 5] = ["prod", "factor", "paused", "dev", "other"];

struct Rules {
    who: InvocationPolicy,
    often: RateLimitPolicy,
}

impl Rules {
    fn new() -> Self {
        Self {
            who: WHO.parse().unwrap(),
            often: OFTEN.parse().unwrap(),
        }
    }

    fn admission(&self, profile: &Profile) -> Admission {
        Admission::new(&self.who, &self.often, profile)
    }
}

fn drawn_id(draws: &mut Draws) -> EmergencyId {
    EmergencyId::from_bits(draws.below(60).wrapping_mul(0x2545_F491_4F6C_DD1D))
}

fn drawn_draft(draws: &mut Draws, now: chrono::DateTime<chrono::Utc>) -> Draft {
    let id = drawn_id(draws);
    let invoker = user(draws.pick(&["alice", "Alice", "bob", "bob", "eve"]));
    let profile = profile(draws.pick(&PROFILES));
    let proof = MfaProof {
        id: ProofId::new(format!("phone:{}", draws.below(30))).unwrap(),
        method: MfaMethod::Totp,
        user: invoker.clone(),
        emergency: id,
        verified_at: now - Duration::from_secs(draws.below(320)),
    };
    Draft {
        id,
        idempotency_key: draws
            .one_in(4)
            .then(|| IdempotencyKey::from_bits(draws.below(30))),
        mfa: (profile.as_str() == "factor" && !draws.one_in(4) || draws.one_in(6)).then_some(proof),
        invoker,
        profile,
        duration: Duration::from_secs(draws.pick(&[60, 600, 600, 3600, 100_000])),
        reason_code: draws.pick(&ReasonCode::ALL),
        justification: draws
            .pick(&[
                "the orders database is down",
                "the orders database is down",
                "short",
            ])
            .into(),
        ticket: draws.one_in(2).then(|| "INC-4711".to_owned()),
        request_id: draws.one_in(2).then(|| "0c495841982c3107".to_owned()),
    }
}

fn drawn_change(draws: &mut Draws, rules: &Rules, emergency: &Emergency) -> Change {
    let by = user(draws.pick(&PEOPLE));
    let who = &rules.who;
    let change = match draws.below(6) {
        0 => Change::close(who, &emergency.profile, &by, "the primary is back"),
        1 => Change::expire(),
        2 => Change::note(&by, draws.pick(&["a note", "another", ""])),
        _ => {
            let outcome = draws.pick(&ReviewOutcome::ALL);
            let by = user(draws.pick(&["carol", "dave"]));
            Change::review(who, &emergency.profile, &by, outcome, "called for")
        }
    };
    match draws.one_in(4) {
        true => change.with_idempotency_key(IdempotencyKey::from_bits(draws.below(30))),
        false => change,
    }
}

/// Two stores, both asked everything.
struct Pair {
    memory: InMemory,
    file: EmergencyStore,
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
    let rules = Rules::new();
    let mut unseen = BTreeSet::from([
        "status: Active",
        "status: Closed",
        "status: Expired",
        "outcome: NeedsFollowUp",
        "Noted",
        "escalation: Some(",
        "review_override: Some(",
        "mfa: Some(",
        "AlreadyExists",
        "IdempotencyKeyReused",
        "NotFound",
        "Conflict",
        "InvalidTransition",
        "Refused(Active",
        "Refused(Cooldown",
        "Refused(UserQuota",
        "Refused(ProfileQuota",
        "Refused(ReviewDue",
        "problem: Used",
        "Refused(Unreviewed",
        "Refused(Kept",
        "Invalid(",
        "NotTerminal",
        "Ok(true)",
        "Ok(false)",
        "Ok(Some(",
        "Ok(None)",
        "next: Some(",
    ]);
    for seed in 0..5 {
        let (_folder, path) = common::file();
        let clock = Arc::new(ManualClock::at(at(START)));
        let database = Database::open(&path, &quick()).unwrap();
        let pair = Pair {
            memory: InMemory::new(clock.clone()),
            file: EmergencyStore::new(&database, clock.clone()),
        };
        let draws = &mut Draws::from_seed(seed);
        block_on(async {
            for _ in 0..700 {
                let answer = one_call(&pair, draws, &rules, &clock).await;
                unseen.retain(|word| !answer.contains(word));
            }
            pair.same(|store| store.changes_after(None, 1_000)).await;
        });
    }
    assert!(unseen.is_empty(), "no call was answered with {unseen:?}");
}

async fn one_call(pair: &Pair, draws: &mut Draws, rules: &Rules, clock: &ManualClock) -> String {
    match draws.below(12) {
        0 => clock.advance(Duration::from_nanos(1)),
        1..=3 => clock.advance(Duration::from_secs(draws.below(300))),
        4 => clock.step_back(Duration::from_secs(draws.below(100))),
        6 => clock.step_back(Duration::from_secs(draws.below(9_000))),
        7 if draws.one_in(10) => clock.advance(Duration::from_secs(90_000)),
        5 if draws.one_in(10) => clock.advance(Duration::from_secs(9_000)),
        _ => {}
    }
    let now = clock.now();
    let limit = draws.below(5) as usize;
    let id = drawn_id(draws);
    match draws.below(16) {
        0..=5 => {
            let draft = drawn_draft(draws, now);
            let admission = rules.admission(&draft.profile);
            let admission = match draws.one_in(3) {
                true => admission.with_review_override(&user("carol"), "the site is down"),
                false => admission,
            };
            pair.same(|store| store.create(&draft, &admission)).await
        }
        6..=9 => {
            let Ok(emergency) = pair.memory.sync().get(id) else {
                let (change, version) = (Change::expire(), Version::from_nanos(1));
                return pair.same(|store| store.update(id, version, &change)).await;
            };
            let change = drawn_change(draws, rules, &emergency);
            let expected = match draws.one_in(8) {
                true => Version::from_nanos(1),
                false => emergency.updated_at,
            };
            pair.same(|store| store.update(id, expected, &change)).await
        }
        10 => {
            let retention = Retention::new(&rules.who, &rules.often);
            // A read notices a correction: both are asked.
            pair.same(|store| store.list_ended(now, 1_000)).await;
            let mut reviewed = pair.memory.sync().list_ended(now, 1_000).unwrap();
            let id = match reviewed.pop().filter(|_| draws.one_in(2)) {
                Some(emergency) => emergency.id,
                None => id,
            };
            pair.same(|store| store.delete(id, &retention)).await
        }
        11 => {
            pair.same(|store| store.get(id)).await;
            let whose = user(draws.pick(&["alice", "Alice", "bob"]));
            let what = profile(draws.pick(&PROFILES));
            pair.same(|store| store.find_grant(&whose, &what)).await;
            pair.same(|store| store.active_at(&whose, &what, now)).await
        }
        12 => {
            let due = pair.same(|store| store.list_expirable(limit)).await;
            due + &pair.same(|store| store.list_ended(now, limit)).await
        }
        13 => {
            let emergency = pair.memory.sync().get(id).ok();
            let after = emergency.map(|emergency| emergency.updated_at);
            pair.same(|store| store.changes_after(after, limit)).await
        }
        14 => {
            let filter = match draws.below(3) {
                0 => Filter::Invoker(user(draws.pick(&PEOPLE))),
                1 => Filter::Profile(profile(draws.pick(&PROFILES))),
                _ => Filter::Status(draws.pick(&Status::ALL)),
            };
            pages(pair, limit, |store, page| store.list(&filter, page)).await
        }
        _ => pages(pair, limit, |store, page| store.list_awaiting_review(page)).await,
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
        for id in [EmergencyId::MIN, EmergencyId::from_bits(u64::MAX)] {
            let forged = Page::after(Cursor::new(cursor.place, id), limit);
            pair.same(|store| call(store, forged)).await;
        }
        page = Page::after(cursor, limit);
    }
}

fn draft(id: u64) -> Draft {
    Draft {
        id: EmergencyId::from_bits(id),
        idempotency_key: None,
        invoker: user("alice"),
        profile: profile("dev"),
        duration: Duration::from_secs(600),
        reason_code: ReasonCode::Incident,
        justification: "the orders database is down".into(),
        ticket: None,
        request_id: None,
        mfa: None,
    }
}

#[test]
fn what_was_written_is_there_after_opening_again() {
    let rules = Rules::new();
    let (_folder, path) = common::file();
    let clock = Arc::new(ManualClock::at(at(START)));
    let mut draft = draft(1);
    draft.profile = profile("factor");
    draft.mfa = Some(MfaProof {
        id: ProofId::new("phone:1").unwrap(),
        method: MfaMethod::Totp,
        user: draft.invoker.clone(),
        emergency: draft.id,
        verified_at: clock.now() - Duration::from_nanos(1),
    });
    let before = block_on(async {
        let database = Database::open(&path, &quick()).unwrap();
        let store = EmergencyStore::new(&database, clock.clone());
        let admission = rules.admission(&draft.profile);
        let emergency = store.create(&draft, &admission).await.unwrap();
        let close = Change::close(&rules.who, &draft.profile, &draft.invoker, "it is back");
        let emergency = store
            .update(emergency.id, emergency.updated_at, &close)
            .await
            .unwrap();
        let found = ReviewOutcome::Justified;
        let review = Change::review(&rules.who, &draft.profile, &user("carol"), found, "fine");
        store
            .update(emergency.id, emergency.updated_at, &review)
            .await
            .unwrap()
    });
    let database = Database::open(&path, &quick()).unwrap();
    let store = EmergencyStore::new(&database, clock);
    assert_eq!(block_on(store.get(draft.id)).unwrap(), before);
}

#[test]
fn versions_grow_over_opening_again_with_a_clock_that_stepped_back() {
    let rules = Rules::new();
    let (_folder, path) = common::file();
    let mut last = None;
    for round in 0..4 {
        let clock = ManualClock::at(at(START) - Duration::from_secs(3600 * round));
        let database = Database::open(&path, &quick()).unwrap();
        let store = EmergencyStore::new(&database, Arc::new(clock));
        let mut draft = draft(round);
        draft.invoker = user(["alice", "bob"][round as usize % 2]);
        draft.profile = profile(["dev", "other"][round as usize / 2]);
        let emergency = block_on(store.create(&draft, &rules.admission(&draft.profile))).unwrap();
        assert!(
            Some(emergency.updated_at) > last,
            "a version was issued twice"
        );
        last = Some(emergency.updated_at);
    }
}
