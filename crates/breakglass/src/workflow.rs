//! What a host calls: invoke, close, review, note, expire what is due, find a grant, how much of it
//! is left, what awaits review, delete what is no longer needed.
//!
//! A [`Workflow`] holds a store and the rules in force, and adds no rule of its own: what
//! is refused, the store's step refuses.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::grant::Grant;
use countersign_core::id::{OperationId, OsRandom, RandomSource};
use countersign_core::names::{Person, Profile};
use countersign_core::retry::Retry;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::invocation_policy::InvocationPolicy;
use crate::rate_limit_policy::RateLimitPolicy;
use crate::record::Event;
use crate::refusal::Refusal;
use crate::retention::Retention;
use crate::review::ReviewOutcome;
use crate::store::{Store, StoreExt};
use crate::vocabulary::{EventId, ReasonCode};
use crate::{Listing, Page};

/// Emergencies under one [`InvocationPolicy`] and one [`RateLimitPolicy`]. Cheap to clone.
///
/// When the rules change, make another with [`Workflow::with_policy`] or
/// [`Workflow::with_rate_limits`]: events that have begun stand, those to come follow the new
/// rules.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use countersign_breakglass::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse()?));
/// let store = Arc::new(InMemory::new(clock.clone()));
/// let who: InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"]}]}"#.parse()?;
/// let often = RateLimitPolicy::unlimited();
/// let workflow = Workflow::new(store, Arc::new(who), Arc::new(often));
///
/// let (alice, prod, hour) = (Person::new("alice")?, Profile::new("prod")?, Duration::from_secs(3600));
/// let draft = workflow.draft(&alice, &prod, hour, ReasonCode::Recovery, "restore last night's backup")?;
/// workflow.invoke(&draft).await?;
/// clock.advance(hour / 2);
/// assert_eq!(workflow.remaining(&alice, &prod).await?, hour / 2);
/// clock.advance(hour / 2);
/// assert_eq!(workflow.expire_due(0).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Workflow {
    store: Arc<dyn Store>,
    policy: Arc<InvocationPolicy>,
    rate_limits: Arc<RateLimitPolicy>,
    random: Arc<dyn RandomSource>,
    retry: Retry,
    operation: Option<OperationId>,
}

impl Workflow {
    /// A workflow over a store, whose clock it goes by.
    pub fn new(
        store: Arc<dyn Store>,
        policy: Arc<InvocationPolicy>,
        rate_limits: Arc<RateLimitPolicy>,
    ) -> Self {
        Self {
            store,
            policy,
            rate_limits,
            random: Arc::new(OsRandom),
            retry: Retry::default(),
            operation: None,
        }
    }

    /// The same workflow under other invocation rules.
    #[must_use]
    pub fn with_policy(&self, policy: Arc<InvocationPolicy>) -> Self {
        Self {
            policy,
            ..self.clone()
        }
    }

    /// The same workflow under other rate-limit rules.
    #[must_use]
    pub fn with_rate_limits(&self, rate_limits: Arc<RateLimitPolicy>) -> Self {
        Self {
            rate_limits,
            ..self.clone()
        }
    }

    /// The same workflow with ids from another source.
    #[must_use]
    pub fn with_random(&self, random: Arc<dyn RandomSource>) -> Self {
        Self {
            random,
            ..self.clone()
        }
    }

    /// The same workflow with another way of trying again after a conflict.
    #[must_use]
    pub fn with_retry(&self, retry: Retry) -> Self {
        Self {
            retry,
            ..self.clone()
        }
    }

