//! A naive store, a lock around a list, with a place for each fault.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_breakglass::conformance::Subject;
use countersign_breakglass::*;
use countersign_core::time::{CLOCK_TOLERANCE, EARLIEST, LATEST, Timeline, Writer};

use crate::faults::{Fault, MUTANTS};

/// How often a store with a race gives way in the middle of it.
const YIELDS: usize = 100;

/// A store with the fault that has this number.
pub struct Mutant<const FAULT: usize>(Arc<Naive>);

impl<const FAULT: usize> Subject for Mutant<FAULT> {
    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
        let mut faults = MUTANTS.iter().map(|(fault, _)| *fault);
        let fault = faults.find(|fault| *fault as usize == FAULT);
        let store = Naive {
            fault: fault.unwrap_or(Fault::None),
            clock,
            state: Mutex::default(),
        };
        Box::pin(async move { Self(Arc::new(store)) })
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn reopen(self) -> BoxFuture<'static, Self> {
        self.0.reopen();
        Box::pin(async move { self })
    }
}

#[derive(Default, Clone)]
pub struct State {
    /// In the order of their creation.
    pub emergencies: Vec<Arc<Emergency>>,
    pub timeline: Timeline,
    /// What some faults remember wrongly.
    pub deleted: Vec<Arc<Emergency>>,
    spent: Vec<IdempotencyKey>,
    /// Second factors of creations that were refused, and what those would have begun.
    pub refused: Vec<Arc<Emergency>>,
    /// Emergencies as they were before their last change.
    before: Vec<Arc<Emergency>>,
    pub unlisted: Vec<EmergencyId>,
    pub reopened: Option<Version>,
    /// The latest time that any step had.
    pub latest: Option<DateTime<Utc>>,
}

/// What a step writes and answers.
struct Step {
    writes: Vec<Emergency>,
    timeline: Timeline,
    answer: Arc<Emergency>,
}

impl Step {
    fn nothing(state: &State, answer: Emergency) -> Self {
        let (writes, timeline) = (Vec::new(), state.timeline);
        let answer = Arc::new(answer);
        Self {
            writes,
            timeline,
            answer,
        }
    }
}

pub struct Naive {
    pub fault: Fault,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

async fn give_way() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

impl State {
    fn get(&self, id: EmergencyId) -> Option<&Arc<Emergency>> {
        self.emergencies.iter().find(|emergency| emergency.id == id)
    }

    fn commit(&mut self, step: Step) -> Arc<Emergency> {
        for emergency in step.writes {
            let place = self
                .emergencies
                .iter()
                .position(|old| old.id == emergency.id);
            match place {
                Some(place) => {
                    let old = std::mem::replace(&mut self.emergencies[place], Arc::new(emergency));
                    self.before.retain(|before| before.id != old.id);
                    self.before.push(old);
                }
                None => self.emergencies.push(Arc::new(emergency)),
            }
        }
        self.remember(step.timeline);
        step.answer
    }

    fn remember(&mut self, timeline: Timeline) {
        self.latest = self.latest.max(timeline.last_at());
        self.timeline = timeline;
    }
}

/// The same memory of time with another last version.
fn with_version(timeline: Timeline, version: Version) -> Timeline {
    let at = timeline.last_at().unwrap_or(EARLIEST);
    Timeline::after(version, at, Writer::ONLY)
        .with_corrections(timeline.correction())
        .with_jump(timeline.jumped_at())
}

impl Naive {
    pub fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn reopen(&self) {
        let mut state = self.lock();
        let timeline = state.timeline;
        state.reopened = timeline.version();
        if self.has(Fault::VersionsForgottenOnReopening) {
            state.timeline = with_version(timeline, Version::from_nanos(0));
        }
        if self.has(Fault::CorrectionForgottenOnReopening) {
            let (version, at) = (timeline.version(), timeline.last_at());
            if let (Some(version), Some(at)) = (version, at) {
                let kept = Timeline::after(version, at, Writer::ONLY);
                state.timeline = kept.with_jump(timeline.jumped_at());
            }
        }
        if self.has(Fault::JumpForgottenOnReopening) {
            state.timeline = state.timeline.with_jump(None);
        }
        if self.has(Fault::ReopeningUsesVersion) {
            let now = self.now(&state);
            let mut used = timeline;
            used.stamp(&now).unwrap();
            let version = used.version().unwrap();
            state.timeline = with_version(timeline, version);
        }
        if self.has(Fault::DeletedIsBackOnReopening) {
            let deleted = std::mem::take(&mut state.deleted);
            state.emergencies.extend(deleted);
        }
    }

