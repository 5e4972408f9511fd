//! A store of requests as one caller would see it, written without table, lock or index.
//!
//! The rules themselves are pure functions, and the specification calls the same ones, but for those
//! of time, which it has of its own (`support/time.rs`); what it shows is whether a store that is
//! called by several callers answers as if they took turns. Models (`loom.rs`) and recorded
//! histories (`linearizability.rs`) are checked against it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_request::*;

pub use naive::Naive;

mod naive;
#[path = "../support/time.rs"]
mod time;

/// What the clock shows at first, in nanoseconds.
pub const START: i64 = 1_772_442_000_000_001_000;
pub const HOUR: Duration = Duration::from_secs(3600);
/// Requests with the ids 1 and 2 are those of user 0, 3 and 4 those of user 1, and so on.
pub const PEOPLE: usize = 5;
pub const IDS: u64 = 2 * PEOPLE as u64;
/// A request of the last user: for a profile that two groups must approve. Bob is in both and
/// counts for one, Carol is in the second. The other users' are for a profile that either of
/// them approves.
pub const GROUPED: u64 = IDS;
/// A request for a profile whose rule approves by itself what its user asks for.
pub const AUTOMATIC: u64 = 7;
/// A request of a user whose access ends with the policy [`OWN`], and another of the same user
/// for the same profile, made under another rule, whose access ends with none and lasts longer.
pub const PINNED: u64 = 5;
pub const FREE: u64 = 6;
/// The policy under which both were asked for, and another.
pub const OWN: u8 = 1;
pub const OTHER: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Create(u64),
    /// Creates it with an idempotency key: once, however often it is called.
    CreateOnce(u64, u64),
    /// Reads the request, then changes it by what was read, as often as it takes.
    Change(u64, Wish),
    /// Changes this version of the request, and no other.
    ChangeAt(u64, Version, Wish),
    /// Changes this version of the request with an idempotency key: once, however often it is called.
    ChangeOnce(u64, Version, Wish, u64),
    Delete(u64),
    /// Deletes it if it ended earlier than so many hours after the start.
    DeleteOld(u64, u32),
    /// The workflow marks what is due, at most one request. It may pass over what somebody has
    /// changed since it looked.
    ExpireDue,
    /// The workflow deletes what ended earlier than so many hours after the start, at most one
    /// request. It may pass over what is another by now.
    DeleteEnded(u32),
    Get(u64),
    /// The grant of a user now.
    FindGrant(usize),
    /// The same under a policy.
    FindGrantUnder(usize, u8),
    /// The access of a user, so many hours after the start.
    AccessAt(usize, u32),
    /// What is due now.
    Due,
    /// What time it is.
    Now,
    ListOf(usize),
    List(Status),
    /// What waits for a decision: for both profiles, or for all without naming one.
    Waiting(bool),
    /// What a user has open now.
    Open(usize),
    /// What ended earlier than so many hours after the start.
    Ended(u32),
    /// So many changes after a version.
    ChangesSince(Option<Version>, usize),
    /// So many changes after those that the calls before it have seen. One thread only calls it.
    NextChanges(usize),
    /// So many hours go by.
    Pass(u32),
    /// The clock is set so many hours after the start, wherever it is.
    Set(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    Approve,
    /// By Carol; the others are Bob's.
    ApproveToo,
    /// By the rule itself.
    ApproveByRule,
    Deny,
    Cancel,
    Revoke,
    Release,
    Expire,
    EndVoid,
    Note(bool),
}

impl Wish {
    pub const ALL: [Wish; 11] = [
        Wish::Approve,
        Wish::ApproveToo,
        Wish::ApproveByRule,
        Wish::Deny,
        Wish::Cancel,
        Wish::Revoke,
        Wish::Release,
        Wish::Expire,
        Wish::EndVoid,
        Wish::Note(false),
        Wish::Note(true),
    ];
}

