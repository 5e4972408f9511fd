//! Records as rows, whichever they are: how they are found and read back, and how a step writes what
//! it staged. What differs between records is their [`Rows`].
//!
//! What always holds:
//!
//! - A record is what its identity columns and its history say: the columns that follow from the
//!   history are written for queries and never read back.
//! - A step writes in the order that the triggers ask for: first the rows of all records, so that what
//!   makes way has made it, then entries and removals by version, each with its row of the ledger.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use countersign_core::engine::{Range, Rank, Record, Start};
use countersign_core::version::Version;
use rusqlite::{Connection, OptionalExtension, Params, Row, ToSql, params};

use crate::error::{EngineError, Failure};
use crate::ledger::{Ledger, Sum};
use crate::sql::{self, bound, of_record};
use crate::step::Step;

/// The statement of a [`Scan`] by a column of which the largest ranks first. `$keys` ends with `AND`,
/// if it is not empty; the first key is ?5.
macro_rules! latest_first {
    ($columns:ident, $from:literal, $keys:literal, $rank:literal, $then:literal) => {
        concat!(
            "SELECT ",
            $rank,
            ", ",
            $columns!(),
            " FROM ",
            $from,
            " WHERE ",
            $keys,
            $rank,
            " <= ?1 AND (",
            $rank,
            " < ?1 OR id > ?2) AND ",
            $rank,
            " >= ?3 ORDER BY ",
            $rank,
            " DESC",
            $then,
            " LIMIT -1 OFFSET ?4"
        )
    };
}

/// As [`latest_first`], by a column of which the smallest ranks first.
#[cfg(any(test, feature = "request", feature = "breakglass"))]
macro_rules! earliest_first {
    ($columns:ident, $from:literal, $keys:literal, $rank:literal, $then:literal) => {
        concat!(
            "SELECT ",
            $rank,
            ", ",
            $columns!(),
            " FROM ",
            $from,
            " WHERE ",
            $keys,
            $rank,
            " >= ?1 AND (",
            $rank,
            " > ?1 OR id > ?2) AND ",
            $rank,
            " <= ?3 ORDER BY ",
            $rank,
            $then,
            " LIMIT -1 OFFSET ?4"
        )
    };
}

#[cfg(any(test, feature = "request", feature = "breakglass"))]
pub(crate) use earliest_first;
pub(crate) use latest_first;

/// What a record has of its own as rows of its store's tables.
pub(crate) trait Rows: Record<Id: fmt::Display + FromStr> + Sized {
    /// An entry of its history.
    type Entry: Send + Sync;

    const LEDGER: &'static Ledger;
    const STATEMENTS: Statements;

    /// How those with a key are found.
    fn lookup(key: &Self::Key) -> Lookup<'_>;

    /// What the record with this id is called in what is said of it.
    fn named(id: &str) -> String {
        format!("{} `{id}`", Self::LEDGER.store)
    }

    /// The version that it was created with: the key of its row, never used again.
    fn created(&self) -> Version;
    /// The entries of its history, oldest first.
    fn entries(&self) -> impl DoubleEndedIterator<Item = Arc<Self::Entry>>;
    /// The version of the record before an entry, and with it.
    fn versions(entry: &Self::Entry) -> (Option<Version>, Version);

