//! What a store of requests promises: [`Store`], the least that an engine must do, and
//! [`StoreExt`], what can be built on that.
//!
//! The doc comments are the contract, and the feature `conformance` has tests of it that every
//! store must pass. Rules are not written again by each engine: a store reads, calls
//! [`Request::create`] or [`Request::apply`], and writes, all inside one atomic step.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::future::BoxFuture;
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::names::{Profile, User};
use countersign_core::retry::Retry;
use countersign_core::time::Now;
use countersign_core::version::Version;

use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::history::HistoryEntry;
use crate::record::Request;
use crate::terms::Terms;
use crate::transition::Status;
use crate::vocabulary::RequestId;
use crate::{Listing, Page, lists};

/// Keeps requests.
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
/// - Records that are returned are snapshots: nothing changes them.
/// - An [`IdempotencyKey`](crate::IdempotencyKey) that comes with a draft or a change is looked for in
///   the histories of all requests, in the step and before anything else: if it is there, the
///   answer is what [`Draft::first_result`] or [`Change::first_result`] gives, and nothing is
///   changed. So two calls with one key make one change and get one result, at the same time
///   or one after the other. A call that failed leaves no trace of its key, and a deleted
///   request takes its keys with it.
/// - So a request remembers one key for each entry of its history at most: 1,000 with notes, and
///   one for each approval and change of status. Nothing else remembers keys.
/// - [`Error::Clock`] for what would grant, if the clock cannot be right; what ends access works
///   all the same, as at the last time that could be right. [`Error::Backend`] if the engine fails.
pub trait Store: Send + Sync {
    /// Creates a pending request, by [`Request::create`].
    ///
    /// - Assigns `created_at`, the step's time, and the first version, and derives `decide_by`.
    /// - The errors, in this order: [`Error::IdempotencyKeyReused`]; [`Error::AlreadyExists`] if the id
    ///   is taken, whatever the rest of the draft says; [`Error::Invalid`] if a field of the draft
    ///   is outside the store's limits; [`Error::Clock`]; [`Error::Refused`] if the terms do not
    ///   let it.
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>>;

    /// Reads a request.
    ///
    /// - [`Error::NotFound`] if there is none with this id.
    fn get(&self, id: RequestId) -> BoxFuture<'_, Result<Arc<Request>, Error>>;

    /// Changes a request that is at version `expected`, by [`Request::apply`].
    ///
    /// - Of several calls with the same `expected` the first wins; the others get
    ///   [`Error::Conflict`] with the version that it made.
    /// - The errors, in this order: [`Error::IdempotencyKeyReused`]; [`Error::NotFound`];
    ///   [`Error::Conflict`]; [`Error::InvalidTransition`]; [`Error::Clock`], of an approval;
    ///   [`Error::Refused`].
    fn update<'a>(
        &'a self,
        id: RequestId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>>;

    /// Deletes a request that is over ([`Request::is_terminal`] at the step's time), with its
    /// history, its changes and its keys, and says whether it was there.
    ///
    /// - It is no error if there is none with this id.
    /// - Otherwise the errors of [`Request::check_deletion`], in their order.
    fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> BoxFuture<'_, Result<bool, Error>>;

    /// Lists requests, newest first by the version that they were created with.
    ///
    /// - A limit of 0 means 100, one above 1,000 means 1,000.
    /// - The cursor of a page continues after its last request, whatever was created, changed or
    ///   deleted since.
    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>>;

    /// What time it is for this store: its clock's reading, judged by what the store remembers
    /// ([`Now`]).
    fn now(&self) -> BoxFuture<'_, Result<Now, Error>>;

    /// The access that exactly this user has to exactly this profile now, by the store's time,
    /// under the access policy `policy`, if there is any; of several, the one that lasts longest,
    /// and among equals that of the request with the smallest id.
    ///
    /// - Never by a request that is revoked, released or ended, or whose `access_until` has come.
    /// - Never by one that is dated ahead of a clock that has been corrected, and never again once
    ///   the correction has stood for an hour.
    /// - Never by one that ends with another policy than `policy`; if `policy` is none, never one
    ///   that ends with a policy at all. A longer one that is left out hides no shorter one.
    /// - Whatever it gives can be revoked and released.
    /// - [`Error::Clock`] if nothing can be granted by the clock.
    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>>;

