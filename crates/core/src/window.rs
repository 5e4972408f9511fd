//! Time windows on the local wall clock, lengths of time as text, and what documents with rules
//! need to be read strictly.
//!
//! A [`WindowDocument`] is what a document says; a [`Window`] is what it means, with its zone and
//! hours resolved once, so that [`Window::contains`] parses nothing and allocates nothing.
//!
//! - Hours are `[start, end)` on the local wall clock, to the minute. `start > end` runs over
//!   midnight and belongs to the day on which it starts.
//! - On the day of a daylight-saving change the wall clock is taken as it is: an hour that is
//!   skipped is in no window, an hour that comes twice is in its window twice.
//! - A window restricts something; what would restrict nothing is an error.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Offset, TimeZone, Utc, Weekday};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub mod document;
pub mod duration;
#[cfg(feature = "schema")]
pub mod schema;

pub use chrono_tz::Tz;

/// A time window as a document says it.
///
/// `days`: `monday` to `sunday`. `hours`: see [`HoursDocument`]. `timezone`: an IANA name such as
/// `Europe/London`; UTC if absent. Days or hours must be given.
///
/// ```
/// use countersign_core::window::{Window, WindowDocument};
///
/// let document: WindowDocument = serde_json::from_str(
///     r#"{"days": ["monday"], "hours": {"start": "09:00", "end": "17:00"}, "timezone": "Europe/London"}"#,
/// )?;
/// let window = Window::try_from(&document)?;
/// assert!(window.contains("2026-03-02T09:00:00Z".parse()?));
/// assert!(!window.contains("2026-03-02T17:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(description = "A time window. Days or hours must be given.", extend("anyOf" = [{"required": ["days"]}, {"required": ["hours"]}])))]
#[serde(deny_unknown_fields)]
pub struct WindowDocument {
    /// Days of the week; every day if absent.
    #[serde(
        default,
        deserialize_with = "read::days",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Vec<schema::Day>", length(min = 1))
    )]
    pub days: Option<Vec<String>>,
    /// Hours of the day; all day if absent.
    #[serde(
        default,
        deserialize_with = "read::hours",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "HoursDocument"))]
    pub hours: Option<HoursDocument>,
    /// IANA name of the zone whose wall clock counts; UTC if absent.
    #[serde(
        default,
        deserialize_with = "read::timezone",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "String", length(min = 1)))]
    pub timezone: Option<String>,
}

/// Hours of the day as a document says them: strict `HH:MM` from `00:00` to `23:59`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(
        description = "Hours of the day. A window that starts later than it ends runs over midnight and belongs to the day on which it starts."
    )
)]
#[serde(deny_unknown_fields)]
pub struct HoursDocument {
    /// The first minute inside.
    #[serde(deserialize_with = "read::start")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::TimeOfDay"))]
    pub start: String,
    /// The first minute outside; before `start`, the window runs over midnight.
    #[serde(deserialize_with = "read::end")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::TimeOfDay"))]
    pub end: String,
}

mod read {
    crate::field_readers! {
        required: start end;
        optional: days hours timezone;
    }
}

/// A time window, resolved.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Window {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes of the day; equal only if the window has no hours.
    start: u16,
    end: u16,
    zone: Tz,
}

const EVERY_DAY: u8 = 0b111_1111;
const MINUTES_A_DAY: i64 = 24 * 60;

