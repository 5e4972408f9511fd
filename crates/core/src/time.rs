//! The rules of time: what a store makes of its clock's readings, and how records are judged by them.
//!
//! Two things that look like one are kept apart. A [`Version`] orders: it grows strictly, whatever
//! the clock does, and says nothing about what time it is. `at` is the clock's reading of a step:
//! rules judge by it, and each entry of a history keeps both.
//!
//! What always holds:
//!
//! - Within the tolerance of a store's last `at`, time stands still rather than running backwards.
//! - A reading further behind is a [`Correction`]: the clock was ahead and has been set right. It
//!   changes no record. What is *dated ahead*, later than the step that looks at it, is judged
//!   otherwise, and only while it is ([`Now::moment`], [`Now::in_force`]).
//! - A reading before [`EARLIEST`] or after [`LATEST`] is never a time and never a correction:
//!   nothing is granted by it, and what ends access works as at the last `at`.
//! - A version is always left to issue: no reading after [`LATEST`] becomes one.
//!
//! What is not here: the clock itself ([`crate::clock`]), and what the rules are that judge.
//!
//! Invariant: everything here is a pure function of a reading and of what the store remembers.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::version::Version;

/// No store of this release can have been written earlier (2026-01-01): a clock that shows an
/// earlier time has lost it.
pub const EARLIEST: DateTime<Utc> = DateTime::from_timestamp_nanos(1_767_225_600_000_000_000);

/// A clock that shows a later time (after 2200-01-01) is wrong.
pub const LATEST: DateTime<Utc> = DateTime::from_timestamp_nanos(7_258_118_400_000_000_000);

/// How far a reading may lie behind the last before it is a correction, unless set otherwise.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// How long a correction has to stand until what is dated ahead of it has ended for good, and how
/// long nothing is deleted after a jump.
pub const SETTLING_TIME: Duration = Duration::from_secs(60 * 60);

/// The longest step forward between two steps of a store after which deletion goes on at once.
pub const JUMP: Duration = Duration::from_secs(24 * 60 * 60);

/// Who wrote: an id for each opening of a store. A store with one writer has [`Writer::ONLY`]. Its
/// text is 16 hexadecimal digits.
///
/// ```
/// use countersign_core::time::Writer;
///
/// assert_eq!(Writer::ONLY, Writer::from_bits(0));
/// assert_eq!(Writer::from_bits(255).to_string(), "00000000000000ff");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Writer(u64);

impl Writer {
    /// The writer of a store that has no other.
    pub const ONLY: Self = Self(0);

    /// The writer with this id. For engines that several may open.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The id.
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({self})")
    }
}

/// A clock that was ahead and has been set right: the store's last step before it was at `from`,
/// the step that found it at `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The version that the correction has in the store's order. What has a smaller one was
    /// written before it.
    pub version: Version,
    /// The last `at` before.
    pub from: DateTime<Utc>,
    /// The reading that was right.
    pub to: DateTime<Utc>,
    /// The latest `at` that any step before had: nothing is dated later.
    pub latest: DateTime<Utc>,
    /// Whose reading it was that is right.
    pub by: Writer,
    /// Whose reading it was that is wrong.
    pub of: Writer,
}

/// What a store remembers of time: the last version and the last `at`, who wrote it, the last
/// correction and the last jump.
///
/// Serde writes all of it, for engines that keep it whole from step to step; what it writes has a
/// bounded length.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::time::{CLOCK_TOLERANCE, Timeline, Writer};
///
/// let nine = "2026-03-02T09:00:00Z".parse()?;
/// let in_2030 = "2030-01-01T00:00:00Z".parse()?;
/// let mut timeline = Timeline::new();
/// let now = timeline.now(in_2030, Writer::ONLY, CLOCK_TOLERANCE);
/// let ahead = timeline.stamp(&now)?;
/// // The clock has been set right: rules judge by its reading, and versions go on.
/// let now = timeline.now(nine, Writer::ONLY, CLOCK_TOLERANCE);
/// let right = timeline.stamp(&now)?;
/// assert_eq!(right.now.at(), nine);
/// assert!(right.version > ahead.version && right.now.is_ahead(in_2030));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    version: Option<Version>,
    last: Option<(DateTime<Utc>, Writer)>,
    correction: Option<Correction>,
    settled: Settled,
    ahead: Ahead,
    jumped_at: Option<DateTime<Utc>>,
}

