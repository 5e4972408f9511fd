//! The swappable pointer, as arc-swap has it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// A pointer that is read without waiting and replaced as a whole.
///
/// Reading through [`SwapOption::load`] writes no memory that another thread reads, so it
/// costs the same on every core; [`SwapOption::load_full`] counts a reference.
///
/// ```
/// use std::sync::Arc;
/// use countersign_core::sync::SwapOption;
///
/// let slot = SwapOption::new(None);
/// slot.store(Some(Arc::new(7)));
/// assert_eq!(slot.load().as_deref(), Some(&7));
/// ```
pub struct SwapOption<T>(ArcSwapOption<T>);

impl<T> SwapOption<T> {
    /// A pointer to `value`, or to nothing.
    pub fn new(value: Option<Arc<T>>) -> Self {
        Self(ArcSwapOption::new(value))
    }

    /// Reads, borrowing what is there now for as long as the guard lives.
    pub fn load(&self) -> SwapGuard<T> {
        SwapGuard(self.0.load())
    }

    /// Reads and counts a reference.
    pub fn load_full(&self) -> Option<Arc<T>> {
        self.0.load_full()
    }

    /// Replaces what is there.
    pub fn store(&self, value: Option<Arc<T>>) {
        self.0.store(value);
    }
}

/// What a [`SwapOption`] held when it was loaded.
pub struct SwapGuard<T>(arc_swap::Guard<Option<Arc<T>>>);

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
