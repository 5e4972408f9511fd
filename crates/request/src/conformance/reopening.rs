//! After a restart: everything that was answered is there, and goes on as if nothing had been.

use std::time::Duration;

use countersign_core::time::{CLOCK_TOLERANCE, JUMP, SETTLING_TIME};

use super::ground::*;
use crate::Page;
use crate::draft::Draft;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::transition::Status;

/// A request of each status, groups, notes and operations among them.
async fn day(ground: &Ground) {
    for (bits, status) in (1..).zip(Status::ALL) {
        ground.with_status(bits, status).await;
        ground.change(bits, &note("bob", "seen – 東京")).await;
    }
    ground.create(&draft_for(20, "pair")).await;
    let part = approve_for("pair", "carol").with_idempotency_key(operation(5));
    ground.change(20, &part).await;
    let pinned = Draft {
        policy: Some(digest(1)),
        ticket: Some("OPS-1".into()),
        idempotency_key: Some(operation(6)),
        ..draft_for(21, "pinned")
    };
    ground.create(&pinned).await;
    ground.change(21, &approve_for("pinned", "bob")).await;
    ground.create(&draft_for(22, "dev")).await;
    ground.change(22, &approve_by_rule("dev")).await;
}

/// Everything that a store shows it shows again after a restart.
pub async fn everything_is_there_after_a_restart(ground: Ground) {
    day(&ground).await;
    let before = ground.content().await;
    let ground = ground.reopened().await;
    assert_eq!(ground.content().await, before, "all is as it was");
    let ground = ground.reopened().await;
    assert_eq!(ground.content().await, before, "and after another restart");
}

/// Access, pinned or not, is found after a restart.
pub async fn access_is_found_after_a_restart(ground: Ground) {
    let until = ground.approved(1).await.access_until.expect("approved");
    let pinned = Draft {
        policy: Some(digest(1)),
        ..draft_for(2, "pinned")
    };
    ground.create(&pinned).await;
    ground.change(2, &approve_for("pinned", "bob")).await;
    let ground = ground.reopened().await;
    assert_eq!(ground.prod(until - NANOSECOND).await, Some(1), "to the end");
    assert_eq!(ground.prod(until).await, None, "and no longer");
    let found = ground.grant("pinned", Some(digest(1)), start()).await;
    assert_eq!(found, Some(2), "under its policy");
    assert_eq!(ground.grant("pinned", Some(digest(2)), start()).await, None);
}

/// Versions go on growing after a restart, though the clock stepped back meanwhile.
pub async fn versions_grow_across_a_restart(ground: Ground) {
    let last = ground.approved(1).await.updated_at;
    let ground = ground.reopened().await;
    ground.clock.step_back(HOUR * 100);
    let next = ground.create(&draft(2)).await;
    assert_eq!(
        next.updated_at.as_nanos(),
        last.as_nanos() + 2,
        "the correction has the next version, and the step the one after it"
    );
    assert_eq!(next.created_at, ground.now(), "when the clock says");
}

/// After a restart time stands still where it stood, within the tolerance.
pub async fn the_time_outlives_a_restart(ground: Ground) {
    let deadline = ground.create(&draft(1)).await.decide_by;
    ground.create(&draft(2)).await;
    ground.clock.set(deadline);
    ground.change(2, &cancel()).await;
    let ground = ground.reopened().await;
    ground.clock.step_back(CLOCK_TOLERANCE);
    let refusal = ground.refusal(1, &approve("bob")).await;
    demand!(refusal, Refusal::TooLate { .. }, "time stands still");
    let now = ground.store.now().await.expect("the time can be read");
    assert_eq!(now.at(), deadline, "time stands still");
    ground.clock.step_back(Duration::from_nanos(1));
    let approved = ground.change(1, &approve("bob")).await;
    assert_eq!(approved.changed_at(), ground.now(), "and is corrected");
}

/// What corrections before a restart have ended stays ended after it.
pub async fn corrections_outlive_a_restart(ground: Ground) {
    let pending = ground.create(&draft(1)).await;
    ground.approved_ahead(&pending, HOUR * 8).await;
    let from = ground.now() + HOUR * 8;
    let minutes = Duration::from_secs(600);
    ground.create(&draft(2)).await;
    let mut ground = ground.reopened().await;
    for corrects_again in [false, true] {
        if corrects_again {
            // Hours later, while it would be in force.
            ground.clock.set(from + minutes * 2);
            ground.change(2, &note("bob", "ahead")).await;
            ground.clock.step_back(minutes);
            ground.change(2, &note("bob", "corrected")).await;
            ground = ground.reopened().await;
        }
        let at = from + minutes;
        let granted = ground.at(at, ground.granted()).await;
        assert_eq!(granted.expect("a good clock"), None, "it has ended");
        assert_eq!(ground.list_expirable(at, 0).await, [1], "and can be marked");
    }
    let now = ground.store.now().await.expect("the time can be read");
    let made = now.correction().expect("the clock was corrected");
    assert_eq!(made.to, from + minutes, "the last correction is known");
}

