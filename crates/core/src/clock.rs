//! Wall clock and monotonic ticks, each with a real and a manual implementation.
//!
//! The wall clock ([`Clock`]) says what time it is for people: deadlines, windows, versions. It may
//! be set, and may run backwards. Ticks ([`Ticks`]) only ever grow and say how much time has
//! passed: the age of a cached policy. Nothing in Countersign reads either directly; both are
//! injected, so that a test decides the time.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// What time it is.
///
/// - `now` may stand still and may run backwards; nothing that takes a clock relies on more.
/// - It never blocks and never panics.
/// - Times outside 1678 to 2261 cannot be stored; a store answers them with an error.
///
/// ```
/// use countersign_core::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::at("2026-03-02T09:00:00Z".parse()?);
/// assert_eq!(clock.now().to_rfc3339(), "2026-03-02T09:00:00+00:00");
/// # Ok::<(), chrono::ParseError>(())
/// ```
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's wall clock.
///
/// ```
/// use countersign_core::clock::{Clock, SystemClock};
///
/// assert!(SystemClock.now().timestamp() > 0);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A wall clock that stands where it is put.
///
/// Precision is one nanosecond; times outside 1678 to 2261 are moved to the nearer end. Share it
/// in an `Arc`: every holder sees the same time.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::clock::{Clock, ManualClock};
///
/// let clock = ManualClock::at("2026-03-02T09:00:00Z".parse()?);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), "2026-03-02T09:01:00Z".parse::<chrono::DateTime<chrono::Utc>>()?);
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug)]
pub struct ManualClock {
    nanos: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `time`.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self {
            nanos: AtomicI64::new(nanos_of(time)),
        }
    }

    /// Moves the clock to `time`, which may lie in its past.
    pub fn set(&self, time: DateTime<Utc>) {
        self.nanos.store(nanos_of(time), Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        let _ = self
            .nanos
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                Some(now.saturating_add(by))
            });
    }

    /// Moves the clock back.
    pub fn step_back(&self, by: Duration) {
        let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
        let _ = self
            .nanos
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                Some(now.saturating_sub(by))
            });
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

fn nanos_of(time: DateTime<Utc>) -> i64 {
    let limit = if time.timestamp() < 0 {
        i64::MIN
    } else {
        i64::MAX
    };
    time.timestamp_nanos_opt().unwrap_or(limit)
}

/// A reading of a monotonic clock: nanoseconds since a start that only its [`Ticks`] knows.
///
/// Readings of different [`Ticks`] must not be compared.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::clock::Tick;
///
/// let start = Tick::from_nanos(5);
/// let later = start.plus(Duration::from_nanos(7));
/// assert_eq!(later.since(start), Duration::from_nanos(7));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Tick {
    /// The reading that is `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this reading; zero if `earlier` is the later one.
    pub const fn since(self, earlier: Tick) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The reading `length` after this one; stops at the largest (584 years).
    pub fn plus(self, length: Duration) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// A monotonic clock.
///
/// - `now` never gives less than it gave before, on any thread.
/// - It never blocks and never panics: it is read on every cache hit.
/// - How far it may lag behind real time is part of an implementation's documentation. A clock
///   that a stalled thread can hold back (one that a background task advances) does not qualify:
///   it would keep an expired policy alive for as long as the stall lasts.
///
/// ```
/// use countersign_core::clock::{InstantTicks, Ticks};
///
/// let ticks = InstantTicks::start();
/// assert!(ticks.now() <= ticks.now());
/// ```
pub trait Ticks: fmt::Debug + Send + Sync {
    /// The reading now.
    fn now(&self) -> Tick;
}

/// [`std::time::Instant`]: no lag, some 25 ns a reading.
///
/// ```
/// use countersign_core::clock::{InstantTicks, Ticks};
///
/// let ticks = InstantTicks::start();
/// assert!(ticks.now().as_nanos() < 1_000_000_000);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct InstantTicks {
    start: Instant,
}

impl InstantTicks {
    /// A clock whose readings count from now.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where `Instant` is read"
    )]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for InstantTicks {
    fn default() -> Self {
        Self::start()
    }
}

impl Ticks for InstantTicks {
    fn now(&self) -> Tick {
        Tick::default().plus(self.start.elapsed())
    }
}

/// The kernel's coarse monotonic clock: some 6 ns a reading, up to one kernel tick behind.
///
/// The lag is 1 ms at 1,000 Hz, 4 ms at 250 Hz and 10 ms at 100 Hz; a cached policy may live that
/// much longer than its time to live. The kernel advances it from its timer interrupt, so no
/// stalled thread of this process can hold it back.
///
/// ```
/// use countersign_core::clock::{CoarseTicks, Ticks};
///
/// let ticks = CoarseTicks;
/// assert!(ticks.now() <= ticks.now());
/// ```
#[cfg(all(
    feature = "coarse-clock",
    any(target_os = "linux", target_os = "android")
))]
#[derive(Debug, Clone, Copy, Default)]
pub struct CoarseTicks;

#[cfg(all(
    feature = "coarse-clock",
    any(target_os = "linux", target_os = "android")
))]
impl Ticks for CoarseTicks {
    fn now(&self) -> Tick {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        Tick::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }
}

/// Ticks that stand where they are put; they can only be moved forward.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::clock::{ManualTicks, Tick, Ticks};
///
/// let ticks = ManualTicks::new();
/// ticks.advance(Duration::from_millis(2));
/// assert_eq!(ticks.now(), Tick::from_nanos(2_000_000));
/// ```
#[derive(Debug, Default)]
pub struct ManualTicks {
    nanos: AtomicU64,
}

impl ManualTicks {
    /// Ticks at their start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the ticks forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let _ = self
            .nanos
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| {
                Some(now.saturating_add(by))
            });
    }
}

impl Ticks for ManualTicks {
    fn now(&self) -> Tick {
        Tick(self.nanos.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_both_ways_to_the_nanosecond() {
        let start = DateTime::from_timestamp_nanos(1_000);
        let clock = ManualClock::at(start);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(clock.now().timestamp_nanos_opt(), Some(1_001));
        clock.step_back(Duration::from_nanos(2));
        assert_eq!(clock.now().timestamp_nanos_opt(), Some(999));
        clock.set(start);
        assert_eq!(clock.now(), start);
    }

    #[test]
    fn manual_clock_stops_at_the_ends_of_what_can_be_stored() {
        let clock = ManualClock::at(DateTime::<Utc>::MAX_UTC);
        assert_eq!(clock.now().timestamp_nanos_opt(), Some(i64::MAX));
        clock.advance(Duration::MAX);
        assert_eq!(clock.now().timestamp_nanos_opt(), Some(i64::MAX));
        clock.set(DateTime::<Utc>::MIN_UTC);
        assert_eq!(clock.now().timestamp_nanos_opt(), Some(i64::MIN));
    }

    #[test]
    fn ticks_saturate_instead_of_wrapping() {
        let ticks = ManualTicks::new();
        ticks.advance(Duration::MAX);
        ticks.advance(Duration::from_nanos(1));
        assert_eq!(ticks.now().as_nanos(), u64::MAX);
        assert_eq!(ticks.now().plus(Duration::MAX), ticks.now());
    }

    #[cfg(all(feature = "coarse-clock", target_os = "linux"))]
    #[test]
    fn coarse_ticks_never_run_backwards() {
        let mut last = CoarseTicks.now();
        for _ in 0..10_000 {
            let now = CoarseTicks.now();
            assert!(now >= last, "the coarse clock ran backwards");
            last = now;
        }
    }
}
