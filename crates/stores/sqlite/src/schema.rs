//! The schema of the file and how it grows: numbered migrations, forward only.
//!
//! Each runs in the transaction that writes its number into the file, so a file has a schema
//! wholly or not at all, and of two processes that open a file at the same time one migrates it. A
//! file that has a newer schema than this release knows is refused. The schema is the same whatever
//! features are on: a file made without one store can be used by it later.
//!
//! Invariant: a migration that was released never changes; the next change is another migration.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::OpenError;

/// `Csgn`: what marks a file as ours.
pub(crate) const APPLICATION_ID: i32 = 0x4373_676e;

/// The migrations, in order: the first makes schema 1 out of nothing.
const MIGRATIONS: &[&str] = &[include_str!("schema/001.sql")];

/// Checks whose file it is, sets up the write-ahead log and brings the schema up to date.
pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    migrate(connection, path, MIGRATIONS)
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    let engine = |source: rusqlite::Error| OpenError::Engine {
        path: path.to_owned(),
        source: source.into(),
    };
    // Before anything is written: it may be the file of somebody else.
    check(connection, path, migrations)?;
    if connection.is_readonly("main").map_err(engine)? {
        return Err(OpenError::ReadOnly {
            path: path.to_owned(),
        });
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(engine)?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog {
            path: path.to_owned(),
            mode,
        });
    }
    if check(connection, path, migrations)? == migrations.len() {
        return Ok(());
    }
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(engine)?;
    // Another process may have been first.
    let present = check(&transaction, path, migrations)?;
    for (number, migration) in (1..).zip(migrations).skip(present) {
        transaction.execute_batch(migration).map_err(engine)?;
        transaction
            .pragma_update(None, "user_version", number)
            .map_err(engine)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(engine)?;
    transaction.commit().map_err(engine)
}

/// The schema that the file has; 0 if it is empty.
fn check(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<usize, OpenError> {
    let number = |sql: &str| {
        let value = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        value.map_err(|source| OpenError::Engine {
            path: path.to_owned(),
            source: source.into(),
        })
    };
    let application_id = number("PRAGMA application_id")? as i32;
    let found = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application_id == 0 && tables == 0 && found == 0 {
        return Ok(0);
    }
    if application_id != APPLICATION_ID {
        return Err(OpenError::OtherApplication {
            path: path.to_owned(),
            application_id,
        });
    }
    match usize::try_from(found) {
        Ok(present) if present <= migrations.len() => Ok(present),
        _ => Err(OpenError::NewerSchema {
            path: path.to_owned(),
            found: u32::try_from(found).unwrap_or(u32::MAX),
            known: u32::try_from(migrations.len()).unwrap_or(u32::MAX),
        }),
    }
}
