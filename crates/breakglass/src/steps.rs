//! Each call of the store, once for every engine: what it reads, the rule that it asks, what it stages.
//!
//! Here stands the order of errors, idempotency, retention and paging; the rules themselves are pure
//! functions of their own files. A step or a read takes nothing but its inputs and what the engine
//! shows it, so it can be made again.

use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::engine::{LockError, Pick, Range, Rank, Reads, Snapshot, Transaction};
use countersign_core::grant::Grant;
use countersign_core::id::OperationId;
use countersign_core::names::{Person, Profile};
use countersign_core::time::{Now, Stamp};
use countersign_core::version::Version;

use crate::admission::{
    ActiveEvent, Admission, CountWanted, Counted, Observation, Observed, UnreviewedEvent,
};
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::index::Key;
use crate::limits::Limits;
use crate::record::Event;
use crate::retention::Retention;
use crate::store::{Changed, Filter};
use crate::vocabulary::EventId;
use crate::{Cursor, Listing, Page};

pub(crate) fn create<T: Transaction<Event>>(
    step: &mut T,
    draft: &Draft,
    admission: &Admission,
    limits: &Limits,
) -> Result<Arc<Event>, Error>
where
    Error: From<T::Error>,
{
    if let Some(found) = done_before(step, draft.operation)? {
        return Ok(Arc::new(admission.first_result(draft, &found)?));
    }
    if step.get(&draft.id)?.is_some() {
        return Err(Error::AlreadyExists { id: draft.id });
    }
    limits.check_draft(draft)?;
    let stamp = step.stamp()?;
    stamp.now.granting()?;
    let observed = observe(step, &admission.observation(draft, stamp.now))?;
    admit(step, draft, admission, limits, stamp, &observed)
}

/// Decides by what was observed in this step, and stages what begins and what makes way for it.
pub(crate) fn admit<T: Transaction<Event>>(
    step: &mut T,
    draft: &Draft,
    admission: &Admission,
    limits: &Limits,
    stamp: Stamp,
    observed: &Observed,
) -> Result<Arc<Event>, Error>
where
    Error: From<T::Error>,
{
    let admitted = admission.decide(draft, observed, stamp.now)?;
    let mut event = Event::create(draft, &admitted, limits, stamp)?;
    if let Some(change) = admitted.follow_up() {
        event = event.apply(&change, step.stamp()?)?;
    }
    let key = Key::Access(draft.invoker.case_folded(), draft.profile.clone());
    for replaced in step.pick(&key, Range::all(), usize::MAX, |_| Pick::Take)? {
        let expired = replaced.apply(&Change::make_way(), step.stamp()?)?;
        step.put(expired);
    }
    Ok(step.put(event))
}

pub(crate) fn get<V: Reads<Event>>(view: &V, id: EventId) -> Result<Arc<Event>, Error>
where
    Error: From<V::Error>,
{
    view.get(&id)?.ok_or(Error::NotFound { id })
}

pub(crate) fn update<T: Transaction<Event>>(
    step: &mut T,
    id: EventId,
    expected: Version,
    change: &Change,
) -> Result<Arc<Event>, Error>
where
    Error: From<T::Error>,
{
    if let Some(found) = done_before(step, change.operation())? {
        return Ok(Arc::new(change.first_result(id, &found)?));
    }
    let current = step.current(&id, expected).map_err(|error| match error {
        LockError::NotFound => Error::NotFound { id },
        LockError::Conflict(conflict) => Error::Conflict(conflict),
        LockError::Engine(error) => error.into(),
    })?;
    let stamp = step.stamp()?;
    Ok(step.put(current.apply(change, stamp)?))
}

pub(crate) fn delete<T: Transaction<Event>>(
    step: &mut T,
    id: EventId,
    retention: &Retention,
) -> Result<bool, Error>
where
    Error: From<T::Error>,
{
    let Some(event) = step.get(&id)? else {
        return Ok(false);
    };
    retention.check(&event, step.stamp()?.now)?;
    step.remove(id);
    Ok(true)
}

