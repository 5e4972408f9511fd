//! The rules of time once more, as plainly as can be: every correction is kept, and each question
//! looks at all of them. The specification and the naive store judge by it, and not by the code
//! under test, which they ask for rules that know nothing of corrections.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_request::*;

const TOLERANCE: TimeDelta = TimeDelta::seconds(60);
const HOUR: TimeDelta = TimeDelta::hours(1);
const DAY: TimeDelta = TimeDelta::days(1);

fn day(text: &str) -> DateTime<Utc> {
    format!("{text}T00:00:00Z").parse().unwrap()
}

/// Whether a clock can show this time and be right.
pub fn is_possible(reading: DateTime<Utc>) -> bool {
    reading >= day("2026-01-01") && reading <= day("2200-01-01")
}

/// A clock that was ahead, and was set right.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Corrected {
    pub version: i64,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// What a store knows of time after a step.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Time {
    pub version: Option<i64>,
    /// Of the step.
    pub at: Option<DateTime<Utc>>,
    pub corrections: Vec<Corrected>,
    /// The last step more than a day after the one before it.
    pub jumped_at: Option<DateTime<Utc>>,
    /// What the clock showed, if that can be no time.
    pub doubtful: Option<DateTime<Utc>>,
    /// How much too early a correction counts as old enough. For faults.
    pub early: TimeDelta,
}

impl Time {
    /// After one more step, while the clock shows `reading`.
    #[must_use]
    pub fn step(&self, reading: DateTime<Utc>) -> Self {
        self.step_if(reading, is_possible(reading))
    }

    pub fn step_if(&self, reading: DateTime<Utc>, is_possible: bool) -> Self {
        let mut next = Self {
            doubtful: None,
            ..self.clone()
        };
        if !is_possible {
            next.doubtful = Some(reading);
            next.at = self.at.or(Some(day("2026-01-01")));
            next.version = Some(self.version.map_or(0, |last| last + 1));
            return next;
        }
        match self.at {
            Some(last) if reading < last - TOLERANCE => {
                let version = self.version.unwrap() + 1;
                next.version = Some(version);
                next.corrections.push(Corrected {
                    version,
                    from: last,
                    to: reading,
                });
                next.at = Some(reading);
                // A jump to a time that was wrong was made by the correction at the latest.
                next.jumped_at = self.jumped_at.map(|jumped_at| jumped_at.min(reading));
            }
            Some(last) if reading < last => {}
            last => {
                if last.is_some_and(|last| reading > last + DAY) {
                    next.jumped_at = Some(reading);
                }
                next.at = Some(reading);
            }
        }
        let nanos = reading.timestamp_nanos_opt().unwrap_or(i64::MAX);
        next.version = Some(next.version.map_or(nanos, |last| nanos.max(last + 1)));
        next
    }

    /// Whether the step found that the clock was ahead.
    pub fn has_corrected(&self, before: &Self) -> bool {
        self.corrections.len() > before.corrections.len()
    }

    /// After a step that wrote nothing, which may have found something out about the clock.
    pub fn notice(&mut self, step: &Self) {
        let corrects = step.has_corrected(self);
        if corrects {
            self.version = step.corrections.last().map(|made| made.version);
            self.corrections.clone_from(&step.corrections);
        }
        if corrects || step.jumped_at != self.jumped_at {
            self.jumped_at = step.jumped_at;
            self.at = step.at;
        }
    }

    /// Of the step.
    pub fn at(&self) -> DateTime<Utc> {
        self.at.unwrap()
    }

    pub fn stamp(&self) -> Stamp {
        Stamp {
            version: Version::from_nanos(self.version.unwrap()),
            now: Now::from(self.at()),
        }
    }

    /// Nothing is granted by a clock that cannot be right.
    pub fn granting(&self) -> Result<(), ClockError> {
        match self.doubtful {
            Some(reading) => Err(ClockError::Implausible { reading }),
            None => Ok(()),
        }
    }

    /// When something of this time counts as done.
    pub fn moment(&self, dated: DateTime<Utc>) -> DateTime<Utc> {
        match self.corrections.last() {
            Some(last) if dated > self.at() => last.to,
            _ => dated,
        }
    }

