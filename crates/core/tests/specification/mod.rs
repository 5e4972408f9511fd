//! A table as one caller would see it, written without it.
//!
//! Models (`loom.rs`) and recorded histories (`linearizability.rs`) are checked against it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use countersign_core::clock::ManualClock;
use countersign_core::engine::{LockError, Range, Rank, Reads, Record, Snapshot, Transaction};
use countersign_core::sync::history::Specification;
use countersign_core::table::Table;
use countersign_core::time::ClockError;
use countersign_core::version::Version;

pub const START: i64 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Item {
    pub id: u8,
    pub colour: u8,
    pub written: Version,
    /// Every version that it has had, the last included.
    pub history: Vec<Version>,
}

impl Item {
    /// The item after `before`, or the first.
    fn after(before: Option<&Self>, id: u8, colour: u8, written: Version) -> Self {
        let mut history = before.map_or_else(Vec::new, |before| before.history.clone());
        history.push(written);
        Self {
            id,
            colour,
            written,
            history,
        }
    }
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
        entry(self.colour, Rank::newest_first(self.written));
    }

    fn changes(&self, change: &mut dyn FnMut(Version)) {
        self.history.iter().copied().for_each(change);
    }

    fn least_id() -> u8 {
        0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Creates unless the id is taken.
    Create(u8),
    /// Changes the colour of this version of a record, and no other.
    Update(u8, Version, u8),
    /// Reads the version, then changes the colour by it, as often as it takes.
    Repaint(u8, u8),
    Delete(u8),
    Get(u8),
    /// Lists one colour and counts it.
    List(u8),
    /// The next change after those that the calls before it have seen. One thread only calls it.
    NextChange,
    /// Moves the clock, by so many nanoseconds.
    MoveClock(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Item(Option<Item>),
    Conflict(Version),
    NotFound,
    Taken,
    List(Vec<Item>),
    Change(Option<(Version, Item)>),
    Done,
}

pub struct Store {
    clock: Arc<ManualClock>,
    pub table: Table<Item>,
    /// The last change that was seen by [`Call::NextChange`].
    seen: Mutex<Option<Version>>,
}

pub fn store() -> Store {
    let clock = Arc::new(ManualClock::at(DateTime::from_timestamp_nanos(START)));
    Store {
        clock: clock.clone(),
        table: Table::new(clock),
        seen: Mutex::default(),
    }
}

impl From<LockError<Infallible>> for Answer {
    fn from(error: LockError<Infallible>) -> Self {
        match error {
            LockError::NotFound => Answer::NotFound,
            LockError::Conflict(conflict) => Answer::Conflict(conflict.actual),
        }
    }
}

impl From<ClockError> for Answer {
    fn from(error: ClockError) -> Self {
        panic!("{error}")
    }
}

fn update(table: &Table<Item>, id: u8, expected: Version, colour: u8) -> Answer {
    let result = table.write(|step| {
        let before = step.current(&id, expected)?;
        let written = step.stamp()?.version;
        let item = step.put(Item::after(Some(&before), id, colour, written));
        Ok::<_, Answer>((*item).clone())
    });
    result.map_or_else(|error| error, |item| Answer::Item(Some(item)))
}

pub fn call(store: &Store, call: &Call) -> Answer {
    let table = &store.table;
    match *call {
        Call::Create(id) => {
            let result = table.write(|step| {
                if step.get(&id).unwrap().is_some() {
                    return Err(Answer::Taken);
                }
                let written = step.stamp()?.version;
                Ok((*step.put(Item::after(None, id, 0, written))).clone())
            });
            result.map_or_else(|error| error, |item| Answer::Item(Some(item)))
        }
        Call::Update(id, version, colour) => update(table, id, version, colour),
        Call::Repaint(id, colour) => loop {
            let Some(item) = table.get(&id) else {
                return Answer::NotFound;
            };
            match update(table, id, item.written, colour) {
                Answer::Conflict(_) => {}
                answer => return answer,
            }
        },
        Call::Delete(id) => {
            let result = table.write(|step| {
                step.remove(id);
                Ok::<_, Answer>(())
            });
            result.map_or_else(|error| error, |()| Answer::Done)
        }
        Call::Get(id) => Answer::Item(table.get(&id).map(|item| (*item).clone())),
        Call::List(colour) => Answer::List(table.read(|view| {
            let entries = view.entries(&colour, Range::all());
            let items: Vec<Item> = entries.map(|(_, item)| (**item).clone()).collect();
            assert_eq!(items.len(), view.count(&colour, Range::all()).unwrap(),);
            assert!(
                items.iter().all(|item| item.colour == colour),
                "an index entry is out of date"
            );
            items
        })),
        Call::NextChange => {
            let seen = *store.seen.lock().unwrap();
            let next = table.read(|view| {
                let next = view.changes_after(seen, 1).unwrap().pop();
                next.map(|(version, item)| (version, (*item).clone()))
            });
            *store.seen.lock().unwrap() = next.as_ref().map(|next| next.0).or(seen);
            Answer::Change(next)
        }
        Call::MoveClock(nanos) => {
            let length = Duration::from_nanos(nanos.unsigned_abs());
            if nanos < 0 {
                store.clock.step_back(length);
            } else {
                store.clock.advance(length);
            }
            Answer::Done
        }
    }
}

/// The table as one caller would see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Naive {
    clock: i64,
    last: Option<i64>,
    items: BTreeMap<u8, Item>,
    /// The changes of what is there, in order, and the last that was seen.
    log: Vec<(Version, u8)>,
    seen: Option<Version>,
}

