//! Tests of the table on one thread: order, pages, all-or-nothing steps, the version floor.

use std::time::Duration;

use proptest::prelude::*;

use chrono::{DateTime, Utc};

use super::*;
use crate::clock::ManualClock;
use crate::engine::{Cursor, List, Listing, LockError, Page, Pick, Transaction};
use crate::time::{ClockError, EARLIEST, LATEST};
use crate::version::Conflict;

#[derive(Debug, Clone, PartialEq)]
struct Item {
    id: u64,
    colour: &'static str,
    created: Version,
    written: Version,
}

impl Record for Item {
    type Id = u64;
    type Key = &'static str;

    fn id(&self) -> u64 {
        self.id
    }

    fn version(&self) -> Version {
        self.written
    }

    fn index(&self, entry: &mut dyn FnMut(&'static str, Rank)) {
        entry(self.colour, Rank::newest_first(self.created));
        entry("any", Rank::oldest_first(self.written));
    }

    fn outlasting(&self, key: &mut dyn FnMut(&'static str)) {
        if self.id == 7 {
            key("used-7");
        }
    }

    fn least_id() -> u64 {
        0
    }
}

fn table() -> (Arc<ManualClock>, Table<Item>) {
    let clock = Arc::new(ManualClock::at(DateTime::from_timestamp_nanos(1_000)));
    (Arc::clone(&clock), Table::new(clock))
}

fn put(table: &Table<Item>, id: u64, colour: &'static str) -> Version {
    table
        .write(|step| {
            let written = step.stamp()?.version;
            let created = step.get(&id).unwrap().map_or(written, |item| item.created);
            step.put(Item {
                id,
                colour,
                created,
                written,
            });
            Ok::<_, ClockError>(written)
        })
        .unwrap()
}

fn ids(table: &Table<Item>, key: &'static str) -> Vec<u64> {
    let entries = |view: &View<Item>| {
        let entries = view.entries(&key, Range::all());
        entries.map(|(_, item)| item.id).collect()
    };
    table.read(entries)
}

/// A page of what is listed newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Items {}

impl List for Items {
    const NAME: &'static str = "items";
}

fn page(
    table: &Table<Item>,
    key: &'static str,
    page: Page<u64, Items>,
) -> Listing<Item, u64, Items> {
    let range = Range::after_cursor(page.after, Cursor::descending);
    let place = |item: &Item| Cursor::at_version(item.created, item.id);
    let read = |view: &View<Item>| view.page(&key, range, &page, |_| Pick::Take, place);
    table.read(read).unwrap()
}

#[test]
fn lists_are_newest_first_and_ranks_can_be_turned() {
    let (_, table) = table();
    for id in [5, 1, 9] {
        put(&table, id, "red");
    }
    put(&table, 7, "blue");
    assert_eq!(ids(&table, "red"), [9, 1, 5]);
    assert_eq!(ids(&table, "blue"), [7]);
    assert_eq!(ids(&table, "green"), [0; 0]);
    assert_eq!(ids(&table, "any"), [5, 1, 9, 7], "earliest first");
}

#[test]
fn a_scan_goes_on_after_a_place_whether_or_not_a_record_is_there() {
    let (_, table) = table();
    let versions = [5, 1, 9, 7].map(|id| put(&table, id, "red"));
    let after = |place: usize, id: u64| -> Vec<u64> {
        let rank = Rank::oldest_first(versions[place]);
        table.read(|view| {
            let rest = view.entries(&"any", Range::after(rank, id));
            rest.map(|(_, item)| item.id).collect()
        })
    };
    assert_eq!(
        after(0, 5),
        [1, 9, 7],
        "the record at the place itself is past"
    );
    assert_eq!(after(1, 0), [1, 9, 7], "a smaller id comes before it");
    assert_eq!(after(1, 2), [9, 7], "a greater id comes after it");
    assert_eq!(after(3, 7), [0; 0]);
}

#[test]
fn an_update_moves_a_record_between_indexes_in_one_step() {
    let (_, table) = table();
    put(&table, 1, "red");
    put(&table, 1, "blue");
    assert_eq!(ids(&table, "red"), [0; 0]);
    assert_eq!(ids(&table, "blue"), [1]);
    table.read(View::audit).unwrap();
}

/// A record that remembers every version it had.
struct Remembering {
    id: u64,
    versions: Vec<Version>,
}

impl Record for Remembering {
    type Id = u64;
    type Key = ();

    fn id(&self) -> u64 {
        self.id
    }

    fn version(&self) -> Version {
        *self.versions.last().unwrap()
    }

    fn index(&self, _: &mut dyn FnMut((), Rank)) {}

    fn changes(&self, change: &mut dyn FnMut(Version)) {
        self.versions.iter().for_each(|version| change(*version));
    }

    fn least_id() -> u64 {
        0
    }
}

#[test]
fn the_log_has_every_change_in_the_order_of_the_steps_until_the_record_is_removed() {
    let table = Table::new(Arc::new(ManualClock::at(DateTime::from_timestamp_nanos(1))));
    let write = |id| {
        let step = |step: &mut Step<'_, Remembering>| {
            let mut versions = step
                .get(&id)
                .unwrap()
                .map_or(Vec::new(), |old| old.versions.clone());
            versions.push(step.stamp()?.version);
            step.put(Remembering { id, versions });
            Ok::<_, ClockError>(())
        };
        table.write(step).unwrap();
    };
    let log = |after: Option<i64>| -> Vec<(i64, u64)> {
        table.read(|view| {
            view.audit().unwrap();
            let after = after.map(Version::from_nanos);
            let changes = view.changes_after(after, 100).unwrap().into_iter();
            changes
                .map(|(version, record)| (version.as_nanos(), record.id))
                .collect()
        })
    };
    [7, 3, 7, 7].into_iter().for_each(write);
    assert_eq!(log(None), [(1, 7), (2, 3), (3, 7), (4, 7)]);
    assert_eq!(
        log(Some(2)),
        [(3, 7), (4, 7)],
        "what comes after a version, without it"
    );
    assert_eq!(log(Some(4)), []);
    let remove = |step: &mut Step<'_, Remembering>| {
        step.remove(7);
        Ok::<_, ClockError>(())
    };
    table.write(remove).unwrap();
    write(9);
    assert_eq!(
        log(None),
        [(2, 3), (5, 9)],
        "a removed record takes its changes with it"
    );
}

