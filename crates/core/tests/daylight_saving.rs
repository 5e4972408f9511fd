//! Windows around every change of the wall clock in thirty zones over ten years, minute by minute,
//! against an evaluation that thinks in local dates and times: is it between the start and the end
//! of some day's opening, as a user would write them down?
#![cfg(not(countersign_loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use chrono::{DateTime, Datelike, Days, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use countersign_core::window::{Hour, HoursDocument, Window, WindowDocument};

/// Changes of an hour, half an hour and two; at midnight, in the afternoon (in UTC), during
/// Ramadan; and zones that moved for good.
const ZONES: [Tz; 30] = [
    Tz::Africa__Cairo,
    Tz::Africa__Casablanca,
    Tz::Africa__Juba,
    Tz::America__Asuncion,
    Tz::America__Chicago,
    Tz::America__Havana,
    Tz::America__Los_Angeles,
    Tz::America__Mexico_City,
    Tz::America__New_York,
    Tz::America__Nuuk,
    Tz::America__Santiago,
    Tz::America__Sao_Paulo,
    Tz::America__St_Johns,
    Tz::Antarctica__Troll,
    Tz::Asia__Amman,
    Tz::Asia__Beirut,
    Tz::Asia__Gaza,
    Tz::Asia__Jerusalem,
    Tz::Asia__Pyongyang,
    Tz::Asia__Tehran,
    Tz::Atlantic__Azores,
    Tz::Australia__Adelaide,
    Tz::Australia__Lord_Howe,
    Tz::Australia__Sydney,
    Tz::Europe__Berlin,
    Tz::Europe__Dublin,
    Tz::Europe__London,
    Tz::Europe__Volgograd,
    Tz::Pacific__Apia,
    Tz::Pacific__Chatham,
];

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn offset_seconds(zone: Tz, at: DateTime<Utc>) -> i32 {
    let offset = zone.offset_from_utc_datetime(&at.naive_utc());
    offset.fix().local_minus_utc()
}

/// The first second of each new offset from 2017 to 2026.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let step = TimeDelta::hours(12);
    let mut changes = Vec::new();
    let mut from = at("2017-01-01T00:00:00Z");
    while from < at("2027-01-01T00:00:00Z") {
        let (mut before, mut after) = (from, from + step);
        if offset_seconds(zone, before) != offset_seconds(zone, after) {
            while after - before > TimeDelta::seconds(1) {
                let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
                if offset_seconds(zone, middle) == offset_seconds(zone, before) {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            changes.push(after);
        }
        from += step;
    }
    changes
}

/// A window in words of local time.
struct Plan {
    /// Number from Monday; every day if none.
    day: Option<usize>,
    /// Minutes of the day.
    hours: Option<(u32, u32)>,
}

impl Plan {
    fn document(&self, zone: Tz) -> WindowDocument {
        let hour = |minute: u32| {
            let text = format!("{:02}:{:02}", minute / 60, minute % 60);
            text.parse::<Hour>().unwrap().to_string()
        };
        WindowDocument {
            days: self.day.map(|day| vec![DAYS[day].to_owned()]),
            hours: self.hours.map(|(start, end)| HoursDocument {
                start: hour(start),
                end: hour(end),
            }),
            timezone: Some(zone.name().to_owned()),
        }
    }

    /// Whether the wall clock shows a time between the beginning and the end of an opening.
    fn open(&self, local: NaiveDateTime) -> bool {
        let today = local.date();
        let starting_on = [Some(today), today.checked_sub_days(Days::new(1))];
        starting_on.into_iter().flatten().any(|date| {
            let listed = self
                .day
                .is_none_or(|day| day == date.weekday().num_days_from_monday() as usize);
            let midnight = date.and_hms_opt(0, 0, 0).unwrap();
            let (start, end) = match self.hours {
                None => (0, 24 * 60),
                Some((start, end)) if start < end => (start, end),
                Some((start, end)) => (start, end + 24 * 60),
            };
            let after = |minutes: u32| midnight + TimeDelta::minutes(minutes.into());
            listed && after(start) <= local && local < after(end)
        })
    }
}

/// Windows whose ends lie where this change moves the clock.
fn plans(before: NaiveDateTime, after: NaiveDateTime) -> Vec<Plan> {
    let minute = |time: NaiveDateTime| {
        let midnight = time.date().and_hms_opt(0, 0, 0).unwrap();
        u32::try_from((time - midnight).num_minutes()).unwrap()
    };
    let day = |time: NaiveDateTime| Some(time.weekday().num_days_from_monday() as usize);
    let around = |time: NaiveDateTime, earlier: u32, later: u32| {
        let all = 24 * 60;
        Some((
            (minute(time) + all - earlier) % all,
            (minute(time) + later) % all,
        ))
    };
    let yesterday = before.checked_sub_days(Days::new(1)).unwrap();
    let every_day = |hours| Plan { day: None, hours };
    vec![
        every_day(around(before, 30, 30)),
        every_day(around(after, 0, 1)),
        every_day(around(before, 45, 0)),
        every_day(around(after, 0, 20 * 60)),
        Plan {
            day: day(before),
            hours: None,
        },
        Plan {
            day: day(yesterday),
            hours: around(before, 5 * 60, 15),
        },
        Plan {
            day: day(after),
            hours: around(after, 15, 5 * 60),
        },
    ]
}

#[test]
fn windows_follow_the_wall_clock_at_every_change() {
    let (mut seen, mut open) = (0, 0);
    let mut checked = 0;
    for zone in ZONES {
        let changes = changes(zone);
        assert!(!changes.is_empty(), "{zone} never changes its clock");
        for change in changes {
            seen += 1;
            let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
            let second_before = change - TimeDelta::seconds(1);
            for plan in plans(local(second_before), local(change)) {
                let window = Window::try_from(&plan.document(zone)).unwrap();
                let minutes = (-180..=180).map(|minutes| change + TimeDelta::minutes(minutes));
                let nanosecond = TimeDelta::nanoseconds(1);
                for at in minutes.chain([change - nanosecond, change + nanosecond]) {
                    let expected = plan.open(local(at));
                    assert_eq!(
                        window.contains(at),
                        expected,
                        "{window} at {at}, {}",
                        local(at)
                    );
                    open += u32::from(expected);
                    checked += 1;
                }
            }
        }
    }
    assert!(seen > 400, "only {seen} changes were found");
    assert!(
        (checked / 10..checked * 9 / 10).contains(&open),
        "{open} of {checked} are open: the windows do not lie around the changes"
    );
}
