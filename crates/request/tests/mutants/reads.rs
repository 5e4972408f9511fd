//! The reads of the naive store.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use countersign_request::*;

use super::{Made, Naive};
use crate::faults::Fault;
use crate::time::Time;

/// When what is open is over.
fn ends_at(request: &Request) -> DateTime<Utc> {
    request.access_until.unwrap_or(request.decide_by)
}

/// What a store leaves out that reads 16 of each profile and does not go on reading.
fn beyond_16_of_a_profile(
    mut requests: Vec<Arc<Request>>,
    profiles: Option<&BTreeSet<Profile>>,
    after: Option<Cursor<lists::Pending>>,
) -> BTreeSet<RequestId> {
    let place = |request: &Request| Cursor::at_version(request.created, request.id);
    requests.retain(|request| Some(place(request)) > after);
    requests.sort_by_key(|request| place(request));
    let mut beyond = BTreeSet::new();
    for profile in profiles.into_iter().filter(|set| set.len() > 1).flatten() {
        let of_it = requests
            .iter()
            .filter(|request| request.profile == *profile);
        beyond.extend(of_it.skip(16).map(|request| request.id));
    }
    beyond
}

impl Naive {
    pub(super) fn get(&self, id: RequestId) -> Made {
        let state = self.lock();
        let mut place = state.place(|other| self.same_id(other, id));
        if self.is(Fault::MissingIsTheNext) {
            place = place.or_else(|| state.place(|other| other < id));
        }
        place
            .map(|place| state.requests[place].clone())
            .ok_or(Error::NotFound { id })
    }

    fn limit(&self, limit: usize) -> usize {
        match (self.fault, limit) {
            (Fault::ZeroIsNone, 0) => 0,
            (Fault::ZeroIsMost, 0) => 1_000,
            (Fault::LimitOff, 1..) => limit.min(1_000_000),
            (Fault::LimitOf999, 1_000..) => 999,
            _ => Page::<lists::All>::first(limit).effective_limit(),
        }
    }

    fn all(&self) -> Vec<Arc<Request>> {
        let state = self.lock();
        match self.fault {
            Fault::IndexAfterTheRecord => state.before.clone(),
            _ => state.requests.clone(),
        }
    }

    fn by_id(&self, one: RequestId, other: RequestId) -> Ordering {
        match self.fault {
            Fault::IdsSigned => (one.to_bits() as i64).cmp(&(other.to_bits() as i64)),
            _ => one.cmp(&other),
        }
    }

    fn same_name(&self, one: &str, other: &str) -> bool {
        match self.fault {
            Fault::NamesOfAnyCase => one.eq_ignore_ascii_case(other),
            Fault::NamesAsPatterns => {
                let fits = |(a, b): (char, char)| a == '_' || a == b;
                one.chars().count() == other.chars().count()
                    && one.chars().zip(other.chars()).all(fits)
            }
            _ => one == other,
        }
    }

    /// The page of those that are wanted, in the order of their places.
    fn page<L: List>(
        &self,
        page: Page<L>,
        newest_first: bool,
        place: impl Fn(&Request) -> Cursor<L>,
        wanted: impl Fn(&Request) -> bool,
    ) -> Listing<L> {
        let order = |one: &Cursor<L>, other: &Cursor<L>| {
            let by_time = one.place.cmp(&other.place);
            let by_time = if newest_first {
                by_time.reverse()
            } else {
                by_time
            };
            by_time.then(self.by_id(one.id, other.id))
        };
        let limit = self.limit(page.limit);
        let mut items = self.all();
        items.sort_by(|one, other| order(&place(one), &place(other)));
        if self.is(Fault::CursorOfTheRecord) {
            let named = page
                .after
                .and_then(|after| items.iter().position(|r| r.id == after.id));
            items.drain(..named.map_or(0, |named| named + 1));
        } else if let Some(after) = page.after {
            let anew = self.is(Fault::PagesBeginAnew) && self.lock().reopened_at.is_some();
            items.retain(|request| {
                let here = place(request);
                match self.fault {
                    _ if anew => true,
                    Fault::CursorSkipsTies if here.place == after.place => false,
                    Fault::CursorRepeats => order(&here, &after).is_ge(),
                    _ => order(&here, &after).is_gt(),
                }
            });
        }
        if self.is(Fault::LimitBeforeFilter) {
            items.truncate(limit);
        }
        items.retain(|request| wanted(request));
        let more = items.len() > limit || self.is(Fault::NextOnTheLastPage);
        items.truncate(limit);
        let next = items.last().filter(|_| more && !self.is(Fault::NextNever));
        let next = next.map(|last| place(last));
        Listing { items, next }
    }

