//! How suites and histories get a store.

use std::sync::Arc;

use countersign_request::{BoxFuture, Clock, Store};

/// What opens a store under test.
pub trait Subject: Sized + Send + Sync + 'static {
    /// The store.
    type Store: Store + 'static;

    /// Whether a reader can see the store after a step has looked at the clock and before the step is
    /// done, as where reads are of snapshots. Then no order of calls and moves of the clock need
    /// explain what was seen, and the clock moves only while no call is made.
    const READS_SNAPSHOTS: bool = false;

    /// How many tasks make calls in histories that are checked as a whole. The longer calls take, the
    /// more of them overlap, and the more orders there are to look through.
    const TASKS_OF_A_WHOLE: u64 = 10;

    /// An empty store whose time is `clock`, and what has to live as long as it does.
    fn open(clock: Arc<dyn Clock>) -> BoxFuture<'static, (Self::Store, Self)>;

    /// Looks whether what the store keeps agrees with itself, if it can tell.
    fn audit(&self, store: &Self::Store) -> Result<(), String> {
        let _ = store;
        Ok(())
    }
}
