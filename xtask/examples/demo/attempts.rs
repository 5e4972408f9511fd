//! Attempts to use a profile: the policy's decision, and the grants that may change it.
//!
//! This is the whole of what a service does at its door.

use std::time::Duration;

use countersign_policy::{
    Allow, Clock, Decision, Denial, DurationText, GrantKind, Mode, Profile, Query, User,
};

use crate::world::{Answer, Outcome, POLICY, Tone, World, not_loaded, outcome};
use crate::{emergencies, requests};

/// Somebody wants to use a profile.
pub async fn attempt(
    world: &World,
    who: &User,
    profile: &Profile,
    mode: Option<Mode>,
    session_table: Option<&str>,
) -> Outcome {
    let mut query = Query::new(who.clone(), profile.clone(), world.clock.now())
        .with_groups(world.directory.groups_of(who))
        .with_profile_groups(world.directory.groups_of_profile(profile));
    if let Some(mode) = mode {
        query = query.with_mode(mode);
    }
    if let Some(table) = session_table {
        query = query.with_session_table(table);
    }
    let how = match (mode, session_table) {
        (None, _) => String::new(),
        (Some(mode), None) => format!(" ({mode})"),
        (Some(mode), Some(_)) => format!(" ({mode}, tracked)"),
    };
    outcome(
        who,
        format!("uses {profile}{how}"),
        answer(world, &query).await,
    )
}

async fn answer(world: &World, query: &Query) -> Answer {
    // Without a policy nobody gets in, whatever the reason.
    let policy = match world.cache.load(POLICY).await {
        Ok(served) => served.policy,
        Err(error) => return not_loaded(&error),
    };
    let (user, profile) = (query.user(), query.profile());
    let mut grants = Vec::new();
    let requests = world.requests.with_access_policy(policy.digest());
    match requests.find_grant(user, profile).await {
        Ok(grant) => grants.extend(grant),
        Err(error) => return requests::refused(&error),
    }
    match world.emergencies.find_grant(user, profile).await {
        Ok(grant) => grants.extend(grant),
        Err(error) => return emergencies::refused(&error, query.at()),
    }
    let decision = policy.decide(query).combine(query, &grants);
    let (tone, kind) = match &decision {
        Decision::Allow(Allow { grant, .. }) => match grant.map(|grant| grant.kind) {
            None => (Tone::Yes, "allowed"),
            Some(GrantKind::Approval) => (Tone::Yes, "allowed_by_approval"),
            Some(GrantKind::Emergency) => (Tone::Yes, "allowed_in_emergency"),
        },
        Decision::RequireApproval(_) => (Tone::Waiting, "approval_required"),
        Decision::Deny(deny) => match deny.why {
            Denial::NoRule => (Tone::No, "denied_no_rule"),
            Denial::Rule { hard: false, .. } => (Tone::No, "denied"),
            Denial::Rule { hard: true, .. } => (Tone::No, "denied_hard"),
            Denial::ServerModeRequired { .. } => (Tone::No, "server_mode_required"),
            Denial::SessionTrackingRequired { .. } => (Tone::No, "session_tracking_required"),
        },
    };
    (tone, kind.into(), explained(&decision))
}

/// The rule and what it says, and how long a credential may live. `decision.to_string()` says it
/// all in one line; here the line has the verdict already, and whole seconds are enough.
fn explained(decision: &Decision<'_>) -> String {
    let mut parts = Vec::new();
    if let Decision::Allow(allow) = decision {
        if let Some(length) = allow.max_duration {
            let length = DurationText::of(Duration::from_secs(length.as_secs()));
            parts.push(format!("for at most {}", length.as_str()));
        }
        if let Some(grant) = allow.grant {
            parts.push(format!("{} by {}", grant.kind, grant.granted_by));
        }
    }
    parts.extend(decision.rule().map(|rule| match rule.reason {
        Some(reason) if !decision.is_allowed() => format!("rule `{}`: {reason}", rule.name),
        _ => format!("rule `{}`", rule.name),
    }));
    parts.join(", ")
}