pub(crate) fn list<V: Reads<Event>>(
    view: &V,
    filter: &Filter,
    page: &Page,
) -> Result<Listing, Error>
where
    Error: From<V::Error>,
{
    let key = match filter {
        Filter::Invoker(person) => Key::Invoker(person.clone()),
        Filter::Profile(profile) => Key::Profile(profile.clone()),
        Filter::Status(status) => Key::Status(*status),
    };
    let range = Range::after_cursor(page.after, Cursor::descending);
    let place = |event: &Event| Cursor::at_version(event.created, event.id);
    Ok(view.page(&key, range, page, |_| Pick::Take, place)?)
}

pub(crate) fn find_grant<V: Reads<Event>>(
    view: &V,
    person: &Person,
    profile: &Profile,
    now: &Now,
) -> Result<Option<Grant>, Error>
where
    Error: From<V::Error>,
{
    now.granting()?;
    let found = active_of(view, person, profile, now)?;
    Ok(found.and_then(|event| event.grant(*now)))
}

/// The event that gives access to this person, exactly so spelt.
pub(crate) fn active_of<V: Reads<Event>>(
    view: &V,
    person: &Person,
    profile: &Profile,
    now: &Now,
) -> Result<Option<Arc<Event>>, Error>
where
    Error: From<V::Error>,
{
    let is_theirs = |event: &Event| event.invoker == *person;
    Ok(active(
        view,
        &person.case_folded(),
        profile,
        now,
        is_theirs,
    )?)
}

pub(crate) fn list_expirable<V: Reads<Event>>(
    view: &V,
    limit: usize,
    now: &Now,
) -> Result<Vec<Arc<Event>>, Error>
where
    Error: From<V::Error>,
{
    let limit = Page::first(limit).effective_limit();
    let mut due = view.pick(&Key::Deadline, Range::all(), limit, |event| {
        match event.expires_at <= now.at() {
            true => Pick::Take,
            false => Pick::Stop,
        }
    })?;
    if now.correction().is_some() {
        // What is dated ahead has its end still to come.
        let to_come = Range::after(Rank::earliest_first(now.at()), EventId::MAX);
        let rest = limit - due.len();
        due.extend(view.pick(&Key::Deadline, to_come, rest, |event| {
            Pick::if_so(event.is_void(now))
        })?);
    }
    Ok(due)
}

pub(crate) fn list_awaiting_review<V: Reads<Event>>(
    view: &V,
    page: &Page,
    now: &Now,
) -> Result<Listing, Error>
where
    Error: From<V::Error>,
{
    let range = Range::after_cursor(page.after, Cursor::ascending);
    let awaits = |event: &Event| Pick::if_so(event.awaits_review(*now));
    let place = |event: &Event| Cursor::at_time(event.ended_at(), event.id);
    Ok(view.page(&Key::Unreviewed, range, page, awaits, place)?)
}

pub(crate) fn list_ended<V: Reads<Event>>(
    view: &V,
    before: DateTime<Utc>,
    limit: usize,
    now: &Now,
) -> Result<Vec<Arc<Event>>, Error>
where
    Error: From<V::Error>,
{
    let limit = Page::first(limit).effective_limit();
    let latest = now.correction().map(|correction| correction.latest);
    let ended = view.pick(&Key::Ended, Range::all(), limit, |event| {
        // What is dated wrongly was over at the correction.
        if event.ended_at() >= before && Some(event.ended_at()) > latest {
            return Pick::Stop;
        }
        Pick::if_so(event.over_since(now) < before)
    })?;
    Ok(ended)
}

pub(crate) fn changes_after<V: Snapshot<Event>>(
    view: &V,
    after: Option<Version>,
    limit: usize,
) -> Result<Vec<Changed>, Error>
where
    Error: From<V::Error>,
{
    let limit = Page::first(limit).effective_limit();
    let changes = view.changes_after(after, limit)?;
    let changed = changes.into_iter().filter_map(|(version, event)| {
        Some(Changed {
            version,
            entry: Arc::clone(event.entry_at(version)?),
            event,
        })
    });
    Ok(changed.collect())
}

/// The event in whose history the operation is, if there is one.
pub(crate) fn done_before<V: Reads<Event>>(
    view: &V,
    operation: Option<OperationId>,
) -> Result<Option<Arc<Event>>, V::Error> {
    match operation {
        Some(operation) => view.find(&Key::Operation(operation), Range::all(), |_| true),
        None => Ok(None),
    }
}