    /// The same workflow for one operation of the caller's, named before the first try: made
    /// again after a lost answer, the same call gets its first result and changes nothing. For one
    /// call; another one of the same name is refused with [`Error::OperationReused`]. It is
    /// remembered as long as its event, and by nothing else.
    ///
    /// [`Workflow::expire_due`] and [`Workflow::delete_ended_before`] make many changes and no
    /// operation; repeating them does no harm.
    ///
    /// ```
    /// # use countersign_breakglass::*;
    /// # async fn example(workflow: &Workflow, id: EventId, alice: &Person) -> Result<(), Error> {
    /// let operation = OperationId::random(&OsRandom)?;
    /// let closing = workflow.with_operation(operation);
    /// let first = closing.close(id, alice, "the primary is back").await?;
    /// let again = closing.close(id, alice, "the primary is back").await?;
    /// assert_eq!(first, again);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_operation(&self, operation: OperationId) -> Self {
        Self {
            operation: Some(operation),
            ..self.clone()
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The invocation rules in force.
    pub fn policy(&self) -> &Arc<InvocationPolicy> {
        &self.policy
    }

    /// The rate-limit rules in force.
    pub fn rate_limits(&self) -> &Arc<RateLimitPolicy> {
        &self.rate_limits
    }

    /// A draft with a new id. Nothing is stored; a ticket, a request's id and the second factor,
    /// which is shown for that id, can be added to it.
    ///
    /// # Errors
    /// [`Error::Random`] if no id can be minted.
    pub fn draft(
        &self,
        invoker: &Person,
        profile: &Profile,
        duration: Duration,
        reason_code: ReasonCode,
        justification: &str,
    ) -> Result<Draft, Error> {
        Ok(Draft {
            id: EventId::random(&*self.random)?,
            operation: self.operation,
            invoker: invoker.clone(),
            profile: profile.clone(),
            duration,
            reason_code,
            justification: justification.to_owned(),
            ticket: None,
            request_id: None,
            mfa: None,
        })
    }

    /// Declares an emergency. Access begins now.
    ///
    /// A lost answer can be found again with the draft's id.
    ///
    /// # Errors
    /// Those of [`Store::create`]. [`Refusal::retry_at`](crate::Refusal::retry_at) says when to
    /// try again, where waiting helps.
    pub async fn invoke(&self, draft: &Draft) -> Result<Arc<Event>, Error> {
        self.create(draft, self.admission(draft)).await
    }

    /// Declares an emergency although an earlier one of the same person awaits its review: `by`,
    /// a responder whom the rule names and who is not the invoker, says why. It is recorded on the
    /// event ([`Event::review_override`](crate::Event)) and in its history; if no review is due,
    /// nothing of it is.
    ///
    /// # Errors
    /// Those of [`Store::create`].
    pub async fn invoke_overriding(
        &self,
        draft: &Draft,
        by: &Person,
        reason: &str,
    ) -> Result<Arc<Event>, Error> {
        let admission = self.admission(draft).with_review_override(by, reason);
        self.create(draft, admission).await
    }

    fn admission(&self, draft: &Draft) -> Admission {
        Admission::new(&self.policy, &self.rate_limits, &draft.profile)
    }

    async fn create(&self, draft: &Draft, admission: Admission) -> Result<Arc<Event>, Error> {
        let draft = match (draft.operation, self.operation) {
            (None, Some(_)) => Cow::Owned(Draft {
                operation: self.operation,
                ..draft.clone()
            }),
            _ => Cow::Borrowed(draft),
        };
        self.store.create(&draft, &admission).await
    }

    /// Closes an event, and ends its access at once; its invoker or a responder named by the rule
    /// for its profile can, before its time is over.
    ///
    /// # Errors
    /// Those of [`Store::update`]; a conflict only after all tries. Of several people who close at
    /// once all but the first get [`Error::InvalidTransition`].
    pub async fn close(&self, id: EventId, by: &Person, reason: &str) -> Result<Arc<Event>, Error> {
        self.change(id, |event| {
            Change::close(&self.policy, &event.profile, by, reason)
        })
        .await
    }

    /// Reviews an event that is over; a reviewer named by the rule in force for its profile can
    /// (if it names none, a responder), who is not its invoker under any spelling, once.
    ///
    /// # Errors
    /// As [`Workflow::close`]. Of several people who review at once all but the first get
    /// [`Refusal::ReviewedAlready`].
    pub async fn review(
        &self,
        id: EventId,
        by: &Person,
        outcome: ReviewOutcome,
        text: &str,
    ) -> Result<Arc<Event>, Error> {
        self.change(id, |event| {
            Change::review(&self.policy, &event.profile, by, outcome, text)
        })
        .await
    }

    /// Events that are over, marked so or not, and await their review: first what was over first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list_awaiting_review(&self, page: Page) -> Result<Listing, Error> {
        self.store.list_awaiting_review(page).await
    }

