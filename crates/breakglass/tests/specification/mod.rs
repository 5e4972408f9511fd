//! A store of emergencies as one caller would see it, written without table, lock or index.
//!
//! The rules themselves are pure functions, and the specification calls the same ones on what it
//! observes by walking a plain list; what it shows is whether a store that is called by several
//! callers answers as if they took turns. Models (`loom.rs`) and recorded histories
//! (`histories`) are checked against it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_breakglass::*;

pub use naive::Naive;

mod naive;

/// What the clock shows at first, in nanoseconds: 2026-03-02T09:00:00Z.
pub const START: i64 = 1_772_442_000_000_000_000;
pub const HOUR: Duration = Duration::from_secs(3600);

// Who invokes what under an id is always the same, so that an id says what a call is about.

/// Ids of the models: two spellings of one user and two others, for one profile with a quota.
pub const OF_MODELS: u64 = 1;
/// One user who shows one second factor for two profiles.
pub const WITH_PROOF: u64 = 5;
pub const WITH_PROOF_AGAIN: u64 = 6;
/// One user whose emergencies for two profiles wait until what was before is reviewed.
pub const AFTER_REVIEW: u64 = 7;
pub const AFTER_REVIEW_AGAIN: u64 = 8;
/// Four ids for each of four users, who have a quota: two spellings, two profiles.
pub const OF_USERS: u64 = 11;
/// Four ids for each of four profiles, which have a quota: one user in two spellings, two others.
pub const OF_PROFILES: u64 = 31;
/// Eight ids where both have a quota: four users, two profiles.
pub const OF_BOTH: u64 = 51;

const RULES: &str = r#"{"version": "1", "rules": [
    {"name": "models", "profiles": ["prod"], "max_per_profile": 2, "quota_window": "24h"},
    {"name": "users", "profiles": ["orders", "ledger"], "cooldown": "2h",
     "max_per_user": 3, "quota_window": "24h", "escalation_threshold": 2},
    {"name": "profiles", "profiles": ["web-0", "web-1", "web-2", "web-3"], "cooldown": "2h",
     "max_per_profile": 3, "quota_window": "24h"},
    {"name": "both", "max_per_user": 2, "max_per_profile": 3, "quota_window": "24h"}]}"#;