impl Call {
    /// Whether its answer says what a request has become by this very call.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Call::Create(_) | Call::Change(..) | Call::ChangeAt(..) | Call::ExpireDue
        )
    }

    /// The operation that it is, if it is one: a repeat answers what the first call did.
    pub fn key(self) -> Option<u64> {
        match self {
            Call::CreateOnce(_, key) | Call::ChangeOnce(_, _, _, key) => Some(key),
            _ => None,
        }
    }

    /// Whether it looks at or changes the requests of one user only, and of which.
    pub fn user(self) -> Option<usize> {
        match self {
            Call::Create(id)
            | Call::CreateOnce(id, _)
            | Call::Change(id, _)
            | Call::ChangeAt(id, ..)
            | Call::ChangeOnce(id, ..)
            | Call::Delete(id)
            | Call::DeleteOld(id, _)
            | Call::Get(id) => Some(user_of(id)),
            Call::FindGrant(user)
            | Call::FindGrantUnder(user, _)
            | Call::AccessAt(user, _)
            | Call::ListOf(user)
            | Call::Open(user) => Some(user),
            Call::ExpireDue
            | Call::DeleteEnded(_)
            | Call::List(_)
            | Call::Waiting(_)
            | Call::Due
            | Call::Now
            | Call::Ended(_)
            | Call::ChangesSince(..)
            | Call::NextChanges(_)
            | Call::Pass(_)
            | Call::Set(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Request(Arc<Request>),
    Found(Vec<Arc<Request>>),
    Granted(Option<Grant>),
    /// What time it is, and the last correction: from when to when.
    Time(DateTime<Utc>, Option<(DateTime<Utc>, DateTime<Utc>)>),
    Changes(Vec<Changed>),
    Done,
    Deleted(bool),
    Exists,
    NotFound,
    Conflict(Conflict),
    Transition(Status, Status),
    Refused(Refusal),
    NotTerminal(Status),
    Retained,
    Clock(ClockError),
    /// The clock has jumped: nothing is deleted before this time.
    Jumped(DateTime<Utc>),
    /// The operation is another change, of this request.
    Reused(u64),
}

impl Answer {
    /// The request that a call has read or written.
    pub fn request(&self) -> Option<&Arc<Request>> {
        match self {
            Answer::Request(request) => Some(request),
            _ => None,
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        match error {
            Error::AlreadyExists { .. } => Answer::Exists,
            Error::NotFound { .. } => Answer::NotFound,
            Error::Conflict(conflict) => Answer::Conflict(conflict),
            Error::InvalidTransition { from, to, .. } => Answer::Transition(from, to),
            Error::Refused(refusal) => Answer::Refused(refusal),
            Error::NotTerminal { status, .. } => Answer::NotTerminal(status),
            Error::Retained { .. } => Answer::Retained,
            Error::Clock(error) => Answer::Clock(error),
            Error::ClockJumped { until } => Answer::Jumped(until),
            Error::IdempotencyKeyReused { id, .. } => Answer::Reused(id.to_bits()),
            other => panic!("no call here can fail so: {other}"),
        }
    }
}

fn answered(result: Result<Arc<Request>, Error>) -> Answer {
    result.map_or_else(Answer::from, Answer::Request)
}

fn found(result: Result<Vec<Arc<Request>>, Error>) -> Answer {
    result.map_or_else(Answer::from, Answer::Found)
}

fn listed<L>(result: Result<Listing<L>, Error>) -> Answer {
    found(result.map(|listing| listing.items))
}

/// What calls are made with, built once.
struct Cast {
    people: [User; PEOPLE],
    drafts: Vec<Draft>,
    policy: Arc<ApprovalPolicy>,
    /// The same with no access that ends with a policy.
    free: Arc<ApprovalPolicy>,
    profiles: BTreeSet<Profile>,
    bob: User,
    carol: User,
}

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let user = |name: &str| User::new(name).unwrap();
    let people = ["alice", "dave", "erin", "frank", "gina"].map(user);
    let profiles = ["prod", "prod", "pinned", "lab", "vault"];
    let profiles = profiles.map(|name| Profile::new(name).unwrap());
    let json = r#"{"version": "1", "rules": [
        {"name": "groups", "profiles": ["vault"], "groups": [
            {"name": "security", "approvers": ["bob"]},
            {"name": "operations", "approvers": ["bob", "carol"]}]},
        {"name": "automatic", "profiles": ["lab"], "approvers": ["bob", "carol"],
         "auto_approve": {"users": ["frank"]}},
        {"name": "pinned", "profiles": ["pinned"], "approvers": ["bob", "carol"],
         "ends_with_policy": true},
        {"name": "all", "approvers": ["bob", "carol"]}]}"#;
    let draft = |id| Draft {
        id: RequestId::from_bits(id),
        requester: people[user_of(id)].clone(),
        profile: profiles[user_of(id)].clone(),
        duration: HOUR * (1 + u32::from(id == FREE)),
        justification: "migrate the orders table".into(),
        ticket: None,
        policy: (user_of(id) == user_of(PINNED)).then(|| digest(OWN)),
        idempotency_key: None,
    };
    let policy = |json: &str| Arc::new(json.parse().unwrap());
    Cast {
        drafts: (1..=IDS).map(draft).collect(),
        policy: policy(json),
        free: policy(&json.replace("true", "false")),
        bob: user("bob"),
        carol: user("carol"),
        profiles: profiles.iter().cloned().collect(),
        people,
    }
});

