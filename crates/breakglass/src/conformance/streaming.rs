//! `changes_after`: every change once, in the order of its making.

use countersign_core::version::Version;

use super::bench::*;
use crate::admission::Admission;
use crate::history::Action;
use crate::store::Changed;

fn told(changes: &[Changed]) -> Vec<(u64, Action)> {
    let tell = |change: &Changed| (change.emergency.id.to_bits(), change.entry.action);
    changes.iter().map(tell).collect()
}

/// Creations and changes of all emergencies come in the order in which they were made.
pub(super) async fn changes_come_in_the_order_of_their_making(bench: Bench) {
    bench.begin(9, "alice", "prod").await;
    bench.begin(1, "bob", "prod").await;
    bench.made(9, &note("dave", "a note")).await;
    bench.made(1, &close("bob", "prod")).await;
    bench.begin(5, "bob", "prod").await;
    let changes = bench.changes(None).await;
    let expected = [
        (9, Action::Created),
        (1, Action::Created),
        (9, Action::Noted),
        (1, Action::Closed),
        (5, Action::Created),
    ];
    assert_eq!(told(&changes), expected);
    let versions: Vec<Version> = changes.iter().map(|change| change.version).collect();
    assert!(
        versions.is_sorted_by(|a, b| a < b),
        "versions grow: {versions:?}"
    );
}

/// A change comes with its entry and with the emergency as it is now, which tells how it was then.
pub(super) async fn a_change_comes_with_entry_and_emergency(bench: Bench) {
    let first = bench.begin(1, "alice", "prod").await;
    let noted = bench
        .made(1, &note("bob", "a note").with_idempotency_key(operation(3)))
        .await;
    let closed = bench.made(1, &close("alice", "prod")).await;
    let changes = bench.changes(None).await;
    assert_eq!(changes.len(), 3, "one for each change");
    for (change, result) in changes.iter().zip([first, noted, closed.clone()]) {
        assert_eq!(change.version, result.updated_at);
        assert_eq!(
            Some(&change.entry),
            result.history.last(),
            "who did what, when and why"
        );
        assert_eq!(change.emergency, closed, "the emergency as it is now");
        assert_eq!(
            change.emergency.as_of(change.version),
            Some((*result).clone())
        );
    }
}

/// A reader who continues after the last version that it got sees each change exactly once.
pub(super) async fn a_reader_sees_each_change_once(bench: Bench) {
    for bits in 1..=5 {
        bench.begin(bits, "alice", &format!("prod-{bits}")).await;
        bench.made(bits, &note("bob", "a note")).await;
    }
    let all = bench.changes(None).await;
    assert_eq!(all.len(), 10);
    for limit in [1, 3, 10, 11] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let changes = bench.store.changes_after(after, limit).await.unwrap();
            assert!(changes.len() <= limit, "no more than the limit");
            let Some(last) = changes.last() else {
                break;
            };
            after = Some(last.version);
            seen.extend(changes);
            assert!(seen.len() <= 10, "a change was given twice");
        }
        assert_eq!(seen, all, "with limit {limit}");
    }
}

/// What the reader has seen to the end continues with what is made next, and with nothing before.
pub(super) async fn a_reader_continues_with_what_is_made_next(bench: Bench) {
    let last = bench.begin(1, "alice", "prod").await.updated_at;
    assert_eq!(bench.changes(Some(last)).await, [], "nothing since");
    let far = Version::from_nanos(i64::MAX);
    assert_eq!(bench.changes(Some(far)).await, [], "nothing after the end");
    let early = Version::from_nanos(i64::MIN);
    assert_eq!(
        bench.changes(Some(early)).await.len(),
        1,
        "everything after the beginning"
    );
    bench.clock.step_back(HOUR);
    bench.made(1, &note("bob", "a note")).await;
    assert_eq!(told(&bench.changes(Some(last)).await), [(1, Action::Noted)]);
    bench.clock.advance(2 * HOUR);
    let between = Version::from_nanos(last.as_nanos() + 2);
    bench.made(1, &note("bob", "another")).await;
    let rest = bench.changes(Some(between)).await;
    assert_eq!(
        told(&rest),
        [(1, Action::Noted)],
        "after a version that nothing has"
    );
}

/// What one creation changes besides is there too: the override, and the expiry of what it
/// replaced.
pub(super) async fn everything_that_a_creation_changes_is_told(bench: Bench) {
    let first = bench.begin_short(1, "alice", "prod").await.updated_at;
    let admission = Admission::new(&reviewed_first(), &unlimited(), &profile("prod"));
    let admission = admission.with_review_override(&user("carol"), "they are asleep");
    bench
        .store
        .create(&draft(2, "alice", "prod"), &admission)
        .await
        .unwrap();
    let mut told = told(&bench.changes(Some(first)).await);
    told.sort_by_key(|(bits, action)| (*bits, *action == Action::Overridden));
    let expected = [
        (1, Action::Expired),
        (2, Action::Created),
        (2, Action::Overridden),
    ];
    assert_eq!(told, expected, "each change once");
}

/// Calls that failed and calls that were repeated are no changes.
pub(super) async fn what_changes_nothing_is_not_told(bench: Bench) {
    let mut draft = draft(1, "alice", "prod");
    draft.idempotency_key = Some(operation(1));
    bench.create(&draft, &unlimited()).await.unwrap();
    bench.create(&draft, &unlimited()).await.unwrap();
    draft.idempotency_key = None;
    assert!(
        bench.create(&draft, &unlimited()).await.is_err(),
        "the id is taken"
    );
    assert!(
        bench
            .change(1, &crate::change::Change::expire())
            .await
            .is_err(),
        "it is not over"
    );
    assert_eq!(told(&bench.changes(None).await), [(1, Action::Created)]);
}

/// What is deleted takes its changes with it; the reader goes on with the others.
pub(super) async fn what_is_deleted_takes_its_changes(bench: Bench) {
    let first = bench.begin(2, "bob", "prod").await.updated_at;
    let gone = bench.begin_reviewed(1, "alice", "prod").await.updated_at;
    bench.delete(1).await;
    assert_eq!(told(&bench.changes(None).await), [(2, Action::Created)]);
    bench.made(2, &note("bob", "a note")).await;
    for after in [first, gone] {
        let rest = bench.changes(Some(after)).await;
        assert_eq!(
            told(&rest),
            [(2, Action::Noted)],
            "after a version that is there or is gone"
        );
    }
}
