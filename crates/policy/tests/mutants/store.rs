//! A naive store, a lock around a list, with a place for each fault.

use std::sync::{Arc, Mutex, MutexGuard};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_core::time::{Timeline, Writer};
use countersign_policy::conformance::Subject;
use countersign_policy::store::{Error, NameListing, NamePage, Removal, check_policy_name};
use countersign_policy::*;

use crate::faults::{Fault, MUTANTS};

/// How often a store with a race gives way in the middle of it.
const YIELDS: usize = 100;

/// A store with the fault that has this number.
pub struct Mutant<const FAULT: usize>(Arc<Naive>);

impl<const FAULT: usize> Subject for Mutant<FAULT> {
    fn open(clock: Arc<ManualClock>) -> BoxFuture<'static, Self> {
        let mut faults = MUTANTS.iter().map(|(fault, _)| *fault);
        let fault = faults.find(|fault| *fault as usize == FAULT);
        let store = Naive {
            fault: fault.unwrap_or(Fault::None),
            clock,
            state: Mutex::default(),
        };
        Box::pin(async move { Self(Arc::new(store)) })
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn reopen(self) -> BoxFuture<'static, Self> {
        self.0.reopen();
        Box::pin(async move { self })
    }
}

#[derive(Default, Clone)]
struct State {
    /// Every version of every policy, in the order in which they were put.
    stored: Vec<Arc<Stored>>,
    /// The last removal of each name.
    removed: Vec<Arc<Removal>>,
    /// What was put and is not kept any more, for one of the faults.
    gone: Vec<Arc<Stored>>,
    /// Keys of puts that made no version, for another.
    taken: Vec<IdempotencyKey>,
    last: Option<Version>,
    /// What is not yet listed, by one of the faults.
    unlisted: Vec<Version>,
    /// What was deleted and is still listed, by another.
    deleted: Vec<Arc<Stored>>,
}

struct Naive {
    fault: Fault,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

async fn give_way() {
    for _ in 0..YIELDS {
        tokio::task::yield_now().await;
    }
}

impl Naive {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn reopen(&self) {
        let mut state = self.lock();
        if self.has(Fault::VersionsForgottenOnReopening) {
            state.last = None;
        }
        if self.has(Fault::HistoryForgottenOnReopening) {
            self.forget_earlier(&mut state, |_| true);
        }
        for stored in &mut state.stored {
            let stored = Arc::make_mut(stored);
            if self.has(Fault::AttributionForgottenOnReopening) {
                stored.attribution = Attribution::NOBODY;
            }
            if self.has(Fault::KeysForgottenOnReopening) {
                stored.attribution.idempotency_key = None;
            }
        }
    }

    /// Keeps only the current version of each of these policies.
    fn forget_earlier(&self, state: &mut State, of: impl Fn(&Stored) -> bool) {
        let all = state.stored.clone();
        let newer = |a: &Stored, b: &Stored| a.name == b.name && a.version > b.version;
        state
            .stored
            .retain(|old| !(of(old) && all.iter().any(|new| newer(new, old))));
    }

    fn stamp(&self, state: &State, grants: bool) -> Result<Version, Error> {
        let now = self.clock.now();
        let mut last = state.last;
        match self.fault {
            Fault::ClockToken => {
                return Ok(Version::from_nanos(now.timestamp_nanos_opt().unwrap_or(0)));
            }
            Fault::VersionReissuedAfterDelete => {
                last = state.stored.iter().map(|stored| stored.version).max();
            }
            _ => {}
        }
        let mut timeline = last.map_or(Timeline::new(), Timeline::after_version);
        let now = timeline.now(now, Writer::ONLY, std::time::Duration::MAX);
        if grants && !self.has(Fault::PutWithoutVersion) {
            now.granting()?;
        }
        let version = timeline.stamp(&now)?.version;
        if self.has(Fault::TruncatedTimes) {
            let truncated = Version::from_nanos(version.as_nanos() / 1_000 * 1_000);
            return Ok(if Some(truncated) > last {
                truncated
            } else {
                version
            });
        }
        Ok(version)
    }

    fn check(&self, name: &str) -> Result<(), Error> {
        if self.has(Fault::NamesUnchecked) {
            return Ok(());
        }
        check_policy_name(name)
    }

    /// The versions of a policy, newest first.
    fn versions(&self, state: &State, name: &str) -> Vec<Arc<Stored>> {
        let fold = self.has(Fault::NamesFoldCase);
        let named = |stored: &&Arc<Stored>| {
            *stored.name == *name || fold && stored.name.eq_ignore_ascii_case(name)
        };
        state.stored.iter().filter(named).rev().cloned().collect()
    }

