//! How long emergencies are kept: as long as a rule may look back at them, and until they are reviewed.
//!
//! Deleting is the operator's decision, and a store does it only if [`Retention::check`] lets it,
//! in the step that deletes. So nobody wins back a quota, ends a pause, makes a second factor good
//! again or pays a review by having a record removed.

use std::time::Duration;

use countersign_core::time::{Now, later};

use crate::error::Error;
use crate::invocation_policy::InvocationPolicy;
use crate::rate_limit_policy::RateLimitPolicy;
use crate::record::Emergency;
use crate::refusal::Refusal;

/// What must be kept. It is made from the rules in force; under other rules it may be longer.
///
/// ```
/// use std::time::Duration;
/// use countersign_breakglass::{InvocationPolicy, RateLimitPolicy, Retention};
///
/// let who: InvocationPolicy = r#"{"version": "1", "rules": [
///     {"name": "on-call", "users": ["alice"]}]}"#.parse()?;
/// let often: RateLimitPolicy = r#"{"version": "1", "rules": [
///     {"name": "daily", "max_per_user": 2, "quota_window": "24h"}]}"#.parse()?;
/// assert_eq!(Retention::new(&who, &often).keep_for(), Duration::from_secs(24 * 3600));
/// # Ok::<(), countersign_breakglass::DocumentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    keep_for: Duration,
}

impl Retention {
    /// What these rules may still look back at: the longest quota window or pause
    /// ([`RateLimitPolicy::longest_look_back`]), and as long as a second factor is good
    /// ([`InvocationPolicy::longest_proof_age`]).
    pub fn new(invocation: &InvocationPolicy, limits: &RateLimitPolicy) -> Self {
        let keep_for = limits.longest_look_back();
        Self {
            keep_for: keep_for.max(invocation.longest_proof_age()),
        }
    }

    /// How long an emergency is kept at least, from the moment at which it was over
    /// ([`Emergency::over_since`]). Windows begin earlier, at the creation, so this is never too short.
    pub fn keep_for(&self) -> Duration {
        self.keep_for
    }

    /// Whether `emergency` may be deleted `now`, by the step's time. For implementations of
    /// [`Store`](crate::Store).
    ///
    /// # Errors
    /// [`Error::NotTerminal`], then [`Error::Refused`] with [`Refusal::Unreviewed`], then
    /// [`Error::Clock`] if the clock cannot be right, then [`Error::ClockJumped`] for an hour after
    /// it went forward by more than a day, then [`Refusal::Kept`].
    pub fn check(&self, emergency: &Emergency, now: impl Into<Now>) -> Result<(), Error> {
        let now = now.into();
        let id = emergency.id;
        if !emergency.is_terminal() {
            let status = emergency.status;
            return Err(Error::NotTerminal { id, status });
        }
        if emergency.review.is_none() {
            return Err(Error::Refused(Refusal::Unreviewed { id }));
        }
        now.granting()?;
        if let Some(until) = now.deletes_from() {
            return Err(Error::ClockJumped { until });
        }
        let until = later(emergency.over_since(&now), self.keep_for);
        if now.at() < until {
            return Err(Error::Refused(Refusal::Kept { id, until }));
        }
        Ok(())
    }
}
