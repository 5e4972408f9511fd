//! In which order what is read is read, and how much of it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Subject;
use super::ground::*;
use crate::engine::{Cursor, List, Listing, Page, Pick, Range, Rank, Reads, Start};

/// Highest rank first, then smallest id.
pub async fn the_highest_rank_comes_first<S: Subject>(ground: Ground<S>) {
    for (bits, rank) in [(5, 1), (2, 3), (4, 1), (1, 2), (3, 1), (6, 0)] {
        ground.add(note(bits).at(on("a", rank))).await;
    }
    assert_eq!(
        ground.ids(shelf("a")).await,
        [2, 1, 3, 4, 5, 6],
        "rank, then id"
    );
    assert_eq!(
        ground.ids(Key::Queue).await,
        [6, 3, 4, 5, 1, 2],
        "turned, and then id"
    );
    assert_eq!(
        ground.ids(Key::All).await,
        [6, 3, 1, 4, 2, 5],
        "newest first"
    );
}

/// Ids are numbers of 64 bits without a sign, and order as such.
pub async fn ids_have_no_sign<S: Subject>(ground: Ground<S>) {
    let ids = [0, 1, 9, 10, 255, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX];
    for bits in ids.into_iter().rev() {
        ground.add(note(bits)).await;
    }
    assert_eq!(ground.ids(shelf("a")).await, ids, "smallest first");
    for bits in ids {
        let found = ground.get(bits).await.map(|note| note.id);
        assert_eq!(found, Some(id(bits)), "each is found");
    }
    let range = Range::after(Rank::from_i64(0), id((1 << 63) - 1));
    let rest = ground.look(shelf("a"), range).await;
    assert_eq!(rest.count, 2, "and goes on after the middle");
}

/// A rank may be any number, and a range may begin and end at each.
pub async fn ranks_go_to_both_ends<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    let ranks = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    for (bits, rank) in (1..).zip(ranks) {
        expected.put(ground.add(note(bits).at(on("a", rank))).await);
    }
    for key in [shelf("a"), Key::Queue] {
        for range in ranges(ranks.into_iter().zip(1..)) {
            let look = ground.look(key.clone(), range).await;
            assert_eq!(look, expected.look(&key, &range), "{key:?} {range:?}");
        }
    }
}

/// Every range that begins at or after one of these places, and ends above one of these ranks.
fn ranges(places: impl Iterator<Item = (i64, u64)>) -> Vec<Range<NoteId>> {
    let places: Vec<_> = places
        .map(|(rank, bits)| (Rank::from_i64(rank), id(bits)))
        .collect();
    let mut starts = vec![Start::First];
    for (rank, id) in &places {
        starts.extend([Start::At(*rank), Start::After(*rank, *id)]);
    }
    let floors: BTreeSet<_> = places.iter().map(|(rank, _)| Some(*rank)).collect();
    let floors: Vec<_> = floors.into_iter().chain([None]).collect();
    let with = |start: &Start<NoteId>| {
        floors
            .iter()
            .map(|above| Range {
                start: *start,
                above: *above,
            })
            .collect::<Vec<_>>()
    };
    starts.iter().flat_map(with).collect()
}

/// Wherever it begins and ends: what is scanned, counted, found and picked is what is in it.
pub async fn a_range_has_two_ends<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    let places = [(3, 1), (3, 4), (2, 2), (0, 3), (0, 5), (0, 6), (-2, 7)];
    for (rank, bits) in places {
        expected.put(ground.add(note(bits).at(on("a", rank))).await);
        expected.put(ground.add(note(bits + 20).at(on("b", rank))).await);
    }
    for range in ranges(places.into_iter()) {
        let look = ground.look(shelf("a"), range).await;
        assert_eq!(look, expected.look(&shelf("a"), &range), "{range:?}");
    }
}

/// A range goes on after a place or at a rank at which there is nothing.
pub async fn a_place_need_not_be_there<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    for (bits, rank) in [(2, 4), (4, 4), (6, 2), (8, 0)] {
        expected.put(ground.add(note(bits).at(on("a", rank))).await);
    }
    let between = (-1..=5).flat_map(|rank| [0, 3, 5, 9, u64::MAX].map(|bits| (rank, bits)));
    for range in ranges(between) {
        let look = ground.look(shelf("a"), range).await;
        assert_eq!(look, expected.look(&shelf("a"), &range), "{range:?}");
    }
}

