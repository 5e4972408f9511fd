//! The admission: whether an emergency may begin now, as one pure function.
//!
//! An [`Admission`] carries what the invocation and rate-limit rules say about one profile. A
//! store asks it what to look at ([`Admission::observation`]), looks ([`Observed`]), and lets it
//! decide ([`Admission::decide`]), all inside the atomic step that writes the emergency. So no two
//! callers can both pass where only one may, and every engine decides alike.
//!
//! - Emergencies count by when they were created, whatever became of them since; what a clock that was
//!   ahead has dated wrongly counts from its correction.
//! - A user is the same under any spelling that differs in ASCII case only.
//! - Where a refusal names a time to try again, the same call would not meet that refusal at that
//!   time, and would still meet it one nanosecond before.

use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::time::{Now, earlier, later};

use crate::change::{Change, check_reason};
use crate::draft::Draft;
use crate::invocation_policy::{InvocationPolicy, InvocationRule};
use crate::mfa::ProofId;
use crate::rate_limit_policy::{Escalation, RateLimitPolicy, RateLimitRule};
use crate::refusal::Refusal;
use crate::review::ReviewOverride;
use crate::vocabulary::EmergencyId;

/// What the rules say about emergencies for one profile.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::{self as breakglass, Profile, User};
///
/// let invocation: breakglass::InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"]}]}"#.parse()?;
/// let limits: breakglass::RateLimitPolicy = r#"{"version": "1", "rules": [
///     {"name": "all", "cooldown": "30m"}]}"#.parse()?;
/// let draft = breakglass::Draft {
///     id: breakglass::EmergencyId::from_bits(1),
///     idempotency_key: None,
///     invoker: User::new("alice")?,
///     profile: Profile::new("prod")?,
///     duration: Duration::from_secs(600),
///     reason_code: breakglass::ReasonCode::Incident,
///     justification: "the site is down since nine".into(),
///     ticket: None,
///     request_id: None,
///     mfa: None,
/// };
///
/// let admission = breakglass::Admission::new(&invocation, &limits, &draft.profile);
/// let now = "2026-03-02T09:00:00Z".parse()?;
/// assert!(admission.decide(&draft, &breakglass::Observed::default(), now).is_ok());
///
/// let just_now = breakglass::Observed { last_created_at: Some(now), ..Default::default() };
/// let refusal = admission.decide(&draft, &just_now, now).unwrap_err();
/// assert_eq!(refusal.retry_at(), Some("2026-03-02T09:30:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    profile: Profile,
    invocation: Option<Arc<InvocationRule>>,
    limits: Option<Arc<RateLimitRule>>,
    overriding: Option<Overriding>,
}

/// Who overrides a review that is due, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Overriding {
    by: User,
    reason: Arc<str>,
}

impl Admission {
    /// What these rules say about `profile`.
    pub fn new(invocation: &InvocationPolicy, limits: &RateLimitPolicy, profile: &Profile) -> Self {
        Self {
            profile: profile.clone(),
            invocation: invocation.rule_for(profile).cloned(),
            limits: limits.rule_for(profile).cloned(),
            overriding: None,
        }
    }

    /// The same, with the word of `by`, a responder whom the invocation rule names and who is not
    /// the invoker, that the emergency may begin although an earlier one awaits its review. It
    /// lifts nothing else, and is looked at and recorded only if such a review is due.
    #[must_use]
    pub fn with_review_override(self, by: &User, reason: &str) -> Self {
        let overriding = Some(Overriding {
            by: by.clone(),
            reason: reason.into(),
        });
        Self { overriding, ..self }
    }

    /// Whether an emergency with this override came of an admission like this one.
    pub(crate) fn overrides_as(&self, given: Option<&ReviewOverride>) -> bool {
        given.is_none_or(|given| {
            let overriding = self.overriding.as_ref();
            overriding.is_some_and(|own| own.by == given.by && own.reason == given.reason)
        })
    }

