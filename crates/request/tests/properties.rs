//! Random changes at random times, by clocks that go back and ahead, against a naive model that knows
//! nothing of tables, indexes or pure rules; and a crowd that decides one request at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;
#[path = "support/time.rs"]
mod time;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_request::{
    Change, Draft, Error, Filter, IdempotencyKey, InMemory, ManualClock, Page, Request, Status,
    Terms, Version,
};
use proptest::prelude::*;
use support::{World, draft, id, profile, start, user};
use time::Time;

const NAMES: [&str; 4] = ["alice", "ALICE", "bob", "carol"];
const PROFILES: [&str; 4] = ["prod", "dev", "solo", "pair"];

/// One call, by the numbers of its request, people and profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Create(u64, usize, usize, u64),
    Approve(u64, usize),
    ApproveByRule(u64),
    Deny(u64, usize),
    Cancel(u64, usize),
    Revoke(u64, usize),
    Release(u64, usize),
    Expire(u64),
    EndVoid(u64),
    Note(u64, usize),
    Delete(u64),
    Forward(u64),
    Back(u64),
}

/// A call, whether it is made with the version that the record has, and its operation.
type Made = (Call, bool, Option<u64>);

fn calls() -> impl Strategy<Value = Vec<Made>> {
    let (id, name) = (1_u64..4, 0..NAMES.len());
    let on = || (id.clone(), name.clone());
    let call = prop_oneof![
        4 => (id.clone(), name.clone(), 0..PROFILES.len(), 1_u64..4)
            .prop_map(|(id, name, profile, hours)| Call::Create(id, name, profile, hours)),
        6 => on().prop_map(|(id, name)| Call::Approve(id, name)),
        1 => id.clone().prop_map(Call::ApproveByRule),
        2 => on().prop_map(|(id, name)| Call::Deny(id, name)),
        1 => on().prop_map(|(id, name)| Call::Cancel(id, name)),
        2 => on().prop_map(|(id, name)| Call::Revoke(id, name)),
        1 => on().prop_map(|(id, name)| Call::Release(id, name)),
        2 => id.clone().prop_map(Call::Expire),
        1 => id.clone().prop_map(Call::EndVoid),
        1 => on().prop_map(|(id, name)| Call::Note(id, name)),
        2 => id.clone().prop_map(Call::Delete),
        4 => prop_oneof![Just(1), Just(1800), Just(3600), Just(86_400), 1_u64..100_000]
            .prop_map(Call::Forward),
        2 => prop_oneof![1_u64..100, Just(3600), 1_u64..100_000].prop_map(Call::Back),
    ];
    // One call in eight is made with a version that is no longer the record's; one in three is an
    // operation, of which some are the same and some are not.
    let idempotency_key = prop::option::weighted(0.33, 0_u64..4);
    let made = (call, prop::bool::weighted(0.875), idempotency_key);
    prop::collection::vec(made, 1..40).prop_flat_map(|calls| {
        // Each may come once more, at once.
        let count = calls.len();
        (
            Just(calls),
            prop::collection::vec(prop::bool::weighted(0.2), count),
        )
            .prop_map(|(calls, again)| {
                let twice = calls.into_iter().zip(again);
                twice
                    .flat_map(|(call, again)| std::iter::repeat_n(call, 1 + usize::from(again)))
                    .collect()
            })
    })
}

/// What the model remembers of a request.
#[derive(Debug, Clone)]
struct Remembered {
    requester: &'static str,
    profile: &'static str,
    hours: u64,
    /// Its first version, and when that was.
    created: i64,
    created_at: i64,
    decide_by: i64,
    status: Status,
    approvals: Vec<&'static str>,
    /// When access was granted, and the version of that.
    granted: Option<(i64, i64)>,
    until: Option<i64>,
    ended: Option<i64>,
    /// Every version it had, with the operation that made it.
    versions: Vec<(i64, Option<(u64, Call)>)>,
}

/// The naive model: times in nanoseconds, one call after the other.
#[derive(Debug, Default)]
struct Model {
    requests: BTreeMap<u64, Remembered>,
    time: Time,
}

const HOUR: i64 = 3_600_000_000_000;

