//! Durations, times of day and names.

use countersign_core::names::User;
use countersign_core::window::Hour;
use countersign_core::window::duration::{self, DurationText};
use serde::de::IntoDeserializer as _;
use serde::de::value::Error;

use crate::assert_message;

/// A duration or time of day that is read is written so that it reads back equal; a canonical one
/// is written as it was.
pub fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    strict_duration(text);
    recorded_duration(text);
    hour(text);
    name(text);
}

fn strict_duration(text: &str) {
    let length = match duration::parse(text) {
        Ok(length) => length,
        Err(error) => return assert_message(&error.to_string()),
    };
    assert!(!length.is_zero(), "`{text}` is no time at all");
    assert!(length <= duration::LONGEST, "`{text}` is too long");
    let written = duration::format(length);
    assert_eq!(
        duration::parse(&written),
        Ok(length),
        "`{text}` is written as `{written}`"
    );
    assert_eq!(DurationText::of(length).as_str(), written);
    assert_eq!(DurationText::from(text).parse(), Ok(length));
}

/// Records keep fractions of a second and the zero.
fn recorded_duration(text: &str) {
    let read = |text: &str| duration::deserialize(text.into_deserializer());
    let strict = duration::parse(text);
    let length = match read(text) {
        Ok(length) => length,
        Err::<_, Error>(error) => {
            assert!(strict.is_err(), "a record refuses `{text}`");
            return assert_message(&error.to_string());
        }
    };
    assert!(
        strict.is_err() || strict == Ok(length),
        "`{text}` has two meanings"
    );
    let written = duration::format(length);
    assert_eq!(
        read(&written),
        Ok(length),
        "`{text}` is written as `{written}`"
    );
}

fn hour(text: &str) {
    match text.parse::<Hour>() {
        Ok(hour) => {
            assert_eq!(
                hour.to_string(),
                text,
                "a time of day has another written form"
            );
            assert!(hour.minute_of_day() < 24 * 60, "`{text}` is not in the day");
        }
        Err(error) => assert_eq!(error.text, text, "the error shows another text"),
    }
}

fn name(text: &str) {
    match User::new(text) {
        Ok(user) => {
            assert_eq!(user.as_str(), text, "a name was changed");
            assert!(user.case_folded().same_user(&user));
        }
        Err(error) => assert_message(&error.to_string()),
    }
}
