//! When calls take effect: not before the first poll, and wholly.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::ground::*;
use crate::Page;
use crate::store::Filter;
use crate::transition::Status;

/// Calls whose futures are never polled do nothing.
pub async fn nothing_happens_before_the_first_poll(ground: Ground) {
    let version = ground.create(&draft(1)).await.updated_at;
    ground.with_status(2, Status::Denied).await;
    let (draft, change) = (
        draft_in(3, 1),
        approve("bob").with_idempotency_key(operation(2)),
    );
    let terms = terms(&draft);
    let store = &ground.store;
    ground
        .without_trace(async {
            drop(store.create(&draft, &terms));
            drop(store.update(id(1), version, &change));
            drop(store.delete(id(2), None));
        })
        .await;
    ground.create(&draft).await;
    ground.change(1, &change).await;
    assert!(ground.delete(2).await, "none of them was done before");
}

/// Calls take effect after they are first polled, not when they are made.
pub async fn a_call_takes_effect_after_its_first_poll(ground: Ground) {
    let decide_by = ground.create(&draft(1)).await.decide_by;
    ground.clock.set(decide_by);
    let filter = Filter::Status(Status::Cancelled);
    let (get, list) = (
        ground.store.get(id(1)),
        ground.store.list(&filter, Page::default()),
    );
    let (due, changes) = (
        ground.store.list_expirable(0),
        ground.store.changes_after(None, 0),
    );
    let (other, its_terms) = (draft(2), terms_of("prod"));
    let create = ground.store.create(&other, &its_terms);
    let cancelled = ground.change(1, &cancel()).await;
    ground.clock.advance(HOUR);
    assert_eq!(
        get.await.expect("it is there"),
        cancelled,
        "read when polled"
    );
    let listing = list.await.expect("a list can be read");
    assert_eq!(listing.items, [cancelled], "listed when polled");
    assert!(
        due.await.expect("due can be read").is_empty(),
        "when polled"
    );
    assert_eq!(changes.await.expect("changes can be read").len(), 2);
    let created = create.await.expect("it is created");
    assert_eq!(created.created_at, ground.now(), "created when polled");
}

/// A call that is dropped after its first poll is done wholly or not at all.
pub async fn a_call_that_is_dropped_is_whole(ground: Ground) {
    for bits in 1..=20 {
        let draft = draft_in(bits, bits);
        let terms = terms(&draft);
        {
            let mut call = pin!(ground.store.create(&draft, &terms));
            poll_fn(|context| {
                let _ = call.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
        }
        // The same operation again: it is the first result, or made now.
        let made = ground.create(&draft).await;
        assert_eq!(made.history.len(), 1, "it is made once");
        assert_eq!(ground.get(bits).await, made, "and as a whole");
    }
    let content = ground.content().await;
    assert_eq!(content.requests.len(), 20, "each is there once");
    assert_eq!(content.changes.len(), 20, "each is one change");
}
