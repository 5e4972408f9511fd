//! Models of the table: every small scenario of its operations, against a sequential
//! specification. Run by `cargo xtask loom`.
#![cfg(countersign_loom)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use countersign_core::clock::ManualClock;
use countersign_core::sync::history::Specification;
use countersign_core::sync::model::{Model, Parts, scenarios};
use countersign_core::table::{LockError, Rank, Record, Table, View};
use countersign_core::version::{Version, VersionError};

const START: i64 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Item {
    id: u8,
    colour: u8,
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
        entry(self.colour, Rank::latest_first(self.written.time()));
    }

    fn least_id() -> u8 {
        0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    /// Creates unless the id is taken.
    Create(u8),
    /// Changes the colour, if the version is the one that record 1 was set up with.
    Update,
    /// Reads the version, then changes the colour by it: two steps, tried once more on conflict.
    Repaint(u8),
    Delete(u8),
    Get(u8),
    /// Lists one colour and counts it.
    List(u8),
    StepClockBack,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Item(Option<Item>),
    Conflict(Version),
    NotFound,
    Taken,
    List(Vec<Item>),
    Done,
}

struct Store {
    clock: Arc<ManualClock>,
    table: Table<Item>,
}

fn store() -> Store {
    let clock = Arc::new(ManualClock::at(DateTime::from_timestamp_nanos(START)));
    Store {
        clock: clock.clone(),
        table: Table::new(clock),
    }
}

impl From<LockError> for Answer {
    fn from(error: LockError) -> Self {
        match error {
            LockError::NotFound => Answer::NotFound,
            LockError::Conflict(conflict) => Answer::Conflict(conflict.actual),
        }
    }
}

impl From<VersionError> for Answer {
    fn from(error: VersionError) -> Self {
        panic!("{error}")
    }
}

fn update(table: &Table<Item>, id: u8, expected: Version, colour: u8) -> Answer {
    let result = table.write(|step| {
        step.current(&id, expected)?;
        let written = step.stamp()?;
        Ok::<_, Answer>(
            (*step.put(Item {
                id,
                colour,
                written,
            }))
            .clone(),
        )
    });
    result.map_or_else(|error| error, |item| Answer::Item(Some(item)))
}

fn call(store: &Store, call: &Call) -> Answer {
    let table = &store.table;
    match *call {
        Call::Create(id) => {
            let result = table.write(|step| {
                if step.get(&id).is_some() {
                    return Err(Answer::Taken);
                }
                let written = step.stamp()?;
                Ok((*step.put(Item {
                    id,
                    colour: 0,
                    written,
                }))
                .clone())
            });
            result.map_or_else(|error| error, |item| Answer::Item(Some(item)))
        }
        Call::Update => update(table, 1, Version::from_nanos(START), 1),
        Call::Repaint(colour) => {
            for _ in 0..8 {
                let Some(item) = table.get(&1) else {
                    return Answer::NotFound;
                };
                match update(table, 1, item.written, colour) {
                    Answer::Conflict(_) => {}
                    answer => return answer,
                }
            }
            panic!("a conflict without end")
        }
        Call::Delete(id) => {
            let result = table.write(|step| {
                step.remove(id);
                Ok::<_, Answer>(())
            });
            result.map_or_else(|error| error, |()| Answer::Done)
        }
        Call::Get(id) => Answer::Item(table.get(&id).map(|item| (*item).clone())),
        Call::List(colour) => Answer::List(table.read(|view| {
            let items: Vec<Item> = view.scan(colour).map(|item| (**item).clone()).collect();
            assert_eq!(
                items.len(),
                view.count_above(colour, Rank::latest_first(DateTime::UNIX_EPOCH))
            );
            assert!(
                items.iter().all(|item| item.colour == colour),
                "an index entry is out of date"
            );
            items
        })),
        Call::StepClockBack => {
            store.clock.step_back(Duration::from_nanos(500));
            Answer::Done
        }
    }
}

/// The table as one caller would see it, written without it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Naive {
    clock: i64,
    last: Option<i64>,
    items: BTreeMap<u8, Item>,
}

impl Naive {
    fn put(&mut self, id: u8, colour: u8) -> Answer {
        let stamp = self
            .last
            .map_or(self.clock, |last| self.clock.max(last + 1));
        self.last = Some(stamp);
        let item = Item {
            id,
            colour,
            written: Version::from_nanos(stamp),
        };
        self.items.insert(id, item.clone());
        Answer::Item(Some(item))
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn apply(&mut self, call: &Call) -> Answer {
        match *call {
            Call::Create(id) if self.items.contains_key(&id) => Answer::Taken,
            Call::Create(id) => self.put(id, 0),
            Call::Update => match self.items.get(&1) {
                None => Answer::NotFound,
                Some(item) if item.written.as_nanos() != START => Answer::Conflict(item.written),
                Some(_) => self.put(1, 1),
            },
            Call::Repaint(colour) => match self.items.get(&1) {
                None => Answer::NotFound,
                Some(_) => self.put(1, colour),
            },
            Call::Delete(id) => {
                self.items.remove(&id);
                Answer::Done
            }
            Call::Get(id) => Answer::Item(self.items.get(&id).cloned()),
            Call::List(colour) => {
                let mut items: Vec<Item> = self
                    .items
                    .values()
                    .filter(|item| item.colour == colour)
                    .cloned()
                    .collect();
                items.sort_by_key(|item| std::cmp::Reverse(item.written));
                Answer::List(items)
            }
            Call::StepClockBack => {
                self.clock -= 500;
                Answer::Done
            }
        }
    }
}

const ALPHABET: [Call; 9] = [
    Call::Create(1),
    Call::Create(2),
    Call::Update,
    Call::Repaint(2),
    Call::Repaint(3),
    Call::Delete(1),
    Call::Get(1),
    Call::List(1),
    Call::StepClockBack,
];

fn parts(setup: Vec<Call>) -> Parts<Naive, Store> {
    Parts {
        specification: Naive {
            clock: START,
            last: None,
            items: BTreeMap::new(),
        },
        store,
        call,
        setup,
        closing: vec![
            Call::Get(1),
            Call::Get(2),
            Call::List(0),
            Call::List(1),
            Call::List(2),
            Call::List(3),
            Call::Create(9),
        ],
        audit: |store| store.table.read(View::audit),
    }
}

#[test]
fn table_2x2() {
    let model = Model {
        name: "table_2x2",
        claim: "every history of two threads with two calls each has an order that explains it: \
                the first writer wins, losers get the winner's version, versions grow and are \
                never issued again, nothing is lost, no reader sees half a step",
        threads: 2,
        operations: 4,
        at_least: 90_499,
        preemptions: None,
    };
    model.check_scenarios(scenarios(&ALPHABET, 2, 2), parts(vec![Call::Create(1)]));
}

#[test]
fn table_3x1() {
    let model = Model {
        name: "table_3x1",
        claim: "the same of three threads with one call each",
        threads: 3,
        operations: 3,
        at_least: 73_076,
        preemptions: None,
    };
    model.check_scenarios(scenarios(&ALPHABET, 3, 1), parts(vec![Call::Create(1)]));
}
