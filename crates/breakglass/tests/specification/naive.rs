//! The specification itself: what each call does to a plain list of emergencies, and what time it is
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
    emergencies: BTreeMap<u64, Arc<Emergency>>,
    /// The second factors that were ever used, and for what.
    proofs: Vec<(ProofId, EmergencyId)>,
    /// What each operation was, and its answer.
    keys: BTreeMap<u64, (Call, Arc<Emergency>)>,
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
            emergencies: BTreeMap::new(),
            proofs: Vec::new(),
            keys: BTreeMap::new(),
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

    fn began(&self, emergency: &Emergency) -> DateTime<Utc> {
        self.moment(emergency.created_at, emergency.created)
    }

    /// Whether the emergency began more than an hour later than the clock was corrected to, and that
    /// was an hour ago.
    fn is_void(&self, emergency: &Emergency, at: i64) -> bool {
        self.correction.is_some_and(|(version, to)| {
            emergency.created.as_nanos() < version
                && nanos(emergency.created_at) > to + AN_HOUR
                && at >= to + AN_HOUR
        })
    }

    fn gives_access(&self, emergency: &Emergency, at: i64) -> bool {
        emergency.status == Status::Active
            && (nanos(emergency.created_at)..nanos(emergency.expires_at)).contains(&at)
            && !self.is_void(emergency, at)
    }

    fn is_over(&self, emergency: &Emergency, at: i64) -> bool {
        emergency.status != Status::Active
            || nanos(emergency.expires_at) <= at
            || self.is_void(emergency, at)
    }

    /// When the emergency was over, as far as is known now.
    fn over_since(&self, emergency: &Emergency) -> DateTime<Utc> {
        let is_end =
            |entry: &&Arc<HistoryEntry>| matches!(entry.action, Action::Closed | Action::Expired);
        match emergency.history.iter().find(is_end) {
            Some(end) => self.moment(end.at, end.to).min(emergency.expires_at),
            None if self.began(emergency) < emergency.created_at => self.began(emergency),
            None => emergency.expires_at,
        }
    }

    fn stamp(&self, at: i64) -> Stamp {
        let floor = self.last.map_or(self.clock, |last| last + 1);
        Stamp {
            version: Version::from_nanos(self.clock.max(floor)),
            now: time(at).into(),
        }
    }

    fn keep(&mut self, emergency: Emergency) -> Answer {
        let emergency = Arc::new(emergency);
        let id = emergency.id.to_bits();
        let before = self
            .emergencies
            .get(&id)
            .map_or(0, |emergency| emergency.history.len());
        for entry in &emergency.history[before..] {
            self.log.push((entry.to, id));
            self.last_at = Some(nanos(entry.at));
        }
        self.last = Some(emergency.updated_at.as_nanos());
        self.emergencies.insert(id, Arc::clone(&emergency));
        Answer::Emergency(emergency)
    }

    /// Makes the first call of an operation, and repeats its answer to the others.
    fn once(&mut self, call: Call, key: u64, make: impl FnOnce(&mut Self) -> Answer) -> Answer {
        // The version that a change was to be made at is no part of what it is.
        let content = match call {
            Call::ChangeOnce(id, _, wish, _) => Call::Change(id, wish),
            other => other,
        };
        match self.keys.get(&key) {
            Some((first, emergency)) if *first == content => {
                Answer::Emergency(Arc::clone(emergency))
            }
            Some((_, emergency)) => Answer::Reused(emergency.id.to_bits()),
            None => {
                let answer = make(self);
                if let Answer::Emergency(emergency) = &answer {
                    let first = (content, Arc::clone(emergency));
                    self.keys.insert(key, first);
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
            let emergency = Arc::clone(&self.emergencies[id]);
            let entry = emergency.history.iter().find(|entry| entry.to == *version);
            Changed {
                version: *version,
                entry: Arc::clone(entry.unwrap()),
                emergency,
            }
        };
        Answer::Changes(later.take(limit).map(changed).collect())
    }

    /// Those wanted, that which was over first coming first.
    fn soonest_over(&self, wanted: impl Fn(&Emergency) -> bool) -> Vec<Arc<Emergency>> {
        let wanted = self
            .emergencies
            .values()
            .filter(|emergency| wanted(emergency));
        let mut found: Vec<Arc<Emergency>> = wanted.cloned().collect();
        found.sort_by_key(|emergency| (emergency.ended_at(), emergency.id));
        found
    }

    fn newest_first(&self, wanted: impl Fn(&Emergency) -> bool) -> Vec<Arc<Emergency>> {
        let wanted = self
            .emergencies
            .values()
            .filter(|emergency| wanted(emergency));
        let mut found: Vec<Arc<Emergency>> = wanted.cloned().collect();
        found.sort_by_key(|emergency| std::cmp::Reverse(emergency.created));
        found
    }

    fn count(&self, wanted: Option<CountWanted>, of: impl Fn(&Emergency) -> bool) -> Counted {
        let Some(wanted) = wanted else {
            return Counted::default();
        };
        let counted = self.emergencies.values().filter(|emergency| of(emergency));
        let mut counted: Vec<_> = counted.map(|emergency| self.began(emergency)).collect();
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
        if self.emergencies.contains_key(&draft.id.to_bits()) {
            return Answer::Exists;
        }
        let at = self.look(true);
        let stamp = self.stamp(at);
        let of_user = |emergency: &Emergency| emergency.invoker.same_user(&draft.invoker);
        let of_profile = |emergency: &Emergency| emergency.profile == draft.profile;
        let of_both = |emergency: &Emergency| of_user(emergency) && of_profile(emergency);
        let wanted = admission.observation(draft, time(at));
        let before = self.newest_first(of_both);
        let active = before
            .iter()
            .find(|emergency| self.gives_access(emergency, at));
        let last_created_at = before.iter().map(|emergency| self.began(emergency)).max();
        let mut proofs = self.proofs.iter();
        let used_by = proofs.find(|(proof, _)| Some(proof) == wanted.proof.as_ref());
        let due = |emergency: &Emergency| {
            let over = self.is_over(emergency, at);
            wanted.unreviewed && of_user(emergency) && over && emergency.review.is_none()
        };
        let unreviewed = self
            .soonest_over(due)
            .first()
            .map(|emergency| UnreviewedEmergency {
                id: emergency.id,
                ended_at: self.over_since(emergency),
            });
        let observed = Observed {
            active: active.map(|emergency| ActiveEmergency {
                id: emergency.id,
                expires_at: emergency.expires_at,
            }),
            last_created_at: last_created_at.filter(|_| wanted.last_created_at),
            of_user: self.count(wanted.of_user, of_user),
            of_profile: self.count(wanted.of_profile, of_profile),
            proof_used_by: used_by.map(|(_, emergency)| *emergency),
            unreviewed,
        };
        let admitted = match admission.decide(draft, &observed, time(at)) {
            Ok(admitted) => admitted,
            Err(refusal) => return Answer::Refused(refusal),
        };
        let mut emergency = Emergency::create(draft, &admitted, &LIMITS, stamp).unwrap();
        if let Some(overridden) = admitted.follow_up() {
            self.last = Some(stamp.version.as_nanos());
            emergency = emergency.apply(&overridden, self.stamp(at)).unwrap();
        }
        let used = draft.mfa.iter().map(|proof| (proof.id.clone(), draft.id));
        self.proofs.extend(used);
        let answer = self.keep(emergency);
        for over in before
            .iter()
            .filter(|emergency| emergency.status == Status::Active)
        {
            let expired = self.expired(over, at);
            self.keep(expired);
        }
        answer
    }

    /// The emergency marked as over: by time, or by the clock if its time is not over.
    fn expired(&self, emergency: &Emergency, at: i64) -> Emergency {
        let stamp = self.stamp(at);
        if nanos(emergency.expires_at) <= at {
            return emergency.apply(&EXPIRE, stamp).unwrap();
        }
        let mut emergency = emergency.clone();
        emergency.history.push(Arc::new(HistoryEntry {
            action: Action::Expired,
            actor: Actor::Clock,
            reason: None,
            idempotency_key: None,
            from: Some(emergency.updated_at),
            to: stamp.version,
            at: time(at),
        }));
        emergency.status = Status::Expired;
        emergency.updated_at = stamp.version;
        emergency
    }

    fn update(
        &mut self,
        id: u64,
        wish: Wish,
        change: &Change,
        expected: Option<Version>,
    ) -> Answer {
        let Some(current) = self.emergencies.get(&id).cloned() else {
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
            Ok(emergency) => self.keep(emergency),
            Err(rejection) => Error::from(rejection).into(),
        }
    }

    fn delete(&mut self, id: u64) -> Answer {
        let Some(emergency) = self.emergencies.get(&id).cloned() else {
            return Answer::Deleted(false);
        };
        let at = self.look(true);
        if emergency.status == Status::Active {
            return Answer::NotTerminal(emergency.status);
        }
        if emergency.review.is_none() {
            return Answer::Refused(Refusal::Unreviewed { id: emergency.id });
        }
        let settled = self.jumped_at.map(|jumped_at| jumped_at + AN_HOUR);
        if let Some(until) = settled.filter(|settled| at < *settled) {
            return Answer::Jumped(time(until));
        }
        let until = self.over_since(&emergency) + RETENTION.keep_for();
        if time(at) < until {
            let id = emergency.id;
            return Answer::Refused(Refusal::Kept { id, until });
        }
        self.last = Some(self.stamp(at).version.as_nanos());
        self.last_at = Some(at);
        self.emergencies.remove(&id);
        self.log.retain(|(_, of)| *of != id);
        let others = |(_, emergency): &(Call, Arc<Emergency>)| emergency.id.to_bits() != id;
        self.keys.retain(|_, first| others(first));
        Answer::Deleted(true)
    }

    fn list_ended(&mut self, before: DateTime<Utc>) -> Vec<Arc<Emergency>> {
        self.look(false);
        self.soonest_over(|emergency| {
            emergency.status != Status::Active
                && emergency.review.is_some()
                && self.over_since(emergency) < before
        })
    }

    /// Marks as expired what the answer says to have been: it was due, and as it was looked at.
    fn expire(&mut self, marked: &Emergency) -> Answer {
        let before = marked.history.last().and_then(|entry| entry.from);
        self.update(marked.id.to_bits(), Wish::Expire, &EXPIRE, before)
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Invoke(id) => self.invoke(&cast(id).draft, &cast(id).admission),
            Call::InvokeOverriding(id) => self.invoke(&cast(id).draft, &cast(id).overriding),
            Call::InvokeOnce(id, key) => self.once(call, key, |store| {
                store.invoke(&draft_once(id, key), &cast(id).admission)
            }),
            Call::Change(id, wish) => self.update(id, wish, change(id, wish), None),
            Call::ChangeAt(id, version, wish) => {
                self.update(id, wish, change(id, wish), Some(version))
            }
            Call::ChangeOnce(id, version, wish, key) => {
                let change = change_once(id, wish, key);
                self.once(call, key, |store| {
                    store.update(id, wish, &change, Some(version))
                })
            }
            Call::Delete(id) => self.delete(id),
            // Which of those that are due it is, the answer says: see `explains`.
            Call::ExpireDue => Answer::Done,
            Call::DeleteEnded(hours) => match self.list_ended(after_start(hours)).first() {
                Some(emergency) => self.delete(emergency.id.to_bits()),
                None => Answer::Deleted(false),
            },
            Call::Get(id) => match self.emergencies.get(&id) {
                Some(emergency) => Answer::Emergency(Arc::clone(emergency)),
                None => Answer::NotFound,
            },
            Call::FindGrant(id) => {
                let at = self.look(false);
                let draft = &cast(id).draft;
                let granted = self.newest_first(|emergency| {
                    emergency.invoker == draft.invoker
                        && emergency.profile == draft.profile
                        && self.gives_access(emergency, at)
                });
                assert!(granted.len() < 2, "two are active: {granted:?}");
                Answer::Granted(granted.first().map(|emergency| emergency.expires_at))
            }
            Call::ActiveAt(id, hours) => {
                let (draft, at) = (&cast(id).draft, after_start(hours));
                Answer::Found(self.newest_first(|emergency| {
                    emergency.invoker == draft.invoker
                        && emergency.profile == draft.profile
                        && emergency.status == Status::Active
                        && (emergency.created_at..emergency.expires_at).contains(&at)
                }))
            }
            Call::ListOf(id) => {
                let invoker = &cast(id).draft.invoker;
                Answer::Found(self.newest_first(|emergency| emergency.invoker == *invoker))
            }
            Call::ListFor(id) => {
                let profile = &cast(id).draft.profile;
                Answer::Found(self.newest_first(|emergency| emergency.profile == *profile))
            }
            Call::List(status) => {
                Answer::Found(self.newest_first(|emergency| emergency.status == status))
            }
            Call::Due => {
                let at = self.look(false);
                let mut due = self.soonest_over(|emergency| {
                    emergency.status == Status::Active && self.is_over(emergency, at)
                });
                // By time, then by the clock.
                due.sort_by_key(|emergency| nanos(emergency.expires_at) > at);
                Answer::Found(due)
            }
            Call::AwaitingReview => {
                let at = self.look(false);
                let awaits = |emergency: &Emergency| {
                    emergency.review.is_none() && self.is_over(emergency, at)
                };
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

    /// Takes the emergency `id` as calls elsewhere have left it in `other`.
    pub fn overwrite(&mut self, other: Self, id: u64) {
        self.last = self.last.max(other.last);
        self.last_at = self.last_at.max(other.last_at);
        self.emergencies.remove(&id);
        self.log.retain(|(_, of)| *of != id);
        self.log
            .extend(other.log.iter().filter(|(_, of)| *of == id));
        self.log.sort();
        let kept = other
            .emergencies
            .into_iter()
            .find(|(other, _)| *other == id);
        self.emergencies.extend(kept);
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        let is_first = |key| !self.keys.contains_key(&key);
        let writes = call.writes() || call.key().is_some_and(is_first);
        if let (true, true, Some(written)) = (self.part, writes, answer.emergency()) {
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
                let emergency = self.emergencies.get(id);
                settled.contains(&nanos(*until))
                    && emergency.is_some_and(|emergency| {
                        emergency.is_terminal() && emergency.review.is_some()
                    })
            }
            (Call::ExpireDue, Answer::Emergency(marked)) => self.expire(marked) == *answer,
            // It was gone, or is still to be kept.
            (Call::DeleteEnded(_), Answer::Deleted(false)) => true,
            _ => self.apply(*call) == *answer,
        }
    }
}
