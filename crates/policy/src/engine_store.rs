//! The store of policies, over any engine: [`EngineStore`].
//!
//! Each call is one step or one read of [`countersign_core::documents`], once the name is checked.
//! What an engine must do is said in [`countersign_core::engine`].

use std::sync::Arc;

use countersign_core::documents::{Kept, steps};
use countersign_core::engine::{Engine, Reads};
use countersign_core::future::BoxFuture;
use countersign_core::version::Version;

use crate::loader::{LoadError, Loader};
use crate::policy::Policy;
use crate::store::{
    Attribution, Changed, Error, Expected, Limits, NameListing, NamePage, Put, Store, Stored,
    check_policy_name,
};

/// Keeps policies in an engine. What it promises is the contract of [`Store`].
///
/// ```
/// use countersign_core::table::Table;
/// use countersign_policy::store::{Limits, NamePage};
/// use countersign_policy::{EngineStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = EngineStore::over(Table::default()).with_limits(Limits::default());
/// assert!(store.list(&NamePage::default()).await?.items.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EngineStore<E> {
    pub(crate) engine: E,
    pub(crate) limits: Limits,
}

impl<E> EngineStore<E> {
    /// The policies of this engine, with the default [`Limits`].
    pub fn over(engine: E) -> Self {
        Self {
            engine,
            limits: Limits::default(),
        }
    }

    /// The same store with other limits. They hold for what is put from now on.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// What is bounded.
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
/// [`Store`] by being one of these; as a [`Loader`] it calls the engine store's.
///
/// ```
/// use std::sync::Arc;
/// use countersign_core::documents::Kept;
/// use countersign_core::table::Table;
/// use countersign_policy::{
///     BoxFuture, EngineStore, InMemory, LoadError, Loader, OverEngine, Policy, Store,
/// };
///
/// struct Named(&'static str, InMemory);
///
/// impl Loader for Named {
///     fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
///         self.1.load(name)
///     }
/// }
///
/// impl OverEngine for Named {
///     type Engine = Table<Kept<Policy>>;
///     fn engine_store(&self) -> &EngineStore<Self::Engine> { &self.1 }
/// }
///
/// let store: Arc<dyn Store> = Arc::new(Named("a", InMemory::default()));
/// ```
pub trait OverEngine: Loader {
    /// What keeps its policies.
    type Engine: Engine<Kept<Policy>>;

    /// The store that it is.
    fn engine_store(&self) -> &EngineStore<Self::Engine>;
}

impl<E: Engine<Kept<Policy>>> OverEngine for EngineStore<E>
where
    Error: From<E::Error>,
{
    type Engine = E;

    fn engine_store(&self) -> &Self {
        self
    }
}

/// What keeps the policies of such a store.
fn kept_by<S: OverEngine>(store: &S) -> &S::Engine {
    &store.engine_store().engine
}

/// The name, if it is one.
pub(crate) fn checked(name: &str) -> Result<Arc<str>, Error> {
    check_policy_name(name)?;
    Ok(name.into())
}

/// A page of the list of names.
pub(crate) fn list<V>(view: &V, page: &NamePage) -> Result<NameListing, Error>
where
    V: Reads<Kept<Policy>>,
    Error: From<V::Error>,
{
    let page = steps::list(view, page.after.as_ref(), page.effective_limit());
    let page: Result<_, Error> = page;
    page.map(|(items, next)| NameListing { items, next })
}

impl<E: Engine<Kept<Policy>>> Loader for EngineStore<E>
where
    Error: From<E::Error>,
{
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            match self.get(name).await {
                Ok(stored) => Ok(Arc::clone(&stored.content)),
                Err(error) => Err(error.into_load_error(name)),
            }
        })
    }
}

impl<S> Store for S
where
    S: OverEngine,
    Error: From<<S::Engine as Engine<Kept<Policy>>>::Error>,
{
    fn put<'a>(
        &'a self,
        name: &'a str,
        expected: Expected,
        policy: Arc<Policy>,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<Put, Error>> {
        Box::pin(async move {
            let (name, attribution) = (checked(name)?, attribution.clone());
            let most = self.engine_store().limits.max_versions;
            kept_by(self)
                .write(move |step| steps::put(step, &name, expected, &policy, &attribution, most))
                .await
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move {
            let name = checked(name)?;
            kept_by(self)
                .read(move |view| steps::get(view, &name))
                .await
        })
    }

    fn get_version<'a>(
        &'a self,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move {
            let name = checked(name)?;
            kept_by(self)
                .read(move |view| steps::get_version(view, &name, version))
                .await
        })
    }

    fn versions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Arc<Stored>>, Error>> {
        Box::pin(async move {
            let name = checked(name)?;
            kept_by(self)
                .read(move |view| steps::list_versions(view, &name))
                .await
        })
    }

    fn list<'a>(&'a self, page: &'a NamePage) -> BoxFuture<'a, Result<NameListing, Error>> {
        Box::pin(async move {
            page.after.as_deref().map(check_policy_name).transpose()?;
            let page = page.clone();
            kept_by(self).read(move |view| list(view, &page)).await
        })
    }

    fn delete<'a>(
        &'a self,
        name: &'a str,
        expected: Version,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let (name, attribution) = (checked(name)?, attribution.clone());
            kept_by(self)
                .write(move |step| steps::remove(step, &name, expected, &attribution).map(drop))
                .await
        })
    }

    fn changes_after<'a>(
        &'a self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Changed>, Error>> {
        let limit = NamePage { limit, after: None }.effective_limit();
        Box::pin(kept_by(self).read(move |view| steps::changes_after(view, after, limit)))
    }
}