fn invoker_and_profile(id: u64) -> (&'static str, &'static str) {
    let pick = |names: &[&'static str], place: u64| names[place as usize % names.len()];
    let profiles = ["web-0", "web-1", "web-2", "web-3"];
    match id {
        WITH_PROOF..AFTER_REVIEW => ("ivan", pick(&["safe-0", "safe-1"], id - WITH_PROOF)),
        AFTER_REVIEW..OF_USERS => ("nina", pick(&["guarded-0", "guarded-1"], id - AFTER_REVIEW)),
        OF_MODELS..WITH_PROOF => (pick(&["alice", "ALICE", "bob", "carol"], id - 1), "prod"),
        OF_USERS..OF_PROFILES => {
            let place = id - OF_USERS;
            let spellings = [
                "dave", "DAVE", "erin", "ERIN", "frank", "FRANK", "gina", "GINA",
            ];
            let user = pick(&spellings, 2 * (place / 4) + place % 2);
            (user, pick(&["orders", "ledger"], place % 4 / 2))
        }
        OF_PROFILES..OF_BOTH => {
            let place = id - OF_PROFILES;
            (
                pick(&["quinn", "QUINN", "rosa", "saul"], place),
                pick(&profiles, place / 4),
            )
        }
        _ => {
            let place = id - OF_BOTH;
            (
                pick(&["tess", "TESS", "uma", "vera"], place),
                pick(&["left", "right"], place / 4),
            )
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    Invoke(u64),
    /// With the word of a responder that it may begin although a review is due.
    InvokeOverriding(u64),
    /// With an idempotency key: once, however often it is called.
    InvokeOnce(u64, u64),
    /// Reads the emergency, then changes it by what was read, as often as it takes.
    Change(u64, Wish),
    /// Changes this version of the emergency, and no other.
    ChangeAt(u64, Version, Wish),
    /// Changes this version of the emergency with an idempotency key: once, however often it is called.
    ChangeOnce(u64, Version, Wish, u64),
    Delete(u64),
    /// The workflow marks what is due, at most one emergency. It may pass over what somebody has
    /// changed since it looked.
    ExpireDue,
    /// The workflow deletes what ended earlier than so many hours after the start, at most one
    /// emergency. It may pass over what is gone by now.
    DeleteEnded(u32),
    Get(u64),
    /// The access that the invoker of an id has to its profile.
    FindGrant(u64),
    /// The active emergency of the invoker and profile of an id, so many hours after the start.
    ActiveAt(u64, u32),
    /// The emergencies of the invoker of an id.
    ListOf(u64),
    /// The emergencies for the profile of an id.
    ListFor(u64),
    List(Status),
    /// What is marked active and over.
    Due,
    /// What awaits its review.
    AwaitingReview,
    /// What may be deleted if it was over earlier than so many hours after the start.
    Ended(u32),
    /// So many changes after a version.
    ChangesSince(Option<Version>, usize),
    /// So many changes after those that the calls before it have seen. One thread only calls it.
    NextChanges(usize),
    /// So many hours go by, or the clock is set ahead.
    Pass(u32),
    /// The clock is set back by so many hours.
    Back(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    Close,
    Expire,
    Note,
    Review,
    /// By another reviewer, who finds something else.
    ReviewToo,
}

impl Wish {
    pub const ALL: [Wish; 5] = [
        Wish::Close,
        Wish::Expire,
        Wish::Note,
        Wish::Review,
        Wish::ReviewToo,
    ];
}

impl Call {
    /// Whether its answer says what an emergency has become by this very call.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Call::Invoke(_)
                | Call::InvokeOverriding(_)
                | Call::Change(..)
                | Call::ChangeAt(..)
                | Call::ExpireDue
        )
    }

    /// The operation that it is, if it is one: a repeat answers what the first call did.
    pub fn key(self) -> Option<u64> {
        match self {
            Call::InvokeOnce(_, key) | Call::ChangeOnce(_, _, _, key) => Some(key),
            _ => None,
        }
    }

    /// The id that it is about.
    pub fn id(self) -> Option<u64> {
        match self {
            Call::Invoke(id)
            | Call::InvokeOverriding(id)
            | Call::InvokeOnce(id, _)
            | Call::Change(id, _)
            | Call::ChangeAt(id, ..)
            | Call::ChangeOnce(id, ..)
            | Call::Delete(id)
            | Call::Get(id)
            | Call::FindGrant(id)
            | Call::ActiveAt(id, _)
            | Call::ListOf(id)
            | Call::ListFor(id) => Some(id),
            Call::ExpireDue
            | Call::DeleteEnded(_)
            | Call::List(_)
            | Call::Due
            | Call::AwaitingReview
            | Call::Ended(_)
            | Call::ChangesSince(..)
            | Call::NextChanges(_)
            | Call::Pass(_)
            | Call::Back(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Emergency(Arc<Emergency>),
    Found(Vec<Arc<Emergency>>),
    /// Until when there is access, if there is.
    Granted(Option<DateTime<Utc>>),
    Changes(Vec<Changed>),
    Done,
    /// Whether it was there.
    Deleted(bool),
    Exists,
    NotFound,
    Conflict(Conflict),
    Transition(Status, Status),
    Refused(Refusal),
    NotTerminal(Status),
    /// Nothing is deleted before this.
    Jumped(DateTime<Utc>),
    /// The operation is another change, of this emergency.
    Reused(u64),
}

impl Answer {
    /// The emergency that a call has read or written.
    pub fn emergency(&self) -> Option<&Arc<Emergency>> {
        match self {
            Answer::Emergency(emergency) => Some(emergency),
            _ => None,
        }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        match error {
            Error::AlreadyExists { .. } => Answer::Exists,
            Error::NotFound { .. } => Answer::NotFound,
            Error::Conflict(conflict) => Answer::Conflict(conflict),
            Error::InvalidTransition { from, to, .. } => Answer::Transition(from, to),
            Error::Refused(refusal) => Answer::Refused(refusal),
            Error::NotTerminal { status, .. } => Answer::NotTerminal(status),
            Error::ClockJumped { until } => Answer::Jumped(until),
            Error::IdempotencyKeyReused { id, .. } => Answer::Reused(id.to_bits()),
            other => panic!("no call here can fail so: {other}"),
        }
    }
}

fn answered(result: Result<Arc<Emergency>, Error>) -> Answer {
    result.map_or_else(Answer::from, Answer::Emergency)
}

fn found(result: Result<Vec<Arc<Emergency>>, Error>) -> Answer {
    result.map_or_else(Answer::from, Answer::Found)
}

/// What calls about one id are made with, built once.
struct Cast {
    draft: Draft,
    admission: Admission,
    overriding: Admission,
    close: Change,
    reviews: [Change; 2],
    note: Change,
}

const INVOCATION: &str = r#"{"version": "1", "rules": [
    {"name": "guarded", "profiles": ["guarded-0", "guarded-1"], "after_review": true,
     "responders": ["walt"], "reviewers": ["zoe", "yan"]},
    {"name": "on-call", "allowed_reason_codes": ["incident"], "reviewers": ["zoe", "yan"]}]}"#;

static CASTS: LazyLock<BTreeMap<u64, Cast>> = LazyLock::new(|| {
    let invocation: InvocationPolicy = INVOCATION.parse().unwrap();
    let limits: RateLimitPolicy = RULES.parse().unwrap();
    let cast = |id| {
        let (invoker, profile) = invoker_and_profile(id);
        let (invoker, profile) = (User::new(invoker).unwrap(), Profile::new(profile).unwrap());
        let user = |name: &str| User::new(name).unwrap();
        let review = |by: &str, outcome| {
            let text = "it was called for";
            Change::review(&invocation, &profile, &user(by), outcome, text)
        };
        let proof = || MfaProof {
            id: ProofId::new("phone-7:59104432").unwrap(),
            method: MfaMethod::Totp,
            user: invoker.clone(),
            emergency: EmergencyId::from_bits(id),
            verified_at: after_start(0),
        };
        let admission = Admission::new(&invocation, &limits, &profile);
        let cast = Cast {
            overriding: admission
                .clone()
                .with_review_override(&user("walt"), "the reviewers are asleep"),
            admission,
            close: Change::close(&invocation, &profile, &invoker, "it is over"),
            reviews: [
                review("zoe", ReviewOutcome::Justified),
                review("yan", ReviewOutcome::NotJustified),
            ],
            note: Change::note(&invoker, "one"),
            draft: Draft {
                id: EmergencyId::from_bits(id),
                idempotency_key: None,
                mfa: (WITH_PROOF..AFTER_REVIEW).contains(&id).then(proof),
                invoker,
                profile,
                duration: HOUR,
                reason_code: ReasonCode::Incident,
                justification: "the site is down since nine".into(),
                ticket: None,
                request_id: None,
            },
        };
        (id, cast)
    };
    (OF_MODELS..OF_BOTH + 8).map(cast).collect()
});

/// What the workflow is made with: nothing is kept longer than [`RETENTION`] says.
static WORKFLOW: LazyLock<(Arc<InvocationPolicy>, Arc<RateLimitPolicy>)> = LazyLock::new(|| {
    let invocation = Arc::new(INVOCATION.parse().unwrap());
    (invocation, Arc::new(RateLimitPolicy::unlimited()))
});
static EXPIRE: LazyLock<Change> = LazyLock::new(Change::expire);
/// What is over is kept for five minutes, as long as a second factor is good.
static RETENTION: LazyLock<Retention> = LazyLock::new(|| {
    let invocation = INVOCATION.parse().unwrap();
    Retention::new(&invocation, &RateLimitPolicy::unlimited())
});
static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);

fn cast(id: u64) -> &'static Cast {
    &CASTS[&id]
}

fn change(id: u64, wish: Wish) -> &'static Change {
    match wish {
        Wish::Close => &cast(id).close,
        Wish::Expire => &EXPIRE,
        Wish::Review => &cast(id).reviews[0],
        Wish::ReviewToo => &cast(id).reviews[1],
        Wish::Note => &cast(id).note,
    }
}

