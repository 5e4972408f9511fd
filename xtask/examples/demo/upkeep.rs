//! What a service does by itself: marks what is over, deals with what has changed, deletes what is
//! old.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use countersign_breakglass as breakglass;
use countersign_policy::{Clock, Version};
use countersign_request as request;
use serde::{Deserialize, Serialize};

use crate::stores::Entries;
use crate::world::{Answer, Outcome, Tone, World, clock_time, outcome};
use crate::{emergencies, requests};

/// How many changes are read at once.
const AT_ONCE: usize = 100;

/// The version of the last change of each store that was dealt with. A service keeps it with its
/// sessions, and goes on from there after a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Read {
    requests: Option<Version>,
    emergencies: Option<Version>,
}

/// What a service has to do about changes. Sets, because of calls at the same moment it is chance
/// which was first.
#[derive(Debug, Default)]
struct Due {
    changes: usize,
    /// Whose sessions end, for which profile.
    ended: BTreeSet<String>,
    /// Who is told, and what about.
    told: BTreeSet<String>,
}

/// Deals with the changes since it last did.
pub async fn follow(world: &mut World) -> Outcome {
    let mut due = Due::default();
    let answer = match of_requests(world, &mut due).await {
        Err(error) => requests::refused(&error),
        Ok(()) => match of_emergencies(world, &mut due).await {
            Err(error) => emergencies::refused(&error, world.clock.now()),
            Ok(()) => dealt_with(&due),
        },
    };
    outcome("service", "follows the changes", answer)
}

async fn of_requests(world: &mut World, due: &mut Due) -> Result<(), request::Error> {
    use request::{Action, Changed, Status};
    loop {
        let store = world.requests.store();
        let changes = store
            .changes_after(world.kept.read.requests, AT_ONCE)
            .await?;
        if changes.is_empty() {
            return Ok(());
        }
        for Changed {
            version,
            entry,
            request,
        } in changes
        {
            let (who, profile) = (&request.requester, &request.profile);
            match entry.action {
                // Who has approved knows, and what is decided by now waits for nobody.
                Action::Created | Action::ApprovedInPart if request.status == Status::Pending => {
                    let rule = world.requests.policy().rule_for(profile);
                    let approvers = rule.into_iter().flat_map(|rule| rule.approvers_for(who));
                    let asked = approvers.filter(|approver| !request.approved_by(approver));
                    let told =
                        asked.map(|approver| format!("{approver} that {who} waits for {profile}"));
                    due.told.extend(told);
                }
                Action::Denied | Action::Expired => {
                    let text = format!("{who} that {profile} is {}", request.status);
                    due.told.insert(text);
                }
                Action::Revoked | Action::Released => {
                    due.ended.insert(format!("{who} on {profile}"));
                }
                _ => {}
            }
            due.changes += 1;
            world.kept.read.requests = Some(version);
        }
    }
}

async fn of_emergencies(world: &mut World, due: &mut Due) -> Result<(), breakglass::Error> {
    use breakglass::{Action, Changed};
    loop {
        let store = world.emergencies.store();
        let changes = store
            .changes_after(world.kept.read.emergencies, AT_ONCE)
            .await?;
        if changes.is_empty() {
            return Ok(());
        }
        for Changed {
            version,
            entry,
            emergency,
        } in changes
        {
            let (who, profile) = (&emergency.invoker, &emergency.profile);
            if matches!(entry.action, Action::Closed | Action::Expired) {
                due.ended.insert(format!("{who} on {profile}"));
                let rule = world.emergencies.policy().rule_for(profile);
                let reviewers = rule.into_iter().flat_map(|rule| rule.reviewers());
                let told =
                    reviewers.map(|reviewer| format!("{reviewer} to review {who} on {profile}"));
                due.told.extend(told);
            }
            due.changes += 1;
            world.kept.read.emergencies = Some(version);
        }
    }
}

fn dealt_with(due: &Due) -> Answer {
    if due.changes == 0 {
        return (Tone::Plain, "nothing_new".into(), String::new());
    }
    let mut parts = vec![format!("changes: {}", due.changes)];
    for (what, list) in [("sessions end", &due.ended), ("told", &due.told)] {
        if !list.is_empty() {
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            parts.push(format!("{what}: {}", list.join(", ")));
        }
    }
    (Tone::Plain, "followed".into(), parts.join("; "))
}

/// What a service does every minute or so. Nothing depends on it: what is over gives no access,
/// marked or not.
pub async fn expire(world: &World) -> Outcome {
    let (requests, emergencies) = (&world.requests, &world.emergencies);
    let answer = match both(
        world,
        until_done(async || Ok(requests.expire_due(0).await?.len())).await,
        until_done(async || Ok(emergencies.expire_due(0).await?.len())).await,
    )
    .await
    {
        Ok((0, why)) => (Tone::Plain, "nothing_due".into(), why),
        Ok((_, why)) => (Tone::Plain, "expired".into(), why),
        Err(answer) => answer,
    };
    outcome("service", "marks what is over", answer)
}

/// What stays, however old it is.
const KEPT: &str = "; what awaits review, or what a rule looks back at, stays";

/// The operator deletes what is old enough.
pub async fn delete(world: &World, before: DateTime<Utc>) -> Outcome {
    let what = format!(
        "deletes what was over before {}",
        clock_time(before, world.clock.now())
    );
    let (requests, emergencies) = (&world.requests, &world.emergencies);
    let answer = match both(
        world,
        until_done(async || requests.delete_ended_before(before, 0).await).await,
        until_done(async || emergencies.delete_ended_before(before, 0).await).await,
    )
    .await
    {
        Ok((0, why)) => (Tone::Plain, "nothing_deleted".into(), why + KEPT),
        Ok((_, why)) => (Tone::Plain, "deleted".into(), why + KEPT),
        Err(answer) => answer,
    };
    outcome("operator", what, answer)
}

/// Does what is done to so many at once, until none is left; gives how many there were.
async fn until_done<E>(some: impl AsyncFn() -> Result<usize, E>) -> Result<u64, E> {
    let mut done = 0_u64;
    loop {
        match some().await? {
            0 => return Ok(done),
            more => done += more as u64,
        }
    }
}

/// How many requests and emergencies together, and in words.
async fn both(
    world: &World,
    requests: Result<u64, request::Error>,
    emergencies: Result<u64, breakglass::Error>,
) -> Result<(u64, String), Answer> {
    let now = world.clock.now();
    let mut requests = requests.map_err(|error| requests::refused(&error))?;
    let mut emergencies = emergencies.map_err(|error| emergencies::refused(&error, now))?;
    // Some may have been done when the step was begun before and not ended. Each made one entry.
    if let Some(written) = written(world).await? {
        let before = world.kept.entries;
        requests = written.requests.saturating_sub(before.requests);
        emergencies = written.emergencies.saturating_sub(before.emergencies);
    }
    let why = format!("requests: {requests}, emergencies: {emergencies}");
    Ok((requests + emergencies, why))
}

/// What the ledgers of a file hold by now; none in memory.
pub async fn written(world: &World) -> Result<Option<Entries>, Answer> {
    let (requests, emergencies) = (
        world.stores.requests_written().await,
        world.stores.emergencies_written().await,
    );
    let requests = requests.map_err(|error| requests::refused(&error))?;
    let emergencies =
        emergencies.map_err(|error| emergencies::refused(&error, world.clock.now()))?;
    let both = requests.zip(emergencies);
    Ok(both.map(|(requests, emergencies)| Entries {
        requests,
        emergencies,
    }))
}
