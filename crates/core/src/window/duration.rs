//! Lengths of time as text: `1h30m`, `90s`.
//!
//! Documents are strict ([`parse`]): whole hours, minutes and seconds in that order, no sign, not
//! zero, at most ten years. Records ([`serialize`], [`deserialize`]) keep every nanosecond.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The longest length that a document may name: ten years of 365 days.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseDurationError {
    /// Not of the form.
    #[error(
        "`{text}` is not a duration: write hours, minutes and seconds such as `1h30m` or `45s`"
    )]
    Malformed {
        /// The text that was given (at most its first 64 characters, escaped).
        text: String,
    },
    /// No time at all.
    #[error("`{text}` is no time at all: write a duration longer than zero")]
    Zero {
        /// The text that was given.
        text: String,
    },
    /// More than ten years.
    #[error("`{text}` is too long: write a duration of at most `87600h`")]
    TooLong {
        /// The text that was given (at most its first 64 characters).
        text: String,
    },
}

/// Reads a length of time strictly: `(Nh)?(Nm)?(Ns)?`, not empty, not zero, at most ten years.
///
/// # Errors
/// [`ParseDurationError`] says which of these does not hold.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::window::duration::parse;
///
/// assert_eq!(parse("1h30m")?, Duration::from_secs(5_400));
/// assert!(parse("90").is_err(), "a bare number has no unit");
/// # Ok::<(), countersign_core::window::duration::ParseDurationError>(())
/// ```
pub fn parse(text: &str) -> Result<Duration, ParseDurationError> {
    let length = parse_form(text, false)?;
    if length.is_zero() {
        return Err(ParseDurationError::Zero {
            text: shortened(text),
        });
    }
    if length > LONGEST {
        return Err(ParseDurationError::TooLong {
            text: shortened(text),
        });
    }
    Ok(length)
}

/// Writes a length of time as text, to the nanosecond: `1h30m`, `0.5s`, `0s`.
///
/// ```
/// use std::time::Duration;
/// use countersign_core::window::duration::format;
///
/// assert_eq!(format(Duration::from_secs(5_400)), "1h30m");
/// assert_eq!(format(Duration::from_millis(61_500)), "1m1.5s");
/// ```
pub fn format(length: Duration) -> String {
    let seconds = length.as_secs();
    let mut text = String::new();
    for (unit, count) in [("h", seconds / 3600), ("m", seconds / 60 % 60)] {
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    let (seconds, nanos) = (seconds % 60, length.subsec_nanos());
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        text.push_str(&format!("{seconds}.{}s", fraction.trim_end_matches('0')));
    } else if seconds > 0 || text.is_empty() {
        text.push_str(&format!("{seconds}s"));
    }
    text
}

/// Writes a length of time as text; for `#[serde(with)]`.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*length))
}

/// Reads what [`serialize`] writes; for `#[serde(with)]`.
///
/// # Errors
/// If the text is not a length of time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_form(&text, true).map_err(serde::de::Error::custom)
}

fn parse_form(text: &str, fraction: bool) -> Result<Duration, ParseDurationError> {
    let malformed = || ParseDurationError::Malformed {
        text: shortened(text),
    };
    let too_long = || ParseDurationError::TooLong {
        text: shortened(text),
    };
    let mut rest = text;
    let mut total = Duration::ZERO;
    let units = [('h', 3600_u64), ('m', 60), ('s', 1)];
    for (unit, seconds) in units {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            break;
        }
        let nanos = match after.strip_prefix('.') {
            Some(decimals) if unit == 's' && fraction => {
                let digits = decimals.bytes().take_while(u8::is_ascii_digit).count();
                let (decimals, after) = decimals.split_at(digits);
                if !(1..=9).contains(&digits) {
                    return Err(malformed());
                }
                rest = after;
                format!("{decimals:0<9}")
                    .parse::<u32>()
                    .map_err(|_| malformed())?
            }
            _ => {
                if !after.starts_with(unit) {
                    continue;
                }
                rest = after;
                0
            }
        };
        rest = rest.strip_prefix(unit).ok_or_else(malformed)?;
        let count: u64 = number.parse().map_err(|_| too_long())?;
        let part = count.checked_mul(seconds).ok_or_else(too_long)?;
        total = total
            .checked_add(Duration::new(part, nanos))
            .ok_or_else(too_long)?;
    }
    if text.is_empty() || !rest.is_empty() {
        return Err(malformed());
    }
    Ok(total)
}

