//! Emergencies: declared, closed, reviewed, noted; and what the crate says when it refuses.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_breakglass::{
    Draft, Emergency, EmergencyId, Error, Escalation, MfaMethod, MfaProof, Page, ProofId, Refusal,
    ReviewOutcome, User,
};
use countersign_policy::{Clock, DurationText};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::fields::{Field, Problem};
use crate::step::Action;
use crate::world::{
    Answer, Outcome, STORE_FAILED, Tone, World, clock_time, failed, idempotency_key, outcome,
};

/// One user declares an emergency, or several do at the same moment.
pub async fn invoke(world: &mut World, action: &Action) -> Outcome {
    let Action::Invoke {
        label,
        who,
        profile,
        duration,
        reason_code,
        why,
        ticket,
        proof,
        override_by,
        override_reason,
    } = action
    else {
        return outcome("", "", failed(&"not an emergency"));
    };
    let now = world.clock.now();
    let names: Vec<&str> = who.iter().map(User::as_str).collect();
    let actor = names.join("+");
    let length = DurationText::of(*duration);
    let what = format!(
        "breaks the glass for {profile}, {} [{label}]",
        length.as_str()
    );
    let mut drafts = Vec::new();
    for user in who {
        match world
            .emergencies
            .draft(user, profile, *duration, *reason_code, why)
        {
            Ok(mut draft) => {
                draft.ticket.clone_from(ticket);
                // Each of several calls is an operation of its own.
                draft.idempotency_key = Some(idempotency_key(draft.id.to_bits()));
                match verified(&draft, proof.as_deref(), now) {
                    Ok(mfa) => draft.mfa = mfa,
                    Err(answer) => return outcome(actor, what, answer),
                }
                drafts.push(draft);
            }
            Err(error) => return outcome(actor, what, refused(&error, now)),
        }
    }
    let overriding = override_by.clone().zip(override_reason.clone());
    let mut calls = at_once(world, drafts, overriding).await;
    for (draft, result) in &calls {
        let label = if who.len() == 1 {
            label.clone()
        } else {
            format!("{label}/{}", draft.invoker)
        };
        // Of one user's calls the label means the one that went through, if one did.
        if result.is_ok() || !world.kept.labels.emergencies.contains_key(&label) {
            world.kept.labels.emergencies.insert(label, draft.id);
        }
    }
    let answer = match (calls.pop(), calls.is_empty()) {
        (Some((_, result)), true) => match result {
            Ok(emergency) => active(&emergency),
            Err(error) => refused(&error, now),
        },
        (Some(last), false) => {
            calls.push(last);
            summed(calls, now)
        }
        (None, _) => failed(&"nobody called"),
    };
    outcome(actor, what, answer)
}

