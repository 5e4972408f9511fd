//! Versions: what orders all that an engine has ever written.

use super::Subject;
use super::ground::*;
use crate::engine::{Record, Transaction};
use crate::time::LATEST;
use crate::version::Version;

fn assert_grows(versions: &[Version]) {
    let grows = versions.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(
        grows,
        "each version is later than the one before: {versions:?}"
    );
}

/// Versions grow over all records, also if no time passes.
pub async fn versions_grow_with_a_clock_that_stands_still<S: Subject>(ground: Ground<S>) {
    let mut versions = Vec::new();
    for bits in 1..=5 {
        versions.push(ground.add(note(bits)).await.version());
        versions.push(ground.edit(1, on("b", 1)).await.version());
    }
    assert_grows(&versions);
}

/// Versions grow if the clock steps back, by little or by much.
pub async fn versions_grow_with_a_clock_that_steps_back<S: Subject>(ground: Ground<S>) {
    let mut versions = vec![ground.add(note(1)).await.version()];
    for seconds in [-1, -60, -3_600, -86_400, 7, -8] {
        ground.turn(seconds);
        versions.push(ground.edit(1, on("a", seconds)).await.version());
    }
    assert_grows(&versions);
}

/// A version is the clock's time where that is later than all versions before.
pub async fn versions_follow_a_clock_that_goes_on<S: Subject>(ground: Ground<S>) {
    for bits in 1..=3 {
        ground.turn(5);
        let added = ground.add(note(bits)).await;
        let time = Version::of(ground.time()).expect("it is a time");
        assert_eq!(added.version(), time, "it is the clock's time");
    }
}

/// A version outlives its record.
pub async fn versions_of_what_is_removed_are_not_issued_again<S: Subject>(ground: Ground<S>) {
    ground.turn(3_600);
    let mut versions = vec![ground.add(note(1)).await.version()];
    ground.remove(1).await;
    ground.turn(-3_600);
    versions.push(ground.add(note(1)).await.version());
    ground.remove(1).await;
    versions.push(ground.add(note(2)).await.version());
    assert_grows(&versions);
    assert!(
        versions[2].as_nanos() > versions[1].as_nanos() + 1,
        "a removal has a version, too"
    );
}

/// A step that stamps several times gets several versions.
pub async fn the_stamps_of_a_step_grow<S: Subject>(ground: Ground<S>) {
    let versions = ground.done(|step| {
        let mut versions = Vec::new();
        for bits in 1..=3 {
            versions.push(add(step, &note(bits))?.created);
        }
        Ok(versions)
    });
    let mut versions = versions.await;
    versions.push(ground.add(note(4)).await.version());
    assert_grows(&versions);
}

/// What a failed step was given is given to the next.
pub async fn a_step_that_fails_uses_no_version_up<S: Subject>(ground: Ground<S>) {
    let last = ground.add(note(1)).await.version();
    for _ in 0..3 {
        let failed = ground.write(|step| {
            add(step, &note(2))?;
            add(step, &note(3))?;
            Err::<(), _>(Stop::Meant("it fails"))
        });
        assert!(failed.await.is_err(), "it fails");
    }
    let next = ground.add(note(2)).await.version();
    assert_eq!(
        next.as_nanos(),
        last.as_nanos() + 1,
        "the next version is the next"
    );
}

/// A clock that can be no time leaves versions to issue, and what it gives grants nothing.
pub async fn a_reading_that_is_no_time_leaves_versions<S: Subject>(ground: Ground<S>) {
    let (before, last) = (ground.time(), ground.add(note(1)).await.version());
    ground.clock.set(LATEST + chrono::TimeDelta::days(1));
    let (version, now) = ground
        .done(|step| Ok((add(step, &note(2))?.created, step.now())))
        .await;
    assert_eq!(version.as_nanos(), last.as_nanos() + 1, "it is no version");
    assert!(now.granting().is_err(), "and no time to grant anything by");
    assert_eq!(now.at(), before, "rules go on at the last time");
    ground.clock.set(before);
    let right = ground.add(note(3)).await.version();
    assert_eq!(
        right.as_nanos(),
        last.as_nanos() + 2,
        "and nothing is left of it"
    );
}
