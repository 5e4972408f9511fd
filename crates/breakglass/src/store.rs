//! What a store of emergencies promises: [`Store`], the least that an engine must do, and
//! [`StoreExt`], what can be built on that.
//!
//! The doc comments are the contract. Rules are not written again by each engine: a store reads,
//! calls [`Emergency::create`] or [`Emergency::apply`], and writes, all inside one atomic step. The
//! feature `conformance` has the contract as cases, to be run on any store.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::future::BoxFuture;
use countersign_core::grant::Grant;
use countersign_core::names::{Profile, User};
use countersign_core::retry::Retry;
use countersign_core::time::Now;
use countersign_core::version::Version;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::HistoryEntry;
use crate::record::Emergency;
use crate::retention::Retention;
use crate::transition::Status;
use crate::vocabulary::EmergencyId;
use crate::{Listing, Page, lists};

/// Keeps emergencies.
///
/// For all methods:
///
/// - Nothing happens before the returned future is first polled. A call is one atomic step: it
///   takes effect at one moment between its first poll and its completion, wholly or not at all.
/// - A call that fails changes nothing, unless it fails with [`Error::Backend`] whose outcome is
///   [`Outcome::Unknown`](crate::Outcome::Unknown).
/// - Versions are issued inside the step as `max(clock, last + 1 ns)`, where `last` is the last
///   version issued by the whole store. They order, and nothing else.
/// - Rules judge by the step's time ([`Now`]): the clock's reading, which stands still rather than
///   run backwards within the clock's tolerance, and is a correction beyond it. The entry of the
///   history keeps it beside the version.
/// - A correction is made by the first call that finds it and looks at the time, whatever its
///   answer: a step that is refused, or a read by the store's time ([`Store::now`],
///   [`Store::find_grant`], [`Store::list_expirable`], [`Store::list_awaiting_review`],
///   [`Store::list_ended`]). It takes a version of its own, before those of the step. So what waits
///   from the correction waits once.
/// - Records that are returned are snapshots: nothing changes them.
/// - An [`IdempotencyKey`](crate::IdempotencyKey) that comes with a draft or a change is looked for in
///   the histories of all emergencies, in the step and before anything else: if it is there, the answer
///   is what [`Admission::first_result`] or [`Change::first_result`] gives, and nothing is changed.
///   So two calls with one key make one change and get one result, at the same time or one
///   after the other. A call that failed leaves no trace of its key, and a deleted emergency
///   takes its keys with it.
/// - So an emergency remembers one key for each entry of its history at most: 1,000 with notes, its
///   end and its review. Nothing else remembers keys.
/// - [`Error::Clock`] for what would grant, if the clock cannot be right; what ends access works
///   all the same, as at the last time that could be right. [`Error::Backend`] if the engine fails.
///
/// ```
/// use countersign_breakglass::{Error, EmergencyId, Status, Store};
///
/// async fn is_over(store: &dyn Store, id: EmergencyId) -> Result<bool, Error> {
///     Ok(store.get(id).await?.is_terminal())
/// }
/// ```
pub trait Store: Send + Sync {
    /// Creates an active emergency, if `admission` lets it begin ([`Admission::decide`]).
    ///
    /// - What the admission is to decide by ([`Admission::observation`]) is observed in this same
    ///   step, so of several callers never more pass than the rules allow.
    /// - Assigns `created_at`, the step's time, and the first version, and derives `expires_at`.
    /// - An emergency of the same user and profile that gives no access but is still marked active is
    ///   marked expired in this same step, with a version of its own ([`Change::make_way`]).
    /// - The emergency may begin by an override ([`Admitted::follow_up`](crate::Admitted::follow_up)):
    ///   it is applied in this same step too, with a version of its own, so that the emergency that is
    ///   returned is at its second version.
    /// - The errors, in this order: [`Error::IdempotencyKeyReused`]; [`Error::AlreadyExists`] if
    ///   the id is taken, whatever the rest of the draft says; [`Error::Invalid`] if a field of the
    ///   draft is outside the store's limits; [`Error::Clock`]; [`Error::Refused`]. None of them
    ///   changes anything.
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>>;

    /// Reads an emergency.
    ///
    /// - [`Error::NotFound`] if there is none with this id.
    fn get(&self, id: EmergencyId) -> BoxFuture<'_, Result<Arc<Emergency>, Error>>;

    /// Changes an emergency that is at version `expected`, by [`Emergency::apply`].
    ///
    /// - Of several calls with the same `expected` the first wins; the others get
    ///   [`Error::Conflict`] with the version that it made.
    /// - The errors, in this order: [`Error::IdempotencyKeyReused`]; [`Error::NotFound`];
    ///   [`Error::Conflict`];
    ///   [`Error::InvalidTransition`]; [`Error::Refused`].
    fn update<'a>(
        &'a self,
        id: EmergencyId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>>;

    /// Deletes an emergency that is over, reviewed, and that no rule looks back at any more
    /// ([`Retention::check`]).
    ///
    /// - With it go its history, its place in quotas, its keys and its changes in
    ///   [`Store::changes_after`]. The id of the second factor that it used stays: it is never good
    ///   again.
    /// - Says whether it was there.
    /// - It is no error if there is none with this id.
    /// - A step that finds that the clock has jumped remembers it, whatever its answer: nothing is
    ///   deleted for an hour then, and not for an hour after each try.
    /// - Otherwise the errors of [`Retention::check`], in their order.
    fn delete<'a>(
        &'a self,
        id: EmergencyId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>>;

