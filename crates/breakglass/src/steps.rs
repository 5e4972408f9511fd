//! Each call of the store, once for every engine: what it reads, the rule that it asks, what it stages.
//!
//! Here stands the order of errors, idempotency, retention and paging; the rules themselves are pure
//! functions of their own files. A step or a read takes nothing but its inputs and what the engine
//! shows it, so it can be made again.

use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::engine::{
    LockError, Pick, Range, Rank, Reads, Snapshot, Transaction, effective_limit,
};
use countersign_core::grant::Grant;
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::time::{Now, Stamp};
use countersign_core::version::Version;

use crate::admission::{
    ActiveEmergency, Admission, CountWanted, Counted, Observation, Observed, UnreviewedEmergency,
};
use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::index::Key;
use crate::limits::Limits;
use crate::record::Emergency;
use crate::retention::Retention;
use crate::store::{Changed, Filter};
use crate::vocabulary::EmergencyId;
use crate::{Cursor, Listing, Page, lists};

pub(crate) fn create<T: Transaction<Emergency>>(
    step: &mut T,
    draft: &Draft,
    admission: &Admission,
    limits: &Limits,
) -> Result<Arc<Emergency>, Error>
where
    Error: From<T::Error>,
{
    if let Some(found) = done_before(step, draft.idempotency_key)? {
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
pub(crate) fn admit<T: Transaction<Emergency>>(
    step: &mut T,
    draft: &Draft,
    admission: &Admission,
    limits: &Limits,
    stamp: Stamp,
    observed: &Observed,
) -> Result<Arc<Emergency>, Error>
where
    Error: From<T::Error>,
{
    let admitted = admission.decide(draft, observed, stamp.now)?;
    let mut emergency = Emergency::create(draft, &admitted, limits, stamp)?;
    if let Some(change) = admitted.follow_up() {
        emergency = emergency.apply(&change, step.stamp()?)?;
    }
    let key = Key::Access(draft.invoker.case_folded(), draft.profile.clone());
    for replaced in step.pick(&key, Range::all(), usize::MAX, |_| Pick::Take)? {
        let expired = replaced.apply(&Change::make_way(), step.stamp()?)?;
        step.put(expired);
    }
    Ok(step.put(emergency))
}

pub(crate) fn get<V: Reads<Emergency>>(view: &V, id: EmergencyId) -> Result<Arc<Emergency>, Error>
where
    Error: From<V::Error>,
{
    view.get(&id)?.ok_or(Error::NotFound { id })
}

pub(crate) fn update<T: Transaction<Emergency>>(
    step: &mut T,
    id: EmergencyId,
    expected: Version,
    change: &Change,
) -> Result<Arc<Emergency>, Error>
where
    Error: From<T::Error>,
{
    if let Some(found) = done_before(step, change.idempotency_key())? {
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

pub(crate) fn delete<T: Transaction<Emergency>>(
    step: &mut T,
    id: EmergencyId,
    retention: &Retention,
) -> Result<bool, Error>
where
    Error: From<T::Error>,
{
    let Some(emergency) = step.get(&id)? else {
        return Ok(false);
    };
    retention.check(&emergency, step.stamp()?.now)?;
    step.remove(id);
    Ok(true)
}

pub(crate) fn list<V: Reads<Emergency>>(
    view: &V,
    filter: &Filter,
    page: &Page,
) -> Result<Listing, Error>
where
    Error: From<V::Error>,
{
    let key = match filter {
        Filter::Invoker(user) => Key::Invoker(user.clone()),
        Filter::Profile(profile) => Key::Profile(profile.clone()),
        Filter::Status(status) => Key::Status(*status),
    };
    let range = Range::after_cursor(page.after, Cursor::descending);
    let place = |emergency: &Emergency| Cursor::at_version(emergency.created, emergency.id);
    Ok(view.page(&key, range, page, |_| Pick::Take, place)?)
}

pub(crate) fn find_grant<V: Reads<Emergency>>(
    view: &V,
    user: &User,
    profile: &Profile,
    now: &Now,
) -> Result<Option<Grant>, Error>
where
    Error: From<V::Error>,
{
    now.granting()?;
    let found = active_of(view, user, profile, now)?;
    Ok(found.and_then(|emergency| emergency.grant(*now)))
}

/// The emergency that gives access to this user, exactly so spelt.
pub(crate) fn active_of<V: Reads<Emergency>>(
    view: &V,
    user: &User,
    profile: &Profile,
    now: &Now,
) -> Result<Option<Arc<Emergency>>, Error>
where
    Error: From<V::Error>,
{
    let is_theirs = |emergency: &Emergency| emergency.invoker == *user;
    Ok(active(view, &user.case_folded(), profile, now, is_theirs)?)
}

pub(crate) fn list_expirable<V: Reads<Emergency>>(
    view: &V,
    limit: usize,
    now: &Now,
) -> Result<Vec<Arc<Emergency>>, Error>
where
    Error: From<V::Error>,
{
    let limit = effective_limit(limit);
    let mut due = view.pick(&Key::Deadline, Range::all(), limit, |emergency| {
        match emergency.expires_at <= now.at() {
            true => Pick::Take,
            false => Pick::Stop,
        }
    })?;
    if now.correction().is_some() {
        // What is dated ahead has its end still to come.
        let to_come = Range::after(Rank::earliest_first(now.at()), EmergencyId::MAX);
        let rest = limit - due.len();
        due.extend(view.pick(&Key::Deadline, to_come, rest, |emergency| {
            Pick::if_so(emergency.is_void(now))
        })?);
    }
    Ok(due)
}

pub(crate) fn list_awaiting_review<V: Reads<Emergency>>(
    view: &V,
    page: &Page<lists::AwaitingReview>,
    now: &Now,
) -> Result<Listing<lists::AwaitingReview>, Error>
where
    Error: From<V::Error>,
{
    let range = Range::after_cursor(page.after, Cursor::ascending);
    let awaits = |emergency: &Emergency| Pick::if_so(emergency.awaits_review(*now));
    let place = |emergency: &Emergency| Cursor::at_time(emergency.ended_at(), emergency.id);
    Ok(view.page(&Key::Unreviewed, range, page, awaits, place)?)
}

pub(crate) fn list_ended<V: Reads<Emergency>>(
    view: &V,
    before: DateTime<Utc>,
    limit: usize,
    now: &Now,
) -> Result<Vec<Arc<Emergency>>, Error>
where
    Error: From<V::Error>,
{
    let limit = effective_limit(limit);
    let latest = now.correction().map(|correction| correction.latest);
    let ended = view.pick(&Key::Ended, Range::all(), limit, |emergency| {
        // What is dated wrongly was over at the correction.
        if emergency.ended_at() >= before && Some(emergency.ended_at()) > latest {
            return Pick::Stop;
        }
        Pick::if_so(emergency.over_since(now) < before)
    })?;
    Ok(ended)
}

pub(crate) fn changes_after<V: Snapshot<Emergency>>(
    view: &V,
    after: Option<Version>,
    limit: usize,
) -> Result<Vec<Changed>, Error>
where
    Error: From<V::Error>,
{
    let limit = effective_limit(limit);
    let changes = view.changes_after(after, limit)?;
    let changed = changes.into_iter().filter_map(|(version, emergency)| {
        Some(Changed {
            version,
            entry: Arc::clone(emergency.entry_at(version)?),
            emergency,
        })
    });
    Ok(changed.collect())
}

/// The emergency in whose history the key is, if there is one.
pub(crate) fn done_before<V: Reads<Emergency>>(
    view: &V,
    idempotency_key: Option<IdempotencyKey>,
) -> Result<Option<Arc<Emergency>>, V::Error> {
    match idempotency_key {
        Some(idempotency_key) => {
            view.find(&Key::IdempotencyKey(idempotency_key), Range::all(), |_| {
                true
            })
        }
        None => Ok(None),
    }
}

/// What a step sees of an [`Observation`].
pub(crate) fn observe<V: Reads<Emergency>>(
    view: &V,
    observation: &Observation,
) -> Result<Observed, V::Error> {
    let Observation {
        user,
        profile,
        now,
        last_created_at,
        of_user,
        of_profile,
        proof,
        unreviewed,
    } = observation;
    let proof_used_by = match proof {
        Some(proof) => view.holder(&Key::Proof(proof.clone()))?,
        None => None,
    };
    let unreviewed = match unreviewed {
        true => awaiting_review_of(view, user, now)?,
        false => None,
    };
    let last_created_at = match last_created_at {
        true => {
            let key = Key::SameUserAndProfile(user.clone(), profile.clone());
            last_moment(view, &key, now)?
        }
        false => None,
    };
    let active = active(view, user, profile, now, |_| true)?;
    Ok(Observed {
        proof_used_by,
        unreviewed: unreviewed.map(|emergency| UnreviewedEmergency {
            id: emergency.id,
            ended_at: emergency.over_since(now),
        }),
        active: active.map(|emergency| ActiveEmergency {
            id: emergency.id,
            expires_at: emergency.expires_at,
        }),
        last_created_at,
        of_user: counted(view, || Key::SameUser(user.clone()), *of_user, now)?,
        of_profile: counted(view, || Key::SameProfile(profile.clone()), *of_profile, now)?,
    })
}

/// The emergency of a user, case-folded, that has waited longest for its review.
fn awaiting_review_of<V: Reads<Emergency>>(
    view: &V,
    user: &User,
    now: &Now,
) -> Result<Option<Arc<Emergency>>, V::Error> {
    let key = Key::UnreviewedOf(user.clone());
    let found = view.pick(&key, Range::all(), 1, |emergency| {
        // What is dated ahead may have ended although its time is not over.
        if emergency.ended_at() > now.at() && now.correction().is_none() {
            return Pick::Stop;
        }
        Pick::if_so(emergency.awaits_review(*now))
    })?;
    Ok(found.into_iter().next())
}

/// The emergency of a user, case-folded, and a profile that gives access and is wanted; there is never
/// more than one that gives access.
fn active<V: Reads<Emergency>>(
    view: &V,
    user: &User,
    profile: &Profile,
    now: &Now,
    is_wanted: impl Fn(&Emergency) -> bool,
) -> Result<Option<Arc<Emergency>>, V::Error> {
    let key = Key::Access(user.clone(), profile.clone());
    let to_come = Range::all().above(Rank::latest_first(now.at()));
    view.find(&key, to_come, |emergency| {
        emergency.is_active(*now) && is_wanted(emergency)
    })
}

/// The last moment at which one was created. What a correction has shown to be dated wrongly comes
/// first, and counts as of the correction.
fn last_moment<V: Reads<Emergency>>(
    view: &V,
    key: &Key,
    now: &Now,
) -> Result<Option<DateTime<Utc>>, V::Error> {
    let mut last = None;
    view.scan(key, Range::all(), 1, |_, emergency| {
        let moment = emergency.begun_at(now);
        last = last.max(Some(moment));
        match moment == emergency.created_at {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok(last)
}

fn counted<V: Reads<Emergency>>(
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
        view.scan(&key, window, usize::MAX, |_, emergency| {
            moments.push(emergency.begun_at(now));
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
        nth_newest: nth_newest.map(|emergency| emergency.created_at),
    })
}
