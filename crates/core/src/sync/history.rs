//! Histories of concurrent calls, and whether one order explains them.
//!
//! A history is linearizable if its calls can be put in one order that keeps each call between its
//! beginning and its end and in which a sequential specification gives every answer that was
//! given. The search is that of Wing and Gong with the memory of Lowe: a set of calls done and the
//! state they lead to is given up once. `load` records histories of real runs.
//!
//! For tests and models only; nothing here runs in production.

use std::collections::{BTreeSet, HashSet};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(all(feature = "test-util", not(countersign_loom)))]
pub mod load;
#[cfg(test)]
#[cfg(not(any(countersign_loom, countersign_shuttle)))]
mod tests;

/// What a store would answer if only one caller called at a time.
pub trait Specification: Clone + Eq + Hash {
    /// What is called.
    type Call: Clone + Debug;
    /// What is answered.
    type Answer: Debug;

    /// Makes one call, and says whether it could have been answered so. What the specification
    /// leaves open, such as which of several versions is issued, it takes from the answer. After
    /// a call that it does not explain it is not used again.
    fn explains(&mut self, call: &Self::Call, answer: &Self::Answer) -> bool;
}

/// One call of a history.
#[derive(Debug, Clone)]
pub struct Operation<C, A> {
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
    operations: Mutex<Vec<Operation<C, A>>>,
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
            operations: Mutex::new(Vec::new()),
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
        let mut operations = self
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        operations.push(Operation {
            began,
            ended,
            call,
            answer,
        });
    }

    /// The calls recorded so far; the recorder is empty afterwards.
    pub fn take(&self) -> Vec<Operation<C, A>> {
        std::mem::take(
            &mut *self
                .operations
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Whether one order explains the history, beginning in `start`.
///
/// ```
/// use countersign_core::sync::history::{Operation, Specification, is_linearizable};
///
/// #[derive(Clone, PartialEq, Eq, Hash)]
/// struct Counter(u64);
///
/// impl Specification for Counter {
///     type Call = ();
///     type Answer = u64;
///     fn explains(&mut self, (): &(), answer: &u64) -> bool {
///         self.0 += 1;
///         self.0 == *answer
///     }
/// }
///
/// let operation = |began, ended, answer| Operation { began, ended, call: (), answer };
/// assert!(is_linearizable(Counter(0), &[operation(0, 2, 2), operation(1, 3, 1)]));
/// assert!(!is_linearizable(Counter(0), &[operation(0, 1, 2), operation(2, 3, 1)]), "they do not overlap");
/// ```
pub fn is_linearizable<S: Specification>(
    start: S,
    history: &[Operation<S::Call, S::Answer>],
) -> bool {
    explain(start, history).is_ok()
}

/// As [`is_linearizable`], and says where the search came no further.
///
/// # Errors
/// [`Unexplained`] if no order explains the history.
pub fn explain<S: Specification>(
    start: S,
    history: &[Operation<S::Call, S::Answer>],
) -> Result<(), Unexplained> {
    let mut operations: Vec<&Operation<S::Call, S::Answer>> = history.iter().collect();
    operations.sort_by_key(|operation| operation.began);
    let mut given_up: HashSet<(Done, S)> = HashSet::new();
    let mut furthest = (0, Vec::new());
    let step = |done: Done, state: S| Step {
        nexts: done.nexts(&operations).into_iter(),
        done,
        state,
    };
    let mut steps = vec![step(Done::default(), start)];
    while let Some(last) = steps.last_mut() {
        if last.done.first == operations.len() {
            return Ok(());
        }
        let Some(next) = last.nexts.next() else {
            if let Some(Step { done, state, .. }) = steps.pop() {
                if steps.len() >= furthest.0 {
                    furthest = (steps.len(), done.nexts(&operations));
                }
                given_up.insert((done, state));
            }
            continue;
        };
        let mut state = last.state.clone();
        let explained = operations
            .get(next)
            .is_some_and(|operation| state.explains(&operation.call, &operation.answer));
        if !explained {
            continue;
        }
        let mut done = last.done.clone();
        done.add(next);
        let reached = (done, state);
        if !given_up.contains(&reached) {
            steps.push(step(reached.0, reached.1));
        }
    }
    let open = furthest.1.iter().filter_map(|place| operations.get(*place));
    Err(Unexplained {
        calls: operations.len(),
        explained: furthest.0,
        open: open.map(|operation| format!("{operation:?}")).collect(),
    })
}

/// A part of an order that was found, with what is left to try after it.
struct Step<S> {
    done: Done,
    state: S,
    nexts: std::vec::IntoIter<usize>,
}

/// Which calls of a history, sorted by when they began, are in the order already: all before
/// `first`, and `later`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Done {
    first: usize,
    later: BTreeSet<usize>,
}

impl Done {
    fn add(&mut self, place: usize) {
        self.later.insert(place);
        while self.later.remove(&self.first) {
            self.first += 1;
        }
    }

    /// The calls that may be next: those that began before every open call has ended. The first
    /// to end is tried first.
    fn nexts<C, A>(&self, operations: &[&Operation<C, A>]) -> Vec<usize> {
        let (mut open, mut first_end) = (Vec::new(), u64::MAX);
        for (place, operation) in operations.iter().enumerate().skip(self.first) {
            if operation.began > first_end {
                break;
            }
            if !self.later.contains(&place) {
                first_end = first_end.min(operation.ended);
                open.push((operation.ended, operation.began, place));
            }
        }
        open.retain(|(_, began, _)| *began < first_end);
        open.sort_unstable();
        open.into_iter().map(|(_, _, place)| place).collect()
    }
}

/// A history that no order explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexplained {
    /// How many calls it has.
    pub calls: usize,
    /// How many of them could be put in order.
    pub explained: usize,
    /// The calls that could have been next there, with answers that do not fit.
    pub open: Vec<String>,
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            calls, explained, ..
        } = self;
        write!(
            f,
            "no order of the calls explains the history: after {explained} of {calls}, none of \
             these can be next:"
        )?;
        for operation in &self.open {
            write!(f, "\n{operation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Unexplained {}
