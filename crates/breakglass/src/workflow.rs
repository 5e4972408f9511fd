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
use countersign_core::id::{IdempotencyKey, OsRandom, RandomSource};
use countersign_core::names::{Profile, User};
use countersign_core::retry::Retry;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::invocation_policy::InvocationPolicy;
use crate::rate_limit_policy::RateLimitPolicy;
use crate::record::Emergency;
use crate::refusal::Refusal;
use crate::retention::Retention;
use crate::review::ReviewOutcome;
use crate::store::{Store, StoreExt};
use crate::vocabulary::{EmergencyId, ReasonCode};
use crate::{Listing, Page, lists};

/// Emergencies under one [`InvocationPolicy`] and one [`RateLimitPolicy`]. Cheap to clone.
///
/// When the rules change, make another with [`Workflow::with_policy`] or
/// [`Workflow::with_rate_limits`]: emergencies that have begun stand, those to come follow the new
/// rules.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use countersign_breakglass::{self as breakglass, ManualClock, Profile, User};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse()?));
/// let store = Arc::new(breakglass::InMemory::new(clock.clone()));
/// let who: breakglass::InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"]}]}"#.parse()?;
/// let often = breakglass::RateLimitPolicy::unlimited();
/// let workflow = breakglass::Workflow::new(store, Arc::new(who), Arc::new(often));
///
/// let (alice, prod, hour) = (User::new("alice")?, Profile::new("prod")?, Duration::from_secs(3600));
/// let draft = workflow.draft(&alice, &prod, hour, breakglass::ReasonCode::Recovery, "restore last night's backup")?;
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
    idempotency_key: Option<IdempotencyKey>,
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
            idempotency_key: None,
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

    /// The same workflow for one call, with a key that is minted before the first try: made
    /// again after a lost answer, the same call gets its first result and changes nothing. Another
    /// call with the same key is refused with [`Error::IdempotencyKeyReused`]. It is
    /// remembered as long as its emergency, and by nothing else.
    ///
    /// [`Workflow::expire_due`] and [`Workflow::delete_ended_before`] make many changes and take
    /// no key; repeating them does no harm.
    ///
    /// ```
    /// # use countersign_breakglass::{self as breakglass, IdempotencyKey, OsRandom, User};
    /// # async fn example(workflow: &breakglass::Workflow, id: breakglass::EmergencyId, alice: &User) -> Result<(), breakglass::Error> {
    /// let idempotency_key = IdempotencyKey::random(&OsRandom)?;
    /// let closing = workflow.with_idempotency_key(idempotency_key);
    /// let first = closing.close(id, alice, "the primary is back").await?;
    /// let again = closing.close(id, alice, "the primary is back").await?;
    /// assert_eq!(first, again);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_idempotency_key(&self, idempotency_key: IdempotencyKey) -> Self {
        Self {
            idempotency_key: Some(idempotency_key),
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
        invoker: &User,
        profile: &Profile,
        duration: Duration,
        reason_code: ReasonCode,
        justification: &str,
    ) -> Result<Draft, Error> {
        Ok(Draft {
            id: EmergencyId::random(&*self.random)?,
            idempotency_key: self.idempotency_key,
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
    pub async fn invoke(&self, draft: &Draft) -> Result<Arc<Emergency>, Error> {
        self.create(draft, self.admission(draft)).await
    }

    /// Declares an emergency although an earlier one of the same user awaits its review: `by`, a
    /// responder whom the rule names and who is not the invoker, says why. It is recorded on the
    /// emergency ([`Emergency::review_override`](crate::Emergency)) and in its history; if no
    /// review is due, nothing of it is.
    ///
    /// # Errors
    /// Those of [`Store::create`].
    pub async fn invoke_overriding(
        &self,
        draft: &Draft,
        by: &User,
        reason: &str,
    ) -> Result<Arc<Emergency>, Error> {
        let admission = self.admission(draft).with_review_override(by, reason);
        self.create(draft, admission).await
    }

    fn admission(&self, draft: &Draft) -> Admission {
        Admission::new(&self.policy, &self.rate_limits, &draft.profile)
    }

    async fn create(&self, draft: &Draft, admission: Admission) -> Result<Arc<Emergency>, Error> {
        let draft = match (draft.idempotency_key, self.idempotency_key) {
            (None, Some(_)) => Cow::Owned(Draft {
                idempotency_key: self.idempotency_key,
                ..draft.clone()
            }),
            _ => Cow::Borrowed(draft),
        };
        self.store.create(&draft, &admission).await
    }

    /// Closes an emergency, and ends its access at once; its invoker or a responder named by the rule
    /// for its profile can, before its time is over.
    ///
    /// # Errors
    /// Those of [`Store::update`]; a conflict only after all tries. Of several people who close at
    /// once all but the first get [`Error::InvalidTransition`].
    pub async fn close(
        &self,
        id: EmergencyId,
        by: &User,
        reason: &str,
    ) -> Result<Arc<Emergency>, Error> {
        self.change(id, |emergency| {
            Change::close(&self.policy, &emergency.profile, by, reason)
        })
        .await
    }

    /// Reviews an emergency that is over; a reviewer named by the rule in force for its profile can
    /// (if it names none, a responder), who is not its invoker under any spelling, once.
    ///
    /// # Errors
    /// As [`Workflow::close`]. Of several people who review at once all but the first get
    /// [`Refusal::ReviewedAlready`].
    pub async fn review(
        &self,
        id: EmergencyId,
        by: &User,
        outcome: ReviewOutcome,
        text: &str,
    ) -> Result<Arc<Emergency>, Error> {
        self.change(id, |emergency| {
            Change::review(&self.policy, &emergency.profile, by, outcome, text)
        })
        .await
    }

    /// Emergencies that are over, marked so or not, and await their review: first what was over first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> Result<Listing<lists::AwaitingReview>, Error> {
        self.store.list_awaiting_review(page).await
    }

    /// Writes a note on an emergency, whatever its status. The history keeps every note.
    ///
    /// # Errors
    /// As [`Workflow::close`].
    pub async fn note(
        &self,
        id: EmergencyId,
        by: &User,
        text: &str,
    ) -> Result<Arc<Emergency>, Error> {
        self.change(id, |_| Change::note(by, text)).await
    }

    /// Marks emergencies whose time is over as expired, earliest first, at most `limit` (0 means 100,
    /// more than 1,000 means 1,000), and gives those it marked. Emergencies that somebody else changed
    /// meanwhile are passed over.
    ///
    /// The end of access does not depend on this: an emergency whose time is over gives none, marked
    /// or not, and does not stand in the way of the next.
    ///
    /// # Errors
    /// Those of the store; what was marked before stays marked.
    pub async fn expire_due(&self, limit: usize) -> Result<Vec<Arc<Emergency>>, Error> {
        let change = Change::expire();
        let mut expired = Vec::new();
        for emergency in self.store.list_expirable(limit).await? {
            match self
                .store
                .update(emergency.id, emergency.updated_at, &change)
                .await
            {
                Ok(emergency) => expired.push(emergency),
                Err(Error::NotFound { .. } | Error::Conflict(_)) => {}
                // The store's clock has been set back meanwhile.
                Err(Error::Refused(Refusal::NotDue { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    /// Deletes emergencies that were over before `time`, first what was over first, at most `limit` (0
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
        for emergency in ended {
            match self.store.delete(emergency.id, &retention).await {
                Ok(was_there) => gone += usize::from(was_there),
                Err(Error::Refused(Refusal::Kept { .. })) if in_order => break,
                // Or another emergency has the id by now.
                Err(
                    Error::Refused(Refusal::Kept { .. } | Refusal::Unreviewed { .. })
                    | Error::NotTerminal { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    /// The access that this user has to this profile now by an emergency, if any.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find_grant(&self, user: &User, profile: &Profile) -> Result<Option<Grant>, Error> {
        self.store.find_grant(user, profile).await
    }

    /// How much of this user's emergency access to this profile is left now: zero if there is
    /// none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remaining(&self, user: &User, profile: &Profile) -> Result<Duration, Error> {
        let Some(grant) = self.store.find_grant(user, profile).await? else {
            return Ok(Duration::ZERO);
        };
        let left = grant.until - self.store.now().await?.at();
        Ok(left.to_std().unwrap_or(Duration::ZERO))
    }

    async fn change(
        &self,
        id: EmergencyId,
        change: impl Fn(&Emergency) -> Change + Send + Sync,
    ) -> Result<Arc<Emergency>, Error> {
        self.store
            .update_with(id, &self.retry, |emergency| {
                Ok(change(emergency).carrying(self.idempotency_key))
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
