//! Models of the store: every small scenario of its operations, against a sequential
//! specification. Run by `cargo xtask loom`.
//!
//! The rules themselves are pure functions, and the specification calls the same ones on what it
//! observes by walking a plain list; what is explored is whether a store that is called by several
//! threads answers as if they took turns.
#![cfg(countersign_loom)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use chrono::DateTime;
use countersign_breakglass::*;
use countersign_core::sync::history::Specification;
use countersign_core::sync::model::{Model, Parts, scenarios, shown};

const START: i64 = 1_000_000;
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    /// Who invokes, and under which id.
    Invoke(&'static str, u64),
    Close,
    /// Closes the version that event 1 was created at, and no other.
    CloseFirst,
    Expire,
    Note(&'static str),
    Delete,
    FindActive,
    ListActive,
    /// An hour goes by: events expire.
    PassHour,
    /// Reads everything that there is.
    Read(u64),
}

fn person(name: &str) -> Person {
    Person::new(name).unwrap()
}

fn profile() -> Profile {
    Profile::new("prod").unwrap()
}

fn invocation() -> InvocationPolicy {
    let json = r#"{"version": "1", "rules": [
        {"name": "on-call", "users": ["alice", "ALICE", "bob", "carol"]}]}"#;
    json.parse().unwrap()
}

fn admission() -> Admission {
    let limits: RateLimitPolicy = r#"{"version": "1", "rules": [
        {"name": "daily", "max_per_profile": 2, "quota_window": "24h"}]}"#
        .parse()
        .unwrap();
    Admission::new(&invocation(), &limits, &profile())
}

fn draft(invoker: &str, id: u64) -> Draft {
    Draft {
        id: EventId::from_bits(id),
        invoker: person(invoker),
        profile: profile(),
        duration: HOUR,
        reason_code: ReasonCode::Incident,
        justification: "the site is down since nine".into(),
        ticket: None,
        request_id: None,
    }
}

fn change(call: Call) -> Option<Change> {
    let alice = person("alice");
    match call {
        Call::Close | Call::CloseFirst => Some(Change::close(
            &invocation(),
            &profile(),
            &alice,
            "it is over",
        )),
        Call::Expire => Some(Change::expire()),
        Call::Note(text) => Some(Change::note(&alice, text)),
        Call::Invoke(..)
        | Call::Delete
        | Call::FindActive
        | Call::ListActive
        | Call::PassHour
        | Call::Read(_) => None,
    }
}

struct Harness {
    clock: Arc<ManualClock>,
    store: InMemory,
    retry: Retry,
}

fn harness() -> Harness {
    let clock = Arc::new(ManualClock::at(DateTime::from_timestamp_nanos(START)));
    let retry = Retry::default()
        .with_sleep(Arc::new(NoSleep))
        .with_random(Arc::new(SequenceRandom::default()));
    Harness {
        clock: clock.clone(),
        store: InMemory::new(clock),
        retry,
    }
}

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a call on the store in memory waits"),
    }
}

fn brief(result: Result<Arc<Event>, Error>) -> String {
    match result {
        Ok(event) => format!(
            "{} {} {}",
            event.id,
            event.status,
            event.updated_at.as_nanos()
        ),
        Err(error) => shown(error),
    }
}

fn listed<'a>(events: impl IntoIterator<Item = &'a Arc<Event>>) -> String {
    let all: Vec<String> = events
        .into_iter()
        .map(|event| brief(Ok(event.clone())))
        .collect();
    all.join(", ")
}

const FIRST: EventId = EventId::from_bits(1);

fn perform(harness: &Harness, call: &Call) -> String {
    let store = harness.store.sync();
    match *call {
        Call::Invoke(invoker, id) => brief(store.create(&draft(invoker, id), &admission())),
        Call::CloseFirst => {
            brief(store.update(FIRST, Version::from_nanos(START), &change(*call).unwrap()))
        }
        Call::Delete => shown(store.delete(FIRST)),
        Call::FindActive => {
            let at = DateTime::from_timestamp_nanos(START + 1);
            listed(&store.find_active(&person("alice"), &profile(), at).unwrap())
        }
        Call::ListActive => listed(
            &store
                .list(&Filter::Status(Status::Active), Page::default())
                .unwrap()
                .items,
        ),
        Call::PassHour => {
            harness.clock.advance(HOUR);
            String::new()
        }
        Call::Read(id) => shown(store.get(EventId::from_bits(id))),
        _ => {
            let change = change(*call).unwrap();
            let update = harness
                .store
                .update_with(FIRST, &harness.retry, |_| Ok(change.clone()));
            brief(now(update))
        }
    }
}

/// The store as one caller would see it, written without table, lock or index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Naive {
    clock: i64,
    last: Option<i64>,
    events: BTreeMap<u64, Event>,
}

impl Naive {
    fn stamp(&self) -> Version {
        Version::from_nanos(
            self.last
                .map_or(self.clock, |last| self.clock.max(last + 1)),
        )
    }

    fn keep(&mut self, event: Event) -> String {
        self.last = self.last.max(Some(event.updated_at.as_nanos()));
        self.events.insert(event.id.to_bits(), event.clone());
        brief(Ok(Arc::new(event)))
    }