/// The writers whose clocks others have found to be ahead, with the version of the correction, the
/// last one last: what would grant is refused to them. Of more than there is room for the one that
/// was found longest ago is forgotten; it can be corrected once more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ahead([Option<(Writer, Version)>; 4]);

impl Ahead {
    fn push(&mut self, correction: &Correction) {
        // Whoever has found another to be wrong, or itself, is right.
        self.forget(correction.by);
        if correction.of == correction.by {
            return;
        }
        self.forget(correction.of);
        let new = Some((correction.of, correction.version));
        match self.0.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = new,
            None => {
                self.0.rotate_left(1);
                let [.., last] = &mut self.0;
                *last = new;
            }
        }
    }

    fn forget(&mut self, writer: Writer) {
        let kept = self.0.into_iter().flatten();
        let mut kept = kept.filter(|(ahead, _)| *ahead != writer);
        self.0 = std::array::from_fn(|_| kept.next());
    }

    fn since(&self, writer: Writer) -> Option<Version> {
        let mut all = self.0.iter().flatten();
        all.find(|(ahead, _)| *ahead == writer)
            .map(|(_, version)| *version)
    }
}

/// The corrections before the last that had stood for [`SETTLING_TIME`] when the next came: what
/// they have ended stays ended. Of each its version and when it had stood so long, oldest first; a
/// later one has a later time. Of more than there is room for the two oldest are taken for one,
/// which ends more rather than less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Settled([Option<(Version, DateTime<Utc>)>; 4]);

impl Settled {
    fn push(&mut self, correction: &Correction) {
        let new = (correction.version, later(correction.to, SETTLING_TIME));
        let mut kept: Vec<_> = self.0.into_iter().flatten().collect();
        // Whatever those end the new one ends, too.
        kept.retain(|(_, settled)| *settled < new.1);
        kept.push(new);
        if let [(_, oldest), second, ..] = kept[..] {
            if kept.len() > self.0.len() {
                kept.splice(..2, [(second.0, oldest)]);
            }
        }
        let mut kept = kept.into_iter();
        self.0.fill_with(|| kept.next());
    }

    fn ended(&self, from: DateTime<Utc>, version: Version) -> bool {
        let mut kept = self.0.iter().flatten();
        kept.any(|(before, settled)| version < *before && from > *settled)
    }
}

impl Timeline {
    /// Of a store in which nothing has been written.
    pub const fn new() -> Self {
        Self {
            version: None,
            last: None,
            correction: None,
            settled: Settled([None; 4]),
            ahead: Ahead([None; 4]),
            jumped_at: None,
        }
    }

    /// Of a store whose last step had this version and `at`. For engines that keep them.
    #[must_use]
    pub const fn after(version: Version, at: DateTime<Utc>, writer: Writer) -> Self {
        Self::new().with_last(version, at, writer)
    }

    /// The same with another last step. For engines that keep its corrections from step to step.
    #[must_use]
    pub const fn with_last(self, version: Version, at: DateTime<Utc>, writer: Writer) -> Self {
        Self {
            version: Some(version),
            last: Some((at, writer)),
            ..self
        }
    }

    /// Of a store that keeps versions and no times.
    #[must_use]
    pub const fn after_version(version: Version) -> Self {
        Self {
            version: Some(version),
            ..Self::new()
        }
    }

    /// The same with its corrections, oldest first: the last is judged by, and the others for
    /// what they have ended for good. For engines that keep each.
    #[must_use]
    pub fn with_corrections(self, corrections: impl IntoIterator<Item = Correction>) -> Self {
        corrections.into_iter().fold(self, Self::corrected)
    }

    fn corrected(mut self, correction: Correction) -> Self {
        let settled = |before: &Correction| correction.from >= later(before.to, SETTLING_TIME);
        if let Some(before) = self.correction.filter(settled) {
            self.settled.push(&before);
        }
        self.ahead.push(&correction);
        self.correction = Some(correction);
        self
    }

    /// The same with the `at` of the last step that came more than [`JUMP`] after the one before.
    #[must_use]
    pub const fn with_jump(self, jumped_at: Option<DateTime<Utc>>) -> Self {
        Self { jumped_at, ..self }
    }