fn same_user(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn approvers(profile: &str) -> &'static [&'static str] {
    match profile {
        "prod" => &["bob", "carol"],
        "dev" => &["alice", "bob"],
        "pair" => &["bob", "carol", "alice"],
        _ => &["alice"],
    }
}

/// Whether these people are enough; the requester is not among them.
fn are_enough(profile: &str, people: &[&str]) -> bool {
    let has = |name: &str| people.contains(&name);
    match profile {
        "pair" => {
            let pairs = [("bob", "carol"), ("bob", "alice"), ("carol", "alice")];
            pairs.iter().any(|(one, two)| has(one) && has(two))
        }
        _ => approvers(profile).iter().any(|name| has(name)),
    }
}

fn is_automatic(requester: &str, profile: &str, hours: u64) -> bool {
    profile == "dev" && requester == "alice" && hours <= 1
}

/// The version that a call gave; none if it failed, 0 if it gives none.
type Answer = Option<i64>;

impl Model {
    /// What time it is while the clock shows this, and would be after a step.
    fn step(&self, clock: i64) -> Time {
        self.time.step(DateTime::from_timestamp_nanos(clock))
    }

    /// Makes the call at the clock's time.
    fn call(&mut self, (call, fresh, idempotency_key): Made, clock: i64) -> Answer {
        if let Some(idempotency_key) = idempotency_key.filter(|_| call.is_of_an_operation()) {
            for request in self.requests.values() {
                for (version, made_by) in &request.versions {
                    if let Some((known, made)) = made_by {
                        if *known == idempotency_key {
                            return (*made == call).then_some(*version);
                        }
                    }
                }
            }
        }
        let step = self.step(clock);
        let (at, version) = (nanos(step.at()), step.version.unwrap());
        let made_by = idempotency_key.map(|idempotency_key| (idempotency_key, call));
        let done = match call {
            Call::Create(id, name, profile, hours) => {
                let (requester, profile) = (NAMES[name], PROFILES[profile]);
                let mut others = approvers(profile).to_vec();
                others.retain(|approver| !same_user(approver, requester));
                let possible =
                    are_enough(profile, &others) || is_automatic(requester, profile, hours);
                let too_long = profile == "pair" && hours > 2;
                let taken = self.requests.contains_key(&id);
                if taken {
                    return None;
                }
                if !possible || too_long || step.granting().is_err() {
                    self.time.notice(&step);
                    return None;
                }
                let request = Remembered {
                    requester,
                    profile,
                    hours,
                    created: version,
                    created_at: at,
                    decide_by: at
                        + if profile == "pair" {
                            2 * HOUR
                        } else {
                            24 * HOUR
                        },
                    status: Status::Pending,
                    approvals: Vec::new(),
                    granted: None,
                    until: None,
                    ended: None,
                    versions: vec![(version, made_by)],
                };
                self.requests.insert(id, request);
                true
            }
            Call::Delete(id) => {
                let Some(request) = self.requests.get(&id) else {
                    return Some(0); // nothing was written, so no version is used up
                };
                let waits = step.granting().is_err() || step.deletes_from().is_some();
                if !request.is_over(&step) || waits {
                    self.time.notice(&step);
                    return None;
                }
                self.requests.remove(&id);
                self.time = step;
                return Some(0);
            }
            Call::Approve(id, _)
            | Call::ApproveByRule(id)
            | Call::Deny(id, _)
            | Call::Cancel(id, _)
            | Call::Revoke(id, _)
            | Call::Release(id, _)
            | Call::Expire(id)
            | Call::EndVoid(id)
            | Call::Note(id, _) => self.requests.get_mut(&id).is_some_and(|request| {
                let done = fresh && request.change(call, &step);
                if fresh && !done {
                    self.time.notice(&step);
                }
                if done {
                    request.versions.push((version, made_by));
                }
                done
            }),
            Call::Forward(_) | Call::Back(_) => return Some(0),
        };
        if done {
            self.time = step;
        }
        done.then_some(version)
    }
}

impl Call {
    fn is_of_an_operation(self) -> bool {
        !matches!(self, Call::Delete(_) | Call::Forward(_) | Call::Back(_))
    }
}

