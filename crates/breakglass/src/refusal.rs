//! Why something may not be: each rule that can refuse an emergency, a change or a deletion, and what
//! would be needed instead.
//!
//! Refusals are data. They are made in `admission.rs`, `mfa.rs`, `change.rs` and `retention.rs`;
//! nothing here decides.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{Profile, TextError, User};
use countersign_core::window::{Window, duration};
use thiserror::Error;

use crate::history::Actor;
use crate::mfa::{MfaMethod, ProofProblem, listed};
use crate::rate_limit_policy::Escalation;
use crate::transition::{Status, done};
use crate::vocabulary::{EmergencyId, ReasonCode};

/// Why a change was not made; [`Emergency::apply`](crate::Emergency::apply) gives it.
///
/// ```
/// use countersign_breakglass::{Actor, Rejection, Status, User};
///
/// let rejection = Rejection::InvalidTransition {
///     from: Status::Closed,
///     to: Status::Expired,
///     by: Actor::User(User::new("alice")?),
///     at: "2026-03-02T16:18:02Z".parse()?,
/// };
/// assert_eq!(
///     rejection.to_string(),
///     "the emergency cannot become expired: alice closed it at `2026-03-02 16:18:02 UTC`"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The status does not lead to the one asked for.
    #[error("the emergency cannot become {to}: {by} {} it at `{at}`", done(*from))]
    InvalidTransition {
        /// The status it has.
        from: Status,
        /// The status it was to get.
        to: Status,
        /// Who or what gave it the status that it has.
        by: Actor,
        /// When.
        at: DateTime<Utc>,
    },
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The rule that forbids an emergency, a change or a deletion, and what would be needed. Trying
/// again without changing anything gives the same answer, except where a time is named.
///
/// ```
/// use countersign_breakglass::{Profile, Refusal};
///
/// let refusal = Refusal::NoRule { profile: Profile::new("prod")? };
/// assert!(refusal.to_string().starts_with("no invocation rule is for `prod`"));
/// assert_eq!(refusal.retry_at(), None, "waiting does not help");
/// # Ok::<(), countersign_breakglass::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No invocation rule is for the profile.
    #[error(
        "no invocation rule is for `{profile}`: add one if it may be opened in an emergency, or submit a request"
    )]
    NoRule {
        /// What was asked for.
        profile: Profile,
    },
    /// The rule does not name this user.
    #[error("rule `{rule}` does not let `{user}` declare an emergency: ask one whom it names")]
    User {
        /// The rule that applies.
        rule: Arc<str>,
        /// Who tried.
        user: User,
    },
    /// The rule does not allow this reason.
    #[error("rule `{rule}` does not allow the reason `{reason_code}`: submit a request instead")]
    ReasonCode {
        /// The rule that applies.
        rule: Arc<str>,
        /// What was given.
        reason_code: ReasonCode,
    },
    /// The rule's window is not open.
    #[error("rule `{rule}` is open at `{window}` only, and it is `{at}`: try again then")]
    Time {
        /// The rule that applies.
        rule: Arc<str>,
        /// When it was tried.
        at: DateTime<Utc>,
        /// When the rule is open.
        window: Window,
    },
    /// The rule allows shorter access only.
    #[error("rule `{rule}` allows at most `{}`, not `{}`: ask for less", duration::format(*.most), duration::format(*.given))]
    Duration {
        /// The rule that applies.
        rule: Arc<str>,
        /// What was asked for.
        given: Duration,
        /// The most that may be.
        most: Duration,
    },
    /// The rule demands a second factor, and none was shown.
    #[error("rule `{rule}` demands a second factor: show one by {}", listed(.methods))]
    MfaRequired {
        /// The rule that applies.
        rule: Arc<str>,
        /// The methods that will do.
        methods: Vec<MfaMethod>,
    },
    /// The second factor that was shown will not do.
    #[error("rule `{rule}` does not take the second factor: {problem}")]
    MfaProof {
        /// The rule that applies.
        rule: Arc<str>,
        /// What is wrong with it.
        problem: ProofProblem,
    },
    /// The same user has an active emergency for the same profile.
    #[error("emergency `{id}` is active until `{retry_at}`: use it, or close it first")]
    Active {
        /// The emergency.
        id: EmergencyId,
        /// The first moment at which it no longer stands in the way.
        retry_at: DateTime<Utc>,
    },
    /// The rule demands that the same user's earlier emergencies, over all profiles, be reviewed
    /// first, and one is not.
    #[error(
        "rule `{rule}` demands a review first: emergency `{emergency}` of the same user, over since `{ended_at}`, awaits one: have it reviewed, or a responder of the rule override"
    )]
    ReviewDue {
        /// The rule that applies.
        rule: Arc<str>,
        /// The emergency that has awaited its review longest.
        emergency: EmergencyId,
        /// When that emergency was over.
        ended_at: DateTime<Utc>,
    },
    /// Nobody overrides for themselves, under any spelling.
    #[error("`{user}` is the one who declares this: a responder who is somebody else can override")]
    OwnOverride {
        /// Who tried.
        user: User,
    },
    /// Only a responder whom the rule names overrides.
    #[error("rule `{rule}` does not name `{user}` as a responder: a responder can override")]
    NotAnOverrider {
        /// The rule that applies.
        rule: Arc<str>,
        /// Who tried.
        user: User,
    },
    /// The last emergency of the same user for the same profile is not long enough ago.
    #[error("rule `{rule}` demands a pause since the last emergency: try again at `{retry_at}`")]
    Cooldown {
        /// The rule that applies.
        rule: Arc<str>,
        /// The first moment at which the pause is over.
        retry_at: DateTime<Utc>,
    },
    /// The same user has had too many emergencies, over all profiles.
    #[error(
        "rule `{rule}` allows a user {max} emergencies in its window and there are {count}: try again at `{retry_at}`"
    )]
    UserQuota {
        /// The rule that applies.
        rule: Arc<str>,
        /// How many there are.
        count: u64,
        /// How many may be.
        max: NonZeroU32,
        /// The first moment at which there are fewer.
        retry_at: DateTime<Utc>,
        /// Whom to tell is the host's business: that the threshold was reached, if it was.
        escalation: Option<Escalation>,
    },
    /// The same profile has had too many emergencies, over all people.
    #[error(
        "rule `{rule}` allows a profile {max} emergencies in its window and there are {count}: try again at `{retry_at}`"
    )]
    ProfileQuota {
        /// The rule that applies.
        rule: Arc<str>,
        /// How many there are.
        count: u64,
        /// How many may be.
        max: NonZeroU32,
        /// The first moment at which there are fewer.
        retry_at: DateTime<Utc>,
        /// As in [`Refusal::UserQuota`]: the user's own emergencies decide.
        escalation: Option<Escalation>,
    },
    /// Only the invoker or a named responder closes an emergency.
    #[error(
        "`{user}` did not declare this and no rule names them as a responder: `{invoker}` or a responder can close it"
    )]
    NotAResponder {
        /// Who tried.
        user: User,
        /// Who declared it.
        invoker: User,
    },
    /// There is nothing left to close.
    #[error("the access ended at `{expires_at}`: there is nothing to close")]
    AccessOver {
        /// The first moment at which access was over.
        expires_at: DateTime<Utc>,
    },
    /// Access is not over, and what is not over neither expires nor is reviewed.
    #[error("the access lasts until `{expires_at}`: it is not over before, unless it is closed")]
    NotDue {
        /// The first moment at which it expires.
        expires_at: DateTime<Utc>,
    },
    /// Nobody reviews their own emergency, under any spelling.
    #[error(
        "`{invoker}` declared this, and `{user}` is the same user: somebody else must review it"
    )]
    OwnReview {
        /// Who tried.
        user: User,
        /// Who declared it.
        invoker: User,
    },
    /// Only those review whom the rule in force for the profile names.
    #[error(
        "no rule for `{profile}` names `{user}` as a reviewer: a reviewer must, or name one in the rule"
    )]
    NotAReviewer {
        /// Who tried.
        user: User,
        /// The profile of the emergency.
        profile: Profile,
    },
    /// An emergency is reviewed once.
    #[error("`{by}` reviewed it at `{at}`: write a note if there is more to say")]
    ReviewedAlready {
        /// Who reviewed it.
        by: User,
        /// When.
        at: DateTime<Utc>,
    },
    /// An emergency that awaits its review is not deleted.
    #[error("emergency `{id}` awaits its review: have it reviewed before deleting it")]
    Unreviewed {
        /// The emergency.
        id: EmergencyId,
    },
    /// A rule may still look back at the emergency: without it, quotas and pauses would forget it.
    #[error(
        "emergency `{id}` is kept until `{until}`, because rules look back at it: delete it then"
    )]
    Kept {
        /// The emergency.
        id: EmergencyId,
        /// The first moment at which it can be deleted.
        until: DateTime<Utc>,
    },
    /// The admission or change was made for another profile than the emergency is for.
    #[error(
        "made for `{made_for}`, and the emergency is for `{used_for}`: make it for the emergency's profile"
    )]
    OtherProfile {
        /// The profile of the admission or change.
        made_for: Profile,
        /// The profile of the emergency.
        used_for: Profile,
    },
    /// The reason or note is empty, too long, or says nothing.
    #[error("the reason or note: {0}")]
    Reason(TextError),
    /// Notes have filled the history. Changes of status remain possible.
    #[error(
        "the history has {entries} entries, and no note is added to it: write it in the ticket"
    )]
    HistoryFull {
        /// How many it has.
        entries: usize,
    },
}

