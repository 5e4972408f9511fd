//! A table of versioned records with ordered secondary indexes, under one lock.
//!
//! What always holds:
//!
//! - A step ([`Table::write`]) changes every record it touches and all their index entries at
//!   once, or, if it fails or panics, nothing. No reader sees a record without its index entries
//!   or an index entry without its record.
//! - Versions come from the table ([`Step::stamp`]), grow strictly over the whole table and are
//!   never issued again, whatever the clock does and whatever is deleted.
//! - A step and a snapshot have one time each ([`Step::now`], [`Table::read_now`]), judged against
//!   what the table remembers at that moment ([`crate::time`]).
//! - Every change that a record says it went through is in the table's log, in the order in which
//!   the steps were made, until the record is removed.
//! - [`Step::current`] is the optimistic lock: it gives the record only to a caller who has read
//!   its present version.
//!
//! Rules are not here: a domain crate calls its own from inside a step. Nothing here waits for
//! anything but the lock, and no lock is held across an await.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::ops::{Bound, Deref};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;

use crate::clock::Clock;
use crate::sync::RwLock;
use crate::time::{CLOCK_TOLERANCE, ClockError, Now, Stamp, Timeline, Writer};
use crate::version::{Conflict, Version};

mod page;

pub use page::{Cursor, Listing, Page, ParseCursorError};

/// What a table holds.
///
/// - `id` never changes over the versions of a record.
/// - `version` is the stamp of the step that wrote the record.
/// - `index` gives the same entries for the same record, each at most once.
/// - `changes` gives `version` last, and before it versions that the record had before.
pub trait Record: Send + Sync + 'static {
    /// What identifies a record.
    type Id: Clone + Eq + Ord + Hash + fmt::Debug + Send + Sync;
    /// What an index is looked up by: one enum, with a variant for each index.
    type Key: Clone + Eq + Ord + fmt::Debug + Send + Sync;

    /// The record's id.
    fn id(&self) -> Self::Id;

    /// The record's version.
    fn version(&self) -> Version;

    /// Calls `entry` with the key and rank of each index entry of this record.
    fn index(&self, entry: &mut dyn FnMut(Self::Key, Rank));

    /// Calls `change` with each version at which the record was written, as far as it can tell,
    /// oldest first: these are to be found in the table's log. Only the last, if not overridden.
    fn changes(&self, change: &mut dyn FnMut(Version)) {
        change(self.version());
    }

    /// Calls `key` with each key under which the record's id is still found once the record is
    /// removed ([`View::holder`]). None, if not overridden.
    fn outlasting(&self, _key: &mut dyn FnMut(Self::Key)) {}

    /// An id that no other is smaller than.
    fn least_id() -> Self::Id;
}

/// Where a record stands among those with the same key: the highest rank comes first.
///
/// ```
/// use countersign_core::table::Rank;
///
/// let early = "2026-03-02T09:00:00Z".parse()?;
/// let late = "2026-03-02T10:00:00Z".parse()?;
/// assert!(Rank::latest_first(late) > Rank::latest_first(early));
/// assert!(Rank::earliest_first(early) > Rank::earliest_first(late));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(i64);

impl Rank {
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
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<K, I> {
    key: K,
    rank: Reverse<Rank>,
    id: I,
}

type EntryOf<R> = Entry<<R as Record>::Key, <R as Record>::Id>;

/// Versioned records with ordered indexes.
///
/// ```
/// use std::sync::Arc;
/// use countersign_core::clock::ManualClock;
/// use countersign_core::table::{Page, Rank, Record, Table};
/// use countersign_core::version::Version;
///
/// struct Note { id: u64, by: &'static str, written: Version }
///
/// impl Record for Note {
///     type Id = u64;
///     type Key = &'static str;
///     fn id(&self) -> u64 { self.id }
///     fn version(&self) -> Version { self.written }
///     fn index(&self, entry: &mut dyn FnMut(&'static str, Rank)) {
///         entry(self.by, Rank::newest_first(self.written));
///     }
///     fn least_id() -> u64 { 0 }
/// }
///
/// let clock = Arc::new(ManualClock::at("2026-03-02T09:00:00Z".parse()?));
/// let table = Table::new(clock);
/// for id in [1, 2] {
///     table.write(|step| {
///         let written = step.stamp()?.version;
///         step.put(Note { id, by: "alice", written });
///         Ok::<_, countersign_core::time::ClockError>(())
///     })?;
/// }
/// let newest: Vec<u64> = table.read(|view| view.scan("alice").map(|note| note.id).collect());
/// assert_eq!(newest, [2, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Table<R: Record> {
    state: RwLock<View<R>>,
    clock: Arc<dyn Clock>,
    tolerance: Duration,
}

