//! What a host calls: submit, approve, deny, cancel, revoke, note, expire what is due, find a
//! grant, what a person may decide.
//!
//! A [`Workflow`] holds a store, the approval rules in force and a clock, and adds no rule of its
//! own: what it refuses early, the store's step would refuse too.

use std::sync::Arc;
use std::time::Duration;

use countersign_core::clock::Clock;
use countersign_core::grant::Grant;
use countersign_core::id::{OsRandom, RandomSource};
use countersign_core::names::{Person, Profile};
use countersign_core::retry::Retry;

use crate::approval_policy::ApprovalPolicy;
use crate::change::{Change, Refusal};
use crate::error::Error;
use crate::record::{Draft, Request, RequestId};
use crate::store::{Filter, Store, StoreExt};
use crate::transition::Status;
use crate::{Listing, Page};

/// Requests and approvals under one [`ApprovalPolicy`]. Cheap to clone.
///
/// When the approval rules change, make another with [`Workflow::with_policy`]: decisions that
/// are already made stand, those to come follow the new rules.
#[derive(Clone)]
pub struct Workflow {
    store: Arc<dyn Store>,
    policy: Arc<ApprovalPolicy>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn RandomSource>,
    retry: Retry,
}

impl Workflow {
    /// A workflow over a store. `clock` must be the one that the store uses, or agree with it.
    pub fn new(store: Arc<dyn Store>, policy: Arc<ApprovalPolicy>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            policy,
            clock,
            random: Arc::new(OsRandom),
            retry: Retry::default(),
        }
    }

    /// The same workflow under other approval rules.
    #[must_use]
    pub fn with_policy(&self, policy: Arc<ApprovalPolicy>) -> Self {
        Self {
            policy,
            ..self.clone()
        }
    }

    /// The same workflow with ids from another source.
    #[must_use]
    pub fn with_random(&self, random: Arc<dyn RandomSource>) -> Self {
        Self {
            random,
            ..self.clone()
        }
    }

    /// The same workflow with another way of trying again after a conflict.
    #[must_use]
    pub fn with_retry(&self, retry: Retry) -> Self {
        Self {
            retry,
            ..self.clone()
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The approval rules in force.
    pub fn policy(&self) -> &Arc<ApprovalPolicy> {
        &self.policy
    }

    /// A draft with a new id. Nothing is stored; a ticket can be added to it.
    ///
    /// # Errors
    /// [`Error::Random`] if no id can be minted.
    pub fn draft(
        &self,
        requester: &Person,
        profile: &Profile,
        duration: Duration,
        justification: &str,
    ) -> Result<Draft, Error> {
        Ok(Draft {
            id: RequestId::random(&*self.random)?,
            requester: requester.clone(),
            profile: profile.clone(),
            duration,
            justification: justification.to_owned(),
            ticket: None,
        })
    }

    /// Submits a request, and lets its rule approve it if the rule's conditions hold.
    ///
    /// A lost answer can be found again with the draft's id. If the rule's window closes after the
    /// creation and before the approval, the request stays pending, and [`Submitted::approvers`]
    /// may be empty: then it can only be cancelled or expire.
    ///
    /// # Errors
    /// - [`Refusal::NobodyCanApprove`] if no rule names anybody but the requester and none
    ///   approves automatically now; nothing is stored then.
    /// - Those of [`Store::create`], and of the store if the automatic approval cannot be written;
    ///   the request is pending then.
    pub async fn submit(&self, draft: &Draft) -> Result<Submitted, Error> {
        let rule = self.policy.rule_for(&draft.profile);
        let automatic = rule
            .and_then(|rule| rule.auto_approval())
            .is_some_and(|auto| auto.holds(&draft.requester, draft.duration, self.clock.now()));
        let approvers: Vec<Person> = rule
            .map(|rule| rule.approvers_for(&draft.requester).cloned().collect())
            .unwrap_or_default();
        if approvers.is_empty() && !automatic {
            let profile = draft.profile.clone();
            return Err(Refusal::NobodyCanApprove { profile }.into());
        }
        let mut request = self.store.create(draft).await?;
        if automatic {
            let change = Change::approve_by_rule(&self.policy, &draft.profile);
            let id = request.id;
            request = match self
                .store
                .update_with(id, &self.retry, |_| Ok(change.clone()))
                .await
            {
                // Somebody decided first, or the rule's window closed in between.
                Err(Error::InvalidTransition { .. } | Error::Refused(_)) => {
                    self.store.get(id).await?
                }
                result => result?,
            };
        }
        Ok(Submitted { request, approvers })
    }

    /// Approves a request. Access begins now.
    ///
    /// # Errors
    /// Those of [`Store::update`]; a conflict only after all tries. Of several people who decide
    /// at once all but the first get [`Error::InvalidTransition`].
    pub async fn approve(
        &self,
        id: RequestId,
        by: &Person,
        reason: Option<&str>,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |request| {
            Change::approve(&self.policy, &request.profile, by, reason)
        })
        .await
    }

    /// Denies a request.
    ///
    /// # Errors
    /// As [`Workflow::approve`].
    pub async fn deny(
        &self,
        id: RequestId,
        by: &Person,
        reason: Option<&str>,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |request| {
            Change::deny(&self.policy, &request.profile, by, reason)
        })
        .await
    }

    /// Withdraws a pending request; only the requester can.
    ///
    /// # Errors
    /// As [`Workflow::approve`].
    pub async fn cancel(
        &self,
        id: RequestId,
        by: &Person,
        reason: Option<&str>,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |_| Change::cancel(by, reason)).await
    }

    /// Takes an approved request's access back, at once; an approver of its profile can.
    ///
    /// # Errors
    /// As [`Workflow::approve`].
    pub async fn revoke(
        &self,
        id: RequestId,
        by: &Person,
        reason: Option<&str>,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |request| {
            Change::revoke(&self.policy, &request.profile, by, reason)
        })
        .await
    }

    /// Writes a note on a request, whatever its status. The history keeps every note.
    ///
    /// # Errors
    /// As [`Workflow::approve`].
    pub async fn note(
        &self,
        id: RequestId,
        by: &Person,
        text: &str,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |_| Change::note(by, text)).await
    }

    /// Marks pending requests whose deadline has passed as expired, earliest first, at most
    /// `limit` (0 means 100, more than 1,000 means 1,000), and gives those it marked. Requests
    /// that somebody else changed meanwhile are passed over.
    ///
    /// Expiry does not depend on this: a request past its deadline cannot be approved, marked or
    /// not.
    ///
    /// # Errors
    /// Those of the store; what was marked before stays marked.
    pub async fn expire_due(&self, limit: usize) -> Result<Vec<Arc<Request>>, Error> {
        let change = Change::expire();
        let mut expired = Vec::new();
        for request in self.store.due(self.clock.now(), limit).await? {
            match self
                .store
                .update(request.id, request.updated_at, &change)
                .await
            {
                Ok(request) => expired.push(request),
                Err(Error::NotFound { .. } | Error::Conflict(_)) => {}
                // The store's clock is behind: it is not over there yet.
                Err(Error::Refused(Refusal::NotDue { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    /// The access that this person has to this profile now by an approval, if any; of several,
    /// the one that lasts longest.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find_grant(
        &self,
        person: &Person,
        profile: &Profile,
    ) -> Result<Option<Grant>, Error> {
        let now = self.clock.now();
        let request = self.store.find_grant(person, profile, now).await?;
        Ok(request.and_then(|request| request.grant(now)))
    }

    /// Pending requests that this person may decide now, newest first: named by the rule, not
    /// their own, not past the deadline.
    ///
    /// Reads pages of pending requests until the page is full, so its cost grows with the pending
    /// requests that are not theirs to decide.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn decidable_by(&self, person: &Person, page: Page) -> Result<Listing, Error> {
        let now = self.clock.now();
        let wanted = page.effective_limit();
        let mut found = Listing {
            items: Vec::new(),
            next: None,
        };
        let mut source = Page {
            limit: Page::MAX_LIMIT,
            after: page.after,
        };
        loop {
            let pending = self
                .store
                .list(&Filter::Status(Status::Pending), source)
                .await?;
            for request in pending.items {
                if found.items.len() == wanted {
                    found.next = found.items.last().map(|last: &Arc<Request>| crate::Cursor {
                        time: last.created_at,
                        id: last.id,
                    });
                    return Ok(found);
                }
                if request.decide_by > now && self.may_decide(person, &request) {
                    found.items.push(request);
                }
            }
            match pending.next {
                Some(cursor) => source.after = Some(cursor),
                None => return Ok(found),
            }
        }
    }

    fn may_decide(&self, person: &Person, request: &Request) -> bool {
        let rule = self.policy.rule_for(&request.profile);
        rule.is_some_and(|rule| rule.names_approver(person))
            && !person.same_person(&request.requester)
    }

    async fn change(
        &self,
        id: RequestId,
        change: impl Fn(&Request) -> Change + Send + Sync,
    ) -> Result<Arc<Request>, Error> {
        self.store
            .update_with(id, &self.retry, |request| Ok(change(request)))
            .await
    }
}

impl std::fmt::Debug for Workflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workflow")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What became of a submitted request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The request: pending, or approved if its rule did so.
    pub request: Arc<Request>,
    /// Who could approve it, the requester left out. Empty if only the rule could.
    pub approvers: Vec<Person>,
}
