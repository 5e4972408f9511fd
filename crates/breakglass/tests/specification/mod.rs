//! A store of events as one caller would see it, written without table, lock or index.
//!
//! The rules themselves are pure functions, and the specification calls the same ones on what it
//! observes by walking a plain list; what it shows is whether a store that is called by several
//! callers answers as if they took turns. Models (`loom.rs`) and recorded histories
//! (`linearizability.rs`) are checked against it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass::*;
use countersign_core::sync::history::Specification;

/// What the clock shows at first, in nanoseconds.
pub const START: i64 = 1_000_000;
pub const HOUR: Duration = Duration::from_secs(3600);

// Who invokes what under an id is always the same, so that an id says what a call is about.

/// Ids of the models: two spellings of one person and two others, for one profile with a quota.
pub const OF_MODELS: u64 = 1;
/// Four ids for each of four persons, who have a quota: two spellings, two profiles.
pub const OF_PERSONS: u64 = 11;
/// Four ids for each of four profiles, which have a quota: one person in two spellings, two others.
pub const OF_PROFILES: u64 = 31;
/// Eight ids where both have a quota: four persons, two profiles.
pub const OF_BOTH: u64 = 51;

const RULES: &str = r#"{"version": "1", "rules": [
    {"name": "models", "profiles": ["prod"], "max_per_profile": 2, "quota_window": "24h"},
    {"name": "persons", "profiles": ["orders", "ledger"], "cooldown": "2h",
     "max_per_user": 3, "quota_window": "24h", "escalation_threshold": 2},
    {"name": "profiles", "profiles": ["web-0", "web-1", "web-2", "web-3"], "cooldown": "2h",
     "max_per_profile": 3, "quota_window": "24h"},
    {"name": "both", "max_per_user": 2, "max_per_profile": 3, "quota_window": "24h"}]}"#;

