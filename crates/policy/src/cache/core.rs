//! The synchronous heart of the cache: who loads, who waits, what is published.
//!
//! One lock guards flights (`flights.rs`) and the writing of entries; readers of what is published
//! take none.
//! Nothing here awaits, reads a clock or calls a loader: the edge in [`super`] passes the time in
//! and runs the load. What always holds:
//!
//! - At most one flight per name. It ends exactly once: by [`Lead::finish`], by the lead being
//!   dropped, by an invalidation, or by [`Waiter::expire`]; then every waiter is woken, by the waker
//!   with which it was polled last, and the name is free again.
//! - An entry is published only by the flight that is current for its name, under the lock. A
//!   flight that an invalidation has superseded publishes nothing and answers nobody.
//! - A waiter never returns an outcome, a failure included, that is older than the last invalidation
//!   of its name; an invalidation of another name is nothing to it.
//! - A waiter that is dropped leaves no waker behind.
//! - Wakers are called and dropped after the lock is released. One that panics keeps no other from
//!   being called.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use countersign_core::clock::Tick;
use countersign_core::sync::{Mutex, SwapOption};

use super::flights::{Flight, Flights, Name, Outcome, Wakers};
use super::{Freshness, Served};
use crate::loader::LoadError;

pub(super) type Map<V> = HashMap<Name, Arc<Entry<V>>, Hashing>;

#[cfg(not(countersign_loom))]
type Hashing = foldhash::fast::RandomState;
/// Every execution of a model must go through names in the same order.
#[cfg(countersign_loom)]
type Hashing = foldhash::fast::FixedState;

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
    flights: Flights<V>,
    slots: HashMap<Name, Arc<Slot<V>>>,
    counts: Counts,
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
            flights: Flights::default(),
            slots: HashMap::new(),
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
        let name: Name = name.into();
        if let Some((flight, number)) = state.flights.join(&name) {
            state.counts.joins += 1;
            return Begin::Join(self.waiter(name, flight, number));
        }
        let (flight, number) = state.flights.begin(&name, now);
        state.counts.loads += 1;
        let waiter = self.waiter(Arc::clone(&name), Arc::clone(&flight), number);
        let lead = Lead {
            core: Arc::clone(self),
            name,
            flight,
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

    fn waiter(self: &Arc<Self>, name: Name, flight: Arc<Flight<V>>, number: u64) -> Waiter<V> {
        Waiter {
            core: Arc::clone(self),
            name,
            flight,
            number,
        }
    }

    /// Forgets `name`: what is published is gone, and neither what a load under way brings nor the
    /// outcome of one that has ended is shown to anybody from now on.
    pub(super) fn invalidate(&self, name: &str) {
        let mut state = self.state.lock();
        self.publish(&mut state, |map, changed| {
            changed.extend(map.remove_entry(name).map(|(name, _)| name));
        });
        let woken = state.flights.supersede(name);
        drop(state);
        wake(woken);
    }

    /// Forgets every name.
    pub(super) fn invalidate_all(&self) {
        let mut state = self.state.lock();
        self.publish(&mut state, |map, changed| {
            changed.extend(map.drain().map(|(name, _)| name))
        });
        let woken = state.flights.supersede_all();
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

    /// How many wakers are held for `name`, while its load is under way and afterwards.
    #[cfg(test)]
    #[cfg(not(countersign_shuttle))]
    pub(super) fn wakers_held(&self, name: &str) -> usize {
        self.state.lock().flights.wakers(name).count()
    }

    /// How many names are held for handles.
    #[cfg(test)]
    #[cfg(not(any(countersign_loom, countersign_shuttle)))]
    pub(super) fn slots_held(&self) -> usize {
        self.state.lock().slots.len()
    }

    /// Whether this waker is held for `name`.
    #[cfg(test)]
    #[cfg(countersign_shuttle)]
    pub(super) fn holds(&self, name: &str, waker: &std::task::Waker) -> bool {
        let state = self.state.lock();
        state.flights.wakers(name).any(|held| held.will_wake(waker))
    }

    /// Checks that no flight is under way and nobody waits (so that no waker is held), that no more
    /// names are published than allowed, and that every slot holds what is published for its name.
    #[cfg(test)]
    pub(super) fn audit(&self) -> Result<(), String> {
        let state = self.state.lock();
        let published = self.published.load();
        let map = published.as_ref().ok_or("nothing was ever published")?;
        state.flights.audit()?;
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
        name: &Name,
        started: Tick,
        result: Result<(V, Duration), LoadError>,
        now: Tick,
    ) -> Result<Served<V>, LoadError> {
        let error = match result {
            Ok((value, time_to_live)) => {
                let entry = Entry {
                    value: value.clone(),
                    loaded_at: started,
                    expires_at: started.plus(time_to_live),
                    retry_at: None,
                };
                self.publish_entry(state, name, entry, now);
                let age = now.since(started);
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
                changed.extend(map.remove_entry(name).map(|(name, _)| name));
            });
            return Err(error);
        }
        let source_failed = matches!(
            error,
            LoadError::Failed { .. } | LoadError::TimedOut { .. } | LoadError::Invalid { .. }
        );
        let before = self.read(name, |entry| source_failed.then(|| entry.clone()));
        let stale = before
            .as_ref()
            .and_then(|entry| entry.stale(now, &self.settings));
        let Some(served) = stale else {
            return Err(error);
        };
        let served = served.map(V::clone);
        if let Some(entry) = before {
            let retry_at = Some(now.plus(self.settings.retry_after));
            self.publish_entry(state, name, Entry { retry_at, ..entry }, now);
        }
        state.counts.stale += 1;
        Ok(served)
    }

    /// Ends this flight with what came of it, if it is still the current one of its name.
    fn end(
        &self,
        name: &Name,
        flight: &Arc<Flight<V>>,
        result: Result<(V, Duration), LoadError>,
        now: Tick,
    ) {
        let mut state = self.state.lock();
        let Some(started) = state.flights.started(name, flight) else {
            return;
        };
        let result = self.conclude(&mut state, name, started, result, now);
        let woken = state.flights.settle(name, Outcome::Done(result));
        drop(state);
        wake(woken);
    }
}

