//! Requests: submitted, decided, withdrawn, taken back; and what the crate says when it refuses.

use countersign_policy::{Clock, DurationText};
use countersign_request::{
    Error, GrantedBy, IdempotencyKey, Page, Refusal, Request, RequestId, Status, Submitted, User,
};

use crate::step::{Action, Decide};
use crate::world::{
    Answer, Outcome, POLICY, STORE_FAILED, Tone, World, clock_time, failed, not_loaded, outcome,
};

/// Somebody asks for access.
pub async fn submit(world: &mut World, action: &Action) -> Outcome {
    let Action::Request {
        label,
        who,
        profile,
        duration,
        why,
        ticket,
    } = action
    else {
        return outcome("", "", failed(&"not a request"));
    };
    let length = DurationText::of(*duration);
    let what = format!("asks for {profile}, {} [{label}]", length.as_str());
    let mut draft = match world.requests.draft(who, profile, *duration, why) {
        Ok(draft) => draft,
        Err(error) => return outcome(who, what, refused(&error)),
    };
    draft.ticket.clone_from(ticket);
    // A rule may end access when this policy changes.
    match world.cache.load(POLICY).await {
        Ok(served) => draft.policy = Some(served.policy.digest()),
        Err(error) => return outcome(who, what, not_loaded(&error)),
    }
    world.kept.labels.requests.insert(label.clone(), draft.id);
    let answer = match world.requests.submit(&draft).await {
        Ok(submitted) => submitted_answer(&submitted),
        Err(error) => refused(&error),
    };
    outcome(who, what, answer)
}

fn submitted_answer(submitted: &Submitted) -> Answer {
    let request = &submitted.request;
    let now = request.changed_at();
    match request.status {
        Status::Approved => {
            let by = request.approval.as_ref().map(|approval| &approval.by);
            let kind = match by {
                Some(GrantedBy::Rule(_)) => "approved_by_rule",
                _ => "approved",
            };
            let by = by.map(ToString::to_string).unwrap_or_default();
            (
                Tone::Yes,
                kind.into(),
                format!("by {by}, {}", until(request)),
            )
        }
        _ => {
            let approvers: Vec<&str> = submitted.approvers.iter().map(User::as_str).collect();
            let deadline = clock_time(request.decide_by, now);
            let why = format!("{} may decide until {deadline}", approvers.join(" or "));
            (Tone::Waiting, "pending".into(), why)
        }
    }
}

/// Somebody decides, withdraws or takes back a request.
pub async fn decide(
    world: &World,
    decision: Decide,
    who: &User,
    label: &str,
    reason: Option<&str>,
    idempotency_key: Option<&str>,
) -> Outcome {
    let verb = match decision {
        Decide::Approve => "approves",
        Decide::Deny => "denies",
        Decide::Cancel => "cancels",
        Decide::Revoke => "revokes",
        Decide::Release => "releases",
    };
    let what = format!("{verb} [{label}]");
    let Some(id) = id_of(world, label) else {
        return outcome(
            who,
            what,
            failed(&format_args!("nobody asked for `{label}`")),
        );
    };
    let requests = match idempotency_key {
        None => world.requests.clone(),
        Some(label) => world.requests.with_idempotency_key(key_of(label)),
    };
    let result = match decision {
        Decide::Approve => requests.approve(id, who, reason).await,
        Decide::Deny => requests.deny(id, who, reason).await,
        Decide::Cancel => requests.cancel(id, who, reason).await,
        Decide::Revoke => requests.revoke(id, who, reason).await,
        Decide::Release => requests.release(id, who, reason).await,
    };
    let answer = match result {
        Ok(request) if request.status == Status::Pending => {
            let approvers: Vec<_> = request.approving_people().map(User::as_str).collect();
            let why = format!("{} so far, others have to as well", approvers.join(", "));
            (Tone::Waiting, "approved_in_part".into(), why)
        }
        Ok(request) => {
            let said = reason
                .map(|reason| format!("\"{reason}\""))
                .unwrap_or_default();
            let why = match request.status {
                Status::Approved if said.is_empty() => until(&request),
                Status::Approved => format!("{}: {said}", until(&request)),
                _ => said,
            };
            (Tone::Yes, request.status.to_string(), why)
        }
        Err(error) => refused(&error),
    };
    outcome(who, what, answer)
}