impl Refusal {
    /// The refusal as one word, for programs and metrics. It stays when texts are reworded.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NoRule { .. } => "no_rule",
            Refusal::User { .. } => "user",
            Refusal::ReasonCode { .. } => "reason_code",
            Refusal::Time { .. } => "time",
            Refusal::Duration { .. } => "duration",
            Refusal::MfaRequired { .. } => "mfa_required",
            Refusal::MfaProof { .. } => "mfa_proof",
            Refusal::Active { .. } => "active",
            Refusal::ReviewDue { .. } => "review_due",
            Refusal::OwnOverride { .. } => "own_override",
            Refusal::NotAnOverrider { .. } => "not_an_overrider",
            Refusal::Cooldown { .. } => "cooldown",
            Refusal::UserQuota { .. } => "user_quota",
            Refusal::ProfileQuota { .. } => "profile_quota",
            Refusal::NotAResponder { .. } => "not_a_responder",
            Refusal::AccessOver { .. } => "access_over",
            Refusal::NotDue { .. } => "not_due",
            Refusal::OwnReview { .. } => "own_review",
            Refusal::NotAReviewer { .. } => "not_a_reviewer",
            Refusal::ReviewedAlready { .. } => "reviewed_already",
            Refusal::Unreviewed { .. } => "unreviewed",
            Refusal::Kept { .. } => "kept",
            Refusal::OtherProfile { .. } => "other_profile",
            Refusal::Reason(_) => "reason",
            Refusal::HistoryFull { .. } => "history_full",
        }
    }
}