fn draft_once(id: u64, key: u64) -> Draft {
    Draft {
        idempotency_key: Some(IdempotencyKey::from_bits(key)),
        ..cast(id).draft.clone()
    }
}

fn change_once(id: u64, wish: Wish, key: u64) -> Change {
    let change = change(id, wish).clone();
    change.with_idempotency_key(IdempotencyKey::from_bits(key))
}

fn after_start(hours: u32) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(START) + hours * HOUR
}

/// A store under test, with its clock.
pub struct Harness<S> {
    pub clock: Arc<ManualClock>,
    pub store: Arc<S>,
    workflow: Workflow,
    retry: Retry,
    /// The last change that was seen by [`Call::NextChanges`].
    seen: Mutex<Option<Version>>,
}

/// The clock of a store under test, and the same as a store takes it.
pub fn clock() -> (Arc<ManualClock>, Arc<dyn Clock>) {
    let clock = Arc::new(ManualClock::at(after_start(0)));
    (clock.clone(), clock)
}

impl Harness<InMemory> {
    pub fn new() -> Self {
        let (clock, now) = clock();
        Self::over(clock, InMemory::new(now))
    }
}

impl<S: Store + 'static> Harness<S> {
    /// A store with nothing in it, whose time is the clock.
    pub fn over(clock: Arc<ManualClock>, store: S) -> Self {
        let retry = Retry::default()
            .with_tries(std::num::NonZeroU32::MAX)
            .with_sleep(Arc::new(NoSleep))
            .with_random(Arc::new(SequenceRandom::default()));
        let store = Arc::new(store);
        let (who, often) = &*WORKFLOW;
        Self {
            workflow: Workflow::new(store.clone(), who.clone(), often.clone()),
            clock,
            store,
            retry,
            seen: Mutex::default(),
        }
    }

    pub async fn perform(&self, call: Call) -> Answer {
        let store = &self.store;
        let list = async |filter: Filter| {
            let listed = store.list(&filter, Page::default()).await;
            found(listed.map(|listing| listing.items))
        };
        match call {
            Call::Invoke(id) => {
                let Cast {
                    draft, admission, ..
                } = cast(id);
                answered(store.create(draft, admission).await)
            }
            Call::InvokeOverriding(id) => {
                let Cast {
                    draft, overriding, ..
                } = cast(id);
                answered(store.create(draft, overriding).await)
            }
            Call::InvokeOnce(id, key) => {
                let draft = draft_once(id, key);
                answered(store.create(&draft, &cast(id).admission).await)
            }
            Call::Change(id, wish) => {
                let change = change(id, wish);
                let id = EmergencyId::from_bits(id);
                let update = store.update_with(id, &self.retry, |_| Ok(change.clone()));
                answered(update.await)
            }
            Call::ChangeAt(id, version, wish) => {
                let change = change(id, wish);
                answered(
                    store
                        .update(EmergencyId::from_bits(id), version, change)
                        .await,
                )
            }
            Call::ChangeOnce(id, version, wish, key) => {
                let change = change_once(id, wish, key);
                answered(
                    store
                        .update(EmergencyId::from_bits(id), version, &change)
                        .await,
                )
            }
            Call::Delete(id) => {
                let deleted = store.delete(EmergencyId::from_bits(id), &RETENTION).await;
                deleted.map_or_else(Answer::from, Answer::Deleted)
            }
            Call::ExpireDue => match self.workflow.expire_due(1).await {
                Ok(expired) => match expired.into_iter().next() {
                    Some(emergency) => Answer::Emergency(emergency),
                    None => Answer::Done,
                },
                Err(error) => error.into(),
            },
            Call::DeleteEnded(hours) => {
                let before = after_start(hours);
                let deleted = self.workflow.delete_ended_before(before, 1).await;
                deleted.map_or_else(Answer::from, |deleted| Answer::Deleted(deleted > 0))
            }
            Call::Get(id) => answered(store.get(EmergencyId::from_bits(id)).await),
            Call::FindGrant(id) => {
                let Draft {
                    invoker, profile, ..
                } = &cast(id).draft;
                let grant = store.find_grant(invoker, profile).await.unwrap();
                Answer::Granted(grant.map(|grant| grant.until))
            }
            Call::ActiveAt(id, hours) => {
                let Draft {
                    invoker, profile, ..
                } = &cast(id).draft;
                let at = after_start(hours);
                let active = store.active_at(invoker, profile, at).await;
                found(active.map(|active| active.into_iter().collect()))
            }
            Call::ListOf(id) => list(Filter::Invoker(cast(id).draft.invoker.clone())).await,
            Call::ListFor(id) => list(Filter::Profile(cast(id).draft.profile.clone())).await,
            Call::List(status) => list(Filter::Status(status)).await,
            Call::Due => found(store.list_expirable(100).await),
            Call::AwaitingReview => {
                let awaiting = store.list_awaiting_review(Page::default()).await;
                found(awaiting.map(|listing| listing.items))
            }
            Call::Ended(hours) => found(store.list_ended(after_start(hours), 100).await),
            Call::ChangesSince(after, limit) => {
                let changes = store.changes_after(after, limit).await;
                changes.map_or_else(Answer::from, Answer::Changes)
            }
            Call::NextChanges(limit) => {
                let seen = *self.seen.lock().unwrap();
                let changes = store.changes_after(seen, limit).await.unwrap();
                let last = changes.last().map(|changed| changed.version);
                *self.seen.lock().unwrap() = last.or(seen);
                Answer::Changes(changes)
            }
            Call::Pass(hours) => {
                self.clock.advance(hours * HOUR);
                Answer::Done
            }
            Call::Back(hours) => {
                self.clock.step_back(hours * HOUR);
                Answer::Done
            }
        }
    }
}
