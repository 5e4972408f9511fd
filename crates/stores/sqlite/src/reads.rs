//! How the threads that read make the calls of their queue.
//!
//! Calls that wait together are made in one snapshot, one after the other. None is kept from another
//! thread meanwhile: each is taken when the one before it is done.
//!
//! Invariant: a snapshot begins after the last of its calls was queued, so that each sees what was
//! committed before it was made.
//!
//! Invariant: a snapshot ends before its last call is answered, and no call is made in one in which
//! another has failed.

use rusqlite::Connection;

use crate::connection::end_the_last;
use crate::queue::{Place, Queue};
use crate::worker::{Ending, Queued};

/// Makes calls until the queue is closed; those that wait together share a snapshot.
pub(crate) fn together(mut connection: Connection, queue: &Queue<Queued<Connection>>) {
    while let Some(first) = queue.next() {
        let mark = queue.mark();
        in_one_snapshot(&mut connection, queue, first, |place| place < mark);
    }
}

/// As [`together`], each in a snapshot of its own: for calls that take long, which would keep a shared
/// one for longer than any of them needs it.
pub(crate) fn apart(mut connection: Connection, queue: &Queue<Queued<Connection>>) {
    while let Some(call) = queue.next() {
        in_one_snapshot(&mut connection, queue, call, |_| false);
    }
}

/// Makes a call, which begins the snapshot, and those that can share it.
fn in_one_snapshot(
    connection: &mut Connection,
    queue: &Queue<Queued<Connection>>,
    first: Queued<Connection>,
    shares: impl Fn(Place) -> bool,
) {
    let mut next = Some(first);
    // Left behind if a rollback failed.
    let mut left = end_the_last(connection).err();
    while let Some(mut call) = next.take() {
        let ending = match &left {
            Some(_) => Ending::Failed,
            None if call.caller().has_given_up() => Ending::Refused,
            None => call.make(connection),
        };
        if matches!(ending, Ending::Made | Ending::Refused) {
            next = queue.take(|place, _| shares(place)).map(|(_, call)| call);
        }
        if next.is_none() && left.is_none() {
            // If it fails, whoever comes next is told.
            let _ = end_the_last(connection);
        }
        call.answer(left.take().map(Into::into));
    }
}
