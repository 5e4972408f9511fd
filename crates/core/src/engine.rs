//! What keeps records: the calls that a domain crate's store asks of an engine.
//!
//! A store is written once, over any [`Engine`]: its steps and reads are functions over
//! [`Transaction`] and [`Reads`]. [`crate::table::Table`] is the engine in memory. No rule is here,
//! and nothing that only one engine needs.
//!
//! What always holds, of every engine:
//!
//! - A step ([`Engine::write`]) changes every record it touches, with all that they are looked up
//!   by, or nothing. It reads the store as it was before the step; what it stages is there once it
//!   has returned `Ok`. A step that fails or panics has changed nothing.
//! - Steps are made one after another. A snapshot ([`Engine::read`]) lies between two of them, and
//!   all of its reads agree.
//! - Versions come from the engine ([`Transaction::stamp`]), grow strictly over all of its records
//!   and are never issued again, whatever the clock does and whatever is removed.
//! - A step and a snapshot have one time each ([`Transaction::now`], [`Engine::read_now`]), judged
//!   by what is remembered at that moment ([`crate::time`]). What a step that writes nothing finds
//!   out about the clock is remembered all the same.
//! - A read that fails ends the step or the read, whatever the job makes of it.
//! - A job may be made again from its beginning: what it gives follows from its inputs and from what
//!   it reads, and from nothing else.

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;

use thiserror::Error;

use crate::time::{ClockError, Now, Stamp};
use crate::version::{Conflict, Version};

#[cfg(all(
    feature = "conformance",
    not(any(countersign_loom, countersign_shuttle))
))]
pub mod conformance;
mod failure;
mod merge;
mod page;
mod range;
mod staged;

pub use failure::{ErrorKind, Failure, Outcome};
pub(crate) use merge::merge;
pub use page::{
    Cursor, DEFAULT_LIMIT, List, Listing, MAX_LIMIT, Page, ParseCursorError, effective_limit,
};
pub use range::{Pick, Range, Rank, Start};
pub use staged::{Put, Staged};

/// What an engine keeps.
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
    /// oldest first: these are to be found in the engine's log. Only the last, if not overridden.
    fn changes(&self, change: &mut dyn FnMut(Version)) {
        change(self.version());
    }

    /// Calls `key` with each key under which the record's id is still found once the record is
    /// removed ([`Reads::holder`]). None, if not overridden.
    fn outlasting(&self, _key: &mut dyn FnMut(Self::Key)) {}

    /// An id that no other is smaller than.
    fn least_id() -> Self::Id;
}

/// Reads that agree with each other. A failed one ends the step or the read that it is part of.
///
/// ```
/// use countersign_core::engine::{Range, Reads, Record};
///
/// /// How many there are, in any engine.
/// fn count<R: Record, V: Reads<R>>(view: &V, key: &R::Key) -> Result<usize, V::Error> {
///     view.count(key, Range::all())
/// }
/// ```
pub trait Reads<R: Record> {
    /// What a read may fail with; [`Infallible`](std::convert::Infallible) in memory.
    type Error;

    /// The record with this id.
    ///
    /// # Errors
    /// If the engine fails, here and in all the others.
    fn get(&self, id: &R::Id) -> Result<Option<Arc<R>>, Self::Error>;

