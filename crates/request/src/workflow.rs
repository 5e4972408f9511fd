//! What a host calls: submit, approve, deny, cancel, revoke, release, note; expire what is due,
//! delete what is old; find a grant, what a user may decide, what a user has open.
//!
//! A [`Workflow`] holds a store and the approval rules in force, and adds no rule of its own: what it
//! refuses early, the store's step would refuse too. What time it is, the store says.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::engine::{DEFAULT_LIMIT, MAX_LIMIT};
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::id::{IdempotencyKey, OsRandom, RandomSource};
use countersign_core::names::{Profile, User};
use countersign_core::retry::Retry;

use crate::approval_policy::ApprovalPolicy;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::{Action, Actor, HistoryEntry};
use crate::record::Request;
use crate::refusal::Refusal;
use crate::store::{Store, StoreExt};
use crate::terms::Terms;
use crate::transition::Status;
use crate::vocabulary::RequestId;
use crate::{Cursor, Listing, Page, lists};

/// The most pending requests that one page of an inbox looks at.
const MAX_INSPECTED: usize = MAX_LIMIT;

/// Requests and approvals under one [`ApprovalPolicy`]. Cheap to clone.
///
/// When the approval rules change, make another with [`Workflow::with_policy`]: decisions that
/// are already made stand, those to come follow the new rules.
#[derive(Clone)]
pub struct Workflow {
    store: Arc<dyn Store>,
    policy: Arc<ApprovalPolicy>,
    random: Arc<dyn RandomSource>,
    retry: Retry,
    idempotency_key: Option<IdempotencyKey>,
    access_policy: Option<PolicyDigest>,
}

impl Workflow {
    /// A workflow over a store, whose clock it goes by.
    pub fn new(store: Arc<dyn Store>, policy: Arc<ApprovalPolicy>) -> Self {
        Self {
            store,
            policy,
            random: Arc::new(OsRandom),
            retry: Retry::default(),
            idempotency_key: None,
            access_policy: None,
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

    /// The same workflow for one idempotency key: the draft that it makes and the change that it makes
    /// next carry it, so that the call can be made again when its answer was lost. A repeat
    /// changes nothing and gets the first result, the record as it was then; the same key for
    /// anything else is refused with [`Error::IdempotencyKeyReused`].
    ///
    /// A key is remembered as long as its request, and by nothing else.
    ///
    /// Marking what is due and deleting carry no key: repeating them does no harm.
    ///
    /// ```
    /// # use countersign_request::{self as request, IdempotencyKey, OsRandom, User};
    /// # async fn example(workflow: &request::Workflow, id: request::RequestId, bob: &User) -> Result<(), request::Error> {
    /// let idempotency_key = IdempotencyKey::random(&OsRandom)?;
    /// let approve = workflow.with_idempotency_key(idempotency_key);
    /// let first = approve.approve(id, bob, None).await?;
    /// let again = approve.approve(id, bob, None).await?;
    /// assert_eq!(first, again);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_idempotency_key(&self, idempotency_key: IdempotencyKey) -> Self {
        Self {
            idempotency_key: Some(idempotency_key),
            ..self.clone()
        }
    }

    /// The same workflow under an access policy, which `countersign-policy` names by its digest:
    /// drafts say that they were made under it, and grants that end with another policy are not
    /// found. Without, no grant is found that ends with a policy.
    #[must_use]
    pub fn with_access_policy(&self, policy: PolicyDigest) -> Self {
        Self {
            access_policy: Some(policy),
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
        requester: &User,
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
            policy: self.access_policy,
            idempotency_key: self.idempotency_key,
        })
    }