    /// What time it is for a step or a read.
    pub fn now(&self, state: &State) -> Now {
        let mut reading = self.clock.now();
        let tolerance = match self.fault {
            Fault::NoTolerance => Duration::ZERO,
            Fault::NeverCorrected => Duration::from_secs(1_000_000_000_000),
            _ => CLOCK_TOLERANCE,
        };
        let mut timeline = state.timeline;
        match self.fault {
            Fault::JumpIgnored => timeline = timeline.with_jump(None),
            Fault::EdgesRefused if reading == EARLIEST => reading -= TimeDelta::nanoseconds(1),
            Fault::EdgesRefused if reading == LATEST => reading += TimeDelta::nanoseconds(1),
            Fault::ImplausibleTaken => reading = reading.clamp(EARLIEST, LATEST),
            _ => {}
        }
        let now = timeline.now(reading, Writer::ONLY, tolerance);
        match self.fault {
            Fault::TimeByVersion => {
                let last = timeline
                    .version()
                    .map(|last| last.time() + TimeDelta::nanoseconds(1));
                Now::at_given(last.map_or(reading, |last| last.max(reading)))
            }
            Fault::WrongTimeComesBack => Now::at_given(now.at()),
            _ => now,
        }
    }

    fn stamp(&self, state: &State, timeline: &mut Timeline, now: &Now) -> Result<Stamp, Error> {
        if self.has(Fault::ClockToken) {
            let version = Version::of(self.clock.now()).unwrap();
            return Ok(Stamp { version, now: *now });
        }
        if self.has(Fault::VersionReissuedAfterDelete) {
            let newest = state
                .emergencies
                .iter()
                .map(|emergency| emergency.updated_at)
                .max();
            let this = timeline
                .version()
                .filter(|last| Some(*last) > state.timeline.version());
            if let Some(newest) = newest.max(this) {
                *timeline = with_version(*timeline, newest);
            } else {
                *timeline = Timeline::new();
            }
        }
        let before = *timeline;
        let mut stamp = timeline.stamp(now)?;
        if let (true, Some(last)) = (self.has(Fault::VersionIgnoresClock), before.version()) {
            stamp.version = Version::from_nanos(last.as_nanos() + 1);
            *timeline = with_version(*timeline, stamp.version);
        }
        if let (true, true, Some(last)) = (
            self.has(Fault::CorrectionTakesNoVersion),
            before.correction() != timeline.correction(),
            before.version(),
        ) {
            stamp.version = Version::from_nanos(last.as_nanos() + 1);
            *timeline = with_version(*timeline, stamp.version);
        }
        Ok(stamp)
    }

    /// What a step that is refused, or a read, has found out about the clock.
    fn notice(&self, state: &mut State, is_read: bool) {
        let forgets = match self.fault {
            Fault::CorrectionForgottenByRefusals | Fault::EmptyStoreLearns => !is_read,
            Fault::ReadsMakeNoCorrection => is_read,
            _ => false,
        };
        let now = self.now(state);
        if self.has(Fault::EmptyStoreLearns)
            && now.granting().is_err()
            && state.emergencies.is_empty()
        {
            let wrong = self.clock.now();
            let at = Version::of(wrong).unwrap_or(Version::from_nanos(0));
            state.timeline = Timeline::after(at, wrong, Writer::ONLY);
        }
        if forgets || is_read && now.makes_correction().is_none() {
            return;
        }
        let mut timeline = state.timeline;
        timeline.notice(&now);
        if self.has(Fault::JumpForgottenByRefusals) && now.makes_correction().is_none() {
            timeline = state.timeline;
        }
        state.remember(timeline);
    }

    /// What is read by the store's time.
    pub fn lock_now(&self) -> (MutexGuard<'_, State>, Now) {
        let mut state = self.lock();
        let now = self.now(&state);
        self.notice(&mut state, true);
        (state, now)
    }