    /// The last version issued.
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// The `at` of the last step.
    pub fn last_at(&self) -> Option<DateTime<Utc>> {
        self.last.map(|(at, _)| at)
    }

    /// The last correction.
    pub const fn correction(&self) -> Option<Correction> {
        self.correction
    }

    /// The `at` of the last step that came more than [`JUMP`] after the one before it.
    pub const fn jumped_at(&self) -> Option<DateTime<Utc>> {
        self.jumped_at
    }

    /// The same for a writer whose clock has been seen to step back since: that its readings were
    /// corrected no longer counts against it.
    #[must_use]
    pub fn trusting(mut self, writer: Writer) -> Self {
        self.ahead.forget(writer);
        self
    }

    /// The version of the correction by which another writer has found this one's clock to be ahead,
    /// if what would grant is refused to it since.
    pub fn corrected_at(&self, writer: Writer) -> Option<Version> {
        self.ahead.since(writer)
    }

    /// How versions and a clock that shows `reading` stand to each other.
    pub fn health(&self, reading: DateTime<Utc>) -> Health {
        let reading = reading.timestamp_nanos_opt().unwrap_or(i64::MAX);
        let version = self.version.map_or(i64::MIN, Version::as_nanos);
        let nanos = i128::from(version) - i128::from(reading);
        Health {
            versions_ahead: Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)),
            correction: self.correction,
        }
    }

    /// What time it is for `writer`, whose clock shows `reading`. It remembers nothing:
    /// [`Timeline::stamp`] does.
    pub fn now(&self, reading: DateTime<Utc>, writer: Writer, tolerance: Duration) -> Now {
        let mut now = Now {
            at: reading,
            reading,
            writer,
            tolerance,
            correction: self.correction,
            settled: self.settled,
            jumped_at: self.jumped_at,
            corrects: false,
            doubt: None,
        };
        if !(EARLIEST..=LATEST).contains(&reading) {
            now.doubt = Some(ClockError::Implausible { reading });
            now.at = self.last_at().unwrap_or(EARLIEST);
            return now;
        }
        let Some((last, last_writer)) = self.last else {
            return now;
        };
        let is_corrected = self.ahead.since(writer).is_some();
        if is_corrected && reading > later(last, tolerance) {
            now.doubt = Some(ClockError::Corrected { reading, last });
            now.at = last;
        } else if reading >= last {
            if reading > later(last, JUMP) {
                now.jumped_at = Some(reading);
            }
        } else if reading >= earlier(last, tolerance) {
            now.at = last;
        } else {
            let latest = self
                .correction
                .map_or(last, |before| before.latest.max(last));
            // A jump to a time that was wrong has been made by the correction at the latest.
            now.jumped_at = self.jumped_at.map(|jumped_at| jumped_at.min(reading));
            let corrected = self.corrected(Correction {
                version: self
                    .version
                    .and_then(Version::checked_next)
                    .unwrap_or(Version::from_nanos(i64::MAX)),
                from: last,
                to: reading,
                latest,
                by: writer,
                of: last_writer,
            });
            now.corrects = true;
            now.correction = corrected.correction;
            now.settled = corrected.settled;
        }
        now
    }

    /// Issues the next version to a step at `now`, and remembers the step. A step that is not made
    /// must leave the store's timeline as it was.
    ///
    /// - The version is `max(reading, last + 1 ns)`; after a reading that is no time, `last + 1 ns`.
    /// - The first version of a step that corrects the clock is the correction's; the step gets
    ///   the one after it.
    ///
    /// # Errors
    /// [`ClockError::Exhausted`] if the last version there is has been issued; nothing is
    /// remembered then.
    pub fn stamp(&mut self, now: &Now) -> Result<Stamp, ClockError> {
        let mut next = *self;
        next.notice(now);
        let floor = match next.version {
            None => None,
            Some(last) => Some(last.checked_next().ok_or(ClockError::Exhausted { last })?),
        };
        // A reading that is too late orders nothing: a version is left, and others are not outrun.
        let orders = now.doubt.is_none() || now.reading < EARLIEST;
        let reading = now.reading.timestamp_nanos_opt().filter(|_| orders);
        let reading = Version::from_nanos(reading.unwrap_or(0));
        let version = floor.map_or(reading, |floor| floor.max(reading));
        next.version = Some(version);
        next.last = Some((now.at, now.writer));
        next.jumped_at = now.jumped_at;
        *self = next;
        Ok(Stamp { version, now: *now })
    }

    /// Remembers what a step that writes nothing, refused or not, has found out about the clock: a
    /// correction, which takes its version all the same, or a jump. Otherwise the hour after it,
    /// and every wait that counts from it, would begin anew with each step that is refused.
    pub fn notice(&mut self, now: &Now) {
        let correction = now.makes_correction();
        let correction = correction.filter(|_| self.correction != now.correction);
        if let Some(correction) = correction {
            *self = self.corrected(correction);
            self.version = Some(correction.version);
        }
        if correction.is_some() || self.jumped_at != now.jumped_at {
            self.jumped_at = now.jumped_at;
            self.last = Some((now.at, now.writer));
        }
    }
}