/// What a service says that has verified a code from the invoker's device just now.
fn verified(
    draft: &Draft,
    proof: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<MfaProof>, Answer> {
    let Some(proof) = proof else {
        return Ok(None);
    };
    Ok(Some(MfaProof {
        id: ProofId::new(proof).map_err(|error| failed(&error))?,
        method: MfaMethod::Totp,
        user: draft.invoker.clone(),
        emergency: draft.id,
        verified_at: now,
    }))
}

/// Makes every call at the same moment, each on a task of its own.
async fn at_once(
    world: &World,
    drafts: Vec<Draft>,
    overriding: Option<(User, String)>,
) -> Vec<(Draft, Result<Arc<Emergency>, Error>)> {
    let barrier = Arc::new(Barrier::new(drafts.len()));
    let mut tasks = JoinSet::new();
    for draft in drafts {
        let (barrier, emergencies) = (Arc::clone(&barrier), world.emergencies.clone());
        let overriding = overriding.clone();
        tasks.spawn(async move {
            barrier.wait().await;
            let result = match &overriding {
                None => emergencies.invoke(&draft).await,
                Some((by, why)) => emergencies.invoke_overriding(&draft, by, why).await,
            };
            (draft, result)
        });
    }
    tasks.join_all().await
}

/// What came of several calls. Which of one user's calls went through is chance, so they are
/// told by user, those that went through first.
fn summed(mut calls: Vec<(Draft, Result<Arc<Emergency>, Error>)>, now: DateTime<Utc>) -> Answer {
    calls.sort_by(|(one, of_one), (other, of_other)| {
        (&one.invoker, of_one.is_err()).cmp(&(&other.invoker, of_other.is_err()))
    });
    let (mut kinds, mut whys, mut through) = (Vec::new(), Vec::new(), 0_usize);
    for (draft, result) in &calls {
        let invoker = &draft.invoker;
        let (_, kind, why) = match result {
            Ok(emergency) => active(emergency),
            // Its message has the id of the other call, which is chance too.
            Err(Error::Refused(Refusal::Active { .. })) => {
                let why = "has one already: use it, or close it first";
                (Tone::No, "active_already".into(), why.into())
            }
            Err(error) => refused(error, now),
        };
        through += usize::from(result.is_ok());
        whys.push(format!("{invoker} {why}"));
        kinds.push(kind);
    }
    let tone = if through == calls.len() {
        Tone::Yes
    } else {
        Tone::Waiting
    };
    (tone, kinds.join(", "), whys.join("; "))
}

fn active(emergency: &Emergency) -> Answer {
    let until = clock_time(emergency.expires_at, emergency.created_at);
    let (kind, remark) = match (&emergency.review_override, &emergency.escalation) {
        (Some(given), _) => ("active_overridden", format!(", {given}")),
        (None, Some(escalation)) => ("active_escalated", told(escalation)),
        (None, None) => ("active", String::new()),
    };
    (
        Tone::Yes,
        kind.into(),
        format!("has access until {until}{remark}"),
    )
}

fn told(escalation: &Escalation) -> String {
    format!(", and somebody is told: {escalation}")
}

/// Somebody closes an emergency.
pub async fn close(world: &World, who: &User, label: &str, reason: &str) -> Outcome {
    let now = world.clock.now();
    let what = format!("closes [{label}]");
    let Some(id) = id_of(world, label) else {
        return outcome(
            who,
            what,
            failed(&format_args!("nobody declared `{label}`")),
        );
    };
    let answer = match world.emergencies.close(id, who, reason).await {
        Ok(emergency) => (
            Tone::Yes,
            emergency.status.to_string(),
            format!("\"{reason}\""),
        ),
        Err(error) => refused(&error, now),
    };
    outcome(who, what, answer)
}

/// Somebody reviews an emergency that is over.
pub async fn review(
    world: &World,
    who: &User,
    label: &str,
    found: ReviewOutcome,
    text: &str,
) -> Outcome {
    let what = format!("reviews [{label}]");
    let Some(id) = id_of(world, label) else {
        let answer = failed(&format_args!("nobody declared `{label}`"));
        return outcome(who, what, answer);
    };
    let answer = match world.emergencies.review(id, who, found, text).await {
        Ok(_) => {
            let why = format!("{found}: \"{text}\"");
            (Tone::Yes, "reviewed".into(), why)
        }
        Err(error) => refused(&error, world.clock.now()),
    };
    outcome(who, what, answer)
}

/// Somebody looks at what awaits review.
pub async fn to_review(world: &World) -> Outcome {
    let what = "lists what awaits review";
    let answer = match world
        .emergencies
        .list_awaiting_review(Page::default())
        .await
    {
        Ok(listing) if listing.items.is_empty() => {
            (Tone::Plain, "nothing_waits".into(), String::new())
        }
        Ok(listing) => {
            let of = |emergency: &Arc<Emergency>| {
                format!("{} on {}", emergency.invoker, emergency.profile)
            };
            let waiting: Vec<String> = listing.items.iter().map(of).collect();
            (Tone::Waiting, "waiting".into(), waiting.join("; "))
        }
        Err(error) => refused(&error, world.clock.now()),
    };
    outcome("service", what, answer)
}

impl Field for ReviewOutcome {
    const EXPECTED: &'static str = "justified, not_justified or needs_follow_up";

    fn read(value: &serde_json::Value) -> Result<Self, Problem> {
        serde_json::from_value(value.clone()).map_err(|_| Problem::Kind)
    }
}

/// Somebody writes a note.
pub async fn note(world: &World, who: &User, label: &str, text: &str) -> Outcome {
    let now = world.clock.now();
    let what = format!("notes on [{label}]");
    let Some(id) = id_of(world, label) else {
        return outcome(
            who,
            what,
            failed(&format_args!("nobody declared `{label}`")),
        );
    };
    let answer = match world.emergencies.note(id, who, text).await {
        Ok(_) => (Tone::Yes, "noted".into(), format!("\"{text}\"")),
        Err(error) => refused(&error, now),
    };
    outcome(who, what, answer)
}

fn id_of(world: &World, label: &str) -> Option<EmergencyId> {
    world.kept.labels.emergencies.get(label).copied()
}

/// What the crate says when it refuses.
pub fn refused(error: &Error, now: DateTime<Utc>) -> Answer {
    let kind = match error {
        Error::Refused(refusal) => match refusal {
            Refusal::NoRule { .. } => "no_rule",
            Refusal::User { .. } => "not_named",
            Refusal::ReasonCode { .. } => "reason_not_allowed",
            Refusal::Time { .. } => "outside_window",
            Refusal::Duration { .. } => "too_long",
            Refusal::MfaRequired { .. } => "second_factor_required",
            Refusal::MfaProof { .. } => "second_factor_refused",
            Refusal::ReviewDue { .. } => "review_due",
            Refusal::OwnOverride { .. } | Refusal::NotAnOverrider { .. } => "cannot_override",
            Refusal::OwnReview { .. } => "own_emergency",
            Refusal::NotAReviewer { .. } => "not_a_reviewer",
            Refusal::ReviewedAlready { .. } => "reviewed_already",
            Refusal::Unreviewed { .. } | Refusal::Kept { .. } => "kept",
            Refusal::Active { .. } => "active_already",
            Refusal::Cooldown { .. } => "cooldown",
            Refusal::UserQuota { .. } => "user_quota",
            Refusal::ProfileQuota { .. } => "profile_quota",
            Refusal::NotAResponder { .. } => "not_a_responder",
            Refusal::AccessOver { .. } => "access_over",
            Refusal::NotDue { .. } => "not_due",
            Refusal::OtherProfile { .. } => "other_profile",
            Refusal::Reason(_) => "bad_reason",
            Refusal::HistoryFull { .. } => "history_full",
        },
        Error::InvalidTransition { .. } => "over_already",
        Error::NotFound { .. } => "not_found",
        Error::Invalid(_) => "invalid",
        Error::Conflict(_) => "conflict",
        Error::Backend(_) => STORE_FAILED,
        _ => "failed",
    };
    let why = match error {
        // Of two emergencies at the same moment one is a nanosecond younger; nobody wants to know.
        Error::Refused(Refusal::Cooldown { rule, retry_at }) => {
            format!("rule `{rule}`: try again at {}", clock_time(*retry_at, now))
        }
        Error::Refused(
            Refusal::UserQuota {
                rule,
                retry_at,
                escalation,
                ..
            }
            | Refusal::ProfileQuota {
                rule,
                retry_at,
                escalation,
                ..
            },
        ) => {
            let told = escalation.as_ref().map(told).unwrap_or_default();
            let at = clock_time(*retry_at, now);
            format!("rule `{rule}`: try again at {at}{told}")
        }
        error => error.to_string(),
    };
    (Tone::No, kind.into(), why)
}
