//! The synchronous heart of the cache: who loads, who waits, what is published.
//!
//! One lock guards flights and the writing of entries; readers of what is published take none.
//! Nothing here awaits, reads a clock or calls a loader: the edge in [`super`] passes the time in
//! and runs the load. What always holds:
//!
//! - At most one flight per name; its [`Lead`] ends it exactly once, by [`Lead::finish`] or by
//!   being dropped, and then every waiter is woken and the name is free again.
//! - An entry is published only by the flight that is current for its name, under the lock. A
//!   flight that [`Core::invalidate`] has superseded publishes nothing and answers nobody.
//! - A waiter never returns an outcome that is older than the last invalidation.
//! - Wakers are called after the lock is released.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use countersign_core::clock::Tick;
use countersign_core::sync::{Mutex, MutexGuard, SwapOption};

use super::{Freshness, Served};
use crate::loader::LoadError;

pub(super) type Name = Arc<str>;
pub(super) type Map<V> = HashMap<Name, Arc<Entry<V>>, foldhash::fast::RandomState>;

/// What the cache is told to do; see [`super::CacheConfig`].
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) stale_if_error: Option<Duration>,
    pub(super) retry_after: Duration,
    pub(super) max_names: usize,
}

/// One loaded value and the time it is good for.
#[derive(Debug, Clone)]
pub(super) struct Entry<V> {
    value: V,
    loaded_at: Tick,
    expires_at: Tick,
    /// After a failure: when the source may be asked again.
    retry_at: Option<Tick>,
}

impl<V> Entry<V> {
    /// The value, if it has not expired at `now`.
    pub(super) fn fresh(&self, now: Tick) -> Option<Served<&V>> {
        (now < self.expires_at).then(|| Served {
            policy: &self.value,
            age: now.since(self.loaded_at),
            freshness: Freshness::Fresh,
        })
    }

    /// The value, if it may stand in for one that could not be loaded at `now`.
    fn stale(&self, now: Tick, settings: &Settings) -> Option<Served<&V>> {
        let age = now.since(self.loaded_at);
        let most = settings.stale_if_error?;
        (age <= most).then_some(Served {
            policy: &self.value,
            age,
            freshness: Freshness::Stale,
        })
    }
}

/// Where a handle finds its entry without hashing a name.
#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) entry: SwapOption<Entry<V>>,
}

/// How often things happened under the lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) loads: u64,
    pub(super) joins: u64,
    pub(super) failures: u64,
    pub(super) aborts: u64,
    pub(super) stale: u64,
    pub(super) evictions: u64,
}

/// Published entries, flights, and the lock over their change.
#[derive(Debug)]
pub(super) struct Core<V> {
    published: SwapOption<Map<V>>,
    state: Mutex<State<V>>,
    settings: Settings,
}

#[derive(Debug)]
struct State<V> {
    flights: HashMap<Name, InFlight<V>>,
    slots: HashMap<Name, Arc<Slot<V>>>,
    /// Counts invalidations.
    epoch: u64,
    next_waiter: u64,
    counts: Counts,
}

#[derive(Debug)]
struct InFlight<V> {
    flight: Arc<Flight<V>>,
    wakers: Vec<(u64, Waker)>,
}

/// One load. Its outcome is written and read under the lock only.
#[derive(Debug)]
struct Flight<V> {
    outcome: OnceLock<Settled<V>>,
}

#[derive(Debug)]
struct Settled<V> {
    outcome: Outcome<V>,
    epoch: u64,
}

/// How a flight ended for those who waited.
#[derive(Debug, Clone)]
pub(super) enum Outcome<V> {
    /// With a value or an error.
    Done(Result<Served<V>, LoadError>),
    /// It was overtaken by an invalidation: begin again.
    Superseded,
}

/// What a caller has to do to get a value.
pub(super) enum Begin<V: Clone> {
    /// Nothing: here it is.
    Ready(Served<V>),
    /// Run the load, and wait for it.
    Lead(Lead<V>, Waiter<V>),
    /// Wait for the load that somebody else runs.
    Join(Waiter<V>),
}