    /// Submits a request, and lets its rule approve it if the rule's conditions hold at its creation
    /// and still do a moment later, when it is approved.
    ///
    /// A lost answer can be found again with the draft's id. With a key, the draft can be
    /// submitted again instead: that gives the request as its rule approved it, whatever came since
    /// and whether or not the rule still would; else as it was created; and it makes up for an
    /// automatic approval that was not made. The key is the creation's: the approval carries
    /// none.
    ///
    /// If the rule's window closes after the creation and before the approval, the request stays
    /// pending, and [`Submitted::approvers`] may be empty: then it can only be cancelled or expire.
    ///
    /// # Errors
    /// Those of [`Store::create`], and nothing is stored then; those of [`Store::update`] if the
    /// automatic approval cannot be written: the request is pending then.
    pub async fn submit(&self, draft: &Draft) -> Result<Submitted, Error> {
        let terms = Terms::of(&self.policy, &draft.profile);
        let draft = match (draft.idempotency_key, self.idempotency_key) {
            (None, Some(_)) => Cow::Owned(Draft {
                idempotency_key: self.idempotency_key,
                ..draft.clone()
            }),
            _ => Cow::Borrowed(draft),
        };
        let created = self.store.create(&draft, &terms).await?;
        let rule = terms.rule();
        let automatic = rule
            .and_then(|rule| rule.auto_approval())
            .is_some_and(|auto| auto.holds(&draft.requester, draft.duration, created.created_at));
        let approved = match automatic {
            true => self.approve_by_rule(&created).await?,
            false => None,
        };
        let request = match approved {
            Some(approved) => approved,
            None if draft.idempotency_key.is_some() => self.as_submitted(created).await?,
            None if automatic => self.store.get(created.id).await?,
            None => created,
        };
        let requester = &draft.requester;
        let approvers = rule
            .filter(|rule| rule.is_met_by(requester, rule.approvers()))
            .map(|rule| rule.approvers_for(requester).cloned().collect());
        Ok(Submitted {
            request,
            approvers: approvers.unwrap_or_default(),
        })
    }

