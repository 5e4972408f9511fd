//! A step of a naive engine.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use countersign_core::engine::conformance::{Key, Note, NoteId};
use countersign_core::engine::{LockError, Put, Range, Rank, Reads, Record, Transaction};
use countersign_core::time::{ClockError, Now, Stamp, Timeline, Writer};
use countersign_core::version::{Conflict, Version};

use crate::faults::Fault;
use crate::naive::lock;
use crate::state::State;
use crate::view::View;

/// A step.
#[derive(Debug)]
pub struct Step<'a> {
    pub view: View<'a>,
    pub now: Option<Now>,
    stamped: Option<Version>,
    pub timeline: Timeline,
    pub staged: Vec<Put<Note>>,
}

impl<'a> Step<'a> {
    pub fn of(view: View<'a>) -> Self {
        Self {
            now: None,
            stamped: None,
            timeline: view.state.timeline,
            staged: Vec::new(),
            view,
        }
    }

    /// A view of something else than the store before the step.
    fn other(&self, state: State) -> View<'a> {
        View::of(self.view.naive, Arc::new(state))
    }

    fn late(&self) -> View<'a> {
        View::of(self.view.naive, Arc::clone(&lock(&self.view.naive.late)))
    }

    fn written(&self) -> View<'a> {
        let mut state = (*self.view.state).clone();
        for (id, note) in &self.staged {
            state.apply(Fault::Nothing, *id, note.clone());
        }
        self.other(state)
    }
}

impl Transaction<Note> for Step<'_> {
    fn now(&mut self) -> Now {
        let now = self.view.naive.judge(&self.view.state.timeline);
        match self.view.naive.fault {
            Fault::NowReadAgain => *self.now.insert(now),
            _ => *self.now.get_or_insert(now),
        }
    }

    fn stamp(&mut self) -> Result<Stamp, ClockError> {
        let (naive, before) = (self.view.naive, self.timeline.version());
        let mut now = self.now();
        if naive.is(Fault::StampReadsAgain) {
            now = naive.judge(&self.view.state.timeline);
        }
        let mut stamp = self.timeline.stamp(&now)?;
        let reading = Version::of(now.reading()).unwrap();
        let next = before.map(|last| Version::from_nanos(last.as_nanos() + 1));
        let corrects = now.makes_correction().is_some();
        let version = match naive.fault {
            Fault::VersionIsTheClock => Some(reading),
            Fault::VersionBack if corrects => Some(reading),
            Fault::VersionCounts => next,
            Fault::OneStampForAStep => self.stamped,
            Fault::VersionOfTheImpossible if now.granting().is_err() => Some(reading),
            _ => None,
        };
        if let Some(version) = version {
            stamp.version = version;
            self.timeline = self.timeline.with_last(version, now.at(), Writer::ONLY);
        }
        self.stamped = Some(stamp.version);
        Ok(stamp)
    }

    fn put(&mut self, record: Note) -> Arc<Note> {
        let note = Arc::new(record);
        self.staged.push((note.id, Some(Arc::clone(&note))));
        let old = self.view.state.notes.get(&note.id);
        let old = old.filter(|_| self.view.is(Fault::PutGivesTheOld));
        old.cloned().unwrap_or(note)
    }

    fn remove(&mut self, id: NoteId) {
        self.staged.push((id, None));
    }

    fn current(&self, id: &NoteId, expected: Version) -> Result<Arc<Note>, LockError<Infallible>> {
        let fault = self.view.naive.fault;
        let Some(note) = infallible(self.get(id)) else {
            let actual = expected;
            return Err(match fault {
                Fault::LockMissesNothing => LockError::Conflict(Conflict { expected, actual }),
                _ => LockError::NotFound,
            });
        };
        let actual = match fault {
            Fault::LockNamesOne => expected,
            _ => note.version(),
        };
        if note.version() == expected || fault == Fault::LockOff {
            return Ok(note);
        }
        Err(LockError::Conflict(Conflict { expected, actual }))
    }
}

impl Reads<Note> for Step<'_> {
    type Error = Infallible;

    fn get(&self, id: &NoteId) -> Result<Option<Arc<Note>>, Infallible> {
        match self.view.naive.fault {
            Fault::ReadsItsWrites => self.written().get(id),
            Fault::ReadsAStepLate => self.late().get(id),
            _ => self.view.get(id),
        }
    }

    fn scan(
        &self,
        key: &Key,
        range: Range<NoteId>,
        want: usize,
        each: impl FnMut(Rank, &Arc<Note>) -> ControlFlow<()>,
    ) -> Result<(), Infallible> {
        match self.view.naive.fault {
            Fault::ScansAStepLate => self.late().scan(key, range, want, each),
            _ => self.view.scan(key, range, want, each),
        }
    }

    fn count(&self, key: &Key, range: Range<NoteId>) -> Result<usize, Infallible> {
        match self.view.naive.fault {
            Fault::CountsItsWrites => self.written().count(key, range),
            _ => self.view.count(key, range),
        }
    }

    fn holder(&self, key: &Key) -> Result<Option<NoteId>, Infallible> {
        match self.view.naive.fault {
            Fault::HoldsItsWrites => self.written().holder(key),
            _ => self.view.holder(key),
        }
    }
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
