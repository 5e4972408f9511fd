//! The specification itself: what each call does to a plain list of events, and what time it is
//! for it, said without the store's own rules of time.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::sync::history::Specification;

use super::*;

const MINUTE: i64 = 60_000_000_000;
const AN_HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * AN_HOUR;

/// The store as one caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    clock: i64,
    last: Option<i64>,
    /// The time of the last step that was made, or that has found out something about the clock.
    last_at: Option<i64>,
    /// The version of the last correction, and what it corrected the clock to.
    correction: Option<(i64, i64)>,
    /// When the clock has last gone forward by more than a day.
    jumped_at: Option<i64>,
    events: BTreeMap<u64, Arc<Event>>,
    /// The second factors that were ever used, and for what.
    proofs: Vec<(ProofId, EventId)>,
    /// What each operation was, and its answer.
    operations: BTreeMap<u64, (Call, Arc<Event>)>,
    /// The changes of what is there, in order, and the last that was seen.
    log: Vec<(Version, u64)>,
    seen: Option<Version>,
    /// Whether the calls of others, which move the last version on, are left out of the history.
    part: bool,
}

fn time(nanos: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(nanos)
}

fn nanos(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap()
}

impl Naive {
    /// Sees every call: versions are exactly those that it issues itself.
    pub fn whole() -> Self {
        Self {
            clock: START,
            last: None,
            last_at: None,
            correction: None,
            jumped_at: None,
            events: BTreeMap::new(),
            proofs: Vec::new(),
            operations: BTreeMap::new(),
            log: Vec::new(),
            seen: None,
            part: false,
        }
    }

    /// Sees a part of the calls: how far the others have moved the last version on, it learns from
    /// the answers. The clock of such a history never goes back.
    pub fn part() -> Self {
        Self {
            part: true,
            ..Self::whole()
        }
    }

    /// What time it is for a call that looks at it. Whoever finds the clock more than a minute
    /// behind the last step corrects it, whatever becomes of the call; a step that finds it more
    /// than a day ahead remembers that too.
    fn look(&mut self, is_step: bool) -> i64 {
        let Some(last) = self.last_at else {
            return self.clock;
        };
        if self.clock < last - MINUTE {
            let version = self.last.unwrap() + 1;
            self.last = Some(version);
            self.last_at = Some(self.clock);
            self.correction = Some((version, self.clock));
            self.jumped_at = self.jumped_at.map(|jumped_at| jumped_at.min(self.clock));
        } else if is_step && self.clock > last + DAY && !self.part {
            self.last_at = Some(self.clock);
            self.jumped_at = Some(self.clock);
        }
        self.clock.max(self.last_at.unwrap())
    }

    /// When what a step dated with its time counts as done: what was dated later than the clock was
    /// corrected to afterwards was done at the correction.
    fn moment(&self, dated: DateTime<Utc>, version: Version) -> DateTime<Utc> {
        match self.correction {
            Some((corrected, to)) if version.as_nanos() < corrected => dated.min(time(to)),
            _ => dated,
        }
    }

    fn began(&self, event: &Event) -> DateTime<Utc> {
        self.moment(event.created_at, event.created)
    }

    /// Whether the event began more than an hour later than the clock was corrected to, and that
    /// was an hour ago.
    fn is_void(&self, event: &Event, at: i64) -> bool {
        self.correction.is_some_and(|(version, to)| {
            event.created.as_nanos() < version
                && nanos(event.created_at) > to + AN_HOUR
                && at >= to + AN_HOUR
        })
    }

    fn gives_access(&self, event: &Event, at: i64) -> bool {
        event.status == Status::Active
            && (nanos(event.created_at)..nanos(event.expires_at)).contains(&at)
            && !self.is_void(event, at)
    }

    fn is_over(&self, event: &Event, at: i64) -> bool {
        event.status != Status::Active || nanos(event.expires_at) <= at || self.is_void(event, at)
    }

    /// When the event was over, as far as is known now.
    fn over_since(&self, event: &Event) -> DateTime<Utc> {
        let is_end =
            |entry: &&Arc<HistoryEntry>| matches!(entry.action, Action::Closed | Action::Expired);
        match event.history.iter().find(is_end) {
            Some(end) => self.moment(end.at, end.to).min(event.expires_at),
            None if self.began(event) < event.created_at => self.began(event),
            None => event.expires_at,
        }
    }

    fn stamp(&self, at: i64) -> Stamp {
        let floor = self.last.map_or(self.clock, |last| last + 1);
        Stamp {
            version: Version::from_nanos(self.clock.max(floor)),
            now: time(at).into(),
        }
    }