    /// Lists emergencies, newest first by the version that they were created with.
    ///
    /// - A limit of 0 means 100, one above 1,000 means 1,000.
    /// - The cursor of a page continues after its last emergency, whatever was created, changed or
    ///   deleted since.
    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>>;

    /// What time it is for this store: its clock's reading, judged by what the store remembers
    /// ([`Now`]).
    fn now(&self) -> BoxFuture<'_, Result<Now, Error>>;

    /// The access that exactly this user has to exactly this profile now, by the store's time, if
    /// there is any. There is never more than one emergency that gives it.
    ///
    /// - Never by one whose `expires_at` has come, marked expired or not.
    /// - Never by one that is dated ahead of a clock that has been corrected, and never again once
    ///   the correction has stood for an hour.
    /// - Whatever it gives can be closed.
    /// - [`Error::Clock`] if nothing can be granted by the clock.
    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>>;

    /// The emergency by which [`Store::find_grant`] would have given access at a time that the caller
    /// names, as records stand now. For audit: nothing may be granted by it.
    fn active_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Emergency>>, Error>>;

    /// Emergencies still marked active that are over by the store's time ([`Emergency::is_over`]): those
    /// whose `expires_at` has come, earliest first, then smallest id, and then those that a
    /// correction of the clock has ended; at most `limit`, as in [`Store::list`].
    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>>;

    /// Emergencies that await their review by the store's time ([`Emergency::awaits_review`]), marked as
    /// over or not: first what was over first ([`Emergency::ended_at`]), then smallest id.
    ///
    /// - Limits are as in [`Store::list`]; a cursor of this list holds the time at which an emergency
    ///   was over, and is of no use in others. What is over later comes later, so whoever follows
    ///   the cursors misses nothing, unless the clock is corrected meanwhile: what was over while it
    ///   was ahead comes last, so begin anew then.
    fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> BoxFuture<'_, Result<Listing<lists::AwaitingReview>, Error>>;

    /// Emergencies that count as over before `before` ([`Emergency::over_since`]), are marked so
    /// and have been reviewed: first what was over first ([`Emergency::ended_at`]), then smallest
    /// id; at most `limit`, as in [`Store::list`]. What a retention period may remove.
    fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>>;

    /// The changes after version `after`, from the first if there is none, in the order in which
    /// they were made; at most `limit`, as in [`Store::list`].
    ///
    /// - Every creation and change is there once, none is left out: a reader who asks again with
    ///   the last version that it got sees each exactly once, over restarts too.
    /// - What is deleted takes its changes with it. Keep records longer than readers lag.
    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>>;
}

/// One change of one emergency, as [`Store::changes_after`] gives it.
///
/// ```
/// use countersign_breakglass::{Action, Changed};
///
/// fn ends_sessions(changed: &Changed) -> bool {
///     matches!(changed.entry.action, Action::Closed | Action::Expired)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The version that the change made: where to continue from.
    pub version: Version,
    /// Who did what, when and why.
    pub entry: Arc<HistoryEntry>,
    /// The emergency as it is now; as it was then is [`Emergency::as_of`] the version.
    pub emergency: Arc<Emergency>,
}

/// Which emergencies a list is of. Names match exactly.
///
/// ```
/// use countersign_breakglass::{Filter, Status};
///
/// assert_eq!(Filter::from(Status::Active), Filter::Status(Status::Active));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Those of one invoker.
    Invoker(User),
    /// Those for one profile.
    Profile(Profile),
    /// Those with one status.
    Status(Status),
}

impl From<Status> for Filter {
    fn from(status: Status) -> Self {
        Filter::Status(status)
    }
}

impl From<User> for Filter {
    fn from(user: User) -> Self {
        Filter::Invoker(user)
    }
}

impl From<Profile> for Filter {
    fn from(profile: Profile) -> Self {
        Filter::Profile(profile)
    }
}

/// What can be done with any [`Store`].
pub trait StoreExt: Store {
    /// Reads an emergency, lets `change` make a change from it, and updates it; on a conflict waits a
    /// little and begins again, as often as `retry` says.
    ///
    /// - `change` is called once a try, each time with the emergency as just read.
    /// - [`Error::Conflict`] if every try met one; any other error at once, those of `change`
    ///   included.
    ///
    /// ```
    /// # use countersign_breakglass::{self as breakglass, Retry, StoreExt, User};
    /// # async fn example(store: &dyn breakglass::Store, id: breakglass::EmergencyId, bob: User) -> Result<(), breakglass::Error> {
    /// let retry = Retry::default();
    /// store.update_with(id, &retry, |_| Ok(breakglass::Change::note(&bob, "called the database team"))).await?;
    /// # Ok(())
    /// # }
    /// ```
    fn update_with<'a, F>(
        &'a self,
        id: EmergencyId,
        retry: &'a Retry,
        mut change: F,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>>
    where
        F: FnMut(&Emergency) -> Result<Change, Error> + Send + 'a,
    {
        Box::pin(async move {
            let mut backoff = retry.start();
            loop {
                let current = self.get(id).await?;
                let change = change(&current)?;
                match self.update(id, current.updated_at, &change).await {
                    Err(Error::Conflict(conflict)) => {
                        if !backoff.wait().await {
                            return Err(Error::Conflict(conflict));
                        }
                    }
                    result => return result,
                }
            }
        })
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
