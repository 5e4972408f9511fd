//! Pages of a list: how many, from where, and where the next one begins.
//!
//! A cursor names a place in a list by creation time and id, not by number, so a page begins where
//! the last one ended even if records were added or removed in between. A cursor of one list is none of
//! another, as a type and as a text.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::Rank;
use crate::version::Version;

/// Items of a page with a limit of 0.
pub const DEFAULT_LIMIT: usize = 100;
/// The most items that one page holds.
pub const MAX_LIMIT: usize = 1_000;

/// A list that has pages, as a type without values: what its cursors are told apart by.
///
/// ```
/// use countersign_core::engine::{Cursor, List};
///
/// #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
/// enum Drafts {}
///
/// impl List for Drafts {
///     const NAME: &'static str = "drafts";
/// }
///
/// assert_eq!(Cursor::<u64, Drafts>::new(5, 7).to_string(), "drafts,5,7");
/// ```
pub trait List: Copy + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// What the texts of its cursors begin with: a name without a comma.
    const NAME: &'static str;
}

/// Which part of a list is wanted.
///
/// ```
/// use countersign_core::engine::Page;
/// # use countersign_core::engine::List;
/// # #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
/// # enum Drafts {}
/// # impl List for Drafts {
/// #     const NAME: &'static str = "drafts";
/// # }
///
/// assert_eq!(Page::<u64, Drafts>::first(0).effective_limit(), 100);
/// assert_eq!(Page::<u64, Drafts>::first(1_001).effective_limit(), 1_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<I, L> {
    /// The most items to give: 0 means 100, more than 1,000 means 1,000.
    pub limit: usize,
    /// Where the page before this one ended; the start of the list if none.
    pub after: Option<Cursor<I, L>>,
}

impl<I, L: List> Page<I, L> {
    /// The first page, of at most `limit` items.
    pub const fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }

    /// The page, of at most `limit` items, that begins after `cursor`.
    pub const fn after(cursor: Cursor<I, L>, limit: usize) -> Self {
        Self {
            limit,
            after: Some(cursor),
        }
    }

    /// The most items that the page will hold: from 1 to 1,000.
    pub fn effective_limit(&self) -> usize {
        effective_limit(self.limit)
    }
}

/// How many items a limit means: 0 means 100, more than 1,000 means 1,000.
///
/// ```
/// use countersign_core::engine::effective_limit;
///
/// assert_eq!([0, 7, 1_001].map(effective_limit), [100, 7, 1_000]);
/// ```
pub fn effective_limit(limit: usize) -> usize {
    match limit {
        0 => DEFAULT_LIMIT,
        limit => limit.min(MAX_LIMIT),
    }
}

impl<I, L: List> Default for Page<I, L> {
    fn default() -> Self {
        Self::first(0)
    }
}

/// A place in a list: what the list is ordered by, a version or a time, then the id.
///
/// Shown, parsed and serialized as text, so that it can travel through a host's own interface. The
/// text begins with the name of the list, and is no cursor of another.
///
/// ```
/// use countersign_core::engine::Cursor;
/// # use countersign_core::engine::List;
/// # #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
/// # enum Drafts {}
/// # impl List for Drafts {
/// #     const NAME: &'static str = "drafts";
/// # }
///
/// let cursor = Cursor::<u64, Drafts>::new(1_772_442_000_000_000_000, 7);
/// let text = cursor.to_string();
/// assert_eq!(text, "drafts,1772442000000000000,7");
/// assert_eq!(text.parse::<Cursor<u64, Drafts>>()?, cursor);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor<I, L> {
    /// Where the last record of the page before stands: nanoseconds of a version or of a time, as
    /// the list says.
    pub place: i64,
    /// The id of that record.
    pub id: I,
    list: PhantomData<L>,
}

impl<I, L: List> Cursor<I, L> {
    /// The place of the nanoseconds of a version or time, as the list is ordered, and an id.
    pub const fn new(place: i64, id: I) -> Self {
        let list = PhantomData;
        Self { place, id, list }
    }

    /// A place in a list that is ordered by versions.
    pub const fn at_version(version: Version, id: I) -> Self {
        Self::new(version.as_nanos(), id)
    }

    /// A place in a list that is ordered by times; those outside 1678 to 2261 are at the nearer
    /// end.
    pub fn at_time(time: DateTime<Utc>, id: I) -> Self {
        Self::new(Rank::latest_first(time).0, id)
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

impl<I: fmt::Display, L: List> fmt::Display for Cursor<I, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", L::NAME, self.place, self.id)
    }
}

impl<I: FromStr, L: List> FromStr for Cursor<I, L> {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let place = text.strip_prefix(L::NAME)?.strip_prefix(',')?;
            let (place, id) = place.split_once(',')?;
            let number: i64 = place.parse().ok()?;
            // In one spelling only.
            (number.to_string() == place).then_some(())?;
            Some(Self::new(number, id.parse().ok()?))
        };
        parse().ok_or_else(|| ParseCursorError {
            list: L::NAME,
            text: text
                .chars()
                .take(128)
                .flat_map(char::escape_debug)
                .collect(),
        })
    }
}

impl<I: fmt::Display, L: List> Serialize for Cursor<I, L> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, I: FromStr, L: List> Deserialize<'de> for Cursor<I, L> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A text that is not a cursor of this list. Pass the cursor that came with the page before,
/// unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a cursor of the list `{list}`: pass the one that came with the page before, \
     unchanged"
)]
pub struct ParseCursorError {
    /// The list that a cursor was wanted of.
    pub list: &'static str,
    /// The text that was given (at most its first 128 characters, escaped).
    pub text: String,
}

/// One page of a list.
///
/// ```
/// use countersign_core::engine::Listing;
/// # use countersign_core::engine::List;
/// # #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
/// # enum Drafts {}
/// # impl List for Drafts {
/// #     const NAME: &'static str = "drafts";
/// # }
///
/// let empty = Listing::<String, u64, Drafts> { items: Vec::new(), next: None };
/// assert!(empty.next.is_none(), "there is no further page");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<R, I, L> {
    /// The records, in the list's order.
    pub items: Vec<Arc<R>>,
    /// Where the next page begins; none if this is the last.
    pub next: Option<Cursor<I, L>>,
}

impl<R, I, L: List> Listing<R, I, L> {
    /// The page that these records make, of which one more than the page holds was asked for.
    /// `place` gives a record's place in the list.
    pub fn cut(
        mut items: Vec<Arc<R>>,
        page: &Page<I, L>,
        place: impl Fn(&R) -> Cursor<I, L>,
    ) -> Self {
        let limit = page.effective_limit();
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|last| place(last));
        Self { items, next }
    }
}