    fn found(&self, state: &State, name: &str) -> Result<Vec<Arc<Stored>>, Error> {
        let versions = self.versions(state, name);
        if versions.is_empty() {
            return Err(Error::NotFound { name: name.into() });
        }
        Ok(versions)
    }

    /// The time by the clock, which does not run backwards by less than a minute.
    fn at(&self, state: &State) -> DateTime<Utc> {
        let now = self.clock.now();
        let last = state.stored.iter().map(|stored| stored.at).max();
        match last {
            Some(last) if now < last && last - now < TimeDelta::minutes(1) => last,
            _ => now,
        }
    }

    fn check_attribution(&self, attribution: &Attribution) -> Result<(), Error> {
        if self.has(Fault::AttributionUnchecked) {
            return Ok(());
        }
        attribution.check().map_err(Error::InvalidAttribution)
    }

    /// What the call with this key has put, if it has.
    fn done_before(
        &self,
        state: &State,
        name: &str,
        expected: Expected,
        policy: &Policy,
        attribution: &Attribution,
    ) -> Result<Option<Arc<Stored>>, Error> {
        let Some(idempotency_key) = attribution.idempotency_key else {
            return Ok(None);
        };
        let reused = |name: &Arc<str>| {
            let name = Arc::clone(name);
            Err(Error::IdempotencyKeyReused {
                idempotency_key,
                name,
            })
        };
        if self.has(Fault::KeysForgotten) {
            return Ok(None);
        }
        if state.taken.contains(&idempotency_key) {
            return reused(&name.into());
        }
        let is_it =
            |attribution: &Attribution| attribution.idempotency_key == Some(idempotency_key);
        let mut removed = state.removed.iter();
        if let Some(removal) = removed.find(|removal| is_it(&removal.attribution)) {
            return reused(&removal.name);
        }
        let by_name = self.has(Fault::KeysByName);
        let found = state
            .stored
            .iter()
            .find(|stored| is_it(&stored.attribution) && (!by_name || *stored.name == *name));
        let Some(found) = found else {
            return Ok(None);
        };
        let current = self.versions(state, &found.name).first().cloned();
        if self.has(Fault::OnlyTheLastKeyKnown) && current.as_ref() != Some(found) {
            return Ok(None);
        }
        let is_expected = match (expected, found.replaces) {
            (Expected::Absent, None) => true,
            (Expected::Version(expected), replaces) => Some(expected) == replaces,
            (Expected::Absent, Some(_)) => false,
        };
        if self.has(Fault::RepeatJudgedAnew) && !is_expected {
            return Ok(None);
        }
        let anyone = self.has(Fault::KeyOfAnyone);
        let same = *found.name == *name
            && found.digest() == policy.digest()
            && (anyone || found.attribution == *attribution);
        if !same && !self.has(Fault::KeyOfAnyChange) {
            return reused(&found.name);
        }
        match self.has(Fault::RepeatGetsTheCurrent) {
            true => Ok(current),
            false => Ok(Some(Arc::clone(found))),
        }
    }

