//! What can go wrong with the file: when it is opened, and while it is used.
//!
//! An [`EngineError`] says in words what happened and what to do; the stores hand it on as the
//! source of their `Error::Backend`, with whether a later try may succeed and whether the change
//! was made.
//!
//! Invariant: no type of the engine's library is in the public interface, so that its version can
//! change without anybody's code. Within the crate a [`Failure`] takes what the engine says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::engine::{self, Outcome};
use countersign_core::id::RandomError;
use rusqlite::ErrorCode;
use thiserror::Error;

/// Why a file was not opened. Nothing was changed in it.
///
/// ```
/// use countersign_sqlite::{Database, OpenError, Options};
///
/// let missing = Database::open("/no/such/folder/countersign.db", &Options::default());
/// assert!(matches!(missing, Err(OpenError::Engine { .. })));
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is a database of something else. Name another file.
    #[error("`{path}` is not a Countersign database but another's: name another file", path = .path.display())]
    OtherApplication {
        /// The file.
        path: PathBuf,
        /// The number by which its application marks it; 0 if it has tables and no mark.
        application_id: i32,
    },
    /// The file was written by a newer release. Use that one, or restore a backup made before.
    #[error(
        "`{path}` has schema {found} and this release knows schemas up to {known}: use the newer \
         release", path = .path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema that it has.
        found: u32,
        /// The newest schema that this release knows.
        known: u32,
    },
    /// The file is not there, and was to be opened only if it is. Find it, or restore a backup.
    #[error(
        "`{path}` is not there: find it, or restore a backup; `Options::create_if_missing` makes a \
         new one", path = .path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not there, and a log of it that holds changes is: a new file would destroy them.
    /// Put the file that belongs to the log back beside it, or move the log away.
    #[error(
        "`{path}` is not there, but its log `{log}` is, with changes in it: put back the file that it \
         belongs to, or move the log away to begin with a new file", path = .path.display(),
         log = .log.display()
    )]
    LogWithoutFile {
        /// The file.
        path: PathBuf,
        /// Its log.
        log: PathBuf,
    },
    /// The file can be read and not written. Let the process write it and its folder.
    #[error(
        "`{path}` cannot be written: let this process write the file and its folder", path = .path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The name is none of a file that several connections can share, or of a folder. Name a file.
    #[error("`{path}` names no file: name one", path = .path.display())]
    NotAFile {
        /// The name.
        path: PathBuf,
    },
    /// The file cannot keep a write-ahead log, because of where it is. Put it on a local disk.
    #[error(
        "`{path}` cannot keep a write-ahead log (its journal is `{mode}`): put it on a local disk", path = .path.display()
    )]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
        /// The kind of journal that it keeps instead.
        mode: String,
    },
    /// The program was linked with an SQLite that can lose commits. Link the one that is built in,
    /// or a newer one.
    #[error(
        "SQLite {found} can lose commits: link SQLite {least} or newer, such as the one that is built in"
    )]
    OldEngine {
        /// The version that the program has.
        found: String,
        /// The oldest that is used.
        least: String,
    },
    /// The file, or its log, was replaced while it was opened. Try again.
    #[error("`{path}` was replaced while it was opened: try again", path = .path.display())]
    Replaced {
        /// The file.
        path: PathBuf,
    },
    /// The file is to be read alone, and beside it lies what the engine must finish by writing. Let it
    /// be opened to be written once, or read a copy that is.
    #[error(
        "`{path}` has a change beside it that was not finished: open it to be written, or a copy of it \
         and of what lies beside it", path = .path.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// A thread that uses the file was not started. Look at the limits of the process.
    #[error("no thread was started for the database: {reason}")]
    NoThread {
        /// What the system said.
        reason: String,
    },
    /// The opening got no id of its own, by which its writes are told from those of others. Try
    /// again.
    #[error(transparent)]
    Random(RandomError),
    /// The engine did not open the file, or did not find in it what it must hold.
    #[error("`{path}` was not opened: {cause}", path = .path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What happened.
        cause: EngineError,
    },
}

impl OpenError {
    pub(crate) fn missing(path: &Path) -> Self {
        Self::Missing {
            path: path.to_owned(),
        }
    }

    /// The file, or its log, cannot be looked at though it was just opened.
    pub(crate) fn unseen(path: &Path, error: &std::io::Error) -> Self {
        Self::Engine {
            path: path.to_owned(),
            cause: EngineError::Lost {
                path: path.to_owned(),
                problem: format!("or its log cannot be looked at ({error})"),
            },
        }
    }

    /// What the engine said while it opened a file. Nothing that is asked then is wrong: if the
    /// engine finds it so, the file is.
    pub(crate) fn engine(path: &Path, source: rusqlite::Error) -> Self {
        Self::Engine {
            path: path.to_owned(),
            cause: match Failure::from(source).source {
                EngineError::Other(error) if error.is_unspecific() => EngineError::Corrupt(error),
                error => error,
            },
        }
    }
}

