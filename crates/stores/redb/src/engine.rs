//! The engine: a snapshot is a transaction of redb that reads, a step one that writes.
//!
//! Invariant: a step reads a snapshot that is begun when nobody else can write any more, and nothing is
//! written before its job has returned `Ok`.

use std::marker::PhantomData;
use std::sync::Arc;

use countersign_core::clock::Clock;
use countersign_core::engine::{Engine, Failure, Outcome, Staged, Transaction};
use countersign_core::time::{CLOCK_TOLERANCE, Now, Timeline, Writer};
use redb::Database;

use crate::view::{self, Cause, Stored, View};

/// The records of one kind in a file of redb.
#[derive(Debug)]
pub struct RedbEngine<R> {
    kept: Kept,
    records: PhantomData<fn() -> R>,
}

#[derive(Debug, Clone)]
struct Kept {
    database: Arc<Database>,
    kind: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl<R: Stored> RedbEngine<R> {
    /// The records in the table of this name: each kind of the file has another. It blocks until the
    /// table is there.
    ///
    /// # Errors
    /// If the file cannot be written, or if the table is of something else.
    pub fn new(
        database: Arc<Database>,
        kind: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let create = || {
            let transaction = database.begin_write()?;
            drop(transaction.open_table(view::table(kind))?);
            Ok::<_, Cause>(transaction.commit()?)
        };
        create().map_err(not_applied)?;
        let kept = Kept {
            database,
            kind: kind.into(),
            clock,
        };
        Ok(Self {
            kept,
            records: PhantomData,
        })
    }

    /// Does something on a thread that may block.
    async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&Kept) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        let kept = self.kept.clone();
        let done = tokio::task::spawn_blocking(move || work(&kept)).await;
        // A job that panics has written nothing, nor has one that the runtime's end has forestalled.
        done.unwrap_or_else(|error| Err(not_applied(error).into()))
    }
}

impl Kept {
    fn view<R: Stored>(&self) -> Result<View<R>, Failure> {
        let view = || {
            let snapshot = self.database.begin_read()?;
            View::of(snapshot.open_table(view::table(&self.kind))?)
        };
        view().map_err(not_applied)
    }

    fn now(&self, timeline: &Timeline) -> Now {
        timeline.now(self.clock.now(), Writer::ONLY, CLOCK_TOLERANCE)
    }

    fn make<R: Stored, T, E: From<Failure>>(
        &self,
        mut job: impl FnMut(&mut Staged<'_, R, View<R>>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self.database.begin_write().map_err(not_applied)?;
        let view = self.view()?;
        let clock = |timeline: &Timeline| self.now(timeline);
        let mut step = Staged::over(&view, view.timeline, &clock);
        let result = job(&mut step);
        let result = view.end(result);
        let (timeline, staged) = step.end(result.is_ok());
        if timeline != view.timeline || !staged.is_empty() {
            let write = || {
                let rows = transaction.open_table(view::table(&self.kind))?;
                view::write(rows, &timeline, &staged)
            };
            write().map_err(not_applied)?;
            let committed = transaction.commit();
            committed.map_err(|error| Failure::new(error, Outcome::Unknown))?;
        }
        result
    }
}

impl<R: Stored> Engine<R> for RedbEngine<R> {
    type Error = Failure;
    type View<'a> = View<R>;
    type Step<'a> = Staged<'a, R, View<R>>;

    async fn read<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        F: for<'a> FnMut(&View<R>) -> Result<T, E> + Send + 'static,
    {
        let read = move |kept: &Kept| {
            let view = kept.view()?;
            view.end(job(&view))
        };
        self.blocking(read).await
    }

    async fn read_now<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        F: for<'a> FnMut(&View<R>, &Now) -> Result<T, E> + Send + 'static,
    {
        let read = move |kept: &Kept| {
            let mut view = kept.view()?;
            let mut now = kept.now(&view.timeline);
            if now.makes_correction().is_some() {
                kept.make::<R, _, E>(|step| Ok(step.now()))?;
                view = kept.view()?;
                now = view
                    .timeline
                    .now(now.reading(), Writer::ONLY, CLOCK_TOLERANCE);
            }
            view.end(job(&view, &now))
        };
        self.blocking(read).await
    }

    async fn write<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        F: for<'a> FnMut(&mut Self::Step<'a>) -> Result<T, E> + Send + 'static,
    {
        self.blocking(move |kept| kept.make(job)).await
    }
}

/// That something was not done.
fn not_applied(cause: impl Into<Cause>) -> Failure {
    Failure::new(cause, Outcome::NotApplied)
}
