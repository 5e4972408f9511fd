//! What the tests of this crate share: a store with a clock that a test sets, and a cast.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_request::{
    ApprovalPolicy, Change, Clock, Draft, Error, InMemory, InMemorySync, ManualClock, NoSleep,
    Profile, Refusal, Request, RequestId, Retry, Status, Terms, User, Version, Workflow,
};

/// The approval rules of the tests: bob and carol for `prod`; alice and bob for `dev`, which is
/// also approved automatically for alice up to an hour; only alice for `solo`; one of bob and carol
/// and one of carol and alice for `pair`, up to two hours, decided within two hours and revoked by
/// alice; nobody for others.
pub const RULES: &str = r#"{"version": "1", "rules": [
    {"name": "production", "profiles": ["prod"], "approvers": ["bob", "carol"]},
    {"name": "development", "profiles": ["dev"], "approvers": ["alice", "bob"],
     "auto_approve": {"users": ["alice"], "max_duration": "1h"}},
    {"name": "lonely", "profiles": ["solo"], "approvers": ["alice"]},
    {"name": "pair", "profiles": ["pair"], "groups": [
        {"name": "one", "approvers": ["bob", "carol"]},
        {"name": "two", "approvers": ["carol", "alice"]}],
     "max_duration": "2h", "decide_within": "2h", "revokers": ["alice"]}]}"#;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const NANOSECOND: TimeDelta = TimeDelta::nanoseconds(1);
pub const WHY: &str = "migrate the orders table";

