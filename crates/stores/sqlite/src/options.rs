//! How a file is opened.

use std::time::Duration;

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
    /// the disk, those that were queued together at once.
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
    /// How long a call waits for another process that writes, before it fails: 5 seconds. It is
    /// counted from when the call is queued: those that queue behind each other wait for the same
    /// lock at the same time, and none for longer than this. A call that has queued for longer,
    /// behind calls that were made, tries once.
    pub busy_timeout: Duration,
    /// How many threads read, each with a connection, which keeps up to 16 MiB of the file in
    /// memory: 2; of 0 there is one. One more is for `verify` and backups alone.
    pub readers: usize,
    /// How many calls wait in each queue of the file, before the next is refused at once
    /// ([`EngineError::QueueFull`](crate::EngineError::QueueFull)): 1,000; of 0 there is one, and
    /// there are never more than 65,536. Changes, reads and long reads (`verify`, backups) have a
    /// queue each. A call that is given up leaves its place at once.
    pub queue_length: usize,
    /// Whether a file that is not there is made: yes. If not, opening it is refused
    /// ([`OpenError::Missing`](crate::OpenError::Missing)): for a service that is past its first day
    /// a file that is gone is no reason to begin with an empty one, in which nobody has used up a
    /// limit or a second factor.
    pub create_if_missing: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            readers: 2,
            queue_length: 1_000,
            create_if_missing: true,
        }
    }
}
