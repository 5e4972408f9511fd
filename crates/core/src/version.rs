//! Versions of records, and the conflict that a stale one meets.
//!
//! A record's `updated_at` is its version. [`Version`] is that time in nanoseconds, as an opaque
//! value that is only ever compared for equality (the optimistic lock) or order (which came
//! first). Versions are issued by the store's [`Timeline`](crate::time::Timeline).
//!
//! Invariant: a version is no evidence of what time it is.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of a record: the time at which its store wrote it, made unique.
///
/// Precision is one nanosecond, in 64 bits; the range is the years 1678 to 2261. Shown and
/// serialised as an RFC 3339 time with nine fractional digits.
///
/// ```
/// use countersign_core::version::Version;
///
/// let version: Version = "2026-03-02T09:00:00.000000001Z".parse()?;
/// assert_eq!(version.to_string(), "2026-03-02T09:00:00.000000001Z");
/// assert_eq!(Version::of(version.time())?, version);
/// # Ok::<(), countersign_core::version::VersionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "DateTime<Utc>", into = "DateTime<Utc>")]
pub struct Version(i64);

impl Version {
    /// The version that a record written at `time` has. For engines that read records back.
    ///
    /// # Errors
    /// [`VersionError::OutOfRange`] before 1678 or after 2261: correct the stored time.
    pub fn of(time: DateTime<Utc>) -> Result<Self, VersionError> {
        time.timestamp_nanos_opt()
            .map(Self)
            .ok_or(VersionError::OutOfRange { time })
    }

    /// The time that the version stands for.
    pub const fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.0)
    }

    /// The version as nanoseconds since 1970. For engines that store it as a 64-bit integer.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The next version; none after the last there is.
    pub(crate) const fn checked_next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The version of `nanos` nanoseconds since 1970. For engines that store it so.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.time().format("%Y-%m-%dT%H:%M:%S%.9fZ"))
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time: DateTime<Utc> = text.parse().map_err(|_| VersionError::NotATime {
            text: text.to_owned(),
        })?;
        Self::of(time)
    }
}

impl TryFrom<DateTime<Utc>> for Version {
    type Error = VersionError;

    fn try_from(time: DateTime<Utc>) -> Result<Self, Self::Error> {
        Self::of(time)
    }
}

impl From<Version> for DateTime<Utc> {
    fn from(version: Version) -> Self {
        version.time()
    }
}

/// Why there is no version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VersionError {
    /// The time cannot be kept as 64-bit nanoseconds. Set the clock right.
    #[error("time `{time}` cannot be a version: set the clock to a year from 1678 to 2261")]
    OutOfRange {
        /// The time that was given.
        time: DateTime<Utc>,
    },
    /// The text is not an RFC 3339 time.
    #[error("`{text}` is not a version: write an RFC 3339 time such as `2026-03-02T09:00:00Z`")]
    NotATime {
        /// The text that was given.
        text: String,
    },
}

/// The record was not at the version that the caller had read.
///
/// Read it again, decide again, and send the change with the version just read; `update_with` of
/// the store does that.
///
/// ```
/// use countersign_core::version::{Conflict, Version};
///
/// let conflict = Conflict { expected: Version::from_nanos(1), actual: Version::from_nanos(2) };
/// assert!(conflict.to_string().contains("read it again"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the record is at version `{actual}`, not `{expected}`: read it again and decide again")]
pub struct Conflict {
    /// The version that the caller had read.
    pub expected: Version,
    /// The version that the record has.
    pub actual: Version,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(nanos)
    }

    #[test]
    fn times_that_do_not_fit_are_refused() {
        let time = DateTime::<Utc>::MAX_UTC;
        assert_eq!(Version::of(time), Err(VersionError::OutOfRange { time }));
        assert!(Version::of(at(i64::MAX)).is_ok());
    }

    #[test]
    fn text_and_json_keep_every_nanosecond() {
        for nanos in [i64::MIN, -1, 0, 1, 1_772_442_000_123_456_789, i64::MAX] {
            let version = Version::from_nanos(nanos);
            assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
            let json = serde_json::to_string(&version).unwrap();
            assert_eq!(serde_json::from_str::<Version>(&json).unwrap(), version);
        }
        assert!(matches!(
            "soon".parse::<Version>(),
            Err(VersionError::NotATime { .. })
        ));
    }
}