/// The table as it is between two steps: records and indexes that agree.
pub struct View<R: Record> {
    records: HashMap<R::Id, Arc<R>>,
    index: BTreeSet<EntryOf<R>>,
    log: BTreeMap<Version, R::Id>,
    outlasting: BTreeMap<R::Key, R::Id>,
    timeline: Timeline,
}

impl<R: Record> Table<R> {
    /// An empty table.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = RwLock::new(View {
            records: HashMap::new(),
            index: BTreeSet::new(),
            log: BTreeMap::new(),
            outlasting: BTreeMap::new(),
            timeline: Timeline::new(),
        });
        Self {
            state,
            clock,
            tolerance: CLOCK_TOLERANCE,
        }
    }

    /// The same table with another tolerance: how far a reading of the clock may lie behind the
    /// last before it is a correction.
    #[must_use]
    pub fn with_clock_tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }

    /// The record with this id.
    pub fn get(&self, id: &R::Id) -> Option<Arc<R>> {
        self.state.read().get(id).cloned()
    }

    /// Reads several things that agree with each other. `read` must not call this table.
    pub fn read<T>(&self, read: impl FnOnce(&View<R>) -> T) -> T {
        read(&self.state.read())
    }

    /// As [`Table::read`], with the time that it is for this snapshot. A correction of the clock
    /// that it finds is remembered, as by a step.
    pub fn read_now<T>(&self, read: impl FnOnce(&View<R>, &Now) -> T) -> T {
        {
            let state = self.state.read();
            let now = self.now(&state.timeline);
            if now.makes_correction().is_none() {
                return read(&state, &now);
            }
        }
        let mut state = self.state.write();
        let mut now = self.now(&state.timeline);
        if now.makes_correction().is_some() {
            state.timeline.notice(&now);
            // It is made: the snapshot is one after it.
            now = state
                .timeline
                .now(now.reading(), Writer::ONLY, self.tolerance);
        }
        read(&state, &now)
    }

    fn now(&self, timeline: &Timeline) -> Now {
        timeline.now(self.clock.now(), Writer::ONLY, self.tolerance)
    }

    /// Makes one step: what `write` stages is done at once if it returns `Ok`, and dropped if it
    /// returns an error or panics. `write` must not call this table.
    ///
    /// What a step that writes nothing finds out about the clock is remembered all the same
    /// ([`Timeline::notice`]).
    ///
    /// # Errors
    /// Whatever `write` returns.
    pub fn write<T, E>(
        &self,
        write: impl FnOnce(&mut Step<'_, R>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.state.write();
        let mut step = Step {
            view: &state,
            table: self,
            now: None,
            timeline: state.timeline,
            staged: Vec::new(),
        };
        let result = write(&mut step);
        let Step {
            timeline,
            staged,
            now,
            ..
        } = step;
        let writes = result.is_ok() && !staged.is_empty();
        if writes {
            state.timeline = timeline;
        }
        if let Some(now) = now {
            state.timeline.notice(&now);
        }
        if writes {
            for (id, record) in staged {
                state.apply(id, record);
            }
        }
        result
    }

    /// The clock that versions are taken from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
}