fn shortened(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}

/// A length of time as a document says it, not yet checked.
///
/// A bare number is kept as its digits, so that the check can name the rule and the field it
/// stands in; [`parse`] refuses it.
///
/// ```
/// use countersign_core::window::duration::DurationText;
///
/// let text: DurationText = serde_json::from_str("\"1h\"")?;
/// assert!(text.parse().is_ok());
/// let number: DurationText = serde_json::from_str("3600")?;
/// assert!(number.parse().is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DurationText(String);

impl DurationText {
    /// The text that means `length`; fractions of a second are dropped.
    pub fn of(length: Duration) -> Self {
        Self(format(Duration::from_secs(length.as_secs())))
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the text strictly.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn parse(&self) -> Result<Duration, ParseDurationError> {
        parse(&self.0)
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = DurationText;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration such as \"1h30m\"")
            }

            fn visit_str<E>(self, text: &str) -> Result<DurationText, E> {
                Ok(DurationText(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<DurationText, E> {
                Ok(DurationText(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<DurationText, E> {
                Ok(DurationText(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<DurationText, E> {
                Ok(DurationText(number.to_string()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_hours_minutes_seconds_in_that_order() {
        for (text, seconds) in [
            ("1h", 3600),
            ("1m", 60),
            ("1s", 1),
            ("1h30m", 5400),
            ("1h0m1s", 3601),
            ("2h43m", 9780),
            ("1h5s", 3605),
            ("007s", 7),
            ("90m", 5400),
            ("87600h", 87_600 * 3600),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "", "h", "1", "3600", "-1m", "+1m", "1m1h", "1h1h", "1.5h", "1h 30m", " 1h", "1h ",
            "1H", "1d", "1ms", "1.5s", "1h30", "١h", "1h\0", "s1",
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(error, ParseDurationError::Malformed { .. }),
                "{text}: {error}"
            );
        }
        for text in ["0s", "0h", "0h0m0s", "00m"] {
            assert!(
                matches!(parse(text), Err(ParseDurationError::Zero { .. })),
                "{text}"
            );
        }
        for text in [
            "87600h1s",
            "18446744073709551615h",
            "99999999999999999999h",
            "18446744073709551615s1",
        ] {
            let error = parse(text).unwrap_err();
            let long = matches!(error, ParseDurationError::TooLong { .. });
            assert!(long || text.ends_with('1'), "{text}: {error}");
        }
    }

    #[test]
    fn records_keep_every_nanosecond() {
        for nanos in [
            0,
            1,
            999_999_999,
            1_000_000_000,
            5_400_000_000_001,
            u64::MAX,
        ] {
            let length = Duration::from_nanos(nanos);
            let json = serde_json::Value::String(format(length));
            assert_eq!(deserialize(json).unwrap(), length);
        }
        for bad in ["1.s", "1.0000000001s", "1.5h", ".5s", "1.5", ""] {
            assert!(deserialize(serde_json::Value::from(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bare_number_is_kept_for_the_error() {
        for (json, text) in [
            ("3600", "3600"),
            ("-1", "-1"),
            ("1.5", "1.5"),
            ("\"1h\"", "1h"),
        ] {
            let read: DurationText = serde_json::from_str(json).unwrap();
            assert_eq!(read.as_str(), text);
        }
        assert!(serde_json::from_str::<DurationText>("null").is_err());
        assert!(serde_json::from_str::<DurationText>("[\"1h\"]").is_err());
    }
}
