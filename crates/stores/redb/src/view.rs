//! The table of one kind of record: what is in it, how it is read, and how a step is written out.
//!
//! A row is a key, a number, an id and a value:
//!
//! - [`RECORD`], 0, id: the record as JSON.
//! - An index key as JSON, the rank with every bit inverted, id: a place of that record.
//! - [`REMOVED`] and such a key, the version of the removal with every bit inverted, id: what was
//!   removed and is still found by it.
//! - [`LOG`], version, id: that the record was written at this version.
//! - [`TIME`], 0, no id: what the store remembers of time, as JSON.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, ControlFlow};
use std::str::FromStr;
use std::sync::Arc;

use countersign_core::engine::{
    Failure, Outcome, Put, Range, Rank, Reads, Record, Snapshot, Start,
};
use countersign_core::time::Timeline;
use countersign_core::version::Version;
use redb::{ReadOnlyTable, ReadableTable, Table, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record that serde reads back as it was. No two of its keys are written alike, and its ids order
/// as their texts do.
pub trait Stored:
    Record<Id: fmt::Display + FromStr, Key: Serialize> + Serialize + DeserializeOwned
{
}

impl<R> Stored for R where
    R: Record<Id: fmt::Display + FromStr, Key: Serialize> + Serialize + DeserializeOwned
{
}

/// Why something could not be done.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;
type Place = (&'static [u8], i64, &'static str);
type Json = &'static [u8];

// No JSON begins with these.
const LOG: &[u8] = b"L";
const RECORD: &[u8] = b"R";
const REMOVED: &[u8] = b"X";
const TIME: (&[u8], i64, &str) = (b"T", 0, "");

/// The table of this kind of record.
pub(crate) fn table(kind: &str) -> TableDefinition<'_, Place, Json> {
    TableDefinition::new(kind)
}

/// Writes what a step has left.
pub(crate) fn write<R: Stored>(
    mut rows: Table<'_, Place, Json>,
    timeline: &Timeline,
    staged: &[Put<R>],
) -> Result<(), Cause> {
    rows.insert(TIME, &*serde_json::to_vec(timeline)?)?;
    let removed_at = timeline.version().map_or(i64::MIN, Version::as_nanos);
    for (id, record) in staged {
        let id = &*id.to_string();
        let before: Option<R> = value(&rows, (RECORD, 0, id))?;
        let (old, new) = (places(before.as_ref())?, places(record.as_deref())?);
        for (key, number) in old.difference(&new) {
            rows.remove((&**key, *number, id))?;
        }
        for (key, number) in new.difference(&old) {
            rows.insert((&**key, *number, id), &[][..])?;
        }
        if let Some(record) = record {
            rows.insert((RECORD, 0, id), &*serde_json::to_vec(&**record)?)?;
        } else if let Some(before) = before {
            rows.remove((RECORD, 0, id))?;
            let mut keys = Vec::new();
            before.outlasting(&mut |key| keys.push(key));
            for key in keys {
                rows.insert((&*removed(&key)?, !removed_at, id), &[][..])?;
            }
        }
    }
    Ok(())
}

fn removed(key: &impl Serialize) -> Result<Vec<u8>, Cause> {
    Ok([REMOVED, &*serde_json::to_vec(key)?].concat())
}

fn places<R: Stored>(record: Option<&R>) -> Result<BTreeSet<(Vec<u8>, i64)>, Cause> {
    let (mut places, mut keys) = (BTreeSet::new(), Vec::new());
    if let Some(record) = record {
        record.index(&mut |key, rank| keys.push((key, rank)));
        record.changes(&mut |version| places.extend([(LOG.to_vec(), version.as_nanos())]));
    }
    for (key, rank) in keys {
        places.insert((serde_json::to_vec(&key)?, !rank.as_i64()));
    }
    Ok(places)
}

fn value<T: DeserializeOwned>(
    rows: &impl ReadableTable<Place, Json>,
    place: (&[u8], i64, &str),
) -> Result<Option<T>, Cause> {
    match rows.get(place)? {
        Some(value) => Ok(Some(serde_json::from_slice(value.value())?)),
        None => Ok(None),
    }
}

/// A snapshot of the file.
#[derive(Debug)]
pub struct View<R> {
    rows: ReadOnlyTable<Place, Json>,
    pub(crate) timeline: Timeline,
    failed: RefCell<Option<Failure>>,
    records: PhantomData<fn() -> R>,
}