impl Window {
    /// Whether the window is open at `at`.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        let offset = self
            .zone
            .offset_from_utc_datetime(&at.naive_utc())
            .fix()
            .local_minus_utc();
        let local_seconds = at.timestamp() + i64::from(offset);
        let minutes = local_seconds.div_euclid(60);
        // Day 0 is 1 January 1970, a Thursday.
        let weekday = (minutes.div_euclid(MINUTES_A_DAY) + 3).rem_euclid(7);
        self.includes(weekday, minutes.rem_euclid(MINUTES_A_DAY))
    }

    /// Whether the window is open when its zone's wall clock shows this day and minute, counted
    /// from midnight. That is all that [`contains`](Window::contains) depends on.
    ///
    /// ```
    /// use chrono::Weekday;
    /// use countersign_core::window::{Window, WindowDocument};
    ///
    /// let json = r#"{"days": ["friday"], "hours": {"start": "22:00", "end": "06:00"}}"#;
    /// let window = Window::try_from(&serde_json::from_str::<WindowDocument>(json)?)?;
    /// assert!(window.contains_local(Weekday::Sat, 5 * 60 + 59));
    /// assert!(!window.contains_local(Weekday::Sat, 6 * 60));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn contains_local(&self, day: Weekday, minute_of_day: u16) -> bool {
        self.includes(
            i64::from(day.num_days_from_monday()),
            i64::from(minute_of_day),
        )
    }

    /// `weekday` is 0 on Monday.
    fn includes(&self, weekday: i64, minute: i64) -> bool {
        let (start, end) = (i64::from(self.start), i64::from(self.end));
        let includes_day = |weekday: i64| self.days & (1 << weekday) != 0;
        if start == end {
            includes_day(weekday)
        } else if start < end {
            minute >= start && minute < end && includes_day(weekday)
        } else if minute >= start {
            includes_day(weekday)
        } else {
            minute < end && includes_day((weekday + 6) % 7)
        }
    }

    /// The zone whose wall clock counts.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Whether the window's days include `day`.
    pub fn has_day(&self, day: Weekday) -> bool {
        self.days & (1 << day.num_days_from_monday()) != 0
    }

    /// The window as a document says it, in one canonical form: days in the week's order, and only
    /// if some are left out or there are no hours; no zone for UTC.
    ///
    /// ```
    /// use countersign_core::window::{Window, WindowDocument};
    ///
    /// let json = r#"{"days": ["friday", "monday"], "timezone": "UTC"}"#;
    /// let window = Window::try_from(&serde_json::from_str::<WindowDocument>(json)?)?;
    /// let document = window.to_document();
    /// assert_eq!(serde_json::to_string(&document)?, r#"{"days":["monday","friday"]}"#);
    /// assert_eq!(Window::try_from(&document)?, window);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_document(&self) -> WindowDocument {
        let hours = self.minutes().map(|(start, end)| HoursDocument {
            start: Hour(start).to_string(),
            end: Hour(end).to_string(),
        });
        let days = DAYS.iter().filter(|(_, day)| self.has_day(*day));
        let days = days.map(|(name, _)| (*name).to_owned()).collect();
        WindowDocument {
            days: (self.days != EVERY_DAY || hours.is_none()).then_some(days),
            hours,
            timezone: (self.zone != Tz::UTC).then(|| self.zone.name().to_owned()),
        }
    }

    /// The first minute of the day inside and the first outside; none if the window is of whole
    /// days.
    pub fn minutes(&self) -> Option<(u16, u16)> {
        (self.start != self.end).then_some((self.start, self.end))
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({self})")
    }
}

/// For people: `monday, tuesday 22:00-06:00 Europe/London`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != EVERY_DAY {
            let mut separator = "";
            for (number, (name, _)) in DAYS.iter().enumerate() {
                if self.days & (1 << number) != 0 {
                    write!(f, "{separator}{name}")?;
                    separator = ", ";
                }
            }
            f.write_str(" ")?;
        }
        if let Some((start, end)) = self.minutes() {
            write!(f, "{}-{} ", Hour(start), Hour(end))?;
        }
        write!(f, "{}", self.zone)
    }
}

const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];

impl TryFrom<&WindowDocument> for Window {
    type Error = WindowError;

    fn try_from(document: &WindowDocument) -> Result<Self, Self::Error> {
        if document.days.is_none() && document.hours.is_none() {
            return Err(WindowError::RestrictsNothing);
        }
        let days = match &document.days {
            None => EVERY_DAY,
            Some(days) => parse_days(days)?,
        };
        let (start, end) = match &document.hours {
            None => (0, 0),
            Some(hours) => parse_hours(hours)?,
        };
        let zone = match &document.timezone {
            None => Tz::UTC,
            Some(name) => name.parse().map_err(|_| WindowError::UnknownZone {
                value: name.clone(),
            })?,
        };
        Ok(Self {
            days,
            start,
            end,
            zone,
        })
    }
}

