//! Tests of windows: limits of hours and days, midnight, daylight saving, what is refused.

use proptest::prelude::*;

use super::*;

fn window(json: &str) -> Result<Window, WindowError> {
    Window::try_from(&serde_json::from_str::<WindowDocument>(json).unwrap())
}

fn open(window: &Window, at: &str) -> bool {
    window.contains(at.parse().unwrap())
}

#[test]
fn hours_are_open_from_start_to_the_last_nanosecond_before_end() {
    let window = window(r#"{"hours": {"start": "09:00", "end": "17:00"}}"#).unwrap();
    assert!(!open(&window, "2026-03-02T08:59:59.999999999Z"));
    assert!(open(&window, "2026-03-02T09:00:00Z"));
    assert!(open(&window, "2026-03-02T16:59:59.999999999Z"));
    assert!(!open(&window, "2026-03-02T17:00:00Z"));
}

#[test]
fn an_overnight_window_belongs_to_the_day_on_which_it_starts() {
    let window = window(r#"{"days": ["friday"], "hours": {"start": "22:00", "end": "06:00"}}"#);
    let window = window.unwrap();
    assert!(
        !open(&window, "2026-03-06T05:59:59Z"),
        "Friday morning belongs to Thursday"
    );
    assert!(!open(&window, "2026-03-06T21:59:59.999999999Z"));
    assert!(open(&window, "2026-03-06T22:00:00Z"));
    assert!(open(&window, "2026-03-07T00:00:00Z"));
    assert!(
        open(&window, "2026-03-07T05:59:59.999999999Z"),
        "Saturday morning belongs to Friday"
    );
    assert!(!open(&window, "2026-03-07T06:00:00Z"));
    assert!(!open(&window, "2026-03-07T22:00:00Z"));
}

#[test]
fn days_are_those_of_the_local_calendar() {
    let window = window(r#"{"days": ["monday"], "timezone": "Pacific/Auckland"}"#).unwrap();
    assert!(!open(&window, "2026-03-01T10:59:59Z"));
    assert!(
        open(&window, "2026-03-01T11:00:00Z"),
        "Monday begins at UTC+13"
    );
    assert!(!open(&window, "2026-03-02T11:00:00Z"));
}

#[test]
fn dates_before_1970_have_days_too() {
    let window = window(r#"{"days": ["wednesday"]}"#).unwrap();
    assert!(open(&window, "1969-12-31T23:59:59.5Z"));
    assert!(!open(&window, "1970-01-01T00:00:00Z"));
}

#[test]
fn the_wall_clock_counts_on_daylight_saving_days() {
    let json = r#"{"hours": {"start": "01:30", "end": "02:30"}, "timezone": "Europe/London"}"#;
    let window = window(json).unwrap();
    // Spring: 01:00 becomes 02:00 at 01:00 UTC, so the window opens half an hour late.
    assert!(!open(&window, "2026-03-29T00:59:59Z"));
    assert!(open(&window, "2026-03-29T01:00:00Z"));
    assert!(!open(&window, "2026-03-29T01:30:00Z"));
    // Autumn: 02:00 becomes 01:00 at 01:00 UTC, so 01:30 to 02:00 comes twice.
    assert!(open(&window, "2026-10-25T00:30:00Z"));
    assert!(!open(&window, "2026-10-25T01:00:00Z"));
    assert!(open(&window, "2026-10-25T01:30:00Z"));
    assert!(!open(&window, "2026-10-25T02:30:00Z"));
}

#[test]
fn what_would_restrict_nothing_or_never_open_is_refused() {
    assert_eq!(window("{}"), Err(WindowError::RestrictsNothing));
    assert_eq!(
        window(r#"{"timezone": "UTC"}"#),
        Err(WindowError::RestrictsNothing)
    );
    assert_eq!(window(r#"{"days": []}"#), Err(WindowError::NoDays));
    let same = window(r#"{"hours": {"start": "09:00", "end": "09:00"}}"#);
    assert_eq!(
        same,
        Err(WindowError::NoHours {
            value: "09:00".into()
        })
    );
}

#[test]
fn days_hours_and_zones_are_strict() {
    for day in [
        "Monday", "mon", "", "funday", "monday ", "MONDAY", "mon\0day",
    ] {
        let error = window(&format!(r#"{{"days": [{}]}}"#, serde_json::json!(day))).unwrap_err();
        assert_eq!(error, WindowError::UnknownDay { value: day.into() });
        assert_eq!(error.field(), "days");
    }
    for hour in [
        "", "9:00", "09-00", "24:00", "12:60", "-1:00", "noon", "09:00:00", "09:00 ", "0９:00",
        "+9:00",
    ] {
        for (start, end, field) in [(hour, "17:00", "hours.start"), ("09:00", hour, "hours.end")] {
            let document = WindowDocument {
                hours: Some(HoursDocument {
                    start: start.into(),
                    end: end.into(),
                }),
                ..Default::default()
            };
            let error = Window::try_from(&document).unwrap_err();
            assert_eq!(error.field(), field, "`{hour}` was taken for an hour");
            assert!(error.to_string().contains(&format!("`{hour}`")), "{error}");
        }
    }
    for zone in [
        "",
        "Mars/Olympus",
        "../etc/passwd",
        "America/New York",
        "EST5EDT4",
        "europe/london",
    ] {
        let error =
            window(&format!(r#"{{"days": ["monday"], "timezone": "{zone}"}}"#)).unwrap_err();
        assert_eq!(error, WindowError::UnknownZone { value: zone.into() });
    }
}

#[test]
fn unknown_fields_and_nulls_are_errors() {
    for json in [
        r#"{"day": ["monday"]}"#,
        r#"{"days": null}"#,
        r#"{"days": ["monday"], "timezone": null}"#,
        r#"{"days": ["monday"], "hours": null}"#,
        r#"{"hours": {"start": "09:00"}}"#,
        r#"{"hours": {"start": "09:00", "end": "10:00", "ends": "11:00"}}"#,
        r#"{"days": "monday"}"#,
        r#"{"days": ["monday"], "days": ["friday"]}"#,
    ] {
        assert!(
            serde_json::from_str::<WindowDocument>(json).is_err(),
            "{json}"
        );
    }
}

#[test]
fn a_type_error_names_its_field() {
    for (json, fields) in [
        (r#"{"days": "monday"}"#, "`days`: "),
        (r#"{"timezone": 1}"#, "`timezone`: "),
        (
            r#"{"hours": {"start": 9, "end": "17:00"}}"#,
            "`hours`: `start`: ",
        ),
        (
            r#"{"hours": {"start": "09:00", "end": null}}"#,
            "`hours`: `end`: ",
        ),
    ] {
        let error = serde_json::from_str::<WindowDocument>(json).unwrap_err();
        assert!(error.to_string().starts_with(fields), "{error}");
    }
}

#[test]
fn windows_are_shown_for_people() {
    let shown = |json| window(json).unwrap().to_string();
    assert_eq!(
        shown(r#"{"days": ["tuesday", "monday"]}"#),
        "monday, tuesday UTC"
    );
    let json = r#"{"hours": {"start": "22:00", "end": "06:05"}, "timezone": "Asia/Tokyo"}"#;
    assert_eq!(shown(json), "22:00-06:05 Asia/Tokyo");
}

proptest! {
    /// Integer arithmetic on seconds agrees with chrono's local time.
    #[test]
    fn a_window_agrees_with_the_local_wall_clock(
        seconds in -2_000_000_000_i64..4_000_000_000,
        days in 1_u8..128,
        start in 0_u16..1440,
        length in 0_u16..1440,
        zone in prop::sample::select(vec![
            Tz::UTC, Tz::Europe__London, Tz::America__St_Johns, Tz::Asia__Kathmandu,
            Tz::Australia__Lord_Howe, Tz::Pacific__Auckland, Tz::America__Sao_Paulo,
        ]),
    ) {
        use chrono::{Datelike, Days, Timelike};
        // Start and end are the same only in a window of whole days.
        let (start, end) = if length == 0 { (0, 0) } else { (start, (start + length) % 1440) };
        let window = Window { days, start, end, zone };
        let at = DateTime::from_timestamp(seconds, 0).unwrap();
        let local = at.with_timezone(&zone).naive_local();
        let minute = local.hour() * 60 + local.minute();
        let (start, end) = (u32::from(start), u32::from(end));
        let (inside, date) = if start < end {
            (minute >= start && minute < end, local.date())
        } else if start > end && minute < end {
            (true, local.date() - Days::new(1))
        } else {
            (start == end || minute >= start, local.date())
        };
        prop_assert_eq!(window.contains(at), inside && window.has_day(date.weekday()));
        prop_assert_eq!(Window::try_from(&window.to_document()), Ok(window));
    }
}