    pub(super) fn list(&self, filter: &Filter, page: Page) -> Listing {
        let place = |request: &Request| match self.fault {
            Fault::LastChangedFirst => Cursor::at_version(request.updated_at, request.id),
            Fault::ListedByTime => Cursor::at_time(request.created_at, request.id),
            _ => Cursor::at_version(request.created, request.id),
        };
        self.page(
            page,
            !self.is(Fault::OldestFirst),
            place,
            |request| match filter {
                Filter::Requester(user) => {
                    self.same_name(user.as_str(), request.requester.as_str())
                }
                Filter::Profile(profile) => {
                    self.same_name(profile.as_str(), request.profile.as_str())
                }
                Filter::Status(status) => *status == request.status,
            },
        )
    }

    pub(super) fn find_grant(
        &self,
        user: &User,
        profile: &Profile,
        policy: Option<PolicyDigest>,
    ) -> Result<Option<Grant>, Error> {
        let time = self.looked();
        if !self.is(Fault::ImpossibleIsFound) {
            time.granting()?;
        }
        let found = match self.fault {
            Fault::VoidHidesShorter => {
                let unaware = Time {
                    corrections: Vec::new(),
                    ..time.clone()
                };
                let found = self.access(user, profile, policy, &unaware);
                found.filter(|request| !time.is_void(request))
            }
            _ => self.access(user, profile, policy, &time),
        };
        Ok(found.map(|request| {
            // At a time at which it gives access by itself, whatever was wrong with this one.
            let begun = request.approval.as_ref().map(|approval| approval.at);
            let mut approved = (*request).clone();
            approved.status = Status::Approved;
            approved.grant(begun.unwrap()).unwrap()
        }))
    }

    pub(super) fn access_at(
        &self,
        user: &User,
        profile: &Profile,
        policy: Option<PolicyDigest>,
        at: DateTime<Utc>,
    ) -> Option<Arc<Request>> {
        let time = Time {
            at: Some(at),
            ..Time::default()
        };
        self.access(user, profile, policy, &time)
    }

    fn access(
        &self,
        user: &User,
        profile: &Profile,
        policy: Option<PolicyDigest>,
        time: &Time,
    ) -> Option<Arc<Request>> {
        let at = time.at();
        if self.is(Fault::GrantsLost) && self.lock().reopened_at.is_some() {
            return None;
        }
        let mut found = self.all();
        found.retain(|request| {
            let whose = match self.fault {
                Fault::GrantOfAnySpelling => request.requester.same_user(user),
                _ => request.requester == *user,
            };
            let what = request.profile == *profile || self.is(Fault::GrantOfAnyProfile);
            let until = request.access_until;
            let status = request.status == Status::Approved || self.is(Fault::GrantAfterItsEnd);
            let begun = |approval: &Approval| approval.at <= at || self.is(Fault::AheadInForce);
            let now = request.approval.as_ref().is_some_and(begun)
                && !time.is_void(request)
                && match self.fault {
                    Fault::GrantToItsEnd => until.is_some_and(|until| until >= at),
                    _ => until.is_some_and(|until| until > at),
                };
            whose && what && status && now
        });
        let holds = |request: &Request| {
            let pinned = match self.fault {
                Fault::PinOff => false,
                Fault::PolicyPins => request.policy.is_some(),
                _ => request.ends_with_policy,
            };
            let unknown = self.is(Fault::PinOfUnknown) && policy.is_none();
            !pinned || unknown || policy.is_some() && policy == request.policy
        };
        if !self.is(Fault::PinHidesShorter) {
            found.retain(|request| holds(request));
        }
        let longest = match self.fault {
            Fault::FirstGrant => found.into_iter().next(),
            Fault::LargestOfEquals => found
                .into_iter()
                .max_by_key(|request| (request.access_until, request.id)),
            _ => found
                .into_iter()
                .max_by_key(|request| (request.access_until, Reverse(request.id))),
        };
        longest.filter(|request| holds(request))
    }

    pub(super) fn list_expirable(&self, limit: usize) -> Vec<Arc<Request>> {
        let time = self.looked();
        let at = time.at();
        let mut due = self.all();
        due.retain(|request| {
            let pending = request.status == Status::Pending || self.is(Fault::DueWhenDecided);
            let ahead = request.created_at > at && !self.is(Fault::AheadNotDue);
            let passed = match self.fault {
                Fault::DueTooLate => request.decide_by < at,
                Fault::DueTooEarly => request.decide_by <= at + TimeDelta::nanoseconds(1),
                _ => request.decide_by <= at,
            };
            let void = time.is_void(request) && !self.is(Fault::VoidNotDue);
            pending && (passed || ahead) || void
        });
        if !self.is(Fault::DueByCreation) {
            due.sort_by(|one, other| {
                let rank = |request: &Request| (request.access_until.is_some(), ends_at(request));
                let by_time = match self.fault {
                    Fault::VoidBeforeDue => ends_at(one).cmp(&ends_at(other)),
                    _ => rank(one).cmp(&rank(other)),
                };
                by_time.then(self.by_id(one.id, other.id))
            });
        }
        due.truncate(self.limit(limit));
        due
    }

