//! The file and the log beside it: how they are made, whether they are still those that were opened,
//! and when the log is written back.
//!
//! A file is made so that its owner alone can read it. What the engine puts beside it gets its rights.
//!
//! The locks of a process on a file end as soon as it closes the file by any other means than the
//! engine (POSIX). The next process to close the file then takes itself for the last, writes the log
//! back and removes it, and what the first goes on writing is lost. So no connection of ours does
//! that when it closes: processes of ours cannot take the log away from each other. The writer writes
//! it back, by itself and between calls.
//!
//! Other programs can still remove the log, and anybody can delete, move or replace a file. That is
//! looked for before a call is answered; after it was seen, no call is. The shared memory beside the
//! log (`-shm`) counts too: whoever opens the file after it was deleted has another, and the two
//! write over each other's changes in the log. So a writer looks also before it begins.
//!
//! Invariant: nothing here opens a file that is there. Files are looked at by their metadata alone,
//! which leaves the locks as they are.
//!
//! Invariant: the log is written back only after a look at both files: what is in a log that was
//! removed must not get into a file to which others write.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use countersign_core::engine::Outcome;
use rusqlite::Connection;

use crate::error::{EngineError, Failure};

/// Pages in the log from which on it is written back: some 4 MiB.
const LOG_PAGES: i64 = 1_000;

/// What is left of a log that had grown larger, once it is written from its beginning again. Larger
/// than it is in ordinary use, where cutting it would only cost.
pub(crate) const LOG_BYTES: i64 = 8 * 1024 * 1024;

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
        }
    }

    /// Where an open file can neither be removed nor replaced, that it is there is all.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self {
            device: 0,
            number: 0,
        }
    }
}

/// What was found at a path.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    identity: Identity,
    /// Length and time of the last change, of what nobody may change.
    content: Option<(u64, Option<SystemTime>)>,
}

/// One of the two files: where it is looked for, and what was there when it was opened.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// Whether its content is looked at too.
    content: bool,
    seen: Option<Seen>,
}

impl Watched {
    fn at(path: PathBuf, content: bool) -> io::Result<Self> {
        let mut watched = Self {
            path,
            content,
            seen: None,
        };
        watched.seen = watched.look()?;
        Ok(watched)
    }