/// How a store's clock and its versions stand to each other, for an alarm.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::time::Timeline;
///
/// let health = Timeline::new().health("2026-03-02T09:00:00Z".parse()?);
/// assert_eq!((health.versions_ahead, health.correction), (Duration::ZERO, None));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// How far the last version is ahead of the clock; zero where the clock leads. It is more than
    /// the clock's tolerance after a clock that was ahead. It harms nothing, and says how far ahead
    /// that was.
    pub versions_ahead: Duration,
    /// The last time that the clock was found to have been ahead.
    pub correction: Option<Correction>,
}

/// What a step writes its entries with.
///
/// ```
/// use countersign_core::time::Stamp;
///
/// let stamp = Stamp::at("2026-03-02T09:00:00Z".parse()?);
/// assert_eq!(stamp.now.at().to_rfc3339(), "2026-03-02T09:00:00+00:00");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The version of what is written.
    pub version: Version,
    /// What time it is for the step.
    pub now: Now,
}

impl Stamp {
    /// A stamp of a store whose clock was never corrected and whose last version is earlier.
    pub fn at(at: DateTime<Utc>) -> Self {
        Self {
            version: Version::from_nanos(at.timestamp_nanos_opt().unwrap_or(i64::MAX)),
            now: Now::at_given(at),
        }
    }
}

/// What time it is, for one step or one snapshot.
///
/// ```
/// use countersign_core::time::Now;
///
/// let nine = "2026-03-02T09:00:00Z".parse()?;
/// let ten = "2026-03-02T10:00:00Z".parse()?;
/// let now = Now::at_given(nine);
/// assert!(now.is_ahead(ten) && !now.is_ahead(nine));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    at: DateTime<Utc>,
    reading: DateTime<Utc>,
    writer: Writer,
    tolerance: Duration,
    correction: Option<Correction>,
    settled: Settled,
    jumped_at: Option<DateTime<Utc>>,
    /// Whether `correction` is made by the step itself.
    corrects: bool,
    doubt: Option<ClockError>,
}

impl Now {
    /// A time that somebody names: for audit, and for rules that are tried by themselves. It
    /// knows of no correction.
    pub const fn at_given(at: DateTime<Utc>) -> Self {
        Self {
            at,
            reading: at,
            writer: Writer::ONLY,
            tolerance: CLOCK_TOLERANCE,
            correction: None,
            settled: Settled([None; 4]),
            jumped_at: None,
            corrects: false,
            doubt: None,
        }
    }

    /// What rules judge by.
    pub const fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// What the clock showed, right or wrong.
    pub const fn reading(&self) -> DateTime<Utc> {
        self.reading
    }

    /// How far another clock may be ahead of this one without being wrong.
    pub const fn tolerance(&self) -> Duration {
        self.tolerance
    }

    /// The last correction; the one that this step makes, if it makes one.
    pub const fn correction(&self) -> Option<Correction> {
        self.correction
    }

    /// The correction that this step makes by being made.
    pub const fn makes_correction(&self) -> Option<Correction> {
        if self.corrects { self.correction } else { None }
    }

    /// The `at` of the last step that came more than [`JUMP`] after the one before it.
    pub const fn jumped_at(&self) -> Option<DateTime<Utc>> {
        self.jumped_at
    }

    /// Who reads.
    pub const fn writer(&self) -> Writer {
        self.writer
    }

