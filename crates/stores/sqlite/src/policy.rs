//! Policies in the file: [`PolicyStore`].
//!
//! A policy is kept as its canonical JSON and compiled anew by each call that reads it, on the thread
//! that reads; put a [`CachedLoader`](countersign_policy::CachedLoader) in front where decisions are
//! made.

use std::sync::Arc;

use countersign_core::documents::Kept;
use countersign_core::future::BoxFuture;
use countersign_policy::{LoadError, Loader, Policy};

use crate::store::file_store;

mod check;
pub(crate) mod rows;

/// What the store keeps: versions of policies.
pub(crate) type Versions = Kept<Policy>;

/// The names of the domain crate, as the macro has them.
mod domain {
    pub use countersign_core::time::Health;
    pub use countersign_policy::store::{Error, Limits};
    pub use countersign_policy::{Clock, EngineStore, OverEngine};

    pub(crate) use super::Versions;
}

file_store! {
    /// Keeps policies in a file, each with its last versions.
    ///
    /// What it promises is the contract of [`Store`](countersign_policy::Store); it is a [`Loader`]
    /// too.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use countersign_policy::{
    ///     Attribution, CachedLoader, Expected, Policy, Store, SystemClock, User,
    /// };
    /// use countersign_sqlite::{Database, Options, PolicyStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("countersign.db");
    /// let database = Database::open(&path, &Options::default())?;
    /// let store = Arc::new(PolicyStore::new(&database, Arc::new(SystemClock)));
    /// let policy: Policy = r#"{"version": "1", "rules": [
    ///     {"name": "readers", "effect": "allow", "conditions": {"profiles": ["readonly"]}}
    /// ]}"#.parse()?;
    /// let by = Attribution::by(User::new("alice")?).with_ticket("OPS-4711");
    /// let put = store.put("main", Expected::Absent, Arc::new(policy.clone()), &by).await?;
    ///
    /// let cached = CachedLoader::new(store.clone());
    /// assert_eq!(cached.load("main").await?.policy.digest(), put.stored().digest());
    /// let expected = Expected::Version(put.stored().version);
    /// let again = store.put("main", expected, Arc::new(policy), &Attribution::NOBODY).await?;
    /// assert!(again.is_unchanged());
    /// assert_eq!(store.versions("main").await?, [put.into_stored()]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Note the head of the ledger elsewhere, and have the file verified against it:
    ///
    /// ```
    /// # use countersign_sqlite::PolicyStore;
    /// # async fn example(store: &PolicyStore, noted: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = store.verify(Some(&noted.parse()?)).await?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// # Ok(())
    /// # }
    /// ```
    PolicyStore of Versions in domain
}

impl Loader for PolicyStore {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        self.store.load(name)
    }
}