impl<R: Record> View<R> {
    /// The record with this id.
    pub fn get(&self, id: &R::Id) -> Option<&Arc<R>> {
        self.records.get(id)
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What the table remembers of time.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The last record with this key, removed or not, of those that outlast their removal under
    /// it ([`Record::outlasting`]).
    pub fn holder(&self, key: &R::Key) -> Option<R::Id> {
        let present = self.scan(key.clone()).next().map(|record| record.id());
        present.or_else(|| self.outlasting.get(key).cloned())
    }

    /// The records with this key, highest rank first, then smallest id.
    pub fn scan(&self, key: R::Key) -> impl Iterator<Item = &Arc<R>> {
        self.entries(key, Rank(i64::MAX))
            .filter_map(|entry| self.records.get(&entry.id))
    }

    /// The records with this key whose rank is above `floor`, highest rank first.
    pub fn scan_above(&self, key: R::Key, floor: Rank) -> impl Iterator<Item = &Arc<R>> {
        self.entries(key, Rank(i64::MAX))
            .take_while(move |entry| entry.rank.0 > floor)
            .filter_map(|entry| self.records.get(&entry.id))
    }

    /// The records with this key that come after the place of rank `rank` and id `id`, whether or
    /// not there is a record at that place.
    pub fn scan_after(&self, key: R::Key, rank: Rank, id: R::Id) -> impl Iterator<Item = &Arc<R>> {
        let place = Entry {
            key: key.clone(),
            rank: Reverse(rank),
            id,
        };
        self.index
            .range((Bound::Excluded(place), Bound::Unbounded))
            .take_while(move |entry| entry.key == key)
            .filter_map(|entry| self.records.get(&entry.id))
    }

    /// How many records with this key rank above `floor`.
    pub fn count_above(&self, key: R::Key, floor: Rank) -> usize {
        self.entries(key, Rank(i64::MAX))
            .take_while(|entry| entry.rank.0 > floor)
            .count()
    }

    /// How many records with this key rank above `floor` and not above `highest`.
    pub fn count_between(&self, key: R::Key, floor: Rank, highest: Rank) -> usize {
        self.entries(key, highest)
            .take_while(|entry| entry.rank.0 > floor)
            .count()
    }

    /// The records with this key whose rank is `highest` or below, highest rank first.
    pub fn scan_from(&self, key: R::Key, highest: Rank) -> impl Iterator<Item = &Arc<R>> {
        self.entries(key, highest)
            .filter_map(|entry| self.records.get(&entry.id))
    }

    /// One page of the records with this key, highest rank first, then smallest id. The key's
    /// ranks must be `Rank::newest_first` of the version that cursors are made from.
    pub fn page(&self, key: R::Key, page: &Page<R::Id>) -> Listing<R, R::Id>
    where
        R::Id: Copy,
    {
        let start = page.after.map(|cursor| cursor.descending());
        let mut entries = self
            .entries(key, start.unwrap_or(Rank(i64::MAX)))
            .skip_while(|entry| {
                page.after
                    .is_some_and(|cursor| Some(entry.rank.0) == start && entry.id <= cursor.id)
            })
            .filter_map(|entry| Some((entry, self.records.get(&entry.id)?)))
            .peekable();
        let mut listing = Listing {
            items: Vec::new(),
            next: None,
        };
        let mut last = None;
        for (entry, record) in entries.by_ref().take(page.effective_limit()) {
            listing.items.push(Arc::clone(record));
            last = Some(entry);
        }
        if let (Some(_), Some(entry)) = (entries.peek(), last) {
            listing.next = Some(Cursor {
                place: entry.rank.0.0,
                id: entry.id,
            });
        }
        listing
    }

    /// The changes after version `after`, in the order in which they were made: of each its
    /// version and the record as it is now. From the first if `after` is none. Changes of records
    /// that have been removed are not among them.
    pub fn changes_after(
        &self,
        after: Option<Version>,
    ) -> impl Iterator<Item = (Version, &Arc<R>)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.log
            .range((start, Bound::Unbounded))
            .filter_map(|(version, id)| Some((*version, self.records.get(id)?)))
    }

    /// Checks that every record has exactly its entries in index and log and no entry is without
    /// a record. For tests and models; walks the whole table.
    ///
    /// # Errors
    /// A sentence that names what does not agree.
    pub fn audit(&self) -> Result<(), String> {
        let (mut expected, mut log) = (BTreeSet::new(), BTreeMap::new());
        for (id, record) in &self.records {
            if *id != record.id() {
                return Err(format!("record {:?} is kept under id {id:?}", record.id()));
            }
            if Some(record.version()) > self.timeline.version() {
                return Err(format!("record {id:?} has a version that was never issued"));
            }
            entries_of(&**record, &mut |entry| {
                expected.insert(entry);
            });
            record.changes(&mut |version| {
                log.insert(version, id.clone());
            });
        }
        if log != self.log {
            let (expected, found) = (log.len(), self.log.len());
            return Err(format!(
                "the log has {found} changes and the records tell of {expected}"
            ));
        }
        if let Some(entry) = self.index.difference(&expected).next() {
            return Err(format!("index entry without its record: {entry:?}"));
        }
        if let Some(entry) = expected.difference(&self.index).next() {
            return Err(format!("record without its index entry: {entry:?}"));
        }
        Ok(())
    }