/// Somebody looks at what they may decide.
pub async fn pending(world: &World, who: &User) -> Outcome {
    let what = "looks at what waits for them";
    let answer = match world.requests.inbox(who, Page::default()).await {
        Ok(listing) if listing.items.is_empty() => {
            (Tone::Plain, "nothing_waits".into(), String::new())
        }
        Ok(listing) => {
            let line = |request: &Request| format!("{} for {}", request.requester, request.profile);
            let lines: Vec<String> = listing.items.iter().map(|request| line(request)).collect();
            (Tone::Plain, "waiting".into(), lines.join(", "))
        }
        Err(error) => refused(&error),
    };
    outcome(who, what, answer)
}

/// Somebody looks at what they have open: what waits for a decision, and access that is not over.
pub async fn open(world: &World, who: &User) -> Outcome {
    let what = "looks at what they have open";
    let now = world.clock.now();
    let line = |request: &Request| match request.access_until {
        Some(until) => format!("{} until {}", request.profile, clock_time(until, now)),
        None => {
            let deadline = clock_time(request.decide_by, now);
            format!("{}, to be decided until {deadline}", request.profile)
        }
    };
    let answer = match world.requests.open_for(who, Page::default()).await {
        Ok(listing) if listing.items.is_empty() => {
            (Tone::Plain, "nothing_open".into(), String::new())
        }
        Ok(listing) => {
            let lines: Vec<String> = listing.items.iter().map(|request| line(request)).collect();
            (Tone::Plain, "open".into(), lines.join("; "))
        }
        Err(error) => refused(&error),
    };
    outcome(who, what, answer)
}

/// Somebody writes a note.
pub async fn note(world: &World, who: &User, label: &str, text: &str) -> Outcome {
    let what = format!("notes on [{label}]");
    let Some(id) = id_of(world, label) else {
        return outcome(
            who,
            what,
            failed(&format_args!("nobody asked for `{label}`")),
        );
    };
    let answer = match world.requests.note(id, who, text).await {
        Ok(_) => (Tone::Yes, "noted".into(), format!("\"{text}\"")),
        Err(error) => refused(&error),
    };
    outcome(who, what, answer)
}

fn id_of(world: &World, label: &str) -> Option<RequestId> {
    world.kept.labels.requests.get(label).copied()
}

/// The id behind the label of an operation. A service mints one (`IdempotencyKey::random`) before the
/// first try, and keeps it until it has the answer.
fn key_of(label: &str) -> IdempotencyKey {
    let bits = label.bytes().fold(0, |bits: u64, byte| {
        bits.wrapping_mul(257).wrapping_add(u64::from(byte))
    });
    IdempotencyKey::from_bits(bits >> 1)
}

fn until(request: &Request) -> String {
    let now = request.changed_at();
    match request.access_until {
        Some(until) => format!("access until {}", clock_time(until, now)),
        None => String::new(),
    }
}

/// What the crate says when it refuses.
pub fn refused(error: &Error) -> Answer {
    let kind = match error {
        Error::Refused(refusal) => match refusal {
            Refusal::OwnRequest { .. } => "own_request",
            Refusal::NotAnApprover { .. } => "not_an_approver",
            Refusal::AlreadyApproved { .. } => "approved_already",
            Refusal::NotARevoker { .. } => "not_a_revoker",
            Refusal::NobodyCanApprove { .. } => "nobody_can_approve",
            Refusal::TooLong { .. } => "too_long",
            Refusal::Justification { .. } => "too_little_said",
            Refusal::TicketRequired { .. } => "ticket_required",
            Refusal::NotPinned { .. } => "not_pinned",
            Refusal::TooLate { .. } => "too_late",
            Refusal::DatedAhead { .. } => "dated_ahead",
            Refusal::NotVoid => "not_void",
            Refusal::NotAutomatic { .. } => "not_automatic",
            Refusal::NotTheRequester { .. } => "not_the_requester",
            Refusal::AccessOver { .. } => "access_over",
            Refusal::NotDue { .. } => "not_due",
            Refusal::OtherProfile { .. } => "other_profile",
            Refusal::Reason(_) => "bad_reason",
            Refusal::HistoryFull { .. } => "history_full",
        },
        Error::InvalidTransition { .. } => "decided_already",
        Error::IdempotencyKeyReused { .. } => "idempotency_key_reused",
        Error::NotFound { .. } => "not_found",
        Error::Invalid(_) => "invalid",
        Error::Conflict(_) => "conflict",
        Error::Backend(_) => STORE_FAILED,
        _ => "failed",
    };
    (Tone::No, kind.into(), error.to_string())
}
