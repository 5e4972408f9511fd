//! One connection to the file: its settings, and how its transactions begin and end.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{EngineError, Failure};
use crate::file::LOG_BYTES;
use crate::options::{Options, Synchronous};

/// Prepared statements that a connection keeps: more than there are.
const CACHED_STATEMENTS: usize = 256;

/// What a connection keeps of the file in memory, at most: 16 MiB, in the engine's unit.
const CACHED_PAGES: i64 = -16 * 1024;

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
    // The engine counts milliseconds in 31 bits.
    let most = Duration::from_millis(i32::MAX as u64);
    connection.busy_timeout(options.busy_timeout.min(most))?;
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

pub(crate) fn begin(
    connection: &mut Connection,
    behavior: TransactionBehavior,
) -> Result<Transaction<'_>, rusqlite::Error> {
    // Left behind only if a rollback failed.
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    connection.transaction_with_behavior(behavior)
}

/// Commits. A transaction that was not committed is rolled back when it is dropped.
pub(crate) fn commit(transaction: &Transaction<'_>) -> Result<(), Failure> {
    transaction.execute_batch("COMMIT").map_err(|error| {
        let Failure { source, .. } = error.into();
        // The mark that makes a transaction valid is on its last page in the log. Where the lock or
        // the room was missing it was not written; after any other failure it may have been.
        let unknown = !matches!(
            source,
            EngineError::Busy(_) | EngineError::Full(_) | EngineError::ReadOnly(_)
        );
        Failure { source, unknown }
    })
}
