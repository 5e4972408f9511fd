//! The file: how it is opened, and the two ways in which stores use it.
//!
//! One thread writes and some read, each with a connection of its own. Writes are steps of a transaction
//! that takes the file's write lock at its beginning, so that whatever a rule looks at stays as it
//! is until the change is written, also against other processes; those that wait together share one
//! (`batch.rs`). A read is one snapshot, which it may share too (`reads.rs`). No call is answered from a
//! file that is not the one that was opened.
//!
//! What reads everything (`verify`, a backup) has one thread and connection for itself, and is done
//! there one after the other.
//!
//! Invariant: however many long reads there are, no other read and no write waits for one of them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign_core::clock::{InstantTicks, Ticks};
use countersign_core::id::{OsRandom, RandomSource};
use countersign_core::time::Writer;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use crate::audit;
use crate::backup::{self, Backup, BackupError};
use crate::batch::{self, Writing};
use crate::connection::{begin_read, connect, connect_to_read, read_for};
use crate::error::{EngineError, Failure, OpenError, Stop, StoreError};
use crate::file::{self, Opened};
use crate::options::Options;
use crate::reads;
use crate::schema;
use crate::worker::{Caller, Waiting, Workers};

/// The oldest SQLite that is used: those before it can lose commits when two connections commit and
/// write the log back at once.
const LEAST_ENGINE: i32 = 3_051_003;