static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

pub fn user_of(id: u64) -> usize {
    (id as usize - 1) / 2
}

fn draft(id: u64) -> &'static Draft {
    &CAST.drafts[id as usize - 1]
}

fn draft_once(id: u64, key: u64) -> Draft {
    Draft {
        idempotency_key: Some(IdempotencyKey::from_bits(key)),
        ..draft(id).clone()
    }
}

fn digest(byte: u8) -> PolicyDigest {
    PolicyDigest::from_bytes([byte; 32])
}

/// The rules under which a request is made and changed.
fn policy_of(id: u64) -> &'static ApprovalPolicy {
    match id {
        FREE => &CAST.free,
        _ => &CAST.policy,
    }
}

fn terms(id: u64) -> Terms {
    Terms::of(policy_of(id), &draft(id).profile)
}

fn profile_of(user: usize) -> &'static Profile {
    &draft(2 * user as u64 + 1).profile
}

fn change(id: u64, wish: Wish) -> Change {
    let Cast {
        people, bob, carol, ..
    } = &*CAST;
    let policy = policy_of(id);
    let owner = &people[user_of(id)];
    let profile = &draft(id).profile;
    match wish {
        Wish::Approve => Change::approve(policy, profile, bob, None),
        Wish::ApproveToo => Change::approve(policy, profile, carol, None),
        Wish::ApproveByRule => Change::approve_by_rule(policy, profile),
        Wish::Deny => Change::deny(policy, profile, carol, None),
        Wish::Cancel => Change::cancel(owner, None),
        Wish::Revoke => Change::revoke(policy, profile, carol, None),
        Wish::Release => Change::release(owner, None),
        Wish::Expire => Change::expire(),
        Wish::EndVoid => Change::end_void(),
        Wish::Note(false) => Change::note(owner, "one"),
        Wish::Note(true) => Change::note(owner, "two"),
    }
}

fn after_start(hours: u32) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(START) + hours * HOUR
}

/// A store under test, with its clock.
pub struct Harness<S> {
    pub clock: Arc<ManualClock>,
    pub store: Arc<S>,
    workflow: Workflow,
    retry: Retry,
    /// The last change that was seen by [`Call::NextChanges`].
    seen: Mutex<Option<Version>>,
}

/// The clock of a store under test, and the same as a store takes it.
pub fn clock() -> (Arc<ManualClock>, Arc<dyn Clock>) {
    let clock = Arc::new(ManualClock::at(after_start(0)));
    (clock.clone(), clock)
}

impl Harness<InMemory> {
    pub fn new() -> Self {
        let (clock, now) = clock();
        Self::over(clock, InMemory::new(now))
    }
}