#[test]
fn a_record_without_a_memory_is_in_the_log_with_its_last_change() {
    let (_, table) = table();
    put(&table, 1, "red");
    put(&table, 2, "red");
    put(&table, 1, "blue");
    let log = table.read(|view| view.changes_after(None, 100)).unwrap();
    let log: Vec<u64> = log.iter().map(|(_, item)| item.id).collect();
    assert_eq!(log, [2, 1]);
    table.read(View::audit).unwrap();
}

#[test]
fn a_failed_step_changes_nothing() {
    let (_, table) = table();
    let before = put(&table, 1, "red");
    let result = table.write(|step| {
        let written = step.stamp().unwrap().version;
        step.put(Item {
            id: 1,
            colour: "blue",
            created: written,
            written,
        });
        step.put(Item {
            id: 2,
            colour: "blue",
            created: written,
            written,
        });
        step.remove(1);
        Err::<(), _>("no")
    });
    assert_eq!(result, Err("no"));
    assert_eq!(table.get(&1).unwrap().written, before);
    assert_eq!(table.get(&2), None);
    assert_eq!(ids(&table, "blue"), [0; 0]);
    assert_eq!(
        table.read(|view| view.timeline().version()),
        Some(before),
        "the stamp was not used up"
    );
}

#[test]
fn a_step_that_panics_changes_nothing() {
    let (_, table) = table();
    let before = put(&table, 1, "red");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        table.write::<(), ()>(|step| {
            step.remove(1);
            panic!("a rule went wrong")
        })
    }));
    assert!(outcome.is_err());
    assert_eq!(table.get(&1).unwrap().written, before);
    put(&table, 2, "red");
    table.read(View::audit).unwrap();
}

