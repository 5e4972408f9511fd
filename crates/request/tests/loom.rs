//! Models of the store: every small scenario of its operations, against a sequential
//! specification. Run by `cargo xtask loom`.
//!
//! The rules themselves are pure functions, and the specification calls the same ones; what is
//! explored is whether a store that is called by several threads answers as if they took turns.
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
use countersign_core::sync::history::Specification;
use countersign_core::sync::model::{Model, Parts, scenarios, shown};
use countersign_request::*;

const START: i64 = 1_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
const ID: RequestId = RequestId::from_bits(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    Create,
    Approve,
    /// Approves the version that the request was created at, and no other.
    ApproveFirst,
    Deny,
    Cancel,
    Revoke,
    Expire,
    Note(&'static str),
    Delete,
    FindGrant,
    ListApproved,
    /// A day goes by: the deadline passes.
    PassDeadline,
    /// Reads everything that there is.
    Read,
}

fn person(name: &str) -> Person {
    Person::new(name).unwrap()
}

fn profile() -> Profile {
    Profile::new("prod").unwrap()
}

fn draft() -> Draft {
    Draft {
        id: ID,
        requester: person("alice"),
        profile: profile(),
        duration: Duration::from_secs(3600),
        justification: "migrate the orders table".into(),
        ticket: None,
    }
}

fn change(call: Call) -> Option<Change> {
    let json = r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob", "carol"]}]}"#;
    let policy: ApprovalPolicy = json.parse().unwrap();
    let (profile, bob, carol) = (profile(), person("bob"), person("carol"));
    match call {
        Call::Approve | Call::ApproveFirst => Some(Change::approve(&policy, &profile, &bob, None)),
        Call::Deny => Some(Change::deny(&policy, &profile, &carol, None)),
        Call::Cancel => Some(Change::cancel(&person("alice"), None)),
        Call::Revoke => Some(Change::revoke(&policy, &profile, &carol, None)),
        Call::Expire => Some(Change::expire()),
        Call::Note(text) => Some(Change::note(&person("alice"), text)),
        _ => None,
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

fn brief(result: Result<Arc<Request>, Error>) -> String {
    match result {
        Ok(request) => format!("{} {}", request.status, request.updated_at.as_nanos()),
        Err(error) => shown(error),
    }
}

fn listed<'a>(requests: impl IntoIterator<Item = &'a Arc<Request>>) -> String {
    let all: Vec<String> = requests
        .into_iter()
        .map(|request| brief(Ok(request.clone())))
        .collect();
    all.join(", ")
}

fn perform(harness: &Harness, call: &Call) -> String {
    let store = harness.store.sync();
    match *call {
        Call::Create => brief(store.create(&draft())),
        Call::ApproveFirst => {
            brief(store.update(ID, Version::from_nanos(START), &change(*call).unwrap()))
        }
        Call::Delete => shown(store.delete(ID)),
        Call::FindGrant => {
            let at = DateTime::from_timestamp_nanos(START + 1);
            listed(&store.find_grant(&person("alice"), &profile(), at).unwrap())
        }
        Call::ListApproved => listed(
            &store
                .list(&Filter::Status(Status::Approved), Page::default())
                .unwrap()
                .items,
        ),
        Call::PassDeadline => {
            harness.clock.advance(DAY);
            String::new()
        }
        Call::Read => shown(store.get(ID)),
        _ => {
            let change = change(*call).unwrap();
            let update = harness
                .store
                .update_with(ID, &harness.retry, |_| Ok(change.clone()));
            brief(now(update))
        }
    }
}

/// The store as one caller would see it, written without table, lock or index. There is one id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Naive {
    clock: i64,
    last: Option<i64>,
    request: Option<Request>,
}

impl Naive {
    fn stamp(&self) -> Version {
        Version::from_nanos(
            self.last
                .map_or(self.clock, |last| self.clock.max(last + 1)),
        )
    }

    fn keep(&mut self, request: Request) -> String {
        self.last = Some(request.updated_at.as_nanos());
        self.request = Some(request.clone());
        brief(Ok(Arc::new(request)))
    }

    fn update(&mut self, call: Call, expected: Option<Version>) -> String {
        let Some(current) = &self.request else {
            return shown(Error::NotFound { id: ID });
        };
        let actual = current.updated_at;
        match expected {
            Some(expected) if expected != actual => {
                shown(Error::Conflict(Conflict { expected, actual }))
            }
            _ => match current.apply(&change(call).unwrap(), self.stamp()) {
                Ok(request) => self.keep(request),
                Err(rejection) => shown(Error::from(rejection)),
            },
        }
    }

    fn delete(&mut self) -> Result<(), Error> {
        let stamp = self.stamp();
        if let Some(request) = &self.request {
            if !request.is_terminal(stamp.time()) {
                return Err(Error::NotTerminal {
                    id: ID,
                    status: request.status,
                });
            }
            self.last = Some(stamp.as_nanos());
            self.request = None;
        }
        Ok(())
    }

    fn only_if(&self, wanted: impl Fn(&Request) -> bool) -> String {
        let found = self.request.clone().filter(wanted).map(Arc::new);
        listed(&found)
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = String;

    fn apply(&mut self, call: &Call) -> String {
        match *call {
            Call::Create if self.request.is_some() => shown(Error::AlreadyExists { id: ID }),
            Call::Create => {
                let request = Request::create(&draft(), &Limits::default(), self.stamp());
                self.keep(request.unwrap())
            }
            Call::ApproveFirst => self.update(*call, Some(Version::from_nanos(START))),
            Call::Delete => shown(self.delete()),
            Call::FindGrant => {
                let at = DateTime::from_timestamp_nanos(START + 1);
                self.only_if(|request| request.grant(at).is_some())
            }
            Call::ListApproved => self.only_if(|request| request.status == Status::Approved),
            Call::PassDeadline => {
                self.clock += DAY.as_nanos() as i64;
                String::new()
            }
            Call::Read => {
                let found = self.request.clone().map(Arc::new);
                shown(found.ok_or(Error::NotFound { id: ID }))
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
            request: None,
        },
        store: harness,
        call: perform,
        setup: setup.to_vec(),
        closing: vec![
            Call::Read,
            Call::ListApproved,
            Call::FindGrant,
            Call::Create,
            Call::Read,
        ],
        audit: |harness| harness.store.audit(),
    }
}

const PENDING: Model = Model {
    name: "request_2x2",
    claim: "two threads with two calls each on a pending request: approve, deny, cancel, expire \
            and revoke exclude each other, the first writer wins, losers get the winner's version \
            or its status, `update_with` loses nothing, versions are never issued again",
    threads: 2,
    operations: 4,
    at_least: 636_188,
    preemptions: None,
};

const ALPHABET: [Call; 11] = [
    Call::Create,
    Call::Approve,
    Call::ApproveFirst,
    Call::Deny,
    Call::Cancel,
    Call::Revoke,
    Call::Expire,
    Call::Note("one"),
    Call::Delete,
    Call::FindGrant,
    Call::PassDeadline,
];

#[test]
fn request_2x2() {
    PENDING.check_scenarios(scenarios(&ALPHABET, 2, 2), parts(&[Call::Create]));
}

#[test]
fn request_3x1() {
    let model = Model {
        name: "request_3x1",
        claim: "the same of three threads with one call each",
        threads: 3,
        operations: 3,
        at_least: 518_811,
        ..PENDING
    };
    model.check_scenarios(scenarios(&ALPHABET, 3, 1), parts(&[Call::Create]));
}

#[test]
fn request_approved_2x1() {
    let model = Model {
        name: "request_approved_2x1",
        claim: "two threads with one call each on an approved request: a grant that is revoked is \
                found by nobody afterwards, two notes are both kept",
        operations: 2,
        at_least: 808,
        ..PENDING
    };
    let alphabet = [
        &ALPHABET[..],
        &[Call::Note("two"), Call::ListApproved, Call::Read],
    ]
    .concat();
    model.check_scenarios(
        scenarios(&alphabet, 2, 1),
        parts(&[Call::Create, Call::Approve]),
    );
}