    /// That it is there.
    fn present(self) -> io::Result<Self> {
        match self.seen {
            Some(_) => Ok(self),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn look(&self) -> io::Result<Option<Seen>> {
        let content = |metadata: &Metadata| (metadata.len(), metadata.modified().ok());
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(Some(Seen {
                identity: Identity::of(&metadata),
                content: self.content.then(|| content(&metadata)),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is wrong with it.
    fn problem(&self) -> Option<String> {
        let problem = match (self.look(), &self.seen) {
            (Ok(now), seen) if now == *seen => return None,
            (Ok(None), _) => "is gone",
            (Ok(Some(_)), None) => "was not there when the file was opened",
            (Ok(Some(now)), Some(seen)) if now.identity == seen.identity => "was changed",
            (Ok(Some(_)), Some(_)) => "is another file than the one that was opened",
            (Err(error), _) => return Some(format!("cannot be looked at ({error})")),
        };
        Some(problem.to_owned())
    }
}

/// The file, the log and the shared memory that were opened.
///
/// Invariant: while it is used, connections have both open, so that no other file gets their number.
#[derive(Debug)]
pub(crate) struct Opened {
    file: Watched,
    log: Watched,
    /// None of a file that is read alone: there its content is looked at.
    shared: Option<Watched>,
    /// The file itself, to which a link may lead: what the engine keeps is beside it.
    real: PathBuf,
    /// Set for good once one of them was not the one that was opened.
    lost: AtomicBool,
}

impl Opened {
    /// Takes what is at the path for what a connection has just opened.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let opened = Self::seen(path, false)?;
        let (file, log) = (opened.file.present()?, opened.log.present()?);
        Ok(Self {
            shared: opened.shared.map(Watched::present).transpose()?,
            file,
            log,
            ..opened
        })
    }

    /// Takes what is at the path for what is read and must not change meanwhile; there need not be a
    /// log.
    pub(crate) fn unchanging(path: &Path) -> io::Result<Self> {
        let opened = Self::seen(path, true)?;
        let file = opened.file.present()?;
        Ok(Self { file, ..opened })
    }

    fn seen(path: &Path, content: bool) -> io::Result<Self> {
        // As it was named: a link that comes to lead elsewhere is another file for whoever follows.
        let file = Watched::at(std::path::absolute(path)?, content)?;
        // The engine puts the log beside the file itself.
        let real = fs::canonicalize(&file.path)?;
        let log = Watched::at(beside(&real, "-wal"), content)?;
        let shared = (!content).then(|| Watched::at(beside(&real, "-shm"), false));
        Ok(Self {
            file,
            log,
            shared: shared.transpose()?,
            real,
            lost: AtomicBool::new(false),
        })
    }

    /// The path of what the engine keeps beside the file.
    pub(crate) fn beside(&self, ending: &str) -> PathBuf {
        beside(&self.real, ending)
    }

    /// Whether it is the name of a file that the engine makes beside this one, or takes for such.
    pub(crate) fn has_beside(&self, path: &Path) -> bool {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = fs::canonicalize(folder.unwrap_or(Path::new(".")));
        let Ok(place) = folder.map(|folder| folder.join(path.file_name().unwrap_or_default()))
        else {
            return false;
        };
        let endings = ["-journal", "-wal", "-shm"];
        endings.iter().any(|ending| self.beside(ending) == place)
    }

    /// Whether there is something in the log.
    pub(crate) fn has_log(&self) -> bool {
        let length = |seen: &Seen| seen.content.is_some_and(|(length, _)| length > 0);
        self.log.seen.as_ref().is_some_and(length)
    }

    /// Whether it is the same file and log, and the same shared memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (own, others) = (self.watched(), other.watched());
        own.map(|watched| &watched.seen)
            .eq(others.map(|watched| &watched.seen))
    }

    fn watched(&self) -> impl Iterator<Item = &Watched> {
        [&self.file, &self.log].into_iter().chain(&self.shared)
    }

    /// Whether a call can be begun: none can once anything was lost.
    pub(crate) fn begin(&self) -> Result<(), Failure> {
        match self.lost.load(Ordering::Acquire) {
            false => Ok(()),
            true => self.look(),
        }
    }

    /// Whether what was read and written was read from and written to the files that others see.
    pub(crate) fn look(&self) -> Result<(), Failure> {
        for watched in self.watched() {
            let Some(problem) = watched.problem() else {
                continue;
            };
            self.lost.store(true, Ordering::Release);
            return Err(self.failure(&watched.path, problem));
        }
        match self.lost.load(Ordering::Acquire) {
            false => Ok(()),
            // It was put back; what was written in between is not in it.
            true => Err(self.failure(
                &self.file.path,
                "or its log was gone for a time, or another".to_owned(),
            )),
        }
    }

    fn failure(&self, path: &Path, problem: String) -> Failure {
        let path = path.to_owned();
        match self.file.content {
            // Nothing was written.
            true => EngineError::Changed { path, problem }.into(),
            false => Failure {
                source: EngineError::Lost { path, problem },
                outcome: Outcome::Unknown,
            },
        }
    }

    /// Writes the log back when it has become long; what a commit of the engine does itself unless
    /// it is told not to.
    pub(crate) fn shorten(&self, connection: &Connection) {
        let long = checkpoint(connection, "NOOP").is_some_and(|pages| pages >= LOG_PAGES);
        if long && self.look().is_ok() {
            // If it fails, the log stays, and the next call tries again.
            checkpoint(connection, "PASSIVE");
        }
    }

    /// Writes the log back and empties it, unless somebody else uses it: they will.
    pub(crate) fn empty(&self, connection: &Connection) {
        if self.look().is_ok() && connection.busy_timeout(Duration::ZERO).is_ok() {
            checkpoint(connection, "TRUNCATE");
        }
    }
}

/// Does so much with the log; how many pages were in it.
fn checkpoint(connection: &Connection, how: &str) -> Option<i64> {
    let pages = |row: &rusqlite::Row<'_>| row.get(1);
    let asked = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({how})"));
    asked.ok()?.query_row([], pages).ok()
}

/// How many links are followed to a file that is not there yet.
const MOST_LINKS: usize = 40;

/// Where the file is, or is to be, to which a path leads.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

/// Whether there is no file, and the log of one that was there if it has something in it.
pub(crate) fn missing(path: &Path) -> Option<Option<PathBuf>> {
    let path = end_of_links(path);
    // The log first: whoever makes a file just now makes the log after it.
    let log = beside(&path, "-wal");
    let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(has_log.then_some(log)),
        _ => None,
    }
}

/// Makes an empty file for its owner alone, unless there is one: that keeps its rights.
///
/// It is made under another name and then given this one: whoever opens it as soon as it is there
/// has no lock that closing it here could end.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    let path = end_of_links(path);
    if fs::symlink_metadata(&path).is_ok() {
        return Ok(());
    }
    let made = Made::beside(&path)?;
    match made.name(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// An empty file for its owner alone, which is gone again unless it is given a name.
pub(crate) struct Made {
    path: PathBuf,
}

impl Made {
    /// Makes it in the folder in which the file of this name is to be.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let ending = format!(".{}-{number}.new", std::process::id());
            let made = beside(path, &ending);
            match create_new(&made) {
                // Of a process with the same number: in another container, or one that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map(|()| Self { path: made }),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it a name, which nothing must have.
    pub(crate) fn name(self, path: &Path) -> io::Result<()> {
        match fs::hard_link(&self.path, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Some file systems have one name for each file.
            Err(_) if fs::symlink_metadata(path).is_err() => fs::rename(&self.path, path),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // It has another name by now, or is of no use.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn create_new(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map(drop)
}

#[cfg(not(unix))]
fn create_new(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    options.open(path).map(drop)
}

/// The path of a file that the engine keeps beside the file.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