pub fn start() -> DateTime<Utc> {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

pub fn user(name: &str) -> User {
    User::new(name).unwrap()
}

pub fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

pub fn id(bits: u64) -> RequestId {
    RequestId::from_bits(bits)
}

pub fn rules(document: &str) -> ApprovalPolicy {
    document.parse().unwrap()
}

/// A draft of alice's for an hour of `prod`.
pub fn draft(bits: u64) -> Draft {
    Draft {
        id: id(bits),
        requester: user("alice"),
        profile: profile("prod"),
        duration: HOUR,
        justification: WHY.into(),
        ticket: None,
        policy: None,
        idempotency_key: None,
    }
}

/// Terms under which anybody may ask for anything: somebody can approve it.
pub fn terms(profile_name: &str) -> Terms {
    let anything = r#"{"version": "1", "rules": [{"name": "any", "approvers": ["one", "two"]}]}"#;
    Terms::of(&rules(anything), &profile(profile_name))
}

/// A store, its clock, and the approval rules.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub store: Arc<InMemory>,
    pub policy: ApprovalPolicy,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        Self {
            store: Arc::new(InMemory::new(clock.clone())),
            clock,
            policy: rules(RULES),
        }
    }

    /// A world with the pending request of [`draft`] under id 1.
    pub fn pending() -> (Self, Arc<Request>) {
        let world = Self::new();
        let request = world.create(&draft(1));
        (world, request)
    }

    /// A world with the same request, approved a minute after it was created.
    pub fn approved() -> (Self, Arc<Request>) {
        let (world, _) = Self::pending();
        world.clock.advance(Duration::from_secs(60));
        let request = world.change(1, &world.approve("bob")).unwrap();
        (world, request)
    }

    /// A world with the same request, brought to the status.
    pub fn with_status(status: Status) -> (Self, Arc<Request>) {
        let (world, pending) = Self::pending();
        let change = match status {
            Status::Pending => return (world, pending),
            Status::Approved | Status::Revoked | Status::Released => {
                return Self::approved_then(status);
            }
            Status::Denied => world.deny("bob"),
            Status::Cancelled => Change::cancel(&user("alice"), None),
            Status::Expired => {
                world.clock.set(pending.decide_by);
                Change::expire()
            }
            Status::Ended => {
                let to = world.clock.now();
                world.clock.advance(8 * HOUR);
                world.change(1, &world.approve("bob")).unwrap();
                world.clock.set(to);
                let note = Change::note(&user("bob"), "the clock was ahead");
                world.change(1, &note).unwrap();
                world.clock.advance(HOUR);
                Change::end_void()
            }
        };
        let request = world.change(1, &change).unwrap();
        assert_eq!(request.status, status);
        (world, request)
    }

    fn approved_then(status: Status) -> (Self, Arc<Request>) {
        let (world, mut request) = Self::approved();
        if status == Status::Revoked {
            request = world.change(1, &world.revoke("bob")).unwrap();
        }
        if status == Status::Released {
            let release = Change::release(&user("alice"), None);
            request = world.change(1, &release).unwrap();
        }
        (world, request)
    }

    /// Creates it under [`terms`]; what the rules of the profile say is not asked.
    pub fn create(&self, draft: &Draft) -> Arc<Request> {
        self.try_create(draft).unwrap()
    }

    /// The same, for what may fail.
    pub fn try_create(&self, draft: &Draft) -> Result<Arc<Request>, Error> {
        self.store
            .sync()
            .create(draft, &terms(draft.profile.as_str()))
    }

    pub fn get(&self, bits: u64) -> Arc<Request> {
        self.store.sync().get(id(bits)).unwrap()
    }

    pub fn approve(&self, by: &str) -> Change {
        Change::approve(&self.policy, &profile("prod"), &user(by), None)
    }

    pub fn deny(&self, by: &str) -> Change {
        Change::deny(&self.policy, &profile("prod"), &user(by), None)
    }

    pub fn revoke(&self, by: &str) -> Change {
        Change::revoke(&self.policy, &profile("prod"), &user(by), None)
    }

    /// Changes the request at the version it has; a failure must leave it as it was.
    pub fn change(&self, bits: u64, change: &Change) -> Result<Arc<Request>, Error> {
        let before = self.get(bits);
        self.update(bits, before.updated_at, change)
    }

    /// Makes a change that was made before, as a repeat of its idempotency key: nothing may change.
    pub fn change_again(&self, bits: u64, change: &Change) -> Arc<Request> {
        let before = self.get(bits);
        let told = self
            .store
            .sync()
            .update(id(bits), before.updated_at, change);
        assert_eq!(self.get(bits), before, "a repeat changed something");
        self.sound();
        told.unwrap()
    }

    /// Changes the request at a version; a failure must leave it as it was.
    pub fn update(
        &self,
        bits: u64,
        expected: Version,
        change: &Change,
    ) -> Result<Arc<Request>, Error> {
        let before = self.store.sync().get(id(bits)).ok();
        let result = self.store.sync().update(id(bits), expected, change);
        let after = self.store.sync().get(id(bits)).ok();
        match &result {
            Ok(changed) => {
                let kept = after
                    .as_ref()
                    .and_then(|after| after.as_of(changed.updated_at));
                assert_eq!(
                    kept.as_ref(),
                    Some(&**changed),
                    "the answer is what is kept"
                );
                let repeated = change.idempotency_key().is_some();
                assert!(repeated || after.as_ref() == Some(changed));
            }
            Err(error) => assert_eq!(before, after, "changed although it failed: {error}"),
        }
        self.sound();
        result
    }

    /// Deletes the request; a failure must leave it as it was.
    pub fn delete(&self, bits: u64) -> Result<(), Error> {
        let before = self.store.sync().get(id(bits)).ok();
        let result = self.store.sync().delete(id(bits), None).map(|was_there| {
            assert_eq!(was_there, before.is_some());
        });
        let after = self.store.sync().get(id(bits)).ok();
        match &result {
            Ok(()) => assert_eq!(after, None, "deleted and still there"),
            Err(error) => assert_eq!(before, after, "changed although it failed: {error}"),
        }
        self.sound();
        result
    }

    /// The change is refused, and nothing is changed.
    pub fn refusal(&self, bits: u64, change: &Change) -> Refusal {
        match self.change(bits, change) {
            Err(Error::Refused(refusal)) => refusal,
            other => panic!("not a refusal: {other:?}"),
        }
    }

    pub fn workflow(&self) -> Workflow {
        let policy = Arc::new(self.policy.clone());
        Workflow::new(self.store.clone(), policy)
            .with_retry(Retry::default().with_sleep(Arc::new(NoSleep)))
    }

    /// What the store says while the clock shows `at`. For reads: they are not remembered.
    pub fn at<T>(&self, at: DateTime<Utc>, read: impl FnOnce(InMemorySync<'_>) -> T) -> T {
        let before = self.clock.now();
        self.clock.set(at);
        let told = read(self.store.sync());
        self.clock.set(before);
        told
    }

    /// The request that gives access at a time: it is told of that time, and its grant is found
    /// while the clock shows it.
    pub fn access(&self, who: &str, what: &str, at: DateTime<Utc>) -> Option<Arc<Request>> {
        let (who, what) = (user(who), profile(what));
        let told = self.store.sync().access_at(&who, &what, None, at).unwrap();
        let found = self.at(at, |store| store.find_grant(&who, &what, None));
        let grant = told.as_ref().map(|request| request.grant(at).unwrap());
        assert_eq!(found.unwrap(), grant, "{who}, {what}, {at}");
        told
    }

    /// Records and indexes agree.
    pub fn sound(&self) {
        self.store.audit().unwrap();
    }
}