/// Nothing is given to a scan that has broken off.
pub async fn a_scan_ends_when_it_is_told<S: Subject>(ground: Ground<S>) {
    for bits in 1..=5 {
        ground.add(note(bits)).await;
    }
    for wanted in 1..=5 {
        let seen = ground.read(move |view| {
            let mut seen = 0;
            view.scan(&shelf("a"), Range::all(), wanted, |_, _| {
                seen += 1;
                match seen < wanted {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
            Ok(seen)
        });
        assert_eq!(seen.await, wanted, "it is called until it breaks off");
    }
}

/// How many are expected to be looked at changes no answer.
pub async fn want_changes_nothing<S: Subject>(ground: Ground<S>) {
    for bits in 1..=40 {
        ground.add(note(bits)).await;
    }
    for want in [0, 1, 16, 39, 40, 41, usize::MAX] {
        let seen = ground.read(move |view| {
            let mut seen = Vec::new();
            view.scan(&shelf("a"), Range::all(), want, |_, note| {
                seen.push(note.id.to_bits());
                ControlFlow::Continue(())
            })?;
            Ok(seen)
        });
        let all: Vec<u64> = (1..=40).collect();
        assert_eq!(seen.await, all, "all are scanned where {want} are wanted");
    }
}

/// What a scan has come to may be a reason to read something else.
pub async fn a_scan_can_read_on<S: Subject>(ground: Ground<S>) {
    for bits in 1..=3 {
        ground.add(note(bits).sealed("s")).await;
        ground.add(note(bits + 10).at(on("b", 0))).await;
    }
    let read = ground.read(|view| {
        let mut read = Vec::new();
        view.scan(&shelf("a"), Range::all(), 3, |_, note| {
            let other = view.get(&id(note.id.to_bits() + 10));
            let count = view.count(&shelf("b"), Range::all());
            let mut first = None;
            let scan = view.scan(&shelf("b"), Range::all(), 1, |_, note| {
                first = Some(note.id.to_bits());
                ControlFlow::Break(())
            });
            let holder = view.holder(&seal("s"));
            let note = other.map(|note| note.map(|note| note.id.to_bits()));
            read.push((note, count, scan.map(|()| first), holder));
            ControlFlow::Continue(())
        })?;
        let read = read.into_iter();
        read.map(|(note, count, first, holder)| Ok((note?, count?, first?, holder?)))
            .collect()
    });
    let read: Vec<_> = read.await;
    let one = |bits| (Some(bits), 3, Some(11), Some(id(3)));
    assert_eq!(read, [one(11), one(12), one(13)], "each sees all of it");
}

/// A list that is longer than what anybody reads ahead.
pub async fn many_are_read_in_order<S: Subject>(ground: Ground<S>) {
    let mut expected = Expected::default();
    let made = ground.done(|step| {
        let drafts =
            (1..=300_u64).map(|bits| note(bits).at(on("a", i64::try_from(bits % 7).unwrap_or(0))));
        drafts
            .map(|draft| add(step, &draft))
            .collect::<Result<Vec<_>, _>>()
    });
    made.await.into_iter().for_each(|note| expected.put(note));
    for rank in [7, 6, 3, 0, -1] {
        let range = Range::starting_at(Rank::from_i64(rank));
        let look = ground.look(shelf("a"), range).await;
        assert_eq!(
            look,
            expected.look(&shelf("a"), &range),
            "from rank {rank} on"
        );
    }
}

/// The records of several keys come in one order, however many each has.
pub async fn several_keys_are_merged_in_one_order<S: Subject>(ground: Ground<S>) {
    let made = ground.done(|step| {
        let drafts = (1..=90_u64).map(|bits| {
            let shelf = ["a", "a", "a", "a", "b", "s"][usize::try_from(bits % 6).unwrap_or(0)];
            note(bits).at(on(shelf, i64::try_from(bits / 4).unwrap_or(0)))
        });
        drafts
            .map(|draft| add(step, &draft))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut places: Vec<_> = made
        .await
        .iter()
        .map(|note| {
            let last = note.last().expect("it has been made");
            (std::cmp::Reverse(last.rank), note.id, last.shelf.clone())
        })
        .collect();
    places.sort();
    for (names, limit) in [
        (&["a", "b", "s"][..], usize::MAX),
        (&["b", "a"], 40),
        (&["s", "none"], 5),
        (&[], 5),
    ] {
        let keys: Vec<_> = names.iter().map(|name| shelf(name)).collect();
        let merged = ground
            .read(move |view| view.merged(&keys, Range::all(), limit))
            .await;
        let found: Vec<_> = merged.iter().map(|note| note.id).collect();
        let is_in =
            |shelf: &Option<String>| names.iter().any(|name| shelf.as_deref() == Some(name));
        let expected = places
            .iter()
            .filter(|(_, _, shelf)| is_in(shelf))
            .take(limit);
        let expected: Vec<_> = expected.map(|(_, id, _)| *id).collect();
        assert_eq!(found, expected, "{names:?} in one order");
    }
}

/// Notes, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Notes {}

impl List for Notes {
    const NAME: &'static str = "notes";
}

/// Pages hold each record once, and the last says that it is the last.
pub async fn pages_meet<S: Subject>(ground: Ground<S>) {
    for bits in 1..=10 {
        ground.add(note(bits)).await;
    }
    for limit in [1, 3, 5, 9, 10, 11] {
        let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = Page { limit, after };
            let listing: Listing<Note, NoteId, Notes> = ground
                .read(move |view| {
                    let place = |note: &Note| Cursor::at_version(note.created, note.id);
                    let range = Range::after_cursor(page.after, Cursor::descending);
                    view.page(&Key::All, range, &page, |_| Pick::Take, place)
                })
                .await;
            seen.extend(
                listing
                    .items
                    .iter()
                    .map(|note: &Arc<Note>| note.id.to_bits()),
            );
            assert!(
                listing.items.len() <= limit && seen.len() <= 10,
                "no page is too long"
            );
            after = listing.next;
            pages += 1;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(
            seen,
            (1..=10).rev().collect::<Vec<_>>(),
            "in pages of {limit}"
        );
        assert_eq!(
            pages,
            10_usize.div_ceil(limit),
            "the last is known to be the last"
        );
    }
}