    /// The identity in a row, without a history.
    fn identity(row: &Row<'_>) -> Result<Self, rusqlite::Error>;
    /// The entry in a row, and the digest that is stored with it.
    fn entry(row: &Row<'_>) -> Result<(Self::Entry, Sum), rusqlite::Error>;
    /// What an identity and its history make; none if the history is empty or out of order.
    fn restored(self, history: Vec<Arc<Self::Entry>>) -> Option<Self>;

    /// The digest before the first entry: over what identifies the record.
    fn identity_digest(&self) -> Result<Sum, Failure>;
    /// The digest of an entry that follows the one with digest `before`.
    fn entry_digest(entry: &Self::Entry, before: &Sum) -> Sum;

    fn insert(&self, connection: &Connection) -> Result<(), Failure>;
    /// Writes what follows from the history.
    fn update(&self, connection: &Connection) -> Result<(), Failure>;
    fn insert_entry(
        connection: &Connection,
        record: i64,
        entry: &Self::Entry,
        digest: &Sum,
    ) -> Result<(), Failure>;
    /// Writes what stays of a record that is about to be deleted.
    fn outlive(&self, _connection: &Connection) -> Result<(), Failure> {
        Ok(())
    }
}

/// The statements that all records have, each of its own tables.
pub(crate) struct Statements {
    /// Identity columns, by id.
    pub(crate) by_id: &'static str,
    /// Identity columns, by `created`.
    pub(crate) by_key: &'static str,
    /// The entries of a record, oldest first.
    pub(crate) history: &'static str,
    /// The digest of a record's entry, by its version.
    pub(crate) digest: &'static str,
    /// Version and record of ?2 entries from version ?1 on, by version.
    pub(crate) changes: &'static str,
    /// History and row of a record.
    pub(crate) delete: [&'static str; 2],
}

/// How the records with a key are read in the order of their ranks. What ranks equal comes by id, but
/// where no two records rank equal, or nobody asks for places among them.
pub(crate) struct Scan {
    /// Gives the rank's column, then identity columns. ?1 to ?3 are the range, ?4 is how many of it
    /// are passed over, and the keys follow.
    pub(crate) sql: &'static str,
    /// Whether the smallest value of the column ranks first.
    is_ascending: bool,
    /// Counts those in a range that begins after no record, by the same parameters.
    pub(crate) count: Option<&'static str>,
    /// The id of what was removed and had the key, which is ?1.
    outlasting: Option<&'static str>,
}

impl Scan {
    pub(crate) const fn latest_first(sql: &'static str) -> Self {
        Self {
            sql,
            is_ascending: false,
            count: None,
            outlasting: None,
        }
    }

    pub(crate) const fn earliest_first(sql: &'static str) -> Self {
        Self {
            is_ascending: true,
            ..Self::latest_first(sql)
        }
    }

    pub(crate) const fn counted(self, sql: &'static str) -> Self {
        Self {
            count: Some(sql),
            ..self
        }
    }

    pub(crate) const fn outlasting(self, sql: &'static str) -> Self {
        Self {
            outlasting: Some(sql),
            ..self
        }
    }

    /// A rank as the column has it, and the other way round.
    fn turn(&self, number: i64) -> i64 {
        match self.is_ascending {
            true => !number,
            false => number,
        }
    }
}

/// A [`Scan`] and the keys to look for.
pub(crate) struct Lookup<'k> {
    scan: &'static Scan,
    keys: Vec<Cow<'k, str>>,
}

impl<'k> Lookup<'k> {
    /// Of those with these keys.
    pub(crate) fn of<const N: usize>(
        scan: &'static Scan,
        keys: [impl Into<Cow<'k, str>>; N],
    ) -> Self {
        let keys = keys.into_iter().map(Into::into).collect();
        Self { scan, keys }
    }

    /// Of all that the scan gives.
    pub(crate) fn all(scan: &'static Scan) -> Self {
        Self {
            scan,
            keys: Vec::new(),
        }
    }

    /// What the first three parameters are for a range; none if nothing can be in it.
    fn range<I: fmt::Display>(&self, range: &Range<I>) -> Option<(i64, String, i64)> {
        let least = match range.above {
            None => i64::MIN,
            Some(floor) => floor.as_i64().checked_add(1)?,
        };
        // All ids come after the empty one.
        let (place, id) = match &range.start {
            Start::First => (i64::MAX, String::new()),
            Start::At(rank) => (rank.as_i64(), String::new()),
            Start::After(rank, id) => (rank.as_i64(), id.to_string()),
        };
        Some((self.scan.turn(place), id, self.scan.turn(least)))
    }
}

/// Prepares a statement of a record's store.
fn statement<'c, R: Rows>(
    connection: &'c Connection,
    sql: &str,
) -> Result<rusqlite::CachedStatement<'c>, rusqlite::Error> {
    sql::statement(connection, R::LEDGER.statements, sql)
}

/// Runs a statement of a lookup, and calls `each` with its rows but for the first so many, until it
/// breaks: those after that are not read.
fn each_row<R: Rows>(
    connection: &Connection,
    sql: &str,
    lookup: &Lookup<'_>,
    range: &Range<R::Id>,
    passed_over: usize,
    mut each: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let Some((place, id, last)) = lookup.range(range) else {
        return Ok(());
    };
    let passed_over = bound(passed_over);
    let mut parameters: Vec<&dyn ToSql> = vec![&place, &id, &last, &passed_over];
    parameters.extend(lookup.keys.iter().map(|key| key as &dyn ToSql));
    let mut statement = statement::<R>(connection, sql)?;
    let mut rows = statement.query(&*parameters)?;
    while let Some(row) = rows.next()? {
        if each(row)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Calls `each` with the records with a key, in order, until it breaks.
pub(crate) fn scan<R: Rows>(
    connection: &Connection,
    key: &R::Key,
    range: &Range<R::Id>,
    mut each: impl FnMut(Rank, &Arc<R>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let lookup = R::lookup(key);
    each_row::<R>(connection, lookup.scan.sql, &lookup, range, 0, |row| {
        let rank = Rank::from_i64(lookup.scan.turn(row.get(0)?));
        Ok(each(rank, &Arc::new(restore(connection, row)?)))
    })
}

/// How many records have a key.
pub(crate) fn count<R: Rows>(
    connection: &Connection,
    key: &R::Key,
    range: &Range<R::Id>,
) -> Result<usize, Failure> {
    let (lookup, mut count) = (R::lookup(key), 0);
    match (lookup.scan.count, &range.start) {
        (Some(sql), Start::First | Start::At(_)) => {
            each_row::<R>(connection, sql, &lookup, range, 0, |row| {
                count = row.get(0)?;
                Ok(ControlFlow::Break(()))
            })?;
        }
        _ => each_row::<R>(connection, lookup.scan.sql, &lookup, range, 0, |_| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?,
    }
    Ok(count)
}

/// The record with a key that has `before` others before it.
pub(crate) fn nth<R: Rows>(
    connection: &Connection,
    key: &R::Key,
    range: &Range<R::Id>,
    before: usize,
) -> Result<Option<Arc<R>>, Failure> {
    let (lookup, mut found) = (R::lookup(key), None);
    each_row::<R>(connection, lookup.scan.sql, &lookup, range, before, |row| {
        found = Some(Arc::new(restore(connection, row)?));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// The last record with a key, or the one that was removed and had it.
pub(crate) fn holder<R: Rows>(
    connection: &Connection,
    key: &R::Key,
) -> Result<Option<R::Id>, Failure> {
    let lookup = R::lookup(key);
    let id = |row: &Row<'_>| sql::parsed(row, "id", |text| text.parse::<R::Id>().ok());
    let (mut found, all) = (None, Range::all());
    each_row::<R>(connection, lookup.scan.sql, &lookup, &all, 0, |row| {
        found = Some(id(row)?);
        Ok(ControlFlow::Break(()))
    })?;
    match (found, lookup.scan.outlasting) {
        (None, Some(sql)) => {
            let keys = rusqlite::params_from_iter(&lookup.keys);
            let removed = statement::<R>(connection, sql)?.query_row(keys, id);
            Ok(removed.optional()?)
        }
        (found, _) => Ok(found),
    }
}

/// The record with this id.
pub(crate) fn by_id<R: Rows>(
    connection: &Connection,
    id: &R::Id,
) -> Result<Option<Arc<R>>, Failure> {
    one(connection, R::STATEMENTS.by_id, [id.to_string()])
}

fn one<R: Rows>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<Arc<R>>, Failure> {
    let mut statement = statement::<R>(connection, sql)?;
    let mut rows = statement.query(parameters)?;
    match rows.next()? {
        Some(row) => Ok(Some(Arc::new(restore(connection, row)?))),
        None => Ok(None),
    }
}

/// The changes after version `after`, in the order of their making, each with its record.
pub(crate) fn changes_after<R: Rows>(
    connection: &Connection,
    after: Option<Version>,
    limit: usize,
) -> Result<Vec<(Version, Arc<R>)>, Failure> {
    let first = match after {
        None => i64::MIN,
        Some(after) => match after.as_nanos().checked_add(1) {
            Some(first) => first,
            None => return Ok(Vec::new()),
        },
    };
    let mut statement = statement::<R>(connection, R::STATEMENTS.changes)?;
    let mut rows = statement.query(params![first, bound(limit)])?;
    let mut records: HashMap<i64, Arc<R>> = HashMap::new();
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let (version, key) = (Version::from_nanos(row.get(0)?), row.get(1)?);
        let record = match records.get(&key) {
            Some(record) => Arc::clone(record),
            None => {
                let found = one(connection, R::STATEMENTS.by_key, [key])?;
                let record = found.ok_or_else(|| EngineError::Record {
                    place: format!("the change of version `{version}`"),
                    found: format!("no {} that it is of", R::LEDGER.store),
                })?;
                records.insert(key, Arc::clone(&record));
                record
            }
        };
        changes.push((version, record));
    }
    Ok(changes)
}

/// The record that the identity in a row and its stored history make.
fn restore<R: Rows>(connection: &Connection, row: &Row<'_>) -> Result<R, Failure> {
    let place = || match row.get::<_, String>("id") {
        Ok(id) => R::named(&id),
        Err(_) => format!("a row of the store `{}`", R::LEDGER.store),
    };
    let record = R::identity(row).map_err(of_record(place))?;
    let id = record.id();
    let entries = history(connection, &record)?.into_iter();
    let restored = record.restored(entries.map(|(entry, _)| Arc::new(entry)).collect());
    let broken = || EngineError::Record {
        place: format!("the history of {}", R::named(&id.to_string())),
        found: "no entry, or entries out of order".to_owned(),
    };
    restored.ok_or_else(|| broken().into())
}

/// The stored entries of a record, each with its digest.
pub(crate) fn history<R: Rows>(
    connection: &Connection,
    record: &R,
) -> Result<Vec<(R::Entry, Sum)>, Failure> {
    let place = || format!("the history of {}", R::named(&record.id().to_string()));
    let mut statement = statement::<R>(connection, R::STATEMENTS.history)?;
    let mut rows = statement.query([record.created().as_nanos()])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(R::entry(row).map_err(of_record(place))?);
    }
    Ok(entries)
}

/// What a step does to the ledger, at one version.
enum Change<'r, R: Rows> {
    Entry(&'r R, Arc<R::Entry>),
    Removal(&'r R),
}

/// Writes what a step staged: records as they are from now on, and those that are removed with the
/// version of their removal. `last` is the last version that was issued before the step.
pub(crate) fn write<R: Rows>(
    step: &mut Step<'_>,
    last: Option<Version>,
    records: &[Arc<R>],
    removed: &[(Arc<R>, Version)],
) -> Result<(), Failure> {
    let mut changes: Vec<(Version, Change<'_, R>)> = Vec::new();
    for record in records {
        match Some(record.created()) > last {
            true => record.insert(step.connection)?,
            false => record.update(step.connection)?,
        }
        let entries = record.entries().rev();
        let entries = entries.map(|entry| (R::versions(&entry).1, Change::Entry(&**record, entry)));
        changes.extend(entries.take_while(|(version, _)| Some(*version) > last));
    }
    let removed = removed.iter();
    changes.extend(removed.map(|(record, version)| (*version, Change::Removal(&**record))));
    changes.sort_by_key(|(version, _)| *version);
    for (version, change) in changes {
        match change {
            Change::Entry(record, entry) => append(step, record, &entry)?,
            Change::Removal(record) => remove(step, record, version)?,
        }
    }
    Ok(())
}

/// Writes an entry and its row of the ledger.
fn append<R: Rows>(step: &mut Step<'_>, record: &R, entry: &R::Entry) -> Result<(), Failure> {
    let key = record.created().as_nanos();
    let (from, to) = R::versions(entry);
    let before = match from {
        None => record.identity_digest()?,
        Some(from) => digest_at::<R>(step.connection, key, from)?,
    };
    let digest = R::entry_digest(entry, &before);
    R::insert_entry(step.connection, key, entry, &digest)?;
    step.append(to, "entry", key, (&record.id().to_string(), &digest))
}

/// Deletes a record with its history; the ledger says so, at version `at`.
fn remove<R: Rows>(step: &mut Step<'_>, record: &R, at: Version) -> Result<(), Failure> {
    let key = record.created().as_nanos();
    let last = digest_at::<R>(step.connection, key, record.version())?;
    step.append(at, "deleted", key, (&record.id().to_string(), &last))?;
    record.outlive(step.connection)?;
    for sql in R::STATEMENTS.delete {
        statement::<R>(step.connection, sql)?.execute([key])?;
    }
    Ok(())
}

/// The digest that is stored with the entry of this version.
fn digest_at<R: Rows>(
    connection: &Connection,
    record: i64,
    version: Version,
) -> Result<Sum, Failure> {
    let mut statement = statement::<R>(connection, R::STATEMENTS.digest)?;
    Ok(statement.query_row([record, version.as_nanos()], |row| row.get(0))?)
}