impl Remembered {
    /// Whether a correction has ended its access for good.
    fn is_void(&self, now: &Time) -> bool {
        let at = nanos(now.at());
        self.status == Status::Approved
            && self.granted.is_some_and(|(from, version)| {
                let from = DateTime::from_timestamp_nanos(from);
                now.has_ended(from, Version::from_nanos(version))
            })
            && self.until > Some(at)
    }

    fn is_over(&self, now: &Time) -> bool {
        let by_time = self.ended.is_some_and(|ended| ended <= nanos(now.at()));
        match self.status {
            Status::Pending => false,
            Status::Approved => by_time || self.is_void(now),
            _ => true,
        }
    }

    fn gives_access(&self, now: &Time) -> bool {
        let at = nanos(now.at());
        self.status == Status::Approved
            && self.granted.is_some_and(|(from, _)| from <= at)
            && self.until > Some(at)
            && !self.is_void(now)
    }

    fn is_due(&self, now: &Time) -> bool {
        let at = nanos(now.at());
        self.status == Status::Pending && (self.decide_by <= at || self.created_at > at)
    }

    fn change(&mut self, call: Call, now: &Time) -> bool {
        let at = nanos(now.at());
        let pending = self.status == Status::Pending;
        let in_time = at < self.decide_by;
        let grantable = in_time && self.created_at <= at && now.granting().is_ok();
        let access = self.status == Status::Approved && at < self.until.unwrap();
        let names = |name: usize| approvers(self.profile).contains(&NAMES[name]);
        let (done, status) = match call {
            Call::Approve(_, by) => {
                let by_name = NAMES[by];
                let another = !same_user(by_name, self.requester);
                let again = self.approvals.iter().any(|name| same_user(name, by_name));
                let done = pending && grantable && another && names(by) && !again;
                if done {
                    self.approvals.push(by_name);
                }
                let enough = are_enough(self.profile, &self.approvals);
                (
                    done,
                    if enough {
                        Status::Approved
                    } else {
                        self.status
                    },
                )
            }
            Call::ApproveByRule(_) => {
                let rule = is_automatic(self.requester, self.profile, self.hours);
                let done = pending && grantable && rule;
                if done {
                    self.approvals.push("development");
                }
                (done, Status::Approved)
            }
            Call::Deny(_, by) => (pending && in_time && names(by), Status::Denied),
            Call::Cancel(_, by) => (pending && NAMES[by] == self.requester, Status::Cancelled),
            Call::Revoke(_, by) => {
                let may = if self.profile == "pair" {
                    NAMES[by] == "alice"
                } else {
                    names(by)
                };
                (access && may, Status::Revoked)
            }
            Call::Release(_, by) => (access && NAMES[by] == self.requester, Status::Released),
            Call::Expire(_) => (self.is_due(now), Status::Expired),
            Call::EndVoid(_) => (self.is_void(now), Status::Ended),
            _ => (true, self.status),
        };
        if done && status != self.status {
            self.ended = Some(match status {
                Status::Approved => {
                    let until = at + i64::try_from(self.hours).unwrap() * HOUR;
                    self.until = Some(until);
                    self.granted = Some((at, now.version.unwrap()));
                    until
                }
                Status::Expired => self.decide_by.min(at),
                _ => at,
            });
            self.status = status;
        }
        done
    }

