//! The terms: what the approval rules say about one profile, carried into the store's step.
//!
//! A [`Terms`] holds the rule that applies, and cannot be made from anything but an
//! [`ApprovalPolicy`]. A store is given one with each draft, and each change that needs a rule
//! carries one; so what a rule demands is decided in the step that writes the record.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::names::{Profile, User};

use crate::approval_policy::ApprovalPolicy;
use crate::draft::Draft;
use crate::record::Request;
use crate::refusal::Refusal;
use crate::rule::ApprovalRule;

/// What an [`ApprovalPolicy`] says about one profile.
///
/// ```
/// use std::time::Duration;
/// use countersign_request::{self as request, Profile, User};
///
/// let policy: request::ApprovalPolicy = r#"{"version": "1", "rules": [
///     {"name": "production", "approvers": ["bob"], "ticket_required": true}]}"#.parse()?;
/// let prod = Profile::new("prod")?;
/// let mut draft = request::Draft {
///     id: request::RequestId::from_bits(1),
///     requester: User::new("alice")?,
///     profile: prod.clone(),
///     duration: Duration::from_secs(600),
///     justification: "look at the slow query".into(),
///     ticket: None,
///     policy: None,
///     idempotency_key: None,
/// };
///
/// let terms = request::Terms::of(&policy, &prod);
/// let now = "2026-03-02T09:00:00Z".parse()?;
/// assert!(matches!(terms.check(&draft, now), Err(request::Refusal::TicketRequired { .. })));
/// draft.ticket = Some("OPS-4711".into());
/// assert!(terms.check(&draft, now).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    profile: Profile,
    rule: Option<Arc<ApprovalRule>>,
}

impl Terms {
    /// What these rules say about `profile`.
    pub fn of(policy: &ApprovalPolicy, profile: &Profile) -> Self {
        Self {
            profile: profile.clone(),
            rule: policy.rule_for(profile).cloned(),
        }
    }

    /// Whether `draft` may become a request at `at`, the step's time. [`Request::create`] asks.
    ///
    /// # Errors
    /// [`Refusal`], the first that holds of: [`OtherProfile`](Refusal::OtherProfile);
    /// [`NobodyCanApprove`](Refusal::NobodyCanApprove), if no rule is for the profile, or its
    /// groups cannot be met without the requester and it does not approve by itself at `at`;
    /// [`TooLong`](Refusal::TooLong), [`Justification`](Refusal::Justification),
    /// [`TicketRequired`](Refusal::TicketRequired), [`NotPinned`](Refusal::NotPinned).
    pub fn check(&self, draft: &Draft, at: DateTime<Utc>) -> Result<(), Refusal> {
        let rule = self.rule_for(&draft.profile)?;
        let requester = &draft.requester;
        let automatic = rule
            .auto_approval()
            .is_some_and(|auto| auto.holds(requester, draft.duration, at));
        if !automatic && !rule.is_met_by(requester, rule.approvers()) {
            return Err(Refusal::NobodyCanApprove {
                profile: self.profile.clone(),
            });
        }
        rule.check(
            draft.duration,
            &draft.justification,
            draft.ticket.is_some(),
            draft.policy.is_some(),
        )
    }

    pub(crate) fn rule(&self) -> Option<&Arc<ApprovalRule>> {
        self.rule.as_ref()
    }

    /// The rule, if the terms are those of `profile` and there is a rule for it.
    pub(crate) fn rule_for(&self, profile: &Profile) -> Result<&Arc<ApprovalRule>, Refusal> {
        if self.profile != *profile {
            return Err(Refusal::OtherProfile {
                change: self.profile.clone(),
                request: profile.clone(),
            });
        }
        self.rule.as_ref().ok_or_else(|| Refusal::NobodyCanApprove {
            profile: self.profile.clone(),
        })
    }

    /// The rule, if it names `user` as an approver.
    pub(crate) fn rule_naming(
        &self,
        request: &Request,
        user: &User,
    ) -> Result<&Arc<ApprovalRule>, Refusal> {
        let rule = self.rule_for(&request.profile)?;
        if !rule.names_approver(user) {
            return Err(Refusal::NotAnApprover {
                user: user.clone(),
                rule: rule.shared_name(),
            });
        }
        Ok(rule)
    }
}
