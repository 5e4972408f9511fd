//! A store of requests as one caller would see it, written without table, lock or index.
//!
//! The rules themselves are pure functions, and the specification calls the same ones; what it
//! shows is whether a store that is called by several callers answers as if they took turns. Models
//! (`loom.rs`) and recorded histories (`linearizability.rs`) are checked against it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::sync::history::Specification;
use countersign_request::*;

/// What the clock shows at first, in nanoseconds.
pub const START: i64 = 1_000;
pub const HOUR: Duration = Duration::from_secs(3600);
/// Requests with the ids 1 and 2 are those of person 0, 3 and 4 those of person 1, and so on.
pub const PEOPLE: usize = 4;
pub const IDS: u64 = 2 * PEOPLE as u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Create(u64),
    /// Reads the request, then changes it by what was read, as often as it takes.
    Change(u64, Wish),
    /// Changes this version of the request, and no other.
    ChangeAt(u64, Version, Wish),
    Delete(u64),
    Get(u64),
    /// The grant of a person, so many hours after the start.
    FindGrant(usize, u32),
    ListOf(usize),
    List(Status),
    /// So many hours go by.
    Pass(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    Approve,
    Deny,
    Cancel,
    Revoke,
    Release,
    Expire,
    Note(bool),
}

impl Wish {
    pub const ALL: [Wish; 8] = [
        Wish::Approve,
        Wish::Deny,
        Wish::Cancel,
        Wish::Revoke,
        Wish::Release,
        Wish::Expire,
        Wish::Note(false),
        Wish::Note(true),
    ];
}

impl Call {
    /// Whether its answer says what a request has become.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Call::Create(_) | Call::Change(..) | Call::ChangeAt(..)
        )
    }

    /// Whether it looks at or changes the requests of one person only, and of which.
    pub fn person(self) -> Option<usize> {
        match self {
            Call::Create(id)
            | Call::Change(id, _)
            | Call::ChangeAt(id, ..)
            | Call::Delete(id)
            | Call::Get(id) => Some(person_of(id)),
            Call::FindGrant(person, _) | Call::ListOf(person) => Some(person),
            Call::List(_) | Call::Pass(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Request(Arc<Request>),
    Found(Vec<Arc<Request>>),
    Done,
    Deleted(bool),
    Exists,
    NotFound,
    Conflict(Conflict),
    Transition(Status, Status),
    Refused(Refusal),
    NotTerminal(Status),
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
            Error::InvalidTransition { from, to } => Answer::Transition(from, to),
            Error::Refused(refusal) => Answer::Refused(refusal),
            Error::NotTerminal { status, .. } => Answer::NotTerminal(status),
            other => panic!("no call here can fail so: {other}"),
        }
    }
}

fn answered(result: Result<Arc<Request>, Error>) -> Answer {
    result.map_or_else(Answer::from, Answer::Request)
}

/// What calls are made with, built once.
struct Cast {
    people: [Person; PEOPLE],
    profile: Profile,
    drafts: Vec<Draft>,
    policy: ApprovalPolicy,
    terms: Terms,
    bob: Person,
    carol: Person,
}

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let person = |name: &str| Person::new(name).unwrap();
    let people = ["alice", "dave", "erin", "frank"].map(person);
    let profile = Profile::new("prod").unwrap();
    let json = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob", "carol"]}]}"#;
    let draft = |id| Draft {
        id: RequestId::from_bits(id),
        requester: people[person_of(id)].clone(),
        profile: profile.clone(),
        duration: HOUR,
        justification: "migrate the orders table".into(),
        ticket: None,
        policy: None,
        operation: None,
    };
    let policy: ApprovalPolicy = json.parse().unwrap();
    Cast {
        drafts: (1..=IDS).map(draft).collect(),
        terms: Terms::of(&policy, &profile),
        policy,
        bob: person("bob"),
        carol: person("carol"),
        people,
        profile,
    }
});

static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

fn person_of(id: u64) -> usize {
    (id as usize - 1) / 2
}

fn draft(id: u64) -> &'static Draft {
    &CAST.drafts[id as usize - 1]
}

