//! Requests in the file: [`RequestStore`].

use crate::store::file_store;

mod check;
pub(crate) mod rows;

file_store! {
    /// Keeps requests in a file.
    ///
    /// What it promises is the contract of [`Store`](countersign_request::Store). A version is on
    /// the disk when the call that made it returns, as the file's [`Options`](crate::Options) say.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use countersign_request::{self as request, Profile, Store, SystemClock, User};
    /// use countersign_sqlite::{Database, Options, RequestStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("countersign.db");
    /// let policy: request::ApprovalPolicy =
    ///     r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#.parse()?;
    /// let database = Database::open(&path, &Options::default())?;
    /// let store = Arc::new(RequestStore::new(&database, Arc::new(SystemClock)));
    /// let workflow = request::Workflow::new(store, Arc::new(policy));
    /// let (alice, prod) = (User::new("alice")?, Profile::new("prod")?);
    /// let draft = workflow.draft(&alice, &prod, Duration::from_secs(600), "look at the slow query")?;
    /// let id = workflow.submit(&draft).await?.request.id;
    /// drop((workflow, database));
    ///
    /// let database = Database::open(&path, &Options::default())?;
    /// let store = RequestStore::new(&database, Arc::new(SystemClock));
    /// assert_eq!(store.get(id).await?.requester, alice);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Note the head of the ledger elsewhere, and have the file verified against it:
    ///
    /// ```
    /// # use countersign_sqlite::RequestStore;
    /// # async fn example(store: &RequestStore, noted: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = store.verify(Some(&noted.parse()?)).await?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// # Ok(())
    /// # }
    /// ```
    RequestStore of Request in countersign_request
}
