//! What becomes of a record: that it is kept as it is, and found by what it says of itself.

use super::Subject;
use super::ground::*;

/// A new engine has nothing, of whatever is asked.
pub async fn an_empty_engine_has_nothing<S: Subject>(ground: Ground<S>) {
    ground.assert_has(&Expected::default()).await;
    assert!(
        ground.now().await.correction().is_none(),
        "not even of the clock"
    );
}

/// Texts to the character, times to the nanosecond, numbers to their ends.
pub async fn a_record_is_kept_whole<S: Subject>(ground: Ground<S>) {
    let texts = [
        "",
        " ",
        "seen – 東京 🗝",
        "a\"b'c\\d\u{0}e\nf",
        &"long ".repeat(2_000),
    ];
    let mut expected = Expected::default();
    for ((bits, text), rank) in (0..).zip(texts).zip([0, 1, -1, i64::MIN, i64::MAX]) {
        ground.turn(1);
        let draft = note(bits)
            .by(text)
            .sealed(text)
            .at(on(text, rank).saying(text));
        expected.put(ground.add(draft).await);
    }
    expected.put(ground.add(note(9)).await);
    expected.put(ground.add(note(u64::MAX)).await);
    let many = ground.done(|step| {
        let mut made = note(10).made(stamp(step)?);
        for _ in 0..100 {
            made = made.edited(&off(), stamp(step)?);
        }
        Ok(crate::engine::Transaction::put(step, made))
    });
    expected.put(many.await);
    ground.assert_has(&expected).await;
    for (bits, text) in (0..).zip(texts) {
        for key in [Key::Author, Key::Shelf, Key::Text, Key::Seal] {
            assert_eq!(
                ground.ids(key(text.to_owned())).await,
                [bits],
                "found by {text:?}"
            );
        }
    }
    let last = ground.get(u64::MAX).await;
    assert_eq!(
        last,
        expected.notes.get(&id(u64::MAX)).cloned(),
        "so is the last id"
    );
}

/// A record that is put again is where its new version says, and nowhere else.
pub async fn a_put_moves_a_record<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    expected.put(ground.add(note(1).at(on("a", 5))).await);
    expected.put(ground.add(note(2).at(on("a", 4))).await);
    for place in [
        on("b", 5),
        on("b", 3),
        on("a", 3),
        off(),
        on("a", 4),
        on("a", 4),
    ] {
        expected.put(ground.edit(1, place).await);
        ground.assert_has(&expected).await;
    }
}

/// Neither by its id nor by a key nor in the log.
pub async fn a_removed_record_is_found_nowhere<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    for bits in 1..=3 {
        expected.put(ground.add(note(bits).sealed("s")).await);
    }
    expected.put(ground.edit(2, on("b", 7)).await);
    ground.remove(2).await;
    expected.remove(2);
    ground.assert_has(&expected).await;
}

/// A record with several keys of one kind is found by each, at the same place.
pub async fn a_record_is_found_by_each_of_its_keys<S: Subject>(ground: Ground<S>) {
    ground.add(note(1).at(on("a", 0).saying("one"))).await;
    ground.add(note(2).at(on("a", 0).saying("two"))).await;
    for text in ["two", "three", "two", "one"] {
        ground.edit(1, on("a", 0).saying(text)).await;
    }
    let text = |text: &str| Key::Text(text.to_owned());
    assert_eq!(ground.ids(text("one")).await, [1], "by what it said first");
    assert_eq!(ground.ids(text("three")).await, [1], "by what it said once");
    assert_eq!(
        ground.ids(text("two")).await,
        [2, 1],
        "in order with others"
    );
}

/// A key is found exactly, and not as another of its kind or of another kind.
pub async fn keys_are_told_apart<S: Subject>(ground: Ground<S>) {
    let names = [
        "", "a", "ab", "A", "a b", "a,b", "a\"", "a\u{0}", "a\u{0}b", "\u{e4}", "a\u{308}",
    ];
    for (bits, name) in (0..).zip(names) {
        ground
            .add(
                note(bits)
                    .by(name)
                    .at(on(name, 0).saying(name))
                    .sealed(name),
            )
            .await;
    }
    ground.add(note(20).by("only").at(on("shelf", 0))).await;
    for (bits, name) in (0..).zip(names) {
        for key in [Key::Author, Key::Shelf, Key::Text, Key::Seal] {
            assert_eq!(
                ground.ids(key(name.to_owned())).await,
                [bits],
                "exactly {name:?}"
            );
        }
        assert_eq!(
            ground.holder(seal(name)).await,
            Some(bits),
            "exactly {name:?}"
        );
    }
    for key in [Key::Shelf, Key::Text, Key::Seal] {
        assert_eq!(
            ground.ids(key("only".into())).await,
            [0; 0],
            "an author is nothing else"
        );
    }
    assert_eq!(
        ground.ids(Key::Author("shelf".into())).await,
        [0; 0],
        "nor is a shelf"
    );
}

/// The id of what was removed can be taken, and nothing of the old record is left in the new.
pub async fn a_removed_id_begins_anew<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    expected.put(ground.add(note(1).sealed("s")).await);
    ground.edit(1, on("b", 1)).await;
    ground.remove(1).await;
    expected.remove(1);
    expected.put(ground.add(note(1).by("bob").sealed("a")).await);
    ground.assert_has(&expected).await;
}
