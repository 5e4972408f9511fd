//! The engine in a file: what the stores of requests and emergencies are made over.
//!
//! It is an [`Engine`], and what an engine promises is said there. Here is only how a snapshot and a
//! step of the file keep it; rows and statements are in `records.rs`.
//!
//! What always holds besides:
//!
//! - Nothing is written before the job of a step has returned `Ok`: what it stages is in memory.
//! - The first failure of a read is kept beside the job, and is what the call fails with, whatever
//!   the job makes of it.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;

use countersign_core::engine::{self, Engine, Range, Rank, Reads, Record, Snapshot, Transaction};
use countersign_core::time::{ClockError, Now, Stamp};
use countersign_core::version::Version;
use rusqlite::Connection;

use crate::error::{Failure, Stop};
use crate::records::{self, Rows};
use crate::step::{Books, Step};

/// The records of one kind in a file. Nobody outside can name it, or reach it in a store.
#[derive(Debug, Clone)]
pub struct FileEngine<R> {
    books: Books,
    records: PhantomData<fn() -> R>,
}

impl<R> FileEngine<R> {
    /// Of the store whose books these are.
    pub(crate) fn over(books: Books) -> Self {
        Self {
            books,
            records: PhantomData,
        }
    }
}

impl<R: Rows> Engine<R> for FileEngine<R> {
    type Error = engine::Failure;
    type View<'a> = View<'a, R>;
    type Step<'a> = Staging<'a, R>;

    async fn read<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<engine::Failure> + Send + 'static,
        F: for<'a> FnMut(&View<'a, R>) -> Result<T, E> + Send + 'static,
    {
        let read = move |connection: &Connection| {
            let view = View::of(connection);
            let result = job(&view);
            view.end(result)
        };
        self.books.read(read).await
    }

    async fn read_now<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<engine::Failure> + Send + 'static,
        F: for<'a> FnMut(&View<'a, R>, &Now) -> Result<T, E> + Send + 'static,
    {
        let read = move |connection: &Connection, now: &Now| {
            let view = View::of(connection);
            let result = job(&view, now);
            view.end(result)
        };
        self.books.read_now(read).await
    }

    async fn write<T, E, F>(&self, mut job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<engine::Failure> + Send + 'static,
        F: for<'a> FnMut(&mut Staging<'a, R>) -> Result<T, E> + Send + 'static,
    {
        let make = move |step: Step<'_>| {
            let mut staging = Staging::over(step);
            let result = job(&mut staging);
            end(staging, result)
        };
        self.books.make(make).await
    }
}

/// A snapshot of the file.
#[derive(Debug)]
pub struct View<'a, R> {
    connection: &'a Connection,
    failed: RefCell<Option<Failure>>,
    records: PhantomData<fn() -> R>,
}

impl<'a, R: Record> View<'a, R> {
    fn of(connection: &'a Connection) -> Self {
        Self {
            connection,
            failed: RefCell::new(None),
            records: PhantomData,
        }
    }

    /// What a job may know of a read's result.
    fn told<T>(&self, result: Result<T, Failure>) -> Result<T, engine::Failure> {
        result.map_err(|failure| {
            let mut failed = self.failed.borrow_mut();
            failed.get_or_insert_with(|| failure.clone());
            failure.into()
        })
    }

    /// What the job's result is worth.
    fn end<T, E>(self, result: Result<T, E>) -> Result<T, Stop<E>> {
        match self.failed.into_inner() {
            Some(failure) => Err(Stop::Failed(failure)),
            None => result.map_err(Stop::Answer),
        }
    }
}

impl<R: Rows> Reads<R> for View<'_, R> {
    type Error = engine::Failure;

    fn get(&self, id: &R::Id) -> Result<Option<Arc<R>>, engine::Failure> {
        self.told(records::by_id(self.connection, id))
    }

    fn scan(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        _want: usize,
        each: impl FnMut(Rank, &Arc<R>) -> ControlFlow<()>,
    ) -> Result<(), engine::Failure> {
        self.told(records::scan(self.connection, key, &range, each))
    }

    fn count(&self, key: &R::Key, range: Range<R::Id>) -> Result<usize, engine::Failure> {
        self.told(records::count::<R>(self.connection, key, &range))
    }

    fn holder(&self, key: &R::Key) -> Result<Option<R::Id>, engine::Failure> {
        self.told(records::holder::<R>(self.connection, key))
    }

    fn nth(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        before: usize,
    ) -> Result<Option<Arc<R>>, engine::Failure> {
        self.told(records::nth(self.connection, key, &range, before))
    }
}

