//! Where records stand among those with the same key, and which of them are wanted.

use chrono::{DateTime, Utc};

use super::Cursor;
use crate::version::Version;

/// Where a record stands among those with the same key: the highest rank comes first.
///
/// ```
/// use countersign_core::engine::Rank;
///
/// let early = "2026-03-02T09:00:00Z".parse()?;
/// let late = "2026-03-02T10:00:00Z".parse()?;
/// assert!(Rank::latest_first(late) > Rank::latest_first(early));
/// assert!(Rank::earliest_first(early) > Rank::earliest_first(late));
/// // As an engine keeps them: as nanoseconds, inverted where the earliest comes first.
/// let nanos = Rank::latest_first(late).as_i64();
/// assert_eq!(Rank::earliest_first(late), Rank::from_i64(!nanos));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(pub(crate) i64);

impl Rank {
    /// No record ranks above it.
    pub(crate) const HIGHEST: Self = Self(i64::MAX);

    /// Later times come first. Times outside 1678 to 2261 rank as the nearer end.
    pub fn latest_first(time: DateTime<Utc>) -> Self {
        let limit = if time.timestamp() < 0 {
            i64::MIN
        } else {
            i64::MAX
        };
        Self(time.timestamp_nanos_opt().unwrap_or(limit))
    }

    /// Earlier times come first. Times outside 1678 to 2261 rank as the nearer end.
    pub fn earliest_first(time: DateTime<Utc>) -> Self {
        Self(!Self::latest_first(time).0)
    }

    /// What was written later comes first.
    pub const fn newest_first(version: Version) -> Self {
        Self(version.as_nanos())
    }

    /// What was written earlier comes first.
    pub const fn oldest_first(version: Version) -> Self {
        Self(!version.as_nanos())
    }

    /// The number that ranks are ordered by: the nanoseconds of the time or version, with every bit
    /// inverted where the earliest comes first.
    pub const fn as_i64(self) -> i64 {
        self.0
    }

    /// The rank of a number that was kept.
    pub const fn from_i64(number: i64) -> Self {
        Self(number)
    }
}

/// Which of the records with a key are wanted: highest rank first, then smallest id.
///
/// ```
/// use countersign_core::engine::{Range, Rank};
///
/// let nine = Rank::latest_first("2026-03-02T09:00:00Z".parse()?);
/// let ten = Rank::latest_first("2026-03-02T10:00:00Z".parse()?);
/// // From ten o'clock back to nine, without nine itself.
/// let hour = Range::<u64>::starting_at(ten).above(nine);
/// assert_ne!(hour, Range::all());
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<I> {
    /// Where it begins.
    pub start: Start<I>,
    /// The rank that all of them are above; none if they go on to the last.
    pub above: Option<Rank>,
}

/// Where a [`Range`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<I> {
    /// With the first record.
    First,
    /// With what has this rank or a lower one.
    At(Rank),
    /// After this place, whether or not there is a record at it.
    After(Rank, I),
}

impl<I> Range<I> {
    /// All of them.
    pub const fn all() -> Self {
        Self {
            start: Start::First,
            above: None,
        }
    }

    /// Those with this rank or a lower one.
    pub const fn starting_at(rank: Rank) -> Self {
        Self {
            start: Start::At(rank),
            above: None,
        }
    }

    /// Those that come after a place.
    pub const fn after(rank: Rank, id: I) -> Self {
        Self {
            start: Start::After(rank, id),
            above: None,
        }
    }

    /// Of these, those that rank above `floor`.
    #[must_use]
    pub fn above(self, floor: Rank) -> Self {
        let above = Some(floor);
        Self { above, ..self }
    }

    /// Those that come after a cursor, whose place `rank` ranks as the key's entries are; all, if
    /// there is none.
    pub fn after_cursor<L>(after: Option<Cursor<I, L>>, rank: fn(&Cursor<I, L>) -> Rank) -> Self {
        match after {
            None => Self::all(),
            Some(cursor) => Self::after(rank(&cursor), cursor.id),
        }
    }
}

/// What to do with a record that a scan came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// It is one of those that are wanted.
    Take,
    /// It is not; another may be.
    Skip,
    /// Neither it nor any after it.
    Stop,
}

impl Pick {
    /// Takes it if this holds, or goes on.
    pub const fn if_so(holds: bool) -> Self {
        if holds { Self::Take } else { Self::Skip }
    }
}