impl<S: Store + 'static> Harness<S> {
    /// A store with nothing in it, whose time is the clock.
    pub fn over(clock: Arc<ManualClock>, store: S) -> Self {
        let retry = Retry::default()
            .with_tries(std::num::NonZeroU32::MAX)
            .with_sleep(Arc::new(NoSleep))
            .with_random(Arc::new(SequenceRandom::default()));
        let store = Arc::new(store);
        let policy = Arc::clone(&CAST.policy);
        Self {
            workflow: Workflow::new(store.clone(), policy),
            clock,
            store,
            retry,
            seen: Mutex::default(),
        }
    }

    pub async fn perform(&self, call: Call) -> Answer {
        let store = &self.store;
        match call {
            Call::Create(id) => answered(store.create(draft(id), &terms(id)).await),
            Call::CreateOnce(id, key) => {
                let draft = draft_once(id, key);
                answered(store.create(&draft, &terms(id)).await)
            }
            Call::Change(id, wish) => {
                let change = change(id, wish);
                let id = RequestId::from_bits(id);
                let update = store.update_with(id, &self.retry, |_| Ok(change.clone()));
                answered(update.await)
            }
            Call::ChangeAt(id, version, wish) => {
                let change = change(id, wish);
                answered(
                    store
                        .update(RequestId::from_bits(id), version, &change)
                        .await,
                )
            }
            Call::ChangeOnce(id, version, wish, key) => {
                let change = change(id, wish).with_idempotency_key(IdempotencyKey::from_bits(key));
                let id = RequestId::from_bits(id);
                answered(store.update(id, version, &change).await)
            }
            Call::Delete(id) => {
                let deleted = store.delete(RequestId::from_bits(id), None).await;
                deleted.map_or_else(Answer::from, Answer::Deleted)
            }
            Call::DeleteOld(id, hours) => {
                let (id, before) = (RequestId::from_bits(id), after_start(hours));
                let deleted = store.delete(id, Some(before)).await;
                deleted.map_or_else(Answer::from, Answer::Deleted)
            }
            Call::ExpireDue => match self.workflow.expire_due(1).await {
                Ok(expired) => match expired.into_iter().next() {
                    Some(request) => Answer::Request(request),
                    None => Answer::Done,
                },
                Err(error) => error.into(),
            },
            Call::DeleteEnded(hours) => {
                let before = after_start(hours);
                let deleted = self.workflow.delete_ended_before(before, 1).await;
                deleted.map_or_else(Answer::from, |deleted| Answer::Deleted(deleted > 0))
            }
            Call::Get(id) => answered(store.get(RequestId::from_bits(id)).await),
            Call::FindGrant(user) => self.find_grant(user, None).await,
            Call::FindGrantUnder(user, policy) => self.find_grant(user, Some(digest(policy))).await,
            Call::AccessAt(user, hours) => {
                let (profile, at) = (profile_of(user), after_start(hours));
                let access = store.access_at(&CAST.people[user], profile, None, at);
                found(access.await.map(|access| access.into_iter().collect()))
            }
            Call::Due => found(store.list_expirable(100).await),
            Call::Now => {
                let now = store.now().await.unwrap();
                let made = now.correction().map(|made| (made.from, made.to));
                Answer::Time(now.at(), made)
            }
            Call::ListOf(user) => {
                let filter = Filter::Requester(CAST.people[user].clone());
                listed(store.list(&filter, Page::default()).await)
            }
            Call::List(status) => {
                listed(store.list(&Filter::Status(status), Page::default()).await)
            }
            Call::Waiting(named) => {
                let profiles = named.then_some(&CAST.profiles);
                listed(store.list_pending(profiles, Page::default()).await)
            }
            Call::Open(user) => listed(store.list_open(&CAST.people[user], Page::default()).await),
            Call::Ended(hours) => found(store.list_ended(after_start(hours), 100).await),
            Call::ChangesSince(after, limit) => {
                let changes = store.changes_after(after, limit).await;
                changes.map_or_else(Answer::from, Answer::Changes)
            }
            Call::NextChanges(limit) => {
                let seen = *self.seen.lock().unwrap();
                let changes = store.changes_after(seen, limit).await.unwrap();
                let last = changes.last().map(|changed| changed.version);
                *self.seen.lock().unwrap() = last.or(seen);
                Answer::Changes(changes)
            }
            Call::Pass(hours) => {
                self.clock.advance(hours * HOUR);
                Answer::Done
            }
            Call::Set(hours) => {
                self.clock.set(after_start(hours));
                Answer::Done
            }
        }
    }

    async fn find_grant(&self, user: usize, policy: Option<PolicyDigest>) -> Answer {
        let (user, profile) = (&CAST.people[user], profile_of(user));
        let grant = self.store.find_grant(user, profile, policy).await;
        grant.map_or_else(Answer::from, Answer::Granted)
    }
}
