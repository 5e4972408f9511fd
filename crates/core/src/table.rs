//! The engine in memory: versioned records with ordered indexes, under one lock.
//!
//! It is an [`Engine`], and what an engine promises is said there. Its own calls do the same without
//! futures, and their closures can borrow. What always holds besides:
//!
//! - A step ([`Table::write`]) changes every record it touches and all their index entries at
//!   once, or, if it fails or panics, nothing. No reader sees a record without its index entries
//!   or an index entry without its record.
//! - Every change that a record says it went through is in the table's log, in the order in which
//!   the steps were made, until the record is removed.
//!
//! Rules are not here: a domain crate calls its own from inside a step. Nothing here waits for
//! anything but the lock, and no lock is held across an await.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::engine::{Engine, Range, Rank, Reads, Record, Snapshot, Staged, Start, merge};
use crate::sync::RwLock;
use crate::time::{CLOCK_TOLERANCE, Health, Now, Timeline, Writer};
use crate::version::Version;

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
/// use countersign_core::engine::{Range, Rank, Record, Transaction};
/// use countersign_core::table::Table;
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
/// let newest: Vec<u64> = table.read(|view| {
///     view.entries(&"alice", Range::all()).map(|(_, note)| note.id).collect()
/// });
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

impl<R: Record> Default for Table<R> {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl<R: Record> Table<R> {
    /// An empty table; `Table::default()` has the system's clock.
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
        self.state.read().records.get(id).cloned()
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
        let clock = |timeline: &Timeline| self.now(timeline);
        let mut step = Staged::over(&*state, state.timeline, &clock);
        let result = write(&mut step);
        let (timeline, staged) = step.end(result.is_ok());
        state.timeline = timeline;
        for (id, record) in staged {
            state.apply(id, record);
        }
        result
    }

    /// How far the versions are ahead of the clock, and the last correction of the clock.
    pub fn health(&self) -> Health {
        self.state.read().timeline.health(self.clock.now())
    }
}

impl<R: Record> View<R> {
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

    /// The records with this key and their ranks: highest rank first, then smallest id.
    pub fn entries(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
    ) -> impl Iterator<Item = (Rank, &Arc<R>)> {
        self.places(key, range)
            .filter_map(|entry| Some((entry.rank.0, self.records.get(&entry.id)?)))
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

    fn places(&self, key: &R::Key, range: Range<R::Id>) -> impl Iterator<Item = &EntryOf<R>> {
        let Range { start, above } = range;
        let entry = |rank, id| Entry {
            key: key.clone(),
            rank: Reverse(rank),
            id,
        };
        let start = match start {
            Start::First => Bound::Included(entry(Rank::HIGHEST, R::least_id())),
            Start::At(rank) => Bound::Included(entry(rank, R::least_id())),
            Start::After(rank, id) => Bound::Excluded(entry(rank, id)),
        };
        self.index
            .range((start, Bound::Unbounded))
            .take_while(move |entry| entry.key == *key)
            .take_while(move |entry| above.is_none_or(|floor| entry.rank.0 > floor))
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

/// One step on a table.
pub type Step<'a, R> = Staged<'a, R, View<R>>;

impl<R: Record> Reads<R> for View<R> {
    type Error = Infallible;

    fn get(&self, id: &R::Id) -> Result<Option<Arc<R>>, Infallible> {
        Ok(self.records.get(id).cloned())
    }

    fn scan(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        _want: usize,
        mut each: impl FnMut(Rank, &Arc<R>) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        let mut entries = self.entries(key, range);
        let _ = entries.try_for_each(|(rank, record)| each(rank, record));
        Ok(())
    }

    fn count(&self, key: &R::Key, range: Range<R::Id>) -> Result<usize, Infallible> {
        Ok(self.places(key, range).count())
    }

    fn holder(&self, key: &R::Key) -> Result<Option<R::Id>, Infallible> {
        let mut present = self.places(key, Range::all()).map(|entry| entry.id.clone());
        Ok(present.next().or_else(|| self.outlasting.get(key).cloned()))
    }

    /// An engine that has them at hand reads none ahead.
    fn merged(
        &self,
        keys: &[R::Key],
        range: Range<R::Id>,
        limit: usize,
    ) -> Result<Vec<Arc<R>>, Infallible> {
        let source = |key| {
            let entries = self.entries(key, range.clone());
            entries.map(|(rank, record)| Ok((rank, Arc::clone(record))))
        };
        merge(keys.iter().map(source).collect(), limit)
    }
}

impl<R: Record> Snapshot<R> for View<R> {
    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<(Version, Arc<R>)>, Infallible> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let changes = self.log.range((start, Bound::Unbounded));
        let changes =
            changes.filter_map(|(version, id)| Some((*version, Arc::clone(self.records.get(id)?))));
        Ok(changes.take(limit).collect())
    }
}

impl<R: Record> Engine<R> for Table<R> {
    type Error = Infallible;
    type View<'a> = View<R>;
    type Step<'a> = Step<'a, R>;

    async fn read<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Infallible> + Send + 'static,
        F: for<'a> FnMut(&View<R>) -> Result<T, E> + Send + 'static,
    {
        Table::read(self, |view| job(view))
    }

    async fn read_now<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Infallible> + Send + 'static,
        F: for<'a> FnMut(&View<R>, &Now) -> Result<T, E> + Send + 'static,
    {
        Table::read_now(self, |view, now| job(view, now))
    }

    async fn write<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Infallible> + Send + 'static,
        F: for<'a> FnMut(&mut Step<'a, R>) -> Result<T, E> + Send + 'static,
    {
        Table::write(self, |step| job(step))
    }
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

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests;
