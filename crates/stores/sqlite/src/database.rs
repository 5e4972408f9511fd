//! The file: how it is opened, and the two ways in which stores use it.
//!
//! One thread writes and some read, each with a connection of its own. A write is one transaction
//! that takes the file's write lock at its beginning, so that whatever a rule looks at stays as it
//! is until the change is written, also against other processes. A read is one snapshot. No call is
//! answered from a file that is not the one that was opened.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign_core::id::{OsRandom, RandomSource};
use countersign_core::time::Writer;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::audit;
use crate::backup::{self, Backup, BackupError};
use crate::error::{EngineError, Failure, OpenError, Stop, StoreError};
use crate::file::{self, LOG_BYTES, Opened};
use crate::schema;
use crate::worker::{Upkeep, Workers};

/// Prepared statements that a connection keeps: more than there are.
const CACHED_STATEMENTS: usize = 256;

/// What a connection keeps of the file in memory, at most: 16 MiB, in the engine's unit.
const CACHED_PAGES: i64 = -16 * 1024;

/// The oldest SQLite that is used: those before it can lose commits when two connections commit and
/// write the log back at once.
const LEAST_ENGINE: i32 = 3_051_003;

/// When a change is on the disk.
///
/// ```
/// use countersign_sqlite::{Options, Synchronous};
///
/// assert_eq!(Options::default().synchronous, Synchronous::Full);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Before the call that makes it returns: it survives the loss of power. Each change waits for
    /// the disk.
    #[default]
    Full,
    /// Before the write-ahead log is next written back. A change survives the end of the process,
    /// however it ends; the last changes before a loss of power may be gone, whole ones and the
    /// last first, and the file stays sound. Someone may by then have been told that they have
    /// access, or that it is taken from them.
    Normal,
}

/// How a file is opened.
///
/// ```
/// use std::time::Duration;
/// use countersign_sqlite::Options;
///
/// let options = Options { busy_timeout: Duration::from_secs(1), ..Options::default() };
/// assert_eq!(options.readers, 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// When a change is on the disk: before its call returns.
    pub synchronous: Synchronous,
    /// How long a call waits for another process that writes, before it fails: 5 seconds.
    pub busy_timeout: Duration,
    /// How many threads read, each with a connection, which keeps up to 16 MiB of the file in
    /// memory: 2; of 0 there is one.
    pub readers: usize,
    /// Whether a file that is not there is made: yes. If not, opening it is refused
    /// ([`OpenError::Missing`]): for a service that is past its first day a file that is gone is no
    /// reason to begin with an empty one, in which nobody has used up a limit or a second factor.
    pub create_if_missing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            readers: 2,
            create_if_missing: true,
        }
    }
}

/// An open file, from which stores are made. A clone is another handle of the same one.
///
/// Dropping the last handle, those in the stores included, waits for the calls that were made and
/// closes the file.
///
/// ```
/// use countersign_sqlite::{Database, Options};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("countersign.db");
/// let database = Database::open(&path, &Options::default())?;
/// assert_eq!(database.path(), path);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    writer_id: Writer,
    opened: Arc<Opened>,
    /// Closed first, so that the writer is the last to close: it empties the log.
    readers: Workers,
    /// None of a file that is read alone.
    writer: Option<Workers>,
    options: Options,
}

