//! Pages of a list: how many, from where, and where the next one begins.
//!
//! A cursor names a place in a list by creation time and id, not by number, so a page begins where
//! the last one ended even if records were added or removed in between.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Rank;
use crate::version::Version;

/// Which part of a list is wanted.
///
/// ```
/// use countersign_core::engine::Page;
///
/// assert_eq!(Page::<u64>::first(0).effective_limit(), 100);
/// assert_eq!(Page::<u64>::first(1_001).effective_limit(), 1_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<I> {
    /// The most items to give: 0 means 100, more than 1,000 means 1,000.
    pub limit: usize,
    /// Where the page before this one ended; the start of the list if none.
    pub after: Option<Cursor<I>>,
}

impl<I> Page<I> {
    /// Items for a limit of 0.
    pub const DEFAULT_LIMIT: usize = 100;
    /// The most items that one page holds.
    pub const MAX_LIMIT: usize = 1_000;

    /// The first page, of at most `limit` items.
    pub const fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }

    /// The page, of at most `limit` items, that begins after `cursor`.
    pub const fn after(cursor: Cursor<I>, limit: usize) -> Self {
        Self {
            limit,
            after: Some(cursor),
        }
    }

    /// The most items that the page will hold: from 1 to 1,000.
    pub fn effective_limit(&self) -> usize {
        match self.limit {
            0 => Self::DEFAULT_LIMIT,
            limit => limit.min(Self::MAX_LIMIT),
        }
    }
}

impl<I> Default for Page<I> {
    fn default() -> Self {
        Self::first(0)
    }
}

/// A place in a list: what the list is ordered by, a version or a time, then the id.
///
/// Shown and parsed as text, so that it can travel through a host's own interface.
///
/// ```
/// use countersign_core::engine::Cursor;
///
/// let cursor = Cursor { place: 1_772_442_000_000_000_000, id: 7_u64 };
/// let text = cursor.to_string();
/// assert_eq!(text, "1772442000000000000,7");
/// assert_eq!(text.parse::<Cursor<u64>>()?, cursor);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor<I> {
    /// Where the last record of the page before stands: nanoseconds of a version or of a time, as
    /// the list says. Only for the list that gave it.
    pub place: i64,
    /// The id of that record.
    pub id: I,
}

impl<I> Cursor<I> {
    /// A place in a list that is ordered by versions.
    pub const fn at_version(version: Version, id: I) -> Self {
        Self {
            place: version.as_nanos(),
            id,
        }
    }

    /// A place in a list that is ordered by times; those outside 1678 to 2261 are at the nearer
    /// end.
    pub fn at_time(time: DateTime<Utc>, id: I) -> Self {
        Self {
            place: Rank::latest_first(time).0,
            id,
        }
    }

    /// The rank of the place in a list that begins with the latest.
    pub const fn descending(&self) -> Rank {
        Rank(self.place)
    }

    /// The rank of the place in a list that begins with the earliest.
    pub const fn ascending(&self) -> Rank {
        Rank(!self.place)
    }
}

impl<I: fmt::Display> fmt::Display for Cursor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.place, self.id)
    }
}

impl<I: FromStr> FromStr for Cursor<I> {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (place, id) = text.split_once(',')?;
            let number: i64 = place.parse().ok()?;
            // In one spelling only.
            (number.to_string() == place).then_some(())?;
            Some(Self {
                place: number,
                id: id.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseCursorError {
            text: text
                .chars()
                .take(128)
                .flat_map(char::escape_debug)
                .collect(),
        })
    }
}

/// A text that is not a cursor. Pass the cursor that came with the page before, unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a cursor: pass the one that came with the page before, unchanged")]
pub struct ParseCursorError {
    /// The text that was given (at most its first 128 characters, escaped).
    pub text: String,
}

/// One page of a list.
///
/// ```
/// use countersign_core::engine::Listing;
///
/// let empty = Listing::<String, u64> { items: Vec::new(), next: None };
/// assert!(empty.next.is_none(), "there is no further page");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<R, I> {
    /// The records, in the list's order.
    pub items: Vec<Arc<R>>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<Cursor<I>>,
}

impl<R, I> Listing<R, I> {
    /// The page that these records make, of which one more than the page holds was asked for.
    /// `place` gives a record's place in the list.
    pub fn cut(mut items: Vec<Arc<R>>, page: &Page<I>, place: impl Fn(&R) -> Cursor<I>) -> Self {
        let limit = page.effective_limit();
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|last| place(last));
        Self { items, next }
    }
}