impl Refusal {
    /// The first moment at which this refusal no longer holds, if time alone lifts it. Another
    /// may hold then.
    ///
    /// ```
    /// use countersign_breakglass::{EmergencyId, Refusal};
    ///
    /// let retry_at = "2026-03-02T10:00:00Z".parse()?;
    /// let refusal = Refusal::Active { id: EmergencyId::from_bits(1), retry_at };
    /// assert_eq!(refusal.retry_at(), Some(retry_at));
    /// # Ok::<(), chrono::ParseError>(())
    /// ```
    pub fn retry_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Refusal::Active { retry_at, .. }
            | Refusal::Cooldown { retry_at, .. }
            | Refusal::UserQuota { retry_at, .. }
            | Refusal::ProfileQuota { retry_at, .. } => Some(*retry_at),
            Refusal::NotDue { expires_at } => Some(*expires_at),
            Refusal::Kept { until, .. } => Some(*until),
            Refusal::MfaProof { problem, .. } => problem.retry_at(),
            Refusal::NoRule { .. }
            | Refusal::User { .. }
            | Refusal::ReasonCode { .. }
            | Refusal::Time { .. }
            | Refusal::Duration { .. }
            | Refusal::MfaRequired { .. }
            | Refusal::ReviewDue { .. }
            | Refusal::OwnOverride { .. }
            | Refusal::NotAnOverrider { .. }
            | Refusal::OwnReview { .. }
            | Refusal::NotAReviewer { .. }
            | Refusal::ReviewedAlready { .. }
            | Refusal::Unreviewed { .. }
            | Refusal::NotAResponder { .. }
            | Refusal::AccessOver { .. }
            | Refusal::OtherProfile { .. }
            | Refusal::Reason(_)
            | Refusal::HistoryFull { .. } => None,
        }
    }
}
