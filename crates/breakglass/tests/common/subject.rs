//! How suites and histories get a store.

use std::sync::Arc;

use countersign_breakglass::{BoxFuture, Clock, Store};

/// What opens a store under test.
pub trait Subject: Sized + Send + Sync + 'static {
    /// The store.
    type Store: Store + 'static;

    /// An empty store whose time is `clock`, and what has to live as long as it does.
    fn open(clock: Arc<dyn Clock>) -> BoxFuture<'static, (Self::Store, Self)>;

    /// Looks whether what the store keeps agrees with itself, if it can tell.
    fn audit(&self, store: &Self::Store) -> Result<(), String> {
        let _ = store;
        Ok(())
    }
}