    /// What a store must look at to let `draft` be decided `now`, by the step's time.
    pub fn observation(&self, draft: &Draft, now: impl Into<Now>) -> Observation {
        let now = now.into();
        let rule = self.limits.as_deref();
        let count = |wanted: bool, max: Option<NonZeroU32>| {
            let window = rule.and_then(RateLimitRule::quota_window)?;
            wanted.then(|| CountWanted {
                created_after: earlier(now.at(), window),
                nth_newest: max,
            })
        };
        let max_per_user = rule.and_then(RateLimitRule::max_per_user);
        let max_per_profile = rule.and_then(RateLimitRule::max_per_profile);
        let escalates = rule.is_some_and(|rule| rule.escalation_threshold().is_some());
        Observation {
            user: draft.invoker.case_folded(),
            profile: draft.profile.clone(),
            now,
            last_created_at: rule.is_some_and(|rule| rule.cooldown().is_some()),
            of_user: count(max_per_user.is_some() || escalates, max_per_user),
            of_profile: count(max_per_profile.is_some(), max_per_profile),
            proof: draft.mfa.as_ref().map(|proof| proof.id.clone()),
            unreviewed: self
                .invocation
                .as_ref()
                .is_some_and(|rule| rule.after_review()),
        }
    }

    /// Whether `draft` may become an emergency `now`, by the step's time, given what the store observed
    /// in the same step.
    ///
    /// # Errors
    /// [`Refusal`], the first that holds of: [`OtherProfile`](Refusal::OtherProfile),
    /// [`NoRule`](Refusal::NoRule), [`User`](Refusal::User),
    /// [`ReasonCode`](Refusal::ReasonCode), [`Time`](Refusal::Time),
    /// [`Duration`](Refusal::Duration), [`MfaRequired`](Refusal::MfaRequired),
    /// [`MfaProof`](Refusal::MfaProof); [`Active`](Refusal::Active);
    /// [`ReviewDue`](Refusal::ReviewDue) or, if it is overridden by somebody who may not or without
    /// saying why, [`OwnOverride`](Refusal::OwnOverride),
    /// [`NotAnOverrider`](Refusal::NotAnOverrider), [`Reason`](Refusal::Reason);
    /// [`Cooldown`](Refusal::Cooldown), [`UserQuota`](Refusal::UserQuota),
    /// [`ProfileQuota`](Refusal::ProfileQuota).
    pub fn decide(
        &self,
        draft: &Draft,
        observed: &Observed,
        now: impl Into<Now>,
    ) -> Result<Admitted, Refusal> {
        let now = now.into();
        let at = now.at();
        if draft.profile != self.profile {
            return Err(Refusal::OtherProfile {
                made_for: self.profile.clone(),
                used_for: draft.profile.clone(),
            });
        }
        let Some(invocation) = &self.invocation else {
            return Err(Refusal::NoRule {
                profile: self.profile.clone(),
            });
        };
        invocation.check(draft, at)?;
        invocation.check_proof(draft, observed.proof_used_by, &now)?;
        if let Some(ActiveEmergency { id, expires_at }) = observed.active {
            if at < expires_at {
                return Err(Refusal::Active {
                    id,
                    retry_at: expires_at,
                });
            }
        }
        let review_override = self.check_review(invocation, draft, observed)?;
        let escalation = match &self.limits {
            None => None,
            Some(rule) => rule.check(observed, at)?,
        };
        Ok(Admitted {
            escalation,
            review_override,
            idempotency_key: draft.idempotency_key,
        })
    }

    /// The override by which the emergency begins, if it takes one.
    fn check_review(
        &self,
        rule: &InvocationRule,
        draft: &Draft,
        observed: &Observed,
    ) -> Result<Option<ReviewOverride>, Refusal> {
        let Some(unreviewed) = observed.unreviewed.filter(|_| rule.after_review()) else {
            return Ok(None);
        };
        let Some(Overriding { by, reason }) = &self.overriding else {
            return Err(Refusal::ReviewDue {
                rule: rule.shared_name(),
                emergency: unreviewed.id,
                ended_at: unreviewed.ended_at,
            });
        };
        let user = by.clone();
        if user.same_user(&draft.invoker) {
            return Err(Refusal::OwnOverride { user });
        }
        if !rule.names_responder(by) {
            let rule = rule.shared_name();
            return Err(Refusal::NotAnOverrider { rule, user });
        }
        check_reason(reason).map_err(Refusal::Reason)?;
        Ok(Some(ReviewOverride {
            by: user,
            reason: Arc::clone(reason),
            unreviewed: unreviewed.id,
        }))
    }
}