/// What SQLite itself said, as its number and its words.
///
/// ```
/// use countersign_sqlite::{Database, EngineError, OpenError, Options};
///
/// let missing = Database::open("/no/such/folder/countersign.db", &Options::default());
/// let Err(OpenError::Engine { cause: EngineError::CannotOpen(said), .. }) = missing else {
///     panic!("there is no such folder");
/// };
/// assert_eq!(said.extended_code().map(|code| code & 0xff), Some(14));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct SqliteError {
    code: Option<i32>,
    text: String,
}

impl SqliteError {
    /// The [extended result code](https://www.sqlite.org/rescode.html), if SQLite gave one: what
    /// it met, in numbers that its versions do not change. The last eight bits are the primary one.
    pub fn extended_code(&self) -> Option<i32> {
        self.code
    }

    fn of(error: &rusqlite::Error) -> Self {
        Self {
            code: error.sqlite_error().map(|error| error.extended_code),
            text: error.to_string(),
        }
    }

    fn is_unspecific(&self) -> bool {
        self.code.map(|code| code & 0xff) == Some(rusqlite::ffi::SQLITE_ERROR)
    }
}

/// What the engine met while it read or wrote the file: the source of a store's `Error::Backend`.
///
/// ```
/// use countersign_sqlite::EngineError;
///
/// assert!(EngineError::Closed.to_string().contains("open it again"));
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Another connection kept the file locked for longer than the busy timeout. Try again.
    #[error("the file is locked by another connection: try again ({0})")]
    Busy(SqliteError),
    /// As many calls of this process wait for the file as [`Options::queue_length`] lets: the call
    /// was not queued. Try again later, or let fewer call at once.
    ///
    /// [`Options::queue_length`]: crate::Options::queue_length
    #[error(
        "the file is busy, `{waiting}` calls wait for it already: try again later, or let fewer call \
         at once"
    )]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// The disk is full. Make room, and try again.
    #[error("the disk is full: make room, and try again ({0})")]
    Full(SqliteError),
    /// The file, one that the engine keeps beside it, or its folder cannot be written. Let the
    /// process write them: whoever opened the file when it could not be written has left files
    /// beside it with the same rights.
    #[error(
        "the file cannot be written: let this process write the file, those beside it (`-wal`, \
         `-shm`) and its folder ({0})"
    )]
    ReadOnly(SqliteError),
    /// The file, or one that the engine keeps beside it, cannot be opened. Make its folder, and let
    /// the process write the file and its folder; if too many files are open, a later try may
    /// succeed.
    #[error(
        "the file, or one beside it, cannot be opened: see that its folder is there and that this \
         process may write the file and its folder ({0})"
    )]
    CannotOpen(SqliteError),
    /// The system could not read or write the file. Look at the disk; a later try may succeed.
    #[error("the system could not read or write the file: look at the disk ({0})")]
    InputOutput(SqliteError),
    /// The file is damaged, or is no database. Restore a backup.
    #[error("the file is damaged or is no database: restore a backup ({0})")]
    Corrupt(SqliteError),
    /// A record is not what a store writes. Have `verify` look at the file, and restore a backup.
    #[error("{place} holds {found}: have the file verified, and restore a backup")]
    Record {
        /// Which record, and where in it.
        place: String,
        /// What is there.
        found: String,
    },
    /// A time is outside the years 1678 to 2261. Choose shorter limits, or set the clock right.
    #[error(
        "time `{time}` cannot be stored: choose limits and a clock within the years 1678 to 2261"
    )]
    Time {
        /// The time.
        time: DateTime<Utc>,
    },
    /// A number is larger than the file can hold. Choose a smaller limit.
    #[error("{what} is `{value}`, more than can be stored: choose a smaller limit")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The number.
        value: String,
    },
    /// A constraint of the schema refused what a store wrote: another program has changed the file
    /// since. Have `verify` look at the file.
    #[error("a constraint of the file refused the change: have the file verified ({0})")]
    Constraint(SqliteError),
    /// What was called in the step (the clock, most likely) panicked. Nothing was changed.
    #[error("a call within the step panicked: look at the clock that the store was given")]
    Panicked,
    /// The file or its log is not the one that was opened: it was deleted, moved or replaced, or
    /// another program has removed the log. Nothing is read or written any more.
    ///
    /// Stop, and restart nothing: whoever opens what is there now may write over what can still be
    /// saved. Keep a copy of it with all that lies beside it, put the file and its `-wal` back
    /// together, then open it, and verify it with the last head that was noted.
    #[error(
        "`{path}` {problem}: changes may be lost. Stop, copy what is there with its `-wal`, and put \
         file and log back together before anything opens them; then verify", path = .path.display()
    )]
    Lost {
        /// The file or its log.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file was opened for audit, and it or its log has been changed or replaced since: nothing
    /// is answered from it any more. Audit a copy ([`Database::backup`](crate::Database::backup)).
    #[error(
        "`{path}` {problem} while it was audited, so nothing can be said of it: audit a copy that \
         nobody writes to, such as a backup", path = .path.display()
    )]
    Changed {
        /// The file or its log.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file was opened to be read. Open it with `Database::open` to change something.
    #[error("the file was opened to be read alone: open it with `Database::open` to change it")]
    ForAudit,
    /// The thread that uses the file has ended.
    #[error("the database is closed: open it again")]
    Closed,
    /// Anything else.
    #[error("the engine failed: {0}")]
    Other(SqliteError),
}

