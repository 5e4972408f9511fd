//! Decisions that outlive their policy: what a log or an answer over a wire keeps.
//!
//! A flat record, with the flags that an integration asks for; nothing here decides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::grant::Grant;
use countersign_core::window::duration::format;
use serde::{Serialize, Serializer};

use super::{Decision, Denial, Matched};
use crate::digest::PolicyDigest;
use crate::vocabulary::Effect;

/// A decision that outlives its policy and its grants, for logs.
///
/// Serialises as one flat object; durations are texts such as `1h30m`. Shown as the decision is.
///
/// ```
/// use countersign_policy::{User, Policy, Profile, Query, Verdict};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "prod", "effect": "require_server", "conditions": {"profiles": ["prod"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let decision = policy.decide(&query).to_owned();
/// drop(policy);
/// assert_eq!(decision.verdict, Verdict::Deny);
/// assert!(serde_json::to_string(&decision)?.starts_with(r#"{"verdict":"deny","denial":"server_mode_required""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use = "a decision that nobody looks at protects nothing"]
pub struct OwnedDecision {
    /// Allow, deny or require approval.
    pub verdict: Verdict,
    /// Why access is denied; none unless it is.
    pub denial: Option<OwnedDenial>,
    /// Whether access is denied for want of server mode.
    pub requires_server_mode: bool,
    /// Whether access is denied for want of session tracking.
    pub requires_session_tracking: bool,
    /// The rule that matched; none if none did.
    pub rule: Option<OwnedRule>,
    /// The longest that a credential may live; no limit if none.
    #[serde(serialize_with = "serialize_length")]
    pub max_duration: Option<Duration>,
    /// The approval or emergency that access rests on; none if the policy alone decided.
    pub grant: Option<Grant>,
    /// The policy that decided.
    pub policy: PolicyDigest,
}

/// What a decision comes to.
///
/// ```
/// use countersign_policy::Verdict;
///
/// assert_eq!(serde_json::to_string(&Verdict::RequireApproval)?, "\"require_approval\"");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Access is given.
    Allow,
    /// Access is denied.
    Deny,
    /// Access is denied until somebody else approves it.
    RequireApproval,
}

/// Why access is denied: a [`Denial`] without its rule.
///
/// ```
/// use countersign_policy::OwnedDenial;
///
/// assert_eq!(serde_json::to_string(&OwnedDenial::HardRule)?, "\"hard_rule\"");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnedDenial {
    /// No rule matched.
    NoRule,
    /// A deny rule matched.
    Rule,
    /// A deny rule matched that nothing overrides.
    HardRule,
    /// Server mode is required, and session tracking as well if the flag says so.
    ServerModeRequired,
    /// Session tracking is required.
    SessionTrackingRequired,
}

/// The rule that decided: a [`Matched`] that outlives its policy.
///
/// ```
/// use countersign_policy::{Effect, OwnedRule};
///
/// let rule = OwnedRule {
///     name: "prod".into(),
///     index: 0,
///     reason: None,
///     effect: Effect::Allow,
///     max_server_duration: None,
///     session_table: None,
/// };
/// assert_eq!(rule.to_string(), "rule 0 `prod`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnedRule {
    /// The rule's name.
    pub name: Arc<str>,
    /// The rule's place in the policy, counted from 0.
    pub index: usize,
    /// What a user is told.
    pub reason: Option<Arc<str>>,
    /// What the rule does.
    pub effect: Effect,
    /// The longest that a credential given under the rule may live.
    #[serde(serialize_with = "serialize_length")]
    pub max_server_duration: Option<Duration>,
    /// The table in which the host is to track the session.
    pub session_table: Option<Arc<str>>,
}

impl From<Decision<'_>> for OwnedDecision {
    fn from(decision: Decision<'_>) -> Self {
        let (verdict, denial, max_duration, grant) = match decision {
            Decision::Allow(allow) => (Verdict::Allow, None, allow.max_duration, allow.grant),
            Decision::Deny(deny) => (Verdict::Deny, Some(deny.why.into()), None, None),
            Decision::RequireApproval(needed) => {
                (Verdict::RequireApproval, None, needed.max_duration, None)
            }
        };
        Self {
            verdict,
            denial,
            requires_server_mode: decision.requires_server_mode(),
            requires_session_tracking: decision.requires_session_tracking(),
            rule: decision.rule().map(OwnedRule::from),
            max_duration,
            grant: grant.cloned(),
            policy: decision.policy(),
        }
    }
}

impl From<Denial<'_>> for OwnedDenial {
    fn from(denial: Denial<'_>) -> Self {
        match denial {
            Denial::NoRule => OwnedDenial::NoRule,
            Denial::Rule { hard: false, .. } => OwnedDenial::Rule,
            Denial::Rule { hard: true, .. } => OwnedDenial::HardRule,
            Denial::ServerModeRequired { .. } => OwnedDenial::ServerModeRequired,
            Denial::SessionTrackingRequired { .. } => OwnedDenial::SessionTrackingRequired,
        }
    }
}

impl From<Matched<'_>> for OwnedRule {
    fn from(rule: Matched<'_>) -> Self {
        Self {
            name: rule.name.into(),
            index: rule.index,
            reason: rule.reason.map(Into::into),
            effect: rule.effect,
            max_server_duration: rule.max_server_duration,
            session_table: rule.session_table.map(Into::into),
        }
    }
}

impl OwnedRule {
    pub(super) fn as_matched(&self) -> Matched<'_> {
        Matched {
            name: &self.name,
            index: self.index,
            reason: self.reason.as_deref(),
            effect: self.effect,
            max_server_duration: self.max_server_duration,
            session_table: self.session_table.as_deref(),
        }
    }
}

impl fmt::Display for OwnedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_matched().fmt(f)
    }
}

pub(crate) fn serialize_length<S: Serializer>(
    length: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    length.map(format).serialize(serializer)
}