impl RateLimitRule {
    fn check(&self, observed: &Observed, at: DateTime<Utc>) -> Result<Option<Escalation>, Refusal> {
        if let (Some(cooldown), Some(last)) = (self.cooldown(), observed.last_created_at) {
            let retry_at = later(last, cooldown);
            if at < retry_at {
                return Err(Refusal::Cooldown {
                    rule: self.shared_name(),
                    retry_at,
                });
            }
        }
        let escalation = self.escalation(observed.of_user.count);
        if let Some((count, max, retry_at)) =
            self.exceeded(self.max_per_user(), &observed.of_user, at)
        {
            return Err(Refusal::UserQuota {
                rule: self.shared_name(),
                count,
                max,
                retry_at,
                escalation,
            });
        }
        if let Some((count, max, retry_at)) =
            self.exceeded(self.max_per_profile(), &observed.of_profile, at)
        {
            return Err(Refusal::ProfileQuota {
                rule: self.shared_name(),
                count,
                max,
                retry_at,
                escalation,
            });
        }
        Ok(escalation)
    }

    fn escalation(&self, count: u64) -> Option<Escalation> {
        let (threshold, window) = (self.escalation_threshold()?, self.quota_window()?);
        (count >= u64::from(threshold.get())).then(|| Escalation {
            rule: self.shared_name(),
            count,
            threshold,
            window,
        })
    }

    /// The count, the maximum and the time to try again, if the maximum is reached.
    fn exceeded(
        &self,
        max: Option<NonZeroU32>,
        counted: &Counted,
        at: DateTime<Utc>,
    ) -> Option<(u64, NonZeroU32, DateTime<Utc>)> {
        let (max, window) = (max?, self.quota_window()?);
        if counted.count < u64::from(max.get()) {
            return None;
        }
        // The count falls below the maximum when the max-th newest emergency leaves the window.
        let leaves = counted.nth_newest.unwrap_or(at);
        Some((counted.count, max, later(leaves, window)))
    }
}

/// What a store must look at, in the step in which it creates an emergency.
///
/// ```
/// use countersign_breakglass as breakglass;
///
/// # fn example(admission: &breakglass::Admission, draft: &breakglass::Draft, now: chrono::DateTime<chrono::Utc>) {
/// let observation = admission.observation(draft, now);
/// if observation.of_user.is_none() {
///     // `SELECT count(*) … WHERE user = …` is not needed.
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Whose emergencies, in the one spelling that all names of the same user share
    /// ([`User::case_folded`]).
    pub user: User,
    /// For which profile.
    pub profile: Profile,
    /// When: the step's time. [`Observed::active`] is wanted always: the emergency of this user and
    /// profile that gives access now ([`Emergency::is_active`](crate::Emergency::is_active)).
    pub now: Now,
    /// Whether [`Observed::last_created_at`] is wanted: of this user and profile, whatever the
    /// status, the latest moment at which one was created
    /// ([`Emergency::begun_at`](crate::Emergency::begun_at)).
    pub last_created_at: bool,
    /// Whether [`Observed::of_user`] is wanted, and which: of this user, over all profiles,
    /// whatever the status.
    pub of_user: Option<CountWanted>,
    /// Whether [`Observed::of_profile`] is wanted, and which: of this profile, over all people,
    /// whatever the status.
    pub of_profile: Option<CountWanted>,
    /// The second factor for which [`Observed::proof_used_by`] is wanted: any emergency of the store
    /// that was created with a proof of this id, deleted or not.
    pub proof: Option<ProofId>,
    /// Whether [`Observed::unreviewed`] is wanted: of this user, over all profiles, the emergency
    /// that awaits its review ([`Emergency::awaits_review`](crate::Emergency::awaits_review)) and
    /// was over first.
    pub unreviewed: bool,
}

/// Which emergencies a store is to count.
///
/// ```
/// use countersign_breakglass::CountWanted;
///
/// let wanted = CountWanted { created_after: "2026-03-02T09:00:00Z".parse()?, nth_newest: None };
/// assert!(wanted.nth_newest.is_none(), "only the count is of interest");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountWanted {
    /// Emergencies count whose moment of creation
    /// ([`Emergency::begun_at`](crate::Emergency::begun_at)) is after this one; one created at it
    /// does not.
    pub created_after: DateTime<Utc>,
    /// Of those, the newest being the first, the moment of which one is wanted.
    pub nth_newest: Option<NonZeroU32>,
}