    /// Lets the rule approve; none if somebody decided first, or its window closed in between.
    async fn approve_by_rule(&self, request: &Request) -> Result<Option<Arc<Request>>, Error> {
        let change = Change::approve_by_rule(&self.policy, &request.profile);
        let approving = self
            .store
            .update_with(request.id, &self.retry, |_| Ok(change.clone()));
        match approving.await {
            Ok(approved) => Ok(Some(approved)),
            Err(Error::InvalidTransition { .. } | Error::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What submitting a request first answered: as its rule approved it, else as it was created.
    async fn as_submitted(&self, created: Arc<Request>) -> Result<Arc<Request>, Error> {
        let now = match self.store.get(created.id).await {
            // Deleted since: its creation is what is left to tell.
            Err(Error::NotFound { .. }) => return Ok(created),
            result => result?,
        };
        let by_rule = |entry: &&Arc<HistoryEntry>| {
            entry.action == Action::Approved && matches!(entry.actor, Actor::Rule(_))
        };
        let approved = now.history.iter().find(by_rule);
        let approved = approved.and_then(|entry| now.as_of(entry.to));
        Ok(approved.map_or(created, Arc::new))
    }

    /// Approves a request. Access begins when this meets the last group of its rule; until then
    /// the request stays pending, with one more of [`Request::approvals`].
    ///
    /// # Errors
    /// Those of [`Store::update`]; a conflict only after all tries. Of several people who decide
    /// at once all but the first get [`Error::InvalidTransition`].
    pub async fn approve(
        &self,
        id: RequestId,
        by: &User,
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
        by: &User,
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
        by: &User,
        reason: Option<&str>,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |_| Change::cancel(by, reason)).await
    }

    /// Takes an approved request's access back, at once; those whom its rule lets revoke can.
    /// Other requests of the same user stay as they are.
    ///
    /// # Errors
    /// As [`Workflow::approve`].
    pub async fn revoke(
        &self,
        id: RequestId,
        by: &User,
        reason: Option<&str>,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |request| {
            Change::revoke(&self.policy, &request.profile, by, reason)
        })
        .await
    }

    /// Gives an approved request's access back, at once; only the requester can.
    ///
    /// # Errors
    /// As [`Workflow::approve`].
    pub async fn release(
        &self,
        id: RequestId,
        by: &User,
        reason: Option<&str>,
    ) -> Result<Arc<Request>, Error> {
        self.change(id, |_| Change::release(by, reason)).await
    }

    /// Writes a note on a request, whatever its status. The history keeps every note.
    ///
    /// # Errors
    /// As [`Workflow::approve`].
    pub async fn note(&self, id: RequestId, by: &User, text: &str) -> Result<Arc<Request>, Error> {
        self.change(id, |_| Change::note(by, text)).await
    }

    /// Marks pending requests whose deadline has passed as expired, and access that a correction of
    /// the clock has ended as ended; earliest first, at most `limit` (0 means 100, more than 1,000
    /// means 1,000). Gives those it marked; requests that somebody else changed meanwhile are
    /// passed over.
    ///
    /// Expiry does not depend on this: a request past its deadline cannot be approved, marked or
    /// not.
    ///
    /// # Errors
    /// Those of the store; what was marked before stays marked.
    pub async fn expire_due(&self, limit: usize) -> Result<Vec<Arc<Request>>, Error> {
        let mut expired = Vec::new();
        for request in self.store.list_expirable(limit).await? {
            let change = match request.status {
                Status::Pending => Change::expire(),
                _ => Change::end_void(),
            };
            match self
                .store
                .update(request.id, request.updated_at, &change)
                .await
            {
                Ok(request) => expired.push(request),
                Err(Error::NotFound { .. } | Error::Conflict(_)) => {}
                // The store's clock has been set back meanwhile.
                Err(Error::Refused(Refusal::NotDue { .. } | Refusal::NotVoid)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(expired)
    }

    /// Deletes requests that ended before `time`, earliest first, at most `limit` (0 means 100, more
    /// than 1,000 means 1,000), and says how many. What is not over stays, whatever `time` says.
    ///
    /// With a request go its history, its changes ([`Store::changes_after`]) and its keys:
    /// keep requests longer than the slowest reader of changes lags and than calls are repeated.
    ///
    /// # Errors
    /// Those of the store, and [`Error::Clock`] if its clock cannot be right, also if there is
    /// nothing to delete; what was deleted before stays deleted.
    pub async fn delete_ended_before(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> Result<usize, Error> {
        let now = self.store.now().await?;
        now.granting()?;
        let time = time.min(now.at());
        let mut deleted = 0;
        for request in self.store.list_ended(time, limit).await? {
            match self.store.delete(request.id, Some(time)).await {
                Ok(was_there) => deleted += usize::from(was_there),
                // Another request has the id by now, or the store's clock is behind.
                Err(Error::NotTerminal { .. } | Error::Retained { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }

    /// The access that this user has to this profile now by an approval, if any; of several,
    /// the one that lasts longest. One that ends with an access policy only under that policy
    /// ([`Workflow::with_access_policy`]).
    ///
    /// # Errors
    /// Those of [`Store::find_grant`].
    pub async fn find_grant(&self, user: &User, profile: &Profile) -> Result<Option<Grant>, Error> {
        self.store
            .find_grant(user, profile, self.access_policy)
            .await
    }

    /// Pending requests that this user may decide now, oldest first: named by the rule, not
    /// their own, not approved by them, not past the deadline.
    ///
    /// A page looks at 1,000 pending requests at most, among those for the profiles that the rules
    /// let the user decide; so it may hold fewer than asked for, even none, and still have a
    /// next.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn inbox(
        &self,
        user: &User,
        page: Page<lists::Pending>,
    ) -> Result<Listing<lists::Pending>, Error> {
        let now = self.store.now().await?;
        let profiles = self.policy.profiles_decided_by(user);
        let wanted = page.effective_limit();
        let mut found = Listing {
            items: Vec::new(),
            next: page.after,
        };
        let mut left = MAX_INSPECTED;
        while left > 0 {
            let source = Page {
                limit: wanted.max(DEFAULT_LIMIT).min(left),
                after: found.next,
            };
            let waiting = self.store.list_pending(profiles.as_ref(), source).await?;
            left = left.saturating_sub(source.limit);
            for request in waiting.items {
                if found.items.len() == wanted {
                    return Ok(found);
                }
                found.next = Some(Cursor::at_version(request.created, request.id));
                if !request.is_due(&now) && self.may_decide(user, &request) {
                    found.items.push(request);
                }
            }
            if waiting.next.is_none() {
                found.next = None;
                break;
            }
            if found.items.len() == wanted {
                break;
            }
        }
        Ok(found)
    }

    fn may_decide(&self, user: &User, request: &Request) -> bool {
        let rule = self.policy.rule_for(&request.profile);
        rule.is_some_and(|rule| rule.names_approver(user))
            && !user.same_user(&request.requester)
            && !request.approved_by(user)
    }

    /// What this user has open now: requests that wait for a decision, and access that is not
    /// over; what ends last first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open_for(
        &self,
        user: &User,
        page: Page<lists::Open>,
    ) -> Result<Listing<lists::Open>, Error> {
        self.store.list_open(user, page).await
    }

    async fn change(
        &self,
        id: RequestId,
        change: impl Fn(&Request) -> Change + Send + Sync,
    ) -> Result<Arc<Request>, Error> {
        self.store
            .update_with(id, &self.retry, |request| {
                let change = change(request);
                Ok(match self.idempotency_key {
                    Some(idempotency_key) => change.with_idempotency_key(idempotency_key),
                    None => change,
                })
            })
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
    /// Who could approve it, the requester left out: any one of them, or as many as the groups of
    /// the rule say. Empty if only the rule could.
    pub approvers: Vec<User>,
}