    /// Whether the emergency gives access.
    pub fn gives_access(&self, state: &State, emergency: &Emergency, now: &Now) -> bool {
        let is_active = emergency.is_active(*now);
        match self.fault {
            // Whatever was over once stays so.
            Fault::EndedByLatest => {
                is_active && state.latest.is_none_or(|at| at < emergency.expires_at)
            }
            Fault::EndedAtOnce => is_active && emergency.begun_at(now) == emergency.created_at,
            Fault::DatedAheadIsInForce => {
                is_active || emergency.status == Status::Active && emergency.created_at > now.at()
            }
            _ => is_active,
        }
    }

    fn done_before<'s>(
        &self,
        state: &'s State,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Option<&'s Emergency> {
        let forgotten = state
            .reopened
            .filter(|_| self.has(Fault::OperationsForgottenOnReopening));
        let known = |emergency: &&Arc<Emergency>| {
            let mut entries = emergency.history.iter();
            entries
                .any(|entry| entry.idempotency_key == idempotency_key && Some(entry.to) > forgotten)
        };
        let outlived = state
            .deleted
            .iter()
            .filter(|_| self.has(Fault::OperationOutlivesEmergency));
        let mut emergencies = state.emergencies.iter().chain(outlived);
        idempotency_key.and_then(|_| emergencies.find(known).map(|emergency| &**emergency))
    }

    /// The shortest time there is for a store with this fault, and none for others.
    pub fn nano_if(&self, fault: Fault) -> TimeDelta {
        TimeDelta::nanoseconds(self.has(fault).into())
    }

