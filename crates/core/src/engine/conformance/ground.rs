//! What the cases stand on: an engine under test, steps on notes, and what can be seen of the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Subject;
use crate::clock::{Clock, ManualClock};
use crate::engine::{Engine, Pick, Range, Rank, Reads, Snapshot, Start, Transaction};
use crate::sync::suite::Suite;
use crate::time::{ClockError, Now, Stamp};
use crate::version::Version;

pub(super) use super::note::{Draft, Key, Note, NoteId, Place, note, off, on};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// What the engine under test fails with.
pub(super) type Fault<S> = <<S as Subject>::Engine as Engine<Note>>::Error;

/// Why a job ended.
pub(super) enum Stop<F> {
    Engine(F),
    Clock(ClockError),
    /// The job meant to fail.
    Meant(&'static str),
}

impl<F> From<F> for Stop<F> {
    fn from(failure: F) -> Self {
        Self::Engine(failure)
    }
}

pub(super) struct Ground<S: Subject> {
    pub suite: Suite,
    pub clock: Arc<ManualClock>,
    subject: S,
}

pub(super) fn id(bits: u64) -> NoteId {
    NoteId::from_bits(bits)
}

pub(super) fn shelf(name: &str) -> Key {
    Key::Shelf(name.to_owned())
}

pub(super) fn seal(name: &str) -> Key {
    Key::Seal(name.to_owned())
}

/// Issues a version.
pub(super) fn stamp<T: Transaction<Note>>(step: &mut T) -> Result<Stamp, Stop<T::Error>> {
    step.stamp().map_err(Stop::Clock)
}

/// Makes a note.
pub(super) fn add<T: Transaction<Note>>(
    step: &mut T,
    draft: &Draft,
) -> Result<Arc<Note>, Stop<T::Error>> {
    let stamp = stamp(step)?;
    Ok(step.put(draft.made(stamp)))
}

/// Moves a note.
pub(super) fn edit<T: Transaction<Note>>(
    step: &mut T,
    bits: u64,
    place: &Place,
) -> Result<Arc<Note>, Stop<T::Error>> {
    let found = step.get(&id(bits))?;
    let found = found.ok_or(Stop::Meant("there is no note to be moved"))?;
    let stamp = stamp(step)?;
    Ok(step.put(found.edited(place, stamp)))
}

/// Removes a note that is there.
pub(super) fn remove<T: Transaction<Note>>(step: &mut T, bits: u64) -> Result<(), Stop<T::Error>> {
    let found = step.get(&id(bits))?;
    found.ok_or(Stop::Meant("there is no note to be removed"))?;
    stamp(step)?;
    step.remove(id(bits));
    Ok(())
}

impl<S: Subject> Ground<S> {
    pub(super) async fn new(suite: Suite) -> Self {
        let start = DateTime::from_timestamp_nanos(1_772_442_000_123_456_789);
        let clock = Arc::new(ManualClock::at(start));
        let subject = S::open(Arc::clone(&clock)).await;
        Self {
            suite,
            clock,
            subject,
        }
    }

    pub(super) async fn reopened(self) -> Self {
        let subject = self.subject.reopen().await;
        Self { subject, ..self }
    }

    pub(super) fn engine(&self) -> Arc<S::Engine> {
        self.subject.engine()
    }

    pub(super) fn time(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Sets the clock forward, or back if it is a negative number of seconds.
    pub(super) fn turn(&self, seconds: i64) {
        self.clock
            .set(self.clock.now() + TimeDelta::seconds(seconds));
    }

    /// Makes a step.
    pub(super) async fn write<T, J>(&self, job: J) -> Result<T, Stop<Fault<S>>>
    where
        T: Send + 'static,
        J: for<'a> FnMut(&mut <S::Engine as Engine<Note>>::Step<'a>) -> Result<T, Stop<Fault<S>>>
            + Send
            + 'static,
    {
        let engine = self.engine();
        engine.write(job).await
    }

    /// Makes a step that succeeds.
    pub(super) async fn done<T, J>(&self, job: J) -> T
    where
        T: Send + 'static,
        J: for<'a> FnMut(&mut <S::Engine as Engine<Note>>::Step<'a>) -> Result<T, Stop<Fault<S>>>
            + Send
            + 'static,
    {
        succeeded(self.write(job).await)
    }

