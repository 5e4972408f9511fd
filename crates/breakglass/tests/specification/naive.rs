//! The specification itself: what each call does to a plain list of events.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::sync::history::Specification;

use super::*;

/// The store as one caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    clock: i64,
    last: Option<i64>,
    events: BTreeMap<u64, Arc<Event>>,
    /// What each operation was, and its answer.
    operations: BTreeMap<u64, (Call, Arc<Event>)>,
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
            events: BTreeMap::new(),
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

    fn keep(&mut self, event: Event) -> Answer {
        let event = Arc::new(event);
        let id = event.id.to_bits();
        let before = self.events.get(&id).map_or(0, |event| event.history.len());
        for entry in &event.history[before..] {
            self.log.push((entry.to, id));
        }
        self.last = Some(event.updated_at.as_nanos());
        self.events.insert(id, Arc::clone(&event));
        Answer::Event(event)
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
            Some((first, event)) if *first == content => Answer::Event(Arc::clone(event)),
            Some((_, event)) => Answer::Reused(event.id.to_bits()),
            None => {
                let answer = make(self);
                if let Answer::Event(event) = &answer {
                    let first = (content, Arc::clone(event));
                    self.operations.insert(operation, first);
                }
                answer
            }
        }
    }

    fn changes(&self, after: Option<Version>, limit: usize) -> Answer {
        let later = self
            .log
            .iter()
            .filter(|(version, _)| Some(*version) > after);
        let changed = |(version, id): &(Version, u64)| {
            let event = Arc::clone(&self.events[id]);
            let entry = event.history.iter().find(|entry| entry.to == *version);
            Changed {
                version: *version,
                entry: Arc::clone(entry.unwrap()),
                event,
            }
        };
        Answer::Changes(later.take(limit).map(changed).collect())
    }

    /// Those wanted, that which was over first coming first.
    fn soonest_over(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Arc<Event>> {
        let wanted = self.events.values().filter(|event| wanted(event));
        let mut found: Vec<Arc<Event>> = wanted.cloned().collect();
        found.sort_by_key(|event| (event.ended_at(), event.id));
        found
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

    fn invoke(&mut self, draft: &Draft, admission: &Admission) -> Answer {
        if self.events.contains_key(&draft.id.to_bits()) {
            return Answer::Exists;
        }
        let at = self.stamp();
        let of_person = |event: &Event| event.invoker.same_person(&draft.invoker);
        let of_profile = |event: &Event| event.profile == draft.profile;
        let of_both = |event: &Event| of_person(event) && of_profile(event);
        let wanted = admission.observation(draft, at.time());
        let before = self.newest_first(of_both);
        let active = before.iter().find(|event| event.is_active(at.time()));
        let last_created_at = before.first().map(|event| event.created_at);
        let proof = |event: &Event| event.mfa.as_ref().map(|proof| proof.id.clone());
        let mut events = self.events.values();
        let used_by = events.find(|event| wanted.proof.is_some() && proof(event) == wanted.proof);
        let due = |event: &Event| {
            let over = !event.is_active(at.time());
            wanted.unreviewed && of_person(event) && over && event.review.is_none()
        };
        let unreviewed = self.soonest_over(due).first().map(|event| UnreviewedEvent {
            id: event.id,
            ended_at: event.ended_at(),
        });
        let observed = Observed {
            active: active.map(|event| ActiveEvent {
                id: event.id,
                expires_at: event.expires_at,
            }),
            last_created_at: last_created_at.filter(|_| wanted.last_created_at),
            of_person: self.count(wanted.of_person, of_person),
            of_profile: self.count(wanted.of_profile, of_profile),
            proof_used_by: used_by.map(|event| event.id),
            unreviewed,
        };
        let admitted = match admission.decide(draft, &observed, at.time()) {
            Ok(admitted) => admitted,
            Err(refusal) => return Answer::Refused(refusal),
        };
        let mut event = Event::create(draft, &admitted, &LIMITS, at).unwrap();
        if let Some(overridden) = admitted.follow_up() {
            self.last = Some(at.as_nanos());
            event = event.apply(&overridden, self.stamp()).unwrap();
        }
        let answer = self.keep(event);
        for over in before.iter().filter(|event| event.status == Status::Active) {
            let expired = over.apply(&EXPIRE, self.stamp()).unwrap();
            self.keep(expired);
        }
        answer
    }

    fn update(&mut self, id: u64, change: &Change, expected: Option<Version>) -> Answer {
        let Some(current) = self.events.get(&id) else {
            return Answer::NotFound;
        };
        let actual = current.updated_at;
        match expected {
            Some(expected) if expected != actual => Answer::Conflict(Conflict { expected, actual }),
            _ => match current.apply(change, self.stamp()) {
                Ok(event) => self.keep(event),
                Err(rejection) => Error::from(rejection).into(),
            },
        }
    }

    fn delete(&mut self, id: u64) -> Answer {
        let Some(event) = self.events.get(&id) else {
            return Answer::Deleted(false);
        };
        let at = self.stamp();
        if let Err(error) = RETENTION.check(event, at.time()) {
            return error.into();
        }
        self.last = Some(at.as_nanos());
        self.events.remove(&id);
        self.log.retain(|(_, of)| *of != id);
        let others = |(_, event): &(Call, Arc<Event>)| event.id.to_bits() != id;
        self.operations.retain(|_, first| others(first));
        Answer::Deleted(true)
    }

    fn ended(&self, before: DateTime<Utc>) -> Vec<Arc<Event>> {
        self.soonest_over(|event| {
            event.status != Status::Active && event.review.is_some() && event.ended_at() < before
        })
    }

    /// Marks as expired what the answer says to have been: it was due, and as it was looked at.
    fn expire(&mut self, marked: &Event) -> Answer {
        let before = marked.history.last().and_then(|entry| entry.from);
        self.update(marked.id.to_bits(), &EXPIRE, before)
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Invoke(id) => self.invoke(&cast(id).draft, &cast(id).admission),
            Call::InvokeOverriding(id) => self.invoke(&cast(id).draft, &cast(id).overriding),
            Call::InvokeOnce(id, operation) => self.once(call, operation, |store| {
                store.invoke(&draft_once(id, operation), &cast(id).admission)
            }),
            Call::Change(id, wish) => self.update(id, change(id, wish), None),
            Call::ChangeAt(id, version, wish) => self.update(id, change(id, wish), Some(version)),
            Call::ChangeOnce(id, version, wish, operation) => {
                let change = change_once(id, wish, operation);
                self.once(call, operation, |store| {
                    store.update(id, &change, Some(version))
                })
            }
            Call::Delete(id) => self.delete(id),
            // Which of those that are due it is, the answer says: see `explains`.
            Call::ExpireDue => Answer::Done,
            Call::DeleteEnded(hours) => match self.ended(after_start(hours)).first() {
                Some(event) => self.delete(event.id.to_bits()),
                None => Answer::Deleted(false),
            },
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
            Call::AwaitingReview(hours) => {
                let at = after_start(hours);
                let awaits = |event: &Event| event.review.is_none() && !event.is_active(at);
                Answer::Found(self.soonest_over(awaits))
            }
            Call::Due(hours) => {
                let at = after_start(hours);
                let due = |event: &Event| event.status == Status::Active && event.expires_at <= at;
                Answer::Found(self.soonest_over(due))
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

    /// Takes the event `id` as calls elsewhere have left it in `other`.
    pub fn overwrite(&mut self, other: Self, id: u64) {
        self.last = self.last.max(other.last);
        self.events.remove(&id);
        self.log.retain(|(_, of)| *of != id);
        self.log
            .extend(other.log.iter().filter(|(_, of)| *of == id));
        self.log.sort();
        let kept = other.events.into_iter().find(|(other, _)| *other == id);
        self.events.extend(kept);
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        let is_first = |operation| !self.operations.contains_key(&operation);
        let writes = call.writes() || call.operation().is_some_and(is_first);
        if let (true, true, Some(written)) = (self.part, writes, answer.event()) {
            // Others write less often than once a nanosecond for a second.
            let least = self.stamp().as_nanos();
            let version = written.updated_at.as_nanos();
            if !(least..least + 1_000_000_000).contains(&version) {
                return false;
            }
            self.last = Some(version - 1);
        }
        match (call, answer) {
            (Call::ExpireDue, Answer::Event(marked)) => self.expire(marked) == *answer,
            // It was gone, or is still to be kept.
            (Call::DeleteEnded(_), Answer::Deleted(false)) => true,
            _ => self.apply(*call) == *answer,
        }
    }
}
