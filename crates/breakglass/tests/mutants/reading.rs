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
        events.sort_by_key(|event| (std::cmp::Reverse(event.created_at), event.id));
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
                    event.created_at < cursor.time
                        || event.created_at == cursor.time && event.id > cursor.id
                });
            }
        }
        self.page(items, limit, |event| event.created_at)
    }

    pub fn page(
        &self,
        mut items: Vec<Arc<Event>>,
        limit: usize,
        time: impl Fn(&Event) -> DateTime<Utc>,
    ) -> Listing {
        let full = items.len() == limit && self.has(Fault::FullPageIsNotLast);
        let more = items.len() > limit || full;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|event| Cursor {
            time: time(event),
            id: event.id,
        });
        Listing { items, next }
    }

    pub fn find_active(
        &self,
        person: &Person,
        profile: &Profile,
        at: DateTime<Utc>,
    ) -> Option<Arc<Event>> {
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
        let active =
            |event: &Arc<Event>| event.is_active(at) || marked && event.status == Status::Active;
        candidates.into_iter().find(active)
    }

    pub fn due(&self, at: DateTime<Utc>, limit: usize) -> Vec<Arc<Event>> {
        let exclusive = self.has(Fault::DueExclusive);
        let mut due = self.lock().events.clone();
        due.retain(|event| {
            let over = event.expires_at < at || !exclusive && event.expires_at == at;
            event.status == Status::Active && over
        });
        due.sort_by_key(|event| event.expires_at);
        due.truncate(self.limit(limit));
        due
    }

    pub fn awaiting_review(&self, at: DateTime<Utc>, page: Page) -> Listing {
        let mut items = self.lock().events.clone();
        items.retain(|event| {
            let marked = event.is_terminal() || !self.has(Fault::AwaitingMarkedOnly);
            event.awaits_review(at) && marked
        });
        items.sort_by_key(|event| (event.ended_at(), event.id));
        if self.has(Fault::AwaitingNewestFirst) {
            items.reverse();
        }
        if let Some(cursor) = page.after {
            let ties = !self.has(Fault::CursorSkipsTies);
            items.retain(|event| {
                let ended = event.ended_at();
                ended > cursor.time || ties && ended == cursor.time && event.id > cursor.id
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
        self.page(items, self.limit(page.limit), Event::ended_at)
    }

    pub fn ended(&self, before: DateTime<Utc>, limit: usize) -> Vec<Arc<Event>> {
        let mut ended = self.lock().events.clone();
        ended.retain(|event| {
            let reviewed = event.review.is_some() || self.has(Fault::EndedUnreviewed);
            let at = self.has(Fault::EndedInclusive) && event.ended_at() == before;
            event.is_terminal() && reviewed && (event.ended_at() < before || at)
        });
        ended.sort_by_key(|event| (event.ended_at(), event.id));
        let limit = match limit {
            limit if limit > 0 && self.has(Fault::NoUpperLimitOfEnded) => limit,
            limit => self.limit(limit),
        };
        ended.truncate(limit);
        ended
    }

    pub fn changes_since(&self, after: Option<Version>, limit: usize) -> Vec<Changed> {
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
