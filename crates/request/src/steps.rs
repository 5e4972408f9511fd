//! Each call of the store, once for every engine: what it reads, the rule that it asks, what it stages.
//!
//! Here stands the order of errors, idempotency, retention and paging; the rules themselves are pure
//! functions of their own files. A step or a read takes nothing but its inputs and what the engine
//! shows it, so it can be made again.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::engine::{
    List, Listing as Pages, LockError, Pick, Range, Rank, Reads, Snapshot, Transaction,
    effective_limit,
};
use countersign_core::grant::{Grant, PolicyDigest};
use countersign_core::id::IdempotencyKey;
use countersign_core::names::{Profile, User};
use countersign_core::time::Now;
use countersign_core::version::Version;

use crate::change::Change;
use crate::draft::Draft;
use crate::error::Error;
use crate::index::Key;
use crate::limits::Limits;
use crate::record::Request;
use crate::store::{Changed, Filter};
use crate::terms::Terms;
use crate::vocabulary::RequestId;
use crate::{Cursor, Listing, Page, lists};

pub(crate) fn create<T: Transaction<Request>>(
    step: &mut T,
    draft: &Draft,
    terms: &Terms,
    limits: &Limits,
) -> Result<Arc<Request>, Error>
where
    Error: From<T::Error>,
{
    if let Some(found) = done_before(step, draft.idempotency_key)? {
        return Ok(Arc::new(draft.first_result(&found)?));
    }
    if step.get(&draft.id)?.is_some() {
        return Err(Error::AlreadyExists { id: draft.id });
    }
    let stamp = step.stamp()?;
    Ok(step.put(Request::create(draft, limits, terms, stamp)?))
}

pub(crate) fn get<V: Reads<Request>>(view: &V, id: RequestId) -> Result<Arc<Request>, Error>
where
    Error: From<V::Error>,
{
    view.get(&id)?.ok_or(Error::NotFound { id })
}

pub(crate) fn update<T: Transaction<Request>>(
    step: &mut T,
    id: RequestId,
    expected: Version,
    change: &Change,
) -> Result<Arc<Request>, Error>
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

pub(crate) fn delete<T: Transaction<Request>>(
    step: &mut T,
    id: RequestId,
    ended_before: Option<DateTime<Utc>>,
) -> Result<bool, Error>
where
    Error: From<T::Error>,
{
    let Some(request) = step.get(&id)? else {
        return Ok(false);
    };
    request.check_deletion(&step.stamp()?.now, ended_before)?;
    step.remove(id);
    Ok(true)
}

pub(crate) fn list<V: Reads<Request>>(
    view: &V,
    filter: &Filter,
    page: &Page,
) -> Result<Listing, Error>
where
    Error: From<V::Error>,
{
    let key = match filter {
        Filter::Requester(user) => Key::Requester(user.clone()),
        Filter::Profile(profile) => Key::Profile(profile.clone()),
        Filter::Status(status) => Key::Status(*status),
    };
    let range = Range::after_cursor(page.after, Cursor::descending);
    Ok(view.page(&key, range, page, |_| Pick::Take, by_creation)?)
}

pub(crate) fn find_grant<V: Reads<Request>>(
    view: &V,
    user: &User,
    profile: &Profile,
    policy: Option<PolicyDigest>,
    now: &Now,
) -> Result<Option<Grant>, Error>
where
    Error: From<V::Error>,
{
    now.granting()?;
    let found = longest(view, user, profile, policy, now)?;
    Ok(found.and_then(|request| request.grant(*now)))
}

/// The request whose access is in force and lasts longest, of those that hold under the policy.
pub(crate) fn longest<V: Reads<Request>>(
    view: &V,
    user: &User,
    profile: &Profile,
    policy: Option<PolicyDigest>,
    now: &Now,
) -> Result<Option<Arc<Request>>, Error>
where
    Error: From<V::Error>,
{
    let to_come = Range::all().above(Rank::latest_first(now.at()));
    let longest = |policy| {
        let key = Key::Access(user.clone(), profile.clone(), policy);
        view.find(&key, to_come, |request| request.gives_access(now))
    };
    let free = longest(None)?;
    let pinned = match policy {
        Some(policy) => longest(Some(policy))?,
        None => None,
    };
    let both = free.into_iter().chain(pinned);
    Ok(both.max_by_key(|request| (request.access_until, Reverse(request.id))))
}