impl<R: Stored> View<R> {
    pub(crate) fn of(rows: ReadOnlyTable<Place, Json>) -> Result<Self, Cause> {
        Ok(Self {
            timeline: value(&rows, TIME)?.unwrap_or_default(),
            rows,
            failed: RefCell::new(None),
            records: PhantomData,
        })
    }

    /// What a job may know of a read's result. The first failure is kept: the call fails with it,
    /// whatever the job makes of it.
    fn told<T>(&self, result: Result<T, Cause>) -> Result<T, Failure> {
        result.map_err(|cause| {
            let failure = Failure::new(cause, Outcome::NotApplied);
            let mut failed = self.failed.borrow_mut();
            failed.get_or_insert_with(|| failure.clone());
            failure
        })
    }

    /// What a job's result is worth.
    pub(crate) fn end<T, E: From<Failure>>(&self, result: Result<T, E>) -> Result<T, E> {
        self.failed
            .take()
            .map_or(result, |failure| Err(failure.into()))
    }

    fn at_place(&self, id: &str) -> Result<Arc<R>, Cause> {
        let lost = || format!("the file is damaged: record `{id}` has a place and is not there");
        Ok(Arc::new(
            value(&self.rows, (RECORD, 0, id))?.ok_or_else(lost)?,
        ))
    }

    /// Calls `each` with number and id of each row with this key, in order, until it breaks.
    fn rows(
        &self,
        key: &[u8],
        start: Bound<(i64, &str)>,
        above: Option<Rank>,
        mut each: impl FnMut(i64, &str) -> Result<ControlFlow<()>, Cause>,
    ) -> Result<(), Cause> {
        // No key is between the two.
        let next = [key, &[0]].concat();
        let end = match above {
            None => (&*next, i64::MIN, ""),
            Some(floor) => (key, !floor.as_i64(), ""),
        };
        let start = start.map(|(number, id)| (key, number, id));
        for row in self.rows.range((start, Bound::Excluded(end)))? {
            let (place, _) = row?;
            let (_, number, id) = place.value();
            if each(number, id)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn places(
        &self,
        key: &R::Key,
        range: &Range<R::Id>,
        each: impl FnMut(i64, &str) -> Result<ControlFlow<()>, Cause>,
    ) -> Result<(), Cause> {
        let after;
        let start = match &range.start {
            Start::First => Bound::Included((i64::MIN, "")),
            Start::At(rank) => Bound::Included((!rank.as_i64(), "")),
            Start::After(rank, id) => {
                after = id.to_string();
                Bound::Excluded((!rank.as_i64(), &*after))
            }
        };
        self.rows(&serde_json::to_vec(key)?, start, range.above, each)
    }
}

impl<R: Stored> Reads<R> for View<R> {
    type Error = Failure;

    fn get(&self, id: &R::Id) -> Result<Option<Arc<R>>, Failure> {
        let record = value(&self.rows, (RECORD, 0, &*id.to_string()));
        self.told(record.map(|record| record.map(Arc::new)))
    }

    fn scan(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        _want: usize,
        mut each: impl FnMut(Rank, &Arc<R>) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        self.told(self.places(key, &range, |number, id| {
            Ok(each(Rank::from_i64(!number), &self.at_place(id)?))
        }))
    }

    fn count(&self, key: &R::Key, range: Range<R::Id>) -> Result<usize, Failure> {
        let mut count = 0;
        self.told(self.places(key, &range, |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        }))?;
        Ok(count)
    }

    fn holder(&self, key: &R::Key) -> Result<Option<R::Id>, Failure> {
        let find = || {
            let (first, mut holder) = (Bound::Included((i64::MIN, "")), None);
            for key in [serde_json::to_vec(key)?, removed(key)?] {
                self.rows(&key, first, None, |_, id| {
                    holder.get_or_insert_with(|| id.to_owned());
                    Ok(ControlFlow::Break(()))
                })?;
            }
            let parse = |id: String| id.parse().map_err(|_| format!("`{id}` is no id").into());
            holder.map(parse).transpose()
        };
        self.told(find())
    }
}

impl<R: Stored> Snapshot<R> for View<R> {
    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<(Version, Arc<R>)>, Failure> {
        let (first, mut changes) = (after.map_or(i64::MIN, Version::as_nanos), Vec::new());
        self.told(
            self.rows(LOG, Bound::Included((first, "")), None, |version, id| {
                let version = Version::from_nanos(version);
                if changes.len() == limit {
                    return Ok(ControlFlow::Break(()));
                }
                if Some(version) > after {
                    changes.push((version, self.at_place(id)?));
                }
                Ok(ControlFlow::Continue(()))
            }),
        )?;
        Ok(changes)
    }
}