/// What a step sees of an [`Observation`].
pub(crate) fn observe<V: Reads<Event>>(
    view: &V,
    observation: &Observation,
) -> Result<Observed, V::Error> {
    let Observation {
        person,
        profile,
        now,
        last_created_at,
        of_person,
        of_profile,
        proof,
        unreviewed,
    } = observation;
    let proof_used_by = match proof {
        Some(proof) => view.holder(&Key::Proof(proof.clone()))?,
        None => None,
    };
    let unreviewed = match unreviewed {
        true => awaiting_review_of(view, person, now)?,
        false => None,
    };
    let last_created_at = match last_created_at {
        true => {
            let key = Key::SamePersonAndProfile(person.clone(), profile.clone());
            last_moment(view, &key, now)?
        }
        false => None,
    };
    let active = active(view, person, profile, now, |_| true)?;
    Ok(Observed {
        proof_used_by,
        unreviewed: unreviewed.map(|event| UnreviewedEvent {
            id: event.id,
            ended_at: event.over_since(now),
        }),
        active: active.map(|event| ActiveEvent {
            id: event.id,
            expires_at: event.expires_at,
        }),
        last_created_at,
        of_person: counted(view, || Key::SamePerson(person.clone()), *of_person, now)?,
        of_profile: counted(view, || Key::SameProfile(profile.clone()), *of_profile, now)?,
    })
}

/// The event of a person, case-folded, that has waited longest for its review.
fn awaiting_review_of<V: Reads<Event>>(
    view: &V,
    person: &Person,
    now: &Now,
) -> Result<Option<Arc<Event>>, V::Error> {
    let key = Key::UnreviewedOf(person.clone());
    let found = view.pick(&key, Range::all(), 1, |event| {
        // What is dated ahead may have ended although its time is not over.
        if event.ended_at() > now.at() && now.correction().is_none() {
            return Pick::Stop;
        }
        Pick::if_so(event.awaits_review(*now))
    })?;
    Ok(found.into_iter().next())
}

/// The event of a person, case-folded, and a profile that gives access and is wanted; there is never
/// more than one that gives access.
fn active<V: Reads<Event>>(
    view: &V,
    person: &Person,
    profile: &Profile,
    now: &Now,
    is_wanted: impl Fn(&Event) -> bool,
) -> Result<Option<Arc<Event>>, V::Error> {
    let key = Key::Access(person.clone(), profile.clone());
    let to_come = Range::all().above(Rank::latest_first(now.at()));
    view.find(&key, to_come, |event| {
        event.is_active(*now) && is_wanted(event)
    })
}

/// The last moment at which one was created. What a correction has shown to be dated wrongly comes
/// first, and counts as of the correction.
fn last_moment<V: Reads<Event>>(
    view: &V,
    key: &Key,
    now: &Now,
) -> Result<Option<DateTime<Utc>>, V::Error> {
    let mut last = None;
    view.scan(key, Range::all(), 1, |_, event| {
        let moment = event.begun_at(now);
        last = last.max(Some(moment));
        match moment == event.created_at {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(last)
}

fn counted<V: Reads<Event>>(
    view: &V,
    key: impl Fn() -> Key,
    wanted: Option<CountWanted>,
    now: &Now,
) -> Result<Counted, V::Error> {
    let Some(wanted) = wanted else {
        return Ok(Counted::default());
    };
    let key = key();
    let window = Range::all().above(Rank::latest_first(wanted.created_after));
    if now
        .correction()
        .is_some_and(|correction| wanted.created_after < correction.latest)
    {
        let mut moments = Vec::new();
        view.scan(&key, window, usize::MAX, |_, event| {
            moments.push(event.begun_at(now));
            ControlFlow::Continue(())
        })?;
        return Ok(Counted::of_moments(moments, wanted));
    }
    let count = view.count(&key, window)?;
    let nth = wanted
        .nth_newest
        .and_then(|nth| usize::try_from(nth.get()).ok())
        .filter(|nth| *nth <= count);
    let nth_newest = match nth {
        Some(nth) => view.nth(&key, window, nth - 1)?,
        None => None,
    };
    Ok(Counted {
        count: count as u64,
        nth_newest: nth_newest.map(|event| event.created_at),
    })
}
