//! The settings of every connection that the crate opens, as the engine has them: read back, with
//! each option, by the thread that owns the connection. What they make of a loss of power, or of a
//! file that somebody else has changed, no other test sees.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread::ThreadId;
use std::time::Duration;

use countersign_core::clock::ManualTicks;
use countersign_request::Error;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::{Database, Options, Synchronous};

/// What is read back.
const READ: [&str; 13] = [
    "busy_timeout",
    "cache_size",
    "cell_size_check",
    "checkpoint_fullfsync",
    "foreign_keys",
    "fullfsync",
    "journal_mode",
    "journal_size_limit",
    "locking_mode",
    "query_only",
    "synchronous",
    "trusted_schema",
    "wal_autocheckpoint",
];

/// What is no setting but says whose file it is, and of which schema: the tests of the schema look.
const MARKS: [&str; 2] = ["application_id", "user_version"];

/// What a connection answers for each setting.
type Settings = Vec<(&'static str, Value)>;

fn read(connection: &Connection) -> Settings {
    let value = |name: &&'static str| {
        let of = |row: &rusqlite::Row<'_>| row.get(0);
        (
            *name,
            connection.pragma_query_value(None, name, of).unwrap(),
        )
    };
    READ.iter().map(value).collect()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// Of the connection that writes.
fn of_the_writer(database: &Database) -> Settings {
    let settings = wait(database.write::<_, Error>(|writing| Ok(read(&writing.connection))));
    settings.unwrap()
}

/// Of the connection that reads what takes long.
fn of_the_long_reader(database: &Database) -> Settings {
    let settings = wait(database.read_long::<_, Error>(|connection| Ok(read(connection))));
    settings.unwrap()
}

/// Of each connection that reads: all of them are kept busy at once.
fn of_the_readers(database: &Database, readers: usize) -> Vec<Settings> {
    let meeting = Arc::new(Barrier::new(readers));
    let read_one = || {
        let meeting = Arc::clone(&meeting);
        wait(
            database.read::<(ThreadId, Settings), Error>(move |connection| {
                meeting.wait();
                Ok((std::thread::current().id(), read(connection)))
            }),
        )
        .unwrap()
    };
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..readers).map(|_| scope.spawn(read_one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let threads: Vec<_> = found
        .iter()
        .map(|(thread, _)| format!("{thread:?}"))
        .collect();
    let distinct: BTreeSet<_> = threads.iter().collect();
    assert_eq!(distinct.len(), readers, "each has a thread of its own");
    found.into_iter().map(|(_, settings)| settings).collect()
}

/// What they must be.
fn expected(options: &Options, writes: bool) -> Settings {
    let synchronous = match options.synchronous {
        Synchronous::Full => 2,
        Synchronous::Normal => 1,
    };
    // The engine counts them in 31 bits; whoever writes looks up after 100.
    let most = if writes { 100 } else { i32::MAX as u128 };
    let milliseconds = options.busy_timeout.as_millis().min(most) as i64;
    READ.into_iter()
        .map(|name| {
            let value = match name {
                "busy_timeout" => Value::Integer(milliseconds),
                "cache_size" => Value::Integer(-16 * 1024),
                "cell_size_check" | "checkpoint_fullfsync" | "foreign_keys" | "fullfsync" => {
                    Value::Integer(1)
                }
                "journal_size_limit" => Value::Integer(8 * 1024 * 1024),
                "wal_autocheckpoint" => Value::Integer(0),
                "journal_mode" => Value::Text("wal".into()),
                "locking_mode" => Value::Text("normal".into()),
                "query_only" => Value::Integer((!writes).into()),
                "synchronous" => Value::Integer(synchronous),
                "trusted_schema" => Value::Integer(0),
                _ => panic!("nobody has said what `{name}` must be"),
            };
            (name, value)
        })
        .collect()
}

fn assert_settings(path: &Path, options: &Options) {
    // Time stands still, so that no call has waited yet.
    let ticks = Arc::new(ManualTicks::new());
    let database = Database::open_with_ticks(path, options, ticks).unwrap();
    let writer = of_the_writer(&database);
    assert_eq!(writer, expected(options, true), "{options:?}: the writer");
    let long = of_the_long_reader(&database);
    assert_eq!(long, expected(options, false), "{options:?}: long reads");
    let readers = options.readers.max(1);
    for reader in of_the_readers(&database, readers) {
        assert_eq!(reader, expected(options, false), "{options:?}: a reader");
    }
}

#[test]
fn every_connection_has_the_settings_that_its_options_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.db");
    // The first makes the file; the others find it.
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        for readers in [0, 1, 2, 5] {
            let milliseconds = [0, 99, 1_234].map(Duration::from_millis);
            for busy_timeout in milliseconds.into_iter().chain([Duration::MAX]) {
                let options = Options {
                    synchronous,
                    busy_timeout,
                    readers,
                    ..Options::default()
                };
                assert_settings(&path, &options);
            }
        }
    }
    let new = folder.path().join("new.db");
    assert_settings(&new, &Options::default());
    let durable = of_the_writer(&Database::open(&new, &Options::default()).unwrap());
    assert!(
        durable.contains(&("synchronous", Value::Integer(2))),
        "unless asked otherwise, a change is on the disk before its call returns"
    );
}

/// A setting that is made here and read back nowhere could be any.
#[test]
fn every_setting_that_is_made_is_read_back() {
    let sources = [include_str!("connection.rs"), include_str!("schema.rs")];
    let mut made = BTreeSet::new();
    for source in sources {
        let source = source.split("mod tests").next().unwrap();
        assert!(!source.contains("PRAGMA "), "settings are made by name");
        for call in source.split(".pragma_update").skip(1) {
            let name = call.split('"').nth(1).unwrap();
            made.insert(name);
        }
    }
    assert!(made.len() >= 8, "the calls are found: {made:?}");
    for name in made {
        let known = READ.contains(&name) || MARKS.contains(&name);
        assert!(known, "`{name}` is set and never read back");
    }
}