impl Naive {
    pub fn new() -> Self {
        Self {
            clock: START,
            last: None,
            items: BTreeMap::new(),
            log: Vec::new(),
            seen: None,
        }
    }

    fn put(&mut self, id: u8, colour: u8) -> Answer {
        let floor = self.last.map_or(self.clock, |last| last + 1);
        let stamp = self.clock.max(floor);
        self.last = Some(stamp);
        let written = Version::from_nanos(stamp);
        let item = Item::after(self.items.get(&id), id, colour, written);
        self.log.push((written, id));
        self.items.insert(id, item.clone());
        Answer::Item(Some(item))
    }

    pub fn apply(&mut self, call: Call) -> Answer {
        match call {
            Call::Create(id) if self.items.contains_key(&id) => Answer::Taken,
            Call::Create(id) => self.put(id, 0),
            Call::Update(id, version, colour) => match self.items.get(&id) {
                None => Answer::NotFound,
                Some(item) if item.written != version => Answer::Conflict(item.written),
                Some(_) => self.put(id, colour),
            },
            Call::Repaint(id, colour) => match self.items.get(&id) {
                None => Answer::NotFound,
                Some(_) => self.put(id, colour),
            },
            Call::Delete(id) => {
                self.items.remove(&id);
                self.log.retain(|(_, of)| *of != id);
                Answer::Done
            }
            Call::Get(id) => Answer::Item(self.items.get(&id).cloned()),
            Call::List(colour) => {
                let of_colour = self.items.values().filter(|item| item.colour == colour);
                let mut items: Vec<Item> = of_colour.cloned().collect();
                items.sort_by_key(|item| std::cmp::Reverse(item.written));
                Answer::List(items)
            }
            Call::NextChange => {
                let unseen = |change: &&(Version, u8)| Some(change.0) > self.seen;
                let Some((version, id)) = self.log.iter().find(unseen) else {
                    return Answer::Change(None);
                };
                self.seen = Some(*version);
                Answer::Change(Some((*version, self.items[id].clone())))
            }
            Call::MoveClock(nanos) => {
                self.clock += nanos;
                Answer::Done
            }
        }
    }
}

impl Specification for Naive {
    type Call = Call;
    type Answer = Answer;

    fn explains(&mut self, call: &Call, answer: &Answer) -> bool {
        self.apply(*call) == *answer
    }
}