    /// Calls `each` with the rank of each record with this key and with the record, in order, until
    /// it breaks. `want` says how many are expected to be looked at; it changes no answer.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn scan(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        want: usize,
        each: impl FnMut(Rank, &Arc<R>) -> ControlFlow<()>,
    ) -> Result<(), Self::Error>;

    /// How many records have this key.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn count(&self, key: &R::Key, range: Range<R::Id>) -> Result<usize, Self::Error>;

    /// The last record with this key, removed or not, of those that outlast their removal under it
    /// ([`Record::outlasting`]).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn holder(&self, key: &R::Key) -> Result<Option<R::Id>, Self::Error>;

    /// The first record with this key for which `is_wanted` holds.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn find(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        mut is_wanted: impl FnMut(&R) -> bool,
    ) -> Result<Option<Arc<R>>, Self::Error> {
        let mut found = None;
        self.scan(key, range, 1, |_, record| {
            if !is_wanted(record) {
                return ControlFlow::Continue(());
            }
            found = Some(Arc::clone(record));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// The record with this key that has `before` others before it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn nth(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        before: usize,
    ) -> Result<Option<Arc<R>>, Self::Error> {
        let (mut left, mut found) = (before, None);
        self.scan(key, range, before.saturating_add(1), |_, record| {
            if let Some(rest) = left.checked_sub(1) {
                left = rest;
                return ControlFlow::Continue(());
            }
            found = Some(Arc::clone(record));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// The first `limit` records with this key that `pick` takes.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn pick(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        limit: usize,
        mut pick: impl FnMut(&R) -> Pick,
    ) -> Result<Vec<Arc<R>>, Self::Error> {
        let mut picked = Vec::new();
        if limit == 0 {
            return Ok(picked);
        }
        self.scan(key, range, limit, |_, record| {
            match pick(record) {
                Pick::Take => picked.push(Arc::clone(record)),
                Pick::Skip => {}
                Pick::Stop => return ControlFlow::Break(()),
            }
            if picked.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(picked)
    }

    /// One page of the records with this key that `pick` takes. `range` begins after the page's
    /// cursor ([`Range::after_cursor`]), and `place` gives a record's place in the list.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn page<L: List>(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        page: &Page<R::Id, L>,
        pick: impl FnMut(&R) -> Pick,
        place: impl Fn(&R) -> Cursor<R::Id, L>,
    ) -> Result<Listing<R, R::Id, L>, Self::Error> {
        let found = self.pick(key, range, page.effective_limit() + 1, pick)?;
        Ok(Listing::cut(found, page, place))
    }

    /// The first `limit` records of all these keys: highest rank first, then smallest id. No record
    /// may have two of them.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn merged(
        &self,
        keys: &[R::Key],
        range: Range<R::Id>,
        limit: usize,
    ) -> Result<Vec<Arc<R>>, Self::Error> {
        if let [key] = keys {
            return self.pick(key, range, limit, |_| Pick::Take);
        }
        let source = |key| merge::Source::new(self, key, range.clone(), limit);
        merge(keys.iter().map(source).collect(), limit)
    }
}

/// What is read between two steps.
pub trait Snapshot<R: Record>: Reads<R> {
    /// The first `limit` changes after version `after`, in the order in which they were made: of
    /// each its version and the record as it is now. From the first if `after` is none. Changes of
    /// records that have been removed are not among them.
    ///
    /// # Errors
    /// As [`Reads::get`].
    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<(Version, Arc<R>)>, Self::Error>;
}

/// One step. Its reads see the store before it.
pub trait Transaction<R: Record>: Reads<R> {
    /// What time it is for this step: the same however often it is asked.
    fn now(&mut self) -> Now;

    /// Issues a version, and says what time it is. It is used up only if the step succeeds.
    ///
    /// # Errors
    /// [`ClockError::Exhausted`] if there is no version left.
    fn stamp(&mut self) -> Result<Stamp, ClockError>;

    /// Stages a record: it takes the place of the one with the same id, if there is one. Its version
    /// must be a stamp of this step.
    fn put(&mut self, record: R) -> Arc<R>;

    /// Stages the removal of a record. The step must have issued a version since the last change that
    /// it staged: an engine that keeps a log of removals has it there at that version.
    fn remove(&mut self, id: R::Id);

    /// The record with this id, if it is at version `expected`: the optimistic lock.
    ///
    /// # Errors
    /// [`LockError::Engine`], then [`LockError::NotFound`], then [`LockError::Conflict`].
    fn current(&self, id: &R::Id, expected: Version) -> Result<Arc<R>, LockError<Self::Error>> {
        let found = self.get(id).map_err(LockError::Engine)?;
        let record = found.ok_or(LockError::NotFound)?;
        let actual = record.version();
        if actual != expected {
            return Err(LockError::Conflict(Conflict { expected, actual }));
        }
        Ok(record)
    }
}

/// Why the optimistic lock gave no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LockError<F> {
    /// There is no record with this id.
    #[error("there is no record with this id")]
    NotFound,
    /// The record has been changed since it was read.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The engine failed.
    #[error("the engine failed")]
    Engine(F),
}

/// Keeps records. What it promises is at the head of [this module](self).
///
/// Jobs are closures over what they need. A future does nothing before it is polled. Dropped after
/// that, its job is made or not.
///
/// ```
/// use std::sync::Arc;
/// use countersign_core::engine::{Engine, Reads, Record};
///
/// /// A read, written once for every engine.
/// async fn is_there<R: Record, E: Engine<R>>(engine: &E, id: R::Id) -> Result<bool, E::Error> {
///     engine.read(move |view| Ok(view.get(&id)?.is_some())).await
/// }
/// ```
pub trait Engine<R: Record>: Send + Sync + 'static {
    /// What a read may fail with inside a job; [`Infallible`](std::convert::Infallible) in memory.
    type Error: Send + 'static;
    /// What a read sees.
    type View<'a>: Snapshot<R, Error = Self::Error>;
    /// What a step sees and stages.
    type Step<'a>: Transaction<R, Error = Self::Error>;

    /// Reads several things that agree with each other.
    ///
    /// # Errors
    /// What `job` returns, and what the engine fails with.
    fn read<T, E, F>(&self, job: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Self::Error> + Send + 'static,
        F: for<'a> FnMut(&Self::View<'a>) -> Result<T, E> + Send + 'static;

    /// As [`read`](Self::read), with the time that it is for this snapshot. A correction of the
    /// clock that it finds is remembered, as by a step.
    ///
    /// # Errors
    /// As there.
    fn read_now<T, E, F>(&self, job: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Self::Error> + Send + 'static,
        F: for<'a> FnMut(&Self::View<'a>, &Now) -> Result<T, E> + Send + 'static;

    /// Makes one step: what `job` stages is done at once if it returns `Ok`, and dropped if it
    /// returns an error or panics.
    ///
    /// # Errors
    /// What `job` returns, and what the engine fails with.
    fn write<T, E, F>(&self, job: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<Self::Error> + Send + 'static,
        F: for<'a> FnMut(&mut Self::Step<'a>) -> Result<T, E> + Send + 'static;
}

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests;
