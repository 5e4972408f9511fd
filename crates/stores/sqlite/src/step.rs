//! One step on a store: what time it is for it, the versions that it issues, and what it leaves in
//! the ledger. And [`Books`], by which a store makes its steps and reads its snapshots.
//!
//! The rules of time are those of [`countersign_core::time`]; what is here is how a file remembers
//! what they ask for.
//!
//! Invariant: a correction of the clock or a jump that a call finds is in the ledger when the call
//! is answered, also if it was refused or only read. Otherwise a wait that counts from it would
//! begin anew with each call.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use countersign_core::time::{ClockError, Correction, Health, Now, Stamp, Timeline, Writer, later};
use countersign_core::version::Version;
use rusqlite::{Connection, Row, ToSql, params};

use crate::batch::{Readings, Writing};
use crate::database::Database;
use crate::error::{Failure, Stop, StoreError};
use crate::ledger::{Head, Ledger, Line, Sum, Tip, Written, correction_digest};
use crate::sql::{self, clamped};

/// A store in a file: the file, the ledger of the store and the clock.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    database: Database,
    ledger: &'static Ledger,
    timekeeper: Arc<Timekeeper>,
}

impl Books {
    pub(crate) fn new(
        database: &Database,
        ledger: &'static Ledger,
        clock: Arc<dyn Clock>,
        tolerance: Duration,
    ) -> Self {
        let timekeeper = Timekeeper::new(clock, database.writer(), tolerance);
        Self {
            database: database.clone(),
            ledger,
            timekeeper: Arc::new(timekeeper),
        }
    }

    pub(crate) fn with_clock_tolerance(self, tolerance: Duration) -> Self {
        let timekeeper = Arc::new(self.timekeeper.with_tolerance(tolerance));
        Self { timekeeper, ..self }
    }

    /// Makes one step, which must not have written anything if it answers with an error.
    pub(crate) async fn write<T, E>(
        &self,
        mut make: impl FnMut(&mut Step<'_>) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        let make = move |mut step: Step<'_>| {
            let result = make(&mut step);
            step.end(result)
        };
        self.make(make).await
    }

    /// Makes one step, which `make` ends ([`Step::end`]).
    pub(crate) async fn make<T, E>(
        &self,
        mut make: impl FnMut(Step<'_>) -> Result<Result<T, E>, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        let (ledger, timekeeper) = (self.ledger, Arc::clone(&self.timekeeper));
        let write = move |writing: &mut Writing| {
            let Writing {
                connection,
                readings,
            } = writing;
            make(Step::begin(connection, ledger, &timekeeper, readings)?)
        };
        self.database.write(write).await?
    }

    /// Reads a snapshot.
    pub(crate) async fn read<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        self.database.read(read).await
    }

    /// Reads a snapshot, which takes long.
    pub(crate) async fn read_long<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        self.database.read_long(read).await
    }

    /// Reads a snapshot, with the time that it is for it.
    pub(crate) async fn read_now<T, E>(
        &self,
        read: impl FnOnce(&Connection, &Now) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        let (ledger, timekeeper) = (self.ledger, Arc::clone(&self.timekeeper));
        let known = move |connection: &Connection| {
            let (_, _, now) = timekeeper.now(connection, ledger, &mut Readings::default())?;
            match now.makes_correction() {
                None => Ok(Ok(read(connection, &now)?)),
                Some(_) => Ok(Err(read)),
            }
        };
        let read = match self.database.read::<_, E>(known).await? {
            Ok(found) => return Ok(found),
            Err(read) => read,
        };
        // Remembered by whoever writes next if that fails; the reading is as right without.
        let noticed: Result<(), E> = self
            .write(|step| {
                step.judge();
                Ok(step.notice()?)
            })
            .await;
        drop(noticed);
        let timekeeper = Arc::clone(&self.timekeeper);
        let again = move |connection: &Connection| {
            let (_, _, now) = timekeeper.now(connection, ledger, &mut Readings::default())?;
            read(connection, &now)
        };
        self.database.read(again).await
    }

    /// The head of the ledger.
    pub(crate) async fn head<E: StoreError>(&self) -> Result<Head, E> {
        let ledger = self.ledger;
        let read = move |connection: &Connection| {
            let tip = Tip::read(connection, ledger)?;
            Ok(Head::new(ledger.store, tip.position, tip.head))
        };
        self.database.read(read).await
    }

    /// How the clock and the versions stand to each other.
    pub(crate) async fn health<E: StoreError>(&self) -> Result<Health, E> {
        let (ledger, timekeeper) = (self.ledger, Arc::clone(&self.timekeeper));
        let read = move |connection: &Connection| {
            let (_, timeline, now) =
                timekeeper.now(connection, ledger, &mut Readings::default())?;
            Ok(timeline.health(now.reading()))
        };
        self.database.read(read).await
    }
}

