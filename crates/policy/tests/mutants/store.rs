//! A naive store, a lock around a list, with a place for each fault.

use std::sync::{Arc, Mutex, MutexGuard};

use countersign_core::time::{Timeline, Writer};
use countersign_policy::conformance::Subject;
use countersign_policy::store::{Error, NameListing, NamePage, check_policy_name};
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
    }

    /// Keeps only the current version of each of these policies.
    fn forget_earlier(&self, state: &mut State, of: impl Fn(&Stored) -> bool) {
        let all = state.stored.clone();
        let newer = |a: &Stored, b: &Stored| a.name == b.name && a.version > b.version;
        state
            .stored
            .retain(|old| !(of(old) && all.iter().any(|new| newer(new, old))));
    }

    fn stamp(&self, state: &State) -> Result<Version, Error> {
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
        if !self.has(Fault::PutWithoutVersion) {
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

    fn putting(
        &self,
        state: &State,
        name: &str,
        expected: Expected,
        policy: &Arc<Policy>,
    ) -> Result<Arc<Stored>, Error> {
        self.check(name)?;
        let there = self.versions(state, name);
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
                if self.has(Fault::SameIsNoVersion) && current.policy == *policy {
                    return Ok(Arc::clone(current));
                }
            }
            _ => {}
        }
        Ok(Arc::new(Stored {
            name: name.into(),
            version: self.stamp(state)?,
            policy: Arc::clone(policy),
        }))
    }

    fn commit(&self, state: &mut State, stored: Arc<Stored>) -> Arc<Stored> {
        if state.stored.contains(&stored) {
            return stored;
        }
        state.last = Some(stored.version).max(state.last);
        if self.has(Fault::PutForgetsOthers) {
            self.forget_earlier(state, |old| old.name != stored.name);
        }
        state.stored.push(Arc::clone(&stored));
        let kept = self.versions(state, &stored.name);
        let most = 100 + usize::from(self.has(Fault::OneVersionTooMany));
        let gone = if self.has(Fault::NewestGoFirst) {
            kept.get(1).filter(|_| kept.len() > most)
        } else {
            kept.get(most)
        };
        if let Some(gone) = gone.map(|gone| gone.version) {
            state.stored.retain(|stored| stored.version != gone);
        }
        stored
    }

    fn put_at_once(
        &self,
        name: &str,
        expected: Expected,
        policy: &Arc<Policy>,
    ) -> Result<Arc<Stored>, Error> {
        let mut state = self.lock();
        let stored = self.putting(&state, name, expected, policy)?;
        Ok(self.commit(&mut state, stored))
    }

    async fn put(
        &self,
        name: &str,
        expected: Expected,
        policy: Arc<Policy>,
    ) -> Result<Arc<Stored>, Error> {
        match self.fault {
            Fault::CheckThenPut => {
                let seen = self.lock().clone();
                let stored = self.putting(&seen, name, expected, &policy)?;
                give_way().await;
                Ok(self.commit(&mut self.lock(), stored))
            }
            Fault::PutInTwoSteps => {
                let (stored, before) = {
                    let mut state = self.lock();
                    let stored = self.putting(&state, name, expected, &policy)?;
                    let before = state.stored.clone();
                    state.stored.retain(|old| old.name != stored.name);
                    (stored, before)
                };
                tokio::task::yield_now().await;
                let mut state = self.lock();
                state.stored = before;
                Ok(self.commit(&mut state, stored))
            }
            Fault::ListLags => {
                let stored = {
                    let mut state = self.lock();
                    let stored = self.putting(&state, name, expected, &policy)?;
                    state.unlisted.push(stored.version);
                    self.commit(&mut state, stored)
                };
                give_way().await;
                self.lock()
                    .unlisted
                    .retain(|version| *version != stored.version);
                Ok(stored)
            }
            _ => self.put_at_once(name, expected, &policy),
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

    fn delete(&self, name: &str, expected: Version) -> Result<(), Error> {
        self.check(name)?;
        let mut state = self.lock();
        let was_there = state.deleted.iter().any(|stored| *stored.name == *name);
        let actual = match self.found(&state, name) {
            Err(_) if self.has(Fault::AbsentIsDeleted) && was_there => return Ok(()),
            versions => versions?.remove(0).version,
        };
        if actual != expected && !self.has(Fault::DeleteAnyVersion) {
            return Err(Error::Conflict(Conflict { expected, actual }));
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
}

impl Loader for Naive {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Policy>, LoadError>> {
        Box::pin(async move {
            match self.get(name) {
                Ok(stored) => Ok(Arc::clone(&stored.policy)),
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
    ) -> BoxFuture<'a, Result<Arc<Stored>, Error>> {
        if self.has(Fault::EagerPut) {
            let put = self.put_at_once(name, expected, &policy);
            return Box::pin(async move { put });
        }
        Box::pin(self.put(name, expected, policy))
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

    fn delete<'a>(&'a self, name: &'a str, expected: Version) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.delete(name, expected) })
    }
}
