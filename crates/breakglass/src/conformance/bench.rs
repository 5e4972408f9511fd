//! What the cases share: a store with its clock, drafts and rules, and everything that can be seen
//! of a store at once.

use std::fmt::Debug;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_core::clock::{Clock, ManualClock};
use countersign_core::future::BoxFuture;
use countersign_core::grant::GrantKind;
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::sync::suite::Suite;
use countersign_core::version::Version;

use super::Subject;
use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::invocation_policy::InvocationPolicy;
use crate::mfa::{MfaMethod, MfaProof, ProofId};
use crate::rate_limit_policy::RateLimitPolicy;
use crate::record::Emergency;
use crate::refusal::Refusal;
use crate::retention::Retention;
use crate::review::ReviewOutcome;
use crate::store::{Changed, Filter, Store};
use crate::transition::Status;
use crate::vocabulary::{EmergencyId, ReasonCode};
use crate::{Cursor, Listing, Page};

/// An hour, the duration of most emergencies here.
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// How far a clock may step back without being corrected.
pub(super) const TOLERANCE: Duration = Duration::from_secs(60);
/// The least that a time can differ by.
pub(super) const NANO: Duration = Duration::from_nanos(1);

/// When every case begins.
pub(super) fn start() -> DateTime<Utc> {
    time("2026-03-02T09:00:00.123456789Z")
}

pub(super) fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn nanos(count: i64) -> TimeDelta {
    TimeDelta::nanoseconds(count)
}

pub(super) fn user(name: &str) -> User {
    User::new(name).unwrap()
}

pub(super) fn profile(name: &str) -> Profile {
    Profile::new(name).unwrap()
}

pub(super) fn id(bits: u64) -> EmergencyId {
    EmergencyId::from_bits(bits)
}

pub(super) fn operation(bits: u64) -> IdempotencyKey {
    IdempotencyKey::from_bits(bits)
}

/// A draft of an hour that [`anybody`] admits.
pub(super) fn draft(bits: u64, invoker: &str, wanted: &str) -> Draft {
    Draft {
        id: id(bits),
        idempotency_key: None,
        invoker: user(invoker),
        profile: profile(wanted),
        duration: HOUR,
        reason_code: ReasonCode::Incident,
        justification: "the orders db is off".to_owned(),
        ticket: None,
        request_id: None,
        mfa: None,
    }
}