    fn newest_first(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
        let wanted = self
            .events
            .values()
            .filter(|event| wanted(event))
            .cloned()
            .map(Arc::new);
        let mut events: Vec<Arc<Event>> = wanted.collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.created_at));
        events
    }

    fn invoke(&mut self, draft: &Draft) -> String {
        if self.events.contains_key(&draft.id.to_bits()) {
            return shown(Error::AlreadyExists { id: draft.id });
        }
        let at = self.stamp();
        let of_same = |event: &Event| {
            event.invoker.same_person(&draft.invoker) && event.profile == draft.profile
        };
        let wanted = admission()
            .observation(draft, at.time())
            .of_profile
            .unwrap();
        let counted = self.newest_first(|event| event.created_at > wanted.created_after);
        let place = wanted.nth_newest.map(|nth| nth.get() as usize - 1);
        let active = self.newest_first(|event| of_same(event) && event.is_active(at.time()));
        let observed = Observed {
            active: active.first().map(|event| ActiveEvent {
                id: event.id,
                expires_at: event.expires_at,
            }),
            last_created_at: None,
            of_person: Counted::default(),
            of_profile: Counted {
                count: counted.len() as u64,
                nth_newest: place
                    .and_then(|place| counted.get(place))
                    .map(|event| event.created_at),
            },
        };
        let admitted = match admission().decide(draft, &observed, at.time()) {
            Ok(admitted) => admitted,
            Err(refusal) => return shown(Error::from(refusal)),
        };
        let event = Event::create(draft, &admitted, &Limits::default(), at).unwrap();
        let answer = self.keep(event);
        let over = self.newest_first(|event| {
            of_same(event) && event.status == Status::Active && event.id != draft.id
        });
        for event in over {
            let expired = event.apply(&Change::expire(), self.stamp_after()).unwrap();
            self.keep(expired);
        }
        answer
    }

    fn stamp_after(&self) -> Version {
        Version::from_nanos(self.last.unwrap_or(self.clock).max(self.clock - 1) + 1)
    }

    fn update(&mut self, call: Call, expected: Option<Version>) -> String {
        let Some(current) = self.events.get(&1) else {
            return shown(Error::NotFound { id: FIRST });
        };
        let actual = current.updated_at;
        match expected {
            Some(expected) if expected != actual => {
                shown(Error::Conflict(Conflict { expected, actual }))
            }
            _ => match current.apply(&change(call).unwrap(), self.stamp()) {
                Ok(event) => self.keep(event),
                Err(rejection) => shown(Error::from(rejection)),
            },
        }
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = String;

    fn apply(&mut self, call: &Call) -> String {
        match *call {
            Call::Invoke(invoker, id) => self.invoke(&draft(invoker, id)),
            Call::CloseFirst => self.update(*call, Some(Version::from_nanos(START))),
            Call::Delete => match self.events.get(&1).map(|event| event.status) {
                Some(Status::Active) => shown(Err::<(), _>(Error::NotTerminal {
                    id: FIRST,
                    status: Status::Active,
                })),
                _ => {
                    self.events.remove(&1);
                    shown(Ok::<(), Error>(()))
                }
            },
            Call::FindActive => {
                let at = DateTime::from_timestamp_nanos(START + 1);
                let alice = person("alice");
                listed(
                    self.newest_first(|event| event.invoker == alice && event.is_active(at))
                        .first(),
                )
            }
            Call::ListActive => listed(&self.newest_first(|event| event.status == Status::Active)),
            Call::PassHour => {
                self.clock += 3600 * 1_000_000_000;
                String::new()
            }
            Call::Read(id) => {
                let found = self.events.get(&id).cloned().map(Arc::new);
                shown(found.ok_or(Error::NotFound {
                    id: EventId::from_bits(id),
                }))
            }
            _ => self.update(*call, None),
        }
    }
}

fn parts(setup: &[Call]) -> Parts<Naive, Harness> {
    Parts {
        specification: Naive {
            clock: START,
            last: None,
            events: BTreeMap::new(),
        },
        store: harness,
        call: perform,
        setup: setup.to_vec(),
        closing: vec![
            Call::Read(1),
            Call::Read(2),
            Call::Read(3),
            Call::Read(4),
            Call::ListActive,
            Call::FindActive,
        ],
        audit: |harness| harness.store.audit(),
    }
}

const ACTIVE: Model = Model {
    name: "breakglass_2x2",
    claim: "two threads with two calls each beside an active event: one active event for a person \
            and profile under any spelling, the quota is never exceeded, a closed slot is freed \
            once, an expired event is replaced in one step, the first writer wins",
    threads: 2,
    operations: 4,
    at_least: 182_535,
    preemptions: None,
};

const ALPHABET: [Call; 10] = [
    Call::Invoke("alice", 1),
    Call::Invoke("ALICE", 2),
    Call::Invoke("bob", 3),
    Call::Close,
    Call::CloseFirst,
    Call::Expire,
    Call::Note("one"),
    Call::Delete,
    Call::FindActive,
    Call::PassHour,
];

#[test]
fn breakglass_2x2() {
    ACTIVE.check_scenarios(
        scenarios(&ALPHABET, 2, 2),
        parts(&[Call::Invoke("alice", 1)]),
    );
}

#[test]
fn breakglass_3x1() {
    let model = Model {
        name: "breakglass_3x1",
        claim: "the same of three threads with one call each",
        threads: 3,
        operations: 3,
        at_least: 126_666,
        ..ACTIVE
    };
    model.check_scenarios(
        scenarios(&ALPHABET, 3, 1),
        parts(&[Call::Invoke("alice", 1)]),
    );
}

#[test]
fn breakglass_invoke_2x2() {
    let model = Model {
        name: "breakglass_invoke_2x2",
        claim: "two threads with two invocations each on an empty store: duplicate ids, one active \
                event for a person and profile, a quota of two, all decided in one step",
        at_least: 3_129,
        ..ACTIVE
    };
    let alphabet = [
        Call::Invoke("alice", 1),
        Call::Invoke("ALICE", 2),
        Call::Invoke("bob", 3),
        Call::Invoke("carol", 4),
        Call::PassHour,
    ];
    model.check_scenarios(scenarios(&alphabet, 2, 2), parts(&[]));
}