    /// The stored request is what the model remembers.
    fn agrees(&self, request: &Request) {
        assert_eq!(request.requester.as_str(), self.requester);
        assert_eq!(request.profile.as_str(), self.profile);
        assert_eq!(request.duration, Duration::from_secs(self.hours * 3600));
        assert_eq!(&*request.justification, support::WHY);
        assert_eq!(request.created.as_nanos(), self.created);
        assert_eq!(nanos(request.created_at), self.created_at);
        assert_eq!(nanos(request.decide_by), self.decide_by);
        assert_eq!(request.status, self.status);
        assert_eq!(request.access_until.map(nanos), self.until);
        assert_eq!(request.ended_at().map(nanos), self.ended);
        let by = |approval: &countersign_request::Approval| match &approval.by {
            countersign_request::GrantedBy::User(user) => user.to_string(),
            countersign_request::GrantedBy::Rule(rule) => rule.to_string(),
        };
        let approvals: Vec<_> = request.approvals.iter().map(by).collect();
        assert_eq!(approvals, self.approvals);
        let granted = request.approval.as_ref();
        let granted = granted.map(|given| (nanos(given.at), given.version.as_nanos()));
        assert_eq!(granted, self.granted);
        let complete = self.until.and(request.approvals.last());
        assert_eq!(request.approval.as_ref(), complete);
        let mut last = None;
        for (entry, (version, made_by)) in request.history.iter().zip(&self.versions) {
            assert_eq!(entry.from, last, "each entry follows the one before");
            assert_eq!(entry.to.as_nanos(), *version);
            let idempotency_key = entry.idempotency_key.map(IdempotencyKey::to_bits);
            assert_eq!(
                idempotency_key,
                made_by.map(|(idempotency_key, _)| idempotency_key)
            );
            last = Some(entry.to);
        }
        assert_eq!(request.history.len(), self.versions.len());
        assert_eq!(last, Some(request.updated_at));
    }
}

fn nanos(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap()
}

fn make(world: &World, call: Call, profile_name: &str) -> Change {
    let (policy, profile) = (&world.policy, profile(profile_name));
    match call {
        Call::Approve(_, by) => Change::approve(policy, &profile, &user(NAMES[by]), None),
        Call::ApproveByRule(_) => Change::approve_by_rule(policy, &profile),
        Call::Deny(_, by) => Change::deny(policy, &profile, &user(NAMES[by]), None),
        Call::Cancel(_, by) => Change::cancel(&user(NAMES[by]), None),
        Call::Revoke(_, by) => Change::revoke(policy, &profile, &user(NAMES[by]), None),
        Call::Release(_, by) => Change::release(&user(NAMES[by]), None),
        Call::Note(_, by) => Change::note(&user(NAMES[by]), "seen"),
        Call::EndVoid(_) => Change::end_void(),
        _ => Change::expire(),
    }
}

/// Makes the call on the store.
fn call(world: &World, (call, fresh, idempotency_key): Made) -> Option<Option<Arc<Request>>> {
    let idempotency_key = idempotency_key.map(IdempotencyKey::from_bits);
    match call {
        Call::Create(bits, name, name_of_profile, hours) => {
            let draft = Draft {
                requester: user(NAMES[name]),
                profile: profile(PROFILES[name_of_profile]),
                duration: Duration::from_secs(hours * 3600),
                idempotency_key,
                ..draft(bits)
            };
            let terms = Terms::of(&world.policy, &draft.profile);
            world.store.sync().create(&draft, &terms).ok().map(Some)
        }
        Call::Delete(bits) => world.delete(bits).ok().map(|()| None),
        Call::Forward(seconds) => {
            world.clock.advance(Duration::from_secs(seconds));
            Some(None)
        }
        Call::Back(seconds) => {
            world.clock.step_back(Duration::from_secs(seconds));
            Some(None)
        }
        Call::Approve(bits, _)
        | Call::ApproveByRule(bits)
        | Call::Deny(bits, _)
        | Call::Cancel(bits, _)
        | Call::Revoke(bits, _)
        | Call::Release(bits, _)
        | Call::Expire(bits)
        | Call::EndVoid(bits)
        | Call::Note(bits, _) => {
            let current = world.store.sync().get(id(bits)).ok();
            let what = current
                .as_ref()
                .map_or("prod", |current| current.profile.as_str());
            let mut change = make(world, call, what);
            if let Some(idempotency_key) = idempotency_key {
                change = change.with_idempotency_key(idempotency_key);
            }
            let version = current.as_ref().map_or(0, |now| now.updated_at.as_nanos());
            let version = Version::from_nanos(version - i64::from(!fresh));
            let result = world.update(bits, version, &change);
            if current.is_none() {
                let absent = matches!(
                    result,
                    Err(Error::NotFound { .. } | Error::IdempotencyKeyReused { .. })
                );
                assert!(absent, "{result:?}");
            }
            result.ok().map(Some)
        }
    }
}

