//! Random changes at random times against a naive model that knows nothing of tables, indexes or
//! pure rules; and a crowd that decides one request at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_request::{
    Change, Draft, Error, InMemory, ManualClock, Page, Request, Status, Version,
};
use proptest::prelude::*;
use support::{World, draft, id, person, profile, start};

const NAMES: [&str; 4] = ["alice", "ALICE", "bob", "carol"];
const PROFILES: [&str; 3] = ["prod", "dev", "solo"];

/// One call, by the numbers of its request, people and profile.
#[derive(Debug, Clone)]
enum Call {
    Create(u64, usize, usize, u64),
    Approve(u64, usize),
    ApproveByRule(u64),
    Deny(u64, usize),
    Cancel(u64, usize),
    Revoke(u64, usize),
    Expire(u64),
    Note(u64, usize),
    Delete(u64),
    Forward(u64),
    Back(u64),
}

fn calls() -> impl Strategy<Value = Vec<(Call, bool)>> {
    let (id, name) = (1_u64..4, 0..NAMES.len());
    let on = || (id.clone(), name.clone());
    let call = prop_oneof![
        4 => (id.clone(), name.clone(), 0..PROFILES.len(), 1_u64..4)
            .prop_map(|(id, name, profile, hours)| Call::Create(id, name, profile, hours)),
        4 => on().prop_map(|(id, name)| Call::Approve(id, name)),
        1 => id.clone().prop_map(Call::ApproveByRule),
        2 => on().prop_map(|(id, name)| Call::Deny(id, name)),
        1 => on().prop_map(|(id, name)| Call::Cancel(id, name)),
        2 => on().prop_map(|(id, name)| Call::Revoke(id, name)),
        2 => id.clone().prop_map(Call::Expire),
        1 => on().prop_map(|(id, name)| Call::Note(id, name)),
        2 => id.clone().prop_map(Call::Delete),
        4 => prop_oneof![Just(1), Just(1800), Just(3600), Just(86_400), 1_u64..100_000]
            .prop_map(Call::Forward),
        1 => (1_u64..100_000).prop_map(Call::Back),
    ];
    // One call in eight is made with a version that is no longer the record's.
    prop::collection::vec((call, prop::bool::weighted(0.875)), 1..60)
}

/// What the model remembers of a request.
#[derive(Debug, Clone)]
struct Remembered {
    requester: &'static str,
    profile: &'static str,
    hours: u64,
    created: i64,
    status: Status,
    until: Option<i64>,
    version: i64,
    entries: usize,
}

/// The naive model: times in nanoseconds, one call after the other.
#[derive(Debug, Default)]
struct Model {
    requests: BTreeMap<u64, Remembered>,
    last: i64,
}

const HOUR: i64 = 3_600_000_000_000;

fn same_person(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn approvers(profile: &str) -> &'static [&'static str] {
    match profile {
        "prod" => &["bob", "carol"],
        "dev" => &["alice", "bob"],
        _ => &["alice"],
    }
}

impl Model {
    /// Whether the call succeeds at the clock's time, and if so does it.
    fn call(&mut self, call: &Call, fresh: bool, clock: i64) -> bool {
        let at = clock.max(self.last + 1);
        let done = match *call {
            Call::Create(id, name, profile, hours) => {
                if self.requests.contains_key(&id) {
                    return false;
                }
                let request = Remembered {
                    requester: NAMES[name],
                    profile: PROFILES[profile],
                    hours,
                    created: at,
                    status: Status::Pending,
                    until: None,
                    version: at,
                    entries: 1,
                };
                self.requests.insert(id, request);
                true
            }
            Call::Delete(id) => {
                let Some(request) = self.requests.get(&id) else {
                    return true; // nothing was written, so no version is used up
                };
                let over = match request.status {
                    Status::Pending => false,
                    Status::Approved => request.until.unwrap() <= at,
                    _ => true,
                };
                if over {
                    self.requests.remove(&id);
                }
                over
            }
            Call::Approve(id, _)
            | Call::ApproveByRule(id)
            | Call::Deny(id, _)
            | Call::Cancel(id, _)
            | Call::Revoke(id, _)
            | Call::Expire(id)
            | Call::Note(id, _) => self.requests.get_mut(&id).is_some_and(|request| {
                let done = fresh && request.change(call, at);
                if done {
                    (request.version, request.entries) = (at, request.entries + 1);
                }
                done
            }),
            Call::Forward(_) | Call::Back(_) => return true,
        };
        if done {
            self.last = at;
        }
        done
    }
}

