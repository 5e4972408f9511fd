//! Versions: strictly growing over the whole store, whatever the clock does.

use super::ground::*;
use crate::error::Error;
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

/// With a clock that steps back versions go on growing, and times do not follow them.
pub async fn versions_grow_with_a_clock_that_steps_back(ground: Ground) {
    let first = ground.create(&draft(1)).await.updated_at.as_nanos();
    ground.clock.step_back(HOUR * 24 * 30);
    let second = ground.create(&draft(2)).await;
    let third = ground.change(2, &approve("bob")).await;
    assert_eq!(
        [second.updated_at, third.updated_at].map(Version::as_nanos),
        [first + 2, first + 3],
        "the correction of the clock has the next version, and each step the next after it"
    );
    assert_eq!(second.created, second.updated_at, "its place in lists");
    assert_eq!(second.created_at, ground.now(), "when the clock says");
    assert_eq!(third.changed_at(), ground.now(), "when the clock says");
    let until = Some(ground.now() + HOUR);
    assert_eq!(third.access_until, until, "access begins when it says");
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
