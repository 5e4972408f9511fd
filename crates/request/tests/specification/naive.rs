//! The specification itself: what each call does to a plain list of requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::sync::history::Specification;

use super::time::Time;
use super::*;

/// The store as one caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    clock: DateTime<Utc>,
    time: Time,
    requests: BTreeMap<u64, Arc<Request>>,
    /// What each operation was, and its answer.
    keys: BTreeMap<u64, (Call, Arc<Request>)>,
    /// The changes of what is there, in order, and the last that was seen.
    log: Vec<(Version, u64)>,
    seen: Option<Version>,
    /// Whether the calls of others, which move the last version on, are left out of the history.
    part: bool,
    /// The last step that may have been a jump, as far as the calls of the part can tell.
    may_have_jumped_at: Option<DateTime<Utc>>,
}

impl Naive {
    /// Sees every call: versions are exactly those that it issues itself.
    pub fn whole() -> Self {
        Self {
            clock: after_start(0),
            time: Time::default(),
            requests: BTreeMap::new(),
            keys: BTreeMap::new(),
            log: Vec::new(),
            seen: None,
            part: false,
            may_have_jumped_at: None,
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

    /// What time it is, and will be after a step.
    fn step(&self) -> Time {
        let mut step = self.time.step(self.clock);
        if self.part {
            // Whether it was a jump depends on the calls of others, too.
            step.jumped_at = self.time.jumped_at;
        }
        step
    }

    fn remember(&mut self, step: Time) {
        if self.part && self.may_jump_to(step.at()) {
            self.may_have_jumped_at = step.at;
        }
        self.time = step;
    }

    /// What time it is for a read, which remembers a correction.
    fn look(&mut self) -> Time {
        let now = self.step();
        if now.has_corrected(&self.time) {
            self.time.notice(&now);
        }
        now
    }

    /// Remembers what a step that was refused has found out about the clock.
    fn notice(&mut self, step: &Time) {
        if self.part && self.may_jump_to(step.at()) {
            self.may_have_jumped_at = step.at;
        }
        self.time.notice(step);
    }

    /// Whether a step at this time may have been a jump: the last step of anybody was no earlier
    /// than the last of this part.
    fn may_jump_to(&self, at: DateTime<Utc>) -> bool {
        self.time.at.is_none_or(|last| last + 24 * HOUR < at)
    }

    fn keep(&mut self, step: Time, request: Request) -> Answer {
        let request = Arc::new(request);
        let id = request.id.to_bits();
        self.remember(step);
        self.log.push((request.updated_at, id));
        self.requests.insert(id, Arc::clone(&request));
        Answer::Request(request)
    }

    /// Makes the first call of an operation, and repeats its answer to the others.
    fn once(&mut self, call: Call, key: u64, make: impl FnOnce(&mut Self) -> Answer) -> Answer {
        // The version that a change was to be made at is no part of what it is.
        let content = match call {
            Call::ChangeOnce(id, _, wish, _) => Call::Change(id, wish),
            other => other,
        };
        match self.keys.get(&key) {
            Some((first, request)) if *first == content => Answer::Request(Arc::clone(request)),
            Some((_, request)) => Answer::Reused(request.id.to_bits()),
            None => {
                let answer = make(self);
                if let Answer::Request(request) = &answer {
                    let first = (content, Arc::clone(request));
                    self.keys.insert(key, first);
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
        let step = self.step();
        match step.create(draft, &LIMITS, &terms(id)) {
            Ok(request) => self.keep(step, request),
            Err(error) => {
                self.notice(&step);
                error.into()
            }
        }
    }

    fn update(&mut self, id: u64, change: &Change, expected: Option<Version>) -> Answer {
        let Some(current) = self.requests.get(&id) else {
            return Answer::NotFound;
        };
        let (actual, step) = (current.updated_at, self.step());
        match expected {
            Some(expected) if expected != actual => Answer::Conflict(Conflict { expected, actual }),
            _ => match step.apply(current, change) {
                Ok(request) => self.keep(step, request),
                Err(error) => {
                    self.notice(&step);
                    error.into()
                }
            },
        }
    }

    fn delete(&mut self, id: u64, ended_before: Option<DateTime<Utc>>) -> Answer {
        let Some(request) = self.requests.get(&id) else {
            return Answer::Deleted(false);
        };
        let step = self.step();
        if let Err(error) = step.check_deletion(request, ended_before) {
            self.notice(&step);
            return error.into();
        }
        self.remember(step);
        self.requests.remove(&id);
        self.log.retain(|(_, of)| *of != id);
        let others = |(_, request): &(Call, Arc<Request>)| request.id.to_bits() != id;
        self.keys.retain(|_, first| others(first));
        Answer::Deleted(true)
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

    fn list_ended(&mut self, before: DateTime<Utc>) -> Vec<Arc<Request>> {
        let now = self.look();
        let ended = |request: &Request| now.ended_before(request, before);
        self.ranked(ended, Request::ended_at)
    }

    /// Marks as over what the answer says to have been: it was due, and as it was looked at.
    fn expire(&mut self, marked: &Request) -> Answer {
        let before = marked.history.last().and_then(|entry| entry.from);
        let change = match marked.status {
            Status::Ended => Change::end_void(),
            _ => Change::expire(),
        };
        self.update(marked.id.to_bits(), &change, before)
    }

    fn newest_first(&self, wanted: impl Fn(&Request) -> bool) -> Vec<Arc<Request>> {
        let wanted = self.requests.values().filter(|request| wanted(request));
        let mut found: Vec<Arc<Request>> = wanted.cloned().collect();
        found.sort_by_key(|request| std::cmp::Reverse(request.created));
        found
    }

    /// The request whose access lasts longest, of those of a user that give access, and that are
    /// free or end with this policy.
    fn longest(
        &self,
        user: usize,
        policy: Option<PolicyDigest>,
        time: &Time,
    ) -> Option<Arc<Request>> {
        let user = &CAST.people[user];
        let holds = |request: &Request| match request.ends_with_policy {
            true => policy.is_some() && request.policy == policy,
            false => true,
        };
        let mut found = self.newest_first(|request| {
            request.requester == *user && time.gives_access(request) && holds(request)
        });
        found.sort_by_key(|request| (std::cmp::Reverse(request.access_until), request.id));
        found.into_iter().next()
    }

    fn find_grant(&mut self, user: usize, policy: Option<PolicyDigest>) -> Answer {
        let now = self.look();
        let found = self.longest(user, policy, &now);
        let grant = found.map(|request| request.grant(now.at()).unwrap());
        match now.granting() {
            Ok(()) => Answer::Granted(grant),
            Err(error) => Answer::Clock(error),
        }
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Create(id) => self.create(draft(id)),
            Call::CreateOnce(id, key) => {
                self.once(call, key, |store| store.create(&draft_once(id, key)))
            }
            Call::Change(id, wish) => self.update(id, &change(id, wish), None),
            Call::ChangeAt(id, version, wish) => self.update(id, &change(id, wish), Some(version)),
            Call::ChangeOnce(id, version, wish, key) => {
                let change = change(id, wish).with_idempotency_key(IdempotencyKey::from_bits(key));
                self.once(call, key, |store| store.update(id, &change, Some(version)))
            }
            Call::Delete(id) => self.delete(id, None),
            Call::DeleteOld(id, hours) => self.delete(id, Some(after_start(hours))),
            Call::Get(id) => match self.requests.get(&id) {
                Some(request) => Answer::Request(Arc::clone(request)),
                None => Answer::NotFound,
            },
            // Which of those that are due it is, the answer says: see `explains`.
            Call::ExpireDue => Answer::Done,
            Call::DeleteEnded(hours) => {
                let before = after_start(hours).min(self.look().at());
                match self.list_ended(before).first() {
                    Some(request) => self.delete(request.id.to_bits(), Some(before)),
                    None => Answer::Deleted(false),
                }
            }
            Call::FindGrant(user) => self.find_grant(user, None),
            Call::FindGrantUnder(user, policy) => self.find_grant(user, Some(digest(policy))),
            Call::AccessAt(user, hours) => {
                let time = Time {
                    at: Some(after_start(hours)),
                    ..Time::default()
                };
                Answer::Found(self.longest(user, None, &time).into_iter().collect())
            }
            Call::Due => {
                let now = self.look();
                let due = |request: &Request| now.is_due(request) || now.is_void(request);
                Answer::Found(self.ranked(due, |request| match request.access_until {
                    Some(until) => (true, until),
                    None => (false, request.decide_by),
                }))
            }
            Call::Now => {
                let now = self.look();
                let made = now.corrections.last().map(|made| (made.from, made.to));
                Answer::Time(now.at(), made)
            }
            Call::ListOf(user) => {
                Answer::Found(self.newest_first(|request| request.requester == CAST.people[user]))
            }
            Call::List(status) => {
                Answer::Found(self.newest_first(|request| request.status == status))
            }
            Call::Waiting(_) => {
                let waits = |request: &Request| request.status == Status::Pending;
                Answer::Found(self.ranked(waits, |request| request.created))
            }
            Call::Open(user) => {
                let now = self.look();
                let ends_at = |request: &Request| match request.status {
                    Status::Pending => Some(request.decide_by),
                    Status::Approved => request.access_until,
                    _ => None,
                };
                let open = |request: &Request| {
                    request.requester == CAST.people[user] && now.is_open(request)
                };
                Answer::Found(self.ranked(open, |request| std::cmp::Reverse(ends_at(request))))
            }
            Call::Ended(hours) => Answer::Found(self.list_ended(after_start(hours))),
            Call::ChangesSince(after, limit) => self.changes(after, limit),
            Call::NextChanges(limit) => {
                let answer = self.changes(self.seen, limit);
                if let Answer::Changes(changes) = &answer {
                    self.seen = changes.last().map(|last| last.version).or(self.seen);
                }
                answer
            }
            Call::Pass(hours) => {
                self.clock += hours * HOUR;
                Answer::Done
            }
            Call::Set(hours) => {
                self.clock = after_start(hours);
                Answer::Done
            }
        }
    }

    /// Takes what the calls of another part have left in `other`, for the request `id` alone.
    pub fn overwrite(&mut self, other: Self, id: u64) {
        if other.time.version > self.time.version {
            self.time = other.time;
        }
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
        let is_first = |key| !self.keys.contains_key(&key);
        let writes = call.writes() || call.key().is_some_and(is_first);
        if let (true, true, Some(written)) = (self.part, writes, answer.request()) {
            // Others write less often than once a nanosecond for a second.
            let least = self.step().version.unwrap();
            let version = written.updated_at.as_nanos();
            if !(least..least + 1_000_000_000).contains(&version) {
                return false;
            }
            self.time.version = Some(version - 1);
        }
        if let (true, Answer::Jumped(until)) = (self.part, answer) {
            // By a step of others, or by one of this part before.
            let jumped_at = *until - HOUR;
            let by_others = jumped_at <= self.clock && self.may_jump_to(jumped_at);
            if !by_others && self.may_have_jumped_at != Some(jumped_at) {
                return false;
            }
            self.time.jumped_at = Some(jumped_at);
        }
        match (call, answer) {
            (Call::ExpireDue, Answer::Request(marked)) => self.expire(marked) == *answer,
            // It was another by the time that it was to be deleted.
            (Call::DeleteEnded(_), Answer::Deleted(false)) => true,
            _ => self.apply(*call) == *answer,
        }
    }
}