    /// Until when nothing is deleted.
    pub fn deletes_from(&self) -> Option<DateTime<Utc>> {
        let until = self.jumped_at? + HOUR;
        (self.at() < until).then_some(until)
    }

    /// Whether a correction that stood for an hour has ended what was granted ahead of it.
    pub fn is_void(&self, request: &Request) -> bool {
        let (Some(approval), Some(until)) = (&request.approval, request.access_until) else {
            return false;
        };
        request.status == Status::Approved
            && self.at() < until
            && self.has_ended(approval.at, approval.version)
    }

    /// Whether a correction that stood for an hour has ended access granted ahead of it.
    pub fn has_ended(&self, from: DateTime<Utc>, granted: Version) -> bool {
        let next = self.corrections.iter().skip(1).map(|next| next.from);
        let stood_to = next.chain([self.at()]);
        let mut corrections = self.corrections.iter().zip(stood_to);
        corrections.any(|(correction, stood_to)| {
            let stood = correction.to + HOUR - self.early;
            granted.as_nanos() < correction.version && from > stood && stood_to >= stood
        })
    }

    pub fn gives_access(&self, request: &Request) -> bool {
        let begun = |approval: &Approval| approval.at <= self.at();
        request.status == Status::Approved
            && request.approval.as_ref().is_some_and(begun)
            && request.access_until.is_some_and(|until| self.at() < until)
            && !self.is_void(request)
    }

    pub fn is_terminal(&self, request: &Request) -> bool {
        match request.status {
            Status::Pending => false,
            Status::Approved => request.access_until.unwrap() <= self.at() || self.is_void(request),
            _ => true,
        }
    }

    pub fn is_due(&self, request: &Request) -> bool {
        request.status == Status::Pending
            && (request.decide_by <= self.at() || request.created_at > self.at())
    }

    pub fn is_open(&self, request: &Request) -> bool {
        request.status == Status::Pending && !self.is_due(request) || self.gives_access(request)
    }

    pub fn ended_before(&self, request: &Request, time: DateTime<Utc>) -> bool {
        match request.ended_at() {
            Some(end) if self.is_terminal(request) => self.moment(end) < time,
            Some(end) => end < time,
            None => false,
        }
    }

    /// Why it may not be deleted.
    pub fn check_deletion(
        &self,
        request: &Request,
        ended_before: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let (id, status) = (request.id, request.status);
        if !self.is_terminal(request) {
            return Err(Error::NotTerminal { id, status });
        }
        self.granting()?;
        if let Some(until) = self.deletes_from() {
            return Err(Error::ClockJumped { until });
        }
        match ended_before {
            Some(time) if !self.ended_before(request, time) => Err(Error::Retained {
                id,
                ended_at: request.ended_at().unwrap(),
            }),
            _ => Ok(()),
        }
    }

    pub fn create(&self, draft: &Draft, limits: &Limits, terms: &Terms) -> Result<Request, Error> {
        limits.check_draft(draft)?;
        self.granting()?;
        Request::create(draft, limits, terms, self.stamp())
    }

    pub fn apply(&self, request: &Request, change: &Change) -> Result<Request, Error> {
        let (from, target) = (request.status, change.target());
        if let Some(to) = target.filter(|to| !from.can_become(*to)) {
            let (by, at) = request.status_since();
            return Err(Error::InvalidTransition { from, to, by, at });
        }
        match target {
            Some(Status::Approved) => self.granting()?,
            Some(Status::Ended) if self.is_void(request) => {
                return Ok(self.list_ended(request, change));
            }
            _ => {}
        }
        Ok(request.apply(change, self.stamp())?)
    }

    fn list_ended(&self, request: &Request, change: &Change) -> Request {
        let mut ended = request.clone();
        let to = self.stamp().version;
        ended.history.push(Arc::new(HistoryEntry {
            action: Action::Ended,
            actor: Actor::Clock,
            reason: None,
            idempotency_key: change.idempotency_key(),
            from: Some(request.updated_at),
            to,
            at: self.at(),
        }));
        (ended.status, ended.updated_at) = (Status::Ended, to);
        ended
    }
}