    /// The request whose access [`Store::find_grant`] would have given at a time that the caller
    /// names, as records stand now. For audit: nothing may be granted by it.
    fn access_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>>;

    /// Requests that time or a correction of the clock has ended and nobody has marked
    /// ([`Request::is_due`], [`Request::is_void`]), by the store's time; at most `limit`, as in
    /// [`Store::list`]. First what is due, earliest deadline first, then what is void, earliest
    /// end first; among equals smallest id first.
    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>>;

    /// Pending requests for any of `profiles`, or for all profiles if there is no such set, oldest
    /// first by the version that they were created with.
    ///
    /// - For an empty set there are none.
    /// - Limits and cursors are those of [`Store::list`].
    /// - Requests past their deadline that nobody has marked are among them.
    fn list_pending<'a>(
        &'a self,
        profiles: Option<&'a BTreeSet<Profile>>,
        page: Page<lists::Pending>,
    ) -> BoxFuture<'a, Result<Listing<lists::Pending>, Error>>;

    /// Requests of exactly this user that are open by the store's time: those that can still be
    /// decided and those that give access ([`Request::is_open`]). Those whose time ends last first,
    /// then smallest id first.
    ///
    /// - Limits are those of [`Store::list`]. The place of a cursor is that `decide_by` or
    ///   `access_until`; a request that is approved between two pages changes its place.
    fn list_open<'a>(
        &'a self,
        user: &'a User,
        page: Page<lists::Open>,
    ) -> BoxFuture<'a, Result<Listing<lists::Open>, Error>>;

    /// Requests that ended before `time` by the store's time ([`Request::ended_before`]), those
    /// with the earliest [`Request::ended_at`] first, then smallest id first; at most `limit`, as
    /// in [`Store::list`].
    fn list_ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>>;

    /// Changes made after version `after`, or from the first if it is none, in the order in which
    /// they were made; at most `limit`, as in [`Store::list`].
    ///
    /// - Whoever asks again with the version of the last change gets every change once, in order,
    ///   and skips none, whoever else writes meanwhile.
    /// - The changes of a deleted request are gone with it: delete nothing that a reader may still
    ///   have to see.
    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>>;
}

/// One change, as [`Store::changes_after`] tells of it.
///
/// ```
/// use countersign_request::{Action, Changed};
///
/// fn ends_a_session(changed: &Changed) -> bool {
///     matches!(changed.entry.action, Action::Revoked | Action::Released | Action::Ended)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The version that the change made: where to go on from.
    pub version: Version,
    /// What was done, by whom and why.
    pub entry: Arc<HistoryEntry>,
    /// The request as it is now; [`Request::as_of`] gives it as the change left it.
    pub request: Arc<Request>,
}

/// Which requests a list is of. Names match exactly.
///
/// ```
/// use countersign_request::{Filter, Status};
///
/// assert_eq!(Filter::from(Status::Pending), Filter::Status(Status::Pending));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Those of one requester.
    Requester(User),
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
        Filter::Requester(user)
    }
}

impl From<Profile> for Filter {
    fn from(profile: Profile) -> Self {
        Filter::Profile(profile)
    }
}

/// What can be done with any [`Store`].
pub trait StoreExt: Store {
    /// Reads a request, lets `change` make a change from it, and updates it; on a conflict waits a
    /// little and begins again, as often as `retry` says.
    ///
    /// - `change` is called once a try, each time with the request as just read.
    /// - [`Error::Conflict`] if every try met one; any other error at once, those of `change`
    ///   included.
    ///
    /// ```
    /// # use countersign_request::{self as request, Retry, StoreExt, User};
    /// # async fn example(store: &dyn request::Store, id: request::RequestId, bob: User) -> Result<(), request::Error> {
    /// let retry = Retry::default();
    /// store.update_with(id, &retry, |_| Ok(request::Change::note(&bob, "called the database team"))).await?;
    /// # Ok(())
    /// # }
    /// ```
    fn update_with<'a, F>(
        &'a self,
        id: RequestId,
        retry: &'a Retry,
        mut change: F,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>>
    where
        F: FnMut(&Request) -> Result<Change, Error> + Send + 'a,
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