    /// What an admission without any rule gives.
    fn admitted_anyway(&self, draft: &Draft, now: Now) -> Result<Admitted, Error> {
        let anybody: InvocationPolicy = r#"{"version": "1", "rules": [
            {"name": "all", "max_duration": "24h"}]}"#
            .parse()
            .unwrap();
        let admission = Admission::new(&anybody, &RateLimitPolicy::unlimited(), &draft.profile);
        let draft = Draft {
            mfa: None,
            ..draft.clone()
        };
        Ok(admission.decide(&draft, &Observed::default(), now)?)
    }

    /// What a fault remembers of a creation that failed.
    fn remember_failed(&self, state: &mut State, draft: &Draft) {
        if self.has(Fault::FailureLeavesOperation) {
            state.spent.extend(draft.idempotency_key);
        }
        let (mut timeline, now) = (state.timeline, self.now(state));
        let Ok(stamp) = self.stamp(state, &mut timeline, &now) else {
            return;
        };
        let admitted = self.admitted_anyway(draft, now);
        let emergency =
            admitted.map(|admitted| Emergency::create(draft, &admitted, &self.limits(), stamp));
        if let Ok(Ok(emergency)) = emergency {
            state.refused.push(Arc::new(emergency));
        }
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        match self.fault {
            Fault::FieldsUnchecked => limits.max_justification_characters = usize::MAX,
            Fault::FieldsBelowLimits => limits.max_justification_characters -= 1,
            _ => {}
        }
        limits
    }

    /// The step of a creation; `seen` is where its admission looks.
    fn creating(
        &self,
        state: &State,
        seen: &State,
        draft: &Draft,
        admission: &Admission,
    ) -> Result<Step, Error> {
        let outlived = |emergency: &Arc<Emergency>| {
            emergency.id == draft.id && self.has(Fault::IdOutlivesEmergency)
        };
        let taken = || match state.get(draft.id) {
            None if !state.deleted.iter().any(outlived) => Ok(()),
            _ => Err(Error::AlreadyExists { id: draft.id }),
        };
        if self.has(Fault::IdBeforeOperation) {
            taken()?;
        }
        if let Some(idempotency_key) = draft
            .idempotency_key
            .filter(|name| state.spent.contains(name))
        {
            let id = draft.id;
            return Err(Error::IdempotencyKeyReused {
                idempotency_key,
                id,
            });
        }
        if let Some(found) = self.done_before(state, draft.idempotency_key) {
            let first = admission.first_result(draft, found)?;
            return Ok(Step::nothing(state, first));
        }
        let limits = self.limits();
        if self.has(Fault::FieldsBeforeId) {
            limits.check_draft(draft)?;
        }
        taken()?;
        if !self.has(Fault::RulesBeforeFields) {
            limits.check_draft(draft)?;
        }
        let (mut timeline, now) = (state.timeline, self.now(state));
        let stamp = self.stamp(state, &mut timeline, &now)?;
        now.granting()?;
        let observed = self.observe(seen, &admission.observation(draft, now));
        let judged = match (self.fault, &draft.mfa) {
            (Fault::ProofCheckedLate, Some(_)) => {
                Now::at_given(now.at() + TimeDelta::nanoseconds(1))
            }
            (Fault::ProofByLatest, Some(_)) => {
                Now::at_given(state.latest.unwrap_or(now.at()).max(now.at()))
            }
            _ => now,
        };
        let admitted = match admission.decide(draft, &observed, judged) {
            Err(
                Refusal::OtherProfile { .. }
                | Refusal::NoRule { .. }
                | Refusal::User { .. }
                | Refusal::ReasonCode { .. }
                | Refusal::Time { .. }
                | Refusal::Duration { .. }
                | Refusal::MfaRequired { .. },
            ) if self.has(Fault::RulesUnasked) => self.admitted_anyway(draft, now)?,
            admitted => admitted?,
        };
        let mut emergency = Emergency::create(draft, &admitted, &limits, stamp)?;
        let follow_up = admitted
            .follow_up()
            .filter(|_| !self.has(Fault::FollowUpForgotten));
        if let Some(change) = follow_up {
            emergency = emergency.apply(&change, self.stamp(state, &mut timeline, &now)?)?;
        }
        match self.fault {
            Fault::TruncatedTimes => {
                let nanos = emergency.expires_at.timestamp_subsec_nanos() % 1_000;
                emergency.expires_at -= TimeDelta::nanoseconds(nanos.into());
            }
            Fault::TicketForgotten => emergency.ticket = None,
            Fault::CreationWithoutOperation => {
                Arc::make_mut(&mut emergency.history[0]).idempotency_key = None;
            }
            Fault::TextsInAscii => {
                let text = emergency.justification.chars().filter(char::is_ascii);
                emergency.justification = text.collect::<String>().into();
            }
            Fault::ReasonCodeForgotten => emergency.reason_code = ReasonCode::Incident,
            _ => {}
        }
        let mut writes = Vec::new();
        for over in self.replaced(state, draft) {
            let at = if self.has(Fault::ExpiryWithoutVersion) {
                let version = emergency.updated_at;
                Stamp { version, now }
            } else {
                self.stamp(state, &mut timeline, &now)?
            };
            writes.push(self.marked_right(over.apply(&Change::make_way(), at)?));
        }
        let answer = Arc::new(emergency.clone());
        writes.push(emergency);
        Ok(Step {
            writes,
            timeline,
            answer,
        })
    }

    /// By whom the end of an emergency is marked.
    fn marked_right(&self, mut emergency: Emergency) -> Emergency {
        if let (true, Some(entry)) = (self.has(Fault::MarkedByTime), emergency.history.last_mut()) {
            if entry.actor == Actor::Clock {
                Arc::make_mut(entry).actor = Actor::Time;
            }
        }
        emergency
    }

    fn replaced(&self, state: &State, draft: &Draft) -> Vec<Arc<Emergency>> {
        let now = self.clock.now();
        let over = |emergency: &&Arc<Emergency>| {
            let others = self.has(Fault::OverOfOthersExpired) && emergency.expires_at <= now;
            emergency.status == Status::Active
                && (emergency.invoker.same_user(&draft.invoker) || others)
                && emergency.profile == draft.profile
                && !self.has(Fault::OverLeftActive)
        };
        state.emergencies.iter().filter(over).cloned().collect()
    }

    async fn create(&self, draft: &Draft, admission: &Admission) -> Result<Arc<Emergency>, Error> {
        let seen = self.lock().clone();
        match self.fault {
            Fault::CheckThenCreate => {
                let step = self.creating(&seen, &seen, draft, admission)?;
                give_way().await;
                return Ok(self.lock().commit(step));
            }
            Fault::AdmissionBeforeStep => {
                give_way().await;
                let mut state = self.lock();
                let step = self.creating(&state, &seen, draft, admission)?;
                return Ok(state.commit(step));
            }
            Fault::IndexAfterRecord => {
                let emergency = {
                    let mut state = self.lock();
                    let step = self.creating(&state, &state, draft, admission)?;
                    state.unlisted.push(draft.id);
                    state.commit(step)
                };
                give_way().await;
                self.lock().unlisted.retain(|id| *id != draft.id);
                return Ok(emergency);
            }
            _ => {}
        }
        self.create_at_once(draft, admission)
    }

    fn create_at_once(
        &self,
        draft: &Draft,
        admission: &Admission,
    ) -> Result<Arc<Emergency>, Error> {
        let mut state = self.lock();
        let step = self.creating(&state, &state, draft, admission);
        if step.is_err() {
            self.remember_failed(&mut state, draft);
        }
        if step.is_err() && self.has(Fault::OverExpiredThoughRefused) {
            for over in self.replaced(&state, draft) {
                let (mut timeline, now) = (state.timeline, self.now(&state));
                let at = self.stamp(&state, &mut timeline, &now)?;
                if let Ok(expired) = over.apply(&Change::expire(), at) {
                    let answer = Arc::new(expired.clone());
                    let writes = vec![expired];
                    state.commit(Step {
                        writes,
                        timeline,
                        answer,
                    });
                }
            }
        }
        if step.is_err() {
            self.notice(&mut state, false);
        }
        Ok(state.commit(step?))
    }

    fn updating(
        &self,
        state: &State,
        id: EmergencyId,
        expected: Version,
        change: &Change,
    ) -> Result<Step, Error> {
        if let Some(found) = self.done_before(state, change.idempotency_key()) {
            let first = change.first_result(id, found)?;
            return Ok(Step::nothing(state, first));
        }
        let Some(current) = state.get(id) else {
            return Err(if self.has(Fault::AbsentIsAConflict) {
                let actual = expected;
                Error::Conflict(Conflict { expected, actual })
            } else {
                Error::NotFound { id }
            });
        };
        let actual = current.updated_at;
        if let (true, Some(to)) = (self.has(Fault::StatusBeforeVersion), change.target()) {
            let from = current.status;
            if !from.can_become(to) {
                let (by, at) = current.status_since();
                return Err(Error::InvalidTransition { from, to, by, at });
            }
        }
        if actual != expected && !self.has(Fault::LastWriterWins) {
            return Err(Error::Conflict(Conflict { expected, actual }));
        }
        let (mut timeline, now) = (state.timeline, self.now(state));
        let at = self.stamp(state, &mut timeline, &now)?;
        if self.has(Fault::ImplausibleEndsNothing) {
            now.granting()?;
        }
        if let (true, Some(latest)) = (self.has(Fault::OverByLatest), state.latest) {
            if change.target() == Some(Status::Closed) && latest >= current.expires_at {
                let expires_at = current.expires_at;
                return Err(Error::Refused(Refusal::AccessOver { expires_at }));
            }
        }
        let mut current = (**current).clone();
        if self.has(Fault::LastStatusLeft) && change.target().is_some() {
            current.status = Status::Active;
        }
        let mut after = self.marked_right(current.apply(change, at)?);
        match self.fault {
            Fault::OutcomeForgotten => {
                if let Some(review) = &mut after.review {
                    review.outcome = ReviewOutcome::Justified;
                }
            }
            Fault::ReviewMarksOver if after.review.is_some() && !after.is_terminal() => {
                after.status = Status::Expired;
            }
            Fault::ProofNotKept if after.is_terminal() => after.mfa = None,
            _ => {}
        }
        if self.has(Fault::LostOperation) {
            if let Some(entry) = after.history.last_mut() {
                Arc::make_mut(entry).idempotency_key = None;
            }
        }
        if self.has(Fault::IdentityRewritten) {
            if let Some(note) = &after.note {
                after.justification = Arc::clone(note);
            }
        }
        if self.has(Fault::HistoryDeletedAtEnd) && change.target().is_some() {
            after.history = after.history.split_off(after.history.len() - 1);
        }
        let answer = Arc::new(after.clone());
        let mut writes = Vec::new();
        if self.has(Fault::ChangesAllOfUser) {
            let same = |emergency: &&Arc<Emergency>| {
                emergency.invoker == after.invoker && emergency.id != id
            };
            for other in state.emergencies.iter().filter(same) {
                let note = after.note.clone();
                writes.push(Emergency {
                    note,
                    ..(**other).clone()
                });
            }
        }
        writes.push(after);
        Ok(Step {
            writes,
            timeline,
            answer,
        })
    }

    async fn update(
        &self,
        id: EmergencyId,
        expected: Version,
        change: &Change,
    ) -> Result<Arc<Emergency>, Error> {
        if self.has(Fault::CheckThenUpdate) {
            let seen = self.lock().clone();
            let step = self.updating(&seen, id, expected, change)?;
            give_way().await;
            return Ok(self.lock().commit(step));
        }
        let mut state = self.lock();
        let step = self.updating(&state, id, expected, change);
        if step.is_err() {
            self.notice(&mut state, false);
        }
        Ok(state.commit(step?))
    }

    fn delete(&self, id: EmergencyId, retention: &Retention) -> Result<bool, Error> {
        let mut state = self.lock();
        let Some(emergency) = state.get(id).cloned() else {
            return if self.has(Fault::AbsentIsAnError) {
                Err(Error::NotFound { id })
            } else {
                Ok(false)
            };
        };
        let mut now = self.now(&state);
        self.notice(&mut state, false);
        match self.fault {
            Fault::RetentionFromDate if now.deletes_from().is_none() => {
                now = Now::at_given(now.at())
            }
            Fault::DeletesByAnyClock if now.granting().is_err() => now = Now::at_given(now.at()),
            Fault::JumpOutlivesCorrection => {
                let jumped_at = state.latest.filter(|latest| *latest > now.at());
                if let Some(until) = jumped_at {
                    return Err(Error::ClockJumped { until });
                }
            }
            _ => {}
        }
        let mut judged = (*emergency).clone();
        if self.has(Fault::DeleteWhatIsDue) && !emergency.is_active(now) {
            judged.status = Status::Expired;
        }
        if !(self.has(Fault::RetentionIgnored) && emergency.is_terminal()) {
            retention.check(&judged, now)?;
        }
        let (mut timeline, now) = (state.timeline, self.now(&state));
        self.stamp(&state, &mut timeline, &now)?;
        state.remember(timeline);
        state.emergencies.retain(|emergency| emergency.id != id);
        state.deleted.push(emergency);
        Ok(true)
    }
}

