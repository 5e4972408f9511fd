//! The specification itself: what each call does to a plain list of requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::sync::history::Specification;

use super::*;

/// The store as one caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    clock: i64,
    last: Option<i64>,
    requests: BTreeMap<u64, Arc<Request>>,
    /// What each operation was, and its answer.
    operations: BTreeMap<u64, (Call, Arc<Request>)>,
    /// The changes of what is there, in order, and the last that was seen.
    log: Vec<(Version, u64)>,
    seen: Option<Version>,
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
            operations: BTreeMap::new(),
            log: Vec::new(),
            seen: None,
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
        let id = request.id.to_bits();
        self.last = Some(request.updated_at.as_nanos());
        self.log.push((request.updated_at, id));
        self.requests.insert(id, Arc::clone(&request));
        Answer::Request(request)
    }

    /// Makes the first call of an operation, and repeats its answer to the others.
    fn once(
        &mut self,
        call: Call,
        operation: u64,
        make: impl FnOnce(&mut Self) -> Answer,
    ) -> Answer {
        // The version that a change was to be made at is no part of what it is.
        let content = match call {
            Call::ChangeOnce(id, _, wish, _) => Call::Change(id, wish),
            other => other,
        };
        match self.operations.get(&operation) {
            Some((first, request)) if *first == content => Answer::Request(Arc::clone(request)),
            Some((_, request)) => Answer::Reused(request.id.to_bits()),
            None => {
                let answer = make(self);
                if let Answer::Request(request) = &answer {
                    let first = (content, Arc::clone(request));
                    self.operations.insert(operation, first);
                }
                answer
            }
        }
    }

    fn create(&mut self, draft: &Draft) -> Answer {
        let id = draft.id.to_bits();
        if self.requests.contains_key(&id) {
            return Answer::Exists;
        }
        let request = Request::create(draft, &LIMITS, &terms(id), self.stamp());
        self.keep(request.unwrap())
    }

    fn update(&mut self, id: u64, change: &Change, expected: Option<Version>) -> Answer {
        let Some(current) = self.requests.get(&id) else {
            return Answer::NotFound;
        };
        let actual = current.updated_at;
        match expected {
            Some(expected) if expected != actual => Answer::Conflict(Conflict { expected, actual }),
            _ => match current.apply(change, self.stamp()) {
                Ok(request) => self.keep(request),
                Err(rejection) => Error::from(rejection).into(),
            },
        }
    }

    fn delete(&mut self, id: u64, ended_before: Option<DateTime<Utc>>) -> Answer {
        let stamp = self.stamp();
        match self.requests.get(&id) {
            Some(request) if !request.is_terminal(stamp.time()) => {
                Answer::NotTerminal(request.status)
            }
            Some(request)
                if ended_before.is_some_and(|time| request.ended_at().unwrap() >= time) =>
            {
                Answer::Retained
            }
            Some(_) => {
                self.last = Some(stamp.as_nanos());
                self.requests.remove(&id);
                self.log.retain(|(_, of)| *of != id);
                let others = |(_, request): &(Call, Arc<Request>)| request.id.to_bits() != id;
                self.operations.retain(|_, first| others(first));
                Answer::Deleted(true)
            }
            None => Answer::Deleted(false),
        }
    }

    fn changes(&self, after: Option<Version>, limit: usize) -> Answer {
        let later = self
            .log
            .iter()
            .filter(|(version, _)| Some(*version) > after);
        let changed = |(version, id): &(Version, u64)| {
            let request = Arc::clone(&self.requests[id]);
            let entry = request.history.iter().find(|entry| entry.to == *version);
            Changed {
                version: *version,
                entry: Arc::clone(entry.unwrap()),
                request,
            }
        };
        Answer::Changes(later.take(limit).map(changed).collect())
    }

    /// Those wanted, by `rank`, then by id.
    fn ranked<K: Ord>(
        &self,
        wanted: impl Fn(&Request) -> bool,
        rank: impl Fn(&Request) -> K,
    ) -> Vec<Arc<Request>> {
        let wanted = self.requests.values().filter(|request| wanted(request));
        let mut found: Vec<Arc<Request>> = wanted.cloned().collect();
        found.sort_by_key(|request| (rank(request), request.id));
        found
    }

    fn ended(&self, before: DateTime<Utc>) -> Vec<Arc<Request>> {
        let ended = |request: &Request| request.ended_at().is_some_and(|time| time < before);
        self.ranked(ended, Request::ended_at)
    }

    /// The longest access of a person that is free, or ends with this policy.
    fn find_grant(&self, person: usize, hours: u32, policy: Option<PolicyDigest>) -> Answer {
        let (person, at) = (&CAST.people[person], after_start(hours));
        let holds = |request: &Request| match request.ends_with_policy {
            true => policy.is_some() && request.policy == policy,
            false => true,
        };
        let mut found = self.newest_first(|request| {
            request.requester == *person && request.grant(at).is_some() && holds(request)
        });
        found.sort_by_key(|request| std::cmp::Reverse(request.access_until));
        found.truncate(1);
        Answer::Found(found)
    }

    /// Marks as expired what the answer says to have been: it was due, and as it was looked at.
    fn expire(&mut self, marked: &Request) -> Answer {
        let before = marked.history.last().and_then(|entry| entry.from);
        self.update(marked.id.to_bits(), &Change::expire(), before)
    }

    fn newest_first(&self, wanted: impl Fn(&Request) -> bool) -> Vec<Arc<Request>> {
        let wanted = self.requests.values().filter(|request| wanted(request));
        let mut found: Vec<Arc<Request>> = wanted.cloned().collect();
        found.sort_by_key(|request| std::cmp::Reverse(request.created_at));
        found
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Create(id) => self.create(draft(id)),
            Call::CreateOnce(id, operation) => self.once(call, operation, |store| {
                store.create(&draft_once(id, operation))
            }),
            Call::Change(id, wish) => self.update(id, &change(id, wish), None),
            Call::ChangeAt(id, version, wish) => self.update(id, &change(id, wish), Some(version)),
            Call::ChangeOnce(id, version, wish, operation) => {
                let change = change(id, wish).with_operation(OperationId::from_bits(operation));
                self.once(call, operation, |store| {
                    store.update(id, &change, Some(version))
                })
            }
            Call::Delete(id) => self.delete(id, None),
            Call::DeleteOld(id, hours) => self.delete(id, Some(after_start(hours))),
            Call::Get(id) => match self.requests.get(&id) {
                Some(request) => Answer::Request(Arc::clone(request)),
                None => Answer::NotFound,
            },
            // Which of those that are due or over it is, the answer says: see `explains`.
            Call::ExpireDue => Answer::Done,
            Call::DeleteEnded(hours) => {
                let before = after_start(hours).min(DateTime::from_timestamp_nanos(self.clock));
                match self.ended(before).first() {
                    Some(request) => self.delete(request.id.to_bits(), Some(before)),
                    None => Answer::Deleted(false),
                }
            }
            Call::FindGrant(person, hours) => self.find_grant(person, hours, None),
            Call::FindGrantUnder(person, hours, policy) => {
                self.find_grant(person, hours, Some(digest(policy)))
            }
            Call::ListOf(person) => {
                Answer::Found(self.newest_first(|request| request.requester == CAST.people[person]))
            }
            Call::List(status) => {
                Answer::Found(self.newest_first(|request| request.status == status))
            }
            Call::Waiting(_) => {
                let waits = |request: &Request| request.status == Status::Pending;
                Answer::Found(self.ranked(waits, |request| request.created_at))
            }
            Call::Open(person, hours) => {
                let at = after_start(hours);
                let ends_at = |request: &Request| match request.status {
                    Status::Pending => Some(request.decide_by),
                    Status::Approved => request.access_until,
                    _ => None,
                };
                let open = |request: &Request| {
                    request.requester == CAST.people[person] && ends_at(request) > Some(at)
                };
                Answer::Found(self.ranked(open, |request| std::cmp::Reverse(ends_at(request))))
            }
            Call::Due(hours) => {
                let due = |request: &Request| {
                    request.status == Status::Pending && request.decide_by <= after_start(hours)
                };
                Answer::Found(self.ranked(due, |request| request.decide_by))
            }
            Call::Ended(hours) => Answer::Found(self.ended(after_start(hours))),
            Call::ChangesSince(after, limit) => self.changes(after, limit),
            Call::NextChanges(limit) => {
                let answer = self.changes(self.seen, limit);
                if let Answer::Changes(changes) = &answer {
                    self.seen = changes.last().map(|last| last.version).or(self.seen);
                }
                answer
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
        self.log.retain(|(_, of)| *of != id);
        let kept = other.requests.into_iter().find(|(other, _)| *other == id);
        self.requests.extend(kept);
        self.log
            .extend(other.log.iter().filter(|(_, of)| *of == id));
        self.log.sort();
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        let is_first = |operation| !self.operations.contains_key(&operation);
        let writes = call.writes() || call.operation().is_some_and(is_first);
        if let (true, true, Some(written)) = (self.part, writes, answer.request()) {
            // Others write less often than once a nanosecond for a second.
            let least = self.stamp().as_nanos();
            let version = written.updated_at.as_nanos();
            if !(least..least + 1_000_000_000).contains(&version) {
                return false;
            }
            self.last = Some(version - 1);
        }
        match (call, answer) {
            (Call::ExpireDue, Answer::Request(marked)) => self.expire(marked) == *answer,
            // It was another by the time that it was to be deleted.
            (Call::DeleteEnded(_), Answer::Deleted(false)) => true,
            _ => self.apply(*call) == *answer,
        }
    }
}
