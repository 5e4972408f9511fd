//! The store of requests, over any engine: [`EngineStore`].
//!
//! Each call is one step or one read of `steps.rs`. What an engine must do is said in
//! [`countersign_core::engine`].

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::engine::Engine;
use countersign_core::future::BoxFuture;
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::names::{Profile, User};
use countersign_core::time::Now;
use countersign_core::version::Version;

use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::limits::Limits;
use crate::record::Request;
use crate::steps;
use crate::store::{Changed, Filter, Store};
use crate::terms::Terms;
use crate::vocabulary::RequestId;
use crate::{Listing, Page, lists};

/// Keeps requests in an engine. What it promises is the contract of [`Store`].
///
/// ```
/// use countersign_core::table::Table;
/// use countersign_request::{EngineStore, Filter, Limits, Page, Status, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = EngineStore::over(Table::default()).with_limits(Limits::default());
/// let pending = store.list(&Filter::Status(Status::Pending), Page::default()).await?;
/// assert!(pending.items.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EngineStore<E> {
    pub(crate) engine: E,
    pub(crate) limits: Arc<Limits>,
}

impl<E> EngineStore<E> {
    /// The requests of this engine, with the default [`Limits`].
    pub fn over(engine: E) -> Self {
        Self {
            engine,
            limits: Arc::default(),
        }
    }

    /// The same store with other limits. They hold for what is created from now on.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        let limits = Arc::new(limits);
        Self { limits, ..self }
    }

    /// The limits for what is created.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl<E: Default> Default for EngineStore<E> {
    fn default() -> Self {
        Self::over(E::default())
    }
}

/// A store that is an [`EngineStore`] with calls around it that only its engine has. It is a
/// [`Store`] by being one of these.
///
/// ```
/// use std::sync::Arc;
/// use countersign_core::table::Table;
/// use countersign_request::{EngineStore, InMemory, OverEngine, Request, Store};
///
/// struct Named(&'static str, InMemory);
///
/// impl OverEngine for Named {
///     type Engine = Table<Request>;
///     fn engine_store(&self) -> &EngineStore<Self::Engine> { &self.1 }
/// }
///
/// let store: Arc<dyn Store> = Arc::new(Named("a", InMemory::default()));
/// ```
pub trait OverEngine: Send + Sync {
    /// What keeps its requests.
    type Engine: Engine<Request>;

    /// The store that it is.
    fn engine_store(&self) -> &EngineStore<Self::Engine>;
}

impl<E: Engine<Request>> OverEngine for EngineStore<E> {
    type Engine = E;

    fn engine_store(&self) -> &Self {
        self
    }
}

/// What keeps the records of such a store.
fn kept_by<S: OverEngine>(store: &S) -> &S::Engine {
    &store.engine_store().engine
}

impl<S> Store for S
where
    S: OverEngine,
    Error: From<<S::Engine as Engine<Request>>::Error>,
{
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        let (draft, terms, limits) = (
            draft.clone(),
            terms.clone(),
            Arc::clone(&self.engine_store().limits),
        );
        Box::pin(kept_by(self).write(move |step| steps::create(step, &draft, &terms, &limits)))
    }

    fn get(&self, id: RequestId) -> BoxFuture<'_, Result<Arc<Request>, Error>> {
        Box::pin(kept_by(self).read(move |view| steps::get(view, id)))
    }

    fn update<'a>(
        &'a self,
        id: RequestId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Request>, Error>> {
        let change = change.clone();
        Box::pin(kept_by(self).write(move |step| steps::update(step, id, expected, &change)))
    }

    fn delete(
        &self,
        id: RequestId,
        ended_before: Option<DateTime<Utc>>,
    ) -> BoxFuture<'_, Result<bool, Error>> {
        Box::pin(kept_by(self).write(move |step| steps::delete(step, id, ended_before)))
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> BoxFuture<'a, Result<Listing, Error>> {
        let filter = filter.clone();
        Box::pin(kept_by(self).read(move |view| steps::list(view, &filter, &page)))
    }

    fn now(&self) -> BoxFuture<'_, Result<Now, Error>> {
        Box::pin(kept_by(self).read_now(|_, now| Ok(*now)))
    }

    fn find_grant<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        let (user, profile) = (user.clone(), profile.clone());
        Box::pin(
            kept_by(self)
                .read_now(move |view, now| steps::find_grant(view, &user, &profile, policy, now)),
        )
    }

    fn access_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Request>>, Error>> {
        let (user, profile, now) = (user.clone(), profile.clone(), Now::at_given(at));
        Box::pin(
            kept_by(self).read(move |view| steps::longest(view, &user, &profile, policy, &now)),
        )
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        Box::pin(kept_by(self).read_now(move |view, now| steps::list_expirable(view, limit, now)))
    }

    fn list_pending<'a>(
        &'a self,
        profiles: Option<&'a BTreeSet<Profile>>,
        page: Page<lists::Pending>,
    ) -> BoxFuture<'a, Result<Listing<lists::Pending>, Error>> {
        let profiles = profiles.cloned();
        Box::pin(
            kept_by(self).read(move |view| steps::list_pending(view, profiles.as_ref(), &page)),
        )
    }

    fn list_open<'a>(
        &'a self,
        user: &'a User,
        page: Page<lists::Open>,
    ) -> BoxFuture<'a, Result<Listing<lists::Open>, Error>> {
        let user = user.clone();
        Box::pin(kept_by(self).read_now(move |view, now| steps::list_open(view, &user, &page, now)))
    }

    fn list_ended(
        &self,
        time: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Request>>, Error>> {
        Box::pin(kept_by(self).read_now(move |view, now| steps::list_ended(view, time, limit, now)))
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(kept_by(self).read(move |view| steps::changes_after(view, after, limit)))
    }
}
