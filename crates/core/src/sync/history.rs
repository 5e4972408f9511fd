//! Histories of concurrent calls, and whether one order explains them.
//!
//! A history is linearizable if its calls can be put in one order that keeps each call between its
//! beginning and its end and in which a sequential specification gives every answer that was
//! given. The search is that of Wing and Gong with the memory of Lowe: a set of calls done and the
//! state they lead to is tried once.
//!
//! For tests and models only; nothing here runs in production.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a store would answer if only one caller called at a time.
pub trait Specification: Clone + Eq + Hash {
    /// What is called.
    type Call: Clone + Debug;
    /// What is answered.
    type Answer: PartialEq + Debug;

    /// Makes one call.
    fn apply(&mut self, call: &Self::Call) -> Self::Answer;
}

/// One call of a history.
#[derive(Debug, Clone)]
pub struct Event<C, A> {
    /// When it began; no two calls begin or end at the same moment.
    pub began: u64,
    /// When it ended.
    pub ended: u64,
    /// What was called.
    pub call: C,
    /// What was answered.
    pub answer: A,
}

/// Records calls as they are made, by any number of threads.
///
/// ```
/// use countersign_core::sync::history::Recorder;
///
/// let recorder = Recorder::new();
/// assert_eq!(recorder.call("one", || 1), 1);
/// assert_eq!(recorder.take().len(), 1);
/// ```
#[derive(Debug)]
pub struct Recorder<C, A> {
    clock: AtomicU64,
    events: Mutex<Vec<Event<C, A>>>,
}

impl<C, A> Default for Recorder<C, A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C, A> Recorder<C, A> {
    /// A recorder that has seen nothing.
    pub fn new() -> Self {
        Self {
            clock: AtomicU64::new(0),
            events: Mutex::new(Vec::new()),
        }
    }

    /// Makes a call and records it.
    pub fn call(&self, call: C, make: impl FnOnce() -> A) -> A
    where
        A: Clone,
    {
        let began = self.begin();
        let answer = make();
        self.end(began, call, answer.clone());
        answer
    }

    /// Notes that a call begins; for calls that are made across an await.
    pub fn begin(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes that the call that began at `began` has ended.
    pub fn end(&self, began: u64, call: C, answer: A) {
        let ended = self.clock.fetch_add(1, Ordering::SeqCst);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(Event {
            began,
            ended,
            call,
            answer,
        });
    }

    /// The calls recorded so far; the recorder is empty afterwards.
    pub fn take(&self) -> Vec<Event<C, A>> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether one order explains the history, beginning in `start`.
///
/// ```
/// use countersign_core::sync::history::{Event, Specification, is_linearizable};
///
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct Counter(u64);
///
/// impl Specification for Counter {
///     type Call = ();
///     type Answer = u64;
///     fn apply(&mut self, (): &()) -> u64 {
///         self.0 += 1;
///         self.0
///     }
/// }
///
/// let event = |began, ended, answer| Event { began, ended, call: (), answer };
/// assert!(is_linearizable(Counter(0), &[event(0, 2, 2), event(1, 3, 1)]));
/// assert!(!is_linearizable(Counter(0), &[event(0, 1, 2), event(2, 3, 1)]), "they do not overlap");
/// ```
pub fn is_linearizable<S: Specification>(start: S, history: &[Event<S::Call, S::Answer>]) -> bool {
    let mut search = Search {
        history,
        tried: HashSet::new(),
    };
    search.from(vec![false; history.len()], start)
}

struct Search<'a, S: Specification> {
    history: &'a [Event<S::Call, S::Answer>],
    tried: HashSet<(Vec<bool>, S)>,
}

impl<S: Specification> Search<'_, S> {
    fn from(&mut self, done: Vec<bool>, state: S) -> bool {
        let open = || self.history.iter().zip(&done).filter(|(_, done)| !**done);
        // Only a call that began before every open call has ended can be the next.
        let Some(first_end) = open().map(|(event, _)| event.ended).min() else {
            return true;
        };
        let nexts: Vec<usize> = self
            .history
            .iter()
            .enumerate()
            .zip(&done)
            .filter(|((_, event), done)| !**done && event.began < first_end)
            .map(|((place, _), _)| place)
            .collect();
        for next in nexts {
            let Some(event) = self.history.get(next) else {
                continue;
            };
            let mut after = state.clone();
            if after.apply(&event.call) != event.answer {
                continue;
            }
            let mut done = done.clone();
            if let Some(flag) = done.get_mut(next) {
                *flag = true;
            }
            if self.tried.insert((done.clone(), after.clone())) && self.from(done, after) {
                return true;
            }
        }
        false
    }
}
