//! The stream of changes, as whoever follows a store reads it.

use std::sync::Arc;

use countersign_core::clock::Clock;
use countersign_core::names::User;
use countersign_core::version::Version;

use super::bench::*;
use crate::store::{Attribution, Changed};

/// All changes, in pages of this many.
async fn followed(bench: &Bench, limit: usize) -> Vec<Changed> {
    let mut all: Vec<Changed> = Vec::new();
    loop {
        let page = bench.changes(all.last().map(Changed::version), limit).await;
        assert!(page.len() <= limit, "a page is no longer than was asked");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Every change comes once, in the order in which they were made, over all policies, in pages of any
/// size; after the last there is none.
pub(super) async fn changes_come_once_in_the_order_of_their_making(bench: Bench) {
    assert_eq!(bench.changes(None, 0).await, [], "nothing was changed");
    let mut put = Vec::new();
    for (number, name) in ["b", "a", "b", "c", "a", "b"].into_iter().enumerate() {
        match number {
            2 => bench.clock.step_back(NANO),
            4 => bench.clock.step_back(HOUR),
            _ => bench.clock.advance(NANO),
        }
        let stored = match put.iter().any(|(other, _)| *other == name) {
            true => bench.next(name, &format!("user {number}")).await,
            false => bench.create(name, "alice").await,
        };
        put.push((name, stored));
    }
    let told: Vec<_> = put
        .iter()
        .map(|(_, stored)| Changed::Put(Arc::clone(stored)))
        .collect();
    for limit in [1, 2, 5, 6, 7] {
        assert_eq!(followed(&bench, limit).await, told, "pages of {limit}");
    }
    let middle = told[2].version();
    assert_eq!(bench.changes(Some(off(middle, -1)), 1).await, told[2..3]);
    assert_eq!(bench.changes(Some(middle), 0).await, told[3..]);
    let last = told[5].version();
    for after in [last, Version::from_nanos(i64::MAX)] {
        assert_eq!(bench.changes(Some(after), 0).await, [], "after the last");
    }
}

/// A deletion is told in place of the versions that it took, with who made it and why; also once the
/// policy is put again, until it is deleted again.
pub(super) async fn a_deletion_is_a_change_until_the_next(bench: Bench) {
    bench.create("main", "alice").await;
    let second = bench.next("main", "bob").await;
    let other = bench.create("other", "alice").await;
    let by = Attribution::by(User::new("carol").unwrap())
        .with_reason("not needed any more")
        .with_ticket("OPS-4711");
    bench.clock.advance(HOUR);
    let at = bench.clock.now();
    bench
        .store
        .delete("main", second.version, &by)
        .await
        .unwrap();
    let changes = followed(&bench, 1).await;
    let [Changed::Put(kept), Changed::Removed(removal)] = &changes[..] else {
        panic!("the other policy and the deletion are told: {changes:?}");
    };
    assert_eq!(*kept, other);
    assert_eq!((&*removal.name, removal.at), ("main", at));
    assert_eq!(removal.attribution, by, "who deleted it, and why");
    assert_eq!(removal.replaces, Some(second.version), "the last version");
    assert!(removal.version > other.version, "after what was before");
    let removal = Changed::Removed(Arc::clone(removal));
    let again = bench.create("main", "alice").await;
    assert_eq!(again.replaces, None, "there was none");
    let told = [
        Changed::Put(other.clone()),
        removal,
        Changed::Put(Arc::clone(&again)),
    ];
    assert_eq!(bench.changes(None, 0).await, told);
    bench
        .store
        .delete("main", again.version, &Attribution::NOBODY)
        .await
        .unwrap();
    let changes = bench.changes(None, 0).await;
    assert!(
        matches!(&changes[..], [Changed::Put(_), Changed::Removed(removal)]
            if removal.replaces == Some(again.version) && removal.attribution.author.is_none()),
        "the last deletion is told: {changes:?}"
    );
}

/// Versions that are not kept are passed over; the current version of each policy never is.
pub(super) async fn what_is_there_is_never_passed_over(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let other = bench.create("other", "alice").await;
    for number in 0..102 {
        bench.next("main", &format!("user {number}")).await;
    }
    let changes = followed(&bench, 7).await;
    let mut versions = bench.versions("main").await;
    versions.reverse();
    let told: Vec<_> = [other]
        .into_iter()
        .chain(versions)
        .map(Changed::Put)
        .collect();
    assert_eq!(changes, told, "what is kept");
    let later = bench.changes(Some(first.version), 1).await;
    assert_eq!(later, told[..1], "from a place that is gone");
}

/// A limit of 0 means 100, and more than 1,000 means 1,000.
pub(super) async fn a_page_of_changes_of_0_is_100_and_none_is_above_1000(bench: Bench) {
    for number in 0..1_001 {
        bench.create(&format!("{number:04}"), "alice").await;
    }
    for (limit, given) in [
        (0, 100),
        (1, 1),
        (1_000, 1_000),
        (1_001, 1_000),
        (usize::MAX, 1_000),
    ] {
        let changes = bench.changes(None, limit).await;
        assert_eq!(changes.len(), given, "a limit of {limit}");
    }
}

/// Who follows goes on after a restart, where they were.
pub(super) async fn changes_go_on_after_reopening(bench: Bench) {
    let first = bench.create("main", "alice").await;
    let gone = bench.create("gone", "alice").await.version;
    bench
        .store
        .delete("gone", gone, &Attribution::NOBODY)
        .await
        .unwrap();
    let before = bench.changes(None, 0).await;
    let bench = bench.reopen().await;
    bench.clock.step_back(HOUR);
    assert_eq!(bench.changes(None, 0).await, before);
    let place = before.last().map(Changed::version);
    let second = bench.replace("main", first.version, "bob").await.unwrap();
    assert_eq!(bench.changes(place, 0).await, [Changed::Put(second)]);
}
