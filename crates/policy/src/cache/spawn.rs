//! Where the task of a load runs: on its caller's runtime, and in drawn schedules as a task of theirs.

use std::future::Future;

#[cfg(not(countersign_shuttle))]
use tokio::runtime::Handle;

/// What spawns tasks for the caller.
#[cfg(not(countersign_shuttle))]
pub(super) struct Spawner(Handle);

#[cfg(not(countersign_shuttle))]
impl Spawner {
    /// The caller's, if it has one.
    pub(super) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    /// Runs the future in a task of its own, also if nobody waits for it.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.0.spawn(task));
    }
}

/// As above, in a schedule.
#[cfg(countersign_shuttle)]
pub(super) struct Spawner;

#[cfg(countersign_shuttle)]
impl Spawner {
    pub(super) fn current() -> Option<Self> {
        Some(Self)
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        countersign_core::sync::schedule::spawn(task);
    }
}