#[test]
fn the_optimistic_lock_asks_for_the_present_version() {
    let (_, table) = table();
    let first = put(&table, 1, "red");
    let second = put(&table, 1, "red");
    let lock =
        |id, expected| table.write(|step| step.current(&id, expected).map(|item| item.written));
    assert_eq!(lock(1, second), Ok(second));
    let conflict = Conflict {
        expected: first,
        actual: second,
    };
    assert_eq!(lock(1, first), Err(LockError::Conflict(conflict)));
    assert_eq!(lock(2, second), Err(LockError::NotFound));
}

#[test]
fn a_version_is_never_issued_again_by_a_clock_that_stands_still_or_steps_back() {
    let (clock, table) = table();
    let first = put(&table, 1, "red");
    let second = put(&table, 1, "red");
    clock.step_back(Duration::from_nanos(500));
    let third = put(&table, 1, "red");
    table
        .write(|step| {
            step.remove(1);
            Ok::<_, ()>(())
        })
        .unwrap();
    let fourth = put(&table, 1, "red");
    let nanos: Vec<i64> = [first, second, third, fourth]
        .map(Version::as_nanos)
        .to_vec();
    assert_eq!(nanos, [1_000, 1_001, 1_002, 1_003]);
}

#[test]
fn a_step_may_stamp_more_than_once() {
    let (_, table) = table();
    let stamps = table
        .write(|step| {
            let stamps = [step.stamp()?.version, step.stamp()?.version];
            for (id, written) in [(1, stamps[0]), (2, stamps[1])] {
                step.put(Item {
                    id,
                    colour: "red",
                    created: written,
                    written,
                });
            }
            Ok::<_, ClockError>(stamps)
        })
        .unwrap();
    assert!(stamps[0] < stamps[1]);
    assert_eq!(
        table.read(|view| view.timeline().version()),
        Some(stamps[1])
    );
}

#[test]
fn a_reading_that_is_no_time_leaves_a_version_to_issue_and_grants_nothing() {
    let clock = Arc::new(ManualClock::at(EARLIEST));
    let table: Table<Item> = Table::new(clock.clone());
    let first = put(&table, 1, "red");
    for reading in [
        EARLIEST - Duration::from_nanos(1),
        LATEST + Duration::from_nanos(1),
        DateTime::<Utc>::MAX_UTC,
    ] {
        clock.set(reading);
        let now = table.read_now(|_, now| *now);
        assert!(now.granting().is_err(), "{reading}");
        assert_eq!(now.at(), EARLIEST, "the last time stands");
        assert!(put(&table, 2, "red").as_nanos() < first.as_nanos() + 10);
    }
    for reading in [EARLIEST, LATEST] {
        clock.set(reading);
        assert_eq!(table.read_now(|_, now| now.granting()), Ok(()));
    }
}

#[test]
fn a_step_has_one_time_however_often_it_is_asked() {
    #[derive(Debug, Default)]
    struct Running(std::sync::atomic::AtomicI64);
    impl Clock for Running {
        fn now(&self) -> DateTime<Utc> {
            let reading = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            EARLIEST + Duration::from_secs(reading.unsigned_abs())
        }
    }
    let table: Table<Item> = Table::new(Arc::new(Running::default()));
    let times = table.write(|step| {
        let times = [step.now(), step.stamp()?.now, step.now(), step.stamp()?.now];
        Ok::<_, ClockError>(times.map(|now| now.at()))
    });
    assert_eq!(times.unwrap(), [EARLIEST; 4]);
}