pub(crate) fn list_expirable<V: Reads<Request>>(
    view: &V,
    limit: usize,
    now: &Now,
) -> Result<Vec<Arc<Request>>, Error>
where
    Error: From<V::Error>,
{
    let limit = effective_limit(limit);
    let is_passed = |request: &Request| request.decide_by <= now.at();
    let mut due = view.pick(
        &Key::Deadline,
        Range::all(),
        limit,
        |request| match is_passed(request) {
            true => Pick::Take,
            false => Pick::Stop,
        },
    )?;
    for key in [Key::Deadline, Key::Ended] {
        due.extend(to_come(
            view,
            &key,
            now.at(),
            limit - due.len(),
            now,
            |request| request.is_void(now) || request.is_due(now) && !is_passed(request),
        )?);
    }
    Ok(due)
}

pub(crate) fn list_pending<V: Reads<Request>>(
    view: &V,
    profiles: Option<&BTreeSet<Profile>>,
    page: &Page<lists::Pending>,
) -> Result<Listing<lists::Pending>, Error>
where
    Error: From<V::Error>,
{
    let keys: Vec<_> = match profiles {
        None => vec![Key::Waiting(None)],
        Some(profiles) => profiles
            .iter()
            .map(|profile| Key::Waiting(Some(profile.clone())))
            .collect(),
    };
    let range = Range::after_cursor(page.after, Cursor::ascending);
    let found = view.merged(&keys, range, page.effective_limit() + 1)?;
    Ok(Pages::cut(found, page, by_creation))
}

pub(crate) fn list_open<V: Reads<Request>>(
    view: &V,
    user: &User,
    page: &Page<lists::Open>,
    now: &Now,
) -> Result<Listing<lists::Open>, Error>
where
    Error: From<V::Error>,
{
    let range = Range::after_cursor(page.after, Cursor::descending);
    let to_come = range.above(Rank::latest_first(now.at()));
    let is_open = |request: &Request| Pick::if_so(request.is_open(now));
    let place = |request: &Request| Cursor::at_time(ends_at(request), request.id);
    Ok(view.page(&Key::Open(user.clone()), to_come, page, is_open, place)?)
}

pub(crate) fn list_ended<V: Reads<Request>>(
    view: &V,
    time: DateTime<Utc>,
    limit: usize,
    now: &Now,
) -> Result<Vec<Arc<Request>>, Error>
where
    Error: From<V::Error>,
{
    let limit = effective_limit(limit);
    let before = |request: &Request| request.ended_before(time, now);
    let earlier = Range::all().above(Rank::earliest_first(time));
    let mut ended = view.pick(&Key::Ended, earlier, limit, |request| {
        Pick::if_so(before(request))
    })?;
    let from = time.max(now.at());
    let rest = limit - ended.len();
    ended.extend(to_come(view, &Key::Ended, from, rest, now, before)?);
    Ok(ended)
}

pub(crate) fn changes_after<V: Snapshot<Request>>(
    view: &V,
    after: Option<Version>,
    limit: usize,
) -> Result<Vec<Changed>, Error>
where
    Error: From<V::Error>,
{
    let limit = effective_limit(limit);
    let changes = view.changes_after(after, limit)?;
    let changed = changes.into_iter().filter_map(|(version, request)| {
        Some(Changed {
            version,
            entry: Arc::clone(request.entry_at(version)?),
            request,
        })
    });
    Ok(changed.collect())
}

/// The request in whose history the key is, if there is one.
pub(crate) fn done_before<V: Reads<Request>>(
    view: &V,
    idempotency_key: Option<IdempotencyKey>,
) -> Result<Option<Arc<Request>>, V::Error> {
    match idempotency_key {
        Some(idempotency_key) => {
            view.find(&Key::IdempotencyKey(idempotency_key), Range::all(), |_| {
                true
            })
        }
        None => Ok(None),
    }
}

/// Those whose deadline or end is at `time` or later, as far as a correction may have made them
/// due or over all the same: none if the clock has never been corrected.
fn to_come<V: Reads<Request>>(
    view: &V,
    key: &Key,
    time: DateTime<Utc>,
    limit: usize,
    now: &Now,
    is_wanted: impl Fn(&Request) -> bool,
) -> Result<Vec<Arc<Request>>, V::Error> {
    if now.correction().is_none() {
        return Ok(Vec::new());
    }
    let rest = Range::starting_at(Rank::earliest_first(time));
    view.pick(key, rest, limit, |request| Pick::if_so(is_wanted(request)))
}

/// When what is open is over, unless it is decided or ended before.
fn ends_at(request: &Request) -> DateTime<Utc> {
    request.access_until.unwrap_or(request.decide_by)
}

fn by_creation<L: List>(request: &Request) -> Cursor<L> {
    Cursor::at_version(request.created, request.id)
}
