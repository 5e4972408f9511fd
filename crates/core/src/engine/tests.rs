//! Tests of what every engine has from [`Reads`] and [`Transaction`], on one that has nothing else.

use std::cmp::Reverse;
use std::convert::Infallible;

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::table::{Table, View};

/// The key is what it is looked up by, with a rank of its own.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    id: u8,
    key: u8,
    rank: i64,
    written: Version,
}

impl Record for Item {
    type Id = u8;
    type Key = u8;

    fn id(&self) -> u8 {
        self.id
    }

    fn version(&self) -> Version {
        self.written
    }

    fn index(&self, entry: &mut dyn FnMut(u8, Rank)) {
        entry(self.key, Rank(self.rank));
    }

    fn least_id() -> u8 {
        0
    }
}

/// A view that has only what an engine must bring, and fails after so many records of a scan.
struct Plain<'a> {
    view: &'a View<Item>,
    fails_after: usize,
}

impl Reads<Item> for Plain<'_> {
    type Error = &'static str;

    fn get(&self, id: &u8) -> Result<Option<Arc<Item>>, Self::Error> {
        Ok(infallible(self.view.get(id)))
    }

    fn scan(
        &self,
        key: &u8,
        range: Range<u8>,
        want: usize,
        mut each: impl FnMut(Rank, &Arc<Item>) -> ControlFlow<()>,
    ) -> Result<(), Self::Error> {
        let mut left = self.fails_after;
        let mut failed = Ok(());
        infallible(self.view.scan(key, range, want, |rank, item| {
            let Some(rest) = left.checked_sub(1) else {
                failed = Err("the engine failed");
                return ControlFlow::Break(());
            };
            left = rest;
            each(rank, item)
        }));
        failed
    }

    fn count(&self, key: &u8, range: Range<u8>) -> Result<usize, Self::Error> {
        Ok(infallible(self.view.count(key, range)))
    }

    fn holder(&self, key: &u8) -> Result<Option<u8>, Self::Error> {
        Ok(infallible(self.view.holder(key)))
    }
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

fn table(items: &[(u8, i64)]) -> Table<Item> {
    let clock = ManualClock::at(DateTime::from_timestamp_nanos(1_000));
    let table = Table::new(Arc::new(clock));
    for (id, (key, rank)) in (0..).zip(items) {
        let put = table.write(|step| {
            let written = step.stamp()?.version;
            Ok::<_, ClockError>(step.put(Item {
                id,
                key: *key,
                rank: *rank,
                written,
            }))
        });
        put.unwrap();
    }
    table
}

fn ids(items: &[Arc<Item>]) -> Vec<u8> {
    items.iter().map(|item| item.id).collect()
}

/// Reads from a table as from any engine.
fn read<T>(table: &Table<Item>, read: impl FnOnce(&Plain<'_>) -> T) -> T {
    let fails_after = usize::MAX;
    table.read(|view| read(&Plain { view, fails_after }))
}

proptest! {
    /// Read ahead or at hand, sources of any length are merged in one order, from any place.
    #[test]
    fn what_is_merged_is_in_one_order_whatever_the_engine_reads_ahead(
        items in prop::collection::vec((0_u8..4, 0_i64..9), 0..120),
        keys in prop::collection::btree_set(0_u8..5, 0..5),
        place in prop::option::of((0_i64..9, 0_u8..120)),
        limit in 0_usize..60,
    ) {
        let keys = Vec::from_iter(keys);
        let range = match place {
            Some((rank, id)) => Range::after(Rank(rank), id),
            None => Range::all(),
        };
        let table = table(&items);
        let mut expected: Vec<_> = (0_u8..)
            .zip(&items)
            .filter(|(_, (key, _))| keys.contains(key))
            .map(|(id, (_, rank))| (Reverse(*rank), id))
            .filter(|at| place.is_none_or(|(rank, id)| *at > (Reverse(rank), id)))
            .collect();
        expected.sort();
        let expected: Vec<u8> = expected.into_iter().map(|(_, id)| id).take(limit).collect();
        let at_hand = table.read(|view| infallible(view.merged(&keys, range, limit)));
        let ahead = read(&table, |view| view.merged(&keys, range, limit).unwrap());
        prop_assert_eq!(&ids(&at_hand), &expected);
        prop_assert_eq!(&ids(&ahead), &expected);
    }
}

#[test]
fn a_read_that_fails_is_never_taken_for_the_end() {
    let table = table(&[(1, 5), (1, 4), (1, 3), (2, 4), (2, 2)]);
    for fails_after in 0..3 {
        table.read(|view| {
            let plain = Plain { view, fails_after };
            assert!(plain.merged(&[1, 2], Range::all(), 9).is_err());
            assert!(plain.merged(&[1], Range::all(), 9).is_err());
            assert!(plain.pick(&1, Range::all(), 9, |_| Pick::Take).is_err());
            assert!(plain.find(&1, Range::all(), |_| false).is_err());
            assert!(plain.nth(&1, Range::all(), 9).is_err());
        });
    }
}

#[test]
fn picking_ends_at_the_limit_or_when_it_is_told_to() {
    let table = table(&[(1, 5), (1, 4), (1, 3), (1, 2), (1, 1)]);
    let pick = |limit, pick: &dyn Fn(&Item) -> Pick| {
        let (mut looked_at, range) = (0, Range::all());
        let picked = read(&table, |view| {
            view.pick(&1, range, limit, |item| {
                looked_at += 1;
                pick(item)
            })
        });
        (ids(&picked.unwrap()), looked_at)
    };
    assert_eq!(pick(0, &|_| Pick::Take), (vec![], 0), "nothing is wanted");
    assert_eq!(pick(2, &|_| Pick::Take), (vec![0, 1], 2));
    let odd = |item: &Item| Pick::if_so(item.rank % 2 == 1);
    assert_eq!(pick(2, &odd), (vec![0, 2], 3));
    let high = |item: &Item| match item.rank > 3 {
        true => Pick::Take,
        false => Pick::Stop,
    };
    assert_eq!(pick(9, &high), (vec![0, 1], 3));
}

#[test]
fn the_nth_has_so_many_before_it() {
    let table = table(&[(1, 5), (1, 4), (2, 9), (1, 3)]);
    let nth = |range, before| {
        let found = read(&table, |view| view.nth(&1, range, before)).unwrap();
        found.map(|item| item.id)
    };
    let all = [0, 1, 2, 3, usize::MAX].map(|before| nth(Range::all(), before));
    assert_eq!(all, [Some(0), Some(1), Some(3), None, None]);
    assert_eq!(nth(Range::after(Rank(5), 0), 0), Some(1));
    assert_eq!(nth(Range::all().above(Rank(4)), 1), None);
}

#[test]
fn a_range_begins_and_ends_exactly_where_it_says() {
    let table = table(&[(1, 5), (1, 4), (1, 4), (1, 3)]);
    let read = |range| {
        let found = read(&table, |view| view.pick(&1, range, 9, |_| Pick::Take));
        let count = table.read(|view| infallible(view.count(&1, range)));
        let found = ids(&found.unwrap());
        assert_eq!(found.len(), count);
        found
    };
    assert_eq!(read(Range::all()), [0, 1, 2, 3]);
    assert_eq!(read(Range::starting_at(Rank(4))), [1, 2, 3]);
    assert_eq!(read(Range::after(Rank(4), 1)), [2, 3]);
    assert_eq!(read(Range::after(Rank(4), 9)), [3]);
    assert_eq!(read(Range::all().above(Rank(4))), [0]);
    assert_eq!(read(Range::starting_at(Rank(4)).above(Rank(3))), [1, 2]);
}
