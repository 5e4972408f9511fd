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
        let wanted = |emergency: &&Arc<Emergency>| match filter {
            Filter::Invoker(user) if fold => emergency.invoker.same_user(user),
            Filter::Invoker(user) => emergency.invoker == *user,
            Filter::Profile(profile) => emergency.profile == *profile,
            Filter::Status(status) => emergency.status == *status,
        };
        let limit = self.limit(page.limit);
        let mut emergencies: Vec<Arc<Emergency>> = state
            .emergencies
            .iter()
            .filter(|emergency| !state.unlisted.contains(&emergency.id))
            .cloned()
            .collect();
        if self.has(Fault::DeletedIsListed) {
            emergencies.extend(state.deleted.iter().cloned());
        }
        emergencies.sort_by_key(|emergency| (std::cmp::Reverse(emergency.created), emergency.id));
        if self.has(Fault::ListByDate) {
            emergencies.sort_by_key(|emergency| std::cmp::Reverse(emergency.created_at));
        }
        if self.has(Fault::ListByChange) {
            emergencies.sort_by_key(|emergency| std::cmp::Reverse(emergency.updated_at));
        }
        if self.has(Fault::LimitBeforeFilter) {
            emergencies.truncate(limit);
        }
        if self.has(Fault::ListOf16Profiles) {
            let profiles: BTreeSet<_> = emergencies
                .iter()
                .map(|emergency| emergency.profile.clone())
                .collect();
            let first: BTreeSet<_> = profiles.into_iter().take(16).collect();
            emergencies.retain(|emergency| first.contains(&emergency.profile));
        }
        let mut items: Vec<Arc<Emergency>> = emergencies.iter().filter(wanted).cloned().collect();
        if let Some(cursor) = page.after {
            if self.has(Fault::CursorNeedsItsEmergency) {
                let place = items.iter().position(|emergency| emergency.id == cursor.id);
                items.drain(..place.map_or(0, |place| place + 1));
            } else {
                items.retain(|emergency| {
                    let created = emergency.created.as_nanos();
                    created < cursor.place || created == cursor.place && emergency.id > cursor.id
                });
            }
        }
        self.page(items, limit, |emergency| {
            Cursor::at_version(emergency.created, emergency.id)
        })
    }

    pub fn page<L: List>(
        &self,
        mut items: Vec<Arc<Emergency>>,
        limit: usize,
        place: impl Fn(&Emergency) -> Cursor<L>,
    ) -> Listing<L> {
        let full = items.len() == limit && self.has(Fault::FullPageIsNotLast);
        let more = items.len() > limit || full;
        items.truncate(limit);
        let next = items
            .last()
            .filter(|_| more)
            .map(|emergency| place(emergency));
        Listing { items, next }
    }

    pub fn find_grant(&self, user: &User, profile: &Profile) -> Result<Option<Grant>, Error> {
        let (state, now) = self.lock_now();
        drop(state);
        now.granting()?;
        let found = self.active_at(user, profile, now);
        Ok(found.map(|emergency| Grant {
            kind: GrantKind::Emergency,
            user: emergency.invoker.clone(),
            profile: emergency.profile.clone(),
            granted_by: GrantedBy::User(emergency.invoker.clone()),
            until: emergency.expires_at,
            policy: None,
            ends_with_policy: false,
        }))
    }

    pub fn active_at(&self, user: &User, profile: &Profile, now: Now) -> Option<Arc<Emergency>> {
        let state = self.lock();
        let named = |emergency: &&Arc<Emergency>| {
            let same = if self.has(Fault::ActiveUnderAnySpelling) {
                emergency.invoker.same_user(user)
            } else {
                emergency.invoker == *user
            };
            same && emergency.profile == *profile
        };
        let mut candidates: Vec<_> = state.emergencies.iter().filter(named).cloned().collect();
        if self.has(Fault::ActiveOldestOnly) {
            candidates.truncate(1);
        }
        let marked = self.has(Fault::ActiveThoughOver);
        let active = |emergency: &Arc<Emergency>| {
            self.gives_access(&state, emergency, &now)
                || marked && emergency.status == Status::Active
        };
        candidates.into_iter().find(active)
    }

    pub fn list_expirable(&self, limit: usize) -> Vec<Arc<Emergency>> {
        let (state, now) = self.lock_now();
        let exclusive = self.has(Fault::DueExclusive);
        let mut due = state.emergencies.clone();
        due.retain(|emergency| {
            let over = emergency.is_over(now) && !(exclusive && emergency.expires_at == now.at());
            let void = !emergency.is_void(&now) || !self.has(Fault::DueWithoutVoid);
            emergency.status == Status::Active && over && void
        });
        due.sort_by_key(|emergency| {
            (
                emergency.expires_at > now.at(),
                emergency.expires_at,
                emergency.id,
            )
        });
        due.truncate(self.limit(limit));
        due
    }

    pub fn list_awaiting_review(
        &self,
        page: Page<lists::AwaitingReview>,
    ) -> Listing<lists::AwaitingReview> {
        let (state, now) = self.lock_now();
        let mut items = state.emergencies.clone();
        items.retain(|emergency| {
            let marked = emergency.is_terminal() || !self.has(Fault::AwaitingMarkedOnly);
            emergency.awaits_review(now) && marked
        });
        items.sort_by_key(|emergency| (emergency.ended_at(), emergency.id));
        if self.has(Fault::AwaitingNewestFirst) {
            items.reverse();
        }
        if let Some(cursor) = page.after {
            let ties = !self.has(Fault::CursorSkipsTies);
            items.retain(|emergency| {
                let ended: Cursor = Cursor::at_time(emergency.ended_at(), emergency.id);
                let ended = ended.place;
                ended > cursor.place || ties && ended == cursor.place && emergency.id > cursor.id
            });
        }
        if self.has(Fault::AwaitingReadsAhead) {
            let mut seen: BTreeMap<Profile, usize> = BTreeMap::new();
            items.retain(|emergency| {
                let seen = seen.entry(emergency.profile.clone()).or_default();
                *seen += 1;
                *seen <= 16
            });
        }
        self.page(items, self.limit(page.limit), |emergency| {
            Cursor::at_time(emergency.ended_at(), emergency.id)
        })
    }

    pub fn list_ended(&self, before: DateTime<Utc>, limit: usize) -> Vec<Arc<Emergency>> {
        let (state, now) = self.lock_now();
        let over_since = |emergency: &Emergency| {
            if self.has(Fault::EndedByDate) {
                emergency.ended_at()
            } else {
                emergency.over_since(&now)
            }
        };
        let mut ended = state.emergencies.clone();
        ended.retain(|emergency| {
            let reviewed = emergency.review.is_some() || self.has(Fault::EndedUnreviewed);
            let at = self.has(Fault::EndedInclusive) && over_since(emergency) == before;
            emergency.is_terminal() && reviewed && (over_since(emergency) < before || at)
        });
        ended.sort_by_key(|emergency| (emergency.ended_at(), emergency.id));
        let limit = match limit {
            limit if limit > 0 && self.has(Fault::NoUpperLimitOfEnded) => limit,
            limit => self.limit(limit),
        };
        ended.truncate(limit);
        ended
    }

    pub fn changes_after(&self, after: Option<Version>, limit: usize) -> Vec<Changed> {
        let state = self.lock();
        let changed = |emergency: &Arc<Emergency>| -> Vec<Changed> {
            let mut entries = emergency.history.iter().map(|entry| Changed {
                version: entry.to,
                entry: Arc::clone(entry),
                emergency: Arc::clone(emergency),
            });
            if self.has(Fault::StreamOfLastChanges) {
                entries.next_back().into_iter().collect()
            } else {
                entries.collect()
            }
        };
        let mut changes: Vec<Changed> = state.emergencies.iter().flat_map(changed).collect();
        if !self.has(Fault::StreamByEmergency) {
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