/// A store's clock, and what its readings have shown.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    clock: Arc<dyn Clock>,
    tolerance: Duration,
    writer: Writer,
    /// The latest reading, in nanoseconds.
    latest: AtomicI64,
    /// The version of the correction that was the last when the clock was seen to step back: it and
    /// those before it no longer count against this writer.
    outlived: AtomicI64,
    /// The corrections that were last read, and nothing else: a file may have thousands.
    corrected: Mutex<Timeline>,
}

impl Timekeeper {
    pub(crate) fn new(clock: Arc<dyn Clock>, writer: Writer, tolerance: Duration) -> Self {
        Self {
            clock,
            tolerance,
            writer,
            latest: AtomicI64::new(i64::MIN),
            outlived: AtomicI64::new(i64::MIN),
            corrected: Mutex::new(Timeline::new()),
        }
    }

    /// The same clock with another tolerance.
    pub(crate) fn with_tolerance(&self, tolerance: Duration) -> Self {
        Self::new(Arc::clone(&self.clock), self.writer, tolerance)
    }

    /// What the store remembers of time, and what time it is.
    pub(crate) fn now(
        &self,
        connection: &Connection,
        ledger: &Ledger,
        readings: &mut Readings,
    ) -> Result<(Tip, Timeline, Now), rusqlite::Error> {
        let tip = Tip::read(connection, ledger)?;
        let timeline = self.timeline(connection, ledger, &tip)?;
        let reading = readings.of(&self.clock);
        let timeline = match self.has_stepped_back(reading, &timeline) {
            true => timeline.trusting(self.writer),
            false => timeline,
        };
        let now = timeline.now(reading, self.writer, self.tolerance);
        Ok((tip, timeline, now))
    }

    /// What the store remembers of time, as its ledger stands.
    fn timeline(
        &self,
        connection: &Connection,
        ledger: &Ledger,
        tip: &Tip,
    ) -> Result<Timeline, rusqlite::Error> {
        let Some((version, written)) = tip.version.zip(tip.written) else {
            return Ok(Timeline::new());
        };
        let time = DateTime::from_timestamp_nanos;
        let corrected = self.corrected(connection, ledger)?;
        Ok(corrected
            .with_last(version, time(written.at), writer(written.writer))
            .with_jump(written.jumped_at.map(time)))
    }

    /// The corrections that a snapshot has. Those that were read before are not read again, if the
    /// last of them is in the snapshot as it was: it is not in an older one, nor after the
    /// transaction that it was read in was undone.
    fn corrected(
        &self,
        connection: &Connection,
        ledger: &Ledger,
    ) -> Result<Timeline, rusqlite::Error> {
        let kept = || {
            let kept = self.corrected.lock();
            kept.unwrap_or_else(PoisonError::into_inner)
        };
        let known = *kept();
        let read = |known: Option<Correction>| {
            let from = known.map_or(i64::MIN, |known| known.version.as_nanos());
            let mut statement = sql::statement(connection, ledger.statements, ledger.corrected)?;
            let rows = statement.query_map([from], correction)?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let last = known.correction();
        let found = read(last)?;
        let corrected = match (last, &found[..]) {
            (None, all) => known.with_corrections(all.iter().copied()),
            (Some(last), [first, new @ ..]) if *first == last => {
                known.with_corrections(new.iter().copied())
            }
            _ => Timeline::new().with_corrections(read(None)?),
        };
        if corrected != known {
            *kept() = corrected;
        }
        Ok(corrected)
    }

    /// Whether the clock was set back since this writer was corrected, as far as it was read.
    fn has_stepped_back(&self, reading: DateTime<Utc>, timeline: &Timeline) -> bool {
        let Some(correction) = timeline.correction() else {
            self.latest.fetch_max(clamped(reading), Ordering::Relaxed);
            return false;
        };
        let version = correction.version.as_nanos();
        let before = self.latest.load(Ordering::Relaxed);
        if clamped(later(reading, self.tolerance)) < before {
            self.outlived.fetch_max(version, Ordering::Relaxed);
            self.latest.store(clamped(reading), Ordering::Relaxed);
        } else {
            self.latest.fetch_max(clamped(reading), Ordering::Relaxed);
        }
        let corrected_at = timeline.corrected_at(self.writer);
        let outlived = self.outlived.load(Ordering::Relaxed);
        corrected_at.is_some_and(|corrected_at| outlived >= corrected_at.as_nanos())
    }
}

/// A writer as the ledger has it.
fn writer(bits: i64) -> Writer {
    Writer::from_bits(bits as u64)
}

/// A row of the ledger's corrections.
fn correction(row: &Row<'_>) -> Result<Correction, rusqlite::Error> {
    let time = DateTime::from_timestamp_nanos;
    Ok(Correction {
        version: Version::from_nanos(row.get(0)?),
        to: time(row.get(1)?),
        by: writer(row.get(2)?),
        from: time(row.get(3)?),
        latest: time(row.get(4)?),
        of: writer(row.get(5)?),
    })
}

/// One step on a store: the end of its ledger as the step found it, what time it is for the step,
/// and the versions it issues.
#[derive(Debug)]
pub(crate) struct Step<'c> {
    pub(crate) connection: &'c Connection,
    pub(crate) tip: Tip,
    now: Now,
    ledger: &'static Ledger,
    timeline: Timeline,
    is_judged: bool,
    /// The correction that is not yet written, and how many accesses it puts in force again.
    correction: Option<(Correction, i64)>,
}

