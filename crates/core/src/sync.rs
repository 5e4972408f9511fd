//! The primitives that concurrent code is written with: locks, atomics, and a swappable pointer.
//!
//! Normally they are the standard library's and arc-swap's. Under `--cfg countersign_loom` they are
//! loom's, so that every interleaving of the code above them can be explored; under
//! `--cfg countersign_shuttle` they are shuttle's, which draws some interleavings of many threads.
//! The configurations are private to this project: the plain `loom` one would change tokio as well.
//! What differs between the three is this module and nothing else.
//!
//! - Locks recover from poisoning. Code that uses them must leave what they guard consistent at
//!   every point where it can panic; [`crate::table::Table`] and the policy cache stage their
//!   changes for that reason.
//! - [`SwapOption`] is trusted, not proved, to give the guarantees of `arc_swap::ArcSwapOption`:
//!   a load sees the latest store that happens before it, or a later one, and everything that was
//!   written before that store.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

#[cfg(any(test, countersign_loom, feature = "test-util"))]
pub mod history;
#[cfg(countersign_loom)]
pub mod model;
#[cfg(all(feature = "test-util", not(countersign_loom)))]
pub mod suite;

#[cfg(any(countersign_loom, countersign_shuttle))]
mod modelled_swap;
#[cfg(countersign_shuttle)]
pub mod schedule;
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod swap;

#[cfg(countersign_loom)]
use loom::sync as imp;
#[cfg(countersign_shuttle)]
use shuttle::sync as imp;
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
use std::sync as imp;

#[cfg(any(countersign_loom, countersign_shuttle))]
pub use modelled_swap::{SwapGuard, SwapOption};
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
pub use swap::{SwapGuard, SwapOption};

/// Atomic integers, with the orderings of the standard library.
pub mod atomic {
    pub use super::imp::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub use std::sync::atomic::Ordering;
}

/// A mutual exclusion lock that recovers from poisoning.
///
/// ```
/// use countersign_core::sync::Mutex;
///
/// let count = Mutex::new(1);
/// *count.lock() += 1;
/// assert_eq!(*count.lock(), 2);
/// ```
#[derive(Default)]
pub struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    /// A lock that guards `value`.
    pub fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    /// Waits for the lock and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex(..)")
    }
}

/// What a [`Mutex`] guards, for as long as it is locked.
pub struct MutexGuard<'a, T>(imp::MutexGuard<'a, T>);

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A lock for many readers or one writer that recovers from poisoning.
///
/// ```
/// use countersign_core::sync::RwLock;
///
/// let names = RwLock::new(vec!["alice"]);
/// names.write().push("bob");
/// assert_eq!(names.read().len(), 2);
/// ```
#[derive(Default)]
pub struct RwLock<T>(imp::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock that guards `value`.
    pub fn new(value: T) -> Self {
        Self(imp::RwLock::new(value))
    }

    /// Waits until there is no writer, and reads.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there is nobody else, and writes.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard(self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RwLock(..)")
    }
}

/// What an [`RwLock`] guards, shared with other readers.
pub struct RwLockReadGuard<'a, T>(imp::RwLockReadGuard<'a, T>);

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What an [`RwLock`] guards, for its one writer.
pub struct RwLockWriteGuard<'a, T>(imp::RwLockWriteGuard<'a, T>);

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn locks_recover_from_a_panic_while_they_were_held() {
        let lock = Arc::new(Mutex::new(1));
        let held = Arc::clone(&lock);
        let _ = std::thread::spawn(move || {
            let _guard = held.lock();
            panic!("poisons the lock");
        })
        .join();
        assert_eq!(*lock.lock(), 1);
    }

    #[test]
    fn a_guard_keeps_what_it_loaded() {
        let slot = SwapOption::new(Some(Arc::new(1)));
        let before = slot.load();
        slot.store(Some(Arc::new(2)));
        assert_eq!(before.as_deref(), Some(&1));
        assert_eq!(slot.load_full().as_deref(), Some(&2));
        slot.store(None);
        assert!(slot.load().is_none());
    }
}
