//! Files that are read and of which no byte is changed: backups, evidence, what cannot be written.
//!
//! Without anything in a log the engine is told that the file cannot change, and takes no lock and
//! makes no file. With a log it reads that too: it keeps the index of the log in its own memory, by
//! itself, without locks; without the log the last changes would be missing and nobody would know.
//!
//! Invariant: nobody writes meanwhile, since there are no locks; file and log are looked at before
//! each answer, with their length and the time of their last change.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;
use crate::file::Opened;
use crate::schema;

/// Opens as many connections as are asked for, at least one.
pub(crate) fn connect(path: &Path, count: usize) -> Result<(Vec<Connection>, Opened), OpenError> {
    let unseen = |error: std::io::Error| OpenError::unseen(path, &error);
    let engine = |source: rusqlite::Error| OpenError::engine(path, source);
    let opened = match Opened::unchanging(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(OpenError::missing(path));
        }
        opened => opened.map_err(unseen)?,
    };
    let journal = std::fs::metadata(opened.beside("-journal"));
    let unfinished = journal.is_ok_and(|journal| journal.len() > 0);
    if unfinished || (opened.has_log() && !cfg!(unix)) {
        return Err(OpenError::Unfinished {
            path: path.to_owned(),
        });
    }
    let open = || {
        let how = match opened.has_log() {
            false => "immutable=1",
            true => "vfs=unix-none",
        };
        let connection = Connection::open_with_flags(uri(path, how), flags())?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let exclusive = |_: &rusqlite::Row<'_>| Ok(());
        connection.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", exclusive)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        Ok(connection)
    };
    let connections: Result<Vec<_>, _> = (0..count.max(1)).map(|_| open()).collect();
    let connections = connections.map_err(engine)?;
    for connection in &connections {
        schema::require(connection, path)?;
    }
    Ok((connections, opened))
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI
}

/// The name of a file with a word on how it is opened.
fn uri(path: &Path, how: &str) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let encoded = bytes.iter().map(|byte| match (plain(byte), byte) {
        (true, byte) => char::from(*byte).to_string(),
        (false, b'\\') if cfg!(windows) => "/".to_owned(),
        (false, byte) => format!("%{byte:02X}"),
    });
    let encoded: String = encoded.collect();
    match encoded.starts_with('/') || !path.is_absolute() {
        true => format!("file:{encoded}?{how}"),
        false => format!("file:/{encoded}?{how}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_file_is_called_it_is_that_one_that_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "plain.db",
            "a b",
            "50%",
            "what?immutable=0",
            "#1",
            "%41",
            "ä",
            "a&b=c;d",
        ] {
            let path = folder.path().join(name);
            let made = Connection::open(&path).unwrap();
            made.execute_batch("CREATE TABLE t (id)").unwrap();
            drop(made);
            let connection = Connection::open_with_flags(uri(&path, "immutable=1"), flags());
            let found = connection
                .unwrap()
                .query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
            assert_eq!(found.unwrap(), 0, "`{name}`");
        }
    }
}
