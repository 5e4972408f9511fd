//! What a policy answers: allow, deny, or only with somebody's approval.
//!
//! - The outcome is one enum without a catch-all: who handles it must say what happens when an
//!   approval is demanded, and a denial never looks like anything else.
//! - A [`Decision`] borrows from its policy and its grants; an [`OwnedDecision`] keeps what a log
//!   needs.
//!
//! How grants change a decision is in [`Decision::combine`].

use std::time::Duration;

use countersign_core::grant::Grant;

use crate::digest::PolicyDigest;
use crate::rule::Rule;
use crate::vocabulary::Effect;

mod line;
mod owned;

pub(crate) use line::Line;
pub(crate) use owned::serialize_length;
pub use owned::{OwnedDecision, OwnedDenial, OwnedRule, Verdict};

/// The answer to a query.
///
/// ```
/// use countersign_policy::{Decision, User, Policy, Profile, Query};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "prod", "effect": "require_approval", "conditions": {"profiles": ["prod"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let told = match policy.decide(&query) {
///     Decision::Allow(_) => "come in".to_owned(),
///     Decision::Deny(_) => "no".to_owned(),
///     Decision::RequireApproval(needed) => format!("ask, because of {}", needed.rule.name),
/// };
/// assert_eq!(told, "ask, because of prod");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a decision that nobody looks at protects nothing"]
pub enum Decision<'p> {
    /// Access is given.
    Allow(Allow<'p>),
    /// Access is denied.
    Deny(Deny<'p>),
    /// Access is denied until somebody else approves it.
    RequireApproval(RequireApproval<'p>),
}

/// Access is given.
///
/// ```
/// use countersign_policy::{Decision, User, Policy, Profile, Query};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "r", "effect": "allow", "conditions": {"profiles": ["prod"]}, "max_server_duration": "1h"}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let Decision::Allow(allow) = policy.decide(&query) else { unreachable!("the rule allows") };
/// assert_eq!(allow.max_duration, Some(std::time::Duration::from_secs(3_600)));
/// assert!(allow.grant.is_none(), "the policy alone gives access");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allow<'p> {
    /// The rule that matched; none if an emergency overrode that there was none.
    pub rule: Option<Matched<'p>>,
    /// The longest that a credential may live: the rule's limit or what remains of the grant,
    /// whichever is shorter. No limit if none.
    pub max_duration: Option<Duration>,
    /// The approval or emergency that access rests on; none if the policy alone gives it.
    pub grant: Option<&'p Grant>,
    /// The policy that decided.
    pub policy: PolicyDigest,
}

/// Access is denied.
///
/// ```
/// use countersign_policy::{Decision, Denial, User, Policy, Profile, Query};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "r", "effect": "require_server", "conditions": {"profiles": ["prod"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let Decision::Deny(deny) = policy.decide(&query) else { unreachable!("not in server mode") };
/// assert!(matches!(deny.why, Denial::ServerModeRequired { session_tracking_required: false, .. }));
/// assert_eq!(deny.policy, policy.digest());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deny<'p> {
    /// Why, and what would change it.
    pub why: Denial<'p>,
    /// The policy that decided.
    pub policy: PolicyDigest,
}

/// Access is denied until somebody else approves it.
///
/// ```
/// use countersign_policy::{Decision, User, Policy, Profile, Query};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "r", "effect": "require_approval", "conditions": {"profiles": ["prod"]}}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let Decision::RequireApproval(needed) = policy.decide(&query) else { unreachable!("the rule asks") };
/// assert_eq!(needed.rule.name, "r");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequireApproval<'p> {
    /// The rule that demands it.
    pub rule: Matched<'p>,
    /// The longest that a credential may live once approved; no limit of the rule's if none.
    pub max_duration: Option<Duration>,
    /// The policy that decided.
    pub policy: PolicyDigest,
}