/// Wakes all of them. A waker is other people's code: one that panics keeps nobody else asleep, and
/// its panic goes on once all are woken.
fn wake(wakers: Wakers) {
    let mut panicked = None;
    for (_, waker) in wakers {
        let woken = panic::catch_unwind(AssertUnwindSafe(|| waker.wake()));
        panicked = panicked.or(woken.err());
    }
    if let Some(panicked) = panicked {
        panic::resume_unwind(panicked);
    }
}

/// The duty to end one flight. Dropped unfinished, it ends the flight with
/// [`LoadError::Aborted`]. Of a flight that has ended otherwise it ends nothing.
pub(super) struct Lead<V: Clone> {
    core: Arc<Core<V>>,
    name: Name,
    flight: Arc<Flight<V>>,
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
        self.core.end(&self.name, &self.flight, result, now);
    }
}

impl<V: Clone> Drop for Lead<V> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.core.state.lock();
        if state.flights.started(&self.name, &self.flight).is_none() {
            return;
        }
        state.counts.aborts += 1;
        let name = Arc::clone(&self.name);
        let outcome = Outcome::Done(Err(LoadError::Aborted { name }));
        let woken = state.flights.settle(&self.name, outcome);
        drop(state);
        wake(woken);
    }
}

/// Waits for a flight to end. Dropping it harms neither the flight nor other waiters.
pub(super) struct Waiter<V: Clone> {
    core: Arc<Core<V>>,
    name: Name,
    flight: Arc<Flight<V>>,
    number: u64,
}

impl<V: Clone> Waiter<V> {
    /// Ends the flight with an error for all who wait for it, as its lead would, and waits no more.
    /// Of a flight that has ended it gives the outcome.
    pub(super) fn expire(self, error: LoadError, now: Tick) -> Outcome<V> {
        self.core.end(&self.name, &self.flight, Err(error), now);
        let state = self.core.state.lock();
        let outcome = state.flights.outcome(&self.name, &self.flight);
        outcome.unwrap_or(Outcome::Superseded)
    }
}

impl<V: Clone> Future for Waiter<V> {
    type Output = Outcome<V>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome<V>> {
        // Cloning and dropping a waker may run anything, another waiter's drop included.
        let waker = context.waker().clone();
        let mut state = self.core.state.lock();
        if let Some(outcome) = state.flights.outcome(&self.name, &self.flight) {
            return Poll::Ready(outcome);
        }
        let replaced = state.flights.register(&self.name, self.number, waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl<V: Clone> Drop for Waiter<V> {
    fn drop(&mut self) {
        let mut state = self.core.state.lock();
        let waker = state.flights.leave(&self.name, self.number);
        drop(state);
        drop(waker);
    }
}
