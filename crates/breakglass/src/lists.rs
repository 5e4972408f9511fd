//! The lists that have pages, as types: so a cursor of one of them is none of another, as a
//! type and as a text.
//!
//! ```compile_fail,E0308
//! use countersign_breakglass::{Cursor, Page, lists};
//!
//! fn next(cursor: Cursor<lists::All>) -> Page<lists::AwaitingReview> {
//!     Page::after(cursor, 10)
//! }
//! ```

use countersign_core::engine::List;

/// All emergencies that a filter takes: [`Store::list`](crate::Store::list).
///
/// ```
/// use countersign_breakglass::{Cursor, lists};
///
/// let cursor: Cursor<lists::All> = "all,5,0000000000000007".parse()?;
/// assert_eq!(cursor.place, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum All {}

impl List for All {
    const NAME: &'static str = "all";
}

/// Those that are over and not reviewed:
/// [`Store::list_awaiting_review`](crate::Store::list_awaiting_review).
///
/// ```
/// use countersign_breakglass::{Cursor, lists};
///
/// let cursor: Cursor<lists::AwaitingReview> = "awaiting_review,5,0000000000000007".parse()?;
/// assert_eq!(cursor.place, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AwaitingReview {}

impl List for AwaitingReview {
    const NAME: &'static str = "awaiting_review";
}