/// Lists and grants are what a walk over all remembered requests gives.
fn lookups_agree(world: &World, model: &mut Model, clock: i64) {
    let sync = world.store.sync();
    let bits = |items: Vec<Arc<Request>>| -> Vec<u64> {
        items.iter().map(|request| request.id.to_bits()).collect()
    };
    let listed = |filter: Filter| bits(sync.list(&filter, Page::default()).unwrap().items);
    let walked = |order: &dyn Fn(&Remembered) -> (bool, i64),
                  keep: &dyn Fn(&Remembered) -> bool| {
        let mut kept: Vec<_> = model.requests.iter().filter(|(_, r)| keep(r)).collect();
        kept.sort_by_key(|(id, request)| (order(request), **id));
        kept.into_iter().map(|(id, _)| *id).collect::<Vec<u64>>()
    };
    let newest_first = |r: &Remembered| (false, -r.created);
    let now = model.step(clock);
    if now.has_corrected(&model.time) {
        model.time.notice(&now);
    }
    let model = &*model;
    for status in Status::ALL {
        assert_eq!(
            listed(status.into()),
            walked(&newest_first, &|r| r.status == status)
        );
    }
    for who in NAMES {
        assert_eq!(
            listed(user(who).into()),
            walked(&newest_first, &|r| r.requester == who)
        );
        for what in PROFILES {
            let found = sync.find_grant(&user(who), &profile(what), None);
            let gives =
                |r: &&Remembered| (r.requester, r.profile) == (who, what) && r.gives_access(&now);
            let longest = model.requests.values().filter(gives).map(|r| r.until).max();
            match now.granting() {
                Ok(()) => assert_eq!(found.unwrap().map(|r| Some(nanos(r.until))), longest),
                Err(doubt) => assert!(matches!(found, Err(Error::Clock(told)) if told == doubt)),
            }
        }
        let ends = |r: &Remembered| match r.status {
            Status::Pending => Some(r.decide_by),
            Status::Approved => r.until,
            _ => None,
        };
        let open = sync.list_open(&user(who), Page::default()).unwrap().items;
        let waits = |r: &Remembered| r.status == Status::Pending && !r.is_due(&now);
        let expected = walked(&|r| (false, -ends(r).unwrap_or(0)), &|r| {
            r.requester == who && (waits(r) || r.gives_access(&now))
        });
        assert_eq!(bits(open), expected, "open for {who}");
    }
    for what in PROFILES {
        assert_eq!(
            listed(profile(what).into()),
            walked(&newest_first, &|r| r.profile == what)
        );
    }
    let pending = |r: &Remembered| r.status == Status::Pending;
    let due = sync.list_expirable(0).unwrap();
    let expected = walked(
        &|r| (r.until.is_some(), r.until.unwrap_or(r.decide_by)),
        &|r| r.is_due(&now) || r.is_void(&now),
    );
    assert_eq!(bits(due), expected);
    let waiting = |profiles: Option<&BTreeSet<_>>| {
        bits(sync.list_pending(profiles, Page::default()).unwrap().items)
    };
    assert_eq!(waiting(None), walked(&|r| (false, r.created), &pending));
    let two = ["pair", "dev"].map(profile).into();
    let expected = walked(&|r| (false, r.created), &|r| {
        pending(r) && matches!(r.profile, "pair" | "dev")
    });
    assert_eq!(waiting(Some(&two)), expected);
    for time in [now.at(), now.at() + Duration::from_secs(5_000)] {
        let ended = sync.list_ended(time, 0).unwrap();
        let expected = walked(&|r| (false, r.ended.unwrap_or(0)), &|r| {
            r.ended.is_some_and(|ended| {
                let ended = DateTime::from_timestamp_nanos(ended);
                match r.is_over(&now) {
                    true => now.moment(ended) < time,
                    false => ended < time,
                }
            })
        });
        assert_eq!(bits(ended), expected);
    }
    let mut expected: Vec<i64> = Vec::new();
    for request in model.requests.values() {
        expected.extend(request.versions.iter().map(|(version, _)| version));
    }
    expected.sort_unstable();
    let changes = sync.changes_after(None, 0).unwrap();
    let changes: Vec<_> = changes
        .iter()
        .map(|changed| changed.version.as_nanos())
        .collect();
    assert_eq!(changes, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_does_what_a_naive_model_does(calls in calls()) {
        let world = World::new();
        let mut model = Model::default();
        let mut clock = nanos(start());
        // What each version was when it was made.
        let mut results = BTreeMap::<(u64, i64), Arc<Request>>::new();
        for (number, made) in calls.iter().enumerate() {
            match made.0 {
                Call::Forward(seconds) => clock += i64::try_from(seconds).unwrap() * 1_000_000_000,
                Call::Back(seconds) => clock -= i64::try_from(seconds).unwrap() * 1_000_000_000,
                _ => {}
            }
            let expected = model.call(*made, clock);
            let result = call(&world, *made);
            let version = result.as_ref().map(|request| {
                request.as_ref().map_or(0, |request| request.updated_at.as_nanos())
            });
            prop_assert_eq!(version, expected, "call {}: {:?}", number, made);
            if let Some(Some(request)) = result {
                let key = (request.id.to_bits(), request.updated_at.as_nanos());
                // A repeat gives what the first call gave.
                let first = results.entry(key).or_insert_with(|| request.clone());
                prop_assert_eq!(&*first, &request);
            }
            for bits in 1..4 {
                match (model.requests.get(&bits), world.store.sync().get(id(bits))) {
                    (Some(remembered), Ok(request)) => {
                        remembered.agrees(&request);
                        for (version, _) in &remembered.versions {
                            let past = request.as_of(Version::from_nanos(*version));
                            prop_assert_eq!(past.as_ref(), Some(&*results[&(bits, *version)]));
                        }
                    }
                    (None, Err(Error::NotFound { .. })) => {}
                    (remembered, stored) => prop_assert!(false, "{:?} {:?}", remembered, stored),
                }
            }
            world.sound();
            lookups_agree(&world, &mut model, clock);
        }
    }

    #[test]
    fn a_record_goes_through_serde_and_back(calls in calls()) {
        let world = World::new();
        for made in &calls {
            call(&world, *made);
        }
        for bits in 1..4 {
            if let Ok(request) = world.store.sync().get(id(bits)) {
                let written = serde_json::to_string(&*request).unwrap();
                prop_assert_eq!(serde_json::from_str::<Request>(&written).unwrap(), (*request).clone());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_crowd_that_decides_at_once_exactly_one_wins() {
    const EACH: usize = 25;
    for round in 0..20 {
        let clock = Arc::new(ManualClock::at(start()));
        let names: Vec<String> = (0..2 * EACH).map(|n| format!("approver-{n}")).collect();
        let document =
            serde_json::json!({"version": "1", "rules": [{"name": "all", "approvers": names}]});
        let world = World {
            store: Arc::new(InMemory::new(clock.clone())),
            clock,
            policy: support::rules(&document.to_string()),
        };
        world.create(&draft(1));
        let workflow = world.workflow();
        let barrier = Arc::new(tokio::sync::Barrier::new(2 * EACH));
        let (approved, denied) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let told = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let (workflow, barrier, by) = (workflow.clone(), barrier.clone(), user(name));
            let (approved, denied, told) = (approved.clone(), denied.clone(), told.clone());
            tasks.push(tokio::spawn(async move {
                barrier.wait().await;
                let (result, won) = if number % 2 == 0 {
                    (workflow.approve(id(1), &by, None).await, approved)
                } else {
                    (workflow.deny(id(1), &by, None).await, denied)
                };
                match result {
                    Ok(_) => won.fetch_add(1, Ordering::Relaxed),
                    Err(Error::InvalidTransition { .. }) => told.fetch_add(1, Ordering::Relaxed),
                    Err(other) => panic!("{other}"),
                };
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let (approved, denied) = (
            approved.load(Ordering::Relaxed),
            denied.load(Ordering::Relaxed),
        );
        assert_eq!(
            (approved + denied, told.load(Ordering::Relaxed)),
            (1, 2 * EACH - 1),
            "round {round}"
        );
        let request = world.get(1);
        assert_eq!(request.history.len(), 2);
        let status = if approved == 1 {
            Status::Approved
        } else {
            Status::Denied
        };
        assert_eq!(request.status, status);
        world.sound();
    }
}