impl Store for Naive {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        if self.has(Fault::EagerCreate) {
            let created = self.create_at_once(draft, admission);
            return Box::pin(async move { created });
        }
        Box::pin(self.create(draft, admission))
    }

    fn get(&self, id: EmergencyId) -> BoxFuture<'_, Result<Arc<Emergency>, Error>> {
        Box::pin(async move {
            let state = self.lock();
            let found = state.get(id).ok_or(Error::NotFound { id })?;
            let behind = state.before.iter().find(|emergency| emergency.id == id);
            let behind = behind.filter(|_| self.has(Fault::ReadsBehind));
            Ok(Arc::clone(behind.unwrap_or(found)))
        })
    }

    fn update<'a>(
        &'a self,
        id: EmergencyId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        Box::pin(self.update(id, expected, change))
    }

    fn delete<'a>(
        &'a self,
        id: EmergencyId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move { self.delete(id, retention) })
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        Box::pin(async move { Ok(self.list(filter, page)) })
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        Box::pin(async move { Ok(self.lock_now().1) })
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        Box::pin(async move { self.find_grant(user, profile) })
    }

    fn active_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Emergency>>, Error>> {
        Box::pin(async move { Ok(self.active_at(user, profile, Now::at_given(at))) })
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        Box::pin(async move { Ok(self.list_expirable(limit)) })
    }

    fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> BoxFuture<'_, Result<Listing<lists::AwaitingReview>, Error>> {
        Box::pin(async move { Ok(self.list_awaiting_review(page)) })
    }

    fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        Box::pin(async move { Ok(self.list_ended(before, limit)) })
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(async move { Ok(self.changes_after(after, limit)) })
    }
}
