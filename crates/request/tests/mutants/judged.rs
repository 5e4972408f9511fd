//! What the naive store makes of time: the step that it makes, and what the rules say to it.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_core::time::{CLOCK_TOLERANCE, Correction, Timeline, Writer};
use countersign_request::*;

use super::{Naive, State, cut};
use crate::faults::Fault;
use crate::time::{Time, is_possible};

const NANOSECOND: TimeDelta = TimeDelta::nanoseconds(1);

/// A step: what the store remembers of it, and what the rules are asked with.
pub(super) struct Step {
    pub kept: Time,
    pub judged: Time,
}

impl Naive {
    /// The next step, of the request `id`.
    pub(super) fn step(&self, state: &State, id: RequestId) -> Step {
        let reading = self.clock.now();
        let kept = self.remembered_step(state, id, reading);
        let mut judged = kept.clone();
        match self.fault {
            Fault::RulesSeeTheVersion => judged.at = Some(judged.stamp().version.time()),
            Fault::AheadInForceLater => {
                judged
                    .corrections
                    .iter_mut()
                    .for_each(|c| c.version = i64::MIN);
            }
            Fault::VoidAtOnce => judged.early = TimeDelta::hours(1),
            Fault::VoidTooEarly => judged.early = NANOSECOND,
            Fault::VoidByTheLast => {
                let last = judged.corrections.pop();
                judged.corrections = last.into_iter().collect();
            }
            Fault::JumpOff => judged.jumped_at = None,
            _ => {}
        }
        Step { kept, judged }
    }

    /// What the time is: the step that would be made.
    pub(super) fn looked(&self) -> Time {
        let id = RequestId::from_bits(0);
        let mut state = self.lock();
        let step = self.step(&state, id);
        if step.kept.has_corrected(&state.time) && !self.is(Fault::LooksForget) {
            state.time.notice(&step.kept);
        }
        step.judged
    }

    /// Remembers what a step has found out about the clock, whatever becomes of it.
    pub(super) fn notice(&self, state: &mut State, step: &Step) {
        if !self.is(Fault::RefusalsForget) {
            state.time.notice(&step.kept);
        }
    }

    fn remembered_step(&self, state: &State, id: RequestId, reading: DateTime<Utc>) -> Time {
        let mut before = state.time.clone();
        let last = before.at;
        // A step back that is to be a correction though it is within the tolerance.
        let corrects = |last: DateTime<Utc>| match self.fault {
            Fault::ToleranceOff => reading < last,
            Fault::ToleranceOpen => reading == last - CLOCK_TOLERANCE,
            _ => false,
        };
        if last.is_some_and(corrects) {
            before.at = Some(reading + CLOCK_TOLERANCE + NANOSECOND);
        }
        let shown = match (self.fault, last) {
            (Fault::NeverBack, Some(last)) if is_possible(reading) => reading.max(last),
            _ => reading,
        };
        let possible = is_possible(reading) || self.is(Fault::ImpossibleIsATime);
        let mut next = before.step_if(shown, possible);
        let nanos = reading.timestamp_nanos_opt().unwrap_or(0);
        match self.fault {
            Fault::ClockToken => next.version = Some(nanos),
            Fault::FloorOfTheRecord => {
                let place = state.place(|other| other == id);
                let floor = place.map(|place| state.requests[place].updated_at.as_nanos() + 1);
                next.version = floor.max(Some(nanos));
            }
            Fault::VersionsInMilliseconds => {
                let cut = cut(shown, TimeDelta::milliseconds(1)).timestamp_nanos_opt();
                next.version = cut.max(state.time.version.map(|last| last + 1));
            }
            Fault::VersionOfTheImpossible => next.version = next.version.max(Some(nanos)),
            Fault::JumpOfADay => {
                let day = |last| reading >= last + TimeDelta::days(1);
                if last.is_some_and(day) {
                    next.jumped_at = Some(reading);
                }
            }
            _ => {}
        }
        next
    }

    /// The same time as the library has it.
    pub(super) fn now(&self) -> Now {
        let reading = self.clock.now();
        if self.is(Fault::NowIsTheClock) {
            return Now::from(reading);
        }
        self.looked();
        let state = self.lock();
        let time = &state.time;
        let (Some(version), Some(at)) = (time.version, time.at) else {
            return Timeline::new().now(reading, Writer::ONLY, CLOCK_TOLERANCE);
        };
        let mut latest = DateTime::<Utc>::MIN_UTC;
        let corrections = time.corrections.iter().map(|corrected| {
            latest = latest.max(corrected.from);
            Correction {
                version: Version::from_nanos(corrected.version),
                from: corrected.from,
                to: corrected.to,
                latest,
                by: Writer::ONLY,
                of: Writer::ONLY,
            }
        });
        let timeline = Timeline::after(Version::from_nanos(version), at, Writer::ONLY)
            .with_corrections(corrections)
            .with_jump(time.jumped_at);
        timeline.now(reading, Writer::ONLY, CLOCK_TOLERANCE)
    }

    /// What a step gives; one that fails uses no version up.
    pub(super) fn done<T>(
        &self,
        state: &mut State,
        step: &Step,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        if result.is_err() && self.is(Fault::FailureCorrects) {
            state.time = step.kept.clone();
        }
        result
    }

