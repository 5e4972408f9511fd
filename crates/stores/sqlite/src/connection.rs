//! One connection to the file: its settings, and how its transactions begin and end.
//!
//! Invariant: what a read waits for another process is what is left of its caller's patience, which
//! began when the call was queued. What a step waits is its thread's affair (`batch.rs`).
//!
//! Invariant: a read whose caller gives up ends. A step that was begun is made.

use std::path::Path;
use std::time::Duration;

use countersign_core::engine::Outcome;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{EngineError, Failure};
use crate::file::LOG_BYTES;
use crate::options::{Options, Synchronous};
use crate::worker::Caller;

/// Prepared statements that a connection keeps: more than there are.
const CACHED_STATEMENTS: usize = 256;

/// What a connection keeps of the file in memory, at most: 16 MiB, in the engine's unit.
const CACHED_PAGES: i64 = -16 * 1024;

/// For how long a step waits for another process before it looks whether anybody still waits for it.
pub(crate) const LOOK_UP: Duration = Duration::from_millis(100);

/// After so many steps of the engine, less than a millisecond, a read looks whether anybody still waits
/// for it.
const LOOK_UP_STEPS: i32 = 10_000;

/// The shortest time that the engine can wait.
pub(crate) const LEAST_WAIT: Duration = Duration::from_millis(1);

/// Opens a connection. Nothing is written.
pub(crate) fn connect(path: &Path, options: &Options) -> Result<Connection, rusqlite::Error> {
    // Without a right to create: it would be for everybody to read, and a file that was deleted would
    // come back empty.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // Both are the writer's affair, after it has looked at the files. See `file.rs`.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    wait_at_most(&connection, options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // Where the system's `fsync` leaves data in the disk's own memory (Apple's), so that "on the disk"
    // holds there too; elsewhere they change nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cache_size", CACHED_PAGES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Opens a connection that can change nothing.
pub(crate) fn connect_to_read(
    path: &Path,
    options: &Options,
) -> Result<Connection, rusqlite::Error> {
    let connection = connect(path, options)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Begins a step, if no other process writes within this time; else the error is one that
/// [`is_busy`] knows.
pub(crate) fn try_to_write(connection: &Connection, wait: Duration) -> Result<(), rusqlite::Error> {
    end_the_last(connection)?;
    wait_at_most(connection, wait)?;
    connection.execute_batch("BEGIN IMMEDIATE")
}

/// Begins a snapshot, unless the call before has begun one that this one shares.
pub(crate) fn begin_read(
    connection: &mut Connection,
    caller: &Caller,
) -> Result<(), rusqlite::Error> {
    read_for(connection, caller)?;
    // Another process keeps readers out only while it recovers the log.
    wait_at_most(connection, caller.patience())?;
    match connection.is_autocommit() {
        true => connection.execute_batch("BEGIN"),
        false => Ok(()),
    }
}

/// Has the engine end what it does once the caller has given up.
pub(crate) fn read_for(
    connection: &mut Connection,
    caller: &Caller,
) -> Result<(), rusqlite::Error> {
    let caller = caller.clone();
    connection.progress_handler(LOOK_UP_STEPS, Some(move || caller.has_given_up()))
}

/// Takes back a step that was not committed, or ends a snapshot, if there is one.
pub(crate) fn end_the_last(connection: &Connection) -> Result<(), rusqlite::Error> {
    match connection.is_autocommit() {
        true => Ok(()),
        false => connection.execute_batch("ROLLBACK"),
    }
}

/// Whether another process has the lock.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Sets how long the connection waits for the lock of another.
fn wait_at_most(connection: &Connection, time: Duration) -> Result<(), rusqlite::Error> {
    // The engine counts milliseconds in 31 bits.
    connection.busy_timeout(time.min(Duration::from_millis(i32::MAX as u64)))
}

/// Commits a step.
pub(crate) fn commit(connection: &Connection) -> Result<(), Failure> {
    connection.execute_batch("COMMIT").map_err(|error| {
        let Failure { source, .. } = error.into();
        // The mark that makes a transaction valid is on its last page in the log. Where the lock or
        // the room was missing it was not written; after any other failure it may have been.
        let outcome = match source {
            EngineError::Busy(_) | EngineError::Full(_) | EngineError::ReadOnly(_) => {
                Outcome::NotApplied
            }
            _ => Outcome::Unknown,
        };
        Failure { source, outcome }
    })
}
