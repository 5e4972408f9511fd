//! The swappable pointer, as loom and shuttle see it.
//!
//! Only under `--cfg countersign_loom` or `--cfg countersign_shuttle`. What was ever
//! stored is kept as long as the pointer: executions are short.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::atomic::{AtomicUsize, Ordering};

/// The model of the swappable pointer: every value ever stored, and a modelled index of the
/// latest. The list's own lock is invisible to loom and shuttle, so it adds no order that arc-swap
/// would not give; a load is a read-modify-write, because loom misses outcomes of plain loads.
pub struct SwapOption<T> {
    values: Mutex<Vec<Option<Arc<T>>>>,
    latest: AtomicUsize,
}

impl<T> SwapOption<T> {
    /// A pointer to `value`, or to nothing.
    pub fn new(value: Option<Arc<T>>) -> Self {
        Self {
            values: Mutex::new(vec![value]),
            latest: AtomicUsize::new(0),
        }
    }

    fn values(&self) -> MutexGuard<'_, Vec<Option<Arc<T>>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is there now.
    pub fn load(&self) -> SwapGuard<T> {
        SwapGuard(self.load_full())
    }

    /// Reads and counts a reference.
    pub fn load_full(&self) -> Option<Arc<T>> {
        let latest = self.latest.fetch_add(0, Ordering::AcqRel);
        self.values().get(latest).cloned().flatten()
    }

    /// Replaces what is there.
    pub fn store(&self, value: Option<Arc<T>>) {
        let index = {
            let mut values = self.values();
            values.push(value);
            values.len() - 1
        };
        self.latest.swap(index, Ordering::AcqRel);
    }
}

/// What a [`SwapOption`] held when it was loaded.
pub struct SwapGuard<T>(Option<Arc<T>>);

impl<T> Deref for SwapGuard<T> {
    type Target = Option<Arc<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> fmt::Debug for SwapOption<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SwapOption(..)")
    }
}

impl<T> fmt::Debug for SwapGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SwapGuard(..)")
    }
}