impl Remembered {
    fn change(&mut self, call: &Call, at: i64) -> bool {
        let pending = self.status == Status::Pending;
        let in_time = at < self.created + 24 * HOUR;
        let names = |name: usize| approvers(self.profile).contains(&NAMES[name]);
        let (done, status) = match *call {
            Call::Approve(_, by) => {
                let other = !same_person(NAMES[by], self.requester);
                (pending && in_time && other && names(by), Status::Approved)
            }
            Call::ApproveByRule(_) => {
                let rule = self.profile == "dev" && self.requester == "alice" && self.hours <= 1;
                (pending && in_time && rule, Status::Approved)
            }
            Call::Deny(_, by) => (pending && in_time && names(by), Status::Denied),
            Call::Cancel(_, by) => (pending && NAMES[by] == self.requester, Status::Cancelled),
            Call::Revoke(_, by) => {
                let access = self.status == Status::Approved && at < self.until.unwrap();
                (access && names(by), Status::Revoked)
            }
            Call::Expire(_) => (pending && !in_time, Status::Expired),
            _ => (true, self.status),
        };
        if done {
            if status == Status::Approved && pending {
                self.until = Some(at + i64::try_from(self.hours).unwrap() * HOUR);
            }
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
        assert_eq!(nanos(request.created_at), self.created);
        assert_eq!(nanos(request.decide_by), self.created + 24 * HOUR);
        assert_eq!(request.status, self.status);
        assert_eq!(request.access_until.map(nanos), self.until);
        assert_eq!(request.updated_at.as_nanos(), self.version);
        assert_eq!(request.history.len(), self.entries);
        let mut last = None;
        for entry in &request.history {
            assert_eq!(entry.from, last, "each entry follows the one before");
            assert!(Some(entry.to) > last);
            last = Some(entry.to);
        }
        assert_eq!(last, Some(request.updated_at));
    }
}

fn nanos(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap()
}

fn make(world: &World, call: &Call, profile_name: &str) -> Option<Change> {
    let (policy, profile) = (&world.policy, profile(profile_name));
    Some(match *call {
        Call::Approve(_, by) => Change::approve(policy, &profile, &person(NAMES[by]), None),
        Call::ApproveByRule(_) => Change::approve_by_rule(policy, &profile),
        Call::Deny(_, by) => Change::deny(policy, &profile, &person(NAMES[by]), None),
        Call::Cancel(_, by) => Change::cancel(&person(NAMES[by]), None),
        Call::Revoke(_, by) => Change::revoke(policy, &profile, &person(NAMES[by]), None),
        Call::Expire(_) => Change::expire(),
        Call::Note(_, by) => Change::note(&person(NAMES[by]), "seen"),
        _ => return None,
    })
}

/// Makes the call on the store; whether it succeeded.
fn call(world: &World, call: &Call, fresh: bool) -> bool {
    match *call {
        Call::Create(bits, name, name_of_profile, hours) => {
            let draft = Draft {
                requester: person(NAMES[name]),
                profile: profile(PROFILES[name_of_profile]),
                duration: Duration::from_secs(hours * 3600),
                ..draft(bits)
            };
            world.try_create(&draft).is_ok()
        }
        Call::Delete(bits) => world.delete(bits).is_ok(),
        Call::Forward(seconds) => {
            world.clock.advance(Duration::from_secs(seconds));
            true
        }
        Call::Back(seconds) => {
            world.clock.step_back(Duration::from_secs(seconds));
            true
        }
        Call::Approve(bits, _)
        | Call::ApproveByRule(bits)
        | Call::Deny(bits, _)
        | Call::Cancel(bits, _)
        | Call::Revoke(bits, _)
        | Call::Expire(bits)
        | Call::Note(bits, _) => {
            let Ok(current) = world.store.sync().get(id(bits)) else {
                let change = Change::expire();
                let absent = world.update(bits, Version::from_nanos(0), &change);
                assert!(matches!(absent, Err(Error::NotFound { .. })));
                return false;
            };
            let change = make(world, call, current.profile.as_str()).unwrap();
            let version = if fresh {
                current.updated_at
            } else {
                Version::from_nanos(current.updated_at.as_nanos() - 1)
            };
            world.update(bits, version, &change).is_ok()
        }
    }
}

/// Lists and grants are what a walk over all remembered requests gives.
fn lookups_agree(world: &World, model: &Model) {
    let sync = world.store.sync();
    let listed = |filter| -> Vec<u64> {
        let listing = sync.list(&filter, Page::default()).unwrap();
        listing.items.iter().map(|r| r.id.to_bits()).collect()
    };
    let walked = |keep: &dyn Fn(&Remembered) -> bool| -> Vec<u64> {
        let mut kept: Vec<_> = model.requests.iter().filter(|(_, r)| keep(r)).collect();
        kept.sort_by_key(|(_, request)| -request.created);
        kept.into_iter().map(|(id, _)| *id).collect()
    };
    for status in Status::ALL {
        assert_eq!(listed(status.into()), walked(&|r| r.status == status));
    }
    for who in NAMES {
        assert_eq!(listed(person(who).into()), walked(&|r| r.requester == who));
        for what in PROFILES {
            let at = model.last;
            let time = DateTime::from_timestamp_nanos(at);
            let found = sync
                .find_grant(&person(who), &profile(what), None, time)
                .unwrap();
            let open = |r: &&Remembered| {
                (r.requester, r.profile, r.status) == (who, what, Status::Approved)
                    && r.until > Some(at)
            };
            let longest = model.requests.values().filter(open).map(|r| r.until).max();
            assert_eq!(found.map(|r| r.access_until.map(nanos)), longest);
        }
    }
    for what in PROFILES {
        assert_eq!(listed(profile(what).into()), walked(&|r| r.profile == what));
    }
    let now = DateTime::from_timestamp_nanos(model.last);
    let due: Vec<u64> = sync
        .due(now, 0)
        .unwrap()
        .iter()
        .map(|r| r.id.to_bits())
        .collect();
    let mut expected =
        walked(&|r| r.status == Status::Pending && r.created + 24 * HOUR <= model.last);
    expected.reverse();
    assert_eq!(due, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_does_what_a_naive_model_does(calls in calls()) {
        let world = World::new();
        let mut model = Model::default();
        let mut clock = nanos(start());
        for (number, (made, fresh)) in calls.iter().enumerate() {
            match made {
                Call::Forward(seconds) => clock += i64::try_from(*seconds).unwrap() * 1_000_000_000,
                Call::Back(seconds) => clock -= i64::try_from(*seconds).unwrap() * 1_000_000_000,
                _ => {}
            }
            let expected = model.call(made, *fresh, clock);
            prop_assert_eq!(call(&world, made, *fresh), expected, "call {}: {:?}", number, made);
            for bits in 1..4 {
                match (model.requests.get(&bits), world.store.sync().get(id(bits))) {
                    (Some(remembered), Ok(request)) => remembered.agrees(&request),
                    (None, Err(Error::NotFound { .. })) => {}
                    (remembered, stored) => prop_assert!(false, "{:?} {:?}", remembered, stored),
                }
            }
            world.sound();
            lookups_agree(&world, &model);
        }
    }

    #[test]
    fn a_record_goes_through_serde_and_back(calls in calls()) {
        let world = World::new();
        for (made, fresh) in &calls {
            call(&world, made, *fresh);
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
            let (workflow, barrier, by) = (workflow.clone(), barrier.clone(), person(name));
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
