//! Copies of the file that are made while it is used.
//!
//! A copy is made and verified under another name, and given its own when it is whole and on the
//! disk: a file of that name is a backup, however the process ends.
//!
//! Invariant: the file itself is read by a connection of its own alone, and looked at before and
//! after; the copy is opened by other means only while no connection has it open.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use thiserror::Error;

use crate::audit;
use crate::error::{EngineError, Failure, OpenError};
use crate::file::{Made, Opened};
use crate::report::{Findings, Report};
use crate::verify::check_file;

/// What verifying a backup said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// One report for each store whose feature is on, with the head to note. None has a finding.
    pub reports: Vec<Report>,
}

/// Why there is no backup. Nothing is left of it, unless the process ended.
///
/// ```
/// use countersign_sqlite::BackupError;
///
/// let error = BackupError::Exists { path: "backup.db".into() };
/// assert!(error.to_string().contains("name another"));
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file of that name, and none is overwritten; or the name is one of those that the
    /// engine uses beside the file (`-journal`, `-wal`, `-shm`). Name another, or move it away.
    #[error("`{path}` is there already, or the database needs that name: name another file for the backup", path = .path.display())]
    Exists {
        /// The name.
        path: PathBuf,
    },
    /// The copy cannot be made, written to the disk, or given its name. Make its folder, let the
    /// process write there, and see that there is as much room as the file takes.
    #[error("`{path}` cannot be made: see that its folder can be written ({reason})", path = .path.display())]
    NotMade {
        /// The name.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The copy was made and verifying it found something, which is in the file then too. Verify the
    /// file, and find out who has changed it.
    #[error("the copy was not kept, {first}: verify the file ({count} findings)")]
    Findings {
        /// The first of them.
        first: String,
        /// How many there are.
        count: u64,
    },
    /// The engine could not read the file or write the copy.
    #[error("no backup was made: {cause}")]
    Engine {
        /// What happened.
        cause: EngineError,
    },
}

impl From<Failure> for BackupError {
    fn from(failure: Failure) -> Self {
        BackupError::Engine {
            cause: failure.source,
        }
    }
}

/// Makes a copy of what a connection of its own reads. Each connection is shown to `watch` before it
/// is used.
pub(crate) fn make(
    source: impl FnOnce() -> Result<Connection, Failure>,
    watch: impl Fn(&mut Connection) -> Result<(), rusqlite::Error>,
    opened: &Opened,
    path: &Path,
) -> Result<Backup, BackupError> {
    let not_made = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists {
            path: path.to_owned(),
        },
        _ => BackupError::NotMade {
            path: path.to_owned(),
            reason: error.to_string(),
        },
    };
    // A copy of these names would be taken for a part of the file. Told at once, and not after the
    // copying; giving the name asks again.
    if opened.has_beside(path) || std::fs::symlink_metadata(path).is_ok() {
        return Err(not_made(io::ErrorKind::AlreadyExists.into()));
    }
    let path = std::path::absolute(path).map_err(not_made)?;
    let made = Made::beside(&path).map_err(not_made)?;
    // Of a file that is lost there is nothing to open.
    opened.look()?;
    let mut source = source()?;
    watch(&mut source).map_err(Failure::from)?;
    copy(&source, opened, made.path())?;
    drop(source);
    let synced = File::open(made.path()).and_then(|file| file.sync_all());
    synced.map_err(not_made)?;
    let backup = verified(made.path(), watch)?;
    made.name(&path).map_err(not_made)?;
    sync_folder(&path).map_err(not_made)?;
    Ok(backup)
}

fn copy(source: &Connection, opened: &Opened, made: &Path) -> Result<(), BackupError> {
    let Some(made) = made.to_str() else {
        return Err(BackupError::NotMade {
            path: made.to_owned(),
            reason: "its name is no text".to_owned(),
        });
    };
    let copied = source.execute("VACUUM INTO ?1", [made]);
    // What was copied is the file that others see.
    opened.look()?;
    copied.map_err(Failure::from)?;
    Ok(())
}