    fn entries(&self, key: R::Key, highest: Rank) -> impl Iterator<Item = &EntryOf<R>> {
        let start = Entry {
            key: key.clone(),
            rank: Reverse(highest),
            id: R::least_id(),
        };
        self.index
            .range((Bound::Included(start), Bound::Unbounded))
            .take_while(move |entry| entry.key == key)
    }

    fn apply(&mut self, id: R::Id, record: Option<Arc<R>>) {
        let Self {
            records,
            index,
            log,
            outlasting,
            ..
        } = self;
        let (mut added, mut logged) = (BTreeSet::new(), Vec::new());
        if let Some(record) = &record {
            entries_of(&**record, &mut |entry| {
                added.insert(entry);
            });
            logged = changes_of(&**record);
        }
        let is_removed = record.is_none();
        let before = match record {
            Some(record) => records.insert(id.clone(), record),
            None => records.remove(&id),
        };
        let forgotten = before.as_deref().map(changes_of).unwrap_or_default();
        let kept = forgotten.iter().zip(&logged);
        let kept = kept.take_while(|(old, new)| old == new).count();
        for version in forgotten.iter().skip(kept) {
            log.remove(version);
        }
        log.extend(
            logged
                .iter()
                .skip(kept)
                .map(|version| (*version, id.clone())),
        );
        if let Some(before) = before {
            entries_of(&*before, &mut |entry| {
                if !added.remove(&entry) {
                    index.remove(&entry);
                }
            });
            if is_removed {
                before.outlasting(&mut |key| {
                    outlasting.insert(key, id.clone());
                });
            }
        }
        index.extend(added);
    }
}

fn changes_of<R: Record>(record: &R) -> Vec<Version> {
    let mut versions = Vec::new();
    record.changes(&mut |version| versions.push(version));
    versions
}

fn entries_of<R: Record>(record: &R, each: &mut dyn FnMut(EntryOf<R>)) {
    let id = record.id();
    record.index(&mut |key, rank| {
        each(Entry {
            key,
            rank: Reverse(rank),
            id: id.clone(),
        })
    });
}

/// One step on a table. Reads (through [`View`]) see the table before the step.
pub struct Step<'a, R: Record> {
    view: &'a View<R>,
    table: &'a Table<R>,
    now: Option<Now>,
    timeline: Timeline,
    staged: Vec<(R::Id, Option<Arc<R>>)>,
}

impl<R: Record> Step<'_, R> {
    /// What time it is for this step: the same however often it is asked.
    pub fn now(&mut self) -> Now {
        let Self {
            now, table, view, ..
        } = self;
        *now.get_or_insert_with(|| table.now(&view.timeline))
    }

    /// Issues a version, and says what time it is. It is used up only if the step succeeds.
    ///
    /// # Errors
    /// [`ClockError::Exhausted`] if there is no version left.
    pub fn stamp(&mut self) -> Result<Stamp, ClockError> {
        let now = self.now();
        self.timeline.stamp(&now)
    }

    /// The record with this id, if it is at version `expected`: the optimistic lock.
    ///
    /// # Errors
    /// [`LockError::NotFound`], then [`LockError::Conflict`].
    pub fn current(&self, id: &R::Id, expected: Version) -> Result<Arc<R>, LockError> {
        let record = self.view.get(id).ok_or(LockError::NotFound)?;
        let actual = record.version();
        if actual != expected {
            return Err(LockError::Conflict(Conflict { expected, actual }));
        }
        Ok(Arc::clone(record))
    }

    /// Stages a record: it takes the place of the one with the same id, if there is one. Its
    /// version must be a stamp of this step.
    pub fn put(&mut self, record: R) -> Arc<R> {
        debug_assert!(
            Some(record.version()) > self.view.timeline.version(),
            "a record is written with a version that this step did not issue"
        );
        let record = Arc::new(record);
        self.staged.push((record.id(), Some(Arc::clone(&record))));
        record
    }

    /// Stages the removal of a record.
    pub fn remove(&mut self, id: R::Id) {
        self.staged.push((id, None));
    }
}

impl<R: Record> Deref for Step<'_, R> {
    type Target = View<R>;

    fn deref(&self) -> &View<R> {
        self.view
    }
}

/// Why the optimistic lock gave no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LockError {
    /// There is no record with this id.
    #[error("there is no record with this id")]
    NotFound,
    /// The record has been changed since it was read.
    #[error(transparent)]
    Conflict(#[from] Conflict),
}

impl<R: Record> fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl<R: Record> fmt::Debug for View<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<R: Record> fmt::Debug for Step<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("staged", &self.staged.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests;
