//! Lists, pages and changes of the naive store, with a place for each fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_breakglass::*;

use crate::faults::Fault;
use crate::store::Naive;

impl Naive {
    pub fn limit(&self, limit: usize) -> usize {
        match limit {
            0 => 100,
            limit if self.has(Fault::NoUpperLimit) => limit,
            limit => limit.min(1_000),
        }
    }

    pub fn list(&self, filter: &Filter, page: Page) -> Listing {
        let state = self.lock();
        let fold = self.has(Fault::FilterFoldsCase);
        let wanted = |event: &&Arc<Event>| match filter {
            Filter::Invoker(person) if fold => event.invoker.same_person(person),
            Filter::Invoker(person) => event.invoker == *person,
            Filter::Profile(profile) => event.profile == *profile,
            Filter::Status(status) => event.status == *status,
        };
        let limit = self.limit(page.limit);
        let mut events: Vec<Arc<Event>> = state
            .events
            .iter()
            .filter(|event| !state.unlisted.contains(&event.id))
            .cloned()
            .collect();
        if self.has(Fault::DeletedIsListed) {
            events.extend(state.deleted.iter().cloned());
        }
        events.sort_by_key(|event| (std::cmp::Reverse(event.created), event.id));
        if self.has(Fault::ListByDate) {
            events.sort_by_key(|event| std::cmp::Reverse(event.created_at));
        }
        if self.has(Fault::ListByChange) {
            events.sort_by_key(|event| std::cmp::Reverse(event.updated_at));
        }
        if self.has(Fault::LimitBeforeFilter) {
            events.truncate(limit);
        }
        if self.has(Fault::ListOf16Profiles) {
            let profiles: BTreeSet<_> = events.iter().map(|event| event.profile.clone()).collect();
            let first: BTreeSet<_> = profiles.into_iter().take(16).collect();
            events.retain(|event| first.contains(&event.profile));
        }
        let mut items: Vec<Arc<Event>> = events.iter().filter(wanted).cloned().collect();
        if let Some(cursor) = page.after {
            if self.has(Fault::CursorNeedsItsEvent) {
                let place = items.iter().position(|event| event.id == cursor.id);
                items.drain(..place.map_or(0, |place| place + 1));
            } else {
                items.retain(|event| {
                    let created = event.created.as_nanos();
                    created < cursor.place || created == cursor.place && event.id > cursor.id
                });
            }
        }
        self.page(items, limit, |event| {
            Cursor::at_version(event.created, event.id)
        })
    }