/// Verifies all that is in a copy.
fn verified(
    path: &Path,
    watch: impl Fn(&mut Connection) -> Result<(), rusqlite::Error>,
) -> Result<Backup, BackupError> {
    let engine = |error: OpenError| match error {
        OpenError::Engine { cause, .. } => BackupError::Engine { cause },
        error => BackupError::Findings {
            first: error.to_string(),
            count: 1,
        },
    };
    let (mut connections, _opened) = audit::connect(path, 1).map_err(engine)?;
    let mut reports = Vec::new();
    let mut findings = Findings::default();
    for connection in &mut connections {
        watch(connection).map_err(Failure::from)?;
        reports.extend(reports_of(connection)?);
        if reports.is_empty() {
            check_file(connection, &mut findings)?;
        }
    }
    let found = reports.iter().flat_map(|report| &report.findings);
    let Some(first) = found.chain(findings.first()).next() else {
        return Ok(Backup { reports });
    };
    let count = |report: &Report| report.findings.len() as u64 + report.more;
    Err(BackupError::Findings {
        first: first.to_string(),
        count: reports.iter().map(count).sum::<u64>().max(1),
    })
}

/// What each store says whose feature is on, with nothing noted.
fn reports_of(connection: &Connection) -> Result<Vec<Report>, Failure> {
    #[cfg(any(feature = "request", feature = "breakglass", feature = "policy"))]
    use crate::{check::chained, verify::verify};

    let _ = connection;
    Ok(vec![
        #[cfg(feature = "request")]
        verify(connection, &chained::<countersign_request::Request>(), None)?,
        #[cfg(feature = "breakglass")]
        verify(
            connection,
            &chained::<countersign_breakglass::Emergency>(),
            None,
        )?,
        #[cfg(feature = "policy")]
        verify(connection, &chained::<crate::policy::Versions>(), None)?,
    ])
}

/// Has the system keep that there is a file of this name.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::database::Database;
    use crate::options::Options;

    /// The file is replaced while it is copied: what was copied nobody else sees.
    #[test]
    fn a_copy_of_a_file_that_is_replaced_meanwhile_is_no_backup() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let path = at("countersign.db");
        let _database = Database::open(&path, &Options::default()).unwrap();
        let opened = Opened::at(&path).unwrap();
        let copied = |replaced: bool| {
            let source = || {
                let source = Connection::open(&path).map_err(Failure::from)?;
                source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
                if replaced {
                    std::fs::rename(&path, at("moved")).unwrap();
                    std::fs::copy(at("moved"), &path).unwrap();
                }
                Ok(source)
            };
            make(source, |_| Ok(()), &opened, &at("backup.db"))
        };
        copied(false).unwrap();
        std::fs::remove_file(at("backup.db")).unwrap();
        let refused = copied(true).unwrap_err();
        let lost = matches!(
            &refused,
            BackupError::Engine {
                cause: EngineError::Lost { .. }
            }
        );
        assert!(lost, "{refused}");
        assert!(!at("backup.db").exists());
    }

    /// Whoever asked for it has gone, also while the copy is verified.
    #[test]
    fn a_copy_that_nobody_waits_for_is_ended_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let path = at("countersign.db");
        let _database = Database::open(&path, &Options::default()).unwrap();
        let opened = Opened::at(&path).unwrap();
        let source = || Connection::open(&path).map_err(Failure::from);
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let before = files();
        for given_up_at in [1, 2] {
            let count = AtomicU64::new(0);
            let watch = |connection: &mut Connection| {
                let number = 1 + count.fetch_add(1, Ordering::Relaxed);
                connection.progress_handler(1, Some(move || number == given_up_at))
            };
            let ended = make(source, watch, &opened, &at("backup.db")).unwrap_err();
            let BackupError::Engine {
                cause: EngineError::Other(said),
            } = &ended
            else {
                panic!("{ended}");
            };
            assert_eq!(said.extended_code(), Some(rusqlite::ffi::SQLITE_INTERRUPT));
            assert_eq!(files(), before, "nothing is left");
        }
        make(source, |_| Ok(()), &opened, &at("backup.db")).unwrap();
    }
}
