//! Versions: strictly growing over the whole store, whatever the clock does.

use chrono::DateTime;

use super::ground::*;
use crate::change::Change;
use crate::error::Error;
use crate::refusal::Refusal;
use crate::transition::Status;
use countersign_core::version::Version;

/// With a clock that stands still each version is the next nanosecond, over the whole store.
pub async fn versions_grow_with_a_clock_that_stands_still(ground: Ground) {
    let mut versions = Vec::new();
    for bits in 1..=3 {
        versions.push(ground.create(&draft(bits)).await.updated_at);
    }
    for bits in [2, 1, 3, 1] {
        versions.push(ground.change(bits, &note("bob", "seen")).await.updated_at);
    }
    let first = Version::of(start()).expect("a time of our days").as_nanos();
    let expected: Vec<_> = (first..first + 7).map(Version::from_nanos).collect();
    assert_eq!(
        versions, expected,
        "each version is the last and a nanosecond"
    );
}

/// With a clock that steps back versions go on growing, and times follow them.
pub async fn versions_grow_with_a_clock_that_steps_back(ground: Ground) {
    let first = ground.create(&draft(1)).await;
    ground.clock.step_back(HOUR * 24 * 365);
    let second = ground.create(&draft(2)).await;
    let third = ground.change(1, &approve("bob")).await;
    assert_eq!(
        second.created_at,
        first.created_at + NANOSECOND,
        "the next version is the last and a nanosecond, not the clock"
    );
    assert_eq!(third.updated_at.time(), second.created_at + NANOSECOND);
    assert_eq!(
        third.access_until,
        Some(third.updated_at.time() + HOUR),
        "access begins at the version's time"
    );
}

/// With a clock that goes on versions are its times.
pub async fn versions_follow_a_clock_that_goes_on(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.clock.step_back(HOUR);
    ground.change(1, &note("bob", "seen")).await;
    ground.clock.set(start() + HOUR);
    let later = ground.change(1, &note("bob", "seen again")).await;
    assert_eq!(
        later.updated_at.time(),
        ground.now(),
        "the clock is ahead again"
    );
}

/// The rules see the version's time, not the clock's: what was over stays over.
pub async fn rules_see_the_time_of_the_version(ground: Ground) {
    let created = ground.create(&draft(1)).await;
    let until = ground.approved(2).await.access_until.expect("approved");
    ground.clock.set(until.max(created.decide_by));
    ground.create(&draft(3)).await;
    ground.clock.set(start());
    let refusal = ground.refusal(1, &approve("bob")).await;
    demand!(
        refusal,
        Refusal::TooLate { .. },
        "a deadline that has passed has passed"
    );
    let refusal = ground.refusal(2, &revoke("bob")).await;
    demand!(
        refusal,
        Refusal::AccessOver { .. },
        "access that is over is over"
    );
    let expired = ground.change(1, &Change::expire()).await;
    assert_eq!(expired.status, Status::Expired, "and it can be marked");
    assert!(ground.delete(2).await, "what is over can be deleted");
}

/// A version is never issued again, not even those of deleted requests.
pub async fn versions_of_what_is_deleted_are_not_issued_again(ground: Ground) {
    ground.create(&draft(1)).await;
    let denied = ground.change(1, &deny("bob")).await;
    ground.delete(1).await;
    let again = ground.create(&draft(1)).await;
    assert!(
        again.updated_at > denied.updated_at,
        "a version is issued once, whatever is deleted"
    );
    let result = ground
        .try_update(1, denied.updated_at, &approve("bob"))
        .await;
    demand!(
        result,
        Err(Error::Conflict(_)),
        "the old version is stale for the new request"
    );
}

/// Where no version is left, the clock's error is given and nothing is changed.
pub async fn a_clock_at_its_end_is_an_error(ground: Ground) {
    ground.create(&draft(1)).await;
    ground.clock.set(DateTime::from_timestamp_nanos(i64::MAX));
    let last = ground.change(1, &note("bob", "the last")).await;
    assert_eq!(
        last.updated_at,
        Version::from_nanos(i64::MAX),
        "the last version"
    );
    ground.clock.set(start());
    let more = note("bob", "one more");
    let call = ground.try_change(1, &more);
    let result = ground.without_trace(call).await;
    demand!(
        result,
        Err(Error::Clock(_)),
        "no version is left for a change"
    );
    let result = ground.without_trace(ground.try_create(&draft(2))).await;
    demand!(
        result,
        Err(Error::Clock(_)),
        "no version is left for a creation"
    );
}
