//! A store of policies as one caller would see it, written without it.

use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};

use countersign_policy::store::{Error, Limits};
use countersign_policy::{
    Attribution, Changed, Expected, IdempotencyKey, InMemory, ManualClock, Policy, Put, Store,
    Stored, Version,
};

use countersign_core::sync::history::Specification;

/// When every store begins: 2026-03-02T09:00:00Z. Its clock stands still.
pub const START: i64 = 1_772_442_000_000_000_000;
/// How many versions are kept.
const MOST: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Puts a policy over this version, or where there is none, with this key.
    Put(Option<Version>, u8, Option<u64>),
    /// Reads, and puts a policy over that, as often as it takes.
    Update(u8),
    Delete(Version, Option<u64>),
    Get,
    Versions,
    /// The next change after those that the calls before it have seen. One thread only calls it.
    NextChange,
}

/// A version as it is told: the version itself and which policy it is.
pub type Told = (Version, u8);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    Written(Told),
    Unchanged(Told),
    Versions(Vec<Told>),
    /// Version, and the policy unless it is a deletion.
    Change(Option<(Version, Option<u8>)>),
    Done,
    NotFound,
    AlreadyExists(Version),
    Conflict(Version),
    Reused,
}

pub struct Harness {
    pub store: InMemory,
    seen: Mutex<Option<Version>>,
}

static POLICIES: LazyLock<[Arc<Policy>; 4]> = LazyLock::new(|| {
    [0, 1, 2, 3].map(|number| {
        let json = format!(
            r#"{{"version": "1", "rules": [{{"name": "{number}", "effect": "allow",
                "conditions": {{"profiles": ["dev"]}}}}]}}"#
        );
        Arc::new(json.parse().unwrap())
    })
});

fn told(stored: &Stored) -> Told {
    let is_it = |policy: &Arc<Policy>| policy.digest() == stored.digest();
    let number = POLICIES.iter().position(is_it).unwrap();
    (stored.version, u8::try_from(number).unwrap())
}

fn attributed(key: Option<u64>) -> Attribution {
    match key {
        None => Attribution::NOBODY,
        Some(bits) => Attribution::NOBODY.with_idempotency_key(IdempotencyKey::from_bits(bits)),
    }
}

fn expecting(version: Option<Version>) -> Expected {
    version.map_or(Expected::Absent, Expected::Version)
}

/// The result of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a call on the store in memory waits"),
    }
}

impl Harness {
    pub fn new() -> Self {
        let start = Version::from_nanos(START).time();
        let limits = Limits {
            max_versions: MOST.try_into().unwrap(),
        };
        Self {
            store: InMemory::new(Arc::new(ManualClock::at(start))).with_limits(limits),
            seen: Mutex::default(),
        }
    }

    pub fn perform(&self, call: &Call) -> Answer {
        match *call {
            Call::Put(expected, policy, key) => {
                self.put(expecting(expected), policy, &attributed(key))
            }
            Call::Update(policy) => loop {
                let expected = match now(self.store.get("main")) {
                    Ok(stored) => Some(stored.version),
                    Err(_) => None,
                };
                match self.put(expecting(expected), policy, &Attribution::NOBODY) {
                    Answer::Conflict(_) | Answer::AlreadyExists(_) | Answer::NotFound => {}
                    answer => return answer,
                }
            },
            Call::Delete(version, key) => {
                match now(self.store.delete("main", version, &attributed(key))) {
                    Ok(()) => Answer::Done,
                    Err(error) => refused(error),
                }
            }
            Call::Get => match now(self.store.get("main")) {
                Ok(stored) => Answer::Versions(vec![told(&stored)]),
                Err(error) => refused(error),
            },
            Call::Versions => match now(self.store.versions("main")) {
                Ok(versions) => {
                    Answer::Versions(versions.iter().map(|stored| told(stored)).collect())
                }
                Err(error) => refused(error),
            },
            Call::NextChange => {
                let seen = *self.seen.lock().unwrap();
                let next = now(self.store.changes_after(seen, 1)).unwrap().pop();
                let next = next.map(|change| match change {
                    Changed::Put(stored) => (stored.version, Some(told(&stored).1)),
                    Changed::Removed(removal) => (removal.version, None),
                });
                *self.seen.lock().unwrap() = next.map(|next| next.0).or(seen);
                Answer::Change(next)
            }
        }
    }

