//! What all stores need of the engine: statements that are prepared once, and values on their way
//! in and out.
//!
//! Times are kept as nanoseconds in 64 bits. A time that is written and does not fit is an error; a
//! time that is only compared with is moved to the nearer end, as stores in memory do it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlError, Type, ValueRef};
use rusqlite::{CachedStatement, Connection, Row};

use crate::error::{EngineError, Failure};

/// Prepares a statement, once for each connection.
///
/// `shipped` are the statements whose plans the tests look at: nothing else is to be run.
pub(crate) fn statement<'c>(
    connection: &'c Connection,
    shipped: &[&str],
    sql: &str,
) -> Result<CachedStatement<'c>, rusqlite::Error> {
    debug_assert!(
        shipped.contains(&sql),
        "a statement is run whose plan no test has seen: {sql}"
    );
    connection.prepare_cached(sql)
}

/// A time as it is stored.
pub(crate) fn nanos(time: DateTime<Utc>) -> Result<i64, EngineError> {
    time.timestamp_nanos_opt().ok_or(EngineError::Time { time })
}

/// A time to compare with.
pub(crate) fn clamped(time: DateTime<Utc>) -> i64 {
    let limit = if time.timestamp() < 0 {
        i64::MIN
    } else {
        i64::MAX
    };
    time.timestamp_nanos_opt().unwrap_or(limit)
}

/// A limit as the engine takes it.
pub(crate) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A length as it is stored.
pub(crate) fn length(what: &'static str, length: Duration) -> Result<i64, EngineError> {
    i64::try_from(length.as_nanos()).map_err(|_| EngineError::TooLarge {
        what,
        value: format!("{length:?}"),
    })
}

/// A time that is stored.
pub(crate) struct Time(pub(crate) DateTime<Utc>);

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        Ok(Self(DateTime::from_timestamp_nanos(value.as_i64()?)))
    }
}

/// A length that is stored.
pub(crate) struct Length(pub(crate) Duration);

impl FromSql for Length {
    fn column_result(value: ValueRef<'_>) -> Result<Self, FromSqlError> {
        let value = value.as_i64()?;
        let nanos = u64::try_from(value).map_err(|_| FromSqlError::OutOfRange(value))?;
        Ok(Self(Duration::from_nanos(nanos)))
    }
}

/// A column as what its text is parsed to.
pub(crate) fn parsed<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, rusqlite::Error> {
    let found: Option<T> = parsed_if_any(row, column, parse)?;
    found.ok_or_else(|| unreadable(column, "no value"))
}

/// A column as what its text is parsed to, if it holds any.
pub(crate) fn parsed_if_any<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, rusqlite::Error> {
    let value = row.get_ref(column)?;
    if value == ValueRef::Null {
        return Ok(None);
    }
    let text = value
        .as_str()
        .map_err(|error| unreadable(column, &error.to_string()))?;
    match parse(text) {
        Some(parsed) => Ok(Some(parsed)),
        None => {
            let shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
            Err(unreadable(column, &format!("`{shown}`")))
        }
    }
}

fn unreadable(column: &str, found: &str) -> rusqlite::Error {
    let message = format!("column `{column}` holds {found}");
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, message.into())
}

/// Says which record it was that could not be read.
pub(crate) fn of_record(place: impl FnOnce() -> String) -> impl FnOnce(rusqlite::Error) -> Failure {
    |error| {
        let found = match &error {
            rusqlite::Error::FromSqlConversionFailure(_, _, message) => message.to_string(),
            rusqlite::Error::InvalidColumnType(_, column, kind) => {
                format!("a value of type {kind} in column `{column}`")
            }
            rusqlite::Error::IntegralValueOutOfRange(column, value) => {
                format!("`{value}`, which is out of range, in column {column}")
            }
            _ => return error.into(),
        };
        let place = place();
        EngineError::Record { place, found }.into()
    }
}