/// Invocation rules of one rule with these fields.
pub(super) fn invocation(rule: &str) -> InvocationPolicy {
    let json = format!(r#"{{"version": "1", "rules": [{{"name": "rule", {rule}}}]}}"#);
    json.parse().unwrap()
}

/// Anybody may, for any profile; `carol` is a responder.
pub(super) fn anybody() -> InvocationPolicy {
    invocation(r#""max_duration": "24h", "responders": ["carol"]"#)
}

/// As [`anybody`], but nobody whose earlier emergency awaits its review.
pub(super) fn reviewed_first() -> InvocationPolicy {
    invocation(r#""max_duration": "24h", "responders": ["carol"], "after_review": true"#)
}

/// Rate limits of one rule for every profile.
pub(super) fn limits(rule: &str) -> RateLimitPolicy {
    let json = format!(r#"{{"version": "1", "rules": [{{"name": "limit", {rule}}}]}}"#);
    json.parse().unwrap()
}

pub(super) fn unlimited() -> RateLimitPolicy {
    RateLimitPolicy::unlimited()
}

/// Lets what has been over for a second be deleted: the shortest that there is.
pub(super) fn shortest_retention() -> Retention {
    let policy = invocation(r#""mfa": {"required": false, "max_age": "1s"}"#);
    Retention::new(&policy, &unlimited())
}

pub(super) fn close(by: &str, wanted: &str) -> Change {
    Change::close(&anybody(), &profile(wanted), &user(by), "it is over")
}

pub(super) fn note(by: &str, text: &str) -> Change {
    Change::note(&user(by), text)
}

pub(super) fn review(by: &str, wanted: &str) -> Change {
    let outcome = ReviewOutcome::Justified;
    let text = "it was called for";
    Change::review(&anybody(), &profile(wanted), &user(by), outcome, text)
}

/// A second factor of this user for the emergency with these bits.
pub(super) fn proof(name: &str, of: &str, bits: u64, verified_at: DateTime<Utc>) -> MfaProof {
    MfaProof {
        id: ProofId::new(name).unwrap(),
        method: MfaMethod::Totp,
        user: user(of),
        emergency: id(bits),
        verified_at,
    }
}

/// The refusal in an answer that must be one.
#[track_caller]
pub(super) fn refusal<T: Debug>(result: Result<T, Error>, rule: &str) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("{rule}: it must be refused, and the answer was {other:?}"),
    }
}

pub(super) fn bits(emergencies: &[Arc<Emergency>]) -> Vec<u64> {
    emergencies
        .iter()
        .map(|emergency| emergency.id.to_bits())
        .collect()
}

/// Lets other tasks run.
pub(super) async fn give_way() {
    let mut given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What can be seen of a store, but for single lookups.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) changes: Vec<Changed>,
    lists: Vec<Arc<Emergency>>,
    ended: Vec<Arc<Emergency>>,
    /// What the clock showed, and what was due and awaited review by that.
    by_time: (DateTime<Utc>, Vec<Arc<Emergency>>, Vec<Arc<Emergency>>),
}

/// A subject whose type the cases need not know.
trait Opened: Send {
    fn store(&self) -> Arc<dyn Store>;
    fn reopen(self: Box<Self>) -> BoxFuture<'static, Box<dyn Opened>>;
}

impl<S: Subject> Opened for S {
    fn store(&self) -> Arc<dyn Store> {
        Subject::store(self)
    }

    fn reopen(self: Box<Self>) -> BoxFuture<'static, Box<dyn Opened>> {
        Box::pin(async move { Box::new(Subject::reopen(*self).await) as Box<dyn Opened> })
    }
}

/// A store whose clock the case holds.
pub(super) struct Bench {
    pub(super) clock: Arc<ManualClock>,
    pub(super) suite: Suite,
    pub(super) store: Arc<dyn Store>,
    subject: Box<dyn Opened>,
}

impl Bench {
    pub(super) async fn open<S: Subject>(suite: Suite) -> Self {
        let clock = Arc::new(ManualClock::at(start()));
        let subject: Box<dyn Opened> = Box::new(S::open(Arc::clone(&clock)).await);
        Self {
            clock,
            suite,
            store: subject.store(),
            subject,
        }
    }

    /// As after a restart of the process.
    pub(super) async fn reopen(self) -> Self {
        let Self {
            clock,
            suite,
            store,
            subject,
        } = self;
        drop(store);
        let subject = subject.reopen().await;
        Self {
            clock,
            suite,
            store: subject.store(),
            subject,
        }
    }

    /// Creates where anybody may, under these limits.
    pub(super) async fn create(
        &self,
        draft: &Draft,
        limits: &RateLimitPolicy,
    ) -> Result<Arc<Emergency>, Error> {
        let admission = Admission::new(&anybody(), limits, &draft.profile);
        self.store.create(draft, &admission).await
    }

    /// Creates by these invocation rules, without limits.
    pub(super) async fn invoke(
        &self,
        draft: &Draft,
        rules: &InvocationPolicy,
    ) -> Result<Arc<Emergency>, Error> {
        let admission = Admission::new(rules, &unlimited(), &draft.profile);
        self.store.create(draft, &admission).await
    }

    /// Creates without limits.
    pub(super) async fn begin(&self, bits: u64, invoker: &str, wanted: &str) -> Arc<Emergency> {
        let draft = draft(bits, invoker, wanted);
        let created = self.create(&draft, &unlimited()).await;
        created.expect("what no rule forbids is created")
    }

    /// Creates an emergency that is over after a nanosecond, and lets it pass.
    pub(super) async fn begin_short(
        &self,
        bits: u64,
        invoker: &str,
        wanted: &str,
    ) -> Arc<Emergency> {
        let mut draft = draft(bits, invoker, wanted);
        draft.duration = NANO;
        let created = self.create(&draft, &unlimited()).await;
        let emergency = created.expect("what no rule forbids is created");
        self.clock.set(emergency.expires_at);
        emergency
    }

    /// Creates an emergency, and closes and reviews it.
    pub(super) async fn begin_reviewed(
        &self,
        bits: u64,
        invoker: &str,
        wanted: &str,
    ) -> Arc<Emergency> {
        self.begin(bits, invoker, wanted).await;
        self.made(bits, &close(invoker, wanted)).await;
        self.made(bits, &review("carol", wanted)).await
    }

    pub(super) async fn get(&self, bits: u64) -> Arc<Emergency> {
        let got = self.store.get(id(bits)).await;
        got.expect("an emergency that was created is there")
    }

    /// Changes the emergency from its present version.
    pub(super) async fn change(&self, bits: u64, change: &Change) -> Result<Arc<Emergency>, Error> {
        let version = self.get(bits).await.updated_at;
        self.store.update(id(bits), version, change).await
    }

    /// Makes a change that no rule forbids.
    pub(super) async fn made(&self, bits: u64, change: &Change) -> Arc<Emergency> {
        let changed = self.change(bits, change).await;
        changed.expect("a change that no rule forbids is made")
    }

    /// Lets time pass and deletes an emergency that is over and reviewed.
    pub(super) async fn delete(&self, bits: u64) {
        self.clock.advance(Duration::from_secs(2));
        let retention = shortest_retention();
        let deleted = self.store.delete(id(bits), &retention).await;
        assert!(
            matches!(deleted, Ok(true)),
            "what is over, reviewed and old enough is deleted: {deleted:?}"
        );
    }

    pub(super) async fn list(&self, filter: impl Into<Filter>, page: Page) -> Listing {
        let listing = self.store.list(&filter.into(), page).await;
        listing.expect("a list is given")
    }

    pub(super) async fn list_bits(&self, filter: impl Into<Filter>) -> Vec<u64> {
        bits(&self.list(filter, Page::default()).await.items)
    }

    /// What awaits review once the clock shows `at`.
    pub(super) async fn awaiting(&self, at: DateTime<Utc>) -> Vec<u64> {
        self.clock.set(at);
        let listing = self.store.list_awaiting_review(Page::default()).await;
        bits(&listing.expect("a list is given").items)
    }

    /// What is due once the clock shows `at`.
    pub(super) async fn list_expirable(&self, at: DateTime<Utc>) -> Vec<u64> {
        self.clock.set(at);
        bits(&self.store.list_expirable(0).await.expect("a list is given"))
    }

    pub(super) async fn list_ended(&self, before: DateTime<Utc>) -> Vec<u64> {
        bits(
            &self
                .store
                .list_ended(before, 0)
                .await
                .expect("a list is given"),
        )
    }

    pub(super) async fn active(
        &self,
        who: &str,
        wanted: &str,
        at: DateTime<Utc>,
    ) -> Option<Arc<Emergency>> {
        let (user, profile) = (user(who), profile(wanted));
        let found = self.store.active_at(&user, &profile, at).await;
        found.expect("the active emergency is looked for")
    }

    /// Until when there is access once the clock shows `at`, if there is.
    pub(super) async fn granted(
        &self,
        who: &str,
        wanted: &str,
        at: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.clock.set(at);
        let (user, profile) = (user(who), profile(wanted));
        let found = self.store.find_grant(&user, &profile).await;
        let found = found.expect("a grant is looked for");
        if let Some(grant) = &found {
            assert_eq!((&grant.user, &grant.profile), (&user, &profile));
            assert_eq!(grant.kind, GrantKind::Emergency, "of an emergency");
        }
        found.map(|grant| grant.until)
    }

    pub(super) async fn changes(&self, after: Option<Version>) -> Vec<Changed> {
        let changes = self.store.changes_after(after, 1_000).await;
        changes.expect("the changes are given")
    }

    /// Every page of a list.
    pub(super) async fn pages(&self, filter: &Filter, limit: usize) -> Vec<Vec<u64>> {
        let mut pages = Vec::new();
        let mut after: Option<Cursor> = None;
        loop {
            let page = Page { limit, after };
            let listing = self
                .store
                .list(filter, page)
                .await
                .expect("a page is given");
            pages.push(bits(&listing.items));
            after = listing.next;
            if after.is_none() {
                return pages;
            }
            assert!(pages.len() < 100, "the pages of a list never end");
        }
    }

    /// All that can be seen.
    pub(super) async fn contents(&self) -> Contents {
        let far = time("2200-01-01T00:00:00Z");
        let mut lists = Vec::new();
        for status in Status::ALL {
            lists.extend(self.list(status, Page::first(1_000)).await.items);
        }
        let due = self
            .store
            .list_expirable(1_000)
            .await
            .expect("a list is given");
        let awaiting = self.store.list_awaiting_review(Page::first(1_000)).await;
        let awaiting = awaiting.expect("a list is given").items;
        Contents {
            changes: self.changes(None).await,
            lists,
            ended: self
                .store
                .list_ended(far, 1_000)
                .await
                .expect("a list is given"),
            by_time: (self.clock.now(), due, awaiting),
        }
    }

    /// Nothing that can be seen has changed since `before` by `call`, but by time.
    pub(super) async fn assert_unchanged(&self, before: &Contents, call: &str) {
        let mut after = self.contents().await;
        if after.by_time.0 != before.by_time.0 {
            after.by_time = before.by_time.clone();
        }
        assert_eq!(after, *before, "{call} changed something");
    }
}
