//! Why something may not be done: the rule that stands in the way, and what would be needed.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::names::{Profile, TextError, User};
use countersign_core::time::ClockError;
use countersign_core::window::duration;
use thiserror::Error;

use crate::history::Actor;
use crate::transition::{Status, done};

/// Why a change was not made; [`Request::apply`](crate::Request::apply) gives it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The status does not lead to the one asked for.
    #[error("the request cannot become {to}: {by} {} it at `{at}`", done(*from))]
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
    /// Nothing can be granted by the clock.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The rule that forbids a creation or change, and what would be needed. Trying again without
/// changing anything gives the same answer, except where a time is named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody approves their own request, under whatever spelling.
    #[error("`{user}` asked for this: somebody else has to approve it")]
    OwnRequest {
        /// Who tried.
        user: User,
    },
    /// The rule does not name this user.
    #[error("rule `{rule}` does not name `{user}` as an approver: ask one whom it names")]
    NotAnApprover {
        /// Who tried.
        user: User,
        /// The rule that applies.
        rule: Arc<str>,
    },
    /// This user has approved it before, under this spelling or another. Others have to.
    #[error("`{user}` approved this at `{at}`: somebody else has to approve it as well")]
    AlreadyApproved {
        /// Who tried.
        user: User,
        /// When they approved it.
        at: DateTime<Utc>,
    },
    /// The rule does not let this user take access back.
    #[error("rule `{rule}` does not let `{user}` revoke: ask one whom it names")]
    NotARevoker {
        /// Who tried.
        user: User,
        /// The rule that applies.
        rule: Arc<str>,
    },
    /// No rule names people who could approve this.
    #[error(
        "nobody can approve a request for `{profile}`: add an approval rule that names somebody else"
    )]
    NobodyCanApprove {
        /// What was asked for.
        profile: Profile,
    },
    /// The rule gives access for a shorter time only.
    #[error("rule `{rule}` gives access for at most `{}`, not `{}`: ask for less", duration::format(*.most), duration::format(*.given))]
    TooLong {
        /// The rule that applies.
        rule: Arc<str>,
        /// What was asked for.
        given: Duration,
        /// The most that the rule gives.
        most: Duration,
    },
    /// The rule demands a longer justification.
    #[error("rule `{rule}` looks at the justification: {problem}")]
    Justification {
        /// The rule that applies.
        rule: Arc<str>,
        /// What it misses.
        problem: TextError,
    },
    /// The rule demands a ticket.
    #[error("rule `{rule}` demands a ticket: name one in the request")]
    TicketRequired {
        /// The rule that applies.
        rule: Arc<str>,
    },
    /// The rule ends access with the access policy under which it was asked for, and the request
    /// is not pinned to one: its draft had no digest, or the rule has demanded it only since.
    #[error(
        "rule `{rule}` ends access with the access policy, and the request is not pinned to one: \
         submit a new request with the digest of the policy"
    )]
    NotPinned {
        /// The rule that applies.
        rule: Arc<str>,
    },
    /// The deadline has passed.
    #[error("the time to decide ended at `{decide_by}`: submit a new request")]
    TooLate {
        /// The first moment at which it could no longer be decided.
        decide_by: DateTime<Utc>,
    },
    /// It was submitted while the clock was ahead, and the clock has been corrected.
    #[error(
        "the request was submitted at `{created_at}`, and it is `{at}`: the clock has been \
         corrected since; submit a new request"
    )]
    DatedAhead {
        /// When it was submitted, by a clock that was ahead.
        created_at: DateTime<Utc>,
        /// The time of the store's step.
        at: DateTime<Utc>,
    },
    /// The access was not granted while the clock was ahead, or the correction has not stood for
    /// an hour.
    #[error("the access has not ended by a correction of the clock: revoke it instead")]
    NotVoid,
    /// The conditions of automatic approval do not hold.
    #[error("rule `{rule}` does not approve this automatically: an approver has to decide")]
    NotAutomatic {
        /// The rule that applies.
        rule: Arc<str>,
    },
    /// Only the requester withdraws a request or gives its access back.
    #[error("`{user}` did not ask for this: only `{requester}` can cancel or release it")]
    NotTheRequester {
        /// Who tried.
        user: User,
        /// Who asked.
        requester: User,
    },
    /// There is nothing left to revoke or release.
    #[error("the access ended at `{until}`: there is nothing to revoke or release")]
    AccessOver {
        /// The first moment at which access was over.
        until: DateTime<Utc>,
    },
    /// The deadline has not passed.
    #[error("the request can be decided until `{decide_by}`: it expires then")]
    NotDue {
        /// The first moment at which it expires.
        decide_by: DateTime<Utc>,
    },
    /// The rule was looked up for another profile than the request is for.
    #[error(
        "the change is for `{change}`, the request for `{request}`: make the change from the request"
    )]
    OtherProfile {
        /// The profile of the change or the terms.
        change: Profile,
        /// The profile of the request or draft.
        request: Profile,
    },
    /// The reason or note is empty or too long.
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
            Refusal::OwnRequest { .. } => "own_request",
            Refusal::NotAnApprover { .. } => "not_an_approver",
            Refusal::AlreadyApproved { .. } => "already_approved",
            Refusal::NotARevoker { .. } => "not_a_revoker",
            Refusal::NobodyCanApprove { .. } => "nobody_can_approve",
            Refusal::TooLong { .. } => "too_long",
            Refusal::Justification { .. } => "justification",
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
            Refusal::Reason(_) => "reason",
            Refusal::HistoryFull { .. } => "history_full",
        }
    }
}