/// A jump before a restart is known after it.
pub async fn a_jump_outlives_a_restart(ground: Ground) {
    ground.create(&draft(2)).await;
    ground.with_status(1, Status::Denied).await;
    ground.clock.advance(JUMP + Duration::from_nanos(1));
    ground.change(2, &cancel()).await;
    let ground = ground.reopened().await;
    let until = ground.now() + SETTLING_TIME;
    let result = ground.store.delete(id(1), None).await;
    demand!(result, Err(Error::ClockJumped { until: named }) if named == until, "it waits");
    ground.clock.set(until);
    assert!(ground.delete(1).await, "and no longer");
}

/// A version of what was deleted before a restart is not issued after it.
pub async fn versions_of_what_is_deleted_outlive_a_restart(ground: Ground) {
    ground.create(&draft(1)).await;
    let denied = ground.change(1, &deny("bob")).await.updated_at;
    ground.delete(1).await;
    let ground = ground.reopened().await;
    ground.clock.step_back(HOUR);
    let again = ground.create(&draft(1)).await.updated_at;
    assert!(
        again > denied,
        "a version is issued once, whatever is deleted"
    );
}

/// Operations are known after a restart, with their first results.
pub async fn operations_are_known_after_a_restart(ground: Ground) {
    let created = ground.create(&draft_in(1, 1)).await;
    let deny = deny("bob").with_idempotency_key(operation(2));
    let denied = ground.change(1, &deny).await;
    ground.change(1, &note("bob", "sorry")).await;
    let ground = ground.reopened().await;
    let repeated = ground.without_trace(ground.create(&draft_in(1, 1))).await;
    assert_eq!(repeated, created, "a creation is known");
    let call = ground.try_update(1, created.updated_at, &deny);
    let repeated = ground
        .without_trace(call)
        .await
        .expect("a repeat is answered");
    assert_eq!(repeated, denied, "a change is known");
    let result = ground.try_create(&draft_in(2, 2)).await;
    demand!(
        result,
        Err(Error::IdempotencyKeyReused { .. }),
        "and a reuse is refused"
    );
}

/// The optimistic lock goes on across a restart.
pub async fn the_lock_outlives_a_restart(ground: Ground) {
    let stale = ground.create(&draft(1)).await.updated_at;
    let read = ground.change(1, &note("bob", "seen")).await.updated_at;
    let ground = ground.reopened().await;
    let result = ground.try_update(1, stale, &approve("bob")).await;
    demand!(result, Err(Error::Conflict(conflict)) if conflict.actual == read, "what was stale is stale");
    let result = ground.try_update(1, read, &approve("bob")).await;
    assert!(result.is_ok(), "what was read before can be changed after");
}

/// The stream of changes goes on from a version of before a restart.
pub async fn changes_go_on_across_a_restart(ground: Ground) {
    ground.approved(1).await;
    let before = ground.changes(None, 0).await;
    let after = before.last().map(|changed| changed.version);
    let ground = ground.reopened().await;
    assert_eq!(ground.changes(None, 0).await, before, "all that was told");
    assert!(ground.changes(after, 0).await.is_empty(), "nothing is new");
    ground.clock.step_back(HOUR);
    let revoked = ground.change(1, &revoke("bob")).await;
    let told = ground.changes(after, 0).await;
    assert_eq!(told.len(), 1, "what came since, once");
    assert_eq!(told[0].version, revoked.updated_at, "what came since");
}

/// Pages go on from a cursor of before a restart.
pub async fn pages_go_on_across_a_restart(ground: Ground) {
    ground.create_many(5).await;
    let mut cursors = Vec::new();
    for pages in Pages::of_pending() {
        let first = ground.page(&pages, Page::first(2)).await;
        cursors.push((pages, first.next.expect("there is more")));
    }
    let ground = ground.reopened().await;
    for (pages, next) in cursors {
        assert_eq!(
            ground.ids(&pages, Page::after(next, 0)).await,
            pages.ordered((1..=5).collect::<Vec<_>>())[2..],
            "{pages:?}: the page goes on after its place"
        );
    }
}

/// What was deleted before a restart stays deleted.
pub async fn what_is_deleted_stays_deleted(ground: Ground) {
    ground.with_status(1, Status::Denied).await;
    ground.create(&draft(2)).await;
    ground.delete(1).await;
    let ground = ground.reopened().await;
    let result = ground.store.get(id(1)).await;
    demand!(result, Err(Error::NotFound { .. }), "it cannot be read");
    assert_eq!(
        ground.listed(Status::Pending).await,
        [2],
        "and the rest is there"
    );
    assert_eq!(ground.changes(None, 0).await.len(), 1, "and its changes");
}