    /// Whether the time is good enough to grant anything by it.
    ///
    /// # Errors
    /// [`ClockError`] if the reading cannot be a time, or if another writer has corrected it.
    /// What ends access does not ask.
    pub const fn granting(&self) -> Result<(), ClockError> {
        match self.doubt {
            None => Ok(()),
            Some(doubt) => Err(doubt),
        }
    }

    /// Whether something of this `at` is dated ahead.
    pub fn is_ahead(&self, dated: DateTime<Utc>) -> bool {
        dated > self.at
    }

    /// Whether anything can be dated ahead at all.
    pub fn some_is_ahead(&self) -> bool {
        self.correction
            .is_some_and(|correction| self.at < correction.latest)
    }

    /// When something of this `at` counts as done, for counts, pauses, quotas and retention: then,
    /// or at the last correction while it is dated ahead.
    pub fn moment(&self, dated: DateTime<Utc>) -> DateTime<Utc> {
        match self.correction {
            Some(correction) if self.is_ahead(dated) => correction.to,
            _ => dated,
        }
    }

    /// When something of this `at`, written by a step of this version, counts as done, for counts,
    /// pauses, quotas and retention: then, or at the last correction if that has shown the `at` to
    /// be wrong. It stays so when the clock comes to that `at` once more: no wait is longer than
    /// its own length from the correction.
    pub fn moment_of(&self, dated: DateTime<Utc>, version: Version) -> DateTime<Utc> {
        match self.correction {
            Some(correction) if version < correction.version => dated.min(correction.to),
            _ => dated,
        }
    }

    /// Whether access that began at `from`, in a step of this version, has ended for good because
    /// it was granted while the clock was ahead: it is dated ahead, and the correction has stood
    /// for [`SETTLING_TIME`]. Another correction after that changes nothing.
    pub fn is_void(&self, from: DateTime<Utc>, version: Version) -> bool {
        let ended = |correction: Correction| {
            let settled = later(correction.to, SETTLING_TIME);
            version < correction.version && from > settled && self.at >= settled
        };
        self.correction.is_some_and(ended) || self.settled.ended(from, version)
    }

    /// Whether access from `from`, begun in a step of this version, until `until` is in force.
    pub fn in_force(&self, from: DateTime<Utc>, version: Version, until: DateTime<Utc>) -> bool {
        from <= self.at && self.at < until && !self.is_void(from, version)
    }

    /// From when on something may be deleted, if that is not now: [`SETTLING_TIME`] after a jump,
    /// since a clock that is ahead makes everything look old; after the correction, if the jump
    /// has been corrected.
    pub fn deletes_from(&self) -> Option<DateTime<Utc>> {
        let settled = later(self.jumped_at?, SETTLING_TIME);
        (self.at < settled).then_some(settled)
    }
}

impl From<DateTime<Utc>> for Now {
    fn from(at: DateTime<Utc>) -> Self {
        Self::at_given(at)
    }
}

/// Why nothing is granted by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClockError {
    /// The reading cannot be a time. Set the clock right; what ends access works meanwhile.
    #[error(
        "the clock shows `{reading}`, and no time before `{EARLIEST}` or after `{LATEST}` can be \
         right: set the clock"
    )]
    Implausible {
        /// What the clock shows.
        reading: DateTime<Utc>,
    },
    /// Another writer of the store has corrected this one's clock. Set the slower or the faster
    /// clock right; which of them is wrong the store cannot know. If this one is right, a new
    /// opening of the store counts as another writer, and is not held to the correction.
    #[error(
        "the clock shows `{reading}`, and another writer has corrected it to `{last}`: set the \
         clock that is wrong, or open the file anew if this one is right"
    )]
    Corrected {
        /// What the clock shows.
        reading: DateTime<Utc>,
        /// The store's last `at`.
        last: DateTime<Utc>,
    },
    /// Versions are used up: the largest has been issued.
    #[error("no version is left after `{last}`")]
    Exhausted {
        /// The last version issued.
        last: Version,
    },
}

/// Adds a length to a time; stops at the latest time there is.
pub fn later(time: DateTime<Utc>, length: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(length)
        .ok()
        .and_then(|length| time.checked_add_signed(length))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Takes a length from a time; stops at the earliest time there is.
pub fn earlier(time: DateTime<Utc>, length: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(length)
        .ok()
        .and_then(|length| time.checked_sub_signed(length))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

#[cfg(test)]
mod tests;
