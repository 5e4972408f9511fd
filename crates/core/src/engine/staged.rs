//! A step of an engine that can only be told what to write when the step is done.
//!
//! Invariant: what is staged is given out only by [`Staged::end`], and only if the job succeeded.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Range, Rank, Reads, Record, Transaction};
use crate::time::{ClockError, Now, Stamp, Timeline};

/// A step that reads a view of the store before it, and keeps what it stages. For engines whose steps
/// are made one at a time: they begin one, call the job, and write out what [`Staged::end`] gives.
///
/// ```
/// use countersign_core::engine::{Reads, Record, Staged};
/// use countersign_core::time::{Now, Timeline, Writer, CLOCK_TOLERANCE};
///
/// /// Makes a step over what is read by `view`, and gives what is to be remembered and written.
/// fn make<R: Record, V: Reads<R>, T, E>(
///     view: &V,
///     timeline: Timeline,
///     clock: &dyn Fn(&Timeline) -> Now,
///     job: impl FnOnce(&mut Staged<'_, R, V>) -> Result<T, E>,
/// ) -> Result<T, E> {
///     let mut step = Staged::over(view, timeline, clock);
///     let result = job(&mut step);
///     let (timeline, records) = step.end(result.is_ok());
///     println!("{} to be written; then {timeline:?}", records.len());
///     result
/// }
/// ```
pub struct Staged<'a, R: Record, V> {
    view: &'a V,
    clock: &'a dyn Fn(&Timeline) -> Now,
    before: Timeline,
    timeline: Timeline,
    now: Option<Now>,
    records: Vec<Put<R>>,
}

/// A record that takes the place of the one with this id; none where that is removed.
pub type Put<R> = (<R as Record>::Id, Option<Arc<R>>);

impl<'a, R: Record, V: Reads<R>> Staged<'a, R, V> {
    /// A step over this view. `timeline` is what the store remembers of time; `clock` reads the clock
    /// and judges it by that, once, when the step first asks.
    pub fn over(view: &'a V, timeline: Timeline, clock: &'a dyn Fn(&Timeline) -> Now) -> Self {
        Self {
            view,
            clock,
            before: timeline,
            timeline,
            now: None,
            records: Vec::new(),
        }
    }

    /// What the store remembers of time from now on, and the records to write, in this order. If the
    /// job failed or staged nothing there are none, and only what it found out about the clock is to be
    /// remembered ([`Timeline::notice`]).
    pub fn end(self, has_succeeded: bool) -> (Timeline, Vec<Put<R>>) {
        let writes = has_succeeded && !self.records.is_empty();
        let mut timeline = if writes { self.timeline } else { self.before };
        if let Some(now) = self.now {
            timeline.notice(&now);
        }
        (timeline, if writes { self.records } else { Vec::new() })
    }
}

impl<R: Record, V: Reads<R>> Transaction<R> for Staged<'_, R, V> {
    fn now(&mut self) -> Now {
        let Self {
            now, clock, before, ..
        } = self;
        *now.get_or_insert_with(|| clock(before))
    }

    fn stamp(&mut self) -> Result<Stamp, ClockError> {
        let now = self.now();
        self.timeline.stamp(&now)
    }

    fn put(&mut self, record: R) -> Arc<R> {
        debug_assert!(
            Some(record.version()) > self.before.version(),
            "a record is written with a version that this step did not issue"
        );
        let record = Arc::new(record);
        self.records.push((record.id(), Some(Arc::clone(&record))));
        record
    }

    fn remove(&mut self, id: R::Id) {
        self.records.push((id, None));
    }
}

impl<R: Record, V: Reads<R>> Reads<R> for Staged<'_, R, V> {
    type Error = V::Error;

    fn get(&self, id: &R::Id) -> Result<Option<Arc<R>>, V::Error> {
        self.view.get(id)
    }

    fn scan(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        want: usize,
        each: impl FnMut(Rank, &Arc<R>) -> ControlFlow<()>,
    ) -> Result<(), V::Error> {
        self.view.scan(key, range, want, each)
    }

    fn count(&self, key: &R::Key, range: Range<R::Id>) -> Result<usize, V::Error> {
        self.view.count(key, range)
    }

    fn holder(&self, key: &R::Key) -> Result<Option<R::Id>, V::Error> {
        self.view.holder(key)
    }

    fn nth(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        before: usize,
    ) -> Result<Option<Arc<R>>, V::Error> {
        self.view.nth(key, range, before)
    }

    fn merged(
        &self,
        keys: &[R::Key],
        range: Range<R::Id>,
        limit: usize,
    ) -> Result<Vec<Arc<R>>, V::Error> {
        self.view.merged(keys, range, limit)
    }
}

impl<R: Record, V> fmt::Debug for Staged<'_, R, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged")
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}