    pub(super) fn list_pending(
        &self,
        profiles: Option<&BTreeSet<Profile>>,
        page: Page<lists::Pending>,
    ) -> Listing<lists::Pending> {
        let place = |request: &Request| match self.fault {
            Fault::WaitsByTime => Cursor::at_time(request.created_at, request.id),
            _ => Cursor::at_version(request.created, request.id),
        };
        let few = profiles.filter(|_| self.is(Fault::WaitingOf16Profiles));
        let few: Option<BTreeSet<_>> = few.map(|set| set.iter().take(16).cloned().collect());
        let profiles = few.as_ref().or(profiles);
        let any = |set: &BTreeSet<Profile>| self.is(Fault::NoProfileIsAny) && set.is_empty();
        let wanted = |request: &Request| {
            request.status == Status::Pending
                && profiles.is_none_or(|set| any(set) || set.contains(&request.profile))
                && !(self.is(Fault::WaitingHidesOverdue) && request.decide_by <= self.clock.now())
        };
        let beyond = match self.fault {
            Fault::WaitingReadsAhead => beyond_16_of_a_profile(self.all(), profiles, page.after),
            _ => BTreeSet::new(),
        };
        let wanted = |request: &Request| wanted(request) && !beyond.contains(&request.id);
        let mut listing = self.page(page, self.is(Fault::WaitingNewestFirst), place, wanted);
        if self.is(Fault::WaitingByProfile) {
            listing.items.sort_by_key(|request| request.profile.clone());
        }
        listing
    }

    pub(super) fn list_open(&self, user: &User, page: Page<lists::Open>) -> Listing<lists::Open> {
        let time = self.looked();
        let at = time.at();
        let place = |request: &Request| match self.fault {
            Fault::OpenByCreation => Cursor::at_version(request.created, request.id),
            _ => Cursor::at_time(ends_at(request), request.id),
        };
        self.page(page, true, place, |request| {
            let begun = match (request.status, &request.approval) {
                (Status::Pending, _) => request.created_at <= at || self.is(Fault::AheadIsOpen),
                (Status::Approved, Some(approval)) => {
                    approval.at <= at || self.is(Fault::AheadInForce)
                }
                _ => false,
            };
            begun
                && !time.is_void(request)
                && self.same_name(user.as_str(), request.requester.as_str())
                && match self.fault {
                    Fault::OpenToItsEnd => ends_at(request) >= at,
                    _ => ends_at(request) > at,
                }
        })
    }

    pub(super) fn list_ended(&self, time: DateTime<Utc>, limit: usize) -> Vec<Arc<Request>> {
        let now = self.looked();
        let end = |request: &Request| {
            let end = request.ended_at()?;
            Some(match (self.fault, request.status) {
                (Fault::EndedWhenMarked, Status::Expired) => {
                    let marked = |entry: &&Arc<HistoryEntry>| entry.action == Action::Expired;
                    request.history.iter().find(marked)?.at
                }
                (Fault::EndedWhenTouched, Status::Denied) => request.changed_at(),
                _ => end,
            })
        };
        let mut ended = self.all();
        ended.retain(|request| {
            end(request).is_some_and(|end| {
                let ahead = now.is_terminal(request) && !self.is(Fault::EndedAhead);
                let end = if ahead { now.moment(end) } else { end };
                match self.fault {
                    Fault::EndedAtItsTime => end <= time,
                    _ => end < time,
                }
            })
        });
        if !self.is(Fault::EndedByCreation) {
            ended
                .sort_by(|one, other| end(one).cmp(&end(other)).then(self.by_id(one.id, other.id)));
        }
        ended.truncate(self.limit(limit));
        ended
    }

    pub(super) fn changes_after(&self, after: Option<Version>, limit: usize) -> Vec<Changed> {
        let mut requests = self.all();
        if self.is(Fault::DeletedTold) {
            requests.extend(self.lock().deleted.iter().cloned());
        }
        let anew = self.is(Fault::StreamBeginsAnew) && self.lock().reopened_at == after;
        let mut changes = Vec::new();
        for request in requests {
            let entries = match self.fault {
                Fault::ChangesOfTheLast => &request.history[request.history.len() - 1..],
                _ => &request.history[..],
            };
            changes.extend(entries.iter().map(|entry| Changed {
                version: entry.to,
                entry: entry.clone(),
                request: match self.fault {
                    Fault::ChangesAsTheyWere => Arc::new(request.as_of(entry.to).unwrap()),
                    _ => request.clone(),
                },
            }));
        }
        changes.retain(|changed| {
            after.is_none_or(|after| match self.fault {
                _ if anew => true,
                Fault::ChangesFromTheVersion => changed.version >= after,
                Fault::ChangesSkipTheNext => changed.version.as_nanos() - 1 > after.as_nanos(),
                _ => changed.version > after,
            })
        });
        match self.fault {
            Fault::ChangesByRequest => changes.sort_by_key(|changed| Reverse(changed.request.id)),
            _ => changes.sort_by_key(|changed| changed.version),
        }
        changes.truncate(self.limit(limit));
        changes
    }
}