/// An open file, from which stores are made. A clone is another handle of the same one.
///
/// Dropping the last handle, those in the stores included, closes the file: it waits for the change
/// that has begun, and for the log to be written back; [`Database::close`] does so and blocks nothing.
/// All callers have given up by then: what is queued or waits for another process is not made, and
/// what reads ends.
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
    readers: Workers<Connection>,
    /// For what takes long. One thread: a second would take what the others need of the machine.
    long: Workers<Connection>,
    /// None of a file that is read alone.
    writer: Option<Workers<Writing>>,
    options: Options,
    /// Gone when all is closed.
    closing: watch::Sender<()>,
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
        Self::open_with_ticks(path.as_ref(), options, Arc::new(InstantTicks::start()))
    }

    /// As [`Database::open`], with the clock by which calls wait for other processes.
    pub(crate) fn open_with_ticks(
        path: &Path,
        options: &Options,
        ticks: Arc<dyn Ticks>,
    ) -> Result<Self, OpenError> {
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
        let reader = || connect_to_read(path, options);
        let readers = (0..options.readers.max(1)).map(|_| reader());
        let readers = readers.collect::<Result<Vec<_>, _>>().map_err(engine)?;
        let long = reader().map_err(engine)?;
        let writer_id = OsRandom.next_u64().map_err(OpenError::Random)?;
        // Nobody has put other files there meanwhile, of which a part of the connections would be.
        let after = Opened::at(path).map_err(|error| OpenError::unseen(path, &error))?;
        if !opened.is_same(&after) {
            return Err(OpenError::Replaced {
                path: path.to_owned(),
            });
        }
        let opened = Arc::new(opened);
        let waiting = Waiting::new(options.queue_length, options.busy_timeout, ticks);
        let readers = Workers::start("countersign-read", readers, &waiting, reads::together);
        let long = Workers::start("countersign-long", vec![long], &waiting, reads::apart);
        let (kept, writing) = (Arc::clone(&opened), vec![Writing::on(connection)]);
        let serve = move |writing, queue: &_| batch::serve(writing, queue, &kept);
        let writer = Workers::start("countersign-write", writing, &waiting, serve);
        let inner = Inner {
            path: path.to_owned(),
            writer_id: Writer::from_bits(writer_id),
            opened,
            readers: readers.map_err(no_thread)?,
            long: long.map_err(no_thread)?,
            writer: Some(writer.map_err(no_thread)?),
            options: options.clone(),
            closing: watch::Sender::new(()),
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
    /// [`Options::readers`] and [`Options::queue_length`] alone matter.
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
        let count = options.readers.max(1);
        let (mut readers, opened) = audit::connect(path, count.saturating_add(1))?;
        let long = readers.split_off(count);
        // There are no locks to wait for.
        let ticks = Arc::new(InstantTicks::start());
        let waiting = Waiting::new(options.queue_length, Duration::ZERO, ticks);
        let readers = Workers::start("countersign-read", readers, &waiting, reads::together);
        let long = Workers::start("countersign-long", long, &waiting, reads::apart);
        let inner = Inner {
            path: path.to_owned(),
            // It writes nothing.
            writer_id: Writer::ONLY,
            opened: Arc::new(opened),
            readers: readers.map_err(no_thread)?,
            long: long.map_err(no_thread)?,
            writer: None,
            options: options.clone(),
            closing: watch::Sender::new(()),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Makes a copy of the file, of one moment, while others read and write, and verifies it. Gives
    /// what verifying said: note its heads with the backup.
    ///
    /// The copy is made by the thread that verifies, so that nothing else waits for it but other
    /// copies and `verify`; for as long as it takes the log is not cut. It is on the disk, whole, when
    /// the file of that name is there; its owner alone can read it. If the future is dropped, the copy
    /// is ended or not begun, unless it was just about to be ready, and nothing is left of it.
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
        let to = path.into();
        let (from, options) = (self.inner.path.clone(), self.inner.options.clone());
        let (opened, for_audit) = (Arc::clone(&self.inner.opened), self.inner.writer.is_none());
        let call = move |_: &mut Connection, caller: &Caller| {
            let source = || match for_audit {
                // One that only reads cannot write the copy.
                false => connect(&from, &options).map_err(Failure::from),
                true => Err(EngineError::ForAudit.into()),
            };
            let watch = |connection: &mut Connection| read_for(connection, caller);
            backup::make(source, watch, &opened, &to).map_err(Stop::Answer)
        };
        self.inner.long.call(call).await.map_err(|stop| match stop {
            Stop::Answer(error) => error,
            Stop::Failed(failure) => failure.into(),
        })
    }

    /// Gives this handle up and waits until the file is closed, so that it can be moved, copied or
    /// removed; blocks no thread of the runtime.
    ///
    /// Whoever has another handle, in a store too, keeps the file open, and the future waiting: drop
    /// the stores first. If the future is dropped, the file is closed all the same.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use countersign_sqlite::{Database, Options};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("countersign.db");
    /// let database = Database::open_on_a_thread(&path, Options::default()).await?;
    /// database.close().await;
    /// std::fs::rename(&path, path.with_extension("moved"))?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(self) {
        let mut closing = self.inner.closing.subscribe();
        if let Some(last) = Arc::into_inner(self.inner) {
            let thread = thread::Builder::new().name("countersign-close".to_owned());
            // Without a thread it is closed here and now.
            drop(thread.spawn(move || drop(last)));
        }
        while closing.changed().await.is_ok() {}
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
                cause: EngineError::Panicked,
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

    /// Makes one step: all of what `step` writes is there if it returns `Ok`, and nothing if not. It may
    /// be made again from its beginning before it is answered.
    pub(crate) async fn write<T, E>(
        &self,
        mut step: impl FnMut(&mut Writing) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        let step = move |writing: &mut Writing, _: &Caller| step(writing);
        let result = match &self.inner.writer {
            Some(writer) => writer.call_again(step).await,
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
        self.read_on(&self.inner.readers, read).await
    }

    /// As [`Database::read`], what takes long: behind others of its kind, and before nobody else.
    pub(crate) async fn read_long<T, E>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        self.read_on(&self.inner.long, read).await
    }

    async fn read_on<T, E>(
        &self,
        workers: &Workers<Connection>,
        read: impl FnOnce(&Connection) -> Result<T, Stop<E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: StoreError,
    {
        let opened = Arc::clone(&self.inner.opened);
        // Whatever the answer is, it is given only if file and log are those that were opened: a refusal
        // or a conflict rests on what was read, too.
        let call = move |connection: &mut Connection, caller: &Caller| {
            opened.begin()?;
            let begun = begin_read(connection, caller);
            let result = begun.map_err(Stop::from).and_then(|()| read(connection));
            opened.look()?;
            result
        };
        let result = workers.call(call).await;
        result.map_err(|stop| match stop {
            // From a lost file nothing is certain; any other reading has changed nothing.
            Stop::Failed(Failure { source, .. }) if !matches!(source, EngineError::Lost { .. }) => {
                Stop::Failed(source.into()).into_error()
            }
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

#[cfg(all(test, feature = "request"))]
mod tests;