/// Why access is denied.
///
/// ```
/// use countersign_policy::{Decision, Denial, User, Policy, Profile, Query};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "r", "effect": "deny", "conditions": {"profiles": ["prod"]}, "hard": true}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let Decision::Deny(deny) = policy.decide(&query) else { unreachable!("the rule denies") };
/// let told = match deny.why {
///     Denial::NoRule => "nobody has said that you may",
///     Denial::Rule { hard: true, .. } => "not even in an emergency",
///     Denial::Rule { hard: false, .. } => "only in an emergency",
///     Denial::ServerModeRequired { .. } => "run the server",
///     Denial::SessionTrackingRequired { .. } => "name a session table",
/// };
/// assert_eq!(told, "not even in an emergency");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial<'p> {
    /// No rule matched. An emergency overrides it.
    NoRule,
    /// A deny rule matched.
    Rule {
        /// The rule.
        rule: Matched<'p>,
        /// Whether the rule is hard: nothing overrides it then; otherwise an emergency does.
        hard: bool,
    },
    /// The rule gives access in server mode only. Ask again in server mode; no grant replaces it.
    ServerModeRequired {
        /// The rule.
        rule: Matched<'p>,
        /// Whether the session must be tracked as well.
        session_tracking_required: bool,
    },
    /// The rule gives access only to tracked sessions. Ask again with a session table; no grant
    /// replaces it.
    SessionTrackingRequired {
        /// The rule.
        rule: Matched<'p>,
    },
}

/// The rule that decided.
///
/// ```
/// use countersign_policy::{Decision, User, Policy, Profile, Query};
///
/// let policy: Policy = r#"{"version": "1", "rules": [
///     {"name": "r", "effect": "allow", "conditions": {"profiles": ["prod"]}, "reason": "go ahead"}
/// ]}"#.parse()?;
/// let query = Query::new(User::new("alice")?, Profile::new("prod")?, "2026-03-02T09:00:00Z".parse()?);
/// let rule = policy.decide(&query).rule().ok_or("a rule matches")?;
/// assert_eq!((rule.index, rule.reason), (0, Some("go ahead")));
/// assert_eq!(rule.to_string(), "rule 0 `r`: go ahead");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'p> {
    /// The rule's name.
    pub name: &'p str,
    /// The rule's place in the policy, counted from 0.
    pub index: usize,
    /// What a user is told.
    pub reason: Option<&'p str>,
    /// What the rule does.
    pub effect: Effect,
    /// The longest that a credential given under the rule may live.
    pub max_server_duration: Option<Duration>,
    /// The table in which the host is to track the session.
    pub session_table: Option<&'p str>,
}

impl<'p> Decision<'p> {
    /// Whether access is given. An approval that is demanded is not access.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allow(_))
    }

    /// The rule that matched; none if none did.
    pub fn rule(&self) -> Option<Matched<'p>> {
        match self {
            Decision::Allow(allow) => allow.rule,
            Decision::Deny(deny) => deny.why.rule(),
            Decision::RequireApproval(needed) => Some(needed.rule),
        }
    }

    /// What a user is told: the reason of the rule that matched, or, where access is denied
    /// because none did, `no matching rule`.
    pub fn reason(&self) -> Option<&'p str> {
        match self {
            Decision::Deny(Deny {
                why: Denial::NoRule,
                ..
            }) => Some("no matching rule"),
            decision => decision.rule()?.reason,
        }
    }

    /// The policy that decided.
    pub fn policy(&self) -> PolicyDigest {
        match self {
            Decision::Allow(allow) => allow.policy,
            Decision::Deny(deny) => deny.policy,
            Decision::RequireApproval(needed) => needed.policy,
        }
    }

    /// Whether access is denied for want of server mode.
    pub fn requires_server_mode(&self) -> bool {
        let Decision::Deny(deny) = self else {
            return false;
        };
        matches!(deny.why, Denial::ServerModeRequired { .. })
    }

    /// Whether access is denied for want of session tracking; with or without that of server mode.
    pub fn requires_session_tracking(&self) -> bool {
        let Decision::Deny(deny) = self else {
            return false;
        };
        match deny.why {
            Denial::SessionTrackingRequired { .. } => true,
            Denial::ServerModeRequired {
                session_tracking_required,
                ..
            } => session_tracking_required,
            Denial::NoRule | Denial::Rule { .. } => false,
        }
    }

    /// A copy that outlives the policy and the grants, for logs.
    pub fn to_owned(&self) -> OwnedDecision {
        OwnedDecision::from(*self)
    }
}

impl<'p> Denial<'p> {
    /// The rule that denies; none if no rule matched.
    pub fn rule(&self) -> Option<Matched<'p>> {
        match *self {
            Denial::NoRule => None,
            Denial::Rule { rule, .. }
            | Denial::ServerModeRequired { rule, .. }
            | Denial::SessionTrackingRequired { rule } => Some(rule),
        }
    }
}

impl<'p> Matched<'p> {
    pub(crate) fn new(index: usize, rule: &'p Rule) -> Self {
        Self {
            name: rule.name(),
            index,
            reason: rule.reason(),
            effect: rule.effect(),
            max_server_duration: rule.max_server_duration(),
            session_table: rule.session_table(),
        }
    }
}