impl<R: Rows> Snapshot<R> for View<'_, R> {
    fn changes_after(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Result<Vec<(Version, Arc<R>)>, engine::Failure> {
        self.told(records::changes_after(self.connection, after, limit))
    }
}

/// A step on the file, and what is to be written when its job is done.
#[derive(Debug)]
pub struct Staging<'a, R: Record> {
    view: View<'a, R>,
    step: Step<'a>,
    /// The last version before the step.
    last: Option<Version>,
    issued: Option<Version>,
    records: Vec<Arc<R>>,
    removed: Vec<Removal<R>>,
    /// What was read last by its id: who removes a record has read it.
    read: RefCell<Option<Arc<R>>>,
}

/// The removal of a record.
#[derive(Debug)]
struct Removal<R: Record> {
    id: R::Id,
    /// As the step has read it, if it has.
    record: Option<Arc<R>>,
    version: Option<Version>,
}

impl<'a, R: Record> Staging<'a, R> {
    fn over(step: Step<'a>) -> Self {
        Self {
            view: View::of(step.connection),
            last: step.tip.version,
            step,
            issued: None,
            records: Vec::new(),
            removed: Vec::new(),
            read: RefCell::new(None),
        }
    }
}

/// Writes what was staged, if the job has returned `Ok`.
fn end<R: Rows, T, E>(
    staging: Staging<'_, R>,
    result: Result<T, E>,
) -> Result<Result<T, E>, Stop<E>> {
    let Staging {
        view,
        mut step,
        last,
        records,
        removed,
        ..
    } = staging;
    let connection = view.connection;
    let result = view.end(result);
    if result.is_ok() {
        let mut gone = Vec::with_capacity(removed.len());
        for removal in removed {
            let record = match removal.record {
                Some(record) => Some(record),
                None => records::by_id::<R>(connection, &removal.id)?,
            };
            gone.extend(record.zip(removal.version));
        }
        records::write(&mut step, last, &records, &gone)?;
        if records.is_empty() && gone.is_empty() {
            step.notice()?;
        }
    }
    step.end(result)
}

impl<R: Rows> Transaction<R> for Staging<'_, R> {
    fn now(&mut self) -> Now {
        self.step.judge()
    }

    fn stamp(&mut self) -> Result<Stamp, ClockError> {
        let stamp = self.step.stamp()?;
        self.issued = Some(stamp.version);
        Ok(stamp)
    }

    fn put(&mut self, record: R) -> Arc<R> {
        let record = Arc::new(record);
        self.records.retain(|staged| staged.id() != record.id());
        self.records.push(Arc::clone(&record));
        record
    }

    fn remove(&mut self, id: R::Id) {
        self.records.retain(|staged| staged.id() != id);
        let read = self.read.borrow().clone();
        self.removed.push(Removal {
            record: read.filter(|record| record.id() == id),
            id,
            // A version of before the step is one that the ledger refuses.
            version: self.issued.or(self.last),
        });
    }
}

impl<R: Rows> Reads<R> for Staging<'_, R> {
    type Error = engine::Failure;

    fn get(&self, id: &R::Id) -> Result<Option<Arc<R>>, engine::Failure> {
        let found = self.view.get(id)?;
        self.read.replace(found.clone());
        Ok(found)
    }

    fn scan(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        want: usize,
        each: impl FnMut(Rank, &Arc<R>) -> ControlFlow<()>,
    ) -> Result<(), engine::Failure> {
        self.view.scan(key, range, want, each)
    }

    fn count(&self, key: &R::Key, range: Range<R::Id>) -> Result<usize, engine::Failure> {
        self.view.count(key, range)
    }

    fn holder(&self, key: &R::Key) -> Result<Option<R::Id>, engine::Failure> {
        self.view.holder(key)
    }

    fn nth(
        &self,
        key: &R::Key,
        range: Range<R::Id>,
        before: usize,
    ) -> Result<Option<Arc<R>>, engine::Failure> {
        self.view.nth(key, range, before)
    }
}

#[cfg(test)]
mod kit;
#[cfg(all(test, feature = "request", feature = "breakglass"))]
mod tests;