/// What a store saw when it looked at an [`Observation`]. What was not wanted can stay as it is by
/// default.
///
/// ```
/// use countersign_breakglass::Observed;
///
/// let nothing = Observed::default();
/// assert_eq!((nothing.active, nothing.of_user.count), (None, 0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// The active emergency of the same user and profile, if there is one.
    pub active: Option<ActiveEmergency>,
    /// The moment at which the last emergency of the same user and profile was created.
    pub last_created_at: Option<DateTime<Utc>>,
    /// Emergencies of the same user.
    pub of_user: Counted,
    /// Emergencies of the same profile.
    pub of_profile: Counted,
    /// The emergency that the second factor was used for, if it was.
    pub proof_used_by: Option<EmergencyId>,
    /// The emergency of the same user that has awaited its review longest, if one does.
    pub unreviewed: Option<UnreviewedEmergency>,
}

/// An emergency that awaits its review.
///
/// ```
/// use countersign_breakglass::{EmergencyId, Observed, UnreviewedEmergency};
///
/// let ended_at = "2026-03-02T10:00:00Z".parse()?;
/// let unreviewed = UnreviewedEmergency { id: EmergencyId::from_bits(1), ended_at };
/// let observed = Observed { unreviewed: Some(unreviewed), ..Observed::default() };
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreviewedEmergency {
    /// What identifies it.
    pub id: EmergencyId,
    /// The moment at which it was over ([`Emergency::ended_at`](crate::Emergency::ended_at)).
    pub ended_at: DateTime<Utc>,
}

/// An emergency that is active.
///
/// ```
/// use countersign_breakglass::{ActiveEmergency, EmergencyId, Observed};
///
/// let expires_at = "2026-03-02T10:00:00Z".parse()?;
/// let active = ActiveEmergency { id: EmergencyId::from_bits(1), expires_at };
/// let observed = Observed { active: Some(active), ..Observed::default() };
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveEmergency {
    /// What identifies it.
    pub id: EmergencyId,
    /// The first moment at which it no longer stands in the way.
    pub expires_at: DateTime<Utc>,
}

/// Emergencies that were counted as a [`CountWanted`] says.
///
/// ```
/// use countersign_breakglass::{Counted, Observed};
///
/// let of_user = Counted { count: 3, nth_newest: Some("2026-03-02T08:00:00Z".parse()?) };
/// let observed = Observed { of_user, ..Observed::default() };
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// How many there are.
    pub count: u64,
    /// The moment at which the n-th newest of them was created, if there are so many.
    pub nth_newest: Option<DateTime<Utc>>,
}

impl Counted {
    /// Counts creations at these moments ([`Emergency::begun_at`](crate::Emergency::begun_at)), in
    /// whatever order. For stores, where a window reaches back into a time that was corrected, and
    /// the order of their index is not that of moments.
    pub fn of_moments(
        moments: impl IntoIterator<Item = DateTime<Utc>>,
        wanted: CountWanted,
    ) -> Self {
        let counts = |moment: &DateTime<Utc>| *moment > wanted.created_after;
        let mut moments: Vec<_> = moments.into_iter().filter(counts).collect();
        moments.sort_unstable_by(|one, other| other.cmp(one));
        let nth = wanted
            .nth_newest
            .and_then(|nth| usize::try_from(nth.get()).ok());
        Self {
            count: moments.len() as u64,
            nth_newest: nth.and_then(|nth| moments.get(nth - 1).copied()),
        }
    }
}

/// The leave to create one emergency, given by [`Admission::decide`].
///
/// ```
/// # use countersign_breakglass as breakglass;
/// # fn example(admitted: &breakglass::Admitted) {
/// if admitted.escalate() {
///     // Tell somebody: this user has declared many emergencies of late.
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Admitted {
    escalation: Option<Escalation>,
    review_override: Option<ReviewOverride>,
    idempotency_key: Option<IdempotencyKey>,
}

impl Admitted {
    /// Whether the invoker had declared so many emergencies before that somebody should be told.
    /// It never stands in the way.
    pub fn escalate(&self) -> bool {
        self.escalation.is_some()
    }

    /// By which rule somebody should be told, and of how many emergencies.
    pub fn escalation(&self) -> Option<&Escalation> {
        self.escalation.as_ref()
    }

    /// What a store applies to the emergency that it creates, in the same step and with a version of
    /// its own: the override by which the emergency begins, if it takes one.
    pub fn follow_up(&self) -> Option<Change> {
        let given = self.review_override.clone()?;
        Some(Change::override_review(given).carrying(self.idempotency_key))
    }
}
