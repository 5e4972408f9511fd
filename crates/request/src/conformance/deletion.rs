//! Deleting requests: only what is over, old enough, and wholly.

use std::time::Duration;

use super::ground::*;
use crate::error::Error;
use crate::transition::Status;

/// What is deleted is gone from everything; what is not, stays.
pub async fn what_is_deleted_is_gone(ground: Ground) {
    ground.create(&draft(1)).await;
    let before = ground.content().await;
    ground.with_status(2, Status::Denied).await;
    assert!(ground.delete(2).await, "it was there");
    assert_eq!(
        ground.content().await,
        before,
        "with a request go its history and its changes, and nothing else"
    );
    let result = ground.store.get(id(2)).await;
    demand!(result, Err(Error::NotFound { .. }), "it cannot be read");
}

/// Deleting what is not there is no error, and says so.
pub async fn deleting_what_is_not_there_is_no_error(ground: Ground) {
    ground.with_status(1, Status::Denied).await;
    assert!(ground.delete(1).await, "it was there");
    for before in [None, Some(start())] {
        let call = ground.store.delete(id(1), before);
        let result = ground.without_trace(call).await;
        demand!(result, Ok(false), "it was not there any more");
    }
}

/// Whatever ended can be deleted, however it ended.
pub async fn whatever_ended_can_be_deleted(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        let request = ground.with_status(bits, status).await;
        let result = ground.store.delete(id(bits), None).await;
        if request.is_terminal(ground.now()) {
            demand!(result, Ok(true), "what has ended can be deleted");
        } else {
            demand!(
                result,
                Err(Error::NotTerminal { id: live, status: found }) if (live, found) == (id(bits), status),
                "what has not ended cannot, and the error says why"
            );
        }
    }
}

/// What is not over is not deleted, and not changed.
pub async fn what_is_not_over_stays(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.approved(2).await;
    for bits in [1, 2] {
        let result = ground
            .without_trace(ground.store.delete(id(bits), None))
            .await;
        demand!(
            result,
            Err(Error::NotTerminal { .. }),
            "what is not over stays"
        );
    }
}

/// An approved request can be deleted from the end of its access on.
pub async fn access_can_be_deleted_when_it_is_over(ground: Ground) {
    let until = ground.approved(1).await.access_until.expect("approved");
    ground.clock.set(until - NANOSECOND);
    let result = ground.store.delete(id(1), None).await;
    demand!(
        result,
        Err(Error::NotTerminal {
            status: Status::Approved,
            ..
        }),
        "a nanosecond is left"
    );
    ground.clock.set(until);
    assert!(ground.delete(1).await, "it is over");
}

/// What ended at the given time or later is retained, to the nanosecond.
pub async fn what_ended_too_late_is_retained(ground: Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        if status == Status::Pending {
            continue;
        }
        let request = ground.with_status(bits, status).await;
        let ended = request.ended_at().expect("it has ended");
        ground.clock.set(ended + HOUR);
        let call = ground.store.delete(id(bits), Some(ended));
        let result = ground.without_trace(call).await;
        demand!(
            result,
            Err(Error::Retained { id: kept, ended_at }) if (kept, ended_at) == (id(bits), ended),
            "what ended at the time is retained, and the error says when it ended"
        );
        let result = ground
            .store
            .delete(id(bits), Some(ended + NANOSECOND))
            .await;
        demand!(result, Ok(true), "what ended before the time is deleted");
    }
}

/// That something is not over is told before that it is too young.
pub async fn not_over_is_told_before_retained(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.approved(2).await;
    for bits in [1, 2] {
        let result = ground.store.delete(id(bits), Some(start())).await;
        demand!(
            result,
            Err(Error::NotTerminal { .. }),
            "not over before retained"
        );
    }
}

/// An id can be used again once its request is deleted; nothing of the old one comes back.
pub async fn a_deleted_id_begins_anew(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.change(1, &note("bob", "seen")).await;
    ground.change(1, &deny("bob")).await;
    ground.delete(1).await;
    ground.clock.advance(Duration::from_secs(1));
    let again = ground.create(&draft(1)).await;
    assert_eq!((again.status, again.history.len()), (Status::Pending, 1));
    assert_eq!(again.note, None, "nothing of the old request comes back");
    assert_eq!(ground.changes(None, 0).await.len(), 1, "nor its changes");
}