    pub fn page(
        &self,
        mut items: Vec<Arc<Event>>,
        limit: usize,
        place: impl Fn(&Event) -> Cursor,
    ) -> Listing {
        let full = items.len() == limit && self.has(Fault::FullPageIsNotLast);
        let more = items.len() > limit || full;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|event| place(event));
        Listing { items, next }
    }

    pub fn find_grant(&self, person: &Person, profile: &Profile) -> Result<Option<Grant>, Error> {
        let (state, now) = self.lock_now();
        drop(state);
        now.granting()?;
        let found = self.active_at(person, profile, now);
        Ok(found.map(|event| Grant {
            kind: GrantKind::Emergency,
            person: event.invoker.clone(),
            profile: event.profile.clone(),
            granted_by: GrantedBy::Person(event.invoker.clone()),
            until: event.expires_at,
            policy: None,
            ends_with_policy: false,
        }))
    }

    pub fn active_at(&self, person: &Person, profile: &Profile, now: Now) -> Option<Arc<Event>> {
        let state = self.lock();
        let named = |event: &&Arc<Event>| {
            let same = if self.has(Fault::ActiveUnderAnySpelling) {
                event.invoker.same_person(person)
            } else {
                event.invoker == *person
            };
            same && event.profile == *profile
        };
        let mut candidates: Vec<_> = state.events.iter().filter(named).cloned().collect();
        if self.has(Fault::ActiveOldestOnly) {
            candidates.truncate(1);
        }
        let marked = self.has(Fault::ActiveThoughOver);
        let active = |event: &Arc<Event>| {
            self.gives_access(&state, event, &now) || marked && event.status == Status::Active
        };
        candidates.into_iter().find(active)
    }

    pub fn list_expirable(&self, limit: usize) -> Vec<Arc<Event>> {
        let (state, now) = self.lock_now();
        let exclusive = self.has(Fault::DueExclusive);
        let mut due = state.events.clone();
        due.retain(|event| {
            let over = event.is_over(now) && !(exclusive && event.expires_at == now.at());
            let void = !event.is_void(&now) || !self.has(Fault::DueWithoutVoid);
            event.status == Status::Active && over && void
        });
        due.sort_by_key(|event| (event.expires_at > now.at(), event.expires_at, event.id));
        due.truncate(self.limit(limit));
        due
    }

    pub fn list_awaiting_review(&self, page: Page) -> Listing {
        let (state, now) = self.lock_now();
        let mut items = state.events.clone();
        items.retain(|event| {
            let marked = event.is_terminal() || !self.has(Fault::AwaitingMarkedOnly);
            event.awaits_review(now) && marked
        });
        items.sort_by_key(|event| (event.ended_at(), event.id));
        if self.has(Fault::AwaitingNewestFirst) {
            items.reverse();
        }
        if let Some(cursor) = page.after {
            let ties = !self.has(Fault::CursorSkipsTies);
            items.retain(|event| {
                let ended = Cursor::at_time(event.ended_at(), event.id).place;
                ended > cursor.place || ties && ended == cursor.place && event.id > cursor.id
            });
        }
        if self.has(Fault::AwaitingReadsAhead) {
            let mut seen: BTreeMap<Profile, usize> = BTreeMap::new();
            items.retain(|event| {
                let seen = seen.entry(event.profile.clone()).or_default();
                *seen += 1;
                *seen <= 16
            });
        }
        self.page(items, self.limit(page.limit), |event| {
            Cursor::at_time(event.ended_at(), event.id)
        })
    }

    pub fn list_ended(&self, before: DateTime<Utc>, limit: usize) -> Vec<Arc<Event>> {
        let (state, now) = self.lock_now();
        let over_since = |event: &Event| {
            if self.has(Fault::EndedByDate) {
                event.ended_at()
            } else {
                event.over_since(&now)
            }
        };
        let mut ended = state.events.clone();
        ended.retain(|event| {
            let reviewed = event.review.is_some() || self.has(Fault::EndedUnreviewed);
            let at = self.has(Fault::EndedInclusive) && over_since(event) == before;
            event.is_terminal() && reviewed && (over_since(event) < before || at)
        });
        ended.sort_by_key(|event| (event.ended_at(), event.id));
        let limit = match limit {
            limit if limit > 0 && self.has(Fault::NoUpperLimitOfEnded) => limit,
            limit => self.limit(limit),
        };
        ended.truncate(limit);
        ended
    }

    pub fn changes_after(&self, after: Option<Version>, limit: usize) -> Vec<Changed> {
        let state = self.lock();
        let changed = |event: &Arc<Event>| -> Vec<Changed> {
            let mut entries = event.history.iter().map(|entry| Changed {
                version: entry.to,
                entry: Arc::clone(entry),
                event: Arc::clone(event),
            });
            if self.has(Fault::StreamOfLastChanges) {
                entries.next_back().into_iter().collect()
            } else {
                entries.collect()
            }
        };
        let mut changes: Vec<Changed> = state.events.iter().flat_map(changed).collect();
        if !self.has(Fault::StreamByEvent) {
            changes.sort_by_key(|change| change.version);
        }
        let inclusive = self.has(Fault::StreamInclusive);
        changes.retain(|change| {
            Some(change.version) > after || inclusive && Some(change.version) == after
        });
        changes.truncate(self.limit(limit));
        changes
    }
}
