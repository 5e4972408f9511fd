//! The table under sixteen threads, in schedules that are drawn. Run by `cargo xtask schedules`.
#![cfg(countersign_shuttle)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use countersign_core::clock::ManualClock;
use countersign_core::engine::{LockError, Range, Rank, Reads, Record, Transaction};
use countersign_core::sync::schedule::{Schedule, together};
use countersign_core::table::{Table, View};
use countersign_core::time::ClockError;
use countersign_core::version::Version;

/// A counter that is painted in one of two colours, which are its index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    id: u64,
    count: u64,
    written: Version,
}

impl Record for Item {
    type Id = u64;
    type Key = u64;

    fn id(&self) -> u64 {
        self.id
    }

    fn version(&self) -> Version {
        self.written
    }

    fn index(&self, entry: &mut dyn FnMut(u64, Rank)) {
        entry(self.count % 2, Rank::newest_first(self.written));
    }

    fn least_id() -> u64 {
        0
    }
}

fn put(table: &Table<Item>, id: u64, count: u64) -> Version {
    let result = table.write(|step| {
        let written = step.stamp()?.version;
        step.put(Item { id, count, written });
        Ok::<_, ClockError>(written)
    });
    result.unwrap()
}

/// Raises the counter of record 0 by the version it reads; tries again until it is the first.
fn raise(table: &Table<Item>) -> Version {
    loop {
        let read = table.get(&0).unwrap();
        let result = table.write(|step| {
            step.current(&0, read.written)?;
            let written = step.stamp().unwrap().version;
            step.put(Item {
                count: read.count + 1,
                written,
                ..*read
            });
            Ok(written)
        });
        match result {
            Ok(written) => return written,
            Err(LockError::Conflict(conflict)) => assert!(conflict.actual > read.written),
            Err(LockError::NotFound) => panic!("a record is gone"),
        }
    }
}

/// Both colours in one reading: each record once, under the colour it has.
fn look(table: &Table<Item>) -> u64 {
    table.read(|view| {
        let items: Vec<_> = (0..2)
            .flat_map(|colour| {
                let entries = view.entries(&colour, Range::all());
                let items: Vec<_> = entries.map(|(_, item)| (colour, item)).collect();
                items
            })
            .collect();
        assert_eq!(items.len(), view.len(), "records and entries disagree");
        assert!(items.iter().all(|(colour, item)| item.count % 2 == *colour));
        view.get(&0).unwrap().unwrap().count
    })
}

#[test]
fn table_mixed() {
    let schedule = Schedule {
        name: "table_mixed",
        claim: "4 threads raise one counter twice each, 4 put and remove records of their own, 4 \
                read, 4 set the clock back: nothing is lost, versions only grow and are never \
                issued again, no reader sees half a step",
        threads: 16,
        operations: 28,
    };
    schedule.check(|| {
        let clock = Arc::new(ManualClock::at(DateTime::from_timestamp_nanos(1_000_000)));
        let table = Arc::new(Table::new(clock.clone()));
        let first = put(&table, 0, 0);
        let shared = Arc::clone(&table);
        let written = together(16, move |n| match n % 4 {
            0 => vec![raise(&shared), raise(&shared)],
            1 => {
                let id = n as u64;
                let written = put(&shared, id, id);
                let removed = shared.write(|step| {
                    step.current(&id, written)?;
                    step.remove(id);
                    Ok::<_, LockError<Infallible>>(())
                });
                assert_eq!(removed, Ok(()), "somebody else wrote it");
                vec![written]
            }
            2 => {
                let before = look(&shared);
                assert!(before <= look(&shared), "an older record after a newer one");
                Vec::new()
            }
            _ => {
                clock.step_back(Duration::from_nanos(500));
                vec![put(&shared, 100 + n as u64, 1)]
            }
        });
        let written = written.concat();
        let issued: BTreeSet<_> = written.iter().copied().collect();
        assert_eq!(issued.len(), 16, "a version was issued twice");
        assert!(issued.first() > Some(&first));
        assert_eq!(table.get(&0).unwrap().count, 8, "a raise was lost");
        table.read(|view| {
            assert_eq!(view.len(), 5);
            assert_eq!(view.timeline().version(), issued.last().copied());
        });
        table.read(View::audit).unwrap();
    });
}
