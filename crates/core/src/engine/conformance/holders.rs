//! By what a record is found when it is there no more.

use super::Subject;
use super::ground::*;

/// While it is there, the record that has a key holds it.
pub async fn who_has_a_key_holds_it<S: Subject>(ground: Ground<S>) {
    ground.add(note(1).sealed("s")).await;
    ground.add(note(2)).await;
    assert_eq!(ground.holder(seal("s")).await, Some(1), "it has the seal");
    assert_eq!(ground.holder(seal("a")).await, None, "nobody has this one");
    assert_eq!(
        ground.holder(Key::Author("alice".into())).await,
        Some(2),
        "the first of a list"
    );
}

/// It holds it when it is removed.
pub async fn a_holder_outlasts_its_removal<S: Subject>(ground: Ground<S>) {
    for (bits, name) in [(1, "s"), (2, "a"), (3, "b")] {
        ground.add(note(bits).sealed(name)).await;
    }
    ground.remove(1).await;
    ground.remove(2).await;
    for (name, bits) in [("s", 1), ("a", 2), ("b", 3)] {
        assert_eq!(
            ground.holder(seal(name)).await,
            Some(bits),
            "it keeps {name}"
        );
    }
    assert_eq!(
        ground.ids(seal("s")).await,
        [0; 0],
        "but is not found by it"
    );
}

/// Keys of other kinds go with their record.
pub async fn what_does_not_outlast_is_held_by_nobody<S: Subject>(ground: Ground<S>) {
    ground.add(note(1).sealed("s")).await;
    ground.remove(1).await;
    for key in [
        Key::All,
        Key::Queue,
        shelf("a"),
        Key::Author("alice".into()),
        seal("alice"),
    ] {
        assert_eq!(
            ground.holder(key.clone()).await,
            None,
            "{key:?} went with it"
        );
    }
}

/// Of several that had a key, a present one holds it, and then the one that was removed last.
pub async fn who_takes_a_key_holds_it<S: Subject>(ground: Ground<S>) {
    ground.add(note(1).sealed("s")).await;
    ground.remove(1).await;
    ground.add(note(3).sealed("s")).await;
    assert_eq!(ground.holder(seal("s")).await, Some(3), "it is there");
    ground.add(note(2).sealed("s")).await;
    ground.remove(2).await;
    assert_eq!(ground.holder(seal("s")).await, Some(3), "it still is");
    ground.remove(3).await;
    assert_eq!(
        ground.holder(seal("s")).await,
        Some(3),
        "it was removed last"
    );
}
