//! The log: what has been changed, in its order.

use super::Subject;
use super::ground::*;
use crate::engine::{Record, Snapshot};
use crate::version::Version;

/// Changes of several records, in several steps, each with the version that it made.
async fn changed<S: Subject>(ground: &Ground<S>) -> Vec<(Version, u64)> {
    let mut made = Vec::new();
    for bits in 1..=3 {
        made.push((ground.add(note(bits)).await.version(), bits));
    }
    for (bits, rank) in [(2, 1), (1, 2), (2, 3), (3, 4)] {
        ground.turn(if rank == 2 { -90 } else { 1 });
        made.push((ground.edit(bits, on("b", rank)).await.version(), bits));
    }
    let step = ground.done(|step| {
        let four = add(step, &note(4))?;
        let one = edit(step, 1, &off())?;
        let two = edit(step, 2, &off())?;
        Ok([four, one, two])
    });
    made.extend(
        step.await
            .iter()
            .map(|note| (note.version(), note.id.to_bits())),
    );
    made
}

/// Each change once, in the order in which they were made, over all records.
pub async fn changes_come_in_the_order_of_their_making<S: Subject>(ground: Ground<S>) {
    let made = changed(&ground).await;
    assert_eq!(
        ground.changes(None, usize::MAX).await,
        made,
        "all that was done"
    );
}

/// The record is given as it is now, not as it was.
pub async fn a_change_comes_with_its_record_as_it_is<S: Subject>(ground: Ground<S>) {
    let made = changed(&ground).await;
    let changes = ground
        .read(|view| view.changes_after(None, usize::MAX))
        .await;
    assert_eq!(changes.len(), made.len(), "each has its record");
    for (_, note) in changes {
        let now = ground.get(note.id.to_bits()).await;
        assert_eq!(Some(note), now, "as it is now");
    }
}

/// After each that there was, and after those that there never were.
pub async fn changes_go_on_after_any_version<S: Subject>(ground: Ground<S>) {
    let made = changed(&ground).await;
    for (place, (version, _)) in made.iter().enumerate() {
        let rest = ground.changes(Some(*version), usize::MAX).await;
        assert_eq!(rest, made[place + 1..], "those after it");
        let before = Version::from_nanos(version.as_nanos() - 1);
        let known = made.iter().any(|(version, _)| *version == before);
        let rest = ground.changes(Some(before), usize::MAX).await;
        assert_eq!(
            rest,
            made[place..],
            "also after one that {known:?} was there"
        );
    }
    let least = Version::from_nanos(i64::MIN);
    assert_eq!(
        ground.changes(Some(least), usize::MAX).await,
        made,
        "from the least"
    );
    let last = Version::from_nanos(i64::MAX);
    assert_eq!(
        ground.changes(Some(last), usize::MAX).await,
        [],
        "after the last"
    );
}

/// As many as are asked for, and none if none are.
pub async fn a_limit_of_changes_is_exact<S: Subject>(ground: Ground<S>) {
    let made = changed(&ground).await;
    for limit in 0..=made.len() + 1 {
        let first = ground.changes(None, limit).await;
        assert_eq!(first, made[..limit.min(made.len())], "the first {limit}");
        let after = ground.changes(Some(made[1].0), limit).await;
        let end = (2 + limit).min(made.len());
        assert_eq!(after, made[2..end], "{limit} after a version");
    }
}

/// Changes of what was removed are not among them; those of others are, before and after.
pub async fn what_is_removed_has_no_changes<S: Subject>(ground: Ground<S>) {
    let mut made = changed(&ground).await;
    ground.remove(2).await;
    made.retain(|(_, bits)| *bits != 2);
    assert_eq!(
        ground.changes(None, usize::MAX).await,
        made,
        "those of the others"
    );
    assert_eq!(
        ground.changes(None, 3).await,
        made[..3],
        "and as many as are wanted"
    );
    made.push((ground.edit(1, on("a", 1)).await.version(), 1));
    assert_eq!(
        ground.changes(None, usize::MAX).await,
        made,
        "and what comes then"
    );
}

/// A record that is made again under its id has no changes of the old one.
pub async fn what_is_made_again_has_its_new_changes<S: Subject>(ground: Ground<S>) {
    ground.add(note(1)).await;
    ground.edit(1, on("b", 1)).await;
    ground.remove(1).await;
    let made = [
        (ground.add(note(1)).await.version(), 1),
        (ground.edit(1, on("b", 1)).await.version(), 1),
    ];
    assert_eq!(
        ground.changes(None, usize::MAX).await,
        made,
        "the new ones alone"
    );
}
