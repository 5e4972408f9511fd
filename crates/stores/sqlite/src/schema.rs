//! The schema of the file and how it grows: numbered migrations, forward only.
//!
//! Each runs in the transaction that writes its number into the file, so a file has a schema
//! wholly or not at all, and of two processes that open a file at the same time one migrates it. A
//! file that has a newer schema than this release knows is refused. The schema is the same whatever
//! features are on: a file made without one store can be used by it later.
//!
//! Invariant: a migration that was released never changes; the next change is another migration.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, Row, TransactionBehavior};

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
    let engine = |source: rusqlite::Error| OpenError::engine(path, source);
    // Before anything is written: it may be the file of somebody else.
    check(connection, path, migrations)?;
    if connection.is_readonly("main").map_err(engine)? {
        return Err(OpenError::ReadOnly {
            path: path.to_owned(),
        });
    }
    let mode = keep_log(connection).map_err(engine)?;
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

/// Checks that it is a file of ours with the schema of this release; nothing is written.
pub(crate) fn require(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match check(connection, path, MIGRATIONS)? {
        present if present == MIGRATIONS.len() => Ok(()),
        // An earlier one cannot be brought up to date, and there was none before the first.
        _ => Err(OpenError::OtherApplication {
            path: path.to_owned(),
            application_id: 0,
        }),
    }
}

/// How often a connection that is told that the file is locked waits and sets up the log again.
const LOG_TRIES: u32 = 100;

/// Sets up the write-ahead log; gives the kind of journal that the file then has.
///
/// Of connections that do so at the same moment the engine refuses all but one at once, whatever
/// the busy timeout is. They wait for that one by asking for the lock that it has.
fn keep_log(connection: &Connection) -> Result<String, rusqlite::Error> {
    let set = || connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
    for _ in 0..LOG_TRIES {
        match set() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
            }
            result => return result,
        }
    }
    set()
}

/// The schema that the file has; 0 if it is empty.
fn check(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<usize, OpenError> {
    // In one statement, so that nobody makes the file ours between one answer and the next.
    let sql = "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) \
         FROM pragma_application_id, pragma_user_version";
    let numbers = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (application_id, found, tables): (i32, i64, i64) =
        numbers.map_err(|source| OpenError::engine(path, source))?;
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

/// Tables, indexes, triggers and views that are missing, changed, or (of triggers) added.
pub(crate) fn differences(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let intended = Connection::open_in_memory()?;
    for migration in MIGRATIONS {
        intended.execute_batch(migration)?;
    }
    let (intended, mut found) = (objects(&intended)?, objects(connection)?);
    let mut differences = Vec::new();
    for (name, (kind, sql)) in &intended {
        match found.remove(name) {
            None => differences.push(format!("{kind} `{name}` is missing")),
            Some((_, other)) if other != *sql => {
                differences.push(format!("{kind} `{name}` is not as it was made"));
            }
            Some(_) => {}
        }
    }
    let added = found.into_iter().filter(|(_, (kind, _))| kind == "trigger");
    differences.extend(added.map(|(name, _)| format!("trigger `{name}` was added")));
    Ok(differences)
}

/// What a schema has, by name: kind and text of each.
fn objects(
    connection: &Connection,
) -> Result<BTreeMap<String, (String, Option<String>)>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT name, type, sql FROM sqlite_schema")?;
    let object = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
    statement.query_map([], object)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.db");
        (folder, path)
    }

    fn names(connection: &Connection) -> usize {
        let sql = "SELECT count(*) FROM sqlite_schema";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    const NEXT: &str = "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;";

    #[test]
    fn a_file_of_an_earlier_schema_is_brought_up_to_date() {
        let (_folder, path) = temporary();
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path, MIGRATIONS).unwrap();
        let before = names(&connection);
        let longer: Vec<&str> = MIGRATIONS.iter().copied().chain([NEXT]).collect();
        for _ in 0..2 {
            migrate(&mut connection, &path, &longer).unwrap();
            assert_eq!(check(&connection, &path, &longer).unwrap(), longer.len());
            assert_eq!(names(&connection), before + 1, "each is run once");
        }
        let newer = migrate(&mut connection, &path, MIGRATIONS);
        let known = MIGRATIONS.len() as u32;
        assert!(matches!(
            newer,
            Err(OpenError::NewerSchema { found, known: most, .. })
                if found == known + 1 && most == known
        ));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_refused() {
        use rusqlite::OpenFlags;
        let (_folder, path) = temporary();
        let empty = Connection::open(&path).unwrap();
        empty.execute_batch("VACUUM").unwrap();
        drop(empty);
        let mut connection =
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let refused = prepare(&mut connection, &path);
        assert!(
            matches!(refused, Err(OpenError::ReadOnly { .. })),
            "{refused:?}"
        );
        let mut connection = Connection::open(&path).unwrap();
        prepare(&mut connection, &path).unwrap();
    }

    #[test]
    fn a_migration_that_fails_leaves_the_file_as_it_was() {
        let (_folder, path) = temporary();
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path, MIGRATIONS).unwrap();
        let before = names(&connection);
        let broken = format!("{NEXT} CREATE TABLE request (id INTEGER);");
        let longer: Vec<&str> = MIGRATIONS
            .iter()
            .copied()
            .chain([broken.as_str()])
            .collect();
        assert!(migrate(&mut connection, &path, &longer).is_err());
        drop(connection);
        let mut connection = Connection::open(&path).unwrap();
        assert_eq!(names(&connection), before);
        migrate(&mut connection, &path, MIGRATIONS).unwrap();
    }

    #[test]
    fn a_schema_without_a_difference_has_none() {
        let (_folder, path) = temporary();
        let mut connection = Connection::open(&path).unwrap();
        prepare(&mut connection, &path).unwrap();
        assert_eq!(differences(&connection).unwrap(), [""; 0]);
        connection
            .execute_batch(
                "DROP INDEX request_open; DROP VIEW emergency_utc;
                 CREATE VIEW emergency_utc AS SELECT 1;
                 CREATE TABLE of_somebody (id INTEGER);
                 CREATE TRIGGER added AFTER INSERT ON of_somebody BEGIN SELECT 1; END;",
            )
            .unwrap();
        assert_eq!(
            differences(&connection).unwrap(),
            [
                "view `emergency_utc` is not as it was made",
                "index `request_open` is missing",
                "trigger `added` was added"
            ]
        );
    }
}