    fn put(&self, expected: Expected, policy: u8, attribution: &Attribution) -> Answer {
        let policy = Arc::clone(&POLICIES[usize::from(policy)]);
        match now(self.store.put("main", expected, policy, attribution)) {
            Ok(Put::Written(stored)) => Answer::Written(told(&stored)),
            Ok(Put::Unchanged(stored)) => Answer::Unchanged(told(&stored)),
            Err(error) => refused(error),
        }
    }
}

fn refused(error: Error) -> Answer {
    match error {
        Error::NotFound { .. } => Answer::NotFound,
        Error::AlreadyExists { actual, .. } => Answer::AlreadyExists(actual),
        Error::Conflict(conflict) => Answer::Conflict(conflict.actual),
        Error::IdempotencyKeyReused { .. } => Answer::Reused,
        error => panic!("{error}"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kept {
    version: Version,
    /// None of a deletion.
    policy: Option<u8>,
    key: Option<u64>,
}

/// The store as one caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    last: i64,
    /// The last deletion, if there was one, and then the versions since, oldest first.
    kept: Vec<Kept>,
    seen: Option<Version>,
}

impl Naive {
    pub fn new() -> Self {
        Self {
            last: START - 1,
            kept: Vec::new(),
            seen: None,
        }
    }

    fn stamp(&mut self) -> Version {
        self.last += 1;
        Version::from_nanos(self.last)
    }

    fn versions(&self) -> impl DoubleEndedIterator<Item = Told> {
        let told = |kept: &Kept| Some((kept.version, kept.policy?));
        self.kept.iter().filter_map(told)
    }

    fn done_before(&self, key: Option<u64>) -> Option<&Kept> {
        let is_it = |kept: &&Kept| key.is_some() && kept.key == key;
        self.kept.iter().find(is_it)
    }

    fn put(&mut self, expected: Option<Version>, policy: u8, key: Option<u64>) -> Answer {
        if let Some(found) = self.done_before(key) {
            return match found.policy == Some(policy) {
                true => Answer::Written((found.version, policy)),
                false => Answer::Reused,
            };
        }
        let current = self.versions().next_back();
        match (expected, current) {
            (None, Some((actual, _))) => return Answer::AlreadyExists(actual),
            (Some(_), None) => return Answer::NotFound,
            (Some(expected), Some((actual, _))) if actual != expected => {
                return Answer::Conflict(actual);
            }
            (_, Some(current)) if current.1 == policy => return Answer::Unchanged(current),
            _ => {}
        }
        let version = self.stamp();
        self.kept.push(Kept {
            version,
            policy: Some(policy),
            key,
        });
        if self.versions().count() > MOST {
            let oldest = self.kept.iter().position(|kept| kept.policy.is_some());
            self.kept.remove(oldest.unwrap());
            self.stamp();
        }
        Answer::Written((version, policy))
    }

    fn delete(&mut self, expected: Version, key: Option<u64>) -> Answer {
        if let Some(found) = self.done_before(key) {
            return match found.policy {
                None => Answer::Done,
                Some(_) => Answer::Reused,
            };
        }
        let current = self.versions().next_back();
        match current {
            None => Answer::NotFound,
            Some((actual, _)) if actual != expected => Answer::Conflict(actual),
            Some(_) => {
                let version = self.stamp();
                for _ in 0..self.kept.len() {
                    self.stamp();
                }
                self.kept = vec![Kept {
                    version,
                    policy: None,
                    key,
                }];
                Answer::Done
            }
        }
    }

    fn apply(&mut self, call: &Call) -> Answer {
        match *call {
            Call::Put(expected, policy, key) => self.put(expected, policy, key),
            Call::Update(policy) => {
                let current = self.versions().next_back();
                self.put(current.map(|(version, _)| version), policy, None)
            }
            Call::Delete(version, key) => self.delete(version, key),
            Call::Get => match self.versions().next_back() {
                Some(current) => Answer::Versions(vec![current]),
                None => Answer::NotFound,
            },
            Call::Versions => match self.versions().rev().collect::<Vec<_>>() {
                none if none.is_empty() => Answer::NotFound,
                versions => Answer::Versions(versions),
            },
            Call::NextChange => {
                let unseen = |kept: &&Kept| Some(kept.version) > self.seen;
                let next = self.kept.iter().find(unseen);
                let next = next.map(|kept| (kept.version, kept.policy));
                self.seen = next.map(|next| next.0).or(self.seen);
                Answer::Change(next)
            }
        }
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        self.apply(call) == *answer
    }
}