impl<V: Clone> Core<V> {
    pub(super) fn new(settings: Settings) -> Self {
        let state = State {
            flights: HashMap::new(),
            slots: HashMap::new(),
            epoch: 0,
            next_waiter: 0,
            counts: Counts::default(),
        };
        Self {
            published: SwapOption::new(Some(Arc::new(Map::default()))),
            state: Mutex::new(state),
            settings,
        }
    }

    /// Reads what is published for `name`, without the lock.
    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Entry<V>) -> Option<T>,
    ) -> Option<T> {
        let published = self.published.load();
        read(published.as_ref()?.get(name)?)
    }

    /// Finds a value that needs no load, or joins the load under way, or begins one.
    pub(super) fn begin(self: &Arc<Self>, name: &str, now: Tick) -> Begin<V> {
        if let Some(served) = self.read(name, |entry| self.usable(entry, now)) {
            return Begin::Ready(served);
        }
        let mut state = self.state.lock();
        // Between the look above and the lock a load may have ended: look again.
        if let Some(served) = self.read(name, |entry| self.usable(entry, now)) {
            return Begin::Ready(served);
        }
        if let Some(current) = state.flights.get(name) {
            let flight = Arc::clone(&current.flight);
            state.counts.joins += 1;
            return Begin::Join(self.waiter(&mut state, name, flight));
        }
        let name: Name = name.into();
        let flight = Arc::new(Flight {
            outcome: OnceLock::new(),
        });
        let current = InFlight {
            flight: Arc::clone(&flight),
            wakers: Vec::new(),
        };
        state.flights.insert(Arc::clone(&name), current);
        state.counts.loads += 1;
        let waiter = self.waiter(&mut state, &name, Arc::clone(&flight));
        let lead = Lead {
            core: Arc::clone(self),
            name,
            flight,
            started: now,
            ended: false,
        };
        Begin::Lead(lead, waiter)
    }

    /// The value, if it is fresh, or stale while the source is left alone after a failure.
    fn usable(&self, entry: &Entry<V>, now: Tick) -> Option<Served<V>> {
        let served = entry.fresh(now).or_else(|| {
            let left_alone = entry.retry_at.is_some_and(|retry_at| now < retry_at);
            left_alone
                .then(|| entry.stale(now, &self.settings))
                .flatten()
        })?;
        Some(served.map(V::clone))
    }

    fn waiter(
        self: &Arc<Self>,
        state: &mut State<V>,
        name: &str,
        flight: Arc<Flight<V>>,
    ) -> Waiter<V> {
        state.next_waiter += 1;
        Waiter {
            core: Arc::clone(self),
            name: name.into(),
            flight,
            number: state.next_waiter,
        }
    }

    /// Forgets `name`: what is published is gone, and a load under way will not be published.
    pub(super) fn invalidate(&self, name: &str) {
        let mut state = self.state.lock();
        state.epoch += 1;
        self.publish(&mut state, |map, changed| {
            changed.extend(map.remove_entry(name).map(|(name, _)| name));
        });
        let woken = state.settle(name, None, Outcome::Superseded);
        drop(state);
        wake(woken);
    }

    /// Forgets every name.
    pub(super) fn invalidate_all(&self) {
        let mut state = self.state.lock();
        state.epoch += 1;
        self.publish(&mut state, |map, changed| {
            changed.extend(map.drain().map(|(name, _)| name))
        });
        let names: Vec<Name> = state.flights.keys().cloned().collect();
        let mut woken = Vec::new();
        for name in names {
            woken.extend(state.settle(&name, None, Outcome::Superseded));
        }
        drop(state);
        wake(woken);
    }

    /// The slot of `name`, which follows what is published for it from now on.
    pub(super) fn slot(&self, name: &str) -> Arc<Slot<V>> {
        let mut state = self.state.lock();
        if let Some(slot) = state.slots.get(name) {
            return Arc::clone(slot);
        }
        state.slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        let published = self.published.load();
        let entry = published.as_ref().and_then(|map| map.get(name)).cloned();
        let slot = Arc::new(Slot {
            entry: SwapOption::new(entry),
        });
        state.slots.insert(name.into(), Arc::clone(&slot));
        slot
    }

    /// How many names are published, and the counts.
    pub(super) fn counts(&self) -> (usize, Counts) {
        let state = self.state.lock();
        let names = self.published.load().as_ref().map_or(0, |map| map.len());
        (names, state.counts)
    }

    /// Checks that no flight is under way (so that no waker is held), that no more names are
    /// published than allowed, and that every slot holds what is published for its name.
    #[cfg(test)]
    pub(super) fn audit(&self) -> Result<(), String> {
        let state = self.state.lock();
        let published = self.published.load();
        let map = published.as_ref().ok_or("nothing was ever published")?;
        if let Some(name) = state.flights.keys().next() {
            return Err(format!("the flight of `{name}` never ended"));
        }
        if map.len() > self.settings.max_names {
            return Err(format!("{} names are published", map.len()));
        }
        for (name, slot) in &state.slots {
            let held = slot.entry.load_full().map(|entry| Arc::as_ptr(&entry));
            if held != map.get(name).map(Arc::as_ptr) {
                return Err(format!("the slot of `{name}` is not what is published"));
            }
        }
        Ok(())
    }

    /// Replaces what is published by a changed copy. `change` names what it changed, so that the
    /// slots of those names follow before the lock is released.
    fn publish(&self, state: &mut State<V>, change: impl FnOnce(&mut Map<V>, &mut Vec<Name>)) {
        let mut map = self
            .published
            .load()
            .as_deref()
            .cloned()
            .unwrap_or_default();
        let mut changed = Vec::new();
        change(&mut map, &mut changed);
        if changed.is_empty() {
            return;
        }
        let map = Arc::new(map);
        self.published.store(Some(Arc::clone(&map)));
        for name in changed {
            if let Some(slot) = state.slots.get(&name) {
                slot.entry.store(map.get(&name).cloned());
            }
        }
    }

    /// Publishes an entry, and drops others while there are more than `max_names`: expired ones
    /// first, then those that were loaded longest ago.
    fn publish_entry(&self, state: &mut State<V>, name: &Name, entry: Entry<V>, now: Tick) {
        let max_names = self.settings.max_names;
        let mut evicted = 0;
        self.publish(state, |map, changed| {
            map.insert(Arc::clone(name), Arc::new(entry));
            changed.push(Arc::clone(name));
            while map.len() > max_names {
                let rank = |(name, entry): &(&Name, &Arc<Entry<V>>)| {
                    (
                        entry.fresh(now).is_some(),
                        entry.loaded_at,
                        Arc::clone(name),
                    )
                };
                let others = map.iter().filter(|(other, _)| *other != name);
                let Some((_, _, victim)) = others.map(|other| rank(&other)).min() else {
                    break;
                };
                map.remove(&victim);
                changed.push(victim);
                evicted += 1;
            }
        });
        state.counts.evictions += evicted;
    }

    /// What a finished load means for those who wait, with all that it publishes.
    fn conclude(
        &self,
        state: &mut State<V>,
        lead: &Lead<V>,
        result: Result<(V, Duration), LoadError>,
        now: Tick,
    ) -> Result<Served<V>, LoadError> {
        let error = match result {
            Ok((value, time_to_live)) => {
                let entry = Entry {
                    value: value.clone(),
                    loaded_at: lead.started,
                    expires_at: lead.started.plus(time_to_live),
                    retry_at: None,
                };
                self.publish_entry(state, &lead.name, entry, now);
                let age = now.since(lead.started);
                return Ok(Served {
                    policy: value,
                    age,
                    freshness: Freshness::Fresh,
                });
            }
            Err(error) => error,
        };
        state.counts.failures += 1;
        if matches!(error, LoadError::NotFound { .. }) {
            self.publish(state, |map, changed| {
                changed.extend(map.remove_entry(&lead.name).map(|(name, _)| name));
            });
            return Err(error);
        }
        let source_failed = matches!(
            error,
            LoadError::Failed { .. } | LoadError::TimedOut { .. } | LoadError::Invalid { .. }
        );
        let before = self.read(&lead.name, |entry| source_failed.then(|| entry.clone()));
        let stale = before
            .as_ref()
            .and_then(|entry| entry.stale(now, &self.settings));
        let Some(served) = stale else {
            return Err(error);
        };
        let served = served.map(V::clone);
        if let Some(entry) = before {
            let retry_at = Some(now.plus(self.settings.retry_after));
            self.publish_entry(state, &lead.name, Entry { retry_at, ..entry }, now);
        }
        state.counts.stale += 1;
        Ok(served)
    }
}

