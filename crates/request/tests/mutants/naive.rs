//! A store as one would write it first: a mutex around a vector, sorted and filtered anew for each
//! call. It keeps the contract, unless it is told to break it in one place.

use std::collections::BTreeSet;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use countersign_request::conformance::Subject;
use countersign_request::*;

use crate::faults::Fault;
use crate::time::Time;
use judged::Step;

mod judged;
mod reads;

/// The naive store with one fault.
pub struct Mutant<const FAULT: usize>(Arc<Naive>);

impl<const FAULT: usize> Subject for Mutant<FAULT> {
    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
        let fault = Fault::numbered(FAULT);
        let mut state = State {
            keeps_before: matches!(fault, Fault::IndexAfterTheRecord | Fault::LastWriteLost),
            ..State::default()
        };
        if fault == Fault::NotEmpty {
            state.requests.push(left_over());
        }
        let naive = Naive {
            fault,
            clock,
            state: Mutex::new(state),
        };
        Box::pin(ready(Mutant(Arc::new(naive))))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn reopen(self) -> BoxFuture<'static, Self> {
        Box::pin(ready(Mutant(Arc::new(self.0.reopened()))))
    }
}

pub struct Naive {
    fault: Fault,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    /// In the order of creation.
    requests: Vec<Arc<Request>>,
    time: Time,
    /// What was there before the last write. For faults alone, as all that follows.
    before: Vec<Arc<Request>>,
    keeps_before: bool,
    deleted: Vec<Arc<Request>>,
    failed: Vec<IdempotencyKey>,
    reopened_at: Option<Version>,
}

type Made = Result<Arc<Request>, Error>;

impl State {
    fn place(&self, same: impl Fn(RequestId) -> bool) -> Option<usize> {
        self.requests.iter().position(|request| same(request.id))
    }

    fn last(&self) -> Option<Version> {
        self.time.version.map(Version::from_nanos)
    }

    fn keep(&mut self, step: &Step, place: Option<usize>, request: Request) -> Arc<Request> {
        let request = Arc::new(request);
        let version = Some(request.updated_at.as_nanos());
        let version = version.max(self.time.version);
        self.time = Time {
            version,
            ..step.kept.clone()
        };
        if self.keeps_before {
            self.before = self.requests.clone();
        }
        match place {
            Some(place) => self.requests[place] = request.clone(),
            None => self.requests.push(request.clone()),
        }
        request
    }
}

impl State {
    fn floor_of_what_is_there(&self) -> Option<i64> {
        let versions = self.requests.iter().map(|r| r.updated_at.as_nanos());
        versions.max()
    }
}

fn cut(time: DateTime<Utc>, to: TimeDelta) -> DateTime<Utc> {
    time.duration_trunc(to).unwrap()
}

/// A request that another store has left behind.
fn left_over() -> Arc<Request> {
    let request = r#"{"id": "00000000ffffffff", "requester": "zoe", "profile": "old",
        "duration": "1h", "justification": "look at the slow query", "status": "pending",
        "created": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z", "decide_by": "2026-01-02T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z", "history": [
            {"action": "created", "actor": {"user": "zoe"}, "to": "2026-01-01T00:00:00Z",
             "at": "2026-01-01T00:00:00Z"}]}"#;
    serde_json::from_str(request).unwrap()
}

