//! The file: how it is opened, and the two ways in which stores use it.
//!
//! One thread writes and some read, each with a connection of its own. A write is one transaction
//! that takes the file's write lock at its beginning, so that whatever a rule looks at stays as it
//! is until the change is written, also against other processes. A read is one snapshot.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::error::{EngineError, Failure, OpenError, Stop, StoreError};
use crate::schema;
use crate::worker::Workers;

/// Prepared statements that a connection keeps: more than there are.
const CACHED_STATEMENTS: usize = 256;

/// What a connection keeps of the file in memory, at most: 16 MiB, in the engine's unit.
const CACHED_PAGES: i64 = -16 * 1024;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            readers: 2,
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
    /// Closed first, so that the writer is the last to close: it writes the log back.
    readers: Workers,
    writer: Workers,
}

impl Database {
    /// Opens a file, and makes it if it is not there. Brings its schema up to that of this release.
    ///
    /// Blocks while it reads, and while it changes the schema; [`Database::open_on_a_thread`] does
    /// not. Several processes can have one file open. The file must be on a local disk: its
    /// write-ahead log is shared by memory.
    ///
    /// # Errors
    /// [`OpenError`]; the file is as it was then.
    pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let text = path.to_string_lossy();
        if text.is_empty() || text == ":memory:" || text.starts_with("file:") {
            return Err(OpenError::NotAFile {
                path: path.to_owned(),
            });
        }
        let engine = |source: rusqlite::Error| OpenError::engine(path, source);
        let no_thread = |error: std::io::Error| OpenError::NoThread {
            reason: error.to_string(),
        };
        let mut connection = connect(path, options).map_err(engine)?;
        schema::prepare(&mut connection, path)?;
        let readers = (0..options.readers.max(1)).map(|_| {
            let reader = connect(path, options)?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(reader)
        });
        let readers = readers.collect::<Result<Vec<_>, _>>().map_err(engine)?;
        let inner = Inner {
            path: path.to_owned(),
            readers: Workers::start("countersign-read", readers).map_err(no_thread)?,
            writer: Workers::start("countersign-write", vec![connection]).map_err(no_thread)?,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
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
        let call = |connection: &mut Connection| {
            let transaction = begin(connection, TransactionBehavior::Immediate)?;
            let result = step(&transaction)?;
            commit(&transaction)?;
            Ok(result)
        };
        let result = self.inner.writer.call(call).await;
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
        let call = |connection: &mut Connection| {
            let transaction = begin(connection, TransactionBehavior::Deferred)?;
            read(&transaction)
        };
        let result = self.inner.readers.call(call).await;
        result.map_err(|stop| match stop {
            Stop::Failed(Failure { source, .. }) => E::backend(source.into()),
            answer => answer.into_error(),
        })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

/// Opens a connection. Nothing is written.
fn connect(path: &Path, options: &Options) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // The engine counts milliseconds in 31 bits.
    let most = Duration::from_millis(i32::MAX as u64);
    connection.busy_timeout(options.busy_timeout.min(most))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
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
        let source = EngineError::from(error);
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
