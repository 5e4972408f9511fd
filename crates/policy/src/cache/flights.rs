//! Loads under way and those who wait for them, as plain data under the lock of
//! [`Core`](super::core::Core).
//!
//! Nothing here locks, wakes or publishes: wakers are given back, to be called or dropped once the
//! lock is released. What always holds:
//!
//! - Each name counts its own invalidations, and what a flight brought is shown only to those who
//!   look before the next one.
//! - A flight holds one waker for each waiter that has been polled, the one of the last poll.
//! - A name is kept while it has a flight or waiters, and no longer.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use countersign_core::clock::Tick;

use super::Served;
use crate::loader::LoadError;

pub(super) type Name = Arc<str>;

/// Wakers, with the numbers of the waiters that they are of.
pub(super) type Wakers = Vec<(u64, Waker)>;

/// Every name that is being loaded, or whose waiters have not all been told how a load ended.
#[derive(Debug)]
pub(super) struct Flights<V> {
    awaited: BTreeMap<Name, Awaited<V>>,
    last_waiter: u64,
}

/// A name with a flight or waiters.
#[derive(Debug)]
struct Awaited<V> {
    current: Option<InFlight<V>>,
    /// How many waiters there are, those of flights that have ended included.
    waiters: usize,
    /// Counts the invalidations of the name.
    epoch: u64,
}

#[derive(Debug)]
struct InFlight<V> {
    flight: Arc<Flight<V>>,
    started: Tick,
    wakers: Wakers,
}

/// One load. Its outcome is written and read under the lock only.
#[derive(Debug)]
pub(super) struct Flight<V> {
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

impl<V> Default for Flights<V> {
    fn default() -> Self {
        Self {
            awaited: BTreeMap::new(),
            last_waiter: 0,
        }
    }
}

impl<V: Clone> Flights<V> {
    /// Another waiter for the flight of `name`, if there is one, with its number.
    pub(super) fn join(&mut self, name: &str) -> Option<(Arc<Flight<V>>, u64)> {
        let awaited = self.awaited.get_mut(name)?;
        let current = awaited.current.as_ref()?;
        awaited.waiters += 1;
        self.last_waiter += 1;
        Some((Arc::clone(&current.flight), self.last_waiter))
    }

    /// A flight of `name`, which has none, and the number of its first waiter.
    pub(super) fn begin(&mut self, name: &Name, now: Tick) -> (Arc<Flight<V>>, u64) {
        let flight = Arc::new(Flight {
            outcome: OnceLock::new(),
        });
        let none = || Awaited {
            current: None,
            waiters: 0,
            epoch: 0,
        };
        let awaited = self.awaited.entry(Arc::clone(name)).or_insert_with(none);
        awaited.current = Some(InFlight {
            flight: Arc::clone(&flight),
            started: now,
            wakers: Vec::new(),
        });
        awaited.waiters += 1;
        self.last_waiter += 1;
        (flight, self.last_waiter)
    }

    /// When this flight began, if it is the current one of its name.
    pub(super) fn started(&self, name: &str, flight: &Arc<Flight<V>>) -> Option<Tick> {
        let current = self.awaited.get(name)?.current.as_ref()?;
        Arc::ptr_eq(&current.flight, flight).then_some(current.started)
    }

    /// Ends the flight of `name`, if there is one; gives the wakers of those who wait for it.
    pub(super) fn settle(&mut self, name: &str, outcome: Outcome<V>) -> Wakers {
        let Some(awaited) = self.awaited.get_mut(name) else {
            return Vec::new();
        };
        let Some(ended) = awaited.current.take() else {
            return Vec::new();
        };
        let epoch = awaited.epoch;
        let _ = ended.flight.outcome.set(Settled { outcome, epoch });
        self.forget_unawaited(name);
        ended.wakers
    }

    /// Makes what every flight of `name` brought too old to be shown, and ends the one under way;
    /// gives the wakers of those who wait for it.
    pub(super) fn supersede(&mut self, name: &str) -> Wakers {
        if let Some(awaited) = self.awaited.get_mut(name) {
            awaited.epoch += 1;
        }
        self.settle(name, Outcome::Superseded)
    }

    /// As [`Flights::supersede`], of every name.
    pub(super) fn supersede_all(&mut self) -> Wakers {
        let names: Vec<Name> = self.awaited.keys().cloned().collect();
        let wakers = names.iter().flat_map(|name| self.supersede(name));
        wakers.collect()
    }

    /// How a flight ended for who looks now, if it has.
    pub(super) fn outcome(&self, name: &str, flight: &Flight<V>) -> Option<Outcome<V>> {
        let settled = flight.outcome.get()?;
        let epoch = self.awaited.get(name).map(|awaited| awaited.epoch);
        Some(if Some(settled.epoch) == epoch {
            settled.outcome.clone()
        } else {
            Outcome::Superseded
        })
    }

    /// Keeps the waker of a waiter until its flight ends; gives the one that it takes the place of.
    pub(super) fn register(&mut self, name: &str, number: u64, waker: Waker) -> Option<Waker> {
        let wakers = &mut self.awaited.get_mut(name)?.current.as_mut()?.wakers;
        match wakers.iter_mut().find(|(known, _)| *known == number) {
            Some((_, known)) => Some(std::mem::replace(known, waker)),
            None => {
                wakers.push((number, waker));
                None
            }
        }
    }

    /// Takes a waiter out; gives its waker.
    pub(super) fn leave(&mut self, name: &str, number: u64) -> Option<Waker> {
        let awaited = self.awaited.get_mut(name)?;
        awaited.waiters -= 1;
        let wakers = awaited.current.as_mut().map(|current| &mut current.wakers);
        let waker = wakers.and_then(|wakers| {
            let place = wakers.iter().position(|(known, _)| *known == number)?;
            Some(wakers.swap_remove(place).1)
        });
        self.forget_unawaited(name);
        waker
    }

    fn forget_unawaited(&mut self, name: &str) {
        let awaited = self.awaited.get(name);
        if awaited.is_some_and(|awaited| awaited.current.is_none() && awaited.waiters == 0) {
            self.awaited.remove(name);
        }
    }

    /// The wakers that are held for `name`.
    #[cfg(test)]
    pub(super) fn wakers(&self, name: &str) -> impl Iterator<Item = &Waker> {
        let awaited = self.awaited.get(name);
        let current = awaited.and_then(|awaited| awaited.current.as_ref());
        current
            .into_iter()
            .flat_map(|current| &current.wakers)
            .map(|(_, waker)| waker)
    }

    /// Checks that no flight is under way, nobody waits, and so no waker is held.
    #[cfg(test)]
    pub(super) fn audit(&self) -> Result<(), String> {
        let Some((name, awaited)) = self.awaited.iter().next() else {
            return Ok(());
        };
        let (flight, waiters) = (awaited.current.is_some(), awaited.waiters);
        Err(format!(
            "`{name}` is awaited: flight {flight}, {waiters} waiters"
        ))
    }
}