#[test]
fn a_correction_is_remembered_by_whoever_finds_it() {
    let find: [fn(&Table<Item>); 3] = [
        |table| table.read_now(|_, _| ()),
        |table| {
            let refused = table.write(|step| Err::<(), _>(step.now().at()));
            assert!(refused.is_err());
        },
        |table| {
            let removed = table.write(|step| {
                step.now();
                step.remove(7);
                Ok::<_, ()>(())
            });
            assert_eq!(removed, Ok(()));
        },
    ];
    for find in find {
        let (clock, table) = table();
        let start = EARLIEST + Duration::from_secs(36_000);
        clock.set(start);
        put(&table, 7, "red");
        let last = table.read(|view| view.timeline().version()).unwrap();
        clock.step_back(Duration::from_secs(3_600));
        find(&table);
        clock.advance(Duration::from_secs(60));
        find(&table);
        table.read_now(|_, now| assert_eq!(now.makes_correction(), None, "it is made"));
        table.read(|view| {
            let made = view.timeline().correction().unwrap();
            assert_eq!(made.to, start - Duration::from_secs(3_600), "once");
            assert_eq!(made.version.as_nanos(), last.as_nanos() + 1);
            assert_eq!(view.timeline().version(), Some(made.version));
        });
    }
}

#[test]
fn a_removed_record_is_still_found_by_what_outlasts_it() {
    let (_, table) = table();
    assert_eq!(table.read(|view| view.holder(&"used-7")).unwrap(), None);
    put(&table, 7, "red");
    assert_eq!(table.read(|view| view.holder(&"red")).unwrap(), Some(7));
    for _ in 0..2 {
        table
            .write(|step| {
                step.remove(7);
                Ok::<_, ()>(())
            })
            .unwrap();
        assert_eq!(table.read(|view| view.holder(&"used-7")).unwrap(), Some(7));
        assert_eq!(table.read(|view| view.holder(&"red")).unwrap(), None);
        table.read(View::audit).unwrap();
    }
}

#[test]
fn counting_stops_exactly_at_the_floor() {
    let (_, table) = table();
    for id in 1..=3 {
        put(&table, id, "red");
    }
    let count = |nanos| {
        let floor = Rank::latest_first(DateTime::from_timestamp_nanos(nanos));
        let range = Range::all().above(floor);
        let count = table.read(|view| view.count(&"red", range)).unwrap();
        let listed = table.read(|view| view.entries(&"red", range).count());
        assert_eq!(listed, count);
        count
    };
    assert_eq!(
        [count(999), count(1_000), count(1_001), count(1_002)],
        [3, 2, 1, 0]
    );
}