impl<V> State<V> {
    /// Ends the flight of `name`: if `flight` is given only if it is that one. Gives the wakers to
    /// call once the lock is released.
    fn settle(
        &mut self,
        name: &str,
        flight: Option<&Arc<Flight<V>>>,
        outcome: Outcome<V>,
    ) -> Vec<(u64, Waker)> {
        if flight.is_some_and(|flight| !self.is_current(name, flight)) {
            return Vec::new();
        }
        let Some(ended) = self.flights.remove(name) else {
            return Vec::new();
        };
        let _ = ended.flight.outcome.set(Settled {
            outcome,
            epoch: self.epoch,
        });
        ended.wakers
    }

    fn is_current(&self, name: &str, flight: &Arc<Flight<V>>) -> bool {
        self.flights
            .get(name)
            .is_some_and(|current| Arc::ptr_eq(&current.flight, flight))
    }
}

fn wake(wakers: Vec<(u64, Waker)>) {
    for (_, waker) in wakers {
        waker.wake();
    }
}

/// The duty to end one flight. Dropped unfinished, it ends the flight with
/// [`LoadError::Aborted`].
pub(super) struct Lead<V: Clone> {
    core: Arc<Core<V>>,
    name: Name,
    flight: Arc<Flight<V>>,
    started: Tick,
    ended: bool,
}

