//! Where a decision meets grants: the one place that lets an approval or an emergency through.
//!
//! What never happens here: a grant for another user or profile, one that is spent, or one
//! that is pinned to another policy counts;
//! an approval overrides a denial; anything overrides a hard rule or stands in for server mode or
//! session tracking; access outlives the grant it rests on.

use std::time::Duration;

use countersign_core::grant::{Grant, GrantKind};

use crate::decision::{Allow, Decision, Denial, Matched};
use crate::digest::PolicyDigest;
use crate::query::Query;

impl Decision<'_> {
    /// What the decision becomes with the grants that the user may hold. `query` is the one
    /// that was decided; `grants` may hold anything, in any order.
    ///
    /// Only grants for the query's exact user and profile that still hold at the query's time
    /// count, and of those that are pinned ([`Grant::ends_with_policy`]) only those that were asked
    /// for under the policy that made this decision.
    ///
    /// | decision | with an approval | with an emergency |
    /// |---|---|---|
    /// | allow | unchanged | unchanged |
    /// | approval required | allow | allow, unless an approval is there |
    /// | denied, no rule | unchanged | allow |
    /// | denied by a rule | unchanged | allow, unless the rule is hard |
    /// | server mode or session tracking required | unchanged | unchanged |
    ///
    /// What a grant allows is limited to what remains of it, or to the rule's limit if that is
    /// shorter. Of several grants of the kind that counts, the one that holds longest is taken;
    /// of equals the first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use countersign_policy::{Decision, Grant, GrantKind, GrantedBy, User, Policy, Profile, Query};
    ///
    /// let policy: Policy = r#"{"version": "1", "rules": [
    ///     {"name": "prod", "effect": "require_approval", "conditions": {"profiles": ["prod"]}}
    /// ]}"#.parse()?;
    /// let (alice, prod) = (User::new("alice")?, Profile::new("prod")?);
    /// let query = Query::new(alice.clone(), prod.clone(), "2026-03-02T09:00:00Z".parse()?);
    /// let grants = [Grant {
    ///     kind: GrantKind::Approval,
    ///     user: alice,
    ///     profile: prod,
    ///     granted_by: GrantedBy::User(User::new("bob")?),
    ///     until: "2026-03-02T10:00:00Z".parse()?,
    ///     policy: None,
    ///     ends_with_policy: false,
    /// }];
    /// let Decision::Allow(allow) = policy.decide(&query).combine(&query, &grants) else {
    ///     panic!("bob has approved it");
    /// };
    /// assert_eq!(allow.max_duration, Some(Duration::from_secs(3_600)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn combine<'g>(self, query: &Query, grants: &'g [Grant]) -> Decision<'g>
    where
        Self: 'g,
    {
        let policy = self.policy();
        let find = |kind| longest(kind, query, policy, grants);
        let (rule, grant) = match self {
            Decision::Allow(_) => return self,
            Decision::RequireApproval(needed) => (
                Some(needed.rule),
                find(GrantKind::Approval).or_else(|| find(GrantKind::Emergency)),
            ),
            Decision::Deny(deny) => match deny.why {
                Denial::NoRule => (None, find(GrantKind::Emergency)),
                Denial::Rule { rule, hard: false } => (Some(rule), find(GrantKind::Emergency)),
                Denial::Rule { hard: true, .. }
                | Denial::ServerModeRequired { .. }
                | Denial::SessionTrackingRequired { .. } => return self,
            },
        };
        match grant {
            Some(grant) => allow(rule, grant, query, policy),
            None => self,
        }
    }
}

fn longest<'g>(
    kind: GrantKind,
    query: &Query,
    policy: PolicyDigest,
    grants: &'g [Grant],
) -> Option<&'g Grant> {
    let covers = |grant: &&Grant| {
        grant.kind == kind
            && grant.covers(query.user(), query.profile(), query.at())
            && grant.holds_under(policy)
    };
    grants.iter().filter(covers).reduce(|longest, grant| {
        if grant.until > longest.until {
            grant
        } else {
            longest
        }
    })
}

fn allow<'g>(
    rule: Option<Matched<'g>>,
    grant: &'g Grant,
    query: &Query,
    policy: PolicyDigest,
) -> Decision<'g> {
    let remaining = grant.until - query.at();
    let remaining = remaining.to_std().unwrap_or(Duration::ZERO);
    let limit = rule.and_then(|rule| rule.max_server_duration);
    Decision::Allow(Allow {
        rule,
        max_duration: Some(limit.map_or(remaining, |limit| limit.min(remaining))),
        grant: Some(grant),
        policy,
    })
}
