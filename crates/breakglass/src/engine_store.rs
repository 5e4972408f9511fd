//! The store of emergencies, over any engine: [`EngineStore`].
//!
//! Each call is one step or one read of `steps.rs`. What an engine must do is said in
//! [`countersign_core::engine`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::engine::Engine;
use countersign_core::future::BoxFuture;
use countersign_core::grant::Grant;
use countersign_core::names::{Profile, User};
use countersign_core::time::Now;
use countersign_core::version::Version;

use crate::admission::Admission;
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::limits::Limits;
use crate::record::Emergency;
use crate::retention::Retention;
use crate::steps;
use crate::store::{Changed, Filter, Store};
use crate::vocabulary::EmergencyId;
use crate::{Listing, Page, lists};

/// Keeps emergencies in an engine. What it promises is the contract of [`Store`].
///
/// ```
/// use countersign_breakglass::{EngineStore, Filter, Limits, Page, Status, Store};
/// use countersign_core::table::Table;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = EngineStore::over(Table::default()).with_limits(Limits::default());
/// let active = store.list(&Filter::Status(Status::Active), Page::default()).await?;
/// assert!(active.items.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EngineStore<E> {
    pub(crate) engine: E,
    pub(crate) limits: Arc<Limits>,
}

impl<E> EngineStore<E> {
    /// The emergencies of this engine, with the default [`Limits`].
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
/// use countersign_breakglass::{EngineStore, InMemory, Emergency, OverEngine, Store};
///
/// struct Named(&'static str, InMemory);
///
/// impl OverEngine for Named {
///     type Engine = Table<Emergency>;
///     fn engine_store(&self) -> &EngineStore<Self::Engine> { &self.1 }
/// }
///
/// let store: Arc<dyn Store> = Arc::new(Named("a", InMemory::default()));
/// ```
pub trait OverEngine: Send + Sync {
    /// What keeps its emergencies.
    type Engine: Engine<Emergency>;

    /// The store that it is.
    fn engine_store(&self) -> &EngineStore<Self::Engine>;
}

impl<E: Engine<Emergency>> OverEngine for EngineStore<E> {
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
    Error: From<<S::Engine as Engine<Emergency>>::Error>,
{
    fn create<'a>(
        &'a self,
        draft: &'a Draft,
        admission: &'a Admission,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        let (draft, admission) = (draft.clone(), admission.clone());
        let limits = Arc::clone(&self.engine_store().limits);
        Box::pin(kept_by(self).write(move |step| steps::create(step, &draft, &admission, &limits)))
    }

    fn get(&self, id: EmergencyId) -> BoxFuture<'_, Result<Arc<Emergency>, Error>> {
        Box::pin(kept_by(self).read(move |view| steps::get(view, id)))
    }

    fn update<'a>(
        &'a self,
        id: EmergencyId,
        expected: Version,
        change: &'a Change,
    ) -> BoxFuture<'a, Result<Arc<Emergency>, Error>> {
        let change = change.clone();
        Box::pin(kept_by(self).write(move |step| steps::update(step, id, expected, &change)))
    }

    fn delete<'a>(
        &'a self,
        id: EmergencyId,
        retention: &'a Retention,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        let retention = *retention;
        Box::pin(kept_by(self).write(move |step| steps::delete(step, id, &retention)))
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
    ) -> BoxFuture<'a, Result<Option<Grant>, Error>> {
        let (user, profile) = (user.clone(), profile.clone());
        Box::pin(
            kept_by(self).read_now(move |view, now| steps::find_grant(view, &user, &profile, now)),
        )
    }

    fn active_at<'a>(
        &'a self,
        user: &'a User,
        profile: &'a Profile,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Option<Arc<Emergency>>, Error>> {
        let (user, profile, now) = (user.clone(), profile.clone(), Now::at_given(at));
        Box::pin(kept_by(self).read(move |view| steps::active_of(view, &user, &profile, &now)))
    }

    fn list_expirable(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        Box::pin(kept_by(self).read_now(move |view, now| steps::list_expirable(view, limit, now)))
    }

    fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> BoxFuture<'_, Result<Listing<lists::AwaitingReview>, Error>> {
        Box::pin(
            kept_by(self).read_now(move |view, now| steps::list_awaiting_review(view, &page, now)),
        )
    }

    fn list_ended(
        &self,
        before: DateTime<Utc>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Emergency>>, Error>> {
        Box::pin(
            kept_by(self).read_now(move |view, now| steps::list_ended(view, before, limit, now)),
        )
    }

    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Changed>, Error>> {
        Box::pin(kept_by(self).read(move |view| steps::changes_after(view, after, limit)))
    }
}