    fn putting(
        &self,
        state: &State,
        name: &str,
        expected: Expected,
        policy: &Arc<Policy>,
        attribution: &Attribution,
    ) -> Result<Put, Error> {
        self.check(name)?;
        if !self.has(Fault::AttributionCheckedLate) {
            self.check_attribution(attribution)?;
        }
        let there = self.versions(state, name);
        if let Some(first) = self.done_before(state, name, expected, policy, attribution)? {
            return Ok(Put::Written(first));
        }
        let unchanged = |current: &Arc<Stored>| {
            let mut current = Arc::clone(current);
            if self.has(Fault::SameTakesTheAttribution) {
                Arc::make_mut(&mut current).attribution = attribution.clone();
            }
            match self.has(Fault::UnchangedIsNotSaid) {
                true => Put::Written(current),
                false => Put::Unchanged(current),
            }
        };
        let says = |stored: &&Arc<Stored>| stored.content == *policy;
        if let Some(current) = there.first().filter(says) {
            if self.has(Fault::SameBeforeExpected) {
                return Ok(unchanged(current));
            }
        }
        match (expected, there.first()) {
            (Expected::Absent, Some(current)) if !self.has(Fault::PresentIsReplaced) => {
                let told = if self.has(Fault::FirstVersionTold) {
                    there.last()
                } else {
                    Some(current)
                };
                return Err(Error::AlreadyExists {
                    name: name.into(),
                    actual: told.unwrap_or(current).version,
                });
            }
            (Expected::Version(_), None) if !self.has(Fault::AbsentIsCreated) => {
                return Err(Error::NotFound { name: name.into() });
            }
            (Expected::Version(expected), Some(current)) => {
                let actual = current.version;
                if actual != expected && !self.has(Fault::LastWriterWins) {
                    return Err(Error::Conflict(Conflict { expected, actual }));
                }
                let earlier = there.iter().find(says);
                if let Some(earlier) = earlier.filter(|_| self.has(Fault::EarlierIsTheSame)) {
                    return Ok(unchanged(earlier));
                }
                if says(&current) && !self.has(Fault::SameIsAVersion) {
                    return Ok(unchanged(current));
                }
            }
            _ => {}
        }
        self.check_attribution(attribution)?;
        let version = self.stamp(state, true)?;
        let mut attribution = attribution.clone();
        if self.has(Fault::ReasonsCut) {
            let first = |reason: Arc<str>| reason.lines().next().unwrap_or_default().into();
            attribution.reason = attribution.reason.map(first);
        }
        let at = match self.has(Fault::VersionTakenForTime) {
            true => version.time(),
            false => self.at(state),
        };
        let replaces = there.first().map(|current| current.version);
        let replaces = replaces.filter(|_| !self.has(Fault::ReplacesForgotten));
        let stored = Stored::new(name.into(), version, Arc::clone(policy));
        let stored = stored.replacing(replaces).put_by(attribution, at);
        Ok(Put::Written(Arc::new(stored)))
    }

    fn commit(&self, state: &mut State, put: Put, attribution: &Attribution) -> Put {
        let Put::Written(stored) = put else {
            if self.has(Fault::UnchangedTakesItsKey) {
                state.taken.extend(attribution.idempotency_key);
            }
            let taken = put.stored().version;
            if self.has(Fault::SameTakesTheAttribution) {
                for stored in &mut state.stored {
                    if stored.version == taken {
                        *stored = Arc::clone(put.stored());
                    }
                }
            }
            return put;
        };
        if state.stored.contains(&stored) {
            return Put::Written(stored);
        }
        state.last = Some(stored.version).max(state.last);
        if self.has(Fault::PutForgetsOthers) {
            self.forget_earlier(state, |old| old.name != stored.name);
        }
        if self.has(Fault::DeletionForgottenByThePut) {
            state.removed.retain(|removal| removal.name != stored.name);
        }
        state.stored.push(Arc::clone(&stored));
        let kept = self.versions(state, &stored.name);
        let most = 100 + usize::from(self.has(Fault::OneVersionTooMany));
        let gone = if self.has(Fault::NewestGoFirst) {
            kept.get(1).filter(|_| kept.len() > most)
        } else {
            kept.get(most)
        };
        if let Some(gone) = gone {
            state.stored.retain(|stored| stored != gone);
            state.gone.push(Arc::clone(gone));
        }
        Put::Written(stored)
    }

    fn put_at_once(
        &self,
        name: &str,
        expected: Expected,
        policy: &Arc<Policy>,
        attribution: &Attribution,
    ) -> Result<Put, Error> {
        let mut state = self.lock();
        let put = self.putting(&state, name, expected, policy, attribution)?;
        Ok(self.commit(&mut state, put, attribution))
    }

    async fn put(
        &self,
        name: &str,
        expected: Expected,
        policy: Arc<Policy>,
        attribution: &Attribution,
    ) -> Result<Put, Error> {
        match self.fault {
            Fault::CheckThenPut => {
                let seen = self.lock().clone();
                let put = self.putting(&seen, name, expected, &policy, attribution)?;
                give_way().await;
                Ok(self.commit(&mut self.lock(), put, attribution))
            }
            Fault::RepeatLookedUpBefore => {
                self.check(name)?;
                let seen = self.lock().clone();
                let before = self.done_before(&seen, name, expected, &policy, attribution)?;
                if let Some(first) = before {
                    return Ok(Put::Written(first));
                }
                give_way().await;
                let mut state = self.lock();
                let mut known = state.clone();
                for stored in &mut known.stored {
                    if !seen.stored.contains(stored) {
                        Arc::make_mut(stored).attribution.idempotency_key = None;
                    }
                }
                let put = self.putting(&known, name, expected, &policy, attribution)?;
                Ok(self.commit(&mut state, put, attribution))
            }
            Fault::PutInTwoSteps => {
                let (put, before) = {
                    let mut state = self.lock();
                    let put = self.putting(&state, name, expected, &policy, attribution)?;
                    let before = state.stored.clone();
                    state.stored.retain(|old| *old.name != *name);
                    (put, before)
                };
                tokio::task::yield_now().await;
                let mut state = self.lock();
                state.stored = before;
                Ok(self.commit(&mut state, put, attribution))
            }
            Fault::ListLags => {
                let put = {
                    let mut state = self.lock();
                    let put = self.putting(&state, name, expected, &policy, attribution)?;
                    state.unlisted.push(put.stored().version);
                    self.commit(&mut state, put, attribution)
                };
                give_way().await;
                self.lock()
                    .unlisted
                    .retain(|version| *version != put.stored().version);
                Ok(put)
            }
            _ => self.put_at_once(name, expected, &policy, attribution),
        }
    }

