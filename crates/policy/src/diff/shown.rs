//! Changes as people read them: one line each.

use std::fmt;

use countersign_core::names::{Profile, User};
use serde::{Serialize, Serializer};

use super::{Change, Difference, LocalTimes, NameSet, Outcome, Subjects};
use crate::decision::Line;
use crate::error::escape;
use crate::listed::Listed;

/// One line a change.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        if !self.complete {
            writeln!(f, "there may be more: the policies differ in too many ways")?;
        }
        Ok(())
    }
}

/// Who, what, when and how, and what becomes of what. The witness is not shown.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} for {}", self.direction, self.who, self.what)?;
        for times in &self.times {
            write!(f, ", {times}")?;
        }
        if !self.ways.is_all() {
            write!(f, ", {}", self.ways)?;
        }
        write!(f, ": {} -> {}", self.before, self.after)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = Line {
            verdict: self.verdict,
            denial: self.denial,
            requires_session_tracking: self.requires_session_tracking,
            rule: None,
            max_duration: self.max_duration,
            grant: None,
        };
        line.fmt(f)?;
        match &self.session_table {
            Some(table) => {
                f.write_str(", session table `")?;
                escape(f, table)?;
                f.write_str("`")
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Subjects<User> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "anyone")
    }
}

impl fmt::Display for Subjects<Profile> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "any profile")
    }
}

impl<T: fmt::Display> Subjects<T> {
    fn write(&self, f: &mut fmt::Formatter<'_>, any: &str) -> fmt::Result {
        match &self.names {
            NameSet::Only(names) => write!(f, "{}", Listed(names))?,
            NameSet::AllBut(names) if names.is_empty() => f.write_str(any)?,
            NameSet::AllBut(names) => write!(f, "{any} but {}", Listed(names))?,
        }
        for groups in &self.in_groups {
            let of_one = if groups.len() > 1 { "in one of" } else { "in" };
            write!(f, ", {of_one} {}", Listed(groups))?;
        }
        if !self.not_in_groups.is_empty() {
            write!(f, ", not in {}", Listed(&self.not_in_groups))?;
        }
        Ok(())
    }
}

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

const MINUTES_A_DAY: usize = 24 * 60;

/// Days that have the same hours.
struct Alike {
    days: Vec<&'static str>,
    hours: Vec<(usize, usize)>,
}

/// `monday, friday 09:00-17:00; saturday UTC`: days that have the same hours together.
impl fmt::Display for LocalTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = self.week.spans();
        let mut shown: Vec<Alike> = Vec::new();
        for (number, day) in DAYS.into_iter().enumerate() {
            let (start, end) = (number * MINUTES_A_DAY, (number + 1) * MINUTES_A_DAY);
            let within = spans.iter().filter(|(from, to)| *from < end && *to > start);
            let hours =
                within.map(|(from, to)| ((*from).max(start) - start, (*to).min(end) - start));
            let hours: Vec<(usize, usize)> = hours.collect();
            match shown.iter_mut().find(|alike| alike.hours == hours) {
                _ if hours.is_empty() => {}
                Some(alike) => alike.days.push(day),
                None => {
                    let days = vec![day];
                    shown.push(Alike { days, hours });
                }
            }
        }
        for (place, alike) in shown.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "; " })?;
            alike.fmt(f)?;
        }
        write!(f, " {}", self.zone)
    }
}

impl fmt::Display for Alike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let every_day = self.days.len() == DAYS.len();
        let all_day = self.hours[..] == [(0, MINUTES_A_DAY)];
        if !every_day {
            f.write_str(&self.days.join(", "))?;
        }
        if !every_day && !all_day {
            f.write_str(" ")?;
        }
        for (place, (from, to)) in self.hours.iter().enumerate() {
            if !all_day {
                let separator = if place == 0 { "" } else { " and " };
                write!(f, "{separator}{}-{}", Minute(*from), Minute(*to))?;
            }
        }
        Ok(())
    }
}

/// As it is shown.
impl Serialize for LocalTimes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A minute of the day; the last is followed by 24:00.
struct Minute(usize);

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}
