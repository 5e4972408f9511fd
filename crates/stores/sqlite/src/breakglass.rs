//! Emergencies in the file: [`EmergencyStore`].

use crate::store::file_store;

mod check;
pub(crate) mod rows;

file_store! {
    /// Keeps emergencies in a file.
    ///
    /// What it promises is the contract of [`Store`](countersign_breakglass::Store). A version is
    /// on the disk when the call that made it returns, as the file's [`Options`](crate::Options)
    /// say.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use countersign_breakglass::{self as breakglass, Clock, Profile, Store, SystemClock, User};
    /// use countersign_sqlite::{Database, EmergencyStore, Options};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("countersign.db");
    /// let who: breakglass::InvocationPolicy = r#"{"version": "1", "rules": [
    ///     {"name": "on-call", "profiles": ["prod"], "users": ["alice"]}]}"#.parse()?;
    /// let often = breakglass::RateLimitPolicy::unlimited();
    /// let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    /// let database = Database::open(&path, &Options::default())?;
    /// let store = Arc::new(EmergencyStore::new(&database, clock.clone()));
    /// let workflow = breakglass::Workflow::new(store.clone(), Arc::new(who), Arc::new(often));
    /// let (alice, prod, hour) = (User::new("alice")?, Profile::new("prod")?, Duration::from_secs(3600));
    /// let draft = workflow.draft(&alice, &prod, hour, breakglass::ReasonCode::Incident, "orders cannot be written")?;
    /// let id = workflow.invoke(&draft).await?.id;
    /// assert_eq!(store.get(id).await?.invoker, alice);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Note the head of the ledger elsewhere, and have the file verified against it:
    ///
    /// ```
    /// # use countersign_sqlite::EmergencyStore;
    /// # async fn example(store: &EmergencyStore, noted: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// let report = store.verify(Some(&noted.parse()?)).await?;
    /// assert!(report.is_clean(), "{:?}", report.findings);
    /// # Ok(())
    /// # }
    /// ```
    EmergencyStore of Emergency in countersign_breakglass
}