impl<'c> Step<'c> {
    pub(crate) fn begin(
        connection: &'c Connection,
        ledger: &'static Ledger,
        timekeeper: &Timekeeper,
        readings: &mut Readings,
    ) -> Result<Self, rusqlite::Error> {
        let (tip, timeline, now) = timekeeper.now(connection, ledger, readings)?;
        let count = |correction: Correction| {
            let Some(in_force_again) = ledger.in_force_again else {
                return Ok((correction, 0));
            };
            let ended = [clamped(correction.to), clamped(correction.from)];
            let mut statement = sql::statement(connection, ledger.statements, in_force_again)?;
            let again = statement.query_row(ended, |row| row.get(0))?;
            Ok::<_, rusqlite::Error>((correction, again))
        };
        Ok(Self {
            connection,
            tip,
            now,
            ledger,
            timeline,
            is_judged: false,
            correction: now.makes_correction().map(count).transpose()?,
        })
    }

    /// What time it is for this step.
    pub(crate) fn judge(&mut self) -> Now {
        self.is_judged = true;
        self.now
    }

    /// Issues a version. It is used up only if the step writes it.
    pub(crate) fn stamp(&mut self) -> Result<Stamp, ClockError> {
        let now = self.judge();
        self.timeline.stamp(&now)
    }

    /// What the transaction is to do and to answer: a refusal is committed if there is news of the
    /// clock with it, and a failure never.
    pub(crate) fn end<T, E>(mut self, result: Result<T, Stop<E>>) -> Result<Result<T, E>, Stop<E>> {
        match result {
            Ok(made) => Ok(Ok(made)),
            Err(Stop::Answer(error)) if self.has_news() => {
                self.notice()?;
                Ok(Err(error))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Whether it has found out something about the clock that is not in the ledger.
    fn has_news(&self) -> bool {
        let known = self.tip.written.and_then(|written| written.jumped_at);
        let has_jumped = self.tip.written.is_some() && known != self.now.jumped_at().map(clamped);
        self.is_judged && (self.correction.is_some() || has_jumped)
    }

    /// Writes down what a step that writes nothing else has found out about the clock, if anything:
    /// another may have written it just before.
    pub(crate) fn notice(&mut self) -> Result<(), Failure> {
        if !self.has_news() {
            return Ok(());
        }
        if self.correction.is_some() {
            return self.append_correction();
        }
        // It makes no version.
        match self.tip.version {
            Some(version) => self.append(version, "jumped", 0, ("", &[0; 32])),
            None => Ok(()),
        }
    }

    fn append_correction(&mut self) -> Result<(), Failure> {
        let Some((correction, again)) = self.correction.take() else {
            return Ok(());
        };
        let (latest, of) = (clamped(correction.latest), correction.of.to_bits() as i64);
        let line = Line {
            version: correction.version,
            action: "corrected",
            record: clamped(correction.from),
            id: "",
            digest: &correction_digest(latest, of, again),
            written: Written::of(&self.now),
        };
        self.write(&line, Some([latest, of, again]))
    }

    /// Adds a row at the end of the ledger; before the first of a step that corrects the clock, the
    /// row of the correction.
    pub(crate) fn append(
        &mut self,
        version: Version,
        action: &str,
        record: i64,
        (id, digest): (&str, &Sum),
    ) -> Result<(), Failure> {
        self.append_correction()?;
        let line = Line {
            version,
            action,
            record,
            id,
            digest,
            written: Written::of(&self.now),
        };
        self.write(&line, None)
    }

    fn write(&mut self, line: &Line<'_>, correction: Option<[i64; 3]>) -> Result<(), Failure> {
        let ledger = self.ledger;
        self.tip.advance(ledger.store, line);
        let mut statement = sql::statement(self.connection, ledger.statements, ledger.append)?;
        let (position, version) = (self.tip.position, line.version.as_nanos());
        let of_all = params![
            position,
            version,
            line.action,
            line.record,
            line.id,
            line.digest,
            self.tip.head,
        ];
        let [latest, of, again] = match correction {
            Some(values) => values.map(Some),
            None => [None; 3],
        };
        let of_times = params![
            line.written.at,
            line.written.writer,
            line.written.jumped_at,
            latest,
            of,
            again
        ];
        let all: Vec<&dyn ToSql> = of_all.iter().chain(of_times).copied().collect();
        statement.execute(&*all)?;
        Ok(())
    }
}

#[cfg(all(test, feature = "request"))]
mod tests;