    fn get(&self, name: &str) -> Result<Arc<Stored>, Error> {
        self.check(name)?;
        Ok(self.found(&self.lock(), name)?.remove(0))
    }

    fn get_version(&self, name: &str, version: Version) -> Result<Arc<Stored>, Error> {
        self.check(name)?;
        let state = self.lock();
        let mut versions = self.found(&state, name)?;
        if self.has(Fault::VersionOfAnother) {
            versions.clone_from(&state.stored);
        }
        let found = versions
            .into_iter()
            .find(|stored| stored.version == version);
        found.ok_or_else(|| Error::VersionNotFound {
            name: name.into(),
            version,
        })
    }

    fn all_versions(&self, name: &str) -> Result<Vec<Arc<Stored>>, Error> {
        self.check(name)?;
        let mut versions = self.found(&self.lock(), name)?;
        if self.has(Fault::OldestFirst) {
            versions.reverse();
        }
        Ok(versions)
    }

    fn list(&self, page: &NamePage) -> Result<NameListing, Error> {
        if let Some(after) = &page.after {
            self.check(after)?;
        }
        let state = self.lock();
        let ghosts = state
            .deleted
            .iter()
            .filter(|_| self.has(Fault::DeletedIsListed));
        let mut names: Vec<Arc<str>> = state
            .stored
            .iter()
            .chain(ghosts)
            .map(|stored| Arc::clone(&stored.name))
            .collect();
        names.sort();
        names.dedup();
        if self.has(Fault::ListFoldsCase) {
            names.sort_by_key(|name| name.to_lowercase());
        }
        if let Some(after) = &page.after {
            let inclusive = self.has(Fault::CursorInclusive);
            if self.has(Fault::CursorNeedsItsName) && !names.contains(after) {
                names.clear();
            }
            names.retain(|name| name > after || inclusive && name == after);
        }
        let limit = match page.limit {
            limit if limit > 0 && self.has(Fault::NoUpperLimit) => limit,
            _ => page.effective_limit(),
        };
        let full = names.len() == limit && self.has(Fault::FullPageIsNotLast);
        let more = names.len() > limit || full;
        names.truncate(limit);
        let deleted = |name: &Arc<str>| {
            let mut deleted = state.deleted.iter();
            deleted.find(|stored| stored.name == *name).cloned()
        };
        let listed = names.iter().filter_map(|name| {
            let mut versions = self.versions(&state, name);
            if self.has(Fault::DeletedIsListed) {
                versions.extend(deleted(name));
            }
            versions.retain(|stored| !state.unlisted.contains(&stored.version));
            let first = self.has(Fault::ListOfFirstVersions);
            let listed = if first {
                versions.last()
            } else {
                versions.first()
            };
            listed.cloned()
        });
        let items: Vec<_> = listed.collect();
        let next = items.last().filter(|_| more);
        let next = next.map(|stored| Arc::clone(&stored.name));
        Ok(NameListing { items, next })
    }

