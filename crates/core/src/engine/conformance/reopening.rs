//! After a restart: everything that was answered is there, and goes on as if nothing had been.

use super::Subject;
use super::ground::*;
use crate::engine::Record;
use crate::time::Now;

async fn day<S: Subject>(ground: &Ground<S>) -> Expected {
    let mut expected = Expected::default();
    for bits in 1..=5 {
        ground.turn(7);
        expected.put(
            ground
                .add(note(bits).sealed(NAMES[usize::try_from(bits).unwrap_or(0)]))
                .await,
        );
    }
    expected.put(ground.edit(2, on("b", 4)).await);
    expected.put(ground.edit(3, off()).await);
    ground.remove(4).await;
    expected.remove(4);
    expected
}

async fn looked_at<S: Subject>(ground: &Ground<S>) -> Now {
    ground
        .done(|step| Ok(crate::engine::Transaction::now(step)))
        .await
}

/// Records, what they are found by, holders and log.
pub async fn everything_is_there_after_reopening<S: Subject>(ground: Ground<S>) {
    let expected = day(&ground).await;
    let ground = ground.reopened().await;
    ground.assert_has(&expected).await;
    let ground = ground.reopened().await;
    ground.assert_has(&expected).await;
}

/// What was removed is not there again, and holds what outlasts it.
pub async fn what_is_removed_stays_removed<S: Subject>(ground: Ground<S>) {
    ground.add(note(1).sealed("s")).await;
    ground.add(note(2)).await;
    let ground = ground.reopened().await;
    ground.remove(1).await;
    let ground = ground.reopened().await;
    assert_eq!(ground.get(1).await, None, "it is gone");
    assert_eq!(ground.ids(Key::All).await, [2], "from every list");
    assert_eq!(
        ground.holder(seal("s")).await,
        Some(1),
        "and holds its seal"
    );
}

/// No version is issued again, not even of what was removed last.
pub async fn versions_go_on_after_reopening<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    ground.turn(3_600);
    let last = ground.add(note(2)).await.version();
    ground.remove(2).await;
    ground.turn(-3_600);
    let ground = ground.reopened().await;
    let next = ground.add(note(3)).await.version();
    assert!(
        next.as_nanos() > last.as_nanos() + 1,
        "it is later than the removal"
    );
}

/// Whoever has read up to a version reads on after it.
pub async fn changes_go_on_after_reopening<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    ground.edit(1, on("b", 1)).await;
    let last = ground.add(note(2)).await.version();
    let before = ground.changes(None, usize::MAX).await;
    let ground = ground.reopened().await;
    assert_eq!(
        ground.changes(None, usize::MAX).await,
        before,
        "all are there"
    );
    let next = ground.edit(1, on("a", 1)).await.version();
    assert_eq!(
        ground.changes(Some(last), usize::MAX).await,
        [(next, 1)],
        "and it goes on"
    );
}

/// Time stands still within the tolerance of what was before.
pub async fn the_last_time_outlives_reopening<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    let last = ground.time();
    ground.turn(-60);
    let ground = ground.reopened().await;
    assert_eq!(looked_at(&ground).await.at(), last, "for steps");
    assert_eq!(ground.now().await.at(), last, "and for snapshots");
    ground.turn(-1);
    let ground = ground.reopened().await;
    let found = looked_at(&ground).await.correction();
    assert_eq!(found.map(|found| found.from), Some(last), "and no further");
}

/// A correction is made once, whoever found it.
pub async fn a_correction_outlives_reopening<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    ground.turn(-7_200);
    let found = ground.now().await.correction();
    assert!(found.is_some(), "it is a correction");
    let ground = ground.reopened().await;
    let now = looked_at(&ground).await;
    assert_eq!(
        (now.correction(), now.makes_correction()),
        (found, None),
        "it stands"
    );
    let version = ground.add(note(2)).await.version();
    assert!(
        found.is_some_and(|found| found.version < version),
        "and its version is used"
    );
}

/// What a correction has ended for good stays ended, also after another.
pub async fn every_correction_outlives_reopening<S: Subject>(ground: Ground<S>) {
    ground.turn(86_400 * 20);
    let (ahead, granted) = (ground.time(), ground.add(note(1)).await.version());
    ground.turn(-86_400 * 10);
    ground.add(note(2)).await;
    ground.turn(2 * 3_600);
    let settled = ground.done(|step| {
        add(step, &note(3))?;
        Ok(crate::engine::Transaction::now(step))
    });
    assert!(
        settled.await.is_void(ahead, granted),
        "an hour later it is ended"
    );
    ground.turn(-86_400 * 5);
    ground.add(note(4)).await;
    let ground = ground.reopened().await;
    assert!(
        looked_at(&ground).await.is_void(ahead, granted),
        "it stays ended"
    );
    assert!(
        ground.now().await.is_void(ahead, granted),
        "for snapshots, too"
    );
}

/// Deletion waits for an hour after a jump, whatever happens meanwhile.
pub async fn a_jump_outlives_reopening<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    ground.turn(86_400 * 2);
    let jumped_at = Some(ground.time());
    assert_eq!(
        looked_at(&ground).await.jumped_at(),
        jumped_at,
        "it is a jump"
    );
    ground.turn(60);
    let ground = ground.reopened().await;
    assert_eq!(
        looked_at(&ground).await.jumped_at(),
        jumped_at,
        "it was then"
    );
}