fn invoker_and_profile(id: u64) -> (&'static str, &'static str) {
    let pick = |names: &[&'static str], place: u64| names[place as usize % names.len()];
    let profiles = ["web-0", "web-1", "web-2", "web-3"];
    match id {
        OF_MODELS..OF_PERSONS => (pick(&["alice", "ALICE", "bob", "carol"], id - 1), "prod"),
        OF_PERSONS..OF_PROFILES => {
            let place = id - OF_PERSONS;
            let spellings = [
                "dave", "DAVE", "erin", "ERIN", "frank", "FRANK", "gina", "GINA",
            ];
            let person = pick(&spellings, 2 * (place / 4) + place % 2);
            (person, pick(&["orders", "ledger"], place % 4 / 2))
        }
        OF_PROFILES..OF_BOTH => {
            let place = id - OF_PROFILES;
            (
                pick(&["quinn", "QUINN", "rosa", "saul"], place),
                pick(&profiles, place / 4),
            )
        }
        _ => {
            let place = id - OF_BOTH;
            (
                pick(&["tess", "TESS", "uma", "vera"], place),
                pick(&["left", "right"], place / 4),
            )
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Invoke(u64),
    /// Reads the event, then changes it by what was read, as often as it takes.
    Change(u64, Wish),
    /// Changes this version of the event, and no other.
    ChangeAt(u64, Version, Wish),
    Delete(u64),
    Get(u64),
    /// The active event of the invoker and profile of an id, so many hours after the start.
    FindActive(u64, u32),
    /// The events of the invoker of an id.
    ListOf(u64),
    /// The events for the profile of an id.
    ListFor(u64),
    List(Status),
    /// So many hours go by.
    Pass(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    Close,
    Expire,
    Note,
    Review,
}

impl Wish {
    pub const ALL: [Wish; 4] = [Wish::Close, Wish::Expire, Wish::Note, Wish::Review];
}

impl Call {
    /// Whether its answer says what an event has become.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Call::Invoke(_) | Call::Change(..) | Call::ChangeAt(..)
        )
    }

    /// The id that it is about.
    pub fn id(self) -> Option<u64> {
        match self {
            Call::Invoke(id)
            | Call::Change(id, _)
            | Call::ChangeAt(id, ..)
            | Call::Delete(id)
            | Call::Get(id)
            | Call::FindActive(id, _)
            | Call::ListOf(id)
            | Call::ListFor(id) => Some(id),
            Call::List(_) | Call::Pass(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Event(Arc<Event>),
    Found(Vec<Arc<Event>>),
    Done,
    /// Whether it was there.
    Deleted(bool),
    Exists,
    NotFound,
    Conflict(Conflict),
    Transition(Status, Status),
    Refused(Refusal),
    NotTerminal(Status),
}

impl Answer {
    /// The event that a call has read or written.
    pub fn event(&self) -> Option<&Arc<Event>> {
        match self {
            Answer::Event(event) => Some(event),
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

fn answered(result: Result<Arc<Event>, Error>) -> Answer {
    result.map_or_else(Answer::from, Answer::Event)
}

/// What calls about one id are made with, built once.
struct Cast {
    draft: Draft,
    admission: Admission,
    close: Change,
    review: Change,
    note: Change,
}

const INVOCATION: &str = r#"{"version": "1", "rules": [
    {"name": "on-call", "allowed_reason_codes": ["incident"], "reviewers": ["zoe"]}]}"#;

static CASTS: LazyLock<BTreeMap<u64, Cast>> = LazyLock::new(|| {
    let invocation: InvocationPolicy = INVOCATION.parse().unwrap();
    let limits: RateLimitPolicy = RULES.parse().unwrap();
    let cast = |id| {
        let (invoker, profile) = invoker_and_profile(id);
        let (invoker, profile) = (
            Person::new(invoker).unwrap(),
            Profile::new(profile).unwrap(),
        );
        let cast = Cast {
            admission: Admission::new(&invocation, &limits, &profile),
            close: Change::close(&invocation, &profile, &invoker, "it is over"),
            review: Change::review(
                &invocation,
                &profile,
                &Person::new("zoe").unwrap(),
                ReviewOutcome::Justified,
                "it was called for",
            ),
            note: Change::note(&invoker, "one"),
            draft: Draft {
                id: EventId::from_bits(id),
                operation: None,
                invoker,
                profile,
                duration: HOUR,
                reason_code: ReasonCode::Incident,
                justification: "the site is down since nine".into(),
                ticket: None,
                request_id: None,
                mfa: None,
            },
        };
        (id, cast)
    };
    (OF_MODELS..OF_BOTH + 8).map(cast).collect()
});

static EXPIRE: LazyLock<Change> = LazyLock::new(Change::expire);
/// What is over is kept for five minutes, as long as a second factor is good.
static RETENTION: LazyLock<Retention> = LazyLock::new(|| {
    let invocation = INVOCATION.parse().unwrap();
    Retention::new(&invocation, &RateLimitPolicy::unlimited())
});
static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

fn cast(id: u64) -> &'static Cast {
    &CASTS[&id]
}

fn change(id: u64, wish: Wish) -> &'static Change {
    match wish {
        Wish::Close => &cast(id).close,
        Wish::Expire => &EXPIRE,
        Wish::Review => &cast(id).review,
        Wish::Note => &cast(id).note,
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

impl Harness<InMemory> {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at(after_start(0)));
        let store = InMemory::new(clock.clone());
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
}

impl<S: Store> Harness<S> {
    pub async fn perform(&self, call: Call) -> Answer {
        let store = &self.store;
        let list = async |filter: Filter| {
            let listed = store.list(&filter, Page::default()).await;
            listed.map_or_else(Answer::from, |listing| Answer::Found(listing.items))
        };
        match call {
            Call::Invoke(id) => {
                let Cast {
                    draft, admission, ..
                } = cast(id);
                answered(store.create(draft, admission).await)
            }
            Call::Change(id, wish) => {
                let change = change(id, wish);
                let id = EventId::from_bits(id);
                let update = store.update_with(id, &self.retry, |_| Ok(change.clone()));
                answered(update.await)
            }
            Call::ChangeAt(id, version, wish) => {
                let change = change(id, wish);
                answered(store.update(EventId::from_bits(id), version, change).await)
            }
            Call::Delete(id) => {
                let deleted = store.delete(EventId::from_bits(id), &RETENTION).await;
                deleted.map_or_else(Answer::from, Answer::Deleted)
            }
            Call::Get(id) => answered(store.get(EventId::from_bits(id)).await),
            Call::FindActive(id, hours) => {
                let Draft {
                    invoker, profile, ..
                } = &cast(id).draft;
                let found = store
                    .find_active(invoker, profile, after_start(hours))
                    .await;
                found.map_or_else(Answer::from, |found| {
                    Answer::Found(found.into_iter().collect())
                })
            }
            Call::ListOf(id) => list(Filter::Invoker(cast(id).draft.invoker.clone())).await,
            Call::ListFor(id) => list(Filter::Profile(cast(id).draft.profile.clone())).await,
            Call::List(status) => list(Filter::Status(status)).await,
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
    events: BTreeMap<u64, Arc<Event>>,
    /// Whether the calls of others, which move the last version on, are left out of the history.
    part: bool,
}

impl Naive {
    /// Sees every call: versions are exactly those that it issues itself.
    pub fn whole() -> Self {
        Self {
            clock: START,
            last: None,
            events: BTreeMap::new(),
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

    fn keep(&mut self, event: Event) -> Answer {
        let event = Arc::new(event);
        self.last = Some(event.updated_at.as_nanos());
        self.events.insert(event.id.to_bits(), Arc::clone(&event));
        Answer::Event(event)
    }

    fn newest_first(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
        let wanted = self.events.values().filter(|event| wanted(event));
        let mut found: Vec<Arc<Event>> = wanted.cloned().collect();
        found.sort_by_key(|event| std::cmp::Reverse(event.created_at));
        found
    }

    fn count(&self, wanted: Option<CountWanted>, of: impl Fn(&Event) -> bool) -> Counted {
        let Some(wanted) = wanted else {
            return Counted::default();
        };
        let counted =
            self.newest_first(|event| of(event) && event.created_at > wanted.created_after);
        let place = wanted.nth_newest.map(|nth| nth.get() as usize - 1);
        let nth_newest = place.and_then(|place| counted.get(place));
        Counted {
            count: counted.len() as u64,
            nth_newest: nth_newest.map(|event| event.created_at),
        }
    }

    fn invoke(&mut self, id: u64) -> Answer {
        if self.events.contains_key(&id) {
            return Answer::Exists;
        }
        let Cast {
            draft, admission, ..
        } = cast(id);
        let at = self.stamp();
        let of_person = |event: &Event| event.invoker.same_person(&draft.invoker);
        let of_profile = |event: &Event| event.profile == draft.profile;
        let of_both = |event: &Event| of_person(event) && of_profile(event);
        let wanted = admission.observation(draft, at.time());
        let before = self.newest_first(of_both);
        let active = before.iter().find(|event| event.is_active(at.time()));
        let last_created_at = before.first().map(|event| event.created_at);
        let observed = Observed {
            active: active.map(|event| ActiveEvent {
                id: event.id,
                expires_at: event.expires_at,
            }),
            last_created_at: last_created_at.filter(|_| wanted.last_created_at),
            of_person: self.count(wanted.of_person, of_person),
            of_profile: self.count(wanted.of_profile, of_profile),
            proof_used_by: None,
            unreviewed: None,
        };
        let admitted = match admission.decide(draft, &observed, at.time()) {
            Ok(admitted) => admitted,
            Err(refusal) => return Answer::Refused(refusal),
        };
        let event = Event::create(draft, &admitted, &LIMITS, at).unwrap();
        let answer = self.keep(event);
        for over in before.iter().filter(|event| event.status == Status::Active) {
            let expired = over.apply(&EXPIRE, self.stamp()).unwrap();
            self.keep(expired);
        }
        answer
    }

    fn update(&mut self, id: u64, wish: Wish, expected: Option<Version>) -> Answer {
        let Some(current) = self.events.get(&id) else {
            return Answer::NotFound;
        };
        let actual = current.updated_at;
        match expected {
            Some(expected) if expected != actual => Answer::Conflict(Conflict { expected, actual }),
            _ => match current.apply(change(id, wish), self.stamp()) {
                Ok(event) => self.keep(event),
                Err(rejection) => Error::from(rejection).into(),
            },
        }
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Invoke(id) => self.invoke(id),
            Call::Change(id, wish) => self.update(id, wish, None),
            Call::ChangeAt(id, version, wish) => self.update(id, wish, Some(version)),
            Call::Delete(id) => {
                let Some(event) = self.events.get(&id) else {
                    return Answer::Deleted(false);
                };
                let at = self.stamp();
                if let Err(error) = RETENTION.check(event, at.time()) {
                    return error.into();
                }
                self.last = Some(at.as_nanos());
                self.events.remove(&id);
                Answer::Deleted(true)
            }
            Call::Get(id) => match self.events.get(&id) {
                Some(event) => Answer::Event(Arc::clone(event)),
                None => Answer::NotFound,
            },
            Call::FindActive(id, hours) => {
                let (draft, at) = (&cast(id).draft, after_start(hours));
                Answer::Found(self.newest_first(|event| {
                    event.invoker == draft.invoker
                        && event.profile == draft.profile
                        && event.is_active(at)
                }))
            }
            Call::ListOf(id) => {
                let invoker = &cast(id).draft.invoker;
                Answer::Found(self.newest_first(|event| event.invoker == *invoker))
            }
            Call::ListFor(id) => {
                let profile = &cast(id).draft.profile;
                Answer::Found(self.newest_first(|event| event.profile == *profile))
            }
            Call::List(status) => Answer::Found(self.newest_first(|event| event.status == status)),
            Call::Pass(hours) => {
                self.clock += (hours * HOUR).as_nanos() as i64;
                Answer::Done
            }
        }
    }

    /// Takes the event `id` as calls elsewhere have left it in `other`.
    pub fn overwrite(&mut self, other: Self, id: u64) {
        self.last = self.last.max(other.last);
        self.events.remove(&id);
        let kept = other.events.into_iter().find(|(other, _)| *other == id);
        self.events.extend(kept);
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        if let (true, true, Some(written)) = (self.part, call.writes(), answer.event()) {
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
