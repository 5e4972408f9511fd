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

use crate::version::Version;

/// Which part of a list is wanted.
///
/// ```
/// use countersign_core::table::Page;
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

/// A place in a list that is ordered by creation time, newest first, then id.
///
/// Shown and parsed as text, so that it can travel through a host's own interface.
///
/// ```
/// use countersign_core::table::Cursor;
///
/// let cursor = Cursor { time: "2026-03-02T09:00:00Z".parse()?, id: 7_u64 };
/// let text = cursor.to_string();
/// assert_eq!(text, "2026-03-02T09:00:00.000000000Z,7");
/// assert_eq!(text.parse::<Cursor<u64>>()?, cursor);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cursor<I> {
    /// When the last record of the page before was created.
    pub time: DateTime<Utc>,
    /// The id of that record.
    pub id: I,
}

impl<I: fmt::Display> fmt::Display for Cursor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{}",
            self.time.format("%Y-%m-%dT%H:%M:%S%.9fZ"),
            self.id
        )
    }
}

impl<I: FromStr> FromStr for Cursor<I> {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (time, id) = text.split_once(',')?;
            let time = time.parse::<Version>().ok()?.time();
            Some(Self {
                time,
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
/// use countersign_core::table::Listing;
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