fn parse_days(days: &[String]) -> Result<u8, WindowError> {
    if days.is_empty() {
        return Err(WindowError::NoDays);
    }
    days.iter().try_fold(0, |mask, day| {
        let known = DAYS.iter().find(|(name, _)| name == day);
        let (_, day) = known.ok_or_else(|| WindowError::UnknownDay { value: day.clone() })?;
        Ok(mask | 1 << day.num_days_from_monday())
    })
}

fn parse_hours(hours: &HoursDocument) -> Result<(u16, u16), WindowError> {
    let parse = |field, text: &str| {
        let hour: Hour = text.parse().map_err(|cause| WindowError::BadHour {
            field,
            value: text.to_owned(),
            cause,
        })?;
        Ok(hour.minute_of_day())
    };
    let start = parse("hours.start", &hours.start)?;
    let end = parse("hours.end", &hours.end)?;
    if start == end {
        return Err(WindowError::NoHours {
            value: hours.start.clone(),
        });
    }
    Ok((start, end))
}

/// Why a time window cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WindowError {
    /// Neither days nor hours.
    #[error("`time` names neither days nor hours and restricts nothing: name one, or leave it out")]
    RestrictsNothing,
    /// A list of days without a day.
    #[error("`days` is empty: name a day, or leave it out for every day")]
    NoDays,
    /// Not a day of the week.
    #[error(
        "`{value}` in `days` is not a day: write monday, tuesday, wednesday, thursday, friday, saturday or sunday"
    )]
    UnknownDay {
        /// What was given.
        value: String,
    },
    /// Not a time of day.
    #[error("`{field}`: {cause}")]
    BadHour {
        /// `hours.start` or `hours.end`.
        field: &'static str,
        /// What was given.
        value: String,
        /// Why it is none.
        cause: ParseHourError,
    },
    /// Start and end are the same.
    #[error(
        "`hours` starts and ends at `{value}` and is never open: leave `hours` out for the whole day"
    )]
    NoHours {
        /// The time given twice.
        value: String,
    },
    /// Not an IANA zone.
    #[error(
        "`{value}` in `timezone` is not a zone: write an IANA name such as `Europe/London`, or leave it out for UTC"
    )]
    UnknownZone {
        /// What was given.
        value: String,
    },
}

impl WindowError {
    /// The field at fault, relative to the window.
    pub fn field(&self) -> &'static str {
        match self {
            WindowError::RestrictsNothing => "",
            WindowError::NoDays | WindowError::UnknownDay { .. } => "days",
            WindowError::BadHour { field, .. } => field,
            WindowError::NoHours { .. } => "hours",
            WindowError::UnknownZone { .. } => "timezone",
        }
    }
}

/// A time of day to the minute, written strictly `HH:MM`.
///
/// ```
/// use countersign_core::window::Hour;
///
/// assert_eq!("09:30".parse::<Hour>()?.minute_of_day(), 570);
/// assert!("9:30".parse::<Hour>().is_err());
/// # Ok::<(), countersign_core::window::ParseHourError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(u16);

impl Hour {
    /// Minutes since midnight: 0 to 1,439.
    pub const fn minute_of_day(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A text that is not a time of day.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a time of day: write `HH:MM`, from `00:00` to `23:59`")]
pub struct ParseHourError {
    /// The text that was given.
    pub text: String,
}

impl FromStr for Hour {
    type Err = ParseHourError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
        let parse = || {
            let &[h1, h2, b':', m1, m2] = text.as_bytes() else {
                return None;
            };
            let hour = digit(h1)? * 10 + digit(h2)?;
            let minute = digit(m1)? * 10 + digit(m2)?;
            (hour < 24 && minute < 60).then_some(Self(hour * 60 + minute))
        };
        parse().ok_or_else(|| ParseHourError {
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests;