    /// Reads a snapshot.
    pub(super) async fn read<T, J>(&self, mut job: J) -> T
    where
        T: Send + 'static,
        J: for<'a> FnMut(&<S::Engine as Engine<Note>>::View<'a>) -> Result<T, Fault<S>>
            + Send
            + 'static,
    {
        let engine = self.engine();
        let read = engine.read(move |view| job(view).map_err(Stop::Engine));
        succeeded(read.await)
    }

    /// The time of a snapshot.
    pub(super) async fn now(&self) -> Now {
        let engine = self.engine();
        succeeded(engine.read_now(|_, now| Ok(*now)).await)
    }

    pub(super) async fn add(&self, draft: Draft) -> Arc<Note> {
        self.done(move |step| add(step, &draft)).await
    }

    pub(super) async fn edit(&self, bits: u64, place: Place) -> Arc<Note> {
        self.done(move |step| edit(step, bits, &place)).await
    }

    pub(super) async fn remove(&self, bits: u64) {
        self.done(move |step| remove(step, bits)).await;
    }

    pub(super) async fn get(&self, bits: u64) -> Option<Arc<Note>> {
        self.read(move |view| view.get(&id(bits))).await
    }

    pub(super) async fn holder(&self, key: Key) -> Option<u64> {
        let holder = self.read(move |view| view.holder(&key)).await;
        holder.map(NoteId::to_bits)
    }

    /// The ids of those with a key, in their order.
    pub(super) async fn ids(&self, key: Key) -> Vec<u64> {
        let found = self.look(key, Range::all()).await;
        found.scanned.iter().map(|(_, id)| id.to_bits()).collect()
    }

    /// All that can be read of a key.
    pub(super) async fn look(&self, key: Key, range: Range<NoteId>) -> Look {
        self.read(move |view| look(view, &key, &range)).await
    }

    /// Versions and ids of the changes after a version.
    pub(super) async fn changes(
        &self,
        after: Option<Version>,
        limit: usize,
    ) -> Vec<(Version, u64)> {
        let changes = self
            .read(move |view| view.changes_after(after, limit))
            .await;
        let changes = changes.into_iter();
        changes
            .map(|(version, note)| (version, note.id.to_bits()))
            .collect()
    }

    /// All that can be seen of the store, by one snapshot.
    pub(super) async fn content(&self) -> Content {
        self.read(|view| content(view)).await
    }

    /// Asserts that what is there is what these notes are.
    pub(super) async fn assert_has(&self, expected: &Expected) {
        let content = self.content().await;
        assert_eq!(
            content,
            expected.content(),
            "the store has what it was given"
        );
    }

    /// Asserts that what is done in between leaves nothing behind.
    pub(super) async fn without_trace(&self, meanwhile: impl Future<Output = ()>) {
        let before = self.content().await;
        meanwhile.await;
        assert_eq!(self.content().await, before, "nothing has changed");
    }
}

pub(super) fn succeeded<T, F: fmt::Debug>(result: Result<T, Stop<F>>) -> T {
    match result {
        Ok(done) => done,
        Err(Stop::Engine(failure)) => panic!("a call that must succeed fails: {failure:?}"),
        Err(Stop::Clock(error)) => panic!("a call that must succeed gets no version: {error}"),
        Err(Stop::Meant(reason)) => panic!("a call that must succeed does not: {reason}"),
    }
}

/// What is read of one key in one range, by every read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub scanned: Vec<(Rank, NoteId)>,
    pub count: usize,
    pub nth: Vec<Option<NoteId>>,
    pub odd: Option<NoteId>,
    pub picked: Vec<NoteId>,
    pub until: Vec<NoteId>,
    pub merged: Vec<NoteId>,
}

/// Before how many records one is looked for by number.
const BEFORE: [usize; 4] = [0, 1, 3, 17];

/// The most that are picked.
const PICKED: usize = 3;

fn is_odd(note: &Note) -> bool {
    note.id.to_bits() % 2 == 1
}

pub(super) fn look<V: Reads<Note>>(
    view: &V,
    key: &Key,
    range: &Range<NoteId>,
) -> Result<Look, V::Error> {
    let mut scanned = Vec::new();
    view.scan(key, *range, usize::MAX, |rank, note| {
        scanned.push((rank, note.id));
        ControlFlow::Continue(())
    })?;
    let ids = |notes: Vec<Arc<Note>>| notes.iter().map(|note| note.id).collect();
    let nth = BEFORE.map(|before| view.nth(key, *range, before));
    let nth: Result<Vec<_>, _> = nth.into_iter().collect();
    let odd = |note: &Note| Pick::if_so(is_odd(note));
    let until = |note: &Note| match is_odd(note) {
        true => Pick::Stop,
        false => Pick::Take,
    };
    Ok(Look {
        scanned,
        count: view.count(key, *range)?,
        nth: nth?.into_iter().map(|note| Some(note?.id)).collect(),
        odd: view.find(key, *range, is_odd)?.map(|note| note.id),
        picked: ids(view.pick(key, *range, PICKED, odd)?),
        until: ids(view.pick(key, *range, usize::MAX, until)?),
        merged: ids(view.merged(std::slice::from_ref(key), *range, PICKED)?),
    })
}

