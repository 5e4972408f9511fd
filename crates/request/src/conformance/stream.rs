//! The stream of changes: complete, in order, each once.

use super::ground::*;
use crate::transition::Status;
use countersign_core::version::Version;

/// A day of several requests, with the version of each change in the order of the calls.
async fn day(ground: &Ground) -> Vec<Version> {
    let mut versions = Vec::new();
    for (bits, hours) in [(3, 0), (1, 0), (2, 2)] {
        ground.clock.advance(HOUR * hours);
        versions.push(ground.create(&draft(bits)).await.updated_at);
    }
    ground.clock.step_back(HOUR);
    for (bits, change) in [
        (1, approve("bob")),
        (3, note("bob", "seen")),
        (2, deny("carol")),
        (1, revoke("bob")),
        (3, cancel()),
        (2, note("bob", "sorry")),
    ] {
        versions.push(ground.change(bits, &change).await.updated_at);
    }
    versions
}

/// Every change is told once, in the order in which they were made.
pub async fn every_change_is_told_in_order(ground: Ground) {
    let versions = day(&ground).await;
    let told: Vec<_> = ground
        .changes(None, 0)
        .await
        .iter()
        .map(|c| c.version)
        .collect();
    assert_eq!(told, versions, "each change once, in order");
}

/// A change is told with its entry and with the request as it is now.
pub async fn a_change_is_told_with_its_request(ground: Ground) {
    day(&ground).await;
    for changed in ground.changes(None, 0).await {
        let request = ground.get(changed.request.id.to_bits()).await;
        assert_eq!(changed.request, request, "the request as it is now");
        assert_eq!(
            request.entry_at(changed.version),
            Some(&changed.entry),
            "the entry that the change left"
        );
        assert_eq!(changed.entry.to, changed.version, "at its version");
        let then = request.as_of(changed.version).expect("it had the version");
        assert_eq!(then.updated_at, changed.version, "and as it was then");
    }
}

/// From any version on, only what came after it.
pub async fn changes_go_on_from_any_version(ground: Ground) {
    let versions = day(&ground).await;
    let all = ground.changes(None, 0).await;
    for (place, version) in versions.iter().enumerate() {
        let told = ground.changes(Some(*version), 0).await;
        assert_eq!(told, all[place + 1..], "what came after, and not itself");
        let before = Version::from_nanos(version.as_nanos() - 1);
        let told = ground.changes(Some(before), 0).await;
        assert_eq!(told, all[place..], "what came after a version of nothing");
    }
    let told = ground.changes(Some(Version::from_nanos(i64::MIN)), 0).await;
    assert_eq!(told, all, "from the beginning of time");
    let told = ground.changes(Some(Version::from_nanos(i64::MAX)), 0).await;
    assert!(told.is_empty(), "nothing comes after the end of time");
}

/// In pieces of any size, every change once.
pub async fn changes_can_be_read_in_pieces(ground: Ground) {
    day(&ground).await;
    let all = ground.changes(None, 0).await;
    for limit in [1, 2, 4, 8, 9, 10] {
        let first = ground.changes(None, limit).await;
        assert_eq!(
            first,
            all[..limit.min(9)],
            "limit {limit}: the first so many"
        );
        assert_eq!(ground.all_changes(None, limit).await, all, "limit {limit}");
    }
}

/// What is deleted is told no longer; the rest, as before, also from its versions.
pub async fn changes_go_on_across_deletions(ground: Ground) {
    let versions = day(&ground).await;
    let mut left = ground.changes(None, 0).await;
    ground.delete(2).await;
    left.retain(|changed| changed.request.id != id(2));
    assert_eq!(ground.changes(None, 0).await, left, "the rest, as before");
    assert_eq!(ground.all_changes(None, 1).await, left, "in pieces too");
    let deleted = versions[2];
    let after: Vec<_> = left
        .iter()
        .filter(|c| c.version > deleted)
        .cloned()
        .collect();
    assert_eq!(
        ground.changes(Some(deleted), 0).await,
        after,
        "the version of what is deleted is a place to go on from"
    );
}

/// Calls that fail, repeats and deletions are no changes.
pub async fn only_changes_are_told(ground: Ground) {
    ground.create(&draft_in(1, 1)).await;
    ground.create(&draft_in(1, 1)).await;
    ground.with_status(2, Status::Denied).await;
    let _ = ground.try_create(&draft(1)).await;
    let _ = ground.try_change(1, &approve("mallory")).await;
    let _ = ground.store.delete(id(1), None).await;
    ground.delete(2).await;
    let told = ground.changes(None, 0).await;
    assert_eq!(told.len(), 1, "only what changed a request that is there");
}

/// A reader who is up to date is told what comes next, and nothing else.
pub async fn a_reader_is_told_what_comes_next(ground: Ground) {
    let mut after = None;
    for bits in 1..=5 {
        let created = ground.create(&draft(bits)).await;
        ground.clock.step_back(HOUR);
        let told = ground.changes(after, 0).await;
        assert_eq!(told.len(), 1, "what is new, and only that");
        assert_eq!(told[0].request, created, "the request that was created");
        after = Some(told[0].version);
        assert!(ground.changes(after, 0).await.is_empty(), "nothing is new");
    }
}