    /// The draft as it is created.
    pub(super) fn created(
        &self,
        step: &Step,
        draft: &Draft,
        terms: &Terms,
    ) -> Result<Request, Error> {
        let (limits, time) = (self.limits(), &step.judged);
        match self.fault {
            Fault::ImpossibleGrants => Request::create(draft, &limits, terms, time.stamp()),
            Fault::ClockBeforeInvalid => {
                time.granting()?;
                time.create(draft, &limits, terms)
            }
            Fault::ClockAfterRefused => {
                let created = Request::create(draft, &limits, terms, time.stamp())?;
                time.granting()?;
                Ok(created)
            }
            _ => time.create(draft, &limits, terms),
        }
    }

    /// The request as it is after the change.
    pub(super) fn changed(
        &self,
        step: &Step,
        current: &Request,
        change: &Change,
    ) -> Result<Request, Error> {
        let mut time = step.judged.clone();
        let (at, target) = (time.at(), change.target());
        let approves = target == Some(Status::Approved);
        let takes = matches!(target, Some(Status::Revoked | Status::Released));
        let sure = Time {
            doubtful: None,
            ..time.clone()
        };
        let ahead = current.created_at > at;
        match self.fault {
            Fault::RulesSeeTheClock => {
                time.at = Some(self.clock.now());
                time.apply(current, change)?;
                time.at = Some(at);
            }
            Fault::RulesSeeTheNext => {
                time.at = Some(at + NANOSECOND);
                time.apply(current, change)?;
                time.at = Some(at);
            }
            Fault::ImpossibleGrants => time = sure,
            Fault::ImpossibleGrantsInPart if approves => {
                let changed = sure.apply(current, change)?;
                if changed.status == Status::Approved {
                    time.granting()?;
                }
                return Ok(changed);
            }
            Fault::ImpossibleEndsNothing => time.granting()?,
            Fault::ClockBeforeTransition if approves => time.granting()?,
            Fault::ClockAfterRefused => {
                let changed = sure.apply(current, change)?;
                if approves {
                    time.granting()?;
                }
                return Ok(changed);
            }
            Fault::AheadIsApproved | Fault::AheadIsApprovedInPart if approves && ahead => {
                let mut present = current.clone();
                present.created_at = at;
                let mut changed = time.apply(&present, change)?;
                changed.created_at = current.created_at;
                let in_part = changed.status == Status::Pending;
                if in_part == self.is(Fault::AheadIsApprovedInPart) {
                    return Ok(changed);
                }
            }
            Fault::AheadNotDue if target == Some(Status::Expired) && ahead => {
                let decide_by = current.decide_by;
                return Err(Refusal::NotDue { decide_by }.into());
            }
            Fault::VoidThoughOver if target == Some(Status::Ended) => {
                let last = current.access_until.map(|until| until - NANOSECOND);
                time.at = time.at.min(last);
            }
            Fault::PartAheadForgotten if approves => {
                let mut present = current.clone();
                present.approvals.retain(|approval| approval.at <= at);
                return time.apply(&present, change);
            }
            Fault::EndingSeesTheVersion if takes => {
                let version = time.stamp().version.time();
                if let Some(until) = current.access_until.filter(|until| *until <= version) {
                    return Err(Refusal::AccessOver { until }.into());
                }
            }
            _ => {}
        }
        time.apply(current, change)
    }

    pub(super) fn check_deletion(
        &self,
        step: &Step,
        request: &Request,
        ended_before: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let mut time = step.judged.clone();
        let (id, status) = (request.id, request.status);
        let live = Error::NotTerminal { id, status };
        match (self.fault, ended_before, request.ended_at()) {
            (Fault::RulesSeeTheClock, ..) => time.at = Some(self.clock.now()),
            (Fault::AccessOverTooLate, ..) => {
                time.at = Some(time.at() - NANOSECOND);
                if !time.is_terminal(request) {
                    return Err(live);
                }
                time.at = step.judged.at;
            }
            (Fault::DeletesAnything, ..) => return Ok(()),
            (Fault::VoidLive, ..) if time.is_void(request) => return Err(live),
            (Fault::ImpossibleDeletes, ..) => time.doubtful = None,
            (Fault::JumpWaitsForItself, ..) => {
                let until = time.jumped_at.map(|jump| jump + TimeDelta::hours(1));
                if let Some(until) = until.filter(|until| *until > time.at()) {
                    return Err(Error::ClockJumped { until });
                }
            }
            (Fault::RetentionOff, ..) => return time.check_deletion(request, None),
            (Fault::RetainedTooLittle, Some(before), Some(end)) if end == before => {
                return time.check_deletion(request, None);
            }
            (Fault::RetainedBeforeLive, Some(before), Some(ended_at)) if ended_at >= before => {
                return Err(Error::Retained { id, ended_at });
            }
            (Fault::RetainedAhead, Some(before), Some(ended_at)) if ended_at >= before => {
                time.check_deletion(request, None)?;
                return Err(Error::Retained { id, ended_at });
            }
            _ => {}
        }
        time.check_deletion(request, ended_before)
    }
}