/// All that can be seen of a store by the keys that the cases use.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Content {
    notes: Vec<Option<Arc<Note>>>,
    looks: BTreeMap<Key, Look>,
    holders: Vec<Option<NoteId>>,
    changes: Vec<(Version, Arc<Note>)>,
}

/// The names of authors, shelves, texts and seals that are looked up.
pub(super) const NAMES: [&str; 6] = ["a", "b", "alice", "bob", "as before", "s"];

/// The ids that are looked up: these, and all that are found.
const IDS: std::ops::Range<u64> = 0..12;

fn keys() -> BTreeSet<Key> {
    let named = NAMES.into_iter().flat_map(|name| {
        [Key::Author, Key::Shelf, Key::Text, Key::Seal].map(|key| key(name.to_owned()))
    });
    named.chain([Key::All, Key::Queue]).collect()
}

fn content<V: Snapshot<Note>>(view: &V) -> Result<Content, V::Error> {
    let notes: Result<Vec<_>, _> = IDS.map(|bits| view.get(&id(bits))).collect();
    let looks = keys().into_iter().map(|key| {
        let look = look(view, &key, &Range::all())?;
        Ok((key, look))
    });
    let holders: Result<Vec<_>, _> = NAMES
        .map(|name| view.holder(&seal(name)))
        .into_iter()
        .collect();
    Ok(Content {
        notes: notes?,
        looks: looks.collect::<Result<_, _>>()?,
        holders: holders?,
        changes: view.changes_after(None, usize::MAX)?,
    })
}

/// What a store must have, kept as simply as can be.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    pub notes: BTreeMap<NoteId, Arc<Note>>,
    sealed: BTreeMap<Key, NoteId>,
}

impl Expected {
    pub(super) fn put(&mut self, note: Arc<Note>) {
        self.notes.insert(note.id, note);
    }

    pub(super) fn remove(&mut self, bits: u64) {
        if let Some(Note {
            id,
            seal: Some(name),
            ..
        }) = self.notes.remove(&id(bits)).as_deref()
        {
            self.sealed.insert(seal(name), *id);
        }
    }

    pub(super) fn look(&self, key: &Key, range: &Range<NoteId>) -> Look {
        let mut places = Vec::new();
        for note in self.notes.values() {
            crate::engine::Record::index(&**note, &mut |of, rank| {
                if of == *key {
                    places.push((Reverse(rank), note.id));
                }
            });
        }
        places.sort();
        places.retain(|(rank, id)| {
            let has_begun = match range.start {
                Start::First => true,
                Start::At(first) => *rank >= Reverse(first),
                Start::After(place, last) => (*rank, *id) > (Reverse(place), last),
            };
            has_begun && range.above.is_none_or(|floor| rank.0 > floor)
        });
        let ids: Vec<_> = places.iter().map(|(_, id)| *id).collect();
        let odd = |id: &NoteId| id.to_bits() % 2 == 1;
        Look {
            count: ids.len(),
            nth: BEFORE.map(|before| ids.get(before).copied()).to_vec(),
            odd: ids.iter().copied().find(odd),
            picked: ids.iter().copied().filter(odd).take(PICKED).collect(),
            until: ids.iter().copied().take_while(|id| !odd(id)).collect(),
            merged: ids.iter().copied().take(PICKED).collect(),
            scanned: places.iter().map(|(rank, id)| (rank.0, *id)).collect(),
        }
    }

    fn content(&self) -> Content {
        let mut changes: Vec<_> = self
            .notes
            .values()
            .flat_map(|note| {
                note.edits
                    .iter()
                    .map(|edit| (edit.version, Arc::clone(note)))
            })
            .collect();
        changes.sort_by_key(|(version, _)| *version);
        let holder = |name| {
            let present = self.look(&seal(name), &Range::all()).scanned;
            let present = present.first().map(|(_, id)| *id);
            present.or_else(|| self.sealed.get(&seal(name)).copied())
        };
        Content {
            notes: IDS.map(|bits| self.notes.get(&id(bits)).cloned()).collect(),
            looks: keys()
                .into_iter()
                .map(|key| (key.clone(), self.look(&key, &Range::all())))
                .collect(),
            holders: NAMES.map(holder).to_vec(),
            changes,
        }
    }
}