    fn delete(
        &self,
        name: &str,
        expected: Version,
        attribution: &Attribution,
    ) -> Result<(), Error> {
        self.check(name)?;
        self.check_attribution(attribution)?;
        let mut state = self.lock();
        if let Some(idempotency_key) = attribution.idempotency_key {
            let is_it = |of: &Attribution| of.idempotency_key == Some(idempotency_key);
            let put = state
                .stored
                .iter()
                .find(|stored| is_it(&stored.attribution));
            let mut removed = state.removed.iter();
            let removed = removed.find(|removal| is_it(&removal.attribution));
            match (put, removed) {
                (None, None) => {}
                (None, Some(removal))
                    if *removal.name == *name && removal.attribution == *attribution =>
                {
                    if !self.has(Fault::DeletionNotRepeated) {
                        return Ok(());
                    }
                }
                (Some(_), _) if self.has(Fault::KeyOfAnyChange) => {}
                (put, removed) => {
                    let of = put.map(|stored| &stored.name);
                    let of = of.or(removed.map(|removal| &removal.name));
                    let name = of.map_or_else(|| name.into(), Arc::clone);
                    return Err(Error::IdempotencyKeyReused {
                        idempotency_key,
                        name,
                    });
                }
            }
        }
        let was_there = state.deleted.iter().any(|stored| *stored.name == *name);
        let actual = match self.found(&state, name) {
            Err(_) if self.has(Fault::AbsentIsDeleted) && was_there => return Ok(()),
            versions => versions?.remove(0).version,
        };
        if actual != expected && !self.has(Fault::DeleteAnyVersion) {
            return Err(Error::Conflict(Conflict { expected, actual }));
        }
        if !self.has(Fault::DeletionsUntold) {
            let removal = Removal::new(name.into(), self.stamp(&state, false)?, ());
            let told = match self.has(Fault::DeletionsUnattributed) {
                true => Attribution::NOBODY,
                false => attribution.clone(),
            };
            let removal = removal
                .replacing(Some(actual))
                .put_by(told, self.at(&state));
            state.last = Some(removal.version).max(state.last);
            state.removed.retain(|removal| *removal.name != *name);
            state.removed.push(Arc::new(removal));
        }
        let gone = self.versions(&state, name);
        state.deleted.extend(gone);
        let prefix = self.has(Fault::DeleteByPrefix);
        if self.has(Fault::DeleteKeepsVersions) {
            state.stored.retain(|stored| stored.version != actual);
            return Ok(());
        }
        state
            .stored
            .retain(|stored| *stored.name != *name && !(prefix && stored.name.starts_with(name)));
        Ok(())
    }

    fn changes_after(&self, after: Option<Version>, limit: usize) -> Vec<Changed> {
        let state = self.lock();
        let mut stored = state.stored.clone();
        if self.has(Fault::GoneIsTold) {
            stored.extend(state.gone.iter().cloned());
        }
        if self.has(Fault::ChangesOfCurrent) {
            stored.retain(|stored| self.versions(&state, &stored.name).first() == Some(stored));
        }
        let removed = state.removed.iter().cloned().map(Changed::Removed);
        let mut changes: Vec<_> = stored
            .into_iter()
            .map(Changed::Put)
            .chain(removed)
            .collect();
        changes.sort_by_key(Changed::version);
        if self.has(Fault::ChangesByName) {
            changes.sort_by_key(|change| Arc::clone(change.name()));
        }
        if self.has(Fault::ChangesNewestFirst) {
            changes.reverse();
        }
        let inclusive = self.has(Fault::ChangesInclusive);
        changes.retain(|change| {
            let version = Some(change.version());
            version > after || inclusive && version == after
        });
        let limit = match limit {
            limit if limit > 0 && self.has(Fault::NoUpperLimitOfChanges) => limit,
            limit => NamePage { limit, after: None }.effective_limit(),
        };
        changes.truncate(limit);
        changes
    }
}

impl Loader for Naive {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            match self.get(name) {
                Ok(stored) => Ok(Arc::clone(&stored.content)),
                Err(error) if self.has(Fault::AbsentIsAFailure) => {
                    Err(LoadError::failed(name, error))
                }
                Err(error) => Err(error.into_load_error(name)),
            }
        })
    }
}

impl Store for Naive {
    fn put<'a>(
        &'a self,
        name: &'a str,
        expected: Expected,
        policy: Arc<Policy>,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<Put, Error>> {
        if self.has(Fault::EagerPut) {
            let put = self.put_at_once(name, expected, &policy, attribution);
            return Box::pin(async move { put });
        }
        Box::pin(self.put(name, expected, policy, attribution))
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move { self.get(name) })
    }

    fn get_version<'a>(
        &'a self,
        name: &'a str,
        version: Version,
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        Box::pin(async move { self.get_version(name, version) })
    }

    fn versions<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Arc<Stored>>, Error>> {
        Box::pin(async move { self.all_versions(name) })
    }

    fn list<'a>(&'a self, page: &'a NamePage) -> BoxFuture<'a, Result<NameListing, Error>> {
        Box::pin(async move { self.list(page) })
    }

    fn delete<'a>(
        &'a self,
        name: &'a str,
        expected: Version,
        attribution: &'a Attribution,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.delete(name, expected, attribution) })
    }

    fn changes_after<'a>(
        &'a self,
        after: Option<Version>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Changed>, Error>> {
        Box::pin(async move { Ok(self.changes_after(after, limit)) })
    }
}
