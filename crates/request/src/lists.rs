//! The lists that have pages, as types: so a cursor of one of them is none of another, as a
//! type and as a text.
//!
//! ```compile_fail,E0308
//! use countersign_request::{Cursor, Page, lists};
//!
//! fn next(cursor: Cursor<lists::Pending>) -> Page<lists::Open> {
//!     Page::after(cursor, 10)
//! }
//! ```

use countersign_core::engine::List;

/// All requests that a filter takes: [`Store::list`](crate::Store::list).
///
/// ```
/// use countersign_request::{Cursor, lists};
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

/// Those that wait for a decision: [`Store::list_pending`](crate::Store::list_pending), and
/// [`Workflow::inbox`](crate::Workflow::inbox).
///
/// ```
/// use countersign_request::{Cursor, lists};
///
/// let cursor: Cursor<lists::Pending> = "pending,5,0000000000000007".parse()?;
/// assert_eq!(cursor.place, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pending {}

impl List for Pending {
    const NAME: &'static str = "pending";
}

/// What a user has open: [`Store::list_open`](crate::Store::list_open).
///
/// ```
/// use countersign_request::{Cursor, lists};
///
/// let cursor: Cursor<lists::Open> = "open,5,0000000000000007".parse()?;
/// assert_eq!(cursor.place, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Open {}

impl List for Open {
    const NAME: &'static str = "open";
}
