//! The rules: what may happen to a request, as one pure function.
//!
//! A [`Change`] says who wants what and carries what the approval rule says about it;
//! [`Request::apply`] decides, without looking anywhere else. Every store calls it inside its own
//! atomic step, so each rule holds under concurrency and on every engine.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::grant::GrantedBy;
use countersign_core::names::{Person, Profile, TextError, check_length};
use countersign_core::version::Version;
use thiserror::Error;

use crate::approval_policy::{ApprovalPolicy, ApprovalRule};
use crate::record::{Action, Actor, Approval, HistoryEntry, Request, later};
use crate::transition::Status;

/// The most characters of a reason or a note.
const MAX_REASON_CHARACTERS: usize = 1_000;
/// The most entries that notes may fill a history up to. Changes of status are always possible.
const MAX_HISTORY_ENTRIES: usize = 1_000;

/// One wanted change of a request.
///
/// Its fields are private: a change that needs an approver is made from the [`ApprovalPolicy`] and
/// carries what its rule says.
///
/// ```
/// use countersign_request::{ApprovalPolicy, Change, Person, Profile};
///
/// let policy: ApprovalPolicy =
///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#.parse()?;
/// let change = Change::approve(&policy, &Profile::new("prod")?, &Person::new("bob")?, None);
/// # drop(change);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    wanted: Wanted,
    reason: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Approve(Person, Authority),
    ApproveByRule(Authority),
    Deny(Person, Authority),
    Cancel(Person),
    Revoke(Person, Authority),
    Expire,
    Note(Person),
}

/// What the policy says about a profile: the rule that applies to it, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    profile: Profile,
    rule: Option<Arc<ApprovalRule>>,
}

impl Authority {
    fn of(policy: &ApprovalPolicy, profile: &Profile) -> Self {
        Self {
            profile: profile.clone(),
            rule: policy.rule_for(profile).cloned(),
        }
    }

    fn rule_over(&self, request: &Request) -> Result<&Arc<ApprovalRule>, Refusal> {
        if self.profile != request.profile {
            return Err(Refusal::OtherProfile {
                change: self.profile.clone(),
                request: request.profile.clone(),
            });
        }
        self.rule.as_ref().ok_or_else(|| Refusal::NobodyCanApprove {
            profile: self.profile.clone(),
        })
    }

    fn rule_naming(
        &self,
        request: &Request,
        person: &Person,
    ) -> Result<&Arc<ApprovalRule>, Refusal> {
        let rule = self.rule_over(request)?;
        if !rule.names_approver(person) {
            return Err(Refusal::NotAnApprover {
                person: person.clone(),
                rule: rule.shared_name(),
            });
        }
        Ok(rule)
    }
}

impl Change {
    /// `by` approves a request for `profile`: a named approver, not their own request, in time.
    pub fn approve(
        policy: &ApprovalPolicy,
        profile: &Profile,
        by: &Person,
        reason: Option<&str>,
    ) -> Self {
        Self::new(
            Wanted::Approve(by.clone(), Authority::of(policy, profile)),
            reason,
        )
    }

    /// The rule for `profile` approves by itself, if its conditions hold.
    pub fn approve_by_rule(policy: &ApprovalPolicy, profile: &Profile) -> Self {
        Self::new(Wanted::ApproveByRule(Authority::of(policy, profile)), None)
    }

    /// `by` denies a request for `profile`: a named approver, in time.
    pub fn deny(
        policy: &ApprovalPolicy,
        profile: &Profile,
        by: &Person,
        reason: Option<&str>,
    ) -> Self {
        Self::new(
            Wanted::Deny(by.clone(), Authority::of(policy, profile)),
            reason,
        )
    }

    /// `by` withdraws their own request.
    pub fn cancel(by: &Person, reason: Option<&str>) -> Self {
        Self::new(Wanted::Cancel(by.clone()), reason)
    }

    /// `by` takes access to `profile` back: a named approver, before the access is over.
    pub fn revoke(
        policy: &ApprovalPolicy,
        profile: &Profile,
        by: &Person,
        reason: Option<&str>,
    ) -> Self {
        Self::new(
            Wanted::Revoke(by.clone(), Authority::of(policy, profile)),
            reason,
        )
    }

    /// The deadline of a pending request has passed.
    pub fn expire() -> Self {
        Self::new(Wanted::Expire, None)
    }

    /// `by` writes a note, whatever the status; the history keeps every note.
    pub fn note(by: &Person, text: &str) -> Self {
        Self::new(Wanted::Note(by.clone()), Some(text))
    }

    fn new(wanted: Wanted, reason: Option<&str>) -> Self {
        Self {
            wanted,
            reason: reason.map(Arc::from),
        }
    }

    /// The status that the change leads to; none if it leaves the status alone.
    pub fn target(&self) -> Option<Status> {
        match self.wanted {
            Wanted::Approve(..) | Wanted::ApproveByRule(_) => Some(Status::Approved),
            Wanted::Deny(..) => Some(Status::Denied),
            Wanted::Cancel(_) => Some(Status::Cancelled),
            Wanted::Revoke(..) => Some(Status::Revoked),
            Wanted::Expire => Some(Status::Expired),
            Wanted::Note(_) => None,
        }
    }
}

