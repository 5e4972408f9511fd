//! Futures: nothing before the first poll, and all or nothing after it.

use std::future::poll_fn;
use std::task::Poll;

use countersign_core::clock::Clock;

use super::bench::*;
use crate::admission::Admission;
use crate::history::Action;

/// Calls whose future is never polled change nothing.
pub(super) async fn nothing_happens_before_the_first_poll(bench: Bench) {
    let version = bench.begin(1, "alice", "prod").await.updated_at;
    bench.begin_reviewed(2, "bob", "prod").await;
    bench.clock.advance(HOUR / 2);
    let before = bench.contents().await;
    let (draft, change) = (draft(3, "dave", "prod"), note("bob", "a note"));
    let admission = Admission::new(&anybody(), &unlimited(), &draft.profile);
    drop(bench.store.create(&draft, &admission));
    drop(bench.store.update(id(1), version, &change));
    drop(bench.store.delete(id(2), &shortest_retention()));
    bench
        .assert_unchanged(&before, "a call that was never polled")
        .await;
    let created = bench.store.create(&draft, &admission);
    bench.clock.advance(NANO);
    let emergency = created.await.unwrap();
    assert_eq!(
        emergency.created_at,
        bench.clock.now(),
        "the step is made after the first poll"
    );
}

/// A call that is dropped on its way is made wholly or not at all.
pub(super) async fn a_dropped_call_is_made_wholly_or_not_at_all(bench: Bench) {
    let first = bench.begin_short(1, "alice", "prod").await.updated_at;
    let draft = draft(2, "alice", "prod");
    let admission = Admission::new(&reviewed_first(), &unlimited(), &draft.profile);
    let admission = admission.with_review_override(&user("carol"), "they are asleep");
    let mut call = bench.store.create(&draft, &admission);
    poll_fn(|context| {
        let _ = call.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
    drop(call);
    let changes = bench.changes(Some(first)).await;
    let told: Vec<Action> = changes.iter().map(|change| change.entry.action).collect();
    assert!(
        matches!(told.len(), 0 | 3),
        "half of a creation was made: {told:?}"
    );
    // Whatever came of it, the store goes on.
    let again = bench.store.create(&draft, &admission).await;
    let there = bench.get(2).await;
    assert_eq!(there.history.len(), 2, "the emergency is whole: {again:?}");
}