#[test]
fn pages_meet_without_gap_or_overlap_even_where_times_tie() {
    let (_, table) = table();
    let time = Version::from_nanos(5_000);
    table
        .write(|step| {
            for id in 0..7 {
                step.put(Item {
                    id,
                    colour: "red",
                    created: time,
                    written: time,
                });
            }
            Ok::<_, ()>(())
        })
        .unwrap();
    let mut seen = Vec::new();
    let mut next = Page::first(3);
    loop {
        let listing = page(&table, "red", next);
        seen.extend(listing.items.iter().map(|item| item.id));
        match listing.next {
            Some(cursor) => next = Page::after(cursor, 3),
            None => break,
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_page_that_ends_the_list_has_no_cursor() {
    let (_, table) = table();
    for id in 0..3 {
        put(&table, id, "red");
    }
    assert!(page(&table, "red", Page::first(3)).next.is_none());
    assert!(page(&table, "red", Page::first(2)).next.is_some());
    assert!(page(&table, "none", Page::first(2)).items.is_empty());
}

#[test]
fn limits_are_0_for_100_and_at_most_1000() {
    let limits = [0, 1, 999, 1_000, 1_001, usize::MAX];
    let effective = limits.map(|limit| Page::<u64, Items>::first(limit).effective_limit());
    assert_eq!(effective, [100, 1, 999, 1_000, 1_000, 1_000]);
}

#[test]
fn cursors_are_parsed_strictly() {
    let parse = |text: &str| text.parse::<Cursor<u64, Items>>();
    assert_eq!(parse("items,-7,7"), Ok(Cursor::new(-7, 7)));
    for bad in [
        "",
        ",",
        "items",
        "items,",
        "items,7",
        "items,7,",
        "items,07,7",
        "items,+7,7",
        "items, 7,7",
        "items,9223372036854775808,7",
        "items,x,7",
        "items,7,7,",
        "items7,7",
        " items,7,7",
        "Items,7,7",
        "7,7",
    ] {
        assert!(parse(bad).is_err(), "`{bad}` was taken for a cursor");
    }
}

#[test]
fn a_cursor_of_another_list_is_refused_as_text_and_as_json() {
    let refused = "others,7,7".parse::<Cursor<u64, Items>>().unwrap_err();
    let said = refused.to_string();
    assert!(
        said.starts_with("`others,7,7` is not a cursor of the list `items`"),
        "{said}"
    );
    let cursor = Cursor::<u64, Items>::new(7, 7);
    let json = serde_json::to_string(&cursor).unwrap();
    assert_eq!(json, "\"items,7,7\"");
    assert_eq!(
        serde_json::from_str::<Cursor<u64, Items>>(&json).unwrap(),
        cursor
    );
    let other = serde_json::from_str::<Cursor<u64, Items>>("\"others,7,7\"");
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("is not a cursor of the list `items`")
    );
}

proptest! {
    /// Any sequence of writes leaves a table that agrees with a plain list of its records.
    #[test]
    fn the_table_agrees_with_a_naive_model(
        writes in prop::collection::vec((0_u64..8, 0_usize..4, 0_i64..2_000), 0..60),
        limit in 1_usize..5,
    ) {
        let (clock, table) = table();
        let colours = ["red", "blue", "green"];
        let mut model: Vec<Item> = Vec::new();
        for (id, choice, now) in writes {
            clock.set(DateTime::from_timestamp_nanos(now));
            let before = model.iter().position(|item| item.id == id);
            let before = before.map(|position| model.remove(position));
            if let Some(colour) = colours.get(choice) {
                let written = put(&table, id, colour);
                let created = before.map_or(written, |item| item.created);
                model.push(Item { id, colour, created, written });
            } else {
                table.write(|step| { step.remove(id); Ok::<_, ()>(()) }).unwrap();
            }
        }
        table.read(View::audit).unwrap();
        model.sort_by_key(|item| (Reverse(item.created), item.id));
        for colour in colours {
            let expected: Vec<u64> =
                model.iter().filter(|item| item.colour == colour).map(|item| item.id).collect();
            prop_assert_eq!(&ids(&table, colour), &expected);
            let mut paged = Vec::new();
            let mut next = Page::first(limit);
            loop {
                let listing = page(&table, colour, next);
                paged.extend(listing.items.iter().map(|item| item.id));
                let Some(cursor) = listing.next else { break };
                next = Page::after(cursor, limit);
            }
            prop_assert_eq!(&paged, &expected);
        }
    }
}

#[test]
fn whoever_reads_and_finds_a_correction_reads_after_it() {
    let (clock, table) = table();
    clock.set(EARLIEST + Duration::from_secs(36_000));
    put(&table, 7, "red");
    clock.step_back(Duration::from_secs(3_600));
    let (right, now) = (clock.now(), table.read_now(|_, now| *now));
    assert_eq!(now.correction().map(|made| made.to), Some(right));
    assert_eq!((now.at(), now.makes_correction()), (right, None));
    assert_eq!(table.read_now(|_, now| *now), now, "as whoever reads next");
}