impl Request {
    /// The request as it is after `change`, made at version `at`. The request itself stays as it
    /// is. For implementations of [`Store`](crate::Store), which call it inside their atomic step.
    ///
    /// # Errors
    /// [`Rejection::InvalidTransition`], then [`Rejection::Refused`].
    pub fn apply(&self, change: &Change, at: Version) -> Result<Request, Rejection> {
        if let Some(to) = change.target() {
            if !self.status.can_become(to) {
                return Err(Rejection::InvalidTransition {
                    from: self.status,
                    to,
                });
            }
        }
        if let Some(reason) = &change.reason {
            check_length(reason, 1, MAX_REASON_CHARACTERS).map_err(Refusal::Reason)?;
        }
        let now = at.time();
        let (action, actor) = self.permit(&change.wanted, now)?;
        let mut after = self.clone();
        match (&change.wanted, change.target()) {
            (_, Some(status)) => after.status = status,
            (_, None) => after.note = change.reason.clone(),
        }
        if action == Action::Approved {
            after.approval = granted_by(&actor).map(|by| Approval { by, at: now });
            after.access_until = Some(later(now, self.duration));
        }
        after.updated_at = at;
        after.history.push(Arc::new(HistoryEntry {
            action,
            actor,
            reason: change.reason.clone(),
            from: Some(self.updated_at),
            to: at,
        }));
        Ok(after)
    }

    /// Who does what, if the rules permit it at `now`.
    fn permit(&self, wanted: &Wanted, now: DateTime<Utc>) -> Result<(Action, Actor), Refusal> {
        match wanted {
            Wanted::Approve(by, authority) => {
                if by.same_person(&self.requester) {
                    return Err(Refusal::OwnRequest { person: by.clone() });
                }
                authority.rule_naming(self, by)?;
                self.in_time(now)?;
                Ok((Action::Approved, Actor::Person(by.clone())))
            }
            Wanted::ApproveByRule(authority) => {
                let rule = authority.rule_over(self)?;
                self.in_time(now)?;
                let holds = |auto: &crate::approval_policy::AutoApproval| {
                    auto.holds(&self.requester, self.duration, now)
                };
                if !rule.auto_approval().is_some_and(holds) {
                    return Err(Refusal::NotAutomatic {
                        rule: rule.shared_name(),
                    });
                }
                Ok((Action::Approved, Actor::Rule(rule.shared_name())))
            }
            Wanted::Deny(by, authority) => {
                authority.rule_naming(self, by)?;
                self.in_time(now)?;
                Ok((Action::Denied, Actor::Person(by.clone())))
            }
            Wanted::Cancel(by) => {
                if *by != self.requester {
                    let requester = self.requester.clone();
                    return Err(Refusal::NotTheRequester {
                        person: by.clone(),
                        requester,
                    });
                }
                Ok((Action::Cancelled, Actor::Person(by.clone())))
            }
            Wanted::Revoke(by, authority) => {
                authority.rule_naming(self, by)?;
                match self.access_until {
                    Some(until) if now >= until => Err(Refusal::AccessOver { until }),
                    _ => Ok((Action::Revoked, Actor::Person(by.clone()))),
                }
            }
            Wanted::Expire => {
                if now < self.decide_by {
                    return Err(Refusal::NotDue {
                        decide_by: self.decide_by,
                    });
                }
                Ok((Action::Expired, Actor::Time))
            }
            Wanted::Note(by) => {
                if self.history.len() >= MAX_HISTORY_ENTRIES {
                    return Err(Refusal::HistoryFull {
                        entries: self.history.len(),
                    });
                }
                Ok((Action::Noted, Actor::Person(by.clone())))
            }
        }
    }

    fn in_time(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        if now >= self.decide_by {
            return Err(Refusal::TooLate {
                decide_by: self.decide_by,
            });
        }
        Ok(())
    }
}

/// Who or what an approval came from. Time approves nothing.
fn granted_by(actor: &Actor) -> Option<GrantedBy> {
    match actor {
        Actor::Person(person) => Some(GrantedBy::Person(person.clone())),
        Actor::Rule(rule) => Some(GrantedBy::Rule(Arc::clone(rule))),
        Actor::Time => None,
    }
}

/// Why a change was not made; [`Request::apply`] gives it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The status does not lead to the one asked for.
    #[error("a request that is {from} cannot become {to}")]
    InvalidTransition {
        /// The status it has.
        from: Status,
        /// The status it was to get.
        to: Status,
    },
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The rule that forbids a change, and what would be needed. Trying again without changing
/// anything gives the same answer, except where a time is named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody approves their own request, under whatever spelling.
    #[error("`{person}` asked for this: somebody else has to approve it")]
    OwnRequest {
        /// Who tried.
        person: Person,
    },
    /// The rule does not name this person.
    #[error("rule `{rule}` does not name `{person}` as an approver: ask one whom it names")]
    NotAnApprover {
        /// Who tried.
        person: Person,
        /// The rule that applies.
        rule: Arc<str>,
    },
    /// No rule names anybody who could approve this.
    #[error(
        "nobody can approve a request for `{profile}`: add an approval rule that names somebody else"
    )]
    NobodyCanApprove {
        /// What was asked for.
        profile: Profile,
    },
    /// The deadline has passed.
    #[error("the time to decide ended at `{decide_by}`: submit a new request")]
    TooLate {
        /// The first moment at which it could no longer be decided.
        decide_by: DateTime<Utc>,
    },
    /// The conditions of automatic approval do not hold.
    #[error("rule `{rule}` does not approve this automatically: an approver has to decide")]
    NotAutomatic {
        /// The rule that applies.
        rule: Arc<str>,
    },
    /// Only the requester withdraws a request.
    #[error("`{person}` did not ask for this: only `{requester}` can cancel it")]
    NotTheRequester {
        /// Who tried.
        person: Person,
        /// Who asked.
        requester: Person,
    },
    /// There is nothing left to revoke.
    #[error("the access ended at `{until}`: there is nothing to revoke")]
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
    /// The change was made for another profile than the request is for.
    #[error(
        "the change is for `{change}`, the request for `{request}`: make the change from the request"
    )]
    OtherProfile {
        /// The profile of the change.
        change: Profile,
        /// The profile of the request.
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