fn change(id: u64, wish: Wish) -> Change {
    let Cast {
        people,
        profile,
        policy,
        bob,
        carol,
        ..
    } = &*CAST;
    let owner = &people[person_of(id)];
    match wish {
        Wish::Approve => Change::approve(policy, profile, bob, None),
        Wish::Deny => Change::deny(policy, profile, carol, None),
        Wish::Cancel => Change::cancel(owner, None),
        Wish::Revoke => Change::revoke(policy, profile, carol, None),
        Wish::Release => Change::release(owner, None),
        Wish::Expire => Change::expire(),
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
    pub store: S,
    retry: Retry,
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

impl<S: Store> Harness<S> {
    /// A store with nothing in it, whose time is the clock.
    pub fn over(clock: Arc<ManualClock>, store: S) -> Self {
        let retry = Retry::default()
            .with_tries(std::num::NonZeroU32::MAX)
            .with_sleep(Arc::new(NoSleep))
            .with_random(Arc::new(SequenceRandom::default()));
        Self {
            clock,
            store,
            retry,
        }
    }

    pub async fn perform(&self, call: Call) -> Answer {
        let store = &self.store;
        match call {
            Call::Create(id) => answered(store.create(draft(id), &CAST.terms).await),
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
            Call::Delete(id) => {
                let deleted = store.delete(RequestId::from_bits(id), None).await;
                deleted.map_or_else(Answer::from, Answer::Deleted)
            }
            Call::Get(id) => answered(store.get(RequestId::from_bits(id)).await),
            Call::FindGrant(person, hours) => {
                let (person, at) = (&CAST.people[person], after_start(hours));
                let found = store.find_grant(person, &CAST.profile, None, at).await;
                found.map_or_else(Answer::from, |found| {
                    Answer::Found(found.into_iter().collect())
                })
            }
            Call::ListOf(person) => {
                let filter = Filter::Requester(CAST.people[person].clone());
                let listed = store.list(&filter, Page::default()).await;
                listed.map_or_else(Answer::from, |listing| Answer::Found(listing.items))
            }
            Call::List(status) => {
                let listed = store.list(&Filter::Status(status), Page::default()).await;
                listed.map_or_else(Answer::from, |listing| Answer::Found(listing.items))
            }
            Call::Pass(hours) => {
                self.clock.advance(hours * HOUR);
                Answer::Done
            }
        }
    }
}

/// The store as one caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    clock: i64,
    last: Option<i64>,
    requests: BTreeMap<u64, Arc<Request>>,
    /// Whether the calls of others, which move the last version on, are left out of the history.
    part: bool,
}

impl Naive {
    /// Sees every call: versions are exactly those that it issues itself.
    pub fn whole() -> Self {
        Self {
            clock: START,
            last: None,
            requests: BTreeMap::new(),
            part: false,
        }
    }

    /// Sees a part of the calls: how far the others have moved the last version on, it learns from
    /// the answers.
    pub fn part() -> Self {
        Self {
            part: true,
            ..Self::whole()
        }
    }

    fn stamp(&self) -> Version {
        let floor = self.last.map_or(self.clock, |last| last + 1);
        Version::from_nanos(self.clock.max(floor))
    }

    fn keep(&mut self, request: Request) -> Answer {
        let request = Arc::new(request);
        self.last = Some(request.updated_at.as_nanos());
        self.requests
            .insert(request.id.to_bits(), Arc::clone(&request));
        Answer::Request(request)
    }

    fn update(&mut self, id: u64, wish: Wish, expected: Option<Version>) -> Answer {
        let Some(current) = self.requests.get(&id) else {
            return Answer::NotFound;
        };
        let actual = current.updated_at;
        match expected {
            Some(expected) if expected != actual => Answer::Conflict(Conflict { expected, actual }),
            _ => match current.apply(&change(id, wish), self.stamp()) {
                Ok(request) => self.keep(request),
                Err(rejection) => Error::from(rejection).into(),
            },
        }
    }

    fn delete(&mut self, id: u64) -> Answer {
        let stamp = self.stamp();
        match self.requests.get(&id) {
            Some(request) if !request.is_terminal(stamp.time()) => {
                Answer::NotTerminal(request.status)
            }
            Some(_) => {
                self.last = Some(stamp.as_nanos());
                self.requests.remove(&id);
                Answer::Deleted(true)
            }
            None => Answer::Deleted(false),
        }
    }

    fn newest_first(&self, wanted: impl Fn(&Request) -> bool) -> Vec<Arc<Request>> {
        let wanted = self.requests.values().filter(|request| wanted(request));
        let mut found: Vec<Arc<Request>> = wanted.cloned().collect();
        found.sort_by_key(|request| std::cmp::Reverse(request.created_at));
        found
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Create(id) if self.requests.contains_key(&id) => Answer::Exists,
            Call::Create(id) => {
                let request = Request::create(draft(id), &LIMITS, &CAST.terms, self.stamp());
                self.keep(request.unwrap())
            }
            Call::Change(id, wish) => self.update(id, wish, None),
            Call::ChangeAt(id, version, wish) => self.update(id, wish, Some(version)),
            Call::Delete(id) => self.delete(id),
            Call::Get(id) => match self.requests.get(&id) {
                Some(request) => Answer::Request(Arc::clone(request)),
                None => Answer::NotFound,
            },
            Call::FindGrant(person, hours) => {
                let (person, at) = (&CAST.people[person], after_start(hours));
                let mut found = self.newest_first(|request| {
                    request.requester == *person && request.grant(at).is_some()
                });
                found.sort_by_key(|request| std::cmp::Reverse(request.access_until));
                found.truncate(1);
                Answer::Found(found)
            }
            Call::ListOf(person) => {
                Answer::Found(self.newest_first(|request| request.requester == CAST.people[person]))
            }
            Call::List(status) => {
                Answer::Found(self.newest_first(|request| request.status == status))
            }
            Call::Pass(hours) => {
                self.clock += (hours * HOUR).as_nanos() as i64;
                Answer::Done
            }
        }
    }

    /// Takes what the calls of another part have left in `other`, for the request `id` alone.
    pub fn overwrite(&mut self, other: Self, id: u64) {
        self.last = self.last.max(other.last);
        self.requests.remove(&id);
        let kept = other.requests.into_iter().find(|(other, _)| *other == id);
        self.requests.extend(kept);
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        if let (true, true, Some(written)) = (self.part, call.writes(), answer.request()) {
            // Others write less often than once a nanosecond for a second.
            let least = self.stamp().as_nanos();
            let version = written.updated_at.as_nanos();
            if !(least..least + 1_000_000_000).contains(&version) {
                return false;
            }
            self.last = Some(version - 1);
        }
        self.apply(*call) == *answer
    }
}