impl<V: Clone> Lead<V> {
    /// The name to load.
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Ends the flight with what the source gave: a value and how long it is good for, counted
    /// from the beginning of the load, or an error.
    pub(super) fn finish(mut self, result: Result<(V, Duration), LoadError>, now: Tick) {
        self.ended = true;
        let core = Arc::clone(&self.core);
        let mut state = core.state.lock();
        if state.is_current(&self.name, &self.flight) {
            let result = core.conclude(&mut state, &self, result, now);
            self.settle(state, Outcome::Done(result));
        }
    }

    fn settle(&self, mut state: MutexGuard<'_, State<V>>, outcome: Outcome<V>) {
        let woken = state.settle(&self.name, Some(&self.flight), outcome);
        drop(state);
        wake(woken);
    }
}

impl<V: Clone> Drop for Lead<V> {
    fn drop(&mut self) {
        if !self.ended {
            let mut state = self.core.state.lock();
            if state.is_current(&self.name, &self.flight) {
                state.counts.aborts += 1;
                let error = LoadError::Aborted {
                    name: Arc::clone(&self.name),
                };
                self.settle(state, Outcome::Done(Err(error)));
            }
        }
    }
}

/// Waits for a flight to end. Dropping it harms neither the flight nor other waiters.
pub(super) struct Waiter<V: Clone> {
    core: Arc<Core<V>>,
    name: Name,
    flight: Arc<Flight<V>>,
    number: u64,
}

impl<V: Clone> Future for Waiter<V> {
    type Output = Outcome<V>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<V>> {
        let mut state = self.core.state.lock();
        if let Some(settled) = self.flight.outcome.get() {
            // An invalidation since then makes the outcome older than what may be shown.
            let outcome = if settled.epoch == state.epoch {
                settled.outcome.clone()
            } else {
                Outcome::Superseded
            };
            return Poll::Ready(outcome);
        }
        if let Some(current) = state.flights.get_mut(&self.name) {
            let waker = context.waker().clone();
            let known = current
                .wakers
                .iter_mut()
                .find(|(number, _)| *number == self.number);
            let replaced = match known {
                Some((_, known)) => Some(std::mem::replace(known, waker)),
                None => {
                    current.wakers.push((self.number, waker));
                    None
                }
            };
            // Dropping a waker may run anything, another waiter's drop included.
            drop(state);
            drop(replaced);
        }
        Poll::Pending
    }
}

impl<V: Clone> Drop for Waiter<V> {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        let waker = state.flights.get_mut(&self.name).and_then(|current| {
            let place = current
                .wakers
                .iter()
                .position(|(number, _)| *number == self.number)?;
            Some(current.wakers.swap_remove(place))
        });
        drop(state);
        drop(waker);
    }
}