impl Database {
    /// Opens a file, and makes it if it is not there ([`Options::create_if_missing`]): its owner
    /// alone can read and write it then. It is not made beside a log that holds changes of a file
    /// that is gone ([`OpenError::LogWithoutFile`]): that would destroy them.
    ///
    /// Blocks while it reads, and while it changes the schema; [`Database::open_on_a_thread`] does
    /// not. Several processes can have one file open. The file must be on a local disk: its
    /// write-ahead log is shared by memory.
    ///
    /// # Errors
    /// [`OpenError`]; the file is as it was then.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        named(path)?;
        check_engine(rusqlite::version_number())?;
        let engine = |source: rusqlite::Error| OpenError::engine(path, source);
        match file::missing(path) {
            Some(Some(log)) => {
                return Err(OpenError::LogWithoutFile {
                    path: path.to_owned(),
                    log,
                });
            }
            Some(None) if !options.create_if_missing => return Err(OpenError::missing(path)),
            // If it cannot be made, the engine says why.
            Some(None) => drop(file::make(path)),
            None => {}
        }
        let mut connection = connect(path, options).map_err(engine)?;
        schema::prepare(&mut connection, path)?;
        let opened = Opened::at(path).map_err(|error| OpenError::unseen(path, &error))?;
        let readers = (0..options.readers.max(1)).map(|_| {
            let reader = connect(path, options)?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(reader)
        });
        let readers = readers.collect::<Result<Vec<_>, _>>().map_err(engine)?;
        let writer_id = OsRandom.next_u64().map_err(OpenError::Random)?;
        // Nobody has put other files there meanwhile, of which a part of the connections would be.
        let after = Opened::at(path).map_err(|error| OpenError::unseen(path, &error))?;
        if !opened.is_same(&after) {
            return Err(OpenError::Replaced {
                path: path.to_owned(),
            });
        }
        let opened = Arc::new(opened);
        let upkeep = Upkeep {
            opened: Arc::clone(&opened),
            after_call: Opened::shorten,
            at_end: Opened::empty,
        };
        let start = |name, connections, upkeep| {
            Workers::start(name, connections, upkeep).map_err(no_thread)
        };
        let inner = Inner {
            path: path.to_owned(),
            writer_id: Writer::from_bits(writer_id),
            opened,
            readers: start("countersign-read", readers, None)?,
            writer: Some(start("countersign-write", vec![connection], Some(&upkeep))?),
            options: options.clone(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Opens a file to read it, and changes no byte of it or of what lies beside it: to `verify` a
    /// backup, evidence, or what cannot be written. Calls that change something fail.
    ///
    /// Nobody may write to the file meanwhile: no lock is taken. If somebody does, calls fail. What
    /// is in a log beside it is read too. Blocks as [`Database::open`] does; of the options
    /// [`Options::readers`] alone matters.
    ///
    /// # Errors
    /// [`OpenError`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use countersign_sqlite::{Database, Options};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let (path, backup) = (folder.path().join("countersign.db"), folder.path().join("backup.db"));
    /// # Database::open(&path, &Options::default())?.backup(&backup).await?;
    /// # let before = std::fs::read(&backup)?;
    /// let database = Database::open_for_audit(&backup, &Options::default())?;
    /// # #[cfg(feature = "request")]
    /// # {
    /// let store = countersign_sqlite::RequestStore::new(&database, Arc::new(countersign_request::SystemClock));
    /// assert!(store.verify(None).await?.is_clean());
    /// # }
    /// # assert_eq!(std::fs::read(&backup)?, before);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_for_audit(path: impl AsRef<Path>, options: &Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        named(path)?;
        check_engine(rusqlite::version_number())?;
        let (readers, opened) = audit::connect(path, options.readers)?;
        let readers = Workers::start("countersign-read", readers, None);
        let inner = Inner {
            path: path.to_owned(),
            // It writes nothing.
            writer_id: Writer::ONLY,
            opened: Arc::new(opened),
            readers: readers.map_err(no_thread)?,
            writer: None,
            options: options.clone(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Makes a copy of the file, of one moment, while others read and write, and verifies it. Gives
    /// what verifying said: note its heads with the backup.
    ///
    /// The copy is made on a thread of its own; for as long as that takes the log is not cut. It is
    /// on the disk, whole, when the file of that name is there; its owner alone can read it. If the
    /// future is dropped, the copy is made all the same.
    ///
    /// # Errors
    /// [`BackupError`]; no file of that name is made then.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use countersign_sqlite::{BackupError, Database, Options};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("countersign.db");
    /// # let backup = folder.path().join("backup.db");
    /// let database = Database::open(&path, &Options::default())?;
    /// let made = database.backup(&backup).await?;
    /// for report in &made.reports {
    ///     println!("note {}", report.head);
    /// }
    /// let again = database.backup(&backup).await;
    /// assert!(matches!(again, Err(BackupError::Exists { .. })), "nothing is overwritten");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn backup(&self, path: impl Into<PathBuf>) -> Result<Backup, BackupError> {
        let (own, path) = (self.clone(), path.into());
        let (answer, answered) = oneshot::channel();
        let thread = thread::Builder::new().name("countersign-backup".to_owned());
        let started = thread.spawn(move || {
            let inner = &own.inner;
            let source = || match &inner.writer {
                Some(_) => connect(&inner.path, &inner.options).map_err(Failure::from),
                None => Err(EngineError::ForAudit.into()),
            };
            let _ = answer.send(backup::make(source, &inner.opened, &path));
        });
        started.map_err(|error| BackupError::NoThread {
            reason: error.to_string(),
        })?;
        answered.await.unwrap_or(Err(BackupError::Engine {
            source: EngineError::Panicked,
        }))
    }

    /// As [`Database::open`], on a thread of its own: the future waits and blocks nothing.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use countersign_sqlite::{Database, Options};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("countersign.db");
    /// let database = Database::open_on_a_thread(path, Options::default()).await?;
    /// # drop(database);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open_on_a_thread(
        path: impl Into<PathBuf>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let path = path.into();
        let name = path.clone();
        let (answer, answered) = oneshot::channel();
        let thread = thread::Builder::new().name("countersign-open".to_owned());
        let started = thread.spawn(move || {
            // Nobody waits any more: the file is closed again.
            let _ = answer.send(Self::open(path, &options));
        });
        started.map_err(|error| OpenError::NoThread {
            reason: error.to_string(),
        })?;
        answered.await.unwrap_or_else(|_| {
            Err(OpenError::Engine {
                path: name,
                source: EngineError::Panicked,
            })
        })
    }

    /// What tells this opening of the file from others: what it writes bears this in the ledger.
    /// [`Writer::ONLY`] of a file that is opened for audit, which writes nothing.
    pub fn writer(&self) -> Writer {
        self.inner.writer_id
    }

    /// The path under which the file was opened.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Makes one step: all of what `step` writes is there if it returns `Ok`, and nothing if not.
    pub(crate) async fn write<T, E>(
        &self,
        step: impl FnOnce(&Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        let call = self.on_the_file(Opened::look, |connection: &mut Connection| {
            let transaction = begin(connection, TransactionBehavior::Immediate)?;
            let result = step(&transaction)?;
            commit(&transaction)?;
            Ok(result)
        });
        let result = match &self.inner.writer {
            Some(writer) => writer.call(call).await,
            None => Err(EngineError::ForAudit.into()),
        };
        result.map_err(Stop::into_error)
    }

    /// Reads several things that agree with each other. However it fails, nothing was changed.
    pub(crate) async fn read<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        let call = self.on_the_file(Opened::begin, |connection: &mut Connection| {
            let transaction = begin(connection, TransactionBehavior::Deferred)?;
            read(&transaction)
        });
        let result = self.inner.readers.call(call).await;
        result.map_err(|stop| match stop {
            // From a lost file nothing is certain; any other reading has changed nothing.
            Stop::Failed(Failure { source, .. }) if !matches!(source, EngineError::Lost { .. }) => {
                E::backend(source.into())
            }
            answer => answer.into_error(),
        })
    }

    /// A call whose answer, whatever it is, is given only if file and log are those that were opened:
    /// a refusal or a conflict rests on what was read, too. What is written by the wrong shared memory
    /// destroys what others write, so that `may_begin` is asked first.
    fn on_the_file<T, E>(
        &self,
        may_begin: fn(&Opened) -> Result<(), Failure>,
        call: impl FnOnce(&mut Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> impl FnOnce(&mut Connection) -> Result<T, Stop<E>> + Send + 'static {
        let opened = Arc::clone(&self.inner.opened);
        move |connection| {
            may_begin(&opened)?;
            let result = call(connection);
            opened.look()?;
            result
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

fn no_thread(error: std::io::Error) -> OpenError {
    OpenError::NoThread {
        reason: error.to_string(),
    }
}

/// That it is the name of a file, and not one that means something else to the engine.
fn named(path: &Path) -> Result<(), OpenError> {
    let text = path.to_string_lossy();
    let means_other = text.is_empty() || text == ":memory:" || text.starts_with("file:");
    if means_other || path.is_dir() {
        return Err(OpenError::NotAFile {
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// The engine is built in, unless whoever builds the program has it linked to the system's.
fn check_engine(version: i32) -> Result<(), OpenError> {
    if version < LEAST_ENGINE {
        let text = |v: i32| format!("{}.{}.{}", v / 1_000_000, v / 1_000 % 1_000, v % 1_000);
        return Err(OpenError::OldEngine {
            found: text(version),
            least: text(LEAST_ENGINE),
        });
    }
    Ok(())
}

/// Opens a connection. Nothing is written.
fn connect(path: &Path, options: &Options) -> Result<Connection, rusqlite::Error> {
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

fn begin(
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
fn commit(transaction: &Transaction<'_>) -> Result<(), Failure> {
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

#[cfg(all(test, feature = "request"))]
mod tests {
    use super::*;
    use countersign_request::*;

    #[tokio::test]
    async fn every_connection_waits_for_the_disk_itself_where_that_takes_more_than_fsync() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.db");
        let database = Database::open(&path, &Options::default()).unwrap();
        let asked = |connection: &Connection| {
            let of = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            Ok([
                of("fullfsync")?,
                of("checkpoint_fullfsync")?,
                of("synchronous")?,
            ])
        };
        let expected = [1, 1, 2];
        assert_eq!(database.write::<_, Error>(asked).await.unwrap(), expected);
        assert_eq!(database.read::<_, Error>(asked).await.unwrap(), expected);
    }

    #[test]
    fn an_engine_that_can_lose_commits_is_refused_and_the_next_is_not() {
        for old in [3_050_002, 3_051_002, LEAST_ENGINE - 1] {
            let refused = check_engine(old).unwrap_err();
            assert!(
                refused.to_string().contains("SQLite 3.51.3 or newer"),
                "{refused}"
            );
        }
        for version in [LEAST_ENGINE, 3_052_000, rusqlite::version_number()] {
            assert!(check_engine(version).is_ok());
        }
    }

    /// A full disk is a file that may not grow: to the engine both are the same.
    #[tokio::test]
    async fn a_full_disk_is_an_error_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.db");
        let database = Database::open(&path, &Options::default()).unwrap();
        let store = crate::RequestStore::new(&database, Arc::new(SystemClock));
        let most = |pages: i64| {
            database.write::<_, Error>(move |connection| {
                let pages: i64 =
                    connection
                        .pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0))?;
                Ok(pages)
            })
        };
        let rules: ApprovalPolicy =
            r#"{"version": "1", "rules": [{"name": "all", "approvers": ["bob"]}]}"#
                .parse()
                .unwrap();
        let prod = Profile::new("prod").unwrap();
        let terms = Terms::of(&rules, &prod);
        let draft = |id| Draft {
            id: RequestId::from_bits(id),
            requester: Person::new("alice").unwrap(),
            profile: prod.clone(),
            duration: Duration::from_secs(600),
            justification: "look at the slow query".into(),
            ticket: None,
            policy: None,
            operation: None,
        };
        // Not less than it has: the engine answers with what it has set.
        most(1).await.unwrap();
        let mut id = 0;
        let failed = loop {
            id += 1;
            assert!(id < 1_000, "the file grows all the same");
            if let Err(error) = store.create(&draft(id), &terms).await {
                break error;
            }
        };
        assert!(failed.to_string().contains("the disk is full"), "{failed}");
        assert!(matches!(
            failed,
            Error::Backend {
                retryable: true,
                outcome: Outcome::NotApplied,
                ..
            }
        ));
        let missing = store.get(RequestId::from_bits(id)).await;
        assert!(
            matches!(missing, Err(Error::NotFound { .. })),
            "nothing was made"
        );
        most(1_000_000).await.unwrap();
        store.create(&draft(id), &terms).await.unwrap();
        let report = store.verify(None).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }
}