impl EngineError {
    /// Whether the same call may succeed later without the file being mended.
    pub fn is_retryable(&self) -> bool {
        match self {
            EngineError::Busy(_)
            | EngineError::QueueFull { .. }
            | EngineError::Full(_)
            | EngineError::CannotOpen(_)
            | EngineError::InputOutput(_) => true,
            EngineError::ReadOnly(_)
            | EngineError::Corrupt(_)
            | EngineError::Record { .. }
            | EngineError::Time { .. }
            | EngineError::TooLarge { .. }
            | EngineError::Constraint(_)
            | EngineError::Panicked
            | EngineError::ForAudit
            | EngineError::Lost { .. }
            | EngineError::Changed { .. }
            | EngineError::Closed
            | EngineError::Other(_) => false,
        }
    }
}

/// What the engine's library says, in our words.
fn told(error: rusqlite::Error) -> EngineError {
    let code = error.sqlite_error_code();
    // The statements are right, so the schema is not the one that they are for; their text would
    // only hide what is wrong.
    let error = match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            let error = rusqlite::Error::SqliteFailure(error, Some(msg));
            return EngineError::Corrupt(SqliteError::of(&error));
        }
        error => error,
    };
    // An index that a statement names is there and is another than the schema's.
    if matches!(&error, rusqlite::Error::SqliteFailure(_, Some(said)) if said == "no query solution")
    {
        return EngineError::Corrupt(SqliteError::of(&error));
    }
    // The schema lets no such value in: something else has written it.
    let unreadable = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows
    );
    let error = SqliteError::of(&error);
    match code {
        _ if unreadable => EngineError::Corrupt(error),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => EngineError::Busy(error),
        Some(ErrorCode::DiskFull) => EngineError::Full(error),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => EngineError::ReadOnly(error),
        Some(ErrorCode::CannotOpen) => EngineError::CannotOpen(error),
        Some(ErrorCode::SystemIoFailure) => EngineError::InputOutput(error),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => EngineError::Corrupt(error),
        Some(ErrorCode::ConstraintViolation) => EngineError::Constraint(error),
        _ => EngineError::Other(error),
    }
}

/// An engine's error, with whether the change was made all the same.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) source: EngineError,
    pub(crate) outcome: Outcome,
}

impl From<EngineError> for Failure {
    fn from(source: EngineError) -> Self {
        Failure {
            source,
            outcome: Outcome::NotApplied,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        told(error).into()
    }
}

/// Why a step on the file ended without a result: the store's own answer, or the engine's failure.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// What the contract says: not found, a conflict, a refusal.
    Answer(E),
    /// The engine failed.
    Failed(Failure),
}

impl<E> From<EngineError> for Stop<E> {
    fn from(error: EngineError) -> Self {
        Stop::Failed(error.into())
    }
}

impl<E> From<rusqlite::Error> for Stop<E> {
    fn from(error: rusqlite::Error) -> Self {
        Stop::Failed(error.into())
    }
}

impl<E> From<Failure> for Stop<E> {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

impl From<Failure> for engine::Failure {
    fn from(failure: Failure) -> Self {
        engine::Failure {
            is_retryable: failure.source.is_retryable(),
            outcome: failure.outcome,
            source: Arc::new(failure.source),
        }
    }
}

/// An error of a domain crate, which can hold an engine's failure.
pub(crate) trait StoreError: From<engine::Failure> + Send + 'static {}

impl<E: From<engine::Failure> + Send + 'static> StoreError for E {}

impl<E: StoreError> Stop<E> {
    pub(crate) fn into_error(self) -> E {
        match self {
            Stop::Answer(error) => error,
            Stop::Failed(failure) => engine::Failure::from(failure).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_code(code: std::ffi::c_int) -> EngineError {
        told(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(code),
            None,
        ))
    }

    #[test]
    fn what_time_or_room_mends_can_be_tried_again() {
        use rusqlite::ffi::*;
        for code in [
            SQLITE_BUSY,
            SQLITE_LOCKED,
            SQLITE_FULL,
            SQLITE_IOERR,
            SQLITE_BUSY_SNAPSHOT,
        ] {
            assert!(of_code(code).is_retryable(), "{}", of_code(code));
        }
        for code in [
            SQLITE_READONLY,
            SQLITE_CORRUPT,
            SQLITE_NOTADB,
            SQLITE_CONSTRAINT,
            SQLITE_MISUSE,
        ] {
            assert!(!of_code(code).is_retryable(), "{}", of_code(code));
        }
    }

    #[test]
    fn damage_is_said_in_words() {
        let kind = rusqlite::types::Type::Text;
        for error in [
            of_code(rusqlite::ffi::SQLITE_CORRUPT),
            told(rusqlite::Error::InvalidColumnType(
                6,
                "head".to_owned(),
                kind,
            )),
            told(rusqlite::Error::QueryReturnedNoRows),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("the file is damaged"), "{text}");
            assert!(!error.is_retryable(), "{text}");
        }
    }
}
