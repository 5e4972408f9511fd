//! The calls that wait for a thread, in the order in which they came.
//!
//! What always holds:
//!
//! - Only so many calls wait: the next is not taken. A call that is given up while it waits leaves its
//!   place at once, and is dropped by whoever gave it up.
//! - Places grow: what has a smaller one than a mark was queued before the mark was taken.
//! - Once no thread is left nothing waits, and nothing is taken.

use std::collections::BTreeMap;
use std::collections::btree_map::OccupiedEntry;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where a call stands; no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// Why a call was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// Calls that wait.
pub(crate) struct Queue<C> {
    /// How many may wait.
    places: usize,
    line: Mutex<Line<C>>,
    has_changed: Condvar,
}

struct Line<C> {
    waiting: BTreeMap<Place, C>,
    next: Place,
    threads: usize,
    is_closed: bool,
}

impl<C> Queue<C> {
    /// For so many calls, and for threads that are there already.
    pub(crate) fn new(places: usize, threads: usize) -> Self {
        let line = Line {
            waiting: BTreeMap::new(),
            next: Place(0),
            threads,
            is_closed: false,
        };
        Self {
            places,
            line: Mutex::new(line),
            has_changed: Condvar::new(),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line<C>> {
        // Nothing is half done in it that could panic.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a call.
    pub(crate) fn push(&self, call: C) -> Result<Place, Refused> {
        let mut line = self.line();
        if line.is_closed {
            return Err(Refused::Closed);
        }
        if line.waiting.len() >= self.places {
            return Err(Refused::Full);
        }
        let place = line.next;
        line.next = Place(place.0.saturating_add(1));
        line.waiting.insert(place, call);
        drop(line);
        self.has_changed.notify_one();
        Ok(place)
    }

    /// Queues a call again where it was. It needs no place of those that are counted: it had one.
    pub(crate) fn put_back(&self, place: Place, call: C) {
        let mut line = self.line();
        if line.is_closed {
            drop(line);
            return;
        }
        line.waiting.insert(place, call);
    }

    /// Gives a call up, if it still waits.
    pub(crate) fn remove(&self, place: Place) {
        let call = self.line().waiting.remove(&place);
        // Not while others wait for the lock.
        drop(call);
    }

    /// Waits for a call; the first. None once the queue is closed.
    pub(crate) fn next(&self) -> Option<C> {
        let mut line = self.waited();
        let first = line.waiting.pop_first();
        first.map(|(_, call)| call)
    }

    /// Waits until a call is there, and leaves it there; false once the queue is closed.
    pub(crate) fn wait(&self) -> bool {
        !self.waited().is_closed
    }

    fn waited(&self) -> MutexGuard<'_, Line<C>> {
        let mut line = self.line();
        while line.waiting.is_empty() && !line.is_closed {
            let woken = self.has_changed.wait(line);
            line = woken.unwrap_or_else(PoisonError::into_inner);
        }
        line
    }

    /// A place after all that were given.
    pub(crate) fn mark(&self) -> Place {
        self.line().next
    }

    /// Looks at the first call.
    pub(crate) fn first<T>(&self, look: impl FnOnce(&C) -> T) -> Option<T> {
        let line = self.line();
        let first = line.waiting.first_key_value();
        first.map(|(_, call)| look(call))
    }

    /// Takes the first call, if it is wanted.
    pub(crate) fn take(&self, wanted: impl FnOnce(Place, &C) -> bool) -> Option<(Place, C)> {
        let mut line = self.line();
        let first = line.waiting.first_entry();
        let first = first.filter(|first| wanted(*first.key(), first.get()));
        first.map(OccupiedEntry::remove_entry)
    }

    /// No call is taken any more, and who waits for one is told.
    pub(crate) fn close(&self) {
        let mut line = self.line();
        line.is_closed = true;
        let left = std::mem::take(&mut line.waiting);
        drop(line);
        self.has_changed.notify_all();
        drop(left);
    }

    /// A thread has come to its end; the last closes the queue.
    pub(crate) fn leave(&self) {
        let mut line = self.line();
        line.threads = line.threads.saturating_sub(1);
        let is_last = line.threads == 0;
        drop(line);
        if is_last {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_call_that_is_given_up_leaves_its_place_to_another() {
        let queue = Queue::new(2, 1);
        let first = queue.push("first").unwrap();
        queue.push("second").unwrap();
        assert_eq!(queue.push("third"), Err(Refused::Full));
        queue.remove(first);
        queue.push("fourth").unwrap();
        assert_eq!(queue.push("fifth"), Err(Refused::Full));
        assert_eq!(
            (queue.next(), queue.next()),
            (Some("second"), Some("fourth"))
        );
        queue.remove(first);
    }

    #[test]
    fn a_mark_tells_what_was_queued_before_it() {
        let queue = Queue::new(4, 1);
        queue.push("before").unwrap();
        let mark = queue.mark();
        queue.push("after").unwrap();
        let before = |place: Place, _: &&str| place < mark;
        assert_eq!(queue.take(before).map(|(_, call)| call), Some("before"));
        assert_eq!(queue.take(before), None);
        assert_eq!(queue.first(|call| *call), Some("after"), "it still waits");
    }

    #[test]
    fn a_call_that_is_put_back_is_the_first_again() {
        let queue = Queue::new(1, 1);
        queue.push("first").unwrap();
        let (place, first) = queue.take(|_, _| true).unwrap();
        queue.push("second").unwrap();
        queue.put_back(place, first);
        assert_eq!(
            (queue.next(), queue.next()),
            (Some("first"), Some("second"))
        );
    }

    #[test]
    fn the_last_thread_closes_the_queue_and_no_other_does() {
        let queue = Queue::new(4, 2);
        let call = std::sync::Arc::new(());
        queue.push(call.clone()).unwrap();
        queue.leave();
        assert_eq!(std::sync::Arc::strong_count(&call), 2, "it still waits");
        queue.leave();
        assert_eq!(std::sync::Arc::strong_count(&call), 1, "it was dropped");
        assert_eq!(queue.push(call), Err(Refused::Closed));
        assert!(!queue.wait() && queue.next().is_none());
    }
}