async fn give_way(times: i64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

impl Naive {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn reopened(&self) -> Naive {
        let mut state = self.lock().clone();
        match self.fault {
            Fault::VersionsBeginAnew => state.time.version = None,
            Fault::FloorOfWhatIsLeft => state.time.version = state.floor_of_what_is_there(),
            Fault::TimeLost => state.time.at = None,
            Fault::CorrectionLost => drop(state.time.corrections.pop()),
            Fault::CorrectionsLost => {
                let last = state.time.corrections.pop();
                state.time.corrections = last.into_iter().collect();
            }
            Fault::JumpLost => state.time.jumped_at = None,
            Fault::LastWriteLost => state.requests = state.before.clone(),
            Fault::DeletedComesBack => {
                let deleted = std::mem::take(&mut state.deleted);
                state.requests.extend(deleted);
            }
            _ => {}
        }
        state.reopened_at = state.last();
        Naive {
            fault: self.fault,
            clock: self.clock.clone(),
            state: Mutex::new(state),
        }
    }

    /// What is written of a request.
    fn written(&self, mut request: Request) -> Request {
        let over = request.is_terminal(request.changed_at());
        match self.fault {
            Fault::CreatedAtTheVersion if request.history.len() == 1 => {
                request.created_at = request.updated_at.time();
            }
            Fault::DeadlinesInMicroseconds => {
                request.decide_by = cut(request.decide_by, TimeDelta::microseconds(1));
            }
            Fault::AccessInMilliseconds => {
                let milliseconds = |time| cut(time, TimeDelta::milliseconds(1));
                request.access_until = request.access_until.map(milliseconds);
            }
            Fault::BeginsWithANote if request.history.len() == 1 => {
                request.note = Some(request.justification.clone());
            }
            Fault::PinForgotten => request.ends_with_policy = false,
            Fault::TicketForgotten => request.ticket = None,
            Fault::TextsInAscii => {
                let ascii = |c: char| if c.is_ascii() { c } else { '?' };
                request.justification = request
                    .justification
                    .chars()
                    .map(ascii)
                    .collect::<String>()
                    .into();
            }
            Fault::TextsCut => {
                request.justification = request
                    .justification
                    .chars()
                    .take(255)
                    .collect::<String>()
                    .into();
            }
            Fault::DeadlineRewritten => {
                request.decide_by = request.changed_at() + Duration::from_secs(24 * 3600);
            }
            Fault::HistoryEndsWithTheRequest if over => {
                request.history.drain(..request.history.len() - 1);
            }
            Fault::HistoryOf100 => {
                let more = request.history.len().saturating_sub(100);
                request.history.drain(..more);
            }
            Fault::ApprovalInPartForgotten if request.status == Status::Pending => {
                request.approvals.clear();
            }
            _ => {}
        }
        let last = Arc::make_mut(request.history.last_mut().unwrap());
        match self.fault {
            Fault::IdentityRewritten => {
                request.justification = last.reason.clone().unwrap_or(request.justification);
            }
            Fault::AtOfTheVersion => last.at = last.to.time(),
            Fault::FromForgotten => last.from = None,
            Fault::ReasonsForgotten => last.reason = None,
            Fault::ActorsForgotten => last.actor = Actor::Time,
            Fault::OperationForgotten if last.action != Action::Created => {
                last.idempotency_key = None
            }
            Fault::NoteAfterTheEndForgotten if over && last.action == Action::Noted => {
                request.note = None;
            }
            _ => {}
        }
        request
    }

    // Operations

    /// The request in whose history the operation is.
    fn done_before(
        &self,
        state: &State,
        id: RequestId,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Option<Arc<Request>> {
        let idempotency_key = idempotency_key.filter(|_| !self.is(Fault::OperationOff));
        let idempotency_key = Some(idempotency_key?);
        let known = |request: &&Arc<Request>| {
            let lost = self
                .is(Fault::OperationsLost)
                .then_some(state.reopened_at)
                .flatten();
            request
                .history
                .iter()
                .any(|entry| entry.idempotency_key == idempotency_key && Some(entry.to) > lost)
        };
        let here =
            |request: &&Arc<Request>| !self.is(Fault::OperationOfOneRequest) || request.id == id;
        let gone = state
            .deleted
            .iter()
            .filter(|_| self.is(Fault::OperationsSurviveDeletion));
        let found = state.requests.iter().filter(here).chain(gone).find(known);
        found.cloned()
    }

    /// The answer to a repeat.
    fn answer(
        &self,
        found: &Arc<Request>,
        idempotency_key: Option<IdempotencyKey>,
        first: Result<Request, Error>,
    ) -> Made {
        match self.fault {
            Fault::OperationAnswersNow => first.map(|_| found.clone()),
            Fault::OperationOfAnything => {
                let entry = found
                    .history
                    .iter()
                    .find(|entry| entry.idempotency_key == idempotency_key);
                Ok(Arc::new(found.as_of(entry.unwrap().to).unwrap()))
            }
            _ => first.map(Arc::new),
        }
    }

    /// An operation of a call that failed, if the fault is to remember it.
    fn remembered(
        &self,
        state: &State,
        id: RequestId,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<(), Error> {
        match idempotency_key {
            Some(idempotency_key) if state.failed.contains(&idempotency_key) => {
                Err(Error::IdempotencyKeyReused {
                    idempotency_key,
                    id,
                })
            }
            _ => Ok(()),
        }
    }

    fn remember<T>(&self, idempotency_key: Option<IdempotencyKey>, result: &Result<T, Error>) {
        if self.is(Fault::OperationOfAFailure) && result.is_err() {
            self.lock().failed.extend(idempotency_key);
        }
    }

    // Creation

    fn same_id(&self, one: RequestId, other: RequestId) -> bool {
        let mask = if self.is(Fault::IdsOf63Bits) {
            u64::MAX >> 1
        } else {
            u64::MAX
        };
        one.to_bits() & mask == other.to_bits() & mask
    }

    /// The answer if this was done before, and else whether it may be done.
    fn look(
        &self,
        state: &State,
        draft: &Draft,
        terms: &Terms,
    ) -> Result<Option<Arc<Request>>, Error> {
        self.remembered(state, draft.id, draft.idempotency_key)?;
        let place = state.place(|id| self.same_id(id, draft.id));
        let free = match self.fault {
            Fault::TakenIdOverwritten => true,
            Fault::TakenIdFreeWhenOver => {
                place.is_none_or(|place| state.requests[place].is_terminal(self.clock.now()))
            }
            _ => place.is_none(),
        };
        let taken = if free {
            Ok(())
        } else {
            Err(Error::AlreadyExists { id: draft.id })
        };
        if self.is(Fault::OperationAfterTheId) {
            taken?;
            return self.repeated(state, draft).transpose();
        }
        if let Some(answer) = self.repeated(state, draft) {
            return answer.map(Some);
        }
        if self.is(Fault::InvalidBeforeTaken) {
            self.limits().check_draft(draft)?;
        }
        taken?;
        if self.is(Fault::RefusedBeforeInvalid) {
            terms.check(draft, self.clock.now())?;
        }
        Ok(None)
    }

    fn repeated(&self, state: &State, draft: &Draft) -> Option<Made> {
        let found = self.done_before(state, draft.id, draft.idempotency_key)?;
        Some(self.answer(&found, draft.idempotency_key, draft.first_result(&found)))
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        match self.fault {
            Fault::LimitsOff => {
                limits.max_duration = Duration::MAX;
                limits.max_justification_characters = usize::MAX;
            }
            Fault::RuleLengthensTheWindow => {
                limits.decision_window = Duration::from_secs(48 * 3600)
            }
            _ => {}
        }
        limits
    }

    fn put(&self, state: &mut State, draft: &Draft, terms: &Terms, step: &Step) -> Made {
        self.notice(state, step);
        let anything =
            r#"{"version": "1", "rules": [{"name": "any", "approvers": ["one", "two"]}]}"#;
        let lax = Terms::of(&anything.parse().unwrap(), &draft.profile);
        let place = state.place(|id| id == draft.id);
        let mut asked = terms;
        if self.is(Fault::TermsOff) {
            asked = &lax;
        }
        if self.is(Fault::LimitsInBytes) && draft.justification.len() > 500 {
            let most = TextError::TooLong {
                characters: draft.justification.len(),
                most: 500,
            };
            return Err(ValidationError::Justification(most).into());
        }
        let created = self.created(step, draft, asked);
        if let (Fault::RefusalWritten, Err(Error::Refused(_))) = (self.fault, &created) {
            state.keep(step, place, self.created(step, draft, &lax)?);
        }
        let created = self.done(state, step, created)?;
        Ok(state.keep(step, place, self.written(created)))
    }

    fn create_at_once(&self, draft: &Draft, terms: &Terms) -> Made {
        let mut state = self.lock();
        if let Some(answer) = self.look(&state, draft, terms)? {
            return Ok(answer);
        }
        let step = self.step(&state, draft.id);
        self.put(&mut state, draft, terms, &step)
    }

    async fn create(&self, draft: &Draft, terms: &Terms) -> Made {
        match self.fault {
            Fault::CheckThenCreate => {
                let before = self.look(&self.lock(), draft, terms)?;
                if let Some(answer) = before {
                    return Ok(answer);
                }
                give_way(50).await;
            }
            Fault::OperationOutsideTheStep => {
                let before = self.repeated(&self.lock(), draft);
                if let Some(answer) = before {
                    return answer;
                }
                give_way(50).await;
                if self.lock().place(|id| id == draft.id).is_some() {
                    return Err(Error::AlreadyExists { id: draft.id });
                }
            }
            Fault::VersionBeforeTheStep => {
                let step = {
                    let mut state = self.lock();
                    if let Some(answer) = self.look(&state, draft, terms)? {
                        return Ok(answer);
                    }
                    let step = self.step(&state, draft.id);
                    state.time = step.kept.clone();
                    step
                };
                give_way(step.kept.version.unwrap() % 7 * 10).await;
                return self.put(&mut self.lock(), draft, terms, &step);
            }
            _ => {
                let made = self.create_at_once(draft, terms);
                self.remember(draft.idempotency_key, &made);
                return made;
            }
        }
        let mut state = self.lock();
        let step = self.step(&state, draft.id);
        self.put(&mut state, draft, terms, &step)
    }

    // Changes

    fn update_at_once(
        &self,
        id: RequestId,
        expected: Version,
        change: &Change,
        checked: bool,
    ) -> Made {
        let mut state = self.lock();
        self.remembered(&state, id, change.idempotency_key())?;
        let before = || {
            let found = self.done_before(&state, id, change.idempotency_key())?;
            Some(self.answer(
                &found,
                change.idempotency_key(),
                change.first_result(id, &found),
            ))
        };
        let late = self.is(Fault::OperationAfterTheVersion);
        if let Some(answer) = before().filter(|_| !late) {
            return answer;
        }
        let Some(place) = state.place(|other| self.same_id(other, id)) else {
            let actual = Version::from_nanos(0);
            return Err(match self.fault {
                Fault::ConflictForWhatIsMissing => Error::Conflict(Conflict { expected, actual }),
                _ => Error::NotFound { id },
            });
        };
        let current = state.requests[place].clone();
        let actual = current.updated_at;
        let step = self.step(&state, id);
        if self.is(Fault::RulesBeforeConflict) {
            step.judged.apply(&current, change)?;
        }
        let same = match self.fault {
            Fault::LockOff => true,
            Fault::NewerIsFine => expected >= actual,
            _ => expected == actual || checked,
        };
        if !same {
            let actual = if self.is(Fault::ConflictWithoutWinner) {
                expected
            } else {
                actual
            };
            return Err(Error::Conflict(Conflict { expected, actual }));
        }
        if let Some(answer) = before() {
            return answer;
        }
        self.notice(&mut state, &step);
        if self.is(Fault::RefusedBeforeTransition) && current.status != Status::Pending {
            let mut pending = (*current).clone();
            pending.status = Status::Pending;
            if let Err(Error::Refused(refusal)) = step.judged.apply(&pending, change) {
                return Err(refusal.into());
            }
        }
        let changed = self.changed(&step, &current, change);
        match self.done(&mut state, &step, changed) {
            Ok(changed) => Ok(state.keep(&step, Some(place), self.written(changed))),
            Err(error) => {
                if self.is(Fault::FailureWritten) {
                    let mut touched = (*current).clone();
                    touched.updated_at = step.kept.stamp().version;
                    state.keep(&step, Some(place), touched);
                }
                Err(error)
            }
        }
    }

    async fn update(&self, id: RequestId, expected: Version, change: &Change) -> Made {
        let known = self
            .done_before(&self.lock(), id, change.idempotency_key())
            .is_some();
        if known {
            return self.update_at_once(id, expected, change, false);
        }
        match self.fault {
            Fault::CheckThenUpdate => {
                let found = self.lock().requests.iter().find(|r| r.id == id).cloned();
                let checked = found.is_some_and(|request| request.updated_at == expected);
                give_way(50).await;
                self.update_at_once(id, expected, change, checked)
            }
            Fault::TwoSteps => {
                let made = self.update_at_once(id, expected, change, false)?;
                let half = {
                    let mut state = self.lock();
                    let place = state.place(|other| other == id).unwrap();
                    let mut half = (*state.requests[place]).clone();
                    half.history.pop();
                    state.requests[place] = Arc::new(half);
                    place
                };
                give_way(10).await;
                self.lock().requests[half] = made.clone();
                Ok(made)
            }
            _ => {
                let made = self.update_at_once(id, expected, change, false);
                self.remember(change.idempotency_key(), &made);
                made
            }
        }
    }

    // Deletion

    async fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> Result<bool, Error> {
        if self.is(Fault::CheckThenDelete) {
            let missing = self.lock().place(|other| other == id).is_none();
            give_way(2_000).await;
            return self.delete_at_once(id, ended_before).map(|_| !missing);
        }
        self.delete_at_once(id, ended_before)
    }

    fn delete_at_once(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> Result<bool, Error> {
        let mut state = self.lock();
        let Some(place) = state.place(|other| self.same_id(other, id)) else {
            return match self.fault {
                Fault::MissingIsAnError => Err(Error::NotFound { id }),
                Fault::MissingWasThere => Ok(true),
                _ => Ok(false),
            };
        };
        let request = state.requests[place].clone();
        let step = self.step(&state, id);
        self.notice(&mut state, &step);
        self.check_deletion(&step, &request, ended_before)?;
        if state.keeps_before {
            state.before = state.requests.clone();
        }
        let gone = state.requests.remove(place);
        state.deleted.push(gone);
        state.time = step.kept;
        if self.is(Fault::FloorOfWhatIsThere) {
            state.time.version = state.floor_of_what_is_there();
        }
        Ok(true)
    }

    /// A read, when it is polled.
    fn read<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&Self) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Error>> {
        if self.is(Fault::ReadBeforeThePoll) {
            return Box::pin(ready(Ok(read(self))));
        }
        Box::pin(async move { Ok(read(self)) })
    }
}

impl Store for Naive {
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        if self.is(Fault::WorkBeforeThePoll) {
            return Box::pin(ready(self.create_at_once(draft, terms)));
        }
        Box::pin(self.create(draft, terms))
    }

    fn get(&self, id: RequestId) -> BoxFuture<'_, Result<Arc<Request>, Error>> {
        let read = self.read(move |naive| naive.get(id));
        Box::pin(async move { read.await? })
    }

    fn update<'a>(
        &'a self,
        id: RequestId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        if self.is(Fault::WorkBeforeThePoll) {
            return Box::pin(ready(self.update_at_once(id, expected, change, false)));
        }
        Box::pin(self.update(id, expected, change))
    }

    fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        if self.is(Fault::WorkBeforeThePoll) {
            return Box::pin(ready(self.delete_at_once(id, ended_before)));
        }
        Box::pin(self.delete(id, ended_before))
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        self.read(move |naive| naive.list(filter, page))
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        self.read(Naive::now)
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        let read = self.read(move |naive| naive.find_grant(user, profile, policy));
        Box::pin(async move { read.await? })
    }

    fn access_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>> {
        self.read(move |naive| naive.access_at(user, profile, policy, at))
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        self.read(move |naive| naive.list_expirable(limit))
    }

    fn list_pending<'a>(
        &'a self,
        profiles: Option<&'a BTreeSet<Profile>>,
        page: Page<lists::Pending>,
    ) -> BoxFuture<'a, Result<Listing<lists::Pending>, Error>> {
        self.read(move |naive| naive.list_pending(profiles, page))
    }

    fn list_open<'a>(
        &'a self,
        user: &'a User,
        page: Page<lists::Open>,
    ) -> BoxFuture<'a, Result<Listing<lists::Open>, Error>> {
        self.read(move |naive| naive.list_open(user, page))
    }

    fn list_ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        self.read(move |naive| naive.list_ended(time, limit))
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        self.read(move |naive| naive.changes_after(after, limit))
    }
}
