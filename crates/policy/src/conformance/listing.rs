//! `list`: names in the order of their bytes, each once, whatever is put or deleted in between.

use std::sync::Arc;

use super::bench::*;
use crate::store::{Attribution, Expected, NamePage};

/// Names come in the order of their bytes, each with its current version.
pub(super) async fn names_come_in_the_order_of_their_bytes(bench: Bench) {
    for name in [
        "b",
        "a",
        "ä",
        "B",
        "a b",
        "z",
        "10",
        "9",
        "\u{10FFFD}",
        "\u{FFFD}",
    ] {
        bench.create(name, "alice").await;
    }
    let current = bench.next("a", "bob").await;
    let listing = bench.list(0, None).await;
    let expected = [
        "10",
        "9",
        "B",
        "a",
        "a b",
        "b",
        "z",
        "ä",
        "\u{FFFD}",
        "\u{10FFFD}",
    ];
    assert_eq!(names(&listing), expected);
    assert_eq!(listing.next, None, "there is no further page");
    assert_eq!(listing.items[3], current, "the current version is listed");
    assert_eq!(bench.list(0, Some("\u{10FFFD}")).await.items, []);
}

/// The pages hold each name once, and the last one says that it is the last.
pub(super) async fn pages_hold_every_name_once(bench: Bench) {
    let all = ["B", "a", "b", "c", "d", "ä"];
    for name in all {
        bench.create(name, "alice").await;
    }
    for limit in 1..=7 {
        let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let listing = bench.list(limit, after.as_deref()).await;
            assert!(
                listing.items.len() <= limit,
                "a page holds no more than its limit"
            );
            seen.extend(names(&listing).into_iter().map(str::to_owned));
            pages += 1;
            let last = listing.items.last().map(|stored| Arc::clone(&stored.name));
            after = listing.next;
            if after.is_none() {
                break;
            }
            assert_eq!(
                after, last,
                "the next page begins after the last name of this one"
            );
            assert!(pages < 10, "the pages never end");
        }
        assert_eq!(seen, all, "in pages of {limit}");
        assert_eq!(
            pages,
            all.len().div_ceil(limit),
            "no page is empty or missing"
        );
    }
}

/// Names put or deleted between two pages are in or out; all others are listed exactly once, the
/// name that the page begins after included.
pub(super) async fn names_that_come_and_go_harm_no_page(bench: Bench) {
    for name in ["b", "d", "f", "h"] {
        bench.create(name, "alice").await;
    }
    let first = bench.list(2, None).await;
    assert_eq!(
        (names(&first), first.next.as_deref()),
        (vec!["b", "d"], Some("d"))
    );
    let gone = bench.get("d").await.version;
    bench
        .store
        .delete("d", gone, &Attribution::NOBODY)
        .await
        .unwrap();
    for name in ["a", "c", "e"] {
        bench.create(name, "alice").await;
    }
    bench.next("b", "bob").await;
    let second = bench.list(2, first.next.as_deref()).await;
    assert_eq!(
        (names(&second), second.next.as_deref()),
        (vec!["e", "f"], Some("f"))
    );
    let third = bench.list(2, second.next.as_deref()).await;
    assert_eq!((names(&third), third.next.as_deref()), (vec!["h"], None));
}

/// The name that a page begins after need not be there, nor ever have been.
pub(super) async fn a_page_begins_after_any_name(bench: Bench) {
    for name in ["b", "d"] {
        bench.create(name, "alice").await;
    }
    for (after, expected) in [
        ("a", vec!["b", "d"]),
        ("a\u{10FFFD}", vec!["b", "d"]),
        ("b", vec!["d"]),
        ("b b", vec!["d"]),
        ("c", vec!["d"]),
        ("d", vec![]),
        ("e", vec![]),
    ] {
        assert_eq!(
            names(&bench.list(0, Some(after)).await),
            expected,
            "after `{after}`"
        );
    }
}

/// A page holds 100 names unless it says otherwise, and 1,000 at most.
pub(super) async fn a_page_of_0_is_100_and_none_is_above_1000(bench: Bench) {
    let policy = some("alice");
    for number in 0..1_001 {
        let name = format!("{number:04}");
        let put = bench.store.put(
            &name,
            Expected::Absent,
            Arc::clone(&policy),
            &Attribution::NOBODY,
        );
        put.await.unwrap();
    }
    for (limit, held) in [
        (0, 100),
        (1, 1),
        (999, 999),
        (1_000, 1_000),
        (1_001, 1_000),
        (usize::MAX, 1_000),
    ] {
        let page = NamePage { limit, after: None };
        let listing = bench.store.list(&page).await.unwrap();
        assert_eq!(listing.items.len(), held, "with limit {limit}");
        let last = listing.items.last().map(|stored| Arc::clone(&stored.name));
        assert_eq!(listing.next, last, "there is more");
    }
}

/// A deleted policy is not listed.
pub(super) async fn what_is_deleted_is_not_listed(bench: Bench) {
    let stored = bench.create("main", "alice").await;
    bench.create("other", "alice").await;
    bench
        .store
        .delete("main", stored.version, &Attribution::NOBODY)
        .await
        .unwrap();
    assert_eq!(names(&bench.list(0, None).await), ["other"]);
}