    /// Writes a note on an event, whatever its status. The history keeps every note.
    ///
    /// # Errors
    /// As [`Workflow::close`].
    pub async fn note(&self, id: EventId, by: &Person, text: &str) -> Result<Arc<Event>, Error> {
        self.change(id, |_| Change::note(by, text)).await
    }

    /// Marks events whose time is over as expired, earliest first, at most `limit` (0 means 100,
    /// more than 1,000 means 1,000), and gives those it marked. Events that somebody else changed
    /// meanwhile are passed over.
    ///
    /// The end of access does not depend on this: an event whose time is over gives none, marked
    /// or not, and does not stand in the way of the next.
    ///
    /// # Errors
    /// Those of the store; what was marked before stays marked.
    pub async fn expire_due(&self, limit: usize) -> Result<Vec<Arc<Event>>, Error> {
        let change = Change::expire();
        let mut expired = Vec::new();
        for event in self.store.list_expirable(limit).await? {
            match self.store.update(event.id, event.updated_at, &change).await {
                Ok(event) => expired.push(event),
                Err(Error::NotFound { .. } | Error::Conflict(_)) => {}
                // The store's clock has been set back meanwhile.
                Err(Error::Refused(Refusal::NotDue { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    /// Deletes events that were over before `time`, first what was over first, at most `limit` (0
    /// means 100, more than 1,000 means 1,000), and says how many are gone. It keeps what awaits
    /// its review, is not marked as over, or what the rules in force may still look back at
    /// ([`Retention`]).
    ///
    /// # Errors
    /// Those of the store, and [`Error::Clock`] if its clock cannot be right, also if there is
    /// nothing to delete; what was deleted before stays deleted.
    pub async fn delete_ended_before(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> Result<usize, Error> {
        let retention = Retention::new(&self.policy, &self.rate_limits);
        let mut gone = 0;
        let now = self.store.now().await?;
        now.granting()?;
        let ended = self.store.list_ended(time, limit).await?;
        // What was over later is kept still longer, but for what a correction has found to be over.
        let in_order = now.correction().is_none();
        for event in ended {
            match self.store.delete(event.id, &retention).await {
                Ok(was_there) => gone += usize::from(was_there),
                Err(Error::Refused(Refusal::Kept { .. })) if in_order => break,
                // Or another event has the id by now.
                Err(
                    Error::Refused(Refusal::Kept { .. } | Refusal::Unreviewed { .. })
                    | Error::NotTerminal { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    /// The access that this person has to this profile now by an emergency, if any.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find_grant(
        &self,
        person: &Person,
        profile: &Profile,
    ) -> Result<Option<Grant>, Error> {
        self.store.find_grant(person, profile).await
    }

    /// How much of this person's emergency access to this profile is left now: zero if there is
    /// none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remaining(&self, person: &Person, profile: &Profile) -> Result<Duration, Error> {
        let Some(grant) = self.store.find_grant(person, profile).await? else {
            return Ok(Duration::ZERO);
        };
        let left = grant.until - self.store.now().await?.at();
        Ok(left.to_std().unwrap_or(Duration::ZERO))
    }

    async fn change(
        &self,
        id: EventId,
        change: impl Fn(&Event) -> Change + Send + Sync,
    ) -> Result<Arc<Event>, Error> {
        self.store
            .update_with(id, &self.retry, |event| {
                Ok(change(event).carrying(self.operation))
            })
            .await
    }
}

impl std::fmt::Debug for Workflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workflow")
            .field("policy", &self.policy)
            .field("rate_limits", &self.rate_limits)
            .finish_non_exhaustive()
    }
}
