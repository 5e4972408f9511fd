//! How the thread that writes makes the steps of its queue: those that wait together in one transaction,
//! which is one wait for the disk.
//!
//! Steps are made in the order in which they were queued, and each reads what those before it have
//! written. They are answered after the commit: also those that wrote nothing, where an earlier one had
//! written, because their answers may rest on that. If the commit fails, all of these get its failure.
//!
//! What always holds:
//!
//! - A step that fails or panics has changed nothing, and others are as if it had not been made. If it
//!   had written by then (a constraint has fired, or the disk is full), everything is rolled back, and
//!   the steps up to it are made again, each in a transaction of its own; one that panicked is not.
//! - Within a batch a clock is read once. A step that is made again is judged by the same reading, and
//!   issues the same versions, unless it had to wait for another process in between: that one has read
//!   its clock later, and a reading of before would seem to go back.
//! - A step whose caller has given up before it began is not made. Until somebody has the file's lock
//!   for it, a step waits in the queue.
//! - Steps that wait for another process do so at the same time, and each for as long as its caller has
//!   patience. One whose patience is used up is there for one try.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use countersign_core::clock::Clock;
use rusqlite::Connection;

use crate::connection::{LEAST_WAIT, LOOK_UP, commit, end_the_last, is_busy, try_to_write};
use crate::error::Failure;
use crate::file::Opened;
use crate::queue::{Place, Queue};
use crate::worker::{Ending, Queued};

/// The most steps of a transaction: the first of them waits for the last.
const MOST_STEPS: usize = 128;

/// What a step is made with.
pub(crate) struct Writing {
    pub(crate) connection: Connection,
    pub(crate) readings: Readings,
}

impl Writing {
    pub(crate) fn on(connection: Connection) -> Self {
        Self {
            connection,
            readings: Readings::default(),
        }
    }
}

/// What the clocks of a batch have read.
#[derive(Default)]
pub(crate) struct Readings(Vec<(Arc<dyn Clock>, DateTime<Utc>)>);

impl Readings {
    /// The one reading of a clock.
    pub(crate) fn of(&mut self, clock: &Arc<dyn Clock>) -> DateTime<Utc> {
        let mut read = self.0.iter();
        if let Some((_, reading)) = read.find(|(known, _)| Arc::ptr_eq(known, clock)) {
            return *reading;
        }
        let reading = clock.now();
        self.0.push((Arc::clone(clock), reading));
        reading
    }
}

/// A step, and where it stood in the queue.
type Standing = (Place, Queued<Writing>);

/// A step that was made.
struct Made {
    place: Place,
    step: Queued<Writing>,
    ending: Ending,
    /// Whether it, or one before it, has written.
    rests_on_a_write: bool,
}

/// Makes steps until the queue is closed.
pub(crate) fn serve(mut writing: Writing, queue: &Queue<Queued<Writing>>, opened: &Opened) {
    while queue.wait() {
        let steps = begin(&mut writing, queue, opened);
        if !steps.is_empty() {
            make(&mut writing, queue, opened, steps);
            opened.shorten(&writing.connection);
        }
    }
    opened.empty(&writing.connection);
}

/// Begins a transaction for whoever waits by then: the steps that are to be made in it. None if nobody
/// waits any more.
fn begin(writing: &mut Writing, queue: &Queue<Queued<Writing>>, opened: &Opened) -> Vec<Standing> {
    // The first has waited longest, and loses its patience first.
    while let Some(first) = queue.first(|step| step.caller().clone()) {
        let (mark, now) = (queue.mark(), first.now());
        // What is written by the wrong shared memory destroys what others write.
        if let Err(lost) = opened.look() {
            refuse(queue, &lost, |place, _| place < mark);
            continue;
        }
        let wait = first.patience_at(now).min(LOOK_UP);
        let Err(error) = try_to_write(&writing.connection, wait) else {
            return begun(writing, queue);
        };
        if is_busy(&error) {
            // Another process is let in, and what it reads of its clock is later.
            writing.readings = Readings::default();
            let tried = |place, patience| place < mark && patience < LEAST_WAIT;
            refuse(queue, &error.into(), |place, step| {
                tried(place, step.caller().patience_at(now))
            });
        } else {
            refuse(queue, &error.into(), |place, _| place < mark);
        }
    }
    Vec::new()
}

/// Answers the first calls, as far as they are meant, with a failure.
fn refuse(
    queue: &Queue<Queued<Writing>>,
    failure: &Failure,
    is_meant: impl Fn(Place, &Queued<Writing>) -> bool,
) {
    while let Some((_, step)) = queue.take(&is_meant) {
        step.answer(Some(failure.clone()));
    }
}

/// The steps of a transaction that has begun.
fn begun(writing: &mut Writing, queue: &Queue<Queued<Writing>>) -> Vec<Standing> {
    let is_again = |step: &Queued<Writing>| step.ending().is_some();
    let Some(first) = queue.take(|_, _| true) else {
        let _ = end_the_last(&writing.connection);
        return Vec::new();
    };
    if is_again(&first.1) {
        return vec![first];
    }
    writing.readings = Readings::default();
    let mut steps = vec![first];
    while steps.len() < MOST_STEPS {
        match queue.take(|_, step| !is_again(step)) {
            Some(step) => steps.push(step),
            None => break,
        }
    }
    steps
}

/// Makes steps in the transaction that has begun, and ends it.
fn make(
    writing: &mut Writing,
    queue: &Queue<Queued<Writing>>,
    opened: &Opened,
    steps: Vec<Standing>,
) {
    let mut steps = steps.into_iter();
    let (mut made, mut has_written, mut is_spoilt) = (Vec::new(), false, false);
    for (place, mut step) in steps.by_ref() {
        if step.caller().has_given_up() {
            continue;
        }
        let before = writing.connection.total_changes();
        let ending = step.make(writing);
        let writes = writing.connection.total_changes() != before;
        has_written |= writes;
        made.push(Made {
            place,
            step,
            ending,
            rests_on_a_write: has_written,
        });
        // The engine itself may have rolled everything back.
        is_spoilt = writes && ending != Ending::Made || writing.connection.is_autocommit();
        if is_spoilt {
            break;
        }
    }
    let resting = made.iter().filter(|made| made.rests_on_a_write).count();
    let is_done_again = is_spoilt && resting > 1;
    let failed = made.last().is_none_or(|last| last.ending != Ending::Made);
    let failure = match is_done_again || (is_spoilt && failed) || !has_written {
        true => None,
        false => commit(&writing.connection).err(),
    };
    // What was not committed, also if that failed, must not keep the lock. If this fails, the next begin
    // tries again, and says so.
    let _ = end_the_last(&writing.connection);
    // What was read and written was what others see, or nothing is answered from it.
    let lost = opened.look().err();
    for made in made {
        let rests = made.rests_on_a_write;
        if rests && is_done_again && made.ending != Ending::Panicked && lost.is_none() {
            put_back(queue, (made.place, made.step));
        } else {
            let failure = failure.as_ref().filter(|_| rests);
            made.step.answer(lost.as_ref().or(failure).cloned());
        }
    }
    for step in steps {
        put_back(queue, step);
    }
}

/// Queues a step again, unless its caller has given up meanwhile.
fn put_back(queue: &Queue<Queued<Writing>>, (place, step): Standing) {
    let caller = step.caller().clone();
    queue.put_back(place, step);
    if caller.has_given_up() {
        queue.remove(place);
    }
}