    fn keep(&mut self, event: Event) -> Answer {
        let event = Arc::new(event);
        let id = event.id.to_bits();
        let before = self.events.get(&id).map_or(0, |event| event.history.len());
        for entry in &event.history[before..] {
            self.log.push((entry.to, id));
            self.last_at = Some(nanos(entry.at));
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
        found.sort_by_key(|event| std::cmp::Reverse(event.created));
        found
    }

    fn count(&self, wanted: Option<CountWanted>, of: impl Fn(&Event) -> bool) -> Counted {
        let Some(wanted) = wanted else {
            return Counted::default();
        };
        let counted = self.events.values().filter(|event| of(event));
        let mut counted: Vec<_> = counted.map(|event| self.began(event)).collect();
        counted.retain(|began| *began > wanted.created_after);
        counted.sort();
        counted.reverse();
        let place = wanted.nth_newest.map(|nth| nth.get() as usize - 1);
        Counted {
            count: counted.len() as u64,
            nth_newest: place.and_then(|place| counted.get(place).copied()),
        }
    }

    fn invoke(&mut self, draft: &Draft, admission: &Admission) -> Answer {
        if self.events.contains_key(&draft.id.to_bits()) {
            return Answer::Exists;
        }
        let at = self.look(true);
        let stamp = self.stamp(at);
        let of_person = |event: &Event| event.invoker.same_person(&draft.invoker);
        let of_profile = |event: &Event| event.profile == draft.profile;
        let of_both = |event: &Event| of_person(event) && of_profile(event);
        let wanted = admission.observation(draft, time(at));
        let before = self.newest_first(of_both);
        let active = before.iter().find(|event| self.gives_access(event, at));
        let last_created_at = before.iter().map(|event| self.began(event)).max();
        let mut proofs = self.proofs.iter();
        let used_by = proofs.find(|(proof, _)| Some(proof) == wanted.proof.as_ref());
        let due = |event: &Event| {
            let over = self.is_over(event, at);
            wanted.unreviewed && of_person(event) && over && event.review.is_none()
        };
        let unreviewed = self.soonest_over(due).first().map(|event| UnreviewedEvent {
            id: event.id,
            ended_at: self.over_since(event),
        });
        let observed = Observed {
            active: active.map(|event| ActiveEvent {
                id: event.id,
                expires_at: event.expires_at,
            }),
            last_created_at: last_created_at.filter(|_| wanted.last_created_at),
            of_person: self.count(wanted.of_person, of_person),
            of_profile: self.count(wanted.of_profile, of_profile),
            proof_used_by: used_by.map(|(_, event)| *event),
            unreviewed,
        };
        let admitted = match admission.decide(draft, &observed, time(at)) {
            Ok(admitted) => admitted,
            Err(refusal) => return Answer::Refused(refusal),
        };
        let mut event = Event::create(draft, &admitted, &LIMITS, stamp).unwrap();
        if let Some(overridden) = admitted.follow_up() {
            self.last = Some(stamp.version.as_nanos());
            event = event.apply(&overridden, self.stamp(at)).unwrap();
        }
        let used = draft.mfa.iter().map(|proof| (proof.id.clone(), draft.id));
        self.proofs.extend(used);
        let answer = self.keep(event);
        for over in before.iter().filter(|event| event.status == Status::Active) {
            let expired = self.expired(over, at);
            self.keep(expired);
        }
        answer
    }

    /// The event marked as over: by time, or by the clock if its time is not over.
    fn expired(&self, event: &Event, at: i64) -> Event {
        let stamp = self.stamp(at);
        if nanos(event.expires_at) <= at {
            return event.apply(&EXPIRE, stamp).unwrap();
        }
        let mut event = event.clone();
        event.history.push(Arc::new(HistoryEntry {
            action: Action::Expired,
            actor: Actor::Clock,
            reason: None,
            operation: None,
            from: Some(event.updated_at),
            to: stamp.version,
            at: time(at),
        }));
        event.status = Status::Expired;
        event.updated_at = stamp.version;
        event
    }

    fn update(
        &mut self,
        id: u64,
        wish: Wish,
        change: &Change,
        expected: Option<Version>,
    ) -> Answer {
        let Some(current) = self.events.get(&id).cloned() else {
            return Answer::NotFound;
        };
        let actual = current.updated_at;
        if expected.is_some_and(|expected| expected != actual) {
            let expected = expected.unwrap();
            return Answer::Conflict(Conflict { expected, actual });
        }
        let at = self.look(true);
        let stamp = self.stamp(at);
        let is_void = current.status == Status::Active && self.is_void(&current, at);
        let changed = match wish {
            Wish::Expire if is_void => Ok(self.expired(&current, at)),
            // What a correction has ended is reviewed like what time has.
            Wish::Review | Wish::ReviewToo if is_void => {
                let mut ended = (*current).clone();
                ended.status = Status::Expired;
                ended.apply(change, stamp).map(|mut reviewed| {
                    reviewed.status = Status::Active;
                    reviewed
                })
            }
            _ => current.apply(change, stamp),
        };
        match changed {
            Ok(event) => self.keep(event),
            Err(rejection) => Error::from(rejection).into(),
        }
    }

    fn delete(&mut self, id: u64) -> Answer {
        let Some(event) = self.events.get(&id).cloned() else {
            return Answer::Deleted(false);
        };
        let at = self.look(true);
        if event.status == Status::Active {
            return Answer::NotTerminal(event.status);
        }
        if event.review.is_none() {
            return Answer::Refused(Refusal::Unreviewed { id: event.id });
        }
        let settled = self.jumped_at.map(|jumped_at| jumped_at + AN_HOUR);
        if let Some(until) = settled.filter(|settled| at < *settled) {
            return Answer::Jumped(time(until));
        }
        let until = self.over_since(&event) + RETENTION.keep_for();
        if time(at) < until {
            let id = event.id;
            return Answer::Refused(Refusal::Kept { id, until });
        }
        self.last = Some(self.stamp(at).version.as_nanos());
        self.last_at = Some(at);
        self.events.remove(&id);
        self.log.retain(|(_, of)| *of != id);
        let others = |(_, event): &(Call, Arc<Event>)| event.id.to_bits() != id;
        self.operations.retain(|_, first| others(first));
        Answer::Deleted(true)
    }

    fn list_ended(&mut self, before: DateTime<Utc>) -> Vec<Arc<Event>> {
        self.look(false);
        self.soonest_over(|event| {
            event.status != Status::Active
                && event.review.is_some()
                && self.over_since(event) < before
        })
    }

    /// Marks as expired what the answer says to have been: it was due, and as it was looked at.
    fn expire(&mut self, marked: &Event) -> Answer {
        let before = marked.history.last().and_then(|entry| entry.from);
        self.update(marked.id.to_bits(), Wish::Expire, &EXPIRE, before)
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Invoke(id) => self.invoke(&cast(id).draft, &cast(id).admission),
            Call::InvokeOverriding(id) => self.invoke(&cast(id).draft, &cast(id).overriding),
            Call::InvokeOnce(id, operation) => self.once(call, operation, |store| {
                store.invoke(&draft_once(id, operation), &cast(id).admission)
            }),
            Call::Change(id, wish) => self.update(id, wish, change(id, wish), None),
            Call::ChangeAt(id, version, wish) => {
                self.update(id, wish, change(id, wish), Some(version))
            }
            Call::ChangeOnce(id, version, wish, operation) => {
                let change = change_once(id, wish, operation);
                self.once(call, operation, |store| {
                    store.update(id, wish, &change, Some(version))
                })
            }
            Call::Delete(id) => self.delete(id),
            // Which of those that are due it is, the answer says: see `explains`.
            Call::ExpireDue => Answer::Done,
            Call::DeleteEnded(hours) => match self.list_ended(after_start(hours)).first() {
                Some(event) => self.delete(event.id.to_bits()),
                None => Answer::Deleted(false),
            },
            Call::Get(id) => match self.events.get(&id) {
                Some(event) => Answer::Event(Arc::clone(event)),
                None => Answer::NotFound,
            },
            Call::FindGrant(id) => {
                let at = self.look(false);
                let draft = &cast(id).draft;
                let granted = self.newest_first(|event| {
                    event.invoker == draft.invoker
                        && event.profile == draft.profile
                        && self.gives_access(event, at)
                });
                assert!(granted.len() < 2, "two are active: {granted:?}");
                Answer::Granted(granted.first().map(|event| event.expires_at))
            }
            Call::ActiveAt(id, hours) => {
                let (draft, at) = (&cast(id).draft, after_start(hours));
                Answer::Found(self.newest_first(|event| {
                    event.invoker == draft.invoker
                        && event.profile == draft.profile
                        && event.status == Status::Active
                        && (event.created_at..event.expires_at).contains(&at)
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
            Call::Due => {
                let at = self.look(false);
                let mut due = self.soonest_over(|event| {
                    event.status == Status::Active && self.is_over(event, at)
                });
                // By time, then by the clock.
                due.sort_by_key(|event| nanos(event.expires_at) > at);
                Answer::Found(due)
            }
            Call::AwaitingReview => {
                let at = self.look(false);
                let awaits = |event: &Event| event.review.is_none() && self.is_over(event, at);
                Answer::Found(self.soonest_over(awaits))
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
                self.clock += i64::from(hours) * AN_HOUR;
                Answer::Done
            }
            Call::Back(hours) => {
                self.clock -= i64::from(hours) * AN_HOUR;
                Answer::Done
            }
        }
    }

    /// Takes the event `id` as calls elsewhere have left it in `other`.
    pub fn overwrite(&mut self, other: Self, id: u64) {
        self.last = self.last.max(other.last);
        self.last_at = self.last_at.max(other.last_at);
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
            let least = self.stamp(self.clock).version.as_nanos();
            let version = written.updated_at.as_nanos();
            if !(least..least + 1_000_000_000).contains(&version) {
                return false;
            }
            self.last = Some(version - 1);
        }
        match (call, answer) {
            // When the others made their last step is not known.
            (Call::Delete(id), Answer::Jumped(until)) if self.part => {
                let settled = self.clock..=self.clock + AN_HOUR;
                let event = self.events.get(id);
                settled.contains(&nanos(*until))
                    && event.is_some_and(|event| event.is_terminal() && event.review.is_some())
            }
            (Call::ExpireDue, Answer::Event(marked)) => self.expire(marked) == *answer,
            // It was gone, or is still to be kept.
            (Call::DeleteEnded(_), Answer::Deleted(false)) => true,
            _ => self.apply(*call) == *answer,
        }
    }
}
